//! `landfall password`: a line for the password file, of a password that is never an argument, which others
//! on the machine could see.

use std::io::{self, BufRead as _, IsTerminal as _, Read as _, Write as _};
use std::process::ExitCode;

use anyhow::Context as _;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

use super::Failure;
use crate::identity::password::check_name;
use crate::identity::password::hash::Hash;

/// Longest password, in bytes.
const PASSWORD_MAX_BYTES: usize = 1024;

#[derive(clap::Args)]
pub struct Arguments {
    /// Whose password it is, which is the user name of CONNECT; without it only the hash is printed
    #[arg(value_name = "NAME")]
    name: Option<String>,
}

pub fn password(arguments: &Arguments) -> Result<ExitCode, Failure> {
    if let Some(name) = &arguments.name {
        check_name(name).map_err(|error| Failure::Usage(format!("{name:?}: {error}")))?;
    }
    let password = if io::stdin().is_terminal() { ask()? } else { line()? };
    if password.is_empty() || password.len() > PASSWORD_MAX_BYTES {
        return Err(Failure::Usage(format!("a password has 1 to {PASSWORD_MAX_BYTES} bytes")));
    }
    let hash = Hash::of(password.as_bytes(), rand::random());
    let hash = hash.context("there is no memory for the hash")?;
    match &arguments.name {
        Some(name) => writeln!(io::stdout(), "{name}:{hash}")?,
        None => writeln!(io::stdout(), "{hash}")?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Asks on the terminal, twice, and shows nothing of it.
fn ask() -> Result<String, Failure> {
    let hidden = Hidden::begin().context("the terminal cannot be told to show nothing")?;
    let answer = |question: &str| {
        write!(io::stderr(), "{question}")?;
        let answer = line();
        writeln!(io::stderr())?;
        answer
    };
    let (first, again) = (answer("password: ")?, answer("again: ")?);
    drop(hidden);
    match first == again {
        true => Ok(first),
        false => Err(Failure::Usage("both are not the same".to_owned())),
    }
}

/// A line of standard input, without its end.
fn line() -> Result<String, Failure> {
    let mut line = String::new();
    let most = PASSWORD_MAX_BYTES as u64 + 2;
    io::stdin().lock().take(most).read_line(&mut line)?;
    line.truncate(line.trim_end_matches(['\r', '\n']).len());
    Ok(line)
}

/// The terminal shows nothing that is typed, until this is dropped.
struct Hidden {
    before: Termios,
}

impl Hidden {
    fn begin() -> io::Result<Hidden> {
        let before = tcgetattr(io::stdin())?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        tcsetattr(io::stdin(), OptionalActions::Flush, &silent)?;
        Ok(Hidden { before })
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        // Where there is no terminal any more, there is nothing to be shown.
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.before);
    }
}
