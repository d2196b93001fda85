//! A text of the configuration that may be kept elsewhere: in a file or in the environment. It is never
//! printed.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, Visitor};

/// Longest secret, in bytes.
const SECRET_MAX_BYTES: u64 = 64 * 1024;

/// A text that may be a secret kept elsewhere: { from_file: … } or { from_env: … }.
#[derive(Clone)]
pub enum Secret {
    /// As it is written, number or not.
    Text(String),
    /// A file.
    File(String),
    /// An environment variable.
    Environment(String),
}

impl JsonSchema for Secret {
    fn schema_name() -> Cow<'static, str> {
        "Secret".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let elsewhere = |key: &str, description: &str| {
            json_schema!({
                "description": description,
                "type": "object",
                "properties": { key: { "type": "string" } },
                "required": [key],
                "additionalProperties": false,
            })
        };
        json_schema!({
            "description": "A text that may be a secret kept elsewhere: { from_file: … } or { from_env: … }.",
            "anyOf": [
                { "type": ["string", "boolean", "integer", "number"] },
                elsewhere("from_file", "The content of a file, without the line's end."),
                elsewhere("from_env", "The value of an environment variable."),
            ],
        })
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Secret, D::Error> {
        deserializer.deserialize_string(SecretVisitor)
    }
}

struct SecretVisitor;

impl<'de> Visitor<'de> for SecretVisitor {
    type Value = Secret;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a text, { from_file: … } or { from_env: … }")
    }

    fn visit_str<E>(self, text: &str) -> Result<Secret, E> {
        Ok(Secret::Text(text.to_owned()))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Secret, A::Error> {
        let wrong = || de::Error::custom("write a text, { from_file: … } or { from_env: … }");
        let secret = match map.next_entry::<String, String>()? {
            Some((key, file)) if key == "from_file" => Secret::File(file),
            Some((key, variable)) if key == "from_env" => Secret::Environment(variable),
            _ => return Err(wrong()),
        };
        match map.next_key::<String>()? {
            None => Ok(secret),
            Some(_) => Err(wrong()),
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("…")
    }
}

impl Secret {
    /// It is not in the configuration itself.
    pub fn is_elsewhere(&self) -> bool {
        !matches!(self, Secret::Text(_))
    }

    /// The text itself.
    pub fn reveal(self) -> Result<String, String> {
        match self {
            Secret::Text(text) => Ok(text),
            Secret::File(from_file) => {
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
            Secret::Environment(from_env) => match std::env::var(&from_env) {
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
