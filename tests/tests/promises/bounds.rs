//! Nothing grows without a bound: silent and dribbling sockets, too many of them, packets too large,
//! and clients that send garbage.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::json;
use tests::gateway::{Gateway, GatewayConfig};
use tests::kafka::Kafka;
use tests::mqtt::property::Property;
use tests::mqtt::{Client, Connect, Packet, Publish, Seen, Version, Will, encode};
use tests::process::Signal;
use tests::tools::Folder;
use tests::wait::{SOON, START, until_true};

/// The gateway's own deadline for CONNECT, and some room.
const CONNECT_DEADLINE: Duration = Duration::from_secs(10);
const SOCKETS: usize = 1000;

fn resident(gateway: &Gateway) -> f64 {
    gateway.metrics().sum("process_resident_memory_bytes", &[])
}

fn sockets(address: SocketAddr, count: usize) -> Vec<TcpStream> {
    (0..count).map(|_| TcpStream::connect(address).expect("the gateway accepts")).collect()
}

/// The other side has closed it.
fn is_closed(mut socket: &TcpStream) -> bool {
    socket.set_nonblocking(true).expect("a socket takes options");
    match socket.read(&mut [0; 64]) {
        Ok(0) => true,
        Ok(_) => false,
        Err(error) => error.kind() != ErrorKind::WouldBlock,
    }
}

#[test]
fn silent_and_dribbling_sockets_are_gone_at_their_deadline() {
    let gateway = GatewayConfig::new(Kafka::shared()).start_ready();
    let mut healthy = Client::connect(gateway.mqtt(), Version::V5, "healthy");
    let before = resident(&gateway);
    let silent = sockets(gateway.mqtt(), SOCKETS / 2);
    let dribbling = sockets(gateway.mqtt(), SOCKETS / 2);
    let started = Instant::now();
    let connect = encode::connect(&Connect::new(Version::V5, "a-name-that-takes-a-while"));
    let mut sent = 0;
    let mut most = before;
    until_true("all of them are closed", 3 * CONNECT_DEADLINE, || {
        if sent < connect.len() - 1 {
            for mut socket in &dribbling {
                // It may be closed already, which is what is waited for.
                let _ = socket.write(&connect[sent..=sent]);
            }
            sent += 1;
        }
        most = most.max(resident(&gateway));
        thread::sleep(Duration::from_millis(500));
        silent.iter().chain(&dribbling).all(is_closed)
    });
    assert!(started.elapsed() >= CONNECT_DEADLINE - Duration::from_secs(1), "not before");
    let each = (most - before) / SOCKETS as f64;
    assert!(each < 16.0 * 1024.0, "{each} bytes for each socket");
    healthy.publish_acknowledged("devices/meter/healthy/power", 1, b"well");
    until_true("one connection is left", SOON, || {
        gateway.metrics().sum("landfall_connections", &[]) == 1.0
    });
    assert_eq!(
        gateway.metrics().sum("landfall_connections_closed_total", &[("reason", "too_slow")]),
        SOCKETS as f64
    );
}

#[test]
fn a_packet_that_never_ends_has_a_deadline() {
    let gateway = GatewayConfig::new(Kafka::shared()).start_ready();
    let mut connect = Connect::new(Version::V5, "dribble");
    connect.keep_alive_seconds = 0;
    let (mut client, _) = Client::connect_with(gateway.mqtt(), &connect);
    // The head of a PUBLISH of 1,000 bytes, and then a byte now and then.
    client.send(&[0x32, 0xe8, 0x07]);
    let started = Instant::now();
    let ended = loop {
        if client.try_send(b"x").is_err() {
            break Seen::Closed;
        }
        match client.read(Duration::from_millis(300)) {
            Seen::Silence => {}
            other => break other,
        }
        assert!(started.elapsed() < START, "it goes on");
    };
    assert!(matches!(ended, Seen::Closed | Seen::Packet(Packet::Disconnect { .. })), "{ended:?}");
}

#[test]
fn silence_before_a_packet_is_not_its_slowness() {
    let gateway = GatewayConfig::new(Kafka::shared()).start_ready();
    let mut client = Client::connect(gateway.mqtt(), Version::V5, "seldom");
    let topic = "devices/meter/seldom/power";
    client.publish_acknowledged(topic, 1, b"first");
    // Longer than a packet may take to arrive.
    client.expect_silence(CONNECT_DEADLINE + Duration::from_secs(1));
    let bytes = encode::publish(Version::V5, &Publish::new(topic, &[7; 3000]).qos1(2));
    let (one, other) = bytes.split_at(bytes.len() / 2);
    client.send(one);
    client.expect_silence(Duration::from_millis(500));
    client.send(other);
    client.expect_puback(2);
}

#[test]
fn a_head_in_pieces_takes_no_more_than_its_lane_has() {
    const MESSAGES: u16 = 16;
    const LIMIT: u64 = 1024 * 1024;
    let kafka = Kafka::start();
    let gateway = GatewayConfig::new(&kafka).set("lanes.fast.memory", LIMIT).start_ready();
    let mut client = Client::connect(gateway.mqtt(), Version::V5, "pieces");
    kafka.signal(Signal::STOP);
    let mut sender = client.stream().try_clone().expect("a socket can be shared");
    let sending = thread::spawn(move || {
        for id in 1..=MESSAGES {
            let publish = Publish::new("devices/meter/pieces/power", &[7; 128 * 1024])
                .qos1(id)
                .with(Property::user("note", &"long".repeat(1500)));
            let bytes = encode::publish(Version::V5, &publish);
            // Most of its properties, and what they belong to only a while later.
            let (head, rest) = bytes.split_at(5000);
            sender.write_all(head).expect("the gateway is there");
            thread::sleep(Duration::from_millis(100));
            sender.write_all(rest).expect("the gateway is there");
        }
    });
    until_true("its share is used", SOON, || {
        gateway.lane("fast")["waiting_connections"] == 1
            || gateway.lane("fast")["in_flight"] == MESSAGES
    });
    let used = gateway.lane("fast")["memory_used_bytes"].as_u64();
    assert!(used <= Some(LIMIT), "{used:?} bytes of {LIMIT}");
    kafka.signal(Signal::CONT);
    for id in 1..=MESSAGES {
        client.expect_puback(id);
    }
    sending.join().expect("everything was sent");
    until_true("its memory is given back", SOON, || gateway.lane("fast")["memory_used_bytes"] == 0);
}

#[test]
fn what_is_too_large_is_refused_from_its_first_bytes() {
    let gateway =
        GatewayConfig::new(Kafka::shared()).set("limits.message_size", "1MiB").start_ready();
    let before = resident(&gateway);
    for version in Version::ALL {
        let mut client = Client::connect(gateway.mqtt(), version, "boaster");
        // 256 MiB - 1 are announced; none of them is sent.
        client.send(&[0x32, 0xff, 0xff, 0xff, 0x7f]);
        match version {
            Version::V5 => client.expect_disconnect(0x95, SOON),
            _ => client.expect_closed(SOON),
        }
    }
    let grown = resident(&gateway) - before;
    assert!(grown < 8.0 * 1024.0 * 1024.0, "{grown} bytes");
    let labels = [("reason", "too_large")];
    assert_eq!(gateway.metrics().sum("landfall_messages_refused_total", &labels), 3.0);
    assert!(gateway.log().contains("boaster"), "the device is named: {}", gateway.log());
}

/// As long as the standard allows, with the properties that may stand beside it.
#[test]
fn topics_of_any_length_land() {
    let kafka = Kafka::shared();
    let objects = Folder::new("objects");
    let url = format!("file://{}", objects.display());
    let gateway =
        GatewayConfig::new(kafka).set("object_store", json!({ "url": url })).start_ready();
    let mut lengths = Vec::new();
    for version in Version::ALL {
        let mut client = Client::connect(gateway.mqtt(), version, "long");
        for (id, length) in [(1, 65_531), (2, 65_532), (3, 65_535)] {
            let topic = "long/".to_owned() + &"t".repeat(length - 5);
            let mut publish = Publish::new(&topic, b"x").qos1(id);
            if id == 3 {
                publish = publish.with(Property::user("note", &"n".repeat(60_000)));
            }
            let bytes = encode::publish(version, &publish);
            // In pieces, so that the head waits for its end.
            for piece in bytes.chunks(40_000) {
                client.send(piece);
                thread::sleep(Duration::from_millis(20));
            }
            client.expect_puback(id);
            lengths.push(length);
        }
        // The head of a large message is taken before its payload is there.
        let topic = "long/".to_owned() + &"t".repeat(65_530);
        client.publish(&Publish::new(&topic, &[7; 600 * 1024]).qos2(4));
        client.expect_pubrec(4);
        let mut wills = Connect::new(version, "last");
        wills.will = Some(Will::new(&("will/".to_owned() + &"w".repeat(64_000)), 1, b"gone"));
        drop(Client::connect_with(gateway.mqtt(), &wills));
        lengths.push(64_005);
        client.subscribe(4, &"f".repeat(65_535), 0);
        match client.expect_packet() {
            // It is well-formed, and longer than what is fanned out.
            Packet::Suback { codes, .. } => {
                assert!(codes == [0x8f] || codes == [0x80], "{codes:?}")
            }
            other => panic!("{other:?}"),
        }
    }
    let landed = kafka.wait_for(&gateway.topic("fast"), lengths.len(), SOON);
    let mut topics: Vec<usize> =
        landed.iter().map(|record| record.envelope().source_topic.len()).collect();
    topics.sort_unstable();
    lengths.sort_unstable();
    assert_eq!(topics, lengths);
    let large = kafka.wait_for(&gateway.topic("slow"), Version::ALL.len(), SOON);
    assert!(large.iter().all(|record| record.envelope().source_topic.len() == 65_535));
}

/// The gateway is stopped for longer than its clients may be silent, and they are not.
#[test]
fn a_standstill_of_the_gateway_is_not_its_clients() {
    const CLIENTS: usize = 200;
    const HALF_DONE: usize = 30;
    const BEFORE: Duration = Duration::from_secs(3);
    const STOPPED: Duration = Duration::from_secs(9);
    let kafka = Kafka::shared();
    let gateway = GatewayConfig::new(kafka).start_ready();
    let connect = |id: &str, keep_alive_seconds| {
        let mut connect = Connect::new(Version::V311, id);
        connect.keep_alive_seconds = keep_alive_seconds;
        Client::connect_with(gateway.mqtt(), &connect).0
    };
    // Some are in the middle of a CONNECT or of a packet, whose time ends within the standstill.
    let half =
        |number: usize| encode::connect(&Connect::new(Version::V311, &format!("half-{number}")));
    let mut arriving: Vec<Client> =
        (0..HALF_DONE).map(|_| Client::open(gateway.mqtt(), Version::V311)).collect();
    for (number, client) in arriving.iter_mut().enumerate() {
        client.send(&half(number)[..10]);
    }
    let mut publishing: Vec<Client> =
        (0..HALF_DONE).map(|number| connect(&format!("p-{number}"), 0)).collect();
    let publish = Publish::new("devices/meter/p/power", b"21").qos1(1);
    let publish = encode::publish(Version::V311, &publish);
    publishing.iter_mut().for_each(|client| client.send(&publish[..10]));
    thread::sleep(BEFORE);
    let mut clients: Vec<Client> =
        (0..CLIENTS).map(|number| connect(&format!("c-{number}"), 4)).collect();
    let silent = connect("silent", 4);
    gateway.signal(Signal::STOP);
    let resume = Instant::now() + STOPPED;
    while Instant::now() < resume {
        clients.iter_mut().for_each(Client::ping);
        thread::sleep(Duration::from_secs(1));
    }
    for (number, client) in arriving.iter_mut().enumerate() {
        client.send(&half(number)[10..]);
    }
    publishing.iter_mut().for_each(|client| client.send(&publish[10..]));
    gateway.signal(Signal::CONT);
    clients.iter_mut().for_each(Client::ping);
    clients.iter_mut().for_each(Client::expect_pingresp);
    for client in &mut arriving {
        assert!(matches!(client.expect_packet(), Packet::Connack { code: 0, .. }));
    }
    for client in &mut publishing {
        client.expect_puback(1);
    }
    until_true("the silent one is closed", SOON + STOPPED, || {
        clients.iter_mut().for_each(Client::ping);
        thread::sleep(Duration::from_millis(500));
        is_closed(silent.stream())
    });
    let metrics = gateway.metrics();
    let closed = |reason| metrics.sum("landfall_connections_closed_total", &[("reason", reason)]);
    assert_eq!((closed("keep_alive"), closed("too_slow")), (1.0, 0.0), "{}", gateway.log());
}

#[test]
fn what_is_not_mqtt_is_counted_by_its_name() {
    let gateway = GatewayConfig::new(Kafka::shared()).start_ready();
    let closed = |reason: &str| {
        let labels = [("reason", reason)];
        gateway.metrics().sum("landfall_connections_closed_total", &labels)
    };
    let upgrade =
        b"GET /mqtt HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    for (reason, bytes, log) in [
        ("tls", &[0x16, 3, 1, 0, 0xc4, 1, 0, 0, 0xc0, 3, 3][..], "TLS came"),
        ("proxy_header", b"PROXY TCP4 10.0.0.1 10.0.0.2 4711 1883\r\n\x10", "a PROXY header"),
        ("proxy_header", b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c", "a PROXY header"),
        ("http", b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP came"),
        ("websocket", upgrade, "over WebSocket"),
    ] {
        let before = closed(reason);
        for _ in 0..3 {
            let mut client = Client::open(gateway.mqtt(), Version::V311);
            client.send(bytes);
            client.expect_closed(SOON);
        }
        until_true("they are counted", SOON, || closed(reason) == before + 3.0);
        let lines = gateway.log().lines().filter(|line| line.contains(log)).count();
        assert_eq!(lines, 1, "one line says what to do:\n{}", gateway.log());
    }
    assert_eq!(closed("malformed"), 0.0);
    // Health checks: a socket that is opened and closed, and half a CONNECT.
    let connect = encode::connect(&Connect::new(Version::V5, "gone"));
    for bytes in [&[][..], &[0x10], &connect[..10], &connect[..connect.len() - 1]] {
        let mut client = Client::open(gateway.mqtt(), Version::V5);
        client.send(bytes);
    }
    until_true("they are counted", SOON, || closed("before_connect") == 4.0);
    assert_eq!(closed("peer_gone"), 0.0);
    drop(Client::connect(gateway.mqtt(), Version::V5, "lost"));
    until_true("it is counted", SOON, || closed("peer_gone") == 1.0);
}

#[test]
fn devices_that_share_a_client_id_are_named() {
    for format in ["text", "json"] {
        let gateway = GatewayConfig::new(Kafka::shared())
            .environment("LANDFALL_LOG_FORMAT", format)
            .set("limits.message_size", "1MiB")
            .start_ready();
        let takeovers =
            |kind: &str| gateway.metrics().sum("landfall_takeovers_total", &[("kind", kind)]);
        let again = |name: &str| Client::connect(gateway.mqtt(), Version::V311, name);
        // One that comes back from a dead network is nothing to talk about.
        let roaming = [again("roaming"), again("roaming")];
        assert_eq!((takeovers("once"), takeovers("again")), (1.0, 0.0));
        drop(roaming);
        // What a terminal would obey is not written to it.
        let name = "twin\u{202e}\u{9b}\u{1b}[2J\n";
        let mut twins: Vec<Client> = (0..21).map(|_| again(name)).collect();
        assert_eq!((takeovers("once"), takeovers("again")), (2.0, 19.0));
        let last = twins.last_mut().expect("there are some");
        last.send(&[0x32, 0xff, 0xff, 0xff, 0x7f]);
        last.expect_closed(SOON);
        let log = gateway.log();
        let named = |text: &str| -> Vec<&str> {
            log.lines().filter(|line| line.contains(text) && line.contains("twin")).collect()
        };
        let contested = named("throw each other out").len();
        assert!((1..10).contains(&contested), "named, and not in a flood:\n{log}");
        assert_eq!(named("too large to be taken").len(), 1, "{log}");
        assert!(!log.contains(['\u{202e}', '\u{9b}', '\u{1b}']), "{log:?}");
        assert!(!log.contains("roaming"), "{log}");
    }
}

#[test]
fn connections_beyond_the_limit_are_told() {
    let gateway = GatewayConfig::new(Kafka::shared()).set("limits.connections", 5).start_ready();
    let mut clients: Vec<Client> = (0..5)
        .map(|number| Client::connect(gateway.mqtt(), Version::V5, &format!("c-{number}")))
        .collect();
    for (version, expected) in [(Version::V5, 0x89), (Version::V311, 0x03), (Version::V31, 0x03)] {
        let mut client = Client::open(gateway.mqtt(), version);
        client.send(&encode::connect(&Connect::new(version, "one-more")));
        match client.read(SOON) {
            Seen::Packet(Packet::Connack { code, .. }) => assert_eq!(code, expected),
            other => panic!("{version:?}: {other:?}"),
        }
        client.expect_closed(SOON);
    }
    clients.pop().expect("there are five").disconnect();
    until_true("there is room again", SOON, || {
        let mut client = Client::open(gateway.mqtt(), Version::V5);
        client.send(&encode::connect(&Connect::new(Version::V5, "one-more")));
        matches!(client.read(SOON), Seen::Packet(Packet::Connack { code: 0, .. }))
    });
    for client in &mut clients {
        client.ping();
        client.expect_pingresp();
    }
}

#[test]
fn a_connection_takes_room_for_what_is_kept_of_its_connect() {
    const LONG: usize = 20_000;
    let kafka = Kafka::shared();
    let gateway = GatewayConfig::new(kafka).start_ready();
    let under_way = || gateway.lane("none")["memory_used_bytes"].as_u64().expect("a number");
    let kept = || gateway.metrics().sum("landfall_sessions_memory_used_bytes", &[]);
    let mut secret = Connect::new(Version::V311, "secret");
    secret.user_name = Some("m-1".to_owned());
    secret.password = Some(vec![b'x'; LONG]);
    let (mut secret, _) = Client::connect_with(gateway.mqtt(), &secret);
    // The CONNACK may leave before the room is given back; no later answer does.
    secret.ping();
    secret.expect_pingresp();
    assert_eq!((under_way(), kept()), (0, 0.0), "a password is not kept");
    let mut wordy = Connect::new(Version::V5, "wordy");
    wordy.will = Some(Will::new("devices/meter/wordy/alarm", 1, &vec![b'x'; LONG]));
    let (mut wordy, _) = Client::connect_with(gateway.mqtt(), &wordy);
    wordy.ping();
    wordy.expect_pingresp();
    assert_eq!(under_way(), 0);
    assert!(kept() > (LONG - 1024) as f64, "a will is");
    drop(wordy);
    until_true("the room is given back", SOON, || kept() == 0.0);
}

#[test]
fn garbage_disturbs_nobody() {
    let gateway = GatewayConfig::new(Kafka::shared()).start_ready();
    let mut healthy = Client::connect(gateway.mqtt(), Version::V311, "healthy");
    let mut random = SmallRng::seed_from_u64(1);
    for round in 0..300_u16 {
        let version = Version::ALL[usize::from(round) % 3];
        let mut client = match round % 2 {
            0 => Client::open(gateway.mqtt(), version),
            _ => Client::connect(gateway.mqtt(), version, "garbage"),
        };
        let mut garbage = vec![0; random.random_range(0..512)];
        random.fill(&mut garbage[..]);
        // The gateway may close in the middle of it.
        let _ = client.try_send(&garbage);
        if round % 10 == 0 {
            healthy.publish_acknowledged("devices/meter/healthy/power", round + 1, b"well");
        }
    }
    until_true("they are gone", START, || {
        gateway.metrics().sum("landfall_connections", &[]) == 1.0
    });
    assert_eq!(gateway.page("/livez").code, 200);
    assert!(!gateway.log().contains("panicked"), "{}", gateway.log());
}

#[test]
fn what_a_full_window_leaves_unread_is_bounded() {
    const CLIENTS: usize = 800;
    const GROWTH_MAX: f64 = 24.0 * 1024.0 * 1024.0;
    let kafka = Kafka::start();
    let gateway = GatewayConfig::new(&kafka).set("limits.window_messages", 1).start_ready();
    let mut clients: Vec<Client> = (0..CLIENTS)
        .map(|number| Client::connect(gateway.mqtt(), Version::V311, &format!("c-{number}")))
        .collect();
    kafka.signal(Signal::STOP);
    let before = resident(&gateway);
    // Everything after the first is more than the window takes.
    let small =
        |id| encode::publish(Version::V311, &Publish::new("devices/m/x/power", &[7; 8]).qos1(id));
    let burst: Vec<u8> = (1..=2000).flat_map(small).collect();
    for client in &mut clients {
        client.send(&burst);
    }
    until_true("every window is full", START, || gateway.lane("fast")["in_flight"] == CLIENTS);
    thread::sleep(Duration::from_secs(1));
    let grown = resident(&gateway) - before;
    assert!(grown < GROWTH_MAX, "{grown} bytes of {} for each", grown / CLIENTS as f64);
    kafka.signal(Signal::CONT);
    for client in &mut clients {
        for id in 1..=20 {
            client.expect_puback(id);
        }
    }
}

#[test]
fn wills_that_wait_for_room_are_bounded() {
    const WILLS: usize = 600;
    const WILL_BYTES: usize = 60_000;
    /// The gateway's own bound.
    const WAITING_MAX_BYTES: usize = 4 * 1024 * 1024;
    let kafka = Kafka::start();
    let gateway = GatewayConfig::new(&kafka).set("lanes.priority.memory", "600KiB").start_ready();
    kafka.signal(Signal::STOP);
    for number in 0..WILLS {
        let mut connect = Connect::new(Version::V311, &format!("gone-{number}"));
        connect.will = Some(Will::new("devices/meter/gone/alarm", 1, &vec![7; WILL_BYTES]));
        drop(Client::connect_with(gateway.mqtt(), &connect));
    }
    // Those beyond the bound have their outcome at once; the others wait a minute for room.
    let beyond = WILLS - WAITING_MAX_BYTES / WILL_BYTES - 10;
    until_true("what cannot even wait is counted", SOON, || {
        let labels = [("lane", "priority"), ("reason", "shed")];
        gateway.metrics().sum("landfall_messages_refused_total", &labels) >= beyond as f64
    });
    kafka.signal(Signal::CONT);
    until_true("the others land", START, || gateway.lane("priority")["landed"].as_u64() > Some(60));
}
