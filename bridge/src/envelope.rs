//! A message and what is known about it → the value of its record, in the format of
//! `proto/landfall/v1/envelope.proto`.
//!
//! Written by hand from borrowed parts, because the generated type would allocate each of them; a
//! property test holds the bytes against the generated code's.

use std::borrow::Cow;
use std::cell::RefCell;

use prost::encoding::WireType;
use proto::v1;
use rand::RngExt as _;
use rand::rngs::SmallRng;

use crate::message::Message;
use crate::metadata::Metadata;
use crate::record::RecordBuf;

/// What every envelope carries and no message decides.
#[derive(Clone, Copy, Debug)]
pub struct Stamp<'a> {
    pub gateway_id: &'a str,
    pub lane: &'a str,
    /// UUIDv7.
    pub message_id: [u8; 16],
    /// Why it is a dead letter; empty where it is none.
    pub dead_letter_reason: &'a str,
}

/// Where the payload's bytes are.
#[derive(Clone, Copy, Debug)]
pub enum Body<'a> {
    Inline(&'a [u8]),
    Reference {
        uri: &'a str,
        size: u64,
        sha256: &'a [u8; 32],
    },
    /// It is not there: only its size and hash are.
    Cut(&'a v1::Cut),
}

thread_local! {
    /// Message ids need to be unlike each other, not unpredictable.
    static RANDOM: RefCell<SmallRng> = RefCell::new(rand::make_rng());
}

/// A new message id for a message received at `received_ms`.
pub fn message_id(received_ms: i64) -> [u8; 16] {
    let millis = u64::try_from(received_ms).unwrap_or(0);
    let random = RANDOM.with_borrow_mut(|random| random.random());
    uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid().into_bytes()
}

/// The dedupe key: equal for resends of one message, wherever they arrive. The device's own message
/// id decides; without one it is the packet id and the payload's fingerprint.
///
/// A cryptographic hash over unambiguous parts: no device can make the key of another's message.
pub fn dedupe_key(metadata: &Metadata<'_>, message: &Message<'_>, fingerprint: u128) -> [u8; 16] {
    DedupeParts::with(metadata, message, |parts| match &metadata.message_id {
        Some(id) => parts.part(id.as_bytes()),
        None => parts.own(message.packet_id, fingerprint),
    })
    .key()
}

/// [`dedupe_key`] for a message without an id of its own, whose fingerprint comes later.
pub fn dedupe_key_later(
    metadata: &Metadata<'_>,
    message: &Message<'_>,
) -> Box<dyn FnOnce(u128) -> [u8; 16] + Send> {
    let packet_id = message.packet_id;
    let mut parts = DedupeParts::with(metadata, message, |_| {});
    Box::new(move |fingerprint| {
        parts.own(packet_id, fingerprint);
        parts.key()
    })
}

/// What a dedupe key is made of, each part behind its length. What fits the buffer, and that is
/// usual, is hashed in one go.
struct DedupeParts {
    hasher: Option<blake3::Hasher>,
    buffer: [u8; 128],
    used: usize,
}

impl DedupeParts {
    fn with(
        metadata: &Metadata<'_>,
        message: &Message<'_>,
        rest: impl FnOnce(&mut DedupeParts),
    ) -> DedupeParts {
        let mut parts = DedupeParts { hasher: None, buffer: [0; 128], used: 0 };
        parts.part(metadata.device_id.as_bytes());
        parts.part(message.topic.as_bytes());
        rest(&mut parts);
        parts
    }

    fn part(&mut self, bytes: &[u8]) {
        self.add(&(bytes.len() as u32).to_le_bytes());
        self.add(bytes);
    }

    fn own(&mut self, packet_id: u16, fingerprint: u128) {
        let mut own = [0; 18];
        own[..2].copy_from_slice(&packet_id.to_le_bytes());
        own[2..].copy_from_slice(&fingerprint.to_le_bytes());
        self.part(&own);
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

    fn key(self) -> [u8; 16] {
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

/// Where the payload of a large message lies: `{lane}/{yyyy}/{mm}/{dd}/{hh}/{gateway_id}/{message_id}`, by
/// the hour of receipt. Nothing of the device is in it.
pub fn object_key(
    lane: &str,
    received_ms: i64,
    gateway_id: &str,
    message_id: uuid::Uuid,
) -> String {
    let received = jiff::Timestamp::from_millisecond(received_ms).unwrap_or_default();
    format!("{lane}/{}/{gateway_id}/{message_id}", received.strftime("%Y/%m/%d/%H"))
}

/// The headers of an envelope's record; `reason` only where it is a dead letter.
pub fn headers(record: &mut RecordBuf, reason: &str) {
    record.header("content-type", proto::CONTENT_TYPE.as_bytes());
    if !reason.is_empty() {
        record.header(proto::REASON_HEADER, reason.as_bytes());
    }
}

/// Appends what is known when the message begins to arrive. [`write_payload`] completes it.
pub fn write_head(
    stamp: &Stamp<'_>,
    metadata: &Metadata<'_>,
    message: &Message<'_>,
    out: &mut Vec<u8>,
) {
    bytes(1, &stamp.message_id, out);
    varint(3, message.dup.into(), out);
    varint(4, message.retain.into(), out);
    bytes(5, metadata.device_id.as_bytes(), out);
    let trust = match metadata.verified {
        true => v1::IdentityTrust::Verified,
        false => v1::IdentityTrust::Claimed,
    };
    varint(6, trust as u64, out);
    bytes(7, metadata.device_type.as_bytes(), out);
    bytes(8, metadata.firmware_version.as_bytes(), out);
    bytes(9, metadata.group.as_bytes(), out);
    bytes(10, stamp.gateway_id.as_bytes(), out);
    bytes(11, message.topic.as_bytes(), out);
    bytes(12, stamp.lane.as_bytes(), out);
    varint(13, message.qos.into(), out);
    varint(14, message.received_ms as u64, out);
    present(15, metadata.event_start_ms, out);
    present(16, metadata.event_end_ms, out);
    varint(17, message.payload.size(), out);
    bytes(18, message.content_type.as_bytes(), out);
    let connect = message.device.properties.iter().map(|(name, value)| (&**name, &**value));
    for (name, value) in connect.chain(message.properties.iter().copied()) {
        let length = field_size(name.len()) + field_size(value.len());
        encode_key(19, WireType::LengthDelimited, out);
        encode_varint(length as u64, out);
        bytes(1, name.as_bytes(), out);
        bytes(2, value.as_bytes(), out);
    }
    bytes(20, metadata.traceparent.as_bytes(), out);
    bytes(21, metadata.tracestate.as_bytes(), out);
    bytes(22, stamp.dead_letter_reason.as_bytes(), out);
}

/// Appends what is known when the payload is whole: it and what was derived from it.
pub fn write_payload(dedupe_key: &[u8; 16], body: Body<'_>, out: &mut Vec<u8>) {
    bytes(2, dedupe_key, out);
    match body {
        Body::Inline(payload) => {
            // A oneof member is written even when it is empty.
            encode_key(30, WireType::LengthDelimited, out);
            encode_varint(payload.len() as u64, out);
            out.extend_from_slice(payload);
        }
        Body::Reference { uri, size, sha256 } => {
            let reference = v1::Reference {
                uri: uri.to_owned(),
                size,
                sha256: sha256.to_vec(),
                compression: v1::Compression::None as i32,
            };
            prost::encoding::message::encode(31, &reference, out);
        }
        Body::Cut(cut) => prost::encoding::message::encode(23, cut, out),
    }
}

/// Cuts a reason to what fits into a header, at a character's end.
pub fn reason_text(reason: &str) -> Cow<'_, str> {
    const REASON_MAX_BYTES: usize = 200;
    if reason.len() <= REASON_MAX_BYTES {
        return Cow::Borrowed(reason);
    }
    Cow::Owned(format!("{}…", &reason[..reason.floor_char_boundary(REASON_MAX_BYTES)]))
}

/// A length-delimited field of number `tag`; absent when it is empty, as proto3 has it.
#[inline]
fn bytes(tag: u32, value: &[u8], out: &mut Vec<u8>) {
    if !value.is_empty() {
        encode_key(tag, WireType::LengthDelimited, out);
        encode_varint(value.len() as u64, out);
        out.extend_from_slice(value);
    }
}

/// A varint field of number `tag`; absent when it is zero.
#[inline]
fn varint(tag: u32, value: u64, out: &mut Vec<u8>) {
    if value != 0 {
        present(tag, Some(value as i64), out);
    }
}

/// An optional varint field: zero is a value.
#[inline]
fn present(tag: u32, value: Option<i64>, out: &mut Vec<u8>) {
    if let Some(value) = value {
        encode_key(tag, WireType::Varint, out);
        encode_varint(value as u64, out);
    }
}

#[inline]
fn encode_key(tag: u32, wire_type: WireType, out: &mut Vec<u8>) {
    encode_varint(u64::from(tag << 3 | wire_type as u32), out);
}

/// Nearly all varints here have one byte; prost's version is not inlined and cannot know.
#[inline]
fn encode_varint(value: u64, out: &mut Vec<u8>) {
    if value < 0x80 {
        out.push(value as u8);
    } else {
        prost::encoding::encode_varint(value, out);
    }
}

/// Size of a user property's name or value as a field with a number under 16.
fn field_size(length: usize) -> usize {
    if length == 0 { 0 } else { 1 + prost::encoding::encoded_len_varint(length as u64) + length }
}

#[cfg(test)]
mod tests;
