//! `landfall parse`: what becomes of raw messages.

mod attempt;
mod excerpt;
mod proposal;

use std::process::ExitCode;

use clap::Subcommand;

use super::Failure;

#[derive(clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    command: Parse,
}

#[derive(Subcommand)]
enum Parse {
    /// Show the events of one payload, or why there are none; without a configuration a parser is proposed
    Try(attempt::Arguments),
}

pub fn parse(arguments: &Arguments) -> Result<ExitCode, Failure> {
    match &arguments.command {
        Parse::Try(arguments) => attempt::attempt(arguments),
    }
}
