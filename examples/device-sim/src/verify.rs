//! `device-sim verify`: everything that the ledger says was acknowledged is in Kafka and the object
//! store, with the right bytes, in the promised order, and nothing is there that nobody sent.

mod judge;
mod read;
mod source;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;

use crate::{ledger, println};
use judge::{Finding, Verdict};

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
    let account = judge::Account::of(&ledger.lines).context("the ledger")?;
    let since_ms = arguments.since_start.then(|| account.started_ms());
    let observed = read::read(&source, account.run(), since_ms)?;
    let verdict = judge::judge(&account, &observed, ledger.torn);
    match arguments.format {
        Format::Text => show(&verdict),
        Format::Json => println(&ascii(&verdict.json())),
    }
    Ok(if verdict.findings.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn show(verdict: &Verdict) {
    for kind in judge::KINDS {
        let findings: Vec<&Finding> =
            verdict.findings.iter().filter(|finding| finding.kind == kind).collect();
        for finding in findings.iter().take(SHOWN_FINDINGS) {
            // Ids and topics come from strangers: control characters stay harmless.
            println(&format!("{}: {}", kind.name(), finding.text.escape_debug()));
        }
        if findings.len() > SHOWN_FINDINGS {
            println(&format!("{}: {} more", kind.name(), findings.len() - SHOWN_FINDINGS));
        }
    }
    println(&verdict.summary());
}

/// The same JSON without a character that a terminal might obey.
fn ascii(json: &str) -> String {
    let mut escaped = String::with_capacity(json.len());
    for character in json.chars() {
        match character {
            ' '..='~' | '\n' => escaped.push(character),
            // Outside of strings there is none of these.
            _ => {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    escaped.push_str(&format!("\\u{unit:04x}"));
                }
            }
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_strangers_wrote_is_harmless_as_json_too() {
        let text = "m\u{9b}31m\u{202e}\u{7f}é🚜\n";
        let json = serde_json::json!({ "text": text }).to_string();
        let escaped = ascii(&json);
        assert!(escaped.is_ascii() && !escaped.contains(char::is_control), "{escaped:?}");
        let read: serde_json::Value = serde_json::from_str(&escaped).unwrap();
        assert_eq!(read["text"], text);
    }
}
