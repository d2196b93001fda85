//! What a lane has to know of its topics before it hands a record over is known soon after Kafka has it.

use std::sync::Arc;
use std::time::Duration;

use bridge::kafka::topics::{LaneTopics, Questions, Topics};
use bridge::kafka::{KafkaStatus, TimeLimits, TopicFacts};
use tests::kafka::{Kafka, unique};
use tests::wait::{SOON, until_true};

/// Kafka's own limit for times ahead of its clock.
const AFTER_MAX_MS: i64 = 3_600_000;

fn facts(partitions: u32, max_message_bytes: u32, before_max_ms: i64) -> TopicFacts {
    TopicFacts {
        partitions,
        leaderless: Vec::new(),
        max_message_bytes: Some(max_message_bytes),
        times: Some(TimeLimits { before_max_ms, after_max_ms: AFTER_MAX_MS }),
    }
}

#[test]
fn partitions_and_limits_of_a_topic_are_known_soon_also_when_they_change() {
    let kafka = Kafka::shared();
    let (topic, other) = (unique("facts"), unique("facts-own-time"));
    let limits = [("max.message.bytes", "200000"), ("message.timestamp.before.max.ms", "7000")];
    kafka.create_topic(&topic, 3, &limits);
    kafka.create_topic(&other, 1, &[("message.timestamp.type", "LogAppendTime")]);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime can be made");
    let status = Arc::new(KafkaStatus::default());
    let lane = LaneTopics {
        lane: "test".to_owned(),
        topics: vec![topic.clone(), other.clone()],
        inline_size: None,
        status: Arc::clone(&status),
    };
    let questions = Questions { create: false, limits: true };
    let (servers, properties) = (kafka.address(), Default::default());
    let handle = runtime.handle().clone();
    let watch = Topics::watch(&servers, &properties, questions, vec![lane], handle);
    let (topics, thread) = watch.expect("a thread can be started");
    let until_it_is = |expected: Option<TopicFacts>, wait: Duration| {
        until_true(&format!("{expected:?}"), wait, || status.topic(&topic) == expected);
    };
    until_it_is(Some(facts(3, 200_000, 7000)), SOON);
    assert_eq!(status.topic(&other).expect("it is there").times, None, "it writes its own");
    assert_eq!(topics.problems(), []);

    kafka.grow_topic(&topic, 5);
    until_it_is(Some(facts(5, 200_000, 7000)), SOON);

    kafka.set_topic(&topic, "max.message.bytes", "100000");
    status.ask_for_facts();
    // What `set_topic` does not name is Kafka's default again, which is no limit.
    until_it_is(Some(facts(5, 100_000, i64::MAX)), SOON);

    kafka.delete_topic(&topic);
    until_it_is(None, SOON);
    until_true("the problem is told", SOON, || {
        topics.problems().iter().any(|problem| problem.topic.as_ref() == Some(&topic))
    });
    kafka.create_topic(&topic, 2, &limits);
    until_it_is(Some(facts(2, 200_000, 7000)), SOON);
    until_true("it is well again", SOON, || topics.problems().is_empty());
    assert!(status.facts_version() >= 6, "each change is told: {}", status.facts_version());
    thread.stop();
}
