//! What a message is known by: the id that it gets here, and the dedupe key, which its resends share
//! wherever they arrive.

use std::cell::RefCell;

use rand::RngExt as _;
use rand::rngs::SmallRng;
use xxhash_rust::xxh3::{xxh3_64, xxh3_128_with_seed};

use crate::message::Message;
use crate::metadata::Metadata;

thread_local! {
    /// Message ids need to be unlike each other, not unpredictable.
    static RANDOM: RefCell<SmallRng> = RefCell::new(rand::make_rng());
}

/// A new message id (UUIDv7) for a message received at `received_ms`.
pub fn message_id(received_ms: i64) -> [u8; 16] {
    let millis = u64::try_from(received_ms).unwrap_or(0);
    let random = RANDOM.with_borrow_mut(|random| random.random());
    uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid().into_bytes()
}

/// A hash of topic and payload, by which a resend is known from another message under the same packet id.
pub fn fingerprint(topic: &str, payload: &[u8]) -> u128 {
    xxh3_128_with_seed(payload, xxh3_64(topic.as_bytes()))
}

/// The dedupe key: equal for resends of one message. The device's own message id decides; without one it
/// is the packet id and the payload's fingerprint.
///
/// A cryptographic hash over unambiguous parts, each behind its length: no device can make the key of
/// another's message. What fits the buffer, and that is usual, is hashed in one go.
pub fn dedupe_key(metadata: &Metadata<'_>, message: &Message<'_>, fingerprint: u128) -> [u8; 16] {
    let own = own_part(message.packet_id, fingerprint);
    let last = metadata.message_id.as_ref().map_or(&own[..], |id| id.as_bytes());
    let mut buffer = [0; 128];
    let mut used = 0;
    for part in [metadata.device_id.as_bytes(), message.topic.as_bytes(), last] {
        let length = (part.len() as u32).to_le_bytes();
        for bytes in [&length[..], part] {
            let Some(room) = buffer.get_mut(used..used + bytes.len()) else {
                return Dedupe::begin(metadata, message).finish(fingerprint);
            };
            room.copy_from_slice(bytes);
            used += bytes.len();
        }
    }
    key_of(blake3::hash(&buffer[..used]))
}

/// A [`dedupe_key`] in the making, of a message whose fingerprint comes later.
pub struct Dedupe {
    hasher: blake3::Hasher,
    /// None where the device's own message id is among the parts.
    packet_id: Option<u16>,
}

impl Dedupe {
    pub fn begin(metadata: &Metadata<'_>, message: &Message<'_>) -> Dedupe {
        let mut dedupe = Dedupe { hasher: blake3::Hasher::new(), packet_id: None };
        dedupe.add(metadata.device_id.as_bytes());
        dedupe.add(message.topic.as_bytes());
        match &metadata.message_id {
            Some(id) => dedupe.add(id.as_bytes()),
            None => dedupe.packet_id = Some(message.packet_id),
        }
        dedupe
    }

    /// The key of the message, which has this fingerprint.
    pub fn finish(mut self, fingerprint: u128) -> [u8; 16] {
        if let Some(packet_id) = self.packet_id {
            self.add(&own_part(packet_id, fingerprint));
        }
        key_of(self.hasher.finalize())
    }

    fn add(&mut self, part: &[u8]) {
        self.hasher.update(&(part.len() as u32).to_le_bytes());
        self.hasher.update(part);
    }
}

/// What stands for a message that has no id of its own.
fn own_part(packet_id: u16, fingerprint: u128) -> [u8; 18] {
    let mut own = [0; 18];
    own[..2].copy_from_slice(&packet_id.to_le_bytes());
    own[2..].copy_from_slice(&fingerprint.to_le_bytes());
    own
}

fn key_of(hash: blake3::Hash) -> [u8; 16] {
    let mut key = [0; 16];
    key.copy_from_slice(&hash.as_bytes()[..16]);
    key
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::message::{Device, Payload};

    /// The key of a message of nothing but what goes into its key.
    fn key(
        (device_id, topic): (&str, &str),
        message_id: Option<&str>,
        packet_id: u16,
        fingerprint: u128,
    ) -> [u8; 16] {
        let metadata = Metadata {
            device_id: device_id.into(),
            message_id: message_id.map(Into::into),
            ..Metadata::default()
        };
        let message = Message {
            device: &Device::default(),
            topic,
            payload: Payload::Streamed { size: 0 },
            qos: 1,
            dup: false,
            retain: false,
            packet_id,
            received_ms: 0,
            content_type: "",
            properties: &[],
        };
        let key = dedupe_key(&metadata, &message, fingerprint);
        let later = Dedupe::begin(&metadata, &message).finish(fingerprint);
        assert_eq!(later, key, "what is hashed while it arrives makes no other key");
        key
    }

    /// The dedupe key as its documentation says it: each part behind its length, hashed.
    fn plain_key(parts: &[&[u8]]) -> [u8; 16] {
        let mut bytes = Vec::new();
        for part in parts {
            bytes.extend_from_slice(&(part.len() as u32).to_le_bytes());
            bytes.extend_from_slice(part);
        }
        let mut key = [0; 16];
        key.copy_from_slice(&blake3::hash(&bytes).as_bytes()[..16]);
        key
    }

    proptest! {
        /// Lengths around those where the parts outgrow the buffer that they are gathered in.
        #[test]
        fn a_dedupe_key_is_the_hash_of_its_parts(
            (device_id, topic) in ("d{0,140}", "t{0,140}"),
            message_id in proptest::option::of("i{0,140}"),
            packet_id in any::<u16>(),
            fingerprint in any::<u128>(),
        ) {
            let own = [&packet_id.to_le_bytes()[..], &fingerprint.to_le_bytes()].concat();
            let last = message_id.as_ref().map_or(&own[..], |id| id.as_bytes());
            let plain = plain_key(&[device_id.as_bytes(), topic.as_bytes(), last]);
            let from = (&*device_id, &*topic);
            prop_assert_eq!(key(from, message_id.as_deref(), packet_id, fingerprint), plain);
        }
    }

    /// Gateways of different versions see resends of one message: what it is known by must not change.
    /// These come from other implementations of BLAKE3 and XXH3.
    #[test]
    fn dedupe_keys_and_fingerprints_are_fixed() {
        let from = ("m-1", "devices/meter/m-1/power");
        let hex = |key: [u8; 16]| key.map(|byte| format!("{byte:02x}")).concat();
        let named = key(from, Some("7"), 9, 0x0123_4567_89ab_cdef);
        assert_eq!(hex(named), "68e739fa49754cb3739ce79f289f84ad");
        let unnamed = key(from, None, 9, 0x0123_4567_89ab_cdef);
        assert_eq!(hex(unnamed), "862c3fbc37d39d86d4bd081fa0343e89");
        assert_eq!(fingerprint(from.1, b"21.5"), 0xea3e_377d_2ea7_bd71_c65f_7b9e_3e00_670b);
        let long: Vec<u8> = (0..1_000).map(|at| (at % 251) as u8).collect();
        assert_eq!(fingerprint(from.1, &long), 0xacf6_7f45_4766_902a_8959_a896_a416_bbf6);
    }

    #[test]
    fn message_ids_are_version_7_and_sort_by_time() {
        let ids: Vec<_> = [0, 1, 1_760_000_000_000].map(message_id).into();
        assert!(ids.is_sorted());
        for id in ids {
            assert_eq!(uuid::Uuid::from_bytes(id).get_version_num(), 7);
        }
        assert_ne!(message_id(5), message_id(5));
    }
}
