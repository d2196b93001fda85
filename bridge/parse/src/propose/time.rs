//! Which value of a record is its time, as far as its name and digits tell. Pure.

use jiff::Timestamp;

use super::quoted;
use crate::facts::Facts;
use crate::json::{Entry, Kind};
use crate::time::form::{Form, Read, Unit};

/// What times are called, in lower case; the first that a record has counts.
const NAMES: [&str; 21] = [
    "timestamp",
    "ts",
    "time",
    "tst",
    "datetime",
    "date_time",
    "event_time",
    "origin",
    "last_seen",
    "unixtime",
    "unix_time",
    "epoch",
    "created",
    "created_at",
    "reported_at",
    "received_at",
    "zeit",
    "datum",
    "date",
    "at",
    "t",
];

/// The earliest time that is taken for one: 2000-01-01.
const EARLIEST_S: i64 = 946_684_800;
/// How far ahead of the received time one may be, in seconds.
const AHEAD_S: i64 = 86_400;

/// The path to the time, and the line that declares it; `path` is how a key is reached.
pub fn of_record(
    entries: &[Entry<'_>],
    facts: &Facts<'_>,
    path: fn(&str) -> String,
) -> Option<(String, String)> {
    NAMES.iter().find_map(|name| {
        let named = entries.iter().filter(|entry| entry.key.to_lowercase() == *name);
        named.into_iter().find_map(|entry| {
            let (Kind::Number(text) | Kind::Text(text)) = &entry.value.kind else { return None };
            let path = path(&entry.key);
            let line = of_text(&path, text, facts)?;
            Some((path, line))
        })
    })
}

/// The line that declares a time at a path.
pub fn of_text(path: &str, text: &str, facts: &Facts<'_>) -> Option<String> {
    let path = quoted(path);
    if let Some(unit) = unit_of(text, facts) {
        return Some(format!("time: {{ field: {path}, unit: {unit} }}"));
    }
    match (Form::Rfc3339 { zone: None }.read(text), is_local(text)) {
        (Read::At(_), _) => Some(format!("time: {path}")),
        (_, true) => {
            Some(format!("time: {{ field: {path}, zone: UTC }}  # in which zone are its clocks?"))
        }
        _ => None,
    }
}

/// The unit by which digits are a time of these years.
fn unit_of(text: &str, facts: &Facts<'_>) -> Option<&'static str> {
    let received_s = facts.received_ms / 1000;
    ["s", "ms", "us", "ns"].into_iter().find(|unit| {
        let nanoseconds = Unit::parse(unit).ok().and_then(|unit| unit.nanoseconds(text));
        let at = nanoseconds.and_then(|count| Timestamp::from_nanosecond(count).ok());
        at.is_some_and(|at| (EARLIEST_S..=received_s + AHEAD_S).contains(&at.as_second()))
    })
}

/// A date with a time, of ISO 8601 and without an offset.
fn is_local(text: &str) -> bool {
    let zone = crate::time::zone::Zone::parse("UTC").ok();
    text.len() > 10 && matches!(Form::Rfc3339 { zone }.read(text), Read::At(_))
}
