//! The names of Kafka topics: what may be one, and which a lane's record goes to. No device makes one up.

use std::borrow::Cow;

use crate::key::Template;
use crate::metadata::Facts;

/// Longest name of a Kafka topic, in bytes.
const KAFKA_TOPIC_MAX_BYTES: usize = 249;

/// The Kafka topic of a lane.
#[derive(Clone, Debug)]
pub enum TopicName {
    Fixed(String),
    /// What the template may become is listed.
    Template {
        template: Template,
        allowed: Vec<String>,
    },
}

impl TopicName {
    /// The Kafka topic of a message, or why it has none.
    pub(crate) fn name<'a>(&'a self, facts: &Facts<'_>) -> Result<Cow<'a, str>, String> {
        match self {
            TopicName::Fixed(name) => Ok(Cow::Borrowed(name)),
            TopicName::Template { template, allowed } => {
                let name = template.fill(facts).map_err(|missing| {
                    format!("the Kafka topic {template} needs {missing}, which the message lacks")
                })?;
                let listed = allowed.iter().find(|allowed| **allowed == name);
                listed.map(|listed| Cow::Borrowed(listed.as_str())).ok_or_else(|| {
                    let shown: String = name.chars().take(80).collect();
                    format!("the Kafka topic {shown:?} is not in the lane's list of topics")
                })
            }
        }
    }

    /// Every Kafka topic that it can become.
    pub fn all(&self) -> &[String] {
        match self {
            TopicName::Fixed(name) => std::slice::from_ref(name),
            TopicName::Template { allowed, .. } => allowed,
        }
    }
}

/// Kafka takes `[A-Za-z0-9._-]`, at most [`KAFKA_TOPIC_MAX_BYTES`] of them, and neither `.` nor `..`.
pub fn is_kafka_topic(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= KAFKA_TOPIC_MAX_BYTES
        && name != "."
        && name != ".."
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}
