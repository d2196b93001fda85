//! The page for people while messages pass: what sampling costs while nobody looks, and what pages add. The whole
//! process is told beside it; what it differs by is less than its noise, so the figure is that of the thread that
//! samples and shows, which does nothing else meanwhile.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Instant;

use tests::events::Stream;
use tests::gateway::Gateway;
use tests::proc;

use super::{Bench, Load, Repetitions, SYSTEM, cores};
use crate::table::{Aim, Line, core, kilobytes, median, spread};

const CONNECTIONS: usize = 2000;
const RATE: u64 = 20_000;
/// Pages that are open at a time.
const PAGES: usize = 20;
/// The thread of the admin port.
const THREAD: &str = "admin";
const LIVE: &str = "/api/v1/live";

#[derive(Default)]
struct Measured {
    /// Share of a core that the thread took.
    shares: Vec<f64>,
    loads: Repetitions,
}

pub fn row(bench: &Bench) -> Vec<Line> {
    let name = "20k/s paced over 2,000 connections, looked at";
    bench.warm_up();
    let gateway = bench.gateway().start_ready();
    let (mut alone, mut watched) = (Measured::default(), Measured::default());
    for _ in 0..bench.repetitions {
        measure(bench, &gateway, 0, &mut alone);
        measure(bench, &gateway, PAGES, &mut watched);
    }
    bench.check_landed(&gateway, alone.loads.acknowledged() + watched.loads.acknowledged());
    let more = median(&watched.shares) - median(&alone.shares);
    let process = |of: &Measured| of.loads.spread(cores(SYSTEM), core);
    let mut stream = Stream::open(gateway.admin(), LIVE, &[]).expect("it is shown");
    let now = stream.until("now", |_| true);
    let history = now["history"]["memory_bytes"].as_f64().expect("it is told");
    vec![
        Line::plain(
            name,
            &format!("CPU of the admin thread, {PAGES} pages open: of a core"),
            format!("{}: {} more", spread(&watched.shares, core), core(more)),
            format!("nobody looks: {}", spread(&alone.shares, core)),
        )
        .aimed(Aim::AtMost(0.01), more, core),
        Line::plain(
            name,
            "CPU of the gateway, of a core",
            process(&watched),
            format!("nobody looks: {}", process(&alone)),
        ),
        Line::plain(name, "memory of the history", kilobytes(history), String::new()),
    ]
}

/// The load once, while so many pages are open.
fn measure(bench: &Bench, gateway: &Gateway, pages: usize, measured: &mut Measured) {
    let load =
        Load { connections: CONNECTIONS, rate: Some(RATE), duration: bench.duration, way: &[] };
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let looking: Vec<_> = (0..pages).map(|_| scope.spawn(|| look(gateway, &stop))).collect();
        let used = || proc::thread_cpu_seconds(gateway.id(), THREAD);
        let (begin, before) = (Instant::now(), used());
        let report = bench.load(&load, gateway.mqtt(), &[gateway.id()]);
        let seconds = begin.elapsed().as_secs_f64();
        measured.shares.push((used() - before) / seconds);
        measured.loads.0.push(report);
        stop.store(true, Ordering::Release);
        for page in looking {
            let samples = page.join().expect("a page does not panic");
            assert!(samples as f64 > seconds / 2.0, "a page saw {samples} samples in {seconds} s");
        }
    });
}

/// Reads what is shown as a page does, which asks again when a stream has ended. Returns how many samples came.
fn look(gateway: &Gateway, stop: &AtomicBool) -> u64 {
    let mut samples = 0;
    while !stop.load(Ordering::Acquire) {
        let mut stream = Stream::open(gateway.admin(), LIVE, &[]).expect("it is shown");
        assert_eq!(stream.code, 200, "{}", stream.head);
        while let Some(event) = stream.next_event().expect("it ends as it should")
            && !stop.load(Ordering::Acquire)
        {
            samples += u64::from(event.name == "now");
        }
    }
    samples
}
