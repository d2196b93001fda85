//! The hand-written bytes against the generated type's, and against bytes that are fixed.

use std::borrow::Cow;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use v1::envelope::Payload;

use prost::Message as _;

use super::*;
use crate::message::{self, Device};

/// Everything that decides an envelope, owned.
#[derive(Clone, Debug)]
struct Parts {
    metadata: Metadata<'static>,
    device: Device,
    topic: String,
    payload: Vec<u8>,
    /// By reference: to this place, of this hash, with a size of its own.
    reference: Option<(String, [u8; 32], u64)>,
    /// QoS, DUP, retain, packet id.
    flags: (u8, bool, bool, u16),
    received_ms: i64,
    content_type: String,
    properties: Vec<(String, String)>,
    gateway_id: String,
    lane: String,
    message_id: [u8; 16],
    dedupe_key: [u8; 16],
    reason: String,
}

impl Parts {
    fn size(&self) -> u64 {
        self.reference.as_ref().map_or(self.payload.len() as u64, |(_, _, size)| *size)
    }

    fn with_message<R>(&self, use_it: impl FnOnce(&Message<'_>) -> R) -> R {
        let properties: Vec<(&str, &str)> =
            self.properties.iter().map(|(name, value)| (&**name, &**value)).collect();
        let (qos, dup, retain, packet_id) = self.flags;
        let payload = match &self.reference {
            None => message::Payload::Inline(&self.payload),
            Some(_) => message::Payload::Streamed { size: self.size() },
        };
        use_it(&Message {
            device: &self.device,
            topic: &self.topic,
            payload,
            qos,
            dup,
            retain,
            packet_id,
            received_ms: self.received_ms,
            content_type: &self.content_type,
            properties: &properties,
        })
    }

    /// What the bridge writes.
    fn written(&self) -> Vec<u8> {
        let stamp = Stamp {
            topic: "",
            gateway_id: &self.gateway_id,
            lane: &self.lane,
            message_id: self.message_id,
            dead_letter_reason: &self.reason,
        };
        let body = match &self.reference {
            None => Body::Inline(&self.payload),
            Some((uri, sha256, size)) => Body::Reference { uri, size: *size, sha256 },
        };
        let mut out = Vec::new();
        self.with_message(|message| write_head(&stamp, &self.metadata, message, &mut out));
        bytes(2, &self.dedupe_key, &mut out);
        write_body(body, &mut out);
        out
    }

    /// What the bridge means. Every field is written out, so that a new one is not forgotten.
    fn meant(&self) -> v1::Envelope {
        let connect = self.device.properties.iter().map(|(name, value)| (&**name, &**value));
        let publish = self.properties.iter().map(|(name, value)| (&**name, &**value));
        let property = |(name, value): (&str, &str)| v1::UserProperty {
            name: name.to_owned(),
            value: value.to_owned(),
        };
        let trust = match self.metadata.verified {
            true => v1::IdentityTrust::Verified,
            false => v1::IdentityTrust::Claimed,
        };
        let payload = match &self.reference {
            None => Payload::Inline(self.payload.clone().into()),
            Some((uri, sha256, size)) => Payload::Reference(v1::Reference {
                uri: uri.clone(),
                size: *size,
                sha256: sha256.to_vec(),
                compression: v1::Compression::None.into(),
            }),
        };
        let metadata = self.metadata.clone();
        v1::Envelope {
            message_id: self.message_id.to_vec(),
            dedupe_key: self.dedupe_key.to_vec(),
            dup: self.flags.1,
            retain: self.flags.2,
            device_id: metadata.device_id.into(),
            device_id_trust: trust.into(),
            device_type: metadata.device_type.into(),
            firmware_version: metadata.firmware_version.into(),
            group: metadata.group.into(),
            gateway_id: self.gateway_id.clone(),
            source_topic: self.topic.clone(),
            lane: self.lane.clone(),
            qos: self.flags.0.into(),
            received_ms: self.received_ms,
            event_start_ms: metadata.event_start_ms,
            event_end_ms: metadata.event_end_ms,
            payload_size: self.size(),
            content_type: self.content_type.clone(),
            user_properties: connect.chain(publish).map(property).collect(),
            traceparent: metadata.traceparent.into(),
            tracestate: metadata.tracestate.into(),
            dead_letter_reason: self.reason.clone(),
            cut: Vec::new(),
            payload: Some(payload),
        }
    }
}

/// Texts around the lengths where a varint grows to two and three bytes.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => ".{0,12}",
        1 => "[a-zü]{120,135}",
        1 => (16_380..16_390_usize).prop_map(|length| "x".repeat(length)),
    ]
}

fn cow() -> impl Strategy<Value = Cow<'static, str>> {
    text().prop_map(Cow::Owned)
}

fn metadata() -> impl Strategy<Value = Metadata<'static>> {
    let texts = (cow(), cow(), cow(), cow(), cow(), cow());
    let times = (option::of(any::<i64>()), option::of(any::<i64>()));
    (texts, times, any::<bool>(), option::of(cow()), option::of(cow())).prop_map(
        |(texts, (event_start_ms, event_end_ms), verified, message_id, priority)| {
            let (device_id, device_type, firmware_version, group, traceparent, tracestate) = texts;
            Metadata {
                device_id,
                verified,
                device_type,
                firmware_version,
                group,
                message_id,
                event_start_ms,
                event_end_ms,
                event_time_fault: None,
                traceparent,
                tracestate,
                priority,
            }
        },
    )
}

fn parts() -> impl Strategy<Value = Parts> {
    let properties = || vec((text(), text()), 0..4);
    let message = (text(), vec(any::<u8>(), 0..300), any::<i64>(), text(), properties());
    let flags = (0..3_u8, any::<bool>(), any::<bool>(), any::<u16>());
    let reference = option::of((text(), any::<[u8; 32]>(), any::<u64>()));
    let stamp = (text(), text(), any::<[u8; 16]>(), any::<[u8; 16]>(), text());
    (metadata(), properties(), message, flags, reference, stamp).prop_map(
        |(metadata, connect, message, flags, reference, stamp)| {
            let (topic, payload, received_ms, content_type, properties) = message;
            let (gateway_id, lane, message_id, dedupe_key, reason) = stamp;
            let boxed = |(name, value): (String, String)| (name.into(), value.into());
            let properties_of_connect = connect.into_iter().map(boxed).collect();
            Parts {
                metadata,
                device: Device { properties: properties_of_connect, ..Device::default() },
                topic,
                payload,
                reference,
                flags,
                received_ms,
                content_type,
                properties,
                gateway_id,
                lane,
                message_id,
                dedupe_key,
                reason,
            }
        },
    )
}

/// The top-level fields of a message, each with its key, by number; repeated ones in their order.
fn fields(mut message: &[u8]) -> Vec<(u32, Vec<u8>)> {
    let mut fields = Vec::new();
    while !message.is_empty() {
        let start = message;
        let (tag, wire_type) = prost::encoding::decode_key(&mut message).expect("a key");
        let context = DecodeContext::default();
        prost::encoding::skip_field(wire_type, tag, &mut message, context).expect("a field");
        fields.push((tag, start[..start.len() - message.len()].to_vec()));
    }
    fields.sort_by_key(|(tag, _)| *tag);
    fields
}

proptest! {
    #[test]
    fn the_bytes_say_what_the_generated_type_says(parts in parts()) {
        let (written, meant) = (parts.written(), parts.meant());
        let decoded = v1::Envelope::decode(written.as_slice());
        prop_assert_eq!(decoded.as_ref(), Ok(&meant));
        // Not a byte more or less either: no field twice, none with its default.
        prop_assert_eq!(fields(&written), fields(&meant.encode_to_vec()));
        let mut record = RecordBuf::default();
        record.value(|out| out.extend_from_slice(&written));
        prop_assert_eq!(message_id(record.as_record()), Some(parts.message_id));
    }

    #[test]
    fn a_reason_is_short_and_shows_that_it_was_cut(reason in ".{0,300}") {
        let text = reason_text(&reason);
        prop_assert!(text.len() <= 200 + "…".len());
        let kept = text.strip_suffix('…').unwrap_or(&text);
        prop_assert!(reason.starts_with(kept) && (reason.len() > 200 || text == reason));
    }
}

/// The id of a record is found wherever another writer of protobuf puts it, and what is no id is none.
#[test]
fn only_an_id_is_taken_for_one() {
    let id_of = |value: &[u8]| {
        let mut record = RecordBuf::default();
        record.value(|out| out.extend_from_slice(value));
        message_id(record.as_record())
    };
    let id = [[0x0a, 16].as_slice(), &[7; 16]].concat();
    assert_eq!(id_of(&id), Some([7; 16]));
    let behind_others = [&[0x18, 1, 0x2a, 2, b'm', b'1'], id.as_slice()].concat();
    assert_eq!(id_of(&behind_others), Some([7; 16]));
    let short = [[0x0a, 15].as_slice(), &[7; 15]].concat();
    let endless = [0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
    for none in [&[], &id[..17], &short, &endless, b"no envelope", &[0x2a, 9, 1], &[0x18, 1]] {
        assert_eq!(id_of(none), None, "{none:?}");
    }
}

fn golden() -> Parts {
    let own = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    Parts {
        metadata: Metadata {
            device_id: "m-1".into(),
            verified: false,
            device_type: "meter".into(),
            firmware_version: "1.2.3".into(),
            group: "eu".into(),
            message_id: Some("7".into()),
            event_start_ms: Some(1_759_999_999_000),
            event_end_ms: Some(1_759_999_999_500),
            event_time_fault: None,
            traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into(),
            tracestate: "vendor=1".into(),
            priority: None,
        },
        device: Device { properties: vec![("a".into(), "1".into())], ..Device::default() },
        topic: "devices/meter/m-1/power".into(),
        payload: b"21.5".to_vec(),
        reference: None,
        flags: (2, true, true, 9),
        received_ms: 1_760_000_000_000,
        content_type: "text/plain".into(),
        properties: vec![own("a", ""), own("", "ü")],
        gateway_id: "gw-1".into(),
        lane: "fast".into(),
        message_id: *b"\x10\x11\x12\x13\x14\x15\x16\x17\x18\x19\x1a\x1b\x1c\x1d\x1e\x1f",
        dedupe_key: std::array::from_fn(|index| 0xa0 + index as u8),
        reason: String::new(),
    }
}

fn hex(text: &str) -> Vec<u8> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let numbers = lines.flat_map(str::split_ascii_whitespace);
    numbers.map(|byte| u8::from_str_radix(byte, 16).expect("two hexadecimal digits")).collect()
}

#[test]
fn the_bytes_are_fixed() {
    assert_eq!(golden().written(), hex(include_str!("inline.hex")));
    let uri = "s3://bucket/landfall/slow/2026/01/31/23/gw-1/id".to_owned();
    let sha256 = std::array::from_fn(|index| 0x40 + index as u8);
    let large = Parts { reference: Some((uri, sha256, 70_000)), ..golden() };
    assert_eq!(large.written(), hex(include_str!("reference.hex")));
}

#[test]
fn a_record_has_two_headers_at_most() {
    let parts = golden();
    let headers = |reason: &str| {
        let stamp = Stamp {
            topic: "landfall.fast",
            gateway_id: "gw-1",
            lane: "fast",
            message_id: [0; 16],
            dead_letter_reason: reason,
        };
        let mut record = RecordBuf::default();
        parts.with_message(|message| {
            let key = |out: &mut Vec<u8>| out.extend_from_slice(b"m-1");
            begin(&stamp, &parts.metadata, message, key, &mut record);
        });
        finish(&[0; 16], Body::Inline(b"21.5"), &mut record);
        let record = record.as_record();
        assert_eq!((record.topic(), record.key()), ("landfall.fast", &b"m-1"[..]));
        let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
        record.headers().map(|(name, value)| (name.to_owned(), text(value))).collect::<Vec<_>>()
    };
    let own = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let content_type = own("content-type", "application/protobuf");
    assert_eq!(headers(""), std::slice::from_ref(&content_type));
    assert_eq!(headers("why"), [content_type, own("landfall-reason", "why")]);
}
