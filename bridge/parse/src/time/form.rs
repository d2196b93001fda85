//! The forms in which payloads write a time: an epoch's number, RFC 3339, or a pattern. Pure, and never by
//! way of a double: `.57` s are 570 ms, and a nanosecond stays one.

use std::borrow::Cow;

use jiff::civil::{DateTime, Time};
use jiff::fmt::strtime::BrokenDownTime;
use jiff::fmt::temporal::Pieces;

use crate::decimal::{Decimal, Notation};
use crate::time::zone::Zone;

/// One form of a time.
#[derive(Clone, Debug)]
pub enum Form {
    /// Since 1970-01-01 UTC, as digits of this base.
    Epoch { unit: Unit, base: u32, notation: Notation },
    /// RFC 3339 or ISO 8601; without an offset in this zone, or none.
    Rfc3339 { zone: Option<Zone> },
    /// As strftime has it; without an offset in this zone.
    Pattern { pattern: Box<str>, has_fraction: bool, zone: Option<Zone> },
}

/// What a text is by a form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Read {
    /// Nanoseconds since 1970-01-01 UTC.
    At(i128),
    /// It has this form, and is in no calendar or on no clock.
    NoSuchTime,
    /// It has not this form.
    Other,
}

/// A unit of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unit {
    /// It is this many × 10^power nanoseconds.
    factor: u32,
    power: i32,
}

impl Unit {
    pub fn parse(text: &str) -> Result<Unit, String> {
        let (factor, power) = match text {
            "ns" => (1, 0),
            "us" | "µs" => (1, 3),
            "ms" => (1, 6),
            "s" => (1, 9),
            "min" => (60, 9),
            "h" => (3600, 9),
            "d" => (86_400, 9),
            _ => return Err(format!("{text:?} is no unit: write s, ms, us, ns, min, h or d")),
        };
        Ok(Unit { factor, power })
    }

    /// What stands behind a nanosecond is cut off.
    pub fn nanoseconds(self, text: &str) -> Option<i128> {
        self.of(&Decimal::parse(text)?)
    }

    fn of(self, count: &Decimal) -> Option<i128> {
        let factor = Decimal::parse(&self.factor.to_string())?;
        count.times(&factor).shifted(self.power).whole().map(|(whole, _)| whole)
    }

    /// The same for what fits a machine's integer, which is nearly everything.
    fn of_integer(self, count: i64) -> i128 {
        i128::from(count) * i128::from(self.factor) * 10_i128.pow(self.power as u32)
    }
}

/// Digits of a fraction of a second that are read: nanoseconds.
const FRACTION_DIGITS: usize = 9;

impl Form {
    /// A pattern, with what has to be in it.
    pub fn pattern(pattern: &str, zone: Option<Zone>) -> Result<Form, String> {
        let has = |codes: &[&str]| codes.iter().any(|code| pattern.contains(code));
        if !has(&["%Y", "%y", "%F", "%s"]) {
            return Err(format!(
                "{pattern:?} has no year: write rfc3339, or a pattern such as \"%Y-%m-%d %H:%M:%S%.f\""
            ));
        }
        if zone.is_none() && !has(&["%z", "%:z", "%Q", "%s"]) {
            return Err(format!(
                "{pattern:?} says no offset: say in which zone it is, as zone: UTC"
            ));
        }
        if let Some(code) = unknown_code(pattern) {
            return Err(format!(
                "{pattern:?}: {code} is no code of a pattern; those are as of strftime: {}",
                KNOWN.join(" ")
            ));
        }
        let has_fraction = has(&["%f", "%.f", "%N"]);
        Ok(Form::Pattern { pattern: pattern.into(), has_fraction, zone })
    }

    pub fn read(&self, text: &str) -> Read {
        match self {
            Form::Epoch { unit, base: 10, notation } => {
                if let Ok(count) = text.parse::<i64>() {
                    return Read::At(unit.of_integer(count));
                }
                match notation.plain(text).and_then(|plain| Decimal::parse(&plain)) {
                    Some(count) => Read::At(unit.of(&count).unwrap_or(i128::MAX)),
                    None => Read::Other,
                }
            }
            Form::Epoch { unit, base, .. } => match Decimal::parse_base(text, *base) {
                Some(count) => match i64::try_from(count) {
                    Ok(count) => Read::At(unit.of_integer(count)),
                    Err(_) => Read::At(i128::MAX),
                },
                None => Read::Other,
            },
            Form::Rfc3339 { zone } => rfc3339(text, zone.as_ref()),
            Form::Pattern { pattern, has_fraction, zone } => {
                let text = if *has_fraction { nanoseconds_at_most(text) } else { text.into() };
                by_pattern(&text, pattern, zone.as_ref())
            }
        }
    }
}

/// What a pattern may have. The parts of others that are these too: %F is %Y-%m-%d, %T is %H:%M:%S.
const KNOWN: [&str; 27] = [
    "%Y", "%y", "%m", "%d", "%e", "%j", "%H", "%k", "%I", "%l", "%M", "%S", "%.f", "%f", "%N",
    "%p", "%b", "%B", "%a", "%A", "%z", "%:z", "%Q", "%s", "%F", "%T", "%%",
];

/// The first code of a pattern that is none of those.
fn unknown_code(pattern: &str) -> Option<&str> {
    let mut rest = pattern;
    while let Some(at) = rest.find('%') {
        let code = &rest[at..];
        match KNOWN.iter().find(|known| code.starts_with(**known)) {
            Some(known) => rest = &code[known.len()..],
            None => {
                let end = code.char_indices().nth(2).map_or(code.len(), |(end, _)| end);
                return Some(&code[..end]);
            }
        }
    }
    None
}

fn by_pattern(text: &str, pattern: &str, zone: Option<&Zone>) -> Read {
    let Ok(read) = BrokenDownTime::parse(pattern, text) else {
        let is_alike = |text: &str| BrokenDownTime::parse(pattern, text).is_ok();
        return if has_wrong_numbers(text, is_alike) { Read::NoSuchTime } else { Read::Other };
    };
    if let Ok(moment) = read.to_timestamp() {
        return Read::At(moment.as_nanosecond());
    }
    match read.iana_time_zone().map(Zone::parse) {
        None => civil(&read, zone),
        Some(Ok(named)) => civil(&read, Some(&named)),
        Some(Err(_)) => Read::Other,
    }
}

/// What was read, on the clocks of a zone.
fn civil(read: &BrokenDownTime, zone: Option<&Zone>) -> Read {
    let Ok(date) = read.to_date() else { return Read::NoSuchTime };
    let time = match (read.hour(), read.to_time()) {
        (_, Ok(time)) => time,
        (None, Err(_)) => Time::midnight(),
        (Some(_), Err(_)) => return Read::NoSuchTime,
    };
    local(DateTime::from_parts(date, time), zone)
}

fn local(local: DateTime, zone: Option<&Zone>) -> Read {
    let Some(zone) = zone else { return Read::Other };
    match zone.moment(local) {
        Some(moment) => Read::At(moment.as_nanosecond()),
        None => Read::NoSuchTime,
    }
}

fn rfc3339(text: &str, zone: Option<&Zone>) -> Read {
    let text = nanoseconds_at_most(text);
    let Ok(pieces) = Pieces::parse(text.as_ref()) else {
        let is_alike = |text: &str| Pieces::parse(text).is_ok();
        return if has_wrong_numbers(&text, is_alike) { Read::NoSuchTime } else { Read::Other };
    };
    let time = pieces.time().unwrap_or_else(Time::midnight);
    let at = DateTime::from_parts(pieces.date(), time);
    match pieces.to_numeric_offset() {
        Some(offset) => match offset.to_timestamp(at) {
            Ok(moment) => Read::At(moment.as_nanosecond()),
            Err(_) => Read::NoSuchTime,
        },
        None => local(at, zone),
    }
}

/// Whether a text has a form, and only its numbers are in no calendar or on no clock: with ones in place of
/// all its digits it is a time.
fn has_wrong_numbers(text: &str, is_alike: impl Fn(&str) -> bool) -> bool {
    let ones = text.chars().map(|one| if one.is_ascii_digit() { '1' } else { one });
    is_alike(&ones.collect::<String>())
}

/// A text whose fractions of seconds have no more digits than are read.
fn nanoseconds_at_most(text: &str) -> Cow<'_, str> {
    let Some(point) = text.find(['.', ',']) else { return Cow::Borrowed(text) };
    let digits = text[point + 1..].bytes().take_while(u8::is_ascii_digit).count();
    if digits <= FRACTION_DIGITS {
        return Cow::Borrowed(text);
    }
    let rest = &text[point + 1 + digits..];
    Cow::Owned(format!("{}{rest}", &text[..point + 1 + FRACTION_DIGITS]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(pattern: &str, zone: Option<&str>) -> Form {
        let zone = zone.map(|zone| Zone::parse(zone).expect("a zone"));
        Form::pattern(pattern, zone).expect(pattern)
    }

    fn shown(read: Read) -> String {
        match read {
            Read::At(at) => {
                jiff::Timestamp::from_nanosecond(at).map_or("far".to_owned(), |at| at.to_string())
            }
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn epochs_are_read_digit_by_digit() {
        for (unit, text, result) in [
            ("s", "1770149645", "2026-02-03T20:14:05Z"),
            ("s", "1770149645.57", "2026-02-03T20:14:05.57Z"),
            ("s", "1770149645.3779979", "2026-02-03T20:14:05.3779979Z"),
            ("s", "1770149645.3779979001234", "2026-02-03T20:14:05.3779979Z"),
            ("s", "1.770149645e9", "2026-02-03T20:14:05Z"),
            ("ms", "1770149645123", "2026-02-03T20:14:05.123Z"),
            ("ms", "1770149645123.5", "2026-02-03T20:14:05.1235Z"),
            ("us", "1770149645000500", "2026-02-03T20:14:05.0005Z"),
            ("ns", "1770149645123456001", "2026-02-03T20:14:05.123456001Z"),
            ("ns", "1770149645123456001900", "far"),
            ("min", "29502494", "2026-02-03T20:14:00Z"),
            ("h", "491708.25", "2026-02-03T20:15:00Z"),
            ("d", "20487", "2026-02-03T00:00:00Z"),
            ("s", "-1", "1969-12-31T23:59:59Z"),
            ("s", "1e400", "far"),
            ("s", "", "Other"),
            ("s", "now", "Other"),
        ] {
            let unit = Unit::parse(unit).expect("a unit");
            let form = Form::Epoch { unit, base: 10, notation: Notation::Point };
            assert_eq!(shown(form.read(text)), result, "{text}");
        }
        let unit = Unit::parse("s").expect("a unit");
        let hex = Form::Epoch { unit, base: 16, notation: Notation::Point };
        assert_eq!(shown(hex.read("6982570d")), "2026-02-03T20:14:05Z");
        assert_eq!(hex.read("xyz"), Read::Other);
    }

    #[test]
    fn patterns_are_strftimes() {
        for (pattern, zone, text, result) in [
            (
                "%d.%m.%Y %H:%M:%S",
                Some("Europe/Berlin"),
                "15.01.2026 08:30:00",
                "2026-01-15T07:30:00Z",
            ),
            (
                "%d/%m/%Y %H:%M:%S%.f",
                Some("UTC"),
                "15/01/2026 08:30:00.250",
                "2026-01-15T08:30:00.25Z",
            ),
            ("%d/%m/%Y %H:%M:%S%.f", Some("UTC"), "15/01/2026 08:30:00", "2026-01-15T08:30:00Z"),
            ("%H:%M:%S%.f %F", Some("UTC"), "08:30:00.57 2026-01-15", "2026-01-15T08:30:00.57Z"),
            (
                "%F %T%.f",
                Some("UTC"),
                "2026-01-15 08:30:00.12345678909",
                "2026-01-15T08:30:00.123456789Z",
            ),
            ("%F %T,%f", Some("UTC"), "2026-01-15 08:30:00,57", "2026-01-15T08:30:00.57Z"),
            ("%y%m%d%H%M%SW", Some("+01:00"), "260115083000W", "2026-01-15T07:30:00Z"),
            ("%y%m%d%H%M%SW", Some("+01:00"), "260115083000S", "Other"),
            ("%Y-%m-%dT%H:%M:%S%z", None, "2026-01-15T08:30:00+0100", "2026-01-15T07:30:00Z"),
            ("%d %b %Y", Some("UTC"), "15 Jan 2026", "2026-01-15T00:00:00Z"),
            ("%Y-%m-%d %H:%M", Some("UTC"), "2026-01-15 08:30", "2026-01-15T08:30:00Z"),
            ("%d.%m.%Y", Some("UTC"), "30.02.2026", "NoSuchTime"),
            ("%Y %j", Some("UTC"), "2026 15", "2026-01-15T00:00:00Z"),
            ("%m/%d/%Y %I:%M %p", Some("UTC"), "01/15/2026 08:30 PM", "2026-01-15T20:30:00Z"),
            ("%F", Some("UTC"), "soon", "Other"),
            ("%d.%m.%Y %H:%M", Some("UTC"), "32.01.2026 08:30", "NoSuchTime"),
            ("%F %T", Some("UTC"), "2026-01-15 24:00:00", "NoSuchTime"),
            ("%F %T", Some("UTC"), "2026-01-15T08:30:00", "Other"),
            ("%F %T %Q", None, "2026-01-15 08:30:00 Europe/Berlin", "2026-01-15T07:30:00Z"),
            ("%F %T %Q", None, "2025-03-30 02:30:00 Europe/Berlin", "NoSuchTime"),
            ("%F %T %Q", None, "2026-01-15 08:30:00 Europe/Nowhere", "Other"),
            ("%Y%m%d%H%M%S%f", Some("UTC"), "20260115083000570", "2026-01-15T08:30:00.57Z"),
        ] {
            assert_eq!(shown(form(pattern, zone).read(text)), result, "{pattern} {text}");
        }
        for (pattern, zone, word) in [
            ("%H:%M", Some("UTC"), "no year"),
            ("%F %T", None, "zone"),
            ("%Y %! %q", Some("UTC"), "no code"),
        ] {
            let zone = zone.map(|zone| Zone::parse(zone).expect("a zone"));
            let fault = Form::pattern(pattern, zone).expect_err(pattern);
            assert!(fault.contains(word), "{fault}");
        }
    }

    #[test]
    fn rfc3339_with_and_without_an_offset() {
        let berlin = Some(Zone::parse("Europe/Berlin").expect("a zone"));
        for (text, bare, local) in [
            ("2026-02-03T20:14:05Z", "2026-02-03T20:14:05Z", None),
            ("2026-02-03T20:14:05.123+01:00", "2026-02-03T19:14:05.123Z", None),
            ("2026-02-03 20:14:05+00:00", "2026-02-03T20:14:05Z", None),
            ("20260203T201405Z", "2026-02-03T20:14:05Z", None),
            ("2026-02-03T20:14:05.12345678912Z", "2026-02-03T20:14:05.123456789Z", None),
            ("2026-01-15T09:30:00", "Other", Some("2026-01-15T08:30:00Z")),
            ("2025-03-30T02:30:00", "Other", Some("NoSuchTime")),
            ("2026-02-30T00:00:00Z", "NoSuchTime", None),
            ("2026-02-03T25:00:00Z", "NoSuchTime", None),
            ("0000-00-00 00:00:00", "NoSuchTime", None),
            // Right by another form: a blank in front of the offset.
            ("2026-02-03 20:14:05 +00:00", "Other", None),
            ("2026-02-03 20:14:05 PM", "Other", None),
            ("2026-02-03", "Other", Some("2026-02-02T23:00:00Z")),
            ("n/a", "Other", None),
            ("1770149645", "Other", None),
        ] {
            assert_eq!(shown(Form::Rfc3339 { zone: None }.read(text)), bare, "{text}");
            let result = local.unwrap_or(bare);
            assert_eq!(shown(Form::Rfc3339 { zone: berlin.clone() }.read(text)), result, "{text}");
        }
    }
}
