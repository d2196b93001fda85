//! Events as protobuf: the message of `proto/landfall/v1/event.proto`, made of an event and its context.

use jiff::Timestamp;
use prost::Message as _;
use proto::v1::value::Kind;
use proto::v1::{self, IdentityTrust, NullValue};

use super::Context;
use crate::event::Event;
use crate::time::{TimeFlag, TimeSource};
use crate::value::Value;

/// Appends the event to `out`.
pub fn write(context: &Context<'_>, event: &Event<'_>, out: &mut Vec<u8>) {
    message(context, event).encode(out).expect("memory takes everything");
}

/// The message of an event.
pub fn message(context: &Context<'_>, event: &Event<'_>) -> v1::Event {
    let identity = context.identity(event);
    let sender = identity.sender;
    let field = |(name, value): &(std::borrow::Cow<'_, str>, Value<'_>)| {
        (name.to_string(), of_value(value))
    };
    v1::Event {
        event_id: context.event_id(event).to_vec(),
        message_id: context.message_id.to_vec(),
        device_id: identity.device_id.to_owned(),
        device_id_trust: trust(identity.verified).into(),
        sender: sender.map_or(String::new(), |(sender, _)| sender.to_owned()),
        sender_trust: sender.map_or(IdentityTrust::Unspecified, |(_, proved)| trust(proved)).into(),
        device_type: context.device_type.to_owned(),
        firmware_version: context.firmware_version.to_owned(),
        group: context.group.to_owned(),
        lane: context.lane.to_owned(),
        received_ms: context.facts.received_ms,
        time: Some(of_time(event.time.at)),
        time_source: source(event.time.source).into(),
        time_flag: flag(event.time.flag).into(),
        time_offset_ns: event.time.offset_ns,
        source: Some(v1::Position {
            topic: context.topic.to_owned(),
            partition: context.partition,
            offset: context.offset,
        }),
        parser: context.parser.to_owned(),
        revision: context.revision,
        index: event.index,
        fields: event.fields.iter().map(field).collect(),
    }
}

pub(super) fn trust(is_verified: bool) -> IdentityTrust {
    if is_verified { IdentityTrust::Verified } else { IdentityTrust::Claimed }
}

pub(super) fn source(source: TimeSource) -> v1::TimeSource {
    match source {
        TimeSource::Payload => v1::TimeSource::Payload,
        TimeSource::Received => v1::TimeSource::Received,
    }
}

pub(super) fn flag(flag: Option<TimeFlag>) -> v1::TimeFlag {
    match flag {
        None => v1::TimeFlag::None,
        Some(TimeFlag::OutOfRange) => v1::TimeFlag::OutOfRange,
        Some(TimeFlag::NoSuchTime) => v1::TimeFlag::NoSuchTime,
        Some(TimeFlag::NotValid) => v1::TimeFlag::NotValid,
    }
}

pub(super) fn of_time(time: Timestamp) -> v1::Timestamp {
    let (mut seconds, mut nanos) = (time.as_second(), time.subsec_nanosecond());
    // Protobuf counts fractions forward, before 1970 too.
    if nanos < 0 {
        (seconds, nanos) = (seconds - 1, nanos + 1_000_000_000);
    }
    v1::Timestamp { seconds, nanos }
}

fn of_value(value: &Value<'_>) -> v1::Value {
    let kind = match value {
        Value::Null => Kind::NullValue(NullValue::NullValue.into()),
        Value::Bool(value) => Kind::BoolValue(*value),
        Value::Int(value) => Kind::IntValue(*value),
        Value::Double(value) => Kind::FloatValue(*value),
        Value::Decimal(digits) => Kind::DecimalValue(digits.to_string()),
        Value::Text(text) => Kind::TextValue(text.to_string()),
        Value::Bytes(bytes) => Kind::BytesValue(bytes.to_vec()),
        Value::Time(time) => Kind::TimeValue(of_time(*time)),
        Value::List(items) => {
            Kind::ListValue(v1::List { values: items.iter().map(of_value).collect() })
        }
        Value::Map(entries) => {
            let entry = |(name, value): &(std::borrow::Cow<'_, str>, Value<'_>)| {
                (name.to_string(), of_value(value))
            };
            Kind::MapValue(v1::Map { values: entries.iter().map(entry).collect() })
        }
    };
    v1::Value { kind: Some(kind) }
}
