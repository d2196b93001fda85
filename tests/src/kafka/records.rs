//! Records as a consumer sees them.

use std::time::{Duration, Instant};

use prost::Message as _;
use proto::v1::Envelope;
use proto::v1::envelope::Payload;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::{Header, Headers as _, Message as _, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::PATIENCE;
use crate::wait::until;

/// How long one look for a record takes.
const LOOK: Duration = Duration::from_millis(50);

/// One record.
#[derive(Clone, Debug)]
pub struct Record {
    pub topic: String,
    pub partition: i32,
    pub offset: i64,
    pub key: Option<Vec<u8>>,
    pub value: Vec<u8>,
    pub headers: Vec<(String, Vec<u8>)>,
    pub timestamp_ms: Option<i64>,
}

impl Record {
    #[track_caller]
    pub fn envelope(&self) -> Envelope {
        Envelope::decode(self.value.as_slice()).expect("the value is an envelope")
    }

    /// The payload of an envelope that carries it inline.
    #[track_caller]
    pub fn payload(&self) -> Vec<u8> {
        match self.envelope().payload {
            Some(Payload::Inline(payload)) => payload.to_vec(),
            other => panic!("the payload is not inline: {other:?}"),
        }
    }

    /// The key as text.
    #[track_caller]
    pub fn key_text(&self) -> &str {
        let key = self.key.as_deref().expect("the record has a key");
        std::str::from_utf8(key).expect("the key is text")
    }

    /// The first header of that name.
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        let found = self.headers.iter().find(|(header, _)| header == name);
        found.map(|(_, value)| value.as_slice())
    }
}

/// Reads topics from their beginning, all partitions.
pub struct Records {
    consumer: BaseConsumer,
    /// The next offset to read, by topic and partition.
    next: Vec<(String, i32, i64)>,
}

impl Records {
    #[track_caller]
    pub(super) fn open(client: &ClientConfig, topics: &[&str]) -> Records {
        let mut config = client.clone();
        config.set("group.id", "landfall-tests").set("enable.auto.commit", "false");
        config.set("fetch.wait.max.ms", "20").set("reconnect.backoff.max.ms", "500");
        let consumer: BaseConsumer = config.create().expect("a client needs no server");
        let mut next = Vec::new();
        let mut assignment = TopicPartitionList::new();
        for topic in topics {
            for partition in partitions(&consumer, topic) {
                let added = assignment.add_partition_offset(topic, partition, Offset::Beginning);
                added.expect("a beginning is an offset");
                next.push(((*topic).to_owned(), partition, 0));
            }
        }
        consumer.assign(&assignment).expect("an assignment is kept locally");
        Records { consumer, next }
    }

    /// The next record, if one comes in time.
    #[track_caller]
    pub fn next(&mut self, patience: Duration) -> Option<Record> {
        let end = Instant::now() + patience;
        loop {
            match self.consumer.poll(LOOK.min(patience)) {
                Some(Ok(message)) => {
                    let record = record(&message);
                    let place = self.next.iter_mut().find(|(topic, partition, _)| {
                        *topic == record.topic && *partition == record.partition
                    });
                    place.expect("only what is assigned is read").2 = record.offset + 1;
                    return Some(record);
                }
                // A broker that is away comes back, or the deadline tells.
                Some(Err(error)) => eprintln!("reading Kafka: {error}"),
                None => {}
            }
            if Instant::now() >= end {
                return None;
            }
        }
    }

    /// What is there now and was not read yet, by topic, partition and offset.
    #[track_caller]
    pub fn all_so_far(&mut self) -> Vec<Record> {
        let ends: Vec<i64> = self
            .next
            .iter()
            .map(|(topic, partition, _)| {
                // A broker that comes back leads nothing at first.
                until(&format!("the end of {topic} is known"), PATIENCE, || {
                    let ends = self.consumer.fetch_watermarks(topic, *partition, PATIENCE);
                    ends.inspect_err(|error| eprintln!("reading Kafka: {error}")).ok()
                })
                .1
            })
            .collect();
        let mut records = Vec::new();
        while self.next.iter().zip(&ends).any(|((_, _, next), end)| next < end) {
            match self.next(PATIENCE) {
                Some(record) => records.push(record),
                None => panic!("records up to {ends:?} are there and cannot be read"),
            }
        }
        records.sort_by(|one, other| {
            (&one.topic, one.partition, one.offset).cmp(&(
                &other.topic,
                other.partition,
                other.offset,
            ))
        });
        records
    }
}

fn record(message: &rdkafka::message::BorrowedMessage<'_>) -> Record {
    let headers = message.headers().map_or_else(Vec::new, |headers| {
        let header = |header: Header<'_, &[u8]>| {
            (header.key.to_owned(), header.value.unwrap_or_default().to_vec())
        };
        headers.iter().map(header).collect()
    });
    Record {
        topic: message.topic().to_owned(),
        partition: message.partition(),
        offset: message.offset(),
        key: message.key().map(<[u8]>::to_vec),
        value: message.payload().unwrap_or_default().to_vec(),
        headers,
        timestamp_ms: message.timestamp().to_millis(),
    }
}

#[track_caller]
pub(super) fn partitions(client: &BaseConsumer, topic: &str) -> Vec<i32> {
    let metadata = client.fetch_metadata(Some(topic), PATIENCE).expect("Kafka answers");
    let topics = metadata.topics();
    let partitions = topics.iter().flat_map(|topic| topic.partitions());
    let partitions: Vec<i32> = partitions.map(|partition| partition.id()).collect();
    assert!(!partitions.is_empty(), "there is no topic {topic}");
    partitions
}

#[track_caller]
pub(super) fn produce(
    client: &ClientConfig,
    topic: &str,
    key: &[u8],
    value: &[u8],
    headers: &[(&str, &[u8])],
) {
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), value.to_vec()));
    let record = Record {
        topic: topic.to_owned(),
        partition: 0,
        offset: 0,
        key: Some(key.to_vec()),
        value: value.to_vec(),
        headers: headers.collect(),
        timestamp_ms: None,
    };
    produce_all(client, topic, &[record]);
}

/// Writes a record without a key to a partition.
#[track_caller]
pub(super) fn produce_to(client: &ClientConfig, topic: &str, partition: i32, value: &[u8]) {
    let producer: BaseProducer = client.create().expect("a client needs no server");
    let record = BaseRecord::<(), _>::to(topic).partition(partition).payload(value);
    producer.send(record).map_err(|(error, _)| error).expect("the queue has room");
    producer.flush(PATIENCE).expect("Kafka takes the record");
}

#[track_caller]
pub(super) fn produce_all(client: &ClientConfig, topic: &str, records: &[Record]) {
    let mut config = client.clone();
    // In order, whatever happens on the way.
    config.set("enable.idempotence", "true");
    let producer: BaseProducer = config.create().expect("a client needs no server");
    for record in records {
        let headers = record.headers.iter().fold(OwnedHeaders::new(), |all, (key, value)| {
            all.insert(Header { key, value: Some(value) })
        });
        let mut copy = BaseRecord::to(topic).payload(&record.value).headers(headers);
        copy.key = record.key.as_ref();
        copy.timestamp = record.timestamp_ms;
        producer.send(copy).map_err(|(error, _)| error).expect("the queue has room");
    }
    producer.flush(PATIENCE).expect("Kafka takes the records");
}
