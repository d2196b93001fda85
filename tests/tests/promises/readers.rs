//! Consumers that are not ours: what data teams are given to read events, the metadata stream and raw lanes with,
//! in Python, Java and Go, sees the values that devices sent, in either format; and what was quarantined and is
//! given back becomes the events that it would have been.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use serde_json::{Map, Value, json};
use tests::foreign;
use tests::gateway::{Gateway, GatewayConfig};
use tests::kafka::{Kafka, Record, unique};
use tests::mqtt::{Client, Version};
use tests::process::Process;
use tests::tools::{Folder, program, repository, tool};
use tests::wait::{SOON, until_true};
use tests::{http, ports};

/// How long the role has for its end.
const END: Duration = Duration::from_secs(30);

/// Everything that a value can be, in its hardest form; `nothing` is null, and the second has less.
const READINGS: &str = r#"{"readings":[
    {"t":"2026-03-01T12:00:00.123456789Z","whole":9007199254740993,"least":-9223372036854775808,
     "most":"9223372036854775807","beyond":18446744073709551616,"price":19.90,
     "tiny":"-0.00000000012345678901234567890","ratio":0.1,"level":48,"never":-Infinity,"unknown":NaN,
     "nothing":null,"on":true,"name":"Zürich \"<&>\" \u0001\ud83d\ude00","image":"00ff10","seen":"1795521600.57",
     "list":[1,"2",null,{"a":9007199254740995}],"a/b~c":{"x":18446744073709551617,"y":[]}},
    {"t":"1969-12-31T23:59:59.5Z","whole":-9007199254740993}]}"#;
const BAD: &str = r#"{"readings":[{"whole":1},{"whole":"many"}]}"#;

/// What any reader has to see of the readings, each value under its type.
fn due() -> [Value; 2] {
    let text = |text: &str| json!({ "text": text });
    let decimal = |digits: &str| json!({ "decimal": digits });
    let list = json!([{ "int": 1 }, text("2"), { "null": null }, { "map": { "a": { "int": 9_007_199_254_740_995_i64 } } }]);
    let first = json!({
        "whole": { "int": 9_007_199_254_740_993_i64 },
        "least": { "int": i64::MIN },
        "most": { "int": i64::MAX },
        "beyond": decimal("18446744073709551616"),
        "price": decimal("19.90"),
        "tiny": decimal("-0.00000000012345678901234567890"),
        "ratio": { "float": 0.1 },
        "level": { "float": 48.0 },
        "never": { "float": "-inf" },
        "unknown": { "float": "nan" },
        "nothing": { "null": null },
        "on": { "bool": true },
        "name": text("Zürich \"<&>\" \u{1}\u{1f600}"),
        "image": { "bytes": "AP8Q" },
        "seen": { "time": 1_795_521_600_570_000_000_i64 },
        "list": { "list": list },
        "a/b~c": { "map": { "x": decimal("18446744073709551617"), "y": { "list": [] } } },
    });
    let second = json!({ "whole": { "int": -9_007_199_254_740_993_i64 } });
    [
        json!({ "index": 0, "time": 1_772_366_400_123_456_789_i64, "fields": first }),
        json!({ "index": 1, "time": -500_000_000, "fields": second }),
    ]
}

/// The same value, where a number that is none has the name of its language.
fn is_same(found: &Value, due: &Value) -> bool {
    match (found, due) {
        (Value::Object(found), Value::Object(due)) if due.contains_key("float") => {
            let number = |value: &Map<String, Value>| match &value["float"] {
                Value::String(name) => name.parse::<f64>().expect("a float's name"),
                number => number.as_f64().expect("a number"),
            };
            found.len() == 1
                && found.contains_key("float")
                && number(found).total_cmp(&number(due)).is_eq()
        }
        (Value::Object(found), Value::Object(due)) => {
            let is_same = |(name, due): (&String, &Value)| {
                found.get(name).is_some_and(|found| is_same(found, due))
            };
            found.len() == due.len() && due.iter().all(is_same)
        }
        (Value::Array(found), Value::Array(due)) => {
            found.len() == due.len()
                && found.iter().zip(due).all(|(found, due)| is_same(found, due))
        }
        _ => found == due,
    }
}

/// A gateway, and a parse role behind it with topics of its own.
struct Rig {
    kafka: &'static Kafka,
    gateway: Gateway,
    folder: Folder,
    prefix: String,
}

impl Rig {
    fn new() -> Rig {
        let kafka = Kafka::shared();
        let gateway = GatewayConfig::new(kafka).start_ready();
        let rig = Rig { kafka, gateway, folder: Folder::new("readers"), prefix: unique("readers") };
        let topics = ["json", "protobuf", "metadata", "quarantine"].map(|name| rig.topic(name));
        kafka.create_topics(&topics.each_ref().map(String::as_str), 3, &[]);
        rig
    }

    fn topic(&self, name: &str) -> String {
        format!("{}.{name}", self.prefix)
    }

    /// A member of the role; `whole` is the type that its parser wants of that field.
    fn parse(&self, revision: u32, whole: &str) -> Process {
        let text = std::fs::read_to_string(self.gateway.config_file()).expect("it was written");
        let mut config: Value = serde_json::from_str(&text).expect("it is JSON");
        let admin = ports::local(ports::free());
        config["admin"]["bind"] = json!(admin.to_string());
        let fields = json!({
            "whole": { "path": "whole", "type": whole },
            "most": { "path": "most", "type": "int" },
            "price": { "path": "price", "type": "decimal" },
            "tiny": { "path": "tiny", "type": "decimal" },
            "level": { "path": "level", "type": "float" },
            "image": { "path": "image", "type": "bytes", "encoding": "hex" },
            "seen": { "path": "seen", "type": "time", "unit": "s" },
        });
        let [json_topic, protobuf_topic] = [self.topic("json"), self.topic("protobuf")];
        let rule = |kind: &str, topic: &str| json!({ "when": { "topic": format!("devices/{kind}/#") }, "parser": "readings", "topic": topic });
        config["parse"] = json!({
            "pools": { "all": { "lanes": ["priority", "fast", "slow"], "group": self.topic("pool") } },
            "parsers": { "readings": {
                "format": "json", "records": "readings[]", "ignore": ["offline"], "nan": "keep",
                "time": { "field": "t", "earliest": "1960-01-01T00:00:00Z" }, "fields": fields, "revision": revision,
            } },
            "rules": [rule("meter", &json_topic), rule("pump", &protobuf_topic)],
            "canonical": { json_topic: {}, protobuf_topic: { "format": "protobuf" } },
            "metadata": { "topic": self.topic("metadata"), "group": self.topic("landed") },
            "quarantine": { "topic": self.topic("quarantine") },
        });
        let file = self.folder.join(format!("parse-{revision}.yaml"));
        std::fs::write(&file, config.to_string()).expect("the test's folder can be written");
        let mut command = Command::new(program("landfall"));
        command.args(["parse", "--config"]).arg(file).current_dir(&*self.folder);
        let mut process = Process::start("parse", command, &self.folder);
        process.until("the parse role is ready", tests::wait::START, || {
            http::get(admin, "/readyz").is_ok_and(|answer| answer.code == 200).then_some(())
        });
        process
    }

    fn publish(&self, topic: &str, payload: &str) {
        let mut client = Client::connect(self.gateway.mqtt(), Version::V5, "d-1");
        client.publish_acknowledged(topic, 1, payload.as_bytes());
    }

    /// Waits until so many messages were parsed, and both records of each are there.
    fn until_parsed(&self, messages: u64) {
        until_true("all is parsed", SOON, || {
            self.kafka.count(&self.topic("metadata")) == 2 * messages
        });
    }

    fn records(&self, name: &str) -> Vec<Record> {
        self.kafka.read_all(&self.topic(name))
    }
}

/// A consumer of `examples/consume` in one of its languages.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Language {
    Python,
    Java,
    Go,
}

const LANGUAGES: [Language; 3] = [Language::Python, Language::Java, Language::Go];

impl Language {
    /// Its program that reads events, or raw lanes.
    fn program(self, events: bool) -> Command {
        match self {
            Language::Python => {
                foreign::python_command(&example(if events { "events.py" } else { "consume.py" }))
            }
            Language::Java => {
                let folder = tool("consume-java");
                let mut command = Command::new("java");
                let path = format!("{0}/classes:{0}/dependency/*", folder.display());
                command.args(["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", &path]);
                command.arg(if events { "Events" } else { "Raw" });
                command
            }
            Language::Go => {
                Command::new(tool("consume-go").join(if events { "events" } else { "raw" }))
            }
        }
    }

    /// What it prints of so many records of these topics, a line of JSON each.
    fn read(self, rig: &Rig, events: bool, count: u64, topics: &[&[&str]]) -> Vec<Value> {
        let mut command = self.program(events);
        command.args(["--bootstrap-servers", &rig.kafka.address(), "--group", &unique("group")]);
        command.args(["--count", &count.to_string()]).args(topics.concat());
        let printed = foreign::run(&format!("{self:?}"), command);
        printed.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
    }
}

fn example(name: &str) -> PathBuf {
    repository().join("examples/consume").join(name)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text"))
}

#[test]
fn every_language_sees_the_same_values_and_what_is_missing() {
    let rig = Rig::new();
    let mut role = rig.parse(1, "int");
    rig.publish("devices/meter/d-1/log", READINGS);
    rig.publish("devices/pump/d-1/log", READINGS);
    rig.publish("devices/meter/d-1/log", BAD);
    rig.publish("devices/meter/d-1/log", "offline");
    rig.publish("devices/camera/d-1/log", "{}");
    rig.kafka.produce(&rig.gateway.topic("fast"), b"d-1", b"a stranger's", &[]);
    rig.until_parsed(6);
    role.terminate(END);

    // Beside what the role wrote, what it may write: a double, a corrected event; and one of protobuf is missing.
    let mut json = rig.records("json");
    assert_eq!(json.len(), 2, "each record of the payload is an event");
    json.sort_by_key(|record| text(&event(record)["time"]).to_owned());
    let mut corrected = event(&json[0]);
    corrected["revision"] = 2.into();
    corrected["fields"]["whole"] = 7.into();
    let corrected = Record { value: corrected.to_string().into_bytes(), ..json[0].clone() };
    let (copied, fewer) = (rig.topic("copied"), rig.topic("fewer"));
    rig.kafka.create_topics(&[&copied, &fewer], 1, &[]);
    let all = [json[0].clone(), json[1].clone(), json[0].clone(), corrected, json[1].clone()];
    rig.kafka.produce_all(&copied, &all);
    rig.kafka.produce_all(&fewer, &rig.records("protobuf")[..1]);

    let (protobuf, metadata) = (rig.topic("protobuf"), rig.topic("metadata"));
    let topics: [&[&str]; 3] =
        [&["--topic", &copied], &["--topic", &protobuf], &["--metadata", &metadata]];
    let count = [&copied, &protobuf, &metadata].map(|topic| rig.kafka.count(topic)).iter().sum();
    for language in LANGUAGES {
        let lines = language.read(&rig, true, count, &topics);
        check_events(language, &lines, &json);
        let messages = lines.iter().filter(|line| line.get("event").is_none());
        let told: BTreeSet<String> = messages.map(|line| summary(&rig, line)).collect();
        let due = [
            "message landed events - 2 of 2",
            "message landed not_data ignored 0 of 0",
            "message landed no_rule - 0 of 0",
            "message landed quarantined type_mismatch 0 of 0",
            "place landed quarantined no_envelope 0 of 0",
        ];
        assert_eq!(told, due.map(str::to_owned).into(), "{language:?}");
    }
    // Of which message something did not come.
    let topics: [&[&str]; 2] = [&["--topic", &fewer], &["--metadata", &metadata]];
    let count = 1 + rig.kafka.count(&metadata);
    let lines = Language::Python.read(&rig, true, count, &topics);
    let told: Vec<String> = lines.iter().map(|line| summary(&rig, line)).collect();
    let missing = |told: &&String| told.contains(" events - ");
    let mut missing: Vec<&String> = told.iter().filter(missing).collect();
    missing.sort();
    assert_eq!(missing, ["message landed events - 0 of 2", "message landed events - 1 of 2"]);
}

/// Each event of both formats, once, and the corrected one besides.
fn check_events(language: Language, lines: &[Value], json: &[Record]) {
    let events: Vec<&Value> = lines.iter().filter(|line| line.get("event").is_some()).collect();
    let revisions = |revision: u64| events.iter().filter(move |one| one["revision"] == revision);
    let [earlier, later] = due();
    let mut by_message: BTreeMap<&str, Vec<&Value>> = BTreeMap::new();
    for event in revisions(1) {
        by_message.entry(text(&event["message"])).or_default().push(event);
    }
    assert_eq!(by_message.len(), 2, "{language:?}: a message by JSON, one by protobuf: {lines:#?}");
    let mut ids = BTreeSet::new();
    for events in by_message.values_mut() {
        events.sort_by_key(|event| event["index"].as_u64());
        assert_eq!(events.len(), 2, "{language:?}: doubles are dropped: {events:#?}");
        for (event, due) in events.iter().zip([&earlier, &later]) {
            for part in ["index", "time", "fields"] {
                let (found, due) = (&event[part], &due[part]);
                assert!(is_same(found, due), "{language:?} reads {found:#} for {due:#}");
            }
            assert_eq!((text(&event["device"]), &event["verified"]), ("d-1", &false.into()));
            ids.insert(text(&event["event"]));
        }
    }
    let written: BTreeSet<String> =
        json.iter().map(|record| text(&event(record)["event_id"]).to_owned()).collect();
    assert!(written.iter().all(|id| ids.contains(&**id)) && ids.len() == 4, "{language:?}");
    let corrected: Vec<&&Value> = revisions(2).collect();
    assert_eq!(corrected.len(), 1, "{language:?}: the higher revision counts");
    assert_eq!(corrected[0]["fields"]["whole"], json!({ "int": 7 }));
    assert!(ids.contains(text(&corrected[0]["event"])));
}

fn event(record: &Record) -> Value {
    serde_json::from_slice(&record.value).expect("canonical JSON")
}

/// A line about a message, without its id.
fn summary(rig: &Rig, line: &Value) -> String {
    let of = match text(&line["message"]).starts_with(&rig.gateway.topic("fast")) {
        true => "place",
        false => "message",
    };
    let landed = if line["landed"] == true { "landed" } else { "not landed" };
    let word = |name: &str| line[name].as_str().unwrap_or("-").to_owned();
    let (outcome, reason) = (word("outcome"), word("reason"));
    format!("{of} {landed} {outcome} {reason} {} of {}", line["came"], line["events"])
}

#[test]
fn every_language_reads_raw_lanes() {
    let rig = Rig::new();
    let fast = rig.gateway.topic("fast");
    let topics: [&[&str]; 1] = [&["--topic", &fast]];
    rig.publish("devices/meter/d-1/power", "first");
    rig.kafka.produce(&fast, b"d-1", b"a stranger's", &[]);
    rig.publish("devices/meter/d-1/power", "second");
    for language in LANGUAGES {
        let lines = language.read(&rig, false, 2, &topics);
        let payloads: Vec<&str> = lines.iter().map(|line| text(&line["payload"])).collect();
        assert_eq!(payloads, ["Zmlyc3Q=", "c2Vjb25k"], "{language:?}");
        for line in &lines {
            assert_eq!(text(&line["device"]), "d-1", "{language:?}");
            assert_eq!(text(&line["topic"]), "devices/meter/d-1/power", "{language:?}");
            assert!(line["received_ms"].as_i64() > Some(1_600_000_000_000), "{language:?}: {line}");
        }
    }
}

#[test]
fn what_was_quarantined_is_given_back_to_a_corrected_parser() {
    let rig = Rig::new();
    let mut role = rig.parse(1, "int");
    rig.publish("devices/meter/d-1/log", BAD);
    rig.publish("devices/meter/d-1/log", "{\"readings\":");
    rig.until_parsed(2);
    role.terminate(END);
    let quarantined = rig.records("quarantine");
    assert_eq!(quarantined.len(), 2);
    assert_eq!(rig.kafka.count(&rig.topic("json")), 0, "nothing of a message that fails is seen");

    // As a consumer of raw lanes sees it.
    let quarantine = rig.topic("quarantine");
    let lines = Language::Python.read(&rig, false, 2, &[&["--topic", &quarantine]]);
    let reasons: BTreeSet<&str> = lines.iter().map(|line| text(&line["reason"])).collect();
    assert_eq!(reasons, ["truncated", "type_mismatch"].into());

    let replay = |more: &[&str]| -> Vec<Value> {
        let mut command = foreign::python_command(&example("replay.py"));
        command.args(["--bootstrap-servers", &rig.kafka.address(), "--quarantine", &quarantine]);
        command.args(["--reason", "type_mismatch", "--group", &rig.topic("replay")]).args(more);
        let printed = foreign::run("replay", command);
        printed.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
    };
    let would = replay(&["--dry-run"]);
    assert_eq!(would.len(), 1, "{would:?}");
    assert_eq!(
        (text(&would[0]["reason"]), text(&would[0]["parser"])),
        ("type_mismatch", "readings")
    );
    let raw = rig.kafka.count(&rig.gateway.topic("fast"));
    assert_eq!(raw, 2, "nothing was written");
    assert_eq!(replay(&[]), would);
    assert_eq!(replay(&[]), Vec::<Value>::new(), "it is given back once");

    let mut role = rig.parse(2, "text");
    rig.until_parsed(3);
    role.terminate(END);
    let events = rig.records("json");
    let fields: BTreeSet<String> =
        events.iter().map(|record| event(record)["fields"].to_string()).collect();
    assert_eq!(fields, ["{\"whole\":\"1\"}", "{\"whole\":\"many\"}"].map(str::to_owned).into());
    let metadata = rig.records("metadata");
    let ids: BTreeSet<String> =
        metadata.iter().map(|record| text(&event(record)["message_id"]).to_owned()).collect();
    assert_eq!(ids.len(), 2, "it is the message that it was");
    assert!(events.iter().all(|record| ids.contains(text(&event(record)["message_id"]))));
    assert_eq!(rig.kafka.count(&quarantine), 2, "nothing failed again");
}
