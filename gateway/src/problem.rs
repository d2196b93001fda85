//! What is wrong, for those who can mend it: of a kind that stays the same while its text may count seconds, with
//! what to do and the runbook's section about it.

use bridge::kafka::topics::TopicProblem;
use serde::{Serialize, Serializer};

/// See the module. On `/readyz` it is its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pub kind: Kind,
    /// Which lane, listener, topic, … of those that the configuration names; empty where there is only one.
    pub about: String,
    pub text: String,
}

/// Of what kind a problem is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Draining,
    /// Kafka as a whole is not reached.
    KafkaAway,
    /// A topic is missing, or does not take what its lane sends.
    KafkaTopic,
    KafkaProducer,
    /// A lane's thread does not go on.
    LaneSilent,
    /// Nothing of a lane lands.
    LaneStalled,
    /// Nothing lands in some partitions of a lane, and others go on.
    PartitionsAway,
    ObjectStore,
    /// What knows clients does not answer, or knows none.
    Authentication,
    /// Files were not taken when they changed.
    Files,
    Certificate,
    PoolProducer,
    /// What a pool's consumer hears from Kafka.
    PoolConsumer,
    PoolHeld,
    PoolStopped,
}

impl Problem {
    pub fn new(kind: Kind, about: impl Into<String>, text: impl Into<String>) -> Problem {
        Problem { kind, about: about.into(), text: text.into() }
    }
}

impl From<TopicProblem> for Problem {
    fn from(problem: TopicProblem) -> Problem {
        match problem.topic {
            Some(topic) => Problem::new(Kind::KafkaTopic, topic, problem.text),
            None => Problem::new(Kind::KafkaAway, "", problem.text),
        }
    }
}

impl Serialize for Problem {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl Kind {
    pub const ALL: [Kind; 15] = [
        Kind::Draining,
        Kind::KafkaAway,
        Kind::KafkaTopic,
        Kind::KafkaProducer,
        Kind::LaneSilent,
        Kind::LaneStalled,
        Kind::PartitionsAway,
        Kind::ObjectStore,
        Kind::Authentication,
        Kind::Files,
        Kind::Certificate,
        Kind::PoolProducer,
        Kind::PoolConsumer,
        Kind::PoolHeld,
        Kind::PoolStopped,
    ];

    /// Its name in JSON, what to do about it, and the runbook's section.
    const fn told(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Kind::Draining => (
                "draining",
                "Nothing: it was told to end, and ends when everything has landed or its deadline comes.",
                "landfallnotready",
            ),
            Kind::KafkaAway => (
                "kafka_away",
                "Mend Kafka, its address, the network or the credentials; what waits lands by itself afterwards.",
                "landfallkafkafailing",
            ),
            Kind::KafkaTopic => (
                "kafka_topic",
                "Create the topic, or change what the text names; nothing has to be restarted for a topic.",
                "landfalldegraded",
            ),
            Kind::KafkaProducer => (
                "kafka_producer",
                "Mend Kafka, or the rights of its user (Write on the topic, IdempotentWrite); what waits lands by itself afterwards.",
                "landfallkafkafailing",
            ),
            Kind::LaneSilent => (
                "lane_silent",
                "Look at the machine's CPU; if /livez is 503, restart this process alone, and report it.",
                "landfalllandingstopped",
            ),
            Kind::LaneStalled => (
                "lane_stalled",
                "Mend what Kafka says: too few replicas in sync, a full disk, a right that is missing; what waits lands by itself afterwards.",
                "landfalllandingstopped",
            ),
            Kind::PartitionsAway => (
                "partitions_away",
                "Mend the broker that leads them, or the way to it; what waits lands by itself afterwards.",
                "landfallpartitionsaway",
            ),
            Kind::ObjectStore => (
                "object_store",
                "Mend the store, its credentials, rights or network, as the text says; small messages go on meanwhile.",
                "landfallobjectstoredown",
            ),
            Kind::Authentication => (
                "authentication",
                "Mend the service that the text names, or the way to it; who is connected stays.",
                "landfallkeyserveraway",
            ),
            Kind::Files => (
                "files",
                "Mend the file that the log names; it is read again by itself, and until then the old one holds.",
                "landfallreloadfailed",
            ),
            Kind::Certificate => (
                "certificate",
                "Put a new certificate in its place: it is read by itself.",
                "landfallcertificateexpires",
            ),
            Kind::PoolProducer => (
                "pool_producer",
                "Mend Kafka, or the rights of its user on the topics of events; what waits is parsed afterwards.",
                "landfallparsestopped",
            ),
            Kind::PoolConsumer => (
                "pool_consumer",
                "Mend Kafka, or the rights of its user (Read on the topics and the group), as the text says.",
                "landfallparsebehind",
            ),
            Kind::PoolHeld => (
                "pool_held",
                "Mend what the partition waits for: landfall parse status names it; it goes on by itself.",
                "landfallparseheld",
            ),
            Kind::PoolStopped => (
                "pool_stopped",
                "Decide about the message at which it stands: landfall parse status shows it, then retry or skip.",
                "landfallparsestopped",
            ),
        }
    }

    pub const fn label(self) -> &'static str {
        self.told().0
    }

    pub const fn to_do(self) -> &'static str {
        self.told().1
    }

    /// The id of the runbook's heading.
    pub const fn section(self) -> &'static str {
        self.told().2
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_kind_has_a_name_of_its_own() {
        let labels: BTreeSet<&str> = Kind::ALL.into_iter().map(Kind::label).collect();
        assert_eq!(labels.len(), Kind::ALL.len());
        for (place, kind) in Kind::ALL.into_iter().enumerate() {
            assert_eq!(kind as usize, place, "all of them are there, once");
        }
    }

    #[test]
    fn where_texts_are_shown_it_is_its_text() {
        let problem = Problem::new(Kind::LaneStalled, "fast", "lane fast: nothing landed for 5 s");
        let json = serde_json::to_value([problem]).expect("it can be written");
        assert_eq!(json, serde_json::json!(["lane fast: nothing landed for 5 s"]));
    }
}
