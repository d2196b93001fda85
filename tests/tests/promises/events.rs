//! The fleet's events come by the configuration that ships with it, and the proof of them is put to the
//! proof: what is wrong behind the raw lanes is found.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gateway::config::{Secrets, load_parse};
use parse::canonical::read::read;
use parse::canonical::{Context, json};
use parse::event::Event;
use parse::facts::Facts;
use parse::failure::{Failure, Outcome};
use parse::parser::{Parser, Sink};
use parse::plan::Plan;
use parse::plan::rules::{RawMessage, Rule};
use parse::plan::topic::CanonicalTopic;
use prost::Message as _;
use proto::v1::envelope::Payload;
use proto::v1::{Envelope, IdentityTrust};
use serde_json::{Value, json};
use tests::gateway::{Gateway, GatewayConfig};
use tests::kafka::{Kafka, Record, unique};
use tests::process::Process;
use tests::s3::S3;
use tests::tools::{Folder, program};

const RUN_WAIT: Duration = Duration::from_secs(90);
/// The configuration that ships with the fleet, as a parse role reads it.
fn plan() -> Plan {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/device-sim/parse.yaml");
    let settings = load_parse(&file, [], Secrets::Read, &[]);
    settings.unwrap_or_else(|faults| panic!("{faults}")).plan
}

/// The first rule that holds.
fn rule<'p>(plan: &'p Plan, lane: &str, envelope: &Envelope, facts: &Facts<'_>) -> &'p Rule {
    let found = plan.rules.first_match(lane, &RawMessage { envelope, facts });
    found.unwrap_or_else(|| panic!("{} has no rule", facts.topic)).1
}

/// The events of a message, each with its key, as canonical JSON.
struct Written<'c> {
    topic: &'c CanonicalTopic,
    context: &'c Context<'c>,
    events: Vec<(Vec<u8>, Value)>,
}

impl Sink for Written<'_> {
    fn event(&mut self, event: Event<'_>) {
        let (mut key, mut out) = (Vec::new(), Vec::new());
        self.topic.key.write(self.context.facts, &event, &mut key);
        json::write(self.context, &event, &mut out);
        self.events.push((key, serde_json::from_slice(&out).expect("it is JSON")));
    }

    fn skipped(&mut self, failure: Failure) {
        panic!("nothing of this fleet is left out: {failure}");
    }
}

fn parsed(
    parser: &dyn Parser,
    payload: &[u8],
    topic: &CanonicalTopic,
    context: &Context<'_>,
) -> Result<Vec<(Vec<u8>, Value)>, Failure> {
    let mut written = Written { topic, context, events: Vec::new() };
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
    let plan = plan();
    let folder = Folder::new("show");
    let size = ["--devices", "120", "--messages", "60", "--large-size", "30000"];
    let (code, said) = sim(&folder, &[&["show", "--format", "json"], &size[..]].concat());
    assert_eq!(code, Some(0), "{said}");
    let mut seen: BTreeMap<(String, String), u64> = BTreeMap::new();
    let mut events = 0;
    for line in said.lines() {
        let shown: Value = serde_json::from_str(line).expect("a message in each line");
        let text = |name: &str| shown[name].as_str().unwrap_or_default();
        let topic = text("topic");
        let payload = STANDARD.decode(text("payload")).expect("base64");
        let envelope = Envelope {
            source_topic: topic.to_owned(),
            device_id: text("device").to_owned(),
            firmware_version: text("firmware").to_owned(),
            received_ms: now_ms(),
            ..Envelope::default()
        };
        let facts = facts(&envelope);
        let rule = rule(&plan, "fast", &envelope, &facts);
        let parser = &rule.parser.name;
        let canonical = &plan.topics[rule.topic];
        let context = Context { parser, ..context(&envelope, &facts) };
        let outcome = match parsed(&*rule.parser.parser, &payload, canonical, &context) {
            Err(failure) => {
                assert_eq!(text("fails"), failure.reason.label(), "{topic}: {failure}");
                failure.reason.label()
            }
            Ok(found) => {
                assert_eq!(shown["fails"], Value::Null, "{topic} by {parser}");
                let due = shown["events"].as_array().expect("a list");
                assert_eq!(found.len(), due.len(), "{topic} by {parser}");
                for ((_, found), due) in found.iter().zip(due) {
                    for part in ["index", "time", "fields", "types"] {
                        assert_eq!(found[part], due[part], "{topic} by {parser}");
                    }
                    assert_eq!(found["time_from"], "payload");
                    assert_eq!(found["time_flag"], Value::Null);
                }
                events += due.len();
                "events"
            }
        };
        *seen.entry((parser.clone(), outcome.to_owned())).or_default() += 1;
    }
    let times = |parser: &str, outcome: &str| {
        seen.get(&(parser.to_owned(), outcome.to_owned())).copied().unwrap_or(0)
    };
    // Nobody of the fleet is `any`'s: it is for whoever tries it out.
    for rule in plan.rules.iter().filter(|rule| rule.parser.name != "any") {
        let name = &rule.parser.name;
        assert!(times(name, "events") > 0, "{name} had nothing to do: {seen:?}");
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

fn facts(envelope: &Envelope) -> Facts<'_> {
    Facts {
        topic: &envelope.source_topic,
        received_ms: envelope.received_ms,
        device_id: &envelope.device_id,
        verified: envelope.device_id_trust() == IdentityTrust::Verified,
        attributes: &[],
    }
}

fn context<'a>(envelope: &'a Envelope, facts: &'a Facts<'a>) -> Context<'a> {
    Context {
        facts,
        message_id: envelope.message_id[..].try_into().unwrap_or_default(),
        device_type: &envelope.device_type,
        firmware_version: &envelope.firmware_version,
        group: &envelope.group,
        lane: &envelope.lane,
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
fn made(kafka: &Kafka, gateway: &Gateway, plan: &Plan) -> Made {
    let mut made = Made { events: Vec::new(), quarantine: Vec::new(), metadata: Vec::new() };
    for lane in ["priority", "fast", "slow", "dead-letter"] {
        for raw in kafka.read_all(&gateway.topic(lane)) {
            made.take(lane, &raw, plan);
        }
    }
    made
}

impl Made {
    fn take(&mut self, lane: &str, raw: &Record, plan: &Plan) {
        let envelope = raw.envelope();
        let payload = match &envelope.payload {
            Some(Payload::Inline(payload)) => payload.to_vec(),
            Some(Payload::Reference(reference)) => S3::shared().object(&reference.uri),
            None => panic!("a message has a payload"),
        };
        let facts = facts(&envelope);
        let rule = rule(plan, lane, &envelope, &facts);
        let parser = &rule.parser.name;
        let (partition, offset) = (raw.partition, raw.offset);
        let context = context(&envelope, &facts);
        let context = Context { topic: &raw.topic, partition, offset, parser, ..context };
        let mut metadata = metadata(raw, &envelope);
        metadata["kind"] = json!("landed");
        self.metadata.push(record(envelope.device_id.as_bytes(), &metadata));
        metadata["kind"] = json!("parsed");
        metadata["parser"] = json!(parser);
        match parsed(&*rule.parser.parser, &payload, &plan.topics[rule.topic], &context) {
            Ok(events) => {
                metadata["outcome"] = json!("events");
                metadata["events"] = json!(events.len());
                self.events.extend(events.iter().map(|(key, event)| record(key, event)));
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
                        header("landfall-parser", parser),
                        header("landfall-source", &source),
                        header("landfall-detail", &failure.detail),
                    ],
                    ..raw.clone()
                });
            }
        }
        self.metadata.push(record(envelope.device_id.as_bytes(), &metadata));
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

fn record(key: &[u8], value: &Value) -> Record {
    Record {
        topic: String::new(),
        partition: 0,
        offset: 0,
        key: Some(key.to_vec()),
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
        ["run", "--gateway", &address, "--devices", "40", "--rate", "400", "--duration", "3s"];
    let how = ["--seed", "7", "--large-size", "300000", "--ledger", "ledger"];
    let (code, said) = sim(&folder, &[&run[..], &how].concat());
    assert_eq!(code, Some(0), "{said}");
    let whole = made(kafka, &gateway, &plan());
    assert!(!whole.quarantine.is_empty(), "some messages of the fleet are corrupt");
    let topics = Topics {
        events: topic(kafka, "canonical", &whole.events),
        quarantine: topic(kafka, "quarantine", &whole.quarantine),
        metadata: topic(kafka, "metadata", &whole.metadata),
    };
    let (code, said) = verify(&folder, &gateway, &topics, &["--no-doubles", "--since-start"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("all events are there") && said.contains("all is there"), "{said}");

    // In its other format an event is the same.
    let as_message = |record: &Record| {
        let text = std::str::from_utf8(&record.value).expect("JSON is text");
        let message = read(text).expect("it was written here");
        Record { value: message.encode_to_vec(), ..record.clone() }
    };
    let messages: Vec<Record> = whole.events.iter().map(as_message).collect();
    let protobuf = Topics { events: topic(kafka, "canonical", &messages), ..topics.clone() };
    let (code, said) = verify(&folder, &gateway, &protobuf, &[]);
    assert_eq!(code, Some(0), "{said}");

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
