//! Where the audit log goes: by default to standard output as soon as clients are told apart.

use std::path::{Path, PathBuf};

use super::Checker;
use crate::audit::Target;
use crate::config::{Secrets, written};

impl Checker {
    /// None: it is not written.
    pub(super) fn audit(&mut self, tells_clients_apart: bool) -> Option<Target> {
        let written::Audit { to, file } = self.section("audit").unwrap_or_default();
        match (to.as_deref(), file) {
            (None, None) => tells_clients_apart.then_some(Target::Stdout),
            (Some("stdout"), None) => Some(Target::Stdout),
            (Some("stderr"), None) => Some(Target::Stderr),
            (Some("off"), None) => None,
            (None, Some(file)) => {
                let path = PathBuf::from(file);
                let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
                let folder = folder.unwrap_or(Path::new("."));
                if self.secrets == Secrets::Read && !folder.is_dir() {
                    let text = format!("there is no folder {}: make it first", folder.display());
                    self.faults.add("audit.file", text);
                } else if path.is_dir() {
                    let text = format!("{} is a folder: write the name of a file", path.display());
                    self.faults.add("audit.file", text);
                }
                Some(Target::File(path))
            }
            (Some(_), Some(_)) => {
                self.faults.add("audit", "write either `to` or `file`: it goes to one place");
                None
            }
            (Some(other), None) => {
                let text =
                    format!("{other:?} is not known: write stdout, stderr or off, or `file: PATH`");
                self.faults.add("audit.to", text);
                None
            }
        }
    }
}
