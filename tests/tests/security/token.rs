//! Tokens, and an HTTP service that knows clients: good ones come in and end in time, everything else is
//! turned away, and servers that are away, slow or too generous let nobody in who is not known.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rcgen::{KeyPair, SigningKey as _};
use serde_json::{Value, json};
use tests::foreign;
use tests::gateway::{Gateway, GatewayConfig};
use tests::kafka::Kafka;
use tests::load::{Load, assert_landed_in_order};
use tests::mqtt::{Client, Connect, Packet, Version, encode};
use tests::ports;
use tests::process::Process;
use tests::service::{Says, Service};
use tests::tools::Folder;
use tests::wait::{SOON, START, until_true};

const BAD_TOKEN: (u8, u8) = (4, 0x86);
const DENIED: (u8, u8) = (5, 0x87);
const UNAVAILABLE: (u8, u8) = (3, 0x88);
const FOREIGN_CLIENT_ID: (u8, u8) = (2, 0x85);
/// Whose token is over has gone by then.
const GONE_WAIT: Duration = Duration::from_secs(5);

/// Who signs tokens, with ES256.
struct Signer {
    key: KeyPair,
    kid: &'static str,
}

impl Signer {
    fn new(kid: &'static str) -> Signer {
        Signer { key: KeyPair::generate().expect("a key can be made"), kid }
    }

    fn jwk(&self) -> Value {
        let (x, y) = self.key.public_key_raw()[1..].split_at(32);
        let [x, y] = [x, y].map(|half| URL_SAFE_NO_PAD.encode(half));
        json!({ "kty": "EC", "crv": "P-256", "use": "sig", "kid": self.kid, "x": x, "y": y })
    }

    fn sign(&self, header: &Value, claims: &Value) -> String {
        let [header, claims] =
            [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
        let signed = format!("{header}.{claims}");
        let signature = self.key.sign(signed.as_bytes()).expect("it can be signed");
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(fixed(&signature)))
    }

    fn token(&self, claims: &Value) -> String {
        self.sign(&json!({ "alg": "ES256", "typ": "JWT", "kid": self.kid }), claims)
    }
}

/// Both numbers of an ECDSA signature in DER, 32 bytes each.
fn fixed(der: &[u8]) -> Vec<u8> {
    let mut rest = &der[2..];
    let mut fixed = Vec::new();
    for _ in 0..2 {
        let (number, behind) = rest[2..].split_at(usize::from(rest[1]));
        let number = &number[number.len().saturating_sub(32)..];
        fixed.resize(fixed.len() + 32 - number.len(), 0);
        fixed.extend_from_slice(number);
        rest = behind;
    }
    fixed
}

fn key_set(signers: &[&Signer]) -> String {
    json!({ "keys": signers.iter().map(|signer| signer.jwk()).collect::<Vec<_>>() }).to_string()
}

fn now_s() -> i64 {
    SystemTime::UNIX_EPOCH.elapsed().expect("it is after 1970").as_secs() as i64
}

fn claims(subject: &str) -> Value {
    json!({ "sub": subject, "iss": "us", "aud": "landfall", "exp": now_s() + 600, "tenant": "acme" })
}

fn with(mut claims: Value, key: &str, value: impl Into<Value>) -> Value {
    claims[key] = value.into();
    claims
}

fn config(kafka: &Kafka, jwks: &str) -> GatewayConfig {
    GatewayConfig::new(kafka)
        .set("listeners.0.authenticate", json!(["token"]))
        .set("access", json!([{ "allow": ["publish", "subscribe"], "topic": "#" }]))
        .set(
            "authentication.token",
            json!({ "jwks": jwks, "issuer": "us", "audience": "landfall", "attributes": { "group": "tenant" } }),
        )
}

fn file(folder: &Path, signers: &[&Signer]) -> String {
    let file = folder.join("jwks.json");
    std::fs::write(&file, key_set(signers)).expect("it can be written");
    file.to_str().expect("UTF-8").to_owned()
}

fn connect(version: Version, client_id: &str, password: &str) -> Connect {
    let mut connect = Connect::new(version, client_id);
    connect.user_name = Some("whoever".to_owned());
    connect.password = Some(password.as_bytes().to_owned());
    connect
}

#[track_caller]
fn is_refused(gateway: &Gateway, connect: &Connect, (v3, v5): (u8, u8)) {
    let mut client = Client::open(gateway.mqtt(), connect.version);
    client.send(&encode::connect(connect));
    let expected = if connect.version == Version::V5 { v5 } else { v3 };
    match client.expect_packet() {
        Packet::Connack { code, .. } if code == expected => client.expect_closed(SOON),
        other => panic!("CONNACK {expected:#04x} was expected: {other:?}"),
    }
}

fn looks(gateway: &Gateway, result: &str) -> f64 {
    gateway.metrics().sum("landfall_authentications_total", &[("result", result)])
}

fn degraded(gateway: &Gateway) -> String {
    let answer = gateway.page("/readyz");
    assert_eq!(answer.code, 200, "{answer:?}");
    answer.body
}

#[test]
fn a_token_is_who_it_is_for_and_a_bad_one_is_nobody() {
    let (kafka, folder) = (Kafka::shared(), Folder::new("tokens"));
    let (ours, stranger) = (Signer::new("k1"), Signer::new("k1"));
    let gateway = config(kafka, &file(&folder, &[&ours])).start_ready();
    let es256 = |more: Value| {
        let mut header = json!({ "alg": "ES256", "kid": "k1" });
        header.as_object_mut().expect("a map").extend(more.as_object().expect("a map").clone());
        header
    };
    let good = claims("dev1");
    let unsigned = ours.token(&good);
    let unsigned = unsigned.rsplit_once('.').expect("it has three parts").0;
    let bad = [
        (ours.sign(&json!({ "alg": "none" }), &good), "token_algorithm"),
        (
            format!(
                "{}.",
                ours.sign(&json!({ "alg": "none" }), &good).rsplit_once('.').expect("parts").0
            ),
            "token_algorithm",
        ),
        (ours.sign(&json!({ "alg": "HS256", "kid": "k1" }), &good), "token_algorithm"),
        (ours.sign(&json!({ "alg": "RS256", "kid": "k1" }), &good), "token_unknown_key"),
        (ours.sign(&json!({ "alg": "ES384", "kid": "k1" }), &good), "token_algorithm"),
        (ours.sign(&es256(json!({ "kid": "k2" })), &good), "token_unknown_key"),
        (ours.sign(&es256(json!({ "crit": ["exp"] })), &good), "token_malformed"),
        (stranger.token(&good), "token_signature"),
        (format!("{unsigned}."), "token_signature"),
        (format!("{unsigned}.AAAA"), "token_signature"),
        (ours.token(&with(good.clone(), "exp", now_s() - 1)), "token_expired"),
        (ours.token(&with(good.clone(), "exp", Value::Null)), "token_expired"),
        (ours.token(&with(good.clone(), "nbf", now_s() + 600)), "token_not_yet_valid"),
        (ours.token(&with(good.clone(), "aud", "others")), "token_audience"),
        (ours.token(&with(good.clone(), "iss", "others")), "token_issuer"),
        (ours.token(&with(good.clone(), "sub", "")), "token_claims"),
        (ours.token(&with(good.clone(), "pad", "x".repeat(20_000))), "token_too_large"),
    ];
    for version in Version::ALL {
        let (mut client, _) =
            Client::connect_with(gateway.mqtt(), &connect(version, "dev1", &ours.token(&good)));
        client.publish_acknowledged("devices/meter/dev2/power", 1, b"21 W");
        client.disconnect();
        // Clocks differ a little.
        let early = ours.token(&with(good.clone(), "nbf", now_s() + 200));
        Client::connect_with(gateway.mqtt(), &connect(version, "dev1", &early)).0.disconnect();
        for (token, _) in &bad {
            is_refused(&gateway, &connect(version, "dev1", token), BAD_TOKEN);
        }
        is_refused(&gateway, &connect(version, "dev10", &ours.token(&good)), FOREIGN_CLIENT_ID);
        // What is no token is no evidence here.
        is_refused(&gateway, &connect(version, "dev1", "a.b.c"), DENIED);
    }
    for (token, result) in &bad {
        assert!(looks(&gateway, result) >= 3.0, "{result}: {token}");
    }
    for record in kafka.wait_for(&gateway.topic("fast"), 3, SOON) {
        let envelope = record.envelope();
        assert_eq!((&*envelope.device_id, &*envelope.group), ("dev1", "acme"), "{envelope:?}");
    }
    let (port, topic) = (gateway.mqtt().port().to_string(), "devices/meter/dev1/power");
    let token = ours.token(&good);
    for version in ["mqttv311", "mqttv5"] {
        let come = ["-p", &port, "-V", version, "-q", "1", "-i", "dev1", "-t", topic, "-m", "21 W"];
        foreign::mosquitto_pub(&[&come[..], &["-u", "x", "-P", &token]].concat());
        let mut command = Command::new("mosquitto_pub");
        command.args(come).args(["-u", "x", "-P", &bad[0].0]);
        let mut process = Process::start("mosquitto_pub", command, &folder);
        assert!(!process.wait(SOON).success());
    }
    foreign::python("paho_publish.py", &[&port, "5", "dev1", topic, "1", "1", "x", &token]);
    assert!(!gateway.log().contains(&token), "a token is a secret");
}

#[test]
fn a_connection_ends_with_its_token_under_load_and_no_other_does() {
    let (kafka, folder, signer) = (Kafka::shared(), Folder::new("tokens"), Signer::new("k1"));
    let open = ports::local(ports::free());
    let gateway = config(kafka, &file(&folder, &[&signer]))
        .listener(json!({ "name": "open", "bind": open.to_string(), "anonymous": true }))
        .start_ready();
    let load = Load::start(open, 8);
    load.goes_on(200);
    let end_s = now_s() + 5;
    let come = |version, id: &str, end_s: i64| {
        let token = signer.token(&with(claims(id), "exp", end_s));
        Client::connect_with(gateway.mqtt(), &connect(version, id, &token)).0
    };
    let mut clients = Version::ALL.map(|version| {
        let id = format!("short-{version:?}");
        (version, come(version, &id, end_s))
    });
    let mut lasting = come(Version::V5, "long", end_s + 600);
    load.goes_on(200);

    let gone_by = Duration::from_secs(end_s as u64) + GONE_WAIT;
    let left = || gone_by.saturating_sub(SystemTime::UNIX_EPOCH.elapsed().expect("after 1970"));
    for (version, client) in &mut clients {
        match version {
            Version::V5 => client.expect_disconnect(0x87, left()),
            _ => client.expect_closed(left()),
        }
        assert!(now_s() >= end_s, "it lasts as long as its token");
    }
    load.goes_on(200);
    lasting.publish_acknowledged("devices/meter/long/power", 1, b"21 W");
    let closed = |reason: &str| {
        gateway.metrics().sum("landfall_connections_closed_total", &[("reason", reason)])
    };
    assert_eq!(["credentials_expired", "peer_gone"].map(closed), [3.0, 0.0]);
    let acknowledged = load.stop();
    let records = kafka.read_all(&gateway.topic("fast"));
    let records: Vec<_> =
        records.into_iter().filter(|record| record.payload() != b"21 W").collect();
    assert_landed_in_order(&acknowledged, &records);
}

#[test]
fn a_key_server_is_asked_for_new_keys_but_not_by_every_token() {
    let kafka = Kafka::shared();
    let (first, second) = (Signer::new("first"), Signer::new("second"));
    let server = Service::start(Says::Answer(200, key_set(&[&first])));
    let gateway = config(kafka, &server.url("/jwks.json")).start_ready();
    let good = connect(Version::V5, "dev1", &first.token(&claims("dev1")));
    Client::connect_with(gateway.mqtt(), &good).0.disconnect();
    // A flood of keys that nobody knows.
    let unknown = connect(Version::V311, "dev1", &second.token(&claims("dev1")));
    for _ in 0..50 {
        is_refused(&gateway, &unknown, BAD_TOKEN);
    }
    assert_eq!(server.asked().len(), 1, "it was asked a moment ago");
    assert!(!degraded(&gateway).contains("key server"));
    let fetched = [("result", "ok")];
    let name = "landfall_authentication_key_fetches_total";
    assert_eq!(gateway.metrics().sum(name, &fetched), 1.0);
}

#[test]
fn a_key_server_that_is_away_hangs_redirects_or_says_too_much_lets_nobody_in() {
    let kafka = Kafka::shared();
    let signer = Signer::new("k1");
    let good = connect(Version::V5, "dev1", &signer.token(&claims("dev1")));
    let honest = Service::start(Says::Answer(200, key_set(&[&signer])));
    for (says, word) in [
        (Says::Nothing, "in time"),
        (Says::Redirect(honest.url("/")), "302"),
        (Says::Much(10 * 1024 * 1024), "more than 1048576 bytes"),
        (Says::Answer(200, "{}".to_owned()), "no key set"),
        (Says::Answer(500, key_set(&[&signer])), "500"),
    ] {
        let server = Service::start(says.clone());
        let gateway = config(kafka, &server.url("/jwks.json")).start_ready();
        is_refused(&gateway, &good, UNAVAILABLE);
        until_true("it is degraded", START, || degraded(&gateway).contains(word));
        assert_eq!(gateway.metrics().sum("landfall_authentication_problems", &[]), 1.0, "{says:?}");
    }
    assert!(honest.asked().is_empty(), "nobody was led there");
}

#[test]
fn who_takes_all_keys_back_ends_whoever_came_in_by_them() {
    let (folder, signer) = (Folder::new("tokens"), Signer::new("k1"));
    let keys = file(&folder, &[&signer]);
    let gateway = config(Kafka::shared(), &keys).start_ready();
    let good = connect(Version::V5, "dev1", &signer.token(&claims("dev1")));
    let write = |text: &str| std::fs::write(&keys, text).expect("it can be written");
    // Nothing at all is what a full disk leaves.
    let (mut client, _) = Client::connect_with(gateway.mqtt(), &good);
    write("");
    until_true("it is read", SOON, || {
        gateway.metrics().sum("landfall_reloads_total", &[("result", "failed")]) > 0.0
    });
    client.publish_acknowledged("devices/meter/dev1/power", 1, b"21 W");
    write("{\"keys\": []}");
    client.expect_disconnect(0x87, SOON);
    is_refused(&gateway, &good, UNAVAILABLE);
    assert!(degraded(&gateway).contains("no token is good"), "{}", degraded(&gateway));
    assert!(gateway.log().contains("ERROR"), "{}", gateway.log());
    write(&key_set(&[&signer]));
    until_true("it is over", SOON, || !degraded(&gateway).contains("authentication.token"));
    Client::connect_with(gateway.mqtt(), &good).0.disconnect();
}

fn http_config(kafka: &Kafka, url: &str, cache: &str) -> GatewayConfig {
    GatewayConfig::new(kafka)
        .set("listeners.0.authenticate", json!(["http"]))
        .set("access", json!([{ "allow": ["publish", "subscribe"], "topic": "#" }]))
        .set("authentication.http", json!({ "url": url, "timeout": "1s", "cache": cache }))
}

#[test]
fn a_service_that_knows_clients_is_asked_once_in_a_while_and_nothing_unclear_lets_anybody_in() {
    let kafka = Kafka::shared();
    let allow = |more: &str| Says::Answer(200, format!("{{\"result\":\"allow\"{more}}}"));
    let service = Service::start(allow(",\"client_attrs\":{\"group\":\"acme\"}"));
    let gateway = http_config(kafka, &service.url("/auth"), "60s").start_ready();
    for version in Version::ALL {
        let mut connect = connect(version, "dev1", "secret");
        connect.user_name = Some("dev1".to_owned());
        let (mut client, _) = Client::connect_with(gateway.mqtt(), &connect);
        client.publish_acknowledged("devices/meter/dev2/power", 1, b"21 W");
        client.disconnect();
    }
    for record in kafka.wait_for(&gateway.topic("fast"), 3, SOON) {
        let envelope = record.envelope();
        assert_eq!((&*envelope.device_id, &*envelope.group), ("dev1", "acme"));
    }
    let asked = service.asked();
    assert_eq!(asked.len(), 1, "its answer is remembered");
    let question: Value = serde_json::from_str(&asked[0]).expect("JSON");
    let expected = json!({
        "clientid": "dev1", "username": "dev1", "password": "secret", "peerhost": "127.0.0.1",
        "cert_common_name": null,
    });
    assert_eq!(question, expected);
    // Another password is another question.
    let other = |number: &str| {
        let mut connect = connect(Version::V5, "dev1", &format!("other {number}"));
        connect.user_name = Some("dev1".to_owned());
        connect
    };
    for (says, expected) in [
        (Says::Answer(200, "{\"result\":\"deny\"}".to_owned()), DENIED),
        (Says::Answer(200, "{\"result\":\"ignore\"}".to_owned()), DENIED),
        (Says::Answer(401, String::new()), DENIED),
        (Says::Answer(403, String::new()), DENIED),
        (Says::Answer(200, "yes".to_owned()), UNAVAILABLE),
        (Says::Answer(404, String::new()), UNAVAILABLE),
        (Says::Answer(500, "{\"result\":\"allow\"}".to_owned()), UNAVAILABLE),
        (
            allow(",\"acl\":[{\"permission\":\"allow\",\"action\":\"all\",\"topic\":\"#\"}]"),
            UNAVAILABLE,
        ),
        (allow(&format!(",\"expire_at\":{}", now_s() - 1)), DENIED),
        (Says::Redirect(service.url("/elsewhere")), UNAVAILABLE),
        (Says::Much(10 * 1024 * 1024), UNAVAILABLE),
        (Says::Nothing, UNAVAILABLE),
    ] {
        service.says(says.clone());
        is_refused(&gateway, &other(&format!("{says:?}")), expected);
    }
    assert!(degraded(&gateway).contains("authentication.http"), "{}", degraded(&gateway));
    // It is remembered although the service is away, and another one is asked for.
    let mut known = connect(Version::V5, "dev1", "secret");
    known.user_name = Some("dev1".to_owned());
    Client::connect_with(gateway.mqtt(), &known).0.disconnect();
    service.says(Says::Answer(204, String::new()));
    Client::connect_with(gateway.mqtt(), &other("bare")).0.disconnect();
    assert!(!degraded(&gateway).contains("authentication.http"));
    service.says(allow(&format!(",\"expire_at\":{}", now_s() + 3)));
    let (mut client, _) = Client::connect_with(gateway.mqtt(), &other("short"));
    client.expect_disconnect(0x87, Duration::from_secs(15));
    assert!(!gateway.log().contains("secret"), "a password is a secret");
}
