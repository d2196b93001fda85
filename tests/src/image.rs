//! The container image and what runs it, as far as it can be seen without a container engine: the
//! Dockerfile, .dockerignore and compose.yaml, read by the engines' own parsers.
//!
//! What checks a file returns what is wrong with it, so that a test can break a copy of the file and see
//! that it is noticed.

pub mod compose;
pub mod dockerfile;

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::tools::tool;

/// Asks the engines' parsers about a file; an error is what they say.
fn parsed(what: &str, path: &Path, environment: &[(&str, &str)]) -> Result<Value, String> {
    let mut command = Command::new(tool("bin/container-files"));
    command.arg(what).arg(path).env_remove("S3_SECRET_KEY").envs(environment.iter().copied());
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    if !output.status.success() {
        return Err(format!(
            "{command:?} ends with {}: {}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        ));
    }
    serde_json::from_slice(&output.stdout).map_err(|error| format!("no JSON: {error}"))
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
