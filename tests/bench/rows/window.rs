//! As fast as the windows allow: what a message costs when many come at once.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use tests::gateway::GatewayConfig;

use super::producer::{Producer, Way};
use super::{
    Bench, KAFKA, Load, Repetitions, SYSTEM, cores, per_cpu_second, per_million, per_second,
};
use crate::mosquitto::Mosquitto;
use crate::pages::{self, PAGES};
use crate::report::LoadReport;
use crate::table::{Aim, Line, core, milliseconds, seconds, thousands, times};

/// How the bare producer writes as fast as it goes; the best counts. With the last a batch is full before it is
/// due: librdkafka's thread does not poll without a pause while Kafka has the one before.
const WAYS: [Way; 3] = [
    Way { rate: None, linger_ms: 1.0, batch_size: Some(262_144) },
    Way { rate: None, linger_ms: 5.0, batch_size: Some(1_000_000) },
    Way { rate: None, linger_ms: 100.0, batch_size: Some(1_000_000) },
];
/// What a gateway should land of what a bare producer lands.
const OF_BARE: f64 = 0.6;
/// What very many connections should land of what few do.
const OF_FEW: f64 = 0.85;
/// Partitions of the topics that few and very many connections are compared over.
const PARTITIONS: [i32; 3] = [1, 3, 24];
const FEW: usize = 50;
const MANY: usize = 5000;

pub fn few(bench: &Bench) -> Vec<Line> {
    row(bench, "50 connections, window 20, as fast as it goes", FEW, 500e3, 4.0)
}

pub fn many(bench: &Bench) -> Vec<Line> {
    row(bench, "5,000 connections, window 20, as fast as it goes", MANY, 350e3, 3.0)
}

fn row(bench: &Bench, name: &str, connections: usize, aim: f64, aim_times: f64) -> Vec<Line> {
    bench.warm_up();
    let (gateway, broker) = (bench.gateway().start_ready(), Mosquitto::start());
    let load = Load { connections, rate: None, duration: bench.duration, way: &[] };
    let (mut ours, mut theirs) = (Repetitions::default(), Repetitions::default());
    let mut bare = (connections == FEW).then(|| Bare::new(bench));
    for _ in 0..bench.repetitions {
        ours.0.push(bench.load(&load, gateway.mqtt(), &[gateway.id(), bench.kafka.id()]));
        theirs.0.push(bench.load(&load, broker.address(), &[broker.id()]));
        if let Some(bare) = &mut bare {
            bare.run(&gateway.topic("fast"));
        }
    }
    bench.check_landed(&gateway, ours.acknowledged());
    let mut lines = lines(name, &ours, &theirs, aim, aim_times);
    lines.extend(bare.into_iter().flat_map(|bare| bare.lines(name, &ours)));
    lines
}

fn lines(
    name: &str,
    ours: &Repetitions,
    theirs: &Repetitions,
    aim: f64,
    aim_times: f64,
) -> Vec<Line> {
    let cost = per_cpu_second(SYSTEM);
    let (own, other) = (ours.median(&cost), theirs.median(&cost));
    let latency = |of: &Repetitions| {
        let (p50, p99) = (of.median(|report| report.p50_ms), of.median(|report| report.p99_ms));
        format!("{}, {}", milliseconds(p50), milliseconds(p99))
    };
    let used = |of: &Repetitions| {
        format!(
            "{}, {}",
            core(of.median(cores(SYSTEM))),
            core(of.median(|report| report.own_cpu / report.seconds))
        )
    };
    vec![
        Line::plain(
            name,
            "landed and acknowledged per CPU-second of the gateway",
            ours.spread(&cost, thousands),
            format!("mosquitto {}", theirs.spread(&cost, thousands)),
        )
        .aimed(Aim::AtLeast(aim), own, thousands),
        Line::plain(name, "the same, as a multiple of mosquitto's", times(own / other), "").aimed(
            Aim::AtLeast(aim_times),
            own / other,
            times,
        ),
        Line::plain(
            name,
            "messages per second",
            ours.spread(per_second, thousands),
            format!("mosquitto {}", theirs.spread(per_second, thousands)),
        ),
        Line::plain(
            name,
            "PUBACK p50, p99",
            latency(ours),
            format!("mosquitto {}", latency(theirs)),
        ),
        Line::plain(
            name,
            "CPU of the gateway, of the generator, in cores",
            used(ours),
            format!("mosquitto {}", used(theirs)),
        ),
        Line::plain(
            name,
            "Kafka's CPU for a million messages",
            ours.spread(per_million(KAFKA), seconds),
            "",
        ),
    ]
}

/// A bare producer as fast as it goes, in each of its ways: the limit of what writes to Kafka in this manner.
struct Bare<'a> {
    kafka: u32,
    producer: Producer<'a>,
    by_way: [Repetitions; WAYS.len()],
}

impl Bare<'_> {
    fn new(bench: &Bench) -> Bare<'_> {
        let producer = Producer::new(bench, &bench.kafka, bench.partitions, FEW);
        Bare { kafka: bench.kafka.id(), producer, by_way: Default::default() }
    }

    fn run(&mut self, like: &str) {
        for (way, repetitions) in WAYS.into_iter().zip(&mut self.by_way) {
            repetitions.0.push(self.producer.run(way, like, &[self.kafka]));
        }
    }

    fn lines(self, name: &str, ours: &Repetitions) -> Vec<Line> {
        self.producer.check_landed();
        let landed = |report: &LoadReport| report.measured as f64 / report.own_cpu;
        let of_each: Vec<String> = WAYS
            .iter()
            .zip(&self.by_way)
            .map(|(way, repetitions)| {
                let size = way.batch_size.expect("each way has its own");
                let figure = repetitions.spread(landed, thousands);
                format!("linger.ms={}, batch.size={size}: {figure}", way.linger_ms)
            })
            .collect();
        let best = self
            .by_way
            .iter()
            .max_by(|one, other| one.median(landed).total_cmp(&other.median(landed)));
        let best = best.expect("there are ways");
        let ratio = ours.median(per_cpu_second(SYSTEM)) / best.median(landed);
        vec![
            Line::plain(
                name,
                "the same, as a multiple of a bare producer's as fast as it goes",
                times(ratio),
                format!("bare rdkafka per CPU-second, {}", of_each.join("; ")),
            )
            .aimed(Aim::AtLeast(OF_BARE), ratio, times),
            Line::plain(
                name,
                "messages per second, Kafka's CPU for a million, of the best bare producer",
                format!(
                    "{}, {}",
                    thousands(best.median(per_second)),
                    seconds(best.median(per_million(0)))
                ),
                "",
            ),
        ]
    }
}

/// Few connections and very many, in turn, over topics of one, some and many partitions.
pub fn partitions(bench: &Bench) -> Vec<Line> {
    bench.warm_up();
    let gateways = PARTITIONS.map(|partitions| {
        GatewayConfig::with_partitions(&bench.kafka, partitions)
            .program(bench.landfall())
            .start_ready()
    });
    let mut measured: [[Repetitions; 2]; PARTITIONS.len()] = Default::default();
    for _ in 0..bench.repetitions {
        for (gateway, of_one) in gateways.iter().zip(&mut measured) {
            for (connections, of_load) in [FEW, MANY].into_iter().zip(of_one) {
                let load = Load { connections, rate: None, duration: bench.duration, way: &[] };
                let watch = [gateway.id(), bench.kafka.id()];
                of_load.0.push(bench.load(&load, gateway.mqtt(), &watch));
            }
        }
    }
    let mut lines = Vec::new();
    for ((partitions, gateway), [few, many]) in PARTITIONS.iter().zip(&gateways).zip(&measured) {
        bench.check_landed(gateway, few.acknowledged() + many.acknowledged());
        let cost = per_cpu_second(SYSTEM);
        let ratio = many.median(&cost) / few.median(&cost);
        let name = format!("5,000 connections and 50 over {partitions} partitions, window 20");
        let both = |figure: &dyn Fn(&Repetitions) -> String| {
            format!("{} with 5,000, {} with 50", figure(many), figure(few))
        };
        lines.extend([
            Line::plain(
                &name,
                "landed per CPU-second of the gateway, as a multiple of what 50 land",
                times(ratio),
                both(&|of| of.spread(&cost, thousands)),
            )
            .aimed(Aim::AtLeast(OF_FEW), ratio, times),
            Line::plain(
                &name,
                "messages per second; Kafka's CPU for a million",
                both(&|of| {
                    let rate = thousands(of.median(per_second));
                    format!("{rate} and {}", seconds(of.median(per_million(KAFKA))))
                }),
                "",
            ),
        ]);
    }
    lines
}

/// The admin pages during the load with the most connections and messages, in a repetition of its own:
/// asking costs the gateway something too.
pub fn pages(bench: &Bench) -> Vec<Line> {
    bench.warm_up();
    let gateway = bench.gateway().start_ready();
    let load = Load { connections: 5000, rate: None, duration: bench.duration, way: &[] };
    let stop = AtomicBool::new(false);
    let (report, pages) = thread::scope(|scope| {
        let scraper = scope.spawn(|| pages::scrape(&gateway, &stop));
        let report = bench.load(&load, gateway.mqtt(), &[gateway.id()]);
        stop.store(true, Ordering::Release);
        (report, scraper.join().expect("every page answers"))
    });
    bench.check_landed(&gateway, report.acknowledged);
    let name = "admin pages during 5,000 connections, window 20";
    let beside = format!("at {} messages per second", thousands(per_second(&report)));
    let lines = PAGES.iter().zip(pages).map(|(path, (p99, asked))| {
        Line::plain(
            name,
            &format!("p99 of {path}, asked {asked} times"),
            milliseconds(p99),
            &beside,
        )
        .aimed(Aim::AtMost(1000.0), p99, milliseconds)
    });
    lines.collect()
}
