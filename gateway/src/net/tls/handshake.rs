//! From a socket to a TLS stream: the ClientHello is read, a place among those that shake hands is taken,
//! and the arithmetic is done behind established connections. All of it is under the one deadline that
//! began when the socket was accepted, and what fails is told to the client, counted and logged.
//!
//! A place is what keeps a herd from starving itself: the first flights of so many are made at a time, and
//! whoever was begun goes on past those that wait for theirs. No client can hold a place: it is had for
//! the arithmetic only.

use std::num::NonZero;
use std::sync::Arc;
use std::thread::available_parallelism;

use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{ConnectionState, EncodeError, UnbufferedStatus};
use rustls::{AlertDescription, HandshakeKind, ProtocolVersion};
use sha2::{Digest as _, Sha256};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout_at;

use super::clients::{ClientFault, take_seen};
use super::hello::{Beginning, HELLO_MAX_BYTES, Offer};
use super::stream::{RECORD_MAX_BYTES, TlsStream};
use super::{Material, Tls};
use crate::connection::Close;
use crate::edge::Edge;
use crate::metrics;
use crate::net::silent::Silence;
use crate::net::{Certificate, Peer, Transport};
use crate::patience::Patience;

/// Handshakes at a time, for each core.
const AT_ONCE_PER_CORE: usize = 100;
/// Bytes read at once.
const READ_BYTES: usize = 4 * 1024;
/// Bytes of a handshake that may be here and not be understood yet: one message, in one record or many.
const HELD_MAX_BYTES: usize = HELLO_MAX_BYTES + RECORD_MAX_BYTES;

/// The record in which rustls tells a client of TLS 1.2, in the clear, that it has to show a certificate.
const NO_CERTIFICATE_1_2: &[u8] = &[21, 3, 3, 0, 2, 2, 116];
const HANDSHAKE_FAILURE_1_2: &[u8] = &[21, 3, 3, 0, 2, 2, 40];

/// Places for handshakes, of the whole process.
pub struct Handshakes(Arc<Semaphore>);

impl Default for Handshakes {
    fn default() -> Handshakes {
        let cores = available_parallelism().map_or(1, NonZero::get);
        Handshakes(Arc::new(Semaphore::new(cores * AT_ONCE_PER_CORE)))
    }
}

/// Why a handshake failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HandshakeFault {
    /// What came is no TLS: MQTT without it, by its first byte.
    PlainMqtt,
    PlainHttp,
    NotTls,
    /// No version, suite, group or signature in common.
    Incompatible,
    NoCertificate,
    Client(ClientFault),
    /// The client ended it, mostly because it does not trust the gateway's certificate.
    ClientAlert,
    Malformed,
    TooLarge,
}

impl HandshakeFault {
    pub const COUNT: usize = 8 + ClientFault::ALL.len();

    /// Its place among all; the number of all is above.
    fn index(self) -> usize {
        match self {
            HandshakeFault::PlainMqtt => 0,
            HandshakeFault::PlainHttp => 1,
            HandshakeFault::NotTls => 2,
            HandshakeFault::Incompatible => 3,
            HandshakeFault::NoCertificate => 4,
            HandshakeFault::ClientAlert => 5,
            HandshakeFault::Malformed => 6,
            HandshakeFault::TooLarge => 7,
            HandshakeFault::Client(fault) => {
                let index = ClientFault::ALL.iter().position(|known| *known == fault);
                8 + index.expect("all of them are there")
            }
        }
    }

    /// The value of the `reason` label.
    pub fn label(self) -> &'static str {
        match self {
            HandshakeFault::PlainMqtt => "plain_mqtt",
            HandshakeFault::PlainHttp => "plain_http",
            HandshakeFault::NotTls => "not_tls",
            HandshakeFault::Incompatible => "incompatible",
            HandshakeFault::NoCertificate => "no_certificate",
            HandshakeFault::Client(fault) => fault.label(),
            HandshakeFault::ClientAlert => "client_alert",
            HandshakeFault::Malformed => "malformed",
            HandshakeFault::TooLarge => "too_large",
        }
    }

    /// Of what a connection begins with that is no TLS.
    fn of_plain(bytes: &[u8]) -> HandshakeFault {
        const METHODS: [&[u8]; 7] = [b"GET ", b"POST", b"PUT ", b"HEAD", b"DELE", b"OPTI", b"PATC"];
        match bytes {
            [0x10, ..] => HandshakeFault::PlainMqtt,
            _ if METHODS.iter().any(|method| bytes.starts_with(method)) => {
                HandshakeFault::PlainHttp
            }
            _ => HandshakeFault::NotTls,
        }
    }

    fn of(error: &rustls::Error, seen: Option<ClientFault>) -> HandshakeFault {
        match (error, seen) {
            (rustls::Error::InvalidCertificate(_), Some(fault)) => HandshakeFault::Client(fault),
            // Its signature in the handshake.
            (rustls::Error::InvalidCertificate(_), None) => {
                HandshakeFault::Client(ClientFault::BadSignature)
            }
            (rustls::Error::NoCertificatesPresented, _) => HandshakeFault::NoCertificate,
            (rustls::Error::PeerIncompatible(_), _) => HandshakeFault::Incompatible,
            (rustls::Error::AlertReceived(_), _) => HandshakeFault::ClientAlert,
            _ => HandshakeFault::Malformed,
        }
    }
}

/// A handshake under way.
struct Attempt {
    connection: UnbufferedServerConnection,
    /// What was received and not taken.
    incoming: Vec<u8>,
    /// Of that, so much is whole records that rustls has looked at and wants more behind.
    looked_at: usize,
    /// What has to leave.
    outgoing: Vec<u8>,
    /// What came behind the handshake, decrypted.
    plaintext: Vec<u8>,
    /// What the client's certificate turned out to be.
    seen: Option<Result<Certificate, ClientFault>>,
}

enum Step {
    /// More has to come.
    Blocked,
    Done,
    /// The client said goodbye.
    Ended,
    Failed(rustls::Error),
}

/// Shakes hands: the stream, and the certificate that the client proved to have. Its silence ends with a whole
/// ClientHello.
///
/// Not cancel safe: what was read is lost.
pub async fn accept(
    tls: &Arc<Tls>,
    edge: &Edge,
    transport: Transport,
    peer: &Peer,
    mut silence: Silence,
    patience: &mut Patience,
) -> Result<(Transport, Option<Arc<Certificate>>), Close> {
    let mut socket = Socket { tls, peer, transport, patience };
    let hello = silence.until(socket.hello()).await.unwrap_or(Err(Close::Silent));
    let (offer, incoming) = hello?;
    drop(silence);
    let material = tls.material();
    let config = match offer.has_protocol(material.protocols) {
        true => &material.with_protocols,
        false => &material.without_protocols,
    };
    let connection = UnbufferedServerConnection::new(Arc::clone(config));
    let connection = match connection {
        Ok(connection) => connection,
        Err(error) => {
            tracing::error!(listener = peer.listener(), %error, "TLS cannot be served");
            return Err(Close::Tls(HandshakeFault::Malformed));
        }
    };
    let attempt = Box::new(Attempt {
        connection,
        incoming,
        looked_at: 0,
        outgoing: Vec::new(),
        plaintext: Vec::new(),
        seen: None,
    });
    let attempt = socket.shake(edge, &offer, attempt).await?;
    socket.finish(&material, &offer, attempt).await
}

/// What a handshake goes on over.
struct Socket<'a> {
    tls: &'a Arc<Tls>,
    peer: &'a Peer,
    transport: Transport,
    patience: &'a mut Patience,
}

impl Socket<'_> {
    /// Reads until the ClientHello is whole: what it offers, and everything that came.
    async fn hello(&mut self) -> Result<(Offer, Vec<u8>), Close> {
        let mut incoming = Vec::new();
        loop {
            match Beginning::of(&incoming) {
                Beginning::Hello(offer) => return Ok((offer, incoming)),
                Beginning::Foreign => {
                    let fault = HandshakeFault::of_plain(&incoming);
                    return Err(self.refuse(fault, "", None, &[]).await);
                }
                Beginning::Part if incoming.len() > HELD_MAX_BYTES => {
                    return Err(self.refuse(HandshakeFault::TooLarge, "", None, &[]).await);
                }
                Beginning::Part => self.read(&mut incoming).await?,
            }
        }
    }

    /// Steps until the handshake is over.
    async fn shake(
        &mut self,
        edge: &Edge,
        offer: &Offer,
        mut attempt: Box<Attempt>,
    ) -> Result<Box<Attempt>, Close> {
        let mut place = Some(self.place(edge).await?);
        loop {
            let step;
            (attempt, step) = match edge.low_priority.run(move || attempt.step()).await {
                Ok(stepped) => stepped,
                Err(error) => {
                    tracing::error!(listener = self.peer.listener(), %error, "a handshake failed");
                    return Err(Close::PeerGone);
                }
            };
            // What follows goes past those that were not begun.
            place.take();
            let outgoing = std::mem::take(&mut attempt.outgoing);
            match step {
                Step::Failed(error) => {
                    let seen = attempt.seen.and_then(Result::err);
                    let fault = HandshakeFault::of(&error, seen);
                    let text = match (fault, &error) {
                        (HandshakeFault::Client(fault), _) => fault.to_string(),
                        (_, rustls::Error::AlertReceived(alert)) => told_by(*alert),
                        (_, error) => error.to_string(),
                    };
                    return Err(self.refuse(fault, &text, Some(offer), &outgoing).await);
                }
                Step::Ended => return Err(Close::BeforeConnect),
                Step::Blocked | Step::Done => {}
            }
            match self.transport.write_within(&outgoing, self.patience).await {
                Ok(true) => {}
                Ok(false) => return Err(Close::TooSlow),
                Err(_) => return Err(Close::BeforeConnect),
            }
            if matches!(step, Step::Done) {
                return Ok(attempt);
            }
            while whole_records(&attempt.incoming) <= attempt.looked_at {
                if attempt.incoming.len() > HELD_MAX_BYTES {
                    return Err(self.refuse(HandshakeFault::TooLarge, "", Some(offer), &[]).await);
                }
                self.read(&mut attempt.incoming).await?;
            }
        }
    }

    /// A place among those that shake hands at a time.
    async fn place(&mut self, edge: &Edge) -> Result<OwnedSemaphorePermit, Close> {
        let places = &edge.tls_handshakes.0;
        loop {
            let place = Arc::clone(places).acquire_owned();
            if let Ok(place) = timeout_at(self.patience.due(), place).await {
                return Ok(place.expect("nobody closes it"));
            }
            if self.patience.ends(std::time::Instant::now()) {
                return Err(Close::TooSlow);
            }
        }
    }

    /// Reads what comes next.
    async fn read(&mut self, incoming: &mut Vec<u8>) -> Result<(), Close> {
        let mut buffer = [0; READ_BYTES];
        match self.transport.read_within(&mut buffer, self.patience).await {
            Ok(Some(0)) | Err(_) => Err(Close::BeforeConnect),
            Ok(Some(count)) => {
                incoming.extend_from_slice(&buffer[..count]);
                Ok(())
            }
            Ok(None) => Err(Close::TooSlow),
        }
    }

    /// Makes a stream of a handshake that is over.
    async fn finish(
        mut self,
        material: &Material,
        offer: &Offer,
        attempt: Box<Attempt>,
    ) -> Result<(Transport, Option<Arc<Certificate>>), Close> {
        let Attempt { connection, incoming, plaintext, seen, .. } = *attempt;
        let shown = connection.peer_certificates().and_then(<[_]>::first);
        let certificate = match (shown, seen) {
            (None, _) if material.clients.as_ref().is_some_and(|clients| clients.is_required()) => {
                let fault = HandshakeFault::NoCertificate;
                return Err(self.refuse(fault, "", Some(offer), &[]).await);
            }
            (None, _) => None,
            // What was looked at is what the session has: else nobody knows whether it is good.
            (Some(shown), Some(Ok(seen)))
                if seen.fingerprint == Some(Sha256::digest(shown).into()) =>
            {
                Some(Arc::new(seen))
            }
            (Some(_), _) => {
                let fault = HandshakeFault::Client(ClientFault::Unacceptable);
                return Err(self.refuse(fault, "", Some(offer), &[]).await);
            }
        };
        let version = match connection.protocol_version() {
            Some(ProtocolVersion::TLSv1_3) => "1.3",
            _ => "1.2",
        };
        let kind = match connection.handshake_kind() {
            Some(HandshakeKind::Resumed) => "resumed",
            _ => "full",
        };
        let listener = self.peer.listener().to_owned();
        let labels = [("listener", listener), ("version", version.into()), ("kind", kind.into())];
        ::metrics::counter!(metrics::TLS_HANDSHAKES, &labels).increment(1);
        let record_size = self.tls.settings.record_size;
        let stream = TlsStream::new(self.transport, connection, incoming, plaintext, record_size);
        Ok((Transport::Tls(Box::new(stream)), certificate))
    }

    /// Counts, logs and tells the client, with `alert`, where there is one.
    async fn refuse(
        &mut self,
        fault: HandshakeFault,
        text: &str,
        offer: Option<&Offer>,
        alert: &[u8],
    ) -> Close {
        let (listener, peer, reason) = (self.peer.listener(), self.peer, fault.label());
        let labels = [("listener", listener.to_owned()), ("reason", reason.to_owned())];
        ::metrics::counter!(metrics::TLS_HANDSHAKES_REFUSED, &labels).increment(1);
        if self.tls.refused_logs[fault.index()].allows() {
            match (fault, offer) {
                (HandshakeFault::PlainMqtt, _) => tracing::warn!(
                    listener,
                    %peer,
                    "MQTT without TLS came to a listener with TLS: let the client connect with TLS, \
                     or to a listener without"
                ),
                (HandshakeFault::PlainHttp, _) => tracing::warn!(
                    listener,
                    %peer,
                    "HTTP without TLS came to a listener with TLS: let health checks ask /livez and \
                     /readyz of the admin port, or open a TCP connection here"
                ),
                (_, None) => tracing::warn!(
                    listener,
                    %peer,
                    reason,
                    "what came to a listener with TLS is none"
                ),
                (_, Some(offer)) => tracing::warn!(
                    listener,
                    %peer,
                    reason,
                    error = text,
                    versions = %offer.versions(),
                    suites = %offer.suites(),
                    groups = %offer.groups(),
                    "a TLS handshake failed"
                ),
            }
        }
        Box::pin(self.transport.close_with(alert)).await;
        Close::Tls(fault)
    }
}

impl Attempt {
    /// Goes on with what is here, on a thread that may take its time.
    fn step(mut self: Box<Attempt>) -> (Box<Attempt>, Step) {
        // Of another client, whose handshake failed in the middle.
        take_seen();
        let step = loop {
            let UnbufferedStatus { discard, state } =
                self.connection.process_tls_records(&mut self.incoming);
            let step = match state {
                Ok(ConnectionState::EncodeTlsData(mut data)) => {
                    if let Err(EncodeError::InsufficientSize(size)) = data.encode(&mut []) {
                        let begin = self.outgoing.len();
                        self.outgoing.resize(begin + size.required_size, 0);
                        let encoded = data.encode(&mut self.outgoing[begin..]);
                        encoded.expect("it has as much room as it asked for");
                    }
                    None
                }
                Ok(ConnectionState::TransmitTlsData(data)) => {
                    // It is in `outgoing`, and leaves before anything else is asked.
                    data.done();
                    None
                }
                Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                    while let Some(Ok(record)) = traffic.next_record() {
                        self.plaintext.extend_from_slice(record.payload);
                    }
                    None
                }
                Ok(ConnectionState::WriteTraffic(_)) => Some(Step::Done),
                Ok(ConnectionState::BlockedHandshake) => Some(Step::Blocked),
                Ok(_) => Some(Step::Ended),
                Err(error) => Some(Step::Failed(error)),
            };
            self.incoming.drain(..discard);
            if let Some(step) = step {
                break step;
            }
        };
        if let Step::Failed(_) = step {
            self.take_alert();
        }
        if let Some(seen) = take_seen() {
            self.seen = Some(seen);
        }
        self.looked_at = whole_records(&self.incoming);
        (self, step)
    }

    /// What rustls has to say about its failure.
    fn take_alert(&mut self) {
        let UnbufferedStatus { state, .. } = self.connection.process_tls_records(&mut []);
        if let Ok(ConnectionState::EncodeTlsData(mut data)) = state {
            let mut alert = [0; 256];
            if let Ok(length) = data.encode(&mut alert) {
                self.outgoing.extend_from_slice(match &alert[..length] {
                    // TLS 1.2 knows no such alert, and its clients may not (RFC 5246, 7.4.6).
                    NO_CERTIFICATE_1_2 => HANDSHAKE_FAILURE_1_2,
                    other => other,
                });
            }
        }
    }
}

/// Bytes of records that are here to their ends.
fn whole_records(bytes: &[u8]) -> usize {
    let mut end = 0;
    while let Some([_, _, _, high, low]) = bytes.get(end..end + 5) {
        let next = end + 5 + usize::from(u16::from_be_bytes([*high, *low]));
        if next > bytes.len() {
            break;
        }
        end = next;
    }
    end
}

/// What a client's alert most often means.
fn told_by(alert: AlertDescription) -> String {
    let meaning = match alert {
        AlertDescription::UnknownCA
        | AlertDescription::BadCertificate
        | AlertDescription::CertificateUnknown
        | AlertDescription::CertificateExpired => ": it does not trust the gateway's certificate",
        _ => "",
    };
    format!("the client ended it with {alert:?}{meaning}")
}
