//! `values.schema.json`: closed, with the gateway's own configuration below `config`.

use serde_json::{Map, Value, json};

use crate::values::{Key, Section};

pub fn of(values: &[Section], configuration: &Value) -> Result<Value, String> {
    let mut configuration = configuration.clone();
    let root = configuration.as_object_mut().expect("a schema is an object");
    root.remove("$schema");
    let mut definitions = match root.remove("definitions") {
        Some(Value::Object(definitions)) => definitions,
        _ => Map::new(),
    };
    definitions.insert("Configuration".to_owned(), configuration);
    definitions.insert("Resources".to_owned(), resources());

    let keys = || values.iter().flat_map(|section| &section.keys);
    let mut properties = properties(keys())?;
    // Helm hands them to a sub-chart, whether it knows them or not.
    properties.insert("global".to_owned(), json!({ "type": "object" }));
    properties.insert("enabled".to_owned(), json!({ "type": "boolean" }));
    Ok(json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Values of the chart landfall",
        "type": "object",
        "additionalProperties": false,
        "required": needed(keys()),
        "properties": properties,
        "definitions": definitions,
    }))
}

/// A container's resources, as Kubernetes has them.
fn resources() -> Value {
    let quantities = json!({
        "type": "object",
        "additionalProperties": { "type": ["string", "number"] },
    });
    json!({
        "type": "object",
        "additionalProperties": false,
        "properties": { "requests": quantities, "limits": quantities },
    })
}

fn properties<'a>(keys: impl Iterator<Item = &'a Key>) -> Result<Map<String, Value>, String> {
    let named = keys.map(|key| {
        let name = key.path.rsplit('.').next().unwrap_or_default();
        Ok((name.to_owned(), schema(key)?))
    });
    named.collect()
}

/// What a user must not take away with null: Helm removes the key then, and a template would find a hole.
/// Lists, free maps and empty texts may be absent.
fn needed<'a>(keys: impl Iterator<Item = &'a Key>) -> Vec<&'a str> {
    let is_needed = |key: &&Key| match &key.default {
        Value::Object(_) if key.schema.contains_key("$ref") => key.path == "config",
        Value::Object(_) => !key.schema.contains_key("additionalProperties"),
        Value::Bool(_) => true,
        // Where it says more than one type, it says what else it can do without.
        Value::Number(_) => !key.schema.contains_key("type"),
        Value::String(text) => !text.is_empty(),
        Value::Null | Value::Array(_) => false,
    };
    keys.filter(is_needed).map(|key| key.path.rsplit('.').next().unwrap_or_default()).collect()
}

fn schema(key: &Key) -> Result<Value, String> {
    let mut schema = inferred(key)?;
    for (name, value) in &key.schema {
        match name.as_str() {
            // Draft 7 sees nothing beside a `$ref`.
            "$ref" => schema.insert("allOf".to_owned(), json!([{ "$ref": value }])),
            _ => schema.insert(name.clone(), value.clone()),
        };
    }
    if !key.description.is_empty() {
        schema.insert("description".to_owned(), Value::String(key.description.clone()));
    }
    Ok(Value::Object(schema))
}

/// What the default value says.
fn inferred(key: &Key) -> Result<Map<String, Value>, String> {
    let says = |name: &str| key.schema.contains_key(name);
    let needs = |name: &str| {
        format!("{}: its default says too little: write @schema with {name}", key.path)
    };
    let schema = match &key.default {
        Value::Object(_) if says("$ref") => json!({}),
        Value::Object(_) if says("additionalProperties") => json!({ "type": "object" }),
        Value::Object(map) if map.is_empty() => return Err(needs("additionalProperties")),
        Value::Object(_) => json!({
            "type": "object",
            "additionalProperties": false,
            "required": needed(key.keys.iter()),
            "properties": properties(key.keys.iter())?,
        }),
        Value::Array(_) if !says("items") => return Err(needs("items")),
        Value::Array(_) => json!({ "type": "array" }),
        Value::Null if !says("type") => return Err(needs("type")),
        Value::Null => json!({}),
        Value::Bool(_) => json!({ "type": "boolean" }),
        Value::Number(_) => json!({ "type": "integer" }),
        Value::String(_) => json!({ "type": "string" }),
    };
    Ok(schema.as_object().cloned().unwrap_or_default())
}
