//! When a device says something next, at whatever pace the fleet has. Pure.

use std::time::{Duration, Instant};

use crate::orders::{FLOOD_TIMES, Pace};

/// See the module.
#[derive(Clone, Copy, Debug)]
pub struct Rhythm {
    pace: Pace,
    /// When it is due; none of a fleet that was stopped.
    due: Option<Instant>,
    /// What was left until then, at the usual pace, when it was stopped.
    left: Duration,
}

impl Rhythm {
    /// The first is due after this pause.
    pub fn new(now: Instant, pause: Duration) -> Rhythm {
        Rhythm { pace: Pace::Usual, due: Some(now + pause), left: Duration::ZERO }
    }

    /// What was due is said; the next follows after this pause. Who was kept from saying it in time makes up
    /// for it.
    pub fn said(&mut self, pause: Duration) {
        match &mut self.due {
            Some(due) => *due += hurried(self.pace, pause),
            None => self.left += pause,
        }
    }

    /// From now on at this pace: what is left of the pause becomes shorter or longer, and the time that the
    /// fleet was stopped does not count.
    pub fn follow(&mut self, pace: Pace, now: Instant) {
        if pace == self.pace {
            return;
        }
        if let Some(due) = self.due {
            let left = due.saturating_duration_since(now);
            self.left = if self.pace == Pace::Flood { left * FLOOD_TIMES } else { left };
        }
        self.pace = pace;
        self.due = match pace {
            Pace::Stopped => None,
            Pace::Usual | Pace::Flood => Some(now + hurried(pace, self.left)),
        };
    }

    pub fn due(&self) -> Option<Instant> {
        self.due
    }
}

fn hurried(pace: Pace, pause: Duration) -> Duration {
    if pace == Pace::Flood { pause / FLOOD_TIMES } else { pause }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_stop_moves_what_is_due_and_a_flood_brings_it_near() {
        let begin = Instant::now();
        let mut rhythm = Rhythm::new(begin, 10 * SECOND);
        rhythm.follow(Pace::Stopped, begin + 4 * SECOND);
        assert_eq!(rhythm.due(), None);
        rhythm.follow(Pace::Usual, begin + 100 * SECOND);
        assert_eq!(rhythm.due(), Some(begin + 106 * SECOND), "no flood of what was not said");
        rhythm.follow(Pace::Flood, begin + 101 * SECOND);
        assert_eq!(rhythm.due(), Some(begin + 101 * SECOND + SECOND / 2));
        rhythm.said(10 * SECOND);
        assert_eq!(rhythm.due(), Some(begin + 102 * SECOND + SECOND / 2));
        rhythm.follow(Pace::Usual, begin + 102 * SECOND);
        assert_eq!(rhythm.due(), Some(begin + 107 * SECOND));
        rhythm.follow(Pace::Usual, begin + 103 * SECOND);
        assert_eq!(rhythm.due(), Some(begin + 107 * SECOND), "told twice is told once");
    }
}
