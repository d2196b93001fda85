//! Lines of the log that would come in floods come now and then.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// Allows something once in a while, by default once a second.
pub struct RateLimit {
    pause: Duration,
    last: Mutex<Option<Instant>>,
}

impl Default for RateLimit {
    fn default() -> RateLimit {
        RateLimit::every(Duration::from_secs(1))
    }
}

impl RateLimit {
    pub fn every(pause: Duration) -> RateLimit {
        RateLimit { pause, last: Mutex::default() }
    }

    pub fn allows(&self) -> bool {
        self.allows_at(Instant::now())
    }

    fn allows_at(&self, now: Instant) -> bool {
        let mut last = self.last.lock();
        let allows = last.is_none_or(|last| now.saturating_duration_since(last) >= self.pause);
        if allows {
            *last = Some(now);
        }
        allows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_allows_once_in_a_while() {
        let limit = RateLimit::every(Duration::from_secs(60));
        let start = Instant::now();
        let allowed = [0, 1, 59, 60, 61, 119, 120].map(|second| {
            let now = start + Duration::from_secs(second);
            limit.allows_at(now)
        });
        assert_eq!(allowed, [true, false, false, true, false, false, true]);
    }
}
