//! What one lane owes and holds: the ledger of its messages and its shares of the memory budget.
//!
//! A lane has two shares, one for inline messages and one for the parts of large ones, so that a
//! small message never waits for a large one. What does not fit waits in its socket, which is not
//! read until the share has room again.

use std::sync::Arc;

use crate::ledger::Ledger;
use crate::message::Carriage;
use crate::share::Share;

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

    pub fn share(&self, carriage: Carriage) -> &Share {
        match carriage {
            Carriage::Inline => &self.inline,
            Carriage::Large => &self.large,
        }
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
