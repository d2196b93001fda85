//! A backlog of large messages in the slow lane is worked off while the fast one goes on: how old messages of
//! the fast lane become, and what it all takes. `bench backlog`.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use tests::freshness::{now_ms, passages, took};
use tests::proc;

use crate::machine;
use crate::report::percentile;
use crate::rows::Bench;
use crate::rows::parse::{LARGE, Lanes, MEMORY_MAX, beside, told, until_all, until_late};
use crate::table::{self, Aim, Line, mebibytes, milliseconds, seconds, thousands};

const SMALL: usize = 1024 * 1024;
/// How old a message of the fast lane may become, in milliseconds.
const FRESHNESS_MS: f64 = 2000.0;

#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
pub struct Options {
    /// Messages of 1 MiB in the slow lane
    #[arg(long, default_value_t = 2000)]
    small: u64,
    /// Messages of 64 MiB in the slow lane
    #[arg(long, default_value_t = 20)]
    large: u64,
    /// Messages a second in the fast lane
    #[arg(long, default_value_t = 2000)]
    rate: u64,
    /// Another build, to compare with; without it, the tree's as it is now
    #[arg(long)]
    landfall: Option<PathBuf>,
}

/// Measures, and prints a table.
pub fn measure(options: &Options) -> ExitCode {
    let bench = Bench::start(Duration::ZERO, options.landfall.clone());
    let lanes = Lanes::new(&bench);
    let events = lanes.write_slow(&bench, &lanes.object(SMALL), options.small)
        + lanes.write_slow(&bench, &lanes.object(LARGE), options.large);
    let mut role = lanes.role(&bench);
    let begin = Instant::now();
    let from = now_ms();
    let (written, until) = beside(&bench, &lanes, options.rate, || {
        until_late(&bench, &mut role, events);
        now_ms()
    });
    let took_s = begin.elapsed().as_secs_f64();
    until_all(&bench, &mut role, written);
    let peak = proc::peak_resident_bytes(role.id()) as f64;
    let cpu = proc::cpu_seconds(role.id()).expect("it runs");
    let all = passages(&bench.kafka, &lanes.fast, &role.topic("events"));
    assert_eq!(role.terminate(), Some(0), "{}", role.log());
    let of_fast = took(&all, from, until);
    let name = format!(
        "a backlog of {} × 1 MiB and {} × 64 MiB in the slow lane, {}/s in the fast one",
        options.small, options.large, options.rate
    );
    let largest = percentile(&of_fast, 1.0);
    let lines =
        [
            Line::plain(
                &name,
                "fast lane, from landed to canonical: p50, p99, largest",
                told(&of_fast),
                "",
            )
            .aimed(Aim::AtMost(FRESHNESS_MS), largest, milliseconds),
            Line::plain(
                &name,
                "time, events per second of the slow lane, per CPU-second of both",
                format!(
                    "{}, {}, {}",
                    seconds(took_s),
                    thousands(events as f64 / took_s),
                    thousands((events + written) as f64 / cpu)
                ),
                format!("{} events", thousands(events as f64)),
            ),
            Line::plain(&name, "peak resident memory", mebibytes(peak), "limits.memory 512MiB")
                .aimed(Aim::AtMost(MEMORY_MAX), peak, mebibytes),
        ];
    let text = format!("{}\n\n{}", machine::lines(&name).join("\n"), table::markdown(&lines));
    let _ = writeln!(std::io::stdout(), "{text}");
    ExitCode::SUCCESS
}
