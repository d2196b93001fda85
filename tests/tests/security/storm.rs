//! A herd falls away all at once and comes back: all of it is served, and those that stayed go on. How long it
//! takes, and what the others notice, `make storm` measures; here it is small, and has to come true.

use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use tests::gateway::{Gateway, GatewayConfig};
use tests::kafka::Kafka;
use tests::pki::{Authority, Leaf};
use tests::process::Process;
use tests::tools::Folder;
use tests::wait::until;

/// How long a herd may take on a machine that does other things.
const HERD_WAIT: Duration = Duration::from_secs(120);
const PASSWORD: &str = "of the storm";

/// A gateway with a listener that speaks TLS, and where it is.
fn gateway(folder: &Folder, mut listener: Value, more: &[(&str, Value)]) -> (Gateway, String) {
    let files = Authority::new("storm").issue(&Leaf::server()).write(folder, "server");
    let certificate = json!({ "certificate": files.certificate(), "key": files.key() });
    let config = GatewayConfig::new(Kafka::shared());
    let address = config.mqtt().to_string();
    listener["name"] = json!("tls");
    listener["bind"] = json!(address);
    listener["tls"] = json!({ "certificates": [certificate] });
    let mut config = config.set("listeners", json!([listener]));
    for (key, value) in more {
        config = config.set(key, value.clone());
    }
    (config.start_ready(), address)
}

/// Starts this program of the bench.
fn bench(folder: &Folder, name: &str, address: &str, more: &[&str]) -> Process {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bench"));
    command.args([name, "--address", address, "--tls=1.3"]).args(more);
    Process::start(name, command, folder)
}

/// What the herd says of each time that it came.
#[track_caller]
fn reported(herd: &mut Process, number: usize) -> Value {
    until("all devices are in", HERD_WAIT, || {
        assert!(herd.ended().is_none(), "the herd failed\n{}", herd.tail());
        serde_json::from_str(herd.output().lines().nth(number)?).ok()
    })
}

#[test]
fn all_come_back_and_those_that_stayed_go_on() {
    const DEVICES: u64 = 300;
    let folder = Folder::new("storm");
    let limits = [("limits.connections", json!(2 * DEVICES))];
    let (gateway, address) = gateway(&folder, json!({ "anonymous": true }), &limits);
    // Nobody waits for the kernel to make room for descriptors when the herd is there.
    let status =
        std::fs::read_to_string(format!("/proc/{}/status", gateway.id())).expect("it runs");
    let table = status.lines().find_map(|line| line.strip_prefix("FDSize:")).expect("it is told");
    let table: u64 = table.trim().parse().expect("a number");
    assert!(table > 2 * DEVICES, "{table}");
    let others = ["--connections=50", "--rate=200", "--warm-up-ms=100", "--duration-ms=8000"];
    let mut others = bench(&folder, "load", &address, &others);
    until("the others are connected", HERD_WAIT, || {
        (gateway.status()["connections"].as_u64() >= Some(50)).then_some(())
    });
    let again = folder.join("again");
    let when = format!("--when={}", again.display());
    let herd = [&format!("--connections={DEVICES}"), "--addresses=20", "--resume", &when];
    let mut herd = bench(&folder, "herd", &address, &herd);
    let came = reported(&mut herd, 0);
    std::fs::write(&again, "").expect("the test's folder can be written");
    let came_back = reported(&mut herd, 1);
    assert_eq!((&came["served"], &came_back["served"]), (&json!(DEVICES), &json!(DEVICES)));
    assert_eq!(came["resumed"], 0, "nobody had a ticket");
    // An attempt that came too late on a busy machine has used its ticket up.
    assert!(came_back["resumed"].as_u64() > Some(DEVICES / 2), "{came_back}");

    let status = others.wait(HERD_WAIT);
    assert!(status.success(), "one of the others noticed\n{}", others.tail());
    let report: Value = serde_json::from_str(others.output().lines().last().expect("a report"))
        .expect("it is JSON");
    let landed = Kafka::shared().read_all(&gateway.topic("fast")).len() as u64;
    assert_eq!(report["acknowledged"], landed);
    until("only the herd is there", HERD_WAIT, || {
        (gateway.status()["connections"] == DEVICES).then_some(())
    });
}

#[test]
fn a_herd_with_passwords_is_served_cold_and_warm() {
    const DEVICES: u64 = 12;
    let folder = Folder::new("storm");
    let file = folder.join("passwords");
    // The hash of one is the hash of all: it costs as much to check.
    let hash = hashed();
    let lines = (0..DEVICES).map(|number| format!("herd-{number}:{hash}\n")).collect::<String>();
    std::fs::write(&file, lines).expect("the test's folder can be written");
    let listener = json!({ "authenticate": ["password"], "client_id": "equals" });
    let access = json!([{ "allow": ["publish"], "topic": "devices/+/{identity}/#" }]);
    let more = [("authentication", json!({ "password": { "file": file } })), ("access", access)];
    let (_gateway, address) = gateway(&folder, listener, &more);
    let again = folder.join("again");
    let when = format!("--when={}", again.display());
    let password = format!("--password={PASSWORD}");
    let herd = [&format!("--connections={DEVICES}"), "--addresses=12", &password, &when];
    let mut herd = bench(&folder, "herd", &address, &herd);
    let cold = reported(&mut herd, 0);
    std::fs::write(&again, "").expect("the test's folder can be written");
    let warm = reported(&mut herd, 1);
    assert_eq!((&cold["served"], &warm["served"]), (&json!(DEVICES), &json!(DEVICES)));
    assert!(warm["failed"].get("refused").is_none(), "{warm}");
}

/// What `landfall password` makes of the password of all.
fn hashed() -> String {
    use std::io::Write as _;
    use std::process::Stdio;
    let mut command = Command::new(tests::tools::program("landfall"));
    command.args(["password", "herd"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().expect("landfall can be started");
    let mut stdin = child.stdin.take().expect("it was asked for");
    writeln!(stdin, "{PASSWORD}").expect("landfall reads its standard input");
    drop(stdin);
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{output:?}");
    let line = String::from_utf8(output.stdout).expect("it is text");
    line.trim().split_once(':').expect("a line is NAME:HASH").1.to_owned()
}
