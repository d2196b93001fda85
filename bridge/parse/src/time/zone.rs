//! Zones of local times, with a rule for the hour that comes twice and the one that is left out. Pure: the
//! zones' history is compiled in, so that a payload means the same on every machine.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, Offset, TimeZone, TimeZoneDatabase};

/// A zone, and what its clocks mean where they are turned.
#[derive(Clone, Debug)]
pub struct Zone {
    zone: TimeZone,
    twice: Twice,
    never: Never,
}

/// The hour that a clock shows twice, when daylight saving ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Twice {
    /// The first time, in daylight saving.
    #[default]
    First,
    Second,
    /// It is no time that can be used.
    Refused,
}

/// The hour that a clock leaves out, when daylight saving begins: who shows it is wrong, or does not know
/// of daylight saving.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Never {
    /// It is no time that can be used.
    #[default]
    Refused,
    /// The clock was not turned yet: by the offset before.
    Before,
    /// By the offset after.
    After,
}

impl Zone {
    /// A name of the IANA database, `UTC`, or an offset such as `+01:00`.
    pub fn parse(text: &str) -> Result<Zone, String> {
        let zone = match text {
            "UTC" | "Z" => TimeZone::UTC,
            _ if text.starts_with(['+', '-']) => {
                let seconds = offset_seconds(text);
                let offset = seconds.and_then(|seconds| Offset::from_seconds(seconds).ok());
                TimeZone::fixed(offset.ok_or_else(|| unknown(text))?)
            }
            _ => TimeZoneDatabase::bundled().get(text).map_err(|_| unknown(text))?,
        };
        Ok(Zone { zone, twice: Twice::default(), never: Never::default() })
    }

    /// The same zone, by these rules.
    pub fn with(self, twice: Twice, never: Never) -> Zone {
        Zone { twice, never, ..self }
    }

    /// The moment that a clock of this zone shows; None where there is none, or its rule refuses it.
    pub fn moment(&self, local: DateTime) -> Option<Timestamp> {
        let offset = match self.zone.to_ambiguous_timestamp(local).offset() {
            AmbiguousOffset::Unambiguous { offset } => offset,
            AmbiguousOffset::Gap { before, after } => match self.never {
                Never::Refused => return None,
                Never::Before => before,
                Never::After => after,
            },
            AmbiguousOffset::Fold { before, after } => match self.twice {
                Twice::Refused => return None,
                Twice::First => before,
                Twice::Second => after,
            },
        };
        offset.to_timestamp(local).ok()
    }
}

fn unknown(text: &str) -> String {
    format!(
        "{text:?} is no zone: write UTC, a name such as Europe/Berlin, or an offset such as +01:00"
    )
}

/// `+HH:MM`, `+HHMM` or `+HH`.
fn offset_seconds(text: &str) -> Option<i32> {
    let sign = if text.starts_with('-') { -1 } else { 1 };
    let digits: String = text[1..].replace(':', "");
    if !matches!(digits.len(), 2 | 4) || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let hours: i32 = digits[..2].parse().ok()?;
    let minutes: i32 =
        digits.get(2..).filter(|rest| !rest.is_empty()).unwrap_or("0").parse().ok()?;
    (minutes < 60).then_some(sign * (hours * 3600 + minutes * 60))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moment(zone: &Zone, local: &str) -> Option<String> {
        zone.moment(local.parse().expect("a local time")).map(|moment| moment.to_string())
    }

    #[test]
    fn clocks_are_turned() {
        let berlin = Zone::parse("Europe/Berlin").expect("a zone");
        let at = |local| moment(&berlin, local);
        assert_eq!(at("2026-01-15T08:30:00").as_deref(), Some("2026-01-15T07:30:00Z"));
        assert_eq!(at("2025-06-01T08:00:00").as_deref(), Some("2025-06-01T06:00:00Z"));
        // The hour from two to three comes twice in October, and never in March.
        for (twice, result) in [
            (Twice::First, Some("2025-10-26T00:30:00Z")),
            (Twice::Second, Some("2025-10-26T01:30:00Z")),
            (Twice::Refused, None),
        ] {
            let zone = Zone { twice, ..berlin.clone() };
            assert_eq!(moment(&zone, "2025-10-26T02:30:00").as_deref(), result, "{twice:?}");
        }
        for (never, result) in [
            (Never::Refused, None),
            (Never::Before, Some("2025-03-30T01:30:00Z")),
            (Never::After, Some("2025-03-30T00:30:00Z")),
        ] {
            let zone = Zone { never, ..berlin.clone() };
            assert_eq!(moment(&zone, "2025-03-30T02:30:00").as_deref(), result, "{never:?}");
        }
    }

    #[test]
    fn zones_have_names_or_offsets() {
        for (zone, result) in [
            ("UTC", "2026-01-15T08:00:00Z"),
            ("+01:00", "2026-01-15T07:00:00Z"),
            ("-0700", "2026-01-15T15:00:00Z"),
            ("+05", "2026-01-15T03:00:00Z"),
            ("+05:30", "2026-01-15T02:30:00Z"),
            ("America/Denver", "2026-01-15T15:00:00Z"),
        ] {
            let parsed = Zone::parse(zone).expect(zone);
            assert_eq!(moment(&parsed, "2026-01-15T08:00:00").as_deref(), Some(result), "{zone}");
        }
        for zone in ["", "Berlin", "+1", "+01:60", "+99", "+ä1", "Europe/Nowhere"] {
            assert!(Zone::parse(zone).is_err(), "{zone}");
        }
    }
}
