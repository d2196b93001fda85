//! The chart's README: what `README.in.md` says, with tables of all values and of the configuration.

use std::fmt::Write as _;

use serde_json::Value;

use crate::values::{Key, Section};

const VALUES: &str = "<!-- values -->\n";
const CONFIGURATION: &str = "<!-- configuration -->\n";

pub fn of(text: &str, values: &[Section], configuration: &Value) -> Result<String, String> {
    let mut readme = text.to_owned();
    for (marker, table) in
        [(VALUES, values_tables(values)), (CONFIGURATION, configuration_table(configuration))]
    {
        if !readme.contains(marker) {
            return Err(format!("README.in.md has no line {}", marker.trim_end()));
        }
        readme = readme.replace(marker, &table);
    }
    Ok(format!(
        "<!-- Made by `make chart` of README.in.md, values.yaml and the types of the gateway's configuration. -->\n\n{readme}"
    ))
}

fn values_tables(sections: &[Section]) -> String {
    let mut text = String::new();
    for Section { title, keys } in sections {
        let _ = write!(text, "### {title}\n\n| key | default | |\n|---|---|---|\n");
        for key in keys {
            rows(key, &mut text);
        }
        text.push('\n');
    }
    text.trim_end().to_owned() + "\n"
}

fn rows(key: &Key, text: &mut String) {
    if key.keys.is_empty() {
        let default = match &key.default {
            Value::Null => "`null`".to_owned(),
            Value::String(default) if default.is_empty() => String::new(),
            default => format!("`{default}`"),
        };
        let description = described(&key.description, &Value::Object(key.schema.clone()));
        let _ = writeln!(text, "| `{}` | {} | {} |", key.path, cell(&default), cell(&description));
    }
    for key in &key.keys {
        rows(key, text);
    }
}

fn configuration_table(schema: &Value) -> String {
    let mut text = "| key | |\n|---|---|\n".to_owned();
    sections(schema, schema, "config", &mut text);
    text
}

/// The rows of an object's properties, and of everything below them.
fn sections(root: &Value, schema: &Value, path: &str, text: &mut String) {
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        let path = format!("{path}.{name}");
        let description = described(property["description"].as_str().unwrap_or_default(), property);
        let _ = writeln!(text, "| `{path}` | {} |", cell(&description));
        let (schema, suffix) = resolved(root, property);
        sections(root, schema, &format!("{path}{suffix}"), text);
    }
}

/// The schema with the properties, and what stands for a list's or a map's element in a path.
fn resolved<'a>(root: &'a Value, schema: &'a Value) -> (&'a Value, String) {
    if let Some(name) = schema["$ref"].as_str() {
        let found = &root["definitions"][name.trim_start_matches("#/definitions/")];
        return resolved(root, found);
    }
    // A reference with a description of its own.
    if let Some([only]) = schema["allOf"].as_array().map(Vec::as_slice) {
        return resolved(root, only);
    }
    for (key, element) in [("items", "[]"), ("additionalProperties", ".NAME")] {
        if schema[key].is_object() {
            let (found, suffix) = resolved(root, &schema[key]);
            return (found, format!("{element}{suffix}"));
        }
    }
    (schema, String::new())
}

/// The description, with the words that may be written where they are few.
fn described(description: &str, schema: &Value) -> String {
    let words: Vec<String> = schema["enum"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|word| word.as_str().is_some_and(|word| !word.is_empty()))
        .map(|word| format!("`{}`", word.as_str().unwrap_or_default()))
        .collect();
    match (words.is_empty(), description.is_empty()) {
        (true, _) => description.to_owned(),
        (false, true) => words.join(", "),
        (false, false) => format!("{description} One of {}.", words.join(", ")),
    }
}

fn cell(text: &str) -> String {
    text.replace('\n', " ").replace('|', "\\|")
}
