//! `device-sim verify`: everything that the ledger says was acknowledged is in Kafka and the object
//! store, with the right bytes, in the promised order, and nothing is there that nobody sent. With
//! `--canonical` also what the parse role made of it.

mod canonical;
mod event;
mod judge;
mod made;
mod metadata;
mod place;
mod read;
mod reader;
mod source;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;

use crate::progress::{Unit, Work};
use crate::{ascii, ledger, println};
use judge::Verdict;

/// Findings of each kind that are shown; the rest is counted.
const SHOWN_FINDINGS: usize = 20;

#[derive(clap::Args)]
pub struct Arguments {
    /// What `device-sim run` wrote
    #[arg(long, value_name = "FILE")]
    ledger: PathBuf,
    /// The gateway's configuration, which says where Kafka and the objects are
    #[arg(long, value_name = "FILE", conflicts_with_all = ["bootstrap_servers", "object_store"])]
    config: Option<PathBuf>,
    /// Kafka, where there is no --config
    #[arg(long, value_name = "HOST:PORT,…", required_unless_present = "config")]
    bootstrap_servers: Option<String>,
    /// Where large payloads are, such as s3://bucket/prefix or file:///path/
    #[arg(long, value_name = "URL")]
    object_store: Option<String>,
    /// An option of the object store, in object_store's own names
    #[arg(long = "object-store-option", value_name = "NAME=VALUE", value_parser = parse_pair)]
    object_store_options: Vec<(String, String)>,
    /// The lanes' Kafka topics [default: landfall.priority,landfall.fast,landfall.slow,landfall.dead-letter]
    #[arg(long, value_name = "TOPIC,…", value_delimiter = ',')]
    topics: Vec<String>,
    /// A property of librdkafka
    #[arg(long = "property", value_name = "NAME=VALUE", value_parser = parse_pair)]
    properties: Vec<(String, String)>,
    /// Read only what was written since the run began, by the records' timestamps. For topics that hold
    /// years; the Kafka inside `landfall dev` finds nothing by time
    #[arg(long)]
    since_start: bool,
    /// Also every event in its canonical topic, what has none in quarantine, and metadata of every record
    #[arg(long)]
    canonical: bool,
    /// The canonical topics [default: those of --config, or of the simulator's parse.yaml]
    #[arg(long, value_name = "TOPIC,…", value_delimiter = ',', requires = "canonical")]
    canonical_topics: Vec<String>,
    /// The topic of what gave no events [default: landfall.quarantine]
    #[arg(long, value_name = "TOPIC", requires = "canonical")]
    quarantine_topic: Option<String>,
    /// The topic of the metadata stream [default: landfall.metadata]
    #[arg(long, value_name = "TOPIC", requires = "canonical")]
    metadata_topic: Option<String>,
    /// How long to wait until the parse role has caught up
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = crate::parse_length, requires = "canonical")]
    wait: Duration,
    /// A double is wrong also where it has the same id: for runs in which no worker ended
    #[arg(long, requires = "canonical")]
    no_doubles: bool,
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Text,
    Json,
}

fn parse_pair(text: &str) -> Result<(String, String), String> {
    let (name, value) =
        text.split_once('=').ok_or_else(|| format!("{text:?}: write NAME=VALUE"))?;
    Ok((name.to_owned(), value.to_owned()))
}

pub fn verify(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let ledger = ledger::read(&arguments.ledger)?;
    let source = source::Source::of(arguments)?;
    let lines = counted("takes in the ledger", "lines", &ledger.lines);
    let account = judge::Account::of(lines).context("the ledger")?;
    let since_ms = arguments.since_start.then(|| account.started_ms());
    if arguments.canonical {
        account.knows_events().context("the ledger")?;
    }
    let mut raw = read::Raw::open(&source, account.run(), since_ms)?;
    let made = match arguments.canonical {
        true => Some(made::read(&source, &account, &mut raw, since_ms, arguments)?),
        false => {
            raw.catch_up()?;
            None
        }
    };
    let observed = raw.all();
    let records = counted("holds what was read against the ledger", "records", &observed);
    let verdict = judge::judge(&account, records, ledger.torn);
    match arguments.format {
        Format::Text => show(&verdict, made.as_ref()),
        Format::Json => {
            let mut json = verdict.json();
            if let Some(made) = &made {
                json["canonical"] = made.json();
            }
            println(&ascii(&json.to_string()));
        }
    }
    let is_well = verdict.findings.is_empty() && made.is_none_or(|made| made.is_well());
    Ok(if is_well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Says how far it is.
fn counted<'t, T>(what: &str, things: &'static str, all: &'t [T]) -> impl Iterator<Item = &'t T> {
    let mut work = Work::begin(what, Unit::Things(things), all.len() as u64);
    (1..).zip(all).map(move |(done, one)| {
        work.reach(done);
        one
    })
}

fn show(verdict: &Verdict, made: Option<&canonical::Verdict>) {
    for kind in judge::KINDS {
        let findings = verdict.findings.iter().filter(|finding| finding.kind == kind);
        let texts: Vec<&str> = findings.map(|finding| &*finding.text).collect();
        list(kind.name(), texts.len() as u64, texts.into_iter());
    }
    println(&verdict.summary());
    let Some(made) = made else { return };
    for kind in canonical::KINDS {
        list(kind.name(), made.count(kind), made.texts(kind).iter().map(String::as_str));
    }
    println(&made.summary());
}

/// The first findings of a kind, and how many more there are.
fn list<'t>(kind: &str, count: u64, texts: impl Iterator<Item = &'t str>) {
    let mut shown = 0;
    for text in texts.take(SHOWN_FINDINGS) {
        // Ids and topics come from strangers: control characters stay harmless.
        println(&format!("{kind}: {}", text.escape_debug()));
        shown += 1;
    }
    if shown == SHOWN_FINDINGS as u64 && count > shown {
        println(&format!("{kind}: {count} in all"));
    }
}
