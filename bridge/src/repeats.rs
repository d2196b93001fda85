//! Which messages were handed over to Kafka again: the newest ids, and how many there ever were. Who reads a
//! message twice in Kafka finds here whether the gateway sent it twice.
//!
//! Only what a producer had taken before is noted, so a message that lands at once costs nothing here.

use parking_lot::Mutex;
use uuid::Uuid;

/// Ids that are kept: the newest.
pub const REPEATS_MAX: usize = 65_536;
/// Ids of a page.
pub const PAGE_MAX: usize = 4096;
/// What they take, in bytes.
pub const MEMORY_COST: u64 = (REPEATS_MAX * size_of::<MessageId>()) as u64;

/// UUIDv7.
type MessageId = [u8; 16];

/// See the module.
pub struct Repeats(Mutex<Newest>);

struct Newest {
    count: u64,
    /// The one with number n, counted from 0, lies at n modulo [`REPEATS_MAX`].
    ids: Vec<MessageId>,
}

/// Some of the ids, oldest first.
#[derive(Debug, PartialEq, Eq)]
pub struct Page {
    /// How many there ever were.
    pub count: u64,
    /// The number of the first one here, counted from 0.
    pub from: u64,
    pub ids: Vec<String>,
}

impl Default for Repeats {
    fn default() -> Repeats {
        Repeats(Mutex::new(Newest { count: 0, ids: Vec::with_capacity(REPEATS_MAX) }))
    }
}

impl Repeats {
    pub(crate) fn note(&self, id: MessageId) {
        let mut newest = self.0.lock();
        let place = newest.place(newest.count);
        match newest.ids.get_mut(place) {
            Some(oldest) => *oldest = id,
            None => newest.ids.push(id),
        }
        newest.count += 1;
    }

    /// At most [`PAGE_MAX`] of those behind the first `after`. Where these are not all kept any more it begins with
    /// the oldest that is, and so it does if there were never so many: that number is of another process.
    pub fn since(&self, after: u64) -> Page {
        let newest = self.0.lock();
        let count = newest.count;
        let oldest = count - newest.ids.len() as u64;
        let from = if after > count { oldest } else { after.max(oldest) };
        let until = count.min(from + PAGE_MAX as u64);
        let ids: Vec<MessageId> = (from..until).map(|n| newest.ids[newest.place(n)]).collect();
        drop(newest);
        let ids = ids.into_iter().map(|id| Uuid::from_bytes(id).to_string()).collect();
        Page { count, from, ids }
    }
}

impl Newest {
    fn place(&self, number: u64) -> usize {
        (number % REPEATS_MAX as u64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u64) -> MessageId {
        u128::from(number).to_be_bytes()
    }

    fn text(number: u64) -> String {
        Uuid::from_bytes(id(number)).to_string()
    }

    fn noted(count: u64) -> Repeats {
        let repeats = Repeats::default();
        (0..count).for_each(|number| repeats.note(id(number)));
        repeats
    }

    #[test]
    fn a_poller_gets_what_came_since_and_sees_that_it_missed_nothing() {
        let repeats = noted(3);
        let all = ["0", "1", "2"].map(|n| format!("00000000-0000-0000-0000-00000000000{n}"));
        assert_eq!(repeats.since(0), Page { count: 3, from: 0, ids: all.to_vec() });
        assert_eq!(repeats.since(2), Page { count: 3, from: 2, ids: vec![text(2)] });
        assert_eq!(repeats.since(3), Page { count: 3, from: 3, ids: Vec::new() });
        // The process before it had counted that far.
        assert_eq!(repeats.since(4), repeats.since(0));
        assert_eq!(repeats.since(u64::MAX), repeats.since(0));
    }

    #[test]
    fn the_newest_are_kept_and_who_comes_late_sees_that_some_are_gone() {
        let limit = REPEATS_MAX as u64;
        for count in [limit - 1, limit, limit + 1, 2 * limit + 10] {
            let repeats = noted(count);
            let oldest = count.saturating_sub(limit);
            for after in [0, oldest, oldest + 5, count - 2, count] {
                let page = repeats.since(after);
                let from = after.max(oldest);
                let until = count.min(from + PAGE_MAX as u64);
                assert_eq!((page.count, page.from), (count, from), "after {after} of {count}");
                assert!(page.ids.iter().cloned().eq((from..until).map(text)), "{after} of {count}");
            }
            let newest = repeats.0.lock();
            assert_eq!(newest.ids.capacity(), REPEATS_MAX, "as much as the memory plan has for it");
        }
    }

    /// Page by page all of them come, each once.
    #[test]
    fn pages_follow_each_other() {
        let count = REPEATS_MAX as u64 + 7;
        let repeats = noted(count);
        let (mut after, mut seen) = (0, Vec::new());
        while after < count {
            let page = repeats.since(after);
            assert!((1..=PAGE_MAX).contains(&page.ids.len()));
            after = page.from + page.ids.len() as u64;
            seen.extend(page.ids);
        }
        assert!(seen.into_iter().eq((7..count).map(text)));
    }
}
