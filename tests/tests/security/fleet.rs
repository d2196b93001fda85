//! Simulated devices in every way in that there is, and among them some that do not belong: the fleet lands all
//! it says, and none of the others gets in.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use tests::gateway::{Gateway, GatewayConfig};
use tests::kafka::Kafka;
use tests::pki::{Authority, Leaf};
use tests::ports;
use tests::process::Process;
use tests::tools::{Folder, program};

const RUN_WAIT: Duration = Duration::from_secs(90);
const DEVICES: &str = "6";

/// A gateway with a listener of that kind, and where it is.
fn gateway(mut listener: Value, more: &[(&str, Value)]) -> (Gateway, String) {
    let config = GatewayConfig::new(Kafka::shared());
    let address = config.mqtt().to_string();
    listener["name"] = json!("fleet");
    listener["bind"] = json!(address);
    let mut config = config.set("listeners", json!([listener]));
    for (key, value) in more {
        config = config.set(key, value.clone());
    }
    (config.start_ready(), address)
}

/// The gateway's own certificate: the section of a listener, and the file with its CA.
fn server(folder: &Folder) -> (Value, String) {
    let authority = Authority::new("server-ca");
    let files = authority.issue(&Leaf::server()).write(folder, "server");
    let ca = authority.write(folder, "server-ca").display().to_string();
    let certificate = json!({ "certificate": files.certificate(), "key": files.key() });
    (json!({ "certificates": [certificate] }), ca)
}

/// Each device publishes below its own name.
fn access() -> (&'static str, Value) {
    ("access", json!([{ "allow": ["publish"], "topic": "devices/+/{identity}/#" }]))
}

fn sim(folder: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(program("device-sim"));
    command.args(arguments).current_dir(folder);
    let own = Folder::new("device-sim");
    let mut process = Process::start("device-sim", command, &own);
    let code = process.wait(RUN_WAIT).code();
    (code, process.log())
}

/// The fleet talks for a moment; its ledger is `ledger` in the folder.
fn run(folder: &Path, address: &str, more: &[&str]) -> (Option<i32>, String) {
    let common = ["run", "--gateway", address, "--devices", DEVICES, "--duration", "2s"];
    let ledger = ["--large-size", "20000", "--ledger", "ledger"];
    sim(folder, &[&common[..], &ledger, more].concat())
}

fn verify(folder: &Path, gateway: &Gateway) -> (Option<i32>, String) {
    let config = gateway.config_file().display().to_string();
    sim(folder, &["verify", "--ledger", "ledger", "--config", &config])
}

/// What the ledger has of hostile devices: for each time, what happened, the profile, and why.
fn ledger(folder: &Path) -> Vec<(String, String, String)> {
    let text = std::fs::read_to_string(folder.join("ledger")).expect("the run wrote it");
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("it is JSON"));
    let said = |line: &Value, name| line[name].as_str().unwrap_or_default().to_owned();
    lines
        .filter(|line| line.get("profile").is_some())
        .map(|line| (said(&line, "what"), said(&line, "profile"), said(&line, "why")))
        .collect()
}

/// All that the fleet said has landed, each profile was turned away, and for that reason.
#[track_caller]
fn repelled(folder: &Path, gateway: &Gateway, ran: (Option<i32>, String), why: &[(&str, &str)]) {
    assert_eq!(ran.0, Some(0), "{}", ran.1);
    assert!(ran.1.contains(", 0 got in"), "{}", ran.1);
    let (code, said) = verify(folder, gateway);
    assert_eq!(code, Some(0), "{said}");
    let seen = ledger(folder);
    for (profile, reason) in why {
        let told = |(what, who, why): &(String, String, String)| {
            what == "turned_away" && who == profile && why.contains(reason)
        };
        assert!(seen.iter().any(told), "{profile}, {reason}: {seen:?}");
    }
    assert!(seen.iter().all(|(what, ..)| what == "turned_away"), "{seen:?}");
}

#[test]
fn devices_with_certificates() {
    for websocket in [false, true] {
        let folder = Folder::new("fleet");
        let (mut tls, ca) = server(&folder);
        let prepare = ["prepare", "--devices", DEVICES, "--make-ca", "fleet"];
        let (code, said) = sim(&folder, &prepare);
        assert_eq!(code, Some(0), "{said}");
        tls["client_ca"] = json!(folder.join("fleet/ca.crt"));
        let mut listener =
            json!({ "tls": tls, "authenticate": ["certificate"], "client_id": "equals" });
        let mut way = vec!["--tls", "--ca", &ca, "--make-ca", "fleet"];
        if websocket {
            // A page that a browser's user has open would enter by the certificate of that user.
            listener["websocket"] = json!({ "origins": ["https://console.example.com"] });
            way.push("--websocket");
        }
        way.extend(["--hostile", "wrong-ca,expired,foreign-id"]);
        let certificate = ("authentication", json!({ "certificate": { "identity": ["cn"] } }));
        let (gateway, address) = gateway(listener, &[certificate, access()]);
        let ran = run(&folder, &address, &way);
        let why = [
            ("wrong-ca", "TLS alert UnknownCA"),
            ("expired", "TLS alert CertificateExpired"),
            ("foreign-id", "CONNACK"),
        ];
        repelled(&folder, &gateway, ran, &why);
    }
}

#[test]
fn devices_with_tokens_in_websockets_over_tls() {
    let folder = Folder::new("fleet");
    let (tls, ca) = server(&folder);
    let claims = ["--token-issuer", "sim", "--token-audience", "landfall"];
    let made = ["--devices", DEVICES, "--make-tokens", "fleet"];
    let (code, said) = sim(&folder, &[&["prepare"], &made[..], &claims].concat());
    assert_eq!(code, Some(0), "{said}");
    let listener = json!({
        "tls": tls,
        "websocket": {},
        "authenticate": ["token"],
        "client_id": "equals",
    });
    let token = json!({
        "jwks": folder.join("fleet/jwks.json"),
        "issuer": "sim",
        "audience": "landfall",
        "algorithms": ["ES256"],
        "identity": "sub",
    });
    let more = [("authentication", json!({ "token": token })), access()];
    let (gateway, address) = gateway(listener, &more);
    let way = ["--tls", "--ca", &ca, "--websocket", "--make-tokens", "fleet"];
    let hostile = ["--hostile", "wrong-login,expired,foreign-id"];
    let ran = run(&folder, &address, &[&way[..], &claims, &hostile].concat());
    let why = [("wrong-login", "CONNACK"), ("expired", "CONNACK"), ("foreign-id", "CONNACK")];
    repelled(&folder, &gateway, ran, &why);
}

#[test]
fn devices_with_passwords_over_tls() {
    let folder = Folder::new("fleet");
    let (tls, ca) = server(&folder);
    // Their names are those of the certificates that are made for the same seed.
    let (code, said) = sim(&folder, &["prepare", "--devices", DEVICES, "--make-ca", "names"]);
    assert_eq!(code, Some(0), "{said}");
    let names: Vec<String> = std::fs::read_dir(folder.join("names"))
        .expect("it was made")
        .filter_map(|entry| {
            Some(entry.ok()?.file_name().to_str()?.strip_suffix(".crt")?.to_owned())
        })
        .filter(|name| name != "ca")
        .collect();
    let lines = |secret: &dyn Fn(&str) -> String| {
        names.iter().map(|name| format!("{name}:{}\n", secret(name))).collect::<String>()
    };
    std::fs::write(folder.join("own"), lines(&|name| format!("of {name}")))
        .expect("it is writable");
    let file = folder.join("passwords");
    std::fs::write(&file, lines(&|name| format!("of {name}"))).expect("it is writable");
    // mosquitto's own tool makes hashes of the lines in place.
    let hashed = Command::new("mosquitto_passwd").arg("-U").arg(&file).status();
    assert!(hashed.is_ok_and(|status| status.success()), "mosquitto_passwd failed");
    let listener = json!({ "tls": tls, "authenticate": ["password"], "client_id": "equals" });
    let more = [("authentication", json!({ "password": { "file": file } })), access()];
    let (gateway, address) = gateway(listener, &more);
    let way = ["--tls", "--ca", &ca, "--password-file", "own"];
    let hostile = ["--hostile", "wrong-login,foreign-id"];
    let ran = run(&folder, &address, &[&way[..], &hostile].concat());
    repelled(&folder, &gateway, ran, &[("wrong-login", "CONNACK"), ("foreign-id", "CONNACK")]);
}

#[test]
fn a_gateway_that_lets_in_who_does_not_belong_is_found_out() {
    let folder = Folder::new("fleet");
    let (tls, ca) = server(&folder);
    let (gateway, address) = gateway(json!({ "tls": tls, "anonymous": true }), &[]);
    let way = ["--tls", "--ca", &ca, "--make-ca", "fleet", "--hostile", "wrong-ca"];
    let (code, said) = run(&folder, &address, &way);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("1 got in: THE GATEWAY LETS IN WHO DOES NOT BELONG"), "{said}");
    assert!(ledger(&folder).iter().any(|(what, ..)| what == "got_in"));
    let (code, said) = verify(&folder, &gateway);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("1 wrongly let in"), "{said}");

    // Nobody there is no refusal.
    let nobody = ports::local(ports::free()).to_string();
    let (code, said) = run(&folder, &nobody, &[&way[..], &["--settle", "1s"]].concat());
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("1 hostile devices were never answered"), "{said}");
}
