//! A message as its raw records have it: what is due of it, and what of that was seen.

use std::fmt;
use std::sync::Arc;

use serde_json::{Map, Value as Json};

use super::Asked;
use super::verdict::Kind;
use crate::device::hex;
use crate::payload::{Content, rfc3339};
use crate::verify::event::{self, Event};
use crate::verify::judge::{Facts, Observed};
use crate::verify::place::Place;

/// What a message has to give.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Due {
    Events(u64),
    /// No event, and a place in quarantine with this reason.
    Failure(&'static str),
    /// It is a dead letter, which no parser reads.
    Nothing,
    /// The lanes' own judgement found it changed, or the ledger does not know it.
    Unknown,
}

/// A message as its raw records have it: it is there more than once where it was written again.
pub(super) struct Message {
    device: String,
    sequence: u64,
    pub(super) facts: Arc<Facts>,
    content: Option<Arc<Content>>,
    pub(super) due: Due,
    pub(super) places: Vec<Place>,
    /// A bit for each event that was seen.
    seen: Vec<u64>,
    seen_count: u64,
    pub(super) parser: Option<Box<str>>,
    pub(super) quarantined: u64,
    /// Records of the metadata stream, by the place of the raw one.
    pub(super) landed: Vec<u64>,
    pub(super) parsed: Vec<u64>,
    /// What a `parsed` record says of it, where that is no success.
    pub(super) trouble: Option<String>,
}

impl fmt::Display for Due {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Due::Events(count) => write!(formatter, "{count} events"),
            Due::Failure(reason) => write!(formatter, "quarantined {reason}"),
            Due::Nothing | Due::Unknown => formatter.write_str("nothing"),
        }
    }
}

impl Message {
    pub(super) fn new(
        record: &Observed,
        facts: &Arc<Facts>,
        content: Option<&Arc<Content>>,
    ) -> Message {
        let due = match content {
            _ if record.dead => Due::Nothing,
            None => Due::Unknown,
            Some(content) => match content.fails() {
                Some(reason) => Due::Failure(reason),
                None => Due::Events(content.records),
            },
        };
        Message {
            device: record.device.clone(),
            sequence: record.sequence,
            facts: Arc::clone(facts),
            content: content.cloned(),
            due,
            places: Vec::new(),
            seen: Vec::new(),
            seen_count: 0,
            parser: None,
            quarantined: 0,
            landed: Vec::new(),
            parsed: Vec::new(),
            trouble: None,
        }
    }

    pub(super) fn name(&self) -> String {
        let Message { device, sequence, .. } = self;
        match self.places.first() {
            Some(place) => format!("{device} number {sequence} ({place})"),
            None => format!("{device} number {sequence}"),
        }
    }

    /// Notes an event; false if it was there.
    pub(super) fn is_first(&mut self, index: u64) -> bool {
        let (word, bit) = ((index / 64) as usize, 1 << (index % 64));
        if self.seen.len() <= word {
            self.seen.resize(word + 1, 0);
        }
        let is_first = self.seen[word] & bit == 0;
        self.seen[word] |= bit;
        self.seen_count += u64::from(is_first);
        is_first
    }

    fn first_missing(&self, count: u64) -> u64 {
        let has = |index: u64| {
            self.seen.get((index / 64) as usize).is_some_and(|word| word & (1 << (index % 64)) != 0)
        };
        (0..count).find(|index| !has(*index)).unwrap_or(count)
    }

    /// What of an event is not as it was said.
    pub(super) fn differences(&self, seen: &Event) -> Vec<String> {
        let mut wrong = Vec::new();
        let mut hold = |what: &str, is: &str, due: &str| {
            if is != due {
                wrong.push(format!("{what} {is:?}, said was {due:?}"));
            }
        };
        let facts = &self.facts;
        hold("device_id", &seen.device_id, &facts.device_id);
        hold("verified", &seen.verified.to_string(), &facts.verified.to_string());
        hold("device_type", &seen.device_type, &facts.device_type);
        hold("firmware_version", &seen.firmware_version, &facts.firmware_version);
        hold("group", &seen.group, &facts.group);
        hold("lane", &seen.lane, &facts.lane);
        hold("received", &seen.received, &rfc3339(facts.received_ms));
        hold("time_from", &seen.time_from, "payload");
        hold("time_flag", &seen.time_flag, "");
        let id = event::event_id(&seen.message_id, &seen.parser, seen.index);
        hold("event_id", &hex(&seen.event_id), &hex(&id));
        let said = self.content.as_deref().map(|content| content.event(self.sequence, seen.index));
        match said {
            Some(Ok(said)) => {
                hold("time", &seen.time, &said.time);
                if seen.fields != said.fields {
                    hold(
                        "fields",
                        &differing(&seen.fields, &said.fields),
                        &differing(&said.fields, &seen.fields),
                    );
                }
                if seen.types != said.types {
                    hold(
                        "types",
                        &differing(&seen.types, &said.types),
                        &differing(&said.types, &seen.types),
                    );
                }
            }
            Some(Err(error)) => wrong.push(format!("{error:#}")),
            None => {}
        }
        if !self.places.contains(&seen.source) {
            wrong.push(format!("its source is {}", seen.source));
        }
        wrong
    }

    /// What is due and was not seen: of which kind, how much, and a text.
    pub(super) fn lacks(&self, asked: &Asked) -> Vec<(Kind, u64, String)> {
        let mut lacks = Vec::new();
        match &self.due {
            Due::Events(count) if self.seen_count < *count => {
                let missing = count - self.seen_count;
                let (name, first) = (self.name(), self.first_missing(*count));
                let mut text = format!("{name}: {missing} of {count} events, the first is {first}");
                if let Some(trouble) = &self.trouble {
                    text.push_str(&format!("; its metadata says {trouble}"));
                }
                lacks.push((Kind::Missing, missing, text));
            }
            Due::Failure(reason) if self.quarantined == 0 => {
                let text = format!("{} is {reason}, and not in quarantine", self.name());
                lacks.push((Kind::Quarantine, 1, text));
            }
            _ => {}
        }
        if !asked.metadata {
            return lacks;
        }
        let parsed = !matches!(self.due, Due::Nothing);
        for (kind, counts) in
            [("landed", Some(&self.landed)), ("parsed", parsed.then_some(&self.parsed))]
        {
            for (place, count) in self.places.iter().zip(counts.into_iter().flatten()) {
                if *count == 0 {
                    let text = format!("no {kind} record of {} at {place}", self.name());
                    lacks.push((Kind::Metadata, 1, text));
                }
            }
        }
        lacks
    }
}

/// The members of one that the other has not, or differently.
fn differing(one: &Map<String, Json>, other: &Map<String, Json>) -> String {
    let differs = |(name, value): &(&String, &Json)| other.get(*name) != Some(*value);
    let members = one.iter().filter(differs).map(|(name, value)| format!("{name}: {value}"));
    members.collect::<Vec<_>>().join(", ")
}
