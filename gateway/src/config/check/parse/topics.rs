//! The topics of events: their keys, their order, their format, and that no stream is written to another's topic.

use std::collections::{BTreeMap, BTreeSet};

use bridge::key::{KeyStrategy, Template};
use parse::plan::Plan;
use parse::plan::known::{Known, OF_ENVELOPE};
use parse::plan::topic::{BUCKET, CanonicalFormat, CanonicalKey, CanonicalTopic, Order};

use crate::config::check::Checker;
use crate::config::check::lanes::LaneView;
use crate::config::node::Node;
use crate::config::values::Length;
use crate::config::written::parse as written;

/// The key where none is written: a device's events of one span of time together.
const DEFAULT_KEY: &str = "{device_id}/{bucket}";
const DEFAULT_BUCKET_MS: i64 = 3_600_000;
/// Formats that are going to be there.
const LATER: [&str; 3] = ["avro", "json-schema", "protobuf-schema"];

impl Checker {
    pub(super) fn canonical(
        &mut self,
        written: Option<Node>,
        known: &Known,
    ) -> Vec<CanonicalTopic> {
        let entries = self.entries("parse.canonical", written);
        let mut topics = Vec::new();
        for (topic, node) in entries {
            let place = format!("parse.canonical.{topic}");
            self.kafka_topic(&place, &topic);
            let node = self.without_later(&place, node);
            let written: written::CanonicalTopic = self.part(&place, Some(node));
            topics.push(self.canonical_topic(&place, topic, &written, known));
        }
        topics
    }

    /// The node without what is going to be there.
    fn without_later(&mut self, place: &str, node: Node) -> Node {
        let Node::Map(mut map) = node else { return node };
        if map.remove("schema").is_some() {
            let text =
                "is not available yet, so leave it out: events are JSON or landfall.v1.Event";
            self.faults.add(format!("{place}.schema"), text);
        }
        Node::Map(map)
    }

    fn canonical_topic(
        &mut self,
        place: &str,
        topic: String,
        written: &written::CanonicalTopic,
        known: &Known,
    ) -> CanonicalTopic {
        let order = match written.order.as_deref() {
            None | Some("key") => Order::Key,
            Some("device") => Order::Device,
            Some("none") => Order::None,
            Some(other) => {
                let text = format!("{other:?} is not known: write key, device or none");
                self.faults.add(format!("{place}.order"), text);
                Order::Key
            }
        };
        let format = match written.format.as_deref() {
            None | Some("json") => CanonicalFormat::Json,
            Some("protobuf") => CanonicalFormat::Protobuf,
            Some(later) if LATER.contains(&later) => {
                let text = format!("{later} is not available yet: write json or protobuf");
                self.faults.add(format!("{place}.format"), text);
                CanonicalFormat::Json
            }
            Some(other) => {
                let text = format!("{other:?} is not known: write json or protobuf");
                self.faults.add(format!("{place}.format"), text);
                CanonicalFormat::Json
            }
        };
        let key = self.canonical_key(place, written, known);
        CanonicalTopic { topic, key, order, format }
    }

    fn canonical_key(
        &mut self,
        place: &str,
        written: &written::CanonicalTopic,
        known: &Known,
    ) -> CanonicalKey {
        let key = written.key.as_deref().unwrap_or(DEFAULT_KEY);
        let has_bucket = key == "device_id+bucket" || key.contains(&format!("{{{BUCKET}}}"));
        let bucket_ms = written.bucket.map(|Length(length)| length.as_millis() as i64);
        if bucket_ms.is_some() && !has_bucket {
            let text = format!("is for a key with {{{BUCKET}}} only");
            self.faults.add(format!("{place}.bucket"), text);
        }
        if bucket_ms == Some(0) {
            let text = "is less than a millisecond: write the span of a bucket, such as 1h";
            self.faults.add(format!("{place}.bucket"), text);
        }
        let bucket_ms = bucket_ms.filter(|span| *span > 0).unwrap_or(DEFAULT_BUCKET_MS);
        let strategy = match key {
            "device_id" => KeyStrategy::DeviceId,
            "received_ms" => KeyStrategy::ReceivedMs,
            "event_ms" => KeyStrategy::EventMs,
            DEFAULT_KEY | "device_id+bucket" => KeyStrategy::DeviceIdBucket { bucket_ms },
            template if template.contains(['{', '}']) => {
                self.template(&format!("{place}.key"), template, known)
            }
            other => {
                let text = format!(
                    "{other:?} is not known: write device_id, event_ms, received_ms or a template such as {DEFAULT_KEY:?}"
                );
                self.faults.add(format!("{place}.key"), text);
                KeyStrategy::DeviceId
            }
        };
        CanonicalKey { strategy, bucket_ms }
    }

    fn template(&mut self, place: &str, text: &str, known: &Known) -> KeyStrategy {
        match Template::parse(text) {
            Ok(template) => {
                let unknown =
                    template.attributes().find(|name| *name != BUCKET && !is_known(known, name));
                if let Some(name) = unknown {
                    let text = format!("no message has {{{name}}}: {}", names(known));
                    self.faults.add(place, text);
                }
                KeyStrategy::Template(template)
            }
            Err(error) => {
                self.faults.add(place, error.to_string());
                KeyStrategy::DeviceId
            }
        }
    }

    /// What is written to a topic is read from no other's.
    pub(super) fn streams_are_apart(&mut self, plan: &Plan, lanes: &[LaneView]) {
        let lane = |lane: &LaneView| {
            let holder = format!("the lane {}", lane.name);
            lane.topics.iter().map(move |topic| (topic.clone(), holder.clone())).collect::<Vec<_>>()
        };
        let mut taken: BTreeMap<String, String> = lanes.iter().flat_map(lane).collect();
        let canonical = plan.topics.iter().map(|canonical| {
            (format!("parse.canonical.{}", canonical.topic), canonical.topic.as_str())
        });
        let metadata = plan.metadata.iter();
        let metadata =
            metadata.map(|stream| ("parse.metadata.topic".to_owned(), stream.topic.as_str()));
        let quarantine = ("parse.quarantine.topic".to_owned(), plan.quarantine.as_str());
        for (place, topic) in canonical.chain(metadata).chain([quarantine]) {
            if let Some(holder) = taken.get(topic) {
                let text = format!("the Kafka topic {topic} is that of {holder}: name another");
                self.faults.add(&place, text);
            } else {
                taken.insert(topic.to_owned(), place);
            }
        }
    }
}

/// Whether any message may have the attribute.
pub(super) fn is_known(known: &Known, name: &str) -> bool {
    OF_ENVELOPE.contains(&name)
        || known.routes.iter().any(|route| {
            route.attributes.contains_key(name) || route.filter.captures().any(|one| one == name)
        })
        || known.devices.values().any(|attributes| attributes.contains_key(name))
}

/// Attributes that are listed in a fault.
const NAMES_MAX: usize = 20;

/// Which attributes there are.
pub(super) fn names(known: &Known) -> String {
    let captured = known.routes.iter().flat_map(|route| route.filter.captures());
    let of_routes = known.routes.iter().flat_map(|route| route.attributes.keys());
    let of_devices = known.devices.values().flat_map(|attributes| attributes.keys());
    let others = of_routes.chain(of_devices).map(String::as_str);
    let names: BTreeSet<&str> = OF_ENVELOPE.into_iter().chain(captured).chain(others).collect();
    let shown: Vec<&str> = names.iter().take(NAMES_MAX).copied().collect();
    let more = if names.len() > NAMES_MAX { " and others" } else { "" };
    format!("there are {}{more}", shown.join(", "))
}
