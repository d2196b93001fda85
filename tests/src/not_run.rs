//! What this machine cannot do. A test that would need it says so here and returns; the last lines of
//! `make test` tell what was not run, so that nothing passes by being skipped.

use std::io::Write as _;
use std::process::Command;

use crate::tools::repository;

/// Notes what was not run, and why; says it at once too, whatever the test runner captures.
pub fn not_run(what: &str, why: &str) {
    // `eprintln!` would be shown for failed tests only.
    let _ = writeln!(std::io::stderr(), "NOT RUN HERE: {what}: {why}");
    let script = repository().join("tests/tools/not_run.sh");
    let noted = Command::new(script).args([what, why]).output().expect("the script can be started");
    assert!(noted.status.success(), "{}", String::from_utf8_lossy(&noted.stderr));
}
