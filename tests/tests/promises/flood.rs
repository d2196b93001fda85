//! While a large message arrives, its connection is served by other threads than small messages are, so that
//! a flood of large ones costs those nothing.

use std::thread;
use std::time::Duration;

use tests::fail_points::FailPoints;
use tests::gateway::GatewayConfig;
use tests::kafka::{Kafka, unique};
use tests::mqtt::{Client, Packet, Publish, Version, encode};
use tests::proc;
use tests::s3::S3;
use tests::wait::{SOON, until_true};

const MIB: usize = 1024 * 1024;

fn with_s3() -> GatewayConfig {
    let (s3, bucket) = (S3::shared(), unique("bucket"));
    s3.create_bucket(&bucket);
    GatewayConfig::new(Kafka::shared()).set("object_store", S3::section(&bucket, s3.address()))
}

fn payload(size: usize) -> Vec<u8> {
    (0..size).map(|at| (at % 251) as u8).collect()
}

/// How fast alarms are beside a flood is measured by the bench. What it rests on is counted: the flood's bytes
/// are read, hashed and stored by threads that the kernel puts behind those of alarms.
#[test]
fn a_flood_of_large_messages_is_no_work_of_those_who_serve_small_ones() {
    const DEVICES: usize = 4;
    const EACH: u16 = 20;
    const SIZE: usize = 2 * MIB;
    /// Of the CPU time of the flood: heads and acknowledgements are the edge's.
    const PART_MAX: f64 = 0.25;
    let gateway = with_s3().start_ready();
    let mqtt = gateway.mqtt();
    let mut urgent = Client::connect(mqtt, Version::V5, "urgent");
    urgent.publish_acknowledged("devices/meter/urgent/alarm", 1, b"before");
    let used = |name| proc::thread_cpu_seconds(gateway.id(), name);
    let before = ["edge", "large", "background"].map(used);
    let flood: Vec<_> = (0..DEVICES)
        .map(|number| {
            thread::spawn(move || {
                let id = format!("camera-{number}");
                let mut client = Client::connect(mqtt, Version::V311, &id);
                let (topic, payload) = (format!("devices/camera/{id}/video"), payload(SIZE));
                for packet_id in 1..=EACH {
                    client.publish_acknowledged(&topic, packet_id, &payload);
                    // The connection is where small messages are served again.
                    client.publish_acknowledged(&topic, packet_id, b"small");
                }
            })
        })
        .collect();
    for device in flood {
        device.join().expect("each message is acknowledged");
    }
    let after = ["edge", "large", "background"].map(used);
    let [edge, large, background] = [0, 1, 2].map(|at| after[at] - before[at]);
    let all = edge + large + background;
    let figures = format!("edge {edge:.3} s, large {large:.3} s, background {background:.3} s");
    assert!(edge <= PART_MAX * all && background <= PART_MAX * all, "{figures}");
    let nice = |name| proc::nice_values(gateway.id(), name);
    let served = ["edge", "lane-priority"].map(|name| nice(name).into_iter().max());
    let behind = nice("large").into_iter().min();
    // A test that runs with the lowest priority has no lower one to give.
    let is_behind = |served: Option<i32>| behind > served || served == Some(19);
    assert!(served.into_iter().all(is_behind), "{behind:?} stands behind {served:?}");
    urgent.publish_acknowledged("devices/meter/urgent/alarm", 2, b"after");
    until_true("all is given back", SOON, || gateway.lane("slow")["memory_used_bytes"] == 0);
}

/// What comes with the head of a large message, or with its end, is taken as if it came alone, wherever the
/// connection is served at that moment.
#[test]
fn a_connection_goes_to_the_threads_of_large_messages_and_back_at_any_byte() {
    let gateway = with_s3().start_ready();
    let topic = "devices/camera/mixed/video";
    let large = payload(MIB);
    for (number, version) in Version::ALL.into_iter().enumerate() {
        let id = format!("mixed-{number}");
        let publish =
            |payload: &[u8], id| encode::publish(version, &Publish::new(topic, payload).qos1(id));
        let bytes = [
            publish(b"before", 1),
            publish(&large, 2),
            publish(b"between", 3),
            publish(&large, 4),
            publish(&large, 5),
            publish(b"after", 6),
        ];
        let bytes = bytes.concat();
        let first = publish(b"before", 1).len();
        // Before the head, within it, behind it; and around the end of the first large one.
        let end = first + publish(&large, 2).len();
        for cut in [first, first + 3, first + 40, end - 1, end, end + 1] {
            let mut client = Client::connect(gateway.mqtt(), version, &id);
            client.send(&bytes[..cut]);
            thread::sleep(Duration::from_millis(30));
            client.send(&bytes[cut..]);
            let mut acknowledged = Vec::new();
            for _ in 0..6 {
                match client.expect_packet() {
                    Packet::Puback { packet_id, code: 0, .. } => acknowledged.push(packet_id),
                    other => panic!("cut at {cut}: {other:?}"),
                }
            }
            let of = |ids: &[u16]| -> Vec<u16> {
                acknowledged.iter().copied().filter(|id| ids.contains(id)).collect()
            };
            assert_eq!(of(&[1, 3, 6]), [1, 3, 6], "cut at {cut}: small ones in order");
            assert_eq!(of(&[2, 4, 5]), [2, 4, 5], "cut at {cut}: large ones in order");
            client.ping();
            client.expect_pingresp();
        }
    }
}

#[test]
fn a_connection_that_panics_while_a_large_message_arrives_ends_alone() {
    let points = FailPoints::start();
    let gateway = with_s3().fail_points(&points).start_ready();
    let mut other = Client::connect(gateway.mqtt(), Version::V5, "m-2");
    let mut client = Client::connect(gateway.mqtt(), Version::V5, "m-1");
    points.once("large");
    let publish = Publish::new("devices/camera/m-1/video", &payload(MIB)).qos1(1);
    client.send(&encode::publish(Version::V5, &publish)[..MIB / 2]);
    client.expect_closed(SOON);
    other.publish_acknowledged("devices/camera/m-2/video", 1, &payload(MIB));
    until_true("its place is free", SOON, || gateway.status()["connections"] == 1);
    let counted = gateway.metrics().sum("landfall_panics_total", &[("thread", "large")]);
    assert_eq!((counted, gateway.page("/livez").code), (1.0, 200));
    until_true("all is given back", SOON, || gateway.lane("slow")["memory_used_bytes"] == 0);
    let mut client = Client::connect(gateway.mqtt(), Version::V5, "m-1");
    client.publish_acknowledged("devices/camera/m-1/video", 1, &payload(MIB));
}
