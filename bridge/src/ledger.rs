//! The books of a lane's messages: how many came, and what became of each.
//!
//! received = landed + dead-lettered + refused + failed + in flight. In flight counts live receipts.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::outcome::{Outcome, Refusal};

/// Counts of messages by what became of them.
#[derive(Default)]
pub struct Ledger {
    received: AtomicU64,
    in_flight: AtomicU64,
    landed: AtomicU64,
    dead_lettered: AtomicU64,
    failed: AtomicU64,
    refused: [AtomicU64; Refusal::ALL.len()],
}

/// A ledger at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    pub received: u64,
    pub in_flight: u64,
    pub landed: u64,
    pub dead_lettered: u64,
    pub failed: u64,
    /// By reason, in the order of [`Refusal::ALL`].
    pub refused: [u64; Refusal::ALL.len()],
}

impl Totals {
    pub fn refused_total(&self) -> u64 {
        self.refused.iter().sum()
    }
}

impl Ledger {
    /// A message was turned away before it had a receipt.
    pub fn refuse(&self, reason: Refusal) {
        self.received.fetch_add(1, Ordering::Relaxed);
        self.refused[reason as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn opened(&self) {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        self.received.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn closed(&self, outcome: Outcome, messages: u64) {
        let counter = match outcome {
            Outcome::Landed => &self.landed,
            Outcome::DeadLettered(_) => &self.dead_lettered,
            Outcome::Failed => &self.failed,
        };
        counter.fetch_add(messages, Ordering::Relaxed);
        self.in_flight.fetch_sub(messages, Ordering::Relaxed);
    }

    /// Exact at rest; while messages pass, each counter is right but they are read one by one.
    pub fn totals(&self) -> Totals {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Totals {
            received: read(&self.received),
            in_flight: read(&self.in_flight),
            landed: read(&self.landed),
            dead_lettered: read(&self.dead_lettered),
            failed: read(&self.failed),
            refused: std::array::from_fn(|reason| read(&self.refused[reason])),
        }
    }
}
