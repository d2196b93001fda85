//! The local plane: what clients of one gateway hear of each other, and a router that may die.

use std::thread;
use std::time::Duration;

use tests::fail_points::FailPoints;
use tests::gateway::GatewayConfig;
use tests::kafka::Kafka;
use tests::load::{Load, assert_landed_in_order};
use tests::mqtt::{Client, Connect, Packet, Publish, Seen, Version, encode};
use tests::wait::{SOON, START, until_true};

const A_WHILE: Duration = Duration::from_millis(500);

fn subscribe(client: &mut Client, filter: &str) {
    client.subscribe(1, filter, 1);
    match client.expect_packet() {
        // Whatever was asked for, QoS 0 is granted.
        Packet::Suback { codes, .. } if codes == [0] => {}
        other => panic!("{other:?}"),
    }
}

/// Publishes until the subscriber hears it: a subscription takes effect a moment after its SUBACK.
fn until_heard(publisher: &mut Client, subscriber: &mut Client, topic: &str) {
    until_true("the subscription works", SOON, || {
        publisher.publish(&Publish::new(topic, b"probe"));
        matches!(subscriber.read(A_WHILE), Seen::Packet(Packet::Publish(_)))
    });
    while let Seen::Packet(_) = subscriber.read(A_WHILE) {}
}

#[test]
fn subscriptions_match_as_mqtt_says_and_end() {
    let gateway = GatewayConfig::new(Kafka::shared()).start_ready();
    let mut publisher = Client::connect(gateway.mqtt(), Version::V5, "publisher");
    let mut subscriber = Client::connect(gateway.mqtt(), Version::V311, "subscriber");
    subscribe(&mut subscriber, "devices/+/m-1/#");
    until_heard(&mut publisher, &mut subscriber, "devices/meter/m-1");
    publisher.publish_acknowledged("devices/meter/m-2/power", 1, b"not this");
    publisher.publish_acknowledged("devices/meter/m-1/power", 2, b"this");
    match subscriber.expect_packet() {
        Packet::Publish(publish) => {
            assert_eq!(publish, Publish::new("devices/meter/m-1/power", b"this"));
        }
        other => panic!("{other:?}"),
    }
    subscriber.unsubscribe(2, "devices/+/m-1/#");
    assert!(matches!(subscriber.expect_packet(), Packet::Unsuback { packet_id: 2, .. }));
    // An end takes effect a moment after its UNSUBACK.
    until_true("it hears no more", SOON, || {
        publisher.publish_acknowledged("devices/meter/m-1/power", 3, b"no more");
        matches!(subscriber.read(A_WHILE), Seen::Silence)
    });
    assert_eq!(gateway.metrics().sum("landfall_local_subscriptions", &[]), 0.0);
}

#[test]
fn a_client_that_says_no_local_does_not_hear_itself() {
    let gateway = GatewayConfig::new(Kafka::shared()).start_ready();
    let mut publisher = Client::connect(gateway.mqtt(), Version::V5, "publisher");
    let mut talker = Client::connect(gateway.mqtt(), Version::V5, "talker");
    // Packet id 1, no properties, filter "own/#", No Local; and one that has no such wish.
    talker.send(&encode::packet(0x82, b"\0\x01\0\0\x05own/#\x04"));
    assert!(matches!(talker.expect_packet(), Packet::Suback { codes, .. } if codes == [0]));
    subscribe(&mut talker, "both/+");
    talker.send(&encode::packet(0x82, b"\0\x02\0\0\x06both/#\x04"));
    assert!(matches!(talker.expect_packet(), Packet::Suback { codes, .. } if codes == [0]));
    until_heard(&mut publisher, &mut talker, "both/x");
    until_heard(&mut publisher, &mut talker, "own/x");
    talker.publish(&Publish::new("own/x", b"mine"));
    talker.publish(&Publish::new("both/x", b"mine"));
    publisher.publish(&Publish::new("own/x", b"theirs"));
    let mut heard = Vec::new();
    while let Seen::Packet(packet) = talker.read(A_WHILE) {
        let Packet::Publish(publish) = packet else { panic!("{packet:?}") };
        heard.push((publish.topic, String::from_utf8(publish.payload).expect("text")));
    }
    heard.sort();
    let pair = |topic: &str, text: &str| (topic.to_owned(), text.to_owned());
    assert_eq!(heard, [pair("both/x", "mine"), pair("own/x", "theirs")]);
}

#[test]
fn a_router_that_panics_costs_the_uplink_nothing() {
    let kafka = Kafka::shared();
    let points = FailPoints::start();
    let gateway = GatewayConfig::new(kafka).fail_points(&points).start_ready();
    let mut publisher = Client::connect(gateway.mqtt(), Version::V5, "publisher");
    let mut subscriber = Client::connect(gateway.mqtt(), Version::V311, "subscriber");
    subscribe(&mut subscriber, "devices/meter/publisher/#");
    until_heard(&mut publisher, &mut subscriber, "devices/meter/publisher/power");
    let mut everything = Client::connect(gateway.mqtt(), Version::V311, "everything");
    subscribe(&mut everything, "#");

    let load = Load::start(gateway.mqtt(), 4);
    for deaths in 1..=3 {
        let acknowledged = load.acknowledged();
        points.once("router");
        until_true("the router is replaced", START, || {
            // On a busy machine its silence may be seen before its death.
            let rebuilds = |reason| {
                gateway.metrics().sum("landfall_router_rebuilds_total", &[("reason", reason)])
            };
            rebuilds("died") + rebuilds("silent") >= f64::from(deaths)
        });
        until_true("the uplink goes on", SOON, || load.acknowledged() > acknowledged + 500);
        assert_eq!(gateway.page("/readyz").code, 200);
        // Its queue holds what came before the death.
        while let Seen::Packet(_) = subscriber.read(Duration::from_millis(100)) {}
        until_heard(&mut publisher, &mut subscriber, "devices/meter/publisher/power");
        drop(everything);
        everything = Client::connect(gateway.mqtt(), Version::V311, "everything");
        subscribe(&mut everything, "#");
    }
    let acknowledged = load.stop();
    // Its topic has messages of others, too.
    let mut records = kafka.read_all(&gateway.topic("fast"));
    records.retain(|record| record.key_text().starts_with("load-"));
    assert_landed_in_order(&acknowledged, &records);
    let fast = gateway.lane("fast");
    assert_eq!((&fast["failed"], &fast["in_flight"]), (&0.into(), &0.into()), "{fast}");
    assert!(!gateway.log().contains("panicked"), "a router's end is no news:\n{}", gateway.log());
}

#[test]
fn a_subscriber_that_never_reads_holds_up_nobody() {
    let gateway = GatewayConfig::new(Kafka::shared()).start_ready();
    let mut publisher = Client::connect(gateway.mqtt(), Version::V5, "publisher");
    let mut deaf = Client::connect(gateway.mqtt(), Version::V311, "deaf");
    subscribe(&mut deaf, "#");
    let payload = vec![1; 100 * 1024];
    for round in 0..200 {
        publisher.publish_acknowledged("devices/meter/publisher/dump", round + 1, &payload);
    }
    let metrics = gateway.metrics();
    assert!(metrics.sum("landfall_local_dropped_total", &[]) > 0.0, "losses are counted");
    let fast = gateway.lane("fast");
    assert_eq!(fast["landed"], 200, "{fast}");
}

#[test]
fn a_slow_reader_that_pings_is_alive() {
    /// Larger together than all that the system keeps for a socket.
    const MESSAGES: usize = 64;
    const PINGS: usize = 16;
    let gateway = GatewayConfig::new(Kafka::shared()).start_ready();
    let mut connect = Connect::new(Version::V5, "slow");
    connect.keep_alive_seconds = 3;
    let (mut slow, _) = Client::connect_with(gateway.mqtt(), &connect);
    subscribe(&mut slow, "devices/#");
    let mut fast = Client::connect(gateway.mqtt(), Version::V5, "fast");
    let topic = "devices/camera/fast/image";
    until_heard(&mut fast, &mut slow, topic);
    // The gateway cannot send, so it does not read, and the keep-alive stands still.
    for _ in 0..PINGS {
        for _ in 0..MESSAGES / PINGS {
            fast.publish(&Publish::new(topic, &[7; 500 * 1024]));
        }
        slow.ping();
        thread::sleep(A_WHILE);
    }
    let mut answers = 0;
    while answers < PINGS {
        match slow.expect_packet() {
            Packet::Pingresp => answers += 1,
            Packet::Publish(_) => {}
            other => panic!("{other:?}"),
        }
    }
}
