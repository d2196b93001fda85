//! How fast something goes lately, and when it will be done. Pure.

use std::collections::VecDeque;
use std::time::Duration;

/// The rate is that of so much of the time that is behind.
const LATELY: Duration = Duration::from_secs(10);
/// Between two samples that are kept.
const SAMPLE_PAUSE: Duration = Duration::from_millis(500);
/// Before this time, nothing is foretold.
const FORETOLD_AFTER: Duration = Duration::from_secs(1);

/// See the module.
#[derive(Default)]
pub struct Speed {
    /// The time since it began, and what was done until then.
    samples: VecDeque<(Duration, u64)>,
    now: (Duration, u64),
}

impl Speed {
    /// So much is done at this time since it began.
    pub fn reach(&mut self, at: Duration, done: u64) {
        self.now = (at, done);
        let is_due = self.samples.back().is_none_or(|(last, _)| at >= *last + SAMPLE_PAUSE);
        if is_due {
            self.samples.push_back((at, done));
        }
        while self.samples.get(1).is_some_and(|(next, _)| *next + LATELY <= at) {
            self.samples.pop_front();
        }
    }

    /// In a second, lately.
    pub fn rate(&self) -> f64 {
        let (then, before) = self.samples.front().copied().unwrap_or_default();
        let (at, done) = self.now;
        let seconds = at.saturating_sub(then).as_secs_f64();
        if seconds > 0.0 { done.saturating_sub(before) as f64 / seconds } else { 0.0 }
    }

    /// When all will be done, as it goes lately; none where that cannot be told.
    pub fn left(&self, total: u64) -> Option<Duration> {
        let (at, done) = self.now;
        let rate = self.rate();
        if at < FORETOLD_AFTER || rate <= 0.0 {
            return None;
        }
        Duration::try_from_secs_f64(total.saturating_sub(done) as f64 / rate).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_foretold_follows_how_it_goes_lately() {
        let mut speed = Speed::default();
        speed.reach(Duration::ZERO, 0);
        assert_eq!((speed.rate(), speed.left(10)), (0.0, None), "nothing is known yet");
        let mut done = 0;
        for tenth in 1..=600 {
            done += if tenth <= 300 { 100 } else { 10 };
            speed.reach(Duration::from_millis(100 * tenth), done);
            assert!(speed.samples.len() < 30);
        }
        assert!((99.0..=101.0).contains(&speed.rate()), "{}", speed.rate());
        let left = speed.left(done + 1000).unwrap().as_secs_f64();
        assert!((9.9..=10.1).contains(&left), "{left}");
        assert_eq!(speed.left(done), Some(Duration::ZERO));
        for tenth in 601..=800 {
            speed.reach(Duration::from_millis(100 * tenth), done);
        }
        assert_eq!(speed.left(done + 1), None, "it stands still");
    }
}
