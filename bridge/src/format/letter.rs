//! Dead letters, which always fit: whatever a device made too large in a message that can never land in
//! its lane is left out or shortened, and the letter says what that was.
//!
//! User properties go first, then the longest texts are cut.

use bytes::Bytes;
use metrics::counter;
use prost::Message as _;
use proto::v1::envelope::Payload;
use proto::v1::{Cut, Envelope};
use sha2::{Digest as _, Sha256};

use super::{Body, envelope};
use crate::metrics::DEAD_LETTER_CUTS;
use crate::objects;
use crate::record::{HEAD_ROOM_BYTES, REFERENCE_MAX_BYTES, Record, RecordBuf};

/// A letter that is larger without its payload, in bytes, is cut until it is not: a reference to the
/// payload still fits beside it.
const HEAD_MAX_BYTES: usize = (HEAD_ROOM_BYTES - REFERENCE_MAX_BYTES) as usize;
/// Bytes that are left of a text that is cut.
const TEXT_KEPT_BYTES: usize = 1024;
/// What can be cut, as the label of its metric says.
pub(crate) const CUT_PARTS: [&str; 2] = [TEXTS, PAYLOAD];
const TEXTS: &str = "texts";
const PAYLOAD: &str = "payload";

/// A record that its own lane can never land, as a dead letter.
pub(crate) struct Letter {
    /// Without its payload.
    envelope: Envelope,
    key: Vec<u8>,
    payload: Option<Payload>,
}

impl Letter {
    /// None for a record that is no envelope.
    pub(super) fn of_envelope(record: Record<'_>, reason: &str) -> Option<Letter> {
        let mut envelope = Envelope::decode(record.value()).ok()?;
        envelope.dead_letter_reason = envelope::reason_text(reason).into_owned();
        let payload = envelope.payload.take();
        Some(Letter { envelope, key: record.key().to_vec(), payload })
    }

    /// The payload, where the record holds it.
    pub fn inline(&self) -> Option<&Bytes> {
        match &self.payload {
            Some(Payload::Inline(payload)) => Some(payload),
            Some(Payload::Reference(_)) | None => None,
        }
    }

    /// The key of an object that takes the payload.
    pub fn object_key(&self) -> String {
        let Envelope { lane, received_ms, gateway_id, message_id, .. } = &self.envelope;
        // Sixteen bytes, as every gateway writes them.
        let message_id = message_id.as_slice().try_into().unwrap_or_default();
        objects::payload_key(lane, *received_ms, gateway_id, message_id)
    }

    /// The record, for this topic and time; with the payload as `body` says, or as it was.
    pub fn write(&self, topic: &str, timestamp_ms: i64, body: Option<Body<'_>>) -> RecordBuf {
        let mut record = write(topic, timestamp_ms, &self.envelope, &self.key);
        fit(&mut record);
        record.value(|out| match (body, &self.payload) {
            (Some(body), _) => envelope::write_body(body, out),
            (None, Some(payload)) => payload.encode(out),
            (None, None) => {}
        });
        record
    }
}

/// Cuts a dead letter to which only its payload will be added, if it is too large. This is the one place
/// that decides so, for what never went to its lane and for what Kafka refused there.
pub(super) fn fit(record: &mut RecordBuf) {
    let letter = record.as_record();
    if letter.len() <= HEAD_MAX_BYTES {
        return;
    }
    let mut envelope = Envelope::decode(letter.value()).expect("it was written as an envelope");
    let mut key = letter.key().to_vec();
    let rest = letter.len() - letter.value().len() - key.len();
    cut(&mut envelope, &mut key, rest);
    *record = write(letter.topic(), letter.timestamp_ms(), &envelope, &key);
}

fn write(topic: &str, timestamp_ms: i64, envelope: &Envelope, key: &[u8]) -> RecordBuf {
    let mut letter = RecordBuf::default();
    letter.begin(topic, timestamp_ms);
    envelope::write_headers(&envelope.dead_letter_reason, &mut letter);
    letter.key(|out| out.extend_from_slice(key));
    letter.value(|out| envelope.encode(out).expect("a vector has room"));
    letter
}

/// Says of a payload what is left of it where nothing takes it.
pub(super) fn cut_payload(payload: &[u8]) -> Cut {
    counter!(DEAD_LETTER_CUTS, "part" => PAYLOAD).increment(1);
    said_of(PAYLOAD, payload.len(), Sha256::digest(payload).to_vec())
}

fn said_of(field: &str, size: usize, sha256: Vec<u8>) -> Cut {
    Cut { field: field.to_owned(), size: size as u64, sha256 }
}

/// Cuts what a device chose, until the letter fits; `rest` is what its topic and headers take, in bytes.
fn cut(envelope: &mut Envelope, key: &mut Vec<u8>, rest: usize) {
    counter!(DEAD_LETTER_CUTS, "part" => TEXTS).increment(1);
    let properties = std::mem::take(&mut envelope.user_properties);
    if !properties.is_empty() {
        let (mut size, mut hasher) = (0, Sha256::new());
        for text in properties.iter().flat_map(|pair| [&pair.name, &pair.value]) {
            size += text.len();
            hasher.update(text);
            hasher.update([0]);
        }
        envelope.cut.push(said_of("user_properties", size, hasher.finalize().to_vec()));
    }
    while envelope.encoded_len() + key.len() + rest > HEAD_MAX_BYTES {
        let texts = [
            ("source_topic", &mut envelope.source_topic),
            ("device_id", &mut envelope.device_id),
            ("device_type", &mut envelope.device_type),
            ("firmware_version", &mut envelope.firmware_version),
            ("group", &mut envelope.group),
            ("content_type", &mut envelope.content_type),
            ("traceparent", &mut envelope.traceparent),
            ("tracestate", &mut envelope.tracestate),
        ];
        let longest = texts.into_iter().max_by_key(|(_, text)| text.len());
        let (field, text) = longest.expect("there are eight");
        let said = match text.len() >= key.len() {
            true => {
                let said = said_of(field, text.len(), Sha256::digest(&*text).to_vec());
                text.truncate(text.floor_char_boundary(TEXT_KEPT_BYTES));
                said
            }
            false => {
                let said = said_of("key", key.len(), Sha256::digest(&*key).to_vec());
                // A key is UTF-8, and stays so.
                let kept = key[..TEXT_KEPT_BYTES.min(key.len())]
                    .utf8_chunks()
                    .next()
                    .map_or(0, |chunk| chunk.valid().len());
                key.truncate(kept);
                said
            }
        };
        envelope.cut.push(said);
    }
}

#[cfg(test)]
mod tests {
    use proto::v1::UserProperty;

    use super::*;

    fn sha256(bytes: &[u8]) -> Vec<u8> {
        Sha256::digest(bytes).to_vec()
    }

    /// The letter that comes of an envelope without a payload, and its key.
    fn fitted(envelope: &Envelope, key: &str) -> (Envelope, Vec<u8>) {
        let mut record = write(&"t".repeat(249), 0, envelope, key.as_bytes());
        fit(&mut record);
        let record = record.as_record();
        assert!(record.len() <= HEAD_MAX_BYTES, "{}", record.len());
        let read = Envelope::decode(record.value()).expect("an envelope");
        (read, record.key().to_vec())
    }

    #[test]
    fn what_fits_is_left_as_it_is() {
        let text = "d".repeat(30_000);
        let whole =
            Envelope { device_id: text.clone(), group: text.clone(), ..Envelope::default() };
        assert_eq!(fitted(&whole, &text), (whole, text.into_bytes()));
    }

    #[test]
    fn properties_go_first_and_then_the_longest_texts() {
        let property = UserProperty { name: "n".into(), value: "v".repeat(90_000) };
        let envelope = Envelope {
            device_id: "d".repeat(10_000),
            user_properties: vec![property.clone()],
            ..Envelope::default()
        };
        let (letter, _) = fitted(&envelope, "");
        assert!(letter.user_properties.is_empty());
        assert_eq!(letter.device_id.len(), 10_000, "nothing is cut that fits");
        let hashed = [b"n\0", property.value.as_bytes(), b"\0"].concat();
        assert_eq!(letter.cut, [said_of("user_properties", 90_001, sha256(&hashed))]);

        let topic = "ä".repeat(32_767);
        let envelope = Envelope {
            source_topic: topic.clone(),
            device_id: "d".repeat(40_000),
            ..Envelope::default()
        };
        let (letter, key) = fitted(&envelope, "d");
        assert_eq!(letter.source_topic, "ä".repeat(TEXT_KEPT_BYTES / 2), "whole characters");
        assert_eq!((letter.device_id.len(), &*key), (40_000, &b"d"[..]));
        assert_eq!(letter.cut, [said_of("source_topic", topic.len(), sha256(topic.as_bytes()))]);

        let key = "ö".repeat(50_000);
        let (letter, kept) = fitted(&Envelope::default(), &key);
        assert_eq!(kept, "ö".repeat(TEXT_KEPT_BYTES / 2).as_bytes(), "whole characters");
        assert_eq!(letter.cut, [said_of("key", key.len(), sha256(key.as_bytes()))]);
    }

    /// Whatever a device says, its letter is within what the lane's topic has to take.
    #[test]
    fn a_letter_fits_with_everything_at_its_limit() {
        let text = "ü".repeat(32_767);
        let envelope = Envelope {
            message_id: vec![1; 16],
            device_id: text.clone(),
            device_type: text.clone(),
            firmware_version: text.clone(),
            group: text.clone(),
            source_topic: text.clone(),
            content_type: text.clone(),
            traceparent: text.clone(),
            tracestate: text.clone(),
            user_properties: vec![UserProperty { name: text.clone(), value: text.clone() }; 4],
            dead_letter_reason: "r".repeat(203),
            ..Envelope::default()
        };
        let (letter, _) = fitted(&envelope, &text);
        assert_eq!(letter.cut.len(), 9, "properties, and all texts but one: {:?}", letter.cut);
    }

    /// A message that was never in its lane and one that Kafka refused there make the same letter.
    #[test]
    fn both_ways_to_a_dead_letter_cut_the_same() {
        let device_id = "d".repeat(40_000);
        let envelope = Envelope {
            device_id: device_id.clone(),
            source_topic: format!("devices/meter/{device_id}/power"),
            dead_letter_reason: "too large".into(),
            payload: Some(Payload::Inline(vec![7; 100].into())),
            ..Envelope::default()
        };
        let refused = write("fast", 0, &envelope, device_id.as_bytes());
        let letter = Letter::of_envelope(refused.as_record(), "too large").expect("an envelope");
        let written = letter.write("dead-letter", 7, None);

        let mut begun =
            write("dead-letter", 7, &Envelope { payload: None, ..envelope }, device_id.as_bytes());
        fit(&mut begun);
        begun.value(|out| envelope::write_body(Body::Inline(&[7; 100]), out));
        assert_eq!(written, begun);
    }
}
