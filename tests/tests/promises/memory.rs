//! What the gateway may take holds, whatever is asked for, left unread, kept or held open, and an honest
//! client is served beside it.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use tests::gateway::{Gateway, GatewayConfig};
use tests::kafka::Kafka;
use tests::limits::Limits;
use tests::mqtt::property::Property;
use tests::mqtt::{Client, Connect, Packet, Publish, Seen, Version, encode};
use tests::proc::peak_resident_bytes;
use tests::tools::Folder;
use tests::wait::{SOON, START, until_true, until_true_at_any_pace};

const MIB: u64 = 1024 * 1024;
/// What the plan has beside the connections, with as little for messages as there may be.
const BESIDE_CONNECTIONS: u64 = 234 * MIB;
/// What the plan has for each connection.
const CONNECTION: u64 = 8 * 1024;
/// What the plan has for packets that were read too early to be taken.
const READ_EARLY: u64 = 16 * MIB;
/// After so long without a byte a connection has given back what it had for its traffic, and some time.
const REST: Duration = Duration::from_secs(13);
/// A flood ends when nobody has taken anything for so long, or at the latest after the other.
const STANDSTILL: Duration = Duration::from_millis(500);
const FLOOD: Duration = Duration::from_secs(6);

/// A gateway with as little memory as so many connections may have, and how much that is.
fn smallest(connections: usize) -> (GatewayConfig, u64) {
    let connections = connections as u64 + 10;
    let memory = (BESIDE_CONNECTIONS + connections * CONNECTION).div_ceil(MIB);
    let config = GatewayConfig::new(Kafka::shared())
        .set("limits.connections", connections)
        .set("limits.memory", format!("{memory}MiB"));
    (config, memory * MIB)
}

fn resident(gateway: &Gateway) -> u64 {
    gateway.metrics().sum("process_resident_memory_bytes", &[]) as u64
}

#[track_caller]
fn assert_held(what: &str, taken: u64, planned: u64) {
    let taken = taken.div_ceil(MIB);
    eprintln!("{what}: {taken} MiB at the most, of {} MiB", planned / MIB);
    assert!(taken <= planned / MIB, "{what}: {taken} MiB of {} MiB", planned / MIB);
}

/// Whoever behaves is served.
#[track_caller]
fn assert_serves(gateway: &Gateway) {
    let mut honest = Client::connect(gateway.mqtt(), Version::V5, "honest");
    honest.publish_acknowledged("devices/meter/honest/power", 1, b"well");
    assert_eq!(gateway.page("/livez").code, 200);
}

/// Clients that will not read what they are sent.
fn narrow(gateway: &Gateway, count: usize, version: Version) -> Vec<Client> {
    let client = |number| {
        let connect = Connect::new(version, &format!("c-{number}"));
        Client::connect_narrow(gateway.mqtt(), &connect)
    };
    (0..count).map(client).collect()
}

/// Sends `packets` from all of them, at most so many times each and as fast as they are taken, and reads
/// nothing. A client that was closed is left alone.
fn flood(clients: &[Client], packets: &[u8], times: usize) {
    let mut sent = vec![0; clients.len()];
    let (begin, mut last) = (Instant::now(), Instant::now());
    for client in clients {
        client.stream().set_nonblocking(true).expect("a socket takes options");
    }
    while begin.elapsed() < FLOOD && last.elapsed() < STANDSTILL {
        for (client, sent) in clients.iter().zip(&mut sent) {
            if *sent >= packets.len() * times {
                continue;
            }
            match client.stream().write(&packets[*sent % packets.len()..]) {
                Ok(bytes) => (*sent, last) = (*sent + bytes, Instant::now()),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(_) => *sent = usize::MAX,
            }
        }
    }
    for client in clients {
        client.stream().set_nonblocking(false).expect("a socket takes options");
    }
}

#[test]
fn answers_that_nobody_reads_stay_within_it() {
    const CLIENTS: usize = 600;
    /// As many as a packet may have.
    const FILTERS: usize = 500;
    // A packet identifier, no properties, and filters of one byte.
    let filters = [0, 1, 0].into_iter().chain([0, 1, b'a'].repeat(FILTERS));
    let unsubscribe = encode::packet(0xa2, &filters.collect::<Vec<u8>>());
    let pubrel = encode::acknowledgement(0x62, 7);
    let kinds = [("PINGREQ", vec![0xc0, 0]), ("UNSUBSCRIBE", unsubscribe), ("PUBREL", pubrel)];
    for (kind, packet) in kinds {
        let (config, limit) = smallest(CLIENTS);
        let gateway = config.start_ready();
        let before = peak_resident_bytes(gateway.id());
        let clients = narrow(&gateway, CLIENTS, Version::V5);
        let packets = packet.repeat((64 * 1024_usize).div_ceil(packet.len()));
        flood(&clients, &packets, usize::MAX / packets.len());
        assert_held(kind, peak_resident_bytes(gateway.id()), limit);
        let planned = CLIENTS as u64 * CONNECTION + READ_EARLY;
        assert_held(kind, peak_resident_bytes(gateway.id()) - before, planned);
        assert_serves(&gateway);
    }
}

#[test]
fn messages_that_nobody_reads_stay_within_it() {
    const SUBSCRIBERS: usize = 390;
    let (config, limit) = smallest(SUBSCRIBERS);
    let gateway = config.start_ready();
    let mut subscribers = narrow(&gateway, SUBSCRIBERS, Version::V5);
    for (number, subscriber) in subscribers.iter_mut().enumerate() {
        subscriber.subscribe(1, &format!("devices/meter/own/{number}"), 0);
        assert!(matches!(subscriber.expect_packet(), Packet::Suback { .. }));
    }
    let delivered = || gateway.metrics().sum("landfall_local_delivered_total", &[]);
    let mut publisher = Client::connect(gateway.mqtt(), Version::V5, "publisher");
    until_true("the subscriptions work", SOON, || {
        let last = format!("devices/meter/own/{}", SUBSCRIBERS - 1);
        publisher.publish(&Publish::new(&last, b"probe"));
        thread::sleep(Duration::from_millis(100));
        delivered() > 0.0
    });
    for number in 0..SUBSCRIBERS {
        let topic = format!("devices/meter/own/{number}");
        publisher.publish_acknowledged(&topic, 1, &vec![7; 500_000]);
    }
    assert_held("messages", peak_resident_bytes(gateway.id()), limit);
    assert_serves(&gateway);
    // Who is ended in the middle of one gets no other packet into it.
    let successor = Client::connect(gateway.mqtt(), Version::V5, "c-1");
    let mut rest = Vec::new();
    subscribers[1].stream().set_read_timeout(Some(SOON)).expect("a socket takes options");
    subscribers[1].stream().read_to_end(&mut rest).expect("the gateway closes it");
    assert!(rest.len() < 500_000 && rest.ends_with(&[7; 8]), "{:?}", &rest[rest.len() - 8..]);
    drop(successor);
    // Who reads after all gets a whole message.
    match subscribers[0].expect_packet() {
        Packet::Publish(publish) => assert_eq!(publish.payload.len(), 500_000),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_sessions_keep_stays_within_it() {
    const CLIENTS: usize = 1200;
    /// As many as a client may leave unreleased.
    const UNRELEASED: u16 = 1024;
    let (config, limit) = smallest(CLIENTS);
    let gateway = config.start_ready();
    let clients = narrow(&gateway, CLIENTS, Version::V311);
    let publish = |id| {
        let publish = Publish::new("devices/m/x/power", b"7").qos2(id);
        encode::publish(Version::V311, &publish)
    };
    let packets: Vec<u8> = (1..=UNRELEASED).flat_map(publish).collect();
    flood(&clients, &packets, 1);
    let labels = [("reason", "session_memory")];
    // Hundreds of thousands of messages have to land for that.
    let landed = || gateway.lane("fast")["landed"].as_u64();
    until_true_at_any_pace("the budget of all is used up", SOON, landed, || {
        gateway.metrics().sum("landfall_connections_closed_total", &labels) > 0.0
    });
    let metrics = gateway.metrics();
    let used = metrics.sum("landfall_sessions_memory_used_bytes", &[]);
    let most = metrics.sum("landfall_sessions_memory_limit_bytes", &[]);
    assert!(used <= most, "{used} of {most}");
    assert_held("sessions", peak_resident_bytes(gateway.id()), limit);
    // What they sent before is landed first, at whatever pace.
    let mut honest = Client::connect(gateway.mqtt(), Version::V5, "honest");
    honest.publish(&Publish::new("devices/meter/honest/power", b"well").qos1(1));
    until_true_at_any_pace("who behaves is served", SOON, landed, || {
        match honest.read(STANDSTILL) {
            Seen::Packet(Packet::Puback { code: 0x00 | 0x10, .. }) => true,
            Seen::Silence => false,
            other => panic!("{other:?}"),
        }
    });
    assert_eq!(gateway.page("/livez").code, 200);
}

#[test]
fn what_is_kept_of_connects_starves_nothing_that_is_under_way() {
    const CLIENTS: usize = 400;
    let (config, limit) = smallest(CLIENTS);
    let gateway = config.start_ready();
    let wordy = |number: usize| {
        let mut connect = Connect::new(Version::V5, &format!("wordy-{number}"));
        connect.properties = vec![Property::user("note", &"x".repeat(62_000))];
        connect
    };
    let mut kept = Vec::new();
    let refusal = (0..CLIENTS).find_map(|number| {
        let mut client = Client::open(gateway.mqtt(), Version::V5);
        client.send(&encode::connect(&wordy(number)));
        match client.expect_packet() {
            Packet::Connack { code: 0, .. } => {
                kept.push(client);
                None
            }
            Packet::Connack { code, .. } => Some(code),
            other => panic!("{other:?}"),
        }
    });
    assert_eq!(refusal, Some(0x97), "there is an end to it");
    let labels = [("reason", "session_memory")];
    assert_eq!(gateway.metrics().sum("landfall_connections_closed_total", &labels), 1.0);
    assert!(gateway.log().contains("what sessions keep"), "it is said: {}", gateway.log());
    // A long CONNECT of which nothing is kept, and a long head.
    let mut honest = Connect::new(Version::V5, "honest-1");
    honest.user_name = Some("m-1".to_owned());
    honest.password = Some(vec![b'x'; 60_000]);
    let (mut honest, _) = Client::connect_with(gateway.mqtt(), &honest);
    let publish = Publish::new("devices/meter/honest/power", b"well").qos1(1);
    let publish = publish.with(Property::user("note", &"x".repeat(50_000)));
    let bytes = encode::publish(Version::V5, &publish);
    let (head, rest) = bytes.split_at(20_000);
    honest.send(head);
    thread::sleep(Duration::from_millis(100));
    honest.send(rest);
    honest.expect_puback(1);
    // What they keep is given back with them.
    drop(kept);
    until_true("others get in again", SOON, || {
        let mut client = Client::open(gateway.mqtt(), Version::V5);
        client.send(&encode::connect(&wordy(0)));
        matches!(client.read(SOON), Seen::Packet(Packet::Connack { code: 0, .. }))
    });
    assert_held("CONNECT", peak_resident_bytes(gateway.id()), limit);
    assert_serves(&gateway);
}

#[test]
fn what_traffic_took_is_given_back() {
    const CLIENTS: usize = 2000;
    /// So many publish at a time, so that little of what grows is the process's own.
    const AT_ONCE: usize = 50;
    const ROUNDS: usize = 5;
    const WINDOW: u16 = 40;
    /// Of 2 kB, which is what the allocator keeps and what a lane's thread has to take back; it was 7 kB.
    const STAYED_MAX: u64 = 4096;
    let gateway = GatewayConfig::new(Kafka::shared()).start_ready();
    let connect = |number| {
        let connect = Connect::new(Version::V311, &format!("c-{number}"));
        Client::connect_with(gateway.mqtt(), &connect).0
    };
    let publish = |id| {
        let publish = Publish::new("devices/meter/x/power", &[7; 256]).qos1(id);
        encode::publish(Version::V311, &publish)
    };
    let window: Vec<u8> = (1..=WINDOW).flat_map(publish).collect();
    let traffic = |clients: &mut [Client], rounds| {
        for _ in 0..rounds {
            clients.iter_mut().for_each(|client| client.send(&window));
            for client in clients.iter_mut() {
                (1..=WINDOW).for_each(|id| client.expect_puback(id));
            }
        }
    };
    // What the process itself needs for such a load it has after another's.
    traffic(&mut (0..AT_ONCE).map(connect).collect::<Vec<Client>>(), 10 * ROUNDS);
    let mut clients: Vec<Client> = (0..CLIENTS).map(connect).collect();
    let before = resident(&gateway);
    clients.chunks_mut(AT_ONCE).for_each(|clients| traffic(clients, ROUNDS));
    thread::sleep(REST);
    let stayed = resident(&gateway).saturating_sub(before) / CLIENTS as u64;
    assert!(stayed < STAYED_MAX, "{stayed} bytes of each");
}

#[test]
fn the_head_of_an_upload_counts_although_its_payload_is_small() {
    const HEAD: usize = 60_000;
    let folder = Folder::new("heads");
    let gateway = GatewayConfig::new(Kafka::shared())
        .set("object_store.url", format!("file://{}/", folder.display()))
        .set("lanes.fast.inline_size", "1KiB")
        .start_ready();
    let mut client = Client::connect(gateway.mqtt(), Version::V5, "heads");
    let publish = Publish::new("devices/meter/heads/power", &[7; 2000]).qos1(1);
    let publish = publish.with(Property::user("note", &"x".repeat(HEAD)));
    let bytes = encode::publish(Version::V5, &publish);
    let (most, last) = bytes.split_at(bytes.len() - 1);
    client.send(most);
    let used = || gateway.lane("fast")["memory_used_bytes"].as_u64().expect("a number");
    until_true("its upload has begun", SOON, || used() > 0);
    assert!(used() > HEAD as u64, "{} bytes", used());
    client.send(last);
    client.expect_puback(1);
    until_true("its memory is given back", SOON, || used() == 0);
}

#[test]
fn half_requests_to_the_admin_port_shut_out_nobody() {
    const REQUESTS: usize = 1100;
    const DESCRIPTORS: u64 = 1024;
    let (config, limit) = smallest(100);
    let gateway = config.limits(Limits::new().descriptors(DESCRIPTORS)).start_ready();
    let half = |number| {
        let mut stream = TcpStream::connect(gateway.admin()).expect("the admin port accepts");
        let head = format!("GET /metrics HTTP/1.1\r\nx-{number}: {}", "x".repeat(12_000));
        // The gateway may close in the middle of it.
        let _ = stream.write_all(head.as_bytes());
        stream
    };
    let requests: Vec<TcpStream> = (0..REQUESTS).map(half).collect();
    assert_held("half requests", peak_resident_bytes(gateway.id()), limit);
    assert_serves(&gateway);
    until_true("each of them has an end", START, || requests.iter().all(is_closed));
}

#[test]
fn devices_that_stay_leave_descriptors_for_a_kafka_that_comes_back() {
    let kafka = Kafka::start();
    let config = GatewayConfig::new(&kafka).set("limits.memory", "512MiB");
    let gateway = config.limits(Limits::new().descriptors(1024)).start_ready();
    let status = gateway.page("/api/v1/status").body;
    let status: serde_json::Value = serde_json::from_str(&status).expect("it is JSON");
    let connections = status["connections_limit"].as_u64().expect("it is a number");
    assert!(connections >= 100, "what is left for them by default: {connections}");
    let connect =
        |number| Client::connect(gateway.mqtt(), Version::V311, &format!("stays-{number}"));
    let mut devices: Vec<Client> = (0..connections).map(connect).collect();
    kafka.kill();
    // Those that the limit refuses and the admin port's own are there at the same time.
    let mut others = Vec::new();
    for address in [gateway.mqtt(), gateway.admin()] {
        others.extend((0..64).map(|_| TcpStream::connect(address).expect("it accepts")));
    }
    let last = devices.last_mut().expect("there are some");
    last.publish(&Publish::new("devices/meter/stays/power", b"21").qos1(1));
    kafka.start_again();
    last.expect_puback(1);
    drop(others);
}

#[test]
fn half_connects_hold_up_nobody_who_has_a_session() {
    const STRANGERS: usize = 400;
    let (config, limit) = smallest(STRANGERS);
    let gateway = config.start_ready();
    let mut honest = Client::connect(gateway.mqtt(), Version::V5, "honest");
    let mut connect = Connect::new(Version::V5, "half");
    connect.properties = vec![Property::user("note", &"x".repeat(62_000))];
    let bytes = encode::connect(&connect);
    let half = &bytes[..bytes.len() - 1];
    let refused = [("reason", "connect_memory")];
    let refused = || gateway.metrics().sum("landfall_connections_closed_total", &refused);
    // A head of which no lane is known yet, in pieces.
    let publish = Publish::new("devices/meter/honest/power", b"well").qos1(1);
    let publish = publish.with(Property::user("note", &"x".repeat(50_000)));
    let publish = encode::publish(Version::V5, &publish);
    let mut passes_them = || {
        let before = refused();
        let strangers: Vec<TcpStream> = (0..STRANGERS)
            .map(|_| {
                let mut stranger = TcpStream::connect(gateway.mqtt()).expect("it accepts");
                // Who is refused in the middle of it may not get to its end.
                let _ = stranger.write_all(half);
                stranger
            })
            .collect();
        until_true("their memory is used up", SOON, || refused() > before);
        let held = || strangers.iter().filter(|stranger| !is_closed(stranger)).count();
        until_true("those without room are gone", SOON, || {
            gateway.metrics().sum("landfall_connections", &[]) as usize == held() + 1
        });
        let holding = held();
        let (head, rest) = publish.split_at(20_000);
        honest.send(head);
        thread::sleep(Duration::from_millis(100));
        honest.send(rest);
        honest.expect_puback(1);
        // Nobody had to go for it. On a slow machine their ten seconds may be over meanwhile.
        held() == holding
    };
    assert!((0..3).any(|_| passes_them()), "it waits for their end");
    assert_held("half CONNECTs", peak_resident_bytes(gateway.id()), limit);
    assert_serves(&gateway);
}

/// The other side has closed it, perhaps after it said why.
fn is_closed(mut stream: &TcpStream) -> bool {
    stream.set_nonblocking(true).expect("a socket takes options");
    match stream.read(&mut [0; 4096]) {
        Ok(bytes) => bytes == 0,
        Err(error) => error.kind() != ErrorKind::WouldBlock,
    }
}
