//! What connections may do now: serve, finish, or end. It only moves on.

use std::sync::atomic::{AtomicU8, Ordering};

/// See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Sockets are read.
    Running = 0,
    /// Nothing is read any more; what was submitted is acknowledged.
    Draining = 1,
    /// Connections end.
    Closing = 2,
}

/// The phase that the process is in.
pub struct CurrentPhase(AtomicU8);

impl CurrentPhase {
    pub const fn running() -> CurrentPhase {
        CurrentPhase(AtomicU8::new(Phase::Running as u8))
    }

    pub fn get(&self) -> Phase {
        match self.0.load(Ordering::Acquire) {
            0 => Phase::Running,
            1 => Phase::Draining,
            _ => Phase::Closing,
        }
    }

    /// Moves on to a later phase; an earlier one changes nothing.
    pub fn enter(&self, phase: Phase) {
        self.0.fetch_max(phase as u8, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_only_moves_on() {
        let current = CurrentPhase::running();
        for (entered, expected) in [
            (Phase::Running, Phase::Running),
            (Phase::Draining, Phase::Draining),
            (Phase::Running, Phase::Draining),
            (Phase::Closing, Phase::Closing),
            (Phase::Draining, Phase::Closing),
        ] {
            current.enter(entered);
            assert_eq!(current.get(), expected);
        }
    }
}
