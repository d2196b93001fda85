//! The table of reasons why a message has no events, for those who make firmware and those who watch it.

use std::fmt::Write as _;

use parse::failure::Reason;

use crate::sections::cell;

pub fn table() -> String {
    let mut text = "| reason | what it says |\n|---|---|\n".to_owned();
    for reason in Reason::ALL {
        let _ = writeln!(text, "| `{}` | {} |", reason.label(), cell(reason.meaning()));
    }
    text
}
