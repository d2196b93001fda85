//! What a parse role does: what its configuration means. Groups of workers read the lanes ([`Pool`]), the
//! first rule that holds says which parser takes a message ([`rules`]), and its events go to a canonical topic
//! ([`topic`]). Pure.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use crate::limits::Limits;
use crate::plan::known::Known;
use crate::plan::rules::Rules;
use crate::plan::topic::CanonicalTopic;

pub mod known;
pub mod rules;
pub mod topic;

/// What a parse role does.
#[derive(Debug)]
pub struct Plan {
    /// Those of this process.
    pub pools: Vec<Pool>,
    pub rules: Rules,
    /// By [`rules::Rule::topic`].
    pub topics: Vec<CanonicalTopic>,
    /// None: no metadata stream is written.
    pub metadata: Option<Metadata>,
    /// Whether this process is one of those that read the lanes for it.
    pub reads_for_metadata: bool,
    /// The Kafka topic of what failed and is kept.
    pub quarantine: String,
    /// Of one message; each parser has them too.
    pub limits: Limits,
    /// What is known of messages beside their envelopes.
    pub known: Known,
}

impl Plan {
    /// Every Kafka topic that the role writes to.
    pub fn written_topics(&self) -> impl Iterator<Item = &str> {
        let canonical = self.topics.iter().map(|topic| topic.topic.as_str());
        let metadata = self.metadata.iter().map(|metadata| metadata.topic.as_str());
        canonical.chain(metadata).chain([self.quarantine.as_str()])
    }
}

/// One group of workers: which lanes it reads, in which consumer group, and how much it holds at once.
#[derive(Clone)]
pub struct Pool {
    pub name: String,
    /// The consumer group.
    pub group: String,
    pub lanes: Vec<PoolLane>,
    pub window: WindowLimits,
    /// How old, since it landed, the oldest message may be that is not parsed yet.
    pub freshness: Duration,
    /// librdkafka's properties for its consumer, all of them; they may hold secrets: never print them.
    pub properties: BTreeMap<String, String>,
}

impl fmt::Debug for Pool {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Pool")
            .field("name", &self.name)
            .field("group", &self.group)
            .field("lanes", &self.lanes)
            .field("window", &self.window)
            .field("freshness", &self.freshness)
            .field("properties", &self.properties.keys())
            .finish()
    }
}

/// A lane as consumers see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolLane {
    pub name: String,
    /// Every Kafka topic that it may have.
    pub topics: Vec<String>,
}

/// What a pool holds at most between reading a message and the end of its work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WindowLimits {
    /// Messages.
    pub records: usize,
    /// Bytes of their records.
    pub bytes: u64,
}

/// The stream that says of every raw message that it landed, and what became of it.
#[derive(Clone)]
pub struct Metadata {
    pub topic: String,
    /// The consumer group that reads all lanes for it.
    pub group: String,
    /// Every lane, dead letters too.
    pub lanes: Vec<PoolLane>,
    /// librdkafka's properties for its consumer, all of them; they may hold secrets: never print them.
    pub properties: BTreeMap<String, String>,
}

impl fmt::Debug for Metadata {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Metadata")
            .field("topic", &self.topic)
            .field("group", &self.group)
            .field("lanes", &self.lanes)
            .field("properties", &self.properties.keys())
            .finish()
    }
}
