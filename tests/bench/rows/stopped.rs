//! Kafka hangs while messages come: what a gateway costs that has nothing to do but wait.

use std::thread;
use std::time::{Duration, Instant};

use tests::gateway::{Gateway, GatewayConfig};
use tests::kafka::{Kafka, KafkaOptions};
use tests::proc;
use tests::process::Signal;
use tests::wait;

use super::{Bench, LANES, LOAD_MARGIN, WARM_UP};
use crate::report::{self, LoadReport};
use crate::table::{self, Aim, Line, core};

const PARTITIONS: [i32; 3] = [1, 3, 24];
const CONNECTIONS: usize = 2000;
const RATE: u64 = 20_000;
/// How long it is watched: longer than the time-outs of a connection to Kafka.
const WATCHED: Duration = Duration::from_secs(12);
/// How long all windows may take to be full, and how long nothing more comes then.
const FULL_WAIT: Duration = Duration::from_secs(15);
const STILL: Duration = Duration::from_secs(1);
/// Threads that are named.
const THREADS: usize = 3;

/// What the gateway took meanwhile.
struct Waited {
    /// Share of a core.
    share: f64,
    /// Of the threads that took most.
    threads: String,
    in_flight: u64,
}

pub fn row(bench: &Bench) -> Vec<Line> {
    // It still leads its partitions when it goes on.
    let session = ("broker.session.timeout.ms".to_owned(), "60000".to_owned());
    let options = KafkaOptions { properties: vec![session], ..KafkaOptions::default() };
    let kafka = Kafka::start_with(&options);
    PARTITIONS.map(|partitions| line(bench, &kafka, partitions)).into()
}

fn line(bench: &Bench, kafka: &Kafka, partitions: i32) -> Line {
    let gateway =
        GatewayConfig::with_partitions(kafka, partitions).program(bench.landfall()).start_ready();
    let waited: Vec<Waited> =
        (0..bench.repetitions).map(|_| wait(bench, kafka, &gateway)).collect();
    let shares: Vec<f64> = waited.iter().map(|one| one.share).collect();
    let last = waited.last().expect("there is a repetition");
    Line::plain(
        &format!("Kafka stopped under 20k/s over 2,000 connections, {partitions} partitions"),
        &format!("CPU of the gateway with all windows full, for {} s", WATCHED.as_secs()),
        table::spread(&shares, core),
        format!("{} messages wait; {}", last.in_flight, last.threads),
    )
    .aimed(Aim::AtMost(0.05), table::median(&shares), core)
}

fn wait(bench: &Bench, kafka: &Kafka, gateway: &Gateway) -> Waited {
    let landed = |gateway: &Gateway| -> u64 {
        LANES.iter().map(|lane| kafka.count(&gateway.topic(lane))).sum()
    };
    let before = landed(gateway);
    let expected = 2 * WARM_UP + FULL_WAIT + WATCHED;
    let arguments = [
        "load".to_owned(),
        format!("--address={}", gateway.mqtt()),
        format!("--connections={CONNECTIONS}"),
        format!("--rate={RATE}"),
        format!("--duration-ms={}", (2 * WARM_UP + FULL_WAIT + WATCHED).as_millis()),
    ];
    let mut load = bench.start_child("load", &arguments);
    load.until("messages come", wait::START, || {
        (gateway.status()["connections"] == CONNECTIONS).then_some(())
    });
    thread::sleep(WARM_UP);
    let waited = {
        let _stopped = Stopped::new(kafka);
        watch(gateway)
    };
    let status = load.wait(expected + LOAD_MARGIN);
    assert!(status.success(), "the load failed\n{}", load.tail());
    let report: LoadReport = report::parse(&load.output());
    // What a producer did not hear of, another may have written again.
    let landed = landed(gateway) - before;
    assert!(landed >= report.acknowledged, "{landed} landed of {}", report.acknowledged);
    waited
}

/// A Kafka that hangs, until this goes.
struct Stopped<'a>(&'a Kafka);

impl Stopped<'_> {
    fn new(kafka: &Kafka) -> Stopped<'_> {
        kafka.signal(Signal::STOP);
        Stopped(kafka)
    }
}

impl Drop for Stopped<'_> {
    fn drop(&mut self) {
        self.0.signal(Signal::CONT);
    }
}

fn watch(gateway: &Gateway) -> Waited {
    let in_flight = || gateway.lane("fast")["in_flight"].as_u64().expect("a count");
    let (mut last, mut since) = (in_flight(), Instant::now());
    wait::until_true("all windows are full", FULL_WAIT, || {
        let now = in_flight();
        if now != last {
            (last, since) = (now, Instant::now());
        }
        since.elapsed() > STILL
    });
    let cpu = || proc::cpu_seconds(gateway.id()).expect("the gateway runs");
    let threads = || proc::threads_cpu_seconds(gateway.id());
    let (begin, used, by_thread) = (Instant::now(), cpu(), threads());
    thread::sleep(WATCHED);
    let (used, seconds) = (cpu() - used, begin.elapsed().as_secs_f64());
    let share = |(name, now): (String, f64)| {
        let before = by_thread.get(&name).copied().unwrap_or_default();
        ((now - before) / seconds, name)
    };
    let mut shares: Vec<(f64, String)> = threads().into_iter().map(share).collect();
    shares.sort_by(|one, other| other.0.total_cmp(&one.0));
    let named = shares.iter().take(THREADS).map(|(share, name)| format!("{name} {}", core(*share)));
    let threads: Vec<String> = named.collect();
    Waited { share: used / seconds, threads: threads.join(", "), in_flight: last }
}
