//! A parser to begin with, from one payload: what is plain in it, written as its section of the
//! configuration. Nothing parses by it until somebody has read it and put it there. Pure.

use std::fmt::Write as _;

use crate::charset::utf8;
use crate::compile::{FIELDS_MAX, NAME_MAX};
use crate::facts::Facts;
use crate::json::reader::{self, Duplicates, Rules};
use crate::json::{Entry, Json, Kind};
use crate::limits::Limits;
use crate::unpack::{self, Packing};

mod table;
mod time;

/// A section to write, line by line, without indentation; the words behind `#` say what to look at.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Proposal {
    pub lines: Vec<String>,
}

impl Proposal {
    fn add(&mut self, line: impl Into<String>) {
        self.lines.push(line.into());
    }

    /// The section as YAML, under a name.
    pub fn yaml(&self, name: &str) -> String {
        let mut yaml = format!("{}:\n", quoted(name));
        for line in &self.lines {
            writeln!(yaml, "  {line}").expect("memory takes everything");
        }
        yaml
    }
}

/// How much of a payload is looked at.
const LOOKED_AT_MAX: usize = 1024 * 1024;

/// Proposes a parser for a payload.
pub fn propose(payload: &[u8], facts: &Facts<'_>) -> Proposal {
    let limits = Limits { decompressed: LOOKED_AT_MAX, ..Limits::default() };
    let unpacked = unpack::unpack(payload, Packing::Auto { zlib: true }, &limits);
    let Ok(bytes) = unpacked else { return raw("# it is compressed, and cannot be decompressed") };
    let is_packed = matches!(bytes, std::borrow::Cow::Owned(_));
    let mut proposal = Proposal::default();
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
    let end = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    let bytes = &bytes[..end];
    let latin: String;
    let (text, charset) = match utf8(bytes) {
        Ok(text) => (text, None),
        Err(_) if bytes.iter().all(|byte| matches!(byte, b'\t' | b'\n' | b'\r' | 0x20..)) => {
            latin = bytes.iter().map(|byte| char::from(*byte)).collect();
            (latin.as_str(), Some("charset: latin1  # it is not UTF-8; is it that?"))
        }
        Err(_) => return raw("# it is no text"),
    };
    if !json(text, facts, &mut proposal) && !table::table(text, facts, &mut proposal) {
        plain(text, &mut proposal);
    }
    if is_packed && !unpack::is_packed(payload) && !proposal.lines[0].contains("json") {
        proposal.add("compression: zlib");
    }
    proposal.lines.extend(charset.map(str::to_owned));
    proposal
}

fn raw(why: &str) -> Proposal {
    Proposal { lines: vec![format!("format: raw  {why}")] }
}

fn plain(text: &str, proposal: &mut Proposal) {
    proposal.add("format: text");
    if text.trim_end().contains(['\n', '\r']) {
        proposal.add("text: { lines: true }");
    }
    proposal.add("fields:");
    let kind = type_of_text(text.trim()).map_or(String::new(), |kind| format!(", type: {kind}"));
    proposal.add(format!("  value: {{ path: \".\"{kind} }}"));
}

const RULES: Rules =
    Rules { depth: 128, duplicates: Duplicates::Last, not_finite: true, tree: usize::MAX };

/// Looks whether it is JSON of any kind.
fn json(text: &str, facts: &Facts<'_>, proposal: &mut Proposal) -> bool {
    if let Some(sequence) = text.strip_prefix('\u{1e}') {
        let first = sequence.split('\u{1e}').next().unwrap_or_default();
        let Ok(document) = reader::read(first, &RULES) else { return false };
        proposal.add("format: json-seq");
        document_of(&document, text, facts, proposal);
        return true;
    }
    let (document, format) = match reader::read(text, &RULES) {
        Ok(document) => (document, "json"),
        Err(_) => match reader::read_next(text, 0, &RULES) {
            Ok(Some((document, end))) => {
                match document.kind {
                    Kind::Map(_) | Kind::List(_) if goes_on(&text[end..]) => (document, "ndjson"),
                    // What stands behind it is told of it.
                    Kind::Map(_) => (document, "json"),
                    // One word behind the other is a text.
                    _ => return false,
                }
            }
            _ => return false,
        },
    };
    if !matches!(document.kind, Kind::Map(_) | Kind::List(_)) {
        return false;
    }
    proposal.add(format!("format: {format}"));
    document_of(&document, text, facts, proposal);
    true
}

/// Whether what stands behind a document is another, or lines of which one may be.
fn goes_on(text: &str) -> bool {
    let begins = |text: &str| text.trim_start().starts_with(['{', '[']);
    begins(text) || text.starts_with(['\n', '\r']) && text.lines().any(begins)
}

fn document_of(document: &Json<'_>, text: &str, facts: &Facts<'_>, proposal: &mut Proposal) {
    if reader::read(text, &Rules { duplicates: Duplicates::Fail, ..RULES })
        .is_err_and(|failure| failure.reason == crate::failure::Reason::DuplicateKey)
    {
        proposal.add("duplicates: last  # a key is there twice: which value counts?");
    }
    if has_not_finite(document) {
        proposal.add("nan: \"null\"");
    }
    let mut path = String::new();
    let records = list_of_records(document, &mut path, LEVELS);
    let records = records.filter(|items| is_what_is_sent(document, items, facts));
    let records: &[Json<'_>] = match records {
        Some(items) => {
            proposal.add(format!("records: {}", quoted(&format!("{path}[]"))));
            items
        }
        None => std::slice::from_ref(document),
    };
    let Some(Kind::Map(entries)) = records.first().map(|record| &record.kind) else { return };
    let around = match &document.kind {
        Kind::Map(around) if !path.is_empty() => around.as_slice(),
        _ => &[],
    };
    let time = time::of_record(entries, facts, step);
    let time = time.or_else(|| time::of_record(around, facts, step_from_root));
    if let Some((_, line)) = &time {
        proposal.add(line.clone());
    }
    let time_path = time.map(|(path, _)| path);
    let others = entries.iter().filter(|entry| Some(step(&entry.key)) != time_path);
    let typed: Vec<String> = others.filter_map(|entry| typed_field(&entry.key, records)).collect();
    let typed = &typed[..typed.len().min(FIELDS_MAX)];
    if !typed.is_empty() {
        proposal.add("fields:  # numbers that are texts; everything else is kept as it is");
        proposal.lines.extend_from_slice(typed);
    }
}

/// Whether a list is what a document was sent for, and no more than a part of it: its elements have times, or
/// there is nothing around it but single values.
fn is_what_is_sent(document: &Json<'_>, items: &[Json<'_>], facts: &Facts<'_>) -> bool {
    let Kind::Map(around) = &document.kind else { return true };
    let is_timed = match items.first().map(|item| &item.kind) {
        Some(Kind::Map(entries)) => time::of_record(entries, facts, step).is_some(),
        _ => false,
    };
    let is_large = |entry: &&Entry<'_>| match &entry.value.kind {
        Kind::Map(inner) => !inner.is_empty(),
        Kind::List(inner) => !inner.is_empty(),
        _ => false,
    };
    is_timed || around.iter().filter(is_large).count() == 1
}

/// A field whose texts are numbers in all records.
fn typed_field(key: &str, records: &[Json<'_>]) -> Option<String> {
    if !is_name(key) {
        return None;
    }
    let values = records.iter().filter_map(|record| record.get(key));
    let kinds = values.map(|value| match &value.kind {
        Kind::Text(text) => type_of_text(text),
        _ => None,
    });
    let mut kind = "int";
    for one in kinds {
        kind = if one? == "float" { "float" } else { kind };
    }
    Some(format!("  {}: {{ path: {}, type: {kind} }}", quoted(key), quoted(&step(key))))
}

/// Whether a field can be called so.
fn is_name(text: &str) -> bool {
    (1..=NAME_MAX).contains(&text.len())
}

/// The type of what a text stands for; None where it is a text. Leading zeros belong to names.
fn type_of_text(text: &str) -> Option<&'static str> {
    let bare = text.strip_prefix('-').unwrap_or(text);
    let is_name = bare.len() > 1 && bare.starts_with('0') && !bare.starts_with("0.");
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    match bare.split_once('.') {
        _ if is_name => None,
        None => (digits(bare) && bare.len() < 19).then_some("int"),
        Some((whole, fraction)) => (digits(whole) && digits(fraction)).then_some("float"),
    }
}

/// Levels of objects in which a list of records is looked for.
const LEVELS: usize = 3;

/// The only list of objects, and the way to it.
fn list_of_records<'j, 'a>(
    json: &'j Json<'a>,
    path: &mut String,
    levels: usize,
) -> Option<&'j Vec<Json<'a>>> {
    match &json.kind {
        Kind::List(items) => {
            let are_objects = items.iter().all(|item| matches!(item.kind, Kind::Map(_)));
            (!items.is_empty() && are_objects).then_some(items)
        }
        Kind::Map(entries) if levels > 0 => {
            let mut found = None;
            for entry in entries {
                let mut below = step(&entry.key);
                if let Some(items) = list_of_records(&entry.value, &mut below, levels - 1) {
                    if found.is_some() {
                        return None;
                    }
                    found = Some((below, items));
                }
            }
            let (below, items) = found?;
            if !path.is_empty() && !below.starts_with('[') {
                path.push('.');
            }
            path.push_str(&below);
            Some(items)
        }
        _ => None,
    }
}

fn has_not_finite(json: &Json<'_>) -> bool {
    match &json.kind {
        Kind::NotFinite(_) => true,
        Kind::List(items) => items.iter().any(has_not_finite),
        Kind::Map(entries) => entries.iter().any(|entry| has_not_finite(&entry.value)),
        _ => false,
    }
}

/// A key as a step of a path.
fn step(key: &str) -> String {
    let is_plain = !key.is_empty()
        && key != "*"
        && !key.starts_with(['@', '$', '^'])
        && !key.contains(['.', '[', ']', '"', '\\']);
    match is_plain {
        true => key.to_owned(),
        false => format!("[\"{}\"]", key.replace('\\', "\\\\").replace('"', "\\\"")),
    }
}

/// The same from the payload's root on.
fn step_from_root(key: &str) -> String {
    let step = step(key);
    if step.starts_with('[') { format!("${step}") } else { format!("$.{step}") }
}

/// A text as YAML, in quotes where it needs them.
fn quoted(text: &str) -> String {
    let is_plain = text.starts_with(|one: char| one.is_ascii_alphabetic())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-/".contains(&byte))
        && !["true", "false", "null", "yes", "no", "on", "off", "y", "n"]
            .contains(&text.to_ascii_lowercase().as_str());
    if is_plain {
        return text.to_owned();
    }
    let mut quoted = String::from('"');
    for one in text.chars() {
        match u32::from(one) {
            _ if one == '"' || one == '\\' => quoted.extend(['\\', one]),
            _ if one == ' ' || one.is_alphanumeric() || one.is_ascii_punctuation() => {
                quoted.push(one);
            }
            number @ ..=0xffff => {
                write!(quoted, "\\u{number:04x}").expect("memory takes everything")
            }
            number => write!(quoted, "\\U{number:08x}").expect("memory takes everything"),
        }
    }
    quoted.push('"');
    quoted
}
