//! A simulated fleet through a gateway that is killed again and again: everything acknowledged is
//! there, and so is every event of it. And the proof itself is put to the proof: what is wrong in Kafka or the
//! store is found.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use tests::gateway::{Gateway, GatewayConfig};
use tests::kafka::{Kafka, Record, unique};
use tests::process::Process;
use tests::proxy::Proxy;
use tests::s3::S3;
use tests::terminal::Terminal;
use tests::tools::{Folder, program, without_faults};
use tests::wait::until;
use tests::{ports, wait};

use crate::parse::rig::fleet_section;

/// How long a fleet may take to get everything acknowledged after it fell silent.
const SETTLE: Duration = Duration::from_secs(60);
/// Large enough to travel by reference, and in two parts.
const LARGE: &str = "6000000";

fn gateway(kafka: &Kafka) -> (Gateway, String) {
    let (s3, bucket) = (S3::shared(), unique("fleet"));
    s3.create_bucket(&bucket);
    let config = GatewayConfig::new(kafka)
        .set("object_store", S3::section(&bucket, s3.address()))
        .set("parse", fleet_section(kafka, &unique("events")));
    (config.program(&without_faults()).start_ready(), bucket)
}

/// Makes events of what the gateway lands.
fn parse_role(gateway: &Gateway, folder: &Path) -> Process {
    let mut command = Command::new(without_faults());
    command.args(["parse", "--config"]).arg(gateway.config_file());
    command.env("LANDFALL__ADMIN__BIND", ports::local(ports::free()).to_string());
    Process::start("landfall-parse", command, folder)
}

/// Starts `device-sim run`, a fleet that says this much in a second; its ledger is `ledger` in `folder`.
fn run(folder: &Path, gateway: &Gateway, devices: &str, rate: &str, time: &str) -> Process {
    let mut command = Command::new(program("device-sim"));
    command
        .args(["run", "--gateway", &gateway.mqtt().to_string(), "--devices", devices])
        .args(["--rate", rate, "--duration", time, "--seed", "7"])
        .args(["--large-size", LARGE, "--ledger"])
        .arg(ledger(folder));
    Process::start("device-sim", command, folder)
}

fn ledger(folder: &Path) -> PathBuf {
    folder.join("ledger")
}

/// Runs `device-sim verify` against the gateway's configuration: its exit code and what it says.
fn verify(folder: &Path, gateway: &Gateway, more: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(program("device-sim"));
    command.arg("verify").arg("--ledger").arg(ledger(folder));
    command.arg("--config").arg(gateway.config_file()).args(more);
    let own = Folder::new("verify");
    let mut process = Process::start("verify", command, &own);
    let code = process.wait(2 * SETTLE).code();
    (code, process.log())
}

#[test]
fn a_gateway_killed_again_and_again_loses_nothing() {
    const KILLS: u32 = 5;
    const DEVICES: u64 = 60;
    const SECONDS: u64 = 15;
    let kafka = Kafka::shared();
    let (mut gateway, _) = gateway(kafka);
    let folder = Folder::new("fleet");
    let rate = (2 * DEVICES).to_string();
    let parsing = parse_role(&gateway, &folder);
    let mut fleet = run(&folder, &gateway, &DEVICES.to_string(), &rate, &format!("{SECONDS}s"));
    for kill in 0..KILLS {
        // All of them while the fleet talks, each at another moment of its rhythm.
        let pause = Duration::from_secs(SECONDS) / (KILLS + 2);
        thread::sleep(pause + Duration::from_millis(37) * kill);
        gateway.kill();
        gateway.start_again();
    }
    let ended = fleet.wait(SETTLE + Duration::from_secs(SECONDS)).code();
    assert_eq!(ended, Some(0), "{}", fleet.log());
    let canonical = ["--canonical", "--wait", "60s"];
    let (code, said) = verify(&folder, &gateway, &canonical);
    assert_eq!(code, Some(0), "{said}\n{}", parsing.tail());
    assert!(said.contains("all is there") && said.contains("all events are there"), "{said}");
    let (code, since_start) =
        verify(&folder, &gateway, &[&canonical[..], &["--since-start"]].concat());
    // Without what it says of how far it is.
    let verdict =
        |said: &str| said.lines().filter(|line| !line.contains("/s, ")).collect::<String>();
    assert_eq!((code, verdict(&since_start)), (Some(0), verdict(&said)));
    let told = fleet.log();
    let summary = told.lines().last().expect("the simulator sums up");
    let resent = summary.contains(" again)") && !summary.contains("(0 again)");
    assert!(resent, "five kills made no device send anything again: {told}");
    eprintln!("{summary}\n{said}");
}

#[test]
fn verify_finds_what_is_wrong() {
    let kafka = Kafka::shared();
    let (gateway, bucket) = gateway(kafka);
    let folder = Folder::new("fleet");
    let mut fleet = run(&folder, &gateway, "40", "300", "4s");
    assert_eq!(fleet.wait(SETTLE).code(), Some(0), "{}", fleet.log());
    let (code, said) = verify(&folder, &gateway, &[]);
    assert_eq!(code, Some(0), "{said}");

    says_how_far_it_is(&folder, &gateway);

    let records = kafka.read_all(&gateway.topic("fast"));
    let acknowledged = |record: &&Record| record.envelope().qos > 0;
    let others: Vec<String> =
        ["priority", "slow", "dead-letter"].map(|lane| gateway.topic(lane)).into();
    // The fast lane with something done to it, beside the other lanes as they are.
    let verify_changed = |what: &str, records: &[Record], more: &[&str]| {
        let copy = unique("copy");
        kafka.create_topics(&[&copy], 1, &[]);
        kafka.produce_all(&copy, records);
        let topics = [others.clone(), vec![copy]].concat().join(",");
        let (code, said) = verify(&folder, &gateway, &[&["--topics", &topics], more].concat());
        (code, format!("{what}: {said}"))
    };

    let (code, said) = verify_changed("a copy", &records, &[]);
    assert_eq!(code, Some(0), "{said}");

    let mut removed = records.clone();
    removed.remove(records.iter().position(|record| acknowledged(&record)).expect("there is one"));
    let (code, said) = verify_changed("a removed record", &removed, &[]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("1 missing, 0 changed, 0 out of order, 0 double"), "{said}");

    let mut early = records.clone();
    let first = records.iter().position(|record| acknowledged(&record)).expect("there is one");
    early[..=first].iter_mut().for_each(|record| record.timestamp_ms = Some(1));
    let (code, said) = verify_changed("records of another time", &early, &[]);
    assert_eq!(code, Some(0), "{said}");
    let (code, said) = verify_changed("records of another time", &early, &["--since-start"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("1 missing, 0 changed, 0 out of order, 0 double"), "{said}");

    let mut swapped = records.clone();
    let (one, other) = neighbours(&records);
    swapped.swap(one, other);
    let (code, said) = verify_changed("a swapped order", &swapped, &[]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("0 missing, 0 changed, 1 out of order, 0 double"), "{said}");

    let mut doubled = records.clone();
    doubled.push(records[0].clone());
    let (code, said) = verify_changed("a double", &doubled, &[]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("0 missing, 0 changed, 0 out of order, 1 double"), "{said}");

    let s3 = S3::shared();
    let keys = s3.keys(&bucket);
    let object = s3.file(&bucket, keys.first().expect("some messages were large"));
    let whole = std::fs::read(&object).expect("the object is there");
    let mut changed = whole.clone();
    *changed.last_mut().expect("it is not empty") ^= 1;
    std::fs::write(&object, &changed).expect("the object can be changed");
    let (code, said) = verify(&folder, &gateway, &[]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("0 missing, 1 changed, 0 out of order"), "{said}");

    std::fs::remove_file(&object).expect("the object can be removed");
    let (code, said) = verify(&folder, &gateway, &[]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("cannot be read"), "{said}");
    std::fs::write(&object, &whole).expect("the object can be put back");
    let (code, said) = verify(&folder, &gateway, &[]);
    assert_eq!(code, Some(0), "{said}");
}

/// Large payloads come slowly, so that there is time to say something.
fn says_how_far_it_is(folder: &Path, gateway: &Gateway) {
    let direct = S3::shared().address();
    let slow = Proxy::start(direct.port());
    slow.throttle(4_000_000);
    let config = std::fs::read_to_string(gateway.config_file()).expect("it is there");
    let config = config.replace(&direct.to_string(), &slow.address().to_string());
    let file = folder.join("slow.yaml");
    std::fs::write(&file, config).expect("the test's folder can be written");
    let mut command = Command::new(program("device-sim"));
    command.arg("verify").arg("--ledger").arg(ledger(folder)).arg("--config").arg(&file);
    let terminal = Terminal::new(100, 24);
    let mut process = terminal.run("verify", &command, folder);
    let [done, all] = terminal.until("how far it is", SETTLE, |screen| {
        let line =
            screen.lines().find(|line| line.starts_with("reads ") && line.ends_with(" left"))?;
        let (_, amount) = line.split_once(": ")?;
        let (amount, _) = amount.split_once(" records, ")?;
        let (done, all) = amount.split_once(" of ")?;
        let count = |text: &str| text.replace(',', "").parse::<u64>().expect("it is a number");
        (count(done) > 10).then_some([done, all].map(count))
    });
    slow.release();
    let lanes = ["priority", "fast", "slow", "dead-letter"];
    let there: u64 = lanes.iter().map(|lane| Kafka::shared().count(&gateway.topic(lane))).sum();
    assert!(done <= all && all == there, "{done} of {all}, and there are {there}");
    assert_eq!(until("it has ended", SETTLE, || process.ended()).code(), Some(0));
    terminal.until("the line is gone", wait::SOON, |screen| {
        (screen.contains("all is there") && !screen.contains(" left")).then_some(())
    });
}

/// Two records of one device and partition, the nearest that follow one another, both of which take
/// part in the order.
fn neighbours(records: &[Record]) -> (usize, usize) {
    let takes_part = |record: &Record| record.envelope().qos > 0;
    (0..records.len())
        .filter(|one| takes_part(&records[*one]))
        .find_map(|one| {
            let same = |other: &usize| records[*other].key == records[one].key;
            let other = (one + 1..records.len()).find(same)?;
            takes_part(&records[other]).then_some((one, other))
        })
        .expect("some device had two messages in the fast lane")
}

#[test]
fn verify_says_what_it_cannot_read() {
    let kafka = Kafka::shared();
    let (gateway, _) = gateway(kafka);
    let folder = Folder::new("fleet");
    let mut fleet = run(&folder, &gateway, "3", "6", "1s");
    assert_eq!(fleet.wait(SETTLE).code(), Some(0), "{}", fleet.log());

    let (code, said) = verify(&folder, &gateway, &["--topics", "no.such.topic"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("no.such.topic does not exist"), "{said}");

    let nobody = ports::local(ports::free()).to_string();
    let mut command = Command::new(program("device-sim"));
    command.arg("verify").arg("--ledger").arg(ledger(&folder));
    command.args(["--bootstrap-servers", &nobody]);
    let mut process = Process::start("verify", command, &folder);
    assert_eq!(process.wait(wait::START).code(), Some(1));
    assert!(process.log().contains(&format!("Kafka at {nobody} does not answer")));

    let mut command = Command::new(program("device-sim"));
    command.args(["verify", "--ledger", "no-such-file", "--bootstrap-servers", &nobody]);
    let mut process = Process::start("verify", command, &folder);
    assert_eq!(process.wait(wait::START).code(), Some(1));
    assert!(process.log().contains("no-such-file cannot be read"), "{}", process.log());

    let mut command = Command::new(program("device-sim"));
    command.args(["verify", "--ledger", "x"]);
    let mut process = Process::start("verify", command, &folder);
    assert_eq!(process.wait(wait::START).code(), Some(64), "neither --config nor a server");
}
