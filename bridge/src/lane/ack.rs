//! Who is told what became of a record, and when: here the sender of a message, once it has landed (`ack: kafka`).
//! Until then the receipt holds the message's memory.

use std::time::Instant;

use metrics::Histogram;

use crate::outcome::Outcome;
use crate::receipt::{Receipt, Tally};

/// A message on its way through a lane.
pub(crate) struct Pending {
    pub receipt: Receipt,
    /// What its landing means: a dead letter landed is not a message landed.
    pub on_landing: Outcome,
    pub submitted: Instant,
}

/// Resolves the receipts of a lane's records, and tells their senders together.
pub(crate) struct Acks {
    tally: Tally,
    landing_latency: Histogram,
}

impl Acks {
    pub fn new(landing_latency: Histogram) -> Acks {
        Acks { tally: Tally::default(), landing_latency }
    }

    pub fn landed(&mut self, pending: Pending, now: Instant) {
        self.landing_latency.record(now.saturating_duration_since(pending.submitted));
        pending.receipt.resolve_into(pending.on_landing, &mut self.tally);
    }

    pub fn failed(&mut self, pending: Pending) {
        pending.receipt.resolve_into(Outcome::Failed, &mut self.tally);
    }

    /// Counts, gives memory back, and wakes whoever is owed an answer.
    pub fn flush(&mut self) {
        self.tally.flush();
    }
}
