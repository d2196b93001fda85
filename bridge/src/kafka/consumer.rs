//! Reads a lane's records back, for people: from the beginning, as they come.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message as _;
use rdkafka::{Offset, TopicPartitionList};

use super::client;
use super::topics::State;
use crate::record::RecordBuf;

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

/// A record and where it stands.
pub struct Placed {
    pub record: RecordBuf,
    pub partition: i32,
    pub offset: i64,
}

/// Reads all partitions of some topics, without a consumer group.
pub struct Reader {
    consumer: BaseConsumer,
}

impl Reader {
    /// Stands before the first record of each partition.
    pub fn open(
        servers: &str,
        properties: &BTreeMap<String, String>,
        topics: &[String],
    ) -> Result<Reader, ReadError> {
        let consumer: BaseConsumer = client::consumer(servers, properties).create()?;
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
        Ok(Reader { consumer })
    }

    /// The next record, or None if there is none within `wait`.
    pub fn next(&self, wait: Duration) -> Result<Option<Placed>, ReadError> {
        let message = match self.consumer.poll(wait) {
            None => return Ok(None),
            Some(Ok(message)) => message,
            // Kafka may come back; whoever reads waits as long as he likes.
            Some(Err(KafkaError::MessageConsumption(
                RDKafkaErrorCode::AllBrokersDown
                | RDKafkaErrorCode::BrokerTransportFailure
                | RDKafkaErrorCode::OperationTimedOut,
            ))) => return Ok(None),
            Some(Err(error)) => return Err(error.into()),
        };
        Ok(Some(Placed {
            record: crate::sink::kafka::copied(&message),
            partition: message.partition(),
            offset: message.offset(),
        }))
    }
}
