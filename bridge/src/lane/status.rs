//! How a lane's thread is doing, for those who ask: it leaves marks, and never waits for a reader.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::flight::Away;

/// A look that is older says how old the message was that is there still: the thread does not look any more.
const OLDEST_GOOD_FOR: Duration = Duration::from_secs(2);
/// There is none.
const NO_MESSAGE: u64 = u64::MAX;

/// See the module. Times are milliseconds after `started`.
pub(super) struct LaneStatus {
    started: Instant,
    /// Of the thread's last round.
    heartbeat_ms: AtomicU64,
    /// Of the last landing, or of the last moment without any message.
    progress_ms: AtomicU64,
    /// Some are in flight.
    has_records: AtomicBool,
    /// When the oldest message came that the thread had when it looked last, or [`NO_MESSAGE`], and when that was.
    oldest_ms: AtomicU64,
    looked_ms: AtomicU64,
    /// Partitions of which nothing landed, as of then.
    away: Mutex<Vec<Away>>,
    /// Why the sink gave a record back, since the last landing.
    reason: Mutex<Option<String>>,
    backlog: AtomicUsize,
    pub resets: AtomicU64,
    /// How many of all repeats are this lane's.
    pub repeats: AtomicU64,
    finished: AtomicBool,
}

impl LaneStatus {
    pub fn new(now: Instant) -> LaneStatus {
        LaneStatus {
            started: now,
            heartbeat_ms: AtomicU64::new(0),
            progress_ms: AtomicU64::new(0),
            has_records: AtomicBool::new(false),
            oldest_ms: AtomicU64::new(NO_MESSAGE),
            looked_ms: AtomicU64::new(0),
            away: Mutex::default(),
            reason: Mutex::default(),
            backlog: AtomicUsize::new(0),
            resets: AtomicU64::new(0),
            repeats: AtomicU64::new(0),
            finished: AtomicBool::new(false),
        }
    }

    fn ms(&self, at: Instant) -> u64 {
        at.saturating_duration_since(self.started).as_millis() as u64
    }

    fn age(&self, at_ms: &AtomicU64) -> Duration {
        let now_ms = self.ms(Instant::now());
        Duration::from_millis(now_ms.saturating_sub(at_ms.load(Ordering::Relaxed)))
    }

    /// A round was made, with so many records in flight, of which so many are held back.
    pub fn round(&self, now: Instant, in_flight: usize, held: usize) {
        let now_ms = self.ms(now);
        self.heartbeat_ms.store(now_ms, Ordering::Relaxed);
        self.has_records.store(in_flight > 0, Ordering::Relaxed);
        if in_flight == 0 {
            self.progress_ms.store(now_ms, Ordering::Relaxed);
        }
        self.backlog.store(held, Ordering::Relaxed);
    }

    /// Records landed.
    pub fn landed(&self, now: Instant) {
        self.progress_ms.store(self.ms(now), Ordering::Relaxed);
    }

    /// The thread looked for its oldest message, and for partitions that stand still.
    pub fn looked(&self, now: Instant, oldest: Option<Instant>, away: Vec<Away>) {
        *self.away.lock() = away;
        let oldest_ms = oldest.map_or(NO_MESSAGE, |submitted| self.ms(submitted));
        self.oldest_ms.store(oldest_ms, Ordering::Relaxed);
        self.looked_ms.store(self.ms(now), Ordering::Relaxed);
    }

    pub fn away(&self) -> Vec<Away> {
        self.away.lock().clone()
    }

    /// Why records were given back; None once one landed.
    pub fn set_reason(&self, reason: Option<String>) {
        *self.reason.lock() = reason;
    }

    pub fn reason(&self) -> Option<String> {
        self.reason.lock().clone()
    }

    pub fn backlog(&self) -> usize {
        self.backlog.load(Ordering::Relaxed)
    }

    pub fn has_records(&self) -> bool {
        self.has_records.load(Ordering::Relaxed)
    }

    /// How long the thread has not made a round.
    pub fn silent_for(&self) -> Duration {
        self.age(&self.heartbeat_ms)
    }

    /// How long nothing landed.
    pub fn no_progress_for(&self) -> Duration {
        self.age(&self.progress_ms)
    }

    /// The age of the oldest message that the thread has.
    pub fn oldest(&self) -> Option<Duration> {
        let oldest_ms = self.oldest_ms.load(Ordering::Relaxed);
        let looked_ms = self.looked_ms.load(Ordering::Relaxed);
        let now_ms = self.ms(Instant::now());
        let is_good = now_ms.saturating_sub(looked_ms) < OLDEST_GOOD_FOR.as_millis() as u64;
        let at_ms = if is_good { looked_ms } else { now_ms };
        let age_ms = at_ms.saturating_sub(oldest_ms);
        (oldest_ms != NO_MESSAGE).then_some(Duration::from_millis(age_ms))
    }

    pub fn finish(&self) {
        self.finished.store(true, Ordering::Release);
    }

    pub fn is_finished(&self) -> bool {
        self.finished.load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whatever the thread was doing when it looked last, what is there still has grown older.
    #[test]
    fn the_oldest_message_grows_older_while_the_thread_stands_still() {
        let began = Instant::now().checked_sub(10 * OLDEST_GOOD_FOR).expect("it runs for longer");
        let status = LaneStatus::new(began);
        let at = |ms| began + Duration::from_millis(ms);
        let now_ms = 10 * OLDEST_GOOD_FOR.as_millis() as u64;
        status.looked(at(now_ms - 500), Some(at(1000)), Vec::new());
        let known = status.oldest();
        assert_eq!(known, Some(Duration::from_millis(now_ms - 1500)), "as it was at the last look");
        status.looked(at(3000), Some(at(1000)), Vec::new());
        assert!(status.oldest() >= Some(Duration::from_millis(now_ms - 1000)));
        status.looked(at(3000), None, Vec::new());
        assert_eq!(status.oldest(), None);
    }
}
