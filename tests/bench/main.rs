//! `make bench`: what Landfall costs, beside mosquitto and a bare Kafka producer, in one table and one
//! run. It is a measurement and no test: a figure that falls short is said, and the exit code is 1 only
//! when something is wrong, such as a message that was acknowledged and did not land.
//!
//! Whatever makes load is this same program again, as a process of its own, so that CPU time is known
//! by process.

mod bare;
mod clock;
mod device;
mod idle;
mod load;
mod machine;
mod mosquitto;
mod pages;
mod proc;
mod report;
mod rows;
mod table;
mod traffic;
mod upload;

use std::io::Write as _;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(about = "Measures Landfall; `make bench` runs it")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Measures everything, and prints one table in Markdown
    Table(rows::Options),
    /// Publishes from many connections, and reports what was acknowledged
    Load(load::Options),
    /// Opens connections, and holds them
    Idle(idle::Options),
    /// Opens connections, publishes from a few at a time, and holds them
    Traffic(traffic::Options),
    /// Publishes one large message from each of many connections at once
    Upload(upload::Options),
    /// Writes to Kafka with nothing but a producer, and reports what was delivered
    Produce(bare::Options),
}

fn main() -> ExitCode {
    raise_descriptor_limit();
    let report = match Arguments::parse().command {
        Command::Table(options) => return rows::measure(&options),
        Command::Load(options) => load::run(&options).map(|report| report.to_json()),
        Command::Idle(options) => idle::run(&options).map(|()| String::new()),
        Command::Traffic(options) => traffic::run(&options).map(|()| String::new()),
        Command::Upload(options) => upload::run(&options).map(|report| report.to_json()),
        Command::Produce(options) => bare::run(&options).map(|report| report.to_json()),
    };
    match report {
        Ok(report) => {
            // Whoever started this and went away does not want it any more.
            let _ = writeln!(std::io::stdout(), "{report}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Connections need descriptors, and what is started from here inherits the limit.
fn raise_descriptor_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let maximum = getrlimit(Resource::Nofile).maximum;
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        eprintln!("bench: the limit of open descriptors stays as it is: {error}");
    }
}
