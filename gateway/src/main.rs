//! `landfall`: device messages in Kafka, acknowledged only when durable.

use std::process::ExitCode;

use mimalloc::MiMalloc;

/// Faster than the system's by a tenth of the whole under load; librdkafka's C code uses it too.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    gateway::command::main()
}
