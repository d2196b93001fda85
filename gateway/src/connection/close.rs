//! Why a connection ends, and what its end tells the client.

use std::borrow::Cow;
use std::io;

use super::{Foreign, Refusal};
use crate::mqtt::{Malformed, reason};
use crate::net::proxy::HeaderFault;
use crate::net::tls::HandshakeFault;
use crate::net::websocket::{self, FrameFault};
use crate::session::window::WindowFault;

/// Why a connection ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Close {
    /// The client said goodbye.
    Disconnected,
    /// The client said goodbye and wants its will published.
    DisconnectedWithWill,
    /// The socket was closed or broke.
    PeerGone,
    /// The socket was closed or broke before CONNECT was here: a health check, a port scan.
    BeforeConnect,
    /// Nothing came, and others needed the place.
    Silent,
    /// The client speaks something else.
    Foreign(Foreign),
    /// There was no TLS to speak MQTT over.
    Tls(HandshakeFault),
    /// The load balancer in front did not say as it has to who connects.
    Proxy(HeaderFault),
    /// A request for a WebSocket that got none.
    Upgrade(websocket::Refused),
    /// What came over the WebSocket are no frames that are taken.
    Frame(FrameFault),
    Malformed(Malformed),
    /// A well-formed packet asks for what there is not.
    Refused(Refusal),
    /// The packet is larger than anything that may land.
    TooLarge,
    KeepAlive,
    /// A packet or an upload came too slowly, or CONNECT too late.
    TooSlow,
    /// The client does not read what it is sent.
    NotReading,
    TakenOver,
    /// A message may or may not have landed: the client has to send it again.
    MessageFailed,
    /// The object store failed while a message arrived.
    StoreFailed,
    ShuttingDown,
}

impl Close {
    /// The value of the `reason` label.
    pub fn label(&self) -> &'static str {
        match self {
            Close::Disconnected | Close::DisconnectedWithWill => "disconnected",
            Close::PeerGone => "peer_gone",
            Close::BeforeConnect => "before_connect",
            Close::Silent => "silent",
            Close::Foreign(foreign) => foreign.label(),
            Close::Tls(_) => "tls_handshake",
            Close::Proxy(fault) => fault.label(),
            Close::Upgrade(refused) => refused.label(),
            Close::Frame(_) => "websocket_frame",
            Close::Malformed(_) => "malformed",
            Close::Refused(refusal) => refusal.label(),
            Close::TooLarge => "too_large",
            Close::KeepAlive => "keep_alive",
            Close::TooSlow => "too_slow",
            Close::NotReading => "not_reading",
            Close::TakenOver => "taken_over",
            Close::MessageFailed => "message_failed",
            Close::StoreFailed => "store_failed",
            Close::ShuttingDown => "shutting_down",
        }
    }

    /// Counts the end, before anybody is told of it.
    pub(super) fn count(&self) {
        let reason = self.label();
        ::metrics::counter!(crate::metrics::CONNECTIONS_CLOSED, "reason" => reason).increment(1);
        if let Close::Malformed(fault) = self {
            let reason = fault.label();
            ::metrics::counter!(crate::metrics::PACKETS_MALFORMED, "reason" => reason).increment(1);
        }
    }

    /// The code of a v5 DISCONNECT; None where nobody would read it.
    pub(super) fn code(&self) -> Option<u8> {
        Some(match self {
            Close::Disconnected
            | Close::DisconnectedWithWill
            | Close::PeerGone
            | Close::BeforeConnect
            | Close::Silent
            | Close::Foreign(_)
            | Close::Proxy(_)
            | Close::Tls(_)
            | Close::Upgrade(_) => return None,
            Close::Frame(_) => reason::PROTOCOL_ERROR,
            Close::Malformed(fault) => fault.code(),
            Close::Refused(refusal) => refusal.code(),
            Close::TooLarge => reason::PACKET_TOO_LARGE,
            Close::KeepAlive => reason::KEEP_ALIVE_TIMEOUT,
            Close::TooSlow => reason::UNSPECIFIED,
            Close::NotReading => reason::QUOTA_EXCEEDED,
            Close::TakenOver => reason::SESSION_TAKEN_OVER,
            Close::MessageFailed | Close::StoreFailed => reason::IMPLEMENTATION_SPECIFIC,
            Close::ShuttingDown => reason::SERVER_SHUTTING_DOWN,
        })
    }

    /// v5 3.1.2.5: at every end but a goodbye. A rollout is no death, unless configured; and who is not
    /// believed any more to be who it said has no last words in that name.
    pub fn publishes_will(&self, at_drain: bool) -> bool {
        match self {
            Close::Disconnected | Close::Refused(Refusal::CredentialsRevoked) => false,
            Close::ShuttingDown => at_drain,
            _ => true,
        }
    }

    /// What a v5 DISCONNECT says beside its code, where there is more to say.
    pub(super) fn sentence(&self) -> Option<Cow<'static, str>> {
        match self {
            Close::Malformed(fault) => Some(fault.to_string().into()),
            Close::Frame(fault) => Some(fault.to_string().into()),
            Close::Refused(refusal) => Some(refusal.sentence().into()),
            _ => None,
        }
    }
}

/// What a failed read says.
impl From<io::Error> for Close {
    fn from(error: io::Error) -> Close {
        let fault = error.get_ref().and_then(|cause| cause.downcast_ref());
        fault.map_or(Close::PeerGone, |fault: &FrameFault| Close::Frame(*fault))
    }
}

impl From<Malformed> for Close {
    fn from(fault: Malformed) -> Close {
        Close::Malformed(fault)
    }
}

impl From<Refusal> for Close {
    fn from(refusal: Refusal) -> Close {
        Close::Refused(refusal)
    }
}

impl From<WindowFault> for Close {
    fn from(fault: WindowFault) -> Close {
        match fault {
            WindowFault::MessageFailed => Close::MessageFailed,
            WindowFault::TooManyUnreleased => Refusal::TooManyUnreleased.into(),
            WindowFault::TooManyResends => Refusal::TooManyResends.into(),
        }
    }
}
