//! What reaches a session from other threads: the outcomes of its messages, and signals.

use std::sync::atomic::{AtomicU8, Ordering};
use std::task::Waker;

use parking_lot::Mutex;

use crate::outcome::Outcome;

/// A message's outcome, addressed to the window slot it was published in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    pub slot: u32,
    pub outcome: Outcome,
}

/// Outcomes for which a mailbox that was emptied keeps room.
const MARKS_KEPT: usize = 64;

/// What a session is told without a message of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Signals(u8);

impl Signals {
    /// There may be room in the share that the session waits for.
    pub const ROOM: Signals = Signals(1);
    /// Another connection took the client id over.
    pub const TAKEN_OVER: Signals = Signals(1 << 1);
    /// The gateway's phase changed.
    pub const PHASE_CHANGED: Signals = Signals(1 << 2);
    /// An operator ends the session.
    pub const ENDED: Signals = Signals(1 << 3);
    /// Somebody wants to know how the session is.
    pub const ASKED: Signals = Signals(1 << 4);
    /// Who may do what changed, or who is who.
    pub const RIGHTS_CHANGED: Signals = Signals(1 << 5);
    /// What proved who the client is does not any more.
    pub const REVOKED: Signals = Signals(1 << 6);
    /// What is no matter of the session's own messages.
    pub const FROM_OUTSIDE: Signals = Signals(
        Signals::TAKEN_OVER.0
            | Signals::ENDED.0
            | Signals::ASKED.0
            | Signals::RIGHTS_CHANGED.0
            | Signals::REVOKED.0,
    );
    /// These are over when they were seen; the others stay.
    const ONCE: Signals = Signals(
        Signals::ROOM.0 | Signals::PHASE_CHANGED.0 | Signals::ASKED.0 | Signals::RIGHTS_CHANGED.0,
    );

    /// One of `these` is among them.
    pub const fn has(self, these: Signals) -> bool {
        self.0 & these.0 != 0
    }
}

/// What reaches a session from other threads: outcomes of its messages, and signals.
///
/// Bounded by the session's window: each open slot is marked once.
#[derive(Default)]
pub struct Mailbox {
    inner: Mutex<Inner>,
    /// As in [`Signals`].
    signals: AtomicU8,
}

#[derive(Default)]
struct Inner {
    marks: Vec<Mark>,
    waker: Option<Waker>,
}

impl Mailbox {
    /// Names the task to wake, moves all outcomes that arrived to the end of `marks`, and returns the
    /// signals. Call it whenever the owner is polled.
    pub fn collect(&self, waker: &Waker, marks: &mut Vec<Mark>) -> Signals {
        let mut inner = self.inner.lock();
        match &inner.waker {
            Some(known) if known.will_wake(waker) => {}
            _ => inner.waker = Some(waker.clone()),
        }
        marks.append(&mut inner.marks);
        if inner.marks.capacity() > MARKS_KEPT {
            inner.marks = Vec::new();
        }
        drop(inner);
        match self.signals() {
            signals if !signals.has(Signals::ONCE) => signals,
            _ => Signals(self.signals.fetch_and(!Signals::ONCE.0, Ordering::AcqRel)),
        }
    }

    /// Nothing is on its way to the owner: no room is kept for it.
    pub fn rest(&self) {
        let marks = &mut self.inner.lock().marks;
        if marks.is_empty() {
            *marks = Vec::new();
        }
    }

    /// Gives the owner a signal and wakes it.
    pub fn signal(&self, signal: Signals) {
        self.signals.fetch_or(signal.0, Ordering::Release);
        self.wake();
    }

    /// The signals given so far; they stay.
    pub fn signals(&self) -> Signals {
        Signals(self.signals.load(Ordering::Acquire))
    }

    /// Wakes the owner.
    pub fn wake(&self) {
        if let Some(waker) = &self.inner.lock().waker {
            waker.wake_by_ref();
        }
    }

    /// Adds an outcome; true if it is the first one that the owner was not yet woken for.
    pub(crate) fn mark(&self, mark: Mark) -> bool {
        let mut inner = self.inner.lock();
        inner.marks.push(mark);
        inner.marks.len() == 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_signals_are_seen_once_and_some_stay() {
        let mailbox = Mailbox::default();
        let collect = || mailbox.collect(Waker::noop(), &mut Vec::new());
        assert_eq!(collect(), Signals::default());
        for once in [Signals::ROOM, Signals::PHASE_CHANGED, Signals::ASKED, Signals::RIGHTS_CHANGED]
        {
            mailbox.signal(once);
            assert_eq!(collect(), once);
            assert_eq!(collect(), Signals::default());
        }
        for stays in [Signals::TAKEN_OVER, Signals::ENDED, Signals::REVOKED] {
            let mailbox = Mailbox::default();
            mailbox.signal(stays);
            mailbox.signal(Signals::ROOM);
            let collect = || mailbox.collect(Waker::noop(), &mut Vec::new());
            assert!(collect().has(Signals::ROOM));
            assert_eq!(collect(), stays);
        }
    }
}
