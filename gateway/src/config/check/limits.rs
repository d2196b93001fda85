//! What the gateway may take: memory, connections and descriptors, each of which has to be enough for all
//! that are planned to hold it.

use bridge::repeats;

use super::{Checker, KIB, MIB};
use crate::config::descriptors::{self, DEFAULT_CONNECTIONS_MIN, DescriptorPlan};
use crate::config::memory::{self, MESSAGES_MIN, MemoryPlan};
use crate::config::values::Size;
use crate::config::{Limits, Secrets, written};
use crate::identity::AuthenticationSettings;
use crate::live;
use crate::net::ListenerSettings;

const DEFAULT_MESSAGE_SIZE: u64 = 64 * MIB;
/// MQTT cannot say a larger packet.
const MESSAGE_SIZE_MAX: u64 = 256 * MIB - 1;

impl Checker {
    /// Descriptors that there are; another machine's are not known here.
    fn descriptor_limit(&self) -> Option<u64> {
        (self.secrets == Secrets::Read).then(descriptors::descriptor_limit)
    }

    /// Connections where none are written.
    fn default_connections(
        &mut self,
        memory: u64,
        evidence: u64,
        plan: &DescriptorPlan,
        listeners: &[ListenerSettings],
    ) -> u32 {
        let left = self.descriptor_limit().map(|limit| limit.saturating_sub(plan.reserved()));
        let enough = left.is_none_or(|left| left >= DEFAULT_CONNECTIONS_MIN);
        if enough {
            return memory::default_connections(
                memory,
                evidence,
                left.unwrap_or(u64::MAX),
                listeners,
            );
        }
        // What is too few is told with the whole plan.
        memory::default_connections(memory, evidence, DEFAULT_CONNECTIONS_MIN, listeners)
    }

    /// Connections take no descriptor that others need.
    pub(super) fn hold_descriptors(&mut self, plan: &DescriptorPlan, connections: u32) {
        let Some(limit) = self.descriptor_limit() else { return };
        let reserved = plan.reserved();
        if u64::from(connections) + reserved <= limit {
            return;
        }
        let DescriptorPlan { kafka, object_store, admin, process } = plan;
        let holders =
            format!("Kafka {kafka}, object store {object_store}, admin {admin}, process {process}");
        let what = match limit.saturating_sub(reserved) {
            0 => "raise the hard limit (ulimit -Hn)".to_owned(),
            left => format!("write at most {left}, or raise the hard limit (ulimit -Hn)"),
        };
        self.faults.add(
            "limits.connections",
            format!("{connections} connections need as many descriptors, and {reserved} are for others ({holders}): the system allows {limit}. {what}"),
        );
    }

    /// What a role needs to know that has no connections: bytes that it may take, and of a packet.
    pub(super) fn limits_of_parse(&mut self) -> (u64, u64) {
        let written: written::Limits = self.section("limits").unwrap_or_default();
        let memory = written.memory.map_or_else(memory::default_memory, |Size(memory)| memory);
        (memory, self.message_size(written.message_size))
    }

    fn message_size(&mut self, written: Option<Size>) -> u64 {
        let bounds = (KIB, MESSAGE_SIZE_MAX);
        self.size("limits.message_size", written, DEFAULT_MESSAGE_SIZE, bounds)
    }

    pub(super) fn limits(
        &mut self,
        descriptors: &DescriptorPlan,
        listeners: &[ListenerSettings],
        authentication: &AuthenticationSettings,
        lanes: usize,
    ) -> (Limits, MemoryPlan) {
        let written: written::Limits = self.section("limits").unwrap_or_default();
        let memory = written.memory.map_or_else(memory::default_memory, |Size(memory)| memory);
        let memory = memory / self.roles;
        let evidence = authentication.memory_cost();
        let connections = match written.connections {
            Some(connections) => connections,
            None => self.default_connections(memory, evidence, descriptors, listeners),
        };
        if connections == 0 {
            self.faults.add("limits.connections", "is zero: write at least 1");
        }
        let beside = evidence + live::memory_cost(lanes) + repeats::MEMORY_COST;
        let plan = MemoryPlan::new(memory, connections, listeners, beside);
        if plan.messages < MESSAGES_MIN {
            self.faults.add(
                "limits.memory",
                format!(
                    "{} MiB, less {connections} connections of up to {} bytes ({} MiB) and {} MiB for the process, leave {} MiB for messages, which need {} MiB: raise limits.memory or lower limits.connections",
                    memory / MIB,
                    plan.connection,
                    plan.connections / MIB,
                    plan.fixed / MIB,
                    plan.messages / MIB,
                    MESSAGES_MIN / MIB,
                ),
            );
        }
        let message_size = self.message_size(written.message_size);
        let window_size =
            self.size("limits.window_size", written.window_size, 4 * MIB, (KIB, u32::MAX.into()));
        let window_messages = written.window_messages.unwrap_or(100);
        if window_messages == 0 {
            self.faults.add("limits.window_messages", "is zero: write 1 to 65535");
        }
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let workers = written.workers.unwrap_or((cores / 2).max(1));
        if !(1..=256).contains(&workers) {
            self.faults.add("limits.workers", format!("{workers} threads: write 1 to 256"));
        }
        let limits = Limits {
            memory,
            connections,
            message_size: message_size as u32,
            window_messages,
            window_size: window_size as u32,
            workers,
        };
        (limits, plan)
    }
}
