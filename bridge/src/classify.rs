//! Where a message belongs: routes and metadata → lane and Kafka topic, or why it can have none.
//! Pure, and without an allocation on the usual way.
//!
//! Metadata comes, strongest first, from what was verified, what the topic captured, PUBLISH's user
//! properties, CONNECT's, the payload's own envelope where the route declares one, the route, and the
//! static attributes of the device. What a device merely claims never overrides what was verified.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::fmt;

use prost::Message as _;
use proto::v1::DeviceEnvelope;

use crate::key::{KeyStrategy, Template};
use crate::message::{Message, Payload};
use crate::receipt::{Fault, Refusal};
use crate::record::{HEAD_ROOM_BYTES, REFERENCE_MAX_BYTES};
use crate::route::{Captures, Filter, Route, last_level};

/// 2000-01-01T00:00:00Z: earlier events come from clocks that were never set.
const EVENT_MIN_MS: i64 = 946_684_800_000;
/// Events may be this far ahead of the gateway's clock.
const EVENT_AHEAD_MAX_MS: i64 = 24 * 3600 * 1000;
/// What a record's head takes beside the texts that a device chooses, in bytes: the Kafka topic's name,
/// headers, ids, times, gateway, lane and a dead letter's reason, with their lengths.
const HEAD_FIXED_BYTES: usize = 1280;
/// The length of a field of the envelope and its number, in bytes.
const FIELD_BYTES: usize = 8;
/// Bytes of the texts in a payload's own envelope: as many as the properties of a packet may have.
const DECLARED_TEXTS_MAX_BYTES: usize = 64 * 1024;
/// Longest name of a Kafka topic, in bytes.
pub const KAFKA_TOPIC_MAX_BYTES: usize = 249;

/// A lane, by its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LaneId(pub u8);

pub const PRIORITY: LaneId = LaneId(0);
pub const FAST: LaneId = LaneId(1);
pub const SLOW: LaneId = LaneId(2);
pub const DEAD_LETTER: LaneId = LaneId(3);
/// Names of the lanes that are always there, in the order of their ids.
pub const BUILT_IN: [&str; 4] = ["priority", "fast", "slow", "dead-letter"];
/// Most lanes in all.
pub const LANES_MAX: usize = 28;

/// What is known about a message beside its bytes. Empty texts are absent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metadata<'a> {
    pub device_id: Cow<'a, str>,
    /// The device id was proved, not claimed.
    pub verified: bool,
    pub device_type: Cow<'a, str>,
    pub firmware_version: Cow<'a, str>,
    pub group: Cow<'a, str>,
    /// The device's own id of the message.
    pub message_id: Option<Cow<'a, str>>,
    /// Milliseconds since 1970 UTC.
    pub event_start_ms: Option<i64>,
    pub event_end_ms: Option<i64>,
    /// The first thing that is wrong with what was said of them.
    pub event_time_fault: Option<EventTimeFault>,
    pub traceparent: Cow<'a, str>,
    pub tracestate: Cow<'a, str>,
    pub priority: Option<Cow<'a, str>>,
}

/// Why an event time counts as absent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EventTimeFault {
    #[error("is no time: write RFC 3339 or milliseconds since 1970")]
    NoTime,
    #[error("is before 2000 or more than 24 h ahead: is the clock set?")]
    Implausible,
    #[error("has an end before its start")]
    EndBeforeStart,
}

impl EventTimeFault {
    /// All of them, in the order of their places.
    pub const ALL: [EventTimeFault; 3] =
        [EventTimeFault::NoTime, EventTimeFault::Implausible, EventTimeFault::EndBeforeStart];

    /// The value of the `reason` label.
    pub fn label(self) -> &'static str {
        match self {
            EventTimeFault::NoTime => "no_time",
            EventTimeFault::Implausible => "implausible",
            EventTimeFault::EndBeforeStart => "end_before_start",
        }
    }
}

/// Metadata and everything else that rules, keys and templates can look at.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    pub metadata: &'a Metadata<'a>,
    pub captures: Captures<'a>,
    pub received_ms: i64,
    route: Option<&'a BTreeMap<String, String>>,
    device: Option<&'a BTreeMap<String, String>>,
}

impl<'a> Facts<'a> {
    /// Nothing but metadata.
    pub fn bare(metadata: &'a Metadata<'a>, received_ms: i64) -> Facts<'a> {
        Facts { metadata, captures: Captures::NONE, received_ms, route: None, device: None }
    }

    /// An attribute by name; None where it is absent or empty.
    pub fn attribute(&self, name: &str) -> Option<&'a str> {
        let known: &str = match name {
            "device_id" => &self.metadata.device_id,
            "device_type" => &self.metadata.device_type,
            "firmware_version" => &self.metadata.firmware_version,
            "group" => &self.metadata.group,
            _ => {
                let of = |map: Option<&'a BTreeMap<String, String>>| {
                    map.and_then(|map| map.get(name)).map(String::as_str)
                };
                self.captures.get(name).or_else(|| of(self.route)).or_else(|| of(self.device))?
            }
        };
        Some(known).filter(|value| !value.is_empty())
    }
}

/// What was decided of a message.
#[derive(Clone, Debug)]
pub struct Decision<'a> {
    pub metadata: Metadata<'a>,
    pub captures: Captures<'a>,
    /// The lane that the message belongs to, also where it cannot land in it.
    pub lane: LaneId,
    pub outcome: Outcome<'a>,
    /// Place of the route that matched.
    pub route: Option<usize>,
    /// Place of the rule that matched.
    pub rule: Option<usize>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome<'a> {
    Lane {
        topic: Cow<'a, str>,
    },
    /// It can never land in its lane.
    DeadLetter {
        fault: Fault,
        reason: Cow<'static, str>,
    },
    Refused {
        reason: Refusal,
    },
}

/// How a message's payload travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carriage {
    /// In its record.
    Inline,
    /// Through the object store.
    Large,
}

impl Decision<'_> {
    /// The lane that the record goes through: the message's own, or dead-letter's.
    pub fn way(&self) -> LaneId {
        match self.outcome {
            Outcome::Lane { .. } => self.lane,
            Outcome::DeadLetter { .. } | Outcome::Refused { .. } => DEAD_LETTER,
        }
    }
}

/// How a payload of `size` bytes travels in a lane beside a head of `head` bytes, or why it cannot. So no
/// record of the lane is larger than [`crate::record::max_bytes`] of its `inline_size`.
fn fit(size: u64, head: u64, inline_size: u32, has_store: bool) -> Result<Carriage, &'static str> {
    let (inline_size, head_room) = (u64::from(inline_size), u64::from(HEAD_ROOM_BYTES));
    if size + head.saturating_sub(head_room) <= inline_size {
        return Ok(Carriage::Inline);
    }
    // A payload of nothing is no object.
    if size == 0 || head + u64::from(REFERENCE_MAX_BYTES) > inline_size + head_room {
        return Err("its topic, id and properties are larger than its lane takes");
    }
    match has_store {
        true => Ok(Carriage::Large),
        false => Err("larger than its lane takes inline, and there is no object store"),
    }
}

/// What a rule asks for; all that is given has to hold.
#[derive(Clone, Debug, Default)]
pub struct When {
    pub topic: Option<Filter>,
    pub attributes: BTreeMap<String, String>,
    pub firmware: Option<VersionRange>,
    /// User properties of PUBLISH or CONNECT.
    pub property: BTreeMap<String, String>,
    /// Bytes of payload.
    pub larger_than: Option<u64>,
    /// Received time minus event time, in milliseconds.
    pub older_than_ms: Option<i64>,
    /// The topic's last level.
    pub last_level: Option<String>,
}

#[derive(Clone, Debug)]
pub struct Rule {
    pub when: When,
    pub lane: LaneId,
}

/// How a lane names its records.
#[derive(Clone, Debug)]
pub struct LaneRouting {
    pub topic: TopicName,
    pub key: KeyStrategy,
}

/// The Kafka topic of a lane.
#[derive(Clone, Debug)]
pub enum TopicName {
    Fixed(String),
    /// What the template may become is listed.
    Template {
        template: Template,
        allowed: Vec<String>,
    },
}

/// What to do with topics that no route matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unrouted {
    /// They go by the rules like any other.
    Fast,
    Refuse,
}

/// Attributes of devices that are known beforehand, by device id.
pub type DeviceAttributes = HashMap<String, BTreeMap<String, String>>;

/// Everything that decides where messages go.
#[derive(Clone, Debug)]
pub struct Routing {
    pub routes: Vec<Route>,
    pub unrouted: Unrouted,
    pub rules: Vec<Rule>,
    /// By [`LaneId`].
    pub lanes: Vec<LaneRouting>,
    pub devices: DeviceAttributes,
}

impl Routing {
    /// Where the message belongs.
    pub fn classify<'a>(&'a self, message: &Message<'a>) -> Decision<'a> {
        let matched = self.routes.iter().enumerate().find_map(|(index, route)| {
            route.filter.matches(message.topic).map(|captures| (index, route, captures))
        });
        let (route, captures) = match matched {
            Some((index, route, captures)) => (Some((index, route)), captures),
            None => (None, Captures::NONE),
        };
        let declared = route.filter(|(_, route)| route.device_envelope).map(|_| message.payload);
        let (declared, undecodable) = match declared {
            Some(Payload::Inline(payload)) => match declared_envelope(payload) {
                Ok(envelope) => (Some(envelope), None),
                Err(error) => (None, Some(error)),
            },
            // A payload that arrives in pieces is not read.
            Some(Payload::Streamed { .. }) | None => (None, None),
        };
        let of_route = route.map(|(_, route)| &route.attributes);
        let metadata = self.metadata(message, &captures, declared, of_route);
        let facts = self.facts(&metadata, captures, of_route, message.received_ms);
        let rule = self.rules.iter().position(|rule| rule.when.holds(message, &facts));
        let lane = rule.map_or(FAST, |rule| self.rules[rule].lane);
        let outcome = if let Some(error) = undecodable {
            let reason = format!("the payload is no landfall.v1.DeviceEnvelope: {error}").into();
            Outcome::DeadLetter { fault: Fault::Payload, reason }
        } else if route.is_none() && self.unrouted == Unrouted::Refuse {
            Outcome::Refused { reason: Refusal::Unrouted }
        } else {
            match self.lanes[usize::from(lane.0)].topic.name(&facts) {
                Ok(topic) => Outcome::Lane { topic },
                Err(reason) => Outcome::DeadLetter { fault: Fault::Topic, reason: reason.into() },
            }
        };
        let route = route.map(|(index, _)| index);
        Decision { metadata, captures, lane, outcome, route, rule }
    }

    /// How a decided message travels. What its lane cannot take, by value or by reference, becomes a dead
    /// letter, and that always fits: what is too much of it is cut. `inline_size` tells each lane's limit,
    /// in bytes.
    pub fn carriage(
        &self,
        decision: &mut Decision<'_>,
        message: &Message<'_>,
        has_store: bool,
        inline_size: impl Fn(LaneId) -> u32,
    ) -> Carriage {
        let (way, size) = (decision.way(), message.payload.size());
        if way != DEAD_LETTER {
            let head = self.head_bytes(way, decision, message);
            match fit(size, head, inline_size(way), has_store) {
                Ok(carriage) => return carriage,
                Err(reason) => {
                    let reason = reason.into();
                    decision.outcome = Outcome::DeadLetter { fault: Fault::Size, reason };
                }
            }
        }
        match has_store && size > u64::from(inline_size(DEAD_LETTER)) {
            true => Carriage::Large,
            false => Carriage::Inline,
        }
    }

    /// What a decided message's record holds at most beside its payload, in bytes.
    fn head_bytes(&self, way: LaneId, decision: &Decision<'_>, message: &Message<'_>) -> u64 {
        let Metadata { device_id, device_type, firmware_version, group, .. } = &decision.metadata;
        let Metadata { traceparent, tracestate, .. } = &decision.metadata;
        let texts = [device_id, device_type, firmware_version, group, traceparent, tracestate];
        let texts: usize = texts.into_iter().map(|text| text.len()).sum();
        let connect =
            message.device.properties.iter().map(|(name, value)| name.len() + value.len());
        let publish = message.properties.iter().map(|(name, value)| name.len() + value.len());
        let properties: usize = connect.chain(publish).map(|pair| pair + 3 * FIELD_BYTES).sum();
        let key = &self.lanes[usize::from(way.0)].key;
        let key = key.size_max(device_id, || self.facts_of(decision, message));
        let own = message.topic.len() + message.content_type.len();
        (HEAD_FIXED_BYTES + texts + properties + key + own) as u64
    }

    /// Appends the key that a decided message has in a lane.
    pub fn write_key(
        &self,
        lane: LaneId,
        decision: &Decision<'_>,
        message: &Message<'_>,
        out: &mut Vec<u8>,
    ) {
        self.lanes[usize::from(lane.0)].key.write(&self.facts_of(decision, message), out);
    }

    fn facts_of<'b>(&'b self, decision: &'b Decision<'b>, message: &Message<'_>) -> Facts<'b> {
        let of_route = decision.route.map(|index| &self.routes[index].attributes);
        self.facts(&decision.metadata, decision.captures, of_route, message.received_ms)
    }

    fn facts<'b>(
        &'b self,
        metadata: &'b Metadata<'b>,
        captures: Captures<'b>,
        route: Option<&'b BTreeMap<String, String>>,
        received_ms: i64,
    ) -> Facts<'b> {
        let device = self.device(&metadata.device_id);
        Facts { metadata, captures, received_ms, route, device }
    }

    fn device(&self, device_id: &str) -> Option<&BTreeMap<String, String>> {
        // Most fleets have no such file, and then nothing is hashed.
        if self.devices.is_empty() { None } else { self.devices.get(device_id) }
    }

    fn metadata<'a>(
        &'a self,
        message: &Message<'a>,
        captures: &Captures<'a>,
        declared: Option<DeviceEnvelope>,
        of_route: Option<&'a BTreeMap<String, String>>,
    ) -> Metadata<'a> {
        let verified = message.device.verified_id.as_deref();
        let device_id =
            verified.or_else(|| captures.get("device_id")).unwrap_or(&message.device.client_id);
        let of_device = self.device(device_id);
        let declared = declared.unwrap_or_default();
        let property = |name: &str| message.property(name).map(Cow::Borrowed);
        let own = |value: String| (!value.is_empty()).then_some(Cow::Owned(value));
        let attribute = |name: &str, property_name: &str, declared: String| {
            let listed = |map: Option<&'a BTreeMap<String, String>>| {
                map.and_then(|map| map.get(name)).map(|value| Cow::Borrowed(value.as_str()))
            };
            captures
                .get(name)
                .map(Cow::Borrowed)
                .or_else(|| property(property_name))
                .or_else(|| own(declared))
                .or_else(|| listed(of_route))
                .or_else(|| listed(of_device))
                .unwrap_or_default()
        };
        let latest = message.received_ms.saturating_add(EVENT_AHEAD_MAX_MS);
        let plausible = |time_ms: i64| match (EVENT_MIN_MS..=latest).contains(&time_ms) {
            true => Ok(time_ms),
            false => Err(EventTimeFault::Implausible),
        };
        let mut event_time_fault = None;
        let mut time = |name: &str, declared: Option<i64>| {
            let said = message
                .property(name)
                .map(|text| parse_time_ms(text).ok_or(EventTimeFault::NoTime).and_then(plausible));
            let mut usable = |time: Option<Result<i64, EventTimeFault>>| {
                let usable = time?.map_err(|fault| event_time_fault.get_or_insert(fault));
                usable.ok()
            };
            usable(said).or_else(|| usable(declared.map(plausible)))
        };
        let event_start_ms = time("event-start", declared.event_start_ms);
        let event_end_ms = time("event-end", declared.event_end_ms);
        let ends_after_start = |end: &i64| event_start_ms.is_none_or(|start| *end >= start);
        if event_end_ms.is_some_and(|end| !ends_after_start(&end)) {
            event_time_fault.get_or_insert(EventTimeFault::EndBeforeStart);
        }
        let event_end_ms = event_end_ms.filter(ends_after_start);
        Metadata {
            device_id: Cow::Borrowed(device_id),
            verified: verified.is_some(),
            device_type: attribute("device_type", "device-type", declared.device_type),
            firmware_version: attribute(
                "firmware_version",
                "firmware-version",
                declared.firmware_version,
            ),
            group: attribute("group", "group", declared.group),
            message_id: property("message-id").or_else(|| own(declared.message_id)),
            event_start_ms,
            event_end_ms,
            event_time_fault,
            traceparent: property("traceparent")
                .or_else(|| own(declared.traceparent))
                .unwrap_or_default(),
            tracestate: property("tracestate").unwrap_or_default(),
            priority: property("priority").or_else(|| own(declared.priority)),
        }
    }
}

impl<'a> Message<'a> {
    /// A user property of PUBLISH, or of CONNECT where PUBLISH has none; empty ones say nothing.
    pub fn property(&self, name: &str) -> Option<&'a str> {
        let of_publish = self.properties.iter().find(|(known, _)| *known == name);
        let of_publish = of_publish.map(|(_, value)| *value).filter(|value| !value.is_empty());
        of_publish.or_else(|| {
            let of_connect = self.device.properties.iter().find(|(known, _)| **known == *name);
            of_connect.map(|(_, value)| &**value).filter(|value| !value.is_empty())
        })
    }
}

impl When {
    fn holds(&self, message: &Message<'_>, facts: &Facts<'_>) -> bool {
        let age_ms = || facts.metadata.event_start_ms.map(|start| message.received_ms - start);
        self.topic.as_ref().is_none_or(|filter| filter.is_match(message.topic))
            && self.last_level.as_ref().is_none_or(|level| last_level(message.topic) == level)
            && self.larger_than.is_none_or(|size| message.payload.size() > size)
            && self.older_than_ms.is_none_or(|limit| age_ms().is_some_and(|age| age > limit))
            && self
                .firmware
                .as_ref()
                .is_none_or(|range| range.contains(&facts.metadata.firmware_version))
            && self.attributes.iter().all(|(name, value)| facts.attribute(name) == Some(value))
            && self.property.iter().all(|(name, value)| {
                message.property(name) == Some(value)
                    || (name == "priority" && facts.metadata.priority.as_deref() == Some(value))
            })
    }
}

impl fmt::Display for When {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        parts.extend(self.topic.as_ref().map(|filter| format!("topic {filter}")));
        parts.extend(self.last_level.as_ref().map(|level| format!("last topic level {level}")));
        parts.extend(self.attributes.iter().map(|(name, value)| format!("{name} is {value}")));
        parts.extend(self.firmware.as_ref().map(|range| format!("firmware {range}")));
        parts.extend(
            self.property.iter().map(|(name, value)| format!("property {name} is {value}")),
        );
        parts.extend(self.larger_than.map(|size| format!("larger than {size} bytes")));
        parts.extend(self.older_than_ms.map(|age| format!("older than {} s", age / 1000)));
        if parts.is_empty() {
            return formatter.write_str("always");
        }
        formatter.write_str(&parts.join(", "))
    }
}

impl TopicName {
    /// The Kafka topic of a message, or why it has none.
    fn name<'a>(&'a self, facts: &Facts<'_>) -> Result<Cow<'a, str>, String> {
        match self {
            TopicName::Fixed(name) => Ok(Cow::Borrowed(name)),
            TopicName::Template { template, allowed } => {
                let name = template.fill(facts).map_err(|missing| {
                    format!("the Kafka topic {template} needs {missing}, which the message lacks")
                })?;
                let listed = allowed.iter().find(|allowed| **allowed == name);
                listed.map(|listed| Cow::Borrowed(listed.as_str())).ok_or_else(|| {
                    let shown: String = name.chars().take(80).collect();
                    format!("the Kafka topic {shown:?} is not in the lane's list of topics")
                })
            }
        }
    }

    /// Every Kafka topic that it can become.
    pub fn all(&self) -> Vec<String> {
        match self {
            TopicName::Fixed(name) => vec![name.clone()],
            TopicName::Template { allowed, .. } => allowed.clone(),
        }
    }
}

/// Kafka takes `[A-Za-z0-9._-]`, at most [`KAFKA_TOPIC_MAX_BYTES`] of them, and neither `.` nor `..`.
pub fn is_kafka_topic(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= KAFKA_TOPIC_MAX_BYTES
        && name != "."
        && name != ".."
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

/// The envelope that a payload brings, or why it is none. Its texts become those of the record, where
/// they have the limit of any other.
fn declared_envelope(payload: &[u8]) -> Result<DeviceEnvelope, String> {
    let envelope = DeviceEnvelope::decode(payload).map_err(|error| error.to_string())?;
    let DeviceEnvelope { message_id, device_type, firmware_version, group, .. } = &envelope;
    let DeviceEnvelope { priority, traceparent, .. } = &envelope;
    let texts = [message_id, device_type, firmware_version, group, priority, traceparent];
    let size: usize = texts.into_iter().map(String::len).sum();
    match size <= DECLARED_TEXTS_MAX_BYTES {
        true => Ok(envelope),
        false => {
            Err(format!("its texts have {size} bytes, and {DECLARED_TEXTS_MAX_BYTES} are taken"))
        }
    }
}

/// RFC 3339, or decimal milliseconds since 1970 UTC.
pub fn parse_time_ms(text: &str) -> Option<i64> {
    if let Ok(millis) = text.parse() {
        return Some(millis);
    }
    text.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_millisecond)
}

/// A range of dotted version numbers, such as `>=1.2, <2`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionRange {
    text: Box<str>,
    bounds: Vec<(Comparison, Vec<u64>)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Equal,
}

/// Why a text is no range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?}: write a range such as \">=1.2, <2.0\", of dotted numbers after <, <=, >, >= or =")]
pub struct VersionRangeError(String);

impl VersionRange {
    pub fn parse(text: &str) -> Result<VersionRange, VersionRangeError> {
        let bound = |part: &str| {
            let part = part.trim();
            let signs = [
                ("<=", Comparison::LessOrEqual),
                (">=", Comparison::GreaterOrEqual),
                ("<", Comparison::Less),
                (">", Comparison::Greater),
                ("=", Comparison::Equal),
            ];
            let (sign, comparison) = signs.into_iter().find(|(sign, _)| part.starts_with(sign))?;
            Some((comparison, version(part[sign.len()..].trim())?))
        };
        let bounds: Option<Vec<_>> = text.split(',').map(bound).collect();
        let error = || VersionRangeError(text.to_owned());
        Ok(VersionRange { text: text.into(), bounds: bounds.ok_or_else(error)? })
    }

    /// A version that is no dotted number is in no range.
    pub fn contains(&self, text: &str) -> bool {
        let Some(version) = version(text) else { return false };
        self.bounds.iter().all(|(comparison, bound)| {
            let ordering = compare(&version, bound);
            match comparison {
                Comparison::Less => ordering.is_lt(),
                Comparison::LessOrEqual => ordering.is_le(),
                Comparison::Greater => ordering.is_gt(),
                Comparison::GreaterOrEqual => ordering.is_ge(),
                Comparison::Equal => ordering.is_eq(),
            }
        })
    }
}

impl fmt::Display for VersionRange {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

fn version(text: &str) -> Option<Vec<u64>> {
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    text.split('.').map(|part| digits(part).then(|| part.parse().ok()).flatten()).collect()
}

/// 1.2 equals 1.2.0.
fn compare(left: &[u64], right: &[u64]) -> std::cmp::Ordering {
    let at = |version: &[u64], index: usize| version.get(index).copied().unwrap_or(0);
    (0..left.len().max(right.len()))
        .map(|index| at(left, index).cmp(&at(right, index)))
        .find(|ordering| ordering.is_ne())
        .unwrap_or(std::cmp::Ordering::Equal)
}

#[cfg(test)]
mod tests;
