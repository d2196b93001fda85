//! What a record holds beside its payload, whatever devices choose.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::classify::Unrouted;
use crate::kafka_topic::TopicName;
use crate::key::{KeyStrategy, Template};
use crate::lanes::LanePlan;
use crate::message::Device;
use crate::metadata::DeviceAttributes;
use crate::route::{Filter, Route};

fn bridge(inline_sizes: [u32; 4], key: KeyStrategy) -> Bridge {
    let routing = Routing {
        routes: vec![Route {
            filter: Filter::parse("{device_type}/{device_id}").expect("a filter"),
            attributes: BTreeMap::new(),
            device_envelope: false,
        }],
        unrouted: Unrouted::Refuse,
        rules: Vec::new(),
        lanes: Lanes::built_in(|lane, name| LanePlan {
            name: name.to_owned(),
            topic: TopicName::Fixed(name.to_owned()),
            key: key.clone(),
            inline_size: inline_sizes[usize::from(lane.place())],
            gather: Duration::ZERO,
            properties: BTreeMap::new(),
            inline_memory: u64::MAX / 2,
            large_memory: 0,
        }),
        devices: DeviceAttributes::new(),
    };
    Bridge::new(&"g".repeat(64), routing, None)
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
        let bridge = bridge(inline_sizes, key);
        let value = |size: &usize| "v".repeat(*size);
        let own: Vec<String> = properties.iter().map(value).collect();
        let attribute = value(&attribute);
        let mut pairs: Vec<(&str, &str)> = own.iter().map(|value| ("n", &**value)).collect();
        pairs.push(("firmware-version", &attribute));
        let device = Device {
            client_id: "c".into(),
            verified_id: None,
            properties: connect_properties
                .iter()
                .map(|size| ("n".into(), value(size).into()))
                .collect(),
        };
        let topic = format!("{}/{}", "t".repeat(levels.0), "d".repeat(levels.1));
        let topic = if routed { topic } else { format!("{topic}/unrouted") };
        let payload = vec![0; payload_size];
        let message = Message {
            device: &device,
            topic: &topic,
            payload: Payload::Inline(&payload),
            qos: 1,
            dup: true,
            retain: true,
            packet_id: 1,
            received_ms: i64::MAX,
            content_type: "",
            properties: &pairs,
        };
        let mut decision = bridge.classify(&message);
        let inline_size = |lane: LaneId| bridge.routing.lanes[lane].inline_size;
        let carriage = bridge.routing.carriage(&mut decision, &message, has_store);
        let mut record = RecordBuf::default();
        bridge.head(&decision, &message, &mut record);
        let head = record.as_record().len();
        let most = (inline_size(decision.record_lane()) + HEAD_ROOM_BYTES) as usize;
        if decision.record_lane() == LaneId::DEAD_LETTER {
            prop_assert!(head + REFERENCE_MAX_BYTES as usize <= HEAD_ROOM_BYTES as usize, "a letter of {head}");
            // Without a store, a payload that does not fit is left out.
            let fits = payload_size <= inline_size(LaneId::DEAD_LETTER) as usize;
            prop_assert_eq!(carriage == Carriage::Large, has_store && !fits);
        } else if carriage == Carriage::Inline {
            prop_assert!(head + payload_size <= most, "{head} + {payload_size} > {most}");
        } else {
            prop_assert!(has_store && payload_size > 0);
            prop_assert!(head + REFERENCE_MAX_BYTES as usize <= most, "{head} > {most}");
        }
        if carriage == Carriage::Inline {
            let now = Instant::now();
            prop_assert_eq!(bridge.submit(&decision, &message, 0, None, false, now), Ok(()));
            let lane = &bridge.lanes[decision.record_lane()];
            let size = lane.queued_bytes();
            prop_assert!(size <= most, "a record of {size} bytes, at most {most}");
        }
    }
}
