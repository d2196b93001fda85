//! The PROXY protocol (HAProxy's proxy-protocol.txt), versions 1 and 2: a load balancer in front says whose
//! connection it hands on. Only those who are trusted are believed, and of the socket no more is read than
//! the header, because what is behind it belongs to TLS.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use proxy_header::{ParseConfig, Protocol, ProxyHeader, Tlv};

use super::tls::Template;
use super::{Certificate, Network, Peer, Transport};
use crate::connection::Close;
use crate::edge::Edge;
use crate::patience::Patience;

const V1: &[u8] = b"PROXY ";
const V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// The longest line of version 1, in bytes.
const V1_MAX: usize = 107;
/// Version 2 up to its length.
const V2_HEAD: usize = 16;
/// The longest header of version 2 that is taken, in bytes. It is read with what a connection has by right.
const V2_MAX: usize = 2 * 1024;

/// Who says whose connections these are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Who is believed, and has to say it. On a unix socket that is everybody who can open it.
    pub trusted: Vec<Network>,
    /// The common name of a certificate that they verified is as good as the certificate, and by these it says
    /// who comes; None: what they say of certificates is not listened to.
    pub common_names: Option<Vec<Template>>,
}

/// Why a connection has no header that counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderFault {
    /// A load balancer that is trusted sent none.
    Missing,
    /// It is cut, too long, or contradicts itself.
    Malformed,
    /// It came from somebody who is not trusted.
    Stranger,
}

/// Whose connection it is, as a header says.
#[derive(Debug, PartialEq, Eq)]
pub struct Proxied {
    /// None: the sender's own, such as a health check.
    pub address: Option<SocketAddr>,
    /// Of a certificate that the sender verified.
    pub common_name: Option<Box<str>>,
}

/// How far a header has come.
#[derive(Debug, PartialEq, Eq)]
pub enum Header {
    /// It lacks more bytes; so many may be read without reading what is behind it.
    Partial(Next),
    Whole(Proxied),
    Fault(HeaderFault),
}

/// What may be read next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    Bytes(usize),
    /// Up to the end of the line, of at most so many bytes.
    Line(usize),
}

/// Looks at what came of a header. Pure.
pub fn header(bytes: &[u8]) -> Header {
    let begins = |header: &[u8]| bytes.starts_with(&header[..header.len().min(bytes.len())]);
    if bytes.len() < V1.len() && (begins(V1) || begins(V2)) {
        return Header::Partial(Next::Bytes(V1.len() - bytes.len()));
    }
    if begins(V1) {
        return match bytes.ends_with(b"\n") {
            true => parse(bytes),
            false if bytes.len() < V1_MAX => Header::Partial(Next::Line(V1_MAX - bytes.len())),
            false => Header::Fault(HeaderFault::Malformed),
        };
    }
    if !begins(V2) {
        return Header::Fault(HeaderFault::Missing);
    }
    let Some(head) = bytes.get(..V2_HEAD) else {
        return Header::Partial(Next::Bytes(V2_HEAD - bytes.len()));
    };
    let size = V2_HEAD + usize::from(u16::from_be_bytes([head[14], head[15]]));
    match bytes.len() {
        _ if size > V2_MAX => Header::Fault(HeaderFault::Malformed),
        here if here < size => Header::Partial(Next::Bytes(size - here)),
        _ => parse(&bytes[..size]),
    }
}

/// Reads a whole header. UDP over a TCP connection is a lie like any other.
fn parse(bytes: &[u8]) -> Header {
    const MALFORMED: Header = Header::Fault(HeaderFault::Malformed);
    let config = ParseConfig { include_tlvs: true, ..ParseConfig::default() };
    let Ok((header, size)) = ProxyHeader::parse(bytes, config) else { return MALFORMED };
    if size != bytes.len() || header.tlvs().any(|tlv| tlv.is_err()) || !is_intact(&header, bytes) {
        return MALFORMED;
    }
    match header.proxied_address() {
        Some(proxied) if proxied.protocol != Protocol::Stream => MALFORMED,
        proxied => {
            let canonical =
                |address: SocketAddr| SocketAddr::new(address.ip().to_canonical(), address.port());
            let address = proxied.map(|proxied| canonical(proxied.source));
            // Of its own connection, such as a health check, it says nothing of anybody.
            let common_name = address.and_then(|_| common_name(&header));
            Header::Whole(Proxied { address, common_name })
        }
    }
}

/// The common name of the certificate that the client showed the sender, which verified it (2.2.6): a name alone
/// is there of certificates that are not good, too.
fn common_name(header: &ProxyHeader<'_>) -> Option<Box<str>> {
    let tls = header.ssl()?;
    let has_shown = tls.client_cert_conn() || tls.client_cert_sess();
    let is_good = tls.client_ssl() && has_shown && tls.verify() == 0;
    tls.cn().filter(|name| is_good && !name.is_empty()).map(Into::into)
}

/// The checksum fits, where there is one (2.2.4).
fn is_intact(header: &ProxyHeader<'_>, bytes: &[u8]) -> bool {
    let mut checksums = header.tlvs().filter_map(|tlv| match tlv {
        Ok(Tlv::Crc32c(checksum)) => Some(checksum),
        _ => None,
    });
    let Some(checksum) = checksums.next() else { return true };
    let value = checksum.to_be_bytes();
    // It counts as zero in itself. Where it stands is found by its type and length, behind the addresses.
    let field = [&[0x03, 0, 4][..], &value].concat();
    let places = bytes.windows(field.len()).enumerate().filter(|(_, part)| *part == field);
    let mut places = places.map(|(place, _)| place + field.len() - value.len());
    places.any(|place| {
        let before = crc32c(u32::MAX, &bytes[..place]);
        let zeroed = crc32c(before, &[0; 4]);
        !crc32c(zeroed, &bytes[place + value.len()..]) == checksum
    })
}

/// Castagnoli's checksum (RFC 4960, appendix B), bit by bit: a header has few bytes and comes once.
fn crc32c(begun: u32, bytes: &[u8]) -> u32 {
    const POLYNOMIAL: u32 = 0x82f6_3b78;
    bytes.iter().fold(begun, |sum, byte| {
        let shift = |sum: u32, _| (sum >> 1) ^ (POLYNOMIAL * (sum & 1));
        (0..8).fold(sum ^ u32::from(*byte), shift)
    })
}

impl Settings {
    fn trusts(&self, address: Option<IpAddr>) -> bool {
        address.is_none_or(|address| self.trusted.iter().any(|network| network.contains(address)))
    }

    /// Reads the header of who is trusted, and makes the peer the one it names. Who is not trusted comes for
    /// himself.
    ///
    /// Not cancel safe: what was read is lost.
    pub async fn read(
        &self,
        edge: &Edge,
        transport: &mut Transport,
        peer: &mut Peer,
        patience: &mut Patience,
    ) -> Result<(), Close> {
        let fault = match self.trusts(peer.ip()) {
            true => match receive(transport, patience).await? {
                Ok(proxied) => {
                    peer.address = proxied.address.or(peer.address);
                    if let (Some(templates), Some(name)) = (&self.common_names, proxied.common_name)
                    {
                        peer.certificate = Some(Arc::new(Certificate::told(templates, name)));
                    }
                    return Ok(());
                }
                Err(fault) => fault,
            },
            false => {
                let mut first = [0; V2.len()];
                let here = transport.peek_within(&mut first, patience).await;
                let here = &first[..here.map_err(|_| Close::BeforeConnect)?.unwrap_or(0)];
                if !here.starts_with(V1) && here != V2 {
                    return Ok(());
                }
                HeaderFault::Stranger
            }
        };
        fault.log(edge, peer);
        Err(Close::Proxy(fault))
    }
}

async fn receive(
    transport: &mut Transport,
    patience: &mut Patience,
) -> Result<Result<Proxied, HeaderFault>, Close> {
    let mut received = Vec::new();
    loop {
        let (most, until_line) = match header(&received) {
            Header::Whole(proxied) => return Ok(Ok(proxied)),
            Header::Fault(fault) => return Ok(Err(fault)),
            Header::Partial(Next::Bytes(bytes)) => (bytes, false),
            Header::Partial(Next::Line(bytes)) => (bytes, true),
        };
        let mut buffer = [0; V1_MAX];
        let mut wanted = most.min(V1_MAX);
        if until_line {
            // What is before the end of the line is the header's, and so it may be read.
            let here = transport.peek_within(&mut buffer[..wanted], patience).await;
            wanted = match here.unwrap_or_default() {
                Some(here @ 1..) => match buffer[..here].iter().position(|byte| *byte == b'\n') {
                    Some(end) => end + 1,
                    None => here,
                },
                // The read says what it is.
                _ => 1,
            };
        }
        match transport.read_within(&mut buffer[..wanted], patience).await {
            Ok(Some(bytes @ 1..)) => received.extend_from_slice(&buffer[..bytes]),
            Ok(None) => return Err(Close::TooSlow),
            _ if received.is_empty() => return Err(Close::BeforeConnect),
            _ => return Ok(Err(HeaderFault::Malformed)),
        }
    }
}

impl HeaderFault {
    /// All of them, in the order of their places.
    pub const ALL: [HeaderFault; 3] =
        [HeaderFault::Missing, HeaderFault::Malformed, HeaderFault::Stranger];

    /// The value of the `reason` label.
    pub fn label(self) -> &'static str {
        match self {
            HeaderFault::Missing => "proxy_header_missing",
            HeaderFault::Malformed => "proxy_header_malformed",
            HeaderFault::Stranger => "proxy_header",
        }
    }

    /// Says what came and what to do, now and then.
    fn log(self, edge: &Edge, peer: &Peer) {
        if !edge.proxy_logs[self as usize].allows() {
            return;
        }
        let listener = peer.listener();
        match self {
            HeaderFault::Missing => tracing::warn!(
                listener,
                %peer,
                "a load balancer that is trusted sent no PROXY header: switch the PROXY protocol on \
                 there (HAProxy: send-proxy-v2 and check-send-proxy; AWS NLB: \
                 proxy_protocol_v2.enabled; nginx: proxy_protocol on), or take its network out of \
                 proxy_protocol.trusted"
            ),
            HeaderFault::Malformed => tracing::warn!(
                listener,
                %peer,
                "a load balancer that is trusted sent a PROXY header that is cut, too long or \
                 contradicts itself"
            ),
            HeaderFault::Stranger => tracing::warn!(
                listener,
                %peer,
                "a PROXY header came from an address that is not trusted: if it is a load balancer, \
                 write its network into proxy_protocol.trusted of this listener"
            ),
        }
    }
}

#[cfg(test)]
mod tests;
