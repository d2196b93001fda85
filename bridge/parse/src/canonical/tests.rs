//! Both formats say the same, and neither changes.

use std::borrow::Cow;

use jiff::Timestamp;
use proptest::prelude::*;
use prost::Message as _;

use super::*;
use crate::time::EventTime;
use crate::value::Value;

fn facts() -> Facts<'static> {
    Facts {
        topic: "devices/meter/m-1/power",
        received_ms: 1_772_366_400_123,
        device_id: "m-1",
        verified: true,
        attributes: &[],
    }
}

fn context<'a>(facts: &'a Facts<'a>) -> Context<'a> {
    Context {
        facts,
        message_id: *b"\x01\x97\x11\x12\x13\x14\x75\x16\x97\x18\x19\x1a\x1b\x1c\x1d\x1e",
        device_type: "meter",
        firmware_version: "2.1",
        group: "",
        lane: "fast",
        topic: "landfall.fast",
        partition: 3,
        offset: 42,
        parser: "readings",
        revision: 1,
    }
}

fn example() -> Event<'static> {
    let time = |text: &str| text.parse::<Timestamp>().expect("a time");
    let field = |name: &'static str, value| (Cow::Borrowed(name), value);
    Event {
        index: 2,
        time: EventTime {
            at: time("2026-02-03T20:14:05.123456001Z"),
            source: TimeSource::Payload,
            flag: None,
            offset_ns: None,
        },
        device_id: Some("pump \"4\"".into()),
        fields: vec![
            field("int", Value::Int(i64::MIN)),
            field("float", Value::Double(48.0)),
            field("not finite", Value::Double(f64::NEG_INFINITY)),
            field("decimal", Value::Decimal("19.90".into())),
            field("bool", Value::Bool(true)),
            field("text", Value::Text("ü\n\u{1}".into())),
            field("bytes", Value::Bytes(Cow::Borrowed(&[0, 255]))),
            field("time", Value::Time(time("1969-12-31T23:59:59.5Z"))),
            field("null", Value::Null),
            field("list", Value::List(vec![Value::Int(1), Value::Decimal("2.0".into())])),
            field("a/b~c", Value::Map(vec![("x".into(), Value::Bytes(Cow::Borrowed(b"x")))])),
        ],
    }
}

/// The line that consumers of years have to read.
const GOLDEN: &str = include_str!("golden.json");

#[test]
fn the_json_never_changes() {
    let facts = facts();
    let mut out = Vec::new();
    json::write(&context(&facts), &example(), &mut out);
    assert_eq!(String::from_utf8(out).expect("UTF-8"), GOLDEN.trim_end());
    // A foreign reader takes it, and sees whole integers and kept fractions.
    let foreign: serde_json::Value = serde_json::from_str(GOLDEN).expect("it is JSON");
    assert_eq!(foreign["fields"]["int"].as_i64(), Some(i64::MIN));
    assert!(foreign["fields"]["float"].is_f64());
    assert_eq!(foreign["types"]["/a~1b~0c/x"], "bytes");
}

#[test]
fn both_formats_say_the_same() {
    let facts = facts();
    let message = protobuf::message(&context(&facts), &example());
    assert_eq!(read::read(GOLDEN.trim_end()), Ok(message.clone()));
    let decoded = proto::v1::Event::decode(message.encode_to_vec().as_slice());
    assert_eq!(decoded, Ok(message));
}

#[test]
fn what_is_no_event_is_refused() {
    for (from, to, word) in [
        ("\"verified\":false", "\"verified\":0", "verified"),
        ("\"time_from\":\"payload\"", "\"time_from\":\"moon\"", "time_from"),
        ("\"index\":2", "\"index\":-2", "index"),
        ("\"/bytes\":\"bytes\"", "\"/bytes\":\"colour\"", "/bytes"),
        ("\"/bytes\":\"bytes\"", "\"/bytes\":\"time\"", "/bytes"),
        ("\"fields\":{", "\"field\":{", "fields"),
        ("01971112-", "0197-", "message_id"),
    ] {
        assert!(GOLDEN.contains(from), "{from}");
        let fault = read::read(&GOLDEN.replace(from, to)).expect_err(to);
        assert!(fault.contains(word), "{to}: {fault}");
    }
}

#[test]
fn a_message_that_is_no_event_is_refused() {
    let facts = facts();
    let message = protobuf::message(&context(&facts), &example());
    for (spoilt, word) in [
        (proto::v1::Event { time: None, ..message.clone() }, "time"),
        (proto::v1::Event { time_source: 0, ..message.clone() }, "time"),
        (proto::v1::Event { source: None, ..message.clone() }, "source"),
        // JSON has no way to say it.
        (proto::v1::Event { received_ms: i64::MAX, ..message.clone() }, "received_ms"),
        (proto::v1::Event { message_id: vec![1], ..message.clone() }, "16 bytes"),
        (
            proto::v1::Event {
                fields: [("x".to_owned(), proto::v1::Value { kind: None })].into(),
                ..message.clone()
            },
            "x: it has no value",
        ),
    ] {
        let fault = whole::Whole::read(&spoilt).expect_err(word);
        assert!(fault.contains(word), "{fault}");
    }
}

/// What a parser lets through, readers of protobuf take.
#[test]
fn the_deepest_value_can_be_decoded() {
    let facts = facts();
    let deep = (0..crate::limits::VALUE_DEPTH_MAX)
        .fold(Value::Null, |value, _| Value::Map(vec![("x".into(), value)]));
    assert_eq!(deep.depth(), crate::limits::VALUE_DEPTH_MAX);
    let event = Event { fields: vec![("x".into(), deep)], ..example() };
    let message = protobuf::message(&context(&facts), &event);
    let decoded = proto::v1::Event::decode(message.encode_to_vec().as_slice());
    assert_eq!(decoded, Ok(message));
}

fn values() -> impl Strategy<Value = Value<'static>> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::Int),
        any::<f64>()
            .prop_filter("NaN is not itself", |value| !value.is_nan())
            .prop_map(Value::Double),
        "-?[1-9][0-9]{0,30}(\\.[0-9]{1,9})?".prop_map(|text| Value::Decimal(text.into())),
        any::<String>().prop_map(|text| Value::Text(text.into())),
        proptest::collection::vec(any::<u8>(), 0..9).prop_map(|bytes| Value::Bytes(bytes.into())),
        (-60_000_000_000_i64..200_000_000_000, 0..1_000_000_000_i32).prop_map(
            |(seconds, nanos)| { Value::Time(Timestamp::new(seconds, nanos).expect("in range")) }
        ),
    ];
    leaf.prop_recursive(3, 24, 6, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::List),
            proptest::collection::btree_map(any::<String>(), inner, 0..4).prop_map(|map| {
                Value::Map(map.into_iter().map(|(name, value)| (name.into(), value)).collect())
            }),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    /// Writing JSON and reading it gives the values that were written.
    #[test]
    fn nothing_is_lost_on_the_way(
        fields in proptest::collection::btree_map(any::<String>(), values(), 0..6),
        device_id in proptest::option::of(any::<String>()),
        seconds in -60_000_000_000_i64..200_000_000_000,
        nanos in 0..1_000_000_000_i32,
        offset_ns in proptest::option::of(any::<i64>()),
        index in any::<u64>(),
    ) {
        let facts = facts();
        let at = Timestamp::new(seconds, nanos).expect("in range");
        let flag = offset_ns.map(|_| TimeFlag::OutOfRange);
        let event = Event {
            index,
            time: EventTime { at, source: TimeSource::Received, flag, offset_ns },
            device_id: device_id.map(Cow::Owned),
            fields: fields.into_iter().map(|(name, value)| (name.into(), value)).collect(),
        };
        let mut out = Vec::new();
        json::write(&context(&facts), &event, &mut out);
        let text = String::from_utf8(out).expect("UTF-8");
        let message = protobuf::message(&context(&facts), &event);
        prop_assert_eq!(&read::read(&text), &Ok(message.clone()));
        // And back: the event out of the message gives the same message, and the same JSON.
        let whole = whole::Whole::read(&message).expect("it was written so");
        prop_assert_eq!(&protobuf::message(&whole.context(), &whole.event), &message);
        let mut again = Vec::new();
        json::write(&whole.context(), &whole.event, &mut again);
        let again = String::from_utf8(again).expect("UTF-8");
        prop_assert_eq!(read::read(&again), Ok(message));
    }
}
