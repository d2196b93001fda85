//! The fleet's events come by the configuration that ships with it, and the proof of them is put to the
//! proof: what is wrong behind the raw lanes is found.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use parse::canonical::{Context, json};
use parse::compile::compile;
use parse::event::Event;
use parse::facts::Facts;
use parse::failure::{Failure, Outcome};
use parse::limits::Limits;
use parse::parser::{Declared, Parser as _, Sink};
use parse::written;
use proto::v1::envelope::Payload;
use proto::v1::{Envelope, IdentityTrust};
use serde::Deserialize;
use serde_json::{Value, json};
use tests::gateway::{Gateway, GatewayConfig};
use tests::kafka::{Kafka, Record, unique};
use tests::process::Process;
use tests::s3::S3;
use tests::tools::{Folder, program};

const RUN_WAIT: Duration = Duration::from_secs(90);
/// What the configuration's canonical topics have, in milliseconds.
const BUCKET_MS: i64 = 3_600_000;

/// The parts of `parse.yaml` that are needed here.
#[derive(Deserialize)]
struct Configuration {
    parse: Section,
}

#[derive(Deserialize)]
struct Section {
    parsers: BTreeMap<String, written::Parser>,
    rules: Vec<Rule>,
    canonical: BTreeMap<String, Value>,
}

#[derive(Deserialize)]
struct Rule {
    when: When,
    parser: String,
    topic: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct When {
    topic: String,
    firmware: Option<String>,
}

/// The fleet's configuration at work.
struct Parsers {
    parsers: BTreeMap<String, Declared>,
    rules: Vec<Rule>,
}

impl Parsers {
    fn new() -> Parsers {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/device-sim/parse.yaml");
        let text = std::fs::read_to_string(file).expect("it ships with the simulator");
        let Configuration { parse } = serde_saphyr::from_str(&text).expect("it is YAML");
        let compiled = |(name, written): (String, written::Parser)| {
            let parser = compile(&written, Limits::default());
            let parser = parser.unwrap_or_else(|faults| panic!("{name}: {faults:?}"));
            (name, parser)
        };
        let parsers: BTreeMap<String, Declared> = parse.parsers.into_iter().map(compiled).collect();
        for rule in &parse.rules {
            assert!(parsers.contains_key(&rule.parser), "{} is no parser", rule.parser);
            assert!(parse.canonical.contains_key(&rule.topic), "{} is no topic", rule.topic);
        }
        let used = |name: &&String| parse.rules.iter().any(|rule| rule.parser == **name);
        assert_eq!(parsers.keys().filter(used).count(), parsers.len(), "every parser is used");
        Parsers { parsers, rules: parse.rules }
    }

    /// The first rule that holds.
    fn rule(&self, topic: &str, firmware: &str) -> &Rule {
        let holds = |rule: &&Rule| {
            let by_firmware = match rule.when.firmware.as_deref() {
                None => true,
                Some(">=4") => firmware.starts_with('4'),
                Some(other) => panic!("this test knows no {other}"),
            };
            by_firmware && matches(&rule.when.topic, topic)
        };
        self.rules.iter().find(holds).unwrap_or_else(|| panic!("{topic} has no rule"))
    }
}

fn matches(filter: &str, topic: &str) -> bool {
    let (mut filter, mut topic) = (filter.split('/'), topic.split('/'));
    loop {
        match (filter.next(), topic.next()) {
            (Some("#"), _) | (None, None) => return true,
            (Some(wanted), Some(level)) if wanted == "+" || wanted == level => {}
            _ => return false,
        }
    }
}

/// The events of a message, as canonical JSON.
struct Written<'c> {
    context: &'c Context<'c>,
    events: Vec<Value>,
}

impl Sink for Written<'_> {
    fn event(&mut self, event: Event<'_>) {
        let mut out = Vec::new();
        json::write(self.context, &event, &mut out);
        self.events.push(serde_json::from_slice(&out).expect("it is JSON"));
    }

    fn skipped(&mut self, failure: Failure) {
        panic!("nothing of this fleet is left out: {failure}");
    }
}

fn parsed(parser: &Declared, payload: &[u8], context: &Context<'_>) -> Result<Vec<Value>, Failure> {
    let mut written = Written { context, events: Vec::new() };
    match parser.parse(payload, context.facts, &mut written) {
        Outcome::Events { .. } => Ok(written.events),
        Outcome::Failed(failure) => Err(failure),
        Outcome::NotData(why) => panic!("everything of this fleet is data: {}", why.label()),
    }
}

fn sim(folder: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(program("device-sim"));
    command.args(arguments).current_dir(folder);
    let own = Folder::new("device-sim");
    let mut process = Process::start("device-sim", command, &own);
    let code = process.wait(RUN_WAIT).code();
    (code, process.output())
}

#[test]
fn every_payload_of_the_fleet_gives_what_its_device_said() {
    let parsers = Parsers::new();
    let folder = Folder::new("show");
    let size = ["--devices", "120", "--messages", "60", "--large-size", "30000"];
    let (code, said) = sim(&folder, &[&["show", "--format", "json"], &size[..]].concat());
    assert_eq!(code, Some(0), "{said}");
    let mut seen: BTreeMap<(String, String), u64> = BTreeMap::new();
    let mut events = 0;
    for line in said.lines() {
        let shown: Value = serde_json::from_str(line).expect("a message in each line");
        let text = |name: &str| shown[name].as_str().unwrap_or_default();
        let (topic, device) = (text("topic"), text("device"));
        let payload = STANDARD.decode(text("payload")).expect("base64");
        let rule = parsers.rule(topic, text("firmware"));
        let facts = Facts {
            topic,
            received_ms: now_ms(),
            device_id: device,
            verified: false,
            attributes: &[],
        };
        let context = Context { parser: &rule.parser, ..context(&facts) };
        let outcome = match parsed(&parsers.parsers[&rule.parser], &payload, &context) {
            Err(failure) => {
                assert_eq!(text("fails"), failure.reason.label(), "{topic}: {failure}");
                failure.reason.label()
            }
            Ok(found) => {
                assert_eq!(shown["fails"], Value::Null, "{topic} by {}", rule.parser);
                let due = shown["events"].as_array().expect("a list");
                assert_eq!(found.len(), due.len(), "{topic} by {}", rule.parser);
                for (found, due) in found.iter().zip(due) {
                    for part in ["index", "time", "fields", "types"] {
                        assert_eq!(found[part], due[part], "{topic} by {}", rule.parser);
                    }
                    assert_eq!(found["time_from"], "payload");
                    assert_eq!(found["time_flag"], Value::Null);
                }
                events += due.len();
                "events"
            }
        };
        *seen.entry((rule.parser.clone(), outcome.to_owned())).or_default() += 1;
    }
    let times = |parser: &str, outcome: &str| {
        seen.get(&(parser.to_owned(), outcome.to_owned())).copied().unwrap_or(0)
    };
    for parser in parsers.parsers.keys() {
        assert!(times(parser, "events") > 0, "{parser} had nothing to do: {seen:?}");
    }
    for reason in ["truncated", "not_utf8", "column_count", "decompress"] {
        assert!(seen.keys().any(|(_, outcome)| outcome == reason), "no {reason}: {seen:?}");
    }
    assert!(events > 10_000, "{events}");
    // The same seed says the same: but for the time, which is now.
    let (_, again) = sim(&folder, &[&["show", "--format", "json"], &size[..]].concat());
    let fields = |said: &str| -> Vec<Value> {
        let line = |line: &str| -> Value { serde_json::from_str(line).expect("JSON") };
        let message = |shown: Value| json!([shown["topic"], shown["fails"], fields_of(&shown)]);
        said.lines().map(|text| message(line(text))).collect()
    };
    assert!(fields(&said) == fields(&again), "a seed is a fleet with all that it says");
}

fn fields_of(shown: &Value) -> Value {
    let events = shown["events"].as_array().expect("a list");
    events.iter().map(|event| event["fields"].clone()).collect()
}

fn now_ms() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.expect("it is later than 1970").as_millis() as i64
}

fn context<'a>(facts: &'a Facts<'a>) -> Context<'a> {
    Context {
        facts,
        message_id: [0; 16],
        device_type: "",
        firmware_version: "",
        group: "",
        lane: "",
        topic: "",
        partition: 0,
        offset: 0,
        parser: "",
        revision: 1,
    }
}

/// What a parse role makes of the raw lanes. All events are in one canonical topic here: what it is called is
/// nothing to the proof.
struct Made {
    events: Vec<Record>,
    quarantine: Vec<Record>,
    metadata: Vec<Record>,
}

/// Plays the parse role: each lane in its order, each message once.
fn made(kafka: &Kafka, gateway: &Gateway, parsers: &Parsers) -> Made {
    let mut made = Made { events: Vec::new(), quarantine: Vec::new(), metadata: Vec::new() };
    for lane in ["priority", "fast", "slow", "dead-letter"] {
        for raw in kafka.read_all(&gateway.topic(lane)) {
            made.take(&raw, parsers);
        }
    }
    made
}

impl Made {
    fn take(&mut self, raw: &Record, parsers: &Parsers) {
        let envelope = raw.envelope();
        let message_id: [u8; 16] = envelope.message_id[..].try_into().expect("16 bytes");
        let payload = match &envelope.payload {
            Some(Payload::Inline(payload)) => payload.to_vec(),
            Some(Payload::Reference(reference)) => S3::shared().object(&reference.uri),
            None => panic!("a message has a payload"),
        };
        let rule = parsers.rule(&envelope.source_topic, &envelope.firmware_version);
        let facts = Facts {
            topic: &envelope.source_topic,
            received_ms: envelope.received_ms,
            device_id: &envelope.device_id,
            verified: envelope.device_id_trust() == IdentityTrust::Verified,
            attributes: &[],
        };
        let context = Context {
            facts: &facts,
            message_id,
            device_type: &envelope.device_type,
            firmware_version: &envelope.firmware_version,
            group: &envelope.group,
            lane: &envelope.lane,
            topic: &raw.topic,
            partition: raw.partition,
            offset: raw.offset,
            parser: &rule.parser,
            revision: 1,
        };
        let mut metadata = metadata(raw, &envelope);
        metadata["kind"] = json!("landed");
        self.metadata.push(record(&envelope.device_id, &metadata));
        metadata["kind"] = json!("parsed");
        metadata["parser"] = json!(rule.parser);
        match parsed(&parsers.parsers[&rule.parser], &payload, &context) {
            Ok(events) => {
                metadata["outcome"] = json!("events");
                metadata["events"] = json!(events.len());
                for event in events {
                    let bucket = milliseconds(&event["time"]).div_euclid(BUCKET_MS) * BUCKET_MS;
                    self.events.push(record(&format!("{}/{bucket}", envelope.device_id), &event));
                }
            }
            Err(failure) => {
                metadata["outcome"] = json!("quarantined");
                metadata["reason"] = json!(failure.reason.label());
                metadata["events"] = json!(0);
                let source = format!("{}/{}/{}", raw.topic, raw.partition, raw.offset);
                let header = |name: &str, value: &str| (name.to_owned(), value.as_bytes().to_vec());
                self.quarantine.push(Record {
                    headers: vec![
                        header("landfall-reason", failure.reason.label()),
                        header("landfall-parser", &rule.parser),
                        header("landfall-source", &source),
                        header("landfall-detail", &failure.detail),
                    ],
                    ..raw.clone()
                });
            }
        }
        self.metadata.push(record(&envelope.device_id, &metadata));
    }
}

fn metadata(raw: &Record, envelope: &Envelope) -> Value {
    let digits: String = envelope.message_id.iter().map(|byte| format!("{byte:02x}")).collect();
    let parts = [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]];
    json!({
        "message_id": parts.join("-"),
        "device_id": envelope.device_id,
        "verified": envelope.device_id_trust() == IdentityTrust::Verified,
        "device_type": envelope.device_type,
        "firmware_version": envelope.firmware_version,
        "group": envelope.group,
        "lane": envelope.lane,
        "topic": envelope.source_topic,
        "received": rfc3339(envelope.received_ms),
        "event_start": envelope.event_start_ms.map(rfc3339),
        "event_end": envelope.event_end_ms.map(rfc3339),
        "size": envelope.payload_size,
        "source": { "topic": raw.topic, "partition": raw.partition, "offset": raw.offset },
    })
}

fn rfc3339(ms: i64) -> String {
    let since = Duration::from_millis(ms.unsigned_abs());
    humantime::format_rfc3339_millis(std::time::UNIX_EPOCH + since).to_string()
}

fn milliseconds(time: &Value) -> i64 {
    let time = humantime::parse_rfc3339(time.as_str().expect("a text")).expect("a time");
    time.duration_since(std::time::UNIX_EPOCH).expect("later").as_millis() as i64
}

fn record(key: &str, value: &Value) -> Record {
    Record {
        topic: String::new(),
        partition: 0,
        offset: 0,
        key: Some(key.as_bytes().to_vec()),
        value: value.to_string().into_bytes(),
        headers: Vec::new(),
        timestamp_ms: None,
    }
}

/// The topics that `verify` is told of.
#[derive(Clone)]
struct Topics {
    events: String,
    quarantine: String,
    metadata: String,
}

/// A topic of its own with these records.
fn topic(kafka: &Kafka, name: &str, records: &[Record]) -> String {
    let topic = unique(name);
    kafka.create_topics(&[&topic], 3, &[]);
    kafka.produce_all(&topic, records);
    topic
}

fn verify(
    folder: &Path,
    gateway: &Gateway,
    topics: &Topics,
    more: &[&str],
) -> (Option<i32>, String) {
    let config = gateway.config_file().display().to_string();
    let arguments = ["verify", "--ledger", "ledger", "--config", &config, "--canonical"];
    let named = [
        "--canonical-topics",
        &topics.events,
        "--quarantine-topic",
        &topics.quarantine,
        "--metadata-topic",
        &topics.metadata,
    ];
    sim(folder, &[&arguments[..], &named, more].concat())
}

#[test]
fn verify_finds_what_is_wrong_behind_the_raw_lanes() {
    let kafka = Kafka::shared();
    let (s3, bucket) = (S3::shared(), unique("events"));
    s3.create_bucket(&bucket);
    let section = S3::section(&bucket, s3.address());
    let gateway = GatewayConfig::new(kafka).set("object_store", section).start_ready();
    let folder = Folder::new("fleet");
    let address = gateway.mqtt().to_string();
    let run =
        ["run", "--gateway", &address, "--devices", "60", "--rate", "400", "--duration", "4s"];
    let how = ["--seed", "7", "--large-size", "600000", "--ledger", "ledger"];
    let (code, said) = sim(&folder, &[&run[..], &how].concat());
    assert_eq!(code, Some(0), "{said}");
    let parsers = Parsers::new();
    let whole = made(kafka, &gateway, &parsers);
    assert!(!whole.quarantine.is_empty(), "some messages of the fleet are corrupt");
    let topics = Topics {
        events: topic(kafka, "canonical", &whole.events),
        quarantine: topic(kafka, "quarantine", &whole.quarantine),
        metadata: topic(kafka, "metadata", &whole.metadata),
    };
    let (code, said) = verify(&folder, &gateway, &topics, &["--no-doubles", "--since-start"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("all events are there") && said.contains("all is there"), "{said}");

    // One thing at a time is done to what was made.
    let wrong = |what: &str, topics: Topics, counts: [u32; 7]| {
        let (code, said) = verify(&folder, &gateway, &topics, &[]);
        assert_eq!(code, Some(1), "{what}: {said}");
        let [missing, changed, disorder, double, never, quarantine, metadata] = counts;
        let counted = format!(
            "{missing} events missing, {changed} changed, {disorder} out of order, {double} double, {never} never said, {quarantine} wrong in quarantine, {metadata} wrong in metadata"
        );
        assert!(said.contains(&counted), "{what}: {said}");
        let ends = said.contains("all is there\n") && said.contains("NOT all events are well");
        assert!(ends, "{what}: {said}");
    };
    let with_events = |change: &dyn Fn(&mut Vec<Record>)| {
        let mut events = whole.events.clone();
        change(&mut events);
        Topics { events: topic(kafka, "canonical", &events), ..topics.clone() }
    };
    wrong("a dropped event", with_events(&|events| drop(events.remove(7))), [1, 0, 0, 0, 0, 0, 0]);
    let swapped = with_events(&|events| {
        let is_pair = |at: &usize| events[*at].key == events[at + 1].key;
        let at = (0..events.len() - 1).find(is_pair).expect("a key has several events");
        events.swap(at, at + 1);
    });
    wrong("a swapped pair", swapped, [0, 0, 1, 0, 0, 0, 0]);
    let changed = with_events(&|events| {
        let mut value: Value = serde_json::from_slice(&events[3].value).expect("JSON");
        value["fields"]["site"] = json!("elsewhere");
        events[3].value = value.to_string().into_bytes();
    });
    wrong("a changed value", changed, [0, 1, 0, 0, 0, 0, 0]);
    // A `landed` and a `parsed` record.
    for at in [0, 1] {
        let mut records = whole.metadata.clone();
        records.remove(at);
        let topics = Topics { metadata: topic(kafka, "metadata", &records), ..topics.clone() };
        wrong("a missing record of metadata", topics, [0, 0, 0, 0, 0, 0, 1]);
    }
    let fewer = topic(kafka, "quarantine", &whole.quarantine[1..]);
    let fewer = Topics { quarantine: fewer, ..topics.clone() };
    wrong("one missing in quarantine", fewer, [0, 0, 0, 0, 0, 1, 0]);

    // What a rebalance has written once more is counted, and is wrong only where it is said to be.
    let twice = with_events(&|events| {
        let batch = events[..20].to_vec();
        events.splice(20..20, batch);
    });
    let (code, said) = verify(&folder, &gateway, &twice, &[]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("20 doubles by id"), "{said}");
    let (code, said) = verify(&folder, &gateway, &twice, &["--no-doubles", "--format", "json"]);
    assert_eq!(code, Some(1), "{said}");
    let said: Value = serde_json::from_str(&said).expect("it is JSON");
    assert_eq!(said["canonical"]["wrong"]["double"], 20);
    assert_eq!(said["findings"], json!([]));

    let nowhere = Topics { events: unique("nowhere"), ..topics };
    let (code, _) = verify(&folder, &gateway, &nowhere, &[]);
    assert_eq!(code, Some(1), "a topic that is not there");
}
