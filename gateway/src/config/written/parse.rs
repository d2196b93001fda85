//! The section of the parse role as it is written.

use std::collections::BTreeMap;

use parse::written::Parser;
use schemars::JsonSchema;
use serde::Deserialize;

use super::When;
use crate::config::values::{Length, Size};
use crate::secret::Secret;

/// How raw messages become events: what `landfall parse` does. `landfall run` does not look into it.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Parse {
    /// Groups of workers, by name of a-z 0-9 -, so that large and late messages have their own. Each lane is
    /// read by one of them. At most 16. Default: fast reads the lanes priority and fast, slow reads slow.
    #[schemars(length(max = 16))]
    pub pools: Option<BTreeMap<String, Option<Pool>>>,
    /// Parsers, by name: 1 to 64 of A-Z a-z 0-9 . _ -. The ids of events are made of it, so it stays when a
    /// parser is corrected. At most 1000.
    #[schemars(length(max = 1000))]
    pub parsers: Option<BTreeMap<String, Parser>>,
    /// Which parser takes a message, and where its events go; the first that holds counts, and what none holds
    /// for is counted and has no events. At most 1000.
    #[schemars(length(max = 1000))]
    pub rules: Option<Vec<ParseRule>>,
    /// The Kafka topics of events, by name; `{}` takes every default. At most 1000.
    #[schemars(length(max = 1000))]
    pub canonical: Option<BTreeMap<String, Option<CanonicalTopic>>>,
    /// The stream that says of every raw message of every lane that it landed, and what became of it.
    pub metadata: Option<MetadataStream>,
    /// Where messages go whose rule says on_failure: quarantine.
    pub quarantine: Option<Quarantine>,
    /// What one message may cost; beyond it, it fails with a reason of its own.
    pub limits: Option<ParseLimits>,
}

/// A group of workers.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Pool {
    /// The lanes that it reads, without dead-letter.
    #[schemars(length(min = 1))]
    pub lanes: Vec<String>,
    /// Its consumer group in Kafka, by which it is scaled. Default: landfall-parse-NAME.
    pub group: Option<String>,
    /// What it holds at once.
    #[serde(default)]
    pub window: PoolWindow,
    /// How old the oldest message may be, since it landed, that is not parsed: what its alert goes by. Default:
    /// 5s, and 15m for the pool slow.
    pub freshness: Option<Length>,
    /// Properties of its consumer, over those of kafka.
    #[serde(default)]
    pub properties: BTreeMap<String, Secret>,
}

/// What a pool holds between reading a message and the end of its work.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PoolWindow {
    /// Messages, 1 to 100000. Default: 10000, and 50 for the pool slow.
    #[schemars(range(min = 1, max = 100000))]
    pub records: Option<u64>,
    /// Bytes, at least a record of the largest inline_size among its lanes. Default: 64MiB, or a sixteenth of
    /// limits.memory where that is less.
    pub size: Option<Size>,
}

/// All of what is in `when` has to hold, and the lane.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ParseRule {
    /// What the message has to be, as for the rules of lanes; `{}` is every message. Attributes are those of
    /// its envelope (device_id, device_type, firmware_version, group), and what its topic, its route and the
    /// file of devices say.
    pub when: When,
    /// Only messages of this lane. Default: of every lane.
    pub lane: Option<String>,
    /// The parser that takes it.
    pub parser: String,
    /// Where its events go, among canonical.
    pub topic: String,
    /// What becomes of a message that its parser cannot read: it is counted and has no events (skip), or is
    /// kept in the quarantine topic besides, or its partition stops until somebody decides (fail), which takes
    /// a rule with a lane of its own.
    #[schemars(extend("enum" = ["skip", "quarantine", "fail", null], "default" = "quarantine"))]
    pub on_failure: Option<String>,
}

/// A Kafka topic of events.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CanonicalTopic {
    /// The key of events: device_id, event_ms, received_ms, or a template of attributes, in which {bucket} is
    /// the start of the span that the event's time is in.
    #[schemars(extend("default" = "{device_id}/{bucket}"))]
    pub key: Option<String>,
    /// The span of a bucket. Default: 1h, where the key has one.
    pub bucket: Option<Length>,
    /// What stays in order on the way from a raw partition: messages with the same raw key, or of the same
    /// device, or nothing.
    #[schemars(extend("enum" = ["key", "device", "none", null], "default" = "key"))]
    pub order: Option<String>,
    /// What the value of a record is: canonical JSON, or the message landfall.v1.Event.
    #[schemars(extend("enum" = ["json", "protobuf", null], "default" = "json"))]
    pub format: Option<String>,
}

/// The metadata stream.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MetadataStream {
    /// Its Kafka topic.
    #[schemars(extend("default" = "landfall.metadata"))]
    pub topic: Option<String>,
    /// Whether there is one.
    #[schemars(extend("default" = true))]
    pub enabled: Option<bool>,
    /// The consumer group that reads all lanes for it.
    #[schemars(extend("default" = "landfall-metadata"))]
    pub group: Option<String>,
    /// Properties of its consumer, over those of kafka.
    pub properties: BTreeMap<String, Secret>,
}

/// Where messages go that their parser cannot read.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Quarantine {
    /// Its Kafka topic.
    #[schemars(extend("default" = "landfall.quarantine"))]
    pub topic: Option<String>,
}

/// Limits of one message.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ParseLimits {
    /// Bytes that a compressed payload may become, 1MiB to 4GiB. Default: 256MiB, or what limits.memory leaves
    /// to each pool where that is less.
    pub decompressed: Option<Size>,
    /// How many times larger it may become, beyond its first 1MiB.
    #[schemars(range(min = 1, max = 100000), extend("default" = 100))]
    pub ratio: Option<u64>,
    /// Objects and lists within each other.
    #[schemars(range(min = 1, max = 1000), extend("default" = 128))]
    pub depth: Option<u64>,
    /// Records of a message.
    #[schemars(range(min = 1), extend("default" = 1000000))]
    pub events: Option<u64>,
    /// Bytes of one event's names and values, and 32 for each value; 1KiB to 16MiB.
    #[schemars(extend("default" = "1MiB"))]
    pub event_size: Option<Size>,
    /// Bytes of one document that is held as a whole (a JSON payload, a line, a row), 1KiB to 1GiB; in memory it
    /// may take four times that. A list of records is read as a stream beyond it.
    #[schemars(extend("default" = "8MiB"))]
    pub document_size: Option<Size>,
    /// Steps of a jq program for one document. A message has that many, and 100 for each of its bytes, for all
    /// documents together.
    #[schemars(range(min = 1), extend("default" = 10000000))]
    pub jq_steps: Option<u64>,
}
