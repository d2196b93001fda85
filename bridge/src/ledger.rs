//! The books of a lane's messages: how many came, and what became of each.
//!
//! received = landed + dead-lettered + refused + failed + in flight. In flight counts live receipts.

use std::iter::Sum;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::balance::Balance;
use crate::outcome::{Outcome, Refusal};

/// Readings that [`Ledger::settled`] makes at most: each is a moment of its own, and books that are wrong stay so.
const READS_MAX: usize = 20;

/// Counts of messages by what became of them.
pub struct Ledger {
    received: AtomicU64,
    in_flight: Balance,
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

    /// Each message that came is in flight or has its outcome. Holds at rest.
    pub fn add_up(&self) -> bool {
        self.difference() == 0
    }

    /// Messages that came and have no place in the books, or that have one and did not come.
    pub fn difference(&self) -> i64 {
        let decided = self.landed + self.dead_lettered + self.failed + self.refused_total();
        self.received.wrapping_sub(decided + self.in_flight) as i64
    }
}

impl Sum for Totals {
    fn sum<I: Iterator<Item = Totals>>(totals: I) -> Totals {
        totals.fold(Totals::default(), |sum, lane| Totals {
            received: sum.received + lane.received,
            in_flight: sum.in_flight + lane.in_flight,
            landed: sum.landed + lane.landed,
            dead_lettered: sum.dead_lettered + lane.dead_lettered,
            failed: sum.failed + lane.failed,
            refused: std::array::from_fn(|reason| sum.refused[reason] + lane.refused[reason]),
        })
    }
}

impl Default for Ledger {
    fn default() -> Ledger {
        Ledger {
            received: AtomicU64::new(0),
            in_flight: Balance::new("messages in flight"),
            landed: AtomicU64::new(0),
            dead_lettered: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            refused: Default::default(),
        }
    }
}

impl Ledger {
    /// A message was turned away before it had a receipt.
    pub fn refuse(&self, reason: Refusal) {
        self.received.fetch_add(1, Ordering::Relaxed);
        self.refused[reason as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn opened(&self) {
        self.in_flight.take(1);
        self.received.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn closed(&self, outcome: Outcome, messages: u64) {
        let counter = match outcome {
            Outcome::Landed => &self.landed,
            Outcome::DeadLettered(_) => &self.dead_lettered,
            Outcome::Failed => &self.failed,
        };
        counter.fetch_add(messages, Ordering::Relaxed);
        self.in_flight.give_back(messages);
    }

    /// The same, read again until it adds up, at most [`READS_MAX`] times: what does not then is shown as it is.
    pub fn settled(&self) -> Totals {
        // Whoever changes it may have been stopped in the middle: it goes on meanwhile.
        until_it_adds_up(|| self.totals(), std::thread::yield_now)
    }

    /// Exact at rest; while messages pass, each counter is right but they are read one by one.
    pub fn totals(&self) -> Totals {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Totals {
            received: read(&self.received),
            in_flight: self.in_flight.taken(),
            landed: read(&self.landed),
            dead_lettered: read(&self.dead_lettered),
            failed: read(&self.failed),
            refused: std::array::from_fn(|reason| read(&self.refused[reason])),
        }
    }
}

fn until_it_adds_up(mut read: impl FnMut() -> Totals, wait: fn()) -> Totals {
    let mut totals = read();
    for _ in 1..READS_MAX {
        if totals.add_up() {
            break;
        }
        wait();
        totals = read();
    }
    totals
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_message_has_one_place_in_the_books() {
        let ledger = Ledger::default();
        (0..4).for_each(|_| ledger.opened());
        ledger.refuse(Refusal::Shed);
        ledger.closed(Outcome::Landed, 2);
        ledger.closed(Outcome::Failed, 1);
        let totals = ledger.totals();
        assert_eq!((totals.received, totals.in_flight, totals.refused_total()), (5, 1, 1));
        assert!(totals.add_up());
        assert!(!Totals { landed: 3, ..totals }.add_up());
    }

    #[test]
    fn a_sum_has_what_each_lane_has() {
        let lane = |n: u64| Totals {
            received: 20 * n,
            in_flight: n,
            landed: 2 * n,
            dead_lettered: 3 * n,
            failed: 4 * n,
            refused: std::array::from_fn(|reason| reason as u64 + n),
        };
        let sum: Totals = [lane(1), lane(10)].into_iter().sum();
        let refused = std::array::from_fn(|reason| 2 * reason as u64 + 11);
        assert_eq!(sum, Totals { refused, ..lane(11) });
        assert_eq!(sum.difference(), lane(1).difference() + lane(10).difference());
    }

    /// While messages pass, a person sees books that add up; and books that are wrong are seen to be.
    #[test]
    fn books_are_read_until_they_add_up_and_not_for_ever() {
        let good = Totals { received: 5, landed: 3, in_flight: 2, ..Totals::default() };
        let torn = Totals { received: 4, ..good };
        let mut readings = [torn, torn, good, torn].into_iter();
        let read = || readings.next().expect("it is read no more often");
        assert_eq!(until_it_adds_up(read, || {}), good);
        assert_eq!(readings.next(), Some(torn), "once they add up it is enough");
        let (wrong, mut reads) = (Totals { landed: 10, ..good }, 0);
        let read = || {
            reads += 1;
            wrong
        };
        let wrong = until_it_adds_up(read, || {});
        assert_eq!((wrong.difference(), reads), (-7, READS_MAX));
        let ledger = Ledger::default();
        ledger.received.fetch_add(3, Ordering::Relaxed);
        assert_eq!(ledger.settled().difference(), 3);
    }

    #[test]
    #[cfg_attr(debug_assertions, should_panic(expected = "messages in flight were given back"))]
    fn no_message_is_closed_twice() {
        let ledger = Ledger::default();
        ledger.opened();
        ledger.closed(Outcome::Landed, 1);
        ledger.closed(Outcome::Landed, 1);
        assert_eq!(ledger.totals().in_flight, 0);
    }
}
