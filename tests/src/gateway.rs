//! The built `landfall` as a process: its configuration, its pages, its deaths and restarts.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::clock::Clock;
use crate::exposition::Metrics;
use crate::fail_points::FailPoints;
use crate::http::{self, Answer};
use crate::kafka::{Kafka, unique};
use crate::limits::Limits;
use crate::process::{Process, Signal};
use crate::tools::{Folder, program};
use crate::{ports, wait};

const LANES: [&str; 4] = ["priority", "fast", "slow", "dead-letter"];
/// A gateway that was told to end drains for less than this, as [`GatewayConfig`] has it.
const DRAIN: Duration = Duration::from_secs(30);

/// Properties of librdkafka for all gateways, in JSON, so that the tests can be run under other timings than
/// this machine's.
pub const PROPERTIES_VARIABLE: &str = "LANDFALL_TEST_PROPERTIES";

/// What [`PROPERTIES_VARIABLE`] says.
pub fn other_timings() -> serde_json::Map<String, Value> {
    let Ok(text) = std::env::var(PROPERTIES_VARIABLE) else { return serde_json::Map::new() };
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{PROPERTIES_VARIABLE}: {error}"))
}

/// What a gateway is started with.
#[derive(Clone)]
pub struct GatewayConfig {
    value: Value,
    environment: Vec<(String, String)>,
    mqtt: SocketAddr,
    admin: SocketAddr,
    /// Every Kafka topic's name begins with it.
    prefix: String,
    /// The built program, unless it is the tree's as it is now.
    program: Option<PathBuf>,
    limits: Option<Limits>,
}

impl GatewayConfig {
    /// Free ports, a short drain, and topics of its own, which are created in that Kafka.
    pub fn new(kafka: &Kafka) -> GatewayConfig {
        GatewayConfig::with_partitions(kafka, 3)
    }

    pub fn with_partitions(kafka: &Kafka, partitions: i32) -> GatewayConfig {
        let config = GatewayConfig::without_topics(&kafka.address());
        let topics: Vec<String> = LANES.iter().map(|lane| config.topic(lane)).collect();
        let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
        kafka.create_topics(&topics, partitions, &[]);
        config
    }

    /// The same, with nothing created.
    pub fn without_topics(bootstrap_servers: &str) -> GatewayConfig {
        let (mqtt, admin) = (ports::local(ports::free()), ports::local(ports::free()));
        let prefix = unique("landfall");
        let lane =
            |lane: &&str| ((*lane).to_owned(), json!({ "topic": format!("{prefix}.{lane}") }));
        let lanes: serde_json::Map<String, Value> = LANES.iter().map(lane).collect();
        let value = json!({
            "gateway_id": "gw-test",
            "listeners": [{ "name": "plain", "bind": mqtt.to_string() }],
            "admin": { "bind": admin.to_string() },
            "drain": { "pause": "0s", "deadline": "10s" },
            "kafka": { "bootstrap_servers": bootstrap_servers, "properties": other_timings() },
            "lanes": lanes,
        });
        GatewayConfig {
            value,
            environment: Vec::new(),
            mqtt,
            admin,
            prefix,
            program: None,
            limits: None,
        }
    }

    /// Writes a key, such as `limits.window_messages`, `lanes.fast.inline_size` or `listeners.1.bind`; the
    /// element behind a list's last is a new one.
    pub fn set(mut self, key: &str, value: impl Into<Value>) -> GatewayConfig {
        let place = key.split('.').fold(&mut self.value, |at, name| match at {
            Value::Array(list) => {
                let index: usize = name.parse().expect("a list has numbers");
                if index == list.len() {
                    list.push(Value::Null);
                }
                &mut list[index]
            }
            other => &mut other[name],
        });
        *place = value.into();
        self
    }

    /// Adds a listener beside the plain one.
    pub fn listener(mut self, listener: Value) -> GatewayConfig {
        self.value["listeners"].as_array_mut().expect("it is a list").push(listener);
        self
    }

    /// Sets an environment variable of the process.
    pub fn environment(mut self, name: &str, value: &str) -> GatewayConfig {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Runs another build of the program.
    pub fn program(mut self, path: &Path) -> GatewayConfig {
        self.program = Some(path.to_owned());
        self
    }

    /// Runs it under limits of the system.
    pub fn limits(mut self, limits: Limits) -> GatewayConfig {
        self.limits = Some(limits);
        self
    }

    /// Runs it by another clock than the machine's.
    pub fn clock(mut self, clock: &Clock) -> GatewayConfig {
        let variables = clock.environment();
        self.environment.extend(variables.map(|(name, value)| (name.to_owned(), value)));
        self
    }

    /// Has it fail where a test wants it to.
    pub fn fail_points(self, points: &FailPoints) -> GatewayConfig {
        let (name, folder) = points.environment();
        self.environment(name, &folder)
    }

    /// Where its devices are going to connect.
    pub fn mqtt(&self) -> SocketAddr {
        self.mqtt
    }

    /// The Kafka topic of a lane.
    pub fn topic(&self, lane: &str) -> String {
        format!("{}.{lane}", self.prefix)
    }

    /// Starts it, and waits for nothing.
    #[track_caller]
    pub fn launch(self) -> Gateway {
        let (folder, file) = self.write();
        let process = launch(&self, &folder, &file);
        Gateway { config: self, folder, file, process }
    }

    /// Starts it, and waits until its admin pages answer; it need not be ready.
    #[track_caller]
    pub fn start(self) -> Gateway {
        let mut gateway = self.launch();
        gateway.until_alive();
        gateway
    }

    /// Starts it, and waits until it is ready.
    #[track_caller]
    pub fn start_ready(self) -> Gateway {
        let mut gateway = self.start();
        gateway.until_ready();
        gateway
    }

    /// Starts what is expected to end by itself: its exit code and what it said.
    #[track_caller]
    pub fn start_and_end(self) -> (Option<i32>, String) {
        let (folder, file) = self.write();
        let mut process = launch(&self, &folder, &file);
        let status = process.wait(wait::SOON);
        (status.code(), process.log())
    }

    fn write(&self) -> (Folder, PathBuf) {
        let folder = Folder::new("gateway");
        let file = folder.join("landfall.yaml");
        // JSON is YAML.
        let text = serde_json::to_string_pretty(&self.value).expect("JSON values can be written");
        std::fs::write(&file, text).expect("the test's folder can be written");
        (folder, file)
    }
}

fn launch(config: &GatewayConfig, folder: &Path, file: &Path) -> Process {
    let path = config.program.clone().unwrap_or_else(|| program("landfall"));
    let mut command = match &config.limits {
        Some(limits) => limits.command(&path),
        None => Command::new(path),
    };
    command.arg("run").arg("--config").arg(file).current_dir(folder);
    for (name, _) in std::env::vars_os() {
        // The configuration of whoever runs the tests is not the tests' own.
        let text = name.to_string_lossy();
        if text.starts_with("LANDFALL__") || text.starts_with("AWS_") {
            command.env_remove(&name);
        }
    }
    command.envs(config.environment.iter().map(|(name, value)| (name, value)));
    Process::start("landfall", command, folder)
}

/// A running gateway; it ends with this.
pub struct Gateway {
    config: GatewayConfig,
    folder: Folder,
    file: PathBuf,
    process: Process,
}

impl Gateway {
    /// Where devices connect.
    pub fn mqtt(&self) -> SocketAddr {
        self.config.mqtt
    }

    pub fn admin(&self) -> SocketAddr {
        self.config.admin
    }

    /// The Kafka topic of a lane.
    pub fn topic(&self, lane: &str) -> String {
        self.config.topic(lane)
    }

    /// Its configuration file, for `check`, `tail` and `verify`.
    pub fn config_file(&self) -> &Path {
        &self.file
    }

    /// Its folder, for files of the test.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What it wrote to its standard output.
    pub fn output(&self) -> String {
        self.process.output()
    }

    /// What it logged.
    pub fn log(&self) -> String {
        self.process.log()
    }

    pub fn id(&self) -> u32 {
        self.process.id()
    }

    #[track_caller]
    fn until_alive(&mut self) {
        let admin = self.config.admin;
        self.process
            .until("the gateway's admin pages", wait::SOON, || http::get(admin, "/livez").ok());
    }

    #[track_caller]
    pub fn until_ready(&mut self) {
        let admin = self.config.admin;
        self.process.until("the gateway is ready", wait::START, || {
            http::get(admin, "/readyz").is_ok_and(|answer| answer.code == 200).then_some(())
        });
    }

    /// An admin page.
    #[track_caller]
    pub fn page(&self, path: &str) -> Answer {
        http::get(self.config.admin, path).unwrap_or_else(|error| {
            panic!("{path} does not answer: {error}\n{}", self.process.tail())
        })
    }

    /// An answer of the admin port to a request that shows a token.
    #[track_caller]
    pub fn ask(&self, method: &str, path: &str, token: &str) -> Answer {
        let token = format!("Bearer {token}");
        let headers = [("authorization", token.as_str())];
        http::request(method, self.config.admin, path, &headers).unwrap_or_else(|error| {
            panic!("{method} {path} does not answer: {error}\n{}", self.process.tail())
        })
    }

    /// Everything on `/metrics`.
    #[track_caller]
    pub fn metrics(&self) -> Metrics {
        Metrics::parse(&self.page("/metrics").body)
    }

    /// `/api/v1/status`.
    #[track_caller]
    pub fn status(&self) -> Value {
        let body = self.page("/api/v1/status").body;
        serde_json::from_str(&body).unwrap_or_else(|error| panic!("no JSON ({error}): {body}"))
    }

    /// `/api/v1/ledger`, of what was handed over again from that number on.
    #[track_caller]
    pub fn ledger(&self, after: u64) -> Value {
        let answer = self.page(&format!("/api/v1/ledger?after={after}"));
        assert_eq!(answer.code, 200, "{answer:?}");
        answer.json()
    }

    /// One lane of `/api/v1/status`.
    #[track_caller]
    pub fn lane(&self, name: &str) -> Value {
        let status = self.status();
        let lanes = status["lanes"].as_array().into_iter().flatten();
        let found = lanes.into_iter().find(|lane| lane["lane"] == name).cloned();
        found.unwrap_or_else(|| panic!("there is no lane {name} in {status}"))
    }

    /// Waits until no message is in flight: then nobody holds memory, and every message has an outcome.
    #[track_caller]
    pub fn comes_to_rest(&self) {
        wait::until_true("no message is in flight", wait::START, || {
            self.ledger(0)["sum"]["in_flight"] == 0
        });
        let ledger = self.ledger(0);
        assert_eq!(ledger["sum"]["difference"], 0, "the books do not add up: {ledger}");
        let status = self.status();
        for lane in status["lanes"].as_array().into_iter().flatten() {
            assert_eq!(lane["memory_used_bytes"], 0, "memory is held: {lane}");
        }
    }

    #[track_caller]
    pub fn signal(&self, signal: Signal) {
        self.process.signal(signal);
    }

    /// SIGKILL, and gone when this returns.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// SIGTERM, and the exit code after the drain.
    #[track_caller]
    pub fn terminate(&mut self) -> Option<i32> {
        self.process.terminate(DRAIN)
    }

    /// Waits for an end that was already asked for.
    #[track_caller]
    pub fn wait(&mut self, deadline: Duration) -> Option<i32> {
        self.process.wait(deadline).code()
    }

    /// It runs no more, for whatever reason.
    pub fn has_ended(&mut self) -> bool {
        self.process.ended().is_some()
    }

    /// Starts it again on the same ports, with the same configuration; it need not be ready.
    #[track_caller]
    pub fn start_again(&mut self) {
        assert!(self.process.ended().is_some(), "the gateway still runs");
        self.process = launch(&self.config, &self.folder, &self.file);
        self.until_alive();
    }
}

/// A gateway that found a fault in its own books said so.
impl Drop for Gateway {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let log = self.process.log();
            for fault in [
                "more was given back than was taken",
                "books of a lane do not add up",
                "a window miscounted",
            ] {
                assert!(!log.contains(fault), "{}", self.process.tail());
            }
        }
    }
}
