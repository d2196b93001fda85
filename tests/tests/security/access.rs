//! What a client may do: a publish, a subscription or a will that no rule allows has its code, and nothing of
//! it reaches Kafka or anybody else.

use std::collections::BTreeSet;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tests::gateway::{Gateway, GatewayConfig};
use tests::kafka::Kafka;
use tests::mqtt::{Client, Connect, PATIENCE, Packet, Publish, Seen, Version, Will, encode};
use tests::process::Process;
use tests::tools::{Folder, program};
use tests::wait::{SOON, until_true};
use tests::{foreign, ports};

const NOT_AUTHORIZED: u8 = 0x87;
const A_WHILE: Duration = Duration::from_millis(300);
/// Who was ended for it waits at least this long when it comes again.
const FIRST_RETURN: Duration = Duration::from_secs(1);

/// Each client may publish as itself, hear its commands, and not say what is secret.
fn rules() -> Value {
    json!([
        { "allow": ["publish"], "topic": "devices/+/{client_id}/#" },
        { "allow": ["subscribe"], "topic": "commands/{client_id}/#" },
        { "who": { "client_id": "dashboard" }, "allow": ["subscribe"], "topic": "#" },
        { "deny": ["publish", "subscribe"], "topic": "devices/+/+/secret" },
        { "deny": ["subscribe"], "topic": "commands/+/secret" },
    ])
}

fn gateway(access: Value) -> Gateway {
    GatewayConfig::new(Kafka::shared()).set("access", access).start_ready()
}

fn refused(gateway: &Gateway) -> f64 {
    let labels = [("lane", "none"), ("reason", "not_authorized")];
    gateway.metrics().sum("landfall_messages_refused_total", &labels)
}

fn denied(gateway: &Gateway, action: &str) -> f64 {
    gateway.metrics().sum("landfall_access_denied_total", &[("action", action)])
}

#[track_caller]
fn subscribed(client: &mut Client, filter: &str) -> u8 {
    client.subscribe(7, filter, 0);
    match client.expect_packet() {
        Packet::Suback { packet_id: 7, codes, .. } if codes.len() == 1 => codes[0],
        other => panic!("SUBACK was expected: {other:?}"),
    }
}

/// The code of the PUBACK or PUBREC.
#[track_caller]
fn published(client: &mut Client, publish: &Publish) -> u8 {
    client.publish(publish);
    match client.expect_packet() {
        Packet::Puback { packet_id, code, .. }
            if publish.qos == 1 && packet_id == publish.packet_id =>
        {
            code
        }
        Packet::Pubrec { packet_id, code, .. }
            if publish.qos == 2 && packet_id == publish.packet_id =>
        {
            code
        }
        other => panic!("an answer to {publish:?} was expected: {other:?}"),
    }
}

#[test]
fn version_5_has_a_code_for_it_and_goes_on() {
    let gateway = gateway(rules());
    let mut client = Client::connect(gateway.mqtt(), Version::V5, "m-1");
    client.publish_acknowledged("devices/meter/m-1/power", 1, b"own");
    let other = "devices/meter/m-2/power";
    assert_eq!(published(&mut client, &Publish::new(other, b"of another").qos1(2)), NOT_AUTHORIZED);
    assert_eq!(published(&mut client, &Publish::new(other, b"of another").qos2(3)), NOT_AUTHORIZED);
    // Its packet id is free again, and there is nothing to release.
    assert_eq!(published(&mut client, &Publish::new("devices/meter/m-1/power", b"own").qos2(3)), 0);
    client.pubrel(3);
    client.expect_pubcomp(3);
    client.publish(&Publish::new(other, b"at QoS 0"));
    client.expect_silence(A_WHILE);
    assert_eq!(published(&mut client, &Publish::new(other, b"").qos1(4)), NOT_AUTHORIZED);
    let secret = Publish::new("devices/meter/m-1/secret", b"denied").qos1(5);
    assert_eq!(published(&mut client, &secret), NOT_AUTHORIZED, "a deny is stronger");
    for (topic, packet_id) in [("devices/meter/m-1", 6), ("devices/meter/m-1/a/b", 7)] {
        client.publish_acknowledged(topic, packet_id, b"own");
    }
    assert_eq!((refused(&gateway), denied(&gateway, "publish")), (5.0, 5.0));
    let status = gateway.status();
    assert_eq!(status["lanes"][1]["in_flight"], 0, "{status}");
    let kafka = Kafka::shared();
    let records = kafka.wait_for(&gateway.topic("fast"), 4, SOON);
    assert!(records.iter().all(|record| record.payload() == b"own"), "nothing of a stranger's");
    assert_eq!(kafka.count(&gateway.topic("dead-letter")), 0, "not as a dead letter either");
}

#[test]
fn a_large_one_is_answered_behind_its_last_byte_and_never_kept() {
    let gateway = gateway(rules());
    let mut client = Client::connect(gateway.mqtt(), Version::V5, "m-1");
    let payload = vec![7; 400 * 1024];
    let packet =
        encode::publish(Version::V5, &Publish::new("devices/meter/m-2/image", &payload).qos1(9));
    let (all_but_one, last) = packet.split_at(packet.len() - 1);
    client.send(all_but_one);
    client.expect_silence(A_WHILE);
    client.send(last);
    match client.expect_packet() {
        Packet::Puback { packet_id: 9, code: NOT_AUTHORIZED, .. } => {}
        other => panic!("{other:?}"),
    }
    client.publish_acknowledged("devices/meter/m-1/power", 10, b"own");
    assert_eq!(refused(&gateway), 1.0);
}

#[test]
fn a_listener_may_close_in_version_5_too() {
    let config = GatewayConfig::new(Kafka::shared()).set("access", rules());
    let bind = config.mqtt().to_string();
    let listeners = json!([{ "name": "plain", "bind": bind, "on_denied": "close" }]);
    let gateway = config.set("listeners", listeners).start_ready();
    let mut client = Client::connect(gateway.mqtt(), Version::V5, "m-1");
    client.publish(&Publish::new("devices/meter/m-2/power", b"of another").qos1(1));
    client.expect_disconnect(NOT_AUTHORIZED, PATIENCE);
    assert_eq!(refused(&gateway), 1.0);
}

/// A plain PUBACK would say that it landed.
#[test]
fn version_3_is_closed_without_a_word_and_comes_back_later() {
    let gateway = gateway(rules());
    for (place, version) in [Version::V31, Version::V311].into_iter().enumerate() {
        for qos in 0..3 {
            let client_id = format!("m-{place}-{qos}");
            let mut client = Client::connect(gateway.mqtt(), version, &client_id);
            client.publish_acknowledged(&format!("devices/meter/{client_id}/power"), 1, b"own");
            let publish = Publish::new("devices/meter/other/power", b"of another");
            client.publish(&match qos {
                0 => publish,
                1 => publish.qos1(2),
                _ => publish.qos2(2),
            });
            client.expect_closed(PATIENCE);
        }
    }
    assert_eq!(refused(&gateway), 6.0);
    let closed = [("reason", "not_authorized")];
    assert_eq!(gateway.metrics().sum("landfall_connections_closed_total", &closed), 6.0);
    // It is served when it comes back, and not at once; others do not wait.
    let begin = Instant::now();
    Client::connect(gateway.mqtt(), Version::V311, "somebody-else");
    let of_others = begin.elapsed();
    let mut again = Client::connect(gateway.mqtt(), Version::V311, "m-1-2");
    again.publish(&Publish::new("devices/meter/other/power", b"again").qos1(2));
    again.expect_closed(PATIENCE);
    let begin = Instant::now();
    let mut again = Client::connect(gateway.mqtt(), Version::V311, "m-1-2");
    assert!(begin.elapsed() >= FIRST_RETURN, "{:?}, others {of_others:?}", begin.elapsed());
    again.publish_acknowledged("devices/meter/m-1-2/power", 1, b"own");
}

#[test]
fn nobody_hears_what_he_may_not_hear() {
    let gateway = gateway(rules());
    for (version, refusal) in
        [(Version::V5, NOT_AUTHORIZED), (Version::V311, 0x80), (Version::V31, 0x80)]
    {
        let mut client = Client::connect(gateway.mqtt(), version, "m-1");
        for (filter, expected) in [
            ("commands/m-1/open/#", 0),
            ("commands/m-1/+", refusal),
            ("commands/m-1/#", refusal),
            ("commands/m-1/secret", refusal),
            ("commands/+/open", refusal),
            ("commands/m-10/open", refusal),
            ("devices/meter/m-1/power", refusal),
            ("#", refusal),
            ("+/+/+", refusal),
            ("$SYS/#", refusal),
        ] {
            assert_eq!(subscribed(&mut client, filter), expected, "{version:?} {filter}");
        }
        client.disconnect();
    }
    assert_eq!(denied(&gateway, "subscribe"), 27.0);
    // The dashboard may hear everything, except what is denied to everybody.
    let mut dashboard = Client::connect(gateway.mqtt(), Version::V5, "dashboard");
    assert_eq!(subscribed(&mut dashboard, "#"), NOT_AUTHORIZED);
    assert_eq!(subscribed(&mut dashboard, "devices/+/+/power"), 0);
    let mut device = Client::connect(gateway.mqtt(), Version::V5, "m-1");
    until_true("the dashboard hears a device", SOON, || {
        device.publish(&Publish::new("devices/meter/m-1/power", b"heard"));
        matches!(dashboard.read(A_WHILE), Seen::Packet(Packet::Publish(_)))
    });
    while let Seen::Packet(_) = dashboard.read(A_WHILE) {}
    // What may not be published is not heard of either.
    device.publish(&Publish::new("devices/meter/m-2/power", b"of another"));
    dashboard.expect_silence(A_WHILE);
}

#[test]
fn a_will_is_a_publish_that_comes_later() {
    let gateway = gateway(rules());
    for (version, refusal) in [(Version::V5, NOT_AUTHORIZED), (Version::V311, 5), (Version::V31, 5)]
    {
        let mut connect = Connect::new(version, "m-1");
        connect.will = Some(Will::new("devices/meter/m-2/gone", 1, b"of another"));
        let mut client = Client::open(gateway.mqtt(), version);
        client.send(&encode::connect(&connect));
        match client.expect_packet() {
            Packet::Connack { code, .. } if code == refusal => {}
            other => panic!("CONNACK {refusal:#x} was expected: {other:?}"),
        }
        client.expect_closed(PATIENCE);
        connect.will = Some(Will::new("devices/meter/m-1/gone", 1, b"own"));
        let (client, _) = Client::connect_with(gateway.mqtt(), &connect);
        drop(client);
    }
    let records = Kafka::shared().wait_for(&gateway.topic("fast"), 3, SOON);
    assert!(records.iter().all(|record| record.payload() == b"own"));
    assert_eq!(denied(&gateway, "publish"), 3.0);
}

/// A gateway that asks for passwords on one listener and for nothing on the other.
struct WithFile {
    gateway: Gateway,
    fleet: SocketAddr,
    folder: Folder,
}

/// mosquitto's own two files, its passwords and its acl_file. Everybody's password is `secret`.
fn with_files(acl: &str, names: &[&str]) -> WithFile {
    let folder = Folder::new("acl");
    let passwords = folder.join("passwords");
    for (index, name) in names.iter().enumerate() {
        let mut command = Command::new("mosquitto_passwd");
        command.args(["-H", "sha512", "-b"]).args((index == 0).then_some("-c"));
        command.arg(&passwords).args([*name, "secret"]);
        foreign::run("mosquitto_passwd", command);
    }
    let acl_file = folder.join("acl");
    std::fs::write(&acl_file, acl).expect("the test's folder can be written");
    let text = |path: &Path| path.to_str().expect("a folder of tests is UTF-8").to_owned();
    let config = GatewayConfig::new(Kafka::shared());
    let fleet = ports::local(ports::free());
    let listeners = json!([
        { "name": "plain", "bind": config.mqtt().to_string() },
        { "name": "fleet", "bind": fleet.to_string(), "authenticate": ["password"], "client_id": "any" },
    ]);
    let gateway = config
        .set("listeners", listeners)
        .set("authentication.password.file", text(&passwords))
        .set("access_file.mosquitto", text(&acl_file))
        .start_ready();
    WithFile { gateway, fleet, folder }
}

impl WithFile {
    /// Anonymous, or by a password.
    fn address(&self, user: Option<&str>) -> SocketAddr {
        if user.is_some() { self.fleet } else { self.gateway.mqtt() }
    }
}

fn as_user(version: Version, user: Option<&str>, client_id: &str) -> Connect {
    let mut connect = Connect::new(version, client_id);
    connect.user_name = user.map(str::to_owned);
    connect.password = user.map(|_| b"secret".to_vec());
    connect
}

const ACL: &str = "\
topic readwrite open/#
topic deny open/closed
topic read $SYS/#

user roger
topic foo/bar
topic readwrite rooms/+/light
topic deny rooms/cellar/light
topic write  with a space/x
topic write both/own

user dashboard
topic read devices/#
topic deny devices/secret/#

user roger
topic read late/+

pattern write devices/%u/#
pattern readwrite clients/id-%c-x/+
pattern read both/+
pattern deny devices/+/forbidden
pattern deny both/own
";

/// Everything that is tried, as topics and as filters that match nothing else.
const TRIED: [&str; 21] = [
    "open/a",
    "open",
    "open/closed",
    "foo/bar",
    "foo/bar/baz",
    "rooms/attic/light",
    "rooms/cellar/light",
    "rooms/a/b/light",
    "with a space/x",
    "devices/roger/x",
    "devices/roger",
    "devices/dashboard/x",
    "devices/roger/forbidden",
    "devices/secret/x",
    "devices/other/x",
    "late/a",
    "late/a/b",
    "clients/id-c1-x/a",
    "clients/id-c2-x/a",
    "both/own",
    "both/other",
];

/// mosquitto itself, with the same files: what it lets be written and read.
fn mosquitto(folder: &Path) -> (Process, SocketAddr) {
    let address = ports::local(ports::free());
    let text = format!(
        "listener {} 127.0.0.1\nallow_anonymous true\npersistence false\nuser root\n\
         password_file {}\nacl_file {}\n",
        address.port(),
        folder.join("passwords").display(),
        folder.join("acl").display(),
    );
    let file = folder.join("mosquitto.conf");
    std::fs::write(&file, text).expect("the test's folder can be written");
    let mut command = Command::new(tests::tools::mosquitto());
    command.arg("-c").arg(&file);
    let mut process = Process::start("mosquitto", command, folder);
    process.until("mosquitto answers", SOON, || TcpStream::connect(address).ok());
    (process, address)
}

/// By topic: whether somebody may write it, by the code that he gets, and read it, by the subscription that is
/// granted or, where every one is, by what comes.
fn written_and_read(
    address: SocketAddr,
    connect: &Connect,
    by_delivery: Option<&mut Client>,
) -> Vec<(&'static str, bool, bool)> {
    let (mut client, _) = Client::connect_with(address, connect);
    let written: Vec<bool> = (1..)
        .zip(TRIED)
        .map(|(id, topic)| {
            published(&mut client, &Publish::new(topic, b"x").qos1(id)) != NOT_AUTHORIZED
        })
        .collect();
    let granted = TRIED.map(|topic| subscribed(&mut client, topic) != NOT_AUTHORIZED);
    let read: Vec<bool> = match by_delivery {
        None => granted.to_vec(),
        Some(publisher) => {
            for (id, topic) in (1..).zip(TRIED) {
                publisher.publish_acknowledged(topic, id, b"x");
            }
            let mut came = BTreeSet::new();
            while let Seen::Packet(Packet::Publish(publish)) = client.read(A_WHILE) {
                came.insert(publish.topic);
            }
            TRIED.iter().map(|topic| came.contains(*topic)).collect()
        }
    };
    TRIED
        .iter()
        .zip(written)
        .zip(read)
        .map(|((topic, written), read)| (*topic, written, read))
        .collect()
}

/// Nobody who moves has to write his rules anew.
#[test]
fn an_acl_file_says_what_it_says_to_mosquitto() {
    let acl = format!("{ACL}user admin\ntopic readwrite #\n");
    let landfall = with_files(&acl, &["roger", "dashboard", "stranger", "admin"]);
    let (_process, broker) = mosquitto(&landfall.folder);
    let admin = as_user(Version::V5, Some("admin"), "admin");
    let (mut publisher, _) = Client::connect_with(broker, &admin);
    for (user, client_id) in [
        (None, "c1"),
        (Some("roger"), "c1"),
        (Some("roger"), "c2"),
        (Some("roger"), "+"),
        (Some("dashboard"), "c1"),
        (Some("stranger"), "c2"),
        (Some("stranger"), "id#"),
        (None, "+"),
    ] {
        let connect = as_user(Version::V5, user, client_id);
        let expected = written_and_read(broker, &connect, Some(&mut publisher));
        let found = written_and_read(landfall.address(user), &connect, None);
        assert_eq!(found, expected, "{user:?} as {client_id}");
    }
}

#[test]
fn a_subscription_that_could_bring_more_than_may_be_read_is_refused() {
    let landfall = with_files(ACL, &["dashboard"]);
    let connect = as_user(Version::V5, Some("dashboard"), "c1");
    let (mut client, _) = Client::connect_with(landfall.fleet, &connect);
    for (filter, expected) in [
        ("devices/meter/#", 0),
        // It could bring devices/secret.
        ("devices/+", NOT_AUTHORIZED),
        ("devices/#", NOT_AUTHORIZED),
        ("devices/secret/#", NOT_AUTHORIZED),
        ("devices/+/x", NOT_AUTHORIZED),
        ("#", NOT_AUTHORIZED),
        ("$SYS/#", NOT_AUTHORIZED),
    ] {
        assert_eq!(subscribed(&mut client, filter), expected, "{filter}");
    }
}

/// An `explain` with these arguments, as JSON.
#[track_caller]
fn explained(gateway: &Gateway, arguments: &[&str]) -> Value {
    let mut command = Command::new(program("landfall"));
    command.args(["explain", "--format", "json", "--config"]).arg(gateway.config_file());
    command.args(arguments);
    serde_json::from_str(&foreign::run("landfall-explain", command)).expect("JSON")
}

#[test]
fn explain_says_what_run_does_and_which_rule_says_so() {
    let landfall = with_files(ACL, &["roger", "dashboard"]);
    for (user, client_id) in [(Some("roger"), "c1"), (Some("dashboard"), "c2"), (None, "c1")] {
        let connect = as_user(Version::V5, user, client_id);
        let done = written_and_read(landfall.address(user), &connect, None);
        for (topic, written, read) in done {
            let listener = if user.is_some() { "fleet" } else { "plain" };
            let arguments = ["--topic", topic, "--client-id", client_id, "--listener", listener];
            let identity = user.map_or(vec![], |user| vec!["--as", user]);
            let said = explained(&landfall.gateway, &[&arguments[..], &identity].concat());
            let access = &said["access"];
            assert_eq!(access["publish"]["allowed"], written, "{user:?} {topic}: {said}");
            assert_eq!(access["subscribe"]["allowed"], read, "{user:?} {topic}: {said}");
            let outcome = if written { "landed" } else { "refused" };
            assert_eq!(said["outcome"], outcome, "{said}");
        }
    }
    let by = |topic: &str, identity: &str| {
        let said = explained(&landfall.gateway, &["--topic", topic, "--as", identity]);
        let by = |action: &str| said["access"][action]["by"].as_str().expect("a text").to_owned();
        (by("publish"), by("subscribe"))
    };
    let line = |number: u32| format!("access_file, line {number}");
    assert_eq!(by("rooms/cellar/light", "roger"), (line(8), line(8)));
    assert_eq!(by("both/own", "roger").0, line(10));
    assert_eq!(by("devices/x/+", "dashboard").1, line(13));
    assert_eq!(by("other/+", "dashboard").1, "no rule allows it");
    let mut command = Command::new(program("landfall"));
    command.args(["explain", "--topic", "foo/bar", "--as", "roger", "--config"]);
    command.arg(landfall.gateway.config_file());
    let text = foreign::run("landfall-explain", command);
    for line in ["listener  fleet", "identity  roger", "publish   allowed by access_file, line 6"] {
        assert!(text.lines().any(|found| found == line), "{text}");
    }
}

/// What people see of it with clients that are not ours.
#[test]
fn clients_that_are_not_ours_are_told_in_their_version() {
    let landfall = with_files(ACL, &["roger"]);
    let port = landfall.fleet.port().to_string();
    let run = |name: &str, arguments: &[&str]| {
        let mut command = Command::new(name);
        command.args(["-p", &port, "-u", "roger", "-P", "secret", "-d", "-q", "1"]).args(arguments);
        let folder = Folder::new(name);
        let mut process = Process::start(name, command, &folder);
        let status = process.wait(SOON);
        (status.success(), process.log())
    };
    for version in ["mqttv311", "mqttv5"] {
        let publish =
            |topic| run("mosquitto_pub", &["-V", version, "-i", version, "-t", topic, "-m", "x"]);
        let (done, log) = publish("foo/bar");
        assert!(done && log.contains("received PUBACK"), "{version}: {log}");
        let (_, log) = publish("foo/other");
        if version == "mqttv5" {
            assert!(log.contains("RC:135") && log.contains("Not authorized"), "{log}");
        } else {
            assert!(!log.contains("received PUBACK"), "{version}: {log}");
            assert!(log.contains("The connection was lost"), "{log}");
        }
        let subscribe = |filter| {
            run("mosquitto_sub", &["-V", version, "-i", "sub", "-t", filter, "-W", "2", "-E"])
        };
        let (_, log) = subscribe("late/+");
        assert!(log.contains("Subscribed (mid: 1): 0"), "{version}: {log}");
        let (_, log) = subscribe("late/#");
        let code = if version == "mqttv5" { "135" } else { "128" };
        assert!(log.contains(&format!("Subscribed (mid: 1): {code}")), "{version}: {log}");
        let paho =
            |topic| foreign::python("paho_denied.py", &[&port, version, "roger", "secret", topic]);
        let code = if version == "mqttv5" { "Not authorized" } else { "closed" };
        assert_eq!(paho("foo/bar").trim(), "acknowledged", "{version}");
        assert_eq!(paho("foo/other").trim(), code, "{version}");
    }
}

/// Whoever asks clients who they are has to say what they may do.
#[test]
fn who_authenticates_and_has_no_rules_does_not_start() {
    let folder = Folder::new("no-rules");
    let file = folder.join("passwords");
    let mut command = Command::new("mosquitto_passwd");
    command.args(["-H", "sha512", "-b", "-c"]).arg(&file).args(["roger", "secret"]);
    foreign::run("mosquitto_passwd", command);
    let (code, log) = GatewayConfig::without_topics(&ports::local(ports::free()).to_string())
        .set("listeners.0.authenticate", json!(["password"]))
        .set("authentication.password.file", file.to_str().expect("UTF-8"))
        .start_and_end();
    assert_eq!(code, Some(64), "{log}");
    assert!(log.contains("nobody can use listener plain"), "{log}");
}
