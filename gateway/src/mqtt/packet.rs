//! The packets of a connected client other than PUBLISH; each is small and decoded whole.

use super::property::{self, Allowed, Properties, Property};
use super::reader::Reader;
use super::subscribe::{Subscribe, Unsubscribe, subscribe, unsubscribe};
use super::{FixedHeader, Malformed, PacketType, Version, reason};

/// A packet from a connected client. In v3, which has no reason codes, `code` is
/// [`reason::SUCCESS`].
#[derive(Clone, Copy, Debug)]
pub enum Packet<'a> {
    PubAck {
        packet_id: u16,
        code: u8,
    },
    PubRec {
        packet_id: u16,
        code: u8,
    },
    PubRel {
        packet_id: u16,
        code: u8,
    },
    PubComp {
        packet_id: u16,
        code: u8,
    },
    Subscribe(Subscribe<'a>),
    Unsubscribe(Unsubscribe<'a>),
    PingReq,
    /// Clean unless the code is above 0: [`reason::DISCONNECT_WITH_WILL`] and the failures publish
    /// the will. `session_expiry` in seconds, where the client changes it.
    Disconnect {
        code: u8,
        session_expiry: Option<u32>,
    },
    Auth(Auth<'a>),
}

/// An AUTH packet of v5.
#[derive(Clone, Copy)]
pub struct Auth<'a> {
    /// [`reason::CONTINUE_AUTHENTICATION`] or [`reason::REAUTHENTICATE`].
    pub code: u8,
    pub method: &'a str,
    pub data: Option<&'a [u8]>,
}

impl std::fmt::Debug for Auth<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Auth")
            .field("code", &self.code)
            .field("method", &self.method)
            .field("data", &self.data.map(|_| "hidden"))
            .finish()
    }
}

/// Decodes every packet but CONNECT and PUBLISH. `body` is the whole body, `header.remaining`
/// bytes.
///
/// A PUBLISH given here is the caller's mistake; a CONNECT is the client's second one. Both are
/// answered with the protocol error that the latter is.
pub fn packet<'a>(
    version: Version,
    header: &FixedHeader,
    body: &'a [u8],
) -> Result<Packet<'a>, Malformed> {
    header.check(version)?;
    debug_assert_eq!(body.len(), header.remaining as usize, "the whole body and no more");
    Ok(match header.kind {
        PacketType::PubAck => {
            let (packet_id, code) = acknowledgement(version, body, is_publish_code)?;
            Packet::PubAck { packet_id, code }
        }
        PacketType::PubRec => {
            let (packet_id, code) = acknowledgement(version, body, is_publish_code)?;
            Packet::PubRec { packet_id, code }
        }
        PacketType::PubRel => {
            let (packet_id, code) = acknowledgement(version, body, is_release_code)?;
            Packet::PubRel { packet_id, code }
        }
        PacketType::PubComp => {
            let (packet_id, code) = acknowledgement(version, body, is_release_code)?;
            Packet::PubComp { packet_id, code }
        }
        PacketType::Subscribe => Packet::Subscribe(subscribe(version, body)?),
        PacketType::Unsubscribe => Packet::Unsubscribe(unsubscribe(version, body)?),
        PacketType::PingReq => {
            Reader::new(body).end()?;
            Packet::PingReq
        }
        PacketType::Disconnect => disconnect(version, body)?,
        PacketType::Auth => Packet::Auth(auth(body)?),
        PacketType::Connect | PacketType::Publish => {
            return Err(Malformed::UnexpectedPacket(header.kind.name()));
        }
    })
}

/// The codes of PUBACK and PUBREC (v5 3.4.2.1, 3.5.2.1).
const fn is_publish_code(code: u8) -> bool {
    matches!(
        code,
        reason::SUCCESS
            | reason::NO_MATCHING_SUBSCRIBERS
            | reason::UNSPECIFIED
            | reason::IMPLEMENTATION_SPECIFIC
            | reason::NOT_AUTHORIZED
            | reason::TOPIC_NAME_INVALID
            | reason::PACKET_IDENTIFIER_IN_USE
            | reason::QUOTA_EXCEEDED
            | reason::PAYLOAD_FORMAT_INVALID
    )
}

/// The codes of PUBREL and PUBCOMP (v5 3.6.2.1, 3.7.2.1).
const fn is_release_code(code: u8) -> bool {
    matches!(code, reason::SUCCESS | reason::PACKET_IDENTIFIER_NOT_FOUND)
}

/// The codes of DISCONNECT that a client may send (v5 3.14.2.1).
const fn is_client_disconnect_code(code: u8) -> bool {
    matches!(
        code,
        reason::SUCCESS
            | reason::DISCONNECT_WITH_WILL
            | reason::UNSPECIFIED
            | reason::MALFORMED_PACKET
            | reason::PROTOCOL_ERROR
            | reason::IMPLEMENTATION_SPECIFIC
            | reason::TOPIC_NAME_INVALID
            | reason::RECEIVE_MAXIMUM_EXCEEDED
            | reason::TOPIC_ALIAS_INVALID
            | reason::PACKET_TOO_LARGE
            | reason::MESSAGE_RATE_TOO_HIGH
            | reason::QUOTA_EXCEEDED
            | reason::ADMINISTRATIVE_ACTION
            | reason::PAYLOAD_FORMAT_INVALID
    )
}

fn checked(code: u8, is_valid: fn(u8) -> bool) -> Result<u8, Malformed> {
    if is_valid(code) { Ok(code) } else { Err(Malformed::ReasonCode(code)) }
}

/// PUBACK, PUBREC, PUBREL and PUBCOMP: two bytes, or in v5 also three, or four and more with
/// properties (v5 3.4.2).
#[inline]
fn acknowledgement(
    version: Version,
    body: &[u8],
    is_valid: fn(u8) -> bool,
) -> Result<(u16, u8), Malformed> {
    let mut reader = Reader::new(body);
    let packet_id = reader.packet_id()?;
    if reader.is_empty() {
        return Ok((packet_id, reason::SUCCESS));
    }
    if version != Version::V5 {
        reader.end()?;
    }
    let code = checked(reader.u8("reason code")?, is_valid)?;
    if !reader.is_empty() {
        Properties::read(&mut reader, Allowed::of(&[property::REASON_STRING]))?.finish()?;
        reader.end()?;
    }
    Ok((packet_id, code))
}

/// Empty, or in v5 also a code, or a code and properties (v5 3.14.2).
fn disconnect(version: Version, body: &[u8]) -> Result<Packet<'_>, Malformed> {
    const ALLOWED: Allowed =
        Allowed::of(&[property::SESSION_EXPIRY_INTERVAL, property::REASON_STRING]);
    let mut reader = Reader::new(body);
    if version != Version::V5 {
        reader.end()?;
    }
    let code = match reader.is_empty() {
        true => reason::SUCCESS,
        false => checked(reader.u8("reason code")?, is_client_disconnect_code)?,
    };
    let mut session_expiry = None;
    if !reader.is_empty() {
        let mut properties = Properties::read(&mut reader, ALLOWED)?;
        while let Some(property) = properties.next()? {
            if let Property::SessionExpiry(seconds) = property {
                session_expiry = Some(seconds);
            }
        }
        reader.end()?;
    }
    Ok(Packet::Disconnect { code, session_expiry })
}

/// v5 3.15. Without a body it would say success, which only a server says.
fn auth(body: &[u8]) -> Result<Auth<'_>, Malformed> {
    const ALLOWED: Allowed = Allowed::of(&[
        property::AUTHENTICATION_METHOD,
        property::AUTHENTICATION_DATA,
        property::REASON_STRING,
    ]);
    let is_client_code =
        |code| matches!(code, reason::CONTINUE_AUTHENTICATION | reason::REAUTHENTICATE);
    let mut reader = Reader::new(body);
    if reader.is_empty() {
        return Err(Malformed::ReasonCode(reason::SUCCESS));
    }
    let code = checked(reader.u8("reason code")?, is_client_code)?;
    let mut properties = Properties::read(&mut reader, ALLOWED)?;
    let (mut method, mut data) = (None, None);
    while let Some(property) = properties.next()? {
        match property {
            Property::AuthenticationMethod(name) => method = Some(name),
            Property::AuthenticationData(bytes) => data = Some(bytes),
            _ => {}
        }
    }
    reader.end()?;
    let method = method.ok_or(Malformed::AuthenticationMethod)?;
    Ok(Auth { code, method, data })
}
