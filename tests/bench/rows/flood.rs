//! Alarms in the priority lane while the slow lane takes messages of 1 MiB by reference: how long an alarm takes,
//! what the gateway itself takes for an answer, and what a bare producer has to wait for the same Kafka meanwhile.
//!
//! Of an alarm's time the gateway's own part is known on average only, from its histograms; how it is spread, pings
//! tell, which go the same way through the gateway's threads and not to Kafka.
//!
//! A flood comes as fast as it goes, and then so slowly that a quarter of the machine would stay free if there was
//! nothing else on it: by what each of its messages cost all processes together when it came as fast as it goes.

use std::path::Path;
use std::thread;
use std::time::Duration;

use tests::gateway::Gateway;
use tests::kafka::unique;
use tests::proc;
use tests::process::Process;
use tests::s3::S3;

use super::producer::{Producer, Way};
use super::{Bench, LOAD_MARGIN, WARM_UP, timing};
use crate::latencies::{ACKNOWLEDGED, LANDED, Latencies};
use crate::report::{self, LoadReport};
use crate::table::{self, Aim, Line, core, milliseconds, times};

/// Connections that flood.
const FLOODS: [usize; 2] = [40, 150];
const SIZE: usize = 1024 * 1024;
/// Messages that each of them has open.
const WINDOW: u16 = 2;
/// Connections with alarms, and alarms in a second: each is a request to Kafka of its own, and more of them would
/// take the machine before any flood.
const CONNECTIONS: usize = 200;
const RATE: u64 = 250;
/// Records of the bare producer in a second.
const BARE_RATE: u64 = 100;
/// Pings in a second.
const PING_RATE: u64 = 250;
/// Devices are no part of the machine: those with alarms do not wait for it.
const NICE: i32 = -10;
/// What of the machine stays free in a paced flood.
const FREE: f64 = 0.25;
/// A paced flood is no less than this part of one as fast as it goes: where the alarms alone leave less free than
/// they should, it is told.
const PACED_MIN: f64 = 0.1;
/// What an alarm may take, as a multiple of what it takes without a flood.
const AIM: f64 = 2.0;
const FLOW_WAIT: Duration = Duration::from_secs(60);

/// What floods, if anything.
#[derive(Clone, Copy)]
struct Flood {
    connections: usize,
    /// Messages per second; None: as fast as it goes.
    rate: Option<u64>,
}

/// The alarms of one span, and what was beside them.
struct Span {
    alarms: LoadReport,
    bare: LoadReport,
    pings: LoadReport,
    flood: Option<LoadReport>,
    /// How long alarms took by the gateway's own histograms.
    acknowledged: Latencies,
    landed: Latencies,
    /// Share of the machine.
    free: f64,
}

impl Span {
    /// Milliseconds of an alarm, on average, that are neither librdkafka's nor Kafka's.
    fn own_ms(&self) -> f64 {
        (self.acknowledged.mean() - self.landed.mean()) * 1e3
    }

    /// CPU seconds of a second, of the processes that make load beside the flood.
    fn beside(&self) -> f64 {
        [&self.alarms, &self.bare, &self.pings].map(|load| load.own_cpu / load.seconds).iter().sum()
    }

    /// CPU seconds of a second, of all that is known here.
    fn used(&self) -> f64 {
        let watched = self.flood.as_ref().unwrap_or(&self.alarms);
        let servers: f64 = watched.cpu.iter().sum();
        let flood = self.flood.as_ref().map_or(0.0, |flood| flood.own_cpu);
        (servers + flood) / watched.seconds + self.beside()
    }
}

/// Cores of the machine.
fn all_cores() -> f64 {
    thread::available_parallelism().map_or(1, usize::from) as f64
}

struct Rig<'a> {
    bench: &'a Bench,
    gateway: Gateway,
    s3: S3,
    bucket: String,
    producer: Producer<'a>,
}

pub fn row(bench: &Bench) -> Vec<Line> {
    bench.warm_up();
    let rig = Rig::new(bench);
    let mut idle = Vec::new();
    let mut floods: Vec<(usize, Vec<Span>, Vec<Span>)> =
        FLOODS.map(|connections| (connections, Vec::new(), Vec::new())).into();
    for _ in 0..bench.repetitions {
        let alone = rig.measure(None);
        for (connections, fast, paced) in &mut floods {
            let mut flood = Flood { connections: *connections, rate: None };
            let span = rig.measure(Some(flood));
            flood.rate = Some(paced_rate(&alone, &span));
            fast.push(span);
            paced.push(rig.measure(Some(flood)));
        }
        idle.push(alone);
    }
    rig.producer.check_landed();
    let spans = || floods.iter().flat_map(|(_, fast, paced)| fast.iter().chain(paced)).chain(&idle);
    let of_floods = |span: &Span| span.flood.as_ref().map_or(0, |flood| flood.acknowledged);
    let all = spans().map(|span| span.alarms.acknowledged + of_floods(span)).sum();
    bench.check_landed(&rig.gateway, all);
    let mut lines = lines("250 alarms a second, no flood", &idle, &idle, false);
    for (connections, fast, paced) in &floods {
        let name = |how: &str| format!("alarms while {connections} connections send 1 MiB, {how}");
        lines.extend(self::lines(&name("as fast as it goes"), &idle, fast, false));
        lines.extend(self::lines(&name("a quarter of the machine free"), &idle, paced, true));
    }
    lines
}

/// Messages per second that leave a quarter of the machine free, by what each cost.
fn paced_rate(idle: &Span, fast: &Span) -> u64 {
    let flood = fast.flood.as_ref().expect("it was flooded");
    let rate = super::per_second(flood);
    let each = (fast.used() - idle.used()) / rate;
    let leaving = (all_cores() * (1.0 - FREE) - idle.used()) / each;
    leaving.clamp(rate * PACED_MIN, rate).max(1.0) as u64
}

impl Rig<'_> {
    fn new(bench: &Bench) -> Rig<'_> {
        let (s3, bucket) = (S3::start(), unique("bucket"));
        s3.create_bucket(&bucket);
        let gateway = bench
            .gateway()
            .set("object_store", S3::section(&bucket, s3.address()))
            .set("limits.connections", 1000)
            .start_ready();
        let producer = Producer::new(bench, &bench.kafka, bench.partitions, CONNECTIONS);
        Rig { bench, gateway, s3, bucket, producer }
    }

    fn servers(&self) -> [u32; 3] {
        [self.gateway.id(), self.bench.kafka.id(), self.s3.id()]
    }

    /// Alarms, a bare producer and pings at the same time, while it floods.
    fn measure(&self, flood: Option<Flood>) -> Span {
        let stop = self.bench.folder().join(unique("stop"));
        let process = flood.map(|flood| self.flood(flood, &stop));
        let histogram = |name| Latencies::of_lane(&self.gateway.metrics(), name, "priority");
        let before = (histogram(ACKNOWLEDGED), histogram(LANDED));
        let machine = proc::machine_seconds();
        let (alarms, bare, pings) = thread::scope(|scope| {
            let (bare, pings) = (scope.spawn(|| self.bare()), scope.spawn(|| self.pings()));
            let alarms = self.alarms();
            let joined = "what fails has told why";
            (alarms, bare.join().expect(joined), pings.join().expect(joined))
        });
        let now = proc::machine_seconds();
        let since = (histogram(ACKNOWLEDGED), histogram(LANDED));
        Span {
            alarms,
            bare,
            pings,
            flood: process.map(|process| self.end(process, &stop)),
            acknowledged: since.0.since(&before.0),
            landed: since.1.since(&before.1),
            free: (now.0 - machine.0) / (now.1 - machine.1),
        }
    }

    /// Begins to flood, until that file is there; it flows when this returns.
    fn flood(&self, flood: Flood, stop: &Path) -> Process {
        let landed = || self.gateway.lane("slow")["landed"].as_u64().expect("a count");
        let before = landed();
        let mut arguments = vec![
            "load".to_owned(),
            format!("--address={}", self.gateway.mqtt()),
            format!("--connections={}", flood.connections),
            format!("--window={WINDOW}"),
            format!("--payload-size={SIZE}"),
            "--devices=flood".to_owned(),
            format!("--until={}", stop.display()),
        ];
        arguments.extend(flood.rate.map(|rate| format!("--rate={rate}")));
        arguments.extend(timing(self.bench.duration, &self.servers()));
        let mut process = self.bench.start_child("flood", &arguments);
        process.until("the flood flows", FLOW_WAIT, || (landed() > before).then_some(()));
        process
    }

    /// Ends it; what it was told to be taken is in the bucket, and then no more.
    fn end(&self, mut process: Process, stop: &Path) -> LoadReport {
        assert!(process.ended().is_none(), "the flood ended before\n{}", process.tail());
        std::fs::write(stop, "").expect("the folder can be written");
        let status = process.wait(WARM_UP + self.bench.duration + LOAD_MARGIN);
        assert!(status.success(), "the flood failed\n{}", process.tail());
        let report: LoadReport = report::parse(&process.output());
        let objects = self.s3.keys(&self.bucket).len() as u64;
        assert_eq!(objects, report.acknowledged, "each message has its object");
        self.s3.empty_bucket(&self.bucket);
        report
    }

    fn alarms(&self) -> LoadReport {
        let mut arguments = vec![
            "load".to_owned(),
            format!("--address={}", self.gateway.mqtt()),
            format!("--connections={CONNECTIONS}"),
            format!("--rate={RATE}"),
            "--channel=alarm".to_owned(),
            format!("--nice={NICE}"),
        ];
        arguments.extend(timing(self.bench.duration, &self.servers()));
        self.bench.child("alarms", &arguments, WARM_UP + self.bench.duration)
    }

    fn pings(&self) -> LoadReport {
        let mut arguments = vec![
            "pings".to_owned(),
            format!("--address={}", self.gateway.mqtt()),
            format!("--rate={PING_RATE}"),
            format!("--nice={NICE}"),
        ];
        arguments.extend(timing(self.bench.duration, &[]));
        self.bench.child("pings", &arguments, WARM_UP + self.bench.duration)
    }

    fn bare(&self) -> LoadReport {
        let like = self.gateway.topic("priority");
        self.producer.run(Way::paced(BARE_RATE, 0.0), &like, &[])
    }
}

fn median(spans: &[Span], figure: impl Fn(&Span) -> f64) -> f64 {
    table::median(&spans.iter().map(figure).collect::<Vec<f64>>())
}

fn spread(spans: &[Span], figure: impl Fn(&Span) -> f64, unit: fn(f64) -> String) -> String {
    table::spread(&spans.iter().map(figure).collect::<Vec<f64>>(), unit)
}

/// The lines of one load; `whole` has its aim only where a part of the machine stays free.
fn lines(name: &str, idle: &[Span], spans: &[Span], whole: bool) -> Vec<Line> {
    let p99 = |span: &Span| span.alarms.p99_ms;
    let pings = |span: &Span| span.pings.p99_ms;
    let told = |latencies: &dyn Fn(&Span) -> &Latencies, share| {
        milliseconds(median(spans, |span| latencies(span).at(share) * 1e3))
    };
    let ratio = median(spans, p99) / median(idle, p99);
    let mut first = Line::plain(
        name,
        "alarm's PUBACK p99, as a multiple of idle",
        format!("{}: {}", times(ratio), spread(spans, p99, milliseconds)),
        format!(
            "p50 {}; a bare producer meanwhile: p99 {}",
            spread(spans, |span| span.alarms.p50_ms, milliseconds),
            spread(spans, |span| span.bare.p99_ms, milliseconds),
        ),
    );
    if whole {
        first = first.aimed(Aim::AtMost(AIM), ratio, times);
    }
    let ratio = median(spans, pings) / median(idle, pings);
    let second = Line::plain(
        name,
        "an answer of the gateway alone (PINGRESP) p99, as a multiple of idle",
        format!("{}: {}", times(ratio), spread(spans, pings, precise)),
        format!("p50 {}", spread(spans, |span| span.pings.p50_ms, precise)),
    )
    .aimed(Aim::AtMost(AIM), ratio, times);
    let third = Line::plain(
        name,
        "an alarm's time in the gateway that is not librdkafka's or Kafka's, on average",
        spread(spans, Span::own_ms, precise),
        format!(
            "read to PUBACK p99 {}, of it until landed {}",
            told(&|span| &span.acknowledged, 0.99),
            told(&|span| &span.landed, 0.99),
        ),
    );
    let flooded = |span: &Span| span.flood.as_ref().map_or(0.0, super::per_second);
    let left = |span: &Span| 1.0 - span.used() / all_cores();
    let fourth = Line::plain(
        name,
        "MiB of the flood per second; CPU of the gateway; what all of it leaves of the machine",
        format!(
            "{}; {}; {}",
            spread(spans, flooded, |value| format!("{value:.0}")),
            spread(spans, |span| span.alarms.cpu[0] / span.alarms.seconds, core),
            spread(spans, left, core),
        ),
        format!(
            "without work, with others on the machine: {}",
            spread(spans, |span| span.free, core)
        ),
    );
    vec![first, second, third, fourth]
}

/// For what takes less than a millisecond.
fn precise(value: f64) -> String {
    format!("{value:.2} ms")
}
