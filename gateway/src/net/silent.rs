//! Sockets of one listener of which nothing whole came yet: they cost next to nothing to open and a descriptor to
//! keep, so there is a bound on them, and whoever is silent longest makes room for those who come.
//!
//! A socket is silent from its accept on until a whole ClientHello is here, or a whole CONNECT where there is no TLS;
//! and once more from the end of its TLS handshake until its CONNECT is whole. A byte now and then breaks no silence:
//! it counts when it began. While there is room nobody is hurried, however slow his network is. Each listener has a
//! bound of its own, so that those who are silent at one keep nobody out of another.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};
use tokio::time::timeout_at;

/// One of so many connections may be silent.
const OF_CONNECTIONS: u32 = 10;
/// Who is silent for this long makes room: a slow network takes less for what comes first.
const PATIENCE: Duration = Duration::from_secs(3);

/// How many sockets of a listener may be silent, of a gateway that may have so many connections and so many
/// listeners: the same for each, and not more than the listener's own limit allows.
pub fn share(connections: u32, listeners: usize, own: Option<u32>) -> u32 {
    let listeners = u32::try_from(listeners).unwrap_or(u32::MAX).max(1);
    let all = connections / OF_CONNECTIONS / listeners;
    own.map_or(all, |own| all.min(own / OF_CONNECTIONS)).max(1)
}

/// See the module.
pub struct Silent {
    /// Silent sockets at a time.
    limit: usize,
    /// Locked at a silence's beginning and end only.
    sockets: Mutex<Sockets>,
    /// There is room again.
    left: Notify,
}

#[derive(Default)]
struct Sockets {
    next: u64,
    /// The oldest first; who is taken out without having left is gone.
    silent: BTreeMap<u64, One>,
    /// Those of them that were accepted and have brought nothing whole since.
    new: usize,
}

/// One that is silent.
struct One {
    since: Instant,
    is_new: bool,
    /// Dropped when it has to go, which the socket hears of.
    _stays: oneshot::Sender<()>,
}

/// One socket's silence, until this is dropped.
pub struct Silence {
    silent: Arc<Silent>,
    number: u64,
    gone: oneshot::Receiver<()>,
}

impl Silent {
    /// Of which so many may be silent.
    pub fn new(limit: u32) -> Arc<Silent> {
        let limit = limit.max(1) as usize;
        Arc::new(Silent { limit, sockets: Mutex::default(), left: Notify::new() })
    }

    /// Silent sockets now.
    pub fn count(&self) -> usize {
        self.sockets.lock().silent.len()
    }

    /// Waits until one more socket may be accepted. Cancel safe.
    pub async fn room(&self) {
        loop {
            // Before the look, so that no leave is missed.
            let left = self.left.notified();
            let Some(look_at) = self.make_room(Instant::now()) else { return };
            // Either way it is looked again.
            let _ = timeout_at(look_at.into(), left).await;
        }
    }

    /// Ends the silence of the oldest where there is no room otherwise; when there will be some, if they are not
    /// old enough for that. Only new ones keep others from being accepted: the rest has cost its owner a
    /// handshake, and goes as soon as it is old.
    fn make_room(&self, now: Instant) -> Option<Instant> {
        let mut sockets = self.sockets.lock();
        sockets.end_old(self.limit, now);
        if sockets.new < self.limit {
            return None;
        }
        let (_, oldest) = sockets.silent.first_key_value().expect("the limit is above zero");
        Some(oldest.since + PATIENCE)
    }

    /// One that was accepted is silent from now on.
    pub fn begin(self: &Arc<Silent>, now: Instant) -> Silence {
        self.add(now, true)
    }

    /// One that has shaken hands is silent once more.
    pub fn begin_inside(self: &Arc<Silent>, now: Instant) -> Silence {
        self.add(now, false)
    }

    fn add(self: &Arc<Silent>, since: Instant, is_new: bool) -> Silence {
        let (stays, gone) = oneshot::channel();
        let mut sockets = self.sockets.lock();
        sockets.end_old(self.limit, since);
        let number = sockets.next;
        sockets.next += 1;
        sockets.new += usize::from(is_new);
        sockets.silent.insert(number, One { since, is_new, _stays: stays });
        Silence { silent: Arc::clone(self), number, gone }
    }
}

impl Sockets {
    /// Makes room for one more, as far as there are old ones.
    fn end_old(&mut self, limit: usize, now: Instant) {
        while self.silent.len() >= limit
            && let Some((&oldest, one)) = self.silent.first_key_value()
            && one.since + PATIENCE <= now
        {
            self.remove(oldest);
        }
    }

    fn remove(&mut self, number: u64) {
        if let Some(one) = self.silent.remove(&number) {
            self.new -= usize::from(one.is_new);
        }
    }
}

impl Silence {
    /// What comes of it; None if others needed the place first. Not to be asked again then.
    pub async fn until<T>(&mut self, heard: impl Future<Output = T>) -> Option<T> {
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
        let was_full = sockets.new >= self.silent.limit;
        sockets.remove(self.number);
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

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test]
    async fn the_oldest_goes_when_it_was_silent_long_enough() {
        let silent = Silent::new(2);
        let now = Instant::now();
        let mut first = silent.begin(now);
        assert_eq!(silent.make_room(now), None);
        let mut second = silent.begin(now + SECOND);
        let soon = now + PATIENCE - Duration::from_millis(1);
        assert_eq!(silent.make_room(soon), Some(now + PATIENCE), "none is old enough");
        assert_eq!(silent.make_room(now + PATIENCE), None);
        assert_eq!(first.until(pending::<()>()).await, None, "it has to go");
        assert_eq!(silent.make_room(soon), None, "there is room now");
        let third = silent.begin(soon);
        assert_eq!(silent.make_room(soon), Some(now + SECOND + PATIENCE));
        assert_eq!(second.until(ready(1)).await, Some(1), "something of it");
        assert!(silent.make_room(soon).is_some(), "which is not all");
        drop(second);
        assert_eq!(silent.make_room(soon), None);
        drop((first, third));
        assert_eq!((silent.count(), silent.sockets.lock().new), (0, 0));
    }

    #[tokio::test]
    async fn who_is_silent_behind_its_handshake_goes_when_it_is_old_and_keeps_nobody_out() {
        let silent = Silent::new(2);
        let now = Instant::now();
        let mut inside: Vec<Silence> = (0..3).map(|_| silent.begin_inside(now)).collect();
        assert_eq!(silent.make_room(now), None, "they are not new");
        let _new = silent.begin(now + PATIENCE);
        for old in &mut inside[..2] {
            assert_eq!(old.until(pending::<()>()).await, None);
        }
        assert_eq!(inside[2].until(ready(1)).await, Some(1), "there is room for it");
        let _next = silent.begin_inside(now + PATIENCE);
        assert_eq!(inside[2].until(pending::<()>()).await, None);
        assert_eq!(silent.count(), 2);
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

    #[test]
    fn a_tenth_of_the_connections_is_shared_out_among_the_listeners() {
        assert_eq!(share(100_000, 1, None), 10_000);
        assert_eq!(share(100_000, 4, None), 2_500);
        assert_eq!(share(100_000, 4, Some(50_000)), 2_500);
        assert_eq!(share(100_000, 4, Some(500)), 50, "a tenth of its own");
        assert_eq!(share(9, 3, Some(1)), 1, "and never nobody");
        assert_eq!(share(100, 0, None), 10);
    }
}
