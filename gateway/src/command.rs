//! The commands of `landfall`, and what they have in common: arguments, logging, exit codes.
//!
//! Exit codes: 0 done, 64 bad configuration or arguments, 1 anything else.

mod admin;
mod check;
mod dev;
mod explain;
mod parse;
mod password;
mod run;
mod schema;
mod show;
mod tail;
mod takes;

use std::io::{self, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};
use tracing_subscriber::EnvFilter;

use crate::config::{self, Secrets, Settings};
use crate::fault::Faults;
use crate::panics;

/// Under which name commands read from Kafka.
const READER: &str = "landfall-tail";
/// Bad configuration or arguments.
const EXIT_USAGE: u8 = 64;
/// What is logged; tracing's own syntax.
const LOG_VARIABLE: &str = "LANDFALL_LOG";
/// `json` for machines.
const LOG_FORMAT_VARIABLE: &str = "LANDFALL_LOG_FORMAT";

#[derive(Parser)]
#[command(
    name = "landfall",
    version,
    about = "Lands device messages in Kafka, acknowledged only when durable"
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run on this machine with nothing else: a Kafka in the process, objects in a folder
    Dev(dev::Arguments),
    /// Run the gateway
    Run(ConfigArgument),
    /// Check a configuration and list all its faults
    Check(check::Arguments),
    /// Print what may be written in a configuration, as a JSON Schema
    Schema,
    /// Tell where a message would go, and why
    Explain(Box<explain::Arguments>),
    /// Make events of raw messages
    Parse(parse::Arguments),
    /// Make a line for the password file; the password is read from standard input
    Password(password::Arguments),
    /// Print a lane's records from the beginning, as they come
    Tail(tail::Arguments),
}

#[derive(clap::Args)]
struct ConfigArgument {
    /// The configuration file; its keys can be overridden by LANDFALL__SECTION__KEY
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

/// For whom a command says what it found.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
}

/// Why a command ended early.
enum Failure {
    /// The configuration or the arguments are wrong.
    Usage(String),
    /// Anything else.
    Other(anyhow::Error),
    /// Whoever reads the output went away.
    ReaderGone,
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Failure {
        Failure::Other(error)
    }
}

impl From<Faults> for Failure {
    fn from(faults: Faults) -> Failure {
        Failure::Usage(faults.to_string())
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Failure::ReaderGone,
            _ => Failure::Other(error.into()),
        }
    }
}

/// Runs the command that the arguments name.
pub fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version are no faults. A closed terminal is nobody's.
            let _ = error.print();
            return if error.use_stderr() { ExitCode::from(EXIT_USAGE) } else { ExitCode::SUCCESS };
        }
    };
    let ended = match arguments.command {
        Command::Dev(arguments) => dev::dev(&arguments),
        Command::Run(ConfigArgument { config }) => run::run(&config),
        Command::Check(arguments) => check::check(&arguments),
        Command::Schema => schema::schema(),
        Command::Explain(arguments) => explain::explain(&arguments),
        Command::Parse(arguments) => parse::parse(&arguments),
        Command::Password(arguments) => password::password(&arguments),
        Command::Tail(arguments) => tail::tail(&arguments),
    };
    match ended {
        Ok(code) => code,
        Err(Failure::ReaderGone) => ExitCode::SUCCESS,
        Err(Failure::Usage(text)) => {
            let _ = writeln!(io::stderr(), "{text}");
            ExitCode::from(EXIT_USAGE)
        }
        Err(Failure::Other(error)) => {
            let _ = writeln!(io::stderr(), "landfall: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The configuration of a file, with the process's environment.
fn load(file: Option<&Path>, secrets: Secrets) -> Result<Settings, Faults> {
    config::load(file, environment(), secrets)
}

/// The process's environment. What is no UTF-8 of it is a fault where it is read, and nowhere else.
fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os().map(|(name, value)| {
        (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned())
    })
}

/// A path as a shell takes it.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let is_plain = |one: char| one.is_ascii_alphanumeric() || "/._-+".contains(one);
    if text.chars().all(is_plain) { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

/// Sends the log to standard error, and panics into it.
fn start_logging(default: &str) {
    // What the disposable router says of itself is no news to anyone: see `local`.
    let default = format!("{default},rumqttd=off");
    let filter = EnvFilter::try_from_env(LOG_VARIABLE).unwrap_or_else(|_| EnvFilter::new(default));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(io::stderr().is_terminal())
        .with_writer(io::stderr);
    match std::env::var(LOG_FORMAT_VARIABLE).as_deref() {
        Ok("json") => log.json().init(),
        _ => log.init(),
    }
    panics::tell_all();
}
