//! A parse role beside a gateway, with a lane of its own for what must not be left out: its rule says
//! `on_failure: fail`, so that its partition stops at a message that cannot be read.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::exposition::Metrics;
use crate::gateway::{Gateway, GatewayConfig};
use crate::http;
use crate::kafka::Kafka;
use crate::process::Process;
use crate::tools::{Folder, program};
use crate::{ports, wait};

/// Opens its admin port.
pub const TOKEN: &str = "a-token-of-a-test-that-is-long-enough";
/// The lane whose partitions stop.
pub const PRESS: &str = "press";
/// What a device of the lane publishes to.
pub const PRESS_TOPIC: &str = "devices/press/press-1/data";

/// A gateway that has the lane, with one partition, and the topics that a role beside it writes to.
#[track_caller]
pub fn with_press(kafka: &Kafka, config: GatewayConfig) -> GatewayConfig {
    let names = [PRESS, "canonical.press", "canonical.other", "metadata", "quarantine"];
    let topics = names.map(|name| config.topic(name));
    kafka.create_topics(&topics.each_ref().map(String::as_str), 1, &[]);
    let lane = json!({ "topic": config.topic(PRESS) });
    config
        .set("lanes.press", lane)
        .set("rules", json!([{ "when": { "topic": "devices/press/#" }, "lane": PRESS }]))
}

/// A running role.
pub struct ParseRole {
    process: Process,
    folder: Folder,
    config: PathBuf,
    admin: SocketAddr,
    probes: SocketAddr,
}

impl ParseRole {
    /// `admin` is its section, without addresses and the token; `arguments` are those beside the configuration.
    #[track_caller]
    pub fn start(gateway: &Gateway, admin: &Value, arguments: &[&str]) -> ParseRole {
        let folder = Folder::new("parse-role");
        let token = folder.join("token");
        std::fs::write(&token, TOKEN).expect("the test's folder can be written");
        let (address, probes) = (ports::local(ports::free()), ports::local(ports::free()));
        let text = std::fs::read_to_string(gateway.config_file()).expect("it was written");
        let mut written: Value = serde_json::from_str(&text).expect("it is JSON");
        written["gateway_id"] = json!("parse-test");
        written["admin"] = admin.clone();
        written["admin"]["bind"] = json!(address.to_string());
        written["admin"]["probes"] = json!({ "bind": probes.to_string(), "metrics": true });
        written["admin"]["authenticate"]["tokens"] = json!({ "ops": { "from_file": token } });
        let own = |name: &str| gateway.topic(name);
        let (press, other) = (own("canonical.press"), own("canonical.other"));
        written["parse"] = json!({
            "pools": {
                "fast": { "lanes": ["priority", "fast", "slow"], "group": own("fast") },
                "press": { "lanes": [PRESS], "group": own("press"), "freshness": "1s" },
            },
            "parsers": {
                "strokes": { "format": "json", "fields": { "force": { "path": "force", "type": "int" } } },
                "others": { "format": "ndjson", "rest": "keep", "on_bad_record": "skip" },
            },
            "rules": [
                { "when": {}, "lane": PRESS, "parser": "strokes", "topic": press, "on_failure": "fail" },
                { "when": {}, "parser": "others", "topic": other },
            ],
            "canonical": { press.clone(): {}, other.clone(): {} },
            "metadata": { "topic": own("metadata"), "group": own("landed") },
            "quarantine": { "topic": own("quarantine") },
        });
        let config = folder.join("landfall.yaml");
        std::fs::write(&config, written.to_string()).expect("the test's folder can be written");
        let mut command = Command::new(program("landfall"));
        command.args(["parse", "--config"]).arg(&config).args(arguments).current_dir(&*folder);
        let process = Process::start("parse", command, &folder);
        ParseRole { process, folder, config, admin: address, probes }
    }

    /// Waits until `/readyz` says so.
    #[track_caller]
    pub fn until_ready(&mut self) {
        let probes = self.probes;
        self.process.until("the parse role is ready", wait::START, || {
            http::get(probes, "/readyz").is_ok_and(|answer| answer.code == 200).then_some(())
        });
    }

    pub fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// Where `/readyz` and `/metrics` are, without a token.
    pub fn probes(&self) -> SocketAddr {
        self.probes
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    pub fn config(&self) -> &Path {
        &self.config
    }

    pub fn token_file(&self) -> PathBuf {
        self.folder.join("token")
    }

    pub fn log(&self) -> String {
        self.process.log()
    }

    #[track_caller]
    pub fn metrics(&self) -> Metrics {
        let answer = http::get(self.probes, "/metrics");
        let tail = || self.process.tail();
        let answer = answer.unwrap_or_else(|error| panic!("/metrics: {error}\n{}", tail()));
        Metrics::parse(&answer.body)
    }

    /// What `landfall parse …` says in its folder.
    pub fn says(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(program("landfall"));
        command.arg("parse").args(arguments).current_dir(&*self.folder).env_clear();
        command.output().expect("landfall can be started")
    }
}
