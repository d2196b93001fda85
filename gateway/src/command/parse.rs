//! `landfall parse`: what becomes of raw messages.

mod attempt;
mod excerpt;
mod operate;
mod proposal;
mod run;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Subcommand;
use parse::pool::status::What;

use super::Failure;

#[derive(clap::Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct Arguments {
    /// Make events of what the lanes hold, by the parse section of this configuration, until told to end
    #[arg(long, value_name = "FILE", required = true)]
    config: Option<PathBuf>,
    /// A pool that this process has, or `metadata`; may be given again. All where none is given
    #[arg(long = "pool", value_name = "NAME")]
    pools: Vec<String>,
    #[command(subcommand)]
    command: Option<Parse>,
}

#[derive(Subcommand)]
enum Parse {
    /// Show the events of one payload, or why there are none; without a configuration a parser is proposed
    Try(attempt::Arguments),
    /// Show how a running role is doing: what its pools read, how far they are behind, what stands and why
    Status(operate::StatusArguments),
    /// Have a message tried again now, at which a partition of a running role is held or stopped
    Retry(operate::DecideArguments),
    /// Have such a message quarantined, and its partition go on behind it
    Skip(operate::DecideArguments),
}

pub fn parse(arguments: &Arguments) -> Result<ExitCode, Failure> {
    match (&arguments.command, &arguments.config) {
        (Some(Parse::Try(arguments)), _) => attempt::attempt(arguments),
        (Some(Parse::Status(arguments)), _) => operate::status(arguments),
        (Some(Parse::Retry(arguments)), _) => operate::decide(What::Retry, arguments),
        (Some(Parse::Skip(arguments)), _) => operate::decide(What::Skip, arguments),
        (None, Some(config)) => run::run(config, &arguments.pools),
        (None, None) => unreachable!("without a command the configuration is required"),
    }
}
