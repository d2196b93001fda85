//! `landfall check`: the configuration's faults, all at once, or what it comes to. Touches no network.

use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;

use super::{Failure, load};

const MIB: u64 = 1024 * 1024;

pub fn check(config: &Path) -> Result<ExitCode, Failure> {
    let settings = load(Some(config))?;
    let mut out = io::stdout().lock();
    writeln!(out, "configuration ok")?;
    writeln!(
        out,
        "\n{:<14}{:<34}{:<22}{:>10}{:>12}{:>12}",
        "lane", "Kafka topic", "key", "inline", "memory", "for parts"
    )?;
    for (lane, routing) in settings.lanes.iter().zip(&settings.routing.lanes) {
        writeln!(
            out,
            "{:<14}{:<34}{:<22}{:>6} KiB{:>8} MiB{:>8} MiB",
            lane.name,
            lane.topics.join(","),
            routing.key.to_string(),
            lane.inline_size / 1024,
            lane.inline_memory / MIB,
            lane.large_memory / MIB,
        )?;
    }
    let plan = settings.memory;
    writeln!(
        out,
        "\nmemory: {} MiB = {} connections {} MiB + process {} MiB + messages {} MiB",
        plan.limit / MIB,
        settings.limits.connections,
        plan.connections / MIB,
        plan.fixed / MIB,
        plan.messages / MIB,
    )?;
    match &settings.object_store {
        Some(store) => writeln!(out, "large messages: {}", store.url)?,
        None => writeln!(
            out,
            "large messages: none, there is no object_store; the inline size is the limit"
        )?,
    }
    Ok(ExitCode::SUCCESS)
}
