//! A message takes the lane that its metadata says, no lane waits for another, and every message has an
//! outcome: landed, dead-lettered, refused, failed or in flight.

use std::thread;
use std::time::Duration;

use prost::Message as _;
use proto::v1::{DeviceEnvelope, IdentityTrust};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tests::gateway::{Gateway, GatewayConfig};
use tests::kafka::Kafka;
use tests::load::{Load, assert_landed_in_order};
use tests::mqtt::property::{self, Property};
use tests::mqtt::{Client, Packet, Publish, Seen, Version};
use tests::wait::{SOON, START, until_true};

const A_WHILE: Duration = Duration::from_secs(2);
const LANES: [&str; 4] = ["priority", "fast", "slow", "dead-letter"];

/// Promise 2, at rest.
#[track_caller]
fn sums_hold(gateway: &Gateway) {
    for lane in gateway.status()["lanes"].as_array().into_iter().flatten() {
        let count = |name: &str| lane[name].as_u64().expect("a count");
        let outcomes = ["landed", "dead_lettered", "refused", "failed", "in_flight"].map(count);
        assert_eq!(count("received"), outcomes.iter().sum::<u64>(), "{lane}");
        assert_eq!(count("in_flight"), 0, "{lane}");
    }
}

fn now_ms() -> i64 {
    let since = std::time::SystemTime::UNIX_EPOCH.elapsed().expect("after 1970");
    since.as_millis() as i64
}

#[test]
fn metadata_decides_the_lane() {
    let kafka = Kafka::shared();
    let gateway = GatewayConfig::new(kafka).start_ready();
    let mut client = Client::connect(gateway.mqtt(), Version::V5, "client-7");
    let with_age = |days: i64, text: &str| {
        let event = now_ms() - days * 24 * 3600 * 1000;
        Publish::new("devices/meter/m-1/power", text.as_bytes())
            .with(Property::user("event-start", &event.to_string()))
            .with(Property::user("firmware-version", "2.10.1"))
            .with(Property::user("site", "roof"))
            .with(Property::text(property::CONTENT_TYPE, "text/plain"))
    };
    let publishes = [
        ("priority", Publish::new("devices/meter/m-1/alarm", b"hot")),
        ("priority", Publish::new("alarm", b"of nobody known")),
        ("fast", Publish::new("devices/meter/m-1/power", b"now")),
        ("fast", with_age(0, "just now")),
        ("slow", with_age(90, "three months ago")),
        ("slow", Publish::new("devices/meter/m-1/dump", &[1; 256 * 1024 + 1])),
        ("fast", Publish::new("devices/meter/m-1/dump", &[1; 256 * 1024])),
        ("fast", Publish::new("somewhere/else", b"unrouted")),
        // A device's wish counts only where a rule says so, and 1970 is no time.
        ("fast", Publish::new("a/b", b"wish").with(Property::user("priority", "high"))),
        ("fast", Publish::new("a/b", b"old clock").with(Property::user("event-start", "12000"))),
    ];
    for (index, (_, publish)) in publishes.iter().enumerate() {
        let id = index as u16 + 1;
        client.publish(&publish.clone().qos1(id));
        client.expect_puback(id);
    }
    for lane in LANES {
        let landed = kafka.read_all(&gateway.topic(lane));
        let expected = publishes.iter().filter(|(of, _)| *of == lane).map(|(_, publish)| publish);
        let mut expected: Vec<&[u8]> = expected.map(|publish| &*publish.payload).collect();
        let mut payloads: Vec<Vec<u8>> = landed.iter().map(|record| record.payload()).collect();
        expected.sort();
        payloads.sort();
        assert!(payloads == expected, "{lane}: {} records", payloads.len());
        for record in &landed {
            assert_eq!(record.header("content-type"), Some(&b"application/protobuf"[..]));
            assert!(record.headers.len() <= 3);
            let envelope = record.envelope();
            assert_eq!(envelope.lane, lane);
            assert_eq!(envelope.gateway_id, "gw-test");
            assert_eq!(envelope.device_id_trust, IdentityTrust::Claimed as i32);
            assert_eq!(record.key_text(), envelope.device_id);
            assert_eq!(record.timestamp_ms, Some(envelope.received_ms));
            assert!((envelope.received_ms - now_ms()).abs() < 60_000);
            assert_eq!((envelope.message_id.len(), envelope.dedupe_key.len()), (16, 16));
            assert_eq!(envelope.message_id[6] >> 4, 7, "a UUID of version 7");
        }
    }
    let slow = kafka.read_all(&gateway.topic("slow"));
    let old = slow.iter().find(|record| record.payload() == b"three months ago").expect("landed");
    let envelope = old.envelope();
    assert_eq!(envelope.device_id, "m-1");
    assert_eq!(envelope.device_type, "meter");
    assert_eq!(envelope.firmware_version, "2.10.1");
    assert_eq!(envelope.content_type, "text/plain");
    assert_eq!(envelope.user_properties.len(), 3);
    assert!((envelope.event_start_ms() - (now_ms() - 90 * 24 * 3600 * 1000)).abs() < 60_000);
    let fast = kafka.read_all(&gateway.topic("fast"));
    let unrouted = fast.iter().find(|record| record.payload() == b"unrouted").expect("landed");
    assert_eq!(unrouted.key_text(), "client-7", "nothing captured: the client id");
    sums_hold(&gateway);
}

#[test]
fn keys_and_topics_follow_the_configuration() {
    let kafka = Kafka::shared();
    let config = GatewayConfig::new(kafka);
    let meters = format!("{}.meter", config.topic("fast"));
    kafka.create_topic(&meters, 2, &[]);
    let template = format!("{}.{{device_type}}", config.topic("fast"));
    let gateway = config
        .set(
            "lanes.fast",
            json!({ "topic": template, "topics": [meters], "key": "{device_type}-{stream}" }),
        )
        .set("lanes.slow.key", "device_id+bucket")
        .set("lanes.slow.bucket", "1h")
        .set(
            "rules",
            json!([
                { "when": { "property": { "priority": "high" } }, "lane": "priority" },
                { "when": { "firmware": "<2.0" }, "lane": "slow" },
            ]),
        )
        .start_ready();
    let mut client = Client::connect(gateway.mqtt(), Version::V5, "m-1");
    let high =
        Publish::new("devices/meter/m-1/power", b"wish").with(Property::user("priority", "high"));
    client.publish(&high.qos1(1));
    client.expect_puback(1);
    let old = Publish::new("devices/meter/m-1/power", b"old firmware")
        .with(Property::user("firmware-version", "1.9.12"))
        .with(Property::user("event-start", "1700000000000"));
    client.publish(&old.qos1(2));
    client.expect_puback(2);
    client.publish_acknowledged("devices/meter/m-1/power", 3, b"a meter");
    // Rules of one's own replace the default ones.
    client.publish_acknowledged("devices/meter/m-1/alarm", 4, b"an alarm");
    // It would make a topic that nobody listed: never created, and never lost.
    client.publish(&Publish::new("devices/pump/p-1/power", b"a pump").qos1(5));
    match client.expect_packet() {
        Packet::Puback { packet_id: 5, code: 0x90, .. } => {}
        other => panic!("{other:?}"),
    }
    let mut old_client = Client::connect(gateway.mqtt(), Version::V311, "p-2");
    old_client.publish_acknowledged("devices/pump/p-2/power", 1, b"another pump");
    assert_eq!(kafka.read_all(&gateway.topic("priority"))[0].payload(), b"wish");
    let slow = &kafka.read_all(&gateway.topic("slow"))[0];
    assert_eq!(slow.key_text(), "m-1/1699999200000");
    let fast = kafka.read_all(&meters);
    let mut keys: Vec<&str> = fast.iter().map(|record| record.key_text()).collect();
    keys.sort_unstable();
    assert_eq!(keys, ["meter-alarm", "meter-power"]);
    let dead = kafka.wait_for(&gateway.topic("dead-letter"), 2, SOON);
    for record in &dead {
        let reason = String::from_utf8_lossy(record.header("landfall-reason").expect("a reason"));
        assert!(reason.contains("pump"), "{reason}");
        assert_eq!(record.envelope().lane, "fast", "it counts under the lane it came from");
    }
    assert_eq!(gateway.lane("fast")["dead_lettered"], 2);
    sums_hold(&gateway);
}

#[test]
fn what_can_never_land_goes_to_the_dead_letters() {
    let kafka = Kafka::shared();
    let routes = json!([
        { "filter": "typed/{device_id}/#", "payload": "landfall.v1.DeviceEnvelope" },
        { "filter": "devices/{device_type}/{device_id}/{stream}/#" },
    ]);
    let gateway =
        GatewayConfig::new(kafka).set("routes", routes).set("unrouted", "refuse").start_ready();
    let mut client = Client::connect(gateway.mqtt(), Version::V5, "d-1");
    let declared = DeviceEnvelope {
        message_id: "own-1".to_owned(),
        firmware_version: "3.1".to_owned(),
        payload: b"inner".to_vec(),
        ..DeviceEnvelope::default()
    };
    let own = declared.encode_to_vec();
    client.publish_acknowledged("typed/d-1/power", 1, &own);
    for (id, topic, code) in [(2, "typed/d-1/power", 0x99), (3, "nowhere", 0x90)] {
        client.publish(&Publish::new(topic, b"\xff\xff").qos1(id));
        match client.expect_packet() {
            Packet::Puback { packet_id, code: got, .. } => assert_eq!((packet_id, got), (id, code)),
            other => panic!("{other:?}"),
        }
    }
    client.publish(&Publish::new("nowhere", b"QoS 0"));
    let mut old = Client::connect(gateway.mqtt(), Version::V311, "d-2");
    old.publish_acknowledged("nowhere", 1, b"it must stop to resend");
    let landed = kafka.read_all(&gateway.topic("fast"));
    assert_eq!(landed.len(), 1);
    assert_eq!(landed[0].payload(), own, "payload bytes are untouched");
    assert_eq!(landed[0].envelope().firmware_version, "3.1");
    let dead = kafka.wait_for(&gateway.topic("dead-letter"), 3, SOON);
    assert_eq!(dead.len(), 3);
    assert!(dead.iter().all(|record| record.header("landfall-reason").is_some()));
    assert!(dead.iter().all(|record| !record.envelope().dead_letter_reason.is_empty()));
    until_true("QoS 0 is counted as refused", SOON, || {
        let labels = [("reason", "unrouted")];
        gateway.metrics().sum("landfall_messages_refused_total", &labels) == 1.0
    });
    sums_hold(&gateway);
}

#[test]
fn a_record_too_large_for_kafka_harms_none_beside_it() {
    let kafka = Kafka::shared();
    let gateway = GatewayConfig::new(kafka).start_ready();
    let mut client = Client::connect(gateway.mqtt(), Version::V5, "m-1");
    client.publish_acknowledged("devices/meter/m-1/power", 1, b"first");
    // Somebody lowers the topic's limit while the gateway runs.
    kafka.set_topic(&gateway.topic("fast"), "max.message.bytes", "20000");
    let size = |id: u16| if id == 25 { 60_000 } else { 1_000 };
    for id in 2..50 {
        client
            .publish(&Publish::new("devices/meter/m-1/power", &vec![id as u8; size(id)]).qos1(id));
    }
    let mut codes = Vec::new();
    for _ in 2..50 {
        match client.expect_packet() {
            Packet::Puback { packet_id, code, .. } => codes.push((packet_id, code)),
            other => panic!("{other:?}"),
        }
    }
    let refused: Vec<_> = codes.iter().filter(|(_, code)| *code >= 0x80).collect();
    assert_eq!(refused, [&(25, 0x97)], "only the large one");
    assert!(codes.is_sorted(), "acknowledged in order: {codes:?}");
    let landed = kafka.read_all(&gateway.topic("fast"));
    let mut seen: Vec<u8> = landed.iter().map(|record| record.payload()[0]).collect();
    seen.dedup();
    let expected: Vec<u8> = (2..50).filter(|id| *id != 25).collect();
    assert_eq!(seen[1..], expected, "in order, behind the first");
    let dead = kafka.wait_for(&gateway.topic("dead-letter"), 1, SOON);
    assert_eq!(dead[0].payload().len(), 60_000);
    sums_hold(&gateway);
}

/// The code of the PUBACK that comes next.
#[track_caller]
fn puback_code(client: &mut Client) -> u8 {
    match client.expect_packet() {
        Packet::Puback { code, .. } => code,
        other => panic!("a PUBACK was expected: {other:?}"),
    }
}

/// A topic counts three times in a record, as topic, device id and key, and properties count too. Kafka's
/// topics take what README asks of them, and nothing more.
#[test]
fn a_device_with_a_large_head_slows_nobody_and_its_messages_have_an_end() {
    const INLINE_SIZE: usize = 512 * 1024;
    let kafka = Kafka::shared();
    let config = GatewayConfig::without_topics(&kafka.address())
        .set("slow_over_size", "1MiB")
        .set("lanes.fast.inline_size", INLINE_SIZE);
    let topics = LANES.map(|lane| config.topic(lane));
    let limit = (INLINE_SIZE + 96 * 1024).to_string();
    kafka.create_topics(
        &topics.each_ref().map(String::as_str),
        3,
        &[("max.message.bytes", &limit)],
    );
    let gateway = config.start_ready();

    let load = Load::start(gateway.mqtt(), 2);
    load.goes_on(50);
    let topic = format!("devices/meter/{}/power", "d".repeat(40_000));
    let property = Property::user("site", &"s".repeat(60_000));
    let mut client = Client::connect(gateway.mqtt(), Version::V5, "large-head");
    for (id, payload, code) in
        [(1, 100_000, 0), (2, 500_000, 0x97), (3, 10, 0), (4, INLINE_SIZE, 0x97)]
    {
        let publish = Publish::new(&topic, &vec![b'x'; payload]).with(property.clone());
        client.publish(&publish.qos1(id));
        assert_eq!(puback_code(&mut client), code, "{payload} bytes");
    }
    load.goes_on(50);
    let acknowledged = load.stop();
    let metrics = gateway.metrics();
    assert_eq!(metrics.sum("landfall_lane_producer_resets_total", &[]), 0.0);

    let records = kafka.read_all(&topics[1]);
    let (large, small): (Vec<_>, Vec<_>) =
        records.into_iter().partition(|record| record.envelope().source_topic == topic);
    assert_landed_in_order(&acknowledged, &small);
    let sizes: Vec<usize> = large.iter().map(|record| record.payload().len()).collect();
    assert_eq!(sizes, [100_000, 10]);
    assert_eq!(large[0].envelope().device_id.len(), 40_000, "what landed is whole");
    let letters = kafka.read_all(&topics[3]);
    assert_eq!(letters.len(), 2);
    for letter in letters {
        let letter = letter.envelope();
        assert!(letter.dead_letter_reason.contains("inline"), "{}", letter.dead_letter_reason);
        let cut: Vec<&str> = letter.cut.iter().map(|cut| cut.field.as_str()).collect();
        assert_eq!(cut, ["user_properties", "source_topic"], "as much as had to be");
    }
    assert_eq!(metrics.sum("landfall_dead_letter_cuts_total", &[("part", "texts")]), 2.0);
    sums_hold(&gateway);
}

#[test]
fn poison_is_a_dead_letter_however_large_it_is() {
    let kafka = Kafka::shared();
    // What its lane takes, the dead-letter lane does not.
    let gateway = GatewayConfig::new(kafka)
        .set("slow_over_size", "1MiB")
        .set(
            "routes",
            json!([{ "filter": "own/{device_id}", "payload": "landfall.v1.DeviceEnvelope" }]),
        )
        .set("lanes.dead-letter.inline_size", "64KiB")
        .start_ready();
    let mut client = Client::connect(gateway.mqtt(), Version::V5, "poison");
    let endless = DeviceEnvelope { device_type: "t".repeat(510_000), ..DeviceEnvelope::default() };
    let payloads = [endless.encode_to_vec(), vec![0xff; 200_000], vec![0xff; 1_000]];
    for (id, payload) in (1..).zip(&payloads) {
        client.publish(&Publish::new("own/p-1", payload).qos1(id));
        assert_eq!(puback_code(&mut client), 0x99);
    }
    let mut letters = kafka.read_all(&gateway.topic("dead-letter"));
    letters.sort_by_key(|letter| letter.envelope().payload_size);
    let letters: Vec<_> = letters.iter().map(|letter| letter.envelope()).collect();
    assert_eq!(letters.len(), 3);
    assert!(letters[0].cut.is_empty() && letters[0].payload.is_some());
    for (letter, payload) in letters[1..].iter().zip([&payloads[1], &payloads[0]]) {
        assert_eq!(letter.payload, None);
        let [cut] = &letter.cut[..] else { panic!("the payload alone is cut: {:?}", letter.cut) };
        assert_eq!((cut.field.as_str(), cut.size), ("payload", payload.len() as u64));
        assert_eq!(cut.sha256, Sha256::digest(payload).to_vec());
        assert_eq!(letter.device_type, "");
    }
    let metrics = gateway.metrics();
    assert_eq!(metrics.sum("landfall_dead_letter_cuts_total", &[("part", "payload")]), 2.0);
    sums_hold(&gateway);
}

#[test]
fn a_limit_lowered_under_load_harms_nobody() {
    let kafka = Kafka::start();
    let gateway = GatewayConfig::with_partitions(&kafka, 1).start_ready();
    let load = Load::start(gateway.mqtt(), 6);
    let mut large = Client::connect(gateway.mqtt(), Version::V5, "large");
    load.goes_on(1_000);
    // A batch of the load is larger than this, each of its messages smaller.
    kafka.set_topic(&gateway.topic("fast"), "max.message.bytes", "2000");
    for id in 1..=3 {
        large.publish(&Publish::new("devices/meter/large/power", &[7; 5_000]).qos1(id));
        match large.read(START) {
            Seen::Packet(Packet::Puback { packet_id, code: 0x97, .. }) if packet_id == id => {}
            other => panic!("only this is too large: {other:?}"),
        }
    }
    load.goes_on(1_000);
    // The limit is known, and batches fit.
    let again = || gateway.metrics().sum("landfall_lane_records_handed_over_again_total", &[]);
    let before = again();
    load.goes_on(1_000);
    assert_eq!(again(), before, "what fits is handed over once");
    // The devices of the load take no negative acknowledgement.
    assert_landed_in_order(&load.stop(), &kafka.read_all(&gateway.topic("fast")));
    assert_eq!(kafka.count(&gateway.topic("dead-letter")), 3);
    sums_hold(&gateway);
}

#[test]
fn a_lane_that_stands_still_holds_up_no_other() {
    let kafka = Kafka::shared();
    let config = GatewayConfig::without_topics(&kafka.address());
    let topic = |lane: &str| config.topic(lane);
    let topics = ["priority", "fast", "dead-letter"].map(topic);
    let slow = topic("slow");
    kafka.create_topics(&topics.each_ref().map(String::as_str), 3, &[]);
    let gateway = config.set("lanes.slow.memory", "1MiB").start();
    until_true("the other lanes are ready", START, || {
        let body = gateway.page("/readyz").body;
        body.contains(&slow) && !body.contains("producer")
    });
    // A device that is back after months floods the slow lane, whose topic is missing.
    let mqtt = gateway.mqtt();
    let flood: Vec<_> = (0..4)
        .map(|number| {
            thread::spawn(move || {
                let id = format!("back-{number}");
                let mut client = Client::connect(mqtt, Version::V5, &id);
                for packet_id in 1..=100 {
                    let publish = Publish::new(&format!("devices/meter/{id}/log"), &[1; 8 * 1024])
                        .with(Property::user("event-start", "1700000000000"));
                    client.publish(&publish.qos1(packet_id));
                }
                for packet_id in 1..=100 {
                    match client.read(START) {
                        Seen::Packet(Packet::Puback { packet_id: got, code: 0, .. }) => {
                            assert_eq!(got, packet_id);
                        }
                        other => panic!("{other:?}"),
                    }
                }
            })
        })
        .collect();
    until_true("the slow lane's share is full", SOON, || {
        gateway.lane("slow")["waiting_connections"].as_u64() >= Some(1)
    });
    let mut urgent = Client::connect(mqtt, Version::V311, "urgent");
    // Each within the harness' patience; the flood has to wait for ever.
    for id in 1..=200 {
        let stream = if id % 2 == 0 { "alarm" } else { "power" };
        urgent.publish_acknowledged(&format!("devices/meter/urgent/{stream}"), id, b"now");
    }
    // What the share cannot hold of QoS 0 is shed and counted, and stops nobody.
    let mut careless = Client::connect(mqtt, Version::V5, "careless");
    for _ in 0..50 {
        let publish = Publish::new("devices/meter/careless/log", &[1; 8 * 1024]);
        careless.publish(&publish.with(Property::user("event-start", "1700000000000")));
    }
    careless.publish_acknowledged("devices/meter/careless/alarm", 1, b"urgent");
    let shed = gateway.lane("slow")["refused"].as_u64().expect("a count");
    assert!(shed > 0, "QoS 0 is shed: {}", gateway.lane("slow"));
    assert_eq!(kafka.count(&topics[0]), 101);
    assert!(flood.iter().all(|device| !device.is_finished()));
    // Within one connection it holds until the window is full.
    let mut both = Client::connect(mqtt, Version::V5, "both");
    let late = Publish::new("devices/meter/both/log", b"small")
        .with(Property::user("event-start", "1700000000000"));
    both.publish(&late.qos1(1));
    both.expect_silence(A_WHILE / 4);
    kafka.create_topic(&slow, 3, &[]);
    for device in flood {
        device.join().expect("all that waited is acknowledged");
    }
    both.expect_puback(1);
    until_true("at rest", SOON, || gateway.lane("slow")["in_flight"] == 0);
    assert_eq!(gateway.lane("slow")["failed"], 0);
    sums_hold(&gateway);
}

#[test]
fn an_event_time_that_cannot_be_is_counted() {
    let kafka = Kafka::shared();
    let gateway = GatewayConfig::new(kafka).start_ready();
    let mut client = Client::connect(gateway.mqtt(), Version::V5, "m-1");
    let times = [
        ("no_time", vec![("event-start", "yesterday")]),
        ("implausible", vec![("event-start", "1970-01-01T00:00:09Z")]),
        ("implausible", vec![("event-end", "9000000000000")]),
        (
            "end_before_start",
            vec![("event-start", "1759320000000"), ("event-end", "1759310000000")],
        ),
        ("", vec![("event-start", "1759320000000")]),
        ("", vec![]),
    ];
    for (index, (_, properties)) in times.iter().enumerate() {
        let id = index as u16 + 1;
        let mut publish = Publish::new("devices/meter/m-1/power", b"21").qos1(id);
        for (name, value) in properties {
            publish = publish.with(Property::user(name, value));
        }
        client.publish(&publish);
        client.expect_puback(id);
    }
    for (reason, count) in [("no_time", 1.0), ("implausible", 2.0), ("end_before_start", 1.0)] {
        let labels = [("reason", reason)];
        let counted = gateway.metrics().sum("landfall_event_times_unusable_total", &labels);
        assert_eq!(counted, count, "{reason}");
    }
}
