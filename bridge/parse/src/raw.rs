//! A record of a raw topic: where it stands, and the envelope that it ought to hold. Whoever may write to the
//! topic may have written it. Pure.

use prost::Message as _;
use proto::v1::{Envelope, IdentityTrust};

use crate::failure::{Failure, Reason};

/// A record of a raw topic, borrowed.
#[derive(Clone, Copy)]
pub struct Raw<'a> {
    pub topic: &'a str,
    pub partition: i32,
    pub offset: i64,
    /// Milliseconds since 1970 UTC, as Kafka has it.
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
pub fn position(topic: &str, partition: i32, offset: i64) -> String {
    format!("{topic}/{partition}/{offset}")
}

impl Raw<'_> {
    pub fn to_owned(&self) -> RawBuf {
        RawBuf {
            offset: self.offset,
            timestamp_ms: self.timestamp_ms,
            key: self.key.map(Into::into),
            value: self.value.map(Into::into),
        }
    }

    /// The envelope, if it is one that a gateway may have written.
    pub fn envelope(&self) -> Result<Opened, Failure> {
        let none = |detail: String| Failure::new(Reason::NoEnvelope, detail);
        let value = self.value.ok_or_else(|| none("the record has no value".to_owned()))?;
        let envelope = Envelope::decode(value);
        let envelope = envelope.map_err(|error| none(format!("the record's value: {error}")))?;
        let id = <[u8; 16]>::try_from(envelope.message_id.as_slice());
        let message_id = id.map_err(|_| none("its message id has not 16 bytes".to_owned()))?;
        Ok(Opened { message_id, envelope })
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

/// An envelope that can be one.
pub struct Opened {
    pub message_id: [u8; 16],
    pub envelope: Envelope,
}

impl Opened {
    pub fn is_verified(&self) -> bool {
        self.envelope.device_id_trust == i32::from(IdentityTrust::Verified)
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
        for (value, why) in [
            (None, "has no value"),
            (Some(&b"{\"temperature\":21}"[..]), "the record's value"),
            (Some(&without_id[..]), "16 bytes"),
            (Some(&b""[..]), "16 bytes"),
        ] {
            let failure = raw(value).envelope().err().expect("it is none");
            assert_eq!(failure.reason, Reason::NoEnvelope);
            assert!(failure.detail.contains(why), "{failure}");
        }
        let envelope = Envelope { message_id: vec![7; 16], ..Envelope::default() }.encode_to_vec();
        assert_eq!(raw(Some(&envelope)).envelope().expect("it is one").message_id, [7; 16]);
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
