//! The smallest pieces of a configuration: sizes, lengths of time, secrets.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, SeqAccess, Visitor};

/// Longest secret, in bytes.
const SECRET_MAX_BYTES: u64 = 64 * 1024;

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

/// A file, or several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files(pub Vec<String>);

impl JsonSchema for Files {
    fn schema_name() -> Cow<'static, str> {
        "Files".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A file, or a list of files.",
            "anyOf": [
                { "type": "string" },
                { "type": "array", "items": { "type": "string" }, "minItems": 1 },
            ],
        })
    }
}

impl<'de> Deserialize<'de> for Files {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Files, D::Error> {
        deserializer.deserialize_any(FilesVisitor)
    }
}

struct FilesVisitor;

impl<'de> Visitor<'de> for FilesVisitor {
    type Value = Files;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a file, or a list of files")
    }

    fn visit_str<E>(self, text: &str) -> Result<Files, E> {
        Ok(Files(vec![text.to_owned()]))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Files, A::Error> {
        let mut files = Vec::new();
        while let Some(file) = list.next_element()? {
            files.push(file);
        }
        Ok(Files(files))
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
