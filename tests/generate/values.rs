//! `values.yaml` with its comments: sections, keys, defaults, and what `@schema` says of them.
//!
//! The comment lines right above a key describe it. A line `# @schema {…}` among them is merged into the
//! key's schema; a line `## Title` begins a section.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// A key with everything below it.
pub struct Key {
    /// Such as `service.type`.
    pub path: String,
    pub description: String,
    /// From `@schema`.
    pub schema: Map<String, Value>,
    pub default: Value,
    /// Keys below, in the order of the file; only of a map that the chart itself closes.
    pub keys: Vec<Key>,
}

pub struct Section {
    pub title: String,
    pub keys: Vec<Key>,
}

/// What stands above a key.
#[derive(Default)]
struct Comment {
    description: String,
    schema: Map<String, Value>,
    /// Where in the file, so that keys keep their order.
    line: usize,
    section: usize,
}

pub fn parse(text: &str) -> Result<Vec<Section>, String> {
    let defaults: Map<String, Value> = serde_saphyr::from_str(text)
        .map_err(|error| format!("values.yaml is no valid YAML: {error}"))?;
    let (titles, comments) = comments(text)?;
    let mut sections: Vec<Section> =
        titles.into_iter().map(|title| Section { title, keys: Vec::new() }).collect();
    for key in keys("", &defaults, &comments)? {
        let section = comments[&key.path].section;
        let section = section.checked_sub(1).and_then(|index| sections.get_mut(index));
        section
            .ok_or_else(|| format!("{} stands before the first `## Title`", key.path))?
            .keys
            .push(key);
    }
    Ok(sections)
}

/// The titles of sections, and the comment of every key that begins a line, by path.
fn comments(text: &str) -> Result<(Vec<String>, BTreeMap<String, Comment>), String> {
    let mut titles = Vec::new();
    let mut comments = BTreeMap::new();
    let mut above = Comment::default();
    // Keys that enclose the line, with their indentation.
    let mut path: Vec<(usize, &str)> = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let content = line.trim_start();
        let indentation = line.len() - content.len();
        if let Some(title) = content.strip_prefix("## ") {
            titles.push(title.to_owned());
        } else if let Some(schema) = content.strip_prefix("# @schema ") {
            above.schema = serde_json::from_str(schema)
                .map_err(|error| format!("values.yaml:{}: @schema: {error}", number + 1))?;
        } else if let Some(text) = content.strip_prefix("# ") {
            let separator = if above.description.is_empty() { "" } else { " " };
            above.description += separator;
            above.description += text;
        } else if content.is_empty() {
            above = Comment::default();
        } else if let Some(key) = key_of(content) {
            path.retain(|(depth, _)| *depth < indentation);
            path.push((indentation, key));
            let names: Vec<&str> = path.iter().map(|(_, key)| *key).collect();
            let comment = Comment { line: number, section: titles.len(), ..above };
            comments.insert(names.join("."), comment);
            above = Comment::default();
        }
    }
    Ok((titles, comments))
}

fn key_of(content: &str) -> Option<&str> {
    let (key, _) = content.split_once(':')?;
    let is_name = !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric());
    is_name.then_some(key)
}

fn keys(
    parent: &str,
    defaults: &Map<String, Value>,
    comments: &BTreeMap<String, Comment>,
) -> Result<Vec<Key>, String> {
    let mut keys = Vec::new();
    for (name, default) in defaults {
        let path = if parent.is_empty() { name.clone() } else { format!("{parent}.{name}") };
        let comment = comments
            .get(&path)
            .ok_or_else(|| format!("{path} does not begin a line, so it can have no comment"))?;
        let is_open =
            ["$ref", "additionalProperties"].iter().any(|key| comment.schema.contains_key(*key));
        let below = match default.as_object() {
            Some(defaults) if !is_open => self::keys(&path, defaults, comments)?,
            _ => Vec::new(),
        };
        let key = Key {
            path,
            description: comment.description.clone(),
            schema: comment.schema.clone(),
            default: default.clone(),
            keys: below,
        };
        keys.push((comment.line, key));
    }
    keys.sort_by_key(|(line, _)| *line);
    Ok(keys.into_iter().map(|(_, key)| key).collect())
}
