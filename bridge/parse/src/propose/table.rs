//! Whether a text is a table, and how it is written. Pure.

use std::collections::HashSet;

use super::{Proposal, is_name, quoted, step, time, type_of_text};
use crate::compile::FIELDS_MAX;
use crate::facts::Facts;

/// What stands between columns, the rarest in other texts first.
const DELIMITERS: [char; 4] = ['\t', ';', '|', ','];

/// Looks whether lines have the same number of columns, and what those are.
pub fn table(text: &str, facts: &Facts<'_>, proposal: &mut Proposal) -> bool {
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let lines = || text.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#'));
    let count = |line: &str, one: char| line.matches(one).count();
    let is_same = |one: &char| {
        let mut counts = lines().map(|line| count(line, *one));
        counts.next().is_some_and(|first| first > 0 && counts.all(|other| other == first))
    };
    let Some(delimiter) = DELIMITERS.into_iter().find(is_same) else { return false };
    let rows: Vec<Vec<&str>> = lines()
        .map(|line| line.split(delimiter).map(|cell| cell.trim().trim_matches('"')).collect())
        .collect();
    let comma = delimiter != ',' && rows.iter().flatten().any(|cell| is_with_comma(cell));
    let kind = |cell: &str| match comma && is_with_comma(cell) {
        true => Some("float"),
        false => type_of_text(cell),
    };
    let has_header = rows.len() > 1 && rows[0].iter().all(|cell| kind(cell).is_none());
    // A single line of words is a sentence.
    if rows.len() == 1 && rows[0].iter().all(|cell| kind(cell).is_none()) {
        return false;
    }
    let width = rows[0].len();
    // What is no name of a field, or is there already, has its column's number.
    let mut seen = HashSet::new();
    let name_of = |column: usize| {
        let written = rows[0][column];
        let is_one = has_header && is_name(written) && seen.insert(written.to_owned());
        if is_one { written.to_owned() } else { format!("column_{}", column + 1) }
    };
    let names: Vec<String> = (0..width).map(name_of).collect();
    let has_names = has_header && names == rows[0];
    proposal.add("format: csv");
    let mut csv = Vec::new();
    if delimiter != ',' {
        let shown = if delimiter == '\t' { "tab".to_owned() } else { format!("\"{delimiter}\"") };
        csv.push(format!("delimiter: {shown}"));
    }
    if text.lines().any(|line| line.starts_with('#')) {
        csv.push("comments: \"#\"".to_owned());
    }
    if !has_names {
        if has_header && let Some(first) = lines().next() {
            let above = text.lines().take_while(|line| *line != first).count();
            csv.push(format!("skip_lines: {}", above + 1));
        }
        let names: Vec<String> = names.iter().map(|name| quoted(name)).collect();
        csv.push(format!("header: [ {} ]", names.join(", ")));
    }
    if !csv.is_empty() {
        proposal.add(format!("csv: {{ {} }}", csv.join(", ")));
    }
    if comma {
        proposal.add("decimal_comma: true");
    }
    let body = &rows[usize::from(has_header)..];
    let time = names.iter().enumerate().find_map(|(column, name)| {
        let cell = body.first()?.get(column)?;
        Some((column, time::of_text(&step(name), cell, facts)?))
    });
    let mut fields = Vec::new();
    for (column, name) in names.iter().enumerate() {
        if time.as_ref().is_some_and(|(at, _)| *at == column) {
            continue;
        }
        let cells = || body.iter().map(|row| row[column]).filter(|cell| !cell.is_empty());
        let kinds: Vec<_> = cells().map(kind).collect();
        let all = |wanted: &[&str]| {
            !kinds.is_empty()
                && kinds.iter().all(|kind| kind.is_some_and(|kind| wanted.contains(&kind)))
        };
        let kind = match () {
            () if all(&["int"]) => "int",
            () if all(&["int", "float"]) => "float",
            () => continue,
        };
        let path = quoted(&step(name));
        let nulls = if cells().count() < body.len() { ", nulls: [ \"\" ]" } else { "" };
        fields.push(format!("  {}: {{ path: {path}, type: {kind}{nulls} }}", quoted(name)));
    }
    proposal.lines.extend(time.map(|(_, line)| line));
    fields.truncate(FIELDS_MAX);
    if !fields.is_empty() {
        proposal.add("fields:");
        proposal.lines.extend(fields);
    }
    true
}

/// `21,4`.
fn is_with_comma(cell: &str) -> bool {
    cell.matches(',').count() == 1 && type_of_text(&cell.replace(',', ".")) == Some("float")
}
