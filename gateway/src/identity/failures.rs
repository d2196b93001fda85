//! From where wrong passwords of which name come: what else of that name comes from there waits for its turn, so
//! that nobody tries many passwords. Other names from there, and the same from elsewhere, are not held up: nobody
//! locks out another. The time is an argument.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::net::network;

/// Guessers that are noted. Beyond them the one that was quiet longest is forgotten.
const GUESSERS_MAX: usize = 10_000;
/// Failures that cost nothing: people mistype.
const FREE_FAILURES: u32 = 10;
/// Between two attempts of a guesser with more.
const PAUSE: Duration = Duration::from_secs(1);
/// An attempt that would have to wait longer is turned away.
const WAIT_MAX: Duration = Duration::from_secs(5);
/// One without a failure for so long is forgotten.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(60);

/// See the module.
#[derive(Default)]
pub struct Failures {
    /// By network, and by the number that stands for the name.
    guessers: HashMap<(IpAddr, u64), Record>,
}

struct Record {
    failures: u32,
    last: Instant,
    /// When the next attempt may be looked at.
    next: Instant,
}

impl Failures {
    /// How long an attempt has to wait; None if too many wait already.
    pub fn turn(&mut self, address: IpAddr, name: u64, now: Instant) -> Option<Duration> {
        let Some(record) = self.guessers.get_mut(&(network(address), name)) else {
            return Some(Duration::ZERO);
        };
        if record.failures <= FREE_FAILURES || is_over(record, now) {
            return Some(Duration::ZERO);
        }
        let at = record.next.max(now);
        let wait = at - now;
        if wait > WAIT_MAX {
            return None;
        }
        record.next = at + PAUSE;
        Some(wait)
    }

    /// An attempt failed.
    pub fn note(&mut self, address: IpAddr, name: u64, now: Instant) {
        let guesser = (network(address), name);
        if !self.guessers.contains_key(&guesser) && self.guessers.len() >= GUESSERS_MAX {
            self.make_place(now);
        }
        let fresh = || Record { failures: 0, last: now, next: now };
        let record = self.guessers.entry(guesser).or_insert_with(fresh);
        if is_over(record, now) {
            *record = fresh();
        }
        record.failures = record.failures.saturating_add(1);
        record.last = now;
    }

    /// An attempt succeeded.
    pub fn forget(&mut self, address: IpAddr, name: u64) {
        self.guessers.remove(&(network(address), name));
    }

    fn make_place(&mut self, now: Instant) {
        self.guessers.retain(|_, record| !is_over(record, now));
        if self.guessers.len() >= GUESSERS_MAX {
            let quietest = self.guessers.iter().min_by_key(|(_, record)| record.last);
            if let Some(quietest) = quietest.map(|(guesser, _)| *guesser) {
                self.guessers.remove(&quietest);
            }
        }
    }
}

fn is_over(record: &Record, now: Instant) -> bool {
    now.saturating_duration_since(record.last) >= FORGOTTEN_AFTER
}

#[cfg(test)]
mod tests {
    use std::net::Ipv6Addr;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn who_guesses_waits_and_nobody_else_does() {
        let mut failures = Failures::default();
        let now = Instant::now();
        let (bad, good) = (address("192.0.2.1"), address("192.0.2.2"));
        for _ in 0..FREE_FAILURES {
            failures.note(bad, 1, now);
            assert_eq!(failures.turn(bad, 1, now), Some(Duration::ZERO));
        }
        failures.note(bad, 1, now);
        let waits: Vec<_> = (0..7).map(|_| failures.turn(bad, 1, now)).collect();
        let seconds = |count: u32| Some(count * SECOND);
        let expected = [0, 1, 2, 3, 4, 5].map(seconds);
        assert_eq!(waits[..6], expected);
        assert_eq!(waits[6], None, "more are turned away");
        assert_eq!(failures.turn(good, 1, now), Some(Duration::ZERO));
        assert_eq!(failures.turn(bad, 2, now), Some(Duration::ZERO), "another device there");
        assert_eq!(failures.turn(address("::ffff:192.0.2.1"), 1, now), None, "it is the same");
        assert_eq!(failures.turn(bad, 1, now + FORGOTTEN_AFTER), Some(Duration::ZERO));
        failures.forget(bad, 1);
        assert_eq!(failures.turn(bad, 1, now), Some(Duration::ZERO), "it knew it after all");
    }

    #[test]
    fn a_whole_network_of_version_6_is_one_address_and_the_map_is_bounded() {
        let mut failures = Failures::default();
        let now = Instant::now();
        for host in 0..1000_u128 {
            failures.note(IpAddr::V6(Ipv6Addr::from_bits(0x2001_0db8_u128 << 96 | host)), 1, now);
        }
        assert_eq!(failures.guessers.len(), 1);
        for network in 0..2 * GUESSERS_MAX as u128 {
            failures.note(IpAddr::V6(Ipv6Addr::from_bits(network << 64)), 1, now);
        }
        assert_eq!(failures.guessers.len(), GUESSERS_MAX);
        failures.note(address("192.0.2.1"), 1, now + FORGOTTEN_AFTER);
        assert_eq!(failures.guessers.len(), 1, "the others were forgotten");
    }
}
