//! A class of memory that nobody waits for: what does not fit is refused at once, so that whoever holds
//! it for long cannot hold up anybody.

use std::sync::Arc;

use bridge::balance::Balance;

/// Bytes that may be kept at a time, and are.
pub struct Budget {
    limit: u64,
    used: Balance,
}

impl Budget {
    /// `of` says what is counted, for the log.
    pub fn new(of: &'static str, limit: u64) -> Arc<Budget> {
        Arc::new(Budget { limit, used: Balance::new(of) })
    }

    pub fn has_room(&self, bytes: u64) -> bool {
        self.used() + bytes <= self.limit
    }

    pub fn used(&self) -> u64 {
        self.used.taken()
    }

    pub fn limit(&self) -> u64 {
        self.limit
    }

    /// All or nothing.
    fn try_take(&self, bytes: u64) -> bool {
        let fits = self.used.take(bytes) + bytes <= self.limit;
        if !fits {
            self.used.give_back(bytes);
        }
        fits
    }
}

/// What one holder has of a budget, given back on drop.
pub struct Kept {
    budget: Arc<Budget>,
    bytes: u64,
}

impl Kept {
    pub fn nothing(budget: &Arc<Budget>) -> Kept {
        Kept { budget: Arc::clone(budget), bytes: 0 }
    }

    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Changes to so many bytes; false, and unchanged, where the budget has no room for them.
    #[must_use = "without room nothing changed"]
    pub fn change(&mut self, bytes: u64) -> bool {
        if bytes > self.bytes {
            if !self.budget.try_take(bytes - self.bytes) {
                return false;
            }
        } else {
            self.budget.used.give_back(self.bytes - bytes);
        }
        self.bytes = bytes;
        true
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.budget.used.give_back(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_refused_and_everything_is_given_back() {
        let budget = Budget::new("bytes", 100);
        let mut first = Kept::nothing(&budget);
        assert!(first.change(60));
        let mut second = Kept::nothing(&budget);
        assert!(!second.change(41));
        assert_eq!((second.bytes(), budget.used()), (0, 60));
        assert!(second.change(40));
        assert!(!budget.has_room(1));
        assert!(first.change(10));
        assert!(budget.has_room(50));
        drop((first, second));
        assert_eq!(budget.used(), 0);
    }

    #[test]
    #[cfg_attr(debug_assertions, should_panic(expected = "bytes were given back"))]
    fn what_is_given_back_twice_is_found() {
        let budget = Budget::new("bytes", 100);
        let twice = Kept { budget: Arc::clone(&budget), bytes: 40 };
        let mut kept = Kept::nothing(&budget);
        assert!(kept.change(40));
        drop((kept, twice));
        assert_eq!(budget.used(), 0);
    }
}
