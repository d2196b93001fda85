//! How many connections there are, beside how many there may be: of the gateway, and of each listener.

use std::sync::Arc;

use bridge::balance::Balance;

/// See the module.
pub struct Admission {
    /// Connections at a time.
    limit: u32,
    /// Sockets that are open, in whatever state.
    open: Balance,
}

/// A socket that counts, in the gateway and at its listener, until this is dropped.
pub struct Admitted {
    /// In a box, because a connection has no room to spare.
    counted_in: Box<[Arc<Admission>; 2]>,
}

impl Admission {
    pub fn new(limit: u32) -> Arc<Admission> {
        Arc::new(Admission { limit, open: Balance::new("connections") })
    }

    /// Counts a socket of that listener in; with it, by how many there are more than there may be, zero within
    /// both limits.
    pub fn admit(self: &Arc<Admission>, listener: &Arc<Admission>) -> (Admitted, u32) {
        let over_limit_by = self.count_in().max(listener.count_in());
        let counted_in = Box::new([Arc::clone(self), Arc::clone(listener)]);
        (Admitted { counted_in }, over_limit_by)
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
}

impl Drop for Admitted {
    fn drop(&mut self) {
        self.counted_in.iter().for_each(|admission| admission.open.give_back(1));
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

    /// Else one that is counted out twice would let in one more than there may be, for ever.
    #[test]
    #[cfg_attr(debug_assertions, should_panic(expected = "connections were given back"))]
    fn one_that_goes_twice_is_found() {
        let (gateway, listener) = (Admission::new(2), Admission::new(2));
        let both = || Box::new([Arc::clone(&gateway), Arc::clone(&listener)]);
        let twice = || Admitted { counted_in: both() };
        let (admitted, _) = gateway.admit(&listener);
        drop(admitted);
        drop(twice());
        assert_eq!(gateway.open(), 0);
    }
}
