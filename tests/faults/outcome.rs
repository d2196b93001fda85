//! What one run of a cell saw, as it is stored; and the table of many.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// One run of a cell.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Outcome {
    pub cell: String,
    pub about: String,
    pub seed: u64,
    /// What the gateway was built from.
    pub commit: String,
    pub took_s: u64,
    /// What this machine could not do, and what was done in its place.
    pub instead: Option<String>,
    pub numbers: Numbers,
    /// What is wrong; nothing where all holds.
    pub findings: Vec<String>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Numbers {
    pub messages: u64,
    pub sendings: u64,
    pub acknowledged: u64,
    pub landed: u64,
    pub dead_letters: u64,
    /// Acknowledged, and removed from Kafka by the cell itself.
    pub deleted: u64,
    pub lost: u64,
    pub foreign: u64,
    pub out_of_order: u64,
    pub double_by_resend: u64,
    pub double_by_gateway: u64,
    pub double_by_kill: u64,
    pub double_unexplained: u64,
    pub recovery_ms: u64,
    pub connack_ms: u64,
    pub pingresp_ms: u64,
    pub puback_ms: u64,
    pub memory_mib: u64,
    pub descriptors: u64,
}

impl Outcome {
    pub fn is_good(&self) -> bool {
        self.findings.is_empty()
    }

    /// Where it is kept among those of its commit.
    pub fn file(folder: &Path, cell: &str, seed: u64) -> PathBuf {
        folder.join(format!("{cell}-{seed}.json"))
    }

    pub fn store(&self, folder: &Path) {
        let text = serde_json::to_string_pretty(self).expect("it is made of numbers and texts");
        let file = Outcome::file(folder, &self.cell, self.seed);
        // Whole or not at all: an interrupted run goes on with what is there.
        let unfinished = file.with_extension("unfinished");
        std::fs::write(&unfinished, text).expect("the folder of outcomes can be written");
        std::fs::rename(&unfinished, &file).expect("the folder of outcomes can be written");
    }

    pub fn read(file: &Path) -> Option<Outcome> {
        serde_json::from_str(&std::fs::read_to_string(file).ok()?).ok()
    }

    /// In one line, for who watches.
    pub fn line(&self) -> String {
        let Numbers { messages, acknowledged, lost, out_of_order, recovery_ms, .. } = self.numbers;
        let said = match self.findings.len() {
            0 => "good".to_owned(),
            count => format!("{count} FINDINGS"),
        };
        format!(
            "{} seed {}: {said}; {messages} messages, {acknowledged} acknowledged, {lost} lost, {out_of_order} out \
             of order, back after {:.1} s, took {} s",
            self.cell,
            self.seed,
            recovery_ms as f64 / 1000.0,
            self.took_s
        )
    }
}

/// A row for each cell, in the order that they are given; then what was found.
pub fn table(outcomes: &[Outcome]) -> String {
    let mut cells: Vec<&str> = Vec::new();
    let mut rows: BTreeMap<&str, Vec<&Outcome>> = BTreeMap::new();
    for outcome in outcomes {
        if !rows.contains_key(outcome.cell.as_str()) {
            cells.push(&outcome.cell);
        }
        rows.entry(&outcome.cell).or_default().push(outcome);
    }
    let mut out = String::from(
        "| cell | runs | messages | acknowledged | landed | lost | doubles: resent / by the gateway / at a kill / \
         unexplained | out of order | worst recovery | worst CONNACK / PINGRESP / PUBACK of a new client |\n\
         |---|---|---|---|---|---|---|---|---|---|\n",
    );
    for cell in &cells {
        out.push_str(&row(cell, &rows[cell]));
    }
    for outcome in outcomes {
        if let Some(instead) = &outcome.instead {
            let _ =
                writeln!(out, "\n`{}`, seed {}, otherwise: {instead}", outcome.cell, outcome.seed);
        }
    }
    for outcome in outcomes.iter().filter(|outcome| !outcome.findings.is_empty()) {
        let _ = write!(out, "\n`{}`, seed {}:\n", outcome.cell, outcome.seed);
        outcome.findings.iter().for_each(|finding| {
            let _ = writeln!(out, "- {finding}");
        });
    }
    out
}

fn row(cell: &str, runs: &[&Outcome]) -> String {
    let sum = |of: fn(&Numbers) -> u64| runs.iter().map(|run| of(&run.numbers)).sum::<u64>();
    let worst = |of: fn(&Numbers) -> u64| {
        let worst = runs.iter().map(|run| of(&run.numbers)).max().unwrap_or_default();
        format!("{:.1} s", worst as f64 / 1000.0)
    };
    let deleted = match sum(|n| n.deleted) {
        0 => String::new(),
        count => format!(" ({count} deleted)"),
    };
    let all_good = runs.iter().all(|run| run.is_good());
    let name = if all_good { cell.to_owned() } else { format!("**{cell}**") };
    let instead = if runs.iter().any(|run| run.instead.is_some()) { " (otherwise)" } else { "" };
    format!(
        "| {name}{instead} | {} | {} | {} | {}{deleted} | {} | {} / {} / {} / {} | {} | {} | {} / {} / {} |\n",
        runs.len(),
        sum(|n| n.messages),
        sum(|n| n.acknowledged),
        sum(|n| n.landed),
        sum(|n| n.lost),
        sum(|n| n.double_by_resend),
        sum(|n| n.double_by_gateway),
        sum(|n| n.double_by_kill),
        sum(|n| n.double_unexplained),
        sum(|n| n.out_of_order),
        worst(|n| n.recovery_ms),
        worst(|n| n.connack_ms),
        worst(|n| n.pingresp_ms),
        worst(|n| n.puback_ms),
    )
}
