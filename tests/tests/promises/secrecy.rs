//! What devices say stays between them, Kafka and the store: however much is logged, no payload and no password
//! is in a log, and nothing of a device is a metric's name, label or value.

use tests::gateway::GatewayConfig;
use tests::kafka::{Kafka, unique};
use tests::mqtt::property::Property;
use tests::mqtt::{Client, Connect, Packet, Publish, Version, Will, encode};
use tests::s3::S3;
use tests::wait::SOON;

/// In every payload.
const PAYLOAD: &str = "payload-that-nobody-else-reads";
const PASSWORD: &str = "password-that-nobody-else-reads";
/// In every client id, topic and property.
const DEVICE: &str = "device-of-somebody";
/// More than a lane takes inline.
const LARGE: usize = 1024 * 1024;

#[test]
fn no_log_has_a_payload_and_no_metric_has_a_device() {
    let (kafka, s3, bucket) = (Kafka::shared(), S3::shared(), unique("bucket"));
    s3.create_bucket(&bucket);
    let mut gateway = GatewayConfig::new(kafka)
        .set("object_store", S3::section(&bucket, s3.address()))
        .set("unrouted", "refuse")
        // Of the gateway and of what it stands on.
        .environment("LANDFALL_LOG", "trace")
        .start_ready();
    let topic = |stream: &str| format!("devices/meter/{DEVICE}/{stream}");
    let large = PAYLOAD.repeat(LARGE / PAYLOAD.len());
    for version in Version::ALL {
        let mut connect = Connect::new(version, DEVICE);
        connect.user_name = Some(DEVICE.to_owned());
        connect.password = Some(PASSWORD.as_bytes().to_owned());
        connect.will = Some(Will::new(&topic("alarm"), 1, PAYLOAD.as_bytes()));
        let (mut client, _) = Client::connect_with(gateway.mqtt(), &connect);
        client.subscribe(1, "devices/#", 0);
        client.expect_packet();
        let publish = |topic: &str, payload: &str| {
            let publish = Publish::new(topic, payload.as_bytes());
            match version {
                Version::V5 => publish.with(Property::user("site", DEVICE)),
                _ => publish,
            }
        };
        // It lands, small and large; it is a dead letter; it is not for anybody.
        client.publish(&publish(&topic("power"), PAYLOAD).qos1(2));
        client.publish(&publish(&topic("image"), &large).qos2(3));
        client.publish(&publish(&format!("nowhere/{DEVICE}"), PAYLOAD).qos1(4));
        client.publish(&publish(&format!("nowhere/{DEVICE}"), PAYLOAD));
        let mut answers = 0;
        while answers < 3 {
            // It hears itself meanwhile.
            answers += match client.expect_packet() {
                Packet::Puback { .. } | Packet::Pubrec { .. } => 1,
                _ => 0,
            };
        }
        // Malformed in the middle of a payload that is kept.
        let bytes = encode::publish(version, &publish(&topic("power"), PAYLOAD).qos1(5));
        client.send(&bytes[..bytes.len() - 4]);
        drop(client);
        let mut client = Client::connect(gateway.mqtt(), version, DEVICE);
        let malformed = [&[0x36, PAYLOAD.len() as u8][..], PAYLOAD.as_bytes()].concat();
        client.send(&malformed);
        match version {
            Version::V5 => client.expect_disconnect(0x81, SOON),
            _ => client.expect_closed(SOON),
        }
    }
    let exposed = gateway.page("/metrics").body;
    assert!(!exposed.contains(DEVICE) && !exposed.contains(PAYLOAD), "{exposed}");
    assert_eq!(gateway.terminate(), Some(0));
    let log = gateway.log();
    assert!(log.contains("TRACE") && log.len() > 10_000, "it logs what it can: {log}");
    for secret in [PAYLOAD, PASSWORD] {
        let line = log.lines().find(|line| line.contains(secret));
        assert_eq!(line, None, "{secret}");
    }
}
