//! What one lane owes and holds: the ledger of its messages and its shares of the memory budget.
//!
//! received = landed + dead-lettered + refused + failed + in flight. In flight counts live receipts.
//!
//! A lane has two shares, one for inline messages and one for the parts of large ones, so that a
//! small message never waits for a large one. What does not fit waits in its socket, which is not
//! read until the share has room again.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use parking_lot::Mutex;

use crate::receipt::{Mailbox, Outcome, ROOM, Refusal};

/// How a message travels: in its record, or through the object store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    Inline,
    Large,
}

/// The books of one lane.
pub struct Account {
    pub name: Box<str>,
    pub ledger: Ledger,
    inline: Share,
    large: Share,
}

impl Account {
    /// Shares are in bytes.
    pub fn new(name: &str, inline_bytes: u64, large_bytes: u64) -> Account {
        Account {
            name: name.into(),
            ledger: Ledger::default(),
            inline: Share::new(inline_bytes),
            large: Share::new(large_bytes),
        }
    }

    pub fn share(&self, class: Class) -> &Share {
        match class {
            Class::Inline => &self.inline,
            Class::Large => &self.large,
        }
    }
}

/// Bytes taken from a share, given back on drop.
pub struct Reservation {
    pub(crate) account: Arc<Account>,
    pub(crate) class: Class,
    pub(crate) bytes: u64,
}

impl Reservation {
    /// None without room.
    pub(crate) fn take(account: &Arc<Account>, class: Class, bytes: u64) -> Option<Reservation> {
        account.share(class).try_take(bytes).then(|| Reservation {
            account: Arc::clone(account),
            class,
            bytes,
        })
    }

    /// For what would be held ahead of its time; None without much room.
    pub(crate) fn take_ahead(
        account: &Arc<Account>,
        class: Class,
        bytes: u64,
    ) -> Option<Reservation> {
        account.share(class).try_take_ahead(bytes).then(|| Reservation {
            account: Arc::clone(account),
            class,
            bytes,
        })
    }

    /// Parts with `bytes` of it, which have to be there.
    pub(crate) fn split(&mut self, bytes: u64) -> Reservation {
        assert!(bytes <= self.bytes, "nobody gives away what he has not");
        self.bytes -= bytes;
        Reservation { account: Arc::clone(&self.account), class: self.class, bytes }
    }

    /// For what is already held.
    pub(crate) fn take_over_limit(account: &Arc<Account>, class: Class, bytes: u64) -> Reservation {
        account.share(class).take(bytes);
        Reservation { account: Arc::clone(account), class, bytes }
    }

    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Gives back what is more than `bytes`.
    pub fn shrink(&mut self, bytes: u64) {
        if bytes < self.bytes {
            self.account.share(self.class).release(self.bytes - bytes);
            self.bytes = bytes;
        }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if self.bytes > 0 {
            self.account.share(self.class).release(self.bytes);
        }
    }
}

/// A bounded part of the memory budget, in bytes.
pub struct Share {
    limit: u64,
    used: AtomicU64,
    /// Sessions that wait for room, each with the bytes it needs, first come first served.
    waiters: Mutex<VecDeque<(u64, Arc<Mailbox>)>>,
    /// Length of `waiters`, read without its lock on every release.
    waiting: AtomicUsize,
}

impl Share {
    fn new(limit: u64) -> Share {
        Share {
            limit,
            used: AtomicU64::new(0),
            waiters: Mutex::default(),
            waiting: AtomicUsize::new(0),
        }
    }

    /// Takes `bytes` if they fit beside what is taken. What is larger than the whole share fits
    /// when nothing else is taken, so that it can pass at all.
    pub fn try_take(&self, bytes: u64) -> bool {
        let before = self.used.fetch_add(bytes, Ordering::Relaxed);
        if before + bytes <= self.limit || before == 0 {
            return true;
        }
        self.used.fetch_sub(bytes, Ordering::Relaxed);
        false
    }

    /// Takes `bytes` if half of the share stays free: for what only makes haste, so that it never keeps
    /// another from beginning.
    pub fn try_take_ahead(&self, bytes: u64) -> bool {
        let before = self.used.fetch_add(bytes, Ordering::Relaxed);
        if before + bytes <= self.limit / 2 {
            return true;
        }
        self.used.fetch_sub(bytes, Ordering::Relaxed);
        false
    }

    /// Takes `bytes` over the limit too: for what is already held elsewhere and only moves here.
    pub fn take(&self, bytes: u64) {
        self.used.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Gives `bytes` back and wakes the sessions for which there is room now.
    pub fn release(&self, bytes: u64) {
        self.used.fetch_sub(bytes, Ordering::SeqCst);
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
        if self.used.load(Ordering::SeqCst) + bytes <= self.limit {
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
        let mut room = self.limit.saturating_sub(self.used.load(Ordering::SeqCst));
        let mut woken = Vec::new();
        let mut waiters = self.waiters.lock();
        while let Some((bytes, _)) = waiters.front() {
            let fits = *bytes <= room || self.used.load(Ordering::SeqCst) == 0;
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
            mailbox.signal(ROOM);
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
        self.used.load(Ordering::Relaxed)
    }

    pub fn limit(&self) -> u64 {
        self.limit
    }
}

/// Counts of messages by what became of them.
#[derive(Default)]
pub struct Ledger {
    received: AtomicU64,
    in_flight: AtomicU64,
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
}

impl Ledger {
    /// A message was turned away before it had a receipt.
    pub fn refuse(&self, reason: Refusal) {
        self.received.fetch_add(1, Ordering::Relaxed);
        self.refused[reason as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn opened(&self) {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        self.received.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn closed(&self, outcome: Outcome, messages: u64) {
        let counter = match outcome {
            Outcome::Landed => &self.landed,
            Outcome::DeadLettered(_) => &self.dead_lettered,
            Outcome::Failed => &self.failed,
            Outcome::Refused(reason) => &self.refused[reason as usize],
        };
        counter.fetch_add(messages, Ordering::Relaxed);
        self.in_flight.fetch_sub(messages, Ordering::Relaxed);
    }

    /// Exact at rest; while messages pass, each counter is right but they are read one by one.
    pub fn totals(&self) -> Totals {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Totals {
            received: read(&self.received),
            in_flight: read(&self.in_flight),
            landed: read(&self.landed),
            dead_lettered: read(&self.dead_lettered),
            failed: read(&self.failed),
            refused: std::array::from_fn(|reason| read(&self.refused[reason])),
        }
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
