//! One partition's records in their order: which of them the sink has, and whether more may go. Pure, as flight is.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::RETRY_PAUSE;
use crate::record::RecordBuf;
use crate::sink::{Limits, TimeLimits};

/// What came back waits so long at most, where it comes back again and again: each time may cost a reset, which holds
/// up others.
const RETRY_PAUSE_MAX: Duration = Duration::from_secs(5);
/// Brokers forget a producer that was idle for a day (`producer.id.expiration.ms`): well before that, its
/// next record counts as its first again.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(3600);
/// A timestamp that comes so near to a topic's limit is rewritten too: until Kafka looks at it, time passes.
pub const TIME_MARGIN_MS: i64 = 30_000;
/// Places that an empty queue keeps.
const QUEUE_KEEP: usize = 1024;

pub struct Partition<C> {
    /// By sequence for each key.
    pub queue: VecDeque<Entry<C>>,
    /// Of the first in the queue; those behind it follow one by one.
    pub first_number: u32,
    /// The first in the queue that waits; all before it are with the sink or done.
    pub handed: usize,
    /// How many the sink has, and what they take of a batch.
    pub open: usize,
    pub open_bytes: u64,
    pub standing: Standing,
    /// The one that is open went when none was, and none has gone since: what is said of it is its own.
    pub is_lonely: bool,
    /// What those take of a batch that wait.
    pub waiting_bytes: u64,
    /// How often something came back since one landed.
    pub setbacks: u32,
    /// It is in `ready` or lingers.
    pub is_listed: bool,
    /// When something of it landed last, or came while it had nothing, in milliseconds as those of an entry.
    pub progress_ms: u32,
}

/// How far a partition may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Kafka may know nothing of the producer here: one record goes alone. A broker that knows nothing of a producer
    /// takes any sequence number from it: of two requests on their way, it could refuse the first and store the
    /// second.
    New,
    /// One record is with the sink, and nothing goes beside it.
    Alone,
    /// Batches go; the last one went then.
    Known { at: Instant },
    /// What came back waits until then; afterwards the partition is new.
    Paused { until: Instant },
}

pub struct Entry<C> {
    /// None when it is done.
    pub companion: Option<C>,
    /// None while the sink has it, and where it is on disk.
    pub record: Option<RecordBuf>,
    pub is_open: bool,
    pub past: Past,
    pub sequence: u64,
    /// Of its key.
    pub hash: u32,
    /// What it takes of a batch.
    pub bytes: u32,
    /// Milliseconds after the epoch when it came, or when it was handed over last.
    pub since_ms: u32,
    pub deadline: Option<Instant>,
}

/// What came of a record when it was handed over before; of a new one, nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Past {
    /// A producer took it, so it may be in Kafka.
    pub taken: bool,
    /// It was refused together with others, and goes alone, to know whose fault it was.
    pub suspect: bool,
    /// Its time was refused: it goes with that of the moment.
    pub untimely: bool,
}

impl<C> Entry<C> {
    pub fn new(
        record: Option<RecordBuf>,
        companion: C,
        hash: u32,
        bytes: u32,
        deadline: Option<Instant>,
    ) -> Entry<C> {
        Entry {
            companion: Some(companion),
            record,
            is_open: false,
            past: Past::default(),
            sequence: 0,
            hash,
            bytes,
            since_ms: 0,
            deadline,
        }
    }

    /// Gives the record a time that its topic takes.
    pub fn stamp(&self, record: &mut RecordBuf, times: [Option<TimeLimits>; 2], wall_ms: i64) {
        let ahead_ms = record.as_record().timestamp_ms().saturating_sub(wall_ms);
        let is_taken = times.into_iter().flatten().all(|times| takes(times, ahead_ms));
        if self.past.untimely || !is_taken {
            record.set_timestamp_ms(wall_ms);
        }
    }
}

/// Whether a topic takes a time that lies so far ahead, in milliseconds; behind where that is negative.
pub fn takes(times: TimeLimits, ahead_ms: i64) -> bool {
    let within = |limit_ms: i64| limit_ms - TIME_MARGIN_MS.min(limit_ms / 2);
    ahead_ms <= within(times.after_max_ms) && -ahead_ms <= within(times.before_max_ms)
}

impl<C> Default for Partition<C> {
    fn default() -> Partition<C> {
        Partition {
            queue: VecDeque::new(),
            first_number: 0,
            handed: 0,
            open: 0,
            open_bytes: 0,
            standing: Standing::New,
            is_lonely: false,
            waiting_bytes: 0,
            setbacks: 0,
            is_listed: false,
            progress_ms: 0,
        }
    }
}

impl<C> Partition<C> {
    pub fn has_waiting(&self) -> bool {
        self.handed < self.queue.len()
    }

    /// Whether the first that waits may go now, and if so, whether alone.
    pub fn next(&self, now: Instant, limits: &Limits) -> Option<bool> {
        let entry = self.queue.get(self.handed)?;
        let is_new = match self.standing {
            Standing::New => true,
            Standing::Known { at } => now.saturating_duration_since(at) >= FORGOTTEN_AFTER,
            Standing::Alone | Standing::Paused { .. } => return None,
        };
        if is_new || entry.past.suspect {
            return (self.open == 0).then_some(true);
        }
        let bytes = self.open_bytes + u64::from(entry.bytes);
        let fits = bytes <= limits.batch_bytes.into() && self.open < limits.batch_records as usize;
        (fits || self.open == 0).then_some(false)
    }

    /// How long what came back waits; a batch comes back once.
    pub fn set_back(&mut self) -> Duration {
        if !matches!(self.standing, Standing::Paused { .. }) {
            self.setbacks += 1;
        }
        let doublings = self.setbacks.saturating_sub(1).min(8);
        (RETRY_PAUSE * (1 << doublings)).min(RETRY_PAUSE_MAX)
    }

    /// Kafka may not know the producer here any more: the topic was gone, and is another one of that name.
    pub fn forget_producer(&mut self) {
        if let Standing::Known { .. } = self.standing {
            self.standing = Standing::New;
        }
    }

    pub fn push(&mut self, entry: Entry<C>) {
        if self.queue.is_empty() {
            self.progress_ms = entry.since_ms;
        }
        self.waiting_bytes += u64::from(entry.bytes);
        self.queue.push_back(entry);
    }

    /// How long a batch gathers yet: records that come within a while go together. None where it may go now.
    pub fn gathers_for(&self, now_ms: u32, limits: &Limits) -> Option<Duration> {
        let first = self.queue.get(self.handed)?;
        let Standing::Known { .. } = self.standing else { return None };
        let is_full = self.waiting_bytes >= limits.batch_bytes.into()
            || self.queue.len() - self.handed >= limits.batch_records as usize;
        if is_full || first.past.taken {
            return None;
        }
        let age = Duration::from_millis(now_ms.wrapping_sub(first.since_ms).into());
        limits.linger.checked_sub(age).filter(|wait| !wait.is_zero())
    }

    pub fn open(&mut self, bytes: u32) {
        self.is_lonely = self.open == 0;
        self.open += 1;
        self.waiting_bytes -= u64::from(bytes);
        self.open_bytes += u64::from(bytes);
        self.handed += 1;
        self.skip_done();
    }

    pub fn close(&mut self, bytes: u32) {
        debug_assert!(self.open > 0 && self.open_bytes >= u64::from(bytes), "it was open");
        self.open = self.open.saturating_sub(1);
        self.open_bytes = self.open_bytes.saturating_sub(u64::from(bytes));
    }

    /// Lets go of those that are done at the front, and goes past those where the next would be handed over.
    pub fn skip_done(&mut self) {
        while self.queue.front().is_some_and(|entry| entry.companion.is_none()) {
            self.queue.pop_front();
            self.first_number = self.first_number.wrapping_add(1);
            self.handed = self.handed.saturating_sub(1);
        }
        let is_behind = |entry: &Entry<C>| entry.is_open || entry.companion.is_none();
        while self.queue.get(self.handed).is_some_and(is_behind) {
            self.handed += 1;
        }
        if self.queue.is_empty() && self.queue.capacity() > QUEUE_KEEP {
            self.queue.shrink_to(QUEUE_KEEP);
        }
    }
}
