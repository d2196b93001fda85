//! Where and with what was measured: the lines above the table.

use std::process::Command;
use std::time::SystemTime;

use tests::tools;

/// Lines of Markdown.
pub fn lines(bench: &str) -> Vec<String> {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let memory = field("/proc/meminfo", "MemTotal:").replace(" kB", "");
    let gigabytes = memory.parse::<f64>().unwrap_or_default() / 1024.0 / 1024.0;
    let processor = field("/proc/cpuinfo", "model name\t:");
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let (_, librdkafka) = rdkafka::util::get_rdkafka_version();
    let mosquitto = tools::mosquitto();
    let mosquitto = said(Command::new(mosquitto).arg("-h"), "mosquitto version");
    vec![
        format!("- {}", humantime::format_rfc3339_seconds(SystemTime::now())),
        format!("- {processor}, {cores} cores, {gigabytes:.0} GiB, Linux {}", kernel.trim()),
        format!("- Landfall {}, release build; librdkafka {librdkafka}", revision()),
        format!("- {}, one broker; {}", kafka(), said(Command::new("java").arg("-version"), "")),
        format!("- {mosquitto}, in memory; {}", s3()),
        format!("- {bench}"),
    ]
}

fn field(path: &str, name: &str) -> String {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.unwrap_or("unknown").trim().to_owned()
}

fn revision() -> String {
    let mut git = Command::new("git");
    git.args(["describe", "--always", "--dirty"]).current_dir(tools::repository());
    said(&mut git, "")
}

/// The version of Kafka, which its jar's name tells.
fn kafka() -> String {
    let entries = std::fs::read_dir(tools::tool("kafka/lib")).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let version = names
        .filter_map(|name| Some(name.strip_prefix("kafka_2.13-")?.strip_suffix(".jar")?.to_owned()))
        .next();
    format!("Apache Kafka {}", version.as_deref().unwrap_or("unknown"))
}

/// The version of the S3 server: a build by `go install` does not know its own.
fn s3() -> String {
    let setup = tools::repository().join("tests/tools/setup.sh");
    let setup = std::fs::read_to_string(setup).unwrap_or_default();
    let version = setup.lines().find_map(|line| line.split_once("cmd/versitygw@"));
    format!("versitygw {}", version.map_or("unknown", |(_, version)| version))
}

/// The first line that begins so, of what a program says about itself on either output.
fn said(command: &mut Command, begin: &str) -> String {
    let Ok(output) = command.output() else { return "unknown".to_owned() };
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    let line = text.lines().map(str::trim).find(|line| !line.is_empty() && line.starts_with(begin));
    line.unwrap_or("unknown").to_owned()
}
