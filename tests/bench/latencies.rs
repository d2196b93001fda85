//! How long the gateway takes from reading a publish to its PUBACK, from its own histogram.

use ::tests::exposition::Metrics;

const LATENCY: &str = "landfall_acknowledgement_latency_seconds_bucket";

/// The histogram: upper bounds in seconds, and how many were at
/// most that long.
#[derive(Clone, Debug, PartialEq)]
pub struct Latencies(Vec<(f64, f64)>);

impl Latencies {
    pub fn of(metrics: &Metrics) -> Latencies {
        let series = metrics.series().iter().filter(|series| series.name == LATENCY);
        let mut buckets: Vec<(f64, f64)> = series
            .map(|series| {
                let bound = series.labels.get("le").expect("each bucket has its bound");
                let bound = if bound == "+Inf" {
                    f64::INFINITY
                } else {
                    bound.parse().expect("it is a number")
                };
                (bound, series.value)
            })
            .collect();
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
                "{LATENCY}{{le=\"0.01\"}} {one}\n{LATENCY}{{le=\"0.1\"}} {two}\n{LATENCY}{{le=\"+Inf\"}} {all}\n"
            ))
        };
        let before = Latencies::of(&text([100, 100, 100]));
        let during = Latencies::of(&text([150, 200, 200])).since(&before);
        assert!((during.at(0.5) - 0.01).abs() < 1e-9, "{during:?}");
        assert!((during.at(0.75) - 0.055).abs() < 1e-9, "{during:?}");
        assert!((during.at(1.0) - 0.1).abs() < 1e-9, "{during:?}");
        let over = Latencies::of(&text([0, 0, 5]));
        assert!((over.at(0.99) - 0.1).abs() < 1e-9, "above the last bound nothing is known");
    }
}
