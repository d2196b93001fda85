//! What decides where a message goes: routes, rules, and what is known of devices beforehand.

use std::time::Duration;

use bridge::classify::Unrouted;
use bridge::metadata::DeviceAttributes;
use bridge::route::{Route, Routes};
use bridge::rule::{Rule, When};
use bridge::topic::filter::Filter;
use bridge::version::VersionRange;
use bridge::{LaneId, Lanes};

use super::{Checker, KIB, MIB};
use crate::config::node::Node;
use crate::config::values::{Length, Size};
use crate::config::written;

const DEFAULT_SLOW_OVER_SIZE: u64 = 256 * KIB;
const DEFAULT_SLOW_AFTER: Duration = Duration::from_secs(3600);
const ROUTES_MAX: usize = 1_000;
const RULES_MAX: usize = 1_000;
/// Devices in the file of static attributes.
const DEVICES_MAX: usize = 1_000_000;
const DEVICES_FILE_MAX_BYTES: u64 = 256 * MIB;

impl Checker {
    pub(super) fn unrouted(&mut self) -> Unrouted {
        match self.section::<String>("unrouted").as_deref() {
            None | Some("fast") => Unrouted::Fast,
            Some("refuse") => Unrouted::Refuse,
            Some(other) => {
                self.faults
                    .add("unrouted", format!("{other:?} is not known: write fast or refuse"));
                Unrouted::Fast
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

    pub(super) fn routes(&mut self) -> Routes {
        let default = || {
            let filter = Node::text("devices/{device_type}/{device_id}/{stream}/#");
            vec![Node::map([("filter", filter)])]
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
        routes.into()
    }

    pub(super) fn rules(&mut self, lanes: &Lanes<String>) -> Vec<Rule> {
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
            let lane = match lanes.iter().find(|(_, name)| **name == written.lane) {
                Some((LaneId::DEAD_LETTER, _)) => {
                    self.faults.add(
                        format!("{place}.lane"),
                        "dead-letter is no lane to choose: it takes what cannot land elsewhere",
                    );
                    continue;
                }
                Some((lane, _)) => lane,
                None => {
                    let names: Vec<&str> = lanes.values().map(String::as_str).collect();
                    self.faults.add(
                        format!("{place}.lane"),
                        format!(
                            "there is no lane {:?}: there are {}",
                            written.lane,
                            names.join(", ")
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

    pub(super) fn when(&mut self, place: &str, written: written::When) -> When {
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

    pub(super) fn devices(&mut self) -> DeviceAttributes {
        let Some(written::Attributes { from_file }) = self.section("attributes") else {
            return DeviceAttributes::new();
        };
        match devices(&from_file) {
            Ok(devices) => devices,
            Err(error) => {
                self.faults.add("attributes.from_file", format!("{from_file}: {error}"));
                DeviceAttributes::new()
            }
        }
    }
}

fn devices(path: &str) -> Result<DeviceAttributes, String> {
    let size = std::fs::metadata(path).map_err(|error| format!("cannot be read: {error}"))?.len();
    if size > DEVICES_FILE_MAX_BYTES {
        return Err(format!("has {size} bytes; at most {DEVICES_FILE_MAX_BYTES} are read"));
    }
    let text = std::fs::read_to_string(path).map_err(|error| format!("cannot be read: {error}"))?;
    let devices: DeviceAttributes = serde_saphyr::from_str(&text)
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
        Rule { when: alarm, lane: LaneId::PRIORITY },
        Rule { when: large, lane: LaneId::SLOW },
        Rule { when: old, lane: LaneId::SLOW },
    ]
}
