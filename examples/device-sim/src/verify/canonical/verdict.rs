//! What was found behind the raw lanes: counts, and of each kind of fault the first as texts.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};

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

/// What was found.
#[derive(Default)]
pub struct Verdict {
    counts: BTreeMap<Kind, u64>,
    texts: BTreeMap<Kind, Vec<String>>,
    pub(super) messages: usize,
    /// Those of which it is not known what they say: the raw lanes' judgement found them changed, or the end of
    /// a torn ledger may have had them.
    pub(super) unknown: usize,
    /// Events by canonical topic, each once.
    pub(super) events: BTreeMap<String, u64>,
    pub(super) quarantined: u64,
    pub(super) landed: u64,
    pub(super) parsed: u64,
    /// Records with the same id as one before: of events, in quarantine, and of metadata.
    pub(super) doubles: u64,
    /// Events of other runs and other devices.
    pub(super) foreign: u64,
}

impl Verdict {
    pub(super) fn find(&mut self, kind: Kind, text: impl FnOnce() -> String) {
        self.find_many(kind, 1, text);
    }

    pub(super) fn find_many(&mut self, kind: Kind, count: u64, text: impl FnOnce() -> String) {
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
            "made of {} messages{}: {events} events ({}), {} in quarantine; metadata: {} landed, {} parsed; {} doubles by id, {} events of others\n{}\n{}",
            self.messages,
            match self.unknown {
                0 => String::new(),
                unknown => format!(" ({unknown} of which nothing is known)"),
            },
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
            "unknown": self.unknown,
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
