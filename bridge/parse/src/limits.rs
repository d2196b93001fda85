//! What one message may cost. Strangers write payloads: each limit has a reason of its own for what is
//! beyond it.

/// Limits of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes that a compressed payload may become.
    pub decompressed: usize,
    /// So many times larger than it came it may become, beyond [`RATIO_FREE`].
    pub ratio: usize,
    /// Objects and lists within each other.
    pub depth: usize,
    /// Records of a message.
    pub events: u64,
    /// Bytes of one event: its names, texts and bytes, and 32 for each value.
    pub event_size: usize,
    /// Bytes of one document that is held as a whole: a JSON payload, a line, a row.
    pub document_size: usize,
    /// Steps of a jq program for one document.
    pub jq_steps: u64,
}

/// Bytes that a payload may become at any ratio: short ones that repeat themselves compress well.
pub const RATIO_FREE: usize = 1024 * 1024;

/// So many times its bytes a document of the largest size may take in memory, as the tree that is made of it.
/// What devices send takes that; what is made of the smallest values only could take fifty times.
pub const TREE_COST: usize = 4;

/// Bytes that the tree of a document may take, however small documents have to be.
const TREE_MIN: usize = 64 * 1024;

/// Bytes of the largest document that can be configured: places in it are 32-bit.
pub const DOCUMENT_MAX: usize = 1024 * 1024 * 1024;

/// Levels of the deepest document that can be configured: what walks one is recursive.
pub const DEPTH_MAX: usize = 1000;

/// Lists and maps within each other in a field: a map costs protobuf three levels, and its readers in Java,
/// Python and Rust take a hundred.
pub const VALUE_DEPTH_MAX: usize = 30;

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            decompressed: 256 * 1024 * 1024,
            ratio: 100,
            depth: 128,
            events: 1_000_000,
            event_size: 1024 * 1024,
            document_size: 8 * 1024 * 1024,
            jq_steps: 10_000_000,
        }
    }
}

impl Limits {
    /// Bytes of memory that a document may take as a tree.
    pub fn tree(&self) -> usize {
        self.document_size.saturating_mul(TREE_COST).max(TREE_MIN)
    }
}
