//! A pool's way out: what it hands to its sink, and what that reports.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bridge::kafka::group::Member;
use bridge::record::{Record, RecordBatch};
use bridge::sink::{Decided, Verdict};

use super::setback::Setback;
use super::{BATCH_KEEP_BYTES, Inner};
use crate::desk::{Desk, Landed, SlotId, Ticket};
use crate::work::Work;

impl<W: Work> Inner<W> {
    /// Hands over all that a message became.
    pub(super) fn hand_over(
        &mut self,
        member: &Member,
        ticket: Ticket,
        batch: &mut RecordBatch<()>,
    ) {
        let mut setback = None;
        let shared = Arc::clone(&self.desk);
        let mut desk = shared.0.lock();
        batch.drain(BATCH_KEEP_BYTES, |record, ()| {
            if setback.is_none() {
                setback = self.append(&mut desk, ticket, record);
            }
        });
        drop(desk);
        if let Some(setback) = setback {
            self.set_back(member, ticket.slot, setback);
        }
    }

    /// Hands one record over, or puts it into the outbox. The sink tells nothing of the group meanwhile, so the
    /// desk may be held.
    pub(super) fn append(
        &mut self,
        desk: &mut Desk,
        ticket: Ticket,
        record: Record<'_>,
    ) -> Option<Setback> {
        let token = desk.open(ticket, record.len() as u64)?;
        if !self.outbox.is_empty() {
            self.outbox.push_back((record.to_owned(), token));
            return None;
        }
        match self.sink.append(record, token) {
            Ok(()) => None,
            Err(error) => match Setback::of(error) {
                None => {
                    self.outbox.push_back((record.to_owned(), token));
                    None
                }
                setback => {
                    desk.failed(token);
                    setback
                }
            },
        }
    }

    /// Hands over what waits for room in the sink.
    pub(super) fn flush(&mut self, member: &Member) {
        while let Some((record, token)) = self.outbox.pop_front() {
            if !self.desk.0.lock().is_wanted(token) {
                // Written now, it would overtake what is in front of it when it is read again.
                self.desk.0.lock().failed(token);
                continue;
            }
            let Err(error) = self.sink.append(record.as_record(), token) else { continue };
            let Some(setback) = Setback::of(error) else {
                self.outbox.push_front((record, token));
                return;
            };
            let slot = self.desk.0.lock().failed(token);
            if let Some(slot) = slot {
                self.set_back(member, slot, setback);
            }
        }
    }

    pub(super) fn close(&mut self, ticket: Ticket) {
        let finished = self.desk.0.lock().close(ticket);
        if finished {
            self.finished(ticket, now());
        }
    }

    /// `now` is counted from 1970 on.
    fn finished(&self, ticket: Ticket, now: Duration) {
        let received = Duration::from_millis(u64::try_from(ticket.received_ms).unwrap_or_default());
        self.freshness.record(now.saturating_sub(received).as_secs_f64());
    }

    /// Takes the sink's reports.
    pub(super) fn settle(&mut self, member: &Member) {
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
        if decided.is_empty() {
            return;
        }
        let (shared, now) = (Arc::clone(&self.desk), now());
        let mut desk = shared.0.lock();
        for Decided { token, verdict } in decided.drain(..) {
            let setback = match verdict {
                Verdict::Durable => {
                    match desk.landed(token) {
                        Landed::Message(ticket) => self.finished(ticket, now),
                        Landed::Part | Landed::Stale => {}
                    }
                    continue;
                }
                Verdict::TooLarge(record) => {
                    let bytes = record.as_record().len();
                    Setback::NeverTaken(format!("Kafka takes no record of {bytes} bytes there"))
                }
                Verdict::Refused { reason, .. } => Setback::NeverTaken(reason.into_owned()),
                Verdict::Undecided { reason, .. } | Verdict::Unsent { reason, .. } => {
                    Setback::Later(reason.into_owned())
                }
            };
            if let Some(slot) = desk.failed(token) {
                drop(desk);
                self.set_back(member, slot, setback);
                desk = shared.0.lock();
            }
        }
    }
}

/// Since 1970.
fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
