//! The tables of all values in the chart's README.

use std::fmt::Write as _;

use serde_json::Value;

use crate::sections::cell;
use crate::values::{Key, Section};

pub fn of(sections: &[Section]) -> String {
    let mut text = String::new();
    for Section { title, keys } in sections {
        let _ = write!(text, "### {title}\n\n| key | default | |\n|---|---|---|\n");
        for key in keys {
            rows(key, &mut text);
        }
        text.push('\n');
    }
    text
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

/// The description, with the words that may be written where they are few.
fn described(description: &str, schema: &Value) -> String {
    let words: Vec<String> = schema["enum"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .filter(|word| !word.is_empty())
        .map(|word| format!("`{word}`"))
        .collect();
    match (words.is_empty(), description.is_empty()) {
        (true, _) => description.to_owned(),
        (false, true) => words.join(", "),
        (false, false) => format!("{description} One of {}.", words.join(", ")),
    }
}
