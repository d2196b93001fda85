//! `make faults`: proves that nothing acknowledged is lost, whatever breaks. Each cell of its table is one fault,
//! or two at once, against a real gateway, a real Kafka, a real S3 server and a fleet that keeps books.

mod books;
mod cell;
mod cells;
mod fleet;
mod judge;
mod landed;
mod links;
mod mutants;
mod outcome;
mod play;
mod probe;
mod programs;
mod publishers;
mod reckoning;
mod rig;
mod run;
mod say;
mod setting;
mod timeline;
mod watch;

use std::io::Write as _;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::say::say;

#[derive(Parser)]
#[command(
    about = "Breaks what Landfall stands on, and sees that nothing acknowledged is lost; `make faults` runs it"
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Plays cells, and prints the table of what they saw
    Run(run::Options),
    /// Plays one cell here, in the network of whoever starts it
    Cell(play::Options),
    /// Names the cells
    List,
    /// Publishes from many devices as real ones do, and keeps books of it
    Fleet(fleet::Options),
    /// Says what is in books
    Books(books::Options),
    /// Judges a case once more, from the files that a cell left
    Judge(judge::Options),
    /// Puts faults into the gateway, and sees that the cells find them
    Mutants(mutants::Options),
}

fn main() -> ExitCode {
    match Arguments::parse().command {
        Command::Run(options) => run::run(options),
        Command::Cell(options) => play::run(options),
        Command::List => list(),
        Command::Fleet(options) => told(fleet::run(&options).map(|()| String::new())),
        Command::Books(options) => told(books::run(&options)),
        Command::Judge(options) => told(judge::run(&options).map(|verdict| verdict.to_string())),
        Command::Mutants(options) => mutants::run(&options),
    }
}

/// Says what there is to say, or what went wrong.
fn told(done: Result<String, String>) -> ExitCode {
    match done {
        Ok(text) => {
            // Whoever started this and went away does not want it any more.
            let _ = write!(std::io::stdout(), "{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("faults: {error}");
            ExitCode::FAILURE
        }
    }
}

fn list() -> ExitCode {
    for fault in cells::all() {
        say(format!("{:22} {}", fault.name, fault.about));
    }
    ExitCode::SUCCESS
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_options_do_not_contradict_each_other() {
        super::Arguments::command().debug_assert();
    }
}
