//! From the written sections to what they mean for a role: each section is read on its own, so that a fault in
//! one hides none in another.

mod access;
mod admin;
mod audit;
mod authentication;
mod kafka;
mod lanes;
mod limits;
mod listeners;
mod object_store;
mod parse;
mod routing;
mod tls;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use bridge::classify::Routing;
use serde::de::DeserializeOwned;

use super::descriptors::{DescriptorPlan, Ports, StoreKind};
use super::node::Node;
use super::parse_role::ParseSettings;
use super::values::{Length, Size};
use super::written;
use super::{Drain, ObjectStore, Secrets, Settings, Whole};
use crate::fault::Faults;
use crate::net::silent;
use crate::secret::Secret;

pub use lanes::LaneView;

/// What is shorter stands in many words, and is no secret.
const SECRET_MIN_BYTES: usize = 4;
/// In place of a secret that is not here.
const ASSUMED_SECRET: &str = "assumed";
const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;

/// What was written, while it is read.
pub(super) struct Checker {
    written: BTreeMap<String, Node>,
    faults: Faults,
    secrets: Secrets,
    /// What the clouds' own variables say.
    environment: Vec<(String, String)>,
    /// Properties of which a producer was made already.
    tried_producers: BTreeSet<BTreeMap<String, String>>,
    /// Secrets that were read: no fault tells them, wherever they were put.
    revealed: Vec<String>,
    /// What may be meant otherwise, for people.
    hints: Vec<String>,
    /// The pools that a parse role has in this process; empty: all.
    only: Vec<String>,
    /// Roles that run in one process, and share its memory.
    roles: u64,
}

/// Sections that only a gateway looks at.
const OF_GATEWAY: [&str; 10] = [
    "listeners",
    "authentication",
    "client_id",
    "access",
    "access_file",
    "audit",
    "unrouted",
    "rules",
    "slow_over_size",
    "slow_after",
];

impl Checker {
    /// `hints` are about what stands around the file.
    pub(super) fn new(
        written: Node,
        environment: Vec<(String, String)>,
        faults: Faults,
        secrets: Secrets,
        hints: Vec<String>,
    ) -> Checker {
        let written = match written {
            Node::Map(written) => written,
            _ => BTreeMap::new(),
        };
        Checker {
            written,
            faults,
            secrets,
            environment,
            tried_producers: BTreeSet::new(),
            revealed: Vec::new(),
            hints,
            only: Vec::new(),
            roles: 1,
        }
    }

    /// A parse role has these pools only; all where there is no name.
    pub(super) fn only(&mut self, pools: &[String]) -> &mut Checker {
        self.only = pools.to_vec();
        self
    }

    /// What somebody makes of it, or all its faults.
    pub(super) fn check<T>(mut self, look: impl FnOnce(&mut Checker) -> T) -> Result<T, Faults> {
        self.unknown_sections();
        let seen = look(&mut self);
        if self.faults.0.is_empty() {
            return Ok(seen);
        }
        let Checker { mut faults, revealed, .. } = self;
        for fault in &mut faults.0 {
            for secret in &revealed {
                fault.text = fault.text.replace(secret.as_str(), "…");
            }
        }
        Err(faults)
    }

    /// What the gateway looks at: how messages become events is none of it.
    pub(super) fn gateway(&mut self) -> Settings {
        self.written.remove("parse");
        let (settings, _) = self.all();
        self.nothing_is_left();
        settings
    }

    /// What the parse role looks at: the gateway's files need not be there.
    pub(super) fn parse_role(&mut self) -> Option<ParseSettings> {
        for section in OF_GATEWAY {
            self.written.remove(section);
        }
        let settings = self.parse_alone();
        self.nothing_is_left();
        settings
    }

    /// What both look at.
    pub(super) fn whole(&mut self) -> Whole {
        let (gateway, kafka) = self.all();
        let parse = self.parse_beside(&gateway, &kafka);
        self.nothing_is_left();
        Whole { gateway, parse }
    }

    /// The same of a process that is both at once: each has half of its memory.
    pub(super) fn one_process(&mut self) -> Whole {
        self.roles = 2;
        let mut whole = self.whole();
        // What the process may take is all of it.
        whole.gateway.memory.limit *= self.roles;
        whole
    }

    fn nothing_is_left(&self) {
        let known = super::sections();
        let unread = self.written.keys().find(|section| known.contains(section));
        assert_eq!(unread, None, "every section that is known has to be read");
    }

    fn all(&mut self) -> (Settings, kafka::Properties) {
        let read_at = SystemTime::now();
        let gateway_id = self.gateway_id();
        let authentication = self.authentication();
        let mut listeners = self.listeners(&authentication);
        let authentication = self.used(authentication, &listeners);
        let access = self.access(&listeners, &authentication);
        let audit = self.audit(access.is_some());
        let admin = self.admin(&listeners);
        let drain = self.drain();
        let (kafka, properties) = self.kafka();
        let object_store = self.object_store();
        let names = self.lane_names();
        let brokers = kafka.bootstrap_servers.split(',').count();
        let store = object_store.as_ref().map(kind);
        let admin_ports = 1 + usize::from(admin.probes.is_some());
        let ports = Ports { listeners: listeners.len(), admin: admin_ports };
        let descriptors = DescriptorPlan::new(names.count(), brokers, &ports, store);
        let descriptors = descriptors.and_for_process(authentication.descriptors());
        let (limits, plan) = self.limits(&descriptors, &listeners, &authentication, names.count());
        let count = listeners.len();
        for listener in &mut listeners {
            listener.silent = silent::share(limits.connections, count, listener.connections);
        }
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
        let unrouted = self.unrouted();
        let devices = self.devices();
        let has_store = object_store.is_some();
        let settings = Settings {
            listeners,
            access,
            authentication,
            audit,
            admin,
            drain,
            kafka,
            object_store,
            limits,
            routing: Routing { gateway_id, routes, unrouted, rules, lanes, devices, has_store },
            memory: plan,
            descriptors,
            read_at,
            reload_at_hangup: true,
            hints: std::mem::take(&mut self.hints),
        };
        (settings, properties)
    }

    fn unknown_sections(&mut self) {
        let known = super::sections();
        if self.written.remove("quotas").is_some() {
            self.faults.add("quotas", "are not available yet: take the section out");
        }
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
}

fn kind(store: &ObjectStore) -> StoreKind {
    match store.url.scheme() {
        "file" => StoreKind::Folder,
        _ => StoreKind::Remote,
    }
}
