//! `landfall parse status | retry | skip`: how a running role is doing, and what an operator decides of a message
//! at which a partition stands. Asked of the role's admin port.

use std::io::{self, Write as _};
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use bridge::text::escape;
use parse::pool::status::{PartitionStatus, Status, What};

use crate::command::admin::{AdminPort, Whom};
use crate::command::{Failure, Format};
use crate::pools::{PoolStatus, position};

const PAGE: &str = "/api/v1/parse";
/// How long it is looked what came of a decision. A pool tells how it is once a second.
const OUTCOME_WAIT: Duration = Duration::from_secs(4);
const OUTCOME_LOOK: Duration = Duration::from_millis(500);

#[derive(clap::Args)]
pub struct StatusArguments {
    #[command(flatten)]
    whom: Whom,
    /// text for people; json is what the admin port says
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(clap::Args)]
pub struct DecideArguments {
    /// The message at which a partition stands, as `landfall parse status` shows it
    #[arg(long, value_name = "TOPIC/PARTITION/OFFSET")]
    at: String,
    #[command(flatten)]
    whom: Whom,
}

pub fn status(arguments: &StatusArguments) -> Result<ExitCode, Failure> {
    let port = AdminPort::of(&arguments.whom)?;
    let pools = pools(&port)?;
    let mut out = io::stdout().lock();
    match arguments.format {
        Format::Json => {
            let json = serde_json::to_string_pretty(&pools);
            writeln!(out, "{}", json.expect("texts and numbers are always JSON"))?;
        }
        Format::Text => show(&mut out, &pools, &arguments.whom.typed())?,
    }
    Ok(ExitCode::SUCCESS)
}

pub fn decide(what: What, arguments: &DecideArguments) -> Result<ExitCode, Failure> {
    let at = &arguments.at;
    let Some(wanted) = position(at) else {
        return Err(Failure::Usage(format!(
            "--at {at:?}: write TOPIC/PARTITION/OFFSET, as `landfall parse status` shows it"
        )));
    };
    let port = AdminPort::of(&arguments.whom)?;
    let answer = port.post(&format!("{PAGE}/{}", what.label()), &[("at", at)])?;
    if answer.code != 202 {
        return Err(anyhow::anyhow!("{at}: {}", answer.error()).into());
    }
    let began = Instant::now();
    let name = format!("{}/{}", wanted.partition.topic, wanted.partition.partition);
    let mut out = io::stdout().lock();
    loop {
        thread::sleep(OUTCOME_LOOK);
        let pools = pools(&port)?;
        // Several pools may have it, of which one stands.
        let mut its = pools.iter().flat_map(|pool| &pool.partitions).filter(|one| {
            one.topic == wanted.partition.topic && one.partition == wanted.partition.partition
        });
        let stands = its.clone().find(|one| one.offset == Some(wanted.offset));
        match stands {
            None if its.next().is_none() => {
                writeln!(out, "{name} is another process's now: ask there what came of it")?;
                return Ok(ExitCode::SUCCESS);
            }
            None => {
                let done = match what {
                    What::Retry => "was tried again",
                    What::Skip => "is left to the quarantine",
                };
                writeln!(out, "{at} {done}, and {name} goes on")?;
                return Ok(ExitCode::SUCCESS);
            }
            Some(one) if began.elapsed() >= OUTCOME_WAIT => {
                let reason = escape(one.reason.as_deref().unwrap_or("the log says why"));
                return Err(
                    anyhow::anyhow!("{name} stands at {} still: {reason}", wanted.offset).into()
                );
            }
            Some(_) => {}
        }
    }
}

fn pools(port: &AdminPort) -> anyhow::Result<Vec<PoolStatus>> {
    let answer = port.get(PAGE)?;
    if answer.code != 200 {
        bail!("{}", answer.error());
    }
    serde_json::from_slice(&answer.body)
        .context("the admin port says something else than this version of landfall reads")
}

/// A table for each pool, and below it what stands there, and what may be typed about it: `typed` are the
/// arguments that say whom.
fn show(out: &mut impl io::Write, pools: &[PoolStatus], typed: &str) -> io::Result<()> {
    for (index, pool) in pools.iter().enumerate() {
        if index > 0 {
            writeln!(out)?;
        }
        write!(out, "pool {}, group {}", pool.pool, pool.group)?;
        match pool.freshness_seconds {
            Some(target) => writeln!(out, ", to be parsed within {}", age(target))?,
            None => writeln!(out)?,
        }
        if pool.partitions.is_empty() {
            writeln!(
                out,
                "no partitions: other processes have them all, or its topics are not there"
            )?;
            continue;
        }
        let heads = ["partition", "state", "at", "behind", "oldest"].map(str::to_owned);
        let mut partitions: Vec<&PartitionStatus> = pool.partitions.iter().collect();
        partitions.sort_by_key(|one| (&one.topic, one.partition));
        let rows = partitions.iter().map(|one| row(one));
        table(out, &[heads].into_iter().chain(rows).collect::<Vec<_>>())?;
        for one in partitions {
            explain(out, one, typed)?;
        }
    }
    Ok(())
}

fn row(one: &PartitionStatus) -> [String; 5] {
    let number = |number: Option<String>| number.unwrap_or_else(|| "?".to_owned());
    let oldest = match one.lag {
        Some(0) => "-".to_owned(),
        _ => number(one.lag_seconds.map(age)),
    };
    [
        name(one),
        one.state.label().to_owned(),
        one.offset.map_or_else(|| "-".to_owned(), |offset| offset.to_string()),
        number(one.lag.map(|lag| lag.to_string())),
        oldest,
    ]
}

fn explain(out: &mut impl io::Write, one: &PartitionStatus, typed: &str) -> io::Result<()> {
    let state = match one.state {
        Status::Running => return Ok(()),
        Status::Held => "is held, and tried again by itself",
        Status::Stopped => "is stopped until somebody decides",
    };
    writeln!(out, "\n{} {state}", name(one))?;
    if let Some(reason) = &one.reason {
        writeln!(out, "  {}", escape(reason))?;
    }
    let Some(offset) = one.offset else { return Ok(()) };
    let at = format!("{}/{offset}{typed}", name(one));
    let again = match one.state {
        Status::Stopped => "try it again, as a start with a corrected parser does too",
        _ => "try it now",
    };
    writeln!(out, "  {again}:\n    landfall parse retry --at {at}")?;
    writeln!(out, "  have it quarantined, and go on behind it:\n    landfall parse skip --at {at}")
}

fn name(one: &PartitionStatus) -> String {
    format!("{}/{}", one.topic, one.partition)
}

/// As a person says it: milliseconds below a second, and seconds above.
fn age(seconds: f64) -> String {
    let whole = Duration::try_from_secs_f64(seconds).unwrap_or_default();
    let rounded = match whole < Duration::from_secs(1) {
        true => Duration::from_millis(whole.as_millis() as u64),
        false => Duration::from_secs(whole.as_secs()),
    };
    humantime::format_duration(rounded).to_string()
}

/// Two columns of text, then three of numbers, each as wide as it has to be.
fn table(out: &mut impl io::Write, rows: &[[String; 5]]) -> io::Result<()> {
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
    let widths: [usize; 5] = std::array::from_fn(width);
    for [name, state, numbers @ ..] in rows {
        write!(out, "{name:<0$}  {state:<1$}", widths[0], widths[1])?;
        for (number, width) in numbers.iter().zip(&widths[2..]) {
            write!(out, "  {number:>width$}")?;
        }
        writeln!(out)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partition(number: i32, state: Status) -> PartitionStatus {
        PartitionStatus {
            topic: "landfall.fast".to_owned(),
            partition: number,
            state,
            reason: None,
            offset: None,
            decided: None,
            committed: Some(40),
            lag: Some(0),
            lag_seconds: Some(0.0),
        }
    }

    fn shown(pools: &[PoolStatus]) -> String {
        let mut out = Vec::new();
        show(&mut out, pools, " --config landfall.yaml").expect("memory takes it");
        String::from_utf8(out).expect("it is text")
    }

    fn pool(partitions: Vec<PartitionStatus>) -> PoolStatus {
        PoolStatus {
            pool: "fast".to_owned(),
            group: "landfall-parse-fast".to_owned(),
            freshness_seconds: Some(5.0),
            partitions,
        }
    }

    #[test]
    fn what_stands_is_told_with_what_to_type() {
        let stopped = PartitionStatus {
            reason: Some("type_mismatch at p: \u{1b}[31m".to_owned()),
            offset: Some(4711),
            lag: Some(2310),
            lag_seconds: Some(843.7),
            ..partition(10, Status::Stopped)
        };
        let held = PartitionStatus {
            reason: Some("the store is away".to_owned()),
            offset: Some(7),
            lag: None,
            lag_seconds: Some(0.25),
            ..partition(2, Status::Held)
        };
        let said = shown(&[pool(vec![stopped, held, partition(1, Status::Running)])]);
        let expected = "\
pool fast, group landfall-parse-fast, to be parsed within 5s
partition         state      at  behind  oldest
landfall.fast/1   running     -       0       -
landfall.fast/2   held        7       ?   250ms
landfall.fast/10  stopped  4711    2310  14m 3s

landfall.fast/2 is held, and tried again by itself
  the store is away
  try it now:
    landfall parse retry --at landfall.fast/2/7 --config landfall.yaml
  have it quarantined, and go on behind it:
    landfall parse skip --at landfall.fast/2/7 --config landfall.yaml

landfall.fast/10 is stopped until somebody decides
  type_mismatch at p: \\u{1b}[31m
  try it again, as a start with a corrected parser does too:
    landfall parse retry --at landfall.fast/10/4711 --config landfall.yaml
  have it quarantined, and go on behind it:
    landfall parse skip --at landfall.fast/10/4711 --config landfall.yaml
";
        assert_eq!(said, expected);
    }

    #[test]
    fn a_pool_without_partitions_says_why_that_may_be() {
        let other = PoolStatus { freshness_seconds: None, ..pool(Vec::new()) };
        let said = shown(&[pool(vec![partition(0, Status::Running)]), other]);
        assert!(
            said.contains("\n\npool fast, group landfall-parse-fast\nno partitions: "),
            "{said}"
        );
    }
}
