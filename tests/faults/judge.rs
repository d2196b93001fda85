//! The judge: holds what the fleet's books say against what has landed, and finds what Landfall promised and did not
//! keep. It reads no clock and no Kafka, and shares no code with the gateway; only objects and
//! the files of an old case are opened here.

// The books and the records, each record with its message.
mod case;
// What a record has to hold.
mod content;
// What is in the object store.
mod object;
// What was acknowledged and is nowhere.
mod lost;
// A device's messages in a Kafka topic, one after another.
mod order;
// What is there more than once, and why.
mod doubles;
// How long acknowledgements took, and how soon they came again.
mod times;
// What was found, with examples.
mod verdict;
// Once more, from files.
mod again;

use std::collections::HashSet;
use std::fmt::Display;
use std::ops::Range;
use std::path::Path;

use serde::{Deserialize, Serialize};

pub use again::{Options, run};
pub use case::Case;
pub use object::Object;
pub use verdict::{Kind, Verdict};

use crate::landed::MessageId;

/// What is known beside books and records; times are milliseconds since 1970, as in the books.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Evidence {
    /// The ids that gateways handed over to Kafka's producer again.
    pub handed_over_again: HashSet<MessageId>,
    /// There were more of them than could be fetched.
    pub overflowed: bool,
    /// When a gateway was killed.
    pub killed_ms: Vec<u64>,
    /// When records of a Kafka topic were deleted on purpose: what was acknowledged then may be gone.
    pub deleted: Vec<(String, Range<u64>)>,
    /// Reason codes that may be answered without a dead letter.
    pub refusals: Vec<u8>,
    /// When everything was whole again.
    pub healed_ms: Option<u64>,
}

impl Evidence {
    /// Keeps it for whoever judges the case again.
    pub fn write(&self, path: &Path) -> Result<(), String> {
        let text = serde_json::to_string_pretty(self).map_err(|error| error.to_string())?;
        std::fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
    }

    pub fn read(path: &Path) -> Result<Evidence, String> {
        let cannot = |error: &dyn Display| format!("{} cannot be read: {error}", path.display());
        let text = std::fs::read_to_string(path).map_err(|error| cannot(&error))?;
        serde_json::from_str(&text).map_err(|error| cannot(&error))
    }
}

#[cfg(test)]
mod tests;
