//! A store that refuses, dawdles, breaks off and lies: what was acknowledged is there, whole, and what the store
//! does not have is not acknowledged.

use std::collections::HashSet;
use std::time::Duration;

use proto::v1::envelope::Payload;
use sha2::{Digest as _, Sha256};
use tests::gateway::{Gateway, GatewayConfig};
use tests::kafka::{Kafka, unique};
use tests::mqtt::{Client, Packet, Publish, Seen, Version, encode};
use tests::s3::S3;
use tests::store::{Count, Fault, Kind, Order, Store};
use tests::wait::START;

const MIB: usize = 1024 * 1024;
/// One request.
const WHOLE: usize = MIB;
/// Three parts.
const PARTS: usize = 12 * MIB;
const TOPIC: &str = "devices/camera/m-1/image";
/// How often a device sends a message again that failed.
const SENDINGS_MAX: u32 = 5;
/// PUBACK, or the connection's end: a request is tried again for 30 s.
const PATIENCE: Duration = Duration::from_secs(60);

/// A gateway whose store is in trouble when a test orders it.
fn start() -> (Gateway, Store) {
    let (s3, bucket) = (S3::shared(), unique("bucket"));
    s3.create_bucket(&bucket);
    let store = Store::start(s3.address());
    let section = S3::section(&bucket, store.address());
    let gateway = GatewayConfig::new(Kafka::shared()).set("object_store", section).start_ready();
    (gateway, store)
}

fn payload(number: u8, size: usize) -> Vec<u8> {
    (0..size).map(|at| (at % 251) as u8 ^ (at / 65_536) as u8 ^ number).collect()
}

/// Sends a message until it is acknowledged.
#[track_caller]
fn deliver(gateway: &Gateway, payload: &[u8]) {
    for _ in 0..SENDINGS_MAX {
        let mut client = Client::connect(gateway.mqtt(), Version::V5, "m-1");
        // The gateway may close in the middle of it.
        let publish = Publish::new(TOPIC, payload).qos1(1);
        let _ = client.try_send(&encode::publish(Version::V5, &publish));
        if let Seen::Packet(Packet::Puback { code: 0, .. }) = client.read(PATIENCE) {
            return;
        }
    }
    panic!("not acknowledged although it was sent {SENDINGS_MAX} times: {}", gateway.log());
}

#[test]
fn what_is_acknowledged_is_there_whatever_the_store_does() {
    let (gateway, store) = start();
    let mut sent = HashSet::new();
    let mut send = |number: u8, size| {
        let payload = payload(number, size);
        deliver(&gateway, &payload);
        sent.insert(Sha256::digest(&payload).to_vec());
    };
    send(0, WHOLE);
    send(0, PARTS);
    assert_eq!(store.harmed(), 0);
    for (kind, least) in [(Kind::Put, 1), (Kind::Begin, 1), (Kind::Part, 3), (Kind::Complete, 1)] {
        assert!(store.count(kind).came >= least, "{kind:?}: {:?}", store.count(kind));
    }
    // One of three writes: the probe of a store that refused is a write too, and the same again is one more.
    let refuse = |code| {
        Order::new(Fault::Refuse(code)).of(&[Kind::Put, Kind::Part, Kind::Complete]).every(3)
    };
    let orders = [
        refuse(403),
        refuse(500),
        refuse(503),
        refuse(507),
        Order::new(Fault::CutRequest).every(3),
        Order::new(Fault::CutAnswer).every(3),
        Order::new(Fault::LoseAnswer).every(3),
        Order::new(Fault::ErrorInside).every(2),
        Order::new(Fault::Late(Duration::from_millis(500))).every(2),
        Order::new(Fault::Slow(8 * MIB as u32)),
    ];
    for (number, order) in (1..).zip(orders) {
        let (before, what) = (store.harmed(), format!("{order:?}"));
        store.order([order]);
        send(number, WHOLE);
        send(number, PARTS);
        send(number + 100, PARTS);
        assert!(store.harmed() > before, "it befell nothing: {what}");
        store.release();
    }
    let kafka = Kafka::shared();
    let landed = kafka.wait_for(&gateway.topic("slow"), sent.len(), START);
    for record in &landed {
        let Some(Payload::Reference(reference)) = record.envelope().payload else {
            panic!("a large payload goes by reference")
        };
        let object = S3::shared().object(&reference.uri);
        assert_eq!(*reference.sha256, *Sha256::digest(&object), "{} is whole", reference.uri);
        sent.remove(&*reference.sha256);
    }
    assert!(sent.is_empty(), "{} that were acknowledged have no record", sent.len());
}

#[test]
fn a_store_that_says_yes_and_has_nothing_is_not_believed() {
    const FAILED: u8 = 0x83;
    let (gateway, store) = start();
    store.order([Order::new(Fault::Lie).of(&[Kind::Complete])]);
    let mut client = Client::connect(gateway.mqtt(), Version::V5, "m-1");
    let payload = payload(1, PARTS);
    client.publish(&Publish::new(TOPIC, &payload).qos1(1));
    client.expect_disconnect(FAILED, PATIENCE);
    assert_eq!(store.count(Kind::Complete), Count { came: 1, harmed: 1 });
    assert!(store.count(Kind::Head).came > 0, "it was looked for");
    assert_eq!(Kafka::shared().count(&gateway.topic("slow")), 0, "no reference to nothing");
    store.release();
    deliver(&gateway, &payload);
}
