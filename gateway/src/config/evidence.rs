//! How a configuration names ways of authentication, and what a client id has to do with an identity.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, Visitor};

/// A way such as `password`, or `{ all: [...] }` of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ways(pub Vec<String>);

/// `equals`, `any` or `{ begins_with: SEPARATOR }`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientId {
    Word(String),
    BeginsWith(String),
}

impl JsonSchema for Ways {
    fn schema_name() -> Cow<'static, str> {
        "Ways".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A way of authentication, or { all: [...] } of which all are asked for: password.",
            "anyOf": [
                { "type": "string", "enum": ["password"] },
                {
                    "type": "object",
                    "properties": {
                        "all": {
                            "type": "array",
                            "items": { "type": "string", "enum": ["password"] },
                            "minItems": 1,
                        },
                    },
                    "required": ["all"],
                    "additionalProperties": false,
                },
            ],
        })
    }
}

impl JsonSchema for ClientId {
    fn schema_name() -> Cow<'static, str> {
        "ClientId".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "What a client id has to do with the identity that was proved: equals (it is the identity), { begins_with: SEPARATOR } (it is the identity, or begins with it and the separator, which then should be in no identity), or any.",
            "anyOf": [
                { "type": "string", "enum": ["equals", "any"] },
                {
                    "type": "object",
                    "properties": { "begins_with": { "type": "string", "minLength": 1 } },
                    "required": ["begins_with"],
                    "additionalProperties": false,
                },
            ],
        })
    }
}

impl<'de> Deserialize<'de> for Ways {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Ways, D::Error> {
        deserializer.deserialize_any(WaysVisitor)
    }
}

struct WaysVisitor;

impl<'de> Visitor<'de> for WaysVisitor {
    type Value = Ways;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a way such as password, or { all: [...] }")
    }

    fn visit_str<E>(self, word: &str) -> Result<Ways, E> {
        Ok(Ways(vec![word.to_owned()]))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Ways, A::Error> {
        let ways = match map.next_entry::<String, Vec<String>>()? {
            Some((key, ways)) if key == "all" => ways,
            _ => return Err(de::Error::custom("write a way, or { all: [...] }")),
        };
        match map.next_key::<String>()? {
            None => Ok(Ways(ways)),
            Some(_) => Err(de::Error::custom("write a way, or { all: [...] }")),
        }
    }
}

impl<'de> Deserialize<'de> for ClientId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<ClientId, D::Error> {
        deserializer.deserialize_any(ClientIdVisitor)
    }
}

struct ClientIdVisitor;

impl<'de> Visitor<'de> for ClientIdVisitor {
    type Value = ClientId;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("equals, any, or { begins_with: SEPARATOR }")
    }

    fn visit_str<E>(self, word: &str) -> Result<ClientId, E> {
        Ok(ClientId::Word(word.to_owned()))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<ClientId, A::Error> {
        let wrong = || de::Error::custom("write equals, any, or { begins_with: SEPARATOR }");
        match map.next_entry::<String, String>()? {
            Some((key, separator)) if key == "begins_with" => match map.next_key::<String>()? {
                None => Ok(ClientId::BeginsWith(separator)),
                Some(_) => Err(wrong()),
            },
            _ => Err(wrong()),
        }
    }
}
