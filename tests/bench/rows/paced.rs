//! A steady rate over many connections: what wake-ups cost, how long an acknowledgement takes, and what
//! Kafka pays for it. A message is late from when it was due.

use super::producer::{Producer, Way};
use super::{Bench, KAFKA, Load, Repetitions, SYSTEM, cores, per_cpu_second, per_second};
use crate::mosquitto::Mosquitto;
use crate::report::LoadReport;
use crate::table::{Aim, Line, core, milliseconds, thousands, times};

const CONNECTIONS: usize = 2000;
/// The gateway's own `linger.ms`.
const LINGER_MS: f64 = 5.0;
/// A generator that keeps less of its rate measures something else.
const RATE_KEPT: f64 = 0.95;

/// A gateway, mosquitto and a bare producer at the same rate, in turn.
struct Measured {
    ours: Repetitions,
    theirs: Repetitions,
    bare: Repetitions,
}

pub fn fast(bench: &Bench) -> Vec<Line> {
    let name = "20k/s paced over 2,000 connections";
    let measured = measure(bench, 20_000, LINGER_MS);
    let Measured { ours, bare, .. } = &measured;
    let p99 = |report: &LoadReport| report.p99_ms;
    let ratio = ours.median(p99) / bare.median(p99);
    let kafka = |of: &Repetitions, process| of.spread(cores(process), core);
    let mut lines = costs(name, &measured, 1.25);
    lines.extend([
        Line::plain(
            name,
            "PUBACK p99, as a multiple of a bare producer's",
            times(ratio),
            format!("bare rdkafka, linger.ms={LINGER_MS}"),
        )
        .aimed(Aim::AtMost(1.5), ratio, times),
        Line::plain(
            name,
            "Kafka's CPU, of a core",
            kafka(ours, KAFKA),
            format!("bare rdkafka, linger.ms={LINGER_MS}: {}", kafka(bare, 0)),
        ),
    ]);
    lines.extend(latencies(name, &measured, LINGER_MS));
    lines
}

pub fn slow(bench: &Bench) -> Vec<Line> {
    let name = "5k/s paced over 2,000 connections";
    let linger_ms = 1.0;
    let measured = measure(bench, 5000, linger_ms);
    let Measured { ours, bare, .. } = &measured;
    let ratio = ours.median(cores(KAFKA)) / bare.median(cores(0));
    let mut lines = costs(name, &measured, 2.0);
    lines.push(
        Line::plain(
            name,
            "Kafka's CPU, as a multiple of what a bare producer costs it: of a core",
            format!("{}: {}", times(ratio), ours.spread(cores(KAFKA), core)),
            format!("bare rdkafka, linger.ms={linger_ms}: {}", bare.spread(cores(0), core)),
        )
        .aimed(Aim::AtMost(0.5), ratio, times),
    );
    lines.extend(latencies(name, &measured, linger_ms));
    lines
}

fn measure(bench: &Bench, rate: u64, linger_ms: f64) -> Measured {
    bench.warm_up();
    let (gateway, broker) = (bench.gateway().start_ready(), Mosquitto::start());
    let producer = Producer::new(bench, &bench.kafka, bench.partitions, CONNECTIONS);
    let (way, like) = (Way::paced(rate, linger_ms), gateway.topic("fast"));
    let load =
        Load { connections: CONNECTIONS, rate: Some(rate), duration: bench.duration, way: &[] };
    let kafka = bench.kafka.id();
    let mut measured = Measured {
        ours: Repetitions::default(),
        theirs: Repetitions::default(),
        bare: Repetitions::default(),
    };
    for _ in 0..bench.repetitions {
        measured.ours.0.push(bench.load(&load, gateway.mqtt(), &[gateway.id(), kafka]));
        measured.theirs.0.push(bench.load(&load, broker.address(), &[broker.id()]));
        measured.bare.0.push(producer.run(way, &like, &[kafka]));
    }
    bench.check_landed(&gateway, measured.ours.acknowledged());
    producer.check_landed();
    for (who, of) in
        [("Landfall", &measured.ours), ("mosquitto", &measured.theirs), ("bare", &measured.bare)]
    {
        let kept = of.median(per_second) / rate as f64;
        if kept < RATE_KEPT {
            eprintln!("bench: {who}: only {:.0} % of {rate}/s came through", kept * 100.0);
        }
    }
    measured
}

fn costs(name: &str, measured: &Measured, aim: f64) -> Vec<Line> {
    let Measured { ours, theirs, bare } = measured;
    let used = |of: &Repetitions| of.median(|report| report.cpu[SYSTEM] / report.measured as f64);
    let ratio = used(ours) / used(theirs);
    vec![
        Line::plain(
            name,
            "CPU of the gateway, as a multiple of mosquitto's: of a core",
            format!("{}: {}", times(ratio), ours.spread(cores(SYSTEM), core)),
            format!("mosquitto {}", theirs.spread(cores(SYSTEM), core)),
        )
        .aimed(Aim::AtMost(aim), ratio, times),
        Line::plain(
            name,
            "messages per second, per CPU-second",
            format!(
                "{}, {}",
                thousands(ours.median(per_second)),
                thousands(ours.median(per_cpu_second(SYSTEM)))
            ),
            format!(
                "mosquitto {}, {}; bare {}",
                thousands(theirs.median(per_second)),
                thousands(theirs.median(per_cpu_second(SYSTEM))),
                thousands(bare.median(per_second))
            ),
        ),
    ]
}

fn latencies(name: &str, measured: &Measured, linger_ms: f64) -> Vec<Line> {
    let line = |figure: &str, of: fn(&LoadReport) -> f64| {
        let text = |repetitions: &Repetitions| repetitions.spread(of, milliseconds);
        let beside = format!(
            "bare rdkafka, linger.ms={linger_ms}: {}; mosquitto {}",
            text(&measured.bare),
            text(&measured.theirs)
        );
        Line::plain(name, &format!("PUBACK {figure}"), text(&measured.ours), beside)
    };
    vec![
        line("p50", |report| report.p50_ms),
        line("p99", |report| report.p99_ms),
        line("largest", |report| report.max_ms),
    ]
}
