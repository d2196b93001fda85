//! Names in the prose of pages: keys of the configuration and of the chart, and environment variables, have to
//! exist, as `landfall schema` and the chart's schema say.

use serde_json::Value;

use super::page::Page;
use super::verdict;

/// How variables begin that override a key.
pub const VARIABLE: &str = "LANDFALL__";

/// Every key and variable that is quoted exists.
pub fn keys_exist(pages: &[Page], configuration: &Value, chart: &Value) -> Result<(), String> {
    let mut faults = Vec::new();
    for page in pages {
        let of_chart = page.path.starts_with("charts");
        for (line, quoted) in page.quoted() {
            let exists = if let Some(path) = variable(quoted) {
                found(configuration, configuration, &path)
            } else if let Some(path) = key(quoted) {
                let (section, below) = path.split_first().expect("a split has a first part");
                let is_section = |schema: &Value| !schema["properties"][*section].is_null();
                match *section {
                    "config" if of_chart => found(configuration, configuration, below),
                    _ if is_section(configuration)
                        && found(configuration, configuration, &path) =>
                    {
                        true
                    }
                    // A key of the chart looks the same, and its pages have both.
                    _ if of_chart && is_section(chart) => found(chart, chart, &path),
                    _ => !is_section(configuration),
                }
            } else {
                true
            };
            if !exists {
                faults.push(format!("{}: there is no key {quoted}", page.at(line)));
            }
        }
    }
    verdict(faults)
}

/// The variables that a page quotes.
pub fn variables(page: &Page) -> Vec<&str> {
    let quoted = page.quoted().map(|(_, quoted)| quoted);
    quoted.filter(|quoted| variable(quoted).is_some()).collect()
}

/// The key that a variable overrides: `LANDFALL__LISTENERS__N__BIND` is listeners, N, bind.
fn variable(quoted: &str) -> Option<Vec<String>> {
    let name = quoted.split('=').next()?.strip_prefix(VARIABLE)?;
    let is_name = name.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_');
    // Such as the pattern LANDFALL__SECTION__KEY.
    let path: Vec<String> = name.split("__").map(str::to_ascii_lowercase).collect();
    (is_name && !name.is_empty() && path[0] != "section").then_some(path)
}

/// A key of several parts, such as `lanes.NAME.inline_size` or `config.kafka.properties`.
fn key(quoted: &str) -> Option<Vec<&str>> {
    let text = quoted.split(':').next()?;
    let is_key = |part: &str| {
        !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || "_-[]".contains(c))
    };
    let parts: Vec<&str> = text.split('.').collect();
    let is_file = ["yaml", "md", "rs", "py", "json"].contains(parts.last()?);
    (parts.len() > 1 && !is_file && parts.iter().all(|part| is_key(part))).then_some(parts)
}

/// The schema has a key at this path.
fn found(root: &Value, schema: &Value, path: &[impl AsRef<str>]) -> bool {
    let schema = resolved(root, schema);
    let Some((first, rest)) = path.split_first() else { return true };
    // What may be written in several ways has the keys of each.
    let ways = schema["anyOf"].as_array().or(schema["allOf"][0]["anyOf"].as_array());
    if ways.is_some_and(|ways| ways.iter().any(|way| found(root, way, path))) {
        return true;
    }
    let name = first.as_ref().trim_end_matches("[]");
    let property = &schema["properties"][name];
    if !property.is_null() {
        return found(root, property, rest);
    }
    // An element of a list stands in a variable; in a key, `[]` does.
    let items = &schema["items"];
    if items.is_object() {
        let is_element = name.len() < 2;
        return found(root, items, if is_element { rest } else { path });
    }
    match &schema["additionalProperties"] {
        // A name of the user's; with dots in it where the map holds texts.
        values if values.is_object() => {
            resolved(root, values)["properties"].is_null() || found(root, values, rest)
        }
        Value::Bool(true) => true,
        _ => false,
    }
}

/// Without references.
fn resolved<'a>(root: &'a Value, schema: &'a Value) -> &'a Value {
    let reference = schema["$ref"].as_str().or_else(|| schema["allOf"][0]["$ref"].as_str());
    match reference.and_then(|reference| root.pointer(reference.trim_start_matches('#'))) {
        Some(found) => resolved(root, found),
        None => schema,
    }
}
