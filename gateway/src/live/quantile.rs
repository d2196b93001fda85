//! Quantiles of what a histogram counted between two readings.

use crate::metrics::{BOUNDS_S, Counts};

/// What was counted since `before`.
pub fn since(before: &Counts, now: &Counts) -> Counts {
    std::array::from_fn(|bucket| now[bucket].saturating_sub(before[bucket]))
}

/// The seconds that this share of them does not exceed, as if each bucket were filled evenly; the highest bound
/// for what is above it, and None where nothing was counted.
pub fn quantile(counts: &Counts, share: f64) -> Option<f64> {
    let total: u64 = counts.iter().sum();
    if total == 0 {
        return None;
    }
    let rank = total as f64 * share;
    let (mut low, mut below) = (0.0, 0.0);
    for (bound, count) in BOUNDS_S.into_iter().zip(counts) {
        let up_to = below + *count as f64;
        if *count > 0 && up_to >= rank {
            return Some(low + (bound - low) * (rank - below) / *count as f64);
        }
        (low, below) = (bound, up_to);
    }
    Some(low)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// So many in the bucket of this bound.
    fn counts(of: &[(f64, u64)]) -> Counts {
        let mut counts = Counts::default();
        for (bound, count) in of {
            let place = BOUNDS_S.iter().position(|known| known == bound);
            counts[place.unwrap_or(BOUNDS_S.len())] = *count;
        }
        counts
    }

    #[test]
    fn a_quantile_is_within_its_bucket() {
        let mixed = counts(&[(0.005, 90), (0.1, 10)]);
        assert_eq!(quantile(&mixed, 0.45), Some(0.0025 + 0.0025 / 2.0));
        assert_eq!(quantile(&mixed, 0.9), Some(0.005));
        assert_eq!(quantile(&mixed, 0.95), Some(0.05 + 0.05 / 2.0));
        assert_eq!(quantile(&mixed, 1.0), Some(0.1));
    }

    #[test]
    fn of_nothing_there_is_none_and_above_all_bounds_there_is_the_highest() {
        assert_eq!(quantile(&Counts::default(), 0.5), None);
        assert_eq!(quantile(&counts(&[(f64::INFINITY, 3)]), 0.5), Some(60.0));
    }

    #[test]
    fn what_was_there_before_does_not_count() {
        let (before, now) = (counts(&[(1.0, 5)]), counts(&[(0.001, 2), (1.0, 5)]));
        assert_eq!(since(&before, &now), counts(&[(0.001, 2)]));
        assert_eq!(quantile(&since(&before, &now), 1.0), Some(0.001));
    }
}
