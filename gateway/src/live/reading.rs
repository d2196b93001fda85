//! What a role tells of itself at one moment, read from where it is counted.

use std::time::Duration;

use bridge::Totals;
use bridge::kafka::KafkaFigures;
use bridge::objects::ObjectFigures;

use super::latest::Shown;
use crate::admin::Readiness;

/// See the module.
pub struct Reading {
    pub role: &'static str,
    /// Of the gateway, or what the parse role calls itself.
    pub gateway_id: String,
    pub readiness: Readiness,
    pub draining: bool,
    /// Empty for a role without lanes. Always the same, in the same order.
    pub lanes: Vec<LaneReading>,
    /// None for a role that nobody connects to.
    pub connections: Option<ConnectionsReading>,
    /// None without a store for large messages.
    pub store: Option<StoreReading>,
    /// Of each lane that writes to Kafka; empty while nobody looks.
    pub kafka: Vec<KafkaReading>,
    /// Only `landfall dev` has it; None while nobody looks.
    pub latest: Option<Shown>,
}

/// One lane's books, and what it holds.
pub struct LaneReading {
    pub lane: String,
    pub totals: Totals,
    pub held_bytes: u64,
    pub limit_bytes: u64,
    pub waiting_connections: usize,
    pub backlog_records: usize,
    pub oldest: Duration,
}

pub struct ConnectionsReading {
    pub open: u32,
    pub limit: u32,
    pub silent: usize,
    pub listeners: Vec<ListenerReading>,
}

pub struct ListenerReading {
    pub listener: String,
    pub open: u32,
    pub limit: u32,
    /// Connections by what they speak.
    pub versions: Vec<(&'static str, u32)>,
}

pub struct StoreReading {
    pub figures: ObjectFigures,
    pub problem: Option<String>,
}

/// What a lane's producer tells.
pub struct KafkaReading {
    pub lane: String,
    pub is_producer_ready: bool,
    pub error: Option<String>,
    /// None before it told any.
    pub figures: Option<KafkaFigures>,
}
