//! The reference of the gateway's configuration, from the schema of the types that it is read into:
//! every key with its environment variable, what may be written, and its default.

use std::fmt::Write as _;

use serde_json::Value;

use crate::sections::cell;

/// How a description says a default that is not one value.
const DEFAULT: &str = "Default: ";

/// The keys of the configuration, in the order of their names.
pub struct Reference {
    sections: Vec<Section>,
}

/// A top-level key, with everything below it.
struct Section {
    name: String,
    keys: Vec<Key>,
}

struct Key {
    /// Such as `lanes.NAME.key` or `routes[].filter`.
    path: String,
    /// What may be written.
    kind: String,
    /// Empty where there is none, and `needed` where one has to be written.
    default: String,
    description: String,
}

impl Reference {
    pub fn of(schema: &Value) -> Reference {
        let sections = schema["properties"].as_object().into_iter().flatten();
        let sections = sections.map(|(name, property)| {
            let mut keys = Vec::new();
            walk(schema, property, name, false, &mut keys);
            Section { name: name.clone(), keys }
        });
        Reference { sections: sections.collect() }
    }

    /// A line of links to the sections.
    pub fn contents(&self) -> String {
        let links = self.sections.iter().map(|Section { name, .. }| format!("[`{name}`](#{name})"));
        links.collect::<Vec<_>>().join(", ")
    }

    /// A heading and a table for each section.
    pub fn tables(&self) -> String {
        let mut text = String::new();
        for Section { name, keys } in &self.sections {
            let _ = write!(text, "### {name}\n\n");
            text.push_str(
                "| key, variable | what is written | default | meaning |\n|---|---|---|---|\n",
            );
            for key in keys {
                let _ = writeln!(
                    text,
                    "| `{}`<br>`{}` | {} | {} | {} |",
                    key.path,
                    variable(&key.path),
                    cell(&key.kind),
                    cell(&key.default),
                    cell(&key.description)
                );
            }
            text.push('\n');
        }
        text
    }
}

/// The environment variable that overrides a key.
fn variable(path: &str) -> String {
    let name = path.replace("[]", ".N").replace('.', "__").to_ascii_uppercase();
    format!("LANDFALL__{name}")
}

/// A key, and the keys below it.
fn walk(root: &Value, property: &Value, path: &str, is_needed: bool, keys: &mut Vec<Key>) {
    let (schema, suffix) = resolved(root, property);
    let described = property["description"].as_str().unwrap_or_default().replace('\n', " ");
    let (description, default) = split(&described);
    let default = match &property["default"] {
        _ if is_needed => "needed".to_owned(),
        Value::Null => default.to_owned(),
        // Nothing in it is nothing written.
        Value::Array(items) if items.is_empty() => String::new(),
        Value::Object(map) if map.is_empty() => String::new(),
        value => format!("`{}`", written(value)),
    };
    keys.push(Key {
        path: path.to_owned(),
        kind: kind(root, property),
        default,
        description: description.to_owned(),
    });
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        let is_needed =
            schema["required"].as_array().is_some_and(|all| all.iter().any(|one| one == name));
        walk(root, property, &format!("{path}{suffix}.{name}"), is_needed, keys);
    }
}

/// A description, and the default that its last sentence says.
fn split(description: &str) -> (&str, &str) {
    match description.split_once(DEFAULT) {
        Some((before, default)) => (before.trim_end(), default.trim_end_matches('.')),
        None => (description, ""),
    }
}

/// A default as one would write it in YAML.
fn written(value: &Value) -> String {
    match value {
        Value::String(text) if text.contains(['{', '#', ',']) => format!("{text:?}"),
        Value::String(text) => text.clone(),
        Value::Array(items) => {
            format!("[{}]", items.iter().map(written).collect::<Vec<_>>().join(", "))
        }
        Value::Object(map) => {
            let entries = map.iter().map(|(key, value)| format!("{key}: {}", written(value)));
            format!("{{ {} }}", entries.collect::<Vec<_>>().join(", "))
        }
        other => other.to_string(),
    }
}

/// The ways in which a value may be written, where there are several.
fn ways(property: &Value) -> Option<&Vec<Value>> {
    let inner = &property["allOf"][0]["anyOf"];
    property["anyOf"].as_array().or(inner.as_array())
}

/// What stands for a key's value, in a word or two.
fn kind(root: &Value, property: &Value) -> String {
    let words: Vec<String> = property["enum"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .map(|word| format!("`{word}`"))
        .collect();
    if !words.is_empty() {
        return words.join(" or ");
    }
    match name(property) {
        Some("Size") => return "size".to_owned(),
        Some("Length") => return "time".to_owned(),
        Some("Secret") => return "text or [secret](#secrets)".to_owned(),
        _ => {}
    }
    if let Some(ways) = ways(property) {
        let kinds: Vec<String> = ways.iter().map(|way| kind(root, way)).collect();
        return kinds.join(" or ");
    }
    let (schema, _) = resolved(root, property);
    let range = match (&property["minimum"], &property["maximum"]) {
        (Value::Number(least), Value::Number(most)) => format!(", {least} to {most}"),
        (Value::Number(least), _) if least.as_u64() != Some(0) => format!(", at least {least}"),
        _ => String::new(),
    };
    let many = |what: &str, element: &Value| {
        let element = kind(root, element);
        format!("{what} of {element}s")
            .replace("text or [secret](#secrets)s", "texts or [secrets](#secrets)")
    };
    match property["type"].as_str() {
        Some("array") if schema["properties"].is_object() => "list of maps".to_owned(),
        Some("array") => many("list", &property["items"]),
        Some("object") if schema["properties"].is_object() => "map of maps".to_owned(),
        Some("object") => many("map", &property["additionalProperties"]),
        // Numbers and booleans are what they are written as.
        _ if property["type"].is_array() => "text".to_owned(),
        Some("boolean") => "`true` or `false`".to_owned(),
        Some("integer") => format!("number{range}"),
        Some("string") => "text".to_owned(),
        _ => "map".to_owned(),
    }
}

/// The name of the type that a property refers to.
fn name(property: &Value) -> Option<&str> {
    let reference = property["$ref"].as_str().or_else(|| property["allOf"][0]["$ref"].as_str());
    reference.map(|reference| reference.trim_start_matches("#/definitions/"))
}

/// The schema with the properties, and what stands for a list's or a map's element in a path.
fn resolved<'a>(root: &'a Value, schema: &'a Value) -> (&'a Value, String) {
    if let Some(name) = name(schema) {
        return resolved(root, &root["definitions"][name]);
    }
    // Whichever way it is written, what is described is the map.
    if let Some(ways) = ways(schema) {
        let map = ways.iter().find(|way| name(way).is_some());
        return map.map_or((schema, String::new()), |map| resolved(root, map));
    }
    for (key, element) in [("items", "[]"), ("additionalProperties", ".NAME")] {
        if schema[key].is_object() {
            let (found, suffix) = resolved(root, &schema[key]);
            return (found, format!("{element}{suffix}"));
        }
    }
    (schema, String::new())
}
