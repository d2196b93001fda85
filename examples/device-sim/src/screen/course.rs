//! The run's course, second by second: rates, the latency of the last seconds, and a little history. Pure.

use std::collections::VecDeque;
use std::time::Duration;

use crate::counters::{Profile, Sums};
use crate::latency::Counts;

/// Rates are the mean of so many seconds.
const RATE_SECONDS: usize = 3;
/// Percentiles are of what was acknowledged in so many seconds.
pub const LATENCY_SECONDS: usize = 5;
/// Seconds of history.
pub const HISTORY: usize = 120;

/// The sums at some time of the run.
#[derive(Clone)]
struct Sample {
    at: Duration,
    total: Sums,
    profiles: Vec<(Profile, Sums)>,
}

/// What happened in one second.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Second {
    pub connected: f64,
    pub sent: f64,
    pub acknowledged: f64,
    pub outstanding: f64,
    pub resent: f64,
    /// In seconds, of what was acknowledged in it; none where nothing was.
    pub p99: Option<f64>,
}

/// What happens in a second, in the mean of the last ones.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Lately {
    pub sent: f64,
    pub acknowledged: f64,
    pub resent: f64,
    pub p50: Option<Duration>,
    pub p99: Option<Duration>,
}

/// See the module.
#[derive(Default)]
pub struct Course {
    samples: VecDeque<Sample>,
    seconds: VecDeque<Second>,
}

impl Course {
    /// The sums as they are now; called once a second.
    pub fn take(&mut self, at: Duration, profiles: Vec<(Profile, Sums)>) {
        let mut total = Sums::default();
        profiles.iter().for_each(|(_, sums)| total.add(sums));
        if let Some(last) = self.samples.back() {
            let lately = between(&last.total, &total, at.saturating_sub(last.at));
            self.seconds.push_back(Second {
                connected: total.connected.max(0) as f64,
                sent: lately.sent,
                acknowledged: lately.acknowledged,
                outstanding: total.outstanding.max(0) as f64,
                resent: lately.resent,
                p99: lately.p99.map(|length| length.as_secs_f64()),
            });
        }
        self.samples.push_back(Sample { at, total, profiles });
        while self.samples.len() > LATENCY_SECONDS + 1 {
            self.samples.pop_front();
        }
        while self.seconds.len() > HISTORY {
            self.seconds.pop_front();
        }
    }

    /// The sums at the end, which is no second of its own.
    pub fn end(&mut self, at: Duration, profiles: Vec<(Profile, Sums)>) {
        let seconds = std::mem::take(&mut self.seconds);
        self.take(at, profiles);
        self.seconds = seconds;
    }

    /// The last seconds, the oldest first.
    pub fn history(&self) -> impl ExactSizeIterator<Item = &Second> + DoubleEndedIterator {
        self.seconds.iter()
    }

    /// The whole fleet's.
    pub fn lately(&self) -> Lately {
        self.lately_by(|sample| sample.total.clone()).1
    }

    /// That of devices of some profiles, and their sums as they were last taken.
    pub fn lately_of(&self, takes: impl Fn(&Profile) -> bool) -> (Sums, Lately) {
        self.lately_by(|sample| {
            let mut sums = Sums::default();
            let parts = sample.profiles.iter().filter(|(profile, _)| takes(profile));
            parts.for_each(|(_, part)| sums.add(part));
            sums
        })
    }

    fn lately_by(&self, sums: impl Fn(&Sample) -> Sums) -> (Sums, Lately) {
        let behind = self.samples.len().saturating_sub(1 + RATE_SECONDS);
        let recent = self.samples.get(behind);
        let (Some(oldest), Some(recent), Some(last)) =
            (self.samples.front(), recent, self.samples.back())
        else {
            return (Sums::default(), Lately::default());
        };
        let now = sums(last);
        let rates = between(&sums(recent), &now, last.at.saturating_sub(recent.at));
        let latency = now.latency.since(&sums(oldest).latency);
        let (p50, p99) = (latency.percentile(0.5), latency.percentile(0.99));
        (now, Lately { p50, p99, ..rates })
    }

    /// The profiles of the fleet.
    pub fn profiles(&self) -> impl Iterator<Item = &Profile> {
        self.samples
            .back()
            .into_iter()
            .flat_map(|sample| &sample.profiles)
            .map(|(profile, _)| profile)
    }
}

fn between(then: &Sums, now: &Sums, time: Duration) -> Lately {
    let rate = |then: u64, now: u64| match time.as_secs_f64() {
        0.0 => 0.0,
        seconds => now.saturating_sub(then) as f64 / seconds,
    };
    let latency: Counts = now.latency.since(&then.latency);
    Lately {
        sent: rate(then.sent, now.sent),
        acknowledged: rate(then.acknowledged, now.acknowledged),
        resent: rate(then.resent, now.resent),
        p50: latency.percentile(0.5),
        p99: latency.percentile(0.99),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::Version;
    use crate::latency::Histogram;

    const METER: Profile = Profile { kind: "meter", firmware: "4.2.1", version: Version::V5 };
    const PUMP: Profile = Profile { kind: "pump", firmware: "3.0.2", version: Version::V311 };

    fn sums(sent: u64, latency: &Histogram) -> Sums {
        let latency = latency.counts();
        Sums { sent, acknowledged: sent / 2, outstanding: 3, latency, ..Sums::default() }
    }

    #[test]
    fn rates_are_of_the_last_seconds_whatever_their_length() {
        let mut course = Course::default();
        assert_eq!(course.lately(), Lately::default());
        let latency = Histogram::default();
        let mut sent = 0;
        // A minute at 100 in a second, then at 10; the clock is late now and then.
        for (second, rate) in (0..60).map(|second| (second, 100)).chain((60..80).map(|s| (s, 10))) {
            let late = Duration::from_millis(u64::from(second % 7 == 3) * 400);
            let at = Duration::from_secs(second) + late;
            latency.count(Duration::from_millis(if rate == 100 { 500 } else { 20 }));
            course.take(
                at,
                vec![(METER, sums(sent, &latency)), (PUMP, sums(7, &Histogram::default()))],
            );
            sent += rate;
        }
        let lately = course.lately();
        assert!((9.0..=11.0).contains(&lately.sent), "{lately:?}");
        assert!((4.0..=6.0).contains(&lately.acknowledged), "{lately:?}");
        let p99 = lately.p99.unwrap();
        assert!(p99 < Duration::from_millis(25), "what was slow is over: {p99:?}");
        let (pump, quiet) = course.lately_of(|profile| profile.kind == "pump");
        assert_eq!((pump.sent, quiet.sent, quiet.p50), (7, 0.0, None));
        assert_eq!(course.history().len(), 79);
        let last = *course.history().next_back().unwrap();
        assert_eq!(last.outstanding, 6.0);
        course.end(Duration::from_secs(80), vec![(METER, sums(9_999, &latency))]);
        assert_eq!(course.history().next_back(), Some(&last));
        assert_eq!(course.lately_of(|_| true).0.sent, 9_999);
    }

    #[test]
    fn history_is_bounded_and_a_clock_that_stands_is_no_division() {
        let mut course = Course::default();
        for _ in 0..10 * HISTORY {
            course.take(Duration::from_secs(1), vec![(METER, sums(5, &Histogram::default()))]);
        }
        assert_eq!(course.history().len(), HISTORY);
        assert!(course.history().all(|second| second.sent == 0.0 && second.p99.is_none()));
    }
}
