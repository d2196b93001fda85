//! The sections as they are written. Unknown keys are refused.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::values::{Length, Secret, Size};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listener {
    pub name: String,
    pub bind: String,
    #[serde(default)]
    pub anonymous: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Admin {
    pub bind: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Drain {
    pub pause: Option<Length>,
    pub deadline: Option<Length>,
    pub wills: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Kafka {
    pub bootstrap_servers: Option<String>,
    pub create_topics: bool,
    pub properties: BTreeMap<String, Secret>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ObjectStore {
    pub url: String,
    #[serde(default)]
    pub options: BTreeMap<String, Secret>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    pub memory: Option<Size>,
    pub connections: Option<u32>,
    pub message_size: Option<Size>,
    pub window_messages: Option<u16>,
    pub window_size: Option<Size>,
    pub workers: Option<usize>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Route {
    pub filter: String,
    #[serde(default)]
    pub attributes: BTreeMap<String, String>,
    pub payload: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    pub when: When,
    pub lane: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct When {
    pub topic: Option<String>,
    pub attributes: BTreeMap<String, String>,
    pub firmware: Option<String>,
    pub property: BTreeMap<String, String>,
    pub larger_than: Option<Size>,
    pub older_than: Option<Length>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Lane {
    pub topic: Option<String>,
    pub topics: Vec<String>,
    pub key: Option<String>,
    pub bucket: Option<Length>,
    pub ack: Option<String>,
    pub inline_size: Option<Size>,
    pub format: Option<String>,
    pub gather: Option<Length>,
    pub properties: BTreeMap<String, Secret>,
    pub memory: Option<Size>,
    pub large_memory: Option<Size>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attributes {
    pub from_file: String,
}
