//! How long a publish takes in the gateway, from its own histograms.

use ::tests::exposition::Metrics;

/// From reading a publish to its PUBACK.
pub const ACKNOWLEDGED: &str = "landfall_acknowledgement_latency_seconds_bucket";
/// The part of it from the lane's queue until the lane knows that Kafka has it.
pub const LANDED: &str = "landfall_landing_latency_seconds_bucket";

/// A histogram, all its series together: upper bounds in seconds, and how many were at most that long.
#[derive(Clone, Debug, PartialEq)]
pub struct Latencies(Vec<(f64, f64)>);

impl Latencies {
    pub fn of(metrics: &Metrics, histogram: &str) -> Latencies {
        let mut buckets: Vec<(f64, f64)> = Vec::new();
        for series in metrics.series().iter().filter(|series| series.name == histogram) {
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
        Latencies(buckets)
    }

    /// What came since then.
    pub fn since(&self, before: &Latencies) -> Latencies {
        let earlier = |bound: f64| {
            before.0.iter().find(|(other, _)| *other == bound).map_or(0.0, |(_, count)| *count)
        };
        Latencies(self.0.iter().map(|(bound, count)| (*bound, count - earlier(*bound))).collect())
    }

    pub fn count(&self) -> f64 {
        self.0.last().map_or(0.0, |(_, count)| *count)
    }

    /// The seconds that this share of them does not exceed, as if each bucket were filled evenly.
    pub fn at(&self, share: f64) -> f64 {
        let rank = self.count() * share;
        let (mut low, mut below) = (0.0, 0.0);
        for &(bound, count) in &self.0 {
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
                "{LANDED}{{le=\"0.01\"}} {one}\n{LANDED}{{le=\"0.1\"}} {two}\n{LANDED}{{le=\"+Inf\"}} {all}\n"
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
            format!("{LANDED}{{lane=\"{lane}\",le=\"{bound}\"}} {count}\n")
        };
        let text =
            [("fast", "0.01", 1), ("fast", "+Inf", 2), ("slow", "0.01", 1), ("slow", "+Inf", 6)]
                .map(|(lane, bound, count)| series(lane, bound, count))
                .concat();
        let all = Latencies::of(&Metrics::parse(&text), LANDED);
        assert_eq!(all, Latencies(vec![(0.01, 2.0), (f64::INFINITY, 8.0)]));
        assert_eq!(Latencies::of(&Metrics::parse(&text), ACKNOWLEDGED).count(), 0.0);
    }
}
