//! Everything that names rdkafka and is no sink: how clients are configured, whether topics are there,
//! reading records back, by itself or in a group, a broker for `landfall dev`, and all calls that are unsafe.

pub(crate) mod client;
pub mod consumer;
pub mod embedded;
mod figures;
pub mod group;
pub(crate) mod native;
pub mod properties;
mod status;
pub mod topics;

pub use self::figures::{KafkaFigures, PARTITIONS_MAX, PartitionFigures, PartitionState};
pub use self::status::KafkaStatus;
