//! Addresses from which wrong passwords come: what else comes from there waits for its turn, so that nobody
//! tries many passwords, or keeps others from having theirs looked at. The time is an argument.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

/// Addresses that are noted. Beyond them no new one is, until others are forgotten.
const ADDRESSES_MAX: usize = 10_000;
/// Failures that cost nothing: people mistype, and several devices share an address.
const FREE_FAILURES: u32 = 10;
/// Between two attempts from an address with more.
const PAUSE: Duration = Duration::from_secs(1);
/// An attempt that would have to wait longer is turned away.
const WAIT_MAX: Duration = Duration::from_secs(5);
/// An address without a failure for so long is forgotten.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(60);

/// See the module.
#[derive(Default)]
pub struct Failures {
    addresses: HashMap<IpAddr, Record>,
}

struct Record {
    failures: u32,
    last: Instant,
    /// When the next attempt may be looked at.
    next: Instant,
}

impl Failures {
    /// How long an attempt from there has to wait; None if too many wait already.
    pub fn turn(&mut self, address: IpAddr, now: Instant) -> Option<Duration> {
        let Some(record) = self.addresses.get_mut(&network(address)) else {
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

    /// An attempt from there failed.
    pub fn note(&mut self, address: IpAddr, now: Instant) {
        let address = network(address);
        if !self.addresses.contains_key(&address) && self.addresses.len() >= ADDRESSES_MAX {
            self.addresses.retain(|_, record| !is_over(record, now));
            if self.addresses.len() >= ADDRESSES_MAX {
                return;
            }
        }
        let fresh = || Record { failures: 0, last: now, next: now };
        let record = self.addresses.entry(address).or_insert_with(fresh);
        if is_over(record, now) {
            *record = fresh();
        }
        record.failures = record.failures.saturating_add(1);
        record.last = now;
    }
}

fn is_over(record: &Record, now: Instant) -> bool {
    now.saturating_duration_since(record.last) >= FORGOTTEN_AFTER
}

/// Who has one address of IPv6 has all of its /64.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let bits = address.to_bits() & (u128::MAX << 64);
            IpAddr::V6(Ipv6Addr::from_bits(bits))
        }
        four => four,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn who_fails_often_waits_and_nobody_else_does() {
        let mut failures = Failures::default();
        let now = Instant::now();
        let (bad, good) = (address("192.0.2.1"), address("192.0.2.2"));
        for _ in 0..FREE_FAILURES {
            failures.note(bad, now);
            assert_eq!(failures.turn(bad, now), Some(Duration::ZERO));
        }
        failures.note(bad, now);
        let waits: Vec<_> = (0..7).map(|_| failures.turn(bad, now)).collect();
        let seconds = |count: u32| Some(count * SECOND);
        let expected = [0, 1, 2, 3, 4, 5].map(seconds);
        assert_eq!(waits[..6], expected);
        assert_eq!(waits[6], None, "more are turned away");
        assert_eq!(failures.turn(good, now), Some(Duration::ZERO));
        assert_eq!(failures.turn(address("::ffff:192.0.2.1"), now), None, "it is the same");
        assert_eq!(failures.turn(bad, now + FORGOTTEN_AFTER), Some(Duration::ZERO));
    }

    #[test]
    fn a_whole_network_of_version_6_is_one_address_and_the_map_is_bounded() {
        let mut failures = Failures::default();
        let now = Instant::now();
        for host in 0..1000_u128 {
            failures.note(IpAddr::V6(Ipv6Addr::from_bits(0x2001_0db8_u128 << 96 | host)), now);
        }
        assert_eq!(failures.addresses.len(), 1);
        for network in 0..2 * ADDRESSES_MAX as u128 {
            failures.note(IpAddr::V6(Ipv6Addr::from_bits(network << 64)), now);
        }
        assert_eq!(failures.addresses.len(), ADDRESSES_MAX);
        failures.note(address("192.0.2.1"), now + FORGOTTEN_AFTER);
        assert_eq!(failures.addresses.len(), 1, "the others were forgotten");
    }
}
