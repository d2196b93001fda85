//! A record of a canonical topic, in either of its formats, as far as it can be held against what a device
//! said. Pure.

use anyhow::Context as _;
use prost::Message as _;
use proto::v1::value::Kind;
use proto::v1::{self, IdentityTrust, TimeFlag, TimeSource};
use serde::Deserialize;
use serde_json::{Map, Value as Json};

use super::place::Place;
use crate::payload::rfc3339;

/// An event as it was written.
#[derive(Debug, PartialEq)]
pub struct Event {
    pub event_id: [u8; 16],
    pub message_id: [u8; 16],
    pub device_id: String,
    pub verified: bool,
    pub device_type: String,
    pub firmware_version: String,
    pub group: String,
    pub lane: String,
    pub received: String,
    pub time: String,
    pub time_from: String,
    pub time_flag: String,
    pub source: Place,
    pub parser: String,
    pub index: u64,
    pub fields: Map<String, Json>,
    pub types: Map<String, Json>,
}

/// An event as canonical JSON has it; what is empty is left out there.
#[derive(Deserialize)]
struct Written {
    event_id: String,
    message_id: String,
    device_id: String,
    verified: bool,
    #[serde(default)]
    device_type: String,
    #[serde(default)]
    firmware_version: String,
    #[serde(default)]
    group: String,
    lane: String,
    received: String,
    time: String,
    time_from: String,
    #[serde(default)]
    time_flag: String,
    source: Place,
    parser: String,
    index: u64,
    fields: Map<String, Json>,
    #[serde(default)]
    types: Map<String, Json>,
}

impl Event {
    /// Reads a record's value: JSON, or else the message of `event.proto`.
    pub fn read(value: &[u8]) -> anyhow::Result<Event> {
        match value.first() {
            Some(b'{') => Event::of_json(value),
            _ => Event::of_message(v1::Event::decode(value).context("no protobuf event")?),
        }
    }

    fn of_json(value: &[u8]) -> anyhow::Result<Event> {
        let written: Written = serde_json::from_slice(value).context("no canonical JSON")?;
        Ok(Event {
            event_id: id(&written.event_id).context("event_id")?,
            message_id: id(&written.message_id).context("message_id")?,
            device_id: written.device_id,
            verified: written.verified,
            device_type: written.device_type,
            firmware_version: written.firmware_version,
            group: written.group,
            lane: written.lane,
            received: written.received,
            time: written.time,
            time_from: written.time_from,
            time_flag: written.time_flag,
            source: written.source,
            parser: written.parser,
            index: written.index,
            fields: written.fields,
            types: written.types,
        })
    }

    fn of_message(event: v1::Event) -> anyhow::Result<Event> {
        let (mut fields, mut types) = (Map::new(), Map::new());
        for (name, value) in &event.fields {
            let (said, kind) =
                written(value.kind.as_ref().with_context(|| format!("{name}: nothing"))?);
            if let Some(kind) = kind {
                types.insert(format!("/{name}"), kind.into());
            }
            fields.insert(name.clone(), said);
        }
        let time_from = match event.time_source() {
            TimeSource::Payload => "payload",
            TimeSource::Received => "received",
            TimeSource::Unspecified => "",
        };
        let time_flag = match event.time_flag() {
            TimeFlag::None => "",
            other => other.as_str_name(),
        };
        let verified = event.device_id_trust() == IdentityTrust::Verified;
        let source = event.source.context("no source")?;
        Ok(Event {
            event_id: event.event_id[..].try_into().context("event_id")?,
            message_id: event.message_id[..].try_into().context("message_id")?,
            device_id: event.device_id,
            verified,
            device_type: event.device_type,
            firmware_version: event.firmware_version,
            group: event.group,
            lane: event.lane,
            received: rfc3339(event.received_ms),
            time: rfc3339(
                event.time.map_or(0, |at| at.seconds * 1000 + i64::from(at.nanos) / 1_000_000),
            ),
            time_from: time_from.to_owned(),
            time_flag: time_flag.to_owned(),
            source: Place {
                topic: source.topic,
                partition: source.partition,
                offset: source.offset,
            },
            parser: event.parser,
            index: event.index,
            fields,
            types,
        })
    }
}

/// A value as canonical JSON has it, with its type where JSON does not tell it. Devices of this fleet have no
/// maps, times and bytes, and in lists nothing but integers.
fn written(kind: &Kind) -> (Json, Option<&'static str>) {
    match kind {
        Kind::NullValue(_) => (Json::Null, None),
        Kind::BoolValue(value) => ((*value).into(), None),
        Kind::IntValue(value) => ((*value).into(), None),
        Kind::FloatValue(value) => ((*value).into(), None),
        Kind::TextValue(text) => (text.as_str().into(), None),
        Kind::DecimalValue(text) => (text.as_str().into(), Some("decimal")),
        Kind::ListValue(list) => {
            let kinds = list.values.iter().filter_map(|value| value.kind.as_ref());
            (kinds.map(|kind| written(kind).0).collect(), None)
        }
        other => (format!("{other:?}").into(), Some("other")),
    }
}

/// An id as UUIDs are written.
pub fn id(text: &str) -> anyhow::Result<[u8; 16]> {
    let is_between = |at| matches!(at, 8 | 13 | 18 | 23);
    let right = text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match byte {
            b'-' => is_between(at),
            _ => byte.is_ascii_hexdigit() && !is_between(at),
        });
    anyhow::ensure!(right, "{text:?} is no UUID");
    let digits = text.replace('-', "");
    let mut id = [0; 16];
    for (at, byte) in id.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&digits[2 * at..2 * at + 2], 16)?;
    }
    Ok(id)
}

/// The id of an event: what `event.proto` says it is a function of, computed here on our own.
pub fn event_id(message_id: &[u8; 16], parser: &str, index: u64) -> [u8; 16] {
    let mut hasher = blake3::Hasher::new();
    for part in [&message_id[..], parser.as_bytes()] {
        hasher.update(&(part.len() as u64).to_le_bytes()).update(part);
    }
    hasher.update(&index.to_le_bytes());
    let mut id = [0; 16];
    id.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    // RFC 9562, 5.8: version 8.
    id[6] = 0x80 | (id[6] & 0x0f);
    id[8] = 0x80 | (id[8] & 0x3f);
    id
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::hex;

    /// Consumers know events of years by these.
    #[test]
    fn ids_are_those_of_the_parse_role() {
        assert_eq!(
            hex(&event_id(b"0123456789abcdef", "readings", 0)),
            "cafe5ebce0dc80b68afea5da4707e82d"
        );
        let text = "01971112-1314-7516-9718-191a1b1c1d1e";
        assert_eq!(hex(&id(text).unwrap()), text.replace('-', ""));
        for text in [
            "",
            "01971112",
            "01971112-1314-7516-9718-191a1b1c1d1g",
            "019711121-314-7516-9718-191a1b1c1d1e",
        ] {
            assert!(id(text).is_err(), "{text}");
        }
    }

    #[test]
    fn both_formats_are_one_event() {
        let json = r#"{"event_id":"cafe5ebc-e0dc-80b6-8afe-a5da4707e82d","message_id":"30313233-3435-3637-3839-616263646566",
            "device_id":"m-1","verified":true,"device_type":"meter","lane":"fast","received":"2026-03-01T12:00:00.123Z",
            "time":"2026-02-03T20:14:05.000Z","time_from":"payload","source":{"topic":"landfall.fast","partition":3,"offset":42},
            "parser":"readings","revision":1,"index":0,
            "fields":{"power_w":1234.5,"level":3,"energy_kwh":"10.500","silent":null,"on":true,"wave":[1,-2]},"types":{"/energy_kwh":"decimal"}}"#;
        let field = |name: &str, kind| (name.to_owned(), v1::Value { kind: Some(kind) });
        let int = |value| v1::Value { kind: Some(Kind::IntValue(value)) };
        let message = v1::Event {
            event_id: event_id(b"0123456789abcdef", "readings", 0).to_vec(),
            message_id: b"0123456789abcdef".to_vec(),
            device_id: "m-1".to_owned(),
            device_id_trust: IdentityTrust::Verified.into(),
            device_type: "meter".to_owned(),
            lane: "fast".to_owned(),
            received_ms: 1_772_366_400_123,
            time: Some(v1::Timestamp { seconds: 1_770_149_645, nanos: 0 }),
            time_source: TimeSource::Payload.into(),
            source: Some(v1::Position {
                topic: "landfall.fast".to_owned(),
                partition: 3,
                offset: 42,
            }),
            parser: "readings".to_owned(),
            revision: 1,
            fields: [
                field("power_w", Kind::FloatValue(1234.5)),
                field("level", Kind::IntValue(3)),
                field("energy_kwh", Kind::DecimalValue("10.500".to_owned())),
                field("silent", Kind::NullValue(0)),
                field("on", Kind::BoolValue(true)),
                field("wave", Kind::ListValue(v1::List { values: [1, -2].map(int).into() })),
            ]
            .into(),
            ..v1::Event::default()
        };
        let read = Event::read(json.as_bytes()).unwrap();
        assert_eq!(read, Event::read(&message.encode_to_vec()).unwrap());
        assert_eq!(read.fields["power_w"], 1234.5);
        assert!(Event::read(b"{}").is_err() && Event::read(b"\xff").is_err());
    }
}
