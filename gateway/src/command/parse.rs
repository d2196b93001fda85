//! `landfall parse`: what becomes of raw messages.

mod attempt;
mod excerpt;
mod proposal;
mod run;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Subcommand;

use super::Failure;

#[derive(clap::Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct Arguments {
    /// Make events of what the lanes hold, by the parse section of this configuration, until told to end
    #[arg(long, value_name = "FILE", required = true)]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<Parse>,
}

#[derive(Subcommand)]
enum Parse {
    /// Show the events of one payload, or why there are none; without a configuration a parser is proposed
    Try(attempt::Arguments),
}

pub fn parse(arguments: &Arguments) -> Result<ExitCode, Failure> {
    match (&arguments.command, &arguments.config) {
        (Some(Parse::Try(arguments)), _) => attempt::attempt(arguments),
        (None, Some(config)) => run::run(config),
        (None, None) => unreachable!("without a command the configuration is required"),
    }
}
