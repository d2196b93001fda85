//! An event: one record of a message, with typed fields, its time, and an id that stays the same however
//! often the message is parsed.

use std::borrow::Cow;

use crate::fields::Fields;
use crate::time::EventTime;

/// One event of a message, as its parser makes it. What every event of the message has besides is
/// [`crate::facts::Facts`] and the envelope.
#[derive(Clone, Debug, PartialEq)]
pub struct Event<'a> {
    /// The record's place in the payload, from 0; bad records that are left out are counted too, so that ids
    /// stay when a parser is corrected.
    pub index: u64,
    pub time: EventTime,
    /// Who it is about, where payload or topic say so. Never verified.
    pub device_id: Option<Cow<'a, str>>,
    pub fields: Fields<'a>,
}

impl Event<'_> {
    pub fn into_owned(self) -> Event<'static> {
        let field = |(name, value): (Cow<'_, str>, crate::value::Value<'_>)| {
            (Cow::Owned(name.into_owned()), value.into_owned())
        };
        Event {
            index: self.index,
            time: self.time,
            device_id: self.device_id.map(|id| Cow::Owned(id.into_owned())),
            fields: self.fields.into_iter().map(field).collect(),
        }
    }

    /// Bytes of its names and values, as the limit on an event's size counts them.
    pub fn weight(&self) -> usize {
        let field = |(name, value): &(Cow<'_, str>, crate::value::Value<'_>)| {
            size_of::<crate::value::Value<'_>>() + name.len() + value.weight()
        };
        self.fields.iter().map(field).sum()
    }
}

/// The id of an event: a function of the message's id, the parser's name and the record's place, so that a
/// record that is written twice is recognised, and a corrected parser writes the same ids.
pub fn event_id(message_id: &[u8], parser: &str, index: u64) -> [u8; 16] {
    let mut hasher = blake3::Hasher::new();
    for part in [message_id, parser.as_bytes()] {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    hasher.update(&index.to_le_bytes());
    let mut id = [0; 16];
    id.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    // A UUID whose bits are our own (RFC 9562, 5.8): version 8.
    id[6] = 0x80 | (id[6] & 0x0f);
    id[8] = 0x80 | (id[8] & 0x3f);
    id
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What was written once stays: consumers know events of years by these.
    #[test]
    fn ids_never_change() {
        let hex = |id: [u8; 16]| id.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let message = *b"0123456789abcdef";
        assert_eq!(hex(event_id(&message, "readings", 0)), "cafe5ebce0dc80b68afea5da4707e82d");
        let others = [
            event_id(&message, "readings", 0),
            event_id(&message, "readings", 1),
            event_id(&message, "reading", 0),
            event_id(b"0123456789abcdeg", "readings", 0),
            event_id(b"0123456789abcdefr", "eadings", 0),
        ];
        let distinct: std::collections::BTreeSet<_> = others.iter().collect();
        assert_eq!(distinct.len(), others.len());
    }
}
