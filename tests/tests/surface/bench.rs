//! The bench's load generator counts right: what it says was acknowledged is what landed, no more and no
//! less. How fast anything is, no test says.

use std::process::Command;

use serde_json::Value;
use tests::gateway::{Gateway, GatewayConfig};
use tests::kafka::Kafka;
use tests::process::Process;
use tests::wait::START;

/// Runs the generator, and returns its report.
#[track_caller]
fn bench(gateway: &Gateway, arguments: &[&str]) -> Value {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bench"));
    command.args(arguments);
    let mut process = Process::start("bench", command, gateway.folder());
    let status = process.wait(START);
    assert!(status.success(), "{}", process.tail());
    let output = process.output();
    // Reports of earlier runs are in the same file.
    let report = output.lines().last().unwrap_or_default();
    serde_json::from_str(report).unwrap_or_else(|error| panic!("no report ({error}): {output}"))
}

#[test]
fn what_the_generator_counts_has_landed() {
    let kafka = Kafka::shared();
    let gateway = GatewayConfig::new(kafka).start_ready();
    let (address, watch) = (gateway.mqtt().to_string(), gateway.id().to_string());
    let common = ["load", "--address", &address, "--watch", &watch, "--warm-up-ms", "100"];
    let full = ["--connections", "20", "--window", "5", "--duration-ms", "300"];
    let paced = ["--connections", "30", "--rate", "1000", "--duration-ms", "500"];
    let full = bench(&gateway, &[&common[..], &full[..]].concat());
    let paced = bench(&gateway, &[&common[..], &paced[..]].concat());
    let acknowledged = |report: &Value| report["acknowledged"].as_u64().expect("a count");
    assert!(acknowledged(&full) >= 100, "every window was filled at least once: {full}");
    // 100 ms and 500 ms at 1,000 per second; a busy machine may begin and end the span late.
    assert!((550..5000).contains(&acknowledged(&paced)), "{paced}");
    for report in [&full, &paced] {
        let measured = report["measured"].as_u64().expect("a count");
        assert!(measured > 0 && measured <= acknowledged(report), "{report}");
        assert_eq!(report["cpu"].as_array().map(Vec::len), Some(1), "{report}");
    }
    let landed = kafka.read_all(&gateway.topic("fast"));
    assert_eq!(landed.len() as u64, acknowledged(&full) + acknowledged(&paced));
    let mut devices: Vec<String> =
        landed.iter().map(|record| record.envelope().device_id).collect();
    devices.sort();
    devices.dedup();
    assert_eq!(devices.len(), 30, "every connection published, under its own name");
    assert!(landed.iter().all(|record| record.payload().len() == 256));
}

#[test]
fn a_watched_process_that_ended_is_an_error() {
    let gateway = GatewayConfig::new(Kafka::shared()).start_ready();
    let address = gateway.mqtt().to_string();
    let mut command = Command::new(env!("CARGO_BIN_EXE_bench"));
    command.args(["load", "--address", &address, "--connections", "1", "--watch", "4294967295"]);
    let mut process = Process::start("bench", command, gateway.folder());
    assert_eq!(process.wait(START).code(), Some(1), "{}", process.log());
    assert!(process.log().contains("has the process ended?"), "{}", process.log());
}
