//! The judgement on what was made of the raw records: every event is there, once and in order, what has no
//! events is in quarantine, and the metadata stream knows of every record. Pure.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde_json::{Value as Json, json};

use super::event::{self, Event};
use super::judge::{Account, Facts, Observed};
use super::metadata::{self, Metadata};
use super::place::Place;
use crate::device::hex;
use crate::payload::Content;

/// Findings of each kind that are kept as texts; the rest is counted.
const TEXTS_MAX: usize = 20;

/// What can be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Missing,
    Changed,
    OutOfOrder,
    Double,
    NeverSaid,
    Quarantine,
    Metadata,
}

pub const KINDS: [Kind; 7] = [
    Kind::Missing,
    Kind::Changed,
    Kind::OutOfOrder,
    Kind::Double,
    Kind::NeverSaid,
    Kind::Quarantine,
    Kind::Metadata,
];

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Kind::Missing => "events missing",
            Kind::Changed => "changed",
            Kind::OutOfOrder => "out of order",
            Kind::Double => "double",
            Kind::NeverSaid => "never said",
            Kind::Quarantine => "wrong in quarantine",
            Kind::Metadata => "wrong in metadata",
        }
    }
}

/// What a message has to give.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Due {
    Events(u64),
    /// No event, and a place in quarantine with this reason.
    Failure(&'static str),
    /// It is a dead letter, which no parser reads.
    Nothing,
    /// The lanes' own judgement found it changed, or the ledger does not know it.
    Unknown,
}

/// A message as its raw records have it: it is there more than once where it was written again.
struct Message {
    device: String,
    sequence: u64,
    facts: Arc<Facts>,
    content: Option<Arc<Content>>,
    due: Due,
    places: Vec<Place>,
    /// A bit for each event that was seen.
    seen: Vec<u64>,
    seen_count: u64,
    parser: Option<Box<str>>,
    quarantined: u64,
    /// Records of the metadata stream, by the place of the raw one.
    landed: Vec<u64>,
    parsed: Vec<u64>,
    /// What a `parsed` record says of it, where that is no success.
    trouble: Option<String>,
}

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

/// What was found.
#[derive(Default)]
pub struct Verdict {
    counts: BTreeMap<Kind, u64>,
    texts: BTreeMap<Kind, Vec<String>>,
    messages: usize,
    /// Events by canonical topic, each once.
    events: BTreeMap<String, u64>,
    quarantined: u64,
    landed: u64,
    parsed: u64,
    /// Records with the same id as one before: of events, in quarantine, and of metadata.
    doubles: u64,
    /// Events of other runs and other devices.
    foreign: u64,
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
        let Some(facts) = &record.facts else { return };
        let at = (record.partition, record.offset);
        self.places.entry(record.topic.clone()).or_default().insert(at, facts.message_id);
        let message = self.messages.entry(facts.message_id).or_insert_with(|| {
            self.verdict.messages += 1;
            Message::new(record, facts, account.content(record))
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

impl std::fmt::Display for Due {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Due::Events(count) => write!(formatter, "{count} events"),
            Due::Failure(reason) => write!(formatter, "quarantined {reason}"),
            Due::Nothing | Due::Unknown => formatter.write_str("nothing"),
        }
    }
}

impl Message {
    fn new(record: &Observed, facts: &Arc<Facts>, content: Option<&Arc<Content>>) -> Message {
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

    fn name(&self) -> String {
        let Message { device, sequence, .. } = self;
        match self.places.first() {
            Some(place) => format!("{device} number {sequence} ({place})"),
            None => format!("{device} number {sequence}"),
        }
    }

    /// Notes an event; false if it was there.
    fn is_first(&mut self, index: u64) -> bool {
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
    fn differences(&self, seen: &Event) -> Vec<String> {
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
        hold("received", &seen.received, &crate::payload::rfc3339(facts.received_ms));
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
    fn lacks(&self, asked: &Asked) -> Vec<(Kind, u64, String)> {
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
fn differing(one: &serde_json::Map<String, Json>, other: &serde_json::Map<String, Json>) -> String {
    let differs = |(name, value): &(&String, &Json)| other.get(*name) != Some(*value);
    let members = one.iter().filter(differs).map(|(name, value)| format!("{name}: {value}"));
    members.collect::<Vec<_>>().join(", ")
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    use sha2::Digest as _;
    sha2::Sha256::digest(bytes).into()
}

impl Verdict {
    fn find(&mut self, kind: Kind, text: impl FnOnce() -> String) {
        self.find_many(kind, 1, text);
    }

    fn find_many(&mut self, kind: Kind, count: u64, text: impl FnOnce() -> String) {
        *self.counts.entry(kind).or_default() += count;
        let texts = self.texts.entry(kind).or_default();
        if texts.len() < TEXTS_MAX {
            texts.push(text());
        }
    }

    pub fn is_well(&self) -> bool {
        self.counts.is_empty()
    }

    pub fn count(&self, kind: Kind) -> u64 {
        self.counts.get(&kind).copied().unwrap_or(0)
    }

    /// The first findings of a kind, as texts.
    pub fn texts(&self, kind: Kind) -> &[String] {
        self.texts.get(&kind).map_or(&[], Vec::as_slice)
    }

    pub fn summary(&self) -> String {
        let events: u64 = self.events.values().sum();
        let topics: Vec<String> =
            self.events.iter().map(|(topic, count)| format!("{topic} {count}")).collect();
        let wrong: Vec<String> =
            KINDS.iter().map(|kind| format!("{} {}", self.count(*kind), kind.name())).collect();
        format!(
            "made of {} messages: {events} events ({}), {} in quarantine; metadata: {} landed, {} parsed; {} doubles by id, {} events of others\n{}\n{}",
            self.messages,
            if topics.is_empty() { "nowhere".to_owned() } else { topics.join(", ") },
            self.quarantined,
            self.landed,
            self.parsed,
            self.doubles,
            self.foreign,
            wrong.join(", "),
            if self.is_well() { "all events are there" } else { "NOT all events are well" },
        )
    }

    pub fn json(&self) -> Json {
        let findings: Vec<Json> = KINDS
            .iter()
            .flat_map(|kind| {
                let texts = self.texts(*kind).iter();
                texts.map(move |text| json!({ "kind": kind.name(), "text": text }))
            })
            .collect();
        let counts: serde_json::Map<String, Json> =
            KINDS.iter().map(|kind| (kind.name().to_owned(), self.count(*kind).into())).collect();
        json!({
            "messages": self.messages,
            "events": self.events,
            "quarantined": self.quarantined,
            "landed": self.landed,
            "parsed": self.parsed,
            "doubles": self.doubles,
            "foreign": self.foreign,
            "wrong": counts,
            "findings": findings,
        })
    }
}

#[cfg(test)]
mod tests;
