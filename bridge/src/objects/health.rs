//! How well the store is: what the probe and the writes found, for those who wait for it and for those
//! who have to mend it.
//!
//! A store that refuses closes a gate: uploads wait for the probe instead of asking each for itself. What
//! passes by itself closes nothing, because each request tries again with a pause of its own.

use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

use super::reaction::{Fault, Reaction};

/// For how long a failed write is reported when no other write came after it.
const TROUBLE_REPORTED: Duration = Duration::from_secs(15);
/// Failures that pass are reported when nothing worked for so long.
const TROUBLE_SHOWN_AFTER: Duration = Duration::from_secs(2);
/// The least time between two lines of log about failures.
const LOG_PAUSE: Duration = Duration::from_secs(30);

/// See the module.
pub(super) struct Health {
    facts: Mutex<Facts>,
    /// The gate: true while it is closed.
    refuses: watch::Sender<bool>,
    /// A write failed: the probe is asked for.
    doubt: Notify,
}

#[derive(Default)]
struct Facts {
    probe: Probe,
    writes: Option<Trouble>,
    /// Why what was written cannot be looked at.
    looks: Option<String>,
    logged_at: Option<Instant>,
    /// Failures since the last line of log.
    unlogged: u64,
}

#[derive(Default)]
enum Probe {
    /// Not answered yet.
    #[default]
    Open,
    Works,
    Fails(String),
}

/// Writes that fail, with none that worked since.
struct Trouble {
    since: Instant,
    last: Instant,
    refuses: bool,
    reason: String,
}

impl Health {
    pub fn new() -> Health {
        Health { facts: Mutex::default(), refuses: watch::Sender::new(false), doubt: Notify::new() }
    }

    /// The store took a write: it works, whatever was found before.
    pub fn write_worked(&self) {
        let mut facts = self.facts.lock();
        facts.writes = None;
        self.works(&mut facts);
    }

    /// A write failed.
    pub fn write_failed(&self, fault: &Fault) {
        let now = Instant::now();
        let mut facts = self.facts.lock();
        let since = facts.writes.as_ref().map_or(now, |trouble| trouble.since);
        let refuses = fault.reaction == Reaction::Wait;
        let reason = fault.reason.clone();
        facts.writes = Some(Trouble { since, last: now, refuses, reason });
        facts.log(now, &fault.reason);
        drop(facts);
        if refuses {
            self.refuses.send_replace(true);
        }
        self.doubt.notify_one();
    }

    /// What was written could be looked at.
    pub fn look_worked(&self) {
        self.facts.lock().looks = None;
    }

    /// It could not, which no write shows and no probe: a user without the right to get objects is told
    /// what one without the right to list is told of what is absent.
    pub fn look_was_refused(&self, reason: &str) {
        let mut facts = self.facts.lock();
        facts.looks = Some(format!("what was written cannot be looked at: {reason}"));
        facts.log(Instant::now(), reason);
    }

    /// The probe found the store well: whoever waits may try.
    pub fn probe_worked(&self) {
        self.works(&mut self.facts.lock());
    }

    pub fn probe_failed(&self, fault: &Fault) {
        let mut facts = self.facts.lock();
        facts.probe = Probe::Fails(fault.reason.clone());
        facts.log(Instant::now(), &fault.reason);
        drop(facts);
        self.refuses.send_replace(fault.reaction == Reaction::Wait);
    }

    fn works(&self, facts: &mut Facts) {
        facts.probe = Probe::Works;
        if facts.writes.is_none() && facts.looks.is_none() && facts.logged_at.take().is_some() {
            tracing::info!(failures = facts.unlogged, "the object store works again");
            facts.unlogged = 0;
        }
        self.refuses.send_if_modified(|refuses| std::mem::replace(refuses, false));
    }

    /// Returns when a write has failed.
    pub async fn doubted(&self) {
        self.doubt.notified().await;
    }

    /// Waits while the store refuses, for so long; false if it still does.
    pub async fn opens_within(&self, wait: Duration) -> bool {
        let mut refuses = self.refuses.subscribe();
        let opened = refuses.wait_for(|refuses| !refuses);
        tokio::time::timeout(wait, opened).await.is_ok()
    }

    /// The probe has had its answer, and nothing is wrong.
    pub fn is_well(&self) -> bool {
        let facts = self.facts.lock();
        matches!(facts.probe, Probe::Works) && facts.problem(Instant::now()).is_none()
    }

    /// Why nothing large lands; None while all is well, as far as is known.
    pub fn problem(&self) -> Option<String> {
        self.facts.lock().problem(Instant::now()).map(str::to_owned)
    }
}

impl Facts {
    fn problem(&self, now: Instant) -> Option<&str> {
        if let Probe::Fails(reason) = &self.probe {
            return Some(reason);
        }
        let trouble = self.writes.as_ref().filter(|trouble| {
            let shows = trouble.refuses || now.duration_since(trouble.since) >= TROUBLE_SHOWN_AFTER;
            shows && now.duration_since(trouble.last) < TROUBLE_REPORTED
        });
        trouble.map(|trouble| &trouble.reason).or(self.looks.as_ref()).map(String::as_str)
    }

    fn log(&mut self, now: Instant, reason: &str) {
        self.unlogged += 1;
        if self.logged_at.is_none_or(|logged_at| now.duration_since(logged_at) >= LOG_PAUSE) {
            self.logged_at = Some(now);
            let failures = std::mem::take(&mut self.unlogged);
            tracing::warn!(reason, failures, "the object store fails; large messages wait for it");
        }
    }
}

/// Lines of log about messages that were lost to a store, at most one in [`LOG_PAUSE`].
#[derive(Default)]
pub(super) struct FailureLog {
    /// When the last line was written, and how many were not since.
    last: Mutex<(Option<Instant>, u64)>,
}

impl FailureLog {
    /// How many there were since the last line, if it is time for one.
    pub fn next(&self) -> Option<u64> {
        let mut last = self.last.lock();
        last.1 += 1;
        if last.0.is_some_and(|at| at.elapsed() < LOG_PAUSE) {
            return None;
        }
        last.0 = Some(Instant::now());
        Some(std::mem::take(&mut last.1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(reaction: Reaction) -> Fault {
        Fault { reaction, reason: format!("{reaction:?}") }
    }

    #[test]
    fn what_passes_shows_when_it_lasts_and_what_refuses_at_once() {
        let health = Health::new();
        assert!(!health.is_well(), "nobody knows yet");
        assert_eq!(health.problem(), None);
        health.probe_worked();
        assert!(health.is_well());
        health.write_failed(&fault(Reaction::Again));
        assert_eq!(health.problem(), None, "one failure is no outage");
        let later = Instant::now() + TROUBLE_SHOWN_AFTER;
        assert_eq!(health.facts.lock().problem(later), Some("Again"));
        health.write_failed(&fault(Reaction::Wait));
        assert_eq!(health.problem().as_deref(), Some("Wait"));
        health.probe_worked();
        assert_eq!(health.problem().as_deref(), Some("Wait"), "what was written did not work");
        let later = Instant::now() + TROUBLE_REPORTED;
        assert_eq!(health.facts.lock().problem(later), None, "nobody wrote since");
        health.write_worked();
        assert_eq!(health.problem(), None);
        health.probe_failed(&fault(Reaction::Again));
        assert_eq!(health.problem().as_deref(), Some("Again"));
        assert!(!health.is_well());
    }

    #[tokio::test]
    async fn who_is_refused_waits_for_the_probe_and_others_do_not() {
        let health = Health::new();
        let short = Duration::from_millis(20);
        assert!(health.opens_within(short).await);
        health.probe_failed(&fault(Reaction::Again));
        assert!(health.opens_within(short).await, "each tries again with its own pause");
        health.write_failed(&fault(Reaction::Wait));
        assert!(!health.opens_within(short).await);
        let waiting = health.opens_within(Duration::from_secs(60));
        let probing = async { health.probe_worked() };
        assert!(tokio::join!(waiting, probing).0);
    }

    #[test]
    fn a_flood_of_failures_is_a_line_of_log() {
        let log = FailureLog::default();
        assert_eq!(log.next(), Some(1));
        for _ in 0..100 {
            assert_eq!(log.next(), None);
        }
    }
}
