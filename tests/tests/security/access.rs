//! What a client may do: a publish, a subscription or a will that no rule allows has its code, and nothing of
//! it reaches Kafka or anybody else.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tests::gateway::{Gateway, GatewayConfig};
use tests::kafka::Kafka;
use tests::mqtt::{Client, Connect, PATIENCE, Packet, Publish, Seen, Version, Will, encode};
use tests::wait::{SOON, until_true};

const NOT_AUTHORIZED: u8 = 0x87;
const A_WHILE: Duration = Duration::from_millis(300);
/// Who was ended for it waits at least this long when it comes again.
const FIRST_RETURN: Duration = Duration::from_secs(1);

/// Each client may publish as itself, hear its commands, and not say what is secret.
fn rules() -> Value {
    json!([
        { "allow": ["publish"], "topic": "devices/+/{client_id}/#" },
        { "allow": ["subscribe"], "topic": "commands/{client_id}/#" },
        { "who": { "client_id": "dashboard" }, "allow": ["subscribe"], "topic": "#" },
        { "deny": ["publish", "subscribe"], "topic": "devices/+/+/secret" },
        { "deny": ["subscribe"], "topic": "commands/+/secret" },
    ])
}

fn gateway(access: Value) -> Gateway {
    GatewayConfig::new(Kafka::shared()).set("access", access).start_ready()
}

fn refused(gateway: &Gateway) -> f64 {
    let labels = [("lane", "none"), ("reason", "not_authorized")];
    gateway.metrics().sum("landfall_messages_refused_total", &labels)
}

fn denied(gateway: &Gateway, action: &str) -> f64 {
    gateway.metrics().sum("landfall_access_denied_total", &[("action", action)])
}

#[track_caller]
fn subscribed(client: &mut Client, filter: &str) -> u8 {
    client.subscribe(7, filter, 0);
    match client.expect_packet() {
        Packet::Suback { packet_id: 7, codes, .. } if codes.len() == 1 => codes[0],
        other => panic!("SUBACK was expected: {other:?}"),
    }
}

/// The code of the PUBACK or PUBREC.
#[track_caller]
fn published(client: &mut Client, publish: &Publish) -> u8 {
    client.publish(publish);
    match client.expect_packet() {
        Packet::Puback { packet_id, code, .. }
            if publish.qos == 1 && packet_id == publish.packet_id =>
        {
            code
        }
        Packet::Pubrec { packet_id, code, .. }
            if publish.qos == 2 && packet_id == publish.packet_id =>
        {
            code
        }
        other => panic!("an answer to {publish:?} was expected: {other:?}"),
    }
}

#[test]
fn version_5_has_a_code_for_it_and_goes_on() {
    let gateway = gateway(rules());
    let mut client = Client::connect(gateway.mqtt(), Version::V5, "m-1");
    client.publish_acknowledged("devices/meter/m-1/power", 1, b"own");
    let other = "devices/meter/m-2/power";
    assert_eq!(published(&mut client, &Publish::new(other, b"of another").qos1(2)), NOT_AUTHORIZED);
    assert_eq!(published(&mut client, &Publish::new(other, b"of another").qos2(3)), NOT_AUTHORIZED);
    // Its packet id is free again, and there is nothing to release.
    assert_eq!(published(&mut client, &Publish::new("devices/meter/m-1/power", b"own").qos2(3)), 0);
    client.pubrel(3);
    client.expect_pubcomp(3);
    client.publish(&Publish::new(other, b"at QoS 0"));
    client.expect_silence(A_WHILE);
    assert_eq!(published(&mut client, &Publish::new(other, b"").qos1(4)), NOT_AUTHORIZED);
    let secret = Publish::new("devices/meter/m-1/secret", b"denied").qos1(5);
    assert_eq!(published(&mut client, &secret), NOT_AUTHORIZED, "a deny is stronger");
    for (topic, packet_id) in [("devices/meter/m-1", 6), ("devices/meter/m-1/a/b", 7)] {
        client.publish_acknowledged(topic, packet_id, b"own");
    }
    assert_eq!((refused(&gateway), denied(&gateway, "publish")), (5.0, 5.0));
    let status = gateway.status();
    assert_eq!(status["lanes"][1]["in_flight"], 0, "{status}");
    let kafka = Kafka::shared();
    let records = kafka.wait_for(&gateway.topic("fast"), 4, SOON);
    assert!(records.iter().all(|record| record.payload() == b"own"), "nothing of a stranger's");
    assert_eq!(kafka.count(&gateway.topic("dead-letter")), 0, "not as a dead letter either");
}

#[test]
fn a_large_one_is_answered_behind_its_last_byte_and_never_kept() {
    let gateway = gateway(rules());
    let mut client = Client::connect(gateway.mqtt(), Version::V5, "m-1");
    let payload = vec![7; 400 * 1024];
    let packet =
        encode::publish(Version::V5, &Publish::new("devices/meter/m-2/image", &payload).qos1(9));
    let (all_but_one, last) = packet.split_at(packet.len() - 1);
    client.send(all_but_one);
    client.expect_silence(A_WHILE);
    client.send(last);
    match client.expect_packet() {
        Packet::Puback { packet_id: 9, code: NOT_AUTHORIZED, .. } => {}
        other => panic!("{other:?}"),
    }
    client.publish_acknowledged("devices/meter/m-1/power", 10, b"own");
    assert_eq!(refused(&gateway), 1.0);
}

#[test]
fn a_listener_may_close_in_version_5_too() {
    let config = GatewayConfig::new(Kafka::shared()).set("access", rules());
    let bind = config.mqtt().to_string();
    let listeners = json!([{ "name": "plain", "bind": bind, "on_denied": "close" }]);
    let gateway = config.set("listeners", listeners).start_ready();
    let mut client = Client::connect(gateway.mqtt(), Version::V5, "m-1");
    client.publish(&Publish::new("devices/meter/m-2/power", b"of another").qos1(1));
    client.expect_disconnect(NOT_AUTHORIZED, PATIENCE);
    assert_eq!(refused(&gateway), 1.0);
}

/// A plain PUBACK would say that it landed.
#[test]
fn version_3_is_closed_without_a_word_and_comes_back_later() {
    let gateway = gateway(rules());
    for (place, version) in [Version::V31, Version::V311].into_iter().enumerate() {
        for qos in 0..3 {
            let client_id = format!("m-{place}-{qos}");
            let mut client = Client::connect(gateway.mqtt(), version, &client_id);
            client.publish_acknowledged(&format!("devices/meter/{client_id}/power"), 1, b"own");
            let publish = Publish::new("devices/meter/other/power", b"of another");
            client.publish(&match qos {
                0 => publish,
                1 => publish.qos1(2),
                _ => publish.qos2(2),
            });
            client.expect_closed(PATIENCE);
        }
    }
    assert_eq!(refused(&gateway), 6.0);
    let closed = [("reason", "not_authorized")];
    assert_eq!(gateway.metrics().sum("landfall_connections_closed_total", &closed), 6.0);
    // It is served when it comes back, and not at once; others do not wait.
    let begin = Instant::now();
    Client::connect(gateway.mqtt(), Version::V311, "somebody-else");
    let of_others = begin.elapsed();
    let mut again = Client::connect(gateway.mqtt(), Version::V311, "m-1-2");
    again.publish(&Publish::new("devices/meter/other/power", b"again").qos1(2));
    again.expect_closed(PATIENCE);
    let begin = Instant::now();
    let mut again = Client::connect(gateway.mqtt(), Version::V311, "m-1-2");
    assert!(begin.elapsed() >= FIRST_RETURN, "{:?}, others {of_others:?}", begin.elapsed());
    again.publish_acknowledged("devices/meter/m-1-2/power", 1, b"own");
}

#[test]
fn nobody_hears_what_he_may_not_hear() {
    let gateway = gateway(rules());
    for (version, refusal) in
        [(Version::V5, NOT_AUTHORIZED), (Version::V311, 0x80), (Version::V31, 0x80)]
    {
        let mut client = Client::connect(gateway.mqtt(), version, "m-1");
        for (filter, expected) in [
            ("commands/m-1/open/#", 0),
            ("commands/m-1/+", refusal),
            ("commands/m-1/#", refusal),
            ("commands/m-1/secret", refusal),
            ("commands/+/open", refusal),
            ("commands/m-10/open", refusal),
            ("devices/meter/m-1/power", refusal),
            ("#", refusal),
            ("+/+/+", refusal),
            ("$SYS/#", refusal),
        ] {
            assert_eq!(subscribed(&mut client, filter), expected, "{version:?} {filter}");
        }
        client.disconnect();
    }
    assert_eq!(denied(&gateway, "subscribe"), 27.0);
    // The dashboard may hear everything, except what is denied to everybody.
    let mut dashboard = Client::connect(gateway.mqtt(), Version::V5, "dashboard");
    assert_eq!(subscribed(&mut dashboard, "#"), NOT_AUTHORIZED);
    assert_eq!(subscribed(&mut dashboard, "devices/+/+/power"), 0);
    let mut device = Client::connect(gateway.mqtt(), Version::V5, "m-1");
    until_true("the dashboard hears a device", SOON, || {
        device.publish(&Publish::new("devices/meter/m-1/power", b"heard"));
        matches!(dashboard.read(A_WHILE), Seen::Packet(Packet::Publish(_)))
    });
    while let Seen::Packet(_) = dashboard.read(A_WHILE) {}
    // What may not be published is not heard of either.
    device.publish(&Publish::new("devices/meter/m-2/power", b"of another"));
    dashboard.expect_silence(A_WHILE);
}

#[test]
fn a_will_is_a_publish_that_comes_later() {
    let gateway = gateway(rules());
    for (version, refusal) in [(Version::V5, NOT_AUTHORIZED), (Version::V311, 5), (Version::V31, 5)]
    {
        let mut connect = Connect::new(version, "m-1");
        connect.will = Some(Will::new("devices/meter/m-2/gone", 1, b"of another"));
        let mut client = Client::open(gateway.mqtt(), version);
        client.send(&encode::connect(&connect));
        match client.expect_packet() {
            Packet::Connack { code, .. } if code == refusal => {}
            other => panic!("CONNACK {refusal:#x} was expected: {other:?}"),
        }
        client.expect_closed(PATIENCE);
        connect.will = Some(Will::new("devices/meter/m-1/gone", 1, b"own"));
        let (client, _) = Client::connect_with(gateway.mqtt(), &connect);
        drop(client);
    }
    let records = Kafka::shared().wait_for(&gateway.topic("fast"), 3, SOON);
    assert!(records.iter().all(|record| record.payload() == b"own"));
    assert_eq!(denied(&gateway, "publish"), 3.0);
}
