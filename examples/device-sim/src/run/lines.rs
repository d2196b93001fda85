//! What the fleet is at, in a line now and then, where there is no terminal.

use std::time::{Duration, Instant};

use crate::counters::Counters;

/// Between two lines.
const LINE_PAUSE: Duration = Duration::from_secs(5);
/// Acknowledgements are counted for so long before a rate is made of them.
const RATE_PAUSE: Duration = Duration::from_secs(1);

/// See the module.
pub struct Lines {
    told: Instant,
    /// When the rate was last computed, and the acknowledgements until then.
    measured: (Instant, u64),
    rate: f64,
}

impl Lines {
    pub fn new(now: Instant) -> Lines {
        Lines { told: now, measured: (now, 0), rate: 0.0 }
    }

    /// The next line, when it is time for one; asked a few times a second.
    pub fn next(&mut self, now: Instant, counters: &Counters, stage: &str) -> Option<String> {
        let measures = now.duration_since(self.measured.0) >= RATE_PAUSE;
        let tells = now.duration_since(self.told) >= LINE_PAUSE;
        if !measures && !tells {
            return None;
        }
        let total = counters.total();
        if measures {
            let seconds = now.duration_since(self.measured.0).as_secs_f64();
            self.rate = (total.acknowledged - self.measured.1) as f64 / seconds;
            self.measured = (now, total.acknowledged);
        }
        if !tells {
            return None;
        }
        self.told = now;
        Some(format!(
            "{stage}: {} of {} devices connected, {} sent ({} again), {} acknowledged ({:.0}/s), {} outstanding",
            total.connected,
            total.devices,
            total.sent,
            total.resent,
            total.acknowledged,
            self.rate,
            total.outstanding,
        ))
    }
}
