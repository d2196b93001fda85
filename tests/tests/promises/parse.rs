//! The parse role: every event of every message that landed is in its canonical topic, in order, whatever
//! becomes of the role's members; and the metadata stream says what became of each message.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tests::gateway::{Gateway, GatewayConfig};
use tests::kafka::{Kafka, unique};
use tests::process::{Process, Signal};
use tests::s3::S3;
use tests::tools::{Folder, program};
use tests::{http, ports, wait};

/// How long a fleet, or the role behind it, may take to be done.
const SETTLE: Duration = Duration::from_secs(90);
const TOKEN: &str = "a-token-of-a-test-that-is-long-enough";
const TYPES: [&str; 6] = ["meter", "tracker", "pump", "camera", "alarm", "other"];

/// A gateway with the fleet's parse section beside it, under names of its own.
struct Rig {
    gateway: Gateway,
    folder: Folder,
    prefix: String,
}

impl Rig {
    fn new(kafka: &Kafka) -> Rig {
        let (s3, bucket) = (S3::shared(), unique("parse"));
        s3.create_bucket(&bucket);
        let config =
            GatewayConfig::new(kafka).set("object_store", S3::section(&bucket, s3.address()));
        let rig = Rig {
            gateway: config.start_ready(),
            folder: Folder::new("parse"),
            prefix: unique("events"),
        };
        let topics = [rig.canonical(), vec![rig.own("metadata"), rig.own("quarantine")]].concat();
        let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
        kafka.create_topics(&topics, 3, &[]);
        rig
    }

    fn own(&self, name: &str) -> String {
        format!("{}.{name}", self.prefix)
    }

    fn canonical(&self) -> Vec<String> {
        TYPES.iter().map(|kind| self.own(&format!("canonical.{kind}"))).collect()
    }

    /// The configuration of one member.
    fn config(&self, member: &str) -> (PathBuf, u16) {
        let text = std::fs::read_to_string(self.gateway.config_file()).expect("it was written");
        let mut written: Value = serde_json::from_str(&text).expect("it is JSON");
        let port = ports::free();
        written["admin"] = json!({
            "bind": ports::local(port).to_string(),
            "authenticate": { "tokens": { "test": { "from_env": "PARSE_TOKEN" } } },
        });
        written["gateway_id"] = json!(member);
        written["kafka"]["properties"]["session.timeout.ms"] = json!("6000");
        written["kafka"]["properties"]["heartbeat.interval.ms"] = json!("1000");
        let sections = written.as_object().expect("an object").iter();
        let mut text: String = sections.map(|(name, value)| format!("{name}: {value}\n")).collect();
        let fleet = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/device-sim/parse.yaml");
        let fleet = std::fs::read_to_string(fleet).expect("it ships");
        let fleet = fleet
            .replace("canonical.", &self.own("canonical."))
            .replace("topic: landfall.", &format!("topic: {}.", self.prefix))
            .replace("  metadata: {", &format!("  metadata: {{ group: {},", self.own("landed")));
        text.push_str(&fleet);
        text.push_str(&format!(
            "  pools:\n    fast: {{ lanes: [priority, fast], group: {} }}\n    slow: {{ lanes: [slow], group: {} }}\n",
            self.own("fast"),
            self.own("slow"),
        ));
        let file = self.folder.join(format!("{member}.yaml"));
        std::fs::write(&file, text).expect("the test's folder can be written");
        (file, port)
    }

    /// A member of the role.
    fn member(&self, name: &str) -> Member {
        let (config, admin) = self.config(name);
        let mut command = Command::new(program("landfall"));
        command
            .env("PARSE_TOKEN", TOKEN)
            .args(["parse", "--config"])
            .arg(&config)
            .current_dir(&*self.folder);
        Member { process: Process::start(name, command, &self.folder), admin }
    }

    /// A fleet that says this much in a second.
    fn fleet(&self, devices: &str, rate: &str, time: &str) -> Process {
        let mut command = Command::new(program("device-sim"));
        command
            .args(["run", "--gateway", &self.gateway.mqtt().to_string(), "--devices", devices])
            .args(["--rate", rate, "--duration", time, "--seed", "11", "--ledger"])
            .arg(self.folder.join("ledger"));
        Process::start("device-sim", command, &self.folder)
    }

    fn verify(&self, more: &[&str]) -> (Option<i32>, String) {
        let (config, _) = self.config("verify");
        let mut command = Command::new(program("device-sim"));
        command.arg("verify").arg("--ledger").arg(self.folder.join("ledger"));
        command.env("PARSE_TOKEN", TOKEN);
        command.arg("--config").arg(config).args(["--canonical", "--wait", "60s"]).args(more);
        command.args(["--canonical-topics", &self.canonical().join(",")]);
        command.args(["--metadata-topic", &self.own("metadata")]);
        command.args(["--quarantine-topic", &self.own("quarantine")]);
        let own = Folder::new("verify");
        let mut process = Process::start("verify", command, &own);
        let code = process.wait(SETTLE).code();
        (code, process.log())
    }
}

struct Member {
    process: Process,
    admin: u16,
}

impl Member {
    fn until_ready(&mut self) {
        let begun = Instant::now();
        loop {
            let answer = http::get(ports::local(self.admin), "/readyz");
            if answer.is_ok_and(|answer| answer.code == 200) {
                return;
            }
            assert!(begun.elapsed() < wait::SOON, "not ready: {}", self.process.log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn ask(&self, method: &str, path: &str, token: Option<&str>) -> http::Answer {
        let token = token.map(|token| format!("Bearer {token}"));
        let headers: Vec<_> = token.iter().map(|token| ("authorization", &**token)).collect();
        let answer = http::request(method, ports::local(self.admin), path, &headers);
        answer.expect("its pages answer")
    }

    fn pages_show_pools_to_operators(&self) {
        assert_eq!(self.ask("GET", "/api/v1/parse", None).code, 401);
        let told = self.ask("GET", "/api/v1/parse", Some(TOKEN)).json();
        let pools = told.as_array().expect("a list").iter();
        let pools: Vec<_> = pools
            .map(|pool| {
                let partitions = pool["partitions"].as_array().expect("a list");
                assert!(partitions.iter().all(|one| one["state"] == "running"), "{told}");
                (pool["pool"].as_str().expect("a name"), partitions.len())
            })
            .collect();
        assert_eq!(pools, [("fast", 6), ("slow", 3), ("metadata", 12)], "{told}");
        let at = "/api/v1/parse/skip?at=landfall.fast/0/1";
        assert_eq!(self.ask("POST", at, Some(TOKEN)).code, 404, "nothing stands there");
        assert_eq!(self.ask("POST", "/api/v1/parse/skip?at=x", Some(TOKEN)).code, 400);
        assert_eq!(self.ask("GET", "/api/v1/clients", Some(TOKEN)).code, 404);
        let metrics = self.ask("GET", "/metrics", Some(TOKEN)).body;
        for name in ["messages_total", "events_total", "freshness_seconds", "lag_messages"] {
            assert!(metrics.contains(&format!("landfall_parse_{name}")), "no {name}: {metrics}");
        }
    }
}

#[test]
fn every_event_of_what_landed_is_there_once_and_in_order() {
    let kafka = Kafka::shared();
    let rig = Rig::new(kafka);
    let mut member = rig.member("parse-1");
    member.until_ready();
    let mut fleet = rig.fleet("30", "200", "6s");
    assert_eq!(fleet.wait(SETTLE).code(), Some(0), "{}", fleet.log());
    let (code, said) = rig.verify(&["--no-doubles"]);
    assert_eq!(code, Some(0), "{said}\n{}", member.process.log());
    member.pages_show_pools_to_operators();
    assert_eq!(member.process.terminate(SETTLE), Some(0), "{}", member.process.log());
    // What was committed is not read again.
    let mut again = rig.member("parse-2");
    again.until_ready();
    let (code, said) = rig.verify(&["--no-doubles"]);
    assert_eq!(code, Some(0), "{said}\n{}", again.process.log());
    eprintln!("{said}");
}

/// Members are killed, stand still until their group has given them up, come and go.
#[test]
fn members_that_die_stand_still_and_come_lose_nothing() {
    let kafka = Kafka::shared();
    let rig = Rig::new(kafka);
    let mut members = vec![rig.member("parse-1")];
    members[0].until_ready();
    let mut fleet = rig.fleet("30", "200", "24s");
    for round in 0..3 {
        members.push(rig.member(&format!("parse-{}", 2 + round)));
        std::thread::sleep(Duration::from_secs(3));
        match round {
            0 => members[0].process.kill(),
            1 => members[0].process.signal(Signal::STOP),
            _ => drop(members[0].process.terminate(SETTLE)),
        }
        std::thread::sleep(Duration::from_secs(4));
        if round == 1 {
            // Its session is over, and somebody else has its partitions.
            std::thread::sleep(Duration::from_secs(4));
            members[0].process.signal(Signal::CONT);
            std::thread::sleep(Duration::from_secs(1));
        }
        members.remove(0);
    }
    assert_eq!(fleet.wait(SETTLE).code(), Some(0), "{}", fleet.log());
    let (code, said) = rig.verify(&[]);
    assert_eq!(code, Some(0), "{said}\n{}", members[0].process.log());
    eprintln!("{said}");
}
