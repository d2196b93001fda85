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

/// `san_uri`, `san_dns`, `cn` or `subject`, or `{ NAME: TEMPLATE }`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateName {
    pub source: String,
    pub template: Option<String>,
}

impl JsonSchema for CertificateName {
    fn schema_name() -> Cow<'static, str> {
        "CertificateName".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let template = json_schema!({ "type": "string", "pattern": "\\{id\\}" });
        json_schema!({
            "description": "A name of a certificate: san_uri, san_dns, cn (where there is exactly one) or subject (as RFC 2253 writes it). { NAME: TEMPLATE } says which part of it is the identity, as spiffe://fleet/device/{id} does; {device_type}, {firmware_version}, {group} and {tenant} make attributes of other parts.",
            "anyOf": [
                { "type": "string", "enum": ["san_uri", "san_dns", "cn", "subject"] },
                {
                    "type": "object",
                    "properties": {
                        "san_uri": template,
                        "san_dns": template,
                        "cn": template,
                        "subject": template,
                    },
                    "minProperties": 1,
                    "maxProperties": 1,
                    "additionalProperties": false,
                },
            ],
        })
    }
}

impl<'de> Deserialize<'de> for CertificateName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<CertificateName, D::Error> {
        deserializer.deserialize_any(CertificateNameVisitor)
    }
}

struct CertificateNameVisitor;

impl<'de> Visitor<'de> for CertificateNameVisitor {
    type Value = CertificateName;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("san_uri, san_dns, cn or subject, or { NAME: TEMPLATE }")
    }

    fn visit_str<E>(self, text: &str) -> Result<CertificateName, E> {
        Ok(CertificateName { source: text.to_owned(), template: None })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<CertificateName, A::Error> {
        let one = || {
            de::Error::custom(
                "write one name with its template, such as { san_uri: \"spiffe://fleet/device/{id}\" }",
            )
        };
        let (source, template) = map.next_entry()?.ok_or_else(one)?;
        match map.next_key::<String>()? {
            None => Ok(CertificateName { source, template: Some(template) }),
            Some(_) => Err(one()),
        }
    }
}

impl JsonSchema for Ways {
    fn schema_name() -> Cow<'static, str> {
        "Ways".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A way of authentication, or { all: [...] } of which all are asked for, the first of which says the name: certificate, token, password or http.",
            "anyOf": [
                { "type": "string", "enum": ["certificate", "token", "password", "http"] },
                {
                    "type": "object",
                    "properties": {
                        "all": {
                            "type": "array",
                            "items": { "type": "string", "enum": ["certificate", "token", "password", "http"] },
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
