//! As fast as the windows allow: what a message costs when many come at once.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use super::{
    Bench, KAFKA, Load, Repetitions, SYSTEM, cores, per_cpu_second, per_million, per_second,
};
use crate::mosquitto::Mosquitto;
use crate::pages::{self, PAGES};
use crate::table::{Aim, Line, core, milliseconds, seconds, thousands, times};

pub fn few(bench: &Bench) -> Vec<Line> {
    row(bench, "50 connections, window 20, as fast as it goes", 50, 500e3, 4.0)
}

pub fn many(bench: &Bench) -> Vec<Line> {
    row(bench, "5,000 connections, window 20, as fast as it goes", 5000, 350e3, 3.0)
}

fn row(bench: &Bench, name: &str, connections: usize, aim: f64, aim_times: f64) -> Vec<Line> {
    bench.warm_up();
    let (gateway, broker) = (bench.gateway().start_ready(), Mosquitto::start());
    let load = Load { connections, rate: None, duration: bench.duration, way: &[] };
    let (mut ours, mut theirs) = (Repetitions::default(), Repetitions::default());
    for _ in 0..bench.repetitions {
        ours.0.push(bench.load(&load, gateway.mqtt(), &[gateway.id(), bench.kafka.id()]));
        theirs.0.push(bench.load(&load, broker.address(), &[broker.id()]));
    }
    bench.check_landed(&gateway, ours.acknowledged());
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
            latency(&ours),
            format!("mosquitto {}", latency(&theirs)),
        ),
        Line::plain(
            name,
            "CPU of the gateway, of the generator, in cores",
            used(&ours),
            format!("mosquitto {}", used(&theirs)),
        ),
        Line::plain(
            name,
            "Kafka's CPU for a million messages",
            ours.spread(per_million(KAFKA), seconds),
            "",
        ),
    ]
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
