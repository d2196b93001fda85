//! The admin pages while everything else burns: how long each takes.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use tests::gateway::Gateway;
use tests::http;

use crate::report::percentile;

pub const PAGES: [&str; 4] = ["/livez", "/readyz", "/metrics", "/api/v1/status"];
/// Between two requests, so that asking is not the load.
const PAUSE: Duration = Duration::from_millis(5);
/// How long the load may take to begin.
const LOAD_WAIT: Duration = Duration::from_secs(60);

/// Asks for all pages in turn, from when the gateway receives messages until `stop`; returns the p99 in
/// milliseconds and how often it was asked, page by page.
pub fn scrape(gateway: &Gateway, stop: &AtomicBool) -> [(f64, usize); 4] {
    let begin = Instant::now();
    while gateway.lane("fast")["received"] == 0 {
        assert!(begin.elapsed() < LOAD_WAIT, "the gateway received nothing within {LOAD_WAIT:?}");
        thread::sleep(PAUSE);
    }
    let mut times_us: [Vec<u32>; 4] = Default::default();
    while !stop.load(Ordering::Acquire) {
        for (path, times_us) in PAGES.iter().zip(&mut times_us) {
            let begin = Instant::now();
            let answer = http::get(gateway.admin(), path)
                .unwrap_or_else(|error| panic!("{path} does not answer under load: {error}"));
            times_us.push(begin.elapsed().as_micros() as u32);
            assert_eq!(answer.code, 200, "{path}: {}", answer.body);
            thread::sleep(PAUSE);
        }
    }
    times_us.map(|mut times_us| {
        times_us.sort_unstable();
        (percentile(&times_us, 0.99) / 1000.0, times_us.len())
    })
}
