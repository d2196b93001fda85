//! When an event happened: what the payload says, where that can be used, or else when the message was
//! received, with a flag that says why. Pure: the received time is a fact of the message.

use std::borrow::Cow;

use jiff::Timestamp;

use crate::condition::Condition;
use crate::facts::Facts;
use crate::failure::{Failure, Reason};
use crate::json::{Json, Kind};
use crate::path::{Found, Path, Scope};
use crate::time::form::{Form, Read, Unit};
use crate::word::{Words, text_of};

pub mod form;
pub mod zone;

/// The time of one event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventTime {
    /// Nanoseconds are kept where the payload says them.
    pub at: Timestamp,
    pub source: TimeSource,
    /// Why the payload's time was not used, where it has one.
    pub flag: Option<TimeFlag>,
    /// What was added to the received time, for devices without a clock.
    pub offset_ns: Option<i64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeSource {
    Payload,
    Received,
}

impl TimeSource {
    pub fn label(self) -> &'static str {
        match self {
            TimeSource::Payload => "payload",
            TimeSource::Received => "received",
        }
    }
}

/// Why a payload's time was not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeFlag {
    /// Before the range that the parser takes, or too far ahead: a clock that starts at 1970.
    OutOfRange,
    /// Not in the calendar, or in the hour that daylight saving leaves out.
    NoSuchTime,
    /// The device says that its clock is not right, or what stands there is no time.
    NotValid,
}

impl TimeFlag {
    pub fn label(self) -> &'static str {
        match self {
            TimeFlag::OutOfRange => "out_of_range",
            TimeFlag::NoSuchTime => "no_such_time",
            TimeFlag::NotValid => "not_valid",
        }
    }
}

/// How a parser finds an event's time.
#[derive(Clone, Debug)]
pub struct TimePlan {
    /// Where it stands; several are joined by spaces. Empty: it is the received time, plus the offset.
    pub fields: Vec<Path>,
    /// The first that can be used counts.
    pub forms: Vec<Form>,
    /// What is added.
    pub offset: Option<(Path, Unit)>,
    /// Times below this many nanoseconds, offset and all, are counted from the received one.
    pub relative_below_ns: Option<i128>,
    /// The earliest that is used.
    pub earliest: Timestamp,
    /// How far ahead of the received time one may be, in nanoseconds.
    pub ahead_ns: i128,
    pub valid: Option<Condition>,
    /// A record without a time is a bad one.
    pub required: bool,
    pub nulls: Words,
}

impl EventTime {
    pub fn received(facts: &Facts<'_>) -> EventTime {
        let at = Timestamp::from_millisecond(facts.received_ms).unwrap_or(Timestamp::UNIX_EPOCH);
        EventTime { at, source: TimeSource::Received, flag: None, offset_ns: None }
    }
}

impl TimePlan {
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        let offset = self.offset.iter().map(|(path, _)| path);
        let valid = self.valid.iter().map(|condition| &condition.path);
        self.fields.iter().chain(offset).chain(valid)
    }

    pub fn find(&self, scope: &Scope<'_, '_>) -> Result<EventTime, Failure> {
        let received = EventTime::received(scope.facts);
        let flagged = |flag| Ok(EventTime { flag: Some(flag), ..received });
        if self.valid.as_ref().is_some_and(|condition| !condition.holds(scope)) {
            return flagged(TimeFlag::NotValid);
        }
        let offset_ns = match self.offset_ns(scope) {
            Ok(offset) => offset,
            Err(()) => return flagged(TimeFlag::NotValid),
        };
        if self.fields.is_empty() {
            return match offset_ns {
                Some(offset) => self.relative(offset, received),
                None => self.absent(received),
            };
        }
        let text = match self.text(scope) {
            Written::Text(text) => text,
            Written::Absent => return self.absent(received),
            Written::NoTime => return flagged(TimeFlag::NotValid),
        };
        let mut flag = TimeFlag::NotValid;
        for form in &self.forms {
            let read = match form.read(&text) {
                Read::At(read) => read,
                Read::NoSuchTime => {
                    flag = TimeFlag::NoSuchTime;
                    continue;
                }
                Read::Other => continue,
            };
            let nanoseconds = read.saturating_add(offset_ns.unwrap_or(0));
            if self.relative_below_ns.is_some_and(|below| nanoseconds < below) {
                return self.relative(nanoseconds, received);
            }
            match self.usable(nanoseconds, received.at) {
                Some(at) => {
                    let source = TimeSource::Payload;
                    return Ok(EventTime { at, source, flag: None, offset_ns: None });
                }
                None => flag = TimeFlag::OutOfRange,
            }
        }
        flagged(flag)
    }

    fn absent(&self, received: EventTime) -> Result<EventTime, Failure> {
        if self.required {
            let paths: Vec<String> = self.fields.iter().map(Path::to_string).collect();
            let detail = format!("the record has no time at {}", paths.join(" and "));
            return Err(Failure::new(Reason::FieldMissing, detail).of_field("time"));
        }
        Ok(received)
    }

    fn relative(&self, offset: i128, received: EventTime) -> Result<EventTime, Failure> {
        let at = self.usable(received.at.as_nanosecond().saturating_add(offset), received.at);
        Ok(match (at, i64::try_from(offset)) {
            (Some(at), Ok(offset)) => EventTime { at, offset_ns: Some(offset), ..received },
            _ => EventTime { flag: Some(TimeFlag::OutOfRange), ..received },
        })
    }

    fn usable(&self, nanoseconds: i128, received: Timestamp) -> Option<Timestamp> {
        let at = Timestamp::from_nanosecond(nanoseconds).ok()?;
        let latest = received.as_nanosecond().saturating_add(self.ahead_ns);
        (at >= self.earliest && nanoseconds <= latest).then_some(at)
    }

    /// What is added to the time; an error where it is no length of time.
    fn offset_ns(&self, scope: &Scope<'_, '_>) -> Result<Option<i128>, ()> {
        let Some((path, unit)) = &self.offset else { return Ok(None) };
        let Some(found) = path.find(scope).filter(|found| !is_null(found)) else { return Ok(None) };
        let text = text_of(&found).ok_or(())?;
        unit.nanoseconds(text.trim()).map(Some).ok_or(())
    }

    fn text<'s>(&'s self, scope: &Scope<'s, '_>) -> Written<'s> {
        let mut joined: Option<Cow<'s, str>> = None;
        for path in &self.fields {
            let Some(found) = path.find(scope).filter(|found| !is_null(found)) else {
                return Written::Absent;
            };
            let Some(text) = text_of(&found) else { return Written::NoTime };
            let text = trimmed(text);
            if self.nulls.holds(&text) {
                return Written::Absent;
            }
            joined = Some(match joined {
                None => text,
                Some(before) => Cow::Owned(format!("{before} {text}")),
            });
        }
        joined.map_or(Written::Absent, Written::Text)
    }
}

enum Written<'s> {
    Absent,
    /// There is something, and it is no single value.
    NoTime,
    Text(Cow<'s, str>),
}

fn trimmed(text: Cow<'_, str>) -> Cow<'_, str> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.trim()),
        Cow::Owned(text) => Cow::Owned(text.trim().to_owned()),
    }
}

fn is_null(found: &Found<'_, '_>) -> bool {
    matches!(found, Found::One(Json { kind: Kind::Null, .. }))
}

#[cfg(test)]
mod tests;
