//! The parse role: what a message costs that becomes events, beside a consumer and a producer that read and
//! write the same; how long it takes from landed to canonical; and what a large one does to the others.

use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::{Duration, Instant};

use proto::v1::Reference;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use tests::freshness::{self, Stop, at_pace, now_ms, passages, took};
use tests::kafka::{Kafka, Record, unique};
use tests::proc;
use tests::raw::{self, RawWriter};
use tests::role::{Role, RoleConfig};
use tests::s3::S3;

use super::Bench;
use crate::readings::{self, Shape};
use crate::relay::{Form, RelayReport};
use crate::report::percentile;
use crate::table::{self, Aim, Line, mebibytes, milliseconds, thousands, times};

/// Devices that the raw records are of.
const DEVICES: u64 = 1000;
/// Readings of one repetition, in messages of one or of twenty.
const MESSAGES: u64 = 400_000;
const MESSAGES_OF_MANY: u64 = 60_000;
/// The lag that is worked off.
const LAG: u64 = 1_000_000;
/// Messages per second of the paced row.
const RATE: u64 = 10_000;
/// The large message beside them, in bytes, and the largest that may come.
pub const LARGE: usize = 64 * 1024 * 1024;
const LARGE_MESSAGE: &str = "65MiB";
/// What it takes for such a message to fit into [`MEMORY`] twice.
const DOCUMENT_SIZE: &str = "1MiB";
const RATIO: u64 = 20;
/// Until a load is what it stays.
const SETTLE: Duration = Duration::from_secs(3);
/// What the role may have, and does: the windows of its pools are in that.
const MEMORY: &str = "512MiB";
pub const MEMORY_MAX: f64 = 512.0 * 1024.0 * 1024.0;
/// The fast pool's window.
const WINDOW_RECORDS: u64 = 10_000;
const WINDOW_BYTES: &str = "32MiB";
/// A quarter of the window waits to be read, in kilobytes.
const QUEUE_KBYTES: u64 = 8 * 1024;
/// How long nothing may come of the role.
const STANDSTILL: Duration = Duration::from_secs(60);
/// How often it is looked how far it is.
const LOOK: Duration = Duration::from_millis(20);
/// Records whose sizes say how large those of the bare loop are.
const SAMPLES: usize = 200;
const PATIENCE: Duration = Duration::from_secs(30);

pub fn json(bench: &Bench) -> Vec<Line> {
    row(bench, Shape::Json, Some(Aim::AtLeast(150e3)))
}

pub fn list(bench: &Bench) -> Vec<Line> {
    row(bench, Shape::JsonList, Some(Aim::AtLeast(300e3)))
}

pub fn csv(bench: &Bench) -> Vec<Line> {
    row(bench, Shape::Csv, None)
}

pub fn gzip(bench: &Bench) -> Vec<Line> {
    row(bench, Shape::Gzip, None)
}

/// Raw records that wait.
struct Backlog {
    topic: String,
    shape: Shape,
    count: u64,
}

/// What it took to work a backlog off.
struct Worked {
    count: u64,
    /// From the start of the process.
    cpu: f64,
    /// From the first event that was seen.
    seconds: f64,
    /// From its start.
    seconds_from_start: f64,
    peak: f64,
}

fn row(bench: &Bench, shape: Shape, aim: Option<Aim>) -> Vec<Line> {
    let count = if shape == Shape::Json { MESSAGES } else { MESSAGES_OF_MANY };
    let backlog = Backlog::write(bench, shape, count);
    let (mut ours, mut bare) = (Vec::new(), Vec::new());
    for _ in 0..bench.repetitions {
        let (worked, forms) = backlog.work_off(bench);
        ours.push(worked);
        bare.push(backlog.relay(bench, &forms));
    }
    let events = count as f64 * shape.events() as f64;
    let own: Vec<f64> = ours.iter().map(|one| events / one.cpu).collect();
    let other: Vec<f64> = bare.iter().map(|one| events / one.cpu).collect();
    let ratio = table::median(&own) / table::median(&other);
    let name = format!("{} each, metadata on", shape.name());
    let what = if shape.events() == 1 { "messages" } else { "events" };
    let mut first = Line::plain(
        &name,
        &format!("{what} per CPU-second of the parse role"),
        table::spread(&own, thousands),
        format!("bare rdkafka {}", table::spread(&other, thousands)),
    );
    if let Some(aim) = aim {
        first = first.aimed(aim, table::median(&own), thousands);
    }
    let mut second =
        Line::plain(&name, "the same, as a multiple of bare rdkafka's", times(ratio), "");
    if shape == Shape::Json {
        second = second.aimed(Aim::AtLeast(0.5), ratio, times);
    }
    let rate = |seconds: f64| events / seconds;
    let own: Vec<f64> = ours.iter().map(|one| rate(one.seconds)).collect();
    let other: Vec<f64> = bare.iter().map(|one| rate(one.seconds)).collect();
    vec![
        first,
        second,
        Line::plain(
            &name,
            &format!("{what} per second, Kafka on the same cores"),
            table::spread(&own, thousands),
            format!("bare rdkafka {}", table::spread(&other, thousands)),
        ),
        memory(&name, ours.iter().map(|one| one.peak)),
    ]
}

fn memory(name: &str, peaks: impl Iterator<Item = f64>) -> Line {
    let peak = peaks.fold(0.0, f64::max);
    let beside =
        format!("limits.memory {MEMORY}, window {WINDOW_RECORDS} messages, {WINDOW_BYTES}");
    Line::plain(name, "peak resident memory", mebibytes(peak), beside).aimed(
        Aim::AtMost(MEMORY_MAX),
        peak,
        mebibytes,
    )
}

/// A million messages wait when the role starts.
pub fn lag(bench: &Bench) -> Vec<Line> {
    let backlog = Backlog::write(bench, Shape::Json, MESSAGES);
    let (row, _) = backlog.work_off(bench);
    drop(backlog);
    let backlog = Backlog::write(bench, Shape::Json, LAG);
    let (worked, _) = backlog.work_off(bench);
    let rate = worked.count as f64 / worked.seconds_from_start;
    let row = row.count as f64 / row.seconds;
    let name = "a lag of one million messages of 300 B";
    vec![
        Line::plain(
            name,
            "messages per second from the start of the process, as a multiple of the row's",
            format!("{}: {}", times(rate / row), thousands(rate)),
            format!("{} of {MESSAGES}, from the first event", thousands(row)),
        )
        .aimed(Aim::AtLeast(0.8), rate / row, times),
        memory(name, std::iter::once(worked.peak)),
    ]
}

impl Backlog {
    fn write(bench: &Bench, shape: Shape, count: u64) -> Backlog {
        let topic = raw_topic(bench);
        let mut writer = RawWriter::open(&bench.kafka.client(), &topic, "fast", DEVICES);
        for number in 0..count {
            writer.inline(shape.payload(number));
        }
        writer.finish();
        Backlog { topic, shape, count }
    }

    /// Has a new role do it, and says what the records that it wrote are like: events, and metadata.
    fn work_off(&self, bench: &Bench) -> (Worked, [Form; 2]) {
        let config = role(bench, &[("fast", &self.topic)], self.shape);
        let begin = Instant::now();
        let mut role = config.launch();
        let events = Ends::of(bench, &role.topic("events"));
        let metadata = Ends::of(bench, &role.topic("metadata"));
        role.until("the first event", STANDSTILL, || (events.count() > 0).then_some(()));
        let first = Instant::now();
        let wanted = (self.count * self.shape.events(), 2 * self.count);
        let (mut before, mut moved) = ((0, 0), Instant::now());
        loop {
            let now = (events.count(), metadata.count());
            if now == wanted {
                break;
            }
            if now != before {
                (before, moved) = (now, Instant::now());
            }
            let stands = moved.elapsed() > STANDSTILL;
            assert!(!stands, "{now:?} of {wanted:?} records were written\n{}", role.log());
            thread::sleep(LOOK);
        }
        let worked = Worked {
            count: self.count,
            cpu: proc::cpu_seconds(role.id()).expect("it runs"),
            seconds: first.elapsed().as_secs_f64(),
            seconds_from_start: begin.elapsed().as_secs_f64(),
            peak: proc::peak_resident_bytes(role.id()) as f64,
        };
        let forms = ["events", "metadata"].map(|name| sampled(&bench.kafka, &role.topic(name)));
        assert_eq!(bench.kafka.count(&role.topic("quarantine")), 0, "{}", role.log());
        assert_eq!(role.terminate(), Some(0), "{}", role.log());
        (worked, forms)
    }

    fn relay(&self, bench: &Bench, forms: &[Form; 2]) -> RelayReport {
        let [events_to, metadata_to] = ["events", "metadata"].map(|_| written_topic(bench));
        let expected = Duration::from_secs(120);
        let arguments = relay_arguments(
            bench,
            &self.topic,
            [&events_to, &metadata_to],
            forms,
            (self.shape.events(), self.count),
        );
        let report = bench.child("relay", &arguments, expected);
        assert_eq!(bench.kafka.count(&events_to), self.count * self.shape.events());
        report
    }
}

fn relay_arguments(
    bench: &Bench,
    from: &str,
    [events_to, metadata_to]: [&str; 2],
    [event, metadata]: &[Form; 2],
    (events, count): (u64, u64),
) -> Vec<String> {
    let text = |form: &Form| serde_json::to_string(form).expect("numbers can be written as JSON");
    vec![
        "relay".to_owned(),
        format!("--bootstrap-servers={}", bench.kafka.address()),
        format!("--from={from}"),
        format!("--events-to={events_to}"),
        format!("--metadata-to={metadata_to}"),
        format!("--event={}", text(event)),
        format!("--metadata={}", text(metadata)),
        format!("--events={events}"),
        format!("--count={count}"),
        format!("--queue-kbytes={QUEUE_KBYTES}"),
    ]
}

/// A topic of raw records, whose times are those at which they landed.
fn raw_topic(bench: &Bench) -> String {
    let topic = unique("raw");
    bench.kafka.create_topic(&topic, bench.partitions, &freshness::SETTINGS);
    topic
}

/// A topic as the role's own.
fn written_topic(bench: &Bench) -> String {
    let topic = unique("bare");
    bench.kafka.create_topic(&topic, bench.partitions, &freshness::SETTINGS[..1]);
    topic
}

fn role(bench: &Bench, lanes: &[(&str, &str)], shape: Shape) -> RoleConfig {
    RoleConfig::new(&bench.kafka, lanes, (shape.parser(), Shape::lines_parser()), bench.partitions)
        .program(bench.landfall())
        .set("limits.memory", MEMORY)
        .set("parse.pools.fast.window.records", WINDOW_RECORDS)
        .set("parse.pools.fast.window.size", WINDOW_BYTES)
}

/// The mean of some records.
fn sampled(kafka: &Kafka, topic: &str) -> Form {
    let mut records = kafka.records(&[topic]);
    let samples: Vec<Record> = (0..SAMPLES).map_while(|_| records.next(PATIENCE)).collect();
    let mean = |size: &dyn Fn(&Record) -> usize| {
        samples.iter().map(size).sum::<usize>() / samples.len().max(1)
    };
    let headers = samples.first().map_or_else(Vec::new, |sample| sample.headers.clone());
    Form {
        key: mean(&|record| record.key.as_ref().map_or(0, Vec::len)),
        value: mean(&|record| record.value.len()),
        headers: headers.into_iter().map(|(name, value)| (name, value.len())).collect(),
    }
}

/// How many records a topic has had, asked again and again.
struct Ends {
    consumer: BaseConsumer,
    topic: String,
    partitions: i32,
}

impl Ends {
    fn of(bench: &Bench, topic: &str) -> Ends {
        let client = bench.kafka.client();
        let consumer: BaseConsumer = client.create().expect("a client needs no server");
        Ends { consumer, topic: topic.to_owned(), partitions: bench.partitions }
    }

    fn count(&self) -> u64 {
        let end = |partition| {
            // A partition that is new has no leader for a moment, and no records.
            let ends = self.consumer.fetch_watermarks(&self.topic, partition, PATIENCE);
            ends.map_or(0, |(_, end)| end as u64)
        };
        (0..self.partitions).map(end).sum()
    }
}

/// A store with one object of each size that is asked for, and the topics of two lanes.
pub struct Lanes {
    s3: S3,
    bucket: String,
    pub fast: String,
    pub slow: String,
}

/// An object, and how many events are in it.
pub struct Object {
    reference: Reference,
    events: u64,
}

impl Lanes {
    pub fn new(bench: &Bench) -> Lanes {
        let (s3, bucket) = (S3::start(), unique("bucket"));
        s3.create_bucket(&bucket);
        Lanes { s3, bucket, fast: raw_topic(bench), slow: raw_topic(bench) }
    }

    /// An object of NDJSON of so many bytes.
    pub fn object(&self, bytes: usize) -> Object {
        let (lines, events) = readings::lines_of(bytes);
        let key = format!("objects/{bytes}");
        let uri = format!("s3://{}/{key}", self.bucket);
        let reference = raw::object(&self.s3.file(&self.bucket, &key), &uri, &lines);
        Object { reference, events }
    }

    /// Writes so many messages with that object to the slow lane; returns how many events they have.
    pub fn write_slow(&self, bench: &Bench, object: &Object, count: u64) -> u64 {
        let mut writer = RawWriter::open(&bench.kafka.client(), &self.slow, "slow", DEVICES);
        (0..count).for_each(|_| writer.reference(object.reference.clone()));
        writer.finish();
        count * object.events
    }

    /// A role that reads them, within [`MEMORY`].
    pub fn role(&self, bench: &Bench) -> Role {
        let mut store = S3::section(&self.bucket, self.s3.address());
        store["url"] = format!("s3://{}/objects", self.bucket).into();
        role(bench, &[("fast", &self.fast), ("slow", &self.slow)], Shape::Json)
            .set("object_store", store)
            .set("limits.message_size", LARGE_MESSAGE)
            .set("parse.limits.document_size", DOCUMENT_SIZE)
            .set("parse.limits.ratio", RATIO)
            .start_ready()
    }
}

/// Messages of a fast lane while something is done in the slow one: how many were written, and from when until
/// when it was done.
pub fn beside<T>(bench: &Bench, lanes: &Lanes, rate: u64, work: impl FnOnce() -> T) -> (u64, T) {
    let stop = AtomicBool::new(false);
    let writer = RawWriter::open(&bench.kafka.client(), &lanes.fast, "fast", DEVICES);
    thread::scope(|scope| {
        let written =
            scope.spawn(|| at_pace(writer, rate, &stop, |number| Shape::Json.payload(number)));
        let stopper = Stop(&stop);
        let done = work();
        drop(stopper);
        (written.join().expect("writing does not panic"), done)
    })
}

/// Waits for so many events of the slow lane.
pub fn until_late(bench: &Bench, role: &mut Role, events: u64) {
    let late = Ends::of(bench, &role.topic("late"));
    let (mut before, mut moved) = (0, Instant::now());
    loop {
        let now = late.count();
        if now >= events {
            return;
        }
        if now != before {
            (before, moved) = (now, Instant::now());
        }
        let stands = moved.elapsed() > STANDSTILL;
        assert!(!stands, "{now} of {events} events of the slow lane\n{}", role.log());
        thread::sleep(LOOK);
    }
}

/// Waits for an event of each message of the fast lane; nothing was refused.
pub fn until_all(bench: &Bench, role: &mut Role, written: u64) {
    let events = Ends::of(bench, &role.topic("events"));
    role.until("every event", STANDSTILL, || (events.count() == written).then_some(()));
    assert_eq!(bench.kafka.count(&role.topic("quarantine")), 0, "{}", role.log());
}

/// The median, the 99th percentile and the largest.
pub fn told(took: &[u32]) -> String {
    let at = |share| milliseconds(percentile(took, share));
    format!("{}, {}, {}", at(0.5), at(0.99), at(1.0))
}

/// One repetition of the paced row, in milliseconds since 1970.
struct Span {
    from: i64,
    /// The large message lands.
    large: i64,
    /// Its last event landed.
    until: i64,
    /// Of the role, in front of the large message.
    cores: f64,
}

/// Ten thousand messages a second, by themselves and beside one of 64 MiB in the slow pool, in turn.
pub fn paced(bench: &Bench) -> Vec<Line> {
    let lanes = Lanes::new(bench);
    let object = lanes.object(LARGE);
    let mut role = lanes.role(bench);
    let (written, (spans, events)) = beside(bench, &lanes, RATE, || {
        let (mut spans, mut events) = (Vec::new(), 0);
        for _ in 0..bench.repetitions {
            thread::sleep(SETTLE);
            let cpu = || proc::cpu_seconds(role.id()).expect("it runs");
            let (from, before) = (now_ms(), cpu());
            thread::sleep(bench.duration);
            let cores = (cpu() - before) / bench.duration.as_secs_f64();
            let large = now_ms();
            events += lanes.write_slow(bench, &object, 1);
            until_late(bench, &mut role, events);
            spans.push(Span { from, large, until: now_ms(), cores });
        }
        (spans, events)
    });
    until_all(bench, &mut role, written);
    let peak = proc::peak_resident_bytes(role.id()) as f64;
    let all = passages(&bench.kafka, &lanes.fast, &role.topic("events"));
    assert_eq!(all.len() as u64, written, "an event for each message");
    assert_eq!(role.terminate(), Some(0), "{}", role.log());
    let each = |share: f64, of: fn(&Span) -> (i64, i64)| -> Vec<f64> {
        let within = spans.iter().map(of);
        within.map(|(from, until)| percentile(&took(&all, from, until), share)).collect()
    };
    let alone = |share| each(share, |span| (span.from, span.large));
    let besides = |share| each(share, |span| (span.large, span.until));
    let told = |of: &dyn Fn(f64) -> Vec<f64>| {
        [0.5, 0.99, 1.0].map(|share| table::spread(&of(share), milliseconds)).join(", ")
    };
    let p99 = table::median(&alone(0.99));
    let ratio = table::median(&besides(0.99)) / p99;
    let cores: Vec<f64> = spans.iter().map(|span| span.cores).collect();
    let seconds = |span: &Span| (span.until - span.large) as f64 / 1000.0;
    let name = "10k/s of 300 B of JSON";
    vec![
        Line::plain(name, "from landed to canonical: p50, p99, largest", told(&alone), "").aimed(
            Aim::AtMost(50.0),
            p99,
            milliseconds,
        ),
        Line::plain(name, "CPU of the parse role", table::spread(&cores, table::core), ""),
        Line::plain(
            name,
            "the same beside a message of 64 MiB in the slow pool, p99 as a multiple",
            format!("{}: {}", times(ratio), told(&besides)),
            format!(
                "{} events of it in {}",
                thousands(events as f64 / spans.len() as f64),
                table::spread(&spans.iter().map(seconds).collect::<Vec<_>>(), table::seconds)
            ),
        )
        .aimed(Aim::AtMost(2.0), ratio, times),
        memory(name, std::iter::once(peak)),
    ]
}
