//! A record of a raw topic: where it stands, and the envelope that it ought to hold. Whoever may write to the
//! topic may have written it. Pure.

use jiff::Timestamp;
use prost::Message as _;
use proto::v1::envelope;
use proto::v1::{Envelope, IdentityTrust, Reference};

use crate::canonical::scalar::write_int;
use crate::failure::{Failure, Reason};

mod wire;

/// Buffers of an envelope that are kept for the next: those of one whose record has more bytes are let go.
const KEPT_MAX_BYTES: usize = 64 * 1024;

/// A record of a raw topic, borrowed.
#[derive(Clone, Copy)]
pub struct Raw<'a> {
    pub topic: &'a str,
    pub partition: i32,
    pub offset: i64,
    /// Milliseconds since 1970 UTC, as Kafka has it. Records that are made of this one have the same: what the
    /// envelope says may be a stranger's, and Kafka takes none of tomorrow.
    pub timestamp_ms: i64,
    pub key: Option<&'a [u8]>,
    /// None: a tombstone, which is no envelope.
    pub value: Option<&'a [u8]>,
}

/// A record of a raw topic that waits for its turn.
pub struct RawBuf {
    pub offset: i64,
    pub timestamp_ms: i64,
    key: Option<Box<[u8]>>,
    value: Option<Box<[u8]>>,
}

/// Where a record stands, as it is written in headers: TOPIC/PARTITION/OFFSET.
pub fn write_position(topic: &str, partition: i32, offset: i64, out: &mut Vec<u8>) {
    out.extend_from_slice(topic.as_bytes());
    out.push(b'/');
    write_int(partition, out);
    out.push(b'/');
    write_int(offset, out);
}

impl Raw<'_> {
    /// Bytes of its key and its value.
    pub fn bytes(&self) -> usize {
        self.key.map_or(0, <[u8]>::len) + self.value.map_or(0, <[u8]>::len)
    }

    pub fn to_owned(&self) -> RawBuf {
        RawBuf {
            offset: self.offset,
            timestamp_ms: self.timestamp_ms,
            key: self.key.map(Into::into),
            value: self.value.map(Into::into),
        }
    }

    /// Reads the envelope, if it is one that a gateway may have written, into buffers that are there.
    pub fn open(&self, opened: &mut Opened) -> Result<(), Failure> {
        let none = |detail: String| Failure::new(Reason::NoEnvelope, detail);
        opened.clear();
        let value = self.value.ok_or_else(|| none("the record has no value".to_owned()))?;
        let Opened { envelope, inline, message_id } = opened;
        *inline = wire::only_inline(value);
        let read = match inline {
            // What the payload is in front of and behind is an envelope without one.
            Some(wire::Inline { field, .. }) => {
                envelope.merge(&value[..field.start]).and(envelope.merge(&value[field.end..]))
            }
            None => envelope.merge(value),
        };
        read.map_err(|error| none(format!("the record's value: {error}")))?;
        let id = <[u8; 16]>::try_from(envelope.message_id.as_slice());
        *message_id = id.map_err(|_| none("its message id has not 16 bytes".to_owned()))?;
        let received = Timestamp::from_millisecond(envelope.received_ms);
        received.map_err(|error| none(format!("its time of receipt: {error}")))?;
        Ok(())
    }
}

impl RawBuf {
    /// The record as it was read from that partition.
    pub fn at<'a>(&'a self, topic: &'a str, partition: i32) -> Raw<'a> {
        Raw {
            topic,
            partition,
            offset: self.offset,
            timestamp_ms: self.timestamp_ms,
            key: self.key.as_deref(),
            value: self.value.as_deref(),
        }
    }

    /// Bytes that it holds.
    pub fn bytes(&self) -> usize {
        self.key.as_ref().map_or(0, |key| key.len())
            + self.value.as_ref().map_or(0, |value| value.len())
    }
}

/// An envelope that can be one. Its buffers are used again for the next.
#[derive(Default)]
pub struct Opened {
    pub message_id: [u8; 16],
    /// Without the payload where that is `inline`.
    pub envelope: Envelope,
    /// Where in the record's value the payload is: it is not copied.
    inline: Option<wire::Inline>,
}

/// What an envelope carries.
#[derive(Clone, Copy, Debug)]
pub enum Payload<'a> {
    Inline(&'a [u8]),
    Reference(&'a Reference),
}

impl Opened {
    pub fn is_verified(&self) -> bool {
        self.envelope.device_id_trust == i32::from(IdentityTrust::Verified)
    }

    /// The payload of the record that it was read from.
    pub fn payload<'a>(&'a self, raw: &Raw<'a>) -> Option<Payload<'a>> {
        if let Some(wire::Inline { payload, .. }) = &self.inline {
            return Some(Payload::Inline(&raw.value?[payload.clone()]));
        }
        match self.envelope.payload.as_ref()? {
            envelope::Payload::Inline(payload) => Some(Payload::Inline(payload)),
            envelope::Payload::Reference(reference) => Some(Payload::Reference(reference)),
        }
    }

    /// Forgets the record, of so many bytes; what a short one made is kept for the next.
    pub fn let_go(&mut self, bytes: usize) {
        if bytes > KEPT_MAX_BYTES {
            *self = Opened::default();
        }
    }

    fn clear(&mut self) {
        self.envelope.clear();
        self.inline = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw<'a>(value: Option<&'a [u8]>) -> Raw<'a> {
        Raw { topic: "fast", partition: 0, offset: 7, timestamp_ms: 42, key: None, value }
    }

    #[test]
    fn what_is_no_envelope_says_why() {
        let without_id = Envelope { device_id: "m-1".to_owned(), ..Envelope::default() };
        let without_id = without_id.encode_to_vec();
        let never =
            Envelope { message_id: vec![7; 16], received_ms: i64::MAX, ..Envelope::default() };
        let never = never.encode_to_vec();
        for (value, why) in [
            (None, "has no value"),
            (Some(&b"{\"temperature\":21}"[..]), "the record's value"),
            (Some(&without_id[..]), "16 bytes"),
            (Some(&b""[..]), "16 bytes"),
            (Some(&never[..]), "its time of receipt"),
        ] {
            let failure = raw(value).open(&mut Opened::default()).expect_err("it is none");
            assert_eq!(failure.reason, Reason::NoEnvelope);
            assert!(failure.detail.contains(why), "{failure}");
        }
        let envelope = Envelope { message_id: vec![7; 16], ..Envelope::default() }.encode_to_vec();
        let mut opened = Opened::default();
        raw(Some(&envelope)).open(&mut opened).expect("it is one");
        assert_eq!(opened.message_id, [7; 16]);
        assert!(opened.payload(&raw(Some(&envelope))).is_none());
    }

    fn envelope(payload: Option<envelope::Payload>) -> Envelope {
        let property =
            |name: &str| proto::v1::UserProperty { name: name.to_owned(), ..Default::default() };
        Envelope {
            message_id: vec![7; 16],
            device_id: "m-1".to_owned(),
            user_properties: vec![property("a"), property("b")],
            event_start_ms: Some(5),
            payload,
            ..Envelope::default()
        }
    }

    /// Everything is as the whole decoder has it, whatever was read before.
    #[test]
    fn nothing_of_an_envelope_is_left_for_the_next() {
        let inline = |bytes: &[u8]| Some(envelope::Payload::Inline(bytes.to_vec().into()));
        let reference = Reference { uri: "s3://bucket/key".to_owned(), ..Reference::default() };
        let mut twice = envelope(inline(b"first")).encode_to_vec();
        twice
            .extend(Envelope { payload: inline(b"second"), ..Envelope::default() }.encode_to_vec());
        let mut both = envelope(inline(b"first")).encode_to_vec();
        let other = Some(envelope::Payload::Reference(reference.clone()));
        both.extend(Envelope { payload: other.clone(), ..Envelope::default() }.encode_to_vec());
        // Somebody's field that we do not know, behind the payload.
        let mut unknown = envelope(inline(b"payload")).encode_to_vec();
        unknown.extend([0xc2, 0x3e, 3, b'x', b'y', b'z']);
        let records = [
            envelope(inline(b"payload")).encode_to_vec(),
            Envelope { message_id: vec![8; 16], ..Envelope::default() }.encode_to_vec(),
            envelope(inline(b"")).encode_to_vec(),
            envelope(other).encode_to_vec(),
            envelope(None).encode_to_vec(),
            twice,
            both,
            unknown,
        ];
        let mut opened = Opened::default();
        for value in &records {
            let record = raw(Some(value));
            record.open(&mut opened).expect("it is one");
            let whole = Envelope::decode(&value[..]).expect("it is one");
            match (opened.payload(&record), &whole.payload) {
                (None, None) => {}
                (Some(Payload::Inline(one)), Some(envelope::Payload::Inline(other))) => {
                    assert_eq!(one, &other[..]);
                }
                (Some(Payload::Reference(one)), Some(envelope::Payload::Reference(other))) => {
                    assert_eq!(one, other);
                }
                (one, other) => panic!("{one:?} is not {other:?}"),
            }
            let without = |envelope: &Envelope| Envelope { payload: None, ..envelope.clone() };
            assert_eq!(without(&opened.envelope), without(&whole));
        }
        // Cut anywhere, both say the same.
        for end in 0..records[0].len() {
            let cut = &records[0][..end];
            let is_one = raw(Some(cut)).open(&mut opened).is_ok();
            let whole = Envelope::decode(cut).is_ok_and(|whole| whole.message_id.len() == 16);
            assert_eq!(is_one, whole, "{end}");
        }
    }

    #[test]
    fn a_record_that_waits_is_the_same_afterwards() {
        let record = Raw { key: Some(b"m-1"), ..raw(Some(b"value")) };
        let waits = record.to_owned();
        let again = waits.at("fast", 0);
        assert_eq!((again.offset, again.key, again.value), (7, record.key, record.value));
        assert_eq!(waits.bytes(), 8);
    }
}
