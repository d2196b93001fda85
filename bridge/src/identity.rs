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

/// The dedupe key in the making: equal for resends of one message. The device's own message id decides;
/// without one it is the packet id and the payload's fingerprint, which may come later than the rest.
///
/// A cryptographic hash over unambiguous parts: no device can make the key of another's message.
pub struct Dedupe {
    parts: Parts,
    /// None where the device's own message id is among the parts.
    packet_id: Option<u16>,
}

impl Dedupe {
    pub fn begin(metadata: &Metadata<'_>, message: &Message<'_>) -> Dedupe {
        let mut parts = Parts { hasher: None, buffer: [0; 128], used: 0 };
        parts.add_part(metadata.device_id.as_bytes());
        parts.add_part(message.topic.as_bytes());
        let packet_id = match &metadata.message_id {
            Some(id) => {
                parts.add_part(id.as_bytes());
                None
            }
            None => Some(message.packet_id),
        };
        Dedupe { parts, packet_id }
    }

    /// The key of a message with this fingerprint.
    pub fn finish(mut self, fingerprint: u128) -> [u8; 16] {
        if let Some(packet_id) = self.packet_id {
            let mut own = [0; 18];
            own[..2].copy_from_slice(&packet_id.to_le_bytes());
            own[2..].copy_from_slice(&fingerprint.to_le_bytes());
            self.parts.add_part(&own);
        }
        self.parts.hash()
    }
}

/// What a dedupe key is made of, each part behind its length. What fits the buffer, and that is
/// usual, is hashed in one go.
struct Parts {
    hasher: Option<blake3::Hasher>,
    buffer: [u8; 128],
    used: usize,
}

impl Parts {
    fn add_part(&mut self, bytes: &[u8]) {
        self.add(&(bytes.len() as u32).to_le_bytes());
        self.add(bytes);
    }

    fn add(&mut self, bytes: &[u8]) {
        match self.buffer.get_mut(self.used..self.used + bytes.len()) {
            Some(room) => {
                room.copy_from_slice(bytes);
                self.used += bytes.len();
            }
            None => {
                let hasher = self.hasher.get_or_insert_default();
                hasher.update(&self.buffer[..self.used]);
                hasher.update(bytes);
                self.used = 0;
            }
        }
    }

    fn hash(self) -> [u8; 16] {
        let rest = &self.buffer[..self.used];
        let hash = match self.hasher {
            None => blake3::hash(rest),
            Some(mut hasher) => hasher.update(rest).finalize(),
        };
        let mut key = [0; 16];
        key.copy_from_slice(&hash.as_bytes()[..16]);
        key
    }
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
        Dedupe::begin(&metadata, &message).finish(fingerprint)
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
