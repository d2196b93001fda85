//! A pool: a member of a consumer group on a thread of its own, which reads raw records, has its [`Work`] make
//! others of them, writes these, and commits what landed.
//!
//! Kafka is the memory: whatever is not committed is read again, by this member or by the next. So nothing is
//! kept of a record that was handed over, and a write that fails takes its partition back to its commit; what
//! was written twice by that has the same ids. Within a partition messages are begun in order, one that cannot
//! be worked on holds those behind it, and no other partition.

pub mod status;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bridge::kafka::group::{Assignments, GroupRecord, Member, Partition, Polled, Position};
use bridge::record::{Record, RecordBatch, RecordBuf};
use bridge::sink::{AppendError, Decided, Sink, Verdict as SinkVerdict};
use metrics::{Counter, Histogram, counter, histogram};
use parking_lot::Mutex;

use self::status::{Control, Order, PartitionStatus, Status, What};
use crate::desk::{Desk, Landed, SlotId, Ticket, Token};
use crate::failure::{Failure, Reason};
use crate::large::{Large, News};
use crate::line::{State, Verdict};
use crate::metrics as names;
use crate::plan::WindowLimits;
use crate::raw::{Raw, RawBuf};
use crate::window::Arrival;
use crate::work::{Step, Work};

/// Records that are taken one after another before anything else is looked at.
const BURST: usize = 64;
/// How long a poll waits for a record while reports are expected, and while none are.
const BUSY_WAIT: Duration = Duration::from_millis(2);
const IDLE_WAIT: Duration = Duration::from_millis(50);
/// How long a full window sleeps at most; reports wake it.
const FULL_WAIT: Duration = Duration::from_millis(20);
/// A window that is full for this long keeps its place in the group by polling; what comes then waits here.
const FULL_PATIENCE: Duration = Duration::from_secs(1);
/// How often what is finished is committed, and the status made anew.
const COMMIT_INTERVAL: Duration = Duration::from_secs(1);
/// How often a seek is repeated of which nothing came.
const SEEKS: u8 = 3;
/// Buffers of a batch keep at most this many bytes while they are empty.
const BATCH_KEEP_BYTES: usize = 1024 * 1024;

/// The desk as the group's callbacks share it with the pool's thread. They run on that thread, while it
/// polls, and it holds no lock then.
pub struct SharedDesk(Mutex<Desk>);

impl SharedDesk {
    pub fn new(limits: WindowLimits) -> Arc<SharedDesk> {
        Arc::new(SharedDesk(Mutex::new(Desk::new(limits))))
    }
}

impl Assignments for SharedDesk {
    fn assigned(&self, partitions: Vec<Partition>) {
        self.0.lock().assigned(partitions);
    }

    fn revoked(&self, partitions: &[Partition]) -> Vec<Position> {
        self.0.lock().revoked(partitions)
    }
}

/// See the module. One thread owns it.
pub struct Pool<W> {
    member: Member,
    inner: Inner<W>,
}

struct Inner<W> {
    name: String,
    limits: WindowLimits,
    desk: Arc<SharedDesk>,
    sink: Box<dyn Sink>,
    work: W,
    large: Large,
    control: Arc<Control>,
    /// Records that the sink had no room for, in order.
    outbox: VecDeque<(RecordBuf, Token)>,
    /// The message that goes alone, and no other beside it.
    alone: Option<Alone>,
    /// What one message becomes; empty in between.
    batch: RecordBatch<()>,
    decided: Vec<Decided>,
    /// Changes of the assignment that were seen.
    changes_seen: u64,
    full_since: Option<Instant>,
    commit_at: Instant,
    freshness: Histogram,
    rewinds: Counter,
    missed: Counter,
}

/// A message on its way record by record: one of its partition was not taken.
struct Alone {
    ticket: Ticket,
    rest: VecDeque<RecordBuf>,
}

/// A record that was not taken, and why its message is not.
enum Setback {
    /// It, or another in its batch, is never taken.
    NeverTaken(String),
    /// It may be taken later.
    Later(String),
}

impl<W: Work> Pool<W> {
    /// `large` is the same work, for payloads that take a while. To be called, and run, on the pool's thread.
    pub fn new(
        name: &str,
        limits: WindowLimits,
        (member, desk): (Member, Arc<SharedDesk>),
        sink: Box<dyn Sink>,
        work: W,
        large: W,
        control: Arc<Control>,
    ) -> std::io::Result<Pool<W>> {
        let large = Large::start(name, large, std::thread::current())?;
        let label = || name.to_owned();
        let inner = Inner {
            name: name.to_owned(),
            limits,
            desk,
            sink,
            work,
            large,
            control,
            outbox: VecDeque::new(),
            alone: None,
            batch: RecordBatch::default(),
            decided: Vec::new(),
            changes_seen: 0,
            full_since: None,
            commit_at: Instant::now() + COMMIT_INTERVAL,
            freshness: histogram!(names::FRESHNESS, "pool" => label()),
            rewinds: counter!(names::REWINDS, "pool" => label()),
            missed: counter!(names::MISSED, "pool" => label()),
        };
        Ok(Pool { member, inner })
    }

    /// Works until it is told to end; then until all that was begun has landed, or `drain` is over.
    pub fn run(mut self, drain: Duration) {
        let Pool { member, inner } = &mut self;
        while !inner.control.is_ending() {
            inner.round(member);
            inner.read(member);
        }
        let deadline = Instant::now() + drain;
        while !inner.desk.0.lock().is_idle() && Instant::now() < deadline {
            inner.conclude(member);
            std::thread::park_timeout(FULL_WAIT);
        }
        let commits = inner.desk.0.lock().take_commits();
        if !commits.is_empty()
            && let Err(error) = member.commit_now(&commits)
        {
            tracing::warn!(pool = inner.name, %error, "what was finished last is not committed");
        }
    }
}

impl<W: Work> Inner<W> {
    /// Goes on with what was begun.
    fn conclude(&mut self, member: &Member) {
        self.control.beat();
        self.settle(member);
        self.flush(member);
        self.hear_of_large(member);
        self.go_on_alone(member);
    }

    /// Everything but reading.
    fn round(&mut self, member: &Member) {
        let now = Instant::now();
        self.conclude(member);
        self.obey();
        self.go_on(member, now);
        if now >= self.commit_at {
            self.commit_at = now + COMMIT_INTERVAL;
            let commits = self.desk.0.lock().take_commits();
            if !commits.is_empty()
                && let Err(error) = member.commit(&commits)
            {
                tracing::warn!(pool = self.name, %error, "offsets cannot be committed");
            }
            self.show(member);
        }
    }

    fn has_room(&self) -> bool {
        self.alone.is_none() && self.outbox.is_empty() && self.desk.0.lock().has_room()
    }

    fn read(&mut self, member: &Member) {
        if !self.has_room() {
            let since = *self.full_since.get_or_insert_with(Instant::now);
            if since.elapsed() < FULL_PATIENCE {
                std::thread::park_timeout(FULL_WAIT);
                return;
            }
        } else {
            self.full_since = None;
        }
        let is_idle = self.desk.0.lock().is_idle() && self.large.is_idle();
        let mut wait = if is_idle { IDLE_WAIT } else { BUSY_WAIT };
        for _ in 0..BURST {
            match member.poll(wait) {
                Polled::Record(record) => self.take(member, &record),
                Polled::Nothing => break,
                Polled::Trouble(error) => {
                    self.control.note_trouble(&self.name, error.to_string());
                    break;
                }
            }
            wait = Duration::ZERO;
        }
        self.look_at_assignment(member);
    }

    /// Asks where new partitions were read to, so that it is seen if messages are gone.
    fn look_at_assignment(&mut self, member: &Member) {
        let mut desk = self.desk.0.lock();
        if desk.changes == self.changes_seen {
            return;
        }
        self.changes_seen = desk.changes;
        let fresh = desk.slots().filter(|(id, _)| desk.begun(*id).is_none());
        let fresh: Vec<Partition> = fresh.map(|(_, slot)| slot.partition.clone()).collect();
        drop(desk);
        if fresh.is_empty() {
            return;
        }
        // librdkafka remembers over a rebalance what was paused before it.
        if let Err(error) = member.resume(&fresh) {
            tracing::warn!(pool = self.name, %error, "new partitions cannot be resumed");
        }
        match member.committed(&fresh) {
            Ok(positions) => {
                desk = self.desk.0.lock();
                for Position { partition, offset } in positions {
                    if let Some(id) = desk.find(&partition.topic, partition.partition) {
                        desk.start_at(id, offset);
                    }
                }
            }
            Err(error) => {
                tracing::warn!(pool = self.name, %error, "Kafka does not say what was committed");
            }
        }
    }

    fn take(&mut self, member: &Member, record: &GroupRecord<'_>) {
        let raw = Raw {
            topic: record.topic(),
            partition: record.partition(),
            offset: record.offset(),
            timestamp_ms: record.timestamp_ms().unwrap_or_default(),
            key: record.key(),
            value: record.value(),
        };
        let has_room = self.has_room();
        let mut desk = self.desk.0.lock();
        let share = desk.slots().count().max(1);
        let Some(id) = desk.find(raw.topic, raw.partition) else { return };
        desk.first_came(id, raw.offset);
        let slot = desk.slot_mut(id).expect("it was found");
        if has_room && slot.line.is_free() {
            drop(desk);
            if let Some((ticket, step)) = self.begin(member, id, &raw) {
                self.keep(ticket, step, raw.to_owned());
            }
            return;
        }
        slot.line.push(raw.to_owned());
        let bytes = u64::try_from(slot.line.waiting_bytes()).unwrap_or(u64::MAX);
        let is_long = slot.line.waiting() >= (self.limits.records / share).max(1);
        if (is_long || bytes >= self.limits.bytes / share as u64) && !slot.line.is_paused {
            slot.line.is_paused = true;
            let partition = slot.partition.clone();
            drop(desk);
            if let Err(error) = member.pause([&partition]) {
                tracing::warn!(pool = self.name, %error, "a partition cannot be paused");
            }
        }
    }

    /// Works on a message of a partition that is free; what it returns is to be kept with the message.
    fn begin(&mut self, member: &Member, id: SlotId, raw: &Raw<'_>) -> Option<(Ticket, Step)> {
        if !self.arrives(member, id, raw) {
            return None;
        }
        let mut desk = self.desk.0.lock();
        let ticket = desk.begin(id, raw.offset, raw.timestamp_ms);
        let line = &mut desk.slot_mut(id).expect("it is assigned").line;
        let alone = line.goes_alone(raw.offset);
        let verdict =
            line.verdict_on(raw.offset).map(|verdict| (verdict.failure.clone(), verdict.again));
        drop(desk);
        let mut batch = std::mem::take(&mut self.batch);
        let step = match verdict {
            Some((failure, again)) => {
                self.work.refuse(raw, &failure, !again, &mut batch);
                Step::Done
            }
            None => self.work.work(raw, &mut batch),
        };
        let kept = match step {
            Step::Done if alone => {
                self.go_alone(ticket, &mut batch);
                None
            }
            Step::Done => {
                self.hand_over(member, ticket, &mut batch);
                self.close(ticket);
                None
            }
            step => {
                batch.clear();
                Some((ticket, step))
            }
        };
        self.batch = batch;
        kept
    }

    /// Hands a message over record by record, with nothing else on its way: what is not taken then is its own.
    fn go_alone(&mut self, ticket: Ticket, batch: &mut RecordBatch<()>) {
        let mut rest = VecDeque::new();
        batch.drain(BATCH_KEEP_BYTES, |record, ()| rest.push_back(record.to_owned()));
        if let Some(slot) = self.desk.0.lock().slot_mut(ticket.slot) {
            slot.line.state = State::Alone;
        }
        self.alone = Some(Alone { ticket, rest });
    }

    /// The next record of the message that goes alone, if there is one, and when nothing is on its way any more;
    /// after the last it is finished.
    fn go_on_alone(&mut self, member: &Member) {
        let Some(Alone { ticket, rest }) = &mut self.alone else { return };
        let (ticket, mut desk) = (*ticket, self.desk.0.lock());
        if !desk.is_current(ticket) {
            self.alone = None;
            return;
        }
        if !desk.is_idle() {
            return;
        }
        if let Some(record) = rest.pop_front() {
            drop(desk);
            if let Some(setback) = self.append(ticket, record.as_record()) {
                self.set_back(member, ticket.slot, setback);
            }
            return;
        }
        if let Some(slot) = desk.slot_mut(ticket.slot) {
            slot.line.state = State::Running;
            slot.line.verdict = None;
        }
        drop(desk);
        self.alone = None;
        self.close(ticket);
    }

    /// Whether the record is what comes next; what is missing in front of it is said and counted.
    fn arrives(&mut self, member: &Member, id: SlotId, raw: &Raw<'_>) -> bool {
        let mut desk = self.desk.0.lock();
        let arrival = desk.arrival(id, raw.offset);
        let next = desk.begun(id);
        let Some(slot) = desk.slot_mut(id) else { return false };
        let (pool, topic, partition) = (&self.name, raw.topic, raw.partition);
        match arrival {
            Arrival::Next => {}
            Arrival::Behind(_) if slot.line.seeks_left > 0 => {
                // It was read before the partition was told to go back.
                slot.line.seeks_left -= 1;
                let partition = slot.partition.clone();
                drop(desk);
                if let Some(offset) = next {
                    self.seek(member, id, &Position { partition, offset });
                }
                return false;
            }
            Arrival::Behind(count) => {
                self.missed.increment(count);
                tracing::error!(
                    pool,
                    topic,
                    partition,
                    count,
                    from = raw.offset,
                    "messages are gone that were not read: the topic keeps them shorter than they wait"
                );
            }
            Arrival::Before => {
                let (expected, found) = (next, raw.offset);
                tracing::error!(
                    pool,
                    topic,
                    partition,
                    expected,
                    found,
                    "the topic begins anew: its offsets are smaller than what was read"
                );
                desk.begin_anew(id);
                return true;
            }
        }
        slot.line.seeks_left = 0;
        true
    }

    /// Puts a message back that is not done, with the reason why.
    fn keep(&mut self, ticket: Ticket, step: Step, raw: RawBuf) {
        let mut desk = self.desk.0.lock();
        if let Step::Large = step {
            let Some(slot) = desk.slot_mut(ticket.slot) else { return };
            slot.line.state = State::Large;
            let partition = slot.partition.clone();
            drop(desk);
            self.large.push(ticket, partition, raw);
            return;
        }
        if !desk.take_back(ticket) {
            return;
        }
        let Some(slot) = desk.slot_mut(ticket.slot) else { return };
        let Partition { topic, partition } = &slot.partition;
        let (pool, offset) = (&self.name, raw.offset);
        slot.line.state = State::Running;
        match step {
            Step::Hold(reason) => {
                tracing::warn!(pool, topic, partition, offset, reason, "a message is held");
                slot.line.hold(Instant::now(), reason);
            }
            Step::Stop(failure) => {
                let (reason, at) = (failure.reason.label(), failure.at);
                tracing::error!(
                    pool,
                    topic,
                    partition,
                    offset,
                    reason,
                    at,
                    "a message failed, and its partition stops until an operator decides: see /api/v1/parse"
                );
                slot.line.state = State::Stopped { failure };
            }
            Step::Done | Step::Large => {}
        }
        slot.line.put_back(raw);
    }

    /// Hands over all that a message became.
    fn hand_over(&mut self, member: &Member, ticket: Ticket, batch: &mut RecordBatch<()>) {
        let mut setback = None;
        batch.drain(BATCH_KEEP_BYTES, |record, ()| {
            if setback.is_none() {
                setback = self.append(ticket, record);
            }
        });
        if let Some(setback) = setback {
            self.set_back(member, ticket.slot, setback);
        }
    }

    /// Hands one record over, or puts it into the outbox.
    fn append(&mut self, ticket: Ticket, record: Record<'_>) -> Option<Setback> {
        let token = self.desk.0.lock().open(ticket, record.len() as u64)?;
        if !self.outbox.is_empty() {
            self.outbox.push_back((record.to_owned(), token));
            return None;
        }
        match self.sink.append(record, token) {
            Ok(()) => None,
            Err(error) => match setback(error) {
                None => {
                    self.outbox.push_back((record.to_owned(), token));
                    None
                }
                setback => {
                    self.desk.0.lock().failed(token);
                    setback
                }
            },
        }
    }

    /// Hands over what waits for room in the sink.
    fn flush(&mut self, member: &Member) {
        while let Some((record, token)) = self.outbox.pop_front() {
            if !self.desk.0.lock().is_wanted(token) {
                // Written now, it would overtake what is in front of it when it is read again.
                self.desk.0.lock().failed(token);
                continue;
            }
            let Err(error) = self.sink.append(record.as_record(), token) else { continue };
            let Some(setback) = setback(error) else {
                self.outbox.push_front((record, token));
                return;
            };
            let slot = self.desk.0.lock().failed(token);
            if let Some(slot) = slot {
                self.set_back(member, slot, setback);
            }
        }
    }

    fn close(&mut self, ticket: Ticket) {
        let mut desk = self.desk.0.lock();
        let finished = desk.close(ticket);
        if let Some(slot) = desk.slot_mut(ticket.slot) {
            slot.line.went_on();
        }
        drop(desk);
        if finished {
            self.finished(ticket);
        }
    }

    fn finished(&self, ticket: Ticket) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let received = Duration::from_millis(u64::try_from(ticket.received_ms).unwrap_or_default());
        self.freshness.record(now.saturating_sub(received).as_secs_f64());
    }

    /// Takes the sink's reports.
    fn settle(&mut self, member: &Member) {
        let mut decided = std::mem::take(&mut self.decided);
        self.sink.poll(&mut decided);
        self.take_reports(member, &mut decided);
        if self.sink.is_broken() {
            tracing::warn!(
                pool = self.name,
                "the producer is broken: what did not land is read again"
            );
            self.sink.reset();
            self.sink.poll(&mut decided);
            self.take_reports(member, &mut decided);
            self.outbox.clear();
            let mut desk = self.desk.0.lock();
            desk.forget_places();
            let all: Vec<SlotId> = desk.slots().map(|(id, _)| id).collect();
            drop(desk);
            all.into_iter().for_each(|id| self.rewind(member, id));
        }
        self.decided = decided;
    }

    fn take_reports(&mut self, member: &Member, decided: &mut Vec<Decided>) {
        for Decided { token, verdict } in decided.drain(..) {
            let setback = match verdict {
                SinkVerdict::Durable => {
                    let landed = self.desk.0.lock().landed(token);
                    match landed {
                        Landed::Message(ticket) => self.finished(ticket),
                        Landed::Part | Landed::Stale => {}
                    }
                    continue;
                }
                SinkVerdict::TooLarge(record) => {
                    let bytes = record.as_record().len();
                    Setback::NeverTaken(format!("Kafka takes no record of {bytes} bytes there"))
                }
                SinkVerdict::Refused { reason, .. } => Setback::NeverTaken(reason.into_owned()),
                SinkVerdict::Undecided { reason, .. } => Setback::Later(reason.into_owned()),
            };
            let slot = self.desk.0.lock().failed(token);
            if let Some(slot) = slot {
                self.set_back(member, slot, setback);
            }
        }
    }

    /// A record of the partition was not taken: it goes back to its commit.
    fn set_back(&mut self, member: &Member, id: SlotId, setback: Setback) {
        let mut desk = self.desk.0.lock();
        let begun = desk.begun(id);
        let Some(slot) = desk.slot_mut(id) else { return };
        let Partition { topic, partition } = slot.partition.clone();
        let pool = self.name.clone();
        let mut hold = None;
        match setback {
            Setback::Later(reason) => {
                tracing::warn!(pool, topic, partition, reason, "a record did not land");
                hold = Some(reason);
            }
            Setback::NeverTaken(reason) => {
                let alone = match &slot.line.state {
                    State::Alone => true,
                    State::Large => slot.line.goes_alone(begun.map_or(0, |next| next - 1)),
                    _ => false,
                };
                let offset = begun.map_or(0, |next| next - 1);
                if alone {
                    // No other can have been meant.
                    let known = slot.line.verdict_on(offset).map(|verdict| verdict.again);
                    let failure = Failure::new(Reason::NotTaken, reason);
                    tracing::warn!(pool, topic, partition, offset, %failure, "a message is refused");
                    if known == Some(true) {
                        hold = Some(failure.to_string());
                    }
                    let again = known.is_some();
                    slot.line.verdict = Some(Verdict { offset, failure, again });
                } else {
                    slot.line.alone_until = slot.line.alone_until.max(Some(offset));
                }
            }
        }
        drop(desk);
        self.rewind(member, id);
        if let (Some(reason), Some(slot)) = (hold, self.desk.0.lock().slot_mut(id)) {
            slot.line.hold(Instant::now(), reason);
        }
    }

    /// Reads the partition again from its commit.
    fn rewind(&mut self, member: &Member, id: SlotId) {
        self.rewinds.increment(1);
        let mut desk = self.desk.0.lock();
        let position = desk.rewind(id);
        let Some(slot) = desk.slot_mut(id) else { return };
        slot.line.rewind(SEEKS);
        let resume = std::mem::take(&mut slot.line.is_paused).then(|| slot.partition.clone());
        let stale: Vec<Ticket> =
            self.large.tickets().filter(|one| !desk.is_current(*one)).collect();
        drop(desk);
        stale.into_iter().for_each(|ticket| self.large.cancel(ticket));
        if let Some(position) = position {
            self.seek(member, id, &position);
        }
        if let Some(partition) = resume {
            self.resume(member, &partition);
        }
    }

    fn seek(&self, member: &Member, id: SlotId, position: &Position) {
        let sought = member.seek(position);
        if let Err(error) = &sought {
            tracing::warn!(pool = self.name, %error, "a partition cannot be read again yet");
        }
        if let Some(slot) = self.desk.0.lock().slot_mut(id) {
            slot.line.is_unsought = sought.is_err();
        }
    }

    fn resume(&self, member: &Member, partition: &Partition) {
        if let Err(error) = member.resume([partition]) {
            tracing::warn!(pool = self.name, %error, "a partition cannot be resumed");
        }
    }

    /// Begins what waits, where nothing keeps it any more.
    fn go_on(&mut self, member: &Member, now: Instant) {
        let mut desk = self.desk.0.lock();
        let ids: Vec<SlotId> = desk.slots().map(|(id, _)| id).collect();
        for id in &ids {
            if let Some(slot) = desk.slot_mut(*id) {
                slot.line.wake(now);
            }
        }
        drop(desk);
        for id in ids {
            let mut desk = self.desk.0.lock();
            let unsought = desk.slot_mut(id).is_some_and(|slot| slot.line.is_unsought);
            let position = unsought.then(|| desk.position(id)).flatten();
            drop(desk);
            if let Some(position) = position {
                self.seek(member, id, &position);
            }
            while self.has_room() {
                let mut desk = self.desk.0.lock();
                let Some(slot) = desk.slot_mut(id) else { break };
                let Some(raw) = slot.line.pop() else { break };
                let Partition { topic, partition } = slot.partition.clone();
                drop(desk);
                if let Some((ticket, step)) = self.begin(member, id, &raw.at(&topic, partition)) {
                    self.keep(ticket, step, raw);
                }
            }
            let mut desk = self.desk.0.lock();
            let Some(slot) = desk.slot_mut(id) else { continue };
            if slot.line.is_paused && slot.line.is_free() {
                slot.line.is_paused = false;
                let partition = slot.partition.clone();
                drop(desk);
                self.resume(member, &partition);
            }
        }
    }

    /// Takes what was made of large payloads, while there is room.
    fn hear_of_large(&mut self, member: &Member) {
        while self.has_room() {
            let Some(news) = self.large.news() else { return };
            match news {
                News::Piece(ticket, mut batch) => {
                    if self.desk.0.lock().is_current(ticket) {
                        self.hand_over(member, ticket, &mut batch);
                    } else {
                        self.large.cancel(ticket);
                    }
                }
                News::End(ticket, Step::Done, _) => {
                    let mut desk = self.desk.0.lock();
                    if desk.is_current(ticket) {
                        let slot = desk.slot_mut(ticket.slot).expect("it is current");
                        slot.line.state = State::Running;
                        drop(desk);
                        self.close(ticket);
                    }
                }
                News::End(ticket, step, raw) => self.keep(ticket, step, raw),
            }
        }
    }
}

impl<W> Inner<W> {
    /// Does what operators asked for.
    fn obey(&mut self) {
        for Order { at, what } in self.control.take_orders() {
            let mut desk = self.desk.0.lock();
            let Some(id) = desk.find(&at.partition.topic, at.partition.partition) else { continue };
            let Some(slot) = desk.slot_mut(id) else { continue };
            let is_there = slot.line.first_offset() == Some(at.offset);
            if !is_there || !matches!(slot.line.state, State::Stopped { .. } | State::Held { .. }) {
                continue;
            }
            let (pool, topic, partition) =
                (&self.name, &at.partition.topic, at.partition.partition);
            let (offset, what_is_done) = (at.offset, what.label());
            tracing::info!(pool, topic, partition, offset, what_is_done, "an operator decided");
            if let What::Skip = what {
                let detail = "an operator had it left out";
                let failure = Failure::new(Reason::Operator, detail);
                slot.line.verdict = Some(Verdict { offset, failure, again: false });
                slot.line.alone_until = slot.line.alone_until.max(Some(offset));
            }
            slot.line.state = State::Running;
        }
    }

    /// Tells how it is.
    fn show(&self, member: &Member) {
        if let Some(trouble) = member.take_trouble() {
            self.control.note_trouble(&self.name, trouble);
        }
        let ends = member.ends();
        let desk = self.desk.0.lock();
        let all = desk.slots().map(|(id, slot)| {
            let Partition { topic, partition } = &slot.partition;
            let (state, reason) = match &slot.line.state {
                State::Running | State::Alone => (Status::Running, None),
                State::Large => (Status::Running, Some("a large payload is parsed".to_owned())),
                State::Held { reason, .. } => (Status::Held, Some(reason.clone())),
                State::Stopped { failure } => (Status::Stopped, Some(failure.to_string())),
            };
            let committed = slot.commit();
            let behind = ends.get(&slot.partition).zip(committed.or(desk.begun(id)));
            PartitionStatus {
                topic: topic.clone(),
                partition: *partition,
                state,
                reason,
                offset: slot.line.first_offset().filter(|_| state != Status::Running),
                committed,
                lag: behind.map(|(end, at)| u64::try_from(end - at).unwrap_or_default()),
            }
        });
        self.control.show(&self.name, all.collect());
    }
}

/// What an error means for the message; None: the record waits for room.
fn setback(error: AppendError) -> Option<Setback> {
    match error {
        AppendError::Full | AppendError::Broken | AppendError::Away => None,
        AppendError::Refused(reason) => Some(Setback::NeverTaken(reason.into_owned())),
        AppendError::TooLarge => {
            Some(Setback::NeverTaken("it is larger than a record may be".to_owned()))
        }
        AppendError::NoTopic => Some(Setback::Later(
            "a topic that it writes to does not exist, or not for us".to_owned(),
        )),
    }
}

#[cfg(test)]
mod tests;
