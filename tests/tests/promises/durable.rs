//! Promise 1: an acknowledged message is durable. The stores are held back, fail and die; what was not
//! confirmed is not acknowledged, and everything else goes on.

use std::thread;
use std::time::Duration;

use proto::v1::envelope::Payload;
use sha2::{Digest as _, Sha256};
use tests::gateway::GatewayConfig;
use tests::kafka::{Kafka, KafkaOptions};
use tests::load::{Load, assert_landed_in_order};
use tests::mqtt::{Client, Publish, Version};
use tests::ports;
use tests::proxy::Proxy;
use tests::s3::S3;
use tests::store::Store;
use tests::wait::{START, until_true};

/// Long enough for an acknowledgement to come if nothing held it.
const A_WHILE: Duration = Duration::from_secs(2);
/// Larger than the inline limit, and well within a connection's window.
const LARGE: usize = 1024 * 1024;
/// An upload of several parts.
const SEVERAL_PARTS: usize = 12 * 1024 * 1024;

#[test]
fn no_acknowledgement_leaves_before_kafka_answered() {
    let proxy_port = ports::free();
    let kafka = Kafka::start_with(&KafkaOptions {
        proxy_port: Some(proxy_port),
        ..KafkaOptions::default()
    });
    let proxy = Proxy::start_on(proxy_port, kafka.behind_proxy());
    let gateway = GatewayConfig::new(&kafka)
        .set("kafka.bootstrap_servers", proxy.address().to_string())
        .start_ready();
    let mut clients = Version::ALL.map(|version| {
        let name = format!("held-{version:?}");
        (Client::connect(gateway.mqtt(), version, &name), format!("devices/meter/{name}/power"))
    });
    for (client, topic) in &mut clients {
        client.publish_acknowledged(topic, 1, b"before");
    }

    proxy.hold_answers();
    for (client, topic) in &mut clients {
        client.publish(&Publish::new(topic, b"held, QoS 1").qos1(2));
        client.publish(&Publish::new(topic, b"held, QoS 2").qos2(3));
    }
    // The records reach Kafka; only its answers do not come back.
    let topic = gateway.topic("fast");
    until_true("Kafka has the records", START, || kafka.count(&topic) == 9);
    for (client, _) in &mut clients {
        client.expect_silence(A_WHILE);
        client.ping();
        client.expect_pingresp();
    }
    assert_eq!(gateway.lane("fast")["in_flight"], 6);

    proxy.release();
    for (client, _) in &mut clients {
        client.expect_puback(2);
        client.expect_pubrec(3);
        client.pubrel(3);
        client.expect_pubcomp(3);
    }
    assert_eq!(kafka.count(&topic), 9, "each message landed once");
    assert_eq!(gateway.lane("fast")["in_flight"], 0);
}

#[test]
fn a_failing_object_store_holds_only_large_messages() {
    /// More than a window: what waits for the store takes one place of it, not those of what passes.
    const SMALL: u16 = 120;
    let store = Store::refusing(500);
    let kafka = Kafka::shared();
    let gateway = GatewayConfig::new(kafka)
        .set("object_store", S3::section("nowhere", store.address()))
        .start_ready();
    let clients = Version::ALL.map(|version| [(version, 1), (version, 2)]).concat();
    for &(version, qos) in &clients {
        let name = format!("large-{version:?}-{qos}");
        let topic = format!("devices/camera/{name}/image");
        let mut client = Client::connect(gateway.mqtt(), version, &name);
        let large = Publish::new(&topic, &[7; LARGE]);
        client.publish(&if qos == 1 { large.qos1(1) } else { large.qos2(1) });
        for packet_id in 2..=SMALL + 1 {
            client.publish_acknowledged(&topic, packet_id, b"small");
        }
        client.expect_silence(A_WHILE);
        client.ping();
        client.expect_pingresp();
    }
    assert!(store.requests() > 0, "the store was asked");
    assert_eq!(kafka.count(&gateway.topic("slow")), 0, "no reference without its object");
    let small = clients.len() as u64 * u64::from(SMALL);
    assert_eq!(kafka.count(&gateway.topic("fast")), small);
}

#[test]
fn large_messages_wait_for_a_store_that_is_away() {
    let s3 = S3::start();
    s3.create_bucket("fleet");
    let kafka = Kafka::shared();
    let gateway = GatewayConfig::new(kafka)
        .set("object_store", S3::section("fleet", s3.address()))
        .start_ready();
    let payload = |size: usize| (0..size).map(|at| (at / 7) as u8).collect::<Vec<u8>>();
    let one = payload(LARGE);
    let several = payload(SEVERAL_PARTS);
    s3.kill();

    let topic = "devices/camera/one/image";
    let mut client = Client::connect(gateway.mqtt(), Version::V5, "one");
    client.publish(&Publish::new(topic, &one).qos1(1));
    client.publish_acknowledged(topic, 2, b"small");
    // A message of several parts is not read whole while the store takes none of them.
    let mqtt = gateway.mqtt();
    let sender = {
        let publish = Publish::new("devices/camera/several/image", &several).qos1(1);
        thread::spawn(move || {
            let mut client = Client::connect(mqtt, Version::V311, "several");
            client.publish(&publish);
            client.expect_puback(1);
        })
    };
    client.expect_silence(A_WHILE);
    assert!(!sender.is_finished(), "nothing is acknowledged without the store");

    s3.start_again();
    client.expect_puback(1);
    sender.join().expect("the message of several parts is acknowledged");
    let mut landed = kafka.wait_for(&gateway.topic("slow"), 2, START);
    landed.sort_by_key(|record| record.envelope().payload_size);
    for (record, payload) in landed.iter().zip([&one, &several]) {
        let envelope = record.envelope();
        let Some(Payload::Reference(reference)) = envelope.payload else {
            panic!("a large payload goes by reference: {envelope:?}");
        };
        let object = s3.object(&reference.uri);
        assert!(object == *payload, "the object is the payload, byte by byte");
        assert_eq!(reference.size, payload.len() as u64);
        assert_eq!(reference.sha256.as_slice(), Sha256::digest(payload).as_slice());
    }
    assert_eq!(s3.keys("fleet").len(), 2);
}

#[test]
fn a_kafka_killed_under_load_loses_nothing() {
    let kafka = Kafka::start();
    let gateway = GatewayConfig::new(&kafka).start_ready();
    let load = Load::start(gateway.mqtt(), 10);
    until_true("the load runs", START, || load.acknowledged() > 2_000);

    kafka.kill();
    // What Kafka answered before its death may still be on its way; then nothing is acknowledged.
    load.stands_still(A_WHILE);
    assert_eq!(gateway.page("/readyz").code, 200, "an outage takes no gateway out of service");

    kafka.start_again();
    load.goes_on(5_000);

    assert_landed_in_order(&load.stop(), &kafka.read_all(&gateway.topic("fast")));
    let lane = gateway.lane("fast");
    assert_eq!(lane["in_flight"], 0, "{lane}");
    assert_eq!(lane["received"], lane["landed"], "{lane}");
}

#[test]
fn brokers_that_come_and_go_lose_nothing_and_keep_the_order() {
    let brokers = Kafka::start_cluster();
    let [first, second, third] = brokers.as_slice() else { unreachable!("there are three") };
    let servers: Vec<String> = brokers.iter().map(Kafka::address).collect();
    let gateway =
        GatewayConfig::new(first).set("kafka.bootstrap_servers", servers.join(",")).start_ready();
    let topic = gateway.topic("fast");
    let load = Load::start(gateway.mqtt(), 6);
    let goes_on = || load.goes_on(1_000);
    let is_whole = || until_true("all replicas are there", START, || first.is_in_sync(&topic));
    goes_on();

    // As in an upgrade of Kafka, and as on a bad day.
    second.terminate();
    goes_on();
    second.start_again();
    is_whole();
    second.kill();
    goes_on();

    // One replica is left, which is not enough.
    third.kill();
    load.stands_still(A_WHILE);
    third.start_again();
    goes_on();
    second.start_again();
    is_whole();
    goes_on();

    assert_landed_in_order(&load.stop(), &first.read_all(&topic));
    let lane = gateway.lane("fast");
    assert_eq!(lane["in_flight"], 0, "{lane}");
    assert_eq!(lane["received"], lane["landed"], "{lane}");
}
