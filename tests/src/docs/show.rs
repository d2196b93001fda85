//! What a page shows: its commands are run and print what it says, its configurations and values are accepted,
//! its messages are ones. What is not run says why.
//!
//! The blocks of a page are taken in their order, in a folder of its own: a configuration is `landfall.yaml`
//! for the commands below it, the chart's values are `values.yaml`, and `landfall` and Helm are on the path.
//! A gateway that runs beside a block runs with the last configuration above it, at ports that are free, and
//! with the tests' Kafka.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;

use bridge::record::RecordBuf;
use parse::metadata::{Became, Message, Parsed};
use parse::raw::{Opened, Raw};
use prost::Message as _;
use proto::v1::Envelope;
use serde_json::Value;

use super::page::{Block, Page};
use super::verdict;
use crate::foreign::python_command;
use crate::kafka::Kafka;
use crate::process::Process;
use crate::tools::{Folder, program, repository, tool};
use crate::wait::{START, until, until_true};
use crate::{http, ports};

/// How a comment begins that says why a block is not run.
const NOT_RUN: &str = "not run, ";
/// Shorter is no reason, in bytes.
const REASON_MIN: usize = 20;
/// Beside it runs a `landfall dev` with two simulated devices; what times are printed is of no account.
const BESIDE: &str = "beside landfall dev";
/// And neither are numbers, and it may print more lines than those that are shown.
const NUMBERS_DIFFER: &str = "beside landfall dev, numbers differ";
/// Beside it runs a `landfall run` with the page's configuration.
const BESIDE_RUN: &str = "beside landfall run";
/// The same, and it may print more lines than those that are shown, with other numbers.
const RUN_NUMBERS_DIFFER: &str = "beside landfall run, numbers differ";
/// A command that goes on until the page is done, such as a server.
const GOES_ON: &str = "goes on beside the rest";
/// What is written into a file, of which the name follows.
const FILE: &str = "the file ";
/// A part of a file that others run, of which the path follows.
const PART: &str = "of ";
/// JSON of the metadata stream.
const METADATA: &str = "the metadata stream";
/// Ports as pages write them: the tests take others, wherever one of these stands.
const PORTS: [&str; 7] = ["1883", "8883", "8884", "8083", "8084", "8080", "9001"];
/// The one of them that is for the admin pages.
const ADMIN_PORT: &str = "8080";
/// YAML for the chart.
const VALUES: &str = "values of the chart";
/// JSON of `/api/v1/status`.
const STATUS: &str = "the status page";
/// JSON of `/api/v1/ledger`.
const LEDGER: &str = "the ledger page";
/// JSON of a canonical topic.
const EVENT: &str = "an event";
/// How long a command may take, in seconds.
const PATIENCE: &str = "60";
/// A consumer's view of an envelope: protobuf's own JSON, and no key beside its fields.
const ENVELOPE: &str = "import sys\nfrom google.protobuf import json_format\nfrom landfall.v1 import envelope_pb2\nenvelope = json_format.Parse(sys.argv[1], envelope_pb2.Envelope())\nassert envelope.WhichOneof('payload') and len(envelope.message_id) == 16 and len(envelope.dedupe_key) == 16";

/// Everything that the page shows works; how many blocks were tried.
pub fn works(page: &Page) -> Result<usize, String> {
    let mut stage = Stage::new();
    let (mut faults, mut tried) = (Vec::new(), 0);
    for block in &page.blocks {
        match stage.show(block) {
            Ok(was_tried) => tried += usize::from(was_tried),
            Err(fault) => faults.push(format!("{}: {fault}", page.at(block.line))),
        }
    }
    verdict(faults).map(|()| tried)
}

/// Where the blocks of a page are tried.
struct Stage {
    folder: Folder,
    /// Started when a block needs it.
    dev: Option<Dev>,
    /// The same; ended by another configuration.
    run: Option<Run>,
    /// What goes on beside the rest.
    others: Vec<Process>,
    /// By how the page writes them.
    ports: BTreeMap<&'static str, u16>,
}

/// A `landfall run`.
struct Run {
    _process: Process,
    environment: Vec<(String, String)>,
}

/// A running `landfall dev`, and what stands for its addresses in pages.
struct Dev {
    _process: Process,
    admin: std::net::SocketAddr,
    addresses: BTreeMap<&'static str, String>,
}

impl Stage {
    fn new() -> Stage {
        let folder = Folder::new("docs");
        let link = |from: &Path, to: &str| {
            std::os::unix::fs::symlink(from, folder.join(to))
                .expect("the test's folder can be written");
        };
        link(&repository().join("charts"), "charts");
        let programs = program("landfall");
        let programs = programs.parent().expect("a program lies in a folder");
        std::fs::create_dir(folder.join("target")).expect("the test's folder can be written");
        link(programs, "target/debug");
        Stage { folder, dev: None, run: None, others: Vec::new(), ports: BTreeMap::new() }
    }

    /// Tries a block; false where it says why it is not.
    fn show(&mut self, block: &Block) -> Result<bool, String> {
        let comment = block.comment.as_deref();
        if let Some(reason) = comment.and_then(|comment| comment.strip_prefix(NOT_RUN)) {
            let is_one = reason.len() >= REASON_MIN;
            return if is_one { Ok(false) } else { Err(format!("{reason:?} is no reason")) };
        }
        if let Some(name) = comment.and_then(|comment| comment.strip_prefix(FILE)) {
            let text = self.with_free_ports(&block.text);
            self.write(name, &text);
            return Ok(true);
        }
        if let Some(path) = comment.and_then(|comment| comment.strip_prefix(PART)) {
            return part(path, &block.text).map(|()| true);
        }
        match (block.language.as_str(), comment) {
            // A picture, or what a program prints: nobody can run it.
            ("text", None) => return Ok(false),
            ("console", None) => self.console(block, str::eq)?,
            ("console", Some(BESIDE)) => {
                self.dev();
                self.console(block, |printed, shown| {
                    without_times(printed) == without_times(shown)
                })?;
            }
            ("console", Some(NUMBERS_DIFFER)) => {
                self.dev();
                self.console(block, has_lines)?;
            }
            ("console", Some(BESIDE_RUN)) => {
                self.begin_run()?;
                self.console(block, str::eq)?;
            }
            ("console", Some(RUN_NUMBERS_DIFFER)) => {
                self.begin_run()?;
                self.console(block, has_lines)?;
            }
            ("console", Some(GOES_ON)) => self.go_on(block)?,
            ("yaml", None) => {
                self.run = None;
                self.write("landfall.yaml", &block.text);
                self.run("landfall check --config landfall.yaml --without-secrets")?;
            }
            ("yaml", Some(VALUES)) => {
                self.write("values.yaml", &block.text);
                self.run("helm template landfall charts/landfall --values values.yaml")?;
            }
            ("json", None) => {
                let mut command = python_command(Path::new("-c"));
                command.arg(ENVELOPE).arg(&block.text);
                output(command)?;
            }
            ("json", Some(STATUS)) => self.answers("/api/v1/status", block)?,
            ("json", Some(LEDGER)) => self.answers("/api/v1/ledger", block)?,
            ("json", Some(EVENT)) => parse::canonical::read::read(block.text.trim()).map(|_| ())?,
            ("json", Some(METADATA)) => metadata(&block.text)?,
            (language, None) => {
                return Err(format!(
                    "a block of {language:?} that nobody runs: write {NOT_RUN}REASON above it"
                ));
            }
            (language, Some(comment)) => {
                return Err(format!("{comment:?} is not known above a block of {language:?}"));
            }
        }
        Ok(true)
    }

    /// Runs each command of a block; it prints what stands below it.
    fn console(&self, block: &Block, is_so: impl Fn(&str, &str) -> bool) -> Result<(), String> {
        let mut shown = 0;
        for text in format!("\n{}", block.text).split("\n$ ").skip(1) {
            let (command, expected) = text.split_once('\n').unwrap_or((text, ""));
            let printed = self.run(command)?;
            if !is_so(printed.trim_end(), expected.trim_end()) {
                return Err(format!("{command}\nprints\n{printed}\nand not\n{expected}"));
            }
            shown += 1;
        }
        if shown == 0 { Err("no line begins with `$ `".to_owned()) } else { Ok(()) }
    }

    /// The page has the keys that are shown, and no others.
    fn answers(&mut self, path: &str, block: &Block) -> Result<(), String> {
        let shown: Value = serde_json::from_str(&block.text).map_err(|error| error.to_string())?;
        let answer = http::get(self.dev().admin, path).map_err(|error| error.to_string())?;
        let found: Value = serde_json::from_str(&answer.body).map_err(|error| error.to_string())?;
        let (shown, found) = (shape(&shown), shape(&found));
        if shown == found {
            Ok(())
        } else {
            Err(format!("shows {shown}, and the page has {found}"))
        }
    }

    /// Starts the gateway with the configuration above, unless it runs.
    fn begin_run(&mut self) -> Result<(), String> {
        if self.run.is_some() {
            return Ok(());
        }
        let written = std::fs::read_to_string(self.folder.join("landfall.yaml"));
        let written = written.map_err(|error| format!("there is no configuration: {error}"))?;
        let written = self.with_free_ports(&written);
        self.write("landfall.yaml", &written);
        let admin = ports::local(self.port(ADMIN_PORT));
        let environment = [
            ("LANDFALL__KAFKA__BOOTSTRAP_SERVERS", Kafka::shared().address()),
            ("LANDFALL__KAFKA__CREATE_TOPICS", "true".to_owned()),
            ("LANDFALL__ADMIN__BIND", admin.to_string()),
        ];
        let environment = environment.map(|(name, value)| (name.to_owned(), value)).to_vec();
        let mut command = Command::new(program("landfall"));
        command.args(["run", "--config", "landfall.yaml"]).current_dir(&*self.folder);
        command.env_clear().envs(environment.clone());
        let mut process = Process::start("run", command, &self.folder);
        process.until("landfall run is ready", START, || {
            http::get(admin, "/readyz").is_ok_and(|answer| answer.code == 200).then_some(())
        });
        self.run = Some(Run { _process: process, environment });
        Ok(())
    }

    /// Starts the block's one command, and does not wait for its end.
    fn go_on(&mut self, block: &Block) -> Result<(), String> {
        let line = block.text.strip_prefix("$ ").ok_or("it does not begin with `$ `")?;
        let line = self.with_free_ports(line.trim_end());
        let mut command = Command::new("/bin/bash");
        command.args(["-c", &format!("exec {line}")]).current_dir(&*self.folder);
        command.env_clear().env("PATH", self.path());
        let name = format!("other-{}", self.others.len());
        self.others.push(Process::start(&name, command, &self.folder));
        // Who listens, listens soon; a block beside it would fail at once otherwise.
        let ports: Vec<u16> = self.ports.values().copied().collect();
        for port in ports.into_iter().filter(|port| line.contains(&port.to_string())) {
            until_true("it listens", START, || TcpStream::connect(ports::local(port)).is_ok());
        }
        Ok(())
    }

    /// A free port in place of one that pages write, the same for a whole page.
    fn port(&mut self, written: &'static str) -> u16 {
        *self.ports.entry(written).or_insert_with(ports::free)
    }

    /// The text with free ports in place of those that pages write.
    fn with_free_ports(&mut self, text: &str) -> String {
        let mut text = text.to_owned();
        for written in PORTS.into_iter().filter(|port| text.contains(*port)).collect::<Vec<_>>() {
            text = text.replace(written, &self.port(written).to_string());
        }
        text
    }

    /// Where commands are looked for.
    fn path(&self) -> OsString {
        let programs = [program("landfall"), tool("bin/helm"), tool("python/bin/python")];
        let programs = programs.iter().filter_map(|program| program.parent());
        let path = programs.chain(["/usr/bin", "/bin"].map(Path::new));
        std::env::join_paths(path).expect("no path has a colon")
    }

    /// Runs a line of a shell; its standard output.
    fn run(&self, line: &str) -> Result<String, String> {
        let mut line = line.to_owned();
        for (shown, address) in self.dev.iter().flat_map(|dev| &dev.addresses) {
            line = line.replace(shown, address);
        }
        for (shown, port) in &self.ports {
            line = line.replace(shown, &port.to_string());
        }
        let mut command = Command::new("/usr/bin/timeout");
        command.args([PATIENCE, "/bin/bash", "-o", "pipefail", "-c", &line]);
        command.current_dir(&*self.folder).env_clear().env("PATH", self.path());
        command.envs(self.run.iter().flat_map(|run| run.environment.iter().cloned()));
        output(command).map_err(|fault| format!("{line}\n{fault}"))
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.folder.join(name), text).expect("the test's folder can be written");
    }

    fn dev(&mut self) -> &Dev {
        let folder = &self.folder;
        self.dev.get_or_insert_with(|| Dev::start(folder))
    }
}

impl Dev {
    fn start(folder: &Folder) -> Dev {
        let [mqtt, websocket, admin] = [(); 3].map(|()| ports::free());
        let mut command = Command::new(program("landfall"));
        command.args(["dev", "--mqtt-port", &mqtt.to_string(), "--admin-port", &admin.to_string()]);
        command.args(["--ws-port", &websocket.to_string()]);
        command.args(["--simulate", "2"]).current_dir(&**folder).env_clear();
        let mut process = Process::start("dev", command, folder);
        let address = ports::local(admin);
        process.until("landfall dev is ready", START, || {
            http::get(address, "/readyz").is_ok_and(|answer| answer.code == 200).then_some(())
        });
        // It writes where its Kafka is before it says that it runs.
        let kafka = until("landfall dev tells its Kafka", START, || {
            let output = process.output();
            let line = output.lines().find_map(|line| line.trim_start().strip_prefix("Kafka"))?;
            Some(line.trim_start().split(',').next()?.to_owned())
        });
        let addresses =
            [("1883", mqtt.to_string()), ("8080", admin.to_string()), ("localhost:9092", kafka)];
        Dev { _process: process, admin: address, addresses: addresses.into_iter().collect() }
    }
}

/// The text stands in the file, as deep within it as it may be.
fn part(path: &str, text: &str) -> Result<(), String> {
    let file = std::fs::read_to_string(repository().join(path));
    let file = file.map_err(|error| format!("{path}: {error}"))?;
    let trimmed =
        |text: &str| -> Vec<String> { text.lines().map(|line| line.trim().to_owned()).collect() };
    let (file, shown) = (trimmed(&file), trimmed(text));
    match file.windows(shown.len()).any(|lines| lines == shown) {
        true => Ok(()),
        false => Err(format!("{path} does not have these lines one behind the other")),
    }
}

/// A record of the stream has the members that are shown, and no others.
fn metadata(text: &str) -> Result<(), String> {
    let shown: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let envelope = Envelope {
        message_id: vec![1; 16],
        device_id: "m-1".to_owned(),
        device_type: "meter".to_owned(),
        gateway_id: "gw-1".to_owned(),
        source_topic: "devices/meter/m-1/power".to_owned(),
        ..Envelope::default()
    };
    let value = envelope.encode_to_vec();
    let (topic, value) = ("landfall.fast", Some(&value[..]));
    let raw = Raw { topic, partition: 1, offset: 9, timestamp_ms: 0, key: None, value };
    let mut opened = Opened::default();
    raw.open(&mut opened).map_err(|failure| failure.to_string())?;
    let message = Message { lane: "fast", raw: &raw, opened: Some(&opened) };
    let became = Became::Events { events: 1, skipped: 0 };
    let parsed = Parsed { parser: Some(("meter", 1)), became, took_us: 12 };
    let mut record = RecordBuf::default();
    parse::metadata::parsed("m", &message, &parsed, &mut record);
    let found = serde_json::from_slice(record.as_record().value());
    let (shown, found) = (shape(&shown), shape(&found.map_err(|error| error.to_string())?));
    if shown == found { Ok(()) } else { Err(format!("shows {shown}, and a record has {found}")) }
}

/// What a command prints; an error with all that it says when it fails.
fn output(mut command: Command) -> Result<String, String> {
    let output = command.output().map_err(|error| format!("cannot be started: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    match output.status.success() {
        true => Ok(text),
        false => {
            Err(format!("{}\n{text}{}", output.status, String::from_utf8_lossy(&output.stderr)))
        }
    }
}

/// The words of a text, with every time the same.
fn without_times(text: &str) -> Vec<&str> {
    let is_time = |word: &str| word.len() > 20 && word.ends_with('Z') && word.contains('T');
    text.split_whitespace().map(|word| if is_time(word) { "TIME" } else { word }).collect()
}

/// Among the printed lines are those that are shown, in their order, whatever numbers are in them.
fn has_lines(printed: &str, shown: &str) -> bool {
    let without_numbers = |line: &str| line.replace(|c: char| c.is_ascii_digit(), "");
    let mut printed = printed.lines().map(without_numbers);
    shown.lines().all(|line| printed.any(|printed| printed == without_numbers(line)))
}

/// A value with its keys, and without what they hold.
fn shape(value: &Value) -> Value {
    match value {
        Value::Object(map) => map.iter().map(|(key, value)| (key.clone(), shape(value))).collect(),
        Value::Array(items) => items.first().map(shape).into_iter().collect(),
        _ => Value::Null,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_numbers_are_of_no_account() {
        let line = "2026-11-24T21:12:29.155Z  fast  m-1  13 B";
        assert_eq!(without_times(line), ["TIME", "fast", "m-1", "13", "B"]);
        assert!(has_lines("1 begins\n12 sent\n7 more\n12 there", "99 sent\n1 there"));
        assert!(!has_lines("12 sent\n12 there", "12 there\n12 sent"));
        assert!(!has_lines("12 sent\n12 there", "12 sent\n12 missing"));
    }
}
