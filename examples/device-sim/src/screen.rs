//! What a run shows on a terminal: the fleet as it is, second by second.

mod course;
mod layout;
mod row;
pub mod terminal;

use std::io;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::counters::Counters;
use course::Course;
pub use layout::Phase;
use layout::{View, lay_out};
use terminal::Terminal;

/// Between two samples of the sums: a second, as far as the times at which it is drawn are regular.
const SAMPLE_PAUSE: Duration = Duration::from_millis(900);

/// What does not change while a run lasts.
pub struct Told {
    pub gateway: String,
    pub seed: u64,
    pub ledger: String,
    pub hostile: usize,
    pub keys: bool,
}

/// See the module.
pub struct Screen {
    terminal: Terminal,
    told: Told,
    course: Course,
    sampled: Option<Duration>,
}

impl Screen {
    pub fn new(terminal: Terminal, told: Told) -> Screen {
        Screen { terminal, told, course: Course::default(), sampled: None }
    }

    /// Draws everything as it is now.
    pub fn draw(&mut self, counters: &Counters, phase: Phase) -> io::Result<()> {
        let elapsed = counters.elapsed();
        if phase == Phase::Ended {
            self.course.end(elapsed, counters.profiles());
        } else if self.sampled.is_none_or(|sampled| elapsed >= sampled + SAMPLE_PAUSE) {
            self.course.take(elapsed, counters.profiles());
            self.sampled = Some(elapsed);
        }
        let load = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
        let hostile = (self.told.hostile > 0).then(|| {
            let turned_away = load(&counters.hostile_turned_away);
            (self.told.hostile, turned_away, load(&counters.hostile_got_in))
        });
        let view = View {
            gateway: &self.told.gateway,
            seed: self.told.seed,
            ledger: &self.told.ledger,
            elapsed,
            phase,
            total: &counters.total(),
            course: &self.course,
            happenings: &counters.happenings(),
            hostile,
            keys: self.told.keys,
        };
        let (width, height) = self.terminal.size();
        self.terminal.draw(&lay_out(&view, width, height))
    }

    /// The terminal, to be stopped and to go on with.
    pub fn terminal(&mut self) -> &mut Terminal {
        &mut self.terminal
    }
}
