//! The bridge's Kafka sink on a real Kafka, put to the checks that every sink has to pass.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread::Thread;

use bridge::kafka::{KafkaStatus, TopicFacts};
use bridge::record::RecordBuf;
use bridge::sink::Sink;
use bridge::sink::contract::{self, Fixture};
use bridge::sink::kafka::KafkaSink;
use tests::gateway;
use tests::kafka::{Kafka, unique};
use tests::process::Signal;

/// What the topics take in one batch, in bytes; less than the sink's own limits.
const TOPIC_LIMIT: u32 = 100_000;

struct Real<'k> {
    kafka: &'k Kafka,
    topics: Vec<String>,
}

impl Fixture for Real<'_> {
    fn sink(&mut self, wake: Thread) -> Box<dyn Sink> {
        let status = Arc::new(KafkaStatus::default());
        let facts = TopicFacts {
            partitions: 3,
            leaderless: Vec::new(),
            max_message_bytes: Some(TOPIC_LIMIT),
            times: None,
        };
        self.topics.iter().for_each(|topic| status.set_topic(topic, facts.clone()));
        let other_timings = gateway::other_timings().into_iter();
        let mut properties: BTreeMap<String, String> =
            other_timings.map(|(name, value)| (name, value.to_string())).collect();
        properties.insert("socket.timeout.ms".to_owned(), "5000".to_owned());
        // The suite hands over more at once than a lane does.
        properties.insert("batch.size".to_owned(), TOPIC_LIMIT.to_string());
        let servers = self.kafka.address();
        Box::new(KafkaSink::new("test", &servers, &properties, 512 * 1024, status, wake))
    }

    fn topic(&mut self) -> String {
        let topic = unique("contract");
        let limit = TOPIC_LIMIT.to_string();
        self.kafka.create_topic(&topic, 3, &[("max.message.bytes", &limit)]);
        self.topics.push(topic.clone());
        topic
    }

    fn missing_topic(&mut self) -> Option<String> {
        Some(unique("missing"))
    }

    fn too_large(&mut self) -> Option<usize> {
        Some(TOPIC_LIMIT as usize + 50_000)
    }

    fn stored(&mut self, topic: &str) -> Vec<RecordBuf> {
        let stored = self.kafka.read_all(topic).into_iter().map(|read| {
            let mut record = RecordBuf::default();
            record.begin(&read.topic, read.timestamp_ms.expect("a record has a time"));
            read.headers.iter().for_each(|(name, value)| record.header(name, value));
            record.key(|out| out.extend(read.key.unwrap_or_default()));
            record.value(|out| out.extend(read.value));
            record
        });
        stored.collect()
    }

    /// It hangs rather than ends: what is on its way may land when it goes on.
    fn stop(&mut self) {
        self.kafka.signal(Signal::STOP);
    }

    fn recover(&mut self) {
        self.kafka.signal(Signal::CONT);
    }

    fn break_next(&mut self) -> bool {
        false
    }
}

#[test]
fn the_kafka_sink_keeps_the_contract_of_a_sink() {
    let kafka = Kafka::start();
    contract::check_all(|| Real { kafka: &kafka, topics: Vec::new() });
}
