//! A gateway with a parse role behind it: the fleet's parse section under names of its own, members that start,
//! fall and come back, and the proof of what they made.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use tests::exposition::Metrics;
use tests::gateway::{Gateway, GatewayConfig};
use tests::kafka::{Kafka, unique};
use tests::process::Process;
use tests::s3::S3;
use tests::tools::{Folder, program};
use tests::{http, ports, wait};

/// How long a fleet, or the role behind it, may take to be done.
pub const SETTLE: Duration = Duration::from_secs(90);
/// Whoever shows this may do everything on a member's admin pages.
pub const TOKEN: &str = "a-token-of-a-test-that-is-long-enough";
/// The variable that a member reads it from.
const TOKEN_VARIABLE: &str = "PARSE_TOKEN";
/// A group gives a member up that was silent for so long, in milliseconds; Kafka itself says so to whoever asks
/// for `group.protocol=consumer`.
const SESSION_MS: &str = "4000";
const HEARTBEAT_MS: &str = "500";

/// How a group shares partitions out, as its members ask for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// Who stays keeps what it has; the default.
    Cooperative,
    /// Everybody gives everything back, each time.
    Eager,
    /// Kafka decides (KIP-848).
    Consumer,
    /// Cooperative, and whoever comes under a name in the group takes the place of who had it (KIP-345).
    Named(&'static str),
}

impl Protocol {
    fn properties(self) -> Value {
        let classic = json!({
            "session.timeout.ms": SESSION_MS,
            "heartbeat.interval.ms": HEARTBEAT_MS,
        });
        match self {
            Protocol::Cooperative => classic,
            Protocol::Eager => {
                let mut eager = classic;
                eager["partition.assignment.strategy"] = json!("range");
                eager
            }
            Protocol::Consumer => json!({ "group.protocol": "consumer" }),
            Protocol::Named(name) => {
                let mut named = classic;
                named["group.instance.id"] = json!(name);
                named
            }
        }
    }
}

/// How the fleet's messages become events, in topics and groups whose names begin with `prefix`; the topics are
/// made.
pub fn fleet_section(kafka: &Kafka, prefix: &str) -> Value {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/device-sim/parse.yaml");
    let text = std::fs::read_to_string(file).expect("it ships with the simulator");
    let mut whole: Value = serde_saphyr::from_str(&text).expect("it is YAML");
    let mut section = whole["parse"].take();
    let own = |name: &str| format!("{prefix}.{name}");
    for rule in section["rules"].as_array_mut().expect("a list") {
        rule["topic"] = json!(own(rule["topic"].as_str().expect("a name")));
    }
    let canonical = section["canonical"].as_object().expect("a map");
    section["canonical"] =
        canonical.iter().map(|(name, topic)| (own(name), topic.clone())).collect();
    section["metadata"] = json!({ "topic": own("metadata"), "group": own("landed") });
    section["quarantine"] = json!({ "topic": own("quarantine") });
    section["pools"] = json!({
        "fast": { "lanes": ["priority", "fast"], "group": own("fast") },
        "slow": { "lanes": ["slow"], "group": own("slow") },
    });
    let canonical = section["canonical"].as_object().expect("a map").keys();
    let mut topics: Vec<&str> = canonical.map(String::as_str).collect();
    let (metadata, quarantine) = (own("metadata"), own("quarantine"));
    topics.extend([&*metadata, &*quarantine]);
    kafka.create_topics(&topics, 3, &[]);
    section
}

/// See the module.
pub struct Rig {
    pub gateway: Gateway,
    pub folder: Folder,
    section: Value,
}

impl Rig {
    pub fn new(kafka: &Kafka) -> Rig {
        Rig::with(kafka, &kafka.address(), S3::shared())
    }

    /// Beside these servers, which are Kafka's, and this store.
    pub fn with(kafka: &Kafka, servers: &str, s3: &S3) -> Rig {
        let bucket = unique("parse");
        s3.create_bucket(&bucket);
        let config = GatewayConfig::new(kafka)
            .set("kafka.bootstrap_servers", servers)
            .set("object_store", S3::section(&bucket, s3.address()));
        Rig {
            gateway: config.start_ready(),
            folder: Folder::new("parse"),
            section: fleet_section(kafka, &unique("events")),
        }
    }

    /// The raw topics of a pool's lanes.
    pub fn raw_topics(&self) -> Vec<String> {
        ["priority", "fast", "slow"].map(|lane| self.gateway.topic(lane)).into()
    }

    fn config(&self, protocol: Protocol) -> Value {
        let text = std::fs::read_to_string(self.gateway.config_file()).expect("it was written");
        let mut written: Value = serde_json::from_str(&text).expect("it is JSON");
        let mut section = self.section.clone();
        for group in ["/pools/fast", "/pools/slow", "/metadata"] {
            let group = section.pointer_mut(group).expect("it is written");
            group["properties"] = protocol.properties();
        }
        written["parse"] = section;
        written
    }

    /// A member of the role.
    pub fn member(&self, name: &str, protocol: Protocol) -> Member {
        Member::start(name, self.config(protocol), &self.folder)
    }

    /// A fleet that says this much in a second, for so long; for `0s` until it is interrupted.
    pub fn fleet(&self, devices: &str, rate: &str, time: &str) -> Process {
        let mut command = Command::new(program("device-sim"));
        command
            .args(["run", "--gateway", &self.gateway.mqtt().to_string(), "--devices", devices])
            .args(["--rate", rate, "--duration", time, "--seed", "11", "--ledger"])
            .arg(self.folder.join("ledger"));
        Process::start("device-sim", command, &self.folder)
    }

    /// The verdict on everything that was made of what the fleet said.
    pub fn verify(&self, more: &[&str]) -> (Option<i32>, String) {
        let file = write(&self.folder, "verify", &self.config(Protocol::Cooperative));
        let mut command = Command::new(program("device-sim"));
        command.arg("verify").arg("--ledger").arg(self.folder.join("ledger"));
        command.arg("--config").arg(file).args(["--canonical", "--wait", "60s"]).args(more);
        let own = Folder::new("verify");
        let mut process = Process::start("verify", command, &own);
        let code = process.wait(2 * SETTLE).code();
        (code, process.log())
    }
}

/// A process of the role.
pub struct Member {
    pub process: Process,
    admin: u16,
}

impl Member {
    /// Starts one with this configuration, but for its name and its admin pages.
    pub fn start(name: &str, mut config: Value, folder: &Path) -> Member {
        let admin = ports::free();
        config["admin"] = json!({
            "bind": ports::local(admin).to_string(),
            "authenticate": { "tokens": { "test": { "from_env": TOKEN_VARIABLE } } },
        });
        config["gateway_id"] = json!(name);
        let file = write(folder, name, &config);
        let mut command = Command::new(program("landfall"));
        command.env(TOKEN_VARIABLE, TOKEN).args(["parse", "--config"]).arg(file);
        command.current_dir(folder);
        Member { process: Process::start(name, command, folder), admin }
    }

    pub fn until_ready(&mut self) {
        let page = ports::local(self.admin);
        self.process.until("the member is ready", wait::START, || {
            http::get(page, "/readyz").is_ok_and(|answer| answer.code == 200).then_some(())
        });
    }

    pub fn ask(&self, method: &str, path: &str, token: Option<&str>) -> http::Answer {
        let token = token.map(|token| format!("Bearer {token}"));
        let headers: Vec<_> = token.iter().map(|token| ("authorization", &**token)).collect();
        let answer = http::request(method, ports::local(self.admin), path, &headers);
        answer.unwrap_or_else(|error| {
            panic!("{path} does not answer: {error}\n{}", self.process.tail())
        })
    }

    pub fn metrics(&self) -> Metrics {
        Metrics::parse(&self.ask("GET", "/metrics", Some(TOKEN)).body)
    }

    /// What it says of a pool's partitions; none while its pages do not answer yet.
    pub fn partitions(&self, pool: &str) -> Vec<Value> {
        let token = format!("Bearer {TOKEN}");
        let headers = [("authorization", token.as_str())];
        let asked = http::request("GET", ports::local(self.admin), "/api/v1/parse", &headers);
        let Ok(answer) = asked else { return Vec::new() };
        let told = answer.json();
        let pools = told.as_array().expect("a list of pools").iter();
        let mut found = pools.filter(|told| told["pool"] == pool);
        let found = found.next().unwrap_or_else(|| panic!("there is no pool {pool}: {told}"));
        found["partitions"].as_array().expect("a list").clone()
    }
}

fn write(folder: &Path, name: &str, config: &Value) -> PathBuf {
    // JSON is YAML.
    let file = folder.join(format!("{name}.yaml"));
    std::fs::write(&file, config.to_string()).expect("the test's folder can be written");
    file
}
