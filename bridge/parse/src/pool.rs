//! A pool: a member of a consumer group on a thread of its own, which reads raw records, has its [`Work`] make
//! others of them, writes these, and commits what landed.
//!
//! Kafka is the memory: whatever is not committed is read again, by this member or by the next. So nothing is
//! kept of a record that was handed over, and a write that fails takes its partition back to its commit; what
//! was written twice by that has the same ids. Within a partition messages are begun in order, one that cannot
//! be worked on holds those behind it, and no other partition.

mod operators;
mod outgoing;
mod setback;
pub mod status;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bridge::kafka::group::{Assignments, GroupRecord, Member, Partition, Polled, Position};
use bridge::outbox::{Delivered, Outbox};
use bridge::record::RecordBatch;
use bridge::sink::Sink;
use metrics::{Counter, Histogram, counter, histogram};
use parking_lot::Mutex;

use self::status::Control;
use crate::desk::{Desk, SlotId, Ticket};
use crate::large::{Large, News};
use crate::line::State;
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

    fn not_committed(&self, partitions: &[Partition]) {
        self.0.lock().not_committed(partitions);
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
    outbox: Outbox,
    work: W,
    large: Large,
    control: Arc<Control>,
    /// What one message becomes; empty in between.
    batch: RecordBatch<()>,
    delivered: Vec<Delivered>,
    /// Changes of the assignment that were seen.
    changes_seen: u64,
    full_since: Option<Instant>,
    /// Why its consumer reads nothing any more.
    dead: Option<String>,
    commit_at: Instant,
    freshness: Histogram,
    rewinds: Counter,
    missed: Counter,
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
            outbox: Outbox::new(&format!("pool {name}"), sink, Instant::now()),
            work,
            large,
            control,
            batch: RecordBatch::default(),
            delivered: Vec::new(),
            changes_seen: 0,
            full_since: None,
            dead: None,
            commit_at: Instant::now() + COMMIT_INTERVAL,
            freshness: histogram!(names::FRESHNESS, "pool" => label()),
            rewinds: counter!(names::REWINDS, "pool" => label()),
            missed: counter!(names::MISSED, "pool" => label()),
        };
        Ok(Pool { member, inner })
    }

    /// Works until it is told to end; then until all that was begun has landed but for partitions that stand, or
    /// `drain` is over. Ends by itself only where it cannot go on.
    pub fn run(mut self, drain: Duration) {
        let Pool { member, inner } = &mut self;
        while !inner.control.is_ending() {
            if !inner.large.is_alive() {
                // Its partition would wait for ever. Whoever started the pool sees that it ended.
                tracing::error!(pool = inner.name, "the thread for large payloads is gone");
                return;
            }
            if let Some(reason) = &inner.dead {
                // Another member may do what this one cannot, such as one that comes in its place.
                tracing::error!(pool = inner.name, reason, "its group has shut this member out");
                return;
            }
            inner.round(member);
            inner.read(member);
        }
        let deadline = Instant::now() + drain;
        while inner.desk.0.lock().expects_landings() && Instant::now() < deadline {
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
        self.send(member);
        self.desk.0.lock().look(Instant::now());
        self.hear_of_large();
    }

    /// Everything but reading.
    fn round(&mut self, member: &Member) {
        let now = Instant::now();
        self.conclude(member);
        self.obey(member);
        self.go_on(member, now);
        if now >= self.commit_at {
            self.commit_at = now + COMMIT_INTERVAL;
            self.give_up_large(member);
            let commits = self.desk.0.lock().take_commits();
            if !commits.is_empty()
                && let Err(error) = member.commit(&commits)
            {
                tracing::warn!(pool = self.name, %error, "offsets cannot be committed");
            }
            self.show(member);
        }
    }

    fn read(&mut self, member: &Member) {
        let may_read = self.desk.0.lock().may_read();
        if !may_read {
            let since = *self.full_since.get_or_insert_with(Instant::now);
            if since.elapsed() < FULL_PATIENCE {
                std::thread::park_timeout(FULL_WAIT);
                return;
            }
        } else {
            self.full_since = None;
        }
        let is_busy = self.desk.0.lock().expects_landings() || !self.large.is_idle();
        let mut wait = if is_busy { BUSY_WAIT } else { IDLE_WAIT };
        for _ in 0..BURST {
            match member.poll(wait) {
                Polled::Record(record) => self.take(member, &record),
                Polled::Nothing => break,
                Polled::Dead(reason) => {
                    self.dead = Some(reason);
                    break;
                }
                Polled::Trouble(error) => {
                    self.control.note_trouble(&self.name, error.to_string());
                    break;
                }
            }
            wait = Duration::ZERO;
            if may_read && !self.desk.0.lock().may_read() {
                break;
            }
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
        let mut desk = self.desk.0.lock();
        let Some(id) = desk.find(raw.topic, raw.partition) else { return };
        desk.first_came(id, raw.offset);
        let has_room = desk.has_room() && desk.has_room_for(id);
        let slot = desk.slot_mut(id).expect("it was found");
        if has_room && slot.line.is_free() {
            drop(desk);
            if let Some((ticket, step)) = self.begin(member, id, &raw) {
                self.keep(ticket, step, raw.to_owned());
            }
            return;
        }
        let share = desk.slots().count().max(1);
        let slot = desk.slot_mut(id).expect("it was found");
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
        let line = &desk.slot(id).expect("it is assigned").line;
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
            Step::Done => {
                self.hand_over(ticket, &mut batch);
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
                // It was read before the partition was told to go back, and so was what waits behind it.
                let seeks_left = slot.line.seeks_left - 1;
                slot.line.rewind(seeks_left);
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
                let at = slot.commit();
                slot.line.hold(Instant::now(), at, reason);
            }
            Step::Stop(failure) => {
                let (reason, at) = (failure.reason.label(), failure.at);
                let command =
                    format!("landfall parse retry|skip --at {topic}/{partition}/{offset}");
                tracing::error!(
                    pool,
                    topic,
                    partition,
                    offset,
                    reason,
                    at,
                    command,
                    "a message failed, and its partition stops until an operator decides"
                );
                slot.line.state = State::Stopped { failure };
            }
            Step::Done | Step::Large => {}
        }
        slot.line.put_back(raw);
    }

    /// Begins what waits, where nothing keeps it any more.
    fn go_on(&mut self, member: &Member, now: Instant) {
        let ids = self.desk.0.lock().wake(now);
        for id in ids {
            let mut desk = self.desk.0.lock();
            let unsought = desk.slot_mut(id).is_some_and(|slot| slot.line.is_unsought);
            let position = unsought.then(|| desk.position(id)).flatten();
            drop(desk);
            if let Some(position) = position {
                self.seek(member, id, &position);
            }
            loop {
                let mut desk = self.desk.0.lock();
                if !desk.has_room() || !desk.has_room_for(id) {
                    break;
                }
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

    fn has_room_for_large(&self) -> bool {
        let desk = self.desk.0.lock();
        // The first of them is at work; of one that is somebody else's nothing is kept.
        let first = self.large.tickets().next().filter(|first| desk.is_current(*first));
        first.is_none_or(|first| desk.has_room_for_more_of(first.slot))
    }

    /// Takes what was made of large payloads, while there is room. Messages that are not finished are no
    /// reason to wait: with a large one in every partition, they may be just these.
    fn hear_of_large(&mut self) {
        while self.has_room_for_large() {
            let Some(news) = self.large.news() else { return };
            match news {
                News::Piece(ticket, mut batch) => {
                    if self.desk.0.lock().is_current(ticket) {
                        self.hand_over(ticket, &mut batch);
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

#[cfg(test)]
mod tests;
