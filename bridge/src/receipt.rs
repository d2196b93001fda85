//! The outcome of one message, resolved once: a receipt travels with the message to where its fate
//! is decided, and its other half, the mailbox, tells the sender's session.
//!
//! A receipt that is dropped unresolved counts as failed: a message that was forgotten is a failure,
//! never a silence.

use std::sync::Arc;

use crate::account::Account;
use crate::mailbox::{Mailbox, Mark};
use crate::message::Carriage;
use crate::outcome::Outcome;

/// The duty to say what became of one message, and the memory it holds until then.
#[must_use = "a receipt that is dropped fails its message"]
pub struct Receipt {
    account: Arc<Account>,
    /// None where nobody waits: QoS 0, wills, and after it was resolved.
    mailbox: Option<Arc<Mailbox>>,
    slot: u32,
    /// Bytes of the account's share, given back when it is resolved.
    charge: u64,
    carriage: Carriage,
    open: bool,
}

impl Receipt {
    /// Counts a message as received and in flight. `charge` bytes were taken from `account` for it.
    pub fn open(
        account: Arc<Account>,
        carriage: Carriage,
        charge: u64,
        reply_to: Option<(Arc<Mailbox>, u32)>,
    ) -> Receipt {
        account.ledger.opened();
        let (mailbox, slot) = match reply_to {
            Some((mailbox, slot)) => (Some(mailbox), slot),
            None => (None, 0),
        };
        Receipt { account, mailbox, slot, charge, carriage, open: true }
    }

    /// That of the lane which the message came to first.
    pub(crate) fn account(&self) -> &Account {
        &self.account
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
        tally.count(&self.account, self.carriage, self.charge, outcome);
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
    fn count(&mut self, account: &Arc<Account>, carriage: Carriage, charge: u64, outcome: Outcome) {
        if outcome == Outcome::Landed && carriage == Carriage::Inline {
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
        account.share(carriage).release(charge);
    }

    /// Commits the counts, gives the memory back, then wakes the sessions.
    pub(crate) fn flush(&mut self) {
        if let Some((account, messages, bytes)) = self.landed.take() {
            account.ledger.closed(Outcome::Landed, messages);
            account.share(Carriage::Inline).release(bytes);
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
    use std::task::Waker;

    use super::*;
    use crate::outcome::Fault;

    fn account() -> Arc<Account> {
        Arc::new(Account::new("fast", 1_000, 1_000))
    }

    fn open(account: &Arc<Account>, mailbox: &Arc<Mailbox>, slot: u32) -> Receipt {
        assert!(account.share(Carriage::Inline).try_take(100));
        Receipt::open(Arc::clone(account), Carriage::Inline, 100, Some((Arc::clone(mailbox), slot)))
    }

    #[test]
    fn a_dropped_receipt_is_a_failed_message() {
        let (account, mailbox) = (account(), Arc::new(Mailbox::default()));
        drop(open(&account, &mailbox, 7));
        let mut marks = Vec::new();
        mailbox.collect(Waker::noop(), &mut marks);
        assert_eq!(marks, [Mark { slot: 7, outcome: Outcome::Failed }]);
        let totals = account.ledger.totals();
        assert_eq!((totals.received, totals.failed, totals.in_flight), (1, 1, 0));
        assert_eq!(account.share(Carriage::Inline).used(), 0);
    }

    #[test]
    fn an_outcome_is_told_once_and_the_sum_holds() {
        let (account, mailbox) = (account(), Arc::new(Mailbox::default()));
        let receipts = [0, 1, 2].map(|slot| open(&account, &mailbox, slot));
        assert_eq!(account.ledger.totals().in_flight, 3);
        let outcomes = [Outcome::Landed, Outcome::DeadLettered(Fault::Size), Outcome::Failed];
        let mut tally = Tally::default();
        for (receipt, outcome) in receipts.into_iter().zip(outcomes) {
            receipt.resolve_into(outcome, &mut tally);
        }
        drop(tally);
        let totals = account.ledger.totals();
        assert_eq!(totals.received, 3);
        assert_eq!(totals.landed + totals.dead_lettered + totals.failed, 3);
        assert_eq!(totals.in_flight, 0);
        assert_eq!(account.share(Carriage::Inline).used(), 0);
        let mut marks = Vec::new();
        mailbox.collect(Waker::noop(), &mut marks);
        assert_eq!(marks.len(), 3);
    }
}
