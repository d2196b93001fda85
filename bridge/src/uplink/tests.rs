//! What the door lets through, whatever devices choose.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;
use crate::classify::Unrouted;
use crate::format::{Body, Format, Head};
use crate::kafka_topic::TopicName;
use crate::key::{KeyStrategy, Template};
use crate::lanes::LanePlan;
use crate::message::{Device, Payload};
use crate::metadata::DeviceAttributes;
use crate::objects::{self, Objects};
use crate::outcome::{Fault, Outcome};
use crate::record::{HEAD_ROOM_BYTES, REFERENCE_MAX_BYTES};
use crate::route::Route;
use crate::topic::filter::Filter;

fn routing(inline_sizes: [u32; 4], key: &KeyStrategy, has_store: bool) -> Routing {
    Routing {
        gateway_id: "g".repeat(64),
        routes: vec![Route {
            filter: Filter::parse("{device_type}/{device_id}").expect("a filter"),
            attributes: BTreeMap::new(),
            device_envelope: false,
        }]
        .into(),
        unrouted: Unrouted::Refuse,
        rules: Vec::new(),
        lanes: Lanes::built_in(|lane, name| LanePlan {
            name: name.to_owned(),
            topic: TopicName::Fixed(name.to_owned()),
            key: key.clone(),
            format: Format::Envelope,
            inline_size: inline_sizes[usize::from(lane.place())],
            gather: Duration::ZERO,
            properties: BTreeMap::new(),
            inline_memory: u64::MAX / 2,
            large_memory: u64::MAX / 2,
        }),
        devices: DeviceAttributes::new(),
        has_store,
    }
}

fn message<'a>(device: &'a Device, topic: &'a str, payload: &'a [u8], qos: u8) -> Message<'a> {
    Message {
        device,
        topic,
        payload: Payload::Inline(payload),
        qos,
        dup: true,
        retain: true,
        packet_id: qos.into(),
        received_ms: i64::MAX,
        content_type: "",
        properties: &[],
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// Each record fits what its topic has to take and its producer takes, and so does each dead letter.
    #[test]
    fn no_record_is_larger_than_its_lane_takes(
        levels in (1..30_000_usize, 1..35_000_usize),
        properties in prop::collection::vec(1..20_000_usize, 0..4),
        connect_properties in prop::collection::vec(1..20_000_usize, 0..4),
        attribute in 0..60_000_usize,
        payload_size in prop_oneof![Just(0), 0..2_000_usize, 0..700_000_usize],
        inline_sizes in prop::array::uniform4(prop::sample::select(vec![1024, 64 * 1024, 512 * 1024])),
        twice in any::<bool>(),
        routed in any::<bool>(),
        has_store in any::<bool>(),
    ) {
        let key = match twice {
            true => KeyStrategy::Template(Template::parse("{device_id}{device_id}").expect("one")),
            false => KeyStrategy::DeviceId,
        };
        let routing = routing(inline_sizes, &key, has_store);
        let value = |size: &usize| "v".repeat(*size);
        let own: Vec<String> = properties.iter().map(value).collect();
        let attribute = value(&attribute);
        let mut pairs: Vec<(&str, &str)> = own.iter().map(|value| ("n", &**value)).collect();
        pairs.push(("firmware-version", &attribute));
        let device = Device {
            client_id: "c".into(),
            verified: None,
            properties: connect_properties
                .iter()
                .map(|size| ("n".into(), value(size).into()))
                .collect(),
        };
        let topic = format!("{}/{}", "t".repeat(levels.0), "d".repeat(levels.1));
        let topic = if routed { topic } else { format!("{topic}/unrouted") };
        let payload = vec![0; payload_size];
        let message =
            Message { properties: &pairs, ..message(&device, &topic, &payload, 1) };
        let decision = routing.decide(&message);
        let mut head = Head::default();
        decision.begin([1; 16], &mut head);
        let written = head.record().len() as u64;
        prop_assert!(written <= decision.head_max_bytes());
        let (room, reference) = (u64::from(HEAD_ROOM_BYTES), u64::from(REFERENCE_MAX_BYTES));
        let most = u64::from(routing.lanes[decision.record_lane()].inline_size) + room;
        let size = payload_size as u64;
        if decision.record_lane() == LaneId::DEAD_LETTER {
            prop_assert!(written + reference <= room, "a letter of {written}");
            // Without a store, a payload that does not fit is left out.
            let fits = size <= u64::from(routing.lanes[LaneId::DEAD_LETTER].inline_size);
            prop_assert_eq!(decision.carriage == Carriage::Large, has_store && !fits);
            prop_assert_eq!(decision.is_cut(), !has_store && !fits);
        } else if decision.carriage == Carriage::Inline {
            prop_assert!(written + size <= most, "{written} + {size} > {most}");
        } else {
            prop_assert!(has_store && size > 0);
            prop_assert!(written + reference <= most, "{written} > {most}");
        }
        if decision.carriage == Carriage::Inline {
            let body = match decision.is_cut() {
                true => Body::Cut(&payload),
                false => Body::Inline(&payload),
            };
            let record = head.finish(&[2; 16], body);
            prop_assert!(record.len() as u64 <= most, "a record of {}, at most {most}", record.len());
            if !has_store {
                let (length, lane) = (record.len(), decision.record_lane());
                let uplink = Uplink::new(routing.clone(), None);
                prop_assert_eq!(uplink.decide(&message).offer(Instant::now()), Ok(()));
                prop_assert_eq!(uplink.lanes[lane].queued_bytes(), length);
            }
        }
    }
}

/// Nobody waits for an answer to QoS 0, so what no route takes of it is counted and is no dead letter.
#[test]
fn what_is_refused_is_counted_and_nothing_of_it_is_kept() {
    let uplink = Uplink::new(routing([10; 4], &KeyStrategy::DeviceId, false), None);
    let device = Device::default();
    let refused = message(&device, "no/route/takes/it", b"payload", 0);
    assert_eq!(uplink.decide(&refused).offer(Instant::now()), Ok(()));
    let answered = message(&device, "no/route/takes/it", b"payload", 1);
    assert_eq!(uplink.decide(&answered).offer(Instant::now()), Ok(()));
    let totals = uplink.lanes[LaneId::FAST].account.ledger.totals();
    assert_eq!((totals.received, totals.refused_total(), totals.in_flight), (2, 1, 1));
    assert_eq!(uplink.lanes[LaneId::DEAD_LETTER].queued_records(), 1);

    // What goes to a store while it comes is refused by its head.
    let routing = routing([10; 4], &KeyStrategy::DeviceId, true);
    let large = Message { payload: Payload::Streamed { size: 11 }, ..refused };
    let decision = routing.decide(&large);
    assert_eq!(decision.on_landing(), Err(Refusal::Unrouted));
    assert_eq!(decision.carriage, Carriage::Large);
    let large = Message { qos: 1, ..large };
    assert_eq!(routing.decide(&large).on_landing(), Ok(Outcome::DeadLettered(Fault::Topic)));
}

/// Its sender is gone, so nobody is there to be woken.
#[test]
fn a_payload_that_is_here_whole_goes_to_the_store_without_its_sender() {
    let folder = std::env::temp_dir().join(format!("landfall-uplink-{}", std::process::id()));
    let url = objects::parse_url(&format!("file://{}/", folder.display())).expect("a folder");
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.expect("a runtime can be built");
    let objects = Objects::open(&url, &BTreeMap::new()).expect("a folder is a store");
    let store = Store { objects: Arc::new(objects), runtime: runtime.handle().clone() };
    let uplink = Uplink::new(routing([10; 4], &KeyStrategy::DeviceId, true), Some(store));
    let (device, payload) = (Device::default(), [7; 1_000]);
    let will = message(&device, "meter/m-1", &payload, 1);
    assert_eq!(uplink.decide(&will).offer(Instant::now()), Ok(()));
    let fast = &uplink.lanes[LaneId::FAST];
    assert_eq!(fast.account.ledger.totals().in_flight, 1);
    let deadline = Instant::now() + Duration::from_secs(20);
    while fast.queued_records() == 0 {
        assert!(Instant::now() < deadline, "its reference does not come");
        std::thread::sleep(Duration::from_millis(1));
    }
    assert!(folder.join("fast").is_dir(), "the object is there before its reference");
    std::fs::remove_dir_all(&folder).expect("it can be removed");
}
