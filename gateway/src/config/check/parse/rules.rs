//! The parsers, and the rules that say which of them takes a message: whether each has its work, and can do it.

use std::collections::BTreeMap;
use std::sync::Arc;

use bridge::key::KeyStrategy;
use bridge::rule::When;
use parse::compile::{self, compile};
use parse::limits::Limits;
use parse::plan::Pool;
use parse::plan::rules::{NamedParser, OnFailure, Rule, Rules};
use parse::plan::topic::{CanonicalTopic, Order};

use super::topics;
use super::{Around, ENTRIES_MAX, LaneView};
use crate::config::check::Checker;
use crate::config::node::Node;
use crate::config::written::parse as written;

/// Longest name of a parser, in bytes.
const NAME_MAX_BYTES: usize = 64;
/// Attributes that a device keeps: a key of these keeps its messages in one partition.
const OF_A_DEVICE: [&str; 3] = ["device_id", "device_type", "group"];

/// By name; None where it is there and faulty.
pub(super) type Parsers = BTreeMap<String, Option<Arc<NamedParser>>>;

impl Checker {
    pub(super) fn parsers(&mut self, written: Option<Node>, limits: Limits) -> Parsers {
        let entries = self.entries("parse.parsers", written);
        let parser = |(name, node): (String, Node)| {
            let parser = self.parser(&name, node, limits);
            (name, parser.map(Arc::new))
        };
        entries.into_iter().map(parser).collect()
    }

    fn parser(&mut self, name: &str, node: Node, limits: Limits) -> Option<NamedParser> {
        let place = format!("parse.parsers.{name}");
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        if name.is_empty() || name.len() > NAME_MAX_BYTES || !name.bytes().all(is_plain) {
            let text = "write a parser's name with A-Z a-z 0-9 . _ -, at most 64: it is in the ids of its events";
            self.faults.add(&place, text);
        }
        let written: parse::written::Parser = self.read(&place, node)?;
        match compile(&written, limits) {
            Ok(parser) => Some(NamedParser {
                name: name.to_owned(),
                revision: written.revision.unwrap_or(1),
                parser: Box::new(parser),
            }),
            Err(faults) => {
                for compile::faults::Fault { place: within, text } in faults {
                    self.faults.add(compile::faults::join(&place, &within), text);
                }
                None
            }
        }
    }

    pub(super) fn parse_rules(
        &mut self,
        written: Option<Node>,
        parsers: &Parsers,
        topics: &[CanonicalTopic],
        pools: &[Pool],
        around: &Around<'_>,
    ) -> Rules {
        let items = match written {
            None | Some(Node::Null) => Vec::new(),
            Some(Node::List(items)) => items,
            Some(_) => {
                self.faults.add("parse.rules", "is no list: begin each element with `- `");
                Vec::new()
            }
        };
        if items.len() > ENTRIES_MAX {
            let text = format!("there are {}: at most {ENTRIES_MAX} can be", items.len());
            self.faults.add("parse.rules", text);
        }
        if items.is_empty() {
            self.hints.push("parse.rules: there is none, so no message becomes events".to_owned());
        }
        let mut used = Used::default();
        // In their places, so that faults can tell of earlier ones; None where one is faulty.
        let mut rules: Vec<Option<Rule>> = Vec::new();
        for (index, item) in items.into_iter().enumerate() {
            let place = format!("parse.rules[{index}]");
            let written = self.read::<written::ParseRule>(&place, item);
            let rule = written.and_then(|written| {
                used.parsers.push(written.parser.clone());
                used.topics.push(written.topic.clone());
                self.parse_rule(&place, written, parsers, topics, pools, around)
            });
            if let Some(rule) = &rule {
                self.something_is_left(&place, rule, &rules);
                self.rule_may_stop(&place, rule, &rules);
            }
            rules.push(rule);
        }
        self.all_are_used(&used, parsers, topics);
        let rules: Vec<Rule> = rules.into_iter().flatten().collect();
        self.order_can_be_kept(&rules, topics, pools, around.lanes);
        rules.into()
    }

    fn parse_rule(
        &mut self,
        place: &str,
        written: written::ParseRule,
        parsers: &Parsers,
        topics: &[CanonicalTopic],
        pools: &[Pool],
        around: &Around<'_>,
    ) -> Option<Rule> {
        let when = self.conditions(place, written.when, around);
        let on_failure = match written.on_failure.as_deref() {
            None => Some(OnFailure::Quarantine),
            Some(word) => OnFailure::ALL.into_iter().find(|known| known.label() == word),
        };
        if on_failure.is_none() {
            let word = written.on_failure.unwrap_or_default();
            let text = format!("{word:?} is not known: write skip, quarantine or fail");
            self.faults.add(format!("{place}.on_failure"), text);
        }
        if let Some(lane) = &written.lane {
            self.lane_is_read(&format!("{place}.lane"), lane, pools, around);
        }
        let parser = parsers.get(&written.parser);
        if parser.is_none() {
            let known = listed(parsers.keys().map(String::as_str));
            let text = format!("there is no parser {:?}: {known}", written.parser);
            self.faults.add(format!("{place}.parser"), text);
        }
        let topic = topics.iter().position(|canonical| canonical.topic == written.topic);
        if topic.is_none() {
            let known = listed(topics.iter().map(|canonical| canonical.topic.as_str()));
            let text = format!("there is no topic {:?} in parse.canonical: {known}", written.topic);
            self.faults.add(format!("{place}.topic"), text);
        }
        Some(Rule {
            lane: written.lane.map(String::into_boxed_str),
            when: when?,
            parser: Arc::clone(parser?.as_ref()?),
            topic: topic?,
            on_failure: on_failure?,
        })
    }

    fn lane_is_read(&mut self, place: &str, lane: &str, pools: &[Pool], around: &Around<'_>) {
        if !around.lanes.iter().any(|known| known.name == lane) {
            let known = super::readable(around.lanes).collect::<Vec<_>>().join(", ");
            self.faults.add(place, format!("there is no lane {lane:?}: there are {known}"));
            return;
        }
        let is_read = pools.iter().flat_map(|pool| &pool.lanes).any(|read| read.name == lane);
        if !is_read {
            let text = format!(
                "no pool reads the lane {lane}, so the rule can never hold: name it in parse.pools"
            );
            self.faults.add(place, text);
        }
    }

    /// What the rule asks for; None where nothing can be that.
    fn conditions(
        &mut self,
        place: &str,
        written: crate::config::written::When,
        around: &Around<'_>,
    ) -> Option<When> {
        let before = self.faults.0.len();
        let when = self.when(&format!("{place}.when"), written);
        let When { attributes, property, firmware, .. } = &when;
        if let Some(range) = firmware.as_ref().filter(|range| range.is_empty()) {
            let text = format!("no version is in {range}, so the rule can never hold");
            self.faults.add(format!("{place}.when.firmware"), text);
        }
        for (section, pairs) in [("attributes", attributes), ("property", property)] {
            if let Some((name, _)) = pairs.iter().find(|(_, value)| value.is_empty()) {
                let text = "is empty, which counts as absent, so the rule can never hold";
                self.faults.add(format!("{place}.when.{section}.{name}"), text);
            }
        }
        for name in attributes.keys().filter(|name| !topics::is_known(around.known, name)) {
            let text = format!(
                "no message has the attribute {name}, so the rule can never hold: {}",
                topics::names(around.known)
            );
            self.faults.add(format!("{place}.when.attributes.{name}"), text);
        }
        (self.faults.0.len() == before).then_some(when)
    }

    /// A rule for which no message is left is a mistake: what it was written for goes elsewhere.
    fn something_is_left(&mut self, place: &str, rule: &Rule, earlier: &[Option<Rule>]) {
        let covers = |earlier: &Rule| {
            (earlier.lane.is_none() || earlier.lane == rule.lane) && earlier.when.covers(&rule.when)
        };
        let before = earlier.iter().position(|earlier| earlier.as_ref().is_some_and(covers));
        if let Some(before) = before {
            let text = format!(
                "can never hold: parse.rules[{before}] holds for all that it asks for. Write it in front of that, or leave it out"
            );
            self.faults.add(place, text);
        }
    }

    /// A partition that stops for one message stops for all of its topic, so they all have to be this rule's.
    fn rule_may_stop(&mut self, place: &str, rule: &Rule, earlier: &[Option<Rule>]) {
        if rule.on_failure != OnFailure::Fail {
            return;
        }
        let owns_it = rule.lane.is_some()
            && rule.when.is_always()
            && !earlier
                .iter()
                .flatten()
                .any(|earlier| earlier.lane.is_none() || earlier.lane == rule.lane);
        if !owns_it {
            let text = "fail stops a partition, and with it what other rules or none would take: give it a lane of its own (`lane: NAME`, `when: {}`, in front of all rules without a lane), or write quarantine";
            self.faults.add(format!("{place}.on_failure"), text);
        }
    }

    fn all_are_used(&mut self, used: &Used, parsers: &Parsers, topics: &[CanonicalTopic]) {
        for name in parsers.keys().filter(|name| !used.parsers.contains(name)) {
            self.hints
                .push(format!("parse.parsers.{name}: no rule names it, so it takes no message"));
        }
        for CanonicalTopic { topic, .. } in
            topics.iter().filter(|canonical| !used.topics.contains(&canonical.topic))
        {
            self.hints.push(format!(
                "parse.canonical.{topic}: no rule names it, so nothing is written there"
            ));
        }
    }

    /// Says where the keys of raw records scatter what is to stay in order.
    fn order_can_be_kept(
        &mut self,
        rules: &[Rule],
        topics: &[CanonicalTopic],
        pools: &[Pool],
        lanes: &[LaneView],
    ) {
        for (index, canonical) in topics.iter().enumerate() {
            let feeds = |lane: &&LaneView| {
                let is_read =
                    pools.iter().flat_map(|pool| &pool.lanes).any(|read| read.name == lane.name);
                let is_for = |rule: &&Rule| rule.lane.as_deref().is_none_or(|own| own == lane.name);
                is_read && rules.iter().filter(|rule| rule.topic == index).any(|rule| is_for(&rule))
            };
            for lane in lanes.iter().filter(feeds) {
                if let Some(why) = scatters(&lane.key, canonical.order) {
                    self.hints.push(format!(
                        "parse.canonical.{}.order: {why}: the key of the lane {} is {}. Write lanes.{}.key: device_id, or order: none",
                        canonical.topic, lane.name, lane.key, lane.name
                    ));
                }
            }
        }
    }
}

/// Parsers and topics that rules name.
#[derive(Default)]
struct Used {
    parsers: Vec<String>,
    topics: Vec<String>,
}

/// Why records with such keys do not keep that order.
fn scatters(key: &KeyStrategy, order: Order) -> Option<&'static str> {
    match (order, key) {
        (Order::None, _) | (_, KeyStrategy::DeviceId) => None,
        (_, KeyStrategy::ReceivedMs | KeyStrategy::EventMs) => {
            Some("a device's messages are in all partitions, and come in any order")
        }
        (Order::Key, _) => None,
        (Order::Device, KeyStrategy::DeviceIdBucket { .. }) => {
            Some("a device's messages change their partition with each bucket")
        }
        (Order::Device, KeyStrategy::Template(template)) => template
            .attributes()
            .any(|name| !OF_A_DEVICE.contains(&name))
            .then_some("a device's messages may be in several partitions"),
    }
}

fn listed<'n>(names: impl Iterator<Item = &'n str>) -> String {
    let names: Vec<&str> = names.collect();
    match names.len() {
        0 => "there is none yet".to_owned(),
        _ => format!("there are {}", names.join(", ")),
    }
}
