//! How Kafka describes a topic: whether it is there, its partitions, and what its configuration takes.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rdkafka::admin::{
    AdminClient, AdminOptions, ConfigResource, NewTopic, OwnedResourceSpecifier, ResourceSpecifier,
    TopicReplication,
};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::{KafkaResult, RDKafkaErrorCode};
use rdkafka::metadata::MetadataTopic;
use tokio::runtime::Handle;

use super::TimeLimits;

/// How long one request to Kafka may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

pub(super) type Admin = AdminClient<DefaultClientContext>;

/// What Kafka says of a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    There,
    Absent,
    /// This user may not know whether it is there.
    Forbidden,
    /// It is there and cannot be used now, or Kafka cannot tell.
    Unwell(RDKafkaErrorCode),
}

impl State {
    pub(super) fn of(topic: Option<&MetadataTopic>) -> State {
        match topic.map(|topic| (topic.error().map(RDKafkaErrorCode::from), topic)) {
            None => State::Absent,
            Some((None, topic)) if topic.partitions().is_empty() => State::Absent,
            Some((None, _)) => State::There,
            Some((
                Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic),
                _,
            )) => State::Absent,
            Some((Some(RDKafkaErrorCode::TopicAuthorizationFailed), _)) => State::Forbidden,
            Some((Some(code), _)) => State::Unwell(code),
        }
    }
}

/// The partitions of a topic.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Partitions {
    pub count: u32,
    /// In their order.
    pub leaderless: Vec<u32>,
}

impl Partitions {
    fn of(topic: &MetadataTopic) -> Partitions {
        let partitions = topic.partitions();
        let led = partitions.iter().filter(|partition| partition.leader() >= 0);
        let led: BTreeSet<u32> = led.filter_map(|one| u32::try_from(one.id()).ok()).collect();
        let ids = partitions.iter().filter_map(|one| u32::try_from(one.id()).ok());
        // Of those that Kafka leaves out nothing is known but that they are there.
        let count = ids.max().map_or(0, |highest| highest + 1);
        Partitions { count, leaderless: (0..count).filter(|id| !led.contains(id)).collect() }
    }
}

/// Asks whether the topic is there, and for its partitions.
pub(super) fn partitions(admin: &Admin, topic: &str) -> KafkaResult<(State, Partitions)> {
    let metadata = admin.inner().fetch_metadata(Some(topic), REQUEST_TIMEOUT)?;
    let found = metadata.topics().iter().find(|known| known.name() == topic);
    Ok((State::of(found), found.map(Partitions::of).unwrap_or_default()))
}

/// What a topic's configuration takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limits {
    pub max_message_bytes: u32,
    /// None where the topic writes timestamps of its own.
    pub times: Option<TimeLimits>,
}

impl Limits {
    fn read(value: impl Fn(&str) -> Option<String>) -> Option<Limits> {
        let max_message_bytes = value("max.message.bytes")?.parse().ok()?;
        let milliseconds = |name| value(name)?.parse().ok();
        // Brokers before 3.6 have one limit for both.
        let difference = || milliseconds("message.timestamp.difference.max.ms");
        let before_max_ms = milliseconds("message.timestamp.before.max.ms").or_else(difference);
        let after_max_ms = milliseconds("message.timestamp.after.max.ms").or_else(difference);
        let takes_ours =
            value("message.timestamp.type").is_none_or(|written| written != "LogAppendTime");
        let times = before_max_ms
            .zip(after_max_ms)
            .filter(|_| takes_ours)
            .map(|(before_max_ms, after_max_ms)| TimeLimits { before_max_ms, after_max_ms });
        Some(Limits { max_message_bytes, times })
    }
}

/// The topics' limits, and why not of all, where Kafka does not tell it. No topic may come twice:
/// librdkafka takes no answer for good then.
pub(super) fn limits(
    admin: &Admin,
    topics: &BTreeSet<&str>,
    runtime: &Handle,
) -> (BTreeMap<String, Limits>, Option<String>) {
    let options = AdminOptions::new().request_timeout(Some(REQUEST_TIMEOUT));
    let resources: Vec<_> = topics.iter().map(|topic| ResourceSpecifier::Topic(topic)).collect();
    let results = match runtime.block_on(admin.describe_configs(&resources, &options)) {
        Ok(results) => results,
        Err(error) => return (BTreeMap::new(), Some(error.to_string())),
    };
    let of_topic = |resource: ConfigResource| {
        let limits = Limits::read(|name| resource.get(name)?.value.clone())?;
        let OwnedResourceSpecifier::Topic(topic) = resource.specifier else { return None };
        Some((topic, limits))
    };
    let why_not = results.iter().find_map(|result| result.as_ref().err().map(ToString::to_string));
    let limits: BTreeMap<String, Limits> =
        results.into_iter().filter_map(Result::ok).filter_map(of_topic).collect();
    // Without the right to know it, the answer may also just lack them.
    let why_not =
        why_not.or_else(|| (limits.len() < topics.len()).then(|| "it has none".to_owned()));
    (limits, why_not)
}

pub(super) fn create(admin: &Admin, topic: &str, runtime: &Handle) -> Result<(), String> {
    // -1: the cluster's own defaults for partitions and replication.
    let new = NewTopic::new(topic, -1, TopicReplication::Fixed(-1));
    let options = AdminOptions::new().request_timeout(Some(REQUEST_TIMEOUT));
    let results = runtime
        .block_on(admin.create_topics([&new], &options))
        .map_err(|error| error.to_string())?;
    for result in results {
        match result {
            Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((_, code)) => return Err(code.to_string()),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(written: &[(&str, &str)]) -> Option<Limits> {
        let known = |name: &str| {
            let found = written.iter().find(|(written, _)| *written == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        Limits::read(known)
    }

    #[test]
    fn times_count_where_the_topic_takes_those_of_records() {
        const BYTES: (&str, &str) = ("max.message.bytes", "1048588");
        const BEFORE: (&str, &str) = ("message.timestamp.before.max.ms", "9223372036854775807");
        const AFTER: (&str, &str) = ("message.timestamp.after.max.ms", "3600000");
        const OLD: (&str, &str) = ("message.timestamp.difference.max.ms", "500");
        const OWN: (&str, &str) = ("message.timestamp.type", "LogAppendTime");
        const OURS: (&str, &str) = ("message.timestamp.type", "CreateTime");
        let times = |before_max_ms, after_max_ms| Some(TimeLimits { before_max_ms, after_max_ms });
        for (written, expected) in [
            (&[BYTES][..], None),
            (&[BYTES, BEFORE, AFTER], times(i64::MAX, 3_600_000)),
            (&[BYTES, BEFORE, AFTER, OURS], times(i64::MAX, 3_600_000)),
            (&[BYTES, BEFORE, AFTER, OWN], None),
            (&[BYTES, OLD], times(500, 500)),
            (&[BYTES, OLD, AFTER], times(500, 3_600_000)),
        ] {
            let limits = read(written).expect("it has a limit");
            assert_eq!(limits, Limits { max_message_bytes: 1_048_588, times: expected });
        }
        assert_eq!(read(&[BEFORE, AFTER]), None);
    }
}
