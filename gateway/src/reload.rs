//! What is read from files and may be read anew while the gateway runs.

use std::path::PathBuf;

use crate::config::Faults;

/// Something that files say: certificates, keys, passwords, rules.
pub trait Reload: Send + Sync {
    /// Where the configuration names it, such as `listeners[0].tls`.
    fn place(&self) -> &str;

    /// What it was read from.
    fn files(&self) -> Vec<PathBuf>;

    /// Reads all of it anew. At a fault everything stays as it was.
    fn reload(&self) -> Result<(), Faults>;
}
