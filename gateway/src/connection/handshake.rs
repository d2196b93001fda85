//! From an accepted socket to a session, or to the CONNACK that says why there is none: read, check,
//! identify, admit, claim, answer. One deadline from accept to CONNACK, whoever is waited for.

use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::time::Duration;

use bridge::Mailbox;
use bridge::message::Device;
use bridge::text::escape;
use tokio::time::sleep;

use super::deadlines::Deadlines;
use super::foreign::{Recognised, recognise};
use super::inbound::{FREE_PARTIAL_BYTES, Inbound};
use super::outbound::Outbound;
use super::{
    Clock, Close, Connection, FOREVER, Foreign, Refusal, Shared, StoredWill, denied, subject, tell,
};
use crate::access::{self, Action};
use crate::admission::Admitted;
use crate::arrivals::Arriving;
use crate::audit::{Entry, Event};
use crate::budget::Kept;
use crate::clients::{Claim, ClaimLost};
use crate::edge::Edge;
use crate::identity::{Bound, Denied, Evidence, Identity};
use crate::mqtt::encode::ConnAckProperties;
use crate::mqtt::{self, Connect, ConnectFault, PacketType, Version, encode, reason};
use crate::net::silent::Silence;
use crate::net::{self, Accepted, Peer, Transport};
use crate::patience::Patience;
use crate::phase::Phase;
use crate::rights::Seen;
use crate::session::{Beginning, FREE_CONNECT_BYTES, Session};

/// How long after the socket was accepted the client has to have its CONNACK.
const HANDSHAKE_WAIT: Duration = Duration::from_secs(10);
/// What is left of that at least for who has to wait for its CONNACK on purpose.
const HELD_BACK_LEAVES: Duration = Duration::from_secs(2);
/// Longest client id, in bytes: it is kept, and becomes the key of records.
const CLIENT_ID_MAX_BYTES: usize = 1024;
/// A connection's timer looks for its first deadline then.
const TIMER_BEGINS: Duration = Duration::from_secs(1);
/// Bytes read at once.
const READ_BYTES: usize = 1024;
/// What a property takes beside its two texts, in bytes.
const PROPERTY_COST: usize = 64;

/// Why there is no session, and what the client is told.
struct Refused {
    close: Close,
    /// None where the client has no CONNACK for it, or takes none of that size.
    connack: Option<Vec<u8>>,
}

/// A socket on which MQTT can be spoken.
struct Opened {
    transport: Transport,
    peer: Peer,
    admitted: Admitted,
    /// By how many connections there are more than there may be.
    over_limit_by: u32,
    /// For the audit log: as CONNECT says it, and as it was proved.
    client_id: Box<str>,
    identity: Option<Arc<Identity>>,
    /// As they were before anything was asked of it.
    rights: Seen,
}

/// A CONNECT, parsed once: what of it outlives the bytes that it came in.
struct Request {
    terms: Terms,
    /// Empty: one is to be assigned.
    client_id: Box<str>,
    asks_for_authentication: bool,
    /// What was brought to prove who it is.
    user_name: Option<Box<str>>,
    password: Option<Box<[u8]>>,
    properties: Vec<(Box<str>, Box<str>)>,
    will: Option<Box<StoredWill>>,
    /// Memory of a large one, until what is kept of it counts elsewhere.
    _room: Arriving,
    /// What came behind it.
    rest: Vec<u8>,
}

/// What both sides keep to while they talk.
#[derive(Clone, Copy)]
struct Terms {
    version: Version,
    keep_alive_s: u16,
    asked_for_session: bool,
    /// The client wants to be told reasons.
    wants_reasons: bool,
    /// Largest packet that the client takes, in bytes.
    client_packet_max: Option<u32>,
}

/// Who may have a session as soon as nobody else has the client id.
struct Candidate {
    terms: Terms,
    client_id: Arc<str>,
    identity: Option<Arc<Identity>>,
    device: Device,
    will: Option<Box<StoredWill>>,
    /// What is kept of CONNECT beyond what is free.
    kept: Kept,
    connack: Vec<u8>,
    rest: Vec<u8>,
}

/// A session that begins.
struct Established {
    candidate: Candidate,
    claim: Claim,
    mailbox: Arc<Mailbox>,
}

/// Makes a connection of a socket; None if that came to its end, and the client was told.
pub(super) async fn establish(edge: Arc<Edge>, accepted: Accepted) -> Option<Box<Connection>> {
    let mut patience = Patience::since(accepted.at, HANDSHAKE_WAIT);
    let rights = edge.rights.seen();
    let Accepted { transport, mut peer, admitted, silence, over_limit_by, .. } = accepted;
    let opened = net::open(&edge, transport, &mut peer, silence, &mut patience).await;
    let (transport, silence) = match opened {
        Ok(opened) => opened,
        Err(close) => {
            close.count();
            tell_refused(&edge, &peer, "", None, &close);
            return None;
        }
    };
    let (client_id, identity) = (Box::default(), None);
    let mut opened =
        Opened { transport, peer, admitted, over_limit_by, client_id, identity, rights };
    match shake(&edge, &mut opened, silence, &mut patience).await {
        Ok(established) => {
            let connection = established.into_connection(edge, opened);
            connection.shared.tell(Event::Connected, Entry::default());
            Some(connection)
        }
        Err(refused) => {
            let (client_id, identity) = (&opened.client_id, opened.identity.as_deref());
            tell_refused(&edge, &opened.peer, client_id, identity, &refused.close);
            refused.end(&mut opened.transport).await;
            None
        }
    }
}

/// Tells the audit log of somebody who was not let in. Who said nothing, left or was slow was not refused.
fn tell_refused(
    edge: &Edge,
    peer: &Peer,
    client_id: &str,
    identity: Option<&Identity>,
    close: &Close,
) {
    let is_refusal = !matches!(
        close,
        Close::BeforeConnect | Close::PeerGone | Close::Silent | Close::TooSlow | Close::NotReading
    );
    if is_refusal {
        let entry = Entry { reason: Some(close.label()), ..Entry::default() };
        tell(edge, peer, client_id, identity, Event::Refused, entry);
    }
}

/// Gets the client a session within the deadline that began when it was accepted.
async fn shake(
    edge: &Arc<Edge>,
    opened: &mut Opened,
    mut silence: Silence,
    patience: &mut Patience,
) -> Result<Established, Refused> {
    let Opened { transport, peer, over_limit_by, client_id, identity: proved, .. } = opened;
    let request = silence.until(read(edge, transport, peer, patience)).await;
    let request = request.unwrap_or(Err(Close::Silent.into()))?;
    drop(silence);
    if edge.audit.is_on() {
        *client_id = request.client_id.clone();
    }
    let terms = request.terms;
    check(edge, *over_limit_by, &request).map_err(|refusal| terms.refused(refusal))?;
    // That may wait, and nothing was taken from anybody yet.
    let identity = identify(edge, peer, &request, patience).await;
    let identity = identity.map_err(|refusal| terms.refused(refusal))?;
    proved.clone_from(&identity);
    let candidate = admit(edge, peer, request, identity);
    let candidate = candidate.map_err(|refusal| terms.refused(refusal))?;
    hold_back(peer, &candidate, patience).await;
    let established = claim(edge, peer, candidate, patience).await;
    let established = established.map_err(|refusal| terms.refused(refusal))?;
    match transport.write_within(&established.candidate.connack, patience).await {
        Ok(true) => Ok(established),
        Ok(false) => Err(Close::NotReading.into()),
        Err(_) => Err(Close::PeerGone.into()),
    }
}

/// Reads until CONNECT is whole.
///
/// Not cancel safe: what was read of it is lost.
async fn read(
    edge: &Edge,
    transport: &mut Transport,
    peer: &Peer,
    patience: &mut Patience,
) -> Result<Request, Refused> {
    let mut received = Vec::new();
    let mut room = edge.handshakes.nothing(peer.ip());
    let mut here_max = FREE_PARTIAL_BYTES;
    let foreign = |foreign: Foreign| {
        foreign.log(edge, peer);
        Refused::from(Close::Foreign(foreign))
    };
    loop {
        let mut missing = READ_BYTES;
        let perhaps = match recognise(&received) {
            Recognised::Foreign(kind) => return Err(foreign(kind)),
            Recognised::Perhaps(kind) => Some(kind),
            Recognised::Nothing => None,
        };
        if perhaps.is_none()
            && let Some(header) = mqtt::fixed_header(&received).map_err(Close::Malformed)?
        {
            if header.kind != PacketType::Connect {
                return Err(Close::from(Refusal::NoConnect).into());
            }
            let size = header.packet_size() as usize;
            if let Some(connect) = mqtt::connect(&header, &received[usize::from(header.len)..])? {
                return Ok(Request::new(&connect, room, &received[size..]));
            }
            // Taken as it arrives, so that a large one that was only announced holds nothing.
            if received.len() == here_max {
                here_max *= 2;
                if !room.change(here_max.min(size) as u64) {
                    return Err(Close::from(Refusal::ConnectMemory).into());
                }
            }
            missing = size.min(here_max) - received.len();
            received.reserve_exact(missing);
        }
        let mut buffer = [0; READ_BYTES];
        let buffer = &mut buffer[..missing.min(READ_BYTES)];
        match transport.read_within(buffer, patience).await {
            Ok(Some(bytes @ 1..)) => received.extend_from_slice(&buffer[..bytes]),
            ended => {
                if let Some(Some(kind)) = perhaps {
                    return Err(foreign(kind));
                }
                return Err(match ended.map_err(Close::from) {
                    Ok(None) => Close::TooSlow,
                    Err(fault @ Close::Frame(_)) => fault,
                    Ok(Some(_)) | Err(_) => Close::BeforeConnect,
                }
                .into());
            }
        }
    }
}

/// Whether the gateway gives sessions to those who ask like this.
fn check(edge: &Edge, over_limit_by: u32, request: &Request) -> Result<(), Refusal> {
    if over_limit_by > 0 {
        return Err(Refusal::ConnectionLimit);
    }
    if edge.phase() != Phase::Running {
        return Err(Refusal::ShuttingDown);
    }
    if request.asks_for_authentication {
        return Err(Refusal::AuthenticationMethod);
    }
    if request.client_id.len() > CLIENT_ID_MAX_BYTES {
        return Err(Refusal::ClientIdTooLong);
    }
    match &request.will {
        Some(will) => authorise_will(request.terms.version, will),
        None => Ok(()),
    }
}

/// Whether the client may leave this will.
fn authorise_will(version: Version, will: &StoredWill) -> Result<(), Refusal> {
    // Version 3 has no word for it: the flag is data there.
    if version == Version::V5 && will.retain() {
        return Err(Refusal::Retain);
    }
    Ok(())
}

/// Asks who the client is, where its listener does; None: anybody may come in there.
async fn identify(
    edge: &Edge,
    peer: &Peer,
    request: &Request,
    patience: &mut Patience,
) -> Result<Option<Arc<Identity>>, Refusal> {
    let Some(demands) = &peer.entrance.demands else { return Ok(None) };
    let evidence = Evidence {
        client_id: &request.client_id,
        certificate: peer.certificate.as_deref(),
        user_name: request.user_name.as_deref(),
        password: request.password.as_deref(),
        address: peer.ip(),
    };
    let identified = demands.identify(&evidence, &edge.low_priority);
    let Some(identified) = patience.wait_for(identified).await else {
        return Err(Refusal::AuthenticationBusy);
    };
    if let Err(denied) = identified
        && edge.denied_log.allows()
    {
        let (listener, reason) = (peer.listener(), denied.label());
        match (denied, &peer.certificate) {
            (Denied::Nameless, Some(certificate)) => tracing::info!(
                listener,
                %peer,
                reason,
                sha256 = certificate.sha256(),
                "no name of a client's certificate fits authentication.certificate.identity: \
                 landfall explain --certificate tells more"
            ),
            _ => tracing::info!(listener, %peer, reason, "a client has not proved who it is"),
        }
    }
    Ok(Some(identified?))
}

/// The client id that is assigned in place of an empty one, if the identity may have what it asks for.
fn bind(
    peer: &Peer,
    identity: Option<&Identity>,
    client_id: &str,
) -> Result<Option<String>, Refusal> {
    let (Some(demands), Some(identity)) = (&peer.entrance.demands, identity) else {
        return Ok(client_id.is_empty().then(assigned_client_id));
    };
    match demands.binding.bind(identity.name(), client_id, assigned_client_id) {
        Some(Bound::AsAsked) => Ok(None),
        Some(Bound::Assigned(id)) => Ok(Some(id)),
        None => Err(Refusal::ClientIdForeign),
    }
}

/// Takes the memory that the session keeps and writes the CONNACK. All of it comes before the client id
/// is taken over: who cannot be accepted ends nobody else's session.
fn admit(
    edge: &Edge,
    peer: &Peer,
    request: Request,
    identity: Option<Arc<Identity>>,
) -> Result<Candidate, Refusal> {
    let Request { terms, client_id, properties, will, rest, .. } = request;
    let assigned = bind(peer, identity.as_deref(), &client_id)?;
    let connack = acceptance(edge, &terms, assigned.as_deref()).ok_or(Refusal::ConnackTooLarge)?;
    let client_id: Box<str> = assigned.map_or(client_id, String::into_boxed_str);
    let verified = identity.as_ref().map(|identity| Arc::clone(&identity.verified));
    let device = Device { client_id, verified, properties };
    if let (Some(access), Some(will)) = (&peer.entrance.access, &will)
        && !access.may_publish(&subject(peer, &device, identity.as_deref()), will.topic())
    {
        access::count_denied(Action::Publish);
        let entry = denied(Action::Publish, will.topic());
        tell(edge, peer, &device.client_id, identity.as_deref(), Event::Denied, entry);
        return Err(Refusal::WillNotAuthorized);
    }
    let bytes = kept_bytes(&device, identity.as_deref(), will.as_deref());
    let connect_bytes = bytes.saturating_sub(FREE_CONNECT_BYTES);
    let mut kept = Kept::nothing(&edge.sessions);
    if !kept.change(connect_bytes as u64) {
        edge.log_sessions_full(&device.client_id, connect_bytes as u64);
        return Err(Refusal::ConnectKept);
    }
    let client_id = (&*device.client_id).into();
    Ok(Candidate { terms, client_id, identity, device, will, kept, connack, rest })
}

/// Who was ended for what it may not do gets its CONNACK later, and so does it again later.
///
/// Cancel safe.
async fn hold_back(peer: &Peer, candidate: &Candidate, patience: &Patience) {
    let Some(access) = &peer.entrance.access else { return };
    let now = tokio::time::Instant::now();
    let subject = subject(peer, &candidate.device, candidate.identity.as_deref());
    let wait = access.returns.wait(&subject, peer.ip(), now.into_std());
    if !wait.is_zero() {
        let due = patience.due();
        let latest = due.checked_sub(HELD_BACK_LEAVES).unwrap_or(due);
        tokio::time::sleep_until(latest.min(now + wait)).await;
    }
}

/// Takes the client id, after the end of the connection that has it.
async fn claim(
    edge: &Edge,
    peer: &Peer,
    candidate: Candidate,
    patience: &mut Patience,
) -> Result<Established, Refusal> {
    let mailbox = Arc::new(Mailbox::default());
    let Candidate { client_id, identity, .. } = &candidate;
    let claim = edge.clients.claim(client_id, identity.as_ref(), &mailbox, patience).await;
    let claim = claim.map_err(|lost| match lost {
        ClaimLost::Contended => Refusal::ClientIdContended,
        ClaimLost::Held => Refusal::ClientIdHeld,
    })?;
    if claim.again && edge.takeover_log.allows() {
        tracing::warn!(
            client_id = escape(&candidate.client_id).as_str(),
            listener = peer.listener(),
            %peer,
            "connections with one client id throw each other out: give each device its own"
        );
    }
    Ok(Established { candidate, claim, mailbox })
}

impl Request {
    fn new(connect: &Connect<'_>, room: Arriving, rest: &[u8]) -> Request {
        let own = |(name, value): (&str, &str)| (name.into(), value.into());
        Request {
            terms: Terms {
                version: connect.version,
                keep_alive_s: connect.keep_alive,
                asked_for_session: connect.session_expiry > 0,
                wants_reasons: connect.request_problem_information,
                client_packet_max: connect.maximum_packet_size,
            },
            client_id: connect.client_id.into(),
            asks_for_authentication: connect.authentication_method.is_some(),
            user_name: connect.username.map(Into::into),
            password: connect.password.map(Into::into),
            properties: connect.user_properties.iter().map(own).collect(),
            will: connect.will.map(|will| Box::new(StoredWill::new(&will))),
            _room: room,
            rest: rest.to_vec(),
        }
    }
}

impl Terms {
    /// With the CONNACK that says so, where the version has a code for it and the client takes it.
    fn refused(&self, refusal: Refusal) -> Refused {
        let properties = ConnAckProperties {
            reason_string: self.wants_reasons.then_some(refusal.sentence()),
            ..Default::default()
        };
        let code = refusal.connack_code(self.version);
        let connack = code.and_then(|code| self.connack(code, &properties));
        Refused { close: refusal.into(), connack }
    }

    /// None where the client does not take it.
    fn connack(&self, code: u8, properties: &ConnAckProperties<'_>) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        let (version, limit) = (self.version, self.client_packet_max);
        encode::connack(&mut out, version, false, code, properties, limit).then_some(out)
    }
}

/// The CONNACK that accepts and says what is not available; None where the client does not take it.
fn acceptance(edge: &Edge, terms: &Terms, assigned: Option<&str>) -> Option<Vec<u8>> {
    let properties = ConnAckProperties {
        session_expiry: terms.asked_for_session.then_some(0),
        receive_maximum: edge.limits.window.messages,
        retain_available: false,
        maximum_packet_size: Some(edge.limits.message_size),
        assigned_client_id: assigned,
        subscription_identifier_available: false,
        shared_subscription_available: false,
        ..Default::default()
    };
    terms.connack(reason::SUCCESS, &properties)
}

/// What a session keeps of its CONNECT, in bytes. The client id is kept twice, and each text has a place
/// of its own.
fn kept_bytes(device: &Device, identity: Option<&Identity>, will: Option<&StoredWill>) -> usize {
    let attributes = device.verified.as_ref().map_or(0, |verified| verified.attributes.len());
    let properties = device.properties.len() + will.map_or(0, StoredWill::properties);
    let texts = device.bytes() + device.client_id.len() + will.map_or(0, StoredWill::bytes);
    texts + identity.map_or(0, Identity::bytes) + (properties + attributes) * PROPERTY_COST
}

/// A client id that nobody else has.
fn assigned_client_id() -> String {
    let random = u128::from_be_bytes(bridge::identity::message_id(Clock::read().unix_ms));
    format!("auto-{random:032x}")
}

impl Refused {
    /// Counts the end, sends the CONNACK, if there is one, and closes.
    async fn end(self, transport: &mut Transport) {
        self.close.count();
        let is_there =
            !matches!(self.close, Close::PeerGone | Close::BeforeConnect | Close::Silent);
        if self.connack.is_some() || is_there && transport.says_goodbye() {
            transport.close_with(&self.connack.unwrap_or_default()).await;
        }
    }
}

/// Without a word.
impl From<Close> for Refused {
    fn from(close: Close) -> Refused {
        Refused { close, connack: None }
    }
}

impl From<ConnectFault> for Refused {
    fn from(fault: ConnectFault) -> Refused {
        let mut connack = Vec::new();
        let connack = fault.connack(&mut connack).then_some(connack);
        Refused { close: Close::Malformed(fault.cause), connack }
    }
}

impl Established {
    fn into_connection(self, edge: Arc<Edge>, opened: Opened) -> Box<Connection> {
        let Established { candidate, claim, mailbox } = self;
        let Candidate { terms, identity, device, will, kept, rest, .. } = candidate;
        let Opened { transport, peer, mut admitted, rights, .. } = opened;
        admitted.speaks(terms.version);
        let beginning = Beginning {
            is_v5: terms.version == Version::V5,
            asked_to_outlive: terms.asked_for_session,
            will,
            kept,
        };
        let clock = Clock::read();
        let session = Session::new(mailbox, edge.limits.window, beginning);
        let shared = Arc::new(Shared {
            edge,
            device,
            identity,
            peer,
            version: terms.version,
            keep_alive_s: terms.keep_alive_s,
            connected_s: (clock.unix_ms / 1000) as u32,
            ends_at_ms: AtomicI64::new(FOREVER),
        });
        shared.stays_until(shared.peer.certificate.as_ref().and_then(|shown| shown.ends_at_ms));
        claim.show(&shared);
        // Perhaps it was not there yet when the others were looked at.
        if rights != shared.edge.rights.seen()
            && let Some(signal) = shared.after_change()
        {
            session.mailbox().signal(signal);
        }
        Box::new(Connection {
            session,
            shared,
            transport,
            _admitted: admitted,
            claim: Some(claim),
            inbound: Inbound::new(rest),
            outbound: Outbound::new(terms.version, terms.client_packet_max),
            blocked: None,
            examination: None,
            deadlines: Deadlines::new(terms.keep_alive_s, clock.now),
            timer: Box::pin(sleep(TIMER_BEGINS)),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpStream;
    use std::thread;
    use std::time::Instant;

    use super::*;
    use crate::edge::tests::edge;
    use crate::net::peer::tests::peer;
    use crate::net::silent::Silent;
    use crate::net::transport::tests::pair;

    const CONNECT: &[u8] = b"\x10\x13\0\x04MQTT\x04\x02\0\x3c\0\x07meter-1";

    fn silence() -> Silence {
        Silent::new(1).begin(Instant::now())
    }

    async fn opened(edge: &Arc<Edge>) -> (Opened, TcpStream) {
        let (transport, client) = pair().await;
        let address = client.local_addr().expect("it is connected");
        let (peer, client_id, identity) = (peer(address), Box::default(), None);
        let rights = edge.rights.seen();
        let (admitted, over_limit_by) = edge.admission.admit(&peer.entrance.admission);
        (Opened { transport, peer, admitted, over_limit_by, client_id, identity, rights }, client)
    }

    /// A client that takes its time at each stage: it sends CONNECT late, the connection that has its
    /// client id ends late, and it reads late.
    async fn dawdle(wait: Duration, pause: Duration) -> Result<(), Close> {
        let edge = edge();
        let (mut opened, mut client) = opened(&edge).await;
        // Nothing more can be sent to it until it reads.
        while let Ok(Some(_)) = opened.transport.write_now(&[0; 64 * 1024]) {}
        let id: Arc<str> = "meter-1".into();
        let mut begun = Patience::new(wait);
        let mut patience = Patience::new(wait);
        let holder =
            edge.clients.claim(&id, None, &Arc::new(Mailbox::default()), &mut patience).await;
        let holder = holder.expect("nobody has it");
        let dawdling = thread::spawn(move || {
            thread::sleep(pause);
            client.write_all(CONNECT).expect("it is connected");
            thread::sleep(pause);
            drop(holder);
            thread::sleep(pause);
            // Until the gateway closes.
            let mut bytes = vec![0; 1024 * 1024];
            while matches!(client.read(&mut bytes), Ok(1..)) {}
        });
        let shaken = shake(&edge, &mut opened, silence(), &mut begun).await;
        drop(opened);
        dawdling.join().expect("the client has its end");
        shaken.map(|_| ()).map_err(|refused| refused.close)
    }

    #[tokio::test]
    async fn everything_until_connack_has_one_deadline() {
        // Each pause is within it, and all of them are not.
        let late = dawdle(Duration::from_millis(900), Duration::from_millis(600)).await;
        assert!(late.is_err(), "each stage has its own deadline");
        let in_time = dawdle(Duration::from_secs(60), Duration::from_millis(50)).await;
        assert_eq!(in_time, Ok(()));
    }

    #[tokio::test]
    async fn a_connect_is_read_however_it_is_cut_and_what_is_behind_it_is_kept() {
        let edge = edge();
        for cut in 1..CONNECT.len() {
            let (mut opened, mut client) = opened(&edge).await;
            let sending = thread::spawn(move || {
                client.write_all(&CONNECT[..cut]).expect("it is connected");
                thread::sleep(Duration::from_millis(2));
                client.write_all(&CONNECT[cut..]).expect("it is connected");
                client.write_all(&[0xc0, 0]).expect("it is connected");
                client
            });
            let mut patience = Patience::new(HANDSHAKE_WAIT);
            let shaken = shake(&edge, &mut opened, silence(), &mut patience).await;
            let established = shaken.unwrap_or_else(|refused| panic!("{:?}", refused.close));
            let mut connection = established.into_connection(Arc::clone(&edge), opened);
            let mut client = sending.join().expect("everything was sent");
            let mut connack = [0; 4];
            client.read_exact(&mut connack).expect("a CONNACK");
            assert_eq!(connack, [0x20, 2, 0, 0]);
            assert_eq!(&*connection.shared.device.client_id, "meter-1");
            let rest = connection.inbound.take_held();
            assert!([&[][..], &[0xc0], &[0xc0, 0]].contains(&&*rest), "{:02x?}", &*rest);
        }
        assert!(edge.clients.is_empty());
        assert_eq!(edge.connections(), 0);
    }
}
