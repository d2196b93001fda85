//! Time and pace of a load: nanoseconds since its start, and when each message is due.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Nanoseconds since the clock was made; never zero.
pub struct Clock {
    start: Instant,
    /// The start, in nanoseconds since 1970.
    unix: u64,
}

impl Clock {
    pub fn start() -> Clock {
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Clock { start: Instant::now(), unix: unix.as_nanos() as u64 }
    }

    pub fn now(&self) -> u64 {
        self.start.elapsed().as_nanos() as u64 + 1
    }

    /// A time of this clock in nanoseconds since 1970.
    pub fn unix(&self, now: u64) -> u64 {
        self.unix + now
    }
}

/// Messages leave at these steps, in nanoseconds. Without steps, every answer would wake the sender and
/// send the next message early, and how many leave at once would depend on how quick the answers are.
const STEP: u64 = 1_000_000;

/// When messages are due at a steady rate. It does not wait for anybody: a message that could not leave
/// in time is still counted from when it was due.
pub struct Pace {
    from: u64,
    per_second: u64,
    taken: u64,
}

impl Pace {
    pub fn new(from: u64, per_second: u64) -> Pace {
        Pace { from, per_second, taken: 0 }
    }

    /// The number and the due time of the next message, if it was due at the last step.
    pub fn take(&mut self, now: u64) -> Option<(u64, u64)> {
        let number = self.taken;
        let due =
            self.from + (u128::from(number) * 1_000_000_000 / u128::from(self.per_second)) as u64;
        (due <= now - now % STEP).then(|| {
            self.taken += 1;
            (number, due)
        })
    }
}

/// Until the next step.
pub fn until_step(now: u64) -> Duration {
    Duration::from_nanos(STEP - now % STEP)
}

/// From when until when a load is measured: after a warm-up, for a while.
pub struct Span {
    pub from: u64,
    pub until: u64,
}

impl Span {
    pub fn after(now: u64, warm_up: Duration, duration: Duration) -> Span {
        let from = now + warm_up.as_nanos() as u64;
        Span { from, until: from + duration.as_nanos() as u64 }
    }

    pub fn seconds(&self) -> f64 {
        (self.until - self.from) as f64 / 1e9
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_due_at_their_rate_and_leave_at_steps() {
        let mut pace = Pace::new(STEP / 2, 2000);
        assert_eq!(pace.take(STEP - 1), None, "the first is due, and the step has not come");
        assert_eq!(pace.take(STEP), Some((0, STEP / 2)));
        assert_eq!(pace.take(STEP), Some((1, STEP)));
        assert_eq!(pace.take(2 * STEP - 1), None);
        // Nothing is left out after a pause.
        assert_eq!((0..).map_while(|_| pace.take(1000 * STEP)).count(), 1998);
        assert_eq!(until_step(5 * STEP + 1), Duration::from_nanos(STEP - 1));
    }
}
