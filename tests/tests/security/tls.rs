//! TLS: who may come in, in which version and with which certificate, and what the others are told.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;

use serde_json::{Value, json};
use tests::foreign;
use tests::gateway::{Gateway, GatewayConfig};
use tests::kafka::Kafka;
use tests::mqtt::{Client, Connect, Version};
use tests::pki::{Authority, Files, Key, Leaf, Use, self_signed_v1};
use tests::tls::{TLS12, TLS13, Tls, alert};
use tests::tools::{Folder, program};
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
    for (algorithms, expected, protocol) in
        [("RSA-PSS+SHA256", "RSA", "mqtt"), ("ECDSA+SHA256", "EC", "x-amzn-mqtt-ca")]
    {
        let said = s_client(&gateway, &["-sigalgs", algorithms, "-alpn", protocol]);
        let peer =
            said.lines().find(|line| line.starts_with("Peer signature type")).unwrap_or_default();
        assert!(peer.contains(expected), "{algorithms}: {peer} in {said}");
        assert!(said.contains(&format!("ALPN protocol: {protocol}")), "{said}");
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

/// Starts with what is refused at once: the exit code's text.
fn check(folder: &Path, tls: &Value, more: &Value) -> (bool, String) {
    let mut config = json!({
        "listeners": [{ "name": "tls", "bind": "127.0.0.1:0", "tls": tls }],
        "admin": { "bind": "127.0.0.1:0" },
    });
    if let (Some(config), Some(more)) = (config.as_object_mut(), more.as_object()) {
        config.extend(more.clone());
    }
    let file = folder.join("check.yaml");
    std::fs::write(&file, config.to_string()).expect("the test's folder can be written");
    let mut command = std::process::Command::new(program("landfall"));
    let output = command.arg("check").arg("--config").arg(file).output().expect("it can be run");
    (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn check_finds_what_no_handshake_could_be_done_with() {
    let folder = Folder::new("tls");
    let root = Authority::new("root");
    let server = root.issue(&Leaf::server()).write(&folder, "server");
    let other = root.issue(&Leaf::server()).write(&folder, "other");
    let v1 = root.issue_v1(&folder, "gateway").write(&folder, "v1");
    let expired = root.issue(&Leaf::server().expired()).write(&folder, "expired");
    let leaf = root.issue(&Leaf::client("m-1")).write(&folder, "leaf");
    let ended = Authority::ended("ended").write(&folder, "ended");
    let (ca, forged) = (root.write(&folder, "ca"), Authority::new("root").revoke(&[]));
    std::fs::write(folder.join("forged.pem"), forged).expect("the test's folder can be written");
    let none = json!({});
    let one = |certificate: &str, key: &str| json!({ "certificates": [{ "certificate": certificate, "key": key }] });
    let asking = |ca: &str| {
        let mut tls = one(server.certificate(), server.key());
        tls["client_ca"] = json!(ca);
        tls
    };
    let (fine, said) = check(&folder, &asking(text(&ca)), &none);
    assert!(fine && said.contains("who they are is not"), "{said}");
    let (fine, said) = check(&folder, &one(expired.certificate(), expired.key()), &none);
    assert!(fine && said.contains("has expired"), "{said}");
    let mut forged = asking(text(&ca));
    forged["crl"] = json!(text(&folder.join("forged.pem")));
    for (tls, expected) in [
        (one("/nowhere.crt", server.key()), "/nowhere.crt cannot be read"),
        (one(server.certificate(), "/nowhere.key"), "/nowhere.key cannot be read"),
        (one(server.certificate(), other.key()), "is not the key of"),
        (one(server.key(), server.key()), "no certificate in PEM"),
        (one(server.certificate(), server.certificate()), "no private key in PEM"),
        (one(v1.certificate(), v1.key()), "-extfile"),
        (asking(leaf.certificate()), "is no authority"),
        (asking(text(&ended)), "has expired: nobody could come in"),
        (forged, "is not signed by"),
        (json!({ "certificates": [] }), "certificates: is empty"),
    ] {
        let (fine, said) = check(&folder, &tls, &none);
        assert!(!fine && said.contains(expected), "{expected} is missing in {said}");
        assert!(said.contains("listeners[0].tls"), "{said}");
    }
    let names =
        json!({ "authentication": { "certificate": { "identity": [{ "san_uri": "x" }] } } });
    let (fine, said) = check(&folder, &asking(text(&ca)), &names);
    assert!(!fine && said.contains("authentication.certificate.identity[0]"), "{said}");
    let unused = json!({ "authentication": { "certificate": { "identity": ["san_dns"] } } });
    let (fine, said) = check(&folder, &one(server.certificate(), server.key()), &unused);
    assert!(!fine && said.contains("no listener asks for a certificate"), "{said}");
    // What a small device would have to hold at once.
    let long = root.issue(&Leaf::server()).write(&folder, "own");
    let own = std::fs::read_to_string(long.certificate()).expect("it was written");
    std::fs::write(folder.join("long.crt"), own + &root.certificate().repeat(10))
        .expect("the test's folder can be written");
    let tls = one(text(&folder.join("long.crt")), long.key());
    let (fine, said) = check(&folder, &tls, &none);
    assert!(fine && said.contains("a handshake begins with"), "{said}");
}

#[test]
fn who_was_revoked_stays_outside_by_lists_of_either_version() {
    let folder = Folder::new("tls");
    let root = Authority::new("root");
    let intermediate = root.intermediate("intermediate");
    let server = root.issue(&Leaf::server()).write(&folder, "server");
    let ca = root.write(&folder, "ca");
    let (good, bad) = (root.issue(&Leaf::client("good")), root.issue(&Leaf::client("bad")));
    let below = intermediate.issue(&Leaf::client("below"));
    let below_bad = intermediate.issue(&Leaf::client("below-bad"));
    let list = folder.join("crl.pem");
    let of_intermediate = folder.join("intermediate.pem");
    let past = std::time::SystemTime::now() - std::time::Duration::from_secs(3600);
    std::fs::write(&of_intermediate, intermediate.revoke_until(&[&below_bad], past))
        .expect("the test's folder can be written");
    let lists = [root.revoke(&[&bad]), root.revoke_v1(&folder, &[&bad])];
    for (number, text_of_list) in lists.into_iter().enumerate() {
        std::fs::write(&list, text_of_list).expect("the test's folder can be written");
        let mut asking = listener(&[&server]);
        asking["tls"]["client_ca"] = json!(text(&ca));
        // The first time without the list of what is between.
        asking["tls"]["crl"] = match number {
            0 => json!(text(&list)),
            _ => json!([text(&list), text(&of_intermediate)]),
        };
        let gateway = start(asking);
        let tls = Tls::trusting(&root);
        let connect = Connect::new(Version::V311, "meter-1");
        Client::connect_tls(gateway.mqtt(), &tls.clone().showing(&good), &connect);
        for version in [&TLS12, &TLS13] {
            let told = refused(&gateway, &tls.clone().showing(&bad).only(version));
            assert_eq!(told.as_deref(), Some("CertificateRevoked"));
        }
        let tls_below = tls.clone().showing(&below);
        if number == 0 {
            // Nobody knows whether it was revoked.
            assert_eq!(refused(&gateway, &tls_below).as_deref(), Some("UnknownCA"));
            let labels = [("reason", "revocation_unknown")];
            assert!(gateway.metrics().sum("landfall_tls_handshakes_refused_total", &labels) > 0.9);
        } else {
            // By a list that counts although it should have been replaced, and whose issuer was seen only now.
            Client::connect_tls(gateway.mqtt(), &tls_below, &connect);
            let told = refused(&gateway, &tls.clone().showing(&below_bad));
            assert_eq!(told.as_deref(), Some("CertificateRevoked"));
            assert!(gateway.log().contains("should have been replaced"), "{}", gateway.log());
            let end =
                gateway.metrics().sum("landfall_tls_revocation_lists_end_timestamp_seconds", &[]);
            let since = past.duration_since(std::time::UNIX_EPOCH).expect("it is later");
            assert!((end - since.as_secs_f64()).abs() < 2.0, "{end}");
        }
    }
}

#[test]
fn an_own_certificate_that_has_expired_is_told_until_it_is_replaced() {
    let (folder, root) = (Folder::new("tls"), Authority::new("root"));
    let files = root.issue(&Leaf::server().expired()).write(&folder, "server");
    let gateway = start(listener(&[&files]));
    let ready = gateway.page("/readyz");
    assert_eq!(ready.code, 200, "who is connected stays");
    assert!(ready.body.contains("listener tls: a certificate of"), "{ready:?}");
    let tls = Tls::trusting(&root);
    tls.connect(gateway.mqtt()).expect_err("a client that looks at the time does not come in");
    root.issue(&Leaf::server()).write(&folder, "server");
    until_true("nothing is wrong any more", SOON, || {
        gateway.page("/readyz").json()["degraded"] == json!([])
    });
    let connect = Connect::new(Version::V5, "meter-1");
    Client::connect_tls(gateway.mqtt(), &tls, &connect).disconnect();
}

#[test]
fn a_pinned_certificate_is_asked_for_its_key_and_nothing_else() {
    let folder = Folder::new("tls");
    let root = Authority::new("root");
    let server = root.issue(&Leaf::server()).write(&folder, "server");
    let own = Leaf::client("own").self_signed();
    let rsa = Leaf::client("rsa").key(Key::Rsa).expired().usage(Use::Server).self_signed();
    let v1 = self_signed_v1(&folder, "lone");
    let stranger = Leaf::client("stranger").self_signed();
    let pins = [(&own, "own"), (&rsa, "rsa"), (&v1, "lone")];
    let lines: String =
        pins.iter().map(|(issued, name)| format!("{} {name}\n", issued.fingerprint())).collect();
    let file = folder.join("pins");
    std::fs::write(&file, lines).expect("the test's folder can be written");
    let mut asking = listener(&[&server]);
    asking["tls"]["client_certificate"] = json!("required");
    let config = GatewayConfig::new(Kafka::shared());
    asking["bind"] = json!(config.mqtt().to_string());
    let config = config.set("listeners", json!([asking]));
    let gateway = config.set("authentication.certificate.pinned", text(&file)).start_ready();
    for version in [&TLS12, &TLS13] {
        let tls = Tls::trusting(&root).only(version);
        for (issued, name) in pins {
            let connect = Connect::new(Version::V311, name);
            Client::connect_tls(gateway.mqtt(), &tls.clone().showing(issued), &connect);
        }
        let told = refused(&gateway, &tls.clone().showing(&stranger));
        assert_eq!(told.as_deref(), Some("UnknownCA"));
        // A pinned certificate with another's key.
        let mut thief = own.clone();
        thief.key.clone_from(&stranger.key);
        let told = refused(&gateway, &tls.clone().showing(&thief));
        assert_eq!(told.as_deref(), Some("DecryptError"));
        let mut thief = v1.clone();
        thief.key.clone_from(&stranger.key);
        let told = refused(&gateway, &tls.clone().showing(&thief));
        assert_eq!(told.as_deref(), Some("DecryptError"));
    }
}

#[test]
fn a_thousand_authorities_are_no_burden_and_silent_clients_hold_no_place() {
    let folder = Folder::new("tls");
    let root = Authority::new("root");
    let server = root.issue(&Leaf::server()).write(&folder, "server");
    let others: String =
        (0..999).map(|number| Authority::new(&format!("a-{number}")).certificate()).collect();
    let ca = folder.join("many.crt");
    std::fs::write(&ca, others + &root.certificate()).expect("the test's folder can be written");
    let mut asking = listener(&[&server]);
    asking["tls"]["client_ca"] = json!(text(&ca));
    let gateway = start(asking);
    let tls = Tls::trusting(&root).showing(&root.issue(&Leaf::client("meter-1")));
    // They say hello and no more: as many as there are places on many machines, and more.
    let hello = tls.hello();
    let silent: Vec<TcpStream> = (0..1000)
        .map(|number| {
            let mut socket = TcpStream::connect(gateway.mqtt()).expect("it listens");
            // Some are in the middle of it.
            let end = if number % 4 == 0 { hello.len() / 2 } else { hello.len() };
            socket.write_all(&hello[..end]).expect("it is connected");
            socket
        })
        .collect();
    for number in 0..3 {
        let connect = Connect::new(Version::V311, &format!("meter-{number}"));
        Client::connect_tls(gateway.mqtt(), &tls.clone().forgetful(), &connect);
    }
    drop(silent);
}

#[test]
fn explain_says_as_whom_a_certificate_enters_or_which_check_it_fails() {
    let folder = Folder::new("tls");
    let root = Authority::new("root");
    let server = root.issue(&Leaf::server()).write(&folder, "server");
    let mut tls = listener(&[&server])["tls"].clone();
    tls["client_ca"] = json!(text(&root.write(&folder, "ca")));
    let revoked = root.issue(&Leaf::client("m-2"));
    std::fs::write(folder.join("crl.pem"), root.revoke(&[&revoked])).expect("it can be written");
    tls["crl"] = json!(text(&folder.join("crl.pem")));
    let names =
        json!({ "certificate": { "identity": [{ "san_uri": "spiffe://{group}/{id}" }, "cn"] } });
    let config = json!({
        "listeners": [
            { "name": "tls", "bind": "127.0.0.1:0", "tls": tls, "authenticate": ["certificate"] },
        ],
        "authentication": names,
        "access": [{ "allow": ["publish"], "topic": "devices/+/{identity}/#" }],
    });
    let file = folder.join("explain.yaml");
    std::fs::write(&file, config.to_string()).expect("the test's folder can be written");
    // Another machine has the gateway's key.
    std::fs::remove_file(server.key()).expect("it was written");
    let explain = |certificate: &str| {
        let arguments = ["explain", "--config", text(&file), "--listener", "tls", "--certificate"];
        let mut command = std::process::Command::new(program("landfall"));
        let output = command.args(arguments).arg(certificate).output().expect("it can be run");
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).expect("it prints text")
    };
    let good = root.issue(&Leaf::client("m-1").uri("spiffe://eu/meter-1"));
    let said = explain(good.write(&folder, "good").certificate());
    for expected in [
        "outcome   enters\n",
        "identity  meter-1",
        "client    meter-1",
        "group     eu",
        &good.fingerprint(),
    ] {
        assert!(said.contains(expected), "{expected} is missing in {said}");
    }
    let said = explain(revoked.write(&folder, "revoked").certificate());
    assert!(said.contains("refused") && said.contains("revoked: "), "{said}");
    let stranger = Leaf::client("m-3").self_signed().write(&folder, "stranger");
    let said = explain(stranger.certificate());
    assert!(said.contains("unknown_authority: "), "{said}");
    let nameless = root.issue(&Leaf::client("").nameless()).write(&folder, "nameless");
    let said = explain(nameless.certificate());
    assert!(said.contains("refused") && said.contains("nameless: none of its names"), "{said}");
    // What a listener asks beside it, or in its place.
    for (authenticate, client_id, expected) in [
        (
            json!([{ "all": ["certificate", "http"] }]),
            json!("any"),
            "enters, with http beside it\nidentity  meter-1\nclient    any\n",
        ),
        (
            json!([{ "all": ["http", "certificate"] }]),
            json!(null),
            "enters, with http beside it\nidentity  that of its http\n",
        ),
        (
            json!(["http", "certificate"]),
            json!({ "begins_with": "-" }),
            "client    none: the separator \"-\" is in its identity\n",
        ),
        (
            json!(["http", "certificate"]),
            json!({ "begins_with": ":" }),
            "client    meter-1, or what begins with meter-1:\n",
        ),
        (json!(["http"]), json!(null), "passes TLS\nidentity  by other ways"),
        (json!(null), json!(null), "enters\nidentity  none: the listener asks nobody"),
    ] {
        let mut config = config.clone();
        config["listeners"][0]["authenticate"].clone_from(&authenticate);
        config["listeners"][0]["client_id"].clone_from(&client_id);
        config["access"][0]["topic"] = json!("#");
        if !authenticate.to_string().contains("certificate") {
            config["authentication"] = json!({});
        }
        if authenticate.to_string().contains("http") {
            config["authentication"]["http"] = json!({ "url": "https://who.invalid/" });
        }
        std::fs::write(&file, config.to_string()).expect("the test's folder can be written");
        let said = explain(text(&folder.join("good.crt")));
        assert!(said.contains(expected), "{expected} is missing in {said}");
    }
}

/// Connections that are open and idle, and what each may have, in bytes.
const IDLE: usize = 600;
const IDLE_MAX_BYTES: u64 = 20 * 1000;

#[test]
fn an_idle_connection_keeps_little() {
    let folder = Folder::new("tls");
    let root = Authority::new("root");
    let server = root.issue(&Leaf::server()).write(&folder, "server");
    let mut asking = listener(&[&server]);
    asking["tls"]["client_ca"] = json!(text(&root.write(&folder, "ca")));
    let gateway = start(asking);
    let issued = root.issue(&Leaf::client("meter-1"));
    let tls = Tls::trusting(&root).showing(&issued).only(&TLS13);
    let resident = || gateway.metrics().sum("process_resident_memory_bytes", &[]) as u64;
    let connect = |number: usize| {
        let connect = Connect::new(Version::V311, &format!("meter-{number}"));
        let mut client = Client::connect_tls(gateway.mqtt(), &tls.clone().forgetful(), &connect);
        // What came for one message is given back.
        client.publish_acknowledged("devices/meter/m/power", 1, &[7; 3000]);
        client
    };
    // What the process has by then is had once.
    let warm: Vec<Client> = (0..100).map(connect).collect();
    let before = resident();
    let idle: Vec<Client> = (100..100 + IDLE).map(connect).collect();
    let each = resident().saturating_sub(before) / IDLE as u64;
    eprintln!("an idle connection with TLS and a client certificate: {each} bytes");
    assert!(each <= IDLE_MAX_BYTES, "{each} bytes");
    drop((warm, idle));
}
