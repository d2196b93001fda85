//! TLS: who may come in, in which version and with which certificate, and what the others are told.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;

use serde_json::{Value, json};
use tests::foreign;
use tests::gateway::{Gateway, GatewayConfig};
use tests::kafka::Kafka;
use tests::mqtt::{Client, Connect, Version};
use tests::pki::{Authority, Files, Key, Leaf, Use};
use tests::tls::{TLS12, TLS13, Tls, alert};
use tests::tools::Folder;
use tests::wait::{SOON, until_true};

/// A gateway's listener with TLS, as the configuration has it.
fn listener(server: &[&Files]) -> Value {
    let file = |files: &&Files| json!({ "certificate": files.certificate(), "key": files.key() });
    let certificates: Vec<Value> = server.iter().map(file).collect();
    json!({ "name": "tls", "tls": { "certificates": certificates } })
}

/// A gateway with this listener only.
fn start(mut listener: Value) -> Gateway {
    let config = GatewayConfig::new(Kafka::shared());
    listener["bind"] = json!(config.mqtt().to_string());
    config.set("listeners", json!([listener])).start_ready()
}

/// The paths of tests are text.
fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// What a client that asks for a session gets instead: the alert's name.
fn refused(gateway: &Gateway, tls: &Tls) -> Option<String> {
    let mut stream = match tls.connect(gateway.mqtt()) {
        Ok(stream) => stream,
        Err(error) => return alert(&error),
    };
    // In TLS 1.3 the client is through first.
    let written = stream.write_all(b"\x10\x13\0\x04MQTT\x04\x02\0\x3c\0\x07meter-1");
    let read = written.and_then(|()| stream.flush()).and_then(|()| stream.read(&mut [0; 16]));
    match read {
        Ok(count) => panic!("{count} bytes came in place of an alert"),
        Err(error) => alert(&error),
    }
}

#[test]
fn devices_publish_over_tls_in_both_versions_with_either_kind_of_certificate() {
    let folder = Folder::new("tls");
    let root = Authority::new("root");
    let ecdsa = root.issue(&Leaf::server()).write(&folder, "ecdsa");
    let rsa = root.issue(&Leaf::server().key(Key::Rsa)).write(&folder, "rsa");
    let gateway = start(listener(&[&rsa, &ecdsa]));
    let (port, ca) = (gateway.mqtt().port().to_string(), root.write(&folder, "root"));
    for (number, version) in [(1, &TLS12), (2, &TLS13)] {
        let tls = Tls::trusting(&root).only(version).offering(&["x-nobody-knows"]);
        for again in ["Full", "Resumed"] {
            let connect = Connect::new(Version::V5, "meter-1");
            let mut client = Client::connect_tls(gateway.mqtt(), &tls, &connect);
            client.publish_acknowledged("devices/meter/meter-1/power", number, &[7; 40_000]);
            assert_eq!(format!("{:?}", client.tls().handshake_kind()), format!("Some({again})"));
            assert_eq!(client.tls().alpn_protocol(), None, "what nobody knows is ignored");
            client.disconnect();
        }
    }
    for version in ["tlsv1.2", "tlsv1.3"] {
        let arguments =
            ["-h", "localhost", "-p", &port, "--cafile", text(&ca), "--tls-version", version];
        let message = ["-q", "1", "-i", version, "-t", "devices/meter/m/power", "-m", "21 W"];
        foreign::mosquitto_pub(&[&arguments[..], &message].concat());
    }
    let records = Kafka::shared().wait_for(&gateway.topic("fast"), 6, SOON);
    assert_eq!(records.iter().filter(|record| record.payload() == [7; 40_000]).count(), 4);
    let metrics = gateway.metrics();
    for (version, kind) in
        [("1.2", "full"), ("1.2", "resumed"), ("1.3", "full"), ("1.3", "resumed")]
    {
        let labels = [("listener", "tls"), ("version", version), ("kind", kind)];
        let count = metrics.sum("landfall_tls_handshakes_total", &labels);
        assert!(count >= 1.0, "{version} {kind}: {count}");
    }
    // A client that offers RSA only gets that certificate.
    for (algorithms, expected) in [("RSA-PSS+SHA256", "RSA"), ("ECDSA+SHA256", "EC")] {
        let said = s_client(&gateway, &["-sigalgs", algorithms, "-alpn", "mqtt"]);
        let peer =
            said.lines().find(|line| line.starts_with("Peer signature type")).unwrap_or_default();
        assert!(peer.contains(expected), "{algorithms}: {peer} in {said}");
        assert!(said.contains("ALPN protocol: mqtt"), "{said}");
    }
}

/// What `openssl s_client` says of a handshake.
fn s_client(gateway: &Gateway, arguments: &[&str]) -> String {
    let address = gateway.mqtt().to_string();
    let mut command = std::process::Command::new("openssl");
    command.args(["s_client", "-connect", &address]).args(arguments);
    let output = command.stdin(std::process::Stdio::null()).output().expect("openssl is there");
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    format!("{}{}", text(&output.stdout), text(&output.stderr))
}

#[test]
fn a_client_without_a_good_certificate_stays_outside_and_hears_why() {
    let folder = Folder::new("tls");
    let (root, stranger) = (Authority::new("root"), Authority::new("stranger"));
    let server = root.issue(&Leaf::server()).write(&folder, "server");
    let ca = root.write(&folder, "ca");
    let mut asking = listener(&[&server]);
    asking["tls"]["client_ca"] = json!(text(&ca));
    let gateway = start(asking);
    let tls = Tls::trusting(&root);
    let intermediate = root.intermediate("intermediate");
    for good in [
        root.issue(&Leaf::client("meter-1")),
        intermediate.issue(&Leaf::client("meter-1").key(Key::Rsa)),
        root.issue(&Leaf::client("meter-1").usage(Use::Anything).never_ends()),
    ] {
        let connect = Connect::new(Version::V311, "meter-1");
        let tls = tls.clone().showing(&good);
        let mut client = Client::connect_tls(gateway.mqtt(), &tls, &connect);
        client.publish_acknowledged("devices/meter/meter-1/power", 1, b"21 W");
    }
    let old = root.issue_v1(&folder, "old");
    let bad = [
        (None, "CertificateRequired", "no_certificate"),
        (Some(stranger.issue(&Leaf::client("m"))), "UnknownCA", "unknown_authority"),
        (Some(Leaf::client("m").self_signed()), "UnknownCA", "unknown_authority"),
        (Some(root.issue(&Leaf::client("m").expired())), "CertificateExpired", "expired"),
        (
            Some(root.issue(&Leaf::client("m").not_yet_valid())),
            "CertificateExpired",
            "not_yet_valid",
        ),
        (
            Some(root.issue(&Leaf::client("m").usage(Use::Server))),
            "UnsupportedCertificate",
            "wrong_use",
        ),
        (Some(old), "UnsupportedCertificate", "version_1"),
    ];
    for (shown, expected, reason) in bad {
        for version in [&TLS13, &TLS12] {
            let tls = match &shown {
                Some(issued) => tls.clone().showing(issued).only(version),
                None => tls.clone().only(version),
            };
            let told = refused(&gateway, &tls);
            let expected = match (expected, version.version == TLS12.version) {
                // There is no such alert in 1.2.
                ("CertificateRequired", true) => "HandshakeFailure",
                (expected, _) => expected,
            };
            assert_eq!(told.as_deref(), Some(expected), "{reason} {:?}", version.version);
        }
        let labels = [("listener", "tls"), ("reason", reason)];
        let counted = || gateway.metrics().sum("landfall_tls_handshakes_refused_total", &labels);
        until_true(reason, SOON, || counted() >= 2.0);
        let log = gateway.log();
        let line = log.lines().find(|line| line.contains(&format!("reason=\"{reason}\"")));
        let line = line.unwrap_or_else(|| panic!("{reason} is not in the log: {log}"));
        assert!(line.contains("TLSv1_3") && line.contains("X25519"), "{line}");
    }
}

#[test]
fn what_is_no_tls_is_said_to_be_none() {
    let folder = Folder::new("tls");
    let root = Authority::new("root");
    let server = root.issue(&Leaf::server()).write(&folder, "server");
    let gateway = start(listener(&[&server]));
    for (bytes, reason, said) in [
        (&b"\x10\x13\0\x04MQTT\x04\x02\0\x3c\0\x07meter-1"[..], "plain_mqtt", "MQTT without TLS"),
        (b"GET / HTTP/1.1\r\n\r\n", "plain_http", "HTTP without TLS"),
        (b"SSH-2.0-OpenSSH\r\n", "not_tls", "reason=\"not_tls\""),
    ] {
        let mut socket = TcpStream::connect(gateway.mqtt()).expect("it listens");
        socket.write_all(bytes).expect("it is connected");
        socket.set_read_timeout(Some(SOON)).expect("a socket takes a timeout");
        assert_eq!(socket.read(&mut [0; 16]).expect("it is closed"), 0);
        let labels = [("listener", "tls"), ("reason", reason)];
        let count = gateway.metrics().sum("landfall_tls_handshakes_refused_total", &labels);
        assert!(count > 0.9, "{reason}");
        assert!(gateway.log().contains(said), "{said}: {}", gateway.log());
    }
}
