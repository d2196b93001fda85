//! Memory for what arrives before it is known who sends it: a bound on all of it, and while that is scarce, on
//! what one network may have. Who sends half of many CONNECTs shuts out nobody else.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::budget::{Budget, Kept};
use crate::net::network;

/// One network may have so much of it, however much the others want: a sixteenth, and at least one.
const OF_ALL: u64 = 16;
/// While less than half is taken, nobody is short of it.
const PLENTY: u64 = 2;

/// See the module.
pub struct Arrivals {
    budget: Arc<Budget>,
    /// Bytes by network, of those that have some.
    networks: Mutex<HashMap<Option<IpAddr>, u64>>,
}

/// What one sender has of it, given back on drop.
pub struct Arriving {
    arrivals: Arc<Arrivals>,
    network: Option<IpAddr>,
    kept: Kept,
}

impl Arrivals {
    /// `of` says what is counted, for the log.
    pub fn new(of: &'static str, limit: u64) -> Arc<Arrivals> {
        Arc::new(Arrivals { budget: Budget::new(of, limit), networks: Mutex::default() })
    }

    /// Nothing yet, for who comes from this address; None: from this machine.
    pub fn nothing(self: &Arc<Arrivals>, address: Option<IpAddr>) -> Arriving {
        Arriving {
            arrivals: Arc::clone(self),
            network: address.map(network),
            kept: Kept::nothing(&self.budget),
        }
    }
}

impl Arriving {
    pub fn network(&self) -> Option<IpAddr> {
        self.network
    }

    /// Changes to so many bytes; false, and unchanged, where there is no room for them.
    #[must_use = "without room nothing changed"]
    pub fn change(&mut self, bytes: u64) -> bool {
        let mut networks = self.arrivals.networks.lock();
        let budget = &self.arrivals.budget;
        let others = networks.get(&self.network).map_or(0, |all| all - self.kept.bytes());
        let grown = bytes.saturating_sub(self.kept.bytes());
        let is_plenty = budget.used() + grown <= budget.limit() / PLENTY;
        let is_fair = others + bytes <= (budget.limit() / OF_ALL).max(1);
        if grown > 0 && !is_plenty && !is_fair || !self.kept.change(bytes) {
            return false;
        }
        match others + bytes {
            0 => drop(networks.remove(&self.network)),
            all => drop(networks.insert(self.network, all)),
        }
        true
    }
}

impl Drop for Arriving {
    fn drop(&mut self) {
        // Less is always granted.
        let _ = self.change(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: u64 = 1600;

    fn address(text: &str) -> Option<IpAddr> {
        Some(text.parse().expect("an address"))
    }

    #[test]
    fn one_network_takes_half_and_leaves_the_rest_to_the_others() {
        let arrivals = Arrivals::new("bytes", LIMIT);
        let mut greedy = Vec::new();
        for number in 0..40 {
            // Each is another address of one network.
            let mut arriving = arrivals.nothing(address(&format!("2001:db8::{number:x}")));
            if arriving.change(50) {
                greedy.push(arriving);
            }
        }
        assert_eq!(greedy.len(), 16, "half of it");
        let mut others: Vec<Arriving> =
            (0..10).map(|number| arrivals.nothing(address(&format!("10.0.0.{number}")))).collect();
        for other in others.iter_mut().take(8) {
            assert!(other.change(100) && !other.change(101), "a sixteenth");
        }
        assert!(!others[8].change(1), "there is no more");
        assert!(others[0].change(0) && others[8].change(60));
        drop((greedy, others));
        assert_eq!(arrivals.budget.used(), 0);
        assert!(arrivals.networks.lock().is_empty());
        let mut alone = arrivals.nothing(None);
        assert!(alone.change(LIMIT / 2) && !alone.change(LIMIT), "and half in calm times");
    }
}
