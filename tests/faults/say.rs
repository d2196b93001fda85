//! What the harness says while it works, line by line.

use std::io::Write as _;

use crate::timeline::now_ms;

pub fn say(line: impl AsRef<str>) {
    // Whoever started this and went away does not want it any more.
    let _ = writeln!(std::io::stdout(), "{}", line.as_ref());
}

/// With the time, which the books have too.
pub fn note(what: &str) {
    say(format!("{} {what}", now_ms()));
}
