//! Which parser takes a message: the first rule that holds. The conditions are those of the lanes' rules. Pure.

use std::fmt;
use std::sync::Arc;

use bridge::rule::{Asked, When};
use proto::v1::Envelope;

use crate::facts::Facts;
use crate::parser::Parser;

/// The rules, in the order in which they were written.
#[derive(Debug, Default)]
pub struct Rules(Vec<Rule>);

impl From<Vec<Rule>> for Rules {
    fn from(rules: Vec<Rule>) -> Rules {
        Rules(rules)
    }
}

impl Rules {
    /// The first rule that holds for a message of a lane, with its place. The lane is the one whose Kafka topic
    /// the message was read from: what its envelope says of it may be a stranger's word.
    pub fn first_match(&self, lane: &str, message: &impl Asked) -> Option<(usize, &Rule)> {
        self.0.iter().enumerate().find(|(_, rule)| rule.holds(lane, message))
    }

    pub fn iter(&self) -> std::slice::Iter<'_, Rule> {
        self.0.iter()
    }
}

/// Which messages a parser takes, and what becomes of them.
#[derive(Debug)]
pub struct Rule {
    /// Only messages of this lane; None: of every lane that a pool reads.
    pub lane: Option<Box<str>>,
    pub when: When,
    pub parser: Arc<NamedParser>,
    /// Where its events go, among [`crate::plan::Plan::topics`].
    pub topic: usize,
    pub on_failure: OnFailure,
}

impl Rule {
    fn holds(&self, lane: &str, message: &impl Asked) -> bool {
        self.lane.as_deref().is_none_or(|own| own == lane) && self.when.holds(message)
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.lane {
            None => write!(formatter, "{}", self.when),
            Some(lane) if self.when.is_always() => write!(formatter, "lane {lane}"),
            Some(lane) => write!(formatter, "lane {lane}, {}", self.when),
        }
    }
}

/// A parser as events name it.
pub struct NamedParser {
    pub name: String,
    pub revision: u32,
    pub parser: Box<dyn Parser>,
}

impl fmt::Debug for NamedParser {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let NamedParser { name, revision, .. } = self;
        write!(formatter, "{name} {revision}")
    }
}

/// What becomes of a message that its parser cannot read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnFailure {
    /// It is counted, and the metadata stream says why it has no events.
    Skip,
    /// It is written to the quarantine besides.
    Quarantine,
    /// It is tried again, for faults that pass; then its partition stops until somebody decides.
    Fail,
}

impl OnFailure {
    pub const ALL: [OnFailure; 3] = [OnFailure::Skip, OnFailure::Quarantine, OnFailure::Fail];

    pub fn label(self) -> &'static str {
        match self {
            OnFailure::Skip => "skip",
            OnFailure::Quarantine => "quarantine",
            OnFailure::Fail => "fail",
        }
    }
}

/// A raw message as rules see it: its facts, and the rest of its envelope.
#[derive(Clone, Copy, Debug)]
pub struct RawMessage<'a> {
    pub facts: &'a Facts<'a>,
    pub envelope: &'a Envelope,
}

impl Asked for RawMessage<'_> {
    fn topic(&self) -> &str {
        self.facts.topic
    }

    fn payload_size(&self) -> u64 {
        self.envelope.payload_size
    }

    fn age_ms(&self) -> Option<i64> {
        let start = self.envelope.event_start_ms?;
        Some(self.facts.received_ms.saturating_sub(start))
    }

    fn firmware_version(&self) -> &str {
        &self.envelope.firmware_version
    }

    fn attribute(&self, name: &str) -> Option<&str> {
        let known = match name {
            "device_id" => self.facts.device_id,
            _ => self.facts.attribute(name)?,
        };
        Some(known).filter(|value| !value.is_empty())
    }

    /// An envelope has CONNECT's properties before PUBLISH's, which count: of a name that is there twice the
    /// last that says something.
    fn has_property(&self, name: &str, value: &str) -> bool {
        let said = |property: &&proto::v1::UserProperty| {
            property.name == name && !property.value.is_empty()
        };
        let last = self.envelope.user_properties.iter().rfind(said);
        last.is_some_and(|property| property.value == value)
    }
}

#[cfg(test)]
mod tests;
