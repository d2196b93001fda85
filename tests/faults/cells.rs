//! All faults, by what they break.

mod clients;
mod cluster;
mod gateway;
mod kafka;
mod machine;
mod network;
mod store;

use crate::cell::Fault;

/// Two at once that happen together; the seed draws others.
pub const PAIRS: [&str; 3] =
    ["gateway-killed+kafka-killed", "store-failing+kafka-paused", "storm+leaders-moved"];

/// In the order of the table.
pub fn all() -> impl Iterator<Item = &'static Fault> {
    [
        gateway::FAULTS,
        kafka::FAULTS,
        cluster::FAULTS,
        network::FAULTS,
        store::FAULTS,
        clients::FAULTS,
        machine::FAULTS,
    ]
    .into_iter()
    .flatten()
}
