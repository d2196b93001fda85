//! A rule: what it asks of a message, and the lane that a message for which it holds belongs to. Pure.

use std::collections::BTreeMap;
use std::fmt;

use crate::lanes::LaneId;
use crate::message::Message;
use crate::metadata::Facts;
use crate::topic::filter::Filter;
use crate::topic::last_level;
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

impl When {
    pub(crate) fn holds(&self, message: &Message<'_>, facts: &Facts<'_>) -> bool {
        let age_ms = || facts.metadata.event_start_ms.map(|start| message.received_ms - start);
        self.topic.as_ref().is_none_or(|filter| filter.is_match(message.topic))
            && self.last_level.as_ref().is_none_or(|level| last_level(message.topic) == level)
            && self.larger_than.is_none_or(|size| message.payload.size() > size)
            && self.older_than_ms.is_none_or(|limit| age_ms().is_some_and(|age| age > limit))
            && self
                .firmware
                .as_ref()
                .is_none_or(|range| range.contains(&facts.metadata.firmware_version))
            && self.attributes.iter().all(|(name, value)| facts.attribute(name) == Some(value))
            && self.property.iter().all(|(name, value)| {
                message.property(name) == Some(value)
                    || (name == "priority" && facts.metadata.priority.as_deref() == Some(value))
            })
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
