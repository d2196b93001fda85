//! Bad input that needs a Kafka or a store to be bad: references that lead nowhere, topics that are not there or
//! take less than they are given, raw topics that grow, go, begin anew or forget, and messages at which a
//! partition stops. Each has its outcome and its reason, holds up nobody else, and costs nobody a message.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::fs;
use std::thread;
use std::time::{Duration, SystemTime};

use prost::Message as _;
use proto::v1::envelope::Payload;
use proto::v1::{Envelope, IdentityTrust, Reference};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tests::kafka::{Kafka, Record, unique};
use tests::s3::S3;
use tests::tools::Folder;
use tests::wait;

use super::rig::{Member, SETTLE, TOKEN};

const LANES: [&str; 4] = ["priority", "fast", "slow", "dead-letter"];

/// Messages that the fast pool holds at once.
const WINDOW_RECORDS: usize = 20;
/// Bytes of memory that a role may take for messages that wait: its windows, what its consumers have read ahead,
/// and some for luck.
const WAITING_MAX: f64 = 64.0 * 1024.0 * 1024.0;

/// Raw topics of a partition each, which the test writes, and a parse role for them.
struct Inputs {
    kafka: &'static Kafka,
    folder: Folder,
    prefix: String,
    bucket: String,
    /// Messages that were written, for their ids.
    written: Cell<u64>,
}

impl Inputs {
    /// With all raw topics, and these beside `canonical.events`, `metadata` and `quarantine`.
    fn new(more: &[(&str, &[(&str, &str)])]) -> Inputs {
        let (kafka, s3) = (Kafka::shared(), S3::shared());
        let (prefix, bucket) = (unique("inputs"), unique("inputs"));
        s3.create_bucket(&bucket);
        let inputs =
            Inputs { kafka, folder: Folder::new("inputs"), prefix, bucket, written: Cell::new(0) };
        let mut topics = LANES.map(|lane| inputs.own(lane)).to_vec();
        let plain = ["canonical.events", "metadata", "quarantine"];
        let is_own = |name: &&str| more.iter().all(|(own, _)| own != name);
        topics.extend(plain.into_iter().filter(is_own).map(|name| inputs.own(name)));
        let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
        kafka.create_topics(&topics, 1, &[]);
        for (name, settings) in more {
            kafka.create_topic(&inputs.own(name), 1, settings);
        }
        inputs
    }

    /// A name that no other test has, of a topic or a group.
    fn own(&self, name: &str) -> String {
        format!("{}.{name}", self.prefix)
    }

    fn member(&self, name: &str) -> Member {
        let lanes: serde_json::Map<String, Value> = LANES
            .iter()
            .map(|lane| ((*lane).to_owned(), json!({ "topic": self.own(lane) })))
            .collect();
        let mut store = S3::section(&self.bucket, S3::shared().address());
        store["url"] = json!(format!("s3://{}/objects", self.bucket));
        let (events, absent, small) = (
            self.own("canonical.events"),
            self.own("canonical.absent"),
            self.own("canonical.small"),
        );
        let config = json!({
            "kafka": {
                "bootstrap_servers": self.kafka.address(),
                "properties": {
                    // What is new or gone is seen soon.
                    "topic.metadata.refresh.interval.ms": "500",
                    "topic.metadata.propagation.max.ms": "1000",
                    "session.timeout.ms": "4000",
                    "heartbeat.interval.ms": "500",
                },
            },
            "lanes": lanes,
            "object_store": store,
            "parse": {
                "pools": {
                    "fast": {
                        "lanes": ["priority", "fast"],
                        "group": self.own("fast"),
                        "window": { "records": WINDOW_RECORDS },
                    },
                    "slow": { "lanes": ["slow"], "group": self.own("slow") },
                },
                "parsers": { "numbers": { "format": "json", "fields": { "n": { "path": "n", "type": "int" } } } },
                "rules": [
                    { "lane": "priority", "when": {}, "parser": "numbers", "topic": events, "on_failure": "fail" },
                    { "when": { "topic": "devices/+/absent" }, "parser": "numbers", "topic": absent },
                    { "when": { "topic": "devices/+/small" }, "parser": "numbers", "topic": small },
                    { "when": {}, "parser": "numbers", "topic": events },
                ],
                "canonical": { &events: {}, &absent: {}, &small: {} },
                "metadata": { "topic": self.own("metadata"), "group": self.own("landed") },
                "quarantine": { "topic": self.own("quarantine") },
            },
        });
        Member::start(name, config, &self.folder)
    }

    /// Writes a raw message of a lane, on this last level of a topic.
    fn write(&self, lane: &str, level: &str, payload: Payload) {
        let envelope = self.envelope(lane, level, payload);
        self.kafka.produce(&self.own(lane), b"m-1", &envelope.encode_to_vec(), &[]);
    }

    fn envelope(&self, lane: &str, level: &str, payload: Payload) -> Envelope {
        let number = self.written.replace(self.written.get() + 1);
        let size = match &payload {
            Payload::Inline(payload) => payload.len() as u64,
            Payload::Reference(reference) => reference.size,
        };
        Envelope {
            message_id: u128::from(number).to_be_bytes().to_vec(),
            device_id: "m-1".to_owned(),
            device_id_trust: IdentityTrust::Claimed.into(),
            source_topic: format!("devices/m-1/{level}"),
            lane: lane.to_owned(),
            qos: 1,
            received_ms: now_ms(),
            payload_size: size,
            payload: Some(payload),
            ..Envelope::default()
        }
    }

    /// Writes many messages.
    fn write_all(&self, lane: &str, level: &str, payloads: impl IntoIterator<Item = Value>) {
        let record = |payload: Value| Record {
            topic: String::new(),
            partition: 0,
            offset: 0,
            key: Some(b"m-1".to_vec()),
            value: self.envelope(lane, level, inline(&payload)).encode_to_vec(),
            headers: Vec::new(),
            timestamp_ms: None,
        };
        let records: Vec<Record> = payloads.into_iter().map(record).collect();
        self.kafka.produce_all(&self.own(lane), &records);
    }

    /// Writes a message with this number to a partition.
    fn write_to(&self, lane: &str, partition: i32, number: i64) {
        let envelope = self.envelope(lane, "data", inline(&json!({ "n": number })));
        self.kafka.produce_to(&self.own(lane), partition, &envelope.encode_to_vec());
    }

    /// Writes messages with these numbers.
    fn write_numbers(&self, lane: &str, level: &str, numbers: impl IntoIterator<Item = i64>) {
        self.write_all(lane, level, numbers.into_iter().map(|number| json!({ "n": number })));
    }

    /// The numbers of a canonical topic's events, in order.
    fn numbers(&self, topic: &str) -> Vec<i64> {
        let records = self.kafka.read_all(&self.own(topic));
        let number = |value: &[u8]| -> Option<i64> {
            let event: Value = serde_json::from_slice(value).expect("an event is JSON");
            event["fields"]["n"].as_i64()
        };
        records.iter().map(|one| number(&one.value).expect("each has a number")).collect()
    }

    /// Waits for so many events.
    fn until_numbers(&self, topic: &str, count: usize) -> Vec<i64> {
        let topic = self.own(topic);
        self.kafka.wait_for(&topic, count, SETTLE);
        self.numbers(topic.strip_prefix(&format!("{}.", self.prefix)).expect("it begins with it"))
    }

    /// Waits until a group is at the end of a topic's only partition, or of this one.
    fn until_finished(&self, group: &str, lane: &str, end: i64) {
        wait::until_true(&format!("{group} finishes {lane}"), SETTLE, || {
            self.kafka.committed(&self.own(group), &self.own(lane), 0) == Some(end)
        });
    }

    /// What became of the messages of a lane, by the metadata stream: offset, and outcome or reason.
    fn outcomes(&self, lane: &str) -> Vec<(i64, String)> {
        let records = self.kafka.read_all(&self.own("metadata"));
        let told = records
            .iter()
            .map(|one| -> Value { serde_json::from_slice(&one.value).expect("metadata is JSON") });
        let own = told.filter(|told| {
            told["kind"] == "parsed" && told["source"]["topic"] == self.own(lane).as_str()
        });
        own.map(|told| {
            let outcome = told["reason"].as_str().or(told["outcome"].as_str()).expect("an outcome");
            (told["source"]["offset"].as_i64().expect("an offset"), outcome.to_owned())
        })
        .collect()
    }

    fn landed(&self) -> usize {
        let records = self.kafka.read_all(&self.own("metadata"));
        let is_landed = |value: &[u8]| {
            let told: Value = serde_json::from_slice(value).expect("metadata is JSON");
            told["kind"] == "landed"
        };
        records.iter().filter(|one| is_landed(&one.value)).count()
    }

    /// An object of the store, and what a gateway would write of it.
    fn object(&self, name: &str, body: &[u8]) -> Reference {
        let file = S3::shared().file(&self.bucket, &format!("objects/{name}"));
        fs::create_dir_all(file.parent().expect("it lies in a folder")).expect("it can be made");
        fs::write(&file, body).expect("the bucket can be written");
        Reference {
            uri: format!("s3://{}/objects/{name}", self.bucket),
            size: body.len() as u64,
            sha256: Sha256::digest(body).to_vec(),
            ..Reference::default()
        }
    }
}

/// Events have the time of receipt, by which Kafka forgets them.
fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.expect("it is later than 1970").as_millis() as i64
}

fn inline(value: &Value) -> Payload {
    Payload::Inline(value.to_string().into_bytes().into())
}

/// The partition of the fast pool that stands at a message, if one does.
fn standing(member: &Member, state: &str) -> Option<Value> {
    let mut all = member.partitions("fast").into_iter();
    // Of what an operator decided and is not done yet nobody knows how it stands.
    all.find(|one| one["state"] == state && !one["offset"].is_null() && one["decided"].is_null())
}

#[test]
fn a_payload_that_is_not_what_its_reference_says_fails_and_holds_nobody_up() {
    let inputs = Inputs::new(&[("canonical.absent", &[]), ("canonical.small", &[])]);
    let good = inputs.object("good", br#"{"n":2}"#);
    let missing = Reference { uri: format!("{}-not", good.uri), ..good.clone() };
    let file = inputs.folder.join("file");
    fs::write(&file, br#"{"n":2}"#).expect("the test's folder can be written");
    let outside = format!("file://{}", file.display());
    let outside = Reference { uri: outside, ..good.clone() };
    let elsewhere = good.uri.replace(&inputs.bucket, "elsewhere");
    let elsewhere = Reference { uri: elsewhere, ..good.clone() };
    let above = Reference { uri: good.uri.replace("objects/", "objects/../"), ..good.clone() };
    let other = Reference { sha256: vec![7; 32], ..good.clone() };
    let longer = Reference { size: good.size + 1, ..good.clone() };
    let due = [
        (missing, "reference_missing"),
        (outside, "reference_outside"),
        (elsewhere, "reference_outside"),
        (above, "reference_outside"),
        (other, "reference_differs"),
        (longer, "reference_differs"),
    ];
    inputs.write_numbers("fast", "data", [1]);
    inputs.write("fast", "data", Payload::Reference(good));
    for (bad, _) in &due {
        inputs.write("fast", "data", Payload::Reference(bad.clone()));
    }
    inputs.write_numbers("fast", "data", [3]);
    let mut member = inputs.member("parse-1");
    member.until_ready();
    inputs.until_finished("fast", "fast", 9);
    assert_eq!(inputs.numbers("canonical.events"), [1, 2, 3]);
    let kept = inputs.kafka.read_all(&inputs.own("quarantine"));
    let raw = inputs.kafka.read_all(&inputs.own("fast"));
    assert_eq!(kept.len(), due.len());
    for ((kept, raw), (_, reason)) in kept.iter().zip(&raw[2..]).zip(&due) {
        let header =
            |name| String::from_utf8_lossy(kept.header(name).unwrap_or_default()).into_owned();
        assert_eq!(header("landfall-reason"), *reason, "{}", header("landfall-detail"));
        assert_eq!(header("landfall-source"), format!("{}/0/{}", raw.topic, raw.offset));
        assert_eq!((&kept.key, &kept.value), (&raw.key, &raw.value), "it is kept as it was");
    }
    let outcomes: Vec<String> = inputs.outcomes("fast").into_iter().map(|(_, told)| told).collect();
    let failed = due.iter().map(|(_, reason)| *reason);
    let all: Vec<&str> = ["events", "events"].into_iter().chain(failed).chain(["events"]).collect();
    assert_eq!(outcomes, all);
    assert_eq!(member.process.terminate(SETTLE), Some(0), "{}", member.process.log());
}

#[test]
fn a_canonical_topic_that_is_not_there_holds_what_goes_there_and_nothing_else() {
    let inputs = Inputs::new(&[("canonical.small", &[])]);
    inputs.write_numbers("fast", "absent", 0..5);
    inputs.write_numbers("priority", "data", 10..15);
    inputs.write_numbers("slow", "data", 20..25);
    let mut member = inputs.member("parse-1");
    let mut others = inputs.until_numbers("canonical.events", 10);
    others.sort_unstable();
    assert_eq!(others, Vec::from_iter((10..15).chain(20..25)));
    let held = wait::until("it is held", SETTLE, || standing(&member, "held"));
    assert_eq!((&held["topic"], &held["offset"]), (&json!(inputs.own("fast")), &json!(0)));
    assert!(held["reason"].as_str().is_some_and(|reason| reason.contains("topic")), "{held}");
    let ready = member.ask("GET", "/readyz", None).body;
    assert!(ready.contains(&inputs.own("canonical.absent")), "{ready}");
    let committed = inputs.kafka.committed(&inputs.own("fast"), &inputs.own("fast"), 0);
    assert_eq!(committed.unwrap_or(0), 0, "nothing of it is finished");
    // It is tried again more and more seldom.
    thread::sleep(Duration::from_secs(4));
    let tried = member.process.log().matches("a record did not land").count();
    assert!(tried <= 8, "{tried} times: {}", member.process.log());
    // Others go on all the while.
    inputs.write_numbers("priority", "data", 15..20);
    inputs.until_numbers("canonical.events", 15);
    inputs.kafka.create_topic(&inputs.own("canonical.absent"), 1, &[]);
    assert_eq!(inputs.until_numbers("canonical.absent", 5), [0, 1, 2, 3, 4]);
    inputs.until_finished("fast", "fast", 5);
    member.until_ready();
    assert_eq!(inputs.numbers("canonical.absent"), [0, 1, 2, 3, 4], "and none of them twice");
    assert_eq!(member.process.terminate(SETTLE), Some(0), "{}", member.process.log());
}

/// A partition that is held is paused, and its messages wait in Kafka and not in memory. librdkafka remembers over
/// rebalances what was paused: what comes back from somebody else is read all the same.
#[test]
fn what_is_held_waits_in_kafka_and_is_read_when_it_comes_back() {
    const EACH: i64 = 1000;
    let inputs = Inputs::new(&[("canonical.small", &[])]);
    let mut member = inputs.member("parse-1");
    wait::until_true("it has both partitions", SETTLE, || member.partitions("fast").len() == 2);
    let resident = |member: &Member| member.metrics().sum("process_resident_memory_bytes", &[]);
    let before = resident(&member);
    let text = padding(64 * 1024);
    let padded = |number: i64| json!({ "n": number, "padding": text });
    for lane in ["fast", "slow"] {
        inputs.write_all(lane, "absent", (0..EACH).map(padded));
    }
    let held = |member: &Member, pool| {
        let all = member.partitions(pool);
        all.iter().filter(|one| one["state"] == "held").count()
    };
    wait::until_true("both are held", SETTLE, || {
        held(&member, "fast") == 1 && held(&member, "slow") == 1
    });
    inputs.until_finished("landed", "slow", EACH);
    let grown = resident(&member) - before;
    assert!(grown < WAITING_MAX, "{grown} bytes more");
    // Whoever comes has the partition for a while.
    let mut other = inputs.member("parse-2");
    let shares = |pool| (member.partitions(pool).len(), other.partitions(pool).len());
    wait::until_true("both have partitions", SETTLE, || shares("fast") == (1, 1));
    let _ = other.process.terminate(SETTLE);
    wait::until_true("it has both again", SETTLE, || member.partitions("fast").len() == 2);
    inputs.kafka.create_topic(&inputs.own("canonical.absent"), 1, &[]);
    for pool in ["fast", "slow"] {
        inputs.until_finished(pool, pool, EACH);
    }
    let due = Vec::from_iter(0..EACH);
    let records = inputs.kafka.read_all(&inputs.own("canonical.absent"));
    for lane in ["fast", "slow"] {
        let event = |value: &[u8]| serde_json::from_slice(value).expect("an event is JSON");
        let events = records.iter().map(|one| -> Value { event(&one.value) });
        let own = events.filter(|event| event["source"]["topic"] == inputs.own(lane).as_str());
        let numbers = own.map(|event| event["fields"]["n"].as_i64().expect("each has one"));
        assert!(firsts(numbers.collect()) == due, "in order, of {lane}");
    }
    assert_eq!(member.process.terminate(SETTLE), Some(0), "{}", member.process.log());
}

/// Kafka refuses whole batches, also those in which only one record is too large.
#[test]
fn an_event_that_kafka_does_not_take_is_kept_in_the_quarantine() {
    let small: &[(&str, &str)] = &[("max.message.bytes", "3000")];
    let larger: &[(&str, &str)] = &[("max.message.bytes", "20000")];
    let inputs = Inputs::new(&[
        ("canonical.absent", &[]),
        ("canonical.small", small),
        ("quarantine", larger),
    ]);
    let padded =
        |number: i64, bytes: usize| inline(&json!({ "n": number, "padding": padding(bytes) }));
    inputs.write_numbers("fast", "small", 0..20);
    inputs.write("fast", "small", padded(20, 6000));
    inputs.write_numbers("fast", "small", 21..40);
    inputs.write("fast", "small", padded(40, 60_000));
    inputs.write_numbers("fast", "small", 41..60);
    inputs.write_numbers("priority", "data", 100..110);
    let mut member = inputs.member("parse-1");
    member.until_ready();
    inputs.until_finished("fast", "fast", 60);
    inputs.until_finished("fast", "priority", 10);
    let due: Vec<i64> = (0..60).filter(|number| ![20, 40].contains(number)).collect();
    // What was in a batch with it may be there twice, and so may be what others had on their way just then.
    assert_eq!(firsts(inputs.numbers("canonical.small")), due);
    assert_eq!(firsts(inputs.numbers("canonical.events")), Vec::from_iter(100..110));
    let kept = inputs.kafka.read_all(&inputs.own("quarantine"));
    let raw = inputs.kafka.read_all(&inputs.own("fast"));
    let first = kept.iter().find(|kept| kept.value == raw[20].value).expect("it is kept whole");
    let cut = kept.iter().find(|kept| kept.header("landfall-cut").is_some());
    let cut = cut.expect("the other is kept without its value");
    let source = format!("{}/0/40", inputs.own("fast"));
    assert_eq!(cut.header("landfall-source"), Some(source.as_bytes()));
    assert!(cut.value.is_empty());
    for kept in [first, cut] {
        assert_eq!(kept.header("landfall-reason"), Some(&b"not_taken"[..]));
    }
    assert_eq!(kept.len(), 2, "and nobody else is");
    let failed = inputs.outcomes("fast").into_iter().filter(|(_, told)| told != "events");
    let mut failed = Vec::from_iter(failed);
    failed.dedup();
    assert_eq!(failed, [(20, "not_taken".to_owned()), (40, "not_taken".to_owned())]);
    assert_eq!(member.process.terminate(SETTLE), Some(0), "{}", member.process.log());
}

/// Each number where it is first.
fn firsts(numbers: Vec<i64>) -> Vec<i64> {
    let mut seen = BTreeSet::new();
    numbers.into_iter().filter(|number| seen.insert(*number)).collect()
}

/// Text that no compression makes shorter.
fn padding(bytes: usize) -> String {
    let mut state = 7_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        char::from(b'a' + (state >> 24) as u8 % 26)
    };
    (0..bytes).map(|_| next()).collect()
}

/// A stranger, or a gateway whose clock is wrong, may say any time of receipt, and Kafka takes no record of
/// tomorrow: what is made of a message has the timestamp that its raw record has.
#[test]
fn a_time_of_receipt_that_cannot_be_holds_nobody_up() {
    let inputs = Inputs::new(&[("canonical.absent", &[]), ("canonical.small", &[])]);
    let tomorrow = now_ms() + 24 * 60 * 60 * 1000;
    for (number, received_ms) in (0..).zip([tomorrow, -1, i64::MAX, i64::MIN, now_ms()]) {
        let envelope = inputs.envelope("fast", "data", inline(&json!({ "n": number })));
        let envelope = Envelope { received_ms, ..envelope };
        inputs.kafka.produce(&inputs.own("fast"), b"m-1", &envelope.encode_to_vec(), &[]);
    }
    let mut member = inputs.member("parse-1");
    member.until_ready();
    assert_eq!(inputs.until_numbers("canonical.events", 3), [0, 1, 4]);
    inputs.until_finished("fast", "fast", 5);
    let none = |offset| (offset, "no_envelope".to_owned());
    let events = |offset| (offset, "events".to_owned());
    assert_eq!(inputs.outcomes("fast"), [events(0), events(1), none(2), none(3), events(4)]);
    wait::until_true("all five landed", SETTLE, || inputs.landed() == 5);
    let (raw, events) =
        (inputs.own("fast"), inputs.kafka.read_all(&inputs.own("canonical.events")));
    let raw = inputs.kafka.read_all(&raw);
    assert_eq!(events[0].timestamp_ms, raw[0].timestamp_ms);
    let event: Value = serde_json::from_slice(&events[1].value).expect("an event is JSON");
    assert_eq!(event["received"], "1969-12-31T23:59:59.999Z");
}

/// New partitions are read from their beginning. A topic that is deleted takes nobody else's work with it, and
/// is read from its beginning when there is one of its name again.
#[test]
fn raw_topics_grow_go_and_begin_anew() {
    let inputs = Inputs::new(&[("canonical.absent", &[]), ("canonical.small", &[])]);
    inputs.write_numbers("fast", "data", 0..5);
    inputs.write_numbers("priority", "data", 100..105);
    let mut member = inputs.member("parse-1");
    member.until_ready();
    inputs.until_numbers("canonical.events", 10);
    inputs.kafka.grow_topic(&inputs.own("fast"), 3);
    for partition in 0..3 {
        inputs.write_to("fast", partition, 200 + i64::from(partition));
    }
    let seen = inputs.until_numbers("canonical.events", 13);
    assert!((200..203).all(|number| seen.contains(&number)), "{seen:?}");

    inputs.until_finished("fast", "priority", 5);
    inputs.kafka.delete_topic(&inputs.own("priority"));
    inputs.write_numbers("fast", "data", 5..10);
    inputs.until_numbers("canonical.events", 18);
    inputs.kafka.create_topic(&inputs.own("priority"), 1, &[]);
    inputs.write_numbers("priority", "data", 300..303);
    let seen = inputs.until_numbers("canonical.events", 21);
    assert!((300..303).all(|number| seen.contains(&number)), "{seen:?}");
    inputs.until_finished("fast", "priority", 3);
    // Everything that ever landed, the metadata stream's own group saw as well.
    wait::until_true("all is known to have landed", SETTLE, || inputs.landed() >= 21);
    assert_eq!(seen.len(), 21, "nothing twice: {seen:?}");
    assert_eq!(member.process.terminate(SETTLE), Some(0), "{}", member.process.log());
}

/// What is gone before it was read is said and counted; what was committed behind the end, as by a tool or for a
/// topic that was there before, loses nothing.
#[test]
fn what_retention_took_before_it_was_read_is_said_and_counted() {
    let inputs = Inputs::new(&[("canonical.absent", &[]), ("canonical.small", &[])]);
    let (fast, group) = (inputs.own("fast"), inputs.own("fast"));
    inputs.kafka.commit(&group, &inputs.own("priority"), 0, 1000);
    inputs.write_numbers("priority", "data", 100..105);
    inputs.write_numbers("fast", "data", 0..5);
    let mut member = inputs.member("parse-1");
    member.until_ready();
    inputs.until_finished("fast", "fast", 5);
    // There is no offset 1000: it is read from its beginning, and that is committed.
    inputs.until_finished("fast", "priority", 5);
    assert_eq!(member.metrics().sum("landfall_parse_missed_messages_total", &[]), 0.0);
    assert_eq!(member.process.terminate(SETTLE), Some(0), "{}", member.process.log());

    inputs.write_numbers("fast", "data", 5..20);
    inputs.kafka.forget_before(&fast, 0, 12);
    let mut member = inputs.member("parse-2");
    member.until_ready();
    inputs.until_finished("fast", "fast", 20);
    let mut seen = inputs.numbers("canonical.events");
    seen.sort_unstable();
    assert_eq!(seen, Vec::from_iter((0..5).chain(12..20).chain(100..105)));
    let log = member.process.log();
    let said = log.lines().find(|line| line.contains("messages are gone that were not read"));
    let said = said.unwrap_or_else(|| panic!("it is said: {log}"));
    assert!(said.contains('7') && said.contains(&fast), "{said}");
    for pool in ["fast", "metadata"] {
        let labels = [("pool", pool)];
        wait::until_true("it is counted", SETTLE, || {
            member.metrics().sum("landfall_parse_missed_messages_total", &labels) == 7.0
        });
    }
    assert_eq!(member.process.terminate(SETTLE), Some(0), "{}", member.process.log());
}

/// By a rule with `on_failure: fail` a partition stands at its message over restarts, until somebody decides.
#[test]
fn a_message_that_stops_its_partition_waits_for_an_operator() {
    let inputs = Inputs::new(&[("canonical.absent", &[]), ("canonical.small", &[])]);
    inputs.write_numbers("priority", "data", 0..3);
    inputs.write("priority", "data", Payload::Inline(b"{\"n\":".as_slice().into()));
    inputs.write_numbers("priority", "data", 4..8);
    inputs.write_numbers("fast", "data", 100..105);
    let at = format!("{}/0/3", inputs.own("priority"));
    let mut member = inputs.member("parse-1");
    for round in 0..2 {
        if round > 0 {
            // Whoever comes next stands there too.
            assert_eq!(member.process.terminate(SETTLE), Some(0), "{}", member.process.log());
            member = inputs.member("parse-2");
        }
        let stopped = wait::until("it stops", SETTLE, || standing(&member, "stopped"));
        assert_eq!(stopped["offset"], 3, "{stopped}");
        let reason = stopped["reason"].as_str().unwrap_or_default();
        assert!(reason.contains("truncated"), "{stopped}");
        inputs.until_finished("fast", "priority", 3);
        inputs.until_finished("fast", "fast", 5);
    }
    let order = |what: &str, at: &str| {
        member.ask("POST", &format!("/api/v1/parse/{what}?at={at}"), Some(TOKEN)).code
    };
    assert_eq!(member.ask("POST", &format!("/api/v1/parse/skip?at={at}"), None).code, 401);
    assert_eq!(order("skip", &format!("{}/0/4", inputs.own("priority"))), 409);
    assert_eq!(order("retry", &at), 202, "{}", member.process.log());
    // It is as bad as before.
    wait::until("it stops again", SETTLE, || standing(&member, "stopped"));
    assert_eq!(inputs.outcomes("priority").len(), 3, "nothing is said of it yet");
    assert_eq!(order("skip", &at), 202);
    inputs.until_finished("fast", "priority", 8);
    let of_priority =
        |numbers: Vec<i64>| Vec::from_iter(numbers.into_iter().filter(|one| *one < 100));
    assert_eq!(of_priority(inputs.numbers("canonical.events")), [0, 1, 2, 4, 5, 6, 7]);
    let kept = inputs.kafka.read_all(&inputs.own("quarantine"));
    assert_eq!(kept.len(), 1);
    assert_eq!(kept[0].header("landfall-reason"), Some(&b"operator"[..]));
    assert_eq!(kept[0].header("landfall-source"), Some(at.as_bytes()));
    assert_eq!(inputs.outcomes("priority")[3], (3, "operator".to_owned()));
    wait::until_true("it runs", SETTLE, || standing(&member, "stopped").is_none());
    // Pools that write to the same topics asked Kafka what those take, and were told.
    assert!(!member.process.log().contains("Kafka does not tell"), "{}", member.process.log());
    assert_eq!(member.process.terminate(SETTLE), Some(0), "{}", member.process.log());
}
