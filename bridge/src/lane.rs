//! One lane: a queue that sessions fill, and a thread that owns the lane's sink, gathers what came
//! within a few milliseconds, hands it over in order and passes each verdict on to its receipt.
//!
//! Few large hand-overs instead of many small ones halve the lane's CPU time and Kafka's. The same
//! thread serves the verdicts, so a message costs no wake-up of its own between threads.
//!
//! Retries live here. What the sink could not decide goes into the backlog of its Kafka topic, and
//! what comes later for that topic lines up behind it, so that a device's order survives.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle, Thread};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::account::Account;
use crate::dead_letters::DeadLetters;
use crate::fail_point;
use crate::format::Format;
use crate::lanes::LanePlan;
use crate::outcome::{Fault, Outcome};
use crate::receipt::{Receipt, Tally};
use crate::record::{self, Record, RecordBatch, RecordBuf};
use crate::repeats::Repeats;
use crate::sink::{AppendError, Decided, Sink, Token, Verdict};

/// A gathered batch is handed over early when it has this many bytes.
const GATHER_MAX_BYTES: usize = 256 * 1024;
/// The queue's buffers keep at most this many bytes while they are empty.
const QUEUE_KEEP_BYTES: usize = 1024 * 1024;
/// How long an idle lane sleeps at most: its heartbeat.
const IDLE_SLEEP: Duration = Duration::from_secs(1);
/// How long undecided records wait before they are tried again.
const RETRY_PAUSE: Duration = Duration::from_millis(500);
/// How long a reset sink may take to give everything back.
const RESET_WAIT: Duration = Duration::from_secs(10);
/// Between two looks of the lane's thread for its oldest message, at least; and a look takes at most one in so many
/// parts of its time, however many messages wait.
const OLDEST_LOOK: Duration = Duration::from_millis(500);
const OLDEST_PART: u32 = 200;
/// A look that is older says how old the message was that is there still: the thread does not look any more.
const OLDEST_GOOD_FOR: Duration = Duration::from_secs(2);
/// There is none.
const NO_MESSAGE: u64 = u64::MAX;
/// Without a landing for this long while messages are in flight, the lane says that it is stalled.
pub const STALLED_AFTER: Duration = Duration::from_secs(5);

/// The lane's thread sleeps until somebody wakes it.
const IDLE: u8 = 0;
/// The lane's thread looks at the queue by itself, soon.
const GATHERING: u8 = 1;

/// Makes the lane's sink on the lane's own thread, whose handle the sink may use to wake it.
pub type SinkFactory = Box<dyn FnOnce() -> Box<dyn Sink> + Send>;

/// A message on its way through a lane.
pub(crate) struct Pending {
    pub receipt: Receipt,
    /// What its landing means: a dead letter landed is not a message landed.
    pub on_landing: Outcome,
    pub submitted: Instant,
}

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

/// How the lane's thread is doing.
struct LaneStatus {
    started: Instant,
    /// Milliseconds after `started` of the thread's last round.
    heartbeat_ms: AtomicU64,
    /// Milliseconds after `started` of the last verdict, or of the last moment without any message.
    progress_ms: AtomicU64,
    /// The sink or the backlog has records.
    has_records: AtomicBool,
    /// Milliseconds after `started` when the oldest message came that the thread had when it looked last, or
    /// [`NO_MESSAGE`], and when that was.
    oldest_ms: AtomicU64,
    looked_ms: AtomicU64,
    /// Why the sink gave a record back, since the last landing.
    last_reason: Mutex<Option<String>>,
    backlog: AtomicUsize,
    resets: AtomicU64,
    /// How many of all repeats are this lane's.
    repeats: AtomicU64,
    finished: AtomicBool,
}

/// The lane's running thread.
pub struct LaneThread {
    lane: Arc<Lane>,
    handle: JoinHandle<()>,
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
            status: LaneStatus {
                started: Instant::now(),
                heartbeat_ms: AtomicU64::new(0),
                progress_ms: AtomicU64::new(0),
                has_records: AtomicBool::new(false),
                oldest_ms: AtomicU64::new(NO_MESSAGE),
                looked_ms: AtomicU64::new(0),
                last_reason: Mutex::default(),
                backlog: AtomicUsize::new(0),
                resets: AtomicU64::new(0),
                repeats: AtomicU64::new(0),
                finished: AtomicBool::new(false),
            },
        })
    }

    /// Starts the thread that serves the lane.
    pub(crate) fn start(self: &Arc<Lane>, sink: SinkFactory) -> std::io::Result<LaneThread> {
        let lane = Arc::clone(self);
        // Linux cuts thread names at 15 bytes.
        let handle = thread::Builder::new()
            .name(format!("lane-{}", self.account.name).chars().take(15).collect())
            .spawn(move || {
                let _ended = Ended(&lane);
                let _ = lane.thread.set(thread::current());
                let sink = sink();
                Worker::new(&lane, sink).run();
            })?;
        Ok(LaneThread { lane: Arc::clone(self), handle })
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

    /// A record goes to Kafka, or becomes a dead letter, of which a producer had taken one before.
    fn note_repeat(&self, record: Record<'_>) {
        let Some(id) = self.format.message_id(record) else {
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
        self.status.age(&self.status.heartbeat_ms)
    }

    /// The thread ended, which it does only after a drain or a panic.
    pub fn is_finished(&self) -> bool {
        self.status.finished.load(Ordering::Acquire)
    }

    /// How long nothing landed although the lane has something to land.
    pub fn stalled_for(&self) -> Option<Duration> {
        // A thread that stands still leaves an old mark also where there is nothing to do.
        let has_records =
            self.status.has_records.load(Ordering::Relaxed) || !self.queue.lock().batch.is_empty();
        let age = self.status.age(&self.status.progress_ms);
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

    /// Why records were given back last; of interest while nothing lands.
    pub fn last_reason(&self) -> Option<String> {
        self.status.last_reason.lock().clone()
    }

    /// Records that wait to be tried again.
    pub fn backlog(&self) -> usize {
        self.status.backlog.load(Ordering::Relaxed)
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

impl LaneStatus {
    fn now_ms(&self) -> u64 {
        self.started.elapsed().as_millis() as u64
    }

    /// The age of the oldest message that the thread has.
    fn oldest(&self) -> Option<Duration> {
        let oldest_ms = self.oldest_ms.load(Ordering::Relaxed);
        let looked_ms = self.looked_ms.load(Ordering::Relaxed);
        let now_ms = self.now_ms();
        let is_good = now_ms.saturating_sub(looked_ms) < OLDEST_GOOD_FOR.as_millis() as u64;
        let at_ms = if is_good { looked_ms } else { now_ms };
        let age_ms = at_ms.saturating_sub(oldest_ms);
        (oldest_ms != NO_MESSAGE).then_some(Duration::from_millis(age_ms))
    }

    fn age(&self, at_ms: &AtomicU64) -> Duration {
        Duration::from_millis(self.now_ms().saturating_sub(at_ms.load(Ordering::Relaxed)))
    }
}

impl LaneThread {
    /// Closes the lane: what is still in it fails its receipts.
    pub fn stop(self) {
        self.lane.queue.lock().closed = true;
        self.lane.wake();
        if self.handle.join().is_err() {
            tracing::error!(lane = &*self.lane.account.name, "the lane's thread had panicked");
        }
    }
}

/// The lane's thread at its end, also by a panic: nobody serves the queue any more, so it is closed, and
/// what is in it fails.
struct Ended<'l>(&'l Lane);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.status.finished.store(true, Ordering::Release);
        let left = {
            let mut queue = self.0.queue.lock();
            queue.closed = true;
            std::mem::take(&mut queue.batch)
        };
        drop(left);
    }
}

/// Undecided records of one Kafka topic, in the order they were submitted.
#[derive(Default)]
struct Backlog {
    records: BTreeMap<u64, Waiting>,
    retry_at: Option<Instant>,
}

struct Waiting {
    record: RecordBuf,
    pending: Pending,
    past: Past,
}

/// What came of a record when it was handed over before; of a new one, nothing.
#[derive(Clone, Copy, Default)]
struct Past {
    /// It failed as too large together with others: it is sent alone, to know whose fault it was.
    suspect: bool,
    /// A producer took it, so it may be in Kafka.
    taken: bool,
}

/// A record that the sink has.
struct Handed {
    pending: Pending,
    sequence: u64,
    past: Past,
}

/// The lane's thread.
struct Worker<'l> {
    lane: &'l Lane,
    sink: Box<dyn Sink>,
    /// By token; a free slot is None.
    handed: Vec<Option<Handed>>,
    free: Vec<Token>,
    next_sequence: u64,
    backlogs: HashMap<String, Backlog>,
    incoming: RecordBatch<Pending>,
    decided: Vec<Decided>,
    tally: Tally,
    /// A batch was refused as too large: what went after it must not overtake what is sent again.
    reset_wanted: bool,
    /// The sink has a suspect, and gets nothing else meanwhile: in one batch with it, the next record
    /// too large would be blamed on it.
    suspect_out: bool,
    /// The topic whose suspect waits until the sink has nothing else: nothing is handed over.
    quiet: Option<String>,
    /// The sink gives back what it had; nothing speaks against trying that again at once.
    resetting: bool,
    /// When the oldest message is looked for again.
    look_at: Instant,
}

impl<'l> Worker<'l> {
    fn new(lane: &'l Lane, sink: Box<dyn Sink>) -> Worker<'l> {
        Worker {
            lane,
            sink,
            handed: Vec::new(),
            free: Vec::new(),
            next_sequence: 0,
            backlogs: HashMap::new(),
            incoming: RecordBatch::default(),
            decided: Vec::new(),
            tally: Tally::default(),
            reset_wanted: false,
            suspect_out: false,
            quiet: None,
            resetting: false,
            look_at: Instant::now(),
        }
    }

    fn run(mut self) {
        let mut take_at = Instant::now();
        loop {
            fail_point::ask_thread();
            self.settle();
            if self.sink.is_broken() || self.reset_wanted {
                self.reset();
            }
            self.retry();
            // Whoever is owed an answer is woken before this thread sleeps.
            self.tally.flush();
            let now = Instant::now();
            self.publish_status(now);
            let mut queue = self.lane.queue.lock();
            if queue.closed && queue.batch.is_empty() {
                return;
            }
            let due = now >= take_at || queue.closed || queue.batch.bytes() >= GATHER_MAX_BYTES;
            if due && !queue.batch.is_empty() {
                std::mem::swap(&mut queue.batch, &mut self.incoming);
                drop(queue);
                take_at = now + self.lane.gather;
                self.hand_over();
                continue;
            }
            let gathering = !due || !queue.batch.is_empty();
            if !gathering {
                // Under the queue's lock, so that a submit after this sees IDLE and wakes us.
                self.lane.state.store(IDLE, Ordering::SeqCst);
            }
            drop(queue);
            let sleep = match gathering {
                true => take_at.saturating_duration_since(now),
                false => self.idle_sleep(now),
            };
            thread::park_timeout(sleep);
            if !gathering && self.lane.state.load(Ordering::SeqCst) == GATHERING {
                // The first message after a pause: those that follow it within the gathering time
                // travel with it.
                take_at = Instant::now() + self.lane.gather;
            }
        }
    }

    fn idle_sleep(&self, now: Instant) -> Duration {
        let retries = self.backlogs.values().filter_map(|backlog| backlog.retry_at);
        let until_retry = retries.map(|at| at.saturating_duration_since(now)).min();
        until_retry.unwrap_or(IDLE_SLEEP).clamp(Duration::from_millis(1), IDLE_SLEEP)
    }

    /// Leaves the heartbeat and the marks of progress.
    fn publish_status(&mut self, now: Instant) {
        let status = &self.lane.status;
        let now_ms = now.saturating_duration_since(status.started).as_millis() as u64;
        status.heartbeat_ms.store(now_ms, Ordering::Relaxed);
        let has_records = self.has_handed() || !self.backlogs.is_empty();
        status.has_records.store(has_records, Ordering::Relaxed);
        if !has_records {
            status.progress_ms.store(now_ms, Ordering::Relaxed);
        }
        let backlog = self.backlogs.values().map(|backlog| backlog.records.len()).sum();
        status.backlog.store(backlog, Ordering::Relaxed);
        if now >= self.look_at {
            let oldest = if has_records { self.oldest() } else { None };
            let oldest_ms = oldest.map_or(NO_MESSAGE, |submitted| {
                submitted.saturating_duration_since(status.started).as_millis() as u64
            });
            status.oldest_ms.store(oldest_ms, Ordering::Relaxed);
            status.looked_ms.store(now_ms, Ordering::Relaxed);
            self.look_at = now + OLDEST_LOOK.max(now.elapsed() * OLDEST_PART);
        }
    }

    /// When the oldest message came that is in the sink or waits to be tried again.
    fn oldest(&self) -> Option<Instant> {
        let handed = self.handed.iter().flatten().map(|handed| handed.pending.submitted);
        let first = self.backlogs.values().filter_map(|backlog| backlog.records.first_key_value());
        handed.chain(first.map(|(_, waiting)| waiting.pending.submitted)).min()
    }

    /// The sink has records.
    fn has_handed(&self) -> bool {
        self.handed.len() > self.free.len()
    }

    /// Gives the gathered records to the sink, in order.
    fn hand_over(&mut self) {
        let mut incoming = std::mem::take(&mut self.incoming);
        incoming.drain(QUEUE_KEEP_BYTES, |record, pending| {
            let sequence = self.next_sequence;
            self.next_sequence += 1;
            let behind = self.suspect_out
                || self.quiet.is_some()
                || (!self.backlogs.is_empty() && self.backlogs.contains_key(record.topic()));
            if behind {
                self.hold(record.to_owned(), pending, sequence, Past::default(), None);
            } else {
                self.append(record, pending, sequence, Past::default());
            }
        });
        self.incoming = incoming;
    }

    /// Gives one record to the sink; what it does not take goes where it belongs. True if it took it.
    fn append(&mut self, record: Record<'_>, pending: Pending, sequence: u64, past: Past) -> bool {
        let token = match self.free.pop() {
            Some(token) => token,
            None => {
                self.handed.push(None);
                self.handed.len() - 1
            }
        };
        let pause = match self.sink.append(record, token) {
            Ok(()) => {
                self.handed[token] = Some(Handed { pending, sequence, past });
                self.suspect_out |= past.suspect;
                return true;
            }
            Err(AppendError::TooLarge) => {
                self.free.push(token);
                self.lane.dead_letter(record, pending, Fault::Size, "too large for Kafka");
                return false;
            }
            Err(AppendError::Refused(reason)) => {
                self.free.push(token);
                if past.taken {
                    self.lane.note_repeat(record);
                }
                self.lane.dead_letter(record, pending, Fault::Record, &reason);
                return false;
            }
            Err(AppendError::Full) => Duration::from_millis(10),
            Err(AppendError::Broken) => Duration::ZERO,
            Err(AppendError::Away | AppendError::NoTopic) => RETRY_PAUSE,
        };
        self.free.push(token);
        self.hold(record.to_owned(), pending, sequence, past, Some(pause));
        false
    }

    /// Puts a record into its topic's backlog, to be tried after `pause`.
    fn hold(
        &mut self,
        record: RecordBuf,
        pending: Pending,
        sequence: u64,
        past: Past,
        pause: Option<Duration>,
    ) {
        let topic = record.as_record().topic().to_owned();
        let backlog = self.backlogs.entry(topic).or_default();
        backlog.records.insert(sequence, Waiting { record, pending, past });
        if let Some(pause) = pause {
            let at = Instant::now() + pause;
            backlog.retry_at = Some(backlog.retry_at.map_or(at, |known| known.max(at)));
        }
    }

    /// Tries the backlogs that are due, each in its order, until one record is not taken.
    fn retry(&mut self) {
        let waits = self.suspect_out || (self.quiet.is_some() && self.has_handed());
        if self.backlogs.is_empty() || waits {
            return;
        }
        let now = Instant::now();
        let mut due: Vec<String> = self
            .backlogs
            .iter()
            .filter(|(_, backlog)| backlog.retry_at.is_none_or(|at| at <= now))
            .map(|(topic, _)| topic.clone())
            .collect();
        if let Some(first) = self.quiet.take() {
            due.sort_by_key(|topic| *topic != first);
        }
        for topic in due {
            let Some(mut backlog) = self.backlogs.remove(&topic) else { continue };
            backlog.retry_at = None;
            while let Some(entry) = backlog.records.first_entry() {
                if entry.get().past.suspect && self.has_handed() {
                    // A suspect travels alone: it waits until the sink has nothing else.
                    self.quiet = self.quiet.take().or_else(|| Some(topic.clone()));
                    break;
                }
                let (sequence, waiting) = backlog.records.pop_first().expect("there is a first");
                let Waiting { record, pending, past } = waiting;
                let taken = self.append(record.as_record(), pending, sequence, past);
                if taken && past.taken {
                    self.lane.note_repeat(record.as_record());
                }
                if (!taken && self.backlogs.contains_key(&topic)) || past.suspect {
                    break;
                }
            }
            if !backlog.records.is_empty() {
                // What `append` held again, or a suspect in the sink, has to come before the rest.
                let held = self.backlogs.entry(topic).or_default();
                held.records.append(&mut backlog.records);
                let soon = now + Duration::from_millis(1);
                held.retry_at = Some(held.retry_at.map_or(soon, |known| known.max(soon)));
            }
            if self.suspect_out {
                return;
            }
        }
    }

    /// Passes the sink's verdicts on.
    fn settle(&mut self) {
        let mut decided = std::mem::take(&mut self.decided);
        self.sink.poll(&mut decided);
        if decided.is_empty() {
            self.decided = decided;
            return;
        }
        let now = Instant::now();
        let mut landed = false;
        let mut given_back = None;
        for Decided { token, verdict } in decided.drain(..) {
            let Some(handed) = self.handed.get_mut(token).and_then(Option::take) else {
                tracing::error!(token, "the sink decided a record that it did not have");
                continue;
            };
            self.free.push(token);
            let Handed { pending, sequence, past } = handed;
            self.suspect_out &= !past.suspect;
            match verdict {
                Verdict::Durable => {
                    landed = true;
                    let latency = now.saturating_duration_since(pending.submitted);
                    self.lane.landing_latency.record(latency);
                    pending.receipt.resolve_into(pending.on_landing, &mut self.tally);
                }
                Verdict::TooLarge(record) if past.suspect => {
                    self.lane.dead_letter(
                        record.as_record(),
                        pending,
                        Fault::Size,
                        "too large for Kafka",
                    );
                }
                Verdict::TooLarge(record) => {
                    self.reset_wanted = true;
                    let past = Past { suspect: true, taken: true };
                    self.hold(record, pending, sequence, past, Some(Duration::ZERO));
                }
                Verdict::Refused { record, reason } => {
                    self.lane.dead_letter(record.as_record(), pending, Fault::Record, &reason);
                }
                Verdict::Undecided { record, reason } => {
                    tracing::debug!(lane = &*self.lane.account.name, %reason, "a record is tried again");
                    given_back = Some(reason);
                    let past = Past { taken: true, ..past };
                    self.hold(record, pending, sequence, past, Some(self.retry_pause()));
                }
                Verdict::Unsent { record, reason } => {
                    given_back = Some(reason);
                    self.hold(record, pending, sequence, past, Some(self.retry_pause()));
                }
            }
        }
        self.decided = decided;
        self.tally.flush();
        let status = &self.lane.status;
        if landed {
            status.progress_ms.store(status.now_ms(), Ordering::Relaxed);
        }
        if landed != given_back.is_some() && !self.resetting {
            // A reset gives everything back and says nothing of Kafka.
            *status.last_reason.lock() = given_back.map(Cow::into_owned);
        }
    }

    /// How long what was given back waits.
    fn retry_pause(&self) -> Duration {
        if self.resetting { Duration::ZERO } else { RETRY_PAUSE }
    }

    /// Starts the sink anew and lines up everything it had, to be sent again in order.
    fn reset(&mut self) {
        let lane = &*self.lane.account.name;
        match self.handed.len() - self.free.len() {
            // Why it is broken was told by the sink, in its own measure.
            0 => tracing::debug!(lane, "the producer is started anew"),
            undecided => tracing::warn!(
                lane,
                undecided,
                "the producer is started anew; what it had not confirmed is sent again"
            ),
        }
        self.lane.status.resets.fetch_add(1, Ordering::Relaxed);
        self.reset_wanted = false;
        self.resetting = true;
        self.sink.reset();
        let deadline = Instant::now() + RESET_WAIT;
        while self.has_handed() && Instant::now() < deadline {
            self.settle();
            thread::park_timeout(Duration::from_millis(1));
        }
        self.resetting = false;
        self.fail_forgotten();
        self.reset_wanted = false;
    }

    /// What a reset sink did not give back is lost to us: its receipts fail, so that devices send it
    /// again. A sink that was reset decides nothing of before any more.
    fn fail_forgotten(&mut self) {
        let mut forgotten = 0;
        for (token, handed) in self.handed.iter_mut().enumerate() {
            if let Some(handed) = handed.take() {
                self.free.push(token);
                handed.pending.receipt.resolve_into(Outcome::Failed, &mut self.tally);
                forgotten += 1;
            }
        }
        self.tally.flush();
        self.suspect_out = false;
        if forgotten > 0 {
            let lane = &*self.lane.account.name;
            tracing::error!(
                lane,
                forgotten,
                "records are lost in the producer; their devices send them again"
            );
        }
    }
}

#[cfg(test)]
mod batches;
#[cfg(test)]
mod tests;
