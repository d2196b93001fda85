//! Three brokers that have every record twice before it is acknowledged: what a steady rate over many partitions
//! costs them, beside a bare producer at the same rate.

use std::thread;

use tests::gateway::GatewayConfig;
use tests::kafka::{Kafka, KafkaOptions};

use super::producer::{Producer, Way};
use super::{Bench, Load, Repetitions, SYSTEM, WARM_UP, cores};
use crate::report::LoadReport;
use crate::table::{self, Aim, Line, core, milliseconds, times};

const CONNECTIONS: usize = 2000;
const PARTITIONS: i32 = 24;

/// What one side's loads were, and how many requests they took.
#[derive(Default)]
struct Side {
    repetitions: Repetitions,
    /// Produce requests for a thousand messages, warm-up included.
    requests: Vec<f64>,
}

impl Side {
    fn push(&mut self, report: LoadReport, requests: u64) {
        self.requests.push(requests as f64 / report.acknowledged as f64 * 1e3);
        self.repetitions.0.push(report);
    }
}

pub fn fast(bench: &Bench) -> Vec<Line> {
    row(bench, "20k/s", 20_000, 5.0)
}

pub fn slow(bench: &Bench) -> Vec<Line> {
    row(bench, "5k/s", 5000, 1.0)
}

fn row(bench: &Bench, pace: &str, rate: u64, linger_ms: f64) -> Vec<Line> {
    let options = KafkaOptions { counters: true, ..KafkaOptions::default() };
    let brokers = Kafka::start_cluster_with(&options);
    let gateway = GatewayConfig::with_partitions(&brokers[0], PARTITIONS)
        .program(bench.landfall())
        .start_ready();
    let producer = Producer::new(bench, &brokers[0], PARTITIONS, CONNECTIONS);
    let load = |duration| Load { connections: CONNECTIONS, rate: Some(rate), duration, way: &[] };
    let like = gateway.topic("fast");
    let kafka: Vec<u32> = brokers.iter().map(Kafka::id).collect();
    let (mut ours, mut bare) = (Side::default(), Side::default());
    // Kafka's code is compiled while it runs.
    let mut acknowledged = bench.load(&load(2 * WARM_UP), gateway.mqtt(), &[]).acknowledged;
    let mut before = requests(&brokers);
    for _ in 0..bench.repetitions {
        let watch = [&[gateway.id()], &kafka[..]].concat();
        let report = bench.load(&load(bench.duration), gateway.mqtt(), &watch);
        let between = requests(&brokers);
        acknowledged += report.acknowledged;
        ours.push(report, between - before);
        let report = producer.run(Way::paced(rate, linger_ms), &like, &kafka);
        before = requests(&brokers);
        bare.push(report, before - between);
    }
    producer.check_landed();
    // All lanes' topics are in the brokers' cluster and not in the bench's Kafka.
    let landed: u64 = super::LANES.iter().map(|lane| brokers[0].count(&gateway.topic(lane))).sum();
    assert_eq!(landed, acknowledged, "Kafka's end offsets and the acknowledged count differ");
    lines(pace, linger_ms, &ours, &bare)
}

/// Produce requests that all have had.
fn requests(brokers: &[Kafka]) -> u64 {
    thread::scope(|scope| {
        let asked: Vec<_> =
            brokers.iter().map(|broker| scope.spawn(|| broker.produce_requests())).collect();
        asked.into_iter().map(|one| one.join().expect("each broker tells it")).sum()
    })
}

fn lines(pace: &str, linger_ms: f64, ours: &Side, bare: &Side) -> Vec<Line> {
    let name = format!(
        "three brokers, {PARTITIONS} partitions, min.insync.replicas=2, {pace} paced over 2,000 connections"
    );
    let beside = |figure: String| format!("bare rdkafka, linger.ms={linger_ms}: {figure}");
    let all_from = |first: usize| {
        move |report: &LoadReport| report.cpu[first..].iter().sum::<f64>() / report.seconds
    };
    let (own, other) = (&ours.repetitions, &bare.repetitions);
    let count = |requests: &[f64]| table::spread(requests, |value| format!("{value:.0}"));
    let times_of = |own: f64, other: f64| times(own / other);
    let latency = |of: fn(&LoadReport) -> f64| {
        (own.spread(of, milliseconds), beside(other.spread(of, milliseconds)))
    };
    let p50 = latency(|report| report.p50_ms);
    let ratio = own.median(|report| report.p99_ms) / other.median(|report| report.p99_ms);
    let p99 = latency(|report| report.p99_ms);
    let requests = (table::median(&ours.requests), table::median(&bare.requests));
    let kafka = (own.median(all_from(1)), other.median(all_from(0)));
    vec![
        Line::plain(
            &name,
            "produce requests for 1,000 messages, as a multiple of a bare producer's",
            format!("{}: {}", times_of(requests.0, requests.1), count(&ours.requests)),
            beside(count(&bare.requests)),
        ),
        Line::plain(
            &name,
            "CPU of the three brokers, as a multiple: of a core",
            format!("{}: {}", times_of(kafka.0, kafka.1), own.spread(all_from(1), core)),
            beside(other.spread(all_from(0), core)),
        ),
        Line::plain(
            &name,
            "CPU of the gateway, of a core",
            own.spread(cores(SYSTEM), core),
            beside(other.spread(|report| report.own_cpu / report.seconds, core)),
        ),
        Line::plain(&name, "PUBACK p50", p50.0, p50.1),
        Line::plain(
            &name,
            "PUBACK p99, as a multiple of a bare producer's",
            format!("{}: {}", times(ratio), p99.0),
            p99.1,
        )
        .aimed(Aim::AtMost(1.5), ratio, times),
    ]
}
