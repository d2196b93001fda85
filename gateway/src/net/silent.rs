//! Sockets of which nothing came yet: they cost next to nothing to open and a descriptor to keep, so there
//! is a bound on them, and whoever is silent longest makes room for those who come.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};
use tokio::time::timeout_at;

/// One of so many connections may be a socket of which nothing came.
const OF_CONNECTIONS: u32 = 10;
/// Who is silent for this long makes room: a slow network takes less for its first byte.
const PATIENCE: Duration = Duration::from_secs(3);

/// See the module.
pub struct Silent {
    /// Silent sockets at a time.
    limit: usize,
    /// Locked at a socket's beginning and first byte only.
    sockets: Mutex<Sockets>,
    /// There is room again.
    left: Notify,
}

#[derive(Default)]
struct Sockets {
    next: u64,
    /// The oldest first; who is taken out without having left is gone.
    silent: BTreeMap<u64, (Instant, oneshot::Sender<()>)>,
}

/// One socket's silence, until this is dropped.
pub struct Silence {
    silent: Arc<Silent>,
    number: u64,
    gone: oneshot::Receiver<()>,
}

impl Silent {
    /// Of a gateway that may have so many connections.
    pub fn new(connections: u32) -> Arc<Silent> {
        let limit = (connections / OF_CONNECTIONS).max(1) as usize;
        Arc::new(Silent { limit, sockets: Mutex::default(), left: Notify::new() })
    }

    /// Silent sockets now.
    pub fn count(&self) -> usize {
        self.sockets.lock().silent.len()
    }

    /// Waits until one more socket may be silent. Cancel safe.
    pub async fn room(&self) {
        loop {
            // Before the look, so that no leave is missed.
            let left = self.left.notified();
            let Some(look_at) = self.make_room(Instant::now()) else { return };
            // Either way it is looked again.
            let _ = timeout_at(look_at.into(), left).await;
        }
    }

    /// Ends the silence of the oldest where there is no room otherwise; when there will be some, if it is not
    /// old enough for that.
    fn make_room(&self, now: Instant) -> Option<Instant> {
        let mut sockets = self.sockets.lock();
        if sockets.silent.len() < self.limit {
            return None;
        }
        let oldest = sockets.silent.first_entry().expect("the limit is above zero");
        let makes_room_at = oldest.get().0 + PATIENCE;
        if now < makes_room_at {
            return Some(makes_room_at);
        }
        // Its sender goes with it, and the socket hears of that.
        oldest.remove();
        None
    }

    /// One more is silent from now on.
    pub fn begin(self: &Arc<Silent>, now: Instant) -> Silence {
        let (sender, gone) = oneshot::channel();
        let mut sockets = self.sockets.lock();
        let number = sockets.next;
        sockets.next += 1;
        sockets.silent.insert(number, (now, sender));
        Silence { silent: Arc::clone(self), number, gone }
    }
}

impl Silence {
    /// The end of the silence; None if others needed the place first.
    pub async fn until<T>(mut self, heard: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            heard = heard => Some(heard),
            _ = &mut self.gone => None,
        }
    }
}

impl Drop for Silence {
    fn drop(&mut self) {
        let mut sockets = self.silent.sockets.lock();
        let was_full = sockets.silent.len() >= self.silent.limit;
        sockets.silent.remove(&self.number);
        drop(sockets);
        if was_full {
            self.silent.left.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use super::*;

    #[tokio::test]
    async fn the_oldest_goes_when_it_was_silent_long_enough() {
        let silent = Silent::new(20);
        let now = Instant::now();
        let first = silent.begin(now);
        assert_eq!(silent.make_room(now), None);
        let second = silent.begin(now + Duration::from_secs(1));
        let soon = now + PATIENCE - Duration::from_millis(1);
        assert_eq!(silent.make_room(soon), Some(now + PATIENCE), "none is old enough");
        assert_eq!(silent.make_room(now + PATIENCE), None);
        assert_eq!(first.until(pending::<()>()).await, None, "it has to go");
        assert_eq!(silent.make_room(soon), None, "there is room now");
        let third = silent.begin(soon);
        assert_eq!(silent.make_room(soon), Some(now + Duration::from_secs(1) + PATIENCE));
        assert_eq!(second.until(ready(1)).await, Some(1), "its first byte");
        assert_eq!(silent.make_room(soon), None);
        drop(third);
        assert!(silent.count() == 0);
    }

    #[tokio::test]
    async fn whoever_waits_for_room_hears_of_it() {
        let silent = Silent::new(1);
        let only = silent.begin(Instant::now());
        let waiting = tokio::spawn({
            let silent = Arc::clone(&silent);
            async move { silent.room().await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(only);
        let since = Instant::now();
        waiting.await.expect("no panic");
        assert!(since.elapsed() < PATIENCE, "before the time is over");
    }
}
