//! Dead letters, which always fit: whatever a device made too large in a message that can never land in
//! its lane is left out or shortened, and the letter says what that was.
//!
//! User properties go first, then the longest texts are cut. The payload goes to the object store where
//! the lane does not take it inline, and is left out only where there is none.

use std::sync::Arc;

use metrics::counter;
use prost::Message as _;
use proto::v1::envelope::Payload;
use proto::v1::{Compression, Cut, Envelope, Reference};
use sha2::{Digest as _, Sha256};

use crate::bridge::Store;
use crate::envelope;
use crate::lane::{Lane, Pending};
use crate::metrics::DEAD_LETTER_CUTS;
use crate::outcome::{Fault, Outcome};
use crate::record::{Record, RecordBuf};

/// Bytes of a letter's envelope without its payload, above which something is cut. With the key and the
/// headers it stays well below [`crate::record::HEAD_MAX_BYTES`].
const HEAD_MAX_BYTES: usize = 64 * 1024;
/// What can be cut, as the label of its metric says.
const CUT_PARTS: [&str; 2] = [TEXTS, PAYLOAD];
const TEXTS: &str = "texts";
const PAYLOAD: &str = "payload";
/// Bytes that are left of a text that is cut, and of the key.
const TEXT_KEPT_BYTES: usize = 1024;

/// The way of records that their own lane can never land.
pub(crate) struct DeadLetters {
    lane: Arc<Lane>,
    store: Option<Store>,
}

impl DeadLetters {
    /// `lane` is the dead-letter lane; `store` is for payloads that it does not take inline.
    pub fn new(lane: Arc<Lane>, store: Option<Store>) -> DeadLetters {
        // What was never cut shows as a zero, and not as nothing.
        CUT_PARTS
            .into_iter()
            .for_each(|part| counter!(DEAD_LETTER_CUTS, "part" => part).increment(0));
        DeadLetters { lane, store }
    }

    /// Sends a record that Kafka refused on as a dead letter, with its receipt.
    pub fn take(&self, record: Record<'_>, pending: Pending, fault: Fault, reason: &str) {
        let Ok(mut envelope) = Envelope::decode(record.value()) else {
            tracing::error!("a record that is no envelope cannot become a dead letter");
            return pending.receipt.resolve(Outcome::Failed);
        };
        envelope.dead_letter_reason = envelope::reason_text(reason).into_owned();
        let pending = Pending { on_landing: Outcome::DeadLettered(fault), ..pending };
        let (lane, key) = (Arc::clone(&self.lane), record.key().to_vec());
        let payload = match &envelope.payload {
            Some(Payload::Inline(payload)) if payload.len() > lane.inline_size as usize => {
                payload.clone()
            }
            _ => return submit(&lane, envelope, &key, pending),
        };
        let Some(store) = &self.store else {
            envelope.cut.push(cut_payload(&payload));
            envelope.payload = None;
            return submit(&lane, envelope, &key, pending);
        };
        // Sixteen bytes, as every gateway writes them.
        let id = uuid::Uuid::from_slice(&envelope.message_id).unwrap_or_default();
        let Envelope { lane: name, received_ms, gateway_id, .. } = &envelope;
        let place = envelope::object_key(name, *received_ms, gateway_id, id);
        let object = store.objects.object(&place);
        store.runtime.spawn(async move {
            let (size, sha256) = (payload.len() as u64, Sha256::digest(&payload).to_vec());
            if let Err(error) = object.put(payload).await {
                object.log_failure(&error);
                return pending.receipt.resolve(Outcome::Failed);
            }
            let compression = Compression::None.into();
            let reference = Reference { uri: object.uri().to_owned(), size, sha256, compression };
            envelope.payload = Some(Payload::Reference(reference));
            submit(&lane, envelope, &key, pending);
        });
    }
}

fn submit(lane: &Lane, mut envelope: Envelope, key: &[u8], pending: Pending) {
    cut_texts(&mut envelope);
    // The time is that of the writing: a topic may refuse the message's own.
    let now_ms = jiff::Timestamp::now().as_millisecond();
    lane.submit(write(&lane.topic, now_ms, &envelope, key).as_record(), pending);
}

fn write(topic: &str, timestamp_ms: i64, envelope: &Envelope, key: &[u8]) -> RecordBuf {
    let mut letter = RecordBuf::default();
    letter.begin(topic, timestamp_ms);
    envelope::headers(&mut letter, &envelope.dead_letter_reason);
    letter.key(|out| out.extend_from_slice(kept(key)));
    letter.value(|out| envelope.encode(out).expect("a vector has room"));
    letter
}

/// Cuts a dead letter to which only the payload's fields will be added.
pub(crate) fn cut_head(record: &mut RecordBuf) {
    let head = record.as_record();
    let mut envelope = Envelope::decode(head.value()).expect("it was written as an envelope");
    cut_texts(&mut envelope);
    *record = write(head.topic(), head.timestamp_ms(), &envelope, head.key());
}

/// Says of a payload what is left of it where nothing takes it.
pub(crate) fn cut_payload(payload: &[u8]) -> Cut {
    counter!(DEAD_LETTER_CUTS, "part" => PAYLOAD).increment(1);
    cut(PAYLOAD, payload.len(), Sha256::digest(payload).to_vec())
}

fn cut(field: &str, size: usize, sha256: Vec<u8>) -> Cut {
    Cut { field: field.to_owned(), size: size as u64, sha256 }
}

/// Cuts what a device chose, until the envelope without its payload fits.
fn cut_texts(envelope: &mut Envelope) {
    let payload = envelope.payload.take();
    if envelope.encoded_len() > HEAD_MAX_BYTES {
        counter!(DEAD_LETTER_CUTS, "part" => TEXTS).increment(1);
        let mut cuts = Vec::new();
        let properties = std::mem::take(&mut envelope.user_properties);
        if !properties.is_empty() {
            let (mut size, mut hasher) = (0, Sha256::new());
            for text in properties.iter().flat_map(|pair| [&pair.name, &pair.value]) {
                size += text.len();
                hasher.update(text);
                hasher.update([0]);
            }
            cuts.push(cut("user_properties", size, hasher.finalize().to_vec()));
        }
        while envelope.encoded_len() > HEAD_MAX_BYTES {
            let mut texts = [
                ("source_topic", &mut envelope.source_topic),
                ("device_id", &mut envelope.device_id),
                ("device_type", &mut envelope.device_type),
                ("firmware_version", &mut envelope.firmware_version),
                ("group", &mut envelope.group),
                ("content_type", &mut envelope.content_type),
                ("traceparent", &mut envelope.traceparent),
                ("tracestate", &mut envelope.tracestate),
            ];
            texts.sort_by_key(|(_, text)| text.len());
            let [.., (field, longest)] = texts;
            cuts.push(cut(field, longest.len(), Sha256::digest(&*longest).to_vec()));
            longest.truncate(longest.floor_char_boundary(TEXT_KEPT_BYTES));
        }
        envelope.cut.append(&mut cuts);
    }
    envelope.payload = payload;
}

/// The beginning of a key, which is UTF-8 and stays so.
fn kept(key: &[u8]) -> &[u8] {
    if key.len() <= TEXT_KEPT_BYTES {
        return key;
    }
    let kept = &key[..TEXT_KEPT_BYTES];
    kept.utf8_chunks().next().map_or(kept, |chunk| chunk.valid().as_bytes())
}

#[cfg(test)]
mod tests {
    use proto::v1::UserProperty;

    use super::*;
    use crate::record::HEAD_ROOM_BYTES;

    fn sha256(bytes: &[u8]) -> Vec<u8> {
        Sha256::digest(bytes).to_vec()
    }

    #[test]
    fn what_fits_is_left_as_it_is() {
        let whole = Envelope {
            device_id: "m-1".into(),
            payload: Some(Payload::Inline(vec![0; 1_000_000].into())),
            ..Envelope::default()
        };
        let mut envelope = whole.clone();
        cut_texts(&mut envelope);
        assert_eq!(envelope, whole);
    }

    #[test]
    fn properties_go_first_and_then_the_longest_texts() {
        let property = UserProperty { name: "n".into(), value: "v".repeat(60_000) };
        let mut envelope = Envelope {
            device_id: "d".repeat(10_000),
            user_properties: vec![property.clone()],
            ..Envelope::default()
        };
        cut_texts(&mut envelope);
        assert!(envelope.user_properties.is_empty());
        assert_eq!(envelope.device_id.len(), 10_000, "nothing is cut that fits");
        let hashed = [b"n\0", property.value.as_bytes(), b"\0"].concat();
        assert_eq!(envelope.cut, [cut("user_properties", 60_001, sha256(&hashed))]);

        let topic = "ä".repeat(32_767);
        let mut envelope = Envelope {
            source_topic: topic.clone(),
            device_id: "d".repeat(20_000),
            ..Envelope::default()
        };
        cut_texts(&mut envelope);
        assert_eq!(envelope.source_topic, "ä".repeat(TEXT_KEPT_BYTES / 2), "whole characters");
        assert_eq!(envelope.device_id.len(), 20_000);
        assert_eq!(envelope.cut, [cut("source_topic", topic.len(), sha256(topic.as_bytes()))]);
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
            dead_letter_reason: "r".repeat(200),
            ..Envelope::default()
        };
        let mut letter = write(&"t".repeat(249), 0, &envelope, text.as_bytes());
        // `write` has cut the key already, as the last place that can.
        cut_head(&mut letter);
        assert!(
            letter.as_record().len() < HEAD_ROOM_BYTES as usize,
            "{}",
            letter.as_record().len()
        );
        let key = letter.as_record().key();
        assert_eq!(std::str::from_utf8(key).map(str::len), Ok(TEXT_KEPT_BYTES));
        let read = Envelope::decode(letter.as_record().value()).expect("an envelope");
        assert_eq!(read.cut.len(), 9, "properties and each text: {:?}", read.cut);
    }
}
