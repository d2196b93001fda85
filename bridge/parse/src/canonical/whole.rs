//! An event out of its protobuf message, so that who reads a canonical topic can show it, and write it as
//! JSON. Pure.

use std::borrow::Cow;

use jiff::Timestamp;
use proto::v1::value::Kind;
use proto::v1::{self, IdentityTrust};

use super::Context;
use crate::event::Event;
use crate::facts::Facts;
use crate::time::{EventTime, TimeFlag, TimeSource};
use crate::value::Value;

/// An event with everything that is known of its message.
#[derive(Debug)]
pub struct Whole<'m> {
    pub event: Event<'m>,
    message: &'m v1::Event,
    source: &'m v1::Position,
    message_id: [u8; 16],
    facts: Facts<'m>,
}

impl<'m> Whole<'m> {
    /// Takes a message apart, or says what is wrong with it.
    pub fn read(message: &'m v1::Event) -> Result<Whole<'m>, String> {
        let is_verified = |trust: IdentityTrust| trust == IdentityTrust::Verified;
        // Who sent the message is told apart where the payload named another.
        let (device_id, sender, verified) = match message.sender_trust() {
            IdentityTrust::Unspecified => {
                (None, message.device_id.as_str(), is_verified(message.device_id_trust()))
            }
            trust => (
                Some(Cow::Borrowed(message.device_id.as_str())),
                message.sender.as_str(),
                is_verified(trust),
            ),
        };
        let time = EventTime {
            at: time(message.time.as_ref().ok_or("the event has no time")?)?,
            source: match message.time_source() {
                v1::TimeSource::Payload => TimeSource::Payload,
                v1::TimeSource::Received => TimeSource::Received,
                v1::TimeSource::Unspecified => {
                    return Err("where its time is from is not said".into());
                }
            },
            flag: match message.time_flag() {
                v1::TimeFlag::None => None,
                v1::TimeFlag::OutOfRange => Some(TimeFlag::OutOfRange),
                v1::TimeFlag::NoSuchTime => Some(TimeFlag::NoSuchTime),
                v1::TimeFlag::NotValid => Some(TimeFlag::NotValid),
            },
            offset_ns: message.time_offset_ns,
        };
        let received = Timestamp::from_millisecond(message.received_ms);
        received.map_err(|error| format!("received_ms: {error}"))?;
        let id = message.message_id.as_slice();
        Ok(Whole {
            event: Event {
                index: message.index,
                time,
                device_id,
                fields: fields(&message.fields)?,
            },
            message,
            source: message.source.as_ref().ok_or("the event has no source")?,
            message_id: id.try_into().map_err(|_| "the id of its message has not 16 bytes")?,
            facts: Facts {
                topic: "",
                received_ms: message.received_ms,
                device_id: sender,
                verified,
                attributes: &[],
            },
        })
    }

    pub fn context(&self) -> Context<'_> {
        Context {
            facts: &self.facts,
            message_id: self.message_id,
            device_type: &self.message.device_type,
            firmware_version: &self.message.firmware_version,
            group: &self.message.group,
            lane: &self.message.lane,
            topic: &self.source.topic,
            partition: self.source.partition,
            offset: self.source.offset,
            parser: &self.message.parser,
            revision: self.message.revision,
        }
    }
}

type Written = std::collections::BTreeMap<String, v1::Value>;

fn fields(written: &Written) -> Result<Vec<(Cow<'_, str>, Value<'_>)>, String> {
    let field = |(name, value)| {
        let value = typed(value).map_err(|fault| format!("{name}: {fault}"))?;
        Ok((Cow::Borrowed(String::as_str(name)), value))
    };
    written.iter().map(field).collect()
}

/// Recursive by the value's depth, which protobuf's own reader limits.
fn typed(value: &v1::Value) -> Result<Value<'_>, String> {
    let kind = value.kind.as_ref().ok_or("it has no value, or one of a later version")?;
    Ok(match kind {
        Kind::NullValue(_) => Value::Null,
        Kind::BoolValue(value) => Value::Bool(*value),
        Kind::IntValue(value) => Value::Int(*value),
        Kind::FloatValue(value) => Value::Double(*value),
        Kind::DecimalValue(digits) => Value::Decimal(Cow::Borrowed(digits)),
        Kind::TextValue(text) => Value::Text(Cow::Borrowed(text)),
        Kind::BytesValue(bytes) => Value::Bytes(Cow::Borrowed(bytes)),
        Kind::TimeValue(at) => Value::Time(time(at)?),
        Kind::ListValue(list) => {
            Value::List(list.values.iter().map(typed).collect::<Result<_, _>>()?)
        }
        Kind::MapValue(map) => Value::Map(fields(&map.values)?),
    })
}

fn time(written: &v1::Timestamp) -> Result<Timestamp, String> {
    Timestamp::new(written.seconds, written.nanos).map_err(|error| error.to_string())
}
