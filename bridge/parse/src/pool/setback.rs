//! What becomes of a message of which Kafka did not take a record: its partition is read again from its commit,
//! and where a record is never taken, messages go alone until it is known whose it was.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use bridge::kafka::group::{Member, Partition, Position};
use bridge::record::{RecordBatch, RecordBuf};
use bridge::sink::AppendError;

use super::{BATCH_KEEP_BYTES, Inner};
use crate::desk::{SlotId, Ticket};
use crate::failure::{Failure, Reason};
use crate::line::{State, Verdict};
use crate::work::Work;

/// How often a seek is repeated of which nothing came.
const SEEKS: u8 = 3;

/// A record that was not taken, and why its message is not.
pub(super) enum Setback {
    /// It, or another in its batch, is never taken.
    NeverTaken(String),
    /// It may be taken later.
    Later(String),
}

impl Setback {
    /// What an error means for the message; None: the record waits for room.
    pub(super) fn of(error: AppendError) -> Option<Setback> {
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
}

/// A message on its way record by record: one of its partition was not taken.
pub(super) struct Alone {
    ticket: Ticket,
    rest: VecDeque<RecordBuf>,
}

impl<W: Work> Inner<W> {
    /// A record of the partition was not taken: it goes back to its commit.
    pub(super) fn set_back(&mut self, member: &Member, id: SlotId, setback: Setback) {
        let hold = match setback {
            Setback::Later(reason) => Some(reason),
            Setback::NeverTaken(reason) => self.find_whose(id, reason),
        };
        self.rewind(member, id);
        let Some(reason) = hold else { return };
        let mut desk = self.desk.0.lock();
        let Some(slot) = desk.slot_mut(id) else { return };
        let (pool, Partition { topic, partition }) = (&self.name, &slot.partition);
        tracing::warn!(pool, topic, partition, reason, "a record did not land");
        let at = slot.commit();
        slot.line.hold(Instant::now(), at, reason);
    }

    /// A record is never taken: its message is refused, where that is known. Else what was begun goes one by one
    /// when it is read again. Returns why the message is held, where the quarantine does not take it either.
    fn find_whose(&mut self, id: SlotId, reason: String) -> Option<String> {
        let mut desk = self.desk.0.lock();
        let offset = desk.begun(id)? - 1;
        let slot = desk.slot_mut(id)?;
        let is_alone = match slot.line.state {
            State::Alone => true,
            State::Large => slot.line.goes_alone(offset),
            _ => false,
        };
        if !is_alone {
            slot.line.alone_until = slot.line.alone_until.max(Some(offset));
            return None;
        }
        let (pool, Partition { topic, partition }) = (&self.name, &slot.partition);
        let failure = Failure::new(Reason::NotTaken, reason);
        tracing::warn!(pool, topic, partition, offset, %failure, "a message is refused");
        let known = slot.line.verdict_on(offset).map(|verdict| verdict.again);
        let hold = (known == Some(true)).then(|| failure.to_string());
        slot.line.verdict = Some(Verdict { offset, failure, again: known.is_some() });
        hold
    }

    /// Reads the partition again from its commit.
    pub(super) fn rewind(&mut self, member: &Member, id: SlotId) {
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

    pub(super) fn seek(&self, member: &Member, id: SlotId, position: &Position) {
        let sought = member.seek(position);
        if let Err(error) = &sought {
            tracing::warn!(pool = self.name, %error, "a partition cannot be read again yet");
        }
        if let Some(slot) = self.desk.0.lock().slot_mut(id) {
            slot.line.is_unsought = sought.is_err();
        }
    }

    pub(super) fn resume(&self, member: &Member, partition: &Partition) {
        if let Err(error) = member.resume([partition]) {
            tracing::warn!(pool = self.name, %error, "a partition cannot be resumed");
        }
    }

    /// Hands a message over record by record, with nothing else on its way: what is not taken then is its own.
    pub(super) fn go_alone(&mut self, ticket: Ticket, batch: &mut RecordBatch<()>) {
        let mut rest = VecDeque::new();
        batch.drain(BATCH_KEEP_BYTES, |record, ()| rest.push_back(record.to_owned()));
        if let Some(slot) = self.desk.0.lock().slot_mut(ticket.slot) {
            slot.line.state = State::Alone;
        }
        self.alone = Some(Alone { ticket, rest });
    }

    /// The next record of the message that goes alone, if there is one, and when nothing is on its way any more;
    /// after the last it is finished.
    pub(super) fn go_on_alone(&mut self, member: &Member) {
        let Some(Alone { ticket, rest }) = &mut self.alone else { return };
        let (ticket, shared) = (*ticket, Arc::clone(&self.desk));
        let mut desk = shared.0.lock();
        if !desk.is_current(ticket) {
            self.alone = None;
            return;
        }
        if !desk.is_idle() {
            return;
        }
        if let Some(record) = rest.pop_front() {
            let setback = self.append(&mut desk, ticket, record.as_record());
            drop(desk);
            if let Some(setback) = setback {
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
}
