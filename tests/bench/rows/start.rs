//! From the start of the process until it is ready, with a Kafka that is there.
//!
//! Landfall's own part is what it takes beyond Kafka's: beside every start, as many bare producers as
//! there are lanes are made at once, and the time until all have their ids is taken off. What is left
//! holds the start of the process as well as how late it sees that its producers have their ids.

use std::thread;
use std::time::{Duration, Instant};

use tests::http;
use tests::wait;

use super::{Bench, LANES};
use crate::bare;
use crate::table::{Aim, Line, median, milliseconds, spread};

/// Starts are quick, and differ.
const REPETITIONS: usize = 5;
const LOOK: Duration = Duration::from_millis(1);

pub fn row(bench: &Bench) -> Vec<Line> {
    bench.warm_up();
    let (mut bound, mut ready, mut bare, mut own) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..REPETITIONS {
        let config = bench.gateway();
        let begin = Instant::now();
        let gateway = config.launch();
        let until = |what: &str, is_there: &dyn Fn() -> bool| {
            while !is_there() {
                assert!(begin.elapsed() < wait::START, "{what}: not in time\n{}", gateway.log());
                thread::sleep(LOOK);
            }
            begin.elapsed().as_secs_f64() * 1e3
        };
        let page = |path| http::get(gateway.admin(), path);
        bound.push(until("the admin pages", &|| page("/livez").is_ok()));
        let is_ready = || page("/readyz").is_ok_and(|answer| answer.code == 200);
        let ready_ms = until("readiness", &is_ready);
        let ids = bare::time_to_ids(&bench.kafka.address(), LANES.len());
        let bare_ms = ids.as_secs_f64() * 1e3;
        own.push((ready_ms - bare_ms).max(0.0));
        ready.push(ready_ms);
        bare.push(bare_ms);
    }
    let name = "start to ready, Kafka there";
    let beside = format!("{} bare producers until they have their ids", LANES.len());
    vec![
        Line::plain(
            name,
            "until /readyz is 200",
            spread(&ready, milliseconds),
            format!("{beside}: {}", spread(&bare, milliseconds)),
        )
        .aimed(Aim::AtMost(1500.0), median(&ready), milliseconds),
        Line::plain(
            name,
            "Landfall's own part: beyond the bare producers",
            spread(&own, milliseconds),
            "",
        )
        .aimed(Aim::AtMost(100.0), median(&own), milliseconds),
        Line::plain(
            name,
            "of that, until listeners are bound and pages answer",
            spread(&bound, milliseconds),
            "",
        ),
    ]
}
