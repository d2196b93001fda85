//! The pools: which lanes each reads, in which group, and how much it holds.

use std::collections::BTreeMap;
use std::time::Duration;

use bridge::record;
use parse::plan::{Plan, Pool, PoolLane, WindowLimits};

use super::{Around, pool_lane};
use crate::config::check::{Checker, MIB};
use crate::config::node::Node;
use crate::config::values::Length;
use crate::config::written::parse as written;
use crate::pools::METADATA;

/// Pools of a role.
const POOLS_MAX: usize = 16;
/// Longest name of a consumer group, in bytes.
const GROUP_MAX_BYTES: usize = 249;
const RECORDS_MAX: u64 = 100_000;
const WINDOW_MAX: u64 = 1024 * 1024 * MIB;
/// The pools where none are written, each with its lanes.
const DEFAULT_POOLS: [(&str, &[&str]); 2] = [("fast", &["priority", "fast"]), (SLOW, &["slow"])];
/// The pool of large and late messages: it may take its time, and holds few at once.
const SLOW: &str = "slow";

/// What a pool has where nothing is written.
struct Defaults {
    records: u64,
    bytes: u64,
    freshness: Duration,
}

impl Defaults {
    fn of(name: &str, memory: u64) -> Defaults {
        let bytes = (memory / 16).min(64 * MIB);
        match name {
            SLOW => Defaults { records: 50, bytes, freshness: Duration::from_secs(15 * 60) },
            _ => Defaults { records: 10_000, bytes, freshness: Duration::from_secs(5) },
        }
    }
}

impl Checker {
    pub(super) fn pools(&mut self, written: Option<Node>, around: &Around<'_>) -> Vec<Pool> {
        let written = match written {
            None | Some(Node::Null) => default_pools(),
            written => self.entries("parse.pools", written),
        };
        if written.len() > POOLS_MAX {
            let text = format!("there are {}: at most {POOLS_MAX} can be", written.len());
            self.faults.add("parse.pools", text);
        }
        if written.is_empty() {
            let text = "nothing is read: write such as `fast: { lanes: [priority, fast] }`, or leave parse.pools out";
            self.faults.add("parse.pools", text);
        }
        let mut pools: Vec<Pool> = Vec::new();
        for (name, node) in written {
            let place = format!("parse.pools.{name}");
            let is_plain =
                |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
            if name.is_empty() || name.len() > 40 || !name.bytes().all(is_plain) {
                let text = "write a pool's name with a-z, 0-9 and `-`, at most 40";
                self.faults.add(&place, text);
            }
            if name == METADATA {
                let text = "is the name of what writes the metadata stream: write another";
                self.faults.add(&place, text);
            }
            let Some(pool) = self.read::<written::Pool>(&place, node) else { continue };
            let pool = self.pool(&place, name, pool, around);
            for lane in &pool.lanes {
                let reads = |other: &&Pool| other.lanes.contains(lane);
                if let Some(other) = pools.iter().find(reads) {
                    let text = format!(
                        "the pool {} reads the lane {} too, and every message of it would be parsed twice: leave it out of one",
                        other.name, lane.name
                    );
                    self.faults.add(format!("{place}.lanes"), text);
                }
            }
            pools.push(pool);
        }
        let is_read =
            |name: &str| pools.iter().any(|pool| pool.lanes.iter().any(|lane| lane.name == name));
        let unread =
            around.lanes.iter().filter(|lane| !lane.is_dead_letter() && !is_read(&lane.name));
        let unread: Vec<&str> = unread.map(|lane| lane.name.as_str()).collect();
        if !unread.is_empty() && !pools.is_empty() {
            self.hints.push(format!(
                "parse.pools: no pool reads {}, and what is there has no events",
                unread.join(", ")
            ));
        }
        pools
    }

    /// Those that this process has, and whether it reads for the metadata stream.
    pub(super) fn own_pools(&mut self, pools: &[Pool], has_metadata: bool) -> (Vec<Pool>, bool) {
        if self.only.is_empty() {
            return (pools.to_vec(), has_metadata);
        }
        let names = pools.iter().map(|pool| pool.name.as_str());
        let known: Vec<&str> = names.chain(has_metadata.then_some(METADATA)).collect();
        for name in self.only.iter().filter(|name| !known.contains(&name.as_str())) {
            let text = format!("there is no pool {name:?}: there are {}", known.join(", "));
            self.faults.add("--pool", text);
        }
        let is_own = |name: &str| self.only.iter().any(|own| own == name);
        let own = pools.iter().filter(|pool| is_own(&pool.name)).cloned().collect();
        (own, has_metadata && is_own(METADATA))
    }

    fn pool(
        &mut self,
        place: &str,
        name: String,
        written: written::Pool,
        around: &Around<'_>,
    ) -> Pool {
        let lanes = self.lanes_of_pool(&format!("{place}.lanes"), &written.lanes, around);
        let group = written.group.unwrap_or_else(|| format!("landfall-parse-{name}"));
        self.group_name(&format!("{place}.group"), &group);
        let defaults = Defaults::of(&name, around.memory);
        let records = written.window.records.unwrap_or(defaults.records);
        if !(1..=RECORDS_MAX).contains(&records) {
            let text = format!("{records} messages: write 1 to {RECORDS_MAX}");
            self.faults.add(format!("{place}.window.records"), text);
        }
        let is_its = |view: &&super::LaneView| lanes.iter().any(|lane| lane.name == view.name);
        let largest = around.lanes.iter().filter(is_its).map(|view| view.inline_size).max();
        let least = u64::from(record::max_bytes(largest.unwrap_or(0)));
        let default = defaults.bytes.max(least);
        let bytes = self.size(
            &format!("{place}.window.size"),
            written.window.size,
            default,
            (least, WINDOW_MAX),
        );
        let freshness = written.freshness.map_or(defaults.freshness, |Length(length)| length);
        if freshness.is_zero() {
            let text = "is zero, and nothing is parsed in no time: write such as 5s";
            self.faults.add(format!("{place}.freshness"), text);
        }
        let properties =
            self.group_properties(&format!("{place}.properties"), written.properties, around.kafka);
        let window = WindowLimits { records: records as usize, bytes };
        Pool { name, group, lanes, window, freshness, properties }
    }

    fn lanes_of_pool(
        &mut self,
        place: &str,
        written: &[String],
        around: &Around<'_>,
    ) -> Vec<PoolLane> {
        let mut lanes: Vec<PoolLane> = Vec::new();
        if written.is_empty() {
            self.faults.add(place, "reads no lane: write such as [fast], or leave the pool out");
        }
        for name in written {
            match around.lanes.iter().find(|lane| lane.name == *name) {
                Some(lane) if lane.is_dead_letter() => {
                    let text = "dead-letter has what could not take its lane, and no pool reads it: leave it out";
                    self.faults.add(place, text);
                }
                Some(_) if lanes.iter().any(|known| known.name == *name) => {
                    self.faults.add(place, format!("names {name} twice: leave one out"));
                }
                Some(lane) => lanes.push(pool_lane(lane)),
                None => {
                    let known = super::readable(around.lanes).collect::<Vec<_>>().join(", ");
                    self.faults.add(place, format!("there is no lane {name:?}: there are {known}"));
                }
            }
        }
        lanes
    }

    pub(super) fn group_name(&mut self, place: &str, group: &str) {
        let is_plain = |one: char| !one.is_control() && !one.is_whitespace();
        if group.is_empty() || group.len() > GROUP_MAX_BYTES || !group.chars().all(is_plain) {
            let text = format!(
                "{group:?} is no name of a group: write 1 to {GROUP_MAX_BYTES} bytes without spaces"
            );
            self.faults.add(place, text);
        }
    }

    /// Members of one group share its topics out, whoever they are.
    pub(super) fn groups_are_apart(&mut self, plan: &Plan) {
        let pools =
            plan.pools.iter().map(|pool| (format!("parse.pools.{}", pool.name), &pool.group));
        let metadata = plan.metadata.iter();
        let metadata = metadata.map(|stream| ("parse.metadata".to_owned(), &stream.group));
        let mut known: BTreeMap<&str, String> = BTreeMap::new();
        for (place, group) in pools.chain(metadata) {
            if let Some(other) = known.get(group.as_str()) {
                let text = format!("is the group of {other} too: give each its own");
                self.faults.add(format!("{place}.group"), text);
            } else {
                known.insert(group, place);
            }
        }
    }
}

fn default_pools() -> BTreeMap<String, Node> {
    let pool = |(name, lanes): (&str, &[&str])| {
        let lanes = lanes.iter().map(|lane| Node::text(*lane)).collect();
        (name.to_owned(), Node::map([("lanes", Node::List(lanes))]))
    };
    DEFAULT_POOLS.into_iter().map(pool).collect()
}
