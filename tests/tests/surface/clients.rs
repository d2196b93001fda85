//! Clients that are not ours publish, and clients that are not ours read: every version and quality of
//! service, the record as Kafka's own tools see it, the envelope as another language decodes it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tests::foreign;
use tests::gateway::{Gateway, GatewayConfig};
use tests::kafka::{Kafka, unique};
use tests::mqtt::{Client, Publish, Version};
use tests::process::Process;
use tests::s3::S3;
use tests::tools::{Folder, program, repository};
use tests::wait::{SOON, START, until_true};

/// Messages of each client.
const COUNT: usize = 5;
/// More than a lane takes inline.
const LARGE: usize = 700 * 1024;

#[test]
fn mosquitto_pub_in_every_version_and_quality_of_service() {
    let kafka = Kafka::shared();
    let gateway = GatewayConfig::new(kafka).start_ready();
    let port = gateway.mqtt().port().to_string();
    let mut expected = BTreeMap::new();
    for version in ["mqttv31", "mqttv311", "mqttv5"] {
        for qos in ["0", "1", "2"] {
            let device = format!("{version}-{qos}");
            let topic = format!("devices/meter/{device}/power");
            let payload = format!("from {device}");
            let arguments = ["-p", &port, "-V", version, "-q", qos, "-i", &device, "-t", &topic];
            foreign::mosquitto_pub(&[&arguments[..], &["-m", &payload]].concat());
            expected.insert(device, (qos.to_owned(), payload));
        }
    }
    let records = kafka.wait_for(&gateway.topic("fast"), expected.len(), SOON);
    for record in &records {
        let envelope = record.envelope();
        let (qos, payload) = &expected[&envelope.device_id];
        assert_eq!(envelope.qos.to_string(), *qos, "{envelope:?}");
        assert_eq!(record.payload(), payload.as_bytes());
        assert_eq!(record.key_text(), envelope.device_id);
    }
    assert_eq!(records.len(), expected.len(), "each message landed once");
}

#[test]
fn mosquitto_pub_with_properties_of_version_5() {
    let kafka = Kafka::shared();
    let gateway = GatewayConfig::new(kafka).start_ready();
    let port = gateway.mqtt().port().to_string();
    foreign::mosquitto_pub(&[
        "-p",
        &port,
        "-V",
        "mqttv5",
        "-q",
        "1",
        "-i",
        "m-1",
        "-t",
        "devices/meter/m-1/alarm",
        "-m",
        "hot",
        "-D",
        "publish",
        "content-type",
        "text/plain",
        "-D",
        "publish",
        "user-property",
        "site",
        "Z\u{fc}rich",
    ]);
    let record = &kafka.wait_for(&gateway.topic("priority"), 1, SOON)[0];
    let envelope = record.envelope();
    assert_eq!(envelope.content_type, "text/plain");
    assert_eq!(envelope.user_properties.len(), 1);
    assert_eq!(envelope.user_properties[0].name, "site");
    assert_eq!(envelope.user_properties[0].value, "Z\u{fc}rich");
    assert_eq!(envelope.lane, "priority");
}

#[test]
fn paho_and_mqtt_js_are_read_back_in_python_and_with_kcat() {
    let kafka = Kafka::shared();
    let gateway = GatewayConfig::new(kafka).start_ready();
    for version in ["3", "4", "5"] {
        for qos in ["0", "1", "2"] {
            publish(&gateway, foreign::python, "paho_publish.py", "paho", version, qos);
            publish(&gateway, foreign::node, "mqttjs_publish.js", "js", version, qos);
        }
    }
    let topic = gateway.topic("fast");
    let total = 2 * 3 * 3 * COUNT;
    let servers = kafka.address();
    let lines = foreign::python("read_envelopes.py", &[&servers, &topic, &total.to_string()]);
    let mut by_device: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for line in lines.lines() {
        let record: Value = serde_json::from_str(line).expect("a line of JSON");
        let device = check_record(&record);
        by_device.entry(device).or_default().push(text(&record["payload"]));
    }
    assert_eq!(by_device.len(), 2 * 3 * 3);
    for (device, payloads) in &by_device {
        let expected: Vec<String> =
            (1..=COUNT).map(|number| format!("{device} {number}")).collect();
        assert_eq!(*payloads, expected, "a device's messages keep their order");
    }

    let format = "%k|%h|%S\\n";
    let listed = foreign::kcat(&["-C", "-q", "-e", "-b", &servers, "-t", &topic, "-f", format]);
    // It ends with an empty line.
    let listed: Vec<&str> = listed.lines().filter(|line| !line.is_empty()).collect();
    assert_eq!(listed.len(), total, "{listed:#?}");
    for line in listed {
        assert!(line.contains("content-type=application/protobuf"), "{line}");
        assert!(
            line.starts_with("paho-") || line.starts_with("js-"),
            "the key is the device: {line}"
        );
    }
}

#[test]
fn mosquitto_sub_sees_what_devices_send() {
    let gateway = GatewayConfig::new(Kafka::shared()).start_ready();
    let port = gateway.mqtt().port().to_string();
    let folder = Folder::new("mosquitto_sub");
    let filters = [("mqttv31", "#"), ("mqttv311", "devices/+/+/power"), ("mqttv5", "devices/#")];
    let subscribers = filters.map(|(version, filter)| {
        let arguments = ["-p", &port, "-V", version, "-q", "1", "-v", "-t", filter];
        foreign::mosquitto_sub(&folder, version, &arguments)
    });
    until_true("all subscribers saw a message", START, || {
        let topic = "devices/meter/m-1/power";
        foreign::mosquitto_pub(&["-p", &port, "-q", "1", "-t", topic, "-m", "21 W"]);
        let line = format!("{topic} 21 W");
        subscribers.iter().all(|subscriber| subscriber.output().contains(&line))
    });
}

#[test]
fn the_example_consumer_drops_doubles_and_trusts_no_reference() {
    let kafka = Kafka::shared();
    let folder = Folder::new("objects");
    let url = format!("file://{}/Geräte/a~b/100%25/my%20devices/", folder.display());
    let gateway = GatewayConfig::with_partitions(kafka, 1)
        .set("object_store", serde_json::json!({ "url": url }))
        .start_ready();
    let (fast, slow) = (gateway.topic("fast"), gateway.topic("slow"));
    kafka.produce(&fast, b"c-1", b"\xff\xff no envelope", &[]);
    let topic = "devices/camera/c-1/image";
    let large = vec![7; LARGE];
    let mut client = Client::connect(gateway.mqtt(), Version::V311, "c-1");
    client.publish_acknowledged(topic, 1, b"first");
    // The acknowledgement got lost with the connection.
    let mut client = Client::connect(gateway.mqtt(), Version::V311, "c-1");
    client.publish(&Publish::new(topic, b"first").qos1(1).dup());
    client.expect_puback(1);
    client.publish_acknowledged(topic, 2, b"same");
    // It wakes up again and has the same to say: another message.
    let mut client = Client::connect(gateway.mqtt(), Version::V311, "c-1");
    client.publish_acknowledged(topic, 2, b"same");
    client.publish_acknowledged(topic, 3, b"last");
    client.publish_acknowledged(topic, 4, &large);
    assert_eq!(kafka.wait_for(&fast, 6, SOON).len(), 6, "the double has landed too");

    let servers = kafka.address();
    let texts: [&[u8]; 4] = [b"first", b"same", b"same", b"last"];
    let consume = |topic: &str, count: &str| {
        let mut command = example_consumer(&servers, topic, count);
        command.args(["--object-store", &url]);
        command
    };
    let read = hashes(&foreign::run("consume", consume(&fast, "4")));
    assert_eq!(read, texts.map(hash));
    let read = hashes(&foreign::run("consume", consume(&slow, "1")));
    assert_eq!(read, [hash(&large)]);

    // What it cannot trust ends it, and says so.
    let without_store = ends_badly(example_consumer(&servers, &slow, "1"));
    assert!(without_store.contains("is not under --object-store"), "{without_store}");
    let elsewhere = Folder::new("elsewhere");
    let outside = elsewhere.join("1");
    for object in files(&folder) {
        std::fs::rename(&object, &outside).expect("the object can be moved");
        std::os::unix::fs::symlink(&outside, &object).expect("a link");
    }
    let led_out = ends_badly(consume(&slow, "1"));
    assert!(led_out.contains("is no file in"), "{led_out}");
    for object in files(&folder) {
        std::fs::remove_file(&object).expect("it is a link");
        std::fs::write(object, vec![8; LARGE]).expect("the object can be changed");
    }
    let changed = ends_badly(consume(&slow, "1"));
    assert!(changed.contains("its size or hash differs"), "{changed}");
}

#[test]
fn the_example_consumer_and_tail_read_from_s3() {
    let (kafka, s3, bucket) = (Kafka::shared(), S3::shared(), unique("bucket"));
    s3.create_bucket(&bucket);
    let section = S3::section(&bucket, s3.address());
    let option = |name: &str| text(&section["options"][name]);
    let gateway = GatewayConfig::new(kafka).set("object_store", section.clone()).start_ready();
    let large = vec![9; LARGE];
    let mut client = Client::connect(gateway.mqtt(), Version::V5, "c-1");
    client.publish_acknowledged("devices/camera/c-1/image", 1, &large);
    let mut command = example_consumer(&kafka.address(), &gateway.topic("slow"), "1");
    command.args(["--object-store", &text(&section["url"])]);
    command.args(["--s3-endpoint", &option("endpoint")]);
    command.env("AWS_ACCESS_KEY_ID", option("access_key_id"));
    command.env("AWS_SECRET_ACCESS_KEY", option("secret_access_key"));
    command.env("AWS_DEFAULT_REGION", option("region"));
    assert_eq!(hashes(&foreign::run("consume", command)), [hash(&large)]);
    let mut tail = Command::new(program("landfall"));
    tail.args(["tail", "slow", "--count", "1", "--config"]).arg(gateway.config_file());
    let shown = foreign::run("tail", tail);
    assert!(shown.contains("\\t\\t") && !shown.contains("cannot be read"), "{shown}");
}

fn example_path() -> PathBuf {
    repository().join("examples/consume/consume.py")
}

/// `examples/consume/consume.py` in a consumer group of its own.
fn example_consumer(servers: &str, topic: &str, count: &str) -> Command {
    let mut command = foreign::python_command(&example_path());
    command.args(["--bootstrap-servers", servers, "--topic", topic, "--count", count]);
    command.args(["--group", &unique("consume")]);
    command
}

/// The hashes that it printed.
fn hashes(lines: &str) -> Vec<String> {
    let hash = |line| text(&serde_json::from_str::<Value>(line).expect("a line of JSON")["sha256"]);
    lines.lines().map(hash).collect()
}

fn hash(payload: &[u8]) -> String {
    Sha256::digest(payload).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Runs it to an end with exit code 1; returns what it said.
fn ends_badly(command: Command) -> String {
    let folder = Folder::new("consume");
    let mut process = Process::start("consume", command, &folder);
    assert_eq!(process.wait(START).code(), Some(1), "{}", process.log());
    process.log()
}

/// All files of a folder and of the folders in it.
fn files(folder: &std::path::Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("it can be read").flatten();
    entries
        .flat_map(|entry| match entry.path() {
            path if path.is_dir() => files(&path),
            path => vec![path],
        })
        .collect()
}

type Run = fn(&str, &[&str]) -> String;

fn publish(gateway: &Gateway, run: Run, script: &str, name: &str, version: &str, qos: &str) {
    let port = gateway.mqtt().port().to_string();
    let device = format!("{name}-{version}-{qos}");
    let topic = format!("devices/meter/{device}/power");
    run(script, &[&port, version, &device, &topic, qos, &COUNT.to_string()]);
}

/// The record of one of the scripts' messages, in Python's eyes; returns its device.
fn check_record(record: &Value) -> String {
    let envelope = &record["envelope"];
    let device = text(&envelope["device_id"]);
    assert_eq!(record["key"], envelope["device_id"]);
    assert_eq!(record["headers"]["content-type"], "application/protobuf");
    assert!(record["headers"].as_object().expect("a map").len() <= 3, "{record}");
    assert_eq!(envelope["device_type"], "meter");
    assert_eq!(envelope["device_id_trust"], "IDENTITY_TRUST_CLAIMED");
    assert_eq!(envelope["source_topic"], format!("devices/meter/{device}/power"));
    assert_eq!(envelope["lane"], "fast");
    assert_eq!(envelope["gateway_id"], "gw-test");
    let parts: Vec<&str> = device.split('-').collect();
    let [_, version, qos] = parts[..] else { panic!("{device} is none of the scripts' clients") };
    // Protobuf's JSON leaves zeros out.
    assert_eq!(envelope["qos"].as_u64().unwrap_or(0).to_string(), qos);
    if version == "5" {
        assert_eq!(envelope["content_type"], "text/plain");
        assert_eq!(envelope["firmware_version"], "2.10.1");
    } else {
        assert_eq!(envelope["content_type"], Value::Null);
    }
    device
}

fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}
