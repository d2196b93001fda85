//! What the configuration means for the parse role: what it shares with the gateway, and its plan.

use std::time::SystemTime;

use parse::plan::Plan;

use super::memory::ParseMemory;
use super::{DescriptorPlan, Drain, Kafka, ObjectStore};
use crate::admin::AdminSettings;

/// See the module.
#[derive(Debug)]
pub struct ParseSettings {
    /// By which logs and Kafka know this process.
    pub gateway_id: String,
    pub admin: AdminSettings,
    pub drain: Drain,
    pub kafka: Kafka,
    /// Where payloads are that are not in their records.
    pub object_store: Option<ObjectStore>,
    /// Bytes that the process may use.
    pub memory: u64,
    pub memory_plan: ParseMemory,
    pub plan: Plan,
    pub descriptors: DescriptorPlan,
    /// A time before any file that the configuration names was read.
    pub read_at: SystemTime,
    /// What may be meant otherwise, for people.
    pub hints: Vec<String>,
}
