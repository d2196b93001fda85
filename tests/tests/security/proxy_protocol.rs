//! Who connects is who a load balancer that is trusted says, and nobody else is believed.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};

use serde_json::json;
use tests::gateway::{Gateway, GatewayConfig};
use tests::kafka::Kafka;
use tests::mqtt::{Connect, Publish, Version, encode};
use tests::ports;
use tests::wait::{SOON, until_true};
use tests::websocket::{BINARY, FIN, Socket, frame, upgrade};

const LINE: &[u8] = b"PROXY TCP4 203.0.113.7 10.0.0.2 50001 8883\r\n";
const BINARY_HEADER: &[u8] =
    b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xcb\0\x71\x07\x0a\0\0\x02\xc3\x51\x22\xb3";
const LOCAL: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";
const CLIENT: &str = "203.0.113.7:50001";

/// Listeners that trust loopback, for MQTT and for WebSockets, and one that trusts somebody else.
struct Balanced {
    gateway: Gateway,
    plain: SocketAddr,
    web: SocketAddr,
    strange: SocketAddr,
}

fn start() -> Balanced {
    let [plain, web, strange] = [(); 3].map(|()| ports::local(ports::free()));
    let trusting = json!({ "trusted": ["127.0.0.0/8"] });
    let gateway = GatewayConfig::new(Kafka::shared())
        .listener(json!({ "name": "plain-behind", "bind": plain.to_string(), "proxy_protocol": trusting }))
        .listener(json!({
            "name": "web-behind",
            "bind": web.to_string(),
            "proxy_protocol": trusting,
            "websocket": {},
        }))
        .listener(json!({
            "name": "strange",
            "bind": strange.to_string(),
            "proxy_protocol": { "trusted": ["10.0.0.0/8"] },
        }))
        .start_ready();
    Balanced { gateway, plain, web, strange }
}

impl Balanced {
    fn closed(&self, reason: &str) -> f64 {
        self.gateway.metrics().sum("landfall_connections_closed_total", &[("reason", reason)])
    }

    /// It is ended for that, without an answer.
    #[track_caller]
    fn refuses(&self, address: SocketAddr, bytes: &[u8], reason: &str) {
        let before = self.closed(reason);
        let mut stream = connect(address);
        stream.write_all(bytes).expect("the gateway takes bytes");
        // What is cut stays cut.
        let _ = stream.shutdown(Shutdown::Write);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        assert_eq!(answer, b"", "{bytes:02x?}");
        until_true("it is counted", SOON, || self.closed(reason) == before + 1.0);
    }
}

fn connect(address: SocketAddr) -> TcpStream {
    tests::websocket::connect(address)
}

/// CONNECT and a PUBLISH at QoS 1, in version 3.1.1.
fn session(id: &str) -> Vec<u8> {
    let publish = Publish::new(&format!("devices/meter/{id}/power"), b"x").qos1(1);
    [encode::connect(&Connect::new(Version::V311, id)), encode::publish(Version::V311, &publish)]
        .concat()
}

#[track_caller]
fn expect(stream: &mut TcpStream, bytes: &[u8]) {
    let mut received = vec![0; bytes.len()];
    stream.read_exact(&mut received).unwrap_or_else(|error| panic!("no answer: {error}"));
    assert_eq!(received, bytes);
}

const ANSWERS: &[u8] = &[0x20, 2, 0, 0, 0x40, 2, 0, 1];

#[test]
fn headers_of_both_versions_are_taken_from_who_is_trusted() {
    let balanced = start();
    let mut expected = 0;
    for (number, header) in [LINE, BINARY_HEADER, LOCAL, b"PROXY UNKNOWN\r\n"].iter().enumerate() {
        let mut stream = connect(balanced.plain);
        stream
            .write_all(&[header, &session(&format!("d-{number}"))[..]].concat())
            .expect("it is there");
        expect(&mut stream, ANSWERS);
        // One byte at a time, as slow networks have it.
        let mut slow = connect(balanced.plain);
        for byte in [header, &session(&format!("s-{number}"))[..]].concat() {
            slow.write_all(&[byte]).expect("it is there");
        }
        expect(&mut slow, ANSWERS);
        let mut over = connect(balanced.web);
        over.write_all(header).expect("it is there");
        let (mut socket, _) = Socket::over(over, &upgrade("/", &[]));
        socket.send_raw(&frame(FIN | BINARY, &session(&format!("w-{number}"))));
        socket.expect(FIN | BINARY, &ANSWERS[..4]);
        socket.expect(FIN | BINARY, &ANSWERS[4..]);
        expected += 3;
    }
    Kafka::shared().wait_for(&balanced.gateway.topic("fast"), expected, SOON);
    // Whose connection it is stands in the log.
    let mut request = connect(balanced.plain);
    request.write_all(&[BINARY_HEADER, b"GET / HTTP/1.1\r\n\r\n"].concat()).expect("it is there");
    until_true("it is counted", SOON, || balanced.closed("http") == 1.0);
    let log = balanced.gateway.log();
    assert!(log.lines().any(|line| line.contains("HTTP came") && line.contains(CLIENT)), "{log}");
}

#[test]
fn who_is_trusted_and_says_nothing_true_is_refused() {
    let balanced = start();
    let log = |text: &str| balanced.gateway.log().matches(text).count();
    // A load balancer's health check.
    for _ in 0..3 {
        drop(connect(balanced.plain));
        let mut local = connect(balanced.plain);
        local.write_all(LOCAL).expect("it is there");
    }
    until_true("they are gone", SOON, || balanced.closed("before_connect") == 6.0);
    assert_eq!(log("PROXY"), 0, "and nothing is said");
    for address in [balanced.plain, balanced.web] {
        balanced.refuses(address, &session("bare"), "proxy_header_missing");
        balanced.refuses(address, b"GET / HTTP/1.1\r\n\r\n", "proxy_header_missing");
        for cut in [7, 20, LINE.len() - 1] {
            balanced.refuses(address, &LINE[..cut], "proxy_header_malformed");
        }
        for cut in [13, 16, BINARY_HEADER.len() - 1] {
            balanced.refuses(address, &BINARY_HEADER[..cut], "proxy_header_malformed");
        }
        let mut lying = BINARY_HEADER.to_vec();
        lying[15] = 4;
        balanced.refuses(address, &lying, "proxy_header_malformed");
        lying[14] = 0xff;
        balanced.refuses(address, &lying, "proxy_header_malformed");
        balanced.refuses(
            address,
            b"PROXY TCP4 203.0.113.7 10.0.0.2 50001 70000\r\n",
            "proxy_header_malformed",
        );
        // Behind a good one another may be the client's own, which is a lie.
        balanced.refuses(address, &[LINE, LINE].concat(), "proxy_header");
        balanced.refuses(address, &[LOCAL, BINARY_HEADER].concat(), "proxy_header");
    }
    assert!(log("send-proxy-v2") == 1, "the log says what to switch on");
    assert!(log("a second one behind the first") == 1, "{}", balanced.gateway.log());
}

#[test]
fn who_is_not_trusted_comes_for_himself() {
    let balanced = start();
    for header in [LINE, BINARY_HEADER] {
        balanced.refuses(balanced.strange, &[header, &session("liar")].concat(), "proxy_header");
    }
    assert!(balanced.gateway.log().contains("proxy_protocol.trusted of this listener"));
    let mut honest = connect(balanced.strange);
    honest.write_all(&session("honest")).expect("it is there");
    expect(&mut honest, ANSWERS);
    // Where none is read, one is told from MQTT.
    balanced.refuses(balanced.gateway.mqtt(), &[LINE, &session("liar")].concat(), "proxy_header");
    let landed = Kafka::shared().wait_for(&balanced.gateway.topic("fast"), 1, SOON);
    assert_eq!(landed.len(), 1);
}

/// A header as HAProxy sends it (`send-proxy-v2-ssl-cn`), of a certificate with this common name.
fn of_certificate(verify: u32, common_name: &str) -> Vec<u8> {
    let part =
        |kind: u8, value: &[u8]| [&[kind][..], &(value.len() as u16).to_be_bytes(), value].concat();
    let tls = [&[3][..], &verify.to_be_bytes(), &part(0x22, common_name.as_bytes())].concat();
    let body = [&BINARY_HEADER[16..], &part(0x20, &tls)].concat();
    [&BINARY_HEADER[..14], &(body.len() as u16).to_be_bytes(), &body].concat()
}

#[test]
fn who_a_certificate_names_is_believed_of_a_load_balancer_where_the_listener_says_so() {
    let [told, other] = [(); 2].map(|()| ports::local(ports::free()));
    let trusted = json!(["127.0.0.0/8"]);
    let gateway = GatewayConfig::new(Kafka::shared())
        .listener(json!({
            "name": "told",
            "bind": told.to_string(),
            "proxy_protocol": { "trusted": trusted, "common_names": true },
            "authenticate": ["certificate"],
        }))
        .listener(json!({
            "name": "other",
            "bind": other.to_string(),
            "proxy_protocol": { "trusted": trusted },
        }))
        .set("authentication.certificate.identity", json!([{ "cn": "meter {id}" }]))
        .set(
            "access",
            json!([
                { "allow": ["publish"], "topic": "devices/meter/{identity}/#" },
                { "allow": ["publish"], "topic": "devices/open/#" },
            ]),
        )
        .start_ready();
    let answer = |address: SocketAddr, header: &[u8], id: &str| {
        let mut stream = connect(address);
        stream.write_all(&[header, &session(id)].concat()).expect("the gateway takes bytes");
        let mut answer = [0; 4];
        stream.read_exact(&mut answer).expect("a CONNACK");
        (answer[3], stream)
    };
    let (code, mut stream) = answer(told, &of_certificate(0, "meter m-1"), "m-1");
    assert_eq!(code, 0);
    let mut puback = [0; 4];
    stream.read_exact(&mut puback).expect("a PUBACK: it may publish as itself");
    assert_eq!(puback[0], 0x40);
    for (header, id, why) in [
        (of_certificate(0, "meter m-1"), "m-2", "another's client id"),
        (of_certificate(1, "meter m-1"), "m-1", "not verified"),
        (of_certificate(0, "m-1"), "m-1", "no name of a meter"),
        (BINARY_HEADER.to_vec(), "m-1", "nothing said of a certificate"),
    ] {
        let (code, _stream) = answer(told, &header, id);
        assert!(matches!(code, 2 | 5), "{why}: {code}");
    }
    // Nobody asked for it there, and nobody listens.
    assert_eq!(answer(other, &of_certificate(0, "meter m-1"), "m-7").0, 0);
    let metrics = gateway.metrics();
    let authentications = |result: &str| {
        let labels = [("kind", "certificate"), ("result", result)];
        metrics.sum("landfall_authentications_total", &labels)
    };
    assert_eq!((authentications("ok"), authentications("nameless")), (2.0, 1.0));
}
