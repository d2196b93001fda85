//! Looks at the gateway while a cell runs: whether what it says of itself is true, what it takes of the machine, and
//! which messages it handed to Kafka again.

use std::collections::HashSet;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use tests::exposition::Metrics;
use tests::http;
use tests::proc;

use crate::cell::Expects;
use crate::landed::MessageId;
use crate::rig::{CONNECTIONS, MEMORY_MIB, Rig};
use crate::say::say;
use crate::timeline::{Marks, Span, now_ms};

/// Between two looks.
const LOOK: Duration = Duration::from_millis(500);
/// A page answers within this.
const PAGE: Duration = Duration::from_secs(2);
/// After everything is whole again, nothing is degraded from then on.
const WELL_WITHIN: Duration = Duration::from_secs(30);
/// How long the last messages may take to find their place in the books.
const REST: Duration = Duration::from_secs(30);
/// What a process needs beside the memory that is planned for messages, in MiB: its program, and what the allocator
/// and librdkafka keep.
const BESIDE_MIB: u64 = 192;
/// A descriptor for each connection that may be there, and those that it plans for Kafka, the store and its pages.
const DESCRIPTORS_MAX: u64 = CONNECTIONS + 640;
/// What the gateway's folder may take: its log.
const DISK_MIB: u64 = 16;

/// What was seen.
#[derive(Default)]
pub struct Watch {
    looks: Vec<Look>,
    /// Message ids that the gateway handed to Kafka's producer again.
    pub again: HashSet<MessageId>,
    /// So many of those were gone before they were asked for.
    pub missed: u64,
    counted: Counted,
    pub resident_mib: u64,
    pub descriptors: u64,
}

/// Up to where the list of a process was read.
#[derive(Default)]
struct Counted {
    process: String,
    next: u64,
}

struct Look {
    at_ms: u64,
    /// When the last of its answers was there.
    until_ms: u64,
    alive: Result<(), String>,
    /// The answer of `/readyz`, if there was one.
    ready: Option<(u16, String)>,
}

impl Watch {
    /// Looks as long as it is told to.
    pub fn while_true(rig: &Rig, looking: &AtomicBool) -> Watch {
        let mut watch = Watch::default();
        while looking.load(Ordering::Acquire) {
            let begin = Instant::now();
            watch.look(rig);
            thread::sleep(LOOK.saturating_sub(begin.elapsed()));
        }
        watch.read_again(rig);
        watch
    }

    fn look(&mut self, rig: &Rig) {
        let at_ms = now_ms();
        let begin = Instant::now();
        let alive = match http::get(rig.admin(), "/livez") {
            Ok(answer) if answer.code == 200 && begin.elapsed() < PAGE => Ok(()),
            Ok(answer) => Err(format!(
                "/livez answered {} after {:?}: {}",
                answer.code,
                begin.elapsed(),
                answer.body.trim()
            )),
            Err(error) => Err(format!("/livez did not answer: {error}")),
        };
        let ready = http::get(rig.admin(), "/readyz").ok();
        let ready = ready.map(|answer| (answer.code, answer.body));
        let said_last = self.looks.last().and_then(|look| look.ready.as_ref());
        if ready.as_ref() != said_last {
            say(format!("{at_ms} /readyz: {ready:?}"));
        }
        self.looks.push(Look { at_ms, until_ms: now_ms() + 1, alive, ready });
        self.read_again(rig);
        if let Some(id) = rig.gateway_id() {
            let resident = proc::resident_bytes_if_running(id).unwrap_or_default();
            self.resident_mib = self.resident_mib.max(resident / (1024 * 1024));
            let descriptors = proc::descriptors_if_running(id).unwrap_or_default();
            self.descriptors = self.descriptors.max(descriptors as u64);
        }
    }

    /// All ids that came since the last time, page by page.
    fn read_again(&mut self, rig: &Rig) {
        while self.read_page(rig).is_some_and(|is_last| !is_last) {}
    }

    /// The next of them; another process counts from the beginning. Says whether these are the last; None where
    /// nobody answers.
    fn read_page(&mut self, rig: &Rig) -> Option<bool> {
        let Counted { process, next } = &self.counted;
        let ledger = ledger(rig, &format!("/api/v1/ledger?after={next}&process={process}"))?;
        let list = &ledger["handed_over_again"];
        let number = |name: &str| list[name].as_u64().expect("the ledger counts");
        let now = ledger["process"].as_str().expect("a process has a name").to_owned();
        let next = if now == *process { *next } else { 0 };
        self.missed += number("from").saturating_sub(next);
        let ids = list["ids"].as_array().expect("the ledger lists ids");
        self.again.extend(ids.iter().filter_map(|id| id.as_str()?.parse::<MessageId>().ok()));
        self.counted = Counted { process: now, next: number("next") };
        Some(number("next") >= number("count"))
    }

    /// What of it is wrong, by what was to be expected.
    pub fn findings(&self, rig: &Rig, marks: &Marks, expects: &Expects) -> Vec<String> {
        let mut findings = Vec::new();
        let broken = marks.broken.expect("the cell's fault is over");
        let expected = |look: &&Look| {
            let asked = Span { from_ms: look.at_ms, to_ms: look.until_ms };
            !marks.away.iter().any(|away| away.meets(asked))
        };
        let answering = || self.looks.iter().filter(expected);
        let dead: Vec<&str> =
            answering().filter_map(|look| look.alive.as_ref().err().map(String::as_str)).collect();
        if let Some(first) = dead.first() {
            findings.push(format!("{} looks of {}: {first}", dead.len(), self.looks.len()));
        }
        let meanwhile = Span { from_ms: broken.from_ms, to_ms: broken.to_ms + 2000 };
        let said = |word: &str| {
            let bodies = self.looks.iter().filter(|look| meanwhile.has(look.at_ms));
            bodies.filter_map(|look| look.ready.as_ref()).any(|(_, body)| body.contains(word))
        };
        if let Some(word) = expects.degraded.filter(|word| !said(word)) {
            findings.push(format!("/readyz never said {word} while it was broken"));
        }
        let well_ms = broken.to_ms + WELL_WITHIN.as_millis() as u64;
        let unwell = |look: &&Look| {
            let ready = look.ready.as_ref();
            look.at_ms >= well_ms
                && ready.is_none_or(|(code, body)| *code != 200 || is_degraded(body))
        };
        if let Some(look) = answering().find(unwell) {
            findings.push(format!(
                "{} s after everything was whole again /readyz said {:?}",
                (look.at_ms - broken.to_ms) / 1000,
                look.ready
            ));
        }
        if self.resident_mib > MEMORY_MIB + BESIDE_MIB {
            findings.push(format!("the gateway took {} MiB of memory", self.resident_mib));
        }
        if self.descriptors > DESCRIPTORS_MAX {
            findings.push(format!("the gateway had {} descriptors", self.descriptors));
        }
        let disk_mib = folder_mib(rig.gateway().folder());
        if disk_mib > DISK_MIB {
            findings.push(format!("the gateway left {disk_mib} MiB in its folder"));
        }
        findings
    }
}

/// The gateway's own books at the end, and what is wrong with them.
pub struct AtRest {
    pub books: Value,
    pub findings: Vec<String>,
}

/// Does it say that it is ready and nothing is degraded?
pub fn is_well(rig: &Rig) -> bool {
    let answer = http::get(rig.admin(), "/readyz").ok();
    answer.is_some_and(|answer| answer.code == 200 && !is_degraded(&answer.body))
}

/// Waits until no message is in flight.
pub fn at_rest(rig: &Rig) -> AtRest {
    let end = Instant::now() + REST;
    let mut findings = Vec::new();
    let books = loop {
        let ledger = ledger(rig, "/api/v1/ledger").unwrap_or_default();
        let total = |name: &str| ledger["sum"][name].as_i64();
        if total("in_flight") == Some(0) && total("difference") == Some(0) {
            break ledger;
        }
        if Instant::now() >= end {
            findings.push(format!("the books do not come to rest: {}", ledger["sum"]));
            break ledger;
        }
        thread::sleep(LOOK);
    };
    let Ok(page) = http::get(rig.admin(), "/metrics") else {
        findings.push("/metrics does not answer".to_owned());
        return AtRest { books, findings };
    };
    let metrics = Metrics::parse(&page.body);
    for (name, metric) in [
        ("received", "landfall_messages_received_total"),
        ("landed", "landfall_messages_landed_total"),
        ("dead_lettered", "landfall_messages_dead_lettered_total"),
        ("failed", "landfall_messages_failed_total"),
    ] {
        let (ledger, metric_says) = (books["sum"][name].as_u64(), metrics.sum(metric, &[]));
        if ledger != Some(metric_says as u64) {
            findings.push(format!("{name}: {ledger:?} in the books, {metric} says {metric_says}"));
        }
    }
    AtRest { books, findings }
}

fn ledger(rig: &Rig, path: &str) -> Option<Value> {
    let answer = http::get(rig.admin(), path).ok().filter(|answer| answer.code == 200)?;
    Some(answer.json())
}

fn is_degraded(body: &str) -> bool {
    let said: Value = serde_json::from_str(body).unwrap_or_default();
    said["degraded"].as_array().is_none_or(|degraded| !degraded.is_empty())
}

fn folder_mib(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let sizes = entries.filter_map(|entry| entry.metadata().ok()).map(|about| about.len());
    sizes.sum::<u64>() / (1024 * 1024)
}
