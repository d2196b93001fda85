//! How long a publish takes in the gateway, from its own histograms.

use ::tests::exposition::{Metrics, Series};

/// From reading a publish to its PUBACK.
pub const ACKNOWLEDGED: &str = "landfall_acknowledgement_latency_seconds";
/// The part of it from the lane's queue until the lane knows that Kafka has it.
pub const LANDED: &str = "landfall_landing_latency_seconds";

/// A histogram, all its series together: upper bounds in seconds, and how many were at most that long.
#[derive(Clone, Debug, PartialEq)]
pub struct Latencies {
    buckets: Vec<(f64, f64)>,
    /// Seconds of all of them together.
    sum: f64,
}

impl Latencies {
    pub fn of(metrics: &Metrics, histogram: &str) -> Latencies {
        Latencies::of_series(metrics, histogram, |_| true)
    }

    pub fn of_lane(metrics: &Metrics, histogram: &str, lane: &str) -> Latencies {
        let is_the_lanes = |series: &Series| series.labels.get("lane").is_some_and(|of| of == lane);
        Latencies::of_series(metrics, histogram, is_the_lanes)
    }

    fn of_series(
        metrics: &Metrics,
        histogram: &str,
        counts: impl Fn(&Series) -> bool,
    ) -> Latencies {
        let of = |part: &str| {
            let name = format!("{histogram}_{part}");
            let all = metrics.series().iter();
            all.filter(|series| series.name == name && counts(series)).collect::<Vec<_>>()
        };
        let mut buckets: Vec<(f64, f64)> = Vec::new();
        for series in of("bucket") {
            let bound = series.labels.get("le").expect("each bucket has its bound");
            let bound = if bound == "+Inf" {
                f64::INFINITY
            } else {
                bound.parse().expect("it is a number")
            };
            match buckets.iter_mut().find(|(known, _)| *known == bound) {
                Some((_, count)) => *count += series.value,
                None => buckets.push((bound, series.value)),
            }
        }
        buckets.sort_by(|one, other| one.0.total_cmp(&other.0));
        Latencies { buckets, sum: of("sum").iter().map(|series| series.value).sum() }
    }

    /// What came since then.
    pub fn since(&self, before: &Latencies) -> Latencies {
        let earlier = |bound: f64| {
            let buckets = &before.buckets;
            buckets.iter().find(|(other, _)| *other == bound).map_or(0.0, |(_, count)| *count)
        };
        let buckets = self.buckets.iter();
        let buckets = buckets.map(|(bound, count)| (*bound, count - earlier(*bound))).collect();
        Latencies { buckets, sum: self.sum - before.sum }
    }

    pub fn count(&self) -> f64 {
        self.buckets.last().map_or(0.0, |(_, count)| *count)
    }

    /// The seconds of one, on average.
    pub fn mean(&self) -> f64 {
        self.sum / self.count().max(1.0)
    }

    /// The seconds that this share of them does not exceed, as if each bucket were filled evenly.
    pub fn at(&self, share: f64) -> f64 {
        let rank = self.count() * share;
        let (mut low, mut below) = (0.0, 0.0);
        for &(bound, count) in &self.buckets {
            if count >= rank && count > below {
                let part = (rank - below) / (count - below);
                return if bound.is_finite() { low + (bound - low) * part } else { low };
            }
            (low, below) = (bound, count);
        }
        low
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_lies_in_its_bucket() {
        let text = |counts: [u32; 3]| {
            let [one, two, all] = counts;
            Metrics::parse(&format!(
                "{LANDED}_bucket{{le=\"0.01\"}} {one}\n{LANDED}_bucket{{le=\"0.1\"}} {two}\n{LANDED}_bucket{{le=\"+Inf\"}} {all}\n"
            ))
        };
        let of = |counts| Latencies::of(&text(counts), LANDED);
        let before = of([100, 100, 100]);
        let during = of([150, 200, 200]).since(&before);
        assert!((during.at(0.5) - 0.01).abs() < 1e-9, "{during:?}");
        assert!((during.at(0.75) - 0.055).abs() < 1e-9, "{during:?}");
        assert!((during.at(1.0) - 0.1).abs() < 1e-9, "{during:?}");
        let over = of([0, 0, 5]);
        assert!((over.at(0.99) - 0.1).abs() < 1e-9, "above the last bound nothing is known");
    }

    #[test]
    fn the_series_of_all_lanes_count_together() {
        let series = |lane: &str, bound: &str, count: u32| {
            format!("{LANDED}_bucket{{lane=\"{lane}\",le=\"{bound}\"}} {count}\n")
        };
        let text =
            [("fast", "0.01", 1), ("fast", "+Inf", 2), ("slow", "0.01", 1), ("slow", "+Inf", 6)]
                .map(|(lane, bound, count)| series(lane, bound, count))
                .concat();
        let sums = format!("{LANDED}_sum{{lane=\"fast\"}} 3\n{LANDED}_sum{{lane=\"slow\"}} 9\n");
        let text = text + &sums;
        let all = Latencies::of(&Metrics::parse(&text), LANDED);
        let buckets = |least, all| vec![(0.01, least), (f64::INFINITY, all)];
        assert_eq!(all, Latencies { buckets: buckets(2.0, 8.0), sum: 12.0 });
        let slow = Latencies::of_lane(&Metrics::parse(&text), LANDED, "slow");
        assert_eq!(slow, Latencies { buckets: buckets(1.0, 6.0), sum: 9.0 });
        assert!((slow.mean() - 1.5).abs() < 1e-9, "{slow:?}");
        assert_eq!(Latencies::of(&Metrics::parse(&text), ACKNOWLEDGED).count(), 0.0);
    }
}
