//! What is known of a message beside its bytes, and which source says so.
//!
//! Sources, strongest first: what was verified, what the topic captured, PUBLISH's user properties,
//! CONNECT's, the payload's own envelope where the route declares one, the route, and the static
//! attributes of the device. What a device merely claims never overrides what was verified.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

use prost::Message as _;
use proto::v1::DeviceEnvelope;

use crate::message::{Message, Verified};
use crate::topic::filter::Captures;

/// 2000-01-01T00:00:00Z: earlier events come from clocks that were never set.
const EVENT_MIN_MS: i64 = 946_684_800_000;
/// Events may be this far ahead of the gateway's clock.
const EVENT_AHEAD_MAX_MS: i64 = 24 * 3600 * 1000;
/// Bytes of the texts in a payload's own envelope: as many as the properties of a packet may have.
const DECLARED_TEXTS_MAX_BYTES: usize = 64 * 1024;

/// Attributes of devices that are known beforehand, by device id.
pub type DeviceAttributes = HashMap<String, BTreeMap<String, String>>;

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

impl<'a> Metadata<'a> {
    /// What the sources say, each attribute from the strongest that says something: a message and what
    /// its topic captured, the payload's own envelope, the attributes of the route, and those that
    /// `devices` knows of the device.
    pub(crate) fn collect(
        message: &Message<'a>,
        captures: &Captures<'a>,
        declared: Option<DeviceEnvelope>,
        of_route: Option<&'a BTreeMap<String, String>>,
        devices: &'a DeviceAttributes,
    ) -> Metadata<'a> {
        let verified = message.device.verified.as_deref();
        let device_id = message
            .device
            .verified_id()
            .or_else(|| captures.get("device_id"))
            .unwrap_or(&message.device.client_id);
        let of_device = known_of(devices, device_id);
        let declared = declared.unwrap_or_default();
        let property = |name: &str| message.property(name).map(Cow::Borrowed);
        let own = |value: String| (!value.is_empty()).then_some(Cow::Owned(value));
        let attribute = |name: &str, property_name: &str, declared: String| {
            let listed = |map: Option<&'a BTreeMap<String, String>>| {
                map.and_then(|map| map.get(name)).map(|value| Cow::Borrowed(value.as_str()))
            };
            verified
                .and_then(|verified| verified.attribute(name))
                .or_else(|| captures.get(name))
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
    verified: Option<&'a Verified>,
    route: Option<&'a BTreeMap<String, String>>,
    device: Option<&'a BTreeMap<String, String>>,
}

impl<'a> Facts<'a> {
    /// `route` and `device` are the attributes of the route that matched, and those known of the device.
    pub fn new(
        metadata: &'a Metadata<'a>,
        captures: Captures<'a>,
        received_ms: i64,
        verified: Option<&'a Verified>,
        route: Option<&'a BTreeMap<String, String>>,
        device: Option<&'a BTreeMap<String, String>>,
    ) -> Facts<'a> {
        Facts { metadata, captures, received_ms, verified, route, device }
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
                self.verified
                    .and_then(|verified| verified.attribute(name))
                    .or_else(|| self.captures.get(name))
                    .or_else(|| of(self.route))
                    .or_else(|| of(self.device))?
            }
        };
        Some(known).filter(|value| !value.is_empty())
    }
}

/// The attributes that are known of a device beforehand.
pub(crate) fn known_of<'a>(
    devices: &'a DeviceAttributes,
    device_id: &str,
) -> Option<&'a BTreeMap<String, String>> {
    // Most fleets have no such file, and then nothing is hashed.
    if devices.is_empty() { None } else { devices.get(device_id) }
}

/// The envelope that a payload brings, or why it is none. Its texts become those of the record, where
/// they have the limit of any other.
pub(crate) fn declared_envelope(payload: &[u8]) -> Result<DeviceEnvelope, String> {
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
fn parse_time_ms(text: &str) -> Option<i64> {
    if let Ok(millis) = text.parse() {
        return Some(millis);
    }
    text.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_millisecond)
}
