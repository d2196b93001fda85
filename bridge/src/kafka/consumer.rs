//! Reads records back from Kafka: all partitions of some topics, from the beginning, as they come.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Headers as _, Message as _};
use rdkafka::{Offset, TopicPartitionList};

use super::client;
use super::description::State;

/// How long Kafka may take to tell where a topic's partitions are.
const METADATA_WAIT: Duration = Duration::from_secs(5);

/// Why records cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("Kafka at {servers} is not reached: {source}")]
    Unreachable { servers: String, source: KafkaError },
    #[error("topic {0} does not exist")]
    NoTopic(String),
    #[error("topic {0} may not be read by this Kafka user: allow it Describe and Read")]
    Forbidden(String),
    #[error("topic {topic} cannot be read: {code}")]
    Unwell { topic: String, code: RDKafkaErrorCode },
    #[error("Kafka failed while reading: {0}")]
    Kafka(#[from] KafkaError),
}

/// A record as Kafka has it, whoever wrote it, and where it stands. Nothing of it is cut: its bounds are
/// Kafka's own. Without `Debug`: a payload has no place in a log.
#[derive(Clone)]
pub struct ConsumerRecord {
    pub topic: String,
    pub partition: i32,
    pub offset: i64,
    /// Milliseconds since 1970 UTC, the producer's or the broker's, as the topic has it.
    pub timestamp_ms: Option<i64>,
    pub key: Option<Bytes>,
    /// None: what was under the key before is gone (a tombstone).
    pub value: Option<Bytes>,
    /// In the order in which they were written; a name may come again.
    pub headers: Vec<(String, Option<Bytes>)>,
}

impl ConsumerRecord {
    fn new(message: &BorrowedMessage<'_>) -> ConsumerRecord {
        let headers = message.headers().into_iter().flat_map(|headers| headers.iter());
        ConsumerRecord {
            topic: message.topic().to_owned(),
            partition: message.partition(),
            offset: message.offset(),
            timestamp_ms: message.timestamp().to_millis(),
            key: message.key().map(Bytes::copy_from_slice),
            value: message.payload().map(Bytes::copy_from_slice),
            headers: headers
                .map(|header| (header.key.to_owned(), header.value.map(Bytes::copy_from_slice)))
                .collect(),
        }
    }
}

/// Reads all partitions of some topics, without a consumer group: it commits nothing, and takes no
/// partition from anybody.
pub struct Consumer {
    consumer: BaseConsumer,
}

impl Consumer {
    /// Stands before the first record of each partition. `name` says to Kafka who reads.
    pub fn open(
        name: &str,
        servers: &str,
        properties: &BTreeMap<String, String>,
        topics: &[String],
    ) -> Result<Consumer, ReadError> {
        let consumer: BaseConsumer = client::consumer(name, servers, properties).create()?;
        let mut partitions = TopicPartitionList::new();
        for topic in topics {
            let metadata = consumer
                .fetch_metadata(Some(topic), METADATA_WAIT)
                .map_err(|source| ReadError::Unreachable { servers: servers.to_owned(), source })?;
            let found = metadata.topics().iter().find(|known| known.name() == topic);
            match State::of(found) {
                State::There => {}
                State::Absent => return Err(ReadError::NoTopic(topic.clone())),
                State::Forbidden => return Err(ReadError::Forbidden(topic.clone())),
                State::Unwell(code) => {
                    return Err(ReadError::Unwell { topic: topic.clone(), code });
                }
            }
            for partition in found.into_iter().flat_map(|found| found.partitions()) {
                partitions.add_partition_offset(topic, partition.id(), Offset::Beginning)?;
            }
        }
        consumer.assign(&partitions)?;
        Ok(Consumer { consumer })
    }

    /// The next record, or None if there is none within `wait`.
    pub fn next(&self, wait: Duration) -> Result<Option<ConsumerRecord>, ReadError> {
        match self.consumer.poll(wait) {
            None => Ok(None),
            Some(Ok(message)) => Ok(Some(ConsumerRecord::new(&message))),
            // Kafka may come back; whoever reads waits as long as he likes.
            Some(Err(KafkaError::MessageConsumption(
                RDKafkaErrorCode::AllBrokersDown
                | RDKafkaErrorCode::BrokerTransportFailure
                | RDKafkaErrorCode::OperationTimedOut,
            ))) => Ok(None),
            Some(Err(error)) => Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use rdkafka::config::ClientConfig;
    use rdkafka::message::{Header, OwnedHeaders};
    use rdkafka::mocking::MockCluster;
    use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};

    use super::*;

    const TOPIC: &str = "there";
    const PATIENCE: Duration = Duration::from_secs(20);

    /// Whoever writes to a topic may write headers longer than any of Landfall's, without a value, and
    /// more than one of a name; keys and values may be absent, which is not the same as empty.
    #[test]
    fn a_record_of_a_stranger_is_read_whole() {
        let cluster = MockCluster::new(1).expect("a mock cluster starts");
        cluster.create_topic(TOPIC, 1, 1).expect("a topic can be created");
        let servers = cluster.bootstrap_servers();
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &servers);
        let producer: BaseProducer = config.create().expect("a producer can be made");
        let long = vec![b'x'; 70_000];
        let name = "n".repeat(300);
        let headers = OwnedHeaders::new()
            .insert(Header { key: "long", value: Some(&long) })
            .insert(Header { key: &name, value: Some("1") })
            .insert(Header { key: &name, value: Some("2") })
            .insert::<[u8]>(Header { key: "none", value: None });
        let whole = BaseRecord::to(TOPIC).key("m-1").payload("21.5").headers(headers).timestamp(42);
        producer.send(whole).map_err(|(error, _)| error).expect("there is room");
        let bare = BaseRecord::<(), ()>::to(TOPIC).partition(0);
        producer.send(bare).map_err(|(error, _)| error).expect("there is room");
        producer.flush(PATIENCE).expect("the broker is there");

        let consumer = Consumer::open("test", &servers, &BTreeMap::new(), &[TOPIC.to_owned()]);
        let consumer = consumer.expect("the topic can be read");
        let next = || consumer.next(PATIENCE).expect("Kafka is there").expect("a record");
        let read = next();
        assert_eq!((&*read.topic, read.partition, read.offset), (TOPIC, 0, 0));
        assert_eq!(read.timestamp_ms, Some(42));
        assert_eq!(read.key.as_deref(), Some(&b"m-1"[..]));
        assert_eq!(read.value.as_deref(), Some(&b"21.5"[..]));
        let expected: [(&str, Option<&[u8]>); 4] =
            [("long", Some(&long)), (&name, Some(b"1")), (&name, Some(b"2")), ("none", None)];
        let headers: Vec<_> =
            read.headers.iter().map(|(name, value)| (&**name, value.as_deref())).collect();
        assert_eq!(headers, expected);
        let bare = next();
        assert_eq!((bare.offset, bare.key, bare.value), (1, None, None));
    }
}
