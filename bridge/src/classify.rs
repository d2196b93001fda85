//! Where a message belongs: routes and metadata → lane and Kafka topic, or why it can have none.
//! Pure, and without an allocation on the usual way.

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::lanes::{LaneId, LanePlan, Lanes};
use crate::message::{Carriage, Message, Payload};
use crate::metadata::{DeviceAttributes, Facts, Metadata, declared_envelope, known_of};
use crate::outcome::Fault;
use crate::record::{HEAD_ROOM_BYTES, REFERENCE_MAX_BYTES};
use crate::route::{Captures, Route};
use crate::rule::Rule;

/// What a record's head takes beside the texts that a device chooses, in bytes: the Kafka topic's name,
/// headers, ids, times, gateway, lane and a dead letter's reason, with their lengths.
const HEAD_FIXED_BYTES: usize = 1280;
/// The length of a field of the envelope and its number, in bytes.
const FIELD_BYTES: usize = 8;

/// What was decided of a message.
#[derive(Clone, Debug)]
pub struct Decision<'a> {
    pub metadata: Metadata<'a>,
    pub captures: Captures<'a>,
    /// The lane that the message belongs to, also where it cannot land in it.
    pub lane: LaneId,
    pub destination: Destination<'a>,
    /// Place of the route that matched.
    pub route: Option<usize>,
    /// Place of the rule that matched.
    pub rule: Option<usize>,
}

/// Where a message is to go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination<'a> {
    /// Its lane, and there this Kafka topic.
    Lane { topic: Cow<'a, str> },
    /// It can never land in its lane.
    DeadLetter { fault: Fault, reason: Cow<'static, str> },
    /// No route takes its topic, and `unrouted: refuse`: a dead letter where somebody waits for an answer,
    /// and else nothing.
    Unrouted,
}

impl Decision<'_> {
    /// The lane that the record goes through: the message's own, or dead-letter's.
    pub fn record_lane(&self) -> LaneId {
        match self.destination {
            Destination::Lane { .. } => self.lane,
            Destination::DeadLetter { .. } | Destination::Unrouted => LaneId::DEAD_LETTER,
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

/// What to do with topics that no route matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unrouted {
    /// They go by the rules like any other.
    Fast,
    Refuse,
}

/// Everything that decides where messages go.
#[derive(Clone, Debug)]
pub struct Routing {
    pub routes: Vec<Route>,
    pub unrouted: Unrouted,
    pub rules: Vec<Rule>,
    pub lanes: Lanes<LanePlan>,
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
        let metadata = Metadata::collect(message, &captures, declared, of_route, &self.devices);
        let facts = self.facts(&metadata, captures, of_route, message.received_ms);
        let rule = self.rules.iter().position(|rule| rule.when.holds(message, &facts));
        let lane = rule.map_or(LaneId::FAST, |rule| self.rules[rule].lane);
        let destination = if let Some(error) = undecodable {
            let reason = format!("the payload is no landfall.v1.DeviceEnvelope: {error}").into();
            Destination::DeadLetter { fault: Fault::Payload, reason }
        } else if route.is_none() && self.unrouted == Unrouted::Refuse {
            Destination::Unrouted
        } else {
            match self.lanes[lane].topic.name(&facts) {
                Ok(topic) => Destination::Lane { topic },
                Err(reason) => {
                    Destination::DeadLetter { fault: Fault::Topic, reason: reason.into() }
                }
            }
        };
        let route = route.map(|(index, _)| index);
        Decision { metadata, captures, lane, destination, route, rule }
    }

    /// How a decided message travels. What its lane cannot take, by value or by reference, becomes a dead
    /// letter, and that always fits: what is too much of it is cut.
    pub fn carriage(
        &self,
        decision: &mut Decision<'_>,
        message: &Message<'_>,
        has_store: bool,
    ) -> Carriage {
        let (lane, size) = (decision.record_lane(), message.payload.size());
        if lane != LaneId::DEAD_LETTER {
            let head = self.head_bytes(lane, decision, message);
            match fit(size, head, self.lanes[lane].inline_size, has_store) {
                Ok(carriage) => return carriage,
                Err(reason) => {
                    let reason = reason.into();
                    decision.destination = Destination::DeadLetter { fault: Fault::Size, reason };
                }
            }
        }
        match has_store && size > u64::from(self.lanes[LaneId::DEAD_LETTER].inline_size) {
            true => Carriage::Large,
            false => Carriage::Inline,
        }
    }

    /// What a decided message's record holds at most beside its payload, in bytes.
    fn head_bytes(&self, lane: LaneId, decision: &Decision<'_>, message: &Message<'_>) -> u64 {
        let Metadata { device_id, device_type, firmware_version, group, .. } = &decision.metadata;
        let Metadata { traceparent, tracestate, .. } = &decision.metadata;
        let texts = [device_id, device_type, firmware_version, group, traceparent, tracestate];
        let texts: usize = texts.into_iter().map(|text| text.len()).sum();
        let connect =
            message.device.properties.iter().map(|(name, value)| name.len() + value.len());
        let publish = message.properties.iter().map(|(name, value)| name.len() + value.len());
        let properties: usize = connect.chain(publish).map(|pair| pair + 3 * FIELD_BYTES).sum();
        let key = &self.lanes[lane].key;
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
        self.lanes[lane].key.write(&self.facts_of(decision, message), out);
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
        let device = known_of(&self.devices, &metadata.device_id);
        Facts::new(metadata, captures, received_ms, route, device)
    }
}

#[cfg(test)]
mod tests;
