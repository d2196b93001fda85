//! The section of the parse role: what its parts mean, and whether they fit together and to the lanes.

use std::collections::BTreeMap;
use std::time::SystemTime;

use bridge::kafka_topic::is_kafka_topic;
use parse::limits::{DEPTH_MAX, DOCUMENT_MAX, Limits};
use parse::plan::known::Known;
use parse::plan::{Metadata, Plan, Pool, PoolLane};

use super::kafka::Properties;
use super::lanes::LaneView;
use super::{Checker, KIB, MIB, kind};
use crate::config::descriptors::DescriptorPlan;
use crate::config::memory::{ParseDemand, ParseMemory};
use crate::config::node::Node;
use crate::config::parse_role::ParseSettings;
use crate::config::values::Size;
use crate::config::written::parse as written;
use crate::config::{Kafka, Settings};
use crate::secret::Secret;

mod pools;
mod rules;
mod topics;

const GIB: u64 = 1024 * MIB;
/// Entries of a map or list of the section.
const ENTRIES_MAX: usize = 1_000;
const DEFAULT_METADATA: &str = "landfall.metadata";
const DEFAULT_METADATA_GROUP: &str = "landfall-metadata";
const DEFAULT_QUARANTINE: &str = "landfall.quarantine";
const RATIO_MAX: u64 = 100_000;
const EVENT_SIZE_MAX: u64 = 16 * MIB;
const DECOMPRESSED_MAX: u64 = 4 * GIB;
/// What is going to be there, and what to do until then.
const LATER: [(&str, &str); 5] = [
    ("exactly_once", "consumers know an event that was written twice by its id"),
    ("schema_registry", "events are JSON or landfall.v1.Event"),
    ("files", "write parsers and rules here"),
    ("wasm", "write a parser with jq"),
    ("scratch", "payloads of the object store are held in memory, as limits.memory allows"),
];
const KEYS: [&str; 7] =
    ["canonical", "limits", "metadata", "parsers", "pools", "quarantine", "rules"];

/// What the section is held against.
struct Around<'a> {
    kafka: &'a Properties,
    lanes: &'a [LaneView],
    known: &'a Known,
    /// Bytes that the process may use.
    memory: u64,
    /// Bytes of the largest payload.
    payload_max: u64,
}

impl Checker {
    /// The role by itself; None where the file has no such section.
    pub(super) fn parse_alone(&mut self) -> Option<ParseSettings> {
        let read_at = SystemTime::now();
        let gateway_id = self.gateway_id();
        let admin = self.admin(&[]);
        let drain = self.drain();
        let (kafka, properties) = self.kafka();
        let object_store = self.object_store();
        let (memory, message_size) = self.limits_of_parse();
        let lanes: Vec<LaneView> = self.lane_views(message_size).values().cloned().collect();
        let known = Known { routes: self.routes(), devices: self.devices() };
        let around = Around {
            kafka: &properties,
            lanes: &lanes,
            known: &known,
            memory,
            payload_max: payload_max(&lanes, object_store.is_some(), message_size),
        };
        let (plan, memory_plan) = self.plan(&around)?;
        let admin_ports = 1 + usize::from(admin.probes.is_some());
        let store = object_store.as_ref().map(kind);
        let descriptors = descriptors(&plan, &kafka, admin_ports, store);
        let hints = std::mem::take(&mut self.hints);
        Some(ParseSettings {
            gateway_id,
            admin,
            drain,
            kafka,
            object_store,
            memory,
            memory_plan,
            plan,
            descriptors,
            read_at,
            hints,
        })
    }

    /// The role in the same file as a gateway, whose sections were read; None where the file has no such
    /// section.
    pub(super) fn parse_beside(
        &mut self,
        gateway: &Settings,
        kafka: &Properties,
    ) -> Option<ParseSettings> {
        let routing = &gateway.routing;
        let lanes: Vec<LaneView> = routing.lanes.values().map(LaneView::of).collect();
        let known = Known { routes: routing.routes.clone(), devices: routing.devices.clone() };
        let around = Around {
            kafka,
            lanes: &lanes,
            known: &known,
            memory: gateway.limits.memory,
            payload_max: payload_max(
                &lanes,
                gateway.object_store.is_some(),
                gateway.limits.message_size.into(),
            ),
        };
        let (plan, memory_plan) = self.plan(&around)?;
        let admin_ports = 1 + usize::from(gateway.admin.probes.is_some());
        let store = gateway.object_store.as_ref().map(kind);
        let descriptors = descriptors(&plan, &gateway.kafka, admin_ports, store);
        Some(ParseSettings {
            gateway_id: routing.gateway_id.clone(),
            admin: gateway.admin.clone(),
            drain: gateway.drain,
            kafka: gateway.kafka.clone(),
            object_store: gateway.object_store.clone(),
            memory: gateway.limits.memory,
            memory_plan,
            plan,
            descriptors,
            read_at: gateway.read_at,
            hints: std::mem::take(&mut self.hints),
        })
    }

    fn plan(&mut self, around: &Around<'_>) -> Option<(Plan, ParseMemory)> {
        let mut section = match self.written.remove("parse") {
            None | Some(Node::Null) => return None,
            Some(Node::Map(section)) => section,
            Some(_) => {
                self.faults.add("parse", "is no map: write `parsers: …`, `rules: …` and so on");
                return None;
            }
        };
        for (key, instead) in LATER {
            if section.remove(key).is_some() {
                let text = format!("is not available yet, so leave it out: {instead}");
                self.faults.add(format!("parse.{key}"), text);
            }
        }
        for key in section.keys().filter(|key| !KEYS.contains(&key.as_str())) {
            let text = format!("is no key of parse: there are {}", KEYS.join(", "));
            self.faults.add(format!("parse.{key}"), text);
        }
        let pools = section.remove("pools");
        let pools = self.pools(pools, around);
        let metadata = section.remove("metadata");
        let metadata = self.metadata(metadata, around);
        let (own, reads_for_metadata) = self.own_pools(&pools, metadata.is_some());
        let limits = section.remove("limits");
        let (limits, memory) = self.parse_limits(limits, &own, reads_for_metadata, around);
        let parsers = section.remove("parsers");
        let parsers = self.parsers(parsers, limits);
        let canonical = section.remove("canonical");
        let topics = self.canonical(canonical, around.known);
        let rules = section.remove("rules");
        let rules = self.parse_rules(rules, &parsers, &topics, &pools, around);
        let quarantine = section.remove("quarantine");
        let quarantine = self.quarantine(quarantine);
        let mut plan = Plan {
            pools,
            rules,
            topics,
            metadata,
            reads_for_metadata,
            quarantine,
            limits,
            known: around.known.clone(),
        };
        self.streams_are_apart(&plan, around.lanes);
        self.groups_are_apart(&plan);
        plan.pools = own;
        Some((plan, memory))
    }

    /// The entries of a map of the section, which a fault elsewhere does not hide.
    fn entries(&mut self, place: &str, written: Option<Node>) -> BTreeMap<String, Node> {
        let entries = match written {
            None | Some(Node::Null) => BTreeMap::new(),
            Some(Node::Map(entries)) => entries,
            Some(_) => {
                self.faults.add(place, "is no map: write `NAME: { … }`");
                BTreeMap::new()
            }
        };
        if entries.len() > ENTRIES_MAX {
            let text = format!("there are {}: at most {ENTRIES_MAX} can be", entries.len());
            self.faults.add(place, text);
        }
        entries
    }

    /// A part that has a default for everything.
    fn part<T: serde::de::DeserializeOwned + Default>(
        &mut self,
        place: &str,
        written: Option<Node>,
    ) -> T {
        let written = written.filter(|node| !node.is_null());
        written.and_then(|node| self.read(place, node)).unwrap_or_default()
    }

    fn parse_limits(
        &mut self,
        written: Option<Node>,
        pools: &[Pool],
        has_metadata: bool,
        around: &Around<'_>,
    ) -> (Limits, ParseMemory) {
        let written: written::ParseLimits = self.part("parse.limits", written);
        let is_beside = self.roles > 1;
        let default = Limits::default();
        let mut number = |key: &str, written: Option<u64>, default: u64, most: u64| {
            let number = written.unwrap_or(default);
            if !(1..=most).contains(&number) {
                let text = match most {
                    u64::MAX => "is zero: write at least 1".to_owned(),
                    _ => format!("{number}: write 1 to {most}"),
                };
                self.faults.add(format!("parse.limits.{key}"), text);
            }
            number.clamp(1, most)
        };
        let ratio = number("ratio", written.ratio, default.ratio as u64, RATIO_MAX) as usize;
        let depth = number("depth", written.depth, default.depth as u64, DEPTH_MAX as u64) as usize;
        let events = number("events", written.events, default.events, u64::MAX);
        let jq_steps = number("jq_steps", written.jq_steps, default.jq_steps, u64::MAX);
        let mut size = |key: &str, written: Option<Size>, default: u64, bounds: (u64, u64)| {
            let size = self.size(&format!("parse.limits.{key}"), written, default, bounds);
            usize::try_from(size).unwrap_or(usize::MAX)
        };
        let event_size = size(
            "event_size",
            written.event_size,
            default.event_size as u64,
            (KIB, EVENT_SIZE_MAX),
        );
        let document_size = size(
            "document_size",
            written.document_size,
            default.document_size as u64,
            (KIB, DOCUMENT_MAX as u64),
        );
        let windows: Vec<u64> = pools.iter().map(|pool| pool.window.bytes).collect();
        let demand = ParseDemand {
            is_beside,
            windows: &windows,
            has_metadata,
            payload_max: around.payload_max,
            document_size: document_size as u64,
            ratio: ratio as u64,
        };
        let room = demand.room_for_decompressed(around.memory);
        let fits = room.clamp(MIB, default.decompressed as u64);
        let bounds = (MIB, DECOMPRESSED_MAX);
        let decompressed = size("decompressed", written.decompressed, fits, bounds);
        let memory = demand.plan(around.memory, decompressed as u64);
        if memory.process + memory.windows + memory.payloads > memory.limit {
            self.faults.add(
                "limits.memory",
                format!(
                    "{} MiB are less than the parse role takes: {} MiB for the process, {} MiB for the pools' windows and {} MiB for payloads at work. Raise it, or lower parse.limits.decompressed, parse.limits.document_size, limits.message_size or parse.pools.….window.size",
                    memory.limit / MIB,
                    memory.process / MIB,
                    memory.windows / MIB,
                    memory.payloads / MIB
                ),
            );
        }
        let limits =
            Limits { decompressed, ratio, depth, events, event_size, document_size, jq_steps };
        (limits, memory)
    }

    fn metadata(&mut self, written: Option<Node>, around: &Around<'_>) -> Option<Metadata> {
        let written: written::MetadataStream = self.part("parse.metadata", written);
        let topic = written.topic.unwrap_or_else(|| DEFAULT_METADATA.to_owned());
        let place = "parse.metadata.topic";
        self.kafka_topic(place, &topic);
        let properties =
            self.group_properties("parse.metadata.properties", written.properties, around.kafka);
        if written.enabled == Some(false) {
            return None;
        }
        let group = written.group.unwrap_or_else(|| DEFAULT_METADATA_GROUP.to_owned());
        self.group_name("parse.metadata.group", &group);
        let lanes = around.lanes.iter().map(pool_lane).collect();
        Some(Metadata { topic, group, lanes, properties })
    }

    fn quarantine(&mut self, written: Option<Node>) -> String {
        let written: written::Quarantine = self.part("parse.quarantine", written);
        let topic = written.topic.unwrap_or_else(|| DEFAULT_QUARANTINE.to_owned());
        self.kafka_topic("parse.quarantine.topic", &topic);
        topic
    }

    fn kafka_topic(&mut self, place: &str, topic: &str) {
        if !is_kafka_topic(topic) {
            let text = format!("{topic:?} is no Kafka topic: write 1 to 249 of A-Z a-z 0-9 . _ -");
            self.faults.add(place, text);
        }
    }

    /// What is read in a group is read with these properties, the ones of `kafka` among them.
    fn group_properties(
        &mut self,
        place: &str,
        written: BTreeMap<String, Secret>,
        kafka: &Properties,
    ) -> BTreeMap<String, String> {
        for name in written.keys() {
            if let Some(fault) = bridge::kafka::properties::group_fault(name) {
                self.faults.add(format!("{place}.{name}"), fault);
            }
        }
        let has_own = !written.is_empty();
        let all = kafka.under(self.properties(place, written));
        if has_own && !all.are_faulty {
            let fault = bridge::kafka::properties::reader_fault(&all.values);
            self.client_fault(place, &all, fault);
        }
        all.values
    }
}

/// Bytes of the largest payload that a lane brings, by value or by reference.
fn payload_max(lanes: &[LaneView], has_store: bool, message_size: u64) -> u64 {
    let inline = lanes.iter().map(|lane| u64::from(lane.inline_size)).max().unwrap_or(0);
    if has_store { message_size } else { inline }
}

fn pool_lane(lane: &LaneView) -> PoolLane {
    PoolLane { name: lane.name.clone(), topics: lane.topics.clone() }
}

/// Names of the lanes that pools may read.
fn readable(lanes: &[LaneView]) -> impl Iterator<Item = &str> {
    lanes.iter().filter(|lane| !lane.is_dead_letter()).map(|lane| lane.name.as_str())
}

fn descriptors(
    plan: &Plan,
    kafka: &Kafka,
    admin_ports: usize,
    store: Option<crate::config::descriptors::StoreKind>,
) -> DescriptorPlan {
    let groups = plan.pools.len() + usize::from(plan.reads_for_metadata);
    let brokers = kafka.bootstrap_servers.split(',').count();
    DescriptorPlan::of_parse(groups, brokers, admin_ports, store)
}
