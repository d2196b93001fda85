//! What the fleet is at, on the terminal: one line that changes, or a line now and then where there is
//! no terminal.

use std::io::{IsTerminal as _, Write as _};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::device::Counters;

/// Between two lines where there is no terminal.
const LINE_PAUSE: Duration = Duration::from_secs(5);

pub struct Progress {
    bar: Option<ProgressBar>,
    devices: u32,
    told: Instant,
    /// When the rate was last computed, and the acknowledgements until then.
    measured: (Instant, u64),
    rate: f64,
}

impl Progress {
    pub fn start(devices: u32) -> Progress {
        let bar = std::io::stdout().is_terminal().then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stdout());
            let style = ProgressStyle::with_template("{spinner} {elapsed} {msg}");
            bar.with_style(style.expect("the template is right"))
        });
        let now = Instant::now();
        Progress { bar, devices, told: now, measured: (now, 0), rate: 0.0 }
    }

    /// Shows the sums; called a few times a second.
    pub fn tell(&mut self, counters: &Counters, stage: &str) {
        let acknowledged = counters.acknowledged.load(Ordering::Relaxed);
        let elapsed = self.measured.0.elapsed();
        if elapsed >= Duration::from_secs(1) {
            self.rate = (acknowledged - self.measured.1) as f64 / elapsed.as_secs_f64();
            self.measured = (Instant::now(), acknowledged);
        }
        let text = format!(
            "{stage}: {} of {} devices connected, {} sent ({} again), {acknowledged} acknowledged ({:.0}/s), {} outstanding",
            counters.connected.load(Ordering::Relaxed),
            self.devices,
            counters.sent.load(Ordering::Relaxed),
            counters.resent.load(Ordering::Relaxed),
            self.rate,
            counters.outstanding.load(Ordering::Relaxed),
        );
        match &self.bar {
            Some(bar) => {
                bar.set_message(text);
                bar.tick();
            }
            None if self.told.elapsed() >= LINE_PAUSE => {
                self.told = Instant::now();
                // A reader that went away is no reason to end.
                let _ = writeln!(std::io::stdout(), "{text}");
            }
            None => {}
        }
    }

    /// The last words.
    pub fn finish(self, text: &str) {
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
        let _ = writeln!(std::io::stdout(), "{text}");
    }
}
