//! What is taken and not yet given back, as a number that is looked at whenever something comes back:
//! whoever gives back what was not taken would make room, or hide a message, that is not there.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// A count of what is out. In debug builds and tests, giving back too much panics; elsewhere the count
/// stays at zero, and the log says so once.
#[derive(Debug)]
pub struct Balance {
    /// What is counted, for the log.
    of: &'static str,
    taken: AtomicU64,
    is_overdrawn: AtomicBool,
}

impl Balance {
    /// `of` says what is counted, in the plural.
    pub const fn new(of: &'static str) -> Balance {
        Balance { of, taken: AtomicU64::new(0), is_overdrawn: AtomicBool::new(false) }
    }

    /// Takes so many; returns how many were taken before.
    #[inline]
    pub fn take(&self, amount: u64) -> u64 {
        self.taken.fetch_add(amount, Ordering::Relaxed)
    }

    /// Gives so many back.
    #[inline]
    pub fn give_back(&self, amount: u64) {
        let before = self.taken.fetch_sub(amount, Ordering::SeqCst);
        if before < amount {
            self.overdrawn(amount - before);
        }
    }

    pub fn taken(&self) -> u64 {
        self.taken.load(Ordering::SeqCst)
    }

    #[cold]
    fn overdrawn(&self, by: u64) {
        // For an instant the count was near the end of what a number holds: what came meanwhile was
        // refused, or let in, which is the smaller harm.
        self.taken.fetch_add(by, Ordering::SeqCst);
        if !self.is_overdrawn.swap(true, Ordering::Relaxed) {
            tracing::error!(
                of = self.of,
                by,
                "more was given back than was taken: this is a fault of Landfall, please report it"
            );
        }
        debug_assert!(
            std::thread::panicking(),
            "{by} {} were given back that were not taken",
            self.of
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_back_was_taken() {
        let balance = Balance::new("apples");
        assert_eq!(balance.take(3), 0);
        assert_eq!(balance.take(2), 3);
        balance.give_back(4);
        assert_eq!(balance.taken(), 1);
        balance.give_back(1);
        assert_eq!(balance.taken(), 0);
    }

    #[test]
    fn what_was_not_taken_is_found_and_counts_as_nothing() {
        let balance = Balance::new("apples");
        balance.take(3);
        let overdraw = std::panic::AssertUnwindSafe(|| balance.give_back(5));
        let found = std::panic::catch_unwind(overdraw);
        assert_eq!(found.is_err(), cfg!(debug_assertions), "it is a panic where one is wanted");
        assert_eq!(balance.taken(), 0, "the count holds on");
        balance.take(1);
        assert_eq!(balance.taken(), 1);
    }
}
