//! A pool's way out: the records that it writes, and what became of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bridge::kafka::group::Member;
use bridge::outbox::Delivered;
use bridge::record::RecordBatch;

use super::{BATCH_KEEP_BYTES, Inner};
use crate::desk::{Landed, SlotId, Ticket};
use crate::work::Work;

impl<W: Work> Inner<W> {
    /// Hands over all that a message became.
    pub(super) fn hand_over(&mut self, ticket: Ticket, batch: &mut RecordBatch<()>) {
        let mut desk = self.desk.0.lock();
        batch.drain(BATCH_KEEP_BYTES, |record, ()| {
            if let Some(token) = desk.open(ticket, record.len() as u64) {
                self.outbox.push(record.to_owned(), token);
            }
        });
    }

    pub(super) fn close(&mut self, ticket: Ticket) {
        let finished = self.desk.0.lock().close(ticket);
        if finished {
            self.finished(ticket, since_1970());
        }
    }

    /// `now` is counted from 1970 on.
    fn finished(&self, ticket: Ticket, now: Duration) {
        let received = Duration::from_millis(u64::try_from(ticket.received_ms).unwrap_or_default());
        self.freshness.record(now.saturating_sub(received).as_secs_f64());
    }

    /// Has records written, and takes what became of those before them.
    pub(super) fn send(&mut self, member: &Member) {
        let wall = since_1970();
        let now = (Instant::now(), i64::try_from(wall.as_millis()).unwrap_or(i64::MAX));
        let mut delivered = std::mem::take(&mut self.delivered);
        let came_back = self.outbox.settle(now, &mut delivered);
        self.take_delivered(member, &mut delivered, wall);
        self.forget_stale(came_back);
        self.outbox.hand_over(now, &mut delivered);
        self.take_delivered(member, &mut delivered, wall);
        self.delivered = delivered;
    }

    /// What is somebody else's by now, or read again, is not written any more: it would overtake what is in front of
    /// it.
    fn forget_stale(&mut self, came_back: bool) {
        let mut desk = self.desk.0.lock();
        if desk.take_stale() || came_back {
            let stale = self.outbox.retain(|token| desk.is_wanted(token));
            for token in stale {
                desk.failed(token);
            }
        }
    }

    fn take_delivered(&mut self, member: &Member, delivered: &mut Vec<Delivered>, now: Duration) {
        if delivered.is_empty() {
            return;
        }
        let shared = Arc::clone(&self.desk);
        let mut desk = shared.0.lock();
        // Partitions that are read again, and why they are held, where they are.
        let mut again: BTreeMap<SlotId, Option<String>> = BTreeMap::new();
        let mut refused = BTreeSet::new();
        let mut lost = 0;
        for one in delivered.drain(..) {
            match one {
                Delivered::Landed(token) => match desk.landed(token) {
                    Landed::Message(ticket) => self.finished(ticket, now),
                    Landed::Part | Landed::Stale => {}
                },
                Delivered::Never(token, reason) => {
                    let Some((id, offset)) = desk.failed(token) else { continue };
                    if !refused.insert((id, offset)) {
                        // It is the same try of the same message.
                        continue;
                    }
                    let held = self.refuse(&mut desk, (id, offset), reason);
                    let known = again.entry(id).or_default();
                    *known = known.take().or(held);
                }
                Delivered::Lost(token) => {
                    lost += 1;
                    if let Some((id, _)) = desk.failed(token) {
                        again.entry(id).or_default();
                    }
                }
            }
        }
        drop(desk);
        if lost > 0 {
            tracing::error!(pool = self.name, lost, "records are lost in the producer");
        }
        for (id, held) in again {
            self.set_back(member, id, held);
        }
    }
}

fn since_1970() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
