//! Ports, files and limits: where the gateway listens, how many it lets in there, and those who say nothing.

use std::fs::Permissions;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;
use tests::gateway::GatewayConfig;
use tests::kafka::Kafka;
use tests::mqtt::property::Property;
use tests::mqtt::{Client, Connect, Packet, Publish, Version, encode, open_from};
use tests::pki::{Authority, Leaf};
use tests::ports;
use tests::tls::Tls;
use tests::tools::Folder;
use tests::wait::{SOON, until_true};
use tests::websocket::{BINARY, FIN, frame, upgrade};

/// Sockets that say nothing, in each stage.
const SILENT: usize = 1000;
const LINE: &[u8] = b"PROXY TCP4 203.0.113.7 10.0.0.2 50001 8883\r\n";

#[test]
fn a_unix_socket_is_a_listener() {
    let folder = Folder::new("socket");
    let path = folder.join("mqtt.sock");
    // One that is left behind is replaced.
    drop(UnixListener::bind(&path).expect("the folder can be written"));
    std::fs::set_permissions(&path, Permissions::from_mode(0o777)).expect("it is ours");
    let mut gateway = GatewayConfig::new(Kafka::shared())
        .listener(json!({ "name": "local", "bind": format!("unix:{}", path.display()) }))
        .start_ready();
    let found = std::fs::metadata(&path).expect("it is there");
    assert!(found.file_type().is_socket());
    assert_eq!(found.permissions().mode() & 0o777, 0o660);
    let mut stream = UnixStream::connect(&path).expect("it listens");
    stream.set_read_timeout(Some(SOON)).expect("a socket takes a timeout");
    stream
        .write_all(&encode::connect(&Connect::new(Version::V311, "neighbour")))
        .expect("the gateway takes bytes");
    let topic = "devices/meter/neighbour/power";
    // Larger than the socket's buffers.
    let publish = encode::publish(Version::V311, &Publish::new(topic, &[7; 250_000]).qos1(1));
    stream.write_all(&publish).expect("the gateway takes bytes");
    let mut answers = [0; 8];
    stream.read_exact(&mut answers).expect("it is answered");
    assert_eq!(answers, [0x20, 2, 0, 0, 0x40, 2, 0, 1]);
    let labels = [("listener", "local")];
    assert_eq!(gateway.metrics().sum("landfall_listener_connections", &labels), 1.0);
    Kafka::shared().wait_for(&gateway.topic("fast"), 1, SOON);
    gateway.terminate();
    assert!(!path.exists(), "it is removed");
}

#[test]
fn the_unspecified_ipv6_address_takes_both_families() {
    let port = ports::free();
    let gateway = GatewayConfig::new(Kafka::shared())
        .listener(json!({ "name": "both", "bind": format!("[::]:{port}"), "anonymous": true }))
        .start_ready();
    for (number, address) in ["127.0.0.1", "[::1]"].into_iter().enumerate() {
        let address: SocketAddr = format!("{address}:{port}").parse().expect("an address");
        let mut client = Client::connect(address, Version::V5, &format!("v-{number}"));
        client.publish_acknowledged("devices/meter/v/power", 1, b"x");
    }
    let mut stray = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
    stray.write_all(b"GET / HTTP/1.1\r\n\r\n").expect("the gateway takes bytes");
    until_true("it is in the log", SOON, || gateway.log().contains("HTTP came"));
    assert!(!gateway.log().contains("ffff:"), "an address of IPv4 is one: {}", gateway.log());
}

#[test]
fn a_listener_has_no_more_connections_than_it_may() {
    let few = ports::local(ports::free());
    let gateway = GatewayConfig::new(Kafka::shared())
        .listener(json!({ "name": "few", "bind": few.to_string(), "limits": { "connections": 3 } }))
        .start_ready();
    let connect = |number: usize| {
        let mut client = Client::open(few, Version::V5);
        client.send(&encode::connect(&Connect::new(Version::V5, &format!("few-{number}"))));
        let code = match client.expect_packet() {
            Packet::Connack { code, .. } => code,
            other => panic!("{other:?}"),
        };
        (client, code)
    };
    let mut held: Vec<_> = (0..3).map(connect).collect();
    assert!(held.iter().all(|(_, code)| *code == 0));
    for number in 3..6 {
        assert_eq!(connect(number).1, 0x89, "server busy");
    }
    // Others have their own.
    Client::connect(gateway.mqtt(), Version::V5, "other").ping();
    let sum = |name: &str, listener: &str| gateway.metrics().sum(name, &[("listener", listener)]);
    assert_eq!(sum("landfall_listener_connections_limit", "few"), 3.0);
    until_true("three are left", SOON, || sum("landfall_listener_connections", "few") == 3.0);
    held.pop();
    until_true("there is room again", SOON, || connect(6).1 == 0);
}

type Open<'a> = Box<dyn Fn() -> TcpStream + Send + Sync + 'a>;

/// One listener in the test of silent sockets, and what its clients say before they fall silent.
struct Stages<'a> {
    name: &'static str,
    /// Each opens a socket that says no more.
    stages: Vec<(&'static str, Open<'a>)>,
    honest: Box<dyn Fn(&str) + Send + Sync + 'a>,
}

/// However many are silent, wherever they stop, and although they said something: devices connect, and who makes room
/// was silent for a while.
#[test]
fn a_thousand_silent_sockets_in_each_stage_hold_up_nobody() {
    let [secured, web] = [(); 2].map(|()| ports::local(ports::free()));
    let folder = Folder::new("silent");
    let root = Authority::new("root");
    let server = root.issue(&Leaf::server()).write(&folder, "server");
    let certificate = json!({ "certificate": server.certificate(), "key": server.key() });
    let gateway = GatewayConfig::new(Kafka::shared())
        .listener(json!({
            "name": "secured",
            "bind": secured.to_string(),
            "tls": { "certificates": [certificate] },
        }))
        .listener(json!({
            "name": "web",
            "bind": web.to_string(),
            "websocket": {},
            "proxy_protocol": { "trusted": ["127.0.0.1"] },
        }))
        // As many connections as the descriptors of this machine are enough for.
        .set("limits.memory", "2GiB")
        .start_ready();
    let tls = Tls::trusting(&root);
    let hello = tls.hello();
    let half_connect = encode::connect(&Connect::new(Version::V5, "half"));
    let half_connect = &half_connect[..half_connect.len() - 1];
    let upgraded = [LINE, upgrade("/", &[]).as_bytes()].concat();
    let in_frame = [&upgraded[..], &frame(FIN | BINARY, half_connect)].concat();
    let says = |address: SocketAddr, bytes: &[u8]| {
        let mut socket = TcpStream::connect(address).expect("the system accepts");
        socket.write_all(bytes).expect("it is connected");
        socket
    };
    let of =
        |address: SocketAddr, bytes: Vec<u8>| -> Box<dyn Fn() -> TcpStream + Send + Sync + '_> {
            Box::new(move || says(address, &bytes))
        };
    let plain = gateway.mqtt();
    let listeners = [
        Stages {
            name: "plain",
            stages: vec![
                ("nothing", of(plain, Vec::new())),
                ("a byte", of(plain, half_connect[..1].to_vec())),
                ("half a CONNECT", of(plain, half_connect.to_vec())),
            ],
            honest: Box::new(|id| drop(Client::connect(plain, Version::V5, id))),
        },
        Stages {
            name: "secured",
            stages: vec![
                ("a byte", of(secured, hello[..1].to_vec())),
                ("half a ClientHello", of(secured, hello[..hello.len() - 1].to_vec())),
                ("its handshake", {
                    Box::new(|| tls.connect(secured).expect("they shake hands").sock)
                }),
            ],
            honest: Box::new(|id| {
                drop(Client::connect_tls(secured, &tls, &Connect::new(Version::V5, id)));
            }),
        },
        Stages {
            name: "web",
            stages: vec![
                ("half a PROXY header", of(web, LINE[..20].to_vec())),
                ("a PROXY header", of(web, LINE.to_vec())),
                ("half a request", of(web, upgraded[..LINE.len() + 40].to_vec())),
                ("half a CONNECT in a frame", of(web, in_frame)),
            ],
            honest: Box::new(|_| {
                let mut honest = says(web, &upgraded);
                honest.set_read_timeout(Some(SOON)).expect("a socket takes a timeout");
                honest.read_exact(&mut [0; 12]).expect("it is upgraded");
            }),
        },
    ];
    let metric = |name: &str, labels: &[(&str, &str)]| gateway.metrics().sum(name, labels);
    let share = metric("landfall_connections_limit", &[]) / 10.0 / 3.0;
    let fail = |stages: &Stages<'_>| -> Vec<&'static str> {
        let Stages { stages, honest, .. } = stages;
        let stands = |(stage, open): &(&'static str, Open<'_>)| {
            let began = Instant::now();
            let silent: Vec<TcpStream> = (0..SILENT).map(|_| open()).collect();
            // None of them is at its own end before.
            while began.elapsed() < Duration::from_secs(8) {
                honest(stage);
                let open = silent.iter().filter(|socket| !has_ended(socket)).count();
                if (open as f64) < share + 50.0 {
                    return None;
                }
                thread::sleep(Duration::from_millis(200));
            }
            Some(*stage)
        };
        stages.iter().filter_map(stands).collect()
    };
    let failed: Vec<_> = thread::scope(|scope| {
        let fail = &fail;
        let threads =
            listeners.iter().map(|stages| (stages.name, scope.spawn(move || fail(stages))));
        let threads: Vec<_> = threads.collect();
        let joined = threads.into_iter().map(|(name, thread)| (name, thread.join()));
        joined.map(|(name, stages)| (name, stages.expect("everybody honest is served"))).collect()
    });
    assert!(failed.iter().all(|(_, stages)| stages.is_empty()), "who stays: {failed:?}");
    assert!(metric("landfall_connections_closed_total", &[("reason", "silent")]) > 0.0);
}

/// The gateway has closed it.
fn has_ended(mut socket: &TcpStream) -> bool {
    socket.set_nonblocking(true).expect("a socket takes options");
    loop {
        match socket.read(&mut [0; 4096]) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) => return error.kind() != ErrorKind::WouldBlock,
        }
    }
}

/// Half of a large CONNECT holds memory until its deadline, and who sends many of them holds no more than half of
/// what there is for all.
#[test]
fn half_connects_of_one_network_shut_out_no_other() {
    const STRANGERS: usize = 150;
    let gateway = GatewayConfig::new(Kafka::shared()).start_ready();
    let long = |id: &str, bytes: usize| {
        let mut connect = Connect::new(Version::V5, id);
        connect.properties = vec![Property::user("note", &"x".repeat(bytes))];
        encode::connect(&connect)
    };
    let half = long("half", 62_000);
    let _strangers: Vec<TcpStream> = (0..STRANGERS)
        .map(|_| {
            let mut stranger = open_from([127, 0, 0, 66], gateway.mqtt());
            // Who is refused in the middle of it may not get to its end.
            let _ = stranger.write_all(&half[..half.len() - 1]);
            stranger
        })
        .collect();
    until_true("there is no more for them", SOON, || {
        let labels = [("reason", "connect_memory")];
        gateway.metrics().sum("landfall_connections_closed_total", &labels) > 0.0
    });
    for number in 0..5 {
        let mut honest = open_from([127, 0, 0, 1], gateway.mqtt());
        honest.set_read_timeout(Some(SOON)).expect("a socket takes a timeout");
        honest.write_all(&long(&format!("honest-{number}"), 20_000)).expect("it is connected");
        let mut answer = [0; 1];
        honest.read_exact(&mut answer).expect("it is answered");
        assert_eq!(answer, [0x20]);
    }
}

#[test]
fn who_is_silent_is_not_ended_for_it_while_there_is_room() {
    let gateway = GatewayConfig::new(Kafka::shared()).set("limits.connections", 100).start_ready();
    let began = Instant::now();
    let mut slow: Vec<Client> =
        (0..9).map(|_| Client::open(gateway.mqtt(), Version::V311)).collect();
    let connect = |number| encode::connect(&Connect::new(Version::V311, &format!("slow-{number}")));
    // So much of it is in the first segment; nothing of some.
    let cut = |number: usize| 3 * (number % 3);
    for (number, client) in slow.iter_mut().enumerate() {
        client.send(&connect(number)[..cut(number)]);
    }
    // Longer than who is silent longest is left alone where room is needed.
    thread::sleep(Duration::from_secs(4).saturating_sub(began.elapsed()));
    for (number, client) in slow.iter_mut().enumerate() {
        client.send(&connect(number)[cut(number)..]);
        assert!(matches!(client.expect_packet(), Packet::Connack { code: 0, .. }));
    }
    // Where there is none, accepting waits for who is not silent for long enough, and not for ever.
    let silent: Vec<TcpStream> =
        (0..30).map(|_| TcpStream::connect(gateway.mqtt()).expect("the system accepts")).collect();
    let mut client = Client::open(gateway.mqtt(), Version::V311);
    client.send(&encode::connect(&Connect::new(Version::V311, "last")));
    match client.read(Duration::from_secs(30)) {
        tests::mqtt::Seen::Packet(Packet::Connack { code: 0, .. }) => {}
        other => panic!("{other:?}"),
    }
    drop(silent);
    assert!(!gateway.log().contains(" WARN "), "health checks are no news: {}", gateway.log());
}
