//! The smallest pieces of a configuration: YAML, overrides from the environment, sizes, lengths of
//! time, secrets.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::{self, Deserializer, Visitor};
use serde_json::{Map, Value};

use super::{ENV_PREFIX, Faults};

/// Longest secret, in bytes.
const SECRET_MAX_BYTES: u64 = 64 * 1024;

/// A YAML text, or where and why it is none.
pub fn yaml(text: &str) -> Result<Value, String> {
    serde_saphyr::from_str(text).map_err(|error| format!("is no valid YAML: {error}"))
}

/// Sets the key that `name` names (`LANDFALL__KAFKA__CREATE_TOPICS`) to `value`, which is YAML.
pub fn override_with(root: &mut Value, name: &str, value: &str, faults: &mut Faults) {
    let path: Vec<String> =
        name[ENV_PREFIX.len()..].split("__").map(str::to_ascii_lowercase).collect();
    let place = || format!("environment {name}");
    if path.iter().any(String::is_empty) {
        faults
            .add(place(), "write the sections between double underscores: LANDFALL__SECTION__KEY");
        return;
    }
    let value = match yaml(value) {
        Ok(value) => value,
        Err(error) => return faults.add(place(), error),
    };
    let mut at = root;
    for (depth, key) in path.iter().enumerate() {
        let last = depth + 1 == path.len();
        at = match at {
            Value::Array(items) => {
                match key.parse().ok().and_then(|index: usize| items.get_mut(index)) {
                    Some(item) => item,
                    None => {
                        return faults
                            .add(place(), format!("there is no element {key} in the list"));
                    }
                }
            }
            at => {
                if !at.is_object() {
                    *at = Value::Object(Map::new());
                }
                let map = at.as_object_mut().expect("it was made one");
                // A variable's name can hold no hyphen.
                let key = match key.replace('_', "-") {
                    hyphened
                        if depth == 1
                            && path[0] == "lanes"
                            && (map.contains_key(&hyphened) || hyphened == "dead-letter") =>
                    {
                        hyphened
                    }
                    _ => key.clone(),
                };
                map.entry(key).or_insert(Value::Null)
            }
        };
        if last {
            merge(at, value);
            return;
        }
    }
}

/// Maps merge, everything else is replaced.
fn merge(into: &mut Value, value: Value) {
    match (into, value) {
        (Value::Object(into), Value::Object(map)) => {
            for (key, value) in map {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, value) => *into = value,
    }
}

/// Bytes: a number, or a text such as `512KiB` or `64MB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size(pub u64);

/// A length of time, such as `250ms`, `5s` or `1h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Length(pub Duration);

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Size, String> {
        let size = text.parse::<bytesize::ByteSize>();
        size.map(|size| Size(size.as_u64()))
            .map_err(|_| format!("{text:?} is no size: write bytes, or 512KiB, 64MiB, 1GiB"))
    }
}

impl FromStr for Length {
    type Err = String;

    fn from_str(text: &str) -> Result<Length, String> {
        humantime::parse_duration(text)
            .map(Length)
            .map_err(|_| format!("{text:?} is no length of time: write 250ms, 5s, 10m or 1h"))
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Size, D::Error> {
        deserializer.deserialize_any(Parsed::<Size> {
            expecting: "a size such as 512KiB",
            number: |number| Some(Size(number)),
        })
    }
}

impl<'de> Deserialize<'de> for Length {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Length, D::Error> {
        deserializer.deserialize_any(Parsed::<Length> {
            expecting: "a length of time with its unit, such as 5s",
            number: |number| (number == 0).then_some(Length(Duration::ZERO)),
        })
    }
}

impl JsonSchema for Size {
    fn schema_name() -> Cow<'static, str> {
        "Size".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "Bytes: a number, or a text such as 512KiB, 64MiB or 64MB.",
            "type": ["integer", "string"],
            "minimum": 0,
            "pattern": r"^[0-9]+(\.[0-9]+)? *([kKmMgGtT][iI]?)?[bB]?$",
        })
    }
}

impl JsonSchema for Length {
    fn schema_name() -> Cow<'static, str> {
        "Length".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A length of time with its unit: 250ms, 5s, 10m, 1h or 1d.",
            "type": "string",
            "pattern": "^([0-9]+ *(ms|s|m|h|d) *)+$",
        })
    }
}

/// Reads a text by its `FromStr`, and numbers where they are clear without a unit.
struct Parsed<T> {
    expecting: &'static str,
    number: fn(u64) -> Option<T>,
}

impl<T: FromStr<Err = String>> Visitor<'_> for Parsed<T> {
    type Value = T;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.expecting)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<T, E> {
        (self.number)(number)
            .ok_or_else(|| E::invalid_type(de::Unexpected::Unsigned(number), &self))
    }
}

/// A text that may be a secret kept elsewhere: { from_file: … } or { from_env: … }.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(
    untagged,
    expecting = "write a text, a number, true, false, { from_file: … } or { from_env: … }"
)]
pub enum Secret {
    Text(String),
    Flag(bool),
    Whole(i64),
    Number(f64),
    File(FromFile),
    Environment(FromEnvironment),
}

/// The content of a file, without the line's end.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FromFile {
    from_file: String,
}

/// The value of an environment variable.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FromEnvironment {
    from_env: String,
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("…")
    }
}

impl Secret {
    /// The text itself.
    pub fn reveal(self) -> Result<String, String> {
        match self {
            Secret::Text(text) => Ok(text),
            Secret::Flag(flag) => Ok(flag.to_string()),
            Secret::Whole(number) => Ok(number.to_string()),
            Secret::Number(number) => Ok(number.to_string()),
            Secret::File(FromFile { from_file }) => {
                let failed =
                    |error: &dyn fmt::Display| format!("{from_file} cannot be read: {error}");
                let size = std::fs::metadata(&from_file).map_err(|error| failed(&error))?.len();
                if size > SECRET_MAX_BYTES {
                    return Err(format!("{from_file} has {size} bytes: that is no secret"));
                }
                let text = std::fs::read_to_string(&from_file).map_err(|error| failed(&error))?;
                match text.trim_end_matches(['\r', '\n']) {
                    "" => Err(format!("{from_file} is empty")),
                    text => Ok(text.to_owned()),
                }
            }
            Secret::Environment(FromEnvironment { from_env }) => match std::env::var(&from_env) {
                Ok(text) if text.is_empty() => {
                    Err(format!("the environment variable {from_env} is empty"))
                }
                Ok(text) => Ok(text),
                Err(std::env::VarError::NotPresent) => {
                    Err(format!("the environment variable {from_env} is not set"))
                }
                Err(std::env::VarError::NotUnicode(_)) => {
                    Err(format!("the environment variable {from_env} is no UTF-8"))
                }
            },
        }
    }
}
