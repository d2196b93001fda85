//! Events as they are written to canonical topics, in either of their formats: protobuf
//! (`proto/landfall/v1/event.proto`), and JSON that says the same. Pure.
//!
//! The JSON of an event is one object. Its `fields` are what people expect of JSON: integers whole, nulls
//! kept, decimals, bytes (base64) and times (RFC 3339) as texts; `types` says of what JSON alone would not
//! tell which type it has, by its pointer within the fields (RFC 6901), such as `/position/altitude`.

use crate::event::{Event, event_id};
use crate::facts::Facts;
use crate::time::{TimeFlag, TimeSource};

pub mod json;
pub(crate) mod object;
pub mod protobuf;
pub mod read;
pub(crate) mod scalar;
pub mod whole;

/// What every event of a message has besides its own.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    pub facts: &'a Facts<'a>,
    pub message_id: [u8; 16],
    pub device_type: &'a str,
    pub firmware_version: &'a str,
    pub group: &'a str,
    pub lane: &'a str,
    /// Where the raw message is.
    pub topic: &'a str,
    pub partition: i32,
    pub offset: i64,
    pub parser: &'a str,
    pub revision: u32,
}

/// Who an event is about, and who sent it.
struct Identity<'a> {
    device_id: &'a str,
    verified: bool,
    /// Who sent the message, and whether that was proved, where that is told apart.
    sender: Option<(&'a str, bool)>,
}

impl<'a> Context<'a> {
    pub(crate) fn event_id(&self, event: &Event<'_>) -> [u8; 16] {
        event_id(&self.message_id, self.parser, event.index)
    }

    /// A device id of the payload is never verified.
    fn identity<'e>(&self, event: &'e Event<'_>) -> Identity<'e>
    where
        'a: 'e,
    {
        match &event.device_id {
            Some(id) => {
                let sent = (self.facts.device_id, self.facts.verified);
                Identity { device_id: id, verified: false, sender: Some(sent) }
            }
            None => self.own_identity(),
        }
    }

    /// That of events which name nobody else.
    fn own_identity(&self) -> Identity<'a> {
        let Facts { device_id, verified, .. } = *self.facts;
        Identity { device_id, verified, sender: None }
    }
}

fn source_of(label: &str) -> Option<TimeSource> {
    [TimeSource::Payload, TimeSource::Received].into_iter().find(|one| one.label() == label)
}

fn flag_of(label: &str) -> Option<TimeFlag> {
    let all = [TimeFlag::OutOfRange, TimeFlag::NoSuchTime, TimeFlag::NotValid];
    all.into_iter().find(|one| one.label() == label)
}

#[cfg(test)]
mod tests;
