//! The lanes: their names, topics, keys, limits and shares of memory.

use std::collections::BTreeMap;
use std::time::Duration;

use bridge::kafka::properties;
use bridge::kafka_topic::{TopicName, is_kafka_topic};
use bridge::key::{KeyStrategy, Template};
use bridge::lanes::{BUILT_IN, LANES_MAX};
use bridge::objects::PART_SIZE;
use bridge::{LaneId, LanePlan, Lanes};

use super::kafka::Properties;
use super::{Checker, KIB, MIB};
use crate::config::memory::MemoryPlan;
use crate::config::node::Node;
use crate::config::values::{Length, Size};
use crate::config::{Limits, written};

const DEFAULT_INLINE_SIZE: u64 = 512 * KIB;
const DEFAULT_GATHER: Duration = Duration::from_millis(2);
const GATHER_MAX: Duration = Duration::from_millis(100);

impl Checker {
    /// The built-in lanes, then what the configuration adds, by name.
    pub(super) fn lane_names(&mut self) -> Lanes<String> {
        let mut names: Vec<String> = BUILT_IN.iter().map(|&name| name.to_owned()).collect();
        match self.written.get("lanes") {
            None | Some(Node::Null) => {}
            Some(Node::Map(lanes)) => {
                let added = lanes.keys().filter(|name| !BUILT_IN.contains(&name.as_str()));
                names.extend(added.cloned());
            }
            Some(_) => self.faults.add("lanes", "is no map: write `NAME: { topic: … }`"),
        }
        if names.len() > LANES_MAX {
            self.faults.add(
                "lanes",
                format!("there are {} lanes: at most {LANES_MAX} can be", names.len()),
            );
            names.truncate(LANES_MAX);
        }
        let legal = |name: &str| {
            !name.is_empty()
                && name.len() <= 64
                && name
                    .bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        };
        for name in &names {
            if !legal(name) {
                self.faults.add(
                    format!("lanes.{name}"),
                    "write a lane's name with a-z, 0-9 and `-`, at most 64",
                );
            }
        }
        names.into_iter().collect()
    }

    pub(super) fn lanes(
        &mut self,
        names: &Lanes<String>,
        gateway_id: &str,
        kafka: &Properties,
        limits: &Limits,
        plan: &MemoryPlan,
        has_store: bool,
    ) -> Lanes<LanePlan> {
        let mut written = match self.written.remove("lanes") {
            Some(Node::Map(lanes)) => lanes,
            _ => BTreeMap::new(),
        };
        let shares = plan.shares(names);
        let mut lanes: Vec<LanePlan> = Vec::new();
        for (id, name) in names.iter() {
            let place = format!("lanes.{name}");
            let lane: written::Lane = written
                .remove(name)
                .filter(|value| !value.is_null())
                .and_then(|value| self.read(&place, value))
                .unwrap_or_default();
            let topic = self.topic_name(&place, id, name, &lane);
            let key = self.key(&place, &lane);
            match lane.ack.as_deref() {
                None | Some("kafka") => {}
                Some("spool") => self
                    .faults
                    .add(format!("{place}.ack"), "spool is not available yet: write kafka"),
                Some(other) => self
                    .faults
                    .add(format!("{place}.ack"), format!("{other:?} is not known: write kafka")),
            }
            match lane.format.as_deref() {
                None | Some("envelope") => {}
                Some("cloudevents") => {
                    self.faults.add(
                        format!("{place}.format"),
                        "cloudevents is not available yet: write envelope",
                    );
                }
                Some(other) => {
                    self.faults.add(
                        format!("{place}.format"),
                        format!("{other:?} is not known: write envelope"),
                    );
                }
            }
            let most = u64::from(limits.message_size).max(KIB);
            let default = DEFAULT_INLINE_SIZE.min(most);
            let inline_size =
                self.size(&format!("{place}.inline_size"), lane.inline_size, default, (KIB, most));
            let gather = self.gather(&place, id, lane.gather);
            let own_place = format!("{place}.properties");
            for name in lane.properties.keys().filter(|name| properties::is_for_consumers(name)) {
                self.faults.add(
                    format!("{own_place}.{name}"),
                    "is for consumers, and a lane has none: leave it out",
                );
            }
            let properties = kafka.under(self.properties(&own_place, lane.properties));
            self.producer(&place, &properties, inline_size as u32);
            let mut properties = properties.values;
            let mut default = |name, value: String| {
                properties.entry(properties::canonical(name).to_owned()).or_insert(value);
            };
            default("client.id", format!("landfall-{gateway_id}-{name}"));
            if id == LaneId::PRIORITY {
                // What is urgent waits for no company.
                default("linger.ms", "0".to_owned());
            }
            let (inline_share, large_share) = shares[id];
            let inline_memory = lane.memory.map_or(inline_share, |Size(size)| size);
            let large_memory = lane.large_memory.map_or(large_share, |Size(size)| size);
            if inline_memory < inline_size {
                self.faults.add(
                    format!("{place}.memory"),
                    format!("{inline_memory} bytes are less than one message of inline_size ({inline_size} bytes): raise limits.memory or lower the lane's inline_size"),
                );
            }
            if has_store && large_memory < PART_SIZE {
                self.faults.add(
                    format!("{place}.large_memory"),
                    format!("{large_memory} bytes are less than one part of an upload ({PART_SIZE} bytes): raise limits.memory"),
                );
            }
            if let Some(other) = lanes
                .iter()
                .find(|other| other.topic.all().iter().any(|used| topic.all().contains(used)))
            {
                let shared = format!(
                    "shares a Kafka topic with lane {}: give each lane its own",
                    other.name
                );
                self.faults.add(format!("{place}.topic"), shared);
            }
            lanes.push(LanePlan {
                name: name.clone(),
                topic,
                key,
                inline_size: inline_size as u32,
                gather,
                properties,
                inline_memory,
                large_memory,
            });
        }
        let used: u64 = lanes.iter().map(|lane| lane.inline_memory + lane.large_memory).sum();
        if used > plan.messages {
            self.faults.add(
                "lanes",
                format!("their shares of memory are {} MiB together, and {} MiB are there for messages: lower lanes.….memory or raise limits.memory", used / MIB, plan.messages / MIB),
            );
        }
        lanes.into_iter().collect()
    }

    fn gather(&mut self, place: &str, lane: LaneId, written: Option<Length>) -> Duration {
        let default = if lane == LaneId::PRIORITY { Duration::ZERO } else { DEFAULT_GATHER };
        let gather = written.map_or(default, |Length(gather)| gather);
        if gather > GATHER_MAX {
            self.faults.add(
                format!("{place}.gather"),
                "every acknowledgement waits for it: write at most 100ms",
            );
        }
        gather
    }

    fn topic_name(
        &mut self,
        place: &str,
        id: LaneId,
        name: &str,
        lane: &written::Lane,
    ) -> TopicName {
        let text = lane.topic.clone().unwrap_or_else(|| format!("landfall.{name}"));
        let place_of_topic = format!("{place}.topic");
        if !text.contains(['{', '}']) {
            if !is_kafka_topic(&text) {
                self.faults.add(
                    &place_of_topic,
                    format!("{text:?} is no Kafka topic: write 1 to 249 of A-Z a-z 0-9 . _ -"),
                );
            }
            if !lane.topics.is_empty() {
                self.faults.add(
                    format!("{place}.topics"),
                    "lists what a template may become, and the topic is none: leave it out",
                );
            }
            return TopicName::Fixed(text);
        }
        if id == LaneId::DEAD_LETTER {
            self.faults
                .add(&place_of_topic, "dead letters need one fixed topic: write it without {…}");
        }
        if lane.topics.is_empty() {
            self.faults.add(
                format!("{place}.topics"),
                "is needed: list every Kafka topic that the template may become, so that no device makes up others",
            );
        }
        for topic in &lane.topics {
            if !is_kafka_topic(topic) {
                self.faults.add(
                    format!("{place}.topics"),
                    format!("{topic:?} is no Kafka topic: write 1 to 249 of A-Z a-z 0-9 . _ -"),
                );
            }
        }
        match Template::parse(&text) {
            Ok(template) => TopicName::Template { template, allowed: lane.topics.clone() },
            Err(error) => {
                self.faults.add(&place_of_topic, error.to_string());
                TopicName::Fixed(text)
            }
        }
    }

    fn key(&mut self, place: &str, lane: &written::Lane) -> KeyStrategy {
        let key_place = format!("{place}.key");
        let bucket = lane.bucket.map(|Length(bucket)| bucket.as_millis() as i64);
        let key = lane.key.as_deref().unwrap_or("device_id");
        if bucket.is_some() && key != "device_id+bucket" {
            self.faults.add(format!("{place}.bucket"), "is for key: device_id+bucket only");
        }
        match key {
            "device_id" => KeyStrategy::DeviceId,
            "received_ms" => KeyStrategy::ReceivedMs,
            "event_ms" => KeyStrategy::EventMs,
            "device_id+bucket" => match bucket {
                Some(bucket_ms) if bucket_ms > 0 => KeyStrategy::DeviceIdBucket { bucket_ms },
                _ => {
                    self.faults.add(
                        format!("{place}.bucket"),
                        "is needed: write the span of a bucket, such as 1h",
                    );
                    KeyStrategy::DeviceId
                }
            },
            template if template.contains('{') => match Template::parse(template) {
                Ok(template) => KeyStrategy::Template(template),
                Err(error) => {
                    self.faults.add(key_place, error.to_string());
                    KeyStrategy::DeviceId
                }
            },
            other => {
                self.faults.add(
                    key_place,
                    format!("{other:?} is not known: write device_id, received_ms, event_ms, device_id+bucket or a template with {{…}}"),
                );
                KeyStrategy::DeviceId
            }
        }
    }
}
