//! What becomes of a message of which Kafka never takes a record, or the producer lost one: its partition is read
//! again from its commit, and what is never taken is refused then.

use std::time::Instant;

use bridge::kafka::group::{Member, Partition, Position};

use super::Inner;
use crate::desk::{Desk, Slot, SlotId, Ticket};
use crate::failure::{Failure, Reason};
use crate::line::State;
use crate::work::Work;

/// How often a seek is repeated of which nothing came.
const SEEKS: u8 = 3;

impl<W: Work> Inner<W> {
    /// The partition goes back to its commit, and is held there if there is a reason.
    pub(super) fn set_back(&mut self, member: &Member, id: SlotId, held: Option<String>) {
        self.rewind(member, id);
        let Some(reason) = held else { return };
        let mut desk = self.desk.0.lock();
        let Some(slot) = desk.slot_mut(id) else { return };
        let (pool, Partition { topic, partition }) = (&self.name, &slot.partition);
        tracing::warn!(pool, topic, partition, reason, "a partition is held");
        let at = slot.commit();
        slot.line.hold(Instant::now(), at, reason);
    }

    /// A large payload of which nothing lands lets those of other partitions go first: it is held, and begun again.
    pub(super) fn give_up_large(&mut self, member: &Member) {
        let desk = self.desk.0.lock();
        let stands = |slot: &Slot| slot.stands() && matches!(slot.line.state, State::Large);
        let ids: Vec<SlotId> =
            desk.slots().filter(|(_, slot)| stands(slot)).map(|(id, _)| id).collect();
        drop(desk);
        for id in ids {
            let reason = self.why_it_stands(id);
            self.set_back(member, id, Some(reason));
        }
    }

    /// Why nothing lands of a partition.
    pub(super) fn why_it_stands(&mut self, id: SlotId) -> String {
        let desk = self.desk.0.lock();
        self.outbox.reason(|token| desk.is_of_first(token, id))
    }

    /// A record of the message is never taken: it is refused when it is read again. Returns why its partition is held,
    /// where the quarantine does not take it either.
    pub(super) fn refuse(
        &self,
        desk: &mut Desk,
        (id, offset): (SlotId, i64),
        reason: String,
    ) -> Option<String> {
        let slot = desk.slot_mut(id)?;
        let (pool, Partition { topic, partition }) = (&self.name, &slot.partition);
        let failure = Failure::new(Reason::NotTaken, reason);
        tracing::warn!(pool, topic, partition, offset, %failure, "a message is refused");
        slot.line.refuse(offset, failure)
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
}
