//! Rules of parsers hold for a record that is read back as the lanes' rules hold for its message.

use std::collections::BTreeMap;
use std::time::Duration;

use bridge::classify::{Routing, Unrouted};
use bridge::format::{Format, Head};
use bridge::kafka_topic::TopicName;
use bridge::key::KeyStrategy;
use bridge::message::{Device, Message, Payload};
use bridge::metadata::DeviceAttributes;
use bridge::route::{Route, Routes};
use bridge::topic::filter::Filter;
use bridge::version::VersionRange;
use bridge::{LaneId, LanePlan, Lanes};
use proptest::prelude::*;
use prost::Message as _;
use proto::v1::UserProperty;

use super::*;
use crate::failure::{NotData, Outcome};
use crate::parser::Sink;
use crate::plan::known::Known;

struct Nothing;

impl Parser for Nothing {
    fn parse(&self, _: &[u8], _: &Facts<'_>, _: &mut dyn Sink) -> Outcome {
        Outcome::NotData(NotData::Ignored)
    }
}

fn rule(lane: Option<&str>, when: When) -> Rule {
    let parser = NamedParser { name: "p".to_owned(), revision: 1, parser: Box::new(Nothing) };
    Rule {
        lane: lane.map(Into::into),
        when,
        parser: Arc::new(parser),
        topic: 0,
        on_failure: OnFailure::Skip,
    }
}

fn pairs(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn routes() -> Routes {
    let filter = Filter::parse("devices/{device_type}/{device_id}/{stream}/#").expect("a filter");
    vec![Route { filter, attributes: pairs(&[("plant", "north")]), device_envelope: false }].into()
}

/// One condition of each kind, and some of two.
fn conditions() -> Vec<When> {
    let topic = |text| Some(Filter::parse(text).expect("a filter"));
    let firmware = |text| Some(VersionRange::parse(text).expect("a range"));
    let default = When::default;
    vec![
        When { topic: topic("devices/meter/#"), ..default() },
        When { topic: topic("+/+/m-1/power"), ..default() },
        When { last_level: Some("alarm".to_owned()), ..default() },
        When { attributes: pairs(&[("device_id", "m-1")]), ..default() },
        When { attributes: pairs(&[("device_type", "meter"), ("plant", "north")]), ..default() },
        When { attributes: pairs(&[("stream", "power")]), ..default() },
        When { attributes: pairs(&[("hall", "7")]), ..default() },
        When { attributes: pairs(&[("group", "east")]), ..default() },
        When { firmware: firmware(">=2"), ..default() },
        When { property: pairs(&[("priority", "high")]), ..default() },
        When { property: pairs(&[("codec", "a")]), ..default() },
        When { larger_than: Some(10), ..default() },
        When { older_than_ms: Some(60_000), ..default() },
        When { larger_than: Some(10), firmware: firmware("<2"), ..default() },
        default(),
    ]
}

fn routing(when: When) -> Routing {
    let devices = DeviceAttributes::from([("m-1".to_owned(), pairs(&[("hall", "7")]))]);
    let lanes = Lanes::built_in(|_, name| LanePlan {
        name: name.to_owned(),
        topic: TopicName::Fixed(format!("landfall.{name}")),
        key: KeyStrategy::DeviceId,
        format: Format::Envelope,
        inline_size: 1024,
        gather: Duration::ZERO,
        properties: BTreeMap::new(),
        inline_memory: 4096,
        large_memory: 0,
    });
    Routing {
        gateway_id: "gw-1".to_owned(),
        routes: routes(),
        unrouted: Unrouted::Fast,
        rules: vec![bridge::rule::Rule { when, lane: LaneId::SLOW }],
        lanes,
        devices,
        has_store: false,
    }
}

proptest! {
    /// Whatever was published: a rule of a parser holds for the record as the same rule of a lane held for
    /// the message.
    #[test]
    fn a_record_is_what_its_message_was(
        topic in prop::sample::select(vec![
            "devices/meter/m-1/power", "devices/meter/m-2/alarm", "devices/cam/m-1/power/x",
            "devices/meter/m-1//x", "elsewhere/alarm", "$x/y",
        ]),
        client_id in prop::sample::select(vec!["m-1", "c-9"]),
        of_connect in prop::collection::vec(property(), 0..3),
        of_publish in prop::collection::vec(property(), 0..3),
        size in 0..20_usize,
        age in prop::option::of(0..120_000_i64),
    ) {
        let received_ms = 1_800_000_000_000_i64;
        // One of a name in each packet: which of two counts, no envelope tells.
        prop_assume!(of_connect.len() < 2 || of_connect[0].0 != of_connect[1].0);
        prop_assume!(of_publish.len() < 2 || of_publish[0].0 != of_publish[1].0);
        let device = Device {
            client_id: client_id.into(),
            verified: None,
            properties: of_connect.iter().map(|&(name, value)| (name.into(), value.into())).collect(),
        };
        let start = age.map(|age| (received_ms - age).to_string());
        let mut properties = of_publish.clone();
        properties.extend(start.as_deref().map(|start| ("event-start", start)));
        let payload = vec![b'x'; size];
        let message = Message {
            device: &device,
            topic,
            payload: Payload::Inline(&payload),
            qos: 1,
            dup: false,
            retain: false,
            packet_id: 1,
            received_ms,
            content_type: "",
            properties: &properties,
        };
        for when in conditions() {
            let routing = routing(when.clone());
            let decision = routing.decide(&message);
            let mut head = Head::default();
            decision.begin([7; 16], &mut head);
            let envelope = Envelope::decode(head.record().value()).expect("an envelope");
            let known = Known { routes: routing.routes.clone(), devices: routing.devices.clone() };
            let mut attributes = vec![
                ("device_type", envelope.device_type.as_str()),
                ("firmware_version", &envelope.firmware_version),
                ("group", &envelope.group),
            ];
            known.attributes(&envelope.source_topic, &envelope.device_id, &mut attributes);
            let facts = Facts {
                topic: &envelope.source_topic,
                received_ms: envelope.received_ms,
                device_id: &envelope.device_id,
                verified: false,
                attributes: &attributes,
            };
            let raw = RawMessage { facts: &facts, envelope: &envelope };
            prop_assert_eq!(when.holds(&raw), decision.rule.is_some(), "{} of {:?}", when, envelope);
        }
    }
}

fn property() -> impl Strategy<Value = (&'static str, &'static str)> {
    let names = vec!["codec", "codec", "priority", "group", "firmware-version"];
    let values = vec!["", "high", "a", "east", "meter", "2.1", "1.9"];
    (prop::sample::select(names), prop::sample::select(values))
}

#[test]
fn the_first_that_holds_counts_in_its_lane() {
    let meters = || When {
        topic: Some(Filter::parse("devices/meter/#").expect("a filter")),
        ..When::default()
    };
    let rules = Rules::from(vec![
        rule(Some("slow"), When::default()),
        rule(None, meters()),
        rule(Some("fast"), When::default()),
    ]);
    let found = |lane: &str, topic: &str| {
        let facts =
            Facts { topic, received_ms: 0, device_id: "", verified: false, attributes: &[] };
        // A lane that an envelope says is nobody's proof.
        let envelope = Envelope { lane: "slow".to_owned(), ..Envelope::default() };
        let raw = RawMessage { facts: &facts, envelope: &envelope };
        rules.first_match(lane, &raw).map(|(place, _)| place)
    };
    assert_eq!(found("slow", "devices/meter/m-1/x"), Some(0));
    assert_eq!(found("fast", "devices/meter/m-1/x"), Some(1));
    assert_eq!(found("fast", "other"), Some(2));
    assert_eq!(found("priority", "other"), None);
    let shown: Vec<String> = rules.iter().map(Rule::to_string).collect();
    assert_eq!(shown, ["lane slow", "topic devices/meter/#", "lane fast"]);
}

#[test]
fn of_properties_with_one_name_the_last_that_says_something_counts() {
    let property = |value: &str| UserProperty { name: "codec".to_owned(), value: value.to_owned() };
    let envelope = Envelope {
        user_properties: vec![property("connect"), property("publish"), property("")],
        ..Envelope::default()
    };
    let facts =
        Facts { topic: "", received_ms: 0, device_id: "", verified: false, attributes: &[] };
    let raw = RawMessage { facts: &facts, envelope: &envelope };
    assert!(raw.has_property("codec", "publish"));
    assert!(!raw.has_property("codec", "connect") && !raw.has_property("codec", ""));
}
