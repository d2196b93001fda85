//! A rule: what it asks of a message, and the lane that a message for which it holds belongs to. What it asks
//! is the same of a publish as it comes and of a record that is read back. Pure.

use std::collections::BTreeMap;
use std::fmt;

use crate::lanes::LaneId;
use crate::message::Message;
use crate::metadata::Facts;
use crate::topic::filter::Filter;
use crate::topic::last_level;
use crate::topic::pattern::{Pattern, Piece};
use crate::version::VersionRange;

/// What a rule asks for; all that is given has to hold.
#[derive(Clone, Debug, Default)]
pub struct When {
    pub topic: Option<Filter>,
    pub attributes: BTreeMap<String, String>,
    pub firmware: Option<VersionRange>,
    /// User properties of PUBLISH or CONNECT.
    pub property: BTreeMap<String, String>,
    /// Bytes of payload.
    pub larger_than: Option<u64>,
    /// Received time minus event time, in milliseconds.
    pub older_than_ms: Option<i64>,
    /// The topic's last level.
    pub last_level: Option<String>,
}

#[derive(Clone, Debug)]
pub struct Rule {
    pub when: When,
    pub lane: LaneId,
}

/// A message as rules see it. A text that is empty says nothing.
pub trait Asked {
    /// The MQTT topic.
    fn topic(&self) -> &str;

    /// Bytes of the payload.
    fn payload_size(&self) -> u64;

    /// Received time minus event time, in milliseconds; None where nothing usable was said of the latter.
    fn age_ms(&self) -> Option<i64>;

    fn firmware_version(&self) -> &str;

    fn attribute(&self, name: &str) -> Option<&str>;

    /// A user property, of PUBLISH before CONNECT. `priority` may be said otherwise too.
    fn has_property(&self, name: &str, value: &str) -> bool;
}

/// A message as it is published.
pub(crate) struct Published<'p, 'a> {
    pub message: &'p Message<'a>,
    pub facts: &'p Facts<'a>,
}

impl Asked for Published<'_, '_> {
    fn topic(&self) -> &str {
        self.message.topic
    }

    fn payload_size(&self) -> u64 {
        self.message.payload.size()
    }

    fn age_ms(&self) -> Option<i64> {
        self.facts.metadata.event_start_ms.map(|start| self.message.received_ms - start)
    }

    fn firmware_version(&self) -> &str {
        &self.facts.metadata.firmware_version
    }

    fn attribute(&self, name: &str) -> Option<&str> {
        self.facts.attribute(name)
    }

    fn has_property(&self, name: &str, value: &str) -> bool {
        self.message.property(name) == Some(value)
            || (name == "priority" && self.facts.metadata.priority.as_deref() == Some(value))
    }
}

impl When {
    /// Whether it asks for nothing, and so holds for all.
    pub fn is_always(&self) -> bool {
        let When { topic, attributes, firmware, property, larger_than, older_than_ms, last_level } =
            self;
        topic.is_none()
            && attributes.is_empty()
            && firmware.is_none()
            && property.is_empty()
            && larger_than.is_none()
            && older_than_ms.is_none()
            && last_level.is_none()
    }

    /// Whether it holds wherever the other does. What cannot be told is denied.
    pub fn covers(&self, other: &When) -> bool {
        let pattern = |filter: &Filter| Pattern::new([Piece::Text(&filter.pattern())]).ok();
        let is_within = |own: &Filter| {
            let theirs = other.topic.as_ref().and_then(pattern);
            let own = pattern(own);
            own.zip(theirs).is_some_and(|(own, theirs)| own.covers(&theirs))
        };
        let asks = |own: &BTreeMap<String, String>, theirs: &BTreeMap<String, String>| {
            own.iter().all(|(name, value)| theirs.get(name) == Some(value))
        };
        self.topic.as_ref().is_none_or(is_within)
            && (self.last_level.is_none() || self.last_level == other.last_level)
            && (self.firmware.is_none() || self.firmware == other.firmware)
            && asks(&self.attributes, &other.attributes)
            && asks(&self.property, &other.property)
            && self.larger_than.is_none_or(|own| other.larger_than.is_some_and(|one| one >= own))
            && self
                .older_than_ms
                .is_none_or(|own| other.older_than_ms.is_some_and(|one| one >= own))
    }

    /// Whether all that is asked for holds.
    pub fn holds(&self, message: &impl Asked) -> bool {
        self.topic.as_ref().is_none_or(|filter| filter.is_match(message.topic()))
            && self.last_level.as_ref().is_none_or(|level| last_level(message.topic()) == level)
            && self.larger_than.is_none_or(|size| message.payload_size() > size)
            && self
                .older_than_ms
                .is_none_or(|limit| message.age_ms().is_some_and(|age| age > limit))
            && self.firmware.as_ref().is_none_or(|range| range.contains(message.firmware_version()))
            && self.attributes.iter().all(|(name, value)| message.attribute(name) == Some(value))
            && self.property.iter().all(|(name, value)| message.has_property(name, value))
    }
}

impl fmt::Display for When {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        parts.extend(self.topic.as_ref().map(|filter| format!("topic {filter}")));
        parts.extend(self.last_level.as_ref().map(|level| format!("last topic level {level}")));
        parts.extend(self.attributes.iter().map(|(name, value)| format!("{name} is {value}")));
        parts.extend(self.firmware.as_ref().map(|range| format!("firmware {range}")));
        parts.extend(
            self.property.iter().map(|(name, value)| format!("property {name} is {value}")),
        );
        parts.extend(self.larger_than.map(|size| format!("larger than {size} bytes")));
        parts.extend(self.older_than_ms.map(|age| format!("older than {} s", age / 1000)));
        if parts.is_empty() {
            return formatter.write_str("always");
        }
        formatter.write_str(&parts.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    struct Told {
        topic: String,
        size: u64,
        age_ms: Option<i64>,
        attribute: &'static str,
    }

    impl Asked for Told {
        fn topic(&self) -> &str {
            &self.topic
        }

        fn payload_size(&self) -> u64 {
            self.size
        }

        fn age_ms(&self) -> Option<i64> {
            self.age_ms
        }

        fn firmware_version(&self) -> &str {
            "1.5"
        }

        fn attribute(&self, name: &str) -> Option<&str> {
            (name == "a").then_some(self.attribute)
        }

        fn has_property(&self, name: &str, value: &str) -> bool {
            name == "p" && value == self.attribute
        }
    }

    fn when() -> impl Strategy<Value = When> {
        let level = prop::sample::select(vec!["a", "b", "+", "{x}"]);
        let topic = (prop::collection::vec(level, 1..4), any::<bool>())
            .prop_filter_map("a filter", |(levels, open)| {
                Filter::parse(&(levels.join("/") + if open { "/#" } else { "" })).ok()
            });
        let one =
            |name: &'static str| prop::collection::btree_map(Just(name.to_owned()), "[xy]", 0..2);
        let range = prop::option::of(prop::sample::select(vec![">=1", "<1", "<2"]));
        let numbers = (prop::option::of(0..4_u64), prop::option::of(0..4_i64));
        (prop::option::of(topic), one("a"), one("p"), range, numbers).prop_map(
            |(topic, attributes, property, range, (larger_than, older_than_ms))| When {
                topic,
                attributes,
                property,
                firmware: range.map(|text| VersionRange::parse(text).expect("a range")),
                larger_than,
                older_than_ms,
                last_level: None,
            },
        )
    }

    proptest! {
        #[test]
        fn what_is_covered_holds_nowhere_else(
            (one, other) in (when(), when()),
            levels in prop::collection::vec(prop::sample::select(vec!["a", "b", "", "$"]), 1..4),
            size in 0..6_u64,
            age_ms in prop::option::of(0..6_i64),
            attribute in prop::sample::select(vec!["x", "y"]),
        ) {
            let told = Told { topic: levels.join("/"), size, age_ms, attribute };
            if one.covers(&other) && other.holds(&told) {
                prop_assert!(one.holds(&told), "{one} covers {other}");
            }
            prop_assert!(one.covers(&one));
            prop_assert!(When::default().covers(&other));
            prop_assert_eq!(one.is_always(), one.covers(&When::default()));
        }
    }

    #[test]
    fn a_rule_that_asks_for_less_covers_one_that_asks_for_more() {
        let topic = |text| Filter::parse(text).ok();
        let meters = When { topic: topic("devices/meter/#"), ..When::default() };
        let large = When { larger_than: Some(10), ..meters.clone() };
        let one = When { topic: topic("devices/meter/{device_id}/power"), ..When::default() };
        assert!(meters.covers(&large) && meters.covers(&one));
        assert!(!large.covers(&meters) && !one.covers(&meters) && !large.covers(&one));
    }
}
