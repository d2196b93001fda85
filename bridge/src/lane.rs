//! One lane: a queue that sessions fill, and a thread (`thread.rs`) that takes its records to Kafka. What may go
//! when is decided by `flight.rs`, who is told what became of it by `ack.rs`; `forwarder.rs` is what joins them.

pub(crate) mod ack;
pub(crate) mod carrier;
pub mod flight;
mod forwarder;
pub mod partition;
mod status;
mod thread;

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::Thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

pub(crate) use self::ack::Pending;
use self::flight::Away;
use self::status::LaneStatus;
pub use self::thread::LaneThread;
use crate::account::Account;
use crate::dead_letters::DeadLetters;
use crate::format::Format;
use crate::lanes::LanePlan;
use crate::outcome::{Fault, Outcome};
use crate::record::{self, Record, RecordBatch};
use crate::repeats::Repeats;
use crate::sink::Sink;

/// A gathered batch is handed over early when it has this many bytes.
const GATHER_MAX_BYTES: usize = 256 * 1024;
/// Without a landing for this long while messages are in flight, the lane says that it is stalled.
pub const STALLED_AFTER: Duration = Duration::from_secs(5);

/// The lane's thread sleeps until somebody wakes it.
const IDLE: u8 = 0;
/// The lane's thread looks at the queue by itself, soon.
const GATHERING: u8 = 1;

/// Makes the lane's sink on the lane's own thread, whose handle the sink may use to wake it.
pub type SinkFactory = Box<dyn FnOnce() -> Box<dyn Sink> + Send>;

/// The part of a lane that sessions see.
pub struct Lane {
    pub account: Arc<Account>,
    pub inline_size: u32,
    /// The first of its Kafka topics; the only one of the dead-letter lane.
    pub(crate) topic: Box<str>,
    /// Of its records.
    format: Format,
    queue: Mutex<Queue>,
    state: AtomicU8,
    thread: OnceLock<Thread>,
    gather: Duration,
    /// Where records go that the sink refuses for good; none for the dead-letter lane itself.
    dead_letters: Option<DeadLetters>,
    /// Of all lanes.
    repeats: Arc<Repeats>,
    landing_latency: metrics::Histogram,
    status: LaneStatus,
}

#[derive(Default)]
struct Queue {
    batch: RecordBatch<Pending>,
    closed: bool,
}

impl Lane {
    pub(crate) fn new(
        plan: &LanePlan,
        dead_letters: Option<DeadLetters>,
        repeats: Arc<Repeats>,
    ) -> Arc<Lane> {
        let name = plan.name.clone();
        Arc::new(Lane {
            account: Arc::new(Account::new(&name, plan.inline_memory, plan.large_memory)),
            inline_size: plan.inline_size,
            topic: plan.topic.all().first().map_or("", String::as_str).into(),
            format: plan.format,
            queue: Mutex::default(),
            state: AtomicU8::new(IDLE),
            thread: OnceLock::new(),
            gather: plan.gather,
            dead_letters,
            repeats,
            landing_latency: metrics::histogram!(crate::metrics::LANDING_LATENCY, "lane" => name),
            status: LaneStatus::new(Instant::now()),
        })
    }

    /// Starts the thread that serves the lane.
    pub(crate) fn start(self: &Arc<Lane>, sink: SinkFactory) -> std::io::Result<LaneThread> {
        LaneThread::start(self, sink)
    }

    /// Puts a record into the queue. Never blocks and never fails: room was taken from the lane's
    /// share before, a record that is too long is a dead letter, and a closed lane fails the receipt.
    pub(crate) fn submit(&self, record: Record<'_>, pending: Pending) {
        if let Err(too_long) = record.within(record::room_bytes(self.inline_size)) {
            return self.dead_letter(record, pending, Fault::Size, &too_long.to_string());
        }
        let mut queue = self.queue.lock();
        if queue.closed {
            drop(queue);
            drop(pending);
            return;
        }
        queue.batch.push(record, pending);
        let early = queue.batch.bytes() >= GATHER_MAX_BYTES;
        drop(queue);
        if early || self.state.load(Ordering::SeqCst) == IDLE {
            self.state.store(GATHERING, Ordering::SeqCst);
            self.wake();
        }
    }

    /// Sends a record that its own lane can never land to the dead-letter lane.
    fn dead_letter(&self, record: Record<'_>, pending: Pending, fault: Fault, reason: &str) {
        match &self.dead_letters {
            Some(letters) => letters.take(record, pending, fault, reason),
            None => {
                tracing::error!(reason, "a dead letter cannot land; its sender has to resend");
                pending.receipt.resolve(Outcome::Failed);
            }
        }
    }

    /// A message goes to Kafka, or becomes a dead letter, that a producer had taken before.
    fn note_repeat(&self, id: Option<[u8; 16]>) {
        let Some(id) = id else {
            tracing::error!("a record that its format cannot read is handed over again");
            return;
        };
        self.repeats.note(id);
        self.status.repeats.fetch_add(1, Ordering::Relaxed);
    }

    /// Bytes of the records that wait for the lane's thread.
    #[cfg(test)]
    pub(crate) fn queued_bytes(&self) -> usize {
        self.queue.lock().batch.bytes()
    }

    /// How many of them there are.
    #[cfg(test)]
    pub(crate) fn queued_records(&self) -> usize {
        self.queue.lock().batch.len()
    }

    fn wake(&self) {
        if let Some(thread) = self.thread.get() {
            thread.unpark();
        }
    }

    /// How long the thread has not made a round.
    pub fn silent_for(&self) -> Duration {
        self.status.silent_for()
    }

    /// The thread ended, which it does only after a drain or a panic.
    pub fn is_finished(&self) -> bool {
        self.status.is_finished()
    }

    /// How long nothing landed although the lane has something to land.
    pub fn stalled_for(&self) -> Option<Duration> {
        // A thread that stands still leaves an old mark also where there is nothing to do.
        let has_records = self.status.has_records() || !self.queue.lock().batch.is_empty();
        let age = self.status.no_progress_for();
        (has_records && age >= STALLED_AFTER).then_some(age)
    }

    /// How long ago the oldest message came that has not landed: half a second ago, or now, where the thread does
    /// not look. In the dead-letter lane, what came to another lane first and waits here counts from then on.
    pub fn oldest(&self) -> Duration {
        let queued = self.queue.lock().batch.first().map(|pending| pending.submitted.elapsed());
        let stored = self.account.uploads.oldest();
        let all = [queued, stored, self.status.oldest()];
        all.into_iter().flatten().max().unwrap_or_default()
    }

    /// Partitions of which nothing lands although they have records, as of half a second ago.
    pub fn away(&self) -> Vec<Away> {
        self.status.away()
    }

    /// Why records were given back last; of interest while nothing lands.
    pub fn last_reason(&self) -> Option<String> {
        self.status.reason()
    }

    /// Records that wait for their partition to take any.
    pub fn backlog(&self) -> usize {
        self.status.backlog()
    }

    /// How often the sink had to be started anew.
    pub fn resets(&self) -> u64 {
        self.status.resets.load(Ordering::Relaxed)
    }

    /// How often it handed a message over again that a producer had taken before.
    pub fn repeats(&self) -> u64 {
        self.status.repeats.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod batches;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;
