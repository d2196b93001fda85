//! Tables of messages and where they belong.

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use prost::Message as _;
use proto::v1::DeviceEnvelope;

use super::*;
use crate::format::Format;
use crate::kafka_topic::TopicName;
use crate::key::{KeyStrategy, Template};
use crate::message::{Device, Verified};
use crate::metadata::EventTimeFault;
use crate::route::Route;
use crate::rule::When;
use crate::topic::filter::Filter;
use crate::version::VersionRange;

const NOW_MS: i64 = 1_760_000_000_000;

fn change_route(routing: &mut Routing, change: impl FnOnce(&mut Route)) {
    let mut routes: Vec<Route> = routing.routes.iter().cloned().collect();
    change(&mut routes[0]);
    routing.routes = routes.into();
}

fn routing() -> Routing {
    let plan = |_, name: &str| LanePlan {
        name: name.to_owned(),
        topic: TopicName::Fixed(format!("landfall.{name}")),
        key: KeyStrategy::DeviceId,
        format: Format::Envelope,
        inline_size: 512 * 1024,
        gather: Duration::ZERO,
        properties: BTreeMap::new(),
        inline_memory: 0,
        large_memory: 0,
    };
    Routing {
        gateway_id: "gw-1".to_owned(),
        routes: vec![Route {
            filter: Filter::parse("devices/{device_type}/{device_id}/{stream}/#")
                .expect("a filter"),
            attributes: BTreeMap::from([("group".to_owned(), "eu".to_owned())]),
            device_envelope: false,
        }]
        .into(),
        unrouted: Unrouted::Fast,
        rules: vec![
            Rule {
                when: When { last_level: Some("alarm".into()), ..When::default() },
                lane: LaneId::PRIORITY,
            },
            Rule { when: When { larger_than: Some(1_000), ..When::default() }, lane: LaneId::SLOW },
            Rule {
                when: When { older_than_ms: Some(3_600_000), ..When::default() },
                lane: LaneId::SLOW,
            },
        ],
        lanes: Lanes::built_in(plan),
        devices: DeviceAttributes::new(),
        has_store: false,
    }
}

fn device() -> Device {
    Device { client_id: "client-1".into(), verified: None, properties: Vec::new() }
}

fn message<'a>(
    device: &'a Device,
    topic: &'a str,
    properties: &'a [(&'a str, &'a str)],
) -> Message<'a> {
    Message {
        device,
        topic,
        payload: Payload::Inline(b"21.5"),
        qos: 1,
        dup: false,
        retain: false,
        packet_id: 1,
        received_ms: NOW_MS,
        content_type: "",
        properties,
    }
}

#[test]
fn the_default_rules_sort_by_urgency_size_and_age() {
    let (routing, device) = (routing(), device());
    let lane = |message: &Message<'_>| routing.decide(message).lane;
    assert_eq!(lane(&message(&device, "devices/meter/m-1/power", &[])), LaneId::FAST);
    assert_eq!(lane(&message(&device, "devices/meter/m-1/alarm", &[])), LaneId::PRIORITY);
    let large = Message {
        payload: Payload::Streamed { size: 1_001 },
        ..message(&device, "devices/meter/m-1/image", &[])
    };
    assert_eq!(lane(&large), LaneId::SLOW);
    let last_month = (NOW_MS - 30 * 24 * 3_600_000).to_string();
    let properties = [("event-start", last_month.as_str())];
    assert_eq!(lane(&message(&device, "devices/meter/m-1/power", &properties)), LaneId::SLOW);
}

#[test]
fn metadata_takes_the_strongest_source() {
    let routing = routing();
    let device = Device {
        properties: vec![
            ("firmware-version".into(), "1.0".into()),
            ("device-type".into(), "x".into()),
        ],
        ..device()
    };
    let properties = [("firmware-version", "1.1"), ("device-type", "spoof"), ("message-id", "7")];
    let published = message(&device, "devices/meter/m-1/power", &properties);
    let metadata = routing.decide(&published).metadata;
    assert_eq!(metadata.device_id, "m-1");
    assert_eq!(metadata.device_type, "meter", "the topic is stronger than a property");
    assert_eq!(metadata.firmware_version, "1.1", "PUBLISH is stronger than CONNECT");
    assert_eq!(metadata.group, "eu", "the route is the weakest here");
    assert_eq!(metadata.message_id.as_deref(), Some("7"));
    let elsewhere = message(&device, "other", &[]);
    assert_eq!(routing.decide(&elsewhere).metadata.device_id, "client-1");
}

#[test]
fn event_times_that_cannot_be_are_absent() {
    let (routing, device) = (routing(), device());
    let tomorrow = (NOW_MS + 25 * 3_600_000).to_string();
    for (text, expected) in [
        ("1970-01-02T00:00:00Z", None),
        (tomorrow.as_str(), None),
        ("yesterday", None),
        ("2025-10-01T12:00:00Z", Some(1_759_320_000_000)),
        ("2025-10-01T14:00:00+02:00", Some(1_759_320_000_000)),
        ("1759320000000", Some(1_759_320_000_000)),
    ] {
        let properties = [("event-start", text)];
        let published = message(&device, "a", &properties);
        let metadata = routing.decide(&published).metadata;
        assert_eq!(metadata.event_start_ms, expected, "{text}");
        let fault = metadata.event_time_fault;
        assert_eq!(fault.is_none(), expected.is_some(), "{text}: {fault:?}");
    }
    let properties = [("event-start", "1759320000000"), ("event-end", "1759310000000")];
    let metadata = routing.decide(&message(&device, "a", &properties)).metadata;
    assert_eq!(metadata.event_end_ms, None, "an end before its start");
    assert_eq!(metadata.event_time_fault, Some(EventTimeFault::EndBeforeStart));
}

#[test]
fn an_unlisted_kafka_topic_is_a_dead_letter() {
    let (mut routing, device) = (routing(), device());
    routing.lanes[LaneId::FAST].topic = TopicName::Template {
        template: Template::parse("telemetry.{device_type}").expect("a template"),
        allowed: vec!["telemetry.meter".into()],
    };
    let destination = |topic| routing.decide(&message(&device, topic, &[])).destination;
    assert_eq!(
        destination("devices/meter/m-1/power"),
        Destination::Lane { topic: "telemetry.meter".into() }
    );
    for topic in ["devices/lamp/m-1/power", "devices/me ter\u{1}/m-1/power", "no/route"] {
        let Destination::DeadLetter { fault: Fault::Topic, reason } = destination(topic) else {
            panic!("{topic} is not a dead letter");
        };
        assert!(!reason.contains('\u{1}'), "control characters are escaped");
    }
}

#[test]
fn a_declared_envelope_is_read_or_dead_lettered() {
    let (mut routing, device) = (routing(), device());
    change_route(&mut routing, |route| route.device_envelope = true);
    let envelope = DeviceEnvelope {
        firmware_version: "2.0".into(),
        message_id: "9".into(),
        ..Default::default()
    };
    let bytes = envelope.encode_to_vec();
    let good = Message {
        payload: Payload::Inline(&bytes),
        ..message(&device, "devices/meter/m-1/power", &[])
    };
    let decision = routing.decide(&good);
    assert_eq!(decision.metadata.firmware_version, "2.0");
    assert_eq!(decision.metadata.message_id.as_deref(), Some("9"));
    let bad = Message { payload: Payload::Inline(&[0xff; 5]), ..good };
    let destination = routing.decide(&bad).destination;
    assert!(
        matches!(destination, Destination::DeadLetter { fault: Fault::Payload, .. }),
        "{destination:?}"
    );
}

/// Its texts become those of the record: a payload is no way to make them larger than a packet's own.
#[test]
fn a_declared_envelope_with_endless_texts_is_a_dead_letter_without_them() {
    let mut routing = routing();
    change_route(&mut routing, |route| route.device_envelope = true);
    let envelope = DeviceEnvelope { device_type: "x".repeat(520_000), ..DeviceEnvelope::default() };
    let payload = envelope.encode_to_vec();
    let device = device();
    let message = Message {
        payload: Payload::Inline(&payload),
        ..message(&device, "devices/meter/m-1/power", &[])
    };
    let decision = routing.decide(&message);
    let Destination::DeadLetter { fault: Fault::Payload, reason } = &decision.destination else {
        panic!("it has no lane: {:?}", decision.destination);
    };
    assert!(reason.contains("520000 bytes"), "{reason}");
    assert_eq!(decision.metadata.device_type, "meter");
}

#[test]
fn unrouted_topics_go_where_the_configuration_says() {
    let (mut routing, device) = (routing(), device());
    let destination = routing.decide(&message(&device, "x", &[])).destination;
    assert_eq!(destination, Destination::Lane { topic: "landfall.fast".into() });
    routing.unrouted = Unrouted::Refuse;
    let destination = routing.decide(&message(&device, "x", &[])).destination;
    let reason = Refusal::Unrouted.reason().into();
    assert_eq!(destination, Destination::DeadLetter { fault: Fault::Topic, reason });
    let unanswered = Message { qos: 0, ..message(&device, "x", &[]) };
    let destination = routing.decide(&unanswered).destination;
    assert_eq!(destination, Destination::Refused(Refusal::Unrouted));
}

proptest! {
    #[test]
    fn a_claim_never_changes_what_was_verified(
        topic in "[a-z/$]{1,30}",
        client_id in ".{0,20}",
        name in "[a-z-]{1,20}",
        value in ".{0,20}",
    ) {
        let routing = routing();
        let proved = |name: &str, value: &str| (name.into(), value.into());
        let verified = Verified {
            id: "proved".into(),
            attributes: vec![proved("group", "proved"), proved("device_type", "")],
        };
        let device = Device {
            client_id: client_id.into(),
            verified: Some(Arc::new(verified)),
            properties: vec![(name.clone().into(), value.clone().into()), proved("group", "spoof")],
        };
        let properties =
            [(name.as_str(), value.as_str()), ("device-id", "spoof"), ("device-type", "spoof")];
        let decision = routing.decide(&message(&device, &topic, &properties));
        prop_assert_eq!(&decision.metadata.device_id, "proved");
        prop_assert!(decision.metadata.verified);
        prop_assert_eq!(&decision.metadata.group, "proved");
        prop_assert_eq!(&decision.metadata.device_type, "", "it was proved to have none");
        // What the topic captures is a claim too.
        let decision = routing.decide(&message(&device, "devices/spoof/spoof/power", &properties));
        prop_assert_eq!(&decision.metadata.device_id, "proved");
        prop_assert_eq!(decision.facts().attribute("group"), Some("proved"));
        prop_assert_eq!(decision.facts().attribute("device_type"), None);
    }

    /// Against the rules read aloud: the first that holds decides, else it is fast.
    #[test]
    fn the_first_rule_that_holds_decides(
        rules in prop::collection::vec((asks(), lanes()), 0..6),
        kind in prop::sample::select(vec!["meter", "lamp"]),
        stream in prop::sample::select(vec!["power", "alarm"]),
        size in 0..4_u64,
        age_ms in prop::option::of(0..4_i64),
        firmware in prop::option::of(0..4_u8),
        wish in prop::option::of(prop::sample::select(vec!["high", "low"])),
    ) {
        let mut routing = routing();
        routing.rules =
            rules.iter().map(|(ask, lane)| Rule { when: ask.when(), lane: *lane }).collect();
        let topic = format!("devices/{kind}/m-1/{stream}");
        let event = age_ms.map(|age_ms| (NOW_MS - age_ms).to_string());
        let version = firmware.map(|minor| format!("1.{minor}"));
        let mut properties = Vec::new();
        properties.extend(event.as_deref().map(|event| ("event-start", event)));
        properties.extend(version.as_deref().map(|version| ("firmware-version", version)));
        properties.extend(wish.map(|wish| ("priority", wish)));
        let device = device();
        let published = Message {
            payload: Payload::Streamed { size },
            ..message(&device, &topic, &properties)
        };
        let holds = |ask: &Ask| match ask {
            Ask::Always => true,
            Ask::Kind(wanted) => kind == *wanted,
            Ask::Stream(wanted) => stream == *wanted,
            Ask::Topic(wanted) => stream == *wanted,
            Ask::LargerThan(limit) => size > *limit,
            Ask::OlderThan(limit_ms) => age_ms.is_some_and(|age_ms| age_ms > *limit_ms),
            Ask::FirmwareFrom(minor) => firmware.is_some_and(|firmware| firmware >= *minor),
            Ask::Wish(wanted) => wish == Some(*wanted),
            Ask::Both(wanted, limit) => stream == *wanted && size > *limit,
        };
        let first = rules.iter().position(|(ask, _)| holds(ask));
        let decision = routing.decide(&published);
        prop_assert_eq!(decision.rule, first);
        prop_assert_eq!(decision.lane, first.map_or(LaneId::FAST, |first| rules[first].1));
    }

    /// What becomes of a template is one of the topics that are listed, whatever a device says.
    #[test]
    fn no_device_makes_a_kafka_topic(
        kind in "[^/+#\0]{0,12}|meter|lamp",
        group in prop::option::of("[^\0]{0,12}|a"),
    ) {
        let mut routing = routing();
        change_route(&mut routing, |route| route.attributes.clear());
        let allowed = ["of.meter.a".to_owned(), "of.lamp.a".to_owned()];
        routing.lanes[LaneId::FAST].topic = TopicName::Template {
            template: Template::parse("of.{device_type}.{group}").expect("a template"),
            allowed: allowed.to_vec(),
        };
        let topic = format!("devices/{kind}/m-1/power");
        let properties: Vec<_> = group.iter().map(|group| ("group", group.as_str())).collect();
        let device = device();
        match routing.decide(&message(&device, &topic, &properties)).destination {
            Destination::Lane { topic } => {
                prop_assert!(allowed.contains(&topic.into_owned()));
                prop_assert!(["meter", "lamp"].contains(&&*kind) && group.as_deref() == Some("a"));
            }
            Destination::DeadLetter { fault: Fault::Topic, reason } => {
                prop_assert!(!reason.contains(char::is_control), "{}", reason);
            }
            other => prop_assert!(false, "{:?}", other),
        }
    }
}

/// What a rule of the property test asks for.
#[derive(Clone, Debug)]
enum Ask {
    Always,
    Kind(&'static str),
    Stream(&'static str),
    Topic(&'static str),
    LargerThan(u64),
    OlderThan(i64),
    FirmwareFrom(u8),
    Wish(&'static str),
    Both(&'static str, u64),
}

fn lanes() -> impl Strategy<Value = LaneId> {
    prop::sample::select(vec![LaneId::PRIORITY, LaneId::FAST, LaneId::SLOW, LaneId::DEAD_LETTER])
}

fn asks() -> impl Strategy<Value = Ask> {
    let stream = || prop::sample::select(vec!["power", "alarm"]);
    prop_oneof![
        1 => Just(Ask::Always),
        3 => prop::sample::select(vec!["meter", "lamp"]).prop_map(Ask::Kind),
        3 => stream().prop_map(Ask::Stream),
        3 => stream().prop_map(Ask::Topic),
        3 => (0..4_u64).prop_map(Ask::LargerThan),
        3 => (0..4_i64).prop_map(Ask::OlderThan),
        3 => (0..4_u8).prop_map(Ask::FirmwareFrom),
        3 => prop::sample::select(vec!["high", "low"]).prop_map(Ask::Wish),
        3 => (stream(), 0..4_u64).prop_map(|(stream, limit)| Ask::Both(stream, limit)),
    ]
}

impl Ask {
    fn when(&self) -> When {
        let one = |name: &str, value: &str| BTreeMap::from([(name.to_owned(), value.to_owned())]);
        let none = When::default();
        match self {
            Ask::Always => none,
            Ask::Kind(kind) => When { attributes: one("device_type", kind), ..none },
            Ask::Stream(stream) => When { last_level: Some((*stream).into()), ..none },
            Ask::Topic(stream) => {
                let filter = Filter::parse(&format!("devices/+/+/{stream}")).expect("a filter");
                When { topic: Some(filter), ..none }
            }
            Ask::LargerThan(limit) => When { larger_than: Some(*limit), ..none },
            Ask::OlderThan(limit_ms) => When { older_than_ms: Some(*limit_ms), ..none },
            Ask::FirmwareFrom(minor) => {
                let range = VersionRange::parse(&format!(">=1.{minor}")).expect("a range");
                When { firmware: Some(range), ..none }
            }
            Ask::Wish(wish) => When { property: one("priority", wish), ..none },
            Ask::Both(stream, limit) => {
                When { last_level: Some((*stream).into()), larger_than: Some(*limit), ..none }
            }
        }
    }
}
