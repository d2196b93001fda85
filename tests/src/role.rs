//! The built `landfall parse` as a process, with topics and groups of its own.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::exposition::Metrics;
use crate::kafka::{Kafka, unique};
use crate::process::Process;
use crate::tools::{Folder, program};
use crate::{freshness, http, ports, wait};

const LANES: [&str; 4] = ["priority", "fast", "slow", "dead-letter"];
/// What it writes to: `late` are the events of the slow lane.
const WRITTEN: [&str; 4] = ["events", "late", "metadata", "quarantine"];

/// What a role is started with.
#[derive(Clone)]
pub struct RoleConfig {
    value: Value,
    admin: SocketAddr,
    prefix: String,
    program: Option<PathBuf>,
}

impl RoleConfig {
    /// Reads `lanes`, the Kafka topics of lanes by name, as written by whoever; those that are not named have
    /// topics of their own. `parser` takes everything but the slow lane, which has `late`.
    #[track_caller]
    pub fn new(
        kafka: &Kafka,
        lanes: &[(&str, &str)],
        (parser, late): (Value, Value),
        partitions: i32,
    ) -> RoleConfig {
        let prefix = unique("role");
        let named = |lane: &str| {
            let known = lanes.iter().find(|(name, _)| *name == lane);
            known.map_or_else(|| format!("{prefix}.{lane}"), |(_, topic)| (*topic).to_owned())
        };
        let own: Vec<String> = LANES
            .iter()
            .filter(|lane| !lanes.iter().any(|(name, _)| name == *lane))
            .map(|lane| format!("{prefix}.{lane}"))
            .collect();
        let own: Vec<&str> = own.iter().map(String::as_str).collect();
        kafka.create_topics(&own, 1, &[]);
        let written = WRITTEN.map(|name| format!("{prefix}.{name}"));
        let settings = &freshness::SETTINGS;
        let [events, rest @ ..] = written.each_ref().map(String::as_str);
        kafka.create_topics(&[events], partitions, settings);
        // The others may be much, and nobody reads them to the end.
        kafka.create_topics(&rest, partitions, &settings[..1]);
        let admin = ports::local(ports::free());
        let section = |lane: &&str| ((*lane).to_owned(), json!({ "topic": named(lane) }));
        let sections: serde_json::Map<String, Value> = LANES.iter().map(section).collect();
        let [events, late_events, metadata, quarantine] = &written;
        let group = |name: &str| format!("{prefix}.{name}");
        let value = json!({
            "gateway_id": "parse-test",
            "admin": { "bind": admin.to_string() },
            "drain": { "pause": "0s", "deadline": "10s" },
            "kafka": { "bootstrap_servers": kafka.address() },
            "lanes": sections,
            "parse": {
                "parsers": { "readings": parser, "late": late },
                "canonical": { events: {}, late_events: {} },
                "rules": [
                    { "lane": "slow", "when": {}, "parser": "late", "topic": late_events },
                    { "when": {}, "parser": "readings", "topic": events },
                ],
                "metadata": { "topic": metadata, "group": group("landed") },
                "quarantine": { "topic": quarantine },
                "pools": {
                    "fast": { "lanes": ["priority", "fast"], "group": group("fast") },
                    "slow": { "lanes": ["slow"], "group": group("slow") },
                },
            },
        });
        RoleConfig { value, admin, prefix, program: None }
    }

    /// Writes a key, such as `parse.pools.fast.window.records`.
    pub fn set(mut self, key: &str, value: impl Into<Value>) -> RoleConfig {
        let place = key.split('.').fold(&mut self.value, |at, name| &mut at[name]);
        *place = value.into();
        self
    }

    /// Runs another build of the program.
    pub fn program(mut self, path: &Path) -> RoleConfig {
        self.program = Some(path.to_owned());
        self
    }

    /// A topic that it writes to: `events`, `late`, `metadata` or `quarantine`.
    pub fn topic(&self, name: &str) -> String {
        format!("{}.{name}", self.prefix)
    }

    /// Starts it, and waits for nothing.
    #[track_caller]
    pub fn launch(self) -> Role {
        let folder = Folder::new("role");
        let file = folder.join("landfall.yaml");
        // JSON is YAML.
        let text = serde_json::to_string_pretty(&self.value).expect("JSON values can be written");
        std::fs::write(&file, text).expect("the test's folder can be written");
        let path = self.program.clone().unwrap_or_else(|| program("landfall"));
        let mut command = Command::new(path);
        command.arg("parse").arg("--config").arg(&file).current_dir(&*folder);
        for (name, _) in std::env::vars_os() {
            // The configuration of whoever runs the tests is not the tests' own.
            let text = name.to_string_lossy();
            if text.starts_with("LANDFALL__") || text.starts_with("AWS_") {
                command.env_remove(&name);
            }
        }
        let process = Process::start("landfall-parse", command, &folder);
        Role { config: self, process, _folder: folder }
    }

    /// Starts it, and waits until it is ready.
    #[track_caller]
    pub fn start_ready(self) -> Role {
        let mut role = self.launch();
        role.until_ready();
        role
    }
}

/// A running parse role; it ends with this.
pub struct Role {
    config: RoleConfig,
    process: Process,
    /// Goes after the process that writes to it.
    _folder: Folder,
}

impl Role {
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    pub fn log(&self) -> String {
        self.process.log()
    }

    /// A topic that it writes to: `events`, `late`, `metadata` or `quarantine`.
    pub fn topic(&self, name: &str) -> String {
        self.config.topic(name)
    }

    #[track_caller]
    pub fn until_ready(&mut self) {
        let admin = self.config.admin;
        self.process.until("the parse role is ready", wait::START, || {
            http::get(admin, "/readyz").is_ok_and(|answer| answer.code == 200).then_some(())
        });
    }

    /// Waits until `ready` returns something; panics at the deadline, or when the role ends.
    #[track_caller]
    pub fn until<T>(
        &mut self,
        what: &str,
        deadline: Duration,
        ready: impl FnMut() -> Option<T>,
    ) -> T {
        self.process.until(what, deadline, ready)
    }

    /// Everything on `/metrics`.
    #[track_caller]
    pub fn metrics(&self) -> Metrics {
        let page = http::get(self.config.admin, "/metrics");
        let page = page.unwrap_or_else(|error| {
            panic!("/metrics does not answer: {error}\n{}", self.process.tail())
        });
        Metrics::parse(&page.body)
    }

    /// SIGTERM, and the exit code after the drain.
    #[track_caller]
    pub fn terminate(&mut self) -> Option<i32> {
        self.process.terminate(Duration::from_secs(30))
    }
}
