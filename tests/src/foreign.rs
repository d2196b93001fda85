//! Programs that are not ours: mosquitto's clients, kcat, and the Python and JavaScript clients of
//! `tests/tools/clients`.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::process::Process;
use crate::tools::{Folder, repository, tool};

/// How long a client may take for all it has to do.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs it to its end, which has to be a good one; returns its standard
/// output.
#[track_caller]
pub fn run(name: &str, command: Command) -> String {
    let folder = Folder::new(name);
    let mut process = Process::start(name, command, &folder);
    let status = process.wait(PATIENCE);
    assert!(status.success(), "{name} failed: {status}\n{}", process.log());
    process.output()
}

/// `mosquitto_pub` with these arguments.
#[track_caller]
pub fn mosquitto_pub(arguments: &[&str]) -> String {
    let mut command = Command::new("mosquitto_pub");
    command.args(arguments);
    run("mosquitto_pub", command)
}

/// `kcat` with these arguments.
#[track_caller]
pub fn kcat(arguments: &[&str]) -> String {
    let mut command = Command::new("kcat");
    command.args(arguments);
    run("kcat", command)
}

/// A script of `tests/tools/clients`, by Python with its packages and the classes of the formats.
#[track_caller]
pub fn python(script: &str, arguments: &[&str]) -> String {
    let mut command = python_command(&client(script));
    command.args(arguments);
    run(script, command)
}

/// Python with its packages and the classes of the formats, and a script for it.
pub fn python_command(script: &Path) -> Command {
    let mut command = Command::new(tool("python/bin/python"));
    command.env("PYTHONPATH", tool("proto")).env("PYTHONDONTWRITEBYTECODE", "1");
    command.arg(script);
    command
}

/// A script of `tests/tools/clients`, by Node.js with its packages.
#[track_caller]
pub fn node(script: &str, arguments: &[&str]) -> String {
    let mut command = Command::new("node");
    command.env("NODE_PATH", tool("node/node_modules"));
    command.arg(client(script)).args(arguments);
    run(script, command)
}

/// A `mosquitto_sub` that goes on until it is dropped; its output has a line for each
/// message.
#[track_caller]
pub fn mosquitto_sub(folder: &Folder, name: &str, arguments: &[&str]) -> Process {
    let mut command = Command::new("mosquitto_sub");
    command.args(arguments);
    Process::start(name, command, folder)
}

fn client(script: &str) -> PathBuf {
    repository().join("tests/tools/clients").join(script)
}
