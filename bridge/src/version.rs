//! Dotted version numbers, of any length, and ranges of them: what firmware calls its versions follows no
//! standard.

use std::fmt;

/// A range of dotted version numbers, such as `>=1.2, <2`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionRange {
    text: Box<str>,
    bounds: Vec<(Comparison, Vec<u64>)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Equal,
}

/// Why a text is no range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?}: write a range such as \">=1.2, <2.0\", of dotted numbers after <, <=, >, >= or =")]
pub struct VersionRangeError(String);

impl VersionRange {
    pub fn parse(text: &str) -> Result<VersionRange, VersionRangeError> {
        let bound = |part: &str| {
            let part = part.trim();
            let signs = [
                ("<=", Comparison::LessOrEqual),
                (">=", Comparison::GreaterOrEqual),
                ("<", Comparison::Less),
                (">", Comparison::Greater),
                ("=", Comparison::Equal),
            ];
            let (sign, comparison) = signs.into_iter().find(|(sign, _)| part.starts_with(sign))?;
            Some((comparison, version(part[sign.len()..].trim())?))
        };
        let bounds: Option<Vec<_>> = text.split(',').map(bound).collect();
        let error = || VersionRangeError(text.to_owned());
        Ok(VersionRange { text: text.into(), bounds: bounds.ok_or_else(error)? })
    }

    /// Whether no version at all is in it, as in `>=2, <1`. Between any two versions there is another, so two
    /// bounds that contradict each other are all that it takes.
    pub fn is_empty(&self) -> bool {
        use Comparison::{Equal, Greater, GreaterOrEqual, Less, LessOrEqual};
        let below = |comparison: Comparison| matches!(comparison, Less | LessOrEqual | Equal);
        let above = |comparison: Comparison| matches!(comparison, Greater | GreaterOrEqual | Equal);
        self.bounds.iter().any(|(upper, most)| {
            let is_before_all = *upper == Less && most.iter().all(|part| *part == 0);
            let contradicts = |(lower, least): &(Comparison, Vec<u64>)| {
                let ordering = compare(least, most);
                let is_open = *lower == Greater || *upper == Less;
                above(*lower) && (ordering.is_gt() || (ordering.is_eq() && is_open))
            };
            below(*upper) && (is_before_all || self.bounds.iter().any(contradicts))
        })
    }

    /// A version that is no dotted number is in no range.
    pub fn contains(&self, text: &str) -> bool {
        let Some(version) = version(text) else { return false };
        self.bounds.iter().all(|(comparison, bound)| {
            let ordering = compare(&version, bound);
            match comparison {
                Comparison::Less => ordering.is_lt(),
                Comparison::LessOrEqual => ordering.is_le(),
                Comparison::Greater => ordering.is_gt(),
                Comparison::GreaterOrEqual => ordering.is_ge(),
                Comparison::Equal => ordering.is_eq(),
            }
        })
    }
}

impl fmt::Display for VersionRange {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

fn version(text: &str) -> Option<Vec<u64>> {
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    text.split('.').map(|part| digits(part).then(|| part.parse().ok()).flatten()).collect()
}

/// 1.2 equals 1.2.0.
fn compare(left: &[u64], right: &[u64]) -> std::cmp::Ordering {
    let at = |version: &[u64], index: usize| version.get(index).copied().unwrap_or(0);
    (0..left.len().max(right.len()))
        .map(|index| at(left, index).cmp(&at(right, index)))
        .find(|ordering| ordering.is_ne())
        .unwrap_or(std::cmp::Ordering::Equal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_without_a_version_is_known() {
        for (text, is_empty) in [
            (">=2, <1", true),
            (">1.2, <1.2.0", true),
            (">=1.2, <=1.2.0", false),
            (">=1.2, <1.2.0.1", false),
            ("=1, =2", true),
            ("=1, <1", true),
            ("=1, >=1.0, <=1", false),
            ("<0.0", true),
            ("<0.0.1, >0", false),
            (">7", false),
        ] {
            let range = VersionRange::parse(text).expect("a range");
            assert_eq!(range.is_empty(), is_empty, "{text}");
        }
    }

    #[test]
    fn firmware_ranges_compare_numbers() {
        let range = VersionRange::parse(">=1.2, <2").expect("a range");
        for (version, inside) in [
            ("1.2", true),
            ("1.10.3", true),
            ("1.1.9", false),
            ("2.0", false),
            ("1.x", false),
            ("", false),
        ] {
            assert_eq!(range.contains(version), inside, "{version}");
        }
        for text in ["1.2", ">=", ">=1..2", "~1.2", ""] {
            assert!(VersionRange::parse(text).is_err(), "{text}");
        }
    }
}
