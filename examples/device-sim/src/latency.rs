//! How long acknowledgements take: counts by length, from which percentiles are read. Pure.
//!
//! Lengths are in microseconds; of each power of two there are [`PARTS`] counts, so that what is read is wrong
//! by a sixteenth at most.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

const PARTS: u64 = 8;
const PARTS_BITS: u32 = PARTS.trailing_zeros();
/// From here on, in microseconds, lengths are counted together: twenty minutes and more.
const LONGEST: u64 = 1 << 31;
const COUNTS: usize = place(LONGEST - 1) + 1;

/// Where a length is counted.
const fn place(micros: u64) -> usize {
    if micros < PARTS {
        return micros as usize;
    }
    let power = micros.ilog2();
    let part = (micros >> (power - PARTS_BITS)) % PARTS;
    ((power - PARTS_BITS + 1) as u64 * PARTS + part) as usize
}

/// The middle of what is counted there.
fn middle(place: usize) -> Duration {
    let place = place as u64;
    let micros = match (place / PARTS).checked_sub(1) {
        None | Some(0) => place,
        Some(shift) => (2 * (PARTS + place % PARTS) + 1) << (shift - 1),
    };
    Duration::from_micros(micros)
}

/// Counted from many threads.
pub struct Histogram(Box<[AtomicU64]>);

impl Default for Histogram {
    fn default() -> Histogram {
        Histogram((0..COUNTS).map(|_| AtomicU64::new(0)).collect())
    }
}

impl Histogram {
    pub fn count(&self, length: Duration) {
        let micros = u64::try_from(length.as_micros()).unwrap_or(LONGEST).min(LONGEST - 1);
        self.0[place(micros)].fetch_add(1, Ordering::Relaxed);
    }

    pub fn counts(&self) -> Counts {
        Counts(self.0.iter().map(|count| count.load(Ordering::Relaxed)).collect())
    }
}

/// What a [`Histogram`] had at some time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counts(Box<[u64]>);

impl Default for Counts {
    fn default() -> Counts {
        Counts(vec![0; COUNTS].into())
    }
}

impl Counts {
    pub fn add(&mut self, other: &Counts) {
        self.0.iter_mut().zip(&other.0).for_each(|(own, other)| *own += other);
    }

    /// What came since an earlier time.
    pub fn since(&self, earlier: &Counts) -> Counts {
        let pairs = self.0.iter().zip(&earlier.0);
        Counts(pairs.map(|(now, then)| now.saturating_sub(*then)).collect())
    }

    /// The length that this part of all is not longer than, such as 0.99; none where nothing was counted.
    pub fn percentile(&self, part: f64) -> Option<Duration> {
        let all: u64 = self.0.iter().sum();
        let wanted = ((all as f64 * part).ceil() as u64).clamp(1, all.max(1));
        let mut seen = 0;
        let found = self.0.iter().position(|count| {
            seen += count;
            seen >= wanted
        });
        found.map(middle)
    }

    /// The longest.
    pub fn longest(&self) -> Option<Duration> {
        self.0.iter().rposition(|count| *count > 0).map(middle)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_is_what_was_counted_to_a_sixteenth() {
        let mut micros = 1;
        while micros < LONGEST {
            let histogram = Histogram::default();
            histogram.count(Duration::from_micros(micros));
            let read = histogram.counts().percentile(0.5).unwrap().as_micros() as f64;
            let wrong = (read - micros as f64).abs() / micros as f64;
            assert!(wrong <= 1.0 / 16.0, "{micros} µs is read as {read}");
            micros += 1 + micros / 7;
        }
        let histogram = Histogram::default();
        histogram.count(Duration::from_secs(1 << 40));
        assert!(histogram.counts().longest().unwrap() > Duration::from_secs(1200));
    }

    #[test]
    fn percentiles_are_of_what_came_since() {
        let histogram = Histogram::default();
        assert_eq!(histogram.counts().percentile(0.5), None);
        for _ in 0..1000 {
            histogram.count(Duration::from_secs(9));
        }
        let before = histogram.counts();
        for milliseconds in 1..=100 {
            histogram.count(Duration::from_millis(milliseconds));
        }
        let counts = histogram.counts().since(&before);
        let milliseconds = |part| counts.percentile(part).unwrap().as_secs_f64() * 1e3;
        assert!((47.0..=53.0).contains(&milliseconds(0.5)), "{}", milliseconds(0.5));
        assert!((93.0..=105.0).contains(&milliseconds(0.99)), "{}", milliseconds(0.99));
        assert!(milliseconds(0.0) < 1.1);
        assert_eq!(counts.longest(), counts.percentile(1.0));
        let mut all = before.clone();
        all.add(&counts);
        assert_eq!(all, histogram.counts());
    }
}
