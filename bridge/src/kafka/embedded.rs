//! A Kafka broker inside the process, for `landfall dev`: librdkafka's mock cluster, the real
//! protocol on loopback, in memory. It keeps nothing over a restart, only the last 5 MiB or 100,000
//! records of a partition, and Java clients cannot read from it.

use rdkafka::error::KafkaError;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;

/// Partitions of each topic.
const PARTITIONS: i32 = 3;

/// Runs until it is dropped.
pub struct EmbeddedKafka {
    cluster: MockCluster<'static, DefaultProducerContext>,
}

/// The broker could not be started.
#[derive(Debug, thiserror::Error)]
#[error("the embedded Kafka could not be started: {0}")]
pub struct EmbeddedKafkaError(#[from] KafkaError);

impl EmbeddedKafka {
    /// Starts one broker on a free port of loopback, with these topics.
    pub fn start<'t>(
        topics: impl IntoIterator<Item = &'t str>,
    ) -> Result<EmbeddedKafka, EmbeddedKafkaError> {
        let cluster = MockCluster::new(1)?;
        for topic in topics {
            cluster.create_topic(topic, PARTITIONS, 1)?;
        }
        Ok(EmbeddedKafka { cluster })
    }

    pub fn bootstrap_servers(&self) -> String {
        self.cluster.bootstrap_servers()
    }
}
