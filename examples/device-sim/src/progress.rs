//! How far something is that takes long: a line that changes on a terminal, a line now and then elsewhere.
//! On standard error, so that standard output has what was asked for and nothing else.

mod speed;

use std::io::Write as _;
use std::time::{Duration, Instant};

use crate::figure;
use crate::screen::terminal::line_width;
use speed::Speed;

/// What is done before this time is not spoken of: on a terminal, and elsewhere.
const TERMINAL_AFTER: Duration = Duration::from_secs(1);
const LINES_AFTER: Duration = Duration::from_secs(5);
/// Between two changes of the line, and between two lines.
const TERMINAL_PAUSE: Duration = Duration::from_millis(200);
const LINES_PAUSE: Duration = Duration::from_secs(5);
const MEGABYTE: u64 = 1_000_000;

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    Things(&'static str),
    Bytes,
}

/// Some work of which it is known how much there is. Its line is gone when it is dropped.
pub struct Work {
    what: String,
    unit: Unit,
    total: u64,
    speed: Speed,
    began: Instant,
    next: Instant,
    on_terminal: bool,
    is_shown: bool,
}

impl Work {
    pub fn begin(what: impl Into<String>, unit: Unit, total: u64) -> Work {
        let (began, on_terminal) = (Instant::now(), line_width().is_some());
        let next = began + if on_terminal { TERMINAL_AFTER } else { LINES_AFTER };
        let mut speed = Speed::default();
        speed.reach(Duration::ZERO, 0);
        Work { what: what.into(), unit, total, speed, began, next, on_terminal, is_shown: false }
    }

    /// So much is done.
    pub fn reach(&mut self, done: u64) {
        let now = Instant::now();
        self.speed.reach(now.duration_since(self.began), done);
        if now < self.next {
            return;
        }
        self.next = now + if self.on_terminal { TERMINAL_PAUSE } else { LINES_PAUSE };
        let text = told(&self.what, self.unit, done, self.total, &self.speed);
        self.show(&text);
    }

    /// Whoever does not look is no reason to end.
    fn show(&mut self, text: &str) {
        let mut out = std::io::stderr().lock();
        let _ = match line_width().filter(|_| self.on_terminal) {
            Some(width) => {
                self.is_shown = true;
                let text: String = text.chars().take(width).collect();
                write!(out, "\r{text}\x1b[K")
            }
            None => writeln!(out, "{text}"),
        };
        let _ = out.flush();
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        if self.is_shown {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}

fn told(what: &str, unit: Unit, done: u64, total: u64, speed: &Speed) -> String {
    let amount = match unit {
        Unit::Things(things) => {
            let (done, total) = (figure::count(done), figure::count(total));
            format!("{done} of {total} {things}, {}/s", figure::rate(speed.rate()))
        }
        Unit::Bytes => {
            let (done, total) = (figure::count(done / MEGABYTE), figure::count(total / MEGABYTE));
            format!("{done} of {total} MB, {} MB/s", figure::rate(speed.rate() / MEGABYTE as f64))
        }
    };
    let left = match speed.left(total) {
        Some(left) => format!("{} left", figure::clock(left)),
        None => "time left unknown".to_owned(),
    };
    format!("{what}: {amount}, {left}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_what_how_much_and_how_long() {
        let mut speed = Speed::default();
        speed.reach(Duration::ZERO, 0);
        let line = |speed: &Speed, unit| told("reads Kafka", unit, 12_000, 40_000, speed);
        assert_eq!(
            line(&speed, Unit::Things("records")),
            "reads Kafka: 12,000 of 40,000 records, 0.0/s, time left unknown"
        );
        speed.reach(Duration::from_secs(4), 12_000);
        assert_eq!(
            line(&speed, Unit::Things("records")),
            "reads Kafka: 12,000 of 40,000 records, 3,000/s, 0:09 left"
        );
        let mut speed = Speed::default();
        speed.reach(Duration::ZERO, 0);
        speed.reach(Duration::from_secs(2), 50 * MEGABYTE);
        assert_eq!(
            told("reads the ledger", Unit::Bytes, 50 * MEGABYTE, 2000 * MEGABYTE, &speed),
            "reads the ledger: 50 of 2,000 MB, 25.0 MB/s, 1:18 left"
        );
    }
}
