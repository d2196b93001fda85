//! What one lane owes and holds: the ledger of its messages, its shares of the memory budget, and its permits
//! for requests to the object store.
//!
//! A lane has two shares, one for inline messages and one for the parts of large ones, so that a
//! small message never waits for a large one. What does not fit waits in its socket, which is not
//! read until the share has room again.
//!
//! Everybody who holds something of a lane holds its account. When the last of them is gone, nothing is
//! held and no message is open: an account that is dropped looks whether that is so.

use std::sync::Arc;

use crate::ages::Ages;
use crate::ledger::Ledger;
use crate::message::Carriage;
use crate::objects::Permits;
use crate::share::Share;

/// The books of one lane.
pub struct Account {
    pub name: Box<str>,
    pub ledger: Ledger,
    inline: Share,
    large: Share,
    /// For its requests to the object store.
    pub(crate) permits: Permits,
    /// Large messages that are here whole and on their way to the store.
    pub(crate) uploads: Arc<Ages>,
}

impl Account {
    /// Shares are in bytes.
    pub fn new(name: &str, inline_bytes: u64, large_bytes: u64) -> Account {
        Account {
            name: name.into(),
            ledger: Ledger::default(),
            inline: Share::new(inline_bytes),
            large: Share::new(large_bytes),
            permits: Permits::default(),
            uploads: Arc::default(),
        }
    }

    pub fn share(&self, carriage: Carriage) -> &Share {
        match carriage {
            Carriage::Inline => &self.inline,
            Carriage::Large => &self.large,
        }
    }
}

impl Account {
    /// What is wrong with the books where nobody holds anything any more.
    fn fault_at_end(&self) -> Option<String> {
        let held = [(Carriage::Inline, &self.inline), (Carriage::Large, &self.large)]
            .into_iter()
            .find(|(_, share)| share.used() > 0);
        let totals = self.ledger.totals();
        if let Some((carriage, share)) = held {
            return Some(format!("{} bytes ({carriage:?}) were never given back", share.used()));
        }
        if totals.in_flight > 0 {
            return Some(format!("{} messages have no outcome", totals.in_flight));
        }
        (!totals.add_up()).then(|| format!("{totals:?} does not add up"))
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        let Some(fault) = self.fault_at_end() else { return };
        tracing::error!(
            lane = &*self.name,
            fault,
            "the books of a lane do not add up: this is a fault of Landfall, please report it"
        );
        debug_assert!(std::thread::panicking(), "lane {}: {fault}", self.name);
    }
}

/// Bytes taken from a share, given back on drop.
pub struct Reservation {
    pub(crate) account: Arc<Account>,
    pub(crate) carriage: Carriage,
    pub(crate) bytes: u64,
}

impl Reservation {
    /// None without room.
    pub(crate) fn take(
        account: &Arc<Account>,
        carriage: Carriage,
        bytes: u64,
    ) -> Option<Reservation> {
        account.share(carriage).try_take(bytes).then(|| Reservation {
            account: Arc::clone(account),
            carriage,
            bytes,
        })
    }

    /// For what would be held ahead of its time; None without much room.
    pub(crate) fn take_ahead(
        account: &Arc<Account>,
        carriage: Carriage,
        bytes: u64,
    ) -> Option<Reservation> {
        account.share(carriage).try_take_ahead(bytes).then(|| Reservation {
            account: Arc::clone(account),
            carriage,
            bytes,
        })
    }

    /// Parts with `bytes` of it, which have to be there.
    pub(crate) fn split(&mut self, bytes: u64) -> Reservation {
        assert!(bytes <= self.bytes, "nobody gives away what he has not");
        self.bytes -= bytes;
        Reservation { account: Arc::clone(&self.account), carriage: self.carriage, bytes }
    }

    /// For what is already held.
    pub(crate) fn take_over_limit(
        account: &Arc<Account>,
        carriage: Carriage,
        bytes: u64,
    ) -> Reservation {
        account.share(carriage).take(bytes);
        Reservation { account: Arc::clone(account), carriage, bytes }
    }

    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// It was taken from that share.
    pub(crate) fn is_in(&self, account: &Arc<Account>, carriage: Carriage) -> bool {
        Arc::ptr_eq(&self.account, account) && self.carriage == carriage
    }

    /// Gives back what is more than `bytes`.
    pub fn shrink(&mut self, bytes: u64) {
        if bytes < self.bytes {
            self.account.share(self.carriage).release(self.bytes - bytes);
            self.bytes = bytes;
        }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if self.bytes > 0 {
            self.account.share(self.carriage).release(self.bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::Refusal;

    fn account() -> Arc<Account> {
        Arc::new(Account::new("fast", 1_000, 1_000))
    }

    #[test]
    fn an_account_ends_with_nothing_held() {
        let account = account();
        account.ledger.refuse(Refusal::Shed);
        let mut held = Reservation::take(&account, Carriage::Large, 100).expect("there is room");
        let part = held.split(40);
        held.shrink(10);
        assert_eq!(account.share(Carriage::Large).used(), 50);
        drop((held, part));
        assert_eq!(account.fault_at_end(), None);
    }

    #[test]
    #[cfg_attr(
        debug_assertions,
        should_panic(expected = "100 bytes (Inline) were never given back")
    )]
    fn bytes_that_nobody_gave_back_are_found() {
        let account = account();
        account.share(Carriage::Inline).take(100);
        assert!(account.fault_at_end().is_some());
    }

    #[test]
    #[cfg_attr(debug_assertions, should_panic(expected = "1 messages have no outcome"))]
    fn a_message_without_an_outcome_is_found() {
        let account = account();
        account.ledger.opened();
        assert!(account.fault_at_end().is_some());
    }

    #[test]
    #[should_panic(expected = "nobody gives away what he has not")]
    fn a_reservation_parts_with_no_more_than_it_has() {
        let account = account();
        let mut held = Reservation::take(&account, Carriage::Inline, 100).expect("there is room");
        drop(held.split(101));
    }
}
