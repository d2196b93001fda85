//! The judgement on what was made of the raw records: every event is there, once and in order, what has no
//! events is in quarantine, and the metadata stream knows of every record. Pure.

mod message;
mod verdict;

use std::collections::HashMap;

use super::event::Event;
use super::judge::{Account, Observed};
use super::metadata::{self, Metadata};
use super::place::Place;
use crate::device::hex;
use message::{Due, Message};
pub use verdict::{KINDS, Kind, Verdict};

/// Events of one key: of each raw partition the highest that was seen, by offset and index.
type Order = HashMap<(Box<str>, i32, Box<[u8]>, Box<str>, i32), (i64, u64)>;

/// See the module.
#[derive(Default)]
pub struct Judge {
    messages: HashMap<[u8; 16], Message>,
    /// The messages of raw records, by topic, partition and offset.
    places: HashMap<String, HashMap<(i32, i64), [u8; 16]>>,
    order: Order,
    asked: Asked,
    verdict: Verdict,
}

/// What is asked beside what is always.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    /// No worker ended, so that nothing is explained that is there twice.
    pub no_doubles: bool,
    /// There is a metadata stream.
    pub metadata: bool,
    /// Canonical topics without an order.
    pub unordered: Vec<String>,
}

/// What was found in Kafka beside the raw lanes, one record.
pub struct Found<'m> {
    pub place: Place,
    pub key: &'m [u8],
    pub value: &'m [u8],
}

/// The headers of a record in quarantine.
#[derive(Clone, Debug, Default)]
pub struct Headers {
    pub reason: String,
    pub source: String,
    pub detail: String,
}

impl Judge {
    pub fn new(asked: Asked) -> Judge {
        Judge { asked, ..Judge::default() }
    }

    /// Takes a raw record, before anything that was made of it; of each partition in order.
    pub fn raw(&mut self, account: &Account, record: &Observed) {
        let Some(facts) = &record.facts else {
            let place = record.place();
            self.verdict.find(Kind::Changed, || format!("{place}: its envelope has no message id"));
            return;
        };
        let at = (record.partition, record.offset);
        self.places.entry(record.topic.clone()).or_default().insert(at, facts.message_id);
        let message = self.messages.entry(facts.message_id).or_insert_with(|| {
            let message = Message::new(record, facts, account.content(record));
            self.verdict.messages += 1;
            self.verdict.unknown += usize::from(message.due == Due::Unknown);
            message
        });
        message.places.push(record.place());
        message.landed.push(0);
        message.parsed.push(0);
    }

    /// Takes a record of a canonical topic; of each partition in order.
    pub fn event(&mut self, found: &Found<'_>) {
        let place = &found.place;
        let seen = match Event::read(found.value) {
            Ok(seen) => seen,
            Err(error) => {
                self.verdict.find(Kind::Changed, || format!("{place}: {error:#}"));
                return;
            }
        };
        let Some(message) = self.messages.get_mut(&seen.message_id) else {
            let source = &seen.source;
            let ours = self.places.get(&*source.topic);
            match ours.and_then(|ours| ours.get(&(source.partition, source.offset))) {
                Some(id) => self.verdict.find(Kind::Changed, || {
                    let (is, says) = (hex(id), hex(&seen.message_id));
                    format!("{place}: of message {says}, and at {source} is {is}")
                }),
                None => self.verdict.foreign += 1,
            }
            return;
        };
        let verdict = &mut self.verdict;
        let index = seen.index;
        let name = |message: &Message| format!("{place}, event {index} of {}", message.name());
        let count = match &message.due {
            Due::Unknown => return,
            Due::Events(count) => *count,
            Due::Failure(reason) => {
                verdict
                    .find(Kind::NeverSaid, || format!("{}, which fails: {reason}", name(message)));
                return;
            }
            Due::Nothing => {
                verdict.find(Kind::NeverSaid, || format!("{}, a dead letter", name(message)));
                return;
            }
        };
        if index >= count {
            verdict.find(Kind::NeverSaid, || format!("{}, which has {count}", name(message)));
            return;
        }
        let wrong = message.differences(&seen);
        if !wrong.is_empty() {
            verdict.find(Kind::Changed, || format!("{}: {}", name(message), wrong.join("; ")));
        }
        let parser = message.parser.get_or_insert_with(|| seen.parser.as_str().into());
        if **parser != *seen.parser {
            let (one, other) = (parser.clone(), &seen.parser);
            verdict.find(Kind::Double, || format!("{}: by {one} and by {other}", name(message)));
            return;
        }
        if !message.is_first(index) {
            verdict.doubles += 1;
            if self.asked.no_doubles {
                verdict.find(Kind::Double, || format!("{}: once more", name(message)));
            }
            return;
        }
        *verdict.events.entry(place.topic.clone()).or_default() += 1;
        if self.asked.unordered.contains(&place.topic) {
            return;
        }
        // A message that was written again is parsed where it was first.
        let raw = &message.places[0];
        let key = (
            place.topic.as_str().into(),
            place.partition,
            found.key.into(),
            raw.topic.as_str().into(),
            raw.partition,
        );
        let highest = self.order.entry(key).or_insert((-1, 0));
        let own = (raw.offset, index);
        if own < *highest {
            let (offset, before) = *highest;
            verdict.find(Kind::OutOfOrder, || {
                let key = String::from_utf8_lossy(found.key);
                let (topic, partition) = (&raw.topic, raw.partition);
                format!(
                    "{}: behind event {before} of {topic}[{partition}]@{offset}, key {key}",
                    name(message)
                )
            });
        }
        *highest = own.max(*highest);
    }

    /// Takes a record of the quarantine.
    pub fn quarantined(&mut self, found: &Found<'_>, headers: &Headers) {
        let place = &found.place;
        let Headers { reason, source, detail } = headers;
        let Some(source) = Place::parse(source) else {
            self.verdict.find(Kind::Quarantine, || format!("{place} is of no place: {source:?}"));
            return;
        };
        let ours = self.places.get(&source.topic);
        let ours = ours.and_then(|ours| ours.get(&(source.partition, source.offset)));
        let Some(message) = ours.and_then(|id| self.messages.get_mut(id)) else { return };
        let name = |message: &Message| format!("{place}: {}", message.name());
        let verdict = &mut self.verdict;
        match &message.due {
            Due::Unknown => return,
            Due::Failure(due) if due == reason => {}
            Due::Failure(due) => {
                verdict.find(Kind::Quarantine, || {
                    format!("{} for {reason} ({detail}), and it is {due}", name(message))
                });
            }
            Due::Events(count) => {
                verdict.find(Kind::Quarantine, || {
                    format!("{} for {reason} ({detail}), and it has {count} events", name(message))
                });
                return;
            }
            Due::Nothing => {
                verdict.find(Kind::Quarantine, || format!("{}, a dead letter", name(message)));
                return;
            }
        }
        if sha256(found.value) != message.facts.value_sha256 {
            verdict.find(Kind::Quarantine, || {
                format!("{} has other bytes than in its lane", name(message))
            });
        }
        message.quarantined += 1;
        if message.quarantined == 1 {
            verdict.quarantined += 1;
        } else {
            verdict.doubles += 1;
            if self.asked.no_doubles {
                verdict.find(Kind::Double, || format!("{} once more", name(message)));
            }
        }
    }

    /// Takes a record of the metadata stream.
    pub fn metadata(&mut self, found: &Found<'_>) {
        let place = &found.place;
        let verdict = &mut self.verdict;
        let record = match Metadata::read(found.value) {
            Ok(record) => record,
            Err(error) => {
                verdict.find(Kind::Metadata, || format!("{place}: {error:#}"));
                return;
            }
        };
        let ours = self.places.get(&record.source.topic);
        let ours = ours.and_then(|ours| ours.get(&(record.source.partition, record.source.offset)));
        let Some(id) = record.message_id.as_ref().or(ours) else { return };
        if let Some(ours) = ours.filter(|ours| *ours != id) {
            let (says, is) = (hex(id), hex(ours));
            let (kind, source) = (record.kind, &record.source);
            verdict.find(Kind::Metadata, || {
                format!("{place}, {kind} of message {says}, and at {source} is {is}")
            });
            return;
        }
        let Some(message) = self.messages.get_mut(id) else { return };
        let name = |message: &Message| format!("{place}, {} of {}", record.kind, message.name());
        let Some(at) = message.places.iter().position(|place| *place == record.source) else {
            verdict.find(Kind::Metadata, || {
                format!("{}: it is not at {}", name(message), record.source)
            });
            return;
        };
        let mut wrong = record.differences(&message.facts, message.due == Due::Nothing);
        let counts = match record.kind {
            metadata::Kind::Landed => &mut message.landed,
            metadata::Kind::Parsed => {
                let (outcome, reason) = (&*record.outcome, &*record.reason);
                let is_right = match &message.due {
                    Due::Events(count) => outcome == "events" && record.events == *count,
                    Due::Failure(due) => outcome == "quarantined" && reason == *due,
                    Due::Nothing | Due::Unknown => true,
                };
                if !is_right {
                    let said = format!("{outcome} {reason}, {} events", record.events);
                    wrong.push(format!("says {said}, due is {}", message.due));
                    message.trouble = Some(said);
                }
                &mut message.parsed
            }
        };
        counts[at] += 1;
        let count = counts[at];
        if !wrong.is_empty() {
            verdict.find(Kind::Metadata, || format!("{}: {}", name(message), wrong.join("; ")));
        }
        if count > 1 {
            verdict.doubles += 1;
            if self.asked.no_doubles {
                verdict.find(Kind::Double, || format!("{}: once more", name(message)));
            }
        } else if record.kind == metadata::Kind::Landed {
            verdict.landed += 1;
        } else {
            verdict.parsed += 1;
        }
    }

    /// Whether everything that is due was seen.
    pub fn is_complete(&self) -> bool {
        self.messages.values().all(|message| message.lacks(&self.asked).is_empty())
    }

    /// The end of it: what was not seen is missing.
    pub fn end(mut self) -> Verdict {
        let mut messages: Vec<&Message> = self.messages.values().collect();
        messages.sort_by(|one, other| one.places[0].cmp(&other.places[0]));
        for message in messages {
            for (kind, count, text) in message.lacks(&self.asked) {
                self.verdict.find_many(kind, count, || text);
            }
        }
        self.verdict
    }
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    use sha2::Digest as _;
    sha2::Sha256::digest(bytes).into()
}

#[cfg(test)]
mod tests;
