//! `make bench`: what Landfall costs, beside mosquitto, a bare Kafka producer and a bare consumer that
//! writes, in one table and one run. It is a measurement and no test: a figure that falls short is
//! said, and the exit code is 1 only when something is wrong, such as a message that was acknowledged
//! and did not land.
//!
//! Whatever makes load is this same program again, as a process of its own, so that CPU time is known
//! by process.

mod backlog;
mod bare;
mod clock;
mod device;
mod entry;
mod handshakes;
mod herd;
mod idle;
mod latencies;
mod load;
mod machine;
mod mosquitto;
mod pages;
mod pings;
mod readings;
mod relay;
mod report;
mod rows;
mod storm;
mod stream;
mod table;
mod traffic;
mod trust;
mod upload;
mod visit;
mod websocket;

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
    /// Connects and goes, again and again, and reports how often
    Handshakes(handshakes::Options),
    /// Connects from very many devices at once, and again whenever they fell away
    Herd(herd::Options),
    /// Has a herd come back at once, and measures what those that stayed notice of it
    Storm(storm::Options),
    /// Has a parse role work off large messages in the slow lane while others come in the fast one
    Backlog(backlog::Options),
    /// Asks a broker whether it is there, and reports how long its answers took
    Pings(pings::Options),
    /// Writes to Kafka with nothing but a producer, and reports what was delivered
    Produce(bare::Options),
    /// Reads and writes as a parse role does, with nothing but a consumer and a producer
    Relay(relay::Options),
}

fn main() -> ExitCode {
    raise_descriptor_limit();
    let report = match Arguments::parse().command {
        Command::Table(options) => return rows::measure(&options),
        Command::Load(options) => load::run(&options).map(|report| report.to_json()),
        Command::Idle(options) => idle::run(&options).map(|()| String::new()),
        Command::Traffic(options) => traffic::run(&options).map(|()| String::new()),
        Command::Upload(options) => upload::run(&options).map(|report| report.to_json()),
        Command::Handshakes(options) => handshakes::run(&options).map(|report| report.to_json()),
        Command::Herd(options) => herd::run(&options).map(|()| String::new()),
        Command::Storm(options) => return storm::measure(&options),
        Command::Backlog(options) => return backlog::measure(&options),
        Command::Pings(options) => pings::run(&options).map(|report| report.to_json()),
        Command::Produce(options) => bare::run(&options).map(|report| report.to_json()),
        Command::Relay(options) => relay::run(&options).map(|report| report.to_json()),
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
    raise_descriptor_limit_to(0);
}

/// The same, beyond what this process was given where it may; returns what it may have.
fn raise_descriptor_limit_to(wanted: u64) -> u64 {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let given = getrlimit(Resource::Nofile).maximum;
    let more = Some(wanted).filter(|wanted| given.is_some_and(|given| given < *wanted));
    for maximum in more.map(Some).into_iter().chain([given]) {
        match setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
            Ok(()) => return maximum.unwrap_or(u64::MAX),
            Err(error) => eprintln!("bench: no {maximum:?} open descriptors: {error}"),
        }
    }
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// Has this process stand back behind others by a nice value; below 0 it goes before them.
fn stand_back(nice: i32) -> Result<(), String> {
    rustix::process::setpriority_process(None, nice)
        .map_err(|error| format!("the nice value cannot be {nice}: {error}"))
}

/// The same; what is not allowed to go before others waits with them, and says so.
fn stand_back_if_allowed(nice: i32) {
    if let Err(error) = stand_back(nice) {
        eprintln!("bench: {error}");
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_options_do_not_contradict_each_other() {
        super::Arguments::command().debug_assert();
    }
}
