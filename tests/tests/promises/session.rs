//! The window of one connection: resends join what is open, acknowledgements keep their order, QoS 2
//! lands once, and a connection that ends is told why and leaves its will.

use std::io::Read as _;
use std::time::Duration;

use proto::v1::envelope::Payload;
use tests::gateway::{Gateway, GatewayConfig};
use tests::kafka::{Kafka, Record};
use tests::mqtt::property::{self, Property, Value};
use tests::mqtt::{Client, Connect, Packet, Publish, Seen, Version, Will, encode};
use tests::process::Signal;
use tests::wait::{SOON, until_true};

const A_WHILE: Duration = Duration::from_secs(1);
const SUCCESS: u8 = 0;
const TOPIC: &str = "devices/meter/m-1/power";

/// A gateway whose Kafka can be told to stand still.
fn with_own_kafka(set: impl FnOnce(GatewayConfig) -> GatewayConfig) -> (Kafka, Gateway) {
    let kafka = Kafka::start();
    let gateway = set(GatewayConfig::new(&kafka)).start_ready();
    let mut client = Client::connect(gateway.mqtt(), Version::V311, "first");
    client.publish_acknowledged("devices/meter/first/power", 1, b"first");
    (kafka, gateway)
}

fn payloads(records: &[Record]) -> Vec<String> {
    let text = |record: &Record| String::from_utf8(record.payload()).expect("text");
    records.iter().map(text).filter(|text| text != "first").collect()
}

#[test]
fn resends_join_and_acknowledgements_keep_their_order() {
    let (kafka, gateway) = with_own_kafka(|config| config);
    let mut clients = Version::ALL.map(|version| {
        let id = format!("{version:?}");
        (Client::connect(gateway.mqtt(), version, &id), format!("devices/meter/{id}/power"))
    });
    kafka.signal(Signal::STOP);
    for (client, topic) in &mut clients {
        for id in 10..30 {
            let publish = Publish::new(topic, format!("{topic} {id}").as_bytes());
            client.publish(&if id % 3 == 0 { publish.qos2(id) } else { publish.qos1(id) });
        }
        // esp-mqtt does this after a second.
        for id in 10..13 {
            let publish = Publish::new(topic, format!("{topic} {id}").as_bytes()).dup();
            client.publish(&if id % 3 == 0 { publish.qos2(id) } else { publish.qos1(id) });
        }
        client.expect_silence(A_WHILE / 2);
    }
    assert_eq!(gateway.lane("fast")["in_flight"], 60);
    kafka.signal(Signal::CONT);
    for (client, topic) in &mut clients {
        for id in 10..30 {
            if id % 3 == 0 {
                client.expect_pubrec(id)
            } else {
                client.expect_puback(id)
            }
            if id == 12 {
                // At QoS 2 its resend has an answer of its own.
                client.expect_pubrec(id);
            }
        }
        // Between PUBREC and PUBREL a resend is answered and not received again.
        client.publish(&Publish::new(topic, format!("{topic} 12").as_bytes()).qos2(12).dup());
        client.expect_pubrec(12);
        for id in (12..30).step_by(3) {
            client.pubrel(id);
            client.expect_pubcomp(id);
        }
        // Its id is free again, for another message.
        client.publish(&Publish::new(topic, format!("{topic} 30").as_bytes()).qos2(12));
        client.expect_pubrec(12);
        client.pubrel(12);
        client.expect_pubcomp(12);
        client.ping();
        client.expect_pingresp();
    }
    let landed = payloads(&kafka.read_all(&gateway.topic("fast")));
    for (_, topic) in &clients {
        let own: Vec<&String> = landed.iter().filter(|text| text.starts_with(topic)).collect();
        let expected: Vec<String> = (10..=30).map(|id| format!("{topic} {id}")).collect();
        assert_eq!(own, expected.iter().collect::<Vec<_>>(), "once each, in order");
    }
}

#[test]
fn a_packet_id_in_use_is_no_name_for_another_message() {
    let (kafka, gateway) = with_own_kafka(|config| config);
    kafka.signal(Signal::STOP);
    for (version, again) in [
        (Version::V5, Publish::new(TOPIC, b"other").qos1(1).dup()),
        (Version::V5, Publish::new(TOPIC, b"one").qos1(1)),
        (Version::V5, Publish::new("devices/meter/m-2/power", b"one").qos1(1).dup()),
        (Version::V5, Publish::new(TOPIC, b"one").qos2(1).dup()),
        (Version::V311, Publish::new(TOPIC, b"other").qos1(1).dup()),
    ] {
        let mut client = Client::connect(gateway.mqtt(), version, "m-1");
        client.publish(&Publish::new(TOPIC, b"one").qos1(1));
        client.publish(&again);
        match version {
            Version::V5 => client.expect_disconnect(0x82, SOON),
            _ => client.expect_closed(SOON),
        }
    }
    kafka.signal(Signal::CONT);
    until_true("what was submitted lands", SOON, || gateway.lane("fast")["in_flight"] == 0);
    assert_eq!(payloads(&kafka.read_all(&gateway.topic("fast"))), ["one"; 5]);
}

#[test]
fn from_publish_to_pubrel_every_qos_2_publish_gets_its_pubrec() {
    let (kafka, gateway) = with_own_kafka(|config| config);
    for version in Version::ALL {
        let id = format!("{version:?}");
        let topic = format!("devices/meter/{id}/power");
        let publish = |packet_id, text: &str| {
            Publish::new(&topic, format!("{id} {text}").as_bytes()).qos2(packet_id)
        };
        let mut client = Client::connect(gateway.mqtt(), version, &id);
        // The same content again, with and without DUP, and other content.
        for again in [publish(7, "one"), publish(7, "one"), publish(7, "one").dup()] {
            client.publish(&again);
            client.expect_pubrec(7);
        }
        client.publish(&publish(7, "two"));
        client.expect_pubrec(7);
        for known in [publish(7, "one"), publish(7, "two").dup()] {
            client.publish(&known);
            client.expect_pubrec(7);
        }
        client.pubrel(7);
        client.expect_pubcomp(7);
        // Two in one segment.
        let twice = encode::publish(version, &publish(8, "three")).repeat(2);
        client.send(&twice);
        client.expect_pubrec(8);
        client.expect_pubrec(8);
        client.pubrel(8);
        client.expect_pubcomp(8);
        // While the first is open: each waits for what it says.
        kafka.signal(Signal::STOP);
        for open in [publish(9, "four"), publish(9, "four"), publish(9, "five")] {
            client.publish(&open);
        }
        client.pubrel(9);
        client.ping();
        client.expect_pingresp();
        client.expect_silence(A_WHILE / 4);
        kafka.signal(Signal::CONT);
        for _ in 0..3 {
            client.expect_pubrec(9);
        }
        client.expect_pubcomp(9);
        // It is another message now.
        client.publish(&publish(9, "four"));
        client.expect_pubrec(9);
        let mut landed = payloads(&kafka.read_all(&gateway.topic("fast")));
        landed.retain(|text| text.starts_with(&id));
        let expected = ["one", "two", "three", "four", "five", "four"];
        assert_eq!(landed, expected.map(|text| format!("{id} {text}")));
    }
}

#[test]
fn a_refused_qos_2_message_is_one_dead_letter_for_a_client_that_saw_no_code() {
    let kafka = Kafka::shared();
    let gateway = GatewayConfig::new(kafka).set("unrouted", "refuse").start_ready();
    for (version, code, letters) in
        [(Version::V311, 0, 1), (Version::V31, 0, 2), (Version::V5, 0x90, 4)]
    {
        let mut client = Client::connect(gateway.mqtt(), version, "stray");
        let publish = Publish::new("nowhere", b"x").qos2(3);
        for publish in [publish.clone(), publish.dup()] {
            client.publish(&publish);
            match client.expect_packet() {
                Packet::Pubrec { packet_id: 3, code: is, .. } => {
                    assert_eq!(is, code, "{version:?}")
                }
                other => panic!("{version:?}: {other:?}"),
            }
        }
        client.pubrel(3);
        assert!(matches!(client.expect_packet(), Packet::Pubcomp { packet_id: 3, .. }));
        // A v5 client knew by the code that its id was free, so it said something new.
        assert_eq!(kafka.count(&gateway.topic("dead-letter")), letters, "{version:?}");
    }
}

#[test]
fn a_window_is_a_bound() {
    let (kafka, gateway) = with_own_kafka(|config| config.set("limits.window_messages", 5));
    let (mut told, connack) = Client::connect_with(gateway.mqtt(), &Connect::new(Version::V5, "a"));
    assert_eq!(connack.property(property::RECEIVE_MAXIMUM), Some(&Value::TwoBytes(5)));
    let mut untold = Client::connect(gateway.mqtt(), Version::V311, "b");
    kafka.signal(Signal::STOP);
    for id in 1..=6 {
        told.publish(&Publish::new("devices/meter/a/power", b"x").qos1(id));
        untold.publish(&Publish::new("devices/meter/b/power", b"x").qos1(id));
    }
    told.expect_disconnect(0x93, SOON);
    // v3.1.1 knows no such limit: what is beyond it waits in the socket.
    untold.ping();
    untold.expect_silence(A_WHILE);
    assert_eq!(gateway.lane("fast")["in_flight"], 10);
    kafka.signal(Signal::CONT);
    // The answer to the ping need not wait for Kafka's to what came before it, only for a place.
    let (mut pings, mut pubacks) = (0, Vec::new());
    for _ in 1..=7 {
        match untold.expect_packet() {
            Packet::Pingresp => pings += 1,
            Packet::Puback { packet_id, .. } => pubacks.push(packet_id),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((pings, pubacks), (1, vec![1, 2, 3, 4, 5, 6]));
}

#[test]
fn a_window_is_a_bound_in_bytes_too() {
    let (kafka, gateway) = with_own_kafka(|config| config.set("limits.window_size", "128KiB"));
    let mut client = Client::connect(gateway.mqtt(), Version::V5, "a");
    kafka.signal(Signal::STOP);
    for id in 1..=4 {
        client.publish(&Publish::new("devices/meter/a/power", &[1; 60 * 1024]).qos1(id));
    }
    client.expect_silence(A_WHILE);
    assert_eq!(gateway.lane("fast")["in_flight"], 2);
    kafka.signal(Signal::CONT);
    for id in 1..=4 {
        client.expect_puback(id);
    }
}

#[test]
fn the_later_connection_of_a_client_takes_over() {
    let kafka = Kafka::shared();
    let gateway = GatewayConfig::new(kafka).start_ready();
    for version in Version::ALL {
        let id = format!("twice-{version:?}");
        let topic = format!("devices/meter/{id}/gone");
        let mut connect = Connect::new(version, &id);
        connect.will = Some(will(&topic, 1));
        let (mut first, _) = Client::connect_with(gateway.mqtt(), &connect);
        let mut second = Client::connect(gateway.mqtt(), version, &id);
        match version {
            Version::V5 => first.expect_disconnect(0x8e, SOON),
            _ => first.expect_closed(SOON),
        }
        second.publish_acknowledged(&topic, 1, b"I am the second");
    }
    let landed = kafka.wait_for(&gateway.topic("fast"), 6, SOON);
    let wills = payloads(&landed).into_iter().filter(|text| text == "last words");
    assert_eq!(wills.count(), 3, "a takeover publishes the will");
}

#[test]
fn connections_that_race_for_one_client_lose_nothing() {
    const RACERS: usize = 4;
    const ROUNDS: usize = 100;
    const MESSAGES: u16 = 10;
    let kafka = Kafka::shared();
    let gateway = GatewayConfig::with_partitions(kafka, 1).start_ready();
    let mqtt = gateway.mqtt();
    let race = |racer: usize| {
        move || {
            let (mut accepted, mut acknowledged) = (Vec::new(), Vec::new());
            for round in 0..ROUNDS {
                let version = Version::ALL[round % 3];
                let name = format!("{racer}-{round}");
                let mut connect = Connect::new(version, "one");
                connect.will = Some(Will {
                    payload: name.clone().into_bytes(),
                    ..will("devices/meter/one/alarm", 1)
                });
                let mut client = Client::open(mqtt, version);
                client.send(&encode::connect(&connect));
                // A later one may have come.
                let Seen::Packet(Packet::Connack { code: SUCCESS, .. }) = client.read(SOON) else {
                    continue;
                };
                accepted.push(name.clone());
                for id in 1..=MESSAGES {
                    let publish = Publish::new(TOPIC, format!("{name}-{id:02}").as_bytes());
                    let _ = client.try_send(&encode::publish(version, &publish.qos1(id)));
                }
                let patience = Duration::from_millis(300);
                while let Seen::Packet(Packet::Puback { packet_id, .. }) = client.read(patience) {
                    acknowledged.push(format!("{name}-{packet_id:02}"));
                    if packet_id == MESSAGES {
                        break;
                    }
                }
            }
            (accepted, acknowledged)
        }
    };
    let racers: Vec<_> = (0..RACERS).map(|racer| std::thread::spawn(race(racer))).collect();
    let (mut accepted, mut acknowledged) = (Vec::new(), Vec::new());
    for racer in racers {
        let (own_accepted, own_acknowledged) = racer.join().expect("no racer fails");
        accepted.extend(own_accepted);
        acknowledged.extend(own_acknowledged);
    }
    until_true("all are gone", SOON, || gateway.metrics().sum("landfall_connections", &[]) == 0.0);
    let mut wills = payloads(&kafka.wait_for(&gateway.topic("priority"), accepted.len(), SOON));
    wills.sort();
    accepted.sort();
    assert_eq!(wills, accepted, "one will for each connection that was accepted");
    until_true("what was submitted lands", SOON, || gateway.lane("fast")["in_flight"] == 0);
    let landed = payloads(&kafka.read_all(&gateway.topic("fast")));
    for payload in &acknowledged {
        assert!(landed.contains(payload), "{payload} was acknowledged and is not there");
    }
    // Whatever a connection got through is in its order, and once.
    for name in &accepted {
        let own: Vec<&String> =
            landed.iter().filter(|text| text.starts_with(&format!("{name}-"))).collect();
        assert!(own.is_sorted() && own.len() <= usize::from(MESSAGES), "{own:?}");
    }
    let fast = gateway.lane("fast");
    assert_eq!(fast["received"], fast["landed"], "{fast}");
    assert_eq!(fast["landed"], landed.len(), "{fast}");
}

fn will(topic: &str, qos: u8) -> Will {
    Will::new(topic, qos, b"last words")
}

#[test]
fn wills_land_after_every_end_but_a_goodbye() {
    let kafka = Kafka::shared();
    let gateway = GatewayConfig::new(kafka).start_ready();
    let connect = |id: &str, version, keep_alive_seconds| {
        let mut connect = Connect::new(version, id);
        connect.will = Some(will(&format!("devices/meter/{id}/alarm"), 1));
        connect.keep_alive_seconds = keep_alive_seconds;
        Client::connect_with(gateway.mqtt(), &connect).0
    };
    drop(connect("lost", Version::V311, 60));
    connect("goodbye", Version::V311, 60).disconnect();
    let mut with_will = connect("with-will", Version::V5, 60);
    with_will.send(&[0xe0, 1, 0x04]);
    with_will.expect_closed(SOON);
    let mut malformed = connect("malformed", Version::V5, 60);
    malformed.send(&[0xf1, 0]);
    malformed.expect_disconnect(0x81, SOON);
    // Keep-alive is counted from packets, and one and a half times what the client said.
    let mut silent = connect("silent", Version::V5, 1);
    silent.expect_silence(Duration::from_millis(1200));
    silent.expect_disconnect(0x8d, SOON);
    let landed = kafka.wait_for(&gateway.topic("priority"), 4, SOON);
    let mut devices: Vec<String> =
        landed.iter().map(|record| record.envelope().device_id.clone()).collect();
    devices.sort();
    assert_eq!(devices, ["lost", "malformed", "silent", "with-will"]);
    assert_eq!(payloads(&landed), ["last words"; 4]);
}

#[test]
fn connack_says_what_there_is_and_what_not() {
    let gateway = GatewayConfig::new(Kafka::shared()).start_ready();
    let mut connect = Connect::new(Version::V5, "");
    connect.clean = false;
    connect.properties =
        vec![Property::new(property::SESSION_EXPIRY_INTERVAL, Value::FourBytes(3600))];
    let (_, connack) = Client::connect_with(gateway.mqtt(), &connect);
    let Packet::Connack { session_present: false, .. } = connack else { panic!("{connack:?}") };
    for (number, value) in [
        (property::SESSION_EXPIRY_INTERVAL, Value::FourBytes(0)),
        (property::RECEIVE_MAXIMUM, Value::TwoBytes(100)),
        (property::RETAIN_AVAILABLE, Value::Byte(0)),
        (property::SHARED_SUBSCRIPTION_AVAILABLE, Value::Byte(0)),
        (property::SUBSCRIPTION_IDENTIFIERS_AVAILABLE, Value::Byte(0)),
    ] {
        assert_eq!(connack.property(number), Some(&value), "{number:#04x} in {connack:?}");
    }
    assert!(connack.property(property::ASSIGNED_CLIENT_IDENTIFIER).is_some());
    assert!(matches!(
        connack.property(property::TOPIC_ALIAS_MAXIMUM),
        None | Some(Value::TwoBytes(0))
    ));
    // Without an object store the largest message is the inline limit.
    let Some(Value::FourBytes(largest)) = connack.property(property::MAXIMUM_PACKET_SIZE) else {
        panic!("{connack:?}")
    };
    assert!((512 * 1024..1024 * 1024).contains(largest), "{largest}");
    let mut connect = Connect::new(Version::V311, "kept");
    connect.clean = false;
    let (_, connack) = Client::connect_with(gateway.mqtt(), &connect);
    assert!(matches!(connack, Packet::Connack { session_present: false, code: SUCCESS, .. }));
}

#[test]
fn what_is_not_there_yet_has_its_code() {
    let gateway = GatewayConfig::new(Kafka::shared()).start_ready();
    let cases: [(Vec<u8>, u8); 3] = [
        (encode::publish(Version::V5, &Publish::new(TOPIC, b"x").qos1(1).retain()), 0x9a),
        (
            encode::publish(
                Version::V5,
                &Publish::new(TOPIC, b"x")
                    .qos1(1)
                    .with(Property::new(property::TOPIC_ALIAS, Value::TwoBytes(1))),
            ),
            0x94,
        ),
        (
            // Packet id 1, subscription identifier 1, filter "a", QoS 0.
            encode::packet(0x82, &[0, 1, 2, 0x0b, 1, 0, 1, b'a', 0]),
            0xa1,
        ),
    ];
    for (bytes, code) in cases {
        let mut client = Client::connect(gateway.mqtt(), Version::V5, "modern");
        client.send(&bytes);
        client.expect_disconnect(code, SOON);
    }
    let mut client = Client::connect(gateway.mqtt(), Version::V5, "modern");
    client.subscribe(1, "$share/group/devices/#", 1);
    let Packet::Suback { codes, .. } = client.expect_packet() else { panic!("no SUBACK") };
    assert_eq!(codes, [0x9e]);
    client.pubrel(77);
    assert!(matches!(client.expect_packet(), Packet::Pubcomp { packet_id: 77, code: 0x92, .. }));
}

#[test]
fn refused_connections_learn_why() {
    let gateway = GatewayConfig::new(Kafka::shared()).start_ready();
    let answer = |version, bytes: &[u8]| {
        let mut client = Client::open(gateway.mqtt(), version);
        client.send(bytes);
        match client.expect_packet() {
            Packet::Connack { code, .. } => {
                client.expect_closed(SOON);
                code
            }
            other => panic!("{other:?}"),
        }
    };
    let mut level_6 = encode::connect(&Connect::new(Version::V5, "x"));
    level_6[8] = 6;
    assert_eq!(answer(Version::V5, &level_6), 0x84);
    let mut level_2 = encode::connect(&Connect::new(Version::V311, "x"));
    level_2[8] = 2;
    assert_eq!(answer(Version::V311, &level_2), 0x01);
    let mut nameless = Connect::new(Version::V311, "");
    nameless.clean = false;
    assert_eq!(answer(Version::V311, &encode::connect(&nameless)), 0x02);
    let mut retained_will = Connect::new(Version::V5, "x");
    retained_will.will = Some(Will { retain: true, ..will(TOPIC, 0) });
    assert_eq!(answer(Version::V5, &encode::connect(&retained_will)), 0x9a);
    let metrics = gateway.metrics();
    assert!(metrics.sum("landfall_connections_closed_total", &[]) >= 4.0);
}

/// The sizes of all packets that come until the connection ends.
fn sizes_until_closed(client: &Client, limit: usize) -> Vec<usize> {
    let mut stream = client.stream();
    stream.set_read_timeout(Some(SOON)).expect("a socket takes a timeout");
    let mut bytes = Vec::new();
    let ended = stream.read_to_end(&mut bytes);
    assert!(ended.is_ok(), "with {limit} bytes at most it is not closed: {bytes:02x?}");
    let (mut rest, mut sizes) = (&bytes[..], Vec::new());
    while let [_, length, ..] = rest {
        assert!(*length < 0x80, "a packet of more than 127 bytes: {rest:02x?}");
        let size = 2 + usize::from(*length);
        sizes.push(size);
        rest = &rest[size..];
    }
    sizes
}

/// Whatever is the largest packet that a client takes: it gets no larger one, and it is not left
/// alone without an answer.
#[test]
fn no_client_gets_more_than_it_takes() {
    let gateway = GatewayConfig::new(Kafka::shared()).start_ready();
    // Maximum Packet Size 2, client id "p".
    let mut smallest = Client::open(gateway.mqtt(), Version::V5);
    let connect = b"\x10\x13\x00\x04MQTT\x05\x02\x00\x0a\x05\x27\x00\x00\x00\x02\x00\x01p";
    smallest.send(connect);
    smallest.expect_closed(SOON);
    // More than a CONNACK that refuses has, and less than one that accepts.
    let mut connect = Connect::new(Version::V5, "small");
    connect.properties = vec![Property::new(property::MAXIMUM_PACKET_SIZE, Value::FourBytes(10))];
    let mut refused = Client::open(gateway.mqtt(), Version::V5);
    refused.send(&encode::connect(&connect));
    assert!(matches!(refused.expect_packet(), Packet::Connack { code: 0x83, .. }));
    refused.expect_closed(SOON);
    let filters: Vec<u8> = (0..40).flat_map(|_| [0, 1, b'a', 0]).collect();
    let subscribe = encode::packet(0x82, &[&[0, 1, 0][..], &filters].concat());
    let malformed = [0xc1, 0];
    let mut sessions = 0;
    for limit in (1..=30).chain([44, 45, 46, 60, 80, 100, 120]) {
        let mut connect = Connect::new(Version::V5, "small");
        connect.properties =
            vec![Property::new(property::MAXIMUM_PACKET_SIZE, Value::FourBytes(limit))];
        let mut bad_will = connect.clone();
        bad_will.will = Some(will("a/#", 0));
        for (index, sent) in [
            encode::connect(&bad_will),
            [encode::connect(&connect), malformed.to_vec()].concat(),
            [encode::connect(&connect), subscribe.clone(), malformed.to_vec()].concat(),
        ]
        .iter()
        .enumerate()
        {
            let mut client = Client::open(gateway.mqtt(), Version::V5);
            client.send(sent);
            let sizes = sizes_until_closed(&client, limit as usize);
            assert!(sizes.iter().all(|size| *size <= limit as usize), "{limit}: {sizes:?}");
            // Whatever can be said in so few bytes is said.
            assert_eq!(sizes.is_empty(), limit < 5, "{limit}: {sizes:?}");
            sessions += usize::from(index > 0 && sizes.len() > 1);
        }
    }
    assert!(sessions > 20, "most of them had a session");
    let metrics = gateway.metrics();
    let closed = |reason| metrics.sum("landfall_connections_closed_total", &[("reason", reason)]);
    // 18 bytes are less than the CONNACK, and 44 less than the SUBACK; the rest is malformed.
    assert!(closed("answer_too_large") >= 2.0 * 18.0 + 12.0, "{}", closed("answer_too_large"));
}

#[test]
fn malformed_names_and_filters_are_malformed_packets() {
    let gateway = GatewayConfig::new(Kafka::shared()).start_ready();
    for bytes in [
        encode::subscribe(Version::V5, 1, "a/#/b", 0),
        encode::subscribe(Version::V5, 1, "$share//a", 0),
        encode::unsubscribe(Version::V5, 1, "a+"),
        encode::publish(Version::V5, &Publish::new("a/+", b"x").qos1(1)),
    ] {
        let mut client = Client::connect(gateway.mqtt(), Version::V5, "hostile");
        client.send(&bytes);
        client.expect_disconnect(0x81, SOON);
    }
    let mut connect = Connect::new(Version::V5, "hostile");
    connect.will = Some(will("a/#", 0));
    let mut client = Client::open(gateway.mqtt(), Version::V5);
    client.send(&encode::connect(&connect));
    assert!(matches!(client.expect_packet(), Packet::Connack { code: 0x81, .. }));
    client.expect_closed(SOON);
}

/// Old clients leave in them what is there.
#[test]
fn flags_that_version_3_1_does_not_use_are_not_looked_at() {
    let gateway = GatewayConfig::new(Kafka::shared()).start_ready();
    for first in [0x12, 0x14, 0x18, 0x1f] {
        let mut bytes = encode::connect(&Connect::new(Version::V31, "old"));
        bytes[0] = first;
        let mut client = Client::open(gateway.mqtt(), Version::V31);
        client.send(&bytes);
        assert!(matches!(client.expect_packet(), Packet::Connack { code: SUCCESS, .. }));
        client.send(&[0xc2, 0]);
        client.expect_pingresp();
        for version in [Version::V311, Version::V5] {
            let mut bytes = encode::connect(&Connect::new(version, "strict"));
            bytes[0] = first;
            let mut client = Client::open(gateway.mqtt(), version);
            client.send(&bytes);
            match (version, client.read(SOON)) {
                (Version::V5, Seen::Packet(Packet::Connack { code: 0x81, .. })) => {}
                (Version::V311, Seen::Closed) => {}
                (_, other) => panic!("{first:#04x} in {version:?}: {other:?}"),
            }
        }
    }
}

#[test]
fn a_retain_flag_of_version_3_is_data() {
    let kafka = Kafka::shared();
    let gateway = GatewayConfig::new(kafka).start_ready();
    let mut client = Client::connect(gateway.mqtt(), Version::V311, "m-1");
    client.publish(&Publish::new(TOPIC, b"").qos1(1).retain());
    client.expect_puback(1);
    let envelope = kafka.read_all(&gateway.topic("fast"))[0].envelope();
    assert!(envelope.retain);
    assert!(matches!(envelope.payload, Some(Payload::Inline(payload)) if payload.is_empty()));
}

#[test]
fn a_malformed_packet_ends_its_connection_and_no_other() {
    let gateway = GatewayConfig::new(Kafka::shared()).start_ready();
    let mut healthy = Client::connect(gateway.mqtt(), Version::V5, "healthy");
    for bytes in [
        &[0xb2, 0x01, 0x00][..],
        &[0x36, 0x02, 0x00, 0x00],
        &[0x32, 0x05, 0x00, 0x01, b'#', 0x00, 0x01],
        &[0x10, 0x00],
        &[0x30, 0xff, 0xff, 0xff, 0xff, 0x01],
        &[0xd0, 0x00],
        &[0x82, 0x02, 0x00, 0x01],
    ] {
        for version in Version::ALL {
            let mut client = Client::connect(gateway.mqtt(), version, "hostile");
            client.send(bytes);
            match (version, client.read(SOON)) {
                (
                    Version::V5,
                    Seen::Packet(Packet::Disconnect { code: 0x81 | 0x82 | 0x95, .. }),
                ) => {}
                (Version::V31 | Version::V311, Seen::Closed) => {}
                (_, other) => panic!("{bytes:02x?} in {version:?}: {other:?}"),
            }
        }
    }
    healthy.publish_acknowledged("devices/meter/healthy/power", 1, b"well");
    assert!(gateway.metrics().sum("landfall_packets_malformed_total", &[]) >= 12.0);
}
