//! The envelope of `proto/landfall/v1/envelope.proto`: a message and what is known about it as the value of
//! its record.
//!
//! Written by hand from borrowed parts, because the generated type would allocate each of them; a
//! property test holds the bytes against the generated code's.

use std::borrow::Cow;

use prost::encoding::{DecodeContext, WireType};
use proto::v1;

use super::{Body, Stamp, letter};
use crate::message::Message;
use crate::metadata::Metadata;
use crate::record::{Record, RecordBuf};

/// What a record's head takes beside the texts that a device chooses, in bytes: the Kafka topic's name,
/// headers, ids, times, gateway, lane and a dead letter's reason, with their lengths.
const HEAD_FIXED_BYTES: usize = 1280;
/// The length of a field and its number, in bytes.
const FIELD_BYTES: usize = 8;

/// Begins the record of a message.
pub(super) fn begin(
    stamp: &Stamp<'_>,
    metadata: &Metadata<'_>,
    message: &Message<'_>,
    write_key: impl FnOnce(&mut Vec<u8>),
    record: &mut RecordBuf,
) {
    let reason = reason_text(stamp.dead_letter_reason);
    let stamp = Stamp { dead_letter_reason: &reason, ..*stamp };
    record.begin(stamp.topic, message.received_ms);
    write_headers(&reason, record);
    record.key(write_key);
    record.value(|out| write_head(&stamp, metadata, message, out));
    if !reason.is_empty() {
        letter::fit(record);
    }
}

/// Completes a record that was begun.
pub(super) fn finish(dedupe_key: &[u8; 16], body: Body<'_>, record: &mut RecordBuf) {
    record.value(|out| {
        bytes(2, dedupe_key, out);
        write_body(body, out);
    });
}

/// The id that the envelope of a record has, which comes before everything long.
pub(super) fn message_id(record: Record<'_>) -> Option<[u8; 16]> {
    let mut rest = record.value();
    while !rest.is_empty() {
        let (tag, wire_type) = prost::encoding::decode_key(&mut rest).ok()?;
        if (tag, wire_type) == (1, WireType::LengthDelimited) {
            let length = prost::encoding::decode_varint(&mut rest).ok()?;
            return rest.split_at_checked(usize::try_from(length).ok()?)?.0.try_into().ok();
        }
        let context = DecodeContext::default();
        prost::encoding::skip_field(wire_type, tag, &mut rest, context).ok()?;
    }
    None
}

/// The most that [`begin`] writes.
pub(super) fn head_max_bytes(
    metadata: &Metadata<'_>,
    message: &Message<'_>,
    key_bytes: usize,
) -> u64 {
    let Metadata { device_id, device_type, firmware_version, group, .. } = metadata;
    let Metadata { traceparent, tracestate, .. } = metadata;
    let texts = [device_id, device_type, firmware_version, group, traceparent, tracestate];
    let texts: usize = texts.into_iter().map(|text| text.len()).sum();
    let connect = message.device.properties.iter().map(|(name, value)| name.len() + value.len());
    let publish = message.properties.iter().map(|(name, value)| name.len() + value.len());
    let properties: usize = connect.chain(publish).map(|pair| pair + 3 * FIELD_BYTES).sum();
    let own = message.topic.len() + message.content_type.len();
    (HEAD_FIXED_BYTES + texts + properties + key_bytes + own) as u64
}

/// Writes the headers of an envelope's record; `reason` only where it is a dead letter.
pub(super) fn write_headers(reason: &str, record: &mut RecordBuf) {
    record.header("content-type", proto::CONTENT_TYPE.as_bytes());
    if !reason.is_empty() {
        record.header(proto::REASON_HEADER, reason.as_bytes());
    }
}

/// Appends what is known when the message begins to arrive.
fn write_head(
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

/// Appends the payload, or where it is.
pub(super) fn write_body(body: Body<'_>, out: &mut Vec<u8>) {
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
        Body::Cut(payload) => {
            prost::encoding::message::encode(23, &letter::cut_payload(payload), out);
        }
    }
}

/// Cuts a reason that is long, at a character's end, and shows that it was cut.
pub(super) fn reason_text(reason: &str) -> Cow<'_, str> {
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
