//! The metadata stream: one record for each raw message that landed, and one for what became of it when it was
//! parsed, both under the message's id. JSON, one object a record. Pure.
//!
//! It is what coverage and failures are counted from, by device type or firmware: a metric's label could not
//! name so many.

use bridge::record::RecordBuf;
use jiff::Timestamp;

use crate::canonical::object::Object;
use crate::raw::{Opened, Raw};

/// What became of a message when it was parsed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Became {
    /// So many events, and so many bad records beside them, which were left out.
    Events { events: u64, skipped: u64 },
    /// It is no data, by the label of why.
    NotData(&'static str),
    /// No rule holds for it.
    NoRule,
    /// It failed, by the label of why, and was written to the quarantine.
    Quarantined(&'static str),
    /// It failed, by the label of why, and was left out.
    Skipped(&'static str),
}

impl Became {
    pub const LABELS: [&'static str; 5] =
        ["events", "not_data", "no_rule", "quarantined", "skipped"];

    pub fn label(self) -> &'static str {
        match self {
            Became::Events { .. } => "events",
            Became::NotData(_) => "not_data",
            Became::NoRule => "no_rule",
            Became::Quarantined(_) => "quarantined",
            Became::Skipped(_) => "skipped",
        }
    }

    /// The label of why it has no events.
    pub fn reason(self) -> Option<&'static str> {
        match self {
            Became::Events { .. } | Became::NoRule => None,
            Became::NotData(reason) | Became::Quarantined(reason) | Became::Skipped(reason) => {
                Some(reason)
            }
        }
    }
}

/// A raw message, as far as it can be read.
pub struct Message<'a> {
    /// The lane that it was read from.
    pub lane: &'a str,
    pub raw: &'a Raw<'a>,
    /// None: the record is no envelope, and only its position is known.
    pub opened: Option<&'a Opened>,
}

/// How a message was parsed.
pub struct Parsed<'a> {
    /// Name and revision; None where nothing took it.
    pub parser: Option<(&'a str, u32)>,
    pub became: Became,
    pub took_us: u64,
}

/// Writes that a raw message is there.
pub fn landed(topic: &str, message: &Message<'_>, out: &mut RecordBuf) {
    record(topic, "landed", message, out, |_| {});
}

/// Writes what became of a raw message.
pub fn parsed(topic: &str, message: &Message<'_>, parsed: &Parsed<'_>, out: &mut RecordBuf) {
    record(topic, "parsed", message, out, |object| {
        if let Some((name, revision)) = parsed.parser {
            object.text("parser", name);
            object.int("revision", revision);
        }
        object.text("outcome", parsed.became.label());
        if let Some(reason) = parsed.became.reason() {
            object.text("reason", reason);
        }
        if let Became::Events { events, skipped } = parsed.became {
            object.int("events", events);
            object.int("skipped", skipped);
        }
        object.int("took_us", parsed.took_us);
    });
}

fn record(
    topic: &str,
    kind: &str,
    message: &Message<'_>,
    out: &mut RecordBuf,
    rest: impl FnOnce(&mut Object<'_>),
) {
    let Message { lane, raw, opened } = message;
    out.begin(topic, raw.timestamp_ms);
    // What is known of a device stays in order, and in one partition.
    let key = opened.map_or("", |opened| &opened.envelope.device_id);
    out.key(|out| out.extend_from_slice(key.as_bytes()));
    out.value(|out| {
        let mut object = Object::begin(out);
        object.text("kind", kind);
        if let Some(opened) = opened {
            envelope(opened, &mut object);
        }
        object.text("lane", lane);
        let whole = || raw.value.map_or(0, <[u8]>::len) as u64;
        object.int("size", opened.map_or_else(whole, |opened| opened.envelope.payload_size));
        object.known("source");
        let mut source = Object::begin(object.out);
        source.text("topic", raw.topic);
        source.int("partition", raw.partition);
        source.int("offset", raw.offset);
        source.end();
        rest(&mut object);
        object.end();
    });
}

fn envelope(opened: &Opened, object: &mut Object<'_>) {
    let envelope = &opened.envelope;
    object.id("message_id", &opened.message_id);
    object.text("device_id", &envelope.device_id);
    object.bool("verified", opened.is_verified());
    for (name, known) in [
        ("device_type", &envelope.device_type),
        ("firmware_version", &envelope.firmware_version),
        ("group", &envelope.group),
        ("gateway_id", &envelope.gateway_id),
        ("dead_letter_reason", &envelope.dead_letter_reason),
    ] {
        if !known.is_empty() {
            object.text(name, known);
        }
    }
    object.text("topic", &envelope.source_topic);
    for (name, ms) in [
        ("received", Some(envelope.received_ms)),
        ("event_start", envelope.event_start_ms),
        ("event_end", envelope.event_end_ms),
    ] {
        if let Some(time) = ms.and_then(|ms| Timestamp::from_millisecond(ms).ok()) {
            object.time(name, time);
        }
    }
}

#[cfg(test)]
mod tests {
    use prost::Message as _;
    use proto::v1::Envelope;

    use super::*;

    fn value(record: &RecordBuf) -> serde_json::Value {
        serde_json::from_slice(record.as_record().value()).expect("it is JSON")
    }

    #[test]
    fn what_landed_and_what_became_of_it_have_the_same_id() {
        let envelope = Envelope {
            message_id: (0..16).collect(),
            device_id: "m-1".to_owned(),
            device_id_trust: 2,
            device_type: "meter".to_owned(),
            source_topic: "devices/meter/m-1/power".to_owned(),
            received_ms: 1_772_366_400_005,
            payload_size: 31,
            ..Envelope::default()
        };
        let encoded = envelope.encode_to_vec();
        let raw = Raw {
            topic: "landfall.fast",
            partition: 1,
            offset: 9,
            timestamp_ms: 1_772_366_400_006,
            key: None,
            value: Some(&encoded),
        };
        let mut opened = Opened::default();
        raw.open(&mut opened).expect("it is one");
        let message = Message { lane: "fast", raw: &raw, opened: Some(&opened) };
        let mut record = RecordBuf::default();
        landed("m", &message, &mut record);
        assert_eq!(record.as_record().key(), b"m-1");
        assert_eq!(record.as_record().timestamp_ms(), 1_772_366_400_006);
        let mut expected = serde_json::json!({
            "kind": "landed",
            "message_id": "00010203-0405-0607-0809-0a0b0c0d0e0f",
            "device_id": "m-1",
            "verified": true,
            "device_type": "meter",
            "topic": "devices/meter/m-1/power",
            "received": "2026-03-01T12:00:00.005Z",
            "lane": "fast",
            "size": 31,
            "source": {"topic": "landfall.fast", "partition": 1, "offset": 9},
        });
        assert_eq!(value(&record), expected);

        let became = Became::Events { events: 2, skipped: 1 };
        let how = Parsed { parser: Some(("readings", 3)), became, took_us: 12 };
        parsed("m", &message, &how, &mut record);
        let more = serde_json::json!({
            "kind": "parsed",
            "parser": "readings",
            "revision": 3,
            "outcome": "events",
            "events": 2,
            "skipped": 1,
            "took_us": 12,
        });
        let more = more.as_object().expect("an object").clone();
        expected.as_object_mut().expect("an object").extend(more);
        assert_eq!(value(&record), expected);
    }

    #[test]
    fn of_a_strangers_record_the_position_is_told() {
        let raw = Raw {
            topic: "landfall.fast",
            partition: 1,
            offset: 9,
            timestamp_ms: 77,
            key: None,
            value: Some(b"hello"),
        };
        let message = Message { lane: "fast", raw: &raw, opened: None };
        let how = Parsed { parser: None, became: Became::Quarantined("no_envelope"), took_us: 0 };
        let mut record = RecordBuf::default();
        parsed("m", &message, &how, &mut record);
        assert_eq!(record.as_record().timestamp_ms(), 77);
        let expected = serde_json::json!({
            "kind": "parsed",
            "lane": "fast",
            "size": 5,
            "source": {"topic": "landfall.fast", "partition": 1, "offset": 9},
            "outcome": "quarantined",
            "reason": "no_envelope",
            "took_us": 0,
        });
        assert_eq!(value(&record), expected);
    }
}
