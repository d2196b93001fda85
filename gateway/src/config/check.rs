//! From the written sections to [`Settings`]: each section is read on its own, so that a fault in one
//! hides none in another.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use bridge::LaneSettings;
use bridge::classify::{
    self, BUILT_IN, LANES_MAX, LaneId, LaneRouting, Routing, Rule, TopicName, Unrouted,
    VersionRange, When, is_kafka_topic,
};
use bridge::key::{KeyStrategy, Template};
use bridge::route::{Filter, Route};
use bridge::sink::kafka::properties;
use bridge::sink::object::{Objects, PART_SIZE};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use url::Url;

use super::memory::{self, MESSAGES_MIN, MemoryPlan};
use super::values::{Length, Secret, Size};
use super::written;
use super::{Drain, Faults, Kafka, Limits, ListenerSettings, ObjectStore, Settings};

const SECTIONS: [&str; 14] = [
    "gateway_id",
    "listeners",
    "admin",
    "drain",
    "kafka",
    "object_store",
    "limits",
    "routes",
    "unrouted",
    "rules",
    "lanes",
    "slow_over_size",
    "slow_after",
    "attributes",
];
const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;
const DEFAULT_INLINE_SIZE: u64 = 512 * KIB;
const DEFAULT_MESSAGE_SIZE: u64 = 64 * MIB;
/// MQTT cannot say a larger packet.
const MESSAGE_SIZE_MAX: u64 = 256 * MIB - 1;
const DEFAULT_GATHER: Duration = Duration::from_millis(2);
const GATHER_MAX: Duration = Duration::from_millis(100);
const DEFAULT_SLOW_OVER_SIZE: u64 = 256 * KIB;
const DEFAULT_SLOW_AFTER: Duration = Duration::from_secs(3600);
const ROUTES_MAX: usize = 1_000;
const RULES_MAX: usize = 1_000;
/// Devices in the file of static attributes.
const DEVICES_MAX: usize = 1_000_000;
const DEVICES_FILE_MAX_BYTES: u64 = 256 * MIB;

struct Checker {
    written: Map<String, Value>,
    faults: Faults,
}

pub(super) fn settings(written: Value, faults: Faults) -> Result<Settings, Faults> {
    let Value::Object(written) = written else { return Err(faults) };
    let mut checker = Checker { written, faults };
    let settings = checker.all();
    if checker.faults.0.is_empty() { Ok(settings) } else { Err(checker.faults) }
}

impl Checker {
    fn all(&mut self) -> Settings {
        let unknown: Vec<String> =
            self.written.keys().filter(|key| !SECTIONS.contains(&key.as_str())).cloned().collect();
        for key in unknown {
            self.faults.add(&key, format!("is no section: there are {}", SECTIONS.join(", ")));
        }
        let gateway_id = self.gateway_id();
        let listeners = self.listeners();
        let admin = self.admin();
        let drain = self.drain();
        let kafka = self.kafka();
        let object_store = self.object_store();
        let (limits, plan) = self.limits();
        let names = self.lane_names();
        let rules = self.rules(&names);
        let routes = self.routes();
        let (lane_routing, lanes) =
            self.lanes(&names, &kafka, &limits, &plan, object_store.is_some());
        let unrouted = match self.section::<String>("unrouted").as_deref() {
            None | Some("fast") => Unrouted::Fast,
            Some("refuse") => Unrouted::Refuse,
            Some(other) => {
                self.faults
                    .add("unrouted", format!("{other:?} is not known: write fast or refuse"));
                Unrouted::Fast
            }
        };
        let devices = self.devices();
        Settings {
            gateway_id,
            listeners,
            admin,
            drain,
            kafka,
            object_store,
            limits,
            routing: Routing { routes, unrouted, rules, lanes: lane_routing, devices },
            lanes,
            memory: plan,
        }
    }

    /// Takes a section out and reads it; None where it is absent or faulty.
    fn section<T: DeserializeOwned>(&mut self, name: &str) -> Option<T> {
        let value = self.written.remove(name).filter(|value| !value.is_null())?;
        self.read(name, value)
    }

    fn read<T: DeserializeOwned>(&mut self, place: &str, value: Value) -> Option<T> {
        match serde_json::from_value(value) {
            Ok(read) => Some(read),
            Err(error) => {
                self.faults.add(place, error.to_string());
                None
            }
        }
    }

    /// The elements of a list section; None where it is absent.
    fn list(&mut self, name: &str) -> Option<Vec<Value>> {
        match self.written.remove(name)? {
            Value::Null => None,
            Value::Array(items) => Some(items),
            _ => {
                self.faults.add(name, "is no list: begin each element with `- `");
                None
            }
        }
    }

    fn gateway_id(&mut self) -> String {
        let host = || {
            let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
            let name: String = name
                .trim()
                .chars()
                .map(|c| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '-' })
                .take(64)
                .collect();
            if name.is_empty() { "landfall".to_owned() } else { name }
        };
        let id = self.section("gateway_id").unwrap_or_else(host);
        let legal = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        if id.is_empty() || id.len() > 64 || !id.chars().all(legal) || id.starts_with('.') {
            self.faults.add(
                "gateway_id",
                format!(
                    "{id:?} cannot be part of an object's key: write 1 to 64 of A-Z a-z 0-9 . _ -"
                ),
            );
        }
        id
    }

    fn address(&mut self, place: &str, text: &str) -> Option<SocketAddr> {
        let address = text.parse().ok();
        if address.is_none() {
            self.faults.add(
                place,
                format!("{text:?} is no address: write IP:PORT, such as 127.0.0.1:1883"),
            );
        }
        address
    }

    fn listeners(&mut self) -> Vec<ListenerSettings> {
        let default = || vec![serde_json::json!({ "name": "plain", "bind": "127.0.0.1:1883" })];
        let items = self.list("listeners").unwrap_or_else(default);
        if items.is_empty() {
            self.faults.add("listeners", "is empty: write at least one, or leave the section out");
        }
        let mut listeners: Vec<ListenerSettings> = Vec::new();
        for (index, item) in items.into_iter().enumerate() {
            let place = format!("listeners[{index}]");
            let Some(written) = self.read::<written::Listener>(&place, item) else { continue };
            let bind_place = format!("{place}.bind");
            let Some(bind) = self.address(&bind_place, &written.bind) else { continue };
            if !bind.ip().is_loopback() && !written.anonymous {
                self.faults.add(
                    &bind_place,
                    format!("{bind} is beyond loopback and there is no authentication yet: anyone who reaches it may publish. Write `anonymous: true` on this listener if that is meant"),
                );
            }
            if listeners.iter().any(|known| known.name == written.name) {
                self.faults
                    .add(format!("{place}.name"), format!("{:?} is used twice", written.name));
            }
            if bind.port() != 0 && listeners.iter().any(|known| known.bind == bind) {
                self.faults.add(&bind_place, format!("{bind} is used twice"));
            }
            listeners.push(ListenerSettings { name: written.name, bind });
        }
        listeners
    }

    fn admin(&mut self) -> SocketAddr {
        let default = SocketAddr::from(([127, 0, 0, 1], 8080));
        let written: written::Admin = self.section("admin").unwrap_or_default();
        match written.bind {
            Some(bind) => self.address("admin.bind", &bind).unwrap_or(default),
            None => default,
        }
    }

    fn drain(&mut self) -> Drain {
        let written: written::Drain = self.section("drain").unwrap_or_default();
        let length =
            |length: Option<Length>, default| length.map_or(default, |Length(length)| length);
        let drain = Drain {
            pause: length(written.pause, Duration::from_secs(5)),
            deadline: length(written.deadline, Duration::from_secs(25)),
            wills: written.wills,
        };
        if drain.deadline.is_zero() {
            self.faults
                .add("drain.deadline", "is zero: nothing could be drained; write such as 25s");
        }
        drain
    }

    fn secrets(
        &mut self,
        place: &str,
        written: BTreeMap<String, Secret>,
    ) -> BTreeMap<String, String> {
        let mut revealed = BTreeMap::new();
        for (key, secret) in written {
            match secret.reveal() {
                Ok(text) => {
                    revealed.insert(key, text);
                }
                Err(error) => self.faults.add(format!("{place}.{key}"), error),
            }
        }
        revealed
    }

    fn kafka_properties(
        &mut self,
        place: &str,
        written: BTreeMap<String, Secret>,
    ) -> BTreeMap<String, String> {
        let properties = self.secrets(place, written);
        for (key, text) in properties::faults(&properties) {
            self.faults.add(format!("{place}.{key}"), text);
        }
        properties
    }

    fn kafka(&mut self) -> Kafka {
        let written: written::Kafka = self.section("kafka").unwrap_or_default();
        let servers = written.bootstrap_servers.unwrap_or_else(|| "localhost:9092".to_owned());
        let is_server = |server: &str| {
            let port = server.trim().rsplit_once(':').map(|(host, port)| (!host.is_empty(), port));
            matches!(port, Some((true, port)) if port.parse::<u16>().is_ok())
        };
        if !servers.split(',').all(is_server) {
            self.faults.add(
                "kafka.bootstrap_servers",
                format!("{servers:?} is no list of brokers: write HOST:PORT,HOST:PORT"),
            );
        }
        let properties = self.kafka_properties("kafka.properties", written.properties);
        Kafka {
            bootstrap_servers: servers,
            create_topics: written.create_topics,
            embedded: false,
            properties,
        }
    }

    fn object_store(&mut self) -> Option<ObjectStore> {
        let written: written::ObjectStore = self.section("object_store")?;
        let options = self.secrets("object_store.options", written.options);
        let url = match Url::parse(&written.url) {
            Ok(url) => url,
            Err(error) => {
                self.faults.add(
                    "object_store.url",
                    format!("{:?} is no URL ({error}): write s3://BUCKET/PREFIX, gs://, az:// or file:///path", written.url),
                );
                return None;
            }
        };
        for (place, text) in Objects::faults(&url, &options) {
            self.faults.add(format!("object_store.{place}"), text);
        }
        Some(ObjectStore { url, options })
    }

    /// A size within bounds.
    fn size(
        &mut self,
        place: &str,
        written: Option<Size>,
        default: u64,
        bounds: (u64, u64),
    ) -> u64 {
        let size = written.map_or(default, |Size(size)| size);
        let (least, most) = bounds;
        if !(least..=most).contains(&size) {
            self.faults.add(place, format!("{size} bytes: write {least} to {most} bytes"));
            return size.clamp(least, most);
        }
        size
    }

    fn limits(&mut self) -> (Limits, MemoryPlan) {
        let written: written::Limits = self.section("limits").unwrap_or_default();
        let memory = written.memory.map_or_else(memory::default_memory, |Size(memory)| memory);
        let connections =
            written.connections.unwrap_or_else(|| memory::default_connections(memory));
        if connections == 0 {
            self.faults.add("limits.connections", "is zero: write at least 1");
        }
        let descriptors = memory::descriptor_limit();
        if u64::from(connections) > descriptors {
            self.faults.add(
                "limits.connections",
                format!("{connections} connections need as many descriptors, of which the system allows {descriptors}: write less, or raise the hard limit (ulimit -Hn)"),
            );
        }
        let plan = MemoryPlan::new(memory, connections);
        if plan.messages < MESSAGES_MIN {
            self.faults.add(
                "limits.memory",
                format!(
                    "{} MiB, less {connections} connections of {} bytes ({} MiB) and {} MiB for the process, leave {} MiB for messages, which need {} MiB: raise limits.memory or lower limits.connections",
                    memory / MIB,
                    memory::CONNECTION_COST,
                    plan.connections / MIB,
                    plan.fixed / MIB,
                    plan.messages / MIB,
                    MESSAGES_MIN / MIB,
                ),
            );
        }
        let message_size = self.size(
            "limits.message_size",
            written.message_size,
            DEFAULT_MESSAGE_SIZE,
            (KIB, MESSAGE_SIZE_MAX),
        );
        let window_size =
            self.size("limits.window_size", written.window_size, 4 * MIB, (KIB, u32::MAX.into()));
        let window_messages = written.window_messages.unwrap_or(100);
        if window_messages == 0 {
            self.faults.add("limits.window_messages", "is zero: write 1 to 65535");
        }
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let workers = written.workers.unwrap_or((cores / 2).max(1));
        if !(1..=256).contains(&workers) {
            self.faults.add("limits.workers", format!("{workers} threads: write 1 to 256"));
        }
        let limits = Limits {
            memory,
            connections,
            message_size: message_size as u32,
            window_messages,
            window_size: window_size as u32,
            workers,
        };
        (limits, plan)
    }

    /// The built-in lanes, then what the configuration adds, by name.
    fn lane_names(&mut self) -> Vec<String> {
        let mut names: Vec<String> = BUILT_IN.iter().map(|&name| name.to_owned()).collect();
        match self.written.get("lanes") {
            None | Some(Value::Null) => {}
            Some(Value::Object(lanes)) => {
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
        names
    }

    fn lanes(
        &mut self,
        names: &[String],
        kafka: &Kafka,
        limits: &Limits,
        plan: &MemoryPlan,
        has_store: bool,
    ) -> (Vec<LaneRouting>, Vec<LaneSettings>) {
        let mut written = match self.written.remove("lanes") {
            Some(Value::Object(lanes)) => lanes,
            _ => Map::new(),
        };
        let shares = plan.shares(names.len());
        let mut routing = Vec::new();
        let mut lanes: Vec<LaneSettings> = Vec::new();
        for (id, name) in names.iter().enumerate() {
            let place = format!("lanes.{name}");
            let lane: written::Lane = written
                .remove(name)
                .filter(|value| !value.is_null())
                .and_then(|value| self.read(&place, value))
                .unwrap_or_default();
            let topic = self.topic_name(&place, name, &lane);
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
            let mut properties = kafka.properties.clone();
            let own_place = format!("{place}.properties");
            properties.extend(self.kafka_properties(&own_place, lane.properties));
            if id == usize::from(classify::PRIORITY.0) {
                // What is urgent waits for no company.
                properties.entry("linger.ms".to_owned()).or_insert_with(|| "0".to_owned());
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
                .find(|other| other.topics.iter().any(|used| topic.all().contains(used)))
            {
                let shared = format!(
                    "shares a Kafka topic with lane {}: give each lane its own",
                    other.name
                );
                self.faults.add(format!("{place}.topic"), shared);
            }
            lanes.push(LaneSettings {
                name: name.clone(),
                topics: topic.all(),
                inline_size: inline_size as u32,
                gather,
                properties,
                inline_memory,
                large_memory,
            });
            routing.push(LaneRouting { topic, key });
        }
        let used: u64 = lanes.iter().map(|lane| lane.inline_memory + lane.large_memory).sum();
        if used > plan.messages {
            self.faults.add(
                "lanes",
                format!("their shares of memory are {} MiB together, and {} MiB are there for messages: lower lanes.….memory or raise limits.memory", used / MIB, plan.messages / MIB),
            );
        }
        (routing, lanes)
    }

    fn gather(&mut self, place: &str, id: usize, written: Option<Length>) -> Duration {
        let urgent = id == usize::from(classify::PRIORITY.0);
        let default = if urgent { Duration::ZERO } else { DEFAULT_GATHER };
        let gather = written.map_or(default, |Length(gather)| gather);
        if gather > GATHER_MAX {
            self.faults.add(
                format!("{place}.gather"),
                "every acknowledgement waits for it: write at most 100ms",
            );
        }
        gather
    }

    fn topic_name(&mut self, place: &str, name: &str, lane: &written::Lane) -> TopicName {
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
        if name == BUILT_IN[3] {
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

    fn filter(&mut self, place: &str, text: &str) -> Option<Filter> {
        match Filter::parse(text) {
            Ok(filter) => Some(filter),
            Err(error) => {
                self.faults.add(place, format!("{text:?}: {error}"));
                None
            }
        }
    }

    fn routes(&mut self) -> Vec<Route> {
        let default = || {
            vec![serde_json::json!({ "filter": "devices/{device_type}/{device_id}/{stream}/#" })]
        };
        let items = self.list("routes").unwrap_or_else(default);
        if items.len() > ROUTES_MAX {
            self.faults
                .add("routes", format!("there are {}: at most {ROUTES_MAX} can be", items.len()));
        }
        let mut routes = Vec::new();
        for (index, item) in items.into_iter().enumerate() {
            let place = format!("routes[{index}]");
            let Some(written) = self.read::<written::Route>(&place, item) else { continue };
            let Some(filter) = self.filter(&format!("{place}.filter"), &written.filter) else {
                continue;
            };
            let device_envelope = match written.payload.as_deref() {
                None => false,
                Some("landfall.v1.DeviceEnvelope") => true,
                Some(other) => {
                    self.faults.add(format!("{place}.payload"), format!("{other:?} is not known: write landfall.v1.DeviceEnvelope or leave it out"));
                    false
                }
            };
            routes.push(Route { filter, attributes: written.attributes, device_envelope });
        }
        routes
    }

    fn rules(&mut self, lanes: &[String]) -> Vec<Rule> {
        let over = self.section::<Size>("slow_over_size");
        let after = self.section::<Length>("slow_after");
        let Some(items) = self.list("rules") else {
            return default_rules(
                over.map_or(DEFAULT_SLOW_OVER_SIZE, |Size(size)| size),
                after.map_or(DEFAULT_SLOW_AFTER, |Length(age)| age),
            );
        };
        for (name, given) in [("slow_over_size", over.is_some()), ("slow_after", after.is_some())] {
            if given {
                self.faults.add(
                    name,
                    "belongs to the default rules, which `rules` replaces: write it as a rule",
                );
            }
        }
        if items.len() > RULES_MAX {
            self.faults
                .add("rules", format!("there are {}: at most {RULES_MAX} can be", items.len()));
        }
        let mut rules = Vec::new();
        for (index, item) in items.into_iter().enumerate() {
            let place = format!("rules[{index}]");
            let Some(written) = self.read::<written::Rule>(&place, item) else { continue };
            let lane = match lanes.iter().position(|name| *name == written.lane) {
                Some(id) if id == usize::from(classify::DEAD_LETTER.0) => {
                    self.faults.add(
                        format!("{place}.lane"),
                        "dead-letter is no lane to choose: it takes what cannot land elsewhere",
                    );
                    continue;
                }
                Some(id) => LaneId(id as u8),
                None => {
                    self.faults.add(
                        format!("{place}.lane"),
                        format!(
                            "there is no lane {:?}: there are {}",
                            written.lane,
                            lanes.join(", ")
                        ),
                    );
                    continue;
                }
            };
            let when = self.when(&format!("{place}.when"), written.when);
            rules.push(Rule { when, lane });
        }
        rules
    }

    fn when(&mut self, place: &str, written: written::When) -> When {
        let topic = written.topic.and_then(|text| self.filter(&format!("{place}.topic"), &text));
        let firmware = written.firmware.and_then(|text| match VersionRange::parse(&text) {
            Ok(range) => Some(range),
            Err(error) => {
                self.faults.add(format!("{place}.firmware"), error.to_string());
                None
            }
        });
        When {
            topic,
            attributes: written.attributes,
            firmware,
            property: written.property,
            larger_than: written.larger_than.map(|Size(size)| size),
            older_than_ms: written.older_than.map(|Length(age)| age.as_millis() as i64),
            last_level: None,
        }
    }

    fn devices(&mut self) -> classify::DeviceAttributes {
        let Some(written::Attributes { from_file }) = self.section("attributes") else {
            return classify::DeviceAttributes::new();
        };
        match devices(&from_file) {
            Ok(devices) => devices,
            Err(error) => {
                self.faults.add("attributes.from_file", format!("{from_file}: {error}"));
                classify::DeviceAttributes::new()
            }
        }
    }
}

fn devices(path: &str) -> Result<classify::DeviceAttributes, String> {
    let size = std::fs::metadata(path).map_err(|error| format!("cannot be read: {error}"))?.len();
    if size > DEVICES_FILE_MAX_BYTES {
        return Err(format!("has {size} bytes; at most {DEVICES_FILE_MAX_BYTES} are read"));
    }
    let text = std::fs::read_to_string(path).map_err(|error| format!("cannot be read: {error}"))?;
    let devices: classify::DeviceAttributes = serde_saphyr::from_str(&text)
        .map_err(|error| format!("write `DEVICE_ID: {{ device_type: …, group: … }}`: {error}"))?;
    if devices.len() > DEVICES_MAX {
        return Err(format!("has {} devices; at most {DEVICES_MAX} are read", devices.len()));
    }
    Ok(devices)
}

/// Alarms are urgent; what is large or old goes the slow way.
fn default_rules(slow_over_size: u64, slow_after: Duration) -> Vec<Rule> {
    let alarm = When { last_level: Some("alarm".to_owned()), ..When::default() };
    let large = When { larger_than: Some(slow_over_size), ..When::default() };
    let old = When { older_than_ms: Some(slow_after.as_millis() as i64), ..When::default() };
    vec![
        Rule { when: alarm, lane: classify::PRIORITY },
        Rule { when: large, lane: classify::SLOW },
        Rule { when: old, lane: classify::SLOW },
    ]
}
