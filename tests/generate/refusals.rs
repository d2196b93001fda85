//! The table of what clients are refused, for those who write and watch them: codes, sentences and labels.

use std::fmt::Write as _;

use gateway::connection::Refusal;
use gateway::mqtt::{Version, reason};

use crate::sections::cell;

pub fn table() -> String {
    let mut text =
        "| v5 | v3 CONNACK | what a v5 client is told | label |\n|---|---|---|---|\n".to_owned();
    for refusal in Refusal::ALL {
        let v3 = refusal.connack_code(Version::V311).and_then(reason::v3_connack);
        let v3 = v3.map_or(String::new(), |code| code.to_string());
        let _ = writeln!(
            text,
            "| 0x{:02X} | {v3} | {} | `{}` |",
            refusal.code(),
            cell(refusal.sentence()),
            refusal.label()
        );
    }
    text
}
