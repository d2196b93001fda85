//! The memory plans: what connections, queues and the router cost at most, and what is left for
//! messages, shared out among the lanes; and what the windows and payloads of a parse role cost. Checked at start, so that the limit is never met at night.

use std::cmp::Reverse;

use bridge::uplink::UNCLASSIFIED_SHARE;
use bridge::{LaneId, Lanes};
use parse::limits::TREE_COST;
use parse::parsing::SHORT_MAX_BYTES;

use crate::connection::FREE_BYTES;
use crate::edge::SESSIONS_SHARE;
use crate::live;
use crate::net::ListenerSettings;
use crate::net::tls;
use crate::net::websocket::WEBSOCKET_COST;

/// Bytes of an open connection on plain TCP: its task and socket, and what it may keep without asking, that is
/// the packet that is not whole yet, answers, its CONNECT, its window.
pub const CONNECTION_COST: u64 = 8 * 1024;
/// Bytes of its task and its socket: 1.6 kB as the benchmark measures them, and some room.
const TASK_COST: u64 = 2560;
const _: () = assert!(TASK_COST + FREE_BYTES as u64 <= CONNECTION_COST);
/// What a connection with TLS has beside it, in bytes: its keys and its state with the client's
/// certificates, and a record that is not whole. One that is not sent is as long as the listener says.
const TLS_COST: u64 =
    TLS_STATE_COST + tls::HELD_MAX_BYTES as u64 + tls::RECORD_OVERHEAD_BYTES as u64;
/// 4.3 kB as the benchmark measures it, and room for a chain of certificates.
const TLS_STATE_COST: u64 = 6 * 1024;
/// Bytes of the local plane: what its queues hold, 34 kB for each link to its router, and what the
/// router gathers before it is replaced.
pub const LOCAL_PLANE_COST: u64 = 64 * 1024 * 1024;
/// Bytes of the process itself: code, threads, Kafka clients, buffers of the runtime, and what is bounded
/// and small: CONNECTs that arrive, wills that wait, the admin port.
pub const PROCESS_COST: u64 = 64 * 1024 * 1024;
/// Without a limit of the container and of the configuration, in bytes.
const DEFAULT_MEMORY: u64 = 1024 * 1024 * 1024;
/// Fewer bytes for messages make no gateway.
pub const MESSAGES_MIN: u64 = 64 * 1024 * 1024;
/// Connections where nothing says less.
const DEFAULT_CONNECTIONS: u32 = 100_000;

/// A lane's shares of the message budget, inline and large, in thousandths of what the built-in lanes have
/// together.
const fn weights(lane: LaneId) -> (u64, u64) {
    match lane {
        LaneId::PRIORITY => (100, 40),
        LaneId::FAST => (300, 40),
        LaneId::SLOW => (150, 300),
        LaneId::DEAD_LETTER => (50, 20),
        // Those that the configuration adds.
        _ => (100, 30),
    }
}

/// Where the memory goes, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryPlan {
    pub limit: u64,
    /// Of one connection, of the kind that costs most.
    pub connection: u64,
    pub connections: u64,
    /// Router, process, packets whose lane is not known yet, what sessions keep, the look at passwords, the
    /// history that people are shown, the messages that were handed over again.
    pub fixed: u64,
    pub messages: u64,
}

impl MemoryPlan {
    /// `beside` is what the look at what clients bring takes, what people are shown, and what is noted of messages.
    pub fn new(
        limit: u64,
        connections: u32,
        listeners: &[ListenerSettings],
        beside: u64,
    ) -> MemoryPlan {
        let connection = dearest_cost(listeners);
        let connections = connections_cost(connections, listeners);
        let process = LOCAL_PLANE_COST + PROCESS_COST + UNCLASSIFIED_SHARE + SESSIONS_SHARE;
        let fixed = process + beside;
        let messages = limit.saturating_sub(connections + fixed);
        MemoryPlan { limit, connection, connections, fixed, messages }
    }

    /// Inline and large bytes of each lane; added lanes scale the built-in ones down.
    pub fn shares<T>(&self, lanes: &Lanes<T>) -> Lanes<(u64, u64)> {
        let weights = lanes.map(|lane, _| weights(lane));
        let total: u64 = weights.values().map(|(inline, large)| inline + large).sum();
        let share = |weight: u64| self.messages / total * weight;
        weights.map(|_, &(inline, large)| (share(inline), share(large)))
    }
}

/// Bytes of so many connections: as many as the dearest listeners may have are theirs.
fn connections_cost(connections: u32, listeners: &[ListenerSettings]) -> u64 {
    let mut kinds: Vec<(u64, u32)> = listeners
        .iter()
        .map(|listener| (connection_cost(listener), listener.connections.unwrap_or(u32::MAX)))
        .collect();
    kinds.sort_unstable_by_key(|(cost, _)| Reverse(*cost));
    let mut left = connections;
    let mut cost = 0;
    for (each, most) in kinds {
        let count = left.min(most);
        left -= count;
        cost += u64::from(count) * each;
    }
    // More than the listeners may have are nobody's, and planned for as plain ones.
    cost + u64::from(left) * CONNECTION_COST
}

/// Bytes of a connection of that listener.
fn connection_cost(listener: &ListenerSettings) -> u64 {
    let tls = listener.tls.as_ref().map_or(0, |tls| TLS_COST + tls.record_size as u64);
    let websocket = listener.websocket.as_ref().map_or(0, |_| WEBSOCKET_COST);
    CONNECTION_COST + tls + websocket
}

/// Bytes of one connection, of the kind that costs most.
fn dearest_cost(listeners: &[ListenerSettings]) -> u64 {
    listeners.iter().map(connection_cost).max().unwrap_or(CONNECTION_COST)
}

/// What a parse role takes at most, but for what payloads become.
pub struct ParseDemand<'d> {
    /// A gateway is in the same process, whose plan has what the process takes.
    pub is_beside: bool,
    /// Bytes of each pool's window.
    pub windows: &'d [u64],
    pub has_metadata: bool,
    /// Bytes of the largest payload.
    pub payload_max: u64,
    pub document_size: u64,
    pub ratio: u64,
}

/// Where the memory of a parse role goes, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParseMemory {
    pub limit: u64,
    pub process: u64,
    /// What is written and has not landed, and what was fetched and waits.
    pub windows: u64,
    /// What is parsed at the same time.
    pub payloads: u64,
}

/// What was fetched for a pool and waits has this part of its window's bytes beside them.
pub const QUEUE_SHARE: u64 = 4;
/// Bytes of the metadata stream's window: its records are small.
pub const METADATA_WINDOW_BYTES: u64 = 16 * 1024 * 1024;
/// Payloads that a pool parses at the same time: a short one on its own thread, and a large one beside it.
const PAYLOADS_PER_POOL: u64 = 2;
/// So many times a document's bytes its tree may take.
const DOCUMENT_COST: u64 = TREE_COST as u64;

impl ParseDemand<'_> {
    /// The whole, where a payload becomes at most so many bytes.
    pub fn plan(&self, limit: u64, decompressed: u64) -> ParseMemory {
        let short = decompressed.min(self.short_max());
        let each = self.payload_max + self.documents() + decompressed + short;
        let payloads = each.saturating_mul(self.windows.len() as u64);
        ParseMemory { limit, process: self.process(), windows: self.windows(), payloads }
    }

    /// Bytes that a payload may become, so that the whole fits.
    pub fn room_for_decompressed(&self, limit: u64) -> u64 {
        let pools = (self.windows.len() as u64).max(1);
        let left = limit.saturating_sub(self.process() + self.windows()) / pools;
        let left = left.saturating_sub(self.payload_max + self.documents());
        // A short one becomes as large as a large one, or less.
        (left / 2).max(left.saturating_sub(self.short_max()))
    }

    fn process(&self) -> u64 {
        if self.is_beside { 0 } else { PROCESS_COST + live::memory_cost(0) }
    }

    fn windows(&self) -> u64 {
        let metadata = self.has_metadata.then_some(METADATA_WINDOW_BYTES);
        let all = self.windows.iter().copied().chain(metadata);
        all.map(|window| window + window / QUEUE_SHARE).sum()
    }

    fn documents(&self) -> u64 {
        PAYLOADS_PER_POOL * DOCUMENT_COST * self.document_size
    }

    /// What a payload may become that is short.
    fn short_max(&self) -> u64 {
        self.ratio.saturating_mul(SHORT_MAX_BYTES as u64)
    }
}

/// The container's limit, or 1 GiB.
pub fn default_memory() -> u64 {
    ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"]
        .iter()
        .find_map(|path| std::fs::read_to_string(path).ok()?.trim().parse::<u64>().ok())
        // Version 1 says "no limit" with a huge number.
        .filter(|limit| *limit < 1 << 60)
        .unwrap_or(DEFAULT_MEMORY)
}

/// What the descriptors that are left for connections and half of the memory allow, at most 100,000. The look
/// at `evidence` is for connections, so it comes out of their half.
pub fn default_connections(
    memory: u64,
    evidence: u64,
    descriptors: u64,
    listeners: &[ListenerSettings],
) -> u32 {
    let half = (memory / 2).saturating_sub(evidence);
    let by_memory = (half / dearest_cost(listeners)).max(1);
    u64::from(DEFAULT_CONNECTIONS).min(descriptors).min(by_memory) as u32
}
