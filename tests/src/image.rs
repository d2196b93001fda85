//! The container image and what runs it, without a container engine: its files are read by the engines'
//! own parsers, its root file system is laid out by the Dockerfile's own commands, and its services run
//! as an engine would start them, in namespaces.
//!
//! What checks a file returns what is wrong with it, so that a test can break a copy of the file and see
//! that it is noticed.

pub mod compose;
pub mod dockerfile;
pub mod machine;
pub mod root;
pub mod services;

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::tools::tool;

/// Asks the engines' parsers about a file; an error is what they say.
fn parsed(what: &str, path: &Path, environment: &[(&str, &str)]) -> Result<Value, String> {
    let mut command = Command::new(tool("bin/container-files"));
    command.arg(what).arg(path).env_remove("S3_SECRET_KEY").envs(environment.iter().copied());
    serde_json::from_slice(&output(command)?).map_err(|error| format!("no JSON: {error}"))
}

/// What a command that must succeed wrote; an error is what it said.
fn output(mut command: Command) -> Result<Vec<u8>, String> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    match output.status.success() {
        true => Ok(output.stdout),
        false => Err(format!(
            "{command:?} ends with {}: {}{}",
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        )),
    }
}

/// Nothing, or all faults in one text.
fn no_faults(faults: Vec<String>) -> Result<(), String> {
    match faults.is_empty() {
        true => Ok(()),
        false => Err(faults.join("\n")),
    }
}

/// Does a reference of an image name one version of it?
fn pinned(image: &str) -> bool {
    let name = image.rsplit('/').next().unwrap_or(image);
    if image.contains("@sha256:") {
        return true;
    }
    // Such as `1.95.0-bookworm`, never `latest` or `main`.
    name.split_once(':').is_some_and(|(_, tag)| {
        tag.trim_start_matches('v').split('.').filter(|part| !part.is_empty()).count() >= 3
            && tag.trim_start_matches('v').starts_with(|first: char| first.is_ascii_digit())
    })
}
