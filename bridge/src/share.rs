//! A share of the memory budget: bytes taken before something is held and given back after it, and the
//! sessions that wait for room.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

use crate::balance::Balance;
use crate::mailbox::{Mailbox, Signals};

/// A bounded part of the memory budget, in bytes.
pub struct Share {
    limit: u64,
    used: Balance,
    /// Sessions that wait for room, each with the bytes it needs, first come first served.
    waiters: Mutex<VecDeque<(u64, Arc<Mailbox>)>>,
    /// Length of `waiters`, read without its lock on every release.
    waiting: AtomicUsize,
}

impl Share {
    pub fn new(limit: u64) -> Share {
        Share {
            limit,
            used: Balance::new("bytes of a share"),
            waiters: Mutex::default(),
            waiting: AtomicUsize::new(0),
        }
    }

    /// Takes `bytes` if they fit beside what is taken. What is larger than the whole share fits
    /// when nothing else is taken, so that it can pass at all.
    pub fn try_take(&self, bytes: u64) -> bool {
        let before = self.used.take(bytes);
        if before + bytes <= self.limit || before == 0 {
            return true;
        }
        self.used.give_back(bytes);
        false
    }

    /// Takes `bytes` if half of the share stays free: for what only makes haste, so that it never keeps
    /// another from beginning.
    pub fn try_take_ahead(&self, bytes: u64) -> bool {
        let before = self.used.take(bytes);
        if before + bytes <= self.limit / 2 {
            return true;
        }
        self.used.give_back(bytes);
        false
    }

    /// Takes `bytes` over the limit too: for what is already held elsewhere and only moves here.
    pub fn take(&self, bytes: u64) {
        self.used.take(bytes);
    }

    /// Gives `bytes` back and wakes the sessions for which there is room now.
    pub fn release(&self, bytes: u64) {
        self.used.give_back(bytes);
        if self.waiting.load(Ordering::SeqCst) > 0 {
            self.wake_waiters();
        }
    }

    /// Puts a session in line for `bytes`; it is woken once. A session in line must also try again
    /// by itself now and then: the one woken before it may be gone.
    pub fn wait(&self, bytes: u64, mailbox: &Arc<Mailbox>) {
        let mut waiters = self.waiters.lock();
        waiters.push_back((bytes, Arc::clone(mailbox)));
        self.waiting.store(waiters.len(), Ordering::SeqCst);
        drop(waiters);
        // Room may have come between the failed attempt and the place in line.
        if self.used.taken() + bytes <= self.limit {
            self.wake_waiters();
        }
    }

    /// Leaves the line.
    pub fn leave(&self, mailbox: &Arc<Mailbox>) {
        let mut waiters = self.waiters.lock();
        waiters.retain(|(_, waiting)| !Arc::ptr_eq(waiting, mailbox));
        self.waiting.store(waiters.len(), Ordering::SeqCst);
    }

    fn wake_waiters(&self) {
        let mut room = self.limit.saturating_sub(self.used.taken());
        let mut woken = Vec::new();
        let mut waiters = self.waiters.lock();
        while let Some((bytes, _)) = waiters.front() {
            let fits = *bytes <= room || self.used.taken() == 0;
            if !fits {
                break;
            }
            room = room.saturating_sub(*bytes);
            if let Some((_, mailbox)) = waiters.pop_front() {
                woken.push(mailbox);
            }
        }
        self.waiting.store(waiters.len(), Ordering::SeqCst);
        drop(waiters);
        for mailbox in woken {
            mailbox.signal(Signals::ROOM);
        }
    }

    /// Sessions wait for room: reading ahead would only pile up.
    pub fn is_contended(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) > 0
    }

    /// How many sessions wait.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    pub fn used(&self) -> u64 {
        self.used.taken()
    }

    pub fn limit(&self) -> u64 {
        self.limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_a_bound() {
        let share = Share::new(100);
        assert!(share.try_take(60));
        assert!(!share.try_take(41));
        assert!(share.try_take(40));
        share.release(100);
        assert!(share.try_take(1_000), "what is larger than the share passes alone");
        assert!(!share.try_take(1));
        share.release(1_000);
        assert_eq!(share.used(), 0);
    }

    #[test]
    fn who_makes_haste_leaves_half_of_a_share() {
        let share = Share::new(100);
        assert!(share.try_take_ahead(30));
        assert!(share.try_take(20));
        assert!(!share.try_take_ahead(1));
        assert!(share.try_take(50), "the other half is for those who begin");
        share.release(60);
        assert!(share.try_take_ahead(10));
    }

    #[test]
    #[cfg_attr(debug_assertions, should_panic(expected = "bytes of a share were given back"))]
    fn what_nobody_took_makes_no_room() {
        let share = Share::new(100);
        assert!(share.try_take(60));
        share.release(60);
        share.release(60);
        assert_eq!(share.used(), 0);
    }

    #[test]
    fn as_many_waiters_are_woken_as_there_is_room_for() {
        let share = Share::new(100);
        assert!(share.try_take(100));
        for _ in 0..3 {
            share.wait(40, &Arc::new(Mailbox::default()));
        }
        assert_eq!(share.waiting(), 3);
        share.release(90);
        assert_eq!(share.waiting(), 1);
        share.release(10);
        assert_eq!(share.waiting(), 0);
    }
}
