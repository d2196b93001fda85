//! `landfall`: device messages in Kafka, acknowledged only when durable.

use std::process::ExitCode;

fn main() -> ExitCode {
    gateway::command::main()
}
