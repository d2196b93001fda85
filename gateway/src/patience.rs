//! Deadlines for clients, from which the time is taken off that the gateway itself stood still.
//!
//! A gateway that was stopped (SIGSTOP, a frozen container, a machine without time for it) finds all
//! its timers due at once, and the runtime has seen only some of its sockets: 1,024 in one turn. What
//! clients sent meanwhile is in the kernel, or is sent again by theirs. So nobody is ended by the clock
//! before the kernel itself was asked, past what the runtime knows of the socket (`net/transport.rs`);
//! and who comes late to a deadline gives as much time again, once ([`Patience`]).

use std::pin::pin;
use std::time::{Duration, Instant};

/// Timers that are this late were not late by themselves: the gateway stood still.
const LATE: Duration = Duration::from_secs(1);

/// How late somebody comes to a deadline, if that is the gateway's own standstill.
pub fn late_by(due: Instant, now: Instant) -> Option<Duration> {
    Some(now.saturating_duration_since(due)).filter(|late| *late >= LATE)
}

/// One deadline of one stranger.
pub struct Patience {
    due: Instant,
    excused: bool,
}

impl Patience {
    pub fn new(wait: Duration) -> Patience {
        Patience::since(Instant::now(), wait)
    }

    /// A deadline that began before.
    pub fn since(began: Instant, wait: Duration) -> Patience {
        Patience { due: began + wait, excused: false }
    }

    pub fn due(&self) -> tokio::time::Instant {
        tokio::time::Instant::from_std(self.due)
    }

    /// What comes of it within the deadline; None if nothing did.
    pub async fn wait_for<T>(&mut self, future: impl Future<Output = T>) -> Option<T> {
        let mut future = pin!(future);
        loop {
            match tokio::time::timeout_at(self.due(), &mut future).await {
                Ok(done) => return Some(done),
                Err(_) if self.ends(Instant::now()) => return None,
                Err(_) => {}
            }
        }
    }

    /// The deadline passed; false if it is a later one now.
    pub fn ends(&mut self, now: Instant) -> bool {
        let Some(late) = late_by(self.due, now).filter(|_| !self.excused) else { return true };
        self.excused = true;
        self.due = now + late;
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_comes_late_gives_as_much_time_again_once() {
        let wait = Duration::from_secs(10);
        let mut punctual = Patience::new(wait);
        assert!(punctual.ends(punctual.due + LATE / 2), "on time");
        let mut patience = Patience::new(wait);
        let (due, stood_still) = (patience.due, Duration::from_secs(7));
        assert!(!patience.ends(due + stood_still));
        assert_eq!(patience.due, due + 2 * stood_still);
        assert!(patience.ends(due + 5 * stood_still), "but not twice");
    }
}
