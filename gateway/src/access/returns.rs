//! Who was ended because he did what he may not comes back later: without a code for it (MQTT 3), his client
//! would connect and do it again at once, for ever.
//!
//! Bounded, and kept by who he is: by the identity that was proved, or by address and client id together where
//! nothing was, so that nobody delays another by taking his name.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::Subject;

/// The first return waits for this, the next ones for twice as much each.
const PAUSE: Duration = Duration::from_secs(1);
/// No return waits longer, so that its handshake has time left.
const PAUSE_MAX: Duration = Duration::from_secs(4);
/// Who did nothing of the kind for so long begins anew.
const FORGET_AFTER: Duration = Duration::from_secs(60);
/// Who is remembered at a time; beyond it those who did it longest ago are forgotten.
const REMEMBERED_MAX: usize = 10_000;

/// See the module.
#[derive(Default)]
pub struct Returns {
    hasher: RandomState,
    /// How many are remembered, so that asking costs nothing while nobody is.
    count: AtomicUsize,
    remembered: Mutex<HashMap<u64, Ended>>,
}

#[derive(Clone, Copy)]
struct Ended {
    at: Instant,
    pause: Duration,
}

impl Returns {
    /// Somebody is ended.
    pub fn ended(&self, subject: &Subject<'_>, address: Option<IpAddr>, now: Instant) {
        let key = self.key(subject, address);
        let mut remembered = self.remembered.lock();
        let known = remembered.get(&key).filter(|known| now - known.at < FORGET_AFTER);
        let pause = known.map_or(PAUSE, |known| (known.pause * 2).min(PAUSE_MAX));
        if remembered.len() >= REMEMBERED_MAX && !remembered.contains_key(&key) {
            forget(&mut remembered, now);
        }
        remembered.insert(key, Ended { at: now, pause });
        self.count.store(remembered.len(), Ordering::Relaxed);
    }

    /// How long somebody who comes has to wait yet.
    pub fn wait(&self, subject: &Subject<'_>, address: Option<IpAddr>, now: Instant) -> Duration {
        if self.count.load(Ordering::Relaxed) == 0 {
            return Duration::ZERO;
        }
        let remembered = self.remembered.lock();
        let ended = remembered.get(&self.key(subject, address));
        ended
            .map_or(Duration::ZERO, |ended| (ended.at + ended.pause).saturating_duration_since(now))
    }

    /// By the identity that was proved, or by address and client id: a hash under a key that nobody knows.
    fn key(&self, subject: &Subject<'_>, address: Option<IpAddr>) -> u64 {
        match subject.identity {
            Some(identity) => self.hasher.hash_one(("identity", identity)),
            None => self.hasher.hash_one((address, subject.client_id)),
        }
    }
}

/// Makes room: all whose time is over go, or half of them, those that came first.
fn forget(remembered: &mut HashMap<u64, Ended>, now: Instant) {
    remembered.retain(|_, ended| now - ended.at < FORGET_AFTER);
    if remembered.len() >= REMEMBERED_MAX {
        let mut times: Vec<Instant> = remembered.values().map(|ended| ended.at).collect();
        let half = times.len() / 2;
        let (_, middle, _) = times.select_nth_unstable(half);
        let middle = *middle;
        let mut left = half;
        remembered.retain(|_, ended| {
            let goes = ended.at <= middle && left > 0;
            left -= usize::from(goes);
            !goes
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADDRESS: Option<IpAddr> = Some(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST));

    fn subject<'a>(identity: Option<&'a str>, client_id: &'a str) -> Subject<'a> {
        Subject { listener: "plain", client_id, identity, username: None, attributes: &[] }
    }

    #[test]
    fn who_does_it_again_waits_longer_and_is_forgotten_in_the_end() {
        let returns = Returns::default();
        let m1 = subject(Some("m-1"), "m-1");
        let start = Instant::now();
        assert_eq!(returns.wait(&m1, ADDRESS, start), Duration::ZERO);
        for (second, expected) in [(0, 1), (1, 2), (3, 4), (7, 4), (100, 1)] {
            let now = start + Duration::from_secs(second);
            returns.ended(&m1, ADDRESS, now);
            assert_eq!(
                returns.wait(&m1, ADDRESS, now),
                Duration::from_secs(expected),
                "at {second}"
            );
            assert_eq!(returns.wait(&m1, ADDRESS, now + PAUSE_MAX), Duration::ZERO);
        }
    }

    #[test]
    fn nobody_delays_another_by_taking_his_name() {
        let returns = Returns::default();
        let other = Some(IpAddr::from([10, 0, 0, 2]));
        let now = Instant::now();
        returns.ended(&subject(None, "m-1"), ADDRESS, now);
        let wait = |identity, address| returns.wait(&subject(identity, "m-1"), address, now);
        assert_eq!(wait(None, ADDRESS), PAUSE);
        assert_eq!(wait(None, other), Duration::ZERO);
        assert_eq!(wait(Some("m-1"), ADDRESS), Duration::ZERO);
    }

    #[test]
    fn no_more_are_remembered_than_there_may_be() {
        let returns = Returns::default();
        let start = Instant::now();
        for number in 0..3 * REMEMBERED_MAX {
            // Some at the very same time.
            let now = start + Duration::from_millis(number as u64 / 100);
            let client_id = number.to_string();
            let client = subject(None, &client_id);
            returns.ended(&client, ADDRESS, now);
            assert!(returns.remembered.lock().len() <= REMEMBERED_MAX);
            assert!(returns.wait(&client, ADDRESS, now) > Duration::ZERO, "the last is known");
        }
    }
}
