//! A canonical topic: where events go, by which key, in which order, and as which bytes. Pure.

use bridge::key::{KeyStrategy, Keyed};

use crate::event::Event;
use crate::facts::Facts;

/// A Kafka topic of events.
#[derive(Clone, Debug)]
pub struct CanonicalTopic {
    pub topic: String,
    pub key: CanonicalKey,
    pub order: Order,
    pub format: CanonicalFormat,
}

/// What keeps its order between a raw partition and a canonical topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Events of messages with the same raw key.
    Key,
    /// Events of messages of the same device.
    Device,
    /// Nothing: whatever is done first is written first.
    None,
}

/// What the value of a canonical record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CanonicalFormat {
    Json,
    Protobuf,
}

/// How the key of an event is made: as the lanes make theirs, of the event's device and time. An event without
/// a usable time has the received one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CanonicalKey {
    pub strategy: KeyStrategy,
    /// The span of `{bucket}` in a template, in milliseconds.
    pub bucket_ms: i64,
}

/// The name by which a template has the start of an event's span of time, in milliseconds.
pub const BUCKET: &str = "bucket";

impl CanonicalKey {
    /// Appends the key of an event.
    pub fn write(&self, facts: &Facts<'_>, event: &Event<'_>, out: &mut Vec<u8>) {
        let event_ms = event.time.at.as_millisecond();
        let bucket = match &self.strategy {
            KeyStrategy::Template(template) if template.attributes().any(|name| name == BUCKET) => {
                (event_ms.div_euclid(self.bucket_ms) * self.bucket_ms).to_string()
            }
            _ => String::new(),
        };
        let device_id = event.device_id.as_deref().unwrap_or(facts.device_id);
        self.strategy.write(&OfEvent { facts, device_id, event_ms, bucket: &bucket }, out);
    }
}

/// An event as its key sees it.
struct OfEvent<'a> {
    facts: &'a Facts<'a>,
    device_id: &'a str,
    event_ms: i64,
    bucket: &'a str,
}

impl Keyed for OfEvent<'_> {
    fn device_id(&self) -> &str {
        self.device_id
    }

    fn received_ms(&self) -> i64 {
        self.facts.received_ms
    }

    fn event_ms(&self) -> Option<i64> {
        Some(self.event_ms)
    }

    fn attribute(&self, name: &str) -> Option<&str> {
        let known = match name {
            "device_id" => self.device_id,
            BUCKET => self.bucket,
            _ => self.facts.attribute(name)?,
        };
        Some(known).filter(|value| !value.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use bridge::key::Template;
    use jiff::Timestamp;

    use super::*;
    use crate::time::EventTime;

    #[test]
    fn a_key_is_the_events_own_device_and_hour() {
        let facts = Facts {
            topic: "devices/gateway/g-1/batch",
            received_ms: 1_770_149_645_000,
            device_id: "g-1",
            verified: true,
            attributes: &[("device_type", "gateway"), ("bucket", "of a topic")],
        };
        let time = |at: &str| EventTime {
            at: at.parse::<Timestamp>().expect("a time"),
            ..EventTime::received(&facts)
        };
        let event = |at: &str, device_id: Option<&'static str>| Event {
            index: 0,
            time: time(at),
            device_id: device_id.map(Into::into),
            fields: Vec::new(),
        };
        let template = |text| KeyStrategy::Template(Template::parse(text).expect("a template"));
        let key = |strategy: KeyStrategy, event: &Event<'_>| {
            let mut out = Vec::new();
            CanonicalKey { strategy, bucket_ms: 60_000 }.write(&facts, event, &mut out);
            String::from_utf8(out).expect("keys are text")
        };
        let own = event("2026-02-03T20:14:05.57Z", Some("m-7"));
        let hour = || KeyStrategy::DeviceIdBucket { bucket_ms: 3_600_000 };
        assert_eq!(key(hour(), &own), "m-7/1770148800000");
        assert_eq!(key(hour(), &event("2026-02-03T19:59:59.999Z", None)), "g-1/1770145200000");
        assert_eq!(key(KeyStrategy::DeviceId, &own), "m-7");
        assert_eq!(key(KeyStrategy::EventMs, &own), "1770149645570");
        assert_eq!(key(KeyStrategy::ReceivedMs, &own), "1770149645000");
        assert_eq!(
            key(template("{device_type}/{device_id}/{bucket}"), &own),
            "gateway/m-7/1770149640000"
        );
        // What no clock knew has the received time.
        let without =
            Event { time: EventTime::received(&facts), ..event("2026-02-03T20:14:05Z", None) };
        assert_eq!(key(KeyStrategy::EventMs, &without), "1770149645000");
    }
}
