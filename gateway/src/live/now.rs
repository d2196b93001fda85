//! One sample as JSON: `event: now` of `/api/v1/live`, which docs/live.md describes. Names are stable; what is no
//! text is a number with its unit in its name.

use std::collections::BTreeMap;

use serde::Serialize;

use super::latest::Shown;

/// See the module.
#[derive(Debug, Serialize)]
pub struct Now {
    pub sequence: u64,
    pub step: u64,
    pub process: String,
    pub time: String,
    pub role: &'static str,
    pub gateway_id: String,
    pub version: &'static str,
    pub uptime_seconds: u64,
    pub ready: bool,
    pub draining: bool,
    pub problems: Vec<ProblemNow>,
    pub problems_left_out: usize,
    pub sum: Option<Sum>,
    pub lanes: Vec<LaneNow>,
    pub connections: Option<ConnectionsNow>,
    pub large: Option<LargeNow>,
    pub kafka: Vec<KafkaNow>,
    pub refused: Vec<Refused>,
    pub pools: Vec<PoolNow>,
    pub history: HistoryNow,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latest: Option<Shown>,
}

#[derive(Debug, Serialize)]
pub struct ProblemNow {
    pub kind: &'static str,
    pub about: String,
    pub text: String,
    pub since_seconds: u64,
    pub keeps_from_ready: bool,
    pub to_do: &'static str,
    pub runbook: String,
}

/// What came is what became of it and what is open; the difference is what has no place in the books.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Sum {
    pub received: u64,
    pub landed: u64,
    pub dead_lettered: u64,
    pub refused: u64,
    pub failed: u64,
    pub in_flight: u64,
    pub difference: i64,
}

#[derive(Debug, Serialize)]
pub struct LaneNow {
    pub lane: String,
    #[serde(flatten)]
    pub sum: Sum,
    pub received_per_second: f64,
    pub landed_per_second: f64,
    pub shed_per_second: f64,
    pub acknowledgement_p50_seconds: Option<f64>,
    pub acknowledgement_p99_seconds: Option<f64>,
    pub held_bytes: u64,
    pub limit_bytes: u64,
    pub waiting_connections: usize,
    pub backlog_records: usize,
    pub oldest_seconds: f64,
}

#[derive(Debug, Serialize)]
pub struct ConnectionsNow {
    pub open: u32,
    pub limit: u32,
    pub silent: usize,
    pub listeners: Vec<ListenerNow>,
    pub ended: Vec<Ended>,
}

#[derive(Debug, Serialize)]
pub struct ListenerNow {
    pub listener: String,
    pub open: u32,
    pub limit: u32,
    pub versions: BTreeMap<&'static str, u32>,
}

/// Connections that ended by one reason.
#[derive(Debug, PartialEq, Serialize)]
pub struct Ended {
    pub reason: String,
    pub count: u64,
    pub per_second: f64,
}

#[derive(Debug, Serialize)]
pub struct LargeNow {
    pub well: bool,
    pub open: usize,
    pub oldest_seconds: f64,
    pub requests_ok: u64,
    pub requests_failed: u64,
    pub attempts_failed: u64,
    pub p50_seconds: Option<f64>,
    pub p99_seconds: Option<f64>,
    pub problem: Option<String>,
}

#[derive(Debug, Serialize)]
pub struct KafkaNow {
    pub lane: String,
    pub producer_ready: bool,
    pub brokers_up: Option<usize>,
    pub round_trip_p99_seconds: Option<f64>,
    pub error: Option<String>,
    pub partitions: Vec<PartitionNow>,
    pub partitions_left_out: usize,
}

#[derive(Debug, Serialize)]
pub struct PartitionNow {
    pub topic: String,
    pub partition: i32,
    pub state: &'static str,
    pub leader: Option<i32>,
    pub waiting_records: u64,
}

/// What was refused, and why.
#[derive(Debug, PartialEq, Serialize)]
pub struct Refused {
    pub what: &'static str,
    /// Of messages.
    pub lane: Option<String>,
    pub reason: String,
    pub count: u64,
    pub per_second: f64,
}

#[derive(Debug, Serialize)]
pub struct PoolNow {
    pub pool: String,
    pub freshness_target_seconds: Option<f64>,
    pub lag: u64,
    pub lag_seconds: f64,
    pub partitions: PartitionsNow,
    pub events_per_second: f64,
    pub failures_per_second: f64,
}

#[derive(Debug, Default, Serialize)]
pub struct PartitionsNow {
    pub running: u64,
    pub held: u64,
    pub stopped: u64,
}

#[derive(Debug, Serialize)]
pub struct HistoryNow {
    pub oldest_seconds: u64,
    pub memory_bytes: u64,
}
