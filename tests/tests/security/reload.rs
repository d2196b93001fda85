//! Files are read anew while the gateway runs: when they change, at SIGHUP, and when an operator asks for it.
//! What is bad keeps what was there, and who may not any more is ended, and nobody else.

use std::fs;
use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tests::exposition::Metrics;
use tests::gateway::{Gateway, GatewayConfig};
use tests::kafka::Kafka;
use tests::load::{Load, assert_landed_in_order};
use tests::mqtt::{Client, Connect, Packet, Publish, Version, Will, encode};
use tests::pki::{Authority, Issued, Leaf};
use tests::ports;
use tests::process::Signal;
use tests::tls::Tls;
use tests::tools::{Folder, program};
use tests::wait::{SOON, until_true};

const TOKEN: &str = "operator-0123456789abcdef";
const NEXT_TOKEN: &str = "operator-fedcba9876543210";
/// What the tests look with, while the others change.
const LOOKS: &str = "tests-0123456789abcdef";
/// A file is older than a gateway that starts so much later, by the kernel's coarse clock too.
const OLDER: Duration = Duration::from_millis(100);
/// Who may not any more has gone by then.
const GONE_WAIT: Duration = Duration::from_secs(5);
const NOT_AUTHORIZED: u8 = 0x87;

/// Files as Kubernetes mounts a Secret: links into a directory that is replaced whole.
struct Secret {
    folder: Folder,
    version: u32,
}

impl Secret {
    fn new(files: &[(&str, impl AsRef<str>)]) -> Secret {
        let mut secret = Secret { folder: Folder::new("secret"), version: 0 };
        secret.swap(files);
        for (name, _) in files {
            let link = secret.folder.join(name);
            symlink(format!("..data/{name}"), link).expect("a link can be made");
        }
        secret
    }

    fn path(&self, name: &str) -> String {
        self.folder.join(name).to_str().expect("a folder of tests is UTF-8").to_owned()
    }

    fn swap(&mut self, files: &[(&str, impl AsRef<str>)]) {
        let old = format!("..{}", self.version);
        self.version += 1;
        let new = format!("..{}", self.version);
        fs::create_dir(self.folder.join(&new)).expect("a folder can be made");
        for (name, text) in files {
            fs::write(self.folder.join(&new).join(name), text.as_ref())
                .expect("a file can be written");
        }
        symlink(&new, self.folder.join("..data_tmp")).expect("a link can be made");
        let (from, to) = (self.folder.join("..data_tmp"), self.folder.join("..data"));
        fs::rename(from, to).expect("a link can be moved");
        if self.version > 1 {
            fs::remove_dir_all(self.folder.join(old)).expect("it is there");
        }
    }
}

/// A token in a file beside the gateway's own.
fn token_file(folder: &Folder) -> (PathBuf, Value) {
    let file = folder.join("operator");
    fs::write(&file, TOKEN).expect("the test's folder can be written");
    let tokens = tokens(file.to_str().expect("a folder of tests is UTF-8"));
    (file, tokens)
}

fn tokens(ops: &str) -> Value {
    json!({ "ops": { "from_file": ops }, "tests": { "from_env": "LOOKS" } })
}

/// Of files that are there by now.
fn without_kafka() -> GatewayConfig {
    thread::sleep(OLDER);
    let nobody = ports::local(ports::free()).to_string();
    GatewayConfig::without_topics(&nobody).environment("LOOKS", LOOKS)
}

fn metrics(gateway: &Gateway) -> Metrics {
    let page = gateway.ask("GET", "/metrics", LOOKS);
    assert_eq!(page.code, 200, "{page:?}");
    Metrics::parse(&page.body)
}

/// So many times it was read, and taken or not.
#[track_caller]
fn until_read(gateway: &Gateway, result: &str, times: f64) {
    until_true("it is read", SOON, || {
        metrics(gateway).sum("landfall_reloads_total", &[("result", result)]) == times
    });
}

#[track_caller]
fn opens(gateway: &Gateway, token: &str) {
    assert_eq!(gateway.ask("GET", "/api/v1/status", token).code, 200);
}

#[test]
fn a_file_that_changes_is_read_by_itself_and_a_bad_one_keeps_what_was_there() {
    let folder = Folder::new("tokens");
    let (file, tokens) = token_file(&folder);
    let gateway = without_kafka().set("admin.authenticate.tokens", tokens).start();
    opens(&gateway, TOKEN);
    until_read(&gateway, "ok", 0.0);

    fs::write(&file, NEXT_TOKEN).expect("it can be written");
    until_read(&gateway, "ok", 1.0);
    opens(&gateway, NEXT_TOKEN);
    assert_eq!(gateway.ask("GET", "/api/v1/status", TOKEN).code, 401);

    fs::write(&file, "short").expect("it can be written");
    until_read(&gateway, "failed", 1.0);
    opens(&gateway, NEXT_TOKEN);
    let exposed = metrics(&gateway);
    assert_eq!(exposed.sum("landfall_reload_failing", &[]), 1.0);
    let ready = gateway.page("/readyz").json();
    let degraded = ready["degraded"].to_string();
    assert!(degraded.contains("admin.authenticate.tokens: its files were not taken"), "{ready}");
    let log = gateway.log();
    let line = log.lines().find(|line| line.contains("files were not taken")).expect("it is said");
    assert!(line.contains("ERROR") && line.contains("tokens.ops") && line.contains("guessed"));
    assert!(!log.contains("short") && !log.contains(TOKEN) && !log.contains(NEXT_TOKEN));

    fs::remove_file(&file).expect("it is there");
    until_read(&gateway, "failed", 2.0);
    fs::write(&file, TOKEN).expect("it can be written");
    until_read(&gateway, "ok", 2.0);
    opens(&gateway, TOKEN);
    assert_eq!(metrics(&gateway).sum("landfall_reload_failing", &[]), 0.0);
    assert_eq!(gateway.page("/readyz").json()["degraded"], json!([]));
}

#[test]
fn a_secret_of_kubernetes_is_read_when_it_is_swapped() {
    let mut secret = Secret::new(&[("ops", TOKEN), ("other", "")]);
    let tokens = tokens(&secret.path("ops"));
    let gateway = without_kafka().set("admin.authenticate.tokens", tokens).start();
    opens(&gateway, TOKEN);
    for (swaps, token) in [(1.0, NEXT_TOKEN), (2.0, TOKEN), (3.0, NEXT_TOKEN)] {
        secret.swap(&[("ops", token), ("other", "")]);
        until_read(&gateway, "ok", swaps);
        opens(&gateway, token);
    }
    until_read(&gateway, "failed", 0.0);
}

#[test]
fn everything_is_read_at_sighup_and_when_an_operator_asks_and_each_file_is_named() {
    let folder = Folder::new("tokens");
    let (file, tokens) = token_file(&folder);
    let acl = folder.join("acl");
    fs::write(&acl, "topic write a\n").expect("it can be written");
    let acl = acl.to_str().expect("a folder of tests is UTF-8");
    let audit = folder.join("audit.jsonl");
    let gateway = without_kafka()
        .set("admin.authenticate.tokens", tokens)
        .set("access_file.mosquitto", acl)
        .set("audit.file", audit.to_str().expect("a folder of tests is UTF-8"))
        .start();
    let client = Client::connect(gateway.mqtt(), Version::V5, "stays");
    gateway.signal(Signal::HUP);
    until_read(&gateway, "ok", 1.0);

    assert_eq!(gateway.page("/api/v1/reload").code, 401, "a link changes nothing");
    for (method, token, code) in [("POST", NEXT_TOKEN, 401), ("GET", TOKEN, 405)] {
        assert_eq!(gateway.ask(method, "/api/v1/reload", token).code, code, "{method}");
    }
    let answer = gateway.ask("POST", "/api/v1/reload", TOKEN);
    let part = |place: &str, file: &str| json!({ "place": place, "files": [file], "outcome": "read", "faults": [] });
    let token_file = file.to_str().expect("a folder of tests is UTF-8");
    let expected = json!({
        "outcome": "read",
        "parts": [part("admin.authenticate.tokens", token_file), part("access_file.mosquitto", acl)],
    });
    assert_eq!((answer.code, answer.json()), (200, expected));

    // What is good beside it is taken.
    fs::write(acl, "topc write a\n").expect("it can be written");
    fs::write(&file, NEXT_TOKEN).expect("it can be written");
    let answer = gateway.ask("POST", "/api/v1/reload", LOOKS);
    let report = answer.json();
    assert_eq!(answer.code, 422, "{report}");
    assert_eq!(report["outcome"], "failed");
    assert_eq!(report["parts"][0]["outcome"], "read");
    assert_eq!(report["parts"][1]["outcome"], "failed");
    assert!(report["parts"][1]["faults"][0].as_str().is_some_and(|text| text.contains("topc")));
    assert_eq!(gateway.ask("GET", "/api/v1/clients/stays", NEXT_TOKEN).code, 200);
    drop(client);
    let (tokens, rules) = ("admin.authenticate.tokens", "access_file.mosquitto");
    let line = |reason: &str, by: &str, places: &[&str]| json!({ "event": "reloaded", "reason": reason, "by": by, "places": places });
    let expected = [
        line("ok", "signal", &[tokens, rules]),
        line("ok", "ops", &[tokens, rules]),
        line("ok", "tests", &[tokens]),
        line("failed", "tests", &[rules]),
    ];
    until_true("it is in the audit log", SOON, || {
        let text = fs::read_to_string(&audit).expect("it is there");
        let lines = text.lines().map(|line| serde_json::from_str(line).expect("JSON"));
        // The watch may have been faster.
        let asked = |line: &Value| line["event"] == "reloaded" && line["by"] != "change";
        let reloads = lines.filter(asked).map(|mut line| {
            line.as_object_mut().expect("an object").remove("time").expect("it has one");
            line
        });
        reloads.collect::<Vec<_>>() == expected
    });
}

#[test]
fn without_tokens_nobody_has_it_read() {
    let gateway = without_kafka().start();
    let answer = tests::http::request("POST", gateway.admin(), "/api/v1/reload", &[]);
    let answer = answer.expect("it answers");
    assert_eq!(answer.code, 403);
    assert!(answer.body.contains("admin.authenticate.tokens"), "{answer:?}");
    gateway.signal(Signal::HUP);
    until_true("it says so", SOON, || gateway.log().contains("SIGHUP"));
    assert_eq!(gateway.page("/livez").code, 200, "and lives");
}

/// What the load, and everybody else, may.
const OF_LOAD: &str = "pattern write devices/meter/%c/power\n";

#[test]
fn who_may_not_hear_any_more_is_ended_under_load_and_nobody_else() {
    let kafka = Kafka::shared();
    let folder = Folder::new("acl");
    let acl = folder.join("acl");
    let with_secrets = format!("{OF_LOAD}topic read public/#\ntopic read secret/#\n");
    fs::write(&acl, &with_secrets).expect("it can be written");
    let gateway = GatewayConfig::new(kafka)
        .set("access_file.mosquitto", acl.to_str().expect("a folder of tests is UTF-8"))
        .start_ready();
    let load = Load::start(gateway.mqtt(), 8);
    load.goes_on(500);
    let hears = |id: &str, version: Version, filter: &str| {
        let mut connect = Connect::new(version, id);
        connect.will = Some(Will::new(&format!("devices/meter/{id}/power"), 1, id.as_bytes()));
        let (mut client, _) = Client::connect_with(gateway.mqtt(), &connect);
        client.subscribe(1, filter, 0);
        assert!(matches!(client.expect_packet(), Packet::Suback { .. }));
        client
    };
    let mut loses = hears("loses", Version::V5, "secret/#");
    let mut loses_too = hears("loses-too", Version::V311, "secret/plans");
    let mut stays = hears("stays", Version::V5, "public/#");
    load.goes_on(500);

    fs::write(&acl, format!("{OF_LOAD}topic read public/#\n")).expect("it can be written");
    let written = Instant::now();
    loses.expect_disconnect(NOT_AUTHORIZED, GONE_WAIT);
    loses_too.expect_closed(GONE_WAIT.saturating_sub(written.elapsed()));
    load.goes_on(500);
    stays.ping();
    stays.expect_pingresp();
    let closed = |reason: &str| {
        gateway.metrics().sum("landfall_connections_closed_total", &[("reason", reason)])
    };
    assert_eq!((closed("rights_changed"), closed("peer_gone")), (2.0, 0.0));
    let acknowledged = load.stop();
    let records = kafka.read_all(&gateway.topic("fast"));
    let of_load = |payload: &[u8]| payload.contains(&b'-') && payload[0].is_ascii_digit();
    let records: Vec<_> = records.into_iter().filter(|record| of_load(&record.payload())).collect();
    assert_landed_in_order(&acknowledged, &records);

    // What is published is asked for each time, and whoever only publishes has lost nothing until he does.
    let mut device = Client::connect(gateway.mqtt(), Version::V5, "device");
    device.publish_acknowledged("devices/meter/device/power", 1, b"x");
    fs::write(&acl, "topic read public/#\n").expect("it can be written");
    until_true("it may not publish", GONE_WAIT, || {
        device.publish(&Publish::new("devices/meter/device/power", b"x").qos1(2));
        matches!(device.expect_packet(), Packet::Puback { code: NOT_AUTHORIZED, .. })
    });
}

/// A listener beside the load's, which asks for passwords.
fn asks_for_passwords(config: GatewayConfig, file: &str) -> (GatewayConfig, SocketAddr) {
    let secured = ports::local(ports::free());
    let listener = json!({
        "name": "secured", "bind": secured.to_string(), "authenticate": ["password"],
    });
    let config = config
        .set("listeners.1", listener)
        .set("listeners.0.anonymous", true)
        .set("authentication.password.file", file)
        .set("access", json!([{ "allow": ["publish", "subscribe"], "topic": "#" }]));
    (config, secured)
}

fn with_password(version: Version, name: &str, password: &str) -> Connect {
    let mut connect = Connect::new(version, name);
    connect.user_name = Some(name.to_owned());
    connect.password = Some(password.as_bytes().to_vec());
    connect
}

#[test]
fn whose_password_is_taken_away_or_changed_is_ended_under_load_and_nobody_else() {
    let kafka = Kafka::shared();
    let folder = Folder::new("passwords");
    let [removed, changed, stays, old, new] =
        ["removed", "changed", "stays", "old", "changed"].map(|name| password_line(name, name));
    let file = folder.join("passwords");
    fs::write(&file, [&*removed, &*changed, &*stays, &*old].concat()).expect("it can be written");
    let path = file.to_str().expect("a folder of tests is UTF-8");
    let (config, secured) = asks_for_passwords(GatewayConfig::new(kafka), path);
    let gateway = config.start_ready();
    let load = Load::start(gateway.mqtt(), 8);
    let connect =
        |version, name: &str| Client::connect_with(secured, &with_password(version, name, name)).0;
    let mut removed = connect(Version::V5, "removed");
    let mut changed = connect(Version::V5, "changed");
    let mut old = connect(Version::V311, "old");
    let mut remains = connect(Version::V5, "stays");
    load.goes_on(500);

    fs::write(&file, [&*new, &*stays].concat()).expect("it can be written");
    let written = Instant::now();
    let left = || GONE_WAIT.saturating_sub(written.elapsed());
    removed.expect_disconnect(NOT_AUTHORIZED, left());
    // Its password is the same, with another salt: nobody can know that it is.
    changed.expect_disconnect(NOT_AUTHORIZED, left());
    old.expect_closed(left());
    load.goes_on(500);
    remains.publish_acknowledged("devices/meter/stays/power", 1, b"still here");
    drop(connect(Version::V5, "changed"));
    let closed = |reason: &str| {
        gateway.metrics().sum("landfall_connections_closed_total", &[("reason", reason)])
    };
    assert_eq!((closed("credentials_revoked"), closed("rights_changed")), (3.0, 0.0));
    let (_, refused) = connect_refused(secured, &with_password(Version::V5, "removed", "removed"));
    assert_eq!(refused, 0x86);
    let acknowledged = load.stop();
    let records = kafka.read_all(&gateway.topic("fast"));
    let records: Vec<_> =
        records.into_iter().filter(|record| record.payload() != b"still here").collect();
    assert_landed_in_order(&acknowledged, &records);
}

/// A line of a password file.
fn password_line(name: &str, password: &str) -> String {
    let mut command = Command::new(program("landfall"));
    command.args(["password", name]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.stderr(Stdio::null()).spawn().expect("it can be started");
    let mut input = child.stdin.take().expect("it is piped");
    writeln!(input, "{password}").expect("it reads");
    drop(input);
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success());
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// The connection, and the code of its CONNACK.
#[track_caller]
fn connect_refused(address: SocketAddr, connect: &Connect) -> (Client, u8) {
    let mut client = Client::open(address, connect.version);
    client.send(&encode::connect(connect));
    match client.expect_packet() {
        Packet::Connack { code, .. } if code != 0 => (client, code),
        other => panic!("a refusal was expected: {other:?}"),
    }
}

#[test]
fn a_new_certificate_of_the_gateway_is_shown_to_who_comes_and_nobody_is_dropped() {
    let [old, new] = ["old", "new"].map(Authority::new);
    let mut secret = Secret::new(&certificate(&old));
    let config = GatewayConfig::new(Kafka::shared());
    let listener = json!({
        "name": "tls",
        "bind": config.mqtt().to_string(),
        "tls": { "certificates": [
            { "certificate": secret.path("tls.crt"), "key": secret.path("tls.key") },
        ] },
    });
    let gateway = config.set("listeners", json!([listener])).start_ready();
    let connect = |id: &str, authority: &Authority| {
        let tls = Tls::trusting(authority);
        Client::connect_tls(gateway.mqtt(), &tls, &Connect::new(Version::V5, id))
    };
    let mut before = connect("before", &old);
    let reads =
        |result: &str| gateway.metrics().sum("landfall_reloads_total", &[("result", result)]);
    // A key that does not belong to it.
    let mut wrong = certificate(&new);
    wrong[1].1 = certificate(&old)[1].1.clone();
    secret.swap(&wrong);
    until_true("it is read and not taken", SOON, || reads("failed") >= 1.0);
    drop(connect("still", &old));
    secret.swap(&certificate(&new));
    until_true("it is read", SOON, || reads("ok") >= 1.0);
    let mut after = connect("after", &new);
    for client in [&mut before, &mut after] {
        client.publish_acknowledged("devices/meter/m/power", 1, b"x");
    }
    assert_eq!(gateway.metrics().sum("landfall_reload_failing", &[]), 0.0);
}

/// A gateway's certificate and key, as Kubernetes calls them.
fn certificate(authority: &Authority) -> [(&'static str, String); 2] {
    let folder = Folder::new("issued");
    let files = authority.issue(&Leaf::server()).write(&folder, "server");
    let read = |path: &str| fs::read_to_string(path).expect("it was written");
    [("tls.crt", read(files.certificate())), ("tls.key", read(files.key()))]
}

#[test]
fn whose_certificate_is_revoked_is_ended_under_load_and_nobody_else() {
    let kafka = Kafka::shared();
    let folder = Folder::new("mtls");
    let root = Authority::new("root");
    let server = root.issue(&Leaf::server()).write(&folder, "server");
    let authorities = root.write(&folder, "root");
    let issue = |leaf: Leaf| root.issue(&leaf);
    let (revoked, stays) = (issue(Leaf::client("revoked")), issue(Leaf::client("stays")));
    let stranger = issue(Leaf::client("stranger"));
    let mut secret = Secret::new(&[("crl.pem", root.revoke(&[&stranger]))]);
    let config = GatewayConfig::new(kafka);
    let secured = ports::local(ports::free());
    let listener = json!({
        "name": "mtls",
        "bind": secured.to_string(),
        "anonymous": true,
        "tls": {
            "certificates": [{ "certificate": server.certificate(), "key": server.key() }],
            "client_ca": authorities.to_str().expect("a folder of tests is UTF-8"),
            "client_certificate": "required",
            "crl": secret.path("crl.pem"),
        },
    });
    let gateway = config
        .set("listeners.1", listener)
        .set("listeners.0.anonymous", true)
        .set("access", json!([{ "allow": ["publish", "subscribe"], "topic": "#" }]))
        .start_ready();
    let load = Load::start(gateway.mqtt(), 8);
    load.goes_on(200);
    let connect = |name: &str, issued: &Issued| {
        let tls = Tls::trusting(&root).showing(issued);
        let mut connect = Connect::new(Version::V5, name);
        connect.will = Some(Will::new("devices/meter/x/will", 1, name.as_bytes()));
        Client::connect_tls(secured, &tls, &connect)
    };
    let mut loses = connect("revoked", &revoked);
    let mut remains = connect("stays", &stays);
    load.goes_on(200);

    secret.swap(&[("crl.pem", root.revoke(&[&stranger, &revoked]))]);
    loses.expect_disconnect(NOT_AUTHORIZED, GONE_WAIT);
    load.goes_on(200);
    remains.publish_acknowledged("devices/meter/stays/power", 1, b"still here");
    let closed = |reason: &str| {
        gateway.metrics().sum("landfall_connections_closed_total", &[("reason", reason)])
    };
    assert_eq!(["credentials_revoked", "rights_changed"].map(closed), [1.0, 0.0]);
    until_true("its end is in the audit log", SOON, || {
        let output = gateway.output();
        let is_end = |line: &str| line.contains("\"ended\"") && line.contains("\"revoked\"");
        output.lines().any(|line| is_end(line) && line.contains("credentials_revoked"))
    });
    let acknowledged = load.stop();
    let records = kafka.read_all(&gateway.topic("fast"));
    let others: [&[u8]; 2] = [b"still here", b"stays"];
    let said = |what: &[u8]| records.iter().any(|record| record.payload() == what);
    assert!(!said(b"revoked"), "who is not believed any more has no last words");
    let records: Vec<_> =
        records.into_iter().filter(|record| !others.contains(&&*record.payload())).collect();
    assert_landed_in_order(&acknowledged, &records);
}
