//! MQTT over WebSocket: every version and every cut of frames, and what is no WebSocket of MQTT is told so.

use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tests::browser;
use tests::foreign;
use tests::gateway::{Gateway, GatewayConfig};
use tests::kafka::Kafka;
use tests::mqtt::{Client, Connect, Packet, Publish, Version, encode};
use tests::pki::{Authority, Leaf};
use tests::ports;
use tests::tls::Tls;
use tests::tools::Folder;
use tests::wait::{SOON, until_true};
use tests::websocket::{
    BINARY, CLOSE, CONTINUATION, Cut, FIN, Frame, PING, PONG, Seen, Socket, TEXT, frame, head,
    refused, tunnel, upgrade,
};

const ORIGIN: &str = "https://console.example.com";
/// More than a lane takes inline.
const LARGE: usize = 700 * 1024;

/// A gateway with a listener for WebSockets beside the plain one.
fn start(websocket: Value) -> (Gateway, SocketAddr) {
    start_with(GatewayConfig::new(Kafka::shared()), websocket)
}

fn start_with(config: GatewayConfig, websocket: Value) -> (Gateway, SocketAddr) {
    let address = ports::local(ports::free());
    let listener = json!({ "name": "web", "bind": address.to_string(), "websocket": websocket });
    (config.listener(listener).start_ready(), address)
}

fn closed(gateway: &Gateway, reason: &str) -> f64 {
    gateway.metrics().sum("landfall_connections_closed_total", &[("reason", reason)])
}

fn mqtt_in(payload: &[u8], version: Version) -> Packet {
    let (packet, length) = tests::mqtt::decode::packet(version, payload).expect("a whole packet");
    assert_eq!(length, payload.len());
    packet
}

/// The packet in the next frame.
#[track_caller]
fn packet(socket: &mut Socket, version: Version) -> Packet {
    match socket.read(tests::websocket::PATIENCE) {
        Seen::Frame(Frame { first, payload }) if first == FIN | BINARY => {
            mqtt_in(&payload, version)
        }
        other => panic!("a packet was expected: {other:02x?}"),
    }
}

/// What is said before the Close frame, and its code.
#[track_caller]
fn goodbye(socket: &mut Socket) -> (Vec<u8>, u16) {
    let mut said = Vec::new();
    loop {
        match socket.read(tests::websocket::PATIENCE) {
            Seen::Frame(Frame { first, payload }) if first == FIN | BINARY => said.extend(payload),
            Seen::Frame(Frame { first, payload }) if first == FIN | CLOSE => {
                let code = payload.try_into().expect("a code and nothing else");
                return (said, u16::from_be_bytes(code));
            }
            other => panic!("a goodbye was expected: {other:02x?}"),
        }
    }
}

#[track_caller]
fn connected(address: SocketAddr, path: &str, version: Version, id: &str) -> Socket {
    let mut socket = Socket::open(address, path);
    socket.send_binary(&encode::connect(&Connect::new(version, id)));
    let connack = packet(&mut socket, version);
    assert!(matches!(connack, Packet::Connack { code: 0, .. }), "{connack:?}");
    socket
}

#[test]
fn every_version_lands_wherever_its_frames_are_cut() {
    let folder = Folder::new("objects");
    let store = json!({ "url": format!("file://{}", folder.display()) });
    let config = GatewayConfig::new(Kafka::shared()).set("object_store", store);
    let (gateway, address) = start_with(config, json!({ "path": "/mqtt" }));
    let cuts = [
        Cut { frame: 1, frames: 1, pings: false },
        Cut { frame: 3, frames: 5, pings: true },
        Cut { frame: 1000, frames: 2, pings: true },
        Cut { frame: 16 * 1024, frames: 1, pings: false },
    ];
    let mut expected = Vec::new();
    for (number, cut) in cuts.into_iter().enumerate() {
        let through = tunnel(address, "/mqtt", cut);
        for version in Version::ALL {
            let device = format!("{version:?}-{number}").to_lowercase();
            let topic = format!("devices/meter/{device}/power");
            let mut client = Client::connect(through, version, &device);
            client.publish_acknowledged(&topic, 1, device.as_bytes());
            client.publish(&Publish::new(&topic, device.as_bytes()).qos2(2));
            client.expect_pubrec(2);
            client.pubrel(2);
            client.expect_pubcomp(2);
            client.ping();
            client.expect_pingresp();
            if cut.frame > 100 {
                // It streams to the object store while it arrives.
                client.publish_acknowledged(&topic, 3, &vec![number as u8; LARGE]);
            }
            client.disconnect();
            expected.extend([device.clone(), device]);
        }
    }
    let landed = Kafka::shared().wait_for(&gateway.topic("fast"), expected.len(), SOON);
    let mut payloads: Vec<String> =
        landed.iter().map(|record| String::from_utf8(record.payload()).expect("text")).collect();
    payloads.sort();
    expected.sort();
    assert_eq!(payloads, expected);
    // Those whose frames are not tiny.
    let large = 2 * Version::ALL.len();
    assert_eq!(Kafka::shared().wait_for(&gateway.topic("slow"), large, SOON).len(), large);
    until_true("all said goodbye", SOON, || {
        closed(&gateway, "disconnected") == (cuts.len() * Version::ALL.len()) as f64
    });
}

#[test]
fn the_stream_may_be_cut_at_every_byte() {
    let (gateway, address) = start(json!({}));
    let publish = Publish::new("devices/meter/cut/power", b"x").qos1(1);
    let publish = encode::publish(Version::V311, &publish);
    let (one, other) = publish.split_at(7);
    let frames = [
        frame(FIN | BINARY, &encode::connect(&Connect::new(Version::V311, "cut"))),
        frame(BINARY, one),
        frame(FIN | PING, b"?"),
        frame(FIN | CONTINUATION, other),
    ]
    .concat();
    let request = upgrade("/", &[]);
    for cut in 1..frames.len() {
        let (mut socket, _) = Socket::over(tests::websocket::connect(address), &request);
        socket.send_raw(&frames[..cut]);
        // Time for the first part to be read alone.
        std::thread::sleep(Duration::from_millis(2));
        socket.send_raw(&frames[cut..]);
        let mut seen = Vec::new();
        while seen.len() < 3 {
            match socket.read(SOON) {
                Seen::Frame(frame) => seen.push(frame),
                other => panic!("cut at {cut}: {other:?} after {seen:?}"),
            }
        }
        let pong = Frame { first: FIN | PONG, payload: b"?".to_vec() };
        assert!(seen.contains(&pong), "cut at {cut}: {seen:?}");
        let packets = seen.iter().filter(|frame| frame.first == FIN | BINARY);
        let packets: Vec<_> = packets.map(|frame| mqtt_in(&frame.payload, Version::V311)).collect();
        assert!(matches!(packets[0], Packet::Connack { code: 0, .. }), "cut at {cut}");
        assert!(matches!(packets[1], Packet::Puback { packet_id: 1, .. }), "cut at {cut}");
    }
    let count = frames.len() - 1;
    assert_eq!(Kafka::shared().wait_for(&gateway.topic("fast"), count, SOON).len(), count);
}

#[test]
fn who_asks_for_something_else_is_told_what_to_do() {
    let (gateway, address) = start(json!({ "path": "/mqtt", "origins": [ORIGIN] }));
    let mut healthy = connected(address, "/mqtt", Version::V5, "healthy");
    let long = format!("X-Long: {}", "x".repeat(9000));
    let cases = [
        ("GET /mqtt HTTP/1.1\r\nHost: gw\r\n\r\n".to_owned(), 426, "ws://", "http"),
        ("GET /livez HTTP/1.1\r\nHost: gw\r\n\r\n".to_owned(), 404, "path", "websocket_path"),
        (upgrade("/", &[]), 404, "websocket.path", "websocket_path"),
        (upgrade("/mqtt", &["Origin: https://evil.example"]), 403, "origin", "websocket_origin"),
        (upgrade("/mqtt", &["Origin: null"]), 403, "websocket.origins", "websocket_origin"),
        (
            upgrade("/mqtt", &["Sec-WebSocket-Protocol: chat"]),
            400,
            "mqttv3.1.1",
            "websocket_protocol",
        ),
        (upgrade("/mqtt", &[&long]), 400, "8192", "websocket_request"),
        ("GET / / /\r\n\r\n".to_owned(), 400, "HTTP/1.1", "websocket_request"),
        (
            upgrade("/mqtt", &[]).replace("Version: 13", "Version: 8"),
            426,
            "13",
            "websocket_request",
        ),
        (
            upgrade("/mqtt", &[]).replace("Sec-WebSocket-Key", "X-Key"),
            400,
            "Sec-WebSocket-Key",
            "websocket_request",
        ),
    ];
    for (request, code, part, reason) in &cases {
        let before = closed(&gateway, reason);
        let response = refused(address, request.as_bytes());
        assert_eq!(response.code, *code, "{request:?}: {response:?}");
        assert!(response.body.contains(part), "{request:?}: {response:?}");
        until_true("it is counted", SOON, || closed(&gateway, reason) == before + 1.0);
    }
    let log = gateway.log();
    let refusals = log.matches("a request for a WebSocket was refused").count();
    assert!((6..=cases.len()).contains(&refusals), "each kind once: {log}");
    for (protocol, origin) in [("mqtt", ORIGIN), ("mqttv3.1", ORIGIN), ("chat, mqttv3.1.1", ORIGIN)]
    {
        let headers = [format!("Sec-WebSocket-Protocol: {protocol}"), format!("Origin: {origin}")];
        let request = upgrade("/mqtt?a=b", &[&headers[0], &headers[1]]);
        let (_, response) = Socket::over(tests::websocket::connect(address), &request);
        let echoed = protocol.trim_start_matches("chat, ");
        let header = format!("\r\nSec-WebSocket-Protocol: {echoed}");
        assert!(response.head.contains(&header), "{}", response.head);
    }
    let (_, response) = Socket::over(tests::websocket::connect(address), &upgrade("/mqtt", &[]));
    assert!(!response.head.contains("Protocol:"), "{}", response.head);
    healthy.send_binary(&[0xc0, 0]);
    healthy.expect(FIN | BINARY, &[0xd0, 0]);
}

#[test]
fn other_protocols_are_recognised_at_a_listener_for_websockets_and_websockets_at_others() {
    let (gateway, address) = start(json!({}));
    for (to, bytes, reason, text) in [
        (address, &b"\x10\x13\0\x04MQTT"[..], "mqtt", "MQTT without WebSocket"),
        (address, &[0x16, 3, 1, 2, 0, 1], "tls", "TLS came to a listener without TLS"),
        (address, b"PROXY TCP4 1.2.3.4 ", "proxy_header", "a PROXY header came"),
        (gateway.mqtt(), upgrade("/", &[]).as_bytes(), "websocket", "`websocket: {}`"),
    ] {
        let mut stream = tests::websocket::connect(to);
        stream.write_all(bytes).expect("the gateway takes bytes");
        until_true("it is counted", SOON, || closed(&gateway, reason) == 1.0);
        assert!(gateway.log().contains(text), "{}", gateway.log());
    }
}

#[test]
fn frames_that_are_none_end_the_connection_with_their_code() {
    let (gateway, address) = start(json!({}));
    let mut healthy = connected(address, "/", Version::V5, "healthy");
    let unmasked = [FIN | BINARY, 2, 0xc0, 0];
    let mut ended = 0.0;
    for version in [Version::V311, Version::V5] {
        for (bytes, code) in [
            (unmasked.to_vec(), 1002),
            (frame(FIN | TEXT, &[0xc0, 0]), 1003),
            (frame(FIN | 0x40 | BINARY, &[0xc0, 0]), 1002),
            (frame(FIN | 3, b""), 1002),
            (frame(FIN | CONTINUATION, b"x"), 1002),
            (frame(PING, b""), 1002),
            (frame(FIN | PING, &[0; 126]), 1002),
            (head(FIN | BINARY, 1 << 63), 1002),
        ] {
            let mut socket = connected(address, "/", version, "faulty");
            // What is before the fault counts.
            socket.send_binary(&[0xc0, 0]);
            socket.send_raw(&bytes);
            let (said, why) = goodbye(&mut socket);
            assert_eq!(why, code, "{bytes:02x?}");
            match version {
                // With a sentence.
                Version::V5 => assert!(said.starts_with(&[0xd0, 0, 0xe0]) && said[4] == 0x82),
                _ => assert_eq!(said, [0xd0, 0]),
            }
            ended += 1.0;
        }
        // Before CONNECT, too.
        let mut early = Socket::open(address, "/");
        early.send(FIN | TEXT, b"hello");
        early.expect_close(1003);
        ended += 1.0;
    }
    until_true("they are counted", SOON, || closed(&gateway, "websocket_frame") == ended);
    healthy.send_binary(&[0xc0, 0]);
    healthy.expect(FIN | BINARY, &[0xd0, 0]);
}

/// Nothing is taken for what was only announced, and what is in it are packets like any others.
#[test]
fn a_frame_of_2_to_the_62_bytes_is_a_stream() {
    let (gateway, address) = start(json!({}));
    let before = gateway.metrics().sum("process_resident_memory_bytes", &[]);
    let mut socket = Socket::open(address, "/");
    let publish = Publish::new("devices/meter/endless/power", &[7; 100_000]).qos1(1);
    let packets = [
        encode::connect(&Connect::new(Version::V5, "endless")),
        encode::publish(Version::V5, &publish),
    ]
    .concat();
    let mut endless = head(FIN | BINARY, 1 << 62);
    let masked = frame(FIN | BINARY, &packets);
    endless.extend_from_slice(&masked[masked.len() - packets.len()..]);
    socket.send_raw(&endless);
    assert!(matches!(packet(&mut socket, Version::V5), Packet::Connack { code: 0, .. }));
    assert!(matches!(packet(&mut socket, Version::V5), Packet::Puback { packet_id: 1, .. }));
    Kafka::shared().wait_for(&gateway.topic("fast"), 1, SOON);
    let grown = gateway.metrics().sum("process_resident_memory_bytes", &[]) - before;
    assert!(grown < 16.0 * 1024.0 * 1024.0, "{grown} bytes");
}

#[test]
fn pings_are_answered_and_sent_and_a_missing_pong_ends_nothing() {
    let (gateway, address) = start(json!({ "ping": "1s" }));
    let mut socket = connected(address, "/", Version::V5, "quiet");
    socket.send(FIN | PING, b"are you there?");
    socket.expect(FIN | PONG, b"are you there?");
    for _ in 0..3 {
        // None of them is answered.
        socket.expect(FIN | PING, b"");
    }
    let publish = Publish::new("devices/meter/quiet/power", b"here").qos1(1);
    socket.send_binary(&encode::publish(Version::V5, &publish));
    assert!(matches!(packet(&mut socket, Version::V5), Packet::Puback { packet_id: 1, .. }));
    socket.send_binary(&[0xe0, 0]);
    socket.send(FIN | CLOSE, &1000_u16.to_be_bytes());
    socket.expect_close(1000);
    until_true("it said goodbye", SOON, || closed(&gateway, "disconnected") == 1.0);
    // One that says it over WebSocket only is gone, and its Close is echoed.
    let mut other = connected(address, "/", Version::V5, "brief");
    other.send(FIN | CLOSE, &4000_u16.to_be_bytes());
    other.expect_close(4000);
}

#[test]
fn local_messages_of_any_size_reach_a_subscriber_over_websocket() {
    let (gateway, address) = start(json!({}));
    let through = tunnel(address, "/", Cut { frame: 500, frames: 3, pings: true });
    let mut subscriber = Client::connect(through, Version::V5, "reader");
    subscriber.subscribe(1, "news/#", 0);
    assert!(matches!(subscriber.expect_packet(), Packet::Suback { .. }));
    let mut publisher = Client::connect(gateway.mqtt(), Version::V311, "writer");
    for size in [1, 125, 126, 2047, 2048, 2049, 60_000, 200_000] {
        publisher.publish(&Publish::new("news/a", &vec![size as u8; size]));
        match subscriber.expect_packet() {
            Packet::Publish(message) => {
                assert!(message.payload == vec![size as u8; size], "{size}")
            }
            other => panic!("{size}: {other:?}"),
        }
    }
}

#[test]
fn a_drain_says_goodbye_in_both_protocols() {
    let (mut gateway, address) = start(json!({}));
    let mut five = connected(address, "/", Version::V5, "five");
    let mut three = connected(address, "/", Version::V311, "three");
    assert_eq!(gateway.terminate(), Some(0));
    let goodbye = packet(&mut five, Version::V5);
    assert!(matches!(goodbye, Packet::Disconnect { code: 0x8b, .. }), "{goodbye:?}");
    five.expect_close(1000);
    three.expect_close(1000);
}

/// A listener for WebSockets over TLS, and the file of its authority.
struct Secured {
    gateway: Gateway,
    address: SocketAddr,
    authority: Authority,
    authority_file: String,
    _folder: Folder,
}

impl Secured {
    fn url(&self) -> String {
        format!("wss://localhost:{}/mqtt", self.address.port())
    }
}

fn start_secured(websocket: Value) -> Secured {
    let folder = Folder::new("pki");
    let authority = Authority::new("the fleet");
    let files = authority.issue(&Leaf::server()).write(&folder, "server");
    let address = ports::local(ports::free());
    let listener = json!({
        "name": "web",
        "bind": address.to_string(),
        "websocket": websocket,
        "tls": {
            "certificates": [{ "certificate": files.certificate, "key": files.key }],
        },
    });
    let gateway = GatewayConfig::new(Kafka::shared()).listener(listener).start_ready();
    let authority_file = authority.write(&folder, "authority").display().to_string();
    Secured { gateway, address, authority, authority_file, _folder: folder }
}

#[test]
fn a_websocket_over_tls_is_one_too() {
    let Secured { gateway, address, authority, .. } = start_secured(json!({ "path": "/mqtt" }));
    // What nobody here speaks is ignored.
    let offers = [&["http/1.1"][..], &["h2", "http/1.1"], &[], &["h2", "mqtt"]];
    for (number, protocols) in offers.iter().enumerate() {
        let stream = Tls::trusting(&authority).offering(protocols).connect(address);
        let stream = stream.expect("they shake hands");
        let chosen = protocols.contains(&"http/1.1").then_some(&b"http/1.1"[..]);
        assert_eq!(stream.conn.alpn_protocol(), chosen, "{protocols:?}");
        let (mut socket, _) = Socket::over(stream, &upgrade("/mqtt", &[]));
        let id = format!("s-{number}");
        socket.send_binary(&encode::connect(&Connect::new(Version::V311, &id)));
        socket.expect(FIN | BINARY, &[0x20, 2, 0, 0]);
        // More than fits into a record, or into what is read at once.
        let publish = Publish::new("devices/meter/s/power", &[number as u8; 200_000]).qos1(1);
        socket.send_binary(&encode::publish(Version::V311, &publish));
        socket.expect(FIN | BINARY, &[0x40, 2, 0, 1]);
        socket.send(FIN | PING, b"?");
        socket.expect(FIN | PONG, b"?");
        socket.send(FIN | TEXT, b"x");
        socket.expect(FIN | CLOSE, &1003_u16.to_be_bytes());
    }
    assert_eq!(Kafka::shared().wait_for(&gateway.topic("fast"), 4, SOON).len(), 4);
    // Who takes the gateway for a web server is answered over TLS.
    let mut stream = Tls::trusting(&authority).connect(address).expect("they shake hands");
    stream.write_all(b"GET /mqtt HTTP/1.1\r\nHost: gw\r\n\r\n").expect("the gateway is there");
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).expect("an answer");
    assert_eq!(&answer, b"HTTP/1.1 426");
}

#[test]
fn clients_that_are_not_ours_publish_over_ws_and_wss() {
    const COUNT: usize = 3;
    let (gateway, address) = start(json!({}));
    let secured = start_secured(json!({}));
    for (kind, url, gateway) in [
        ("ws", format!("ws://{address}/mqtt"), &gateway),
        ("wss", secured.url() + "#" + &secured.authority_file, &secured.gateway),
    ] {
        for version in ["3", "4", "5"] {
            for client in ["paho_publish.py", "mqttjs_publish.js"] {
                let id = format!("{kind}-{version}-{}", &client[..4]);
                let topic = format!("devices/meter/{id}/power");
                let count = COUNT.to_string();
                let arguments = [&*url, version, &*id, &*topic, "1", &*count];
                let said = match client.ends_with(".py") {
                    true => foreign::python(client, &arguments),
                    false => foreign::node(client, &arguments),
                };
                assert!(said.contains("3 acknowledged"), "{said}");
            }
        }
        let landed = Kafka::shared().wait_for(&gateway.topic("fast"), 6 * COUNT, SOON);
        assert_eq!(landed.len(), 6 * COUNT, "{kind}");
    }
}

#[test]
fn tungstenite_speaks_with_the_gateway() {
    use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
    use tokio_tungstenite::tungstenite::{Message, http::HeaderValue};
    let (gateway, address) = start(json!({ "path": "/mqtt" }));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime can be built").block_on(async {
        let mut request = format!("ws://{address}/mqtt").into_client_request().expect("a good URL");
        let protocol = HeaderValue::from_static("mqtt");
        request.headers_mut().insert("Sec-WebSocket-Protocol", protocol);
        let stream = tokio::net::TcpStream::connect(address).await.expect("it listens");
        let opened = tokio_tungstenite::client_async(request, stream).await;
        let (mut socket, _) = opened.expect("it is upgraded");
        let connect = encode::connect(&Connect::new(Version::V5, "tungstenite"));
        let publish = Publish::new("devices/meter/tungstenite/power", &[7; 300_000]).qos1(1);
        let publish = encode::publish(Version::V5, &publish);
        for bytes in [connect, publish] {
            socket.send(Message::binary(bytes)).await.expect("it is open");
            let answer = socket.next().await.expect("it is open").expect("an answer");
            let packet = mqtt_in(&answer.into_data(), Version::V5);
            let is_good = matches!(
                packet,
                Packet::Connack { code: 0, .. } | Packet::Puback { packet_id: 1, .. }
            );
            assert!(is_good, "{packet:?}");
        }
        socket.close(None).await.expect("it is open");
        while let Some(Ok(_)) = socket.next().await {}
    });
    Kafka::shared().wait_for(&gateway.topic("slow"), 1, SOON);
}

#[test]
fn a_page_in_a_browser_publishes_over_wss() {
    let Some(browser) = browser::program("a web page in a browser over WSS") else { return };
    let secured = start_secured(json!({ "path": "/mqtt", "origins": [ORIGIN] }));
    let url = secured.url();
    let browser = browser.display().to_string();
    let topic = "devices/meter/page/power";
    let publish = |origin: &str, id: &str| {
        foreign::node("browser_publish.js", &[&browser, &url, origin, id, topic, "3"])
    };
    let said = publish(ORIGIN, "page");
    assert!(said.contains("3 acknowledged"), "{said}");
    let landed = Kafka::shared().wait_for(&secured.gateway.topic("fast"), 3, SOON);
    assert_eq!(landed[0].payload(), b"page 1");
    let said = publish("https://evil.example", "evil");
    assert!(said.contains("not connected"), "{said}");
    assert_eq!(closed(&secured.gateway, "websocket_origin"), 1.0);
}
