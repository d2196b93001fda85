//! From an accepted socket to a session, or to the CONNACK that says why there is none.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bridge::message::Device;
use bridge::text::escape;
use bridge::{Mailbox, Reservation};
use tokio::net::TcpStream;
use tokio::time::sleep;

use super::close::part;
use super::deadlines::Deadlines;
use super::foreign::{Recognised, recognise};
use super::{
    Close, Connection, FREE_CONNECT_BYTES, FREE_PARTIAL_BYTES, Foreign, Intake, Shared, StoredWill,
};
use crate::budget::Kept;
use crate::clients::Claim;
use crate::edge::{Admitted, Edge, Phase};
use crate::mqtt::encode::ConnAckProperties;
use crate::mqtt::{self, Connect, PacketType, Version, encode, reason};
use crate::patience::{Patience, read_within, write_within};
use crate::session::Window;

/// CONNECT has to be here this long after the socket was accepted.
const CONNECT_WAIT: Duration = Duration::from_secs(10);
/// How long the client may take to read its CONNACK.
const CONNACK_WAIT: Duration = Duration::from_secs(10);
/// Longest client id, in bytes: it is kept, and becomes the key of records.
const CLIENT_ID_MAX_BYTES: usize = 1024;
/// Bytes read at once.
const READ_BYTES: usize = 1024;
/// What a property takes beside its two texts, in bytes.
const PROPERTY_COST: usize = 64;

/// Why there is no session, and what the client is told.
pub(super) struct Refused {
    pub close: Close,
    /// None where the client has no CONNACK for it, or takes none of that size.
    connack: Option<Vec<u8>>,
}

impl Refused {
    fn silently(close: Close) -> Refused {
        Refused { close, connack: None }
    }

    /// Sends the CONNACK, if there is one, and closes.
    pub async fn tell(self, stream: &mut TcpStream) {
        if let Some(connack) = self.connack {
            part(stream, &connack).await;
        }
    }
}

/// A session that begins.
pub(super) struct Established {
    claim: Claim,
    mailbox: Arc<Mailbox>,
    device: Device,
    version: Version,
    keep_alive_s: u16,
    asked_for_session: bool,
    client_packet_max: Option<u32>,
    will: Option<Box<StoredWill>>,
    /// What is kept of CONNECT beyond what is free.
    connect_bytes: usize,
    session: Kept,
    /// What came behind CONNECT.
    rest: Vec<u8>,
}

/// Reads CONNECT, decides, takes over the client id, and sends CONNACK.
pub(super) async fn shake(
    edge: &Arc<Edge>,
    stream: &mut TcpStream,
    admitted: &Admitted,
) -> Result<Established, Refused> {
    let mut received = Vec::new();
    // Room for a large one, while it is here.
    let (size, _room) = read_connect(edge, stream, &mut received).await?;
    let rest = received.split_off(size);
    let header = mqtt::fixed_header(&received).ok().flatten();
    let connect = header.and_then(|header| {
        mqtt::connect(&header, &received[usize::from(header.len)..]).ok().flatten()
    });
    let connect = connect.expect("read_connect saw it whole and well-formed");
    let refuse = |close: Close, code: u8, text: &str| Refused {
        close,
        connack: refusal(&connect, code, text),
    };
    if admitted.over_limit_by() > 0 {
        let close = Close::Protocol { label: "connection_limit", code: reason::SERVER_BUSY };
        // v3 says "server unavailable" for it.
        let code = match connect.version {
            Version::V5 => reason::SERVER_BUSY,
            _ => reason::SERVER_UNAVAILABLE,
        };
        return Err(refuse(close, code, "the gateway has as many connections as it may"));
    }
    if edge.phase() != Phase::Running {
        let code = reason::SERVER_UNAVAILABLE;
        return Err(refuse(Close::ShuttingDown, code, "the gateway shuts down"));
    }
    if connect.authentication_method.is_some() {
        let code = reason::BAD_AUTHENTICATION_METHOD;
        let close = Close::Protocol { label: "authentication_method", code };
        return Err(refuse(close, code, "enhanced authentication is not available"));
    }
    if connect.client_id.len() > CLIENT_ID_MAX_BYTES {
        let code = reason::CLIENT_IDENTIFIER_NOT_VALID;
        let close = Close::Protocol { label: "client_id", code };
        return Err(refuse(close, code, "the client id is longer than 1024 bytes"));
    }
    if connect.version == Version::V5 && connect.will.is_some_and(|will| will.retain) {
        let code = reason::RETAIN_NOT_SUPPORTED;
        let close = Close::Protocol { label: "retain", code };
        return Err(refuse(close, code, "retained messages are not available"));
    }
    let assigned = connect.client_id.is_empty().then(|| format!("auto-{:032x}", rand_u128()));
    // Before the client id is taken over: who cannot be accepted ends nobody else's session.
    let connack = acceptance(edge, &connect, assigned.as_deref()).ok_or_else(|| {
        // 0x95 would call the CONNECT too large (v5 3.2.2.2).
        let code = reason::IMPLEMENTATION_SPECIFIC;
        let close = Close::Protocol { label: "answer_too_large", code };
        refuse(close, code, "the CONNACK is larger than your Maximum Packet Size")
    })?;
    let client_id: Arc<str> = assigned.as_deref().unwrap_or(connect.client_id).into();
    let own = |(name, value): (&str, &str)| (name.into(), value.into());
    let device = Device {
        client_id: (&*client_id).into(),
        verified_id: None,
        properties: connect.user_properties.iter().map(own).collect(),
    };
    let will = connect.will.map(|will| Box::new(StoredWill::new(&will)));
    let connect_bytes = kept_bytes(&device, will.as_deref()).saturating_sub(FREE_CONNECT_BYTES);
    let mut session = Kept::nothing(&edge.sessions);
    if !session.change(connect_bytes as u64) {
        edge.log_sessions_full(&client_id, connect_bytes as u64);
        // v3 says "server unavailable" for it.
        let code = match connect.version {
            Version::V5 => reason::QUOTA_EXCEEDED,
            _ => reason::SERVER_UNAVAILABLE,
        };
        let text = "too much is kept of CONNECT packets: fewer properties, or a smaller will";
        return Err(refuse(Close::SESSION_MEMORY, code, text));
    }
    let mailbox = Arc::new(Mailbox::default());
    let claim = edge.clients.claim(&client_id, &mailbox).await.map_err(|_| {
        let code = reason::SERVER_UNAVAILABLE;
        refuse(Close::TakenOver, code, "another connection takes this client id")
    })?;
    if claim.again && edge.takeover_log.allows() {
        let peer = stream.peer_addr().map(|peer| peer.to_string()).unwrap_or_default();
        tracing::warn!(
            client_id = escape(&client_id).as_str(),
            peer,
            "connections with one client id throw each other out: give each device its own"
        );
    }
    let mut patience = Patience::new(CONNACK_WAIT);
    match write_within(stream, &connack, &mut patience).await {
        Ok(true) => {}
        Ok(false) => return Err(Refused::silently(Close::NotReading)),
        Err(_) => return Err(Refused::silently(Close::PeerGone)),
    }
    Ok(Established {
        claim,
        mailbox,
        device,
        version: connect.version,
        keep_alive_s: connect.keep_alive,
        asked_for_session: connect.session_expiry > 0,
        client_packet_max: connect.maximum_packet_size,
        will,
        connect_bytes,
        session,
        rest,
    })
}

impl Established {
    pub fn into_connection(self, edge: Arc<Edge>, stream: TcpStream) -> (Connection, Claim) {
        let now = Instant::now();
        let connection = Connection {
            shared: Arc::new(Shared { edge: Arc::clone(&edge), device: self.device }),
            window: Window::new(edge.limits.window, self.version == Version::V5),
            edge,
            stream,
            version: self.version,
            asked_for_session: self.asked_for_session,
            mailbox: self.mailbox,
            intake: Intake::Packets,
            needed: 1,
            reservation: None,
            kept: None,
            // What came behind CONNECT is looked at in the first turn.
            block: (!self.rest.is_empty()).then_some((super::Block::Upload, now)),
            tail: self.rest,
            out: Vec::new(),
            acks_left: false,
            partly_sent: 0,
            client_packet_max: self.client_packet_max,
            will: self.will,
            subscriber: None,
            deadlines: Deadlines::new(self.keep_alive_s, now),
            timer: Box::pin(sleep(Duration::from_secs(1))),
            connect_bytes: self.connect_bytes,
            session: self.session,
        };
        (connection, self.claim)
    }
}

/// Reads until CONNECT is whole, in its time, and returns its size in bytes, and the room that was
/// taken for it; more may be behind it.
///
/// Not cancel safe in that a part of CONNECT may be in `received`.
async fn read_connect(
    edge: &Edge,
    stream: &mut TcpStream,
    received: &mut Vec<u8>,
) -> Result<(usize, Option<Reservation>), Refused> {
    let mut large: Option<Reservation> = None;
    let mut patience = Patience::new(CONNECT_WAIT);
    let foreign = |foreign: Foreign, stream: &TcpStream| {
        foreign.log(edge, stream.peer_addr().ok());
        Refused::silently(Close::Foreign(foreign))
    };
    loop {
        let mut missing = READ_BYTES;
        let perhaps = match recognise(received) {
            Recognised::Foreign(kind) => return Err(foreign(kind, stream)),
            Recognised::Perhaps(kind) => Some(kind),
            Recognised::Nothing => None,
        };
        if perhaps.is_none()
            && let Some(header) = mqtt::fixed_header(received)
                .map_err(|fault| Refused::silently(Close::Malformed(fault)))?
        {
            if header.kind != PacketType::Connect {
                let code = reason::PROTOCOL_ERROR;
                return Err(Refused::silently(Close::Protocol { label: "no_connect", code }));
            }
            match mqtt::connect(&header, &received[usize::from(header.len)..]) {
                Ok(Some(_)) => return Ok((header.packet_size() as usize, large)),
                Ok(None) => {}
                Err(fault) => {
                    let mut connack = Vec::new();
                    let connack = fault.connack(&mut connack).then_some(connack);
                    return Err(Refused { close: Close::Malformed(fault.cause), connack });
                }
            }
            let size = header.packet_size() as usize;
            if size > FREE_PARTIAL_BYTES && large.is_none() {
                let reserved = edge.bridge.reserve(None, size as u64);
                large = Some(reserved.map_err(|_| {
                    let code = reason::SERVER_UNAVAILABLE;
                    Refused::silently(Close::Protocol { label: "connect_memory", code })
                })?);
            }
            missing = size - received.len();
            received.reserve_exact(missing);
        }
        let mut buffer = [0; READ_BYTES];
        let buffer = &mut buffer[..missing.min(READ_BYTES)];
        match read_within(stream, buffer, &mut patience).await {
            Ok(Some(bytes @ 1..)) => received.extend_from_slice(&buffer[..bytes]),
            ended => {
                if let Some(Some(kind)) = perhaps {
                    return Err(foreign(kind, stream));
                }
                let late = matches!(ended, Ok(None));
                let close = if late { Close::TooSlow } else { Close::BeforeConnect };
                return Err(Refused::silently(close));
            }
        }
    }
}

/// What a session keeps of its CONNECT, in bytes. The client id is kept twice, and each text has a place
/// of its own.
fn kept_bytes(device: &Device, will: Option<&StoredWill>) -> usize {
    let properties = device.properties.len() + will.map_or(0, StoredWill::properties);
    let texts = device.bytes() + device.client_id.len() + will.map_or(0, StoredWill::bytes);
    texts + properties * PROPERTY_COST
}

/// The CONNACK that refuses; None where the version has no code for it, or the client takes none of
/// that size.
fn refusal(connect: &Connect<'_>, code: u8, text: &str) -> Option<Vec<u8>> {
    let mut connack = Vec::new();
    let properties = ConnAckProperties {
        reason_string: connect.request_problem_information.then_some(text),
        ..Default::default()
    };
    encode::connack(
        &mut connack,
        connect.version,
        false,
        code,
        &properties,
        connect.maximum_packet_size,
    )
    .then_some(connack)
}

/// The CONNACK that accepts and says what is not available; None where the client does not take it.
fn acceptance(edge: &Edge, connect: &Connect<'_>, assigned: Option<&str>) -> Option<Vec<u8>> {
    let mut connack = Vec::new();
    let properties = ConnAckProperties {
        session_expiry: (connect.session_expiry > 0).then_some(0),
        receive_maximum: edge.limits.window.messages,
        retain_available: false,
        maximum_packet_size: Some(edge.limits.message_size),
        assigned_client_id: assigned,
        subscription_identifier_available: false,
        shared_subscription_available: false,
        ..Default::default()
    };
    encode::connack(
        &mut connack,
        connect.version,
        false,
        reason::SUCCESS,
        &properties,
        connect.maximum_packet_size,
    )
    .then_some(connack)
}

/// A client id that nobody else has.
fn rand_u128() -> u128 {
    u128::from_be_bytes(bridge::envelope::message_id(super::Clock::read().unix_ms))
}
