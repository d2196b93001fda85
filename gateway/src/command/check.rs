//! `landfall check`: the configuration's faults, all at once, or what it comes to. Touches no network.

use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;

use super::{ConfigArgument, Failure, environment};
use crate::config::{self, DescriptorPlan, ParseSettings, Secrets, Settings, Whole};

const MIB: u64 = 1024 * 1024;

#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    config: ConfigArgument,
    /// Take secrets that cannot be read here to be right, as for the configuration of another machine
    #[arg(long)]
    without_secrets: bool,
    /// Look only at what a process of the parse role does that has this pool, or `metadata`; may be given again
    #[arg(long = "pool", value_name = "NAME")]
    pools: Vec<String>,
}

pub fn check(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let secrets = if arguments.without_secrets { Secrets::Assumed } else { Secrets::Read };
    let file = arguments.config.config.as_path();
    if !arguments.pools.is_empty() {
        return check_pools(file, secrets, &arguments.pools);
    }
    let Whole { gateway, parse } = config::load_whole(Some(file), environment(), secrets)?;
    let hints = gateway.hints.iter().chain(parse.iter().flat_map(|role| &role.hints));
    for hint in hints {
        writeln!(io::stderr(), "{hint}")?;
    }
    let mut out = io::stdout().lock();
    writeln!(out, "configuration ok")?;
    writeln!(out)?;
    show_gateway(&mut out, &gateway)?;
    if let Some(role) = &parse {
        writeln!(out)?;
        show_parse(&mut out, role)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// As a process of the parse role looks at it that has these pools only.
fn check_pools(file: &Path, secrets: Secrets, pools: &[String]) -> Result<ExitCode, Failure> {
    let role = config::load_parse(file, environment(), secrets, pools)?;
    for hint in &role.hints {
        writeln!(io::stderr(), "{hint}")?;
    }
    let mut out = io::stdout().lock();
    writeln!(out, "configuration ok")?;
    writeln!(out)?;
    show_parse(&mut out, &role)?;
    Ok(ExitCode::SUCCESS)
}

fn show_gateway(out: &mut impl io::Write, settings: &Settings) -> io::Result<()> {
    let heads = ["lane", "Kafka topic", "key", "inline", "memory", "for parts"].map(str::to_owned);
    let lanes = settings.routing.lanes.values().map(|lane| {
        [
            lane.name.clone(),
            lane.topic.all().join(","),
            lane.key.to_string(),
            format!("{} KiB", lane.inline_size / 1024),
            format!("{} MiB", lane.inline_memory / MIB),
            format!("{} MiB", lane.large_memory / MIB),
        ]
    });
    table(out, &[heads].into_iter().chain(lanes).collect::<Vec<_>>())?;
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
    let DescriptorPlan { kafka, object_store, admin, process } = settings.descriptors;
    writeln!(
        out,
        "descriptors: {} = {} connections + Kafka {kafka} + object store {object_store} + admin {admin} + process {process}",
        u64::from(settings.limits.connections) + settings.descriptors.reserved(),
        settings.limits.connections,
    )?;
    match &settings.object_store {
        Some(store) => writeln!(out, "large messages: {}", store.url)?,
        None => writeln!(
            out,
            "large messages: none, there is no object_store; the inline size is the limit"
        )?,
    }
    Ok(())
}

/// What `landfall parse` would do.
fn show_parse(out: &mut impl io::Write, role: &ParseSettings) -> io::Result<()> {
    let plan = &role.plan;
    let heads = ["pool", "lanes", "group", "records", "window", "freshness"].map(str::to_owned);
    let pools = plan.pools.iter().map(|pool| {
        let lanes: Vec<&str> = pool.lanes.iter().map(|lane| lane.name.as_str()).collect();
        [
            pool.name.clone(),
            lanes.join(","),
            pool.group.clone(),
            pool.window.records.to_string(),
            format!("{} MiB", pool.window.bytes / MIB),
            humantime::format_duration(pool.freshness).to_string(),
        ]
    });
    match plan.pools.is_empty() {
        true => writeln!(out, "pools: none, only the metadata stream")?,
        false => table(out, &[heads].into_iter().chain(pools).collect::<Vec<_>>())?,
    }
    let topics: Vec<&str> = plan.topics.iter().map(|topic| topic.topic.as_str()).collect();
    let memory = role.memory_plan;
    writeln!(
        out,
        "\nmemory: {} of {} MiB = process {} MiB + windows {} MiB + payloads {} MiB",
        (memory.process + memory.windows + memory.payloads) / MIB,
        memory.limit / MIB,
        memory.process / MIB,
        memory.windows / MIB,
        memory.payloads / MIB,
    )?;
    let rules = plan.rules.iter().count();
    writeln!(
        out,
        "events: {rules} {} to {}",
        if rules == 1 { "rule" } else { "rules" },
        if topics.is_empty() { "no topic".to_owned() } else { topics.join(", ") }
    )?;
    let metadata = plan.metadata.as_ref().map_or("no topic", |metadata| metadata.topic.as_str());
    let by = match plan.metadata.is_some() && !plan.reads_for_metadata {
        true => " (what landed is told by other processes)",
        false => "",
    };
    writeln!(out, "metadata: {metadata}{by}, quarantine: {}", plan.quarantine)
}

/// Three columns of text, then three of numbers, each as wide as it has to be.
fn table(out: &mut impl io::Write, rows: &[[String; 6]]) -> io::Result<()> {
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
    let widths: [usize; 6] = std::array::from_fn(width);
    for row in rows {
        let [lane, topic, key, numbers @ ..] = row;
        write!(out, "{lane:<0$}  {topic:<1$}  {key:<2$}", widths[0], widths[1], widths[2])?;
        for (number, width) in numbers.iter().zip(&widths[3..]) {
            write!(out, "  {number:>width$}")?;
        }
        writeln!(out)?;
    }
    Ok(())
}
