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

/// Mailbox signal: there may be room in the share that the session waits for.
pub const ROOM: u8 = 1;

/// What reaches a session from other threads: outcomes of its messages, and signals.
///
/// Bounded by the session's window: each open slot is marked once.
#[derive(Default)]
pub struct Mailbox {
    inner: Mutex<Inner>,
    /// [`ROOM`], and bits whose meaning is the owner's; see [`Mailbox::signal`].
    signals: AtomicU8,
}

#[derive(Default)]
struct Inner {
    marks: Vec<Mark>,
    waker: Option<Waker>,
}

impl Mailbox {
    /// Names the task to wake, moves all outcomes that arrived to the end of `marks`, and takes the
    /// signal bits of `once`; returns all signal bits. Call it whenever the owner is polled.
    pub fn collect(&self, waker: &Waker, marks: &mut Vec<Mark>, once: u8) -> u8 {
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
        match self.signals.load(Ordering::Acquire) {
            0 => 0,
            bits if bits & once == 0 => bits,
            _ => self.signals.fetch_and(!once, Ordering::AcqRel),
        }
    }

    /// Nothing is on its way to the owner: no room is kept for it.
    pub fn rest(&self) {
        let marks = &mut self.inner.lock().marks;
        if marks.is_empty() {
            *marks = Vec::new();
        }
    }

    /// Sets signal bits for the owner and wakes it.
    pub fn signal(&self, bits: u8) {
        self.signals.fetch_or(bits, Ordering::Release);
        self.wake();
    }

    /// The signal bits set so far; they stay.
    pub fn signals(&self) -> u8 {
        self.signals.load(Ordering::Acquire)
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
