//! A drain: nothing that was taken is forgotten, and what could not be finished is counted and said.

use std::thread;
use std::time::Duration;

use tests::gateway::GatewayConfig;
use tests::http;
use tests::kafka::Kafka;
use tests::mqtt::{Client, Connect, Packet, Publish, Seen, Version, Will, encode};
use tests::process::Signal;
use tests::tools::Folder;
use tests::wait::{SOON, START, until_true};

const A_WHILE: Duration = Duration::from_secs(1);

#[test]
fn what_is_open_is_acknowledged_before_the_goodbye() {
    let kafka = Kafka::start();
    let mut gateway = GatewayConfig::new(&kafka).start_ready();
    let mut connect = Connect::new(Version::V5, "m-1");
    connect.will = Some(Will::new("devices/meter/m-1/alarm", 1, b"last words"));
    let (mut client, _) = Client::connect_with(gateway.mqtt(), &connect);
    client.publish_acknowledged("devices/meter/m-1/power", 1, b"first");
    kafka.signal(Signal::STOP);
    for id in 2..=10 {
        client.publish(&Publish::new("devices/meter/m-1/power", b"open").qos1(id));
    }
    until_true("they are in flight", SOON, || gateway.lane("fast")["in_flight"] == 9);
    gateway.signal(Signal::TERM);
    let admin = gateway.admin();
    until_true("not ready while it drains", SOON, || {
        http::get(admin, "/readyz").is_ok_and(|answer| answer.code == 503)
    });
    // Nothing new is read after the pause, which is none here.
    until_true("it is not read", SOON, || {
        client.ping();
        matches!(client.read(A_WHILE), Seen::Silence)
    });
    client.publish(&Publish::new("devices/meter/m-1/power", b"too late").qos1(11));
    client.expect_silence(A_WHILE);
    kafka.signal(Signal::CONT);
    for id in 2..=10 {
        client.expect_puback(id);
    }
    client.expect_disconnect(0x8b, SOON);
    assert_eq!(gateway.wait(START), Some(0), "{}", gateway.log());
    assert_eq!(kafka.count(&gateway.topic("fast")), 10);
    assert_eq!(kafka.count(&gateway.topic("priority")), 0, "a rollout is no death");
}

#[test]
fn at_the_deadline_it_says_how_many_are_left() {
    let kafka = Kafka::start();
    let mut gateway = GatewayConfig::new(&kafka).set("drain.deadline", "2s").start_ready();
    let mut client = Client::connect(gateway.mqtt(), Version::V5, "m-1");
    client.publish_acknowledged("devices/meter/m-1/power", 1, b"first");
    kafka.signal(Signal::STOP);
    for id in 2..=8 {
        client.publish(&Publish::new("devices/meter/m-1/power", b"open").qos1(id));
    }
    until_true("they are in flight", SOON, || gateway.lane("fast")["in_flight"] == 7);
    gateway.signal(Signal::TERM);
    match client.read(SOON) {
        Seen::Packet(Packet::Disconnect { code: 0x8b, .. }) => {}
        other => panic!("no acknowledgement, a goodbye: {other:?}"),
    }
    assert_eq!(gateway.wait(START), Some(1), "{}", gateway.log());
    let log = gateway.log();
    assert!(log.lines().any(|line| line.contains('7') && line.contains("acknowledged")), "{log}");
    kafka.signal(Signal::CONT);
}

#[test]
fn the_pause_still_accepts() {
    let mut gateway = GatewayConfig::new(Kafka::shared()).set("drain.pause", "2s").start_ready();
    gateway.signal(Signal::TERM);
    let admin = gateway.admin();
    until_true("not ready while it drains", SOON, || {
        http::get(admin, "/readyz").is_ok_and(|answer| answer.code == 503)
    });
    let mut client = Client::connect(gateway.mqtt(), Version::V5, "last");
    client.publish_acknowledged("devices/meter/last/power", 1, b"in the pause");
    client.expect_disconnect(0x8b, SOON);
    assert_eq!(gateway.wait(START), Some(0), "{}", gateway.log());
}

#[test]
fn a_drain_under_load_loses_nothing() {
    let kafka = Kafka::shared();
    let mut gateway = GatewayConfig::new(kafka).start_ready();
    let mqtt = gateway.mqtt();
    // Devices publish with a full window until they are told goodbye, and count what was acknowledged.
    let devices: Vec<_> = (0..8)
        .map(|number| {
            let id = format!("until-{number}");
            let mut client = Client::connect(mqtt, Version::V5, &id);
            let publish = Publish::new(&format!("devices/meter/{id}/power"), id.as_bytes());
            thread::spawn(move || {
                for packet_id in 1..=20 {
                    client.publish(&publish.clone().qos1(packet_id));
                }
                let mut acknowledged = 0;
                loop {
                    match client.read(START) {
                        Seen::Packet(Packet::Puback { packet_id, code: 0, .. }) => {
                            acknowledged += 1;
                            let next =
                                encode::publish(Version::V5, &publish.clone().qos1(packet_id));
                            // The gateway may be gone.
                            let _ = client.try_send(&next);
                        }
                        Seen::Packet(Packet::Disconnect { code: 0x8b, .. }) => return acknowledged,
                        other => panic!("{other:?}"),
                    }
                }
            })
        })
        .collect();
    until_true("the load runs", START, || gateway.lane("fast")["landed"].as_u64() > Some(2_000));
    gateway.signal(Signal::TERM);
    assert_eq!(gateway.wait(START), Some(0), "{}", gateway.log());
    let acknowledged = devices.into_iter().map(|device| device.join().expect("a goodbye"));
    let acknowledged: u64 = acknowledged.sum();
    // Nothing was left open, so each landing was acknowledged and each acknowledgement has landed.
    assert_eq!(kafka.count(&gateway.topic("fast")), acknowledged);
}

#[test]
fn a_drain_without_any_kafka_ends_and_counts() {
    let mut idle = GatewayConfig::without_topics("127.0.0.1:1").start();
    // Twice is no more than once.
    idle.signal(Signal::TERM);
    idle.signal(Signal::TERM);
    assert_eq!(idle.wait(SOON), Some(0), "{}", idle.log());
    let config = GatewayConfig::without_topics("127.0.0.1:1").set("drain.deadline", "2s");
    let mut gateway = config.set("drain.wills", true).start();
    let mut connect = Connect::new(Version::V311, "m-1");
    connect.will = Some(Will::new("devices/meter/m-1/alarm", 1, b"last words"));
    let (mut client, _) = Client::connect_with(gateway.mqtt(), &connect);
    client.publish(&Publish::new("devices/meter/m-1/power", b"open").qos1(1));
    until_true("it is in flight", SOON, || gateway.lane("fast")["in_flight"] == 1);
    gateway.signal(Signal::TERM);
    until_true("it drains", SOON, || gateway.metrics().sum("landfall_draining", &[]) == 1.0);
    gateway.signal(Signal::TERM);
    assert_eq!(gateway.wait(START), Some(1), "{}", gateway.log());
    let log = gateway.log();
    assert!(log.contains("2 messages were not acknowledged"), "the message and the will: {log}");
}

#[test]
fn a_drain_ends_uploads_and_leaves_nothing_of_them() {
    const MIB: usize = 1024 * 1024;
    let folder = Folder::new("objects");
    let url = format!("file://{}/", folder.display());
    let mut gateway = GatewayConfig::new(Kafka::shared())
        .set("object_store", serde_json::json!({ "url": url }))
        .start_ready();
    let large = Publish::new("devices/camera/c/video", &[3; 20 * MIB]).qos1(1);
    let bytes = encode::publish(Version::V5, &large);
    let mut clients: Vec<Client> = (0..4)
        .map(|number| Client::connect(gateway.mqtt(), Version::V5, &format!("c-{number}")))
        .collect();
    for client in &mut clients {
        client.send(&bytes[..11 * MIB]);
    }
    let files = || {
        let find = std::process::Command::new("find").arg(&*folder).args(["-type", "f"]).output();
        String::from_utf8(find.expect("find can be started").stdout).expect("text")
    };
    until_true("parts are written", SOON, || files().lines().count() == clients.len());
    gateway.signal(Signal::TERM);
    for client in &mut clients {
        match client.read(SOON) {
            Seen::Packet(Packet::Disconnect { code: 0x8b, .. }) => {}
            other => panic!("no acknowledgement, a goodbye: {other:?}"),
        }
    }
    assert_eq!(gateway.wait(START), Some(0), "{}", gateway.log());
    assert_eq!(files(), "", "what was not whole is gone");
}
