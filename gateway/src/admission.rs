//! How many connections there are, beside how many there may be.

use std::sync::Arc;

use bridge::balance::Balance;

/// See the module.
pub struct Admission {
    /// Connections at a time.
    limit: u32,
    /// Sockets that are open, in whatever state.
    open: Balance,
}

/// A socket that counts, until this is dropped.
pub struct Admitted {
    admission: Arc<Admission>,
}

impl Admission {
    pub fn new(limit: u32) -> Arc<Admission> {
        Arc::new(Admission { limit, open: Balance::new("connections") })
    }

    /// Counts a socket in; with it, by how many there are more than there may be, zero within the limit.
    pub fn admit(self: &Arc<Admission>) -> (Admitted, u32) {
        let others = self.open.take(1);
        let over_limit_by = (others + 1).saturating_sub(self.limit.into());
        (Admitted { admission: Arc::clone(self) }, over_limit_by as u32)
    }

    /// Open sockets.
    pub fn open(&self) -> u32 {
        self.open.taken() as u32
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        self.admission.open.give_back(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_counts_until_it_is_gone() {
        let admission = Admission::new(2);
        let admitted: Vec<(Admitted, u32)> = (0..4).map(|_| admission.admit()).collect();
        let over: Vec<u32> = admitted.iter().map(|(_, over_limit_by)| *over_limit_by).collect();
        assert_eq!(over, [0, 0, 1, 2]);
        assert_eq!(admission.open(), 4);
        drop(admitted);
        assert_eq!(admission.open(), 0);
        assert_eq!(admission.admit().1, 0);
    }

    /// Else one that is counted out twice would let in one more than there may be, for ever.
    #[test]
    #[cfg_attr(debug_assertions, should_panic(expected = "connections were given back"))]
    fn one_that_goes_twice_is_found() {
        let admission = Admission::new(2);
        let twice = || Admitted { admission: Arc::clone(&admission) };
        let (admitted, _) = admission.admit();
        drop(admitted);
        drop(twice());
        assert_eq!(admission.open(), 0);
    }
}
