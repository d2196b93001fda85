//! Since when things wait of which there are few, so that somebody can be told how old the oldest is.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// See the module. Bounded by what those that wait hold beside it.
#[derive(Default)]
pub(crate) struct Ages {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    next: u64,
    /// By number, so that the first is the oldest.
    since: BTreeMap<u64, Instant>,
}

/// One that waits, until this is dropped.
pub(crate) struct Age {
    among: Arc<Ages>,
    number: u64,
}

impl Ages {
    /// One more waits from now on.
    pub fn begin(self: &Arc<Ages>) -> Age {
        let mut inner = self.inner.lock();
        let number = inner.next;
        inner.next += 1;
        inner.since.insert(number, Instant::now());
        Age { among: Arc::clone(self), number }
    }

    /// How long the oldest has waited; None where nothing waits.
    pub fn oldest(&self) -> Option<Duration> {
        self.inner.lock().since.first_key_value().map(|(_, since)| since.elapsed())
    }
}

impl Drop for Age {
    fn drop(&mut self) {
        self.among.inner.lock().since.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_is_the_first_that_still_waits() {
        let ages = Arc::new(Ages::default());
        assert_eq!(ages.oldest(), None);
        let first = ages.begin();
        std::thread::sleep(Duration::from_millis(20));
        let second = ages.begin();
        let before = ages.oldest().expect("two wait");
        assert!(before >= Duration::from_millis(20), "{before:?}");
        drop(first);
        assert!(ages.oldest().expect("one waits") < before);
        drop(second);
        assert_eq!(ages.oldest(), None);
    }
}
