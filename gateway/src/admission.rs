//! How many connections there are, beside how many there may be, and what they speak: of the gateway, and of each
//! listener.

use std::sync::Arc;

use bridge::balance::Balance;

use crate::mqtt::Version;

/// See the module.
pub struct Admission {
    /// Connections at a time.
    limit: u32,
    /// Sockets that are open, in whatever state.
    open: Balance,
    /// Those whose CONNECT was accepted, by the place of its version in [`Version::ALL`].
    speaking: [Balance; Version::ALL.len()],
}

/// A socket that counts, in the gateway and at its listener, until this is dropped.
pub struct Admitted {
    /// In a box, because a connection has no room to spare.
    counted: Box<Counted>,
}

struct Counted {
    gateway: Arc<Admission>,
    listener: Arc<Admission>,
    /// What it speaks, once that is known.
    version: Option<Version>,
}

impl Admission {
    pub fn new(limit: u32) -> Arc<Admission> {
        let speaking = Version::ALL.map(|_| Balance::new("connections of a version"));
        Arc::new(Admission { limit, open: Balance::new("connections"), speaking })
    }

    /// Counts a socket of that listener in; with it, by how many there are more than there may be, zero within
    /// both limits.
    pub fn admit(self: &Arc<Admission>, listener: &Arc<Admission>) -> (Admitted, u32) {
        let over_limit_by = self.count_in().max(listener.count_in());
        let (gateway, listener) = (Arc::clone(self), Arc::clone(listener));
        let counted = Box::new(Counted { gateway, listener, version: None });
        (Admitted { counted }, over_limit_by)
    }

    fn count_in(&self) -> u32 {
        let others = self.open.take(1);
        (others + 1).saturating_sub(self.limit.into()) as u32
    }

    pub fn limit(&self) -> u32 {
        self.limit
    }

    /// Open sockets.
    pub fn open(&self) -> u32 {
        self.open.taken() as u32
    }

    /// Connections whose CONNECT was accepted, by version.
    pub fn speaking(&self) -> impl Iterator<Item = (Version, u32)> {
        let counts = self.speaking.iter().map(|count| count.taken() as u32);
        Version::ALL.into_iter().zip(counts)
    }
}

impl Admitted {
    /// Its CONNECT was accepted: it counts among those of its listener that speak the same. Once.
    pub fn speaks(&mut self, version: Version) {
        assert!(self.counted.version.is_none(), "a connection speaks one version");
        self.counted.version = Some(version);
        self.counted.listener.speaking[version as usize].take(1);
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.gateway.open.give_back(1);
        self.listener.open.give_back(1);
        if let Some(version) = self.version {
            self.listener.speaking[version as usize].give_back(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_counts_until_it_is_gone() {
        let (gateway, listener) = (Admission::new(2), Admission::new(9));
        let admitted: Vec<(Admitted, u32)> = (0..4).map(|_| gateway.admit(&listener)).collect();
        let over: Vec<u32> = admitted.iter().map(|(_, over_limit_by)| *over_limit_by).collect();
        assert_eq!(over, [0, 0, 1, 2]);
        assert_eq!((gateway.open(), listener.open()), (4, 4));
        drop(admitted);
        assert_eq!((gateway.open(), listener.open()), (0, 0));
        assert_eq!(gateway.admit(&listener).1, 0);
    }

    #[test]
    fn a_listener_may_have_fewer_than_the_gateway() {
        let (gateway, few, many) = (Admission::new(3), Admission::new(1), Admission::new(9));
        let _first = gateway.admit(&few);
        assert_eq!(gateway.admit(&few).1, 1);
        let _second = gateway.admit(&many);
        let _third = gateway.admit(&many);
        assert_eq!(gateway.admit(&many).1, 1, "the gateway has as many as it may");
    }

    #[test]
    fn who_speaks_what_counts_at_its_listener_until_it_is_gone() {
        let (gateway, listener) = (Admission::new(9), Admission::new(9));
        let speaking = |admission: &Admission| {
            admission
                .speaking()
                .map(|(version, count)| (version.label(), count))
                .collect::<Vec<_>>()
        };
        let (mut old, _) = gateway.admit(&listener);
        let (mut new, _) = gateway.admit(&listener);
        let (_silent, _) = gateway.admit(&listener);
        old.speaks(Version::V31);
        new.speaks(Version::V5);
        assert_eq!(speaking(&listener), [("3.1", 1), ("3.1.1", 0), ("5", 1)]);
        drop(old);
        assert_eq!(speaking(&listener), [("3.1", 0), ("3.1.1", 0), ("5", 1)]);
        drop(new);
        assert_eq!(speaking(&listener), [("3.1", 0), ("3.1.1", 0), ("5", 0)]);
        assert_eq!(listener.open(), 1);
    }

    /// Else one that is counted out twice would let in one more than there may be, for ever.
    #[test]
    #[cfg_attr(debug_assertions, should_panic(expected = "connections were given back"))]
    fn one_that_goes_twice_is_found() {
        let (gateway, listener) = (Admission::new(2), Admission::new(2));
        let (one, other) = (Arc::clone(&gateway), Arc::clone(&listener));
        let twice = || Counted { gateway: one, listener: other, version: None };
        let (admitted, _) = gateway.admit(&listener);
        drop(admitted);
        drop(twice());
        assert_eq!(gateway.open(), 0);
    }
}
