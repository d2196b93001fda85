//! What all connections share: the uplink, the local plane, who holds which client id, the limits and
//! budgets, and the phase of the process.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bridge::text::escape;
use bridge::{Signals, Uplink};
use tokio::runtime::Handle;

use crate::admission::Admission;
use crate::arrivals::Arrivals;
use crate::audit::Audit;
use crate::budget::Budget;
use crate::clients::Clients;
use crate::connection::Foreign;
use crate::local::LocalPlane;
use crate::low_priority::LowPriority;
use crate::metrics;
use crate::net::proxy::HeaderFault;
use crate::net::tls::Handshakes;
use crate::net::websocket::Refused;
use crate::phase::{CurrentPhase, Phase};
use crate::rate_limit::RateLimit;
use crate::rights::Rights;
use crate::session::window::WindowLimits;

/// Memory for what sessions keep, in bytes.
pub const SESSIONS_SHARE: u64 = 16 * 1024 * 1024;
/// Memory for CONNECTs that are arriving, beyond what each may have here without asking, in bytes. It is
/// theirs alone: who sends half of many CONNECTs holds up nobody who has a session.
const HANDSHAKES_SHARE: u64 = 4 * 1024 * 1024;
/// The same for requests for WebSockets, apart, so that neither takes the other's.
const UPGRADES_SHARE: u64 = 2 * 1024 * 1024;
/// Bytes of all wills that wait for room: their connections are gone, and so are the limits of those.
const WAITING_WILLS_MAX_BYTES: u64 = 4 * 1024 * 1024;
/// Between two lines of the log about one kind of what does not belong to a listener.
const FOREIGN_LOG_PAUSE: Duration = Duration::from_secs(60);

/// The limits that a connection keeps.
#[derive(Clone, Copy, Debug)]
pub struct EdgeLimits {
    /// Largest packet, in bytes.
    pub message_size: u32,
    pub window: WindowLimits,
    /// Connections at a time.
    pub connections: u32,
}

/// See the module.
pub struct Edge {
    pub uplink: Arc<Uplink>,
    pub local: LocalPlane,
    /// Where a handshake's arithmetic is done.
    pub low_priority: LowPriority,
    /// Where connections are served while a large message of theirs arrives.
    pub large: Handle,
    pub clients: Arc<Clients>,
    pub audit: Arc<Audit>,
    pub limits: EdgeLimits,
    /// Wills are published when the gateway ends a connection in a drain.
    pub wills_at_drain: bool,
    /// What sessions keep beyond what each may without asking: of CONNECT, of their windows.
    pub sessions: Arc<Budget>,
    sessions_log: RateLimit,
    /// What is here of CONNECTs that are not whole.
    pub handshakes: Arc<Arrivals>,
    /// What is here of requests for WebSockets that are not whole.
    pub upgrades: Arc<Arrivals>,
    /// Wills that wait for room in their lanes.
    pub waiting_wills: Arc<Budget>,
    /// Places for TLS handshakes.
    pub tls_handshakes: Handshakes,
    /// By the place of the lane.
    pub acknowledgement_latencies: Box<[::metrics::Histogram]>,
    /// Devices whose packets are too large are named in the log, but not in a flood.
    pub too_large_log: RateLimit,
    /// So are client ids whose connections throw each other out.
    pub takeover_log: RateLimit,
    /// So are those that do not prove who they are.
    pub denied_log: RateLimit,
    /// By [`Foreign`]: what speaks no MQTT comes again and again, and always for the same reason.
    pub foreign_logs: [RateLimit; Foreign::ALL.len()],
    /// By [`HeaderFault`], for the same reason.
    pub proxy_logs: [RateLimit; HeaderFault::ALL.len()],
    /// By [`Refused`], for the same reason.
    pub upgrade_logs: [RateLimit; Refused::ALL.len()],
    pub admission: Arc<Admission>,
    /// Whether who may do what changed.
    pub rights: Rights,
    started: Instant,
    phase: CurrentPhase,
}

impl Edge {
    pub fn new(
        uplink: Arc<Uplink>,
        local: LocalPlane,
        low_priority: LowPriority,
        large: Handle,
        audit: Audit,
        limits: EdgeLimits,
        wills_at_drain: bool,
    ) -> Edge {
        let lanes = uplink.lanes().values();
        let acknowledgement_latencies = lanes.map(|lane| {
            let lane = lane.account.name.to_string();
            ::metrics::histogram!(metrics::ACKNOWLEDGEMENT_LATENCY, "lane" => lane)
        });
        let acknowledgement_latencies = acknowledgement_latencies.collect();
        Edge {
            uplink,
            local,
            low_priority,
            large,
            clients: Clients::new(),
            audit: Arc::new(audit),
            limits,
            wills_at_drain,
            sessions: Budget::new("bytes of sessions", SESSIONS_SHARE),
            sessions_log: RateLimit::default(),
            handshakes: Arrivals::new("bytes of CONNECTs", HANDSHAKES_SHARE),
            upgrades: Arrivals::new("bytes of requests for WebSockets", UPGRADES_SHARE),
            waiting_wills: Budget::new("bytes of wills", WAITING_WILLS_MAX_BYTES),
            tls_handshakes: Handshakes::default(),
            acknowledgement_latencies,
            too_large_log: RateLimit::default(),
            takeover_log: RateLimit::default(),
            denied_log: RateLimit::default(),
            foreign_logs: Foreign::ALL.map(|_| RateLimit::every(FOREIGN_LOG_PAUSE)),
            proxy_logs: HeaderFault::ALL.map(|_| RateLimit::every(FOREIGN_LOG_PAUSE)),
            upgrade_logs: Refused::ALL.map(|_| RateLimit::every(FOREIGN_LOG_PAUSE)),
            admission: Admission::new(limits.connections),
            rights: Rights::default(),
            started: Instant::now(),
            phase: CurrentPhase::running(),
        }
    }

    pub fn phase(&self) -> Phase {
        self.phase.get()
    }

    /// Moves on to a later phase and tells every connection.
    pub fn enter(&self, phase: Phase) {
        self.phase.enter(phase);
        self.clients.signal_all(Signals::PHASE_CHANGED);
    }

    /// Microseconds since the start, for latencies.
    pub fn micros(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.started).as_micros() as u64
    }

    /// Open sockets.
    pub fn connections(&self) -> u32 {
        self.admission.open()
    }

    /// One session would keep so many bytes, and there is no room for them: said at most once a second.
    pub fn log_sessions_full(&self, client_id: &str, bytes: u64) {
        if self.sessions_log.allows() {
            let limit = self.sessions.limit();
            tracing::warn!(
                client_id = escape(client_id).as_str(),
                bytes,
                limit,
                "there is no room for what sessions keep: who needs more of it than is free is refused"
            );
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::collections::BTreeMap;

    use bridge::classify::{Routing, Unrouted};
    use bridge::format::Format;
    use bridge::kafka_topic::TopicName;
    use bridge::key::KeyStrategy;
    use bridge::metadata::DeviceAttributes;
    use bridge::route::Routes;
    use bridge::{LanePlan, Lanes};

    use super::*;

    /// Memory of each lane, in bytes.
    pub(crate) const LANE_MEMORY: u64 = 64 * 1024;
    pub(crate) const WINDOW: WindowLimits = WindowLimits { messages: 5, bytes: 16 * 1024 };

    /// An edge whose lanes hand on to nobody.
    pub(crate) fn edge() -> Arc<Edge> {
        let routing = Routing {
            gateway_id: "gw-1".to_owned(),
            routes: Routes::default(),
            unrouted: Unrouted::Refuse,
            rules: Vec::new(),
            lanes: Lanes::built_in(|_, lane| LanePlan {
                name: lane.to_owned(),
                topic: TopicName::Fixed(format!("landfall.{lane}")),
                key: KeyStrategy::DeviceId,
                format: Format::Envelope,
                inline_size: 1024,
                gather: Duration::ZERO,
                properties: BTreeMap::new(),
                inline_memory: LANE_MEMORY,
                large_memory: LANE_MEMORY,
            }),
            devices: DeviceAttributes::new(),
            has_store: false,
        };
        let uplink = Arc::new(Uplink::new(routing, None));
        let local = LocalPlane::start().expect("a thread can be started");
        let limits = EdgeLimits { message_size: 16 * 1024, window: WINDOW, connections: 8 };
        let low_priority = LowPriority::start().expect("threads can be started");
        let large = low_priority.handle().clone();
        Arc::new(Edge::new(uplink, local, low_priority, large, Audit::off(), limits, false))
    }
}
