//! A pool's side of its operators: it does what they ask for, and tells how it is.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bridge::kafka::group::{Member, Partition};

use super::Inner;
use super::status::{Order, PartitionStatus, Status, What};
use crate::failure::{Failure, Reason};
use crate::line::{State, Verdict};
use crate::work::Work;

impl<W: Work> Inner<W> {
    /// Does what operators asked for.
    pub(super) fn obey(&mut self, member: &Member) {
        for Order { at, what } in self.control.take_orders() {
            let (pool, topic, partition) =
                (&self.name, &at.partition.topic, at.partition.partition);
            let (offset, what_is_done) = (at.offset, what.label());
            let mut desk = self.desk.0.lock();
            let id = desk.find(topic, partition);
            let slot = id.and_then(|id| Some((id, desk.slot_mut(id)?)));
            let Some((id, slot)) = slot.filter(|(_, slot)| {
                let is_kept = matches!(slot.line.state, State::Stopped { .. } | State::Held { .. });
                (is_kept || slot.stands()) && slot.stands_at() == Some(offset)
            }) else {
                tracing::warn!(
                    pool,
                    topic,
                    partition,
                    offset,
                    what_is_done,
                    "an operator decided too late: the partition is gone, or stands there no more"
                );
                continue;
            };
            tracing::info!(pool, topic, partition, offset, what_is_done, "an operator decided");
            if let What::Skip = what {
                let detail = "an operator had it left out";
                let failure = Failure::new(Reason::Operator, detail);
                slot.line.decide(offset, Verdict { failure, again: false });
            }
            slot.line.state = State::Running;
            if slot.stands() {
                // What was made of it waits to be written.
                drop(desk);
                self.rewind(member, id);
            }
        }
    }

    /// Tells how it is.
    pub(super) fn show(&mut self, member: &Member) {
        if let Some(trouble) = member.take_trouble() {
            self.control.note_trouble(&self.name, trouble);
        }
        let ends = member.ends();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let desk = self.desk.0.lock();
        let outbox = &mut self.outbox;
        let all = desk.slots().map(|(id, slot)| {
            let Partition { topic, partition } = &slot.partition;
            let (state, reason) = match &slot.line.state {
                State::Running | State::Large if slot.stands() => {
                    let reason = outbox.reason(|token| desk.is_of_first(token, id));
                    (Status::Held, Some(reason))
                }
                State::Running => (Status::Running, None),
                State::Large => (Status::Running, Some("a large payload is parsed".to_owned())),
                State::Held { reason, .. } => (Status::Held, Some(reason.clone())),
                State::Stopped { failure } => (Status::Stopped, Some(failure.to_string())),
            };
            let committed = slot.commit();
            let behind = ends.get(&slot.partition).zip(committed.or(desk.begun(id)));
            let lag = behind.map(|(end, at)| u64::try_from(end - at).unwrap_or_default());
            // 0 is no time: Kafka knows none.
            let oldest = slot.oldest_ms().and_then(|ms| u64::try_from(ms).ok());
            let oldest = oldest.filter(|ms| *ms > 0).map(Duration::from_millis);
            let age = oldest.map(|oldest| now.saturating_sub(oldest).as_secs_f64());
            PartitionStatus {
                topic: topic.clone(),
                partition: *partition,
                state,
                reason,
                offset: slot.stands_at().filter(|_| state != Status::Running),
                decided: None,
                committed,
                lag,
                lag_seconds: age.or((lag == Some(0)).then_some(0.0)),
            }
        });
        self.control.show(&self.name, all.collect(), desk.held());
    }
}
