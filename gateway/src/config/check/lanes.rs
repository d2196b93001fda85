//! The lanes: their names, topics, keys, limits and shares of memory.

use std::collections::BTreeMap;
use std::time::Duration;

use bridge::format::Format;
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
use crate::secret::Secret;

const DEFAULT_INLINE_SIZE: u64 = 512 * KIB;
const DEFAULT_GATHER: Duration = Duration::from_millis(2);
const GATHER_MAX: Duration = Duration::from_millis(100);

/// A lane as whoever reads its Kafka topic sees it.
#[derive(Clone, Debug)]
pub struct LaneView {
    pub name: String,
    /// Every Kafka topic that it may have.
    pub topics: Vec<String>,
    pub key: KeyStrategy,
    /// Largest payload in a record, in bytes.
    pub inline_size: u32,
}

impl LaneView {
    pub fn of(lane: &LanePlan) -> LaneView {
        let LanePlan { name, topic, key, inline_size, .. } = lane;
        let (name, topics) = (name.clone(), topic.all().to_vec());
        LaneView { name, topics, key: key.clone(), inline_size: *inline_size }
    }

    pub fn is_dead_letter(&self) -> bool {
        self.name == BUILT_IN[usize::from(LaneId::DEAD_LETTER.place())]
    }
}

/// What all lanes are planned with.
pub(super) struct Common<'c> {
    pub gateway_id: &'c str,
    pub kafka: &'c Properties,
    pub limits: &'c Limits,
    pub plan: &'c MemoryPlan,
    pub has_store: bool,
}

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

    /// A plan for each lane of `names`.
    pub(super) fn lanes(&mut self, names: &Lanes<String>, common: &Common<'_>) -> Lanes<LanePlan> {
        let mut written = self.written_lanes(names);
        let shares = common.plan.shares(names);
        let lanes = names.map(|id, name| {
            let lane = std::mem::take(&mut written[id]);
            self.lane(id, name, lane, shares[id], common)
        });
        self.topics_are_apart(lanes.values().map(|lane| (lane.name.as_str(), lane.topic.all())));
        self.shares_fit(&lanes, common.plan);
        lanes
    }

    /// What whoever reads their Kafka topics has to know of them: no client is made, and no secret read.
    pub(super) fn lane_views(&mut self, message_size: u64) -> Lanes<LaneView> {
        let names = self.lane_names();
        let written = self.written_lanes(&names);
        let views = names.map(|id, name| {
            let (place, lane) = (format!("lanes.{name}"), &written[id]);
            let topics = self.topic_name(&place, id, name, lane).all().to_vec();
            let key = self.key(&place, lane);
            let inline_size = self.inline_size(&place, lane, message_size);
            LaneView { name: name.clone(), topics, key, inline_size: inline_size as u32 }
        });
        self.topics_are_apart(views.values().map(|lane| (lane.name.as_str(), &*lane.topics)));
        views
    }

    fn written_lanes(&mut self, names: &Lanes<String>) -> Lanes<written::Lane> {
        let mut written = match self.written.remove("lanes") {
            Some(Node::Map(lanes)) => lanes,
            _ => BTreeMap::new(),
        };
        names.map(|_, name| {
            let lane = written.remove(name).filter(|value| !value.is_null());
            lane.and_then(|value| self.read(&format!("lanes.{name}"), value)).unwrap_or_default()
        })
    }

    fn inline_size(&mut self, place: &str, lane: &written::Lane, message_size: u64) -> u64 {
        let most = message_size.max(KIB);
        let default = DEFAULT_INLINE_SIZE.min(most);
        self.size(&format!("{place}.inline_size"), lane.inline_size, default, (KIB, most))
    }

    fn lane(
        &mut self,
        id: LaneId,
        name: &str,
        lane: written::Lane,
        share: (u64, u64),
        common: &Common<'_>,
    ) -> LanePlan {
        let place = format!("lanes.{name}");
        let topic = self.topic_name(&place, id, name, &lane);
        let key = self.key(&place, &lane);
        self.choice(format!("{place}.ack"), lane.ack.as_deref(), "kafka", "spool");
        self.choice(format!("{place}.format"), lane.format.as_deref(), "envelope", "cloudevents");
        let inline_size = self.inline_size(&place, &lane, common.limits.message_size.into());
        let gather = self.gather(&place, id, lane.gather);
        let inline_memory = lane.memory.map_or(share.0, |Size(size)| size);
        let large_memory = lane.large_memory.map_or(share.1, |Size(size)| size);
        if inline_memory < inline_size {
            self.faults.add(
                format!("{place}.memory"),
                format!("{inline_memory} bytes are less than one message of inline_size ({inline_size} bytes): raise limits.memory or lower the lane's inline_size"),
            );
        }
        if common.has_store && large_memory < PART_SIZE {
            self.faults.add(
                format!("{place}.large_memory"),
                format!("{large_memory} bytes are less than one part of an upload ({PART_SIZE} bytes): raise limits.memory"),
            );
        }
        let inline_size = inline_size as u32;
        let mut properties = self.lane_properties(&place, lane.properties, inline_size, common);
        let mut default = |name, value: String| {
            properties.entry(properties::canonical(name).to_owned()).or_insert(value);
        };
        default("client.id", format!("landfall-{}-{name}", common.gateway_id));
        if id == LaneId::PRIORITY {
            // What is urgent waits for no company.
            default("linger.ms", "0".to_owned());
        }
        let name = name.to_owned();
        LanePlan {
            name,
            topic,
            key,
            format: Format::Envelope,
            inline_size,
            gather,
            properties,
            inline_memory,
            large_memory,
        }
    }

    /// One value is there today, and one is known that will be.
    fn choice(&mut self, place: String, written: Option<&str>, value: &str, later: &str) {
        match written {
            None => {}
            Some(written) if written == value => {}
            Some(written) if written == later => {
                self.faults.add(place, format!("{later} is not available yet: write {value}"));
            }
            Some(other) => {
                self.faults.add(place, format!("{other:?} is not known: write {value}"));
            }
        }
    }

    /// The properties of the lane's producer, which is built once with them.
    fn lane_properties(
        &mut self,
        place: &str,
        written: BTreeMap<String, Secret>,
        inline_size: u32,
        common: &Common<'_>,
    ) -> BTreeMap<String, String> {
        let own_place = format!("{place}.properties");
        for name in written.keys().filter(|name| properties::is_for_consumers(name)) {
            self.faults.add(
                format!("{own_place}.{name}"),
                "is for consumers, and a lane has none: leave it out",
            );
        }
        let properties = common.kafka.under(self.properties(&own_place, written));
        self.producer(place, &properties, inline_size);
        properties.values
    }

    fn topics_are_apart<'l>(&mut self, lanes: impl Iterator<Item = (&'l str, &'l [String])>) {
        let lanes: Vec<_> = lanes.collect();
        for (place, (name, topics)) in lanes.iter().enumerate() {
            let shares =
                |other: &&(&str, &[String])| other.1.iter().any(|used| topics.contains(used));
            if let Some((other, _)) = lanes[..place].iter().find(shares) {
                let shared =
                    format!("shares a Kafka topic with lane {other}: give each lane its own");
                self.faults.add(format!("lanes.{name}.topic"), shared);
            }
        }
    }

    fn shares_fit(&mut self, lanes: &Lanes<LanePlan>, plan: &MemoryPlan) {
        let used: u64 = lanes.values().map(|lane| lane.inline_memory + lane.large_memory).sum();
        if used > plan.messages {
            self.faults.add(
                "lanes",
                format!("their shares of memory are {} MiB together, and {} MiB are there for messages: lower lanes.….memory or raise limits.memory", used / MIB, plan.messages / MIB),
            );
        }
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
