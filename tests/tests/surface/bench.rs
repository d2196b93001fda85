//! What the bench counts is right: what it says was acknowledged is what landed, no more and no less. How
//! fast anything is, no test says.

use std::process::Command;

use serde_json::Value;
use tests::gateway::{Gateway, GatewayConfig};
use tests::kafka::{Kafka, KafkaOptions, unique};
use tests::process::Process;
use tests::tools::Folder;
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

#[test]
fn a_load_goes_on_until_it_is_told_to_end() {
    let kafka = Kafka::shared();
    let gateway = GatewayConfig::new(kafka).start_ready();
    let (address, file) = (gateway.mqtt().to_string(), gateway.folder().join("end"));
    let mut command = Command::new(env!("CARGO_BIN_EXE_bench"));
    command.args(["load", "--address", &address, "--connections", "2", "--rate", "200"]);
    command.args(["--channel", "alarm", "--warm-up-ms", "1", "--duration-ms", "100"]);
    command.arg("--until").arg(&file);
    let mut load = Process::start("load", command, gateway.folder());
    let landed = || gateway.lane("priority")["landed"].as_u64().expect("a count");
    // Far more than are due within the span.
    load.until("it goes on behind its span", START, || (landed() > 100).then_some(()));
    std::fs::write(&file, "").expect("the folder can be written");
    assert!(load.wait(START).success(), "{}", load.tail());
    let report: Value = serde_json::from_str(load.output().trim()).expect("its report");
    assert!(report["measured"].as_u64() < report["acknowledged"].as_u64(), "{report}");
    let all = kafka.count(&gateway.topic("priority"));
    assert_eq!(Some(all), report["acknowledged"].as_u64(), "all alarms, and nothing else");
}

#[test]
fn pings_are_answered_and_are_no_messages() {
    let gateway = GatewayConfig::new(Kafka::shared()).start_ready();
    let address = gateway.mqtt().to_string();
    let arguments = ["pings", "--address", &address, "--connections", "3", "--rate", "500"];
    let report = bench(&gateway, &[&arguments[..], &["--duration-ms", "500"]].concat());
    // A second and a half at 500 per second.
    assert!((700..800).contains(&report["acknowledged"].as_u64().expect("a count")), "{report}");
    assert!(report["p99_ms"].as_f64() > Some(0.0), "{report}");
    assert_eq!(gateway.status()["connections"], 0, "it has gone");
    assert_eq!(gateway.lane("fast")["received"], 0);
}

#[test]
fn what_a_bare_producer_counts_has_landed_and_the_broker_counts_its_requests() {
    let kafka = Kafka::start_with(&KafkaOptions { counters: true, ..KafkaOptions::default() });
    assert_eq!(kafka.produce_requests(), 0, "nobody has written");
    kafka.create_topic("bare", 3, &[]);
    kafka.create_topic("single", 1, &[]);
    for _ in 0..5 {
        kafka.produce("single", b"key", b"value", &[]);
    }
    assert_eq!(kafka.produce_requests(), 5, "one for each record that is waited for");
    let folder = Folder::new("bench");
    for pace in [None, Some("--rate=2000")] {
        let before = (kafka.count("bare"), kafka.produce_requests());
        let mut command = Command::new(env!("CARGO_BIN_EXE_bench"));
        command.args(["produce", "--bootstrap-servers", &kafka.address(), "--topic", "bare"]);
        command.args(["--linger-ms", "2.5", "--batch-size", "100000", "--value-size", "300"]);
        command.args(["--devices", "50", "--open-max", "5000"]).args(pace);
        command.args(["--warm-up-ms", "100", "--duration-ms", "400"]);
        let name = unique("produce");
        let mut process = Process::start(&name, command, &folder);
        assert!(process.wait(START).success(), "{}", process.tail());
        let report: Value = serde_json::from_str(process.output().trim()).expect("its report");
        let acknowledged = report["acknowledged"].as_u64().expect("a count");
        let (landed, requests) =
            (kafka.count("bare") - before.0, kafka.produce_requests() - before.1);
        assert_eq!(landed, acknowledged, "{report}");
        assert!(requests > 1 && requests < landed, "{requests} requests for {landed} records");
    }
}
