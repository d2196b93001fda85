//! From the written sections to [`Settings`]: each section is read on its own, so that a fault in one
//! hides none in another.

mod kafka;
mod lanes;
mod routing;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use bridge::classify::{Routing, Unrouted};
use bridge::objects::{self, Objects};
use serde::de::DeserializeOwned;

use super::descriptors::{self, DEFAULT_CONNECTIONS_MIN, DescriptorPlan, StoreKind};
use super::memory::{self, MESSAGES_MIN, MemoryPlan};
use super::node::Node;
use super::values::{Length, Secret, Size};
use super::written;
use super::{Drain, Faults, Limits, ListenerSettings, ObjectStore, Secrets, Settings};

/// What is shorter stands in many words, and is no secret.
const SECRET_MIN_BYTES: usize = 4;
/// In place of a secret that is not here.
const ASSUMED_SECRET: &str = "assumed";

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;
const DEFAULT_MESSAGE_SIZE: u64 = 64 * MIB;
/// MQTT cannot say a larger packet.
const MESSAGE_SIZE_MAX: u64 = 256 * MIB - 1;

struct Checker {
    written: BTreeMap<String, Node>,
    faults: Faults,
    secrets: Secrets,
    /// What the clouds' own variables say.
    environment: Vec<(String, String)>,
    /// Properties of which a producer was made already.
    tried_producers: BTreeSet<BTreeMap<String, String>>,
    /// Secrets that were read: no fault tells them, wherever they were put.
    revealed: Vec<String>,
}

pub(super) fn settings(
    written: Node,
    environment: Vec<(String, String)>,
    faults: Faults,
    secrets: Secrets,
) -> Result<Settings, Faults> {
    let Node::Map(written) = written else { return Err(faults) };
    let mut checker = Checker {
        written,
        faults,
        secrets,
        environment,
        tried_producers: BTreeSet::new(),
        revealed: Vec::new(),
    };
    let settings = checker.all();
    if checker.faults.0.is_empty() {
        return Ok(settings);
    }
    let Checker { mut faults, revealed, .. } = checker;
    for fault in &mut faults.0 {
        for secret in &revealed {
            fault.text = fault.text.replace(secret.as_str(), "…");
        }
    }
    Err(faults)
}

/// Both cannot be bound at a time. `[::]` takes IPv4 too.
fn overlap(one: SocketAddr, other: SocketAddr) -> bool {
    let takes = |one: SocketAddr, other: SocketAddr| {
        one.ip().is_unspecified() && (one.is_ipv6() || other.is_ipv4())
    };
    let same_address = one.ip() == other.ip() || takes(one, other) || takes(other, one);
    one.port() == other.port() && one.port() != 0 && same_address
}

fn taken(bind: SocketAddr, name: &str, by: SocketAddr) -> String {
    match bind == by {
        true => format!("{bind} is used twice: listener {name} has it"),
        false => format!(
            "{bind} cannot be beside {by} of listener {name}, which takes the same port of the same addresses: write another port, or one of both ([::] takes IPv4 too)"
        ),
    }
}

impl Checker {
    fn all(&mut self) -> Settings {
        self.unknown_sections();
        let gateway_id = self.gateway_id();
        let listeners = self.listeners();
        let admin = self.admin(&listeners);
        let drain = self.drain();
        let (kafka, properties) = self.kafka();
        let object_store = self.object_store();
        let names = self.lane_names();
        let brokers = kafka.bootstrap_servers.split(',').count();
        let store = object_store.as_ref().map(|store| match store.url.scheme() {
            "file" => StoreKind::Folder,
            _ => StoreKind::Remote,
        });
        let descriptors = DescriptorPlan::new(names.count(), brokers, listeners.len(), store);
        let (limits, plan) = self.limits(&descriptors);
        let rules = self.rules(&names);
        let routes = self.routes();
        let lanes = self.lanes(
            &names,
            &lanes::Common {
                gateway_id: &gateway_id,
                kafka: &properties,
                limits: &limits,
                plan: &plan,
                has_store: object_store.is_some(),
            },
        );
        self.hold_descriptors(&descriptors, limits.connections);
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
        let has_store = object_store.is_some();
        Settings {
            listeners,
            admin,
            drain,
            kafka,
            object_store,
            limits,
            routing: Routing { gateway_id, routes, unrouted, rules, lanes, devices, has_store },
            memory: plan,
            descriptors,
            hints: Vec::new(),
        }
    }

    fn unknown_sections(&mut self) {
        let known = super::sections();
        for key in self.written.keys().filter(|key| !known.contains(key)) {
            self.faults.add(key, format!("is no section: there are {}", known.join(", ")));
        }
    }

    /// Takes a section out and reads it; None where it is absent or faulty.
    fn section<T: DeserializeOwned>(&mut self, name: &str) -> Option<T> {
        let value = self.written.remove(name).filter(|value| !value.is_null())?;
        self.read(name, value)
    }

    fn read<T: DeserializeOwned>(&mut self, place: &str, node: Node) -> Option<T> {
        match T::deserialize(node) {
            Ok(read) => Some(read),
            Err(error) => {
                self.faults.add(error.place(place), error.to_string());
                None
            }
        }
    }

    /// The elements of a list section; None where it is absent.
    fn list(&mut self, name: &str) -> Option<Vec<Node>> {
        match self.written.remove(name)? {
            Node::Null => None,
            Node::List(items) => Some(items),
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
        let default = || {
            let plain = [("name", Node::text("plain")), ("bind", Node::text("127.0.0.1:1883"))];
            vec![Node::map(plain)]
        };
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
            if let Some(known) = listeners.iter().find(|known| overlap(known.bind, bind)) {
                self.faults.add(&bind_place, taken(bind, &known.name, known.bind));
            }
            listeners.push(ListenerSettings { name: written.name, bind });
        }
        listeners
    }

    fn admin(&mut self, listeners: &[ListenerSettings]) -> SocketAddr {
        let default = SocketAddr::from(([127, 0, 0, 1], 8080));
        let written: written::Admin = self.section("admin").unwrap_or_default();
        let bind = match written.bind {
            Some(bind) => self.address("admin.bind", &bind).unwrap_or(default),
            None => default,
        };
        if let Some(known) = listeners.iter().find(|known| overlap(known.bind, bind)) {
            self.faults.add("admin.bind", taken(bind, &known.name, known.bind));
        }
        bind
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

    /// The values, in the order of their names; None for one that another machine has.
    fn secrets(
        &mut self,
        place: &str,
        written: BTreeMap<String, Secret>,
    ) -> Vec<(String, Option<String>)> {
        let mut revealed = Vec::new();
        for (name, secret) in written {
            let is_elsewhere = secret.is_elsewhere();
            match secret.reveal() {
                Ok(text) => {
                    if is_elsewhere && text.len() >= SECRET_MIN_BYTES {
                        self.revealed.push(text.clone());
                    }
                    revealed.push((name, Some(text)));
                }
                Err(_) if self.secrets == Secrets::Assumed => revealed.push((name, None)),
                Err(error) => self.faults.add(format!("{place}.{name}"), error),
            }
        }
        revealed
    }

    fn object_store(&mut self) -> Option<ObjectStore> {
        let written: written::ObjectStore = self.section("object_store")?;
        let before = self.faults.0.len();
        let options = self.secrets("object_store.options", written.options);
        let options: BTreeMap<String, Option<String>> = options.into_iter().collect();
        let url = match objects::parse_url(&written.url) {
            Ok(url) => url,
            Err(error) => {
                self.faults.add("object_store.url", error);
                return None;
            }
        };
        // A secret that is not there is told already, and all that follows from it is no news.
        if self.faults.0.len() == before {
            let environment = Some(&*self.environment);
            let environment = environment.filter(|_| self.secrets == Secrets::Read);
            for (place, text) in Objects::faults(&url, &options, environment) {
                let is_variable = place.starts_with("environment ");
                let place = if is_variable { place } else { format!("object_store.{place}") };
                self.faults.add(place, text);
            }
        }
        let assumed = || ASSUMED_SECRET.to_owned();
        let revealed =
            options.into_iter().map(|(name, value)| (name, value.unwrap_or_else(assumed)));
        Some(ObjectStore { url, options: revealed.collect() })
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

    /// Descriptors that there are; another machine's are not known here.
    fn descriptor_limit(&self) -> Option<u64> {
        (self.secrets == Secrets::Read).then(descriptors::descriptor_limit)
    }

    /// Connections where none are written.
    fn default_connections(&mut self, memory: u64, plan: &DescriptorPlan) -> u32 {
        let left = self.descriptor_limit().map(|limit| limit.saturating_sub(plan.reserved()));
        let enough = left.is_none_or(|left| left >= DEFAULT_CONNECTIONS_MIN);
        if enough {
            return memory::default_connections(memory, left.unwrap_or(u64::MAX));
        }
        // What is too few is told with the whole plan.
        memory::default_connections(memory, DEFAULT_CONNECTIONS_MIN)
    }

    /// Connections take no descriptor that others need.
    fn hold_descriptors(&mut self, plan: &DescriptorPlan, connections: u32) {
        let Some(limit) = self.descriptor_limit() else { return };
        let reserved = plan.reserved();
        if u64::from(connections) + reserved <= limit {
            return;
        }
        let DescriptorPlan { kafka, object_store, admin, process } = plan;
        let holders =
            format!("Kafka {kafka}, object store {object_store}, admin {admin}, process {process}");
        let what = match limit.saturating_sub(reserved) {
            0 => "raise the hard limit (ulimit -Hn)".to_owned(),
            left => format!("write at most {left}, or raise the hard limit (ulimit -Hn)"),
        };
        self.faults.add(
            "limits.connections",
            format!("{connections} connections need as many descriptors, and {reserved} are for others ({holders}): the system allows {limit}. {what}"),
        );
    }

    fn limits(&mut self, descriptors: &DescriptorPlan) -> (Limits, MemoryPlan) {
        let written: written::Limits = self.section("limits").unwrap_or_default();
        let memory = written.memory.map_or_else(memory::default_memory, |Size(memory)| memory);
        let connections = match written.connections {
            Some(connections) => connections,
            None => self.default_connections(memory, descriptors),
        };
        if connections == 0 {
            self.faults.add("limits.connections", "is zero: write at least 1");
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
}
