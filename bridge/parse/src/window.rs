//! What of one partition is under way: which messages are not finished, and from where on whoever comes next
//! has to read. Pure.
//!
//! Messages are begun in the order of their offsets and finished in any; the commit is the first that is not
//! finished. Offsets may have holes.

use std::collections::VecDeque;

/// The number of a message within its window, from 0.
pub type Seq = u64;

/// How an offset follows the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// It is the next one, or the first of all.
    Next,
    /// So many offsets are not there any more, or never had a message.
    Behind(u64),
    /// It is smaller: the topic begins anew, or is read again.
    Before,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Window {
    entries: VecDeque<Entry>,
    /// The number of the first entry.
    first: Seq,
    /// The offset behind the last message that was begun; None while nothing is known of the partition.
    next: Option<i64>,
}

#[derive(Debug)]
struct Entry {
    offset: i64,
    /// Milliseconds since 1970 UTC.
    received_ms: i64,
    /// Records made of it that have not landed.
    open: u32,
    /// No more records come.
    is_closed: bool,
}

impl Window {
    /// A window whose first message ought to have this offset.
    pub fn at(next: Option<i64>) -> Window {
        Window { next, ..Window::default() }
    }

    pub fn arrival(&self, offset: i64) -> Arrival {
        match self.next {
            Some(next) if offset < next => Arrival::Before,
            Some(next) if offset > next => Arrival::Behind(offset.abs_diff(next)),
            _ => Arrival::Next,
        }
    }

    /// Takes a message on, which is not [`Arrival::Before`].
    pub fn begin(&mut self, offset: i64, received_ms: i64) -> Seq {
        assert!(self.arrival(offset) != Arrival::Before, "offset {offset} was begun before");
        self.next = Some(offset + 1);
        self.entries.push_back(Entry { offset, received_ms, open: 0, is_closed: false });
        self.first + self.entries.len() as Seq - 1
    }

    /// Takes the last message back, of which no record was made: it is to be begun later.
    pub fn take_back(&mut self, seq: Seq) {
        assert!(seq + 1 == self.first + self.entries.len() as Seq, "it is the last");
        let entry = self.entries.pop_back().expect("the last is there");
        assert!(entry.open == 0 && !entry.is_closed, "nothing was made of it");
        self.next = Some(entry.offset);
    }

    /// A record was made of it, which has to land.
    pub fn open(&mut self, seq: Seq) {
        let entry = self.entry(seq);
        assert!(!entry.is_closed, "a message was closed, and has one more record");
        entry.open += 1;
    }

    /// All its records were made. True if the message is finished with that.
    pub fn close(&mut self, seq: Seq) -> bool {
        let entry = self.entry(seq);
        assert!(!entry.is_closed, "a message is closed once");
        entry.is_closed = true;
        self.finish(seq)
    }

    /// A record of it landed. True if the message is finished with that.
    pub fn landed(&mut self, seq: Seq) -> bool {
        let entry = self.entry(seq);
        entry.open = entry.open.checked_sub(1).expect("no more records land than were opened");
        self.finish(seq)
    }

    /// Whether the message is finished; those in front go.
    fn finish(&mut self, seq: Seq) -> bool {
        let is_finished = |entry: &Entry| entry.is_closed && entry.open == 0;
        let finished = is_finished(self.entry(seq));
        while self.entries.front().is_some_and(is_finished) {
            self.entries.pop_front();
            self.first += 1;
        }
        finished
    }

    fn entry(&mut self, seq: Seq) -> &mut Entry {
        let index = seq.checked_sub(self.first).and_then(|index| usize::try_from(index).ok());
        let entry = index.and_then(|index| self.entries.get_mut(index));
        entry.expect("a message is asked for while it is not finished")
    }

    /// Whether it is the first message that is not finished.
    pub fn is_first(&self, seq: Seq) -> bool {
        seq == self.first && !self.entries.is_empty()
    }

    /// The offset of a message that is not finished.
    pub fn offset(&mut self, seq: Seq) -> i64 {
        self.entry(seq).offset
    }

    /// The offset of the first message that is not finished; None while nothing is known of the partition.
    pub fn commit(&self) -> Option<i64> {
        self.entries.front().map(|entry| entry.offset).or(self.next)
    }

    /// When the first message was received that is not finished, milliseconds since 1970 UTC.
    pub fn oldest_ms(&self) -> Option<i64> {
        self.entries.front().map(|entry| entry.received_ms)
    }

    /// The offset that ought to come next.
    pub fn next(&self) -> Option<i64> {
        self.next
    }

    /// Messages that are not finished, and finished ones behind them.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_commit_never_passes_what_is_not_finished() {
        let mut window = Window::at(None);
        assert_eq!(window.commit(), None);
        let [a, b, c] = [10, 11, 14].map(|offset| window.begin(offset, offset * 100));
        window.open(a);
        window.open(b);
        window.open(b);
        assert!(!window.close(a) && !window.close(b) && window.close(c));
        assert_eq!((window.commit(), window.oldest_ms()), (Some(10), Some(1000)));
        assert!(!window.landed(b) && window.landed(b));
        assert_eq!((window.commit(), window.len()), (Some(10), 3));
        assert!(window.landed(a));
        assert_eq!((window.commit(), window.len(), window.oldest_ms()), (Some(15), 0, None));
    }

    #[test]
    fn what_is_taken_back_is_begun_again() {
        let mut window = Window::at(Some(5));
        let first = window.begin(5, 0);
        let second = window.begin(8, 0);
        window.take_back(second);
        assert_eq!((window.commit(), window.arrival(8)), (Some(5), Arrival::Next));
        assert!(window.close(first));
        assert_eq!(window.commit(), Some(8));
        assert_eq!(window.begin(8, 0), second);
    }

    #[test]
    fn holes_and_returns_are_seen() {
        let mut window = Window::at(Some(5));
        assert_eq!(window.commit(), Some(5));
        assert_eq!(window.arrival(5), Arrival::Next);
        assert_eq!(window.arrival(9), Arrival::Behind(4));
        assert_eq!(window.arrival(4), Arrival::Before);
        assert_eq!(Window::at(None).arrival(4), Arrival::Next);
        window.begin(9, 0);
        assert_eq!(window.commit(), Some(9));
        assert_eq!(window.arrival(9), Arrival::Before);
    }

    #[derive(Clone, Copy, Debug)]
    enum Step {
        Begin {
            hole: u8,
            records: u8,
        },
        /// Lands a record, or closes a message, of those that can.
        Land(usize),
        Close(usize),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0..3_u8, 0..4_u8).prop_map(|(hole, records)| Step::Begin { hole, records }),
            any::<usize>().prop_map(Step::Land),
            any::<usize>().prop_map(Step::Close),
        ]
    }

    proptest! {
        /// Beside a model that keeps everything.
        #[test]
        fn the_commit_is_the_first_that_is_not_finished(steps in prop::collection::vec(step(), 1..200)) {
            let mut window = Window::at(Some(0));
            // Number, offset, open records, closed.
            let mut model: Vec<(Seq, i64, u8, bool)> = Vec::new();
            let mut next = 0;
            for step in steps {
                match step {
                    Step::Begin { hole, records } => {
                        let offset = next + i64::from(hole);
                        let seq = window.begin(offset, 0);
                        (0..records).for_each(|_| window.open(seq));
                        model.push((seq, offset, records, false));
                        next = offset + 1;
                    }
                    Step::Land(which) => {
                        let open: Vec<_> = model.iter_mut().filter(|one| one.2 > 0).collect();
                        let count = open.len().max(1);
                        if let Some(one) = open.into_iter().nth(which % count) {
                            one.2 -= 1;
                            prop_assert_eq!(window.landed(one.0), one.2 == 0 && one.3);
                        }
                    }
                    Step::Close(which) => {
                        let open: Vec<_> = model.iter_mut().filter(|one| !one.3).collect();
                        let count = open.len().max(1);
                        if let Some(one) = open.into_iter().nth(which % count) {
                            one.3 = true;
                            prop_assert_eq!(window.close(one.0), one.2 == 0);
                        }
                    }
                }
                let first = model.iter().find(|one| !(one.3 && one.2 == 0));
                prop_assert_eq!(window.commit(), Some(first.map_or(next, |one| one.1)));
            }
        }
    }
}
