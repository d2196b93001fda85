//! A real Prometheus, with its promtool: it reads gateways, evaluates rules and answers queries.

pub mod expression;

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::process::Process;
use crate::tools::Folder;
use crate::{http, ports, wait};

/// One gateway to read, and the labels that Kubernetes would give it.
pub struct Target<'a> {
    pub address: SocketAddr,
    pub namespace: &'a str,
    pub pod: &'a str,
}

/// An alert that is pending or firing.
#[derive(Clone, Debug)]
pub struct Alert {
    pub name: String,
    /// `pending` or `firing`.
    pub state: String,
    pub labels: Value,
    pub annotations: Value,
}

/// A server that reads its targets every second; it ends with this.
pub struct Prometheus {
    address: SocketAddr,
    _process: Process,
    _folder: Folder,
}

impl Prometheus {
    #[track_caller]
    pub fn start(targets: &[Target<'_>], rules: &Path) -> Prometheus {
        let folder = Folder::new("prometheus");
        let target = |target: &Target<'_>| {
            json!({
                "targets": [target.address.to_string()],
                "labels": { "namespace": target.namespace, "pod": target.pod },
            })
        };
        let targets: Vec<Value> = targets.iter().map(target).collect();
        let config = json!({
            "global": { "scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s" },
            "rule_files": [rules],
            "scrape_configs": [{ "job_name": "any-name", "static_configs": targets }],
        });
        let file = folder.join("prometheus.yml");
        // JSON is YAML.
        std::fs::write(&file, config.to_string()).expect("the test's folder can be written");
        let address = ports::local(ports::free());
        let mut command = Command::new("prometheus");
        command
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.tsdb.path={}", folder.join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .arg("--log.level=warn")
            .current_dir(&*folder);
        let mut process = Process::start("prometheus", command, &folder);
        process.until("Prometheus' start", wait::START, || {
            http::get(address, "/-/ready").is_ok_and(|answer| answer.code == 200).then_some(())
        });
        Prometheus { address, _process: process, _folder: folder }
    }

    /// The answer to an expression, as of now: a sample for each series.
    pub fn query(&self, expression: &str) -> Result<Vec<f64>, String> {
        let data = self.ask(&format!("/api/v1/query?query={}", escape(expression)))?;
        let number = |sample: &Value| sample["value"][1].as_str()?.parse::<f64>().ok();
        let samples = data["result"].as_array().into_iter().flatten();
        samples.map(|sample| number(sample).ok_or_else(|| format!("no sample: {sample}"))).collect()
    }

    /// Every alert that is pending or firing.
    #[track_caller]
    pub fn alerts(&self) -> Vec<Alert> {
        let data = self.ask("/api/v1/alerts").unwrap_or_else(|error| panic!("{error}"));
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let alert = |alert: &Value| Alert {
            name: text(&alert["labels"]["alertname"]),
            state: text(&alert["state"]),
            labels: alert["labels"].clone(),
            annotations: alert["annotations"].clone(),
        };
        data["alerts"].as_array().into_iter().flatten().map(alert).collect()
    }

    fn ask(&self, path: &str) -> Result<Value, String> {
        let answer = http::get(self.address, path).map_err(|error| format!("{path}: {error}"))?;
        let body: Value = serde_json::from_str(&answer.body)
            .map_err(|error| format!("{path}: no JSON ({error}): {}", answer.body))?;
        match body["status"].as_str() {
            Some("success") => Ok(body["data"].clone()),
            _ => Err(format!("{path}: {}", body["error"])),
        }
    }
}

/// Everything but letters and digits as `%XX`.
fn escape(text: &str) -> String {
    let byte = |byte: u8| match byte.is_ascii_alphanumeric() {
        true => char::from(byte).to_string(),
        false => format!("%{byte:02X}"),
    };
    text.bytes().map(byte).collect()
}

/// `promtool` with these arguments; the error is what it said.
pub fn promtool(arguments: &[&str]) -> Result<(), String> {
    let ran = Command::new("promtool").args(arguments).output();
    let ran = ran.map_err(|error| {
        format!("promtool cannot be started ({error}): run tests/tools/setup.sh test")
    })?;
    let said = [ran.stdout, ran.stderr].concat();
    match ran.status.success() {
        true => Ok(()),
        false => Err(String::from_utf8_lossy(&said).into_owned()),
    }
}
