//! Password files, and what an identity may do with client ids: by mosquitto's own files and by ours, in every
//! version, by those who know the password and by those who do not.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use proto::v1::IdentityTrust;
use serde_json::json;
use tests::foreign;
use tests::gateway::{Gateway, GatewayConfig};
use tests::kafka::Kafka;
use tests::mqtt::{Client, Connect, Packet, Publish, Version, Will, encode};
use tests::process::Process;
use tests::tools::{Folder, program};
use tests::wait::{SOON, until_true};

/// What a refusal is in each version: a code of CONNACK.
struct Refused {
    v3: u8,
    v5: u8,
}

const WRONG_PASSWORD: Refused = Refused { v3: 4, v5: 0x86 };
const NO_CREDENTIALS: Refused = Refused { v3: 5, v5: 0x87 };
const NOT_ITS_CLIENT_ID: Refused = Refused { v3: 2, v5: 0x85 };

/// `landfall password NAME` with that on its standard input: its exit code and output.
pub fn landfall_password(name: &str, password: &str) -> (Option<i32>, String) {
    let mut command = Command::new(program("landfall"));
    command.args(["password", name]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.stderr(Stdio::null()).spawn().expect("it can be started");
    let mut input = child.stdin.take().expect("it is piped");
    std::io::Write::write_all(&mut input, password.as_bytes()).expect("it reads");
    drop(input);
    let output = child.wait_with_output().expect("it ends");
    (output.status.code(), String::from_utf8(output.stdout).expect("UTF-8"))
}

/// A file with `ann` and `bob` by mosquitto's tool, in its two kinds, and `dev1`, `dev10` and `dev2` by ours.
/// Everybody's password is `NAME's`.
fn password_file(folder: &Path) -> PathBuf {
    let file = folder.join("passwords");
    for (index, (name, kind)) in [("ann", "sha512"), ("bob", "sha512-pbkdf2")].iter().enumerate() {
        let mut command = Command::new("mosquitto_passwd");
        command.args(["-H", kind, "-b"]).args((index == 0).then_some("-c"));
        command.arg(&file).args([name, &*format!("{name}'s")]);
        foreign::run("mosquitto_passwd", command);
    }
    let mut text = std::fs::read_to_string(&file).expect("it was written");
    for name in ["dev1", "dev10", "dev2"] {
        let (code, line) = landfall_password(name, &format!("{name}'s\n"));
        assert_eq!(code, Some(0));
        text += &line;
    }
    std::fs::write(&file, text).expect("it can be written");
    file
}

/// A gateway that asks for passwords, with this rule for client ids.
fn gateway(kafka: &Kafka, file: &Path, client_id: serde_json::Value) -> Gateway {
    let config = GatewayConfig::new(kafka);
    let config = config
        .set("listeners.0.authenticate", json!(["password"]))
        .set("authentication.password.file", file.to_str().expect("UTF-8"))
        .set("access", json!([{ "allow": ["publish", "subscribe"], "topic": "#" }]))
        .set("client_id", client_id);
    config.start_ready()
}

fn connect(version: Version, client_id: &str, name: &str, password: &str) -> Connect {
    let mut connect = Connect::new(version, client_id);
    connect.user_name = Some(name.to_owned());
    connect.password = Some(password.as_bytes().to_owned());
    connect
}

/// The owner of a client id, who knows the own password.
fn owner(version: Version, client_id: &str, name: &str) -> Connect {
    connect(version, client_id, name, &format!("{name}'s"))
}

#[track_caller]
fn is_refused(gateway: &Gateway, connect: &Connect, refused: &Refused) {
    let mut client = Client::open(gateway.mqtt(), connect.version);
    client.send(&encode::connect(connect));
    let expected = if connect.version == Version::V5 { refused.v5 } else { refused.v3 };
    match client.expect_packet() {
        Packet::Connack { code, .. } if code == expected => client.expect_closed(SOON),
        other => panic!("CONNACK {expected:#04x} was expected: {other:?}"),
    }
}

fn looks(gateway: &Gateway, result: &str) -> f64 {
    gateway.metrics().sum("landfall_authentications_total", &[("result", result)])
}

#[test]
fn who_knows_the_password_is_who_it_says_and_nobody_else() {
    let kafka = Kafka::shared();
    let folder = Folder::new("passwords");
    let gateway = gateway(kafka, &password_file(&folder), json!("equals"));
    for version in Version::ALL {
        for name in ["ann", "bob", "dev1"] {
            let (mut client, _) = Client::connect_with(gateway.mqtt(), &owner(version, name, name));
            // The topic and the user properties claim to be somebody else.
            client.publish_acknowledged("devices/meter/dev2/power", 1, b"21 W");
            client.disconnect();
        }
        for (name, password) in [
            ("dev1", "dev2's"),
            ("ann", "bob's"),
            ("bob", ""),
            ("bob", "bob'"),
            ("bob", "BOB'S"),
            ("nobody", "nobody's"),
            ("", "dev1's"),
        ] {
            is_refused(&gateway, &connect(version, "some", name, password), &WRONG_PASSWORD);
        }
        // A user name alone is none, nor is nothing, nor a token where nobody asks for one.
        let nothing = Connect::new(version, "dev1");
        is_refused(&gateway, &nothing, &NO_CREDENTIALS);
        let name = Connect { user_name: Some("dev1".to_owned()), ..nothing };
        is_refused(&gateway, &name, &NO_CREDENTIALS);
        let token = connect(version, "dev1", "dev1", "eyJhbGciOiJub25lIn0.e30.");
        is_refused(&gateway, &token, &NO_CREDENTIALS);
    }
    for record in kafka.wait_for(&gateway.topic("fast"), 9, SOON) {
        let envelope = record.envelope();
        assert_eq!(envelope.device_id_trust(), IdentityTrust::Verified, "{envelope:?}");
        assert!(["ann", "bob", "dev1"].contains(&&*envelope.device_id), "{envelope:?}");
        assert_eq!(record.key_text(), envelope.device_id);
    }
    assert_eq!(looks(&gateway, "ok"), 9.0);
    assert_eq!(looks(&gateway, "wrong_password"), 7.0 * 3.0);
    assert_eq!(looks(&gateway, "no_evidence"), 3.0 * 3.0);
    let closed =
        |reason| gateway.metrics().sum("landfall_connections_closed_total", &[("reason", reason)]);
    assert_eq!((closed("wrong_password"), closed("no_credentials")), (21.0, 9.0));
    let log = gateway.log();
    assert!(log.contains("a client has not proved who it is"), "{log}");
    assert!(!log.contains("dev1's"), "{log}");
}

#[test]
fn foreign_clients_come_in_with_their_passwords() {
    let kafka = Kafka::shared();
    let folder = Folder::new("passwords");
    let gateway = gateway(kafka, &password_file(&folder), json!("equals"));
    let port = gateway.mqtt().port().to_string();
    let topic = "devices/meter/dev1/power";
    for version in ["mqttv31", "mqttv311", "mqttv5"] {
        let come = ["-p", &port, "-V", version, "-q", "1", "-i", "dev1", "-t", topic, "-m", "21 W"];
        let with = |password| [&come[..], &["-u", "dev1", "-P", password]].concat();
        foreign::mosquitto_pub(&with("dev1's"));
        let mut command = Command::new("mosquitto_pub");
        command.args(with("wrong"));
        let mut process = Process::start("mosquitto_pub", command, &folder);
        assert!(!process.wait(SOON).success(), "{}", process.log());
    }
    for version in ["3", "4", "5"] {
        let arguments = [&port, version, "dev1", topic, "1", "2", "dev1", "dev1's"];
        foreign::python("paho_publish.py", &arguments);
    }
    assert_eq!(kafka.wait_for(&gateway.topic("fast"), 9, SOON).len(), 9);
}

#[test]
fn a_client_id_belongs_to_its_identity() {
    let kafka = Kafka::shared();
    let folder = Folder::new("passwords");
    let file = password_file(&folder);
    let equals = gateway(kafka, &file, json!("equals"));
    let begins = gateway(kafka, &file, json!({ "begins_with": "-" }));
    for version in Version::ALL {
        for foreign in ["dev10", "dev2", "dev1-a", "dev1/+", "#", "+", "DEV1", "auto-1"] {
            is_refused(&equals, &owner(version, foreign, "dev1"), &NOT_ITS_CLIENT_ID);
        }
        for foreign in ["dev10", "dev10-a", "dev2", "dev1+", "dev1/a", "-dev1", "#"] {
            is_refused(&begins, &owner(version, foreign, "dev1"), &NOT_ITS_CLIENT_ID);
        }
        for own in ["dev1", "dev1-a", "dev1-"] {
            Client::connect_with(begins.mqtt(), &owner(version, own, "dev1")).0.disconnect();
        }
        if version != Version::V31 {
            // With no client id it gets its own.
            let (client, connack) =
                Client::connect_with(equals.mqtt(), &owner(version, "", "dev1"));
            if version == Version::V5 {
                let assigned = connack.property(0x12).map(|id| format!("{id:?}"));
                assert!(assigned.is_some_and(|id| id.contains("dev1")), "{connack:?}");
            }
            client.disconnect();
            let (client, _) = Client::connect_with(begins.mqtt(), &owner(version, "", "dev1"));
            client.disconnect();
        }
        // A client id with a NUL is no client id at all.
        let mut client = Client::open(equals.mqtt(), version);
        client.send(&encode::connect(&owner(version, "dev1\0", "dev1")));
        match version {
            Version::V5 => {
                assert!(matches!(client.expect_packet(), Packet::Connack { code: 0x81, .. }))
            }
            _ => client.expect_closed(SOON),
        }
    }
}

#[test]
fn a_stranger_does_not_throw_out_who_is_connected() {
    let kafka = Kafka::shared();
    let folder = Folder::new("passwords");
    let plain = tests::ports::local(tests::ports::free());
    let mut gateway = GatewayConfig::new(kafka)
        .set("listeners.0.authenticate", json!(["password"]))
        .set("listeners.0.client_id", "any")
        .set("listeners.1", json!({ "name": "open", "bind": plain.to_string() }))
        .set("authentication.password.file", password_file(&folder).to_str().expect("UTF-8"))
        .set("access", json!([{ "allow": ["publish", "subscribe"], "topic": "#" }]))
        .start_ready();
    for version in Version::ALL {
        // Somebody unknown has the client id, until one comes who has proved something.
        let id = format!("shared-{version:?}");
        let (mut anonymous, _) = Client::connect_with(plain, &Connect::new(version, &id));
        let (mut first, _) = Client::connect_with(gateway.mqtt(), &owner(version, &id, "dev1"));
        match version {
            Version::V5 => anonymous.expect_disconnect(0x8e, SOON),
            _ => anonymous.expect_closed(SOON),
        }
        is_refused(&gateway, &owner(version, &id, "dev2"), &NOT_ITS_CLIENT_ID);
        let mut anonymous = Client::open(plain, version);
        anonymous.send(&encode::connect(&Connect::new(version, &id)));
        let code = if version == Version::V5 { 0x85 } else { 2 };
        assert!(
            matches!(anonymous.expect_packet(), Packet::Connack { code: got, .. } if got == code)
        );
        first.publish_acknowledged("devices/meter/dev1/power", 1, b"still here");
        // Itself may come again.
        let (second, _) = Client::connect_with(gateway.mqtt(), &owner(version, &id, "dev1"));
        match version {
            Version::V5 => first.expect_disconnect(0x8e, SOON),
            _ => first.expect_closed(SOON),
        }
        second.disconnect();
    }
    assert_eq!(gateway.terminate(), Some(0));
}

/// The will of a client says who it was, too.
#[test]
fn a_will_is_as_proved_as_its_client() {
    let kafka = Kafka::shared();
    let folder = Folder::new("passwords");
    let gateway = gateway(kafka, &password_file(&folder), json!("equals"));
    let mut connect = owner(Version::V5, "dev1", "dev1");
    connect.will = Some(Will::new("devices/meter/dev2/alarm", 1, b"gone"));
    let (client, _) = Client::connect_with(gateway.mqtt(), &connect);
    drop(client);
    let record = &kafka.wait_for(&gateway.topic("priority"), 1, SOON)[0];
    assert_eq!(record.envelope().device_id, "dev1");
    assert_eq!(record.envelope().device_id_trust(), IdentityTrust::Verified);
}

/// One address tries many passwords: it is slowed down, and who was let in before comes in all the same.
#[test]
fn who_guesses_waits_and_who_is_known_does_not() {
    let folder = Folder::new("passwords");
    let gateway = gateway(Kafka::shared(), &password_file(&folder), json!("equals"));
    Client::connect_with(gateway.mqtt(), &owner(Version::V5, "dev1", "dev1")).0.disconnect();
    let guesses: Vec<Client> = (0..40)
        .map(|number| {
            let mut client = Client::open(gateway.mqtt(), Version::V5);
            let guess = format!("guess {number}");
            client.send(&encode::connect(&connect(Version::V5, "dev1", "dev1", &guess)));
            client
        })
        .collect();
    let busy = || {
        gateway
            .metrics()
            .sum("landfall_connections_closed_total", &[("reason", "authentication_busy")])
    };
    until_true("guesses are turned away", SOON, || busy() > 0.0);
    let (mut known, _) = Client::connect_with(gateway.mqtt(), &owner(Version::V5, "dev1", "dev1"));
    known.publish(&Publish::new("devices/meter/dev1/power", b"21 W").qos1(1));
    known.expect_puback(1);
    drop(guesses);
}

#[test]
fn a_password_becomes_a_line_and_a_bad_line_a_fault_with_its_number() {
    let (code, line) = landfall_password("d\u{e9}v 2", "a word\r\n");
    assert_eq!(code, Some(0));
    assert!(line.starts_with("d\u{e9}v 2:$argon2id$v=19$m=47104,t=1,p=1$"), "{line}");
    assert!(line.ends_with('\n') && line.lines().count() == 1, "{line}");
    assert_ne!(landfall_password("d\u{e9}v 2", "a word\n").1, line, "each has its own salt");
    for (name, word) in [("a:b", "word"), ("", "word"), ("dev1", ""), ("dev1", "\n")] {
        assert_eq!(landfall_password(name, word), (Some(64), String::new()), "{name} {word}");
    }
    let folder = Folder::new("passwords");
    let file = folder.join("passwords");
    std::fs::write(&file, format!("{line}# people\nann:plain-text\n")).expect("written");
    let config = GatewayConfig::without_topics("127.0.0.1:1")
        .set("listeners.0.authenticate", json!(["password"]))
        .set("authentication.password.file", file.to_str().expect("UTF-8"));
    let (code, log) = config.start_and_end();
    assert_eq!(code, Some(64));
    let fault = format!("authentication.password.file: {}, line 3: ", file.display());
    assert!(log.contains(&fault) && log.contains("landfall password"), "{log}");
    assert!(!log.contains("plain-text"), "{log}");
}
