//! The outcome of one message, resolved once: a receipt travels with the message to where its fate
//! is decided, and its other half, the mailbox, tells the sender's session.
//!
//! A receipt that is dropped unresolved counts as failed: a message that was forgotten is a failure,
//! never a silence.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::Waker;

use parking_lot::Mutex;

use crate::account::{Account, Class};

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Durable in its lane.
    Landed,
    /// It can never land in its lane; it is durable in the dead-letter lane.
    DeadLettered(Fault),
    /// Turned away before anything was promised.
    Refused(Refusal),
    /// Nothing is known to be durable: the device has to send it again.
    Failed,
}

/// Why a message can never land in its lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing routes its topic, or the Kafka topic it asks for is illegal or unlisted.
    Topic,
    /// Its payload is not what its route declares.
    Payload,
    /// It is larger than its lane or Kafka takes.
    Size,
    /// Kafka refused the record for good.
    Record,
}

/// Why a message was turned away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// QoS 0 beyond the lane's share of memory.
    Shed,
    /// Larger than anything Landfall may land.
    TooLarge,
    /// No route takes its topic, and `unrouted: refuse`.
    Unrouted,
}

impl Refusal {
    /// All of them, in the order of their counters.
    pub const ALL: [Refusal; 3] = [Refusal::Shed, Refusal::TooLarge, Refusal::Unrouted];

    /// The value of the `reason` label.
    pub fn label(self) -> &'static str {
        match self {
            Refusal::Shed => "shed",
            Refusal::TooLarge => "too_large",
            Refusal::Unrouted => "unrouted",
        }
    }
}

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
    fn mark(&self, mark: Mark) -> bool {
        let mut inner = self.inner.lock();
        inner.marks.push(mark);
        inner.marks.len() == 1
    }
}

/// The duty to say what became of one message, and the memory it holds until then.
#[must_use = "a receipt that is dropped fails its message"]
pub struct Receipt {
    account: Arc<Account>,
    /// None where nobody waits: QoS 0, wills, and after it was resolved.
    mailbox: Option<Arc<Mailbox>>,
    slot: u32,
    /// Bytes of the account's share, given back when it is resolved.
    charge: u64,
    class: Class,
    open: bool,
}

impl Receipt {
    /// Counts a message as received and in flight. `charge` bytes were taken from `account` for it.
    pub(crate) fn open(
        account: Arc<Account>,
        class: Class,
        charge: u64,
        reply_to: Option<(Arc<Mailbox>, u32)>,
    ) -> Receipt {
        account.ledger.opened();
        let (mailbox, slot) = match reply_to {
            Some((mailbox, slot)) => (Some(mailbox), slot),
            None => (None, 0),
        };
        Receipt { account, mailbox, slot, charge, class, open: true }
    }

    /// Says what became of the message and wakes its session.
    pub fn resolve(mut self, outcome: Outcome) {
        self.settle(outcome, &mut Tally::default());
    }

    /// Like [`Receipt::resolve`], with the counting and the waking gathered in `tally`: sessions
    /// that get many outcomes at once wake once.
    pub(crate) fn resolve_into(mut self, outcome: Outcome, tally: &mut Tally) {
        self.settle(outcome, tally);
    }

    fn settle(&mut self, outcome: Outcome, tally: &mut Tally) {
        self.open = false;
        tally.count(&self.account, self.class, self.charge, outcome);
        if let Some(mailbox) = self.mailbox.take()
            && mailbox.mark(Mark { slot: self.slot, outcome })
        {
            tally.wakes.push(mailbox);
        }
    }
}

impl Drop for Receipt {
    fn drop(&mut self) {
        if self.open {
            self.settle(Outcome::Failed, &mut Tally::default());
        }
    }
}

/// Outcomes of one round of a lane, counted and announced together: at a flush, and at its end.
#[derive(Default)]
pub(crate) struct Tally {
    /// Landed inline messages of one account, the usual case.
    landed: Option<(Arc<Account>, u64, u64)>,
    wakes: Vec<Arc<Mailbox>>,
}

impl Tally {
    fn count(&mut self, account: &Arc<Account>, class: Class, charge: u64, outcome: Outcome) {
        if outcome == Outcome::Landed && class == Class::Inline {
            match &mut self.landed {
                Some((known, messages, bytes)) if Arc::ptr_eq(known, account) => {
                    *messages += 1;
                    *bytes += charge;
                    return;
                }
                None => {
                    self.landed = Some((Arc::clone(account), 1, charge));
                    return;
                }
                Some(_) => {}
            }
        }
        account.ledger.closed(outcome, 1);
        account.share(class).release(charge);
    }

    /// Commits the counts, gives the memory back, then wakes the sessions.
    pub(crate) fn flush(&mut self) {
        if let Some((account, messages, bytes)) = self.landed.take() {
            account.ledger.closed(Outcome::Landed, messages);
            account.share(Class::Inline).release(bytes);
        }
        for mailbox in self.wakes.drain(..) {
            mailbox.wake();
        }
    }
}

/// A thread that panics leaves no session asleep whose message it had decided.
impl Drop for Tally {
    fn drop(&mut self) {
        self.flush();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::account::Account;

    fn account() -> Arc<Account> {
        Arc::new(Account::new("fast", 1_000, 1_000))
    }

    fn open(account: &Arc<Account>, mailbox: &Arc<Mailbox>, slot: u32) -> Receipt {
        assert!(account.share(Class::Inline).try_take(100));
        Receipt::open(Arc::clone(account), Class::Inline, 100, Some((Arc::clone(mailbox), slot)))
    }

    #[test]
    fn a_dropped_receipt_is_a_failed_message() {
        let (account, mailbox) = (account(), Arc::new(Mailbox::default()));
        drop(open(&account, &mailbox, 7));
        let mut marks = Vec::new();
        mailbox.collect(Waker::noop(), &mut marks, 0);
        assert_eq!(marks, [Mark { slot: 7, outcome: Outcome::Failed }]);
        let totals = account.ledger.totals();
        assert_eq!((totals.received, totals.failed, totals.in_flight), (1, 1, 0));
        assert_eq!(account.share(Class::Inline).used(), 0);
    }

    #[test]
    fn an_outcome_is_told_once_and_the_sum_holds() {
        let (account, mailbox) = (account(), Arc::new(Mailbox::default()));
        let receipts = [0, 1, 2].map(|slot| open(&account, &mailbox, slot));
        assert_eq!(account.ledger.totals().in_flight, 3);
        let outcomes =
            [Outcome::Landed, Outcome::DeadLettered(Fault::Size), Outcome::Refused(Refusal::Shed)];
        let mut tally = Tally::default();
        for (receipt, outcome) in receipts.into_iter().zip(outcomes) {
            receipt.resolve_into(outcome, &mut tally);
        }
        drop(tally);
        let totals = account.ledger.totals();
        assert_eq!(totals.received, 3);
        assert_eq!(totals.landed + totals.dead_lettered + totals.refused_total(), 3);
        assert_eq!(totals.in_flight, 0);
        assert_eq!(account.share(Class::Inline).used(), 0);
        let mut marks = Vec::new();
        mailbox.collect(Waker::noop(), &mut marks, 0);
        assert_eq!(marks.len(), 3);
    }
}
