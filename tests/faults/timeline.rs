//! What happened when in a cell, for who judges it: times are milliseconds since 1970, as in the books.

use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// After a gateway was away it may take that long until it answers again.
const BACK: Duration = Duration::from_secs(5);

/// Now, in milliseconds since 1970.
pub fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.expect("the clock is behind 1970").as_millis() as u64
}

/// From one moment to another, which is not part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    pub from_ms: u64,
    pub to_ms: u64,
}

impl Span {
    pub fn has(self, at_ms: u64) -> bool {
        (self.from_ms..self.to_ms).contains(&at_ms)
    }

    /// The two have a moment in common.
    pub fn meets(self, other: Span) -> bool {
        self.from_ms < other.to_ms && other.from_ms < self.to_ms
    }
}

#[derive(Default)]
pub struct Timeline(Mutex<Marks>);

/// What is known at one moment.
#[derive(Clone, Debug, Default)]
pub struct Marks {
    /// From the first message to the fault, from there to when everything was whole again.
    pub idle: Option<Span>,
    pub broken: Option<Span>,
    /// When the gateway was killed.
    pub killed_ms: Vec<u64>,
    /// It was ended at all before the end of the cell.
    pub has_ended: bool,
    /// When nobody could expect an answer of it.
    pub away: Vec<Span>,
    /// When records of a topic were removed from Kafka on purpose.
    pub deleted: Vec<(String, Span)>,
    /// Partitions, by topic, that the fault has nothing to do with, and when.
    pub spared: Vec<(String, i32)>,
    pub sparing: Option<Span>,
    /// What somebody found wrong meanwhile.
    pub findings: Vec<String>,
}

impl Timeline {
    fn marks(&self) -> MutexGuard<'_, Marks> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    pub fn so_far(&self) -> Marks {
        self.marks().clone()
    }

    /// The gateway answers nobody while `meanwhile` runs.
    pub fn away<T>(&self, meanwhile: impl FnOnce() -> T) -> T {
        let from_ms = now_ms();
        // Open until it is known when it ends.
        let index = {
            let mut marks = self.marks();
            marks.away.push(Span { from_ms, to_ms: u64::MAX });
            marks.away.len() - 1
        };
        let done = meanwhile();
        self.marks().away[index].to_ms = now_ms() + BACK.as_millis() as u64;
        done
    }

    pub fn killed(&self) {
        let mut marks = self.marks();
        marks.killed_ms.push(now_ms());
        marks.has_ended = true;
    }

    pub fn ended(&self) {
        self.marks().has_ended = true;
    }

    /// All of a cell's faults happen while `meanwhile` runs.
    pub fn broken<T>(&self, begun_ms: u64, meanwhile: impl FnOnce() -> T) -> T {
        let from_ms = now_ms();
        {
            let mut marks = self.marks();
            marks.idle = Some(Span { from_ms: begun_ms, to_ms: from_ms });
            marks.broken = Some(Span { from_ms, to_ms: u64::MAX });
        }
        let done = meanwhile();
        self.marks().broken = Some(Span { from_ms, to_ms: now_ms() });
        done
    }

    /// Records of the topic are removed while `meanwhile` runs.
    pub fn deleting<T>(&self, topic: &str, meanwhile: impl FnOnce() -> T) -> T {
        let from_ms = now_ms();
        let done = meanwhile();
        self.marks().deleted.push((topic.to_owned(), Span { from_ms, to_ms: now_ms() }));
        done
    }

    /// While `meanwhile` runs the fault has nothing to do with these partitions: who publishes into them must not
    /// notice.
    pub fn sparing<T>(&self, partitions: Vec<(String, i32)>, meanwhile: impl FnOnce() -> T) -> T {
        let from_ms = now_ms();
        let done = meanwhile();
        let mut marks = self.marks();
        marks.spared = partitions;
        marks.sparing = Some(Span { from_ms, to_ms: now_ms() });
        done
    }

    /// Something is wrong.
    pub fn finds(&self, what: String) {
        eprintln!("FOUND: {what}");
        self.marks().findings.push(what);
    }
}
