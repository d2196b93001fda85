//! What a run of a cell comes to: the judge's verdict on the messages, and what is no matter of messages, as numbers and
//! findings.

use std::collections::HashSet;
use std::time::Duration;

use crate::books::Books;
use crate::cell::Cell;
use crate::judge::{Case, Evidence, Kind, Object, Verdict};
use crate::landed::{Landed, Lines, MessageId};
use crate::outcome::Numbers;
use crate::probe::{self, Visit};
use crate::rig::Rig;
use crate::say::note;
use crate::timeline::{Marks, Span};
use crate::watch::{AtRest, Watch};

/// A recovery takes no longer.
const RECOVERY_MAX: Duration = Duration::from_secs(30);
/// What nobody takes for a change, although it is more than twice of before.
const SPARED_MS: u64 = 100;
/// A machine that is so slow where nothing is wrong tells nothing of what is.
const IDLE_MAX_MS: u64 = 1000;
/// How what clients say begins that behave badly.
pub const NOISE: &str = "noise-";
/// Of each kind of finding.
const EXAMPLES: usize = 3;

/// What was seen of a gateway while it was broken and whole.
pub struct Seen {
    pub watch: Watch,
    pub visits: Vec<Visit>,
    pub at_rest: AtRest,
}

impl Seen {
    /// The last thing of a cell: the gateway has ended, and nothing new comes to Kafka.
    pub fn reckon(&self, cell: &Cell, rig: &Rig) -> (Numbers, Vec<String>) {
        let read = books(rig).and_then(|books| Ok((books, rig.reader.finish()?)));
        match read {
            Ok((books, lines)) => self.judged(cell, rig, &books, lines),
            Err(why) => (Numbers::default(), vec![why]),
        }
    }

    fn judged(
        &self,
        cell: &Cell,
        rig: &Rig,
        books: &Books,
        mut lines: Lines,
    ) -> (Numbers, Vec<String>) {
        let (marks, expects) = (rig.timeline.so_far(), cell.expects());
        let alone = cell.faults.len() == 1;
        let mut findings = marks.findings.clone();
        findings.extend(self.at_rest.findings.iter().cloned());
        findings.extend(self.watch.findings(rig, &marks, &expects));
        findings.extend(probe::findings(&self.visits, &marks, &expects, alone));
        if !matches!(books.ends.last(), Some((_, 0))) {
            findings.push(format!("the fleet ended with messages open: {:?}", books.ends));
        }
        findings.extend(books_against_kafka(&marks, &self.at_rest, &lines.landed));
        lines.landed.retain(|landed| !is_noise(landed));
        let case = Case::of(books, &lines, &|uri| Object::of_uri(&rig.s3.buckets(), uri));
        let evidence = self.evidence(&marks);
        rig.remember(&evidence);
        let verdict = case.verdict(&evidence);
        findings.extend(verdict.findings.each().map(|(kind, found)| {
            let examples = found.examples.iter().take(EXAMPLES);
            let examples = examples.map(String::as_str).collect::<Vec<_>>().join("; ");
            format!("{} {}: {examples}", found.count, kind.says())
        }));
        if verdict.numbers.dead_letters > 0 && !expects.dead_letters {
            findings
                .push(format!("{} dead letters, of what can land", verdict.numbers.dead_letters));
        }
        findings.extend(spared(&case, &marks));
        let numbers = self.numbers(&verdict, &marks);
        if u128::from(numbers.recovery_ms) > RECOVERY_MAX.as_millis() {
            findings.push(format!(
                "devices were not answered for {} ms after everything was whole again",
                numbers.recovery_ms
            ));
        }
        (numbers, findings)
    }

    fn evidence(&self, marks: &Marks) -> Evidence {
        let deleted = marks.deleted.iter();
        Evidence {
            handed_over_again: self.watch.again.clone(),
            overflowed: self.watch.missed > 0,
            killed_ms: marks.killed_ms.clone(),
            deleted: deleted
                .map(|(topic, span)| (topic.clone(), span.from_ms..span.to_ms))
                .collect(),
            refusals: Vec::new(),
            healed_ms: marks.broken.map(|broken| broken.to_ms),
        }
    }

    fn numbers(&self, verdict: &Verdict, marks: &Marks) -> Numbers {
        let recovery = verdict.recovery.as_ref().and_then(|recovery| recovery.worst_ms);
        let [connack, pingresp, puback] = probe::worst(&self.visits, marks);
        let (counts, doubles) = (&verdict.numbers, &verdict.doubles);
        Numbers {
            messages: counts.messages as u64,
            sendings: counts.sendings as u64,
            acknowledged: counts.acknowledged as u64,
            landed: counts.landed as u64,
            dead_letters: counts.dead_letters as u64,
            deleted: counts.deleted as u64,
            lost: counts.lost as u64,
            foreign: verdict.findings.count(Kind::Foreign) as u64,
            out_of_order: verdict.findings.count(Kind::Order) as u64,
            double_by_resend: doubles.by_resend as u64,
            double_by_gateway: doubles.by_gateway as u64,
            double_by_kill: doubles.by_kill as u64,
            double_unexplained: doubles.unexplained as u64,
            recovery_ms: recovery.unwrap_or_default(),
            connack_ms: connack.as_millis() as u64,
            pingresp_ms: pingresp.as_millis() as u64,
            puback_ms: puback.as_millis() as u64,
            memory_mib: self.watch.resident_mib,
            descriptors: self.watch.descriptors,
        }
    }
}

/// Those of the fleet, and of the new clients.
fn books(rig: &Rig) -> Result<Books, String> {
    let mut books = Books::read(&rig.publishers.books())?;
    let probes = Books::read(&rig.books_of_probes())?;
    books.devices.extend(probes.devices);
    Ok(books)
}

/// What clients that behave badly say, of which there are no books.
fn is_noise(landed: &Landed) -> bool {
    landed.head.as_ref().is_some_and(|head| head.starts_with(NOISE))
}

/// Devices whose partitions the fault has nothing to do with are answered as if there was none.
fn spared(case: &Case<'_>, marks: &Marks) -> Option<String> {
    let range = |span: Option<Span>| span.map(|span| span.from_ms..span.to_ms);
    let (idle, sparing) = (range(marks.idle)?, range(marks.sparing)?);
    let before = case.latencies(&idle, Some(&marks.spared));
    let during = case.latencies(&sparing, Some(&marks.spared));
    note(&format!("spared partitions: before {before:?}, while it was broken {during:?}"));
    if before.p99_ms > IDLE_MAX_MS {
        return Some(format!(
            "the machine is too busy to judge by: {before:?} where nothing was wrong"
        ));
    }
    let most_ms = (2 * before.p99_ms).max(SPARED_MS);
    (during.p99_ms > most_ms || during.unanswered > 0).then(|| {
        format!("partitions that had nothing to do with it: {before:?} before, {during:?} while it was broken")
    })
}

/// What a process that was never ended counted as landed is what there is.
fn books_against_kafka(marks: &Marks, at_rest: &AtRest, landed: &[Landed]) -> Option<String> {
    if marks.has_ended || !marks.deleted.is_empty() {
        return None;
    }
    let count = |name: &str| at_rest.books["sum"][name].as_u64().unwrap_or_default();
    let ids = |letters: bool| {
        let ids = landed.iter().filter(|landed| landed.reason.is_some() == letters);
        ids.filter_map(|landed| landed.message_id).collect::<HashSet<MessageId>>().len() as u64
    };
    let (there, letters) = (ids(false), ids(true));
    let (landed, dead_lettered, failed) =
        (count("landed"), count("dead_lettered"), count("failed"));
    // What failed may be there: nobody was told that it is not.
    let is_right = (landed..=landed + failed).contains(&there)
        && (dead_lettered..=dead_lettered + failed).contains(&letters);
    (!is_right).then(|| {
        format!(
            "in the books {landed} landed, {dead_lettered} dead-lettered, {failed} failed; in Kafka are {there} \
             messages and {letters} dead letters"
        )
    })
}
