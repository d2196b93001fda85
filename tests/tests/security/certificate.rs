//! A client's certificate as who it is: over TLS and WSS, in every version, alone and beside other ways. Who
//! shows a good one is whom it names and nobody else, for as long as it is good.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use proto::v1::IdentityTrust;
use serde_json::{Value, json};
use tests::foreign;
use tests::gateway::{Gateway, GatewayConfig};
use tests::kafka::Kafka;
use tests::load::{Load, assert_landed_in_order};
use tests::mqtt::property::Property;
use tests::mqtt::{Client, Connect, Packet, Publish, Version, decode, encode};
use tests::pki::{Authority, Files, Issued, Key, Leaf, Use, self_signed_v1};
use tests::ports;
use tests::service::{Says, Service};
use tests::tls::{TLS12, TLS13, Tls, alert};
use tests::tools::{Folder, program};
use tests::wait::{SOON, until_true};
use tests::websocket::{BINARY, FIN, frame, upgrade};

/// Codes of CONNACK, in version 3 and 5.
const ACCEPTED: Outcome = Outcome::Connack { v3: 0, v5: 0 };
const NOT_AUTHORIZED: Outcome = Outcome::Connack { v3: 5, v5: 0x87 };
const WRONG_PASSWORD: Outcome = Outcome::Connack { v3: 4, v5: 0x86 };
const FOREIGN_CLIENT_ID: Outcome = Outcome::Connack { v3: 2, v5: 0x85 };
/// Of DISCONNECT.
const ENDED: u8 = 0x87;
/// Who may not any more has gone by then.
const GONE_WAIT: Duration = Duration::from_secs(5);

/// What becomes of somebody who comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Connack {
        v3: u8,
        v5: u8,
    },
    /// As rustls names it.
    Alert(&'static str),
}

/// What carries MQTT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Over {
    Tls,
    Wss,
}

/// Connects, and has to be told that.
#[track_caller]
fn expect(
    what: &str,
    over: Over,
    address: SocketAddr,
    tls: &Tls,
    connect: &Connect,
    told: Outcome,
) {
    let came = come(over, address, tls, connect);
    let version = connect.version;
    match (told, &came) {
        (Outcome::Connack { v3, v5 }, Ok(Packet::Connack { code, .. })) => {
            let expected = if version == Version::V5 { v5 } else { v3 };
            assert_eq!(*code, expected, "{what} {over:?} {version:?}");
        }
        (Outcome::Alert(name), Err(error)) => {
            assert_eq!(alert(error).as_deref(), Some(name), "{what} {over:?} {version:?}");
        }
        _ => panic!("{what} {over:?} {version:?}: {told:?} was expected: {came:?}"),
    }
}

/// The first packet that comes back, or what TLS says instead.
fn come(over: Over, address: SocketAddr, tls: &Tls, connect: &Connect) -> io::Result<Packet> {
    let mut stream = tls.connect(address)?;
    let mut received = Vec::new();
    let more = |stream: &mut tests::tls::Stream, received: &mut Vec<u8>| {
        let mut chunk = [0; 1024];
        match stream.read(&mut chunk)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            count => {
                received.extend_from_slice(&chunk[..count]);
                Ok::<(), io::Error>(())
            }
        }
    };
    let mut packet = encode::connect(connect);
    if over == Over::Wss {
        stream.write_all(upgrade("/mqtt", &["Sec-WebSocket-Protocol: mqtt"]).as_bytes())?;
        let end = loop {
            if let Some(end) = received.windows(4).position(|part| part == b"\r\n\r\n") {
                break end + 4;
            }
            more(&mut stream, &mut received)?;
        };
        assert!(received.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&received));
        received.drain(..end);
        packet = frame(FIN | BINARY, &packet);
    }
    stream.write_all(&packet)?;
    stream.flush()?;
    loop {
        // A short frame of a server has two bytes in front.
        let head = if over == Over::Wss { 2 } else { 0 };
        let packet = received.get(head..);
        if let Some((packet, _)) = packet.and_then(|rest| decode::packet(connect.version, rest)) {
            return Ok(packet);
        }
        more(&mut stream, &mut received)?;
    }
}

/// The paths of tests are text.
fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// A line of a password file.
fn password_line(name: &str, password: &str) -> String {
    let mut command = std::process::Command::new(program("landfall"));
    command.args(["password", name]).stdin(std::process::Stdio::piped());
    command.stdout(std::process::Stdio::piped());
    let mut child = command.stderr(std::process::Stdio::null()).spawn().expect("it starts");
    let mut input = child.stdin.take().expect("it is piped");
    writeln!(input, "{password}").expect("it reads");
    drop(input);
    String::from_utf8(child.wait_with_output().expect("it ends").stdout).expect("UTF-8")
}

fn with_password(mut connect: Connect, name: &str, password: &str) -> Connect {
    connect.user_name = Some(name.to_owned());
    connect.password = Some(password.as_bytes().to_vec());
    connect
}

/// Files of a gateway, and who signs certificates.
struct World {
    folder: Folder,
    root: Authority,
    server: Files,
    ca: String,
}

impl World {
    fn new() -> World {
        let folder = Folder::new("certificates");
        let root = Authority::new("root");
        let server = root.issue(&Leaf::server()).write(&folder, "server");
        let ca = text(&root.write(&folder, "ca")).to_owned();
        World { folder, root, server, ca }
    }

    fn write(&self, name: &str, content: &str) -> String {
        let path = self.folder.join(name);
        fs::write(&path, content).expect("the test's folder can be written");
        text(&path).to_owned()
    }

    /// A listener at a free port whose clients may show a certificate of the root's.
    fn listener(&self, name: &str, authenticate: Value) -> (Value, SocketAddr) {
        let address = ports::local(ports::free());
        let server = json!({ "certificate": self.server.certificate(), "key": self.server.key() });
        let listener = json!({
            "name": name,
            "bind": address.to_string(),
            "tls": { "certificates": [server], "client_ca": self.ca },
            "authenticate": authenticate,
        });
        (listener, address)
    }

    fn tls(&self) -> Tls {
        Tls::trusting(&self.root)
    }

    fn showing(&self, issued: &Issued) -> Tls {
        self.tls().showing(issued)
    }

    fn device(&self, name: &str) -> Issued {
        self.root.issue(&Leaf::client(name))
    }
}

/// A gateway with these listeners and no other, where everybody may do everything.
fn config(listeners: &[&Value]) -> GatewayConfig {
    let everything = json!([{ "allow": ["publish", "subscribe"], "topic": "#" }]);
    let config = GatewayConfig::new(Kafka::shared());
    config.set("listeners", json!(listeners)).set("access", everything)
}

fn looks(gateway: &Gateway, kind: &str, result: &str) -> f64 {
    let labels = [("kind", kind), ("result", result)];
    gateway.metrics().sum("landfall_authentications_total", &labels)
}

fn closed(gateway: &Gateway, reason: &str) -> f64 {
    gateway.metrics().sum("landfall_connections_closed_total", &[("reason", reason)])
}

fn until_audited(gateway: &Gateway, parts: &[&str]) {
    until_true(&format!("{parts:?} in the audit log"), SOON, || {
        let output = gateway.output();
        output.lines().any(|line| parts.iter().all(|part| line.contains(part)))
    });
}

#[test]
fn who_shows_a_certificate_is_whom_it_names_and_nobody_else() {
    let world = World::new();
    let (root, stranger) = (&world.root, Authority::new("stranger"));
    let dev1 = root.issue(&Leaf::client("CN of it").uri("spiffe://fleet/eu/device/dev1"));
    let revoked = world.device("dev1");
    let nameless = root.issue(&Leaf::client("").nameless().uri("urn:other"));
    let own = Leaf::client("own").self_signed();
    let v1 = self_signed_v1(&world.folder, "lone");
    let pins = format!("{} dev2\n{} lone\n", own.fingerprint(), v1.fingerprint());
    let (mut tcp, over_tls) = world.listener("tls", json!(["certificate", "password"]));
    tcp["tls"]["client_certificate"] = json!("optional");
    tcp["tls"]["crl"] = json!(world.write("crl.pem", &root.revoke(&[&revoked])));
    let (mut web, over_wss) = (tcp.clone(), ports::local(ports::free()));
    web["name"] = json!("web");
    web["bind"] = json!(over_wss.to_string());
    web["websocket"] = json!({ "path": "/mqtt", "origins": ["https://none.invalid"] });
    let (strict, over_strict) = world.listener("strict", json!(["certificate"]));
    let names = json!([{ "san_uri": "spiffe://fleet/{group}/device/{id}" }, "cn"]);
    let passwords = password_line("dev2", "dev2's");
    let gateway = config(&[&tcp, &web, &strict])
        .set("authentication.certificate.identity", names)
        .set("authentication.certificate.pinned", world.write("pins", &pins))
        .set("authentication.password.file", world.write("passwords", &passwords))
        .start_ready();
    let shown = |issued: &Issued| world.showing(issued);
    let rows = [
        ("a good one", shown(&dev1), "dev1", ACCEPTED),
        ("of RSA", shown(&root.issue(&Leaf::client("dev1").key(Key::Rsa))), "dev1", ACCEPTED),
        ("that never ends", shown(&root.issue(&Leaf::client("m").never_ends())), "m", ACCEPTED),
        ("a foreign client id", shown(&dev1), "dev2", FOREIGN_CLIENT_ID),
        ("dev10 of dev1", shown(&dev1), "dev10", FOREIGN_CLIENT_ID),
        ("its CN, which is not its name", shown(&dev1), "CN of it", FOREIGN_CLIENT_ID),
        ("none of its names fits", shown(&nameless), "dev1", NOT_AUTHORIZED),
        ("pinned", shown(&own), "dev2", ACCEPTED),
        ("pinned, by its own name", shown(&own), "own", FOREIGN_CLIENT_ID),
        ("pinned, of version 1", shown(&v1), "lone", ACCEPTED),
        ("nothing at all", world.tls(), "dev1", NOT_AUTHORIZED),
        (
            "of nobody who may vouch",
            shown(&stranger.issue(&Leaf::client("dev1"))),
            "dev1",
            Outcome::Alert("UnknownCA"),
        ),
        (
            "self-signed",
            shown(&Leaf::client("dev1").self_signed()),
            "dev1",
            Outcome::Alert("UnknownCA"),
        ),
        (
            "of version 1",
            shown(&root.issue_v1(&world.folder, "dev1")),
            "dev1",
            Outcome::Alert("UnsupportedCertificate"),
        ),
        (
            "a server's",
            shown(&root.issue(&Leaf::client("dev1").usage(Use::Server))),
            "dev1",
            Outcome::Alert("UnsupportedCertificate"),
        ),
        ("revoked", shown(&revoked), "dev1", Outcome::Alert("CertificateRevoked")),
        (
            "expired",
            shown(&root.issue(&Leaf::client("dev1").expired())),
            "dev1",
            Outcome::Alert("CertificateExpired"),
        ),
        (
            "not yet valid",
            shown(&root.issue(&Leaf::client("dev1").not_yet_valid())),
            "dev1",
            Outcome::Alert("CertificateExpired"),
        ),
    ];
    for (over, address) in [(Over::Tls, over_tls), (Over::Wss, over_wss)] {
        for version in Version::ALL {
            for (what, tls, client_id, told) in &rows {
                expect(what, over, address, tls, &Connect::new(version, client_id), *told);
            }
            // Another way is asked only of who shows none.
            let known = with_password(Connect::new(version, "dev2"), "dev2", "dev2's");
            expect("a password", over, address, &world.tls(), &known, ACCEPTED);
            let tls = shown(&nameless);
            expect("a password beside it", over, address, &tls, &known, NOT_AUTHORIZED);
            expect("dev2's beside dev1's", over, address, &shown(&dev1), &known, FOREIGN_CLIENT_ID);
            let named = with_password(Connect::new(version, "dev1"), "dev2", "nobody's");
            expect("a wrong one beside it", over, address, &shown(&dev1), &named, ACCEPTED);
        }
        let wrong = with_password(Connect::new(Version::V311, "dev2"), "dev2", "nobody's");
        expect("a wrong one", over, address, &world.tls(), &wrong, WRONG_PASSWORD);
    }
    let connect = Connect::new(Version::V5, "dev1");
    for (tls, told) in [
        (world.tls().only(&TLS13), Outcome::Alert("CertificateRequired")),
        (world.tls().only(&TLS12), Outcome::Alert("HandshakeFailure")),
        (shown(&dev1).only(&TLS12), ACCEPTED),
    ] {
        expect("strict", Over::Tls, over_strict, &tls, &connect, told);
    }
    assert_eq!(looks(&gateway, "certificate", "nameless"), 2.0 * 3.0 * 2.0);
    assert_eq!(looks(&gateway, "none", "no_evidence"), 2.0 * 3.0);
    assert!(looks(&gateway, "certificate", "ok") >= 60.0);
    assert_eq!(closed(&gateway, "nameless_certificate"), 2.0 * 3.0 * 2.0);
    until_audited(&gateway, &["\"connected\"", "\"identity\":\"dev1\"", "\"way\":\"certificate\""]);
    until_audited(&gateway, &["\"refused\"", "\"nameless_certificate\"", "\"listener\":\"web\""]);
    let log = gateway.log();
    let said = log.lines().any(|line| line.contains(&nameless.fingerprint()));
    assert!(said || log.contains("has not proved"), "one kind of line is enough: {log}");
}

#[test]
fn what_a_certificate_proves_is_in_the_envelope_and_in_rules() {
    let world = World::new();
    let (listener, address) = world.listener("fleet", json!(["certificate"]));
    let names = json!([{ "san_uri": "spiffe://{group}/{id}" }, "cn"]);
    let acl = "user dev1\ntopic write by-user\npattern write by-pattern/%u\n";
    let gateway = config(&[&listener])
        .set("authentication.certificate.identity", names)
        .set("access_file.mosquitto", world.write("acl", acl))
        .set(
            "access",
            json!([
                { "allow": ["publish"], "topic": "devices/+/{identity}/{group}/#" },
                { "allow": ["publish"], "topic": "names/{username}" },
                { "who": { "group": "eu" }, "allow": ["subscribe"], "topic": "eu/#" },
            ]),
        )
        .start_ready();
    let dev1 = world.root.issue(&Leaf::client("x").uri("spiffe://eu/dev1"));
    let by_name = world.device("dev2");
    let connect = |issued: &Issued, id: &str| {
        let connect = Connect::new(Version::V5, id);
        Client::connect_tls(address, &world.showing(issued), &connect)
    };
    let (mut one, mut two) = (connect(&dev1, "dev1"), connect(&by_name, "dev2"));
    let code = |client: &mut Client, topic: &str| {
        let claims = Property::user("group", "us");
        client.publish(&Publish::new(topic, b"21 W").qos1(1).with(claims));
        match client.expect_packet() {
            Packet::Puback { code, .. } => code,
            other => panic!("a PUBACK was expected: {other:?}"),
        }
    };
    for (topic, of_one, of_two) in [
        ("devices/meter/dev1/eu/power", 0, 0x87),
        ("devices/meter/dev1/us/power", 0x87, 0x87),
        // Its certificate says no group, and so none is its own, whatever it claims.
        ("devices/meter/dev2/us/power", 0x87, 0x87),
        ("names/dev1", 0, 0x87),
        ("names/dev2", 0x87, 0),
        ("by-user", 0, 0x87),
        ("by-pattern/dev1", 0, 0x87),
        ("by-pattern/dev2", 0x87, 0),
    ] {
        assert_eq!((code(&mut one, topic), code(&mut two, topic)), (of_one, of_two), "{topic}");
    }
    for (client, expected) in [(&mut one, 0), (&mut two, 0x87)] {
        client.subscribe(7, "eu/news", 0);
        match client.expect_packet() {
            Packet::Suback { codes, .. } => assert_eq!(codes, [expected]),
            other => panic!("a SUBACK was expected: {other:?}"),
        }
    }
    let port = address.port().to_string();
    let files = dev1.write(&world.folder, "dev1");
    let shown = ["--cafile", &world.ca, "--cert", files.certificate(), "--key", files.key()];
    let message = ["-V", "mqttv311", "-q", "1", "-i", "dev1", "-t", "names/dev1", "-m", "x"];
    foreign::mosquitto_pub(&[&["-h", "localhost", "-p", &port], &shown[..], &message].concat());
    let records = Kafka::shared().wait_for(&gateway.topic("fast"), 7, SOON);
    for record in records {
        let envelope = record.envelope();
        assert_eq!(envelope.device_id_trust(), IdentityTrust::Verified, "{envelope:?}");
        assert_eq!(record.key_text(), envelope.device_id);
        let group = if envelope.device_id == "dev1" { "eu" } else { "" };
        assert_eq!(envelope.group, group, "{envelope:?}");
    }
}

#[test]
fn where_both_are_asked_for_neither_alone_is_enough_and_the_first_says_the_name() {
    let world = World::new();
    let both = json!([{ "all": ["certificate", "password"] }]);
    let (mut listener, address) = world.listener("both", both);
    listener["tls"]["client_certificate"] = json!("optional");
    let passwords = password_line("alice", "alice's") + &password_line("bob", "bob's");
    let gateway = config(&[&listener])
        .set("authentication.password.file", world.write("passwords", &passwords))
        .set("access", json!([{ "allow": ["publish"], "topic": "{identity}/{username}" }]))
        .start_ready();
    let dev1 = world.showing(&world.device("dev1"));
    for version in Version::ALL {
        let bare = Connect::new(version, "dev1");
        let with = |name: &str, password: &str| with_password(bare.clone(), name, password);
        for (what, tls, connect, told) in [
            ("the certificate alone", &dev1, &bare, NOT_AUTHORIZED),
            ("the password alone", &world.tls(), &with("alice", "alice's"), NOT_AUTHORIZED),
            ("both", &dev1, &with("alice", "alice's"), ACCEPTED),
        ] {
            expect(what, Over::Tls, address, tls, connect, told);
        }
        // The password's name is not the client's.
        let mut of_alice = with("alice", "alice's");
        of_alice.client_id = "alice".to_owned();
        expect("alice's id", Over::Tls, address, &dev1, &of_alice, FOREIGN_CLIENT_ID);
    }
    let wrong = with_password(Connect::new(Version::V5, "dev1"), "alice", "bob's");
    expect("a wrong password", Over::Tls, address, &dev1, &wrong, WRONG_PASSWORD);
    assert_eq!(looks(&gateway, "password", "wrong_password"), 1.0);
    let connect = with_password(Connect::new(Version::V5, "dev1"), "bob", "bob's");
    let mut client = Client::connect_tls(address, &dev1, &connect);
    for (topic, expected) in [("dev1/bob", 0), ("dev1/alice", 0x87), ("bob/bob", 0x87)] {
        client.publish(&Publish::new(topic, b"x").qos1(1));
        match client.expect_packet() {
            Packet::Puback { code, .. } => assert_eq!(code, expected, "{topic}"),
            other => panic!("a PUBACK was expected: {other:?}"),
        }
    }
    let record = &Kafka::shared().wait_for(&gateway.topic("fast"), 1, SOON)[0];
    assert_eq!(record.envelope().device_id, "dev1");
}

#[test]
fn a_client_id_belongs_to_who_has_the_certificate() {
    let world = World::new();
    let (mut begins, at_begins) = world.listener("begins", json!(["certificate"]));
    begins["client_id"] = json!({ "begins_with": "-" });
    let (mut any, at_any) = world.listener("any", json!(["certificate"]));
    any["client_id"] = json!("any");
    let gateway = config(&[&begins, &any]).start_ready();
    let [dev1, dev2] = ["dev1", "dev2"].map(|name| world.showing(&world.device(name)));
    for (client_id, told) in [
        ("dev1", ACCEPTED),
        ("dev1-a", ACCEPTED),
        ("dev10", FOREIGN_CLIENT_ID),
        ("dev10-a", FOREIGN_CLIENT_ID),
        ("dev2", FOREIGN_CLIENT_ID),
        ("dev1+", FOREIGN_CLIENT_ID),
        ("dev1/#", FOREIGN_CLIENT_ID),
    ] {
        for version in Version::ALL {
            let connect = Connect::new(version, client_id);
            expect(client_id, Over::Tls, at_begins, &dev1, &connect, told);
        }
    }
    // An empty one becomes one of its own.
    match come(Over::Tls, at_begins, &dev1, &Connect::new(Version::V5, "")) {
        Ok(packet @ Packet::Connack { code: 0, .. }) => {
            let assigned = format!("{:?}", packet.property(0x12));
            assert!(assigned.contains("dev1-"), "{assigned}");
        }
        other => panic!("a CONNACK was expected: {other:?}"),
    }
    // Nobody takes over from another, and everybody from itself, by another certificate too.
    let shared = Connect::new(Version::V5, "shared");
    let mut first = Client::connect_tls(at_any, &dev1, &shared);
    expect("dev2", Over::Tls, at_any, &dev2, &shared, FOREIGN_CLIENT_ID);
    first.ping();
    first.expect_pingresp();
    let renewed = world.showing(&world.device("dev1"));
    let mut second = Client::connect_tls(at_any, &renewed, &shared);
    first.expect_disconnect(0x8e, SOON);
    second.ping();
    second.expect_pingresp();
    assert_eq!(closed(&gateway, "client_id_held"), 1.0);
}

#[test]
fn a_connection_ends_with_its_certificate_under_load_and_no_sooner() {
    let world = World::new();
    let open = ports::local(ports::free());
    let plain = json!({ "name": "open", "bind": open.to_string(), "anonymous": true });
    let (listener, address) = world.listener("fleet", json!(["certificate"]));
    let (mut door, at_door) = world.listener("door", json!(null));
    door["anonymous"] = json!(true);
    let ends = Duration::from_secs(4);
    // Also with what is above it.
    let short = Authority::valid("short", SystemTime::now() - ends, SystemTime::now() + ends * 2);
    fs::write(&world.ca, world.root.certificate() + &short.certificate()).expect("it is there");
    let gateway = config(&[&listener, &door, &plain]).start_ready();
    let load = Load::start(open, 8);
    load.goes_on(200);
    let connect = |issued: &Issued, address: SocketAddr, version: Version, id: &str| {
        Client::connect_tls(address, &world.showing(issued), &Connect::new(version, id))
    };
    let forever = world.root.issue(&Leaf::client("forever").never_ends());
    let mut forever = connect(&forever, address, Version::V5, "forever");
    let mut of_short = connect(&short.issue(&Leaf::client("s")), address, Version::V5, "s");
    let end = SystemTime::now() + ends;
    let issue = |name: &str| world.root.issue(&Leaf::client(name).ends_in(ends));
    let mut five = connect(&issue("five"), address, Version::V5, "five");
    let mut three = connect(&issue("three"), address, Version::V311, "three");
    let mut anybody = connect(&issue("x"), at_door, Version::V5, "anybody");
    for client in [&mut five, &mut three, &mut anybody, &mut of_short] {
        client.publish_acknowledged("devices/meter/m/power", 1, b"still here");
    }
    five.expect_disconnect(ENDED, ends + GONE_WAIT);
    // Whole seconds are what a certificate has.
    let early = end.duration_since(SystemTime::now()).unwrap_or_default();
    assert!(early <= Duration::from_secs(1), "{early:?} before its end");
    three.expect_closed(GONE_WAIT);
    anybody.expect_disconnect(ENDED, GONE_WAIT);
    of_short.expect_disconnect(ENDED, ends + GONE_WAIT);
    load.goes_on(200);
    forever.publish_acknowledged("devices/meter/m/power", 1, b"still here");
    let reasons = ["credentials_expired", "peer_gone"];
    assert_eq!(reasons.map(|reason| closed(&gateway, reason)), [4.0, 0.0]);
    let acknowledged = load.stop();
    let records = Kafka::shared().read_all(&gateway.topic("fast"));
    let records: Vec<_> =
        records.into_iter().filter(|record| record.payload() != b"still here").collect();
    assert_landed_in_order(&acknowledged, &records);
    let parts = ["\"ended\"", "\"credentials_expired\"", "\"identity\":\"three\""];
    until_audited(&gateway, &parts);
    let told =
        come(Over::Tls, address, &world.showing(&issue("m")), &Connect::new(Version::V5, "m"));
    assert!(matches!(told, Ok(Packet::Connack { code: 0, .. })), "a new one is good: {told:?}");
}

#[test]
fn who_resumes_a_session_is_who_it_was_and_is_asked_anew() {
    let world = World::new();
    let (mut listener, address) = world.listener("fleet", json!(["certificate"]));
    let stranger = world.device("stranger");
    let lists = world.write("crl.pem", &world.root.revoke(&[&stranger]));
    listener["tls"]["crl"] = json!(lists);
    let gateway = config(&[&listener]).start_ready();
    for version in [&TLS12, &TLS13] {
        let dev1 = world.device("dev1");
        let tls = world.showing(&dev1).only(version);
        let connect = Connect::new(Version::V5, "dev1");
        for kind in ["Full", "Resumed"] {
            let mut client = Client::connect_tls(address, &tls, &connect);
            assert_eq!(format!("{:?}", client.tls().handshake_kind()), format!("Some({kind})"));
            client.publish_acknowledged("devices/meter/m/power", 1, b"x");
            client.disconnect();
        }
        expect(
            "another's id",
            Over::Tls,
            address,
            &tls,
            &Connect::new(Version::V5, "m"),
            FOREIGN_CLIENT_ID,
        );
        fs::write(&lists, world.root.revoke(&[&stranger, &dev1])).expect("it is there");
        until_true("it is revoked", SOON, || {
            let came = come(Over::Tls, address, &tls, &connect);
            came.is_err_and(|error| alert(&error).as_deref() == Some("CertificateRevoked"))
        });
        fs::write(&lists, world.root.revoke(&[&stranger])).expect("it is there");
        until_true("it is not any more", SOON, || come(Over::Tls, address, &tls, &connect).is_ok());
    }
    let records = Kafka::shared().wait_for(&gateway.topic("fast"), 4, SOON);
    assert!(records.iter().all(|record| record.envelope().device_id == "dev1"));
}

/// Clients whose pins are taken out at once: more than are verified anew at a time.
const UNPINNED: usize = 80;

#[test]
fn who_may_not_any_more_goes_and_who_may_by_another_way_stays() {
    let world = World::new();
    let (listener, address) = world.listener("fleet", json!(["certificate"]));
    let kept = Leaf::client("kept").self_signed();
    let lost = Leaf::client("lost").self_signed();
    let renamed = Leaf::client("renamed").self_signed();
    let vouched: Vec<Issued> =
        (0..UNPINNED).map(|index| world.device(&format!("v-{index}"))).collect();
    let line = |issued: &Issued, name: &str| format!("{} {name}\n", issued.fingerprint());
    let kept_line = line(&kept, "kept");
    let of_vouched: String = vouched
        .iter()
        .enumerate()
        .map(|(index, issued)| line(issued, &format!("v-{index}")))
        .collect();
    let before =
        [&*kept_line, &line(&lost, "lost"), &line(&renamed, "renamed"), &of_vouched].concat();
    let pins = world.write("pins", &before);
    let gateway =
        config(&[&listener]).set("authentication.certificate.pinned", &*pins).start_ready();
    let connect = |issued: &Issued, id: &str| {
        Client::connect_tls(address, &world.showing(issued), &Connect::new(Version::V5, id))
    };
    let (mut stays, mut loses) = (connect(&kept, "kept"), connect(&lost, "lost"));
    let mut is_another = connect(&renamed, "renamed");
    let mut many: Vec<Client> = vouched
        .iter()
        .enumerate()
        .map(|(index, issued)| connect(issued, &format!("v-{index}")))
        .collect();

    fs::write(&pins, kept_line.clone() + &line(&renamed, "another")).expect("it is there");
    let written = Instant::now();
    loses.expect_disconnect(ENDED, GONE_WAIT);
    is_another.expect_disconnect(ENDED, GONE_WAIT.saturating_sub(written.elapsed()));
    for client in many.iter_mut().chain([&mut stays]) {
        client.ping();
        client.expect_pingresp();
    }
    assert_eq!(closed(&gateway, "credentials_revoked"), 2.0);
    until_audited(&gateway, &["\"ended\"", "\"credentials_revoked\"", "\"identity\":\"lost\""]);

    // Nobody vouches for them any more.
    fs::write(&world.ca, Authority::new("another").certificate()).expect("it is there");
    for client in &mut many {
        client.expect_disconnect(ENDED, GONE_WAIT);
    }
    stays.ping();
    stays.expect_pingresp();
    assert_eq!(closed(&gateway, "credentials_revoked"), 2.0 + UNPINNED as f64);
    drop(connect(&renamed, "another"));
}

#[test]
fn a_service_is_told_the_common_name_of_a_certificate() {
    let world = World::new();
    let service = Service::start(Says::Answer(200, json!({ "result": "allow" }).to_string()));
    let (mut asks, at_asks) = world.listener("asks", json!(["http"]));
    asks["tls"]["client_certificate"] = json!("optional");
    let (both, at_both) = world.listener("both", json!([{ "all": ["certificate", "http"] }]));
    let gateway = config(&[&asks, &both])
        .set("authentication.http", json!({ "url": service.url("/auth"), "cache": "0s" }))
        .start_ready();
    let shown = world.showing(&world.root.issue(&Leaf::client("dev1").uri("urn:x")));
    for (what, address, tls, user, common_name) in [
        ("shown", at_asks, &shown, "dev1", json!("dev1")),
        ("not shown", at_asks, &world.tls(), "dev1", json!(null)),
        ("both", at_both, &shown, "alice", json!("dev1")),
    ] {
        let connect = with_password(Connect::new(Version::V5, "dev1"), user, "x");
        expect(what, Over::Tls, address, tls, &connect, ACCEPTED);
        let asked = service.asked().pop().expect("it was asked");
        let asked: Value = serde_json::from_str(&asked).expect("JSON");
        assert_eq!(asked["cert_common_name"], common_name, "{what}: {asked}");
        assert_eq!(asked["username"], user);
    }
    service.says(Says::Answer(200, json!({ "result": "deny" }).to_string()));
    let connect = with_password(Connect::new(Version::V5, "dev1"), "dev1", "x");
    expect("denied", Over::Tls, at_both, &shown, &connect, NOT_AUTHORIZED);
    assert_eq!(looks(&gateway, "http", "denied"), 1.0);
}
