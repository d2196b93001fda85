//! Who may not any more: after something was read anew that says who may do what, every client is looked at, a
//! few at a time, so that those who still may do not notice.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::sleep;

use crate::clients::Clients;

/// Clients that are woken at once.
const AT_ONCE: usize = 256;
/// Between them connections have their turns: 100,000 clients are looked at within a second or two.
const PAUSE: Duration = Duration::from_millis(2);

/// Certificates that are verified anew at a time. However many rested on what is gone, those that connect
/// meanwhile wait behind no more than these.
pub const VERIFIED_AT_ONCE: usize = 32;

/// What is known of changes to them.
pub struct Rights {
    changes: AtomicU64,
    changed: Notify,
    verifications: Arc<Semaphore>,
}

impl Default for Rights {
    fn default() -> Rights {
        Rights {
            changes: AtomicU64::default(),
            changed: Notify::default(),
            verifications: Arc::new(Semaphore::new(VERIFIED_AT_ONCE)),
        }
    }
}

/// How many changes there had been.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Seen(u64);

impl Rights {
    /// Something was read anew, and holds.
    pub fn change(&self) {
        self.changes.fetch_add(1, Ordering::AcqRel);
        self.changed.notify_one();
    }

    /// Take it before anything is asked that may change: a client that is not among the others yet is not
    /// looked at with them.
    pub fn seen(&self) -> Seen {
        Seen(self.changes.load(Ordering::Acquire))
    }

    /// A place among those whose certificates are verified anew at a time.
    pub fn place(&self) -> impl Future<Output = OwnedSemaphorePermit> + Send + 'static {
        let places = Arc::clone(&self.verifications);
        async move { places.acquire_owned().await.expect("nobody closes it") }
    }

    /// Looks at all clients after each change, for ever. Changes meanwhile are looked for afterwards, once.
    pub async fn watch(&self, clients: &Clients) {
        loop {
            self.changed.notified().await;
            for held in clients.held() {
                for few in held.chunks(AT_ONCE) {
                    for (mailbox, shared) in few {
                        if let Some(signal) = shared.after_change() {
                            mailbox.signal(signal);
                        }
                    }
                    sleep(PAUSE).await;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_seen_by_who_looked_before() {
        let rights = Rights::default();
        let before = rights.seen();
        assert!(before == rights.seen());
        rights.change();
        assert!(before != rights.seen());
    }
}
