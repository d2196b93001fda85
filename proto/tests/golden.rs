//! The bytes of the formats, fixed: consumers hold records of years, and decode them with the numbers
//! and types that were true when they were written.
//!
//! The files under `golden/` were not written by this crate's code: their bytes were put together
//! field by field from the protobuf encoding's own rules.

use prost::Message;
use proto::v1::envelope::Payload;
use proto::v1::value::Kind;
use proto::v1::{
    Compression, Cut, DeviceEnvelope, Envelope, Event, IdentityTrust, List, Map, NullValue,
    Position, Reference, TimeFlag, TimeSource, Timestamp, UserProperty, Value,
};

const MESSAGE_ID: [u8; 16] = *b"\x10\x11\x12\x13\x14\x15\x16\x17\x18\x19\x1a\x1b\x1c\x1d\x1e\x1f";
const TRACEPARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

#[test]
fn an_envelope_with_its_payload_inline() {
    golden(include_str!("golden/inline.hex"), &full());
}

#[test]
fn an_envelope_with_a_reference() {
    let reference = Reference {
        uri: "s3://bucket/landfall/slow/2026/01/31/23/gw-1/id".into(),
        size: 70_000,
        sha256: (0x40..0x60).collect(),
        compression: Compression::None.into(),
    };
    let payload = Some(Payload::Reference(reference));
    golden(
        include_str!("golden/reference.hex"),
        &Envelope { payload_size: 70_000, payload, ..full() },
    );
}

#[test]
fn a_dead_letter() {
    let letter = Envelope {
        dead_letter_reason: "too large for Kafka".into(),
        payload_size: 0,
        payload: Some(Payload::Inline(b"".as_slice().into())),
        ..full()
    };
    golden(include_str!("golden/dead_letter.hex"), &letter);
}

#[test]
fn a_dead_letter_without_its_payload() {
    let cut = Cut { field: "payload".into(), size: 70_000, sha256: (0x40..0x60).collect() };
    let letter = Envelope {
        message_id: MESSAGE_ID.into(),
        device_id: "d".into(),
        payload_size: 70_000,
        dead_letter_reason: "no place".into(),
        cut: vec![cut],
        ..Envelope::default()
    };
    golden(include_str!("golden/cut.hex"), &letter);
}

#[test]
fn an_envelope_of_a_device_that_tells_nothing() {
    let minimal = Envelope {
        message_id: MESSAGE_ID.into(),
        device_id: "d".into(),
        device_id_trust: IdentityTrust::Claimed.into(),
        received_ms: -1,
        // Zero is a time, and not the same as none.
        event_start_ms: Some(0),
        payload: Some(Payload::Inline(b"".as_slice().into())),
        ..Envelope::default()
    };
    golden(include_str!("golden/minimal.hex"), &minimal);
}

#[test]
fn a_device_envelope() {
    let envelope = DeviceEnvelope {
        message_id: "7".into(),
        device_type: "meter".into(),
        firmware_version: "2.0".into(),
        group: "eu".into(),
        event_start_ms: Some(1_759_999_999_000),
        event_end_ms: Some(0),
        priority: "high".into(),
        traceparent: TRACEPARENT.into(),
        payload: vec![0, 0xff, 0x80],
    };
    golden(include_str!("golden/device_envelope.hex"), &envelope);
}

#[test]
fn an_event_with_a_value_of_every_type() {
    let value = |kind| Value { kind: Some(kind) };
    let fields = [
        ("null", Kind::NullValue(NullValue::NullValue.into())),
        ("bool", Kind::BoolValue(true)),
        ("int", Kind::IntValue(i64::MIN)),
        ("float", Kind::FloatValue(48.0)),
        ("decimal", Kind::DecimalValue("19.90".into())),
        ("text", Kind::TextValue("ü".into())),
        ("bytes", Kind::BytesValue(vec![0, 0xff])),
        ("time", Kind::TimeValue(Timestamp { seconds: -1, nanos: 500_000_000 })),
        (
            "list",
            Kind::ListValue(List {
                values: vec![value(Kind::IntValue(1)), value(Kind::DecimalValue("2.0".into()))],
            }),
        ),
        (
            "map",
            Kind::MapValue(Map {
                values: [("x".into(), value(Kind::BytesValue(b"x".into())))].into(),
            }),
        ),
    ];
    let event = Event {
        event_id: (0x20..0x30).collect(),
        message_id: MESSAGE_ID.into(),
        device_id: "pump-4".into(),
        device_id_trust: IdentityTrust::Claimed.into(),
        sender: "gw-9".into(),
        sender_trust: IdentityTrust::Verified.into(),
        device_type: "pump".into(),
        firmware_version: "2.1".into(),
        group: "eu".into(),
        lane: "fast".into(),
        received_ms: 1_772_366_400_123,
        time: Some(Timestamp { seconds: 1_770_149_645, nanos: 123_456_001 }),
        time_source: TimeSource::Payload.into(),
        time_flag: TimeFlag::NotValid.into(),
        time_offset_ns: Some(-60_000_000_000),
        source: Some(Position { topic: "landfall.fast".into(), partition: 3, offset: 42 }),
        parser: "readings".into(),
        revision: 2,
        index: 7,
        fields: fields.into_iter().map(|(name, kind)| (name.into(), value(kind))).collect(),
    };
    golden(include_str!("golden/event.hex"), &event);
}

/// Readers that know more fields than this version must not be broken by it, and the other way round.
#[test]
fn a_field_of_a_later_version_is_skipped() {
    let mut bytes = hex(include_str!("golden/inline.hex"));
    // Field 1000, text.
    bytes.extend_from_slice(b"\xc2\x3e\x03new");
    assert_eq!(Envelope::decode(bytes.as_slice()), Ok(full()));
}

/// Every number and wire type by name, so that a fault says which field was changed.
#[test]
fn fields_keep_their_numbers_and_types() {
    const VARINT: u8 = 0;
    const LENGTH_DELIMITED: u8 = 2;
    let none = Envelope::default;
    let text = || "x".to_owned();
    let inline = Payload::Inline(b"x".as_slice().into());
    let reference = Payload::Reference(Reference { uri: text(), ..Reference::default() });
    let property = UserProperty { name: text(), value: text() };
    let trust = IdentityTrust::Verified;
    let table = [
        (1, LENGTH_DELIMITED, Envelope { message_id: vec![1], ..none() }),
        (2, LENGTH_DELIMITED, Envelope { dedupe_key: vec![1], ..none() }),
        (3, VARINT, Envelope { dup: true, ..none() }),
        (4, VARINT, Envelope { retain: true, ..none() }),
        (5, LENGTH_DELIMITED, Envelope { device_id: text(), ..none() }),
        (6, VARINT, Envelope { device_id_trust: trust.into(), ..none() }),
        (7, LENGTH_DELIMITED, Envelope { device_type: text(), ..none() }),
        (8, LENGTH_DELIMITED, Envelope { firmware_version: text(), ..none() }),
        (9, LENGTH_DELIMITED, Envelope { group: text(), ..none() }),
        (10, LENGTH_DELIMITED, Envelope { gateway_id: text(), ..none() }),
        (11, LENGTH_DELIMITED, Envelope { source_topic: text(), ..none() }),
        (12, LENGTH_DELIMITED, Envelope { lane: text(), ..none() }),
        (13, VARINT, Envelope { qos: 1, ..none() }),
        (14, VARINT, Envelope { received_ms: 1, ..none() }),
        (15, VARINT, Envelope { event_start_ms: Some(1), ..none() }),
        (16, VARINT, Envelope { event_end_ms: Some(1), ..none() }),
        (17, VARINT, Envelope { payload_size: 1, ..none() }),
        (18, LENGTH_DELIMITED, Envelope { content_type: text(), ..none() }),
        (19, LENGTH_DELIMITED, Envelope { user_properties: vec![property], ..none() }),
        (20, LENGTH_DELIMITED, Envelope { traceparent: text(), ..none() }),
        (21, LENGTH_DELIMITED, Envelope { tracestate: text(), ..none() }),
        (22, LENGTH_DELIMITED, Envelope { dead_letter_reason: text(), ..none() }),
        (23, LENGTH_DELIMITED, Envelope { cut: vec![Cut::default()], ..none() }),
        (30, LENGTH_DELIMITED, Envelope { payload: Some(inline), ..none() }),
        (31, LENGTH_DELIMITED, Envelope { payload: Some(reference), ..none() }),
    ];
    for (number, wire_type, envelope) in table {
        let bytes = envelope.encode_to_vec();
        let mut key = Vec::new();
        prost::encoding::encode_varint(number << 3 | u64::from(wire_type), &mut key);
        assert!(bytes.starts_with(&key), "field {number} of {envelope:?} is {bytes:02x?}");
    }
}

#[test]
fn values_of_enumerations_keep_their_numbers() {
    assert_eq!(IdentityTrust::Unspecified as i32, 0);
    assert_eq!(IdentityTrust::Claimed as i32, 1);
    assert_eq!(IdentityTrust::Verified as i32, 2);
    assert_eq!(Compression::None as i32, 0);
    assert_eq!(full().device_id_trust(), IdentityTrust::Verified);
    assert_eq!(Envelope::default().device_id_trust(), IdentityTrust::Unspecified);
}

/// Every field is written out: whoever adds one has to add its golden bytes as well.
fn full() -> Envelope {
    let property =
        |name: &str, value: &str| UserProperty { name: name.into(), value: value.into() };
    Envelope {
        message_id: MESSAGE_ID.into(),
        dedupe_key: (0xa0..0xb0).collect(),
        dup: true,
        retain: true,
        device_id: "m-1".into(),
        device_id_trust: IdentityTrust::Verified.into(),
        device_type: "meter".into(),
        firmware_version: "1.2.3".into(),
        group: "eu".into(),
        gateway_id: "gw-1".into(),
        source_topic: "devices/meter/m-1/power".into(),
        lane: "fast".into(),
        qos: 2,
        received_ms: 1_760_000_000_000,
        event_start_ms: Some(1_759_999_999_000),
        event_end_ms: Some(1_759_999_999_500),
        payload_size: 4,
        content_type: "text/plain".into(),
        user_properties: vec![property("a", "1"), property("a", ""), property("", "ü")],
        traceparent: TRACEPARENT.into(),
        tracestate: "vendor=1".into(),
        dead_letter_reason: String::new(),
        cut: Vec::new(),
        payload: Some(Payload::Inline(b"21.5".as_slice().into())),
    }
}

/// The bytes decode to the value, and the value encodes to exactly the bytes.
#[track_caller]
fn golden<M: Message + Default + PartialEq + std::fmt::Debug>(text: &str, value: &M) {
    let bytes = hex(text);
    assert_eq!(M::decode(bytes.as_slice()).as_ref(), Ok(value));
    assert_eq!(value.encode_to_vec(), bytes);
}

/// Bytes of a file of hexadecimal numbers, with comments behind `#`.
fn hex(text: &str) -> Vec<u8> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let numbers = lines.flat_map(str::split_ascii_whitespace);
    numbers.map(|byte| u8::from_str_radix(byte, 16).expect("two hexadecimal digits")).collect()
}
