//! Everything that names rdkafka and is no sink: how clients are configured, whether topics are there and what
//! they take, what an answer to a record means, reading records back, by itself or in a group, a broker for
//! `landfall dev`, and all calls that are unsafe.

pub(crate) mod answers;
pub(crate) mod client;
pub mod consumer;
mod description;
pub mod embedded;
mod facts;
mod figures;
pub mod group;
pub(crate) mod log_lines;
pub(crate) mod native;
pub mod properties;
mod status;
pub mod topics;

pub use self::facts::{TimeLimits, TopicFacts};
pub use self::figures::{KafkaFigures, PARTITIONS_MAX, PartitionFigures, PartitionState};
pub use self::status::KafkaStatus;
