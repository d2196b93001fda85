//! The messages of one partition that wait for their turn, and why they do. Pure: time is an argument.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use crate::failure::Failure;
use crate::raw::RawBuf;

/// How long a message is not tried again that could not be worked on, at first and at most; twice as long
/// each time.
const HOLD_FIRST: Duration = Duration::from_millis(200);
const HOLD_MAX: Duration = Duration::from_secs(10);

/// What keeps a partition.
#[derive(Debug)]
pub enum State {
    Running,
    /// A large payload is being worked on, and what is behind it waits.
    Large,
    /// The first message cannot be worked on before this time.
    Held {
        until: Instant,
        reason: String,
    },
    /// The first message failed, and somebody has to decide.
    Stopped {
        failure: Failure,
    },
}

/// What is to become of a message whatever its rule says.
#[derive(Debug)]
pub struct Verdict {
    pub failure: Failure,
    /// It was kept in the quarantine once, and was not taken there either.
    pub again: bool,
}

/// See the module.
pub struct Line {
    pub state: State,
    /// What was read and not begun.
    waiting: VecDeque<RawBuf>,
    waiting_bytes: usize,
    /// Nothing more of the partition is read.
    pub is_paused: bool,
    /// How often the partition was held while it stood at this offset.
    holds: u32,
    held_at: Option<i64>,
    /// By offset, for messages that are not finished.
    verdicts: BTreeMap<i64, Verdict>,
    /// The partition was told to be read again from its commit, and nothing came yet: so often it is told
    /// again if what comes is further on.
    pub seeks_left: u8,
    /// Kafka's client could not be told to read it again: it is told in the next round.
    pub is_unsought: bool,
}

impl Default for Line {
    fn default() -> Line {
        Line {
            state: State::Running,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            is_paused: false,
            holds: 0,
            held_at: None,
            verdicts: BTreeMap::new(),
            seeks_left: 0,
            is_unsought: false,
        }
    }
}

impl Line {
    /// Whether a message that comes now may be begun.
    pub fn is_free(&self) -> bool {
        matches!(self.state, State::Running) && self.waiting.is_empty()
    }

    /// Whether messages wait for nothing but room.
    pub fn waits_for_room(&self) -> bool {
        matches!(self.state, State::Running) && !self.waiting.is_empty()
    }

    /// Whether nothing is to be done before the next message comes.
    pub fn is_quiet(&self) -> bool {
        self.is_free() && !self.is_paused && !self.is_unsought
    }

    /// Puts a message behind those that wait.
    pub fn push(&mut self, raw: RawBuf) {
        self.waiting_bytes += raw.bytes();
        self.waiting.push_back(raw);
    }

    /// Puts the message back that was taken out last.
    pub fn put_back(&mut self, raw: RawBuf) {
        self.waiting_bytes += raw.bytes();
        self.waiting.push_front(raw);
    }

    /// The next message, if it may be begun.
    pub fn pop(&mut self) -> Option<RawBuf> {
        if !matches!(self.state, State::Running) {
            return None;
        }
        let raw = self.waiting.pop_front()?;
        self.waiting_bytes -= raw.bytes();
        Some(raw)
    }

    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    pub fn waiting_bytes(&self) -> usize {
        self.waiting_bytes
    }

    /// The offset of the first message that waits.
    pub fn first_offset(&self) -> Option<i64> {
        self.waiting.front().map(|raw| raw.offset)
    }

    /// When that was received, milliseconds since 1970 UTC.
    pub fn oldest_ms(&self) -> Option<i64> {
        self.waiting.front().map(|raw| raw.timestamp_ms)
    }

    /// Everything that waits is void; it is read again.
    pub fn rewind(&mut self, seeks: u8) {
        self.waiting.clear();
        self.waiting_bytes = 0;
        self.state = State::Running;
        self.seeks_left = seeks;
    }

    /// The first message cannot be worked on now, or not written, while everything before `at` is finished: who
    /// goes on from there is held shortly again.
    pub fn hold(&mut self, now: Instant, at: Option<i64>, reason: String) {
        if self.held_at != at {
            self.held_at = at;
            self.holds = 0;
        }
        let pause = HOLD_FIRST.saturating_mul(2_u32.saturating_pow(self.holds)).min(HOLD_MAX);
        self.holds = self.holds.saturating_add(1);
        self.state = State::Held { until: now + pause, reason };
    }

    /// Goes on with what was held long enough.
    pub fn wake(&mut self, now: Instant) {
        if matches!(self.state, State::Held { until, .. } if until <= now) {
            self.state = State::Running;
        }
    }

    /// A record of the message is never taken: it is refused when it is read again. Returns why it is held, where the
    /// quarantine does not take it either.
    pub fn refuse(&mut self, offset: i64, failure: Failure) -> Option<String> {
        let known = self.verdicts.get(&offset).map(|verdict| verdict.again);
        let hold = (known == Some(true)).then(|| failure.to_string());
        self.decide(offset, Verdict { failure, again: known.is_some() });
        hold
    }

    /// What is to become of a message, whatever its rule says.
    pub fn decide(&mut self, offset: i64, verdict: Verdict) {
        self.verdicts.insert(offset, verdict);
    }

    /// What is to become of this message whatever its rule says.
    pub fn verdict_on(&self, offset: i64) -> Option<&Verdict> {
        self.verdicts.get(&offset)
    }

    /// All messages before this one are finished.
    pub fn finished_before(&mut self, offset: i64) {
        if !self.verdicts.is_empty() {
            self.verdicts = self.verdicts.split_off(&offset);
        }
    }

    /// The partition begins anew: what was known of its offsets is void.
    pub fn begin_anew(&mut self) {
        self.verdicts.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Reason;
    use crate::raw::Raw;

    fn raw(offset: i64) -> RawBuf {
        Raw { topic: "t", partition: 0, offset, timestamp_ms: 0, key: None, value: Some(b"1234") }
            .to_owned()
    }

    #[test]
    fn what_waits_keeps_its_order_and_its_bytes() {
        let mut line = Line::default();
        assert!(line.is_free() && line.is_quiet());
        line.push(raw(1));
        line.push(raw(2));
        assert!(!line.is_free() && !line.is_quiet());
        let first = line.pop().expect("one waits");
        assert_eq!((first.offset, line.waiting_bytes()), (1, 4));
        line.put_back(first);
        assert_eq!((line.first_offset(), line.waiting_bytes()), (Some(1), 8));
        line.state = State::Large;
        assert!(line.pop().is_none());
        line.rewind(3);
        assert!(line.is_free() && line.waiting_bytes() == 0);
        // Whoever is told to read on, or again, is not forgotten.
        line.is_paused = true;
        assert!(!line.is_quiet());
        (line.is_paused, line.is_unsought) = (false, true);
        assert!(!line.is_quiet());
    }

    #[test]
    fn who_is_held_again_waits_twice_as_long_up_to_a_bound() {
        let mut line = Line::default();
        let mut now = Instant::now();
        let mut pauses = Vec::new();
        for _ in 0..9 {
            // It may have been read again for that.
            line.rewind(3);
            line.hold(now, Some(7), "the store is away".to_owned());
            let State::Held { until, .. } = line.state else { panic!("it is held") };
            line.wake(until - Duration::from_millis(1));
            assert!(matches!(line.state, State::Held { .. }));
            line.wake(until);
            assert!(matches!(line.state, State::Running));
            pauses.push((until - now).as_millis());
            now = until;
        }
        assert_eq!(pauses, [200, 400, 800, 1600, 3200, 6400, 10_000, 10_000, 10_000]);
        line.hold(now, Some(8), String::new());
        assert!(matches!(line.state, State::Held { until, .. } if until - now == HOLD_FIRST));
    }

    #[test]
    fn what_is_never_taken_is_refused_and_held_where_the_quarantine_does_not_take_it_either() {
        let mut line = Line::default();
        let failure = || Failure::new(Reason::NotTaken, "too large");
        let again = |line: &Line, offset| line.verdict_on(offset).map(|verdict| verdict.again);
        assert_eq!((line.refuse(7, failure()), line.refuse(9, failure())), (None, None));
        assert_eq!(
            (again(&line, 7), again(&line, 8), again(&line, 9)),
            (Some(false), None, Some(false))
        );
        // It is told of each message by itself.
        assert_eq!(line.refuse(9, failure()), None);
        assert_eq!((again(&line, 7), again(&line, 9)), (Some(false), Some(true)));
        assert!(line.refuse(9, failure()).is_some_and(|reason| reason.contains("too large")));
        line.rewind(3);
        assert!(again(&line, 9) == Some(true), "it is known while it is read again");
        line.finished_before(9);
        assert_eq!((again(&line, 7), again(&line, 9)), (None, Some(true)));
        line.begin_anew();
        assert_eq!(again(&line, 9), None);
    }
}
