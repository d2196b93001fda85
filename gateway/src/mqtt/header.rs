//! The fixed header: the first two to five bytes of every packet, which say what it is and how
//! much follows. Whatever can be refused from them alone is refused here, before a byte is kept.

use super::reader::{variable_int, variable_int_size};
use super::{BODY_SIZE_MAX, Malformed, Version};

/// The longest fixed header, in bytes.
pub const FIXED_HEADER_MAX: usize = 5;

const DUP: u8 = 0b1000;
const QOS: u8 = 0b0110;
const RETAIN: u8 = 0b0001;

/// The packets that a client may send. Those of the server are refused before they become a type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PacketType {
    Connect,
    Publish,
    PubAck,
    PubRec,
    PubRel,
    PubComp,
    Subscribe,
    Unsubscribe,
    PingReq,
    Disconnect,
    /// Exists in v5 only; [`super::packet`] refuses it in the others.
    Auth,
}

impl PacketType {
    /// The packet's name in the standard.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Connect => "CONNECT",
            Self::Publish => "PUBLISH",
            Self::PubAck => "PUBACK",
            Self::PubRec => "PUBREC",
            Self::PubRel => "PUBREL",
            Self::PubComp => "PUBCOMP",
            Self::Subscribe => "SUBSCRIBE",
            Self::Unsubscribe => "UNSUBSCRIBE",
            Self::PingReq => "PINGREQ",
            Self::Disconnect => "DISCONNECT",
            Self::Auth => "AUTH",
        }
    }

    /// The flags of every packet but PUBLISH, where they are not free (v5 2.1.3).
    const fn flags(self) -> u8 {
        match self {
            Self::PubRel | Self::Subscribe | Self::Unsubscribe => 0b0010,
            _ => 0,
        }
    }
}

/// A decoded fixed header. Its fields are as received; the type is known to be one of a client's
/// and the flags to be possible for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FixedHeader {
    pub kind: PacketType,
    /// The lower four bits of the first byte.
    pub flags: u8,
    /// Bytes that follow the fixed header.
    pub remaining: u32,
    /// Bytes of the fixed header itself, 2 to 5.
    pub len: u8,
}

impl FixedHeader {
    /// The size of the whole packet, in bytes.
    pub const fn packet_size(&self) -> u32 {
        // Cannot overflow: a remaining length has 28 bits.
        self.remaining + self.len as u32
    }

    /// The QoS of a PUBLISH: 0, 1 or 2.
    pub const fn qos(&self) -> u8 {
        (self.flags >> 1) & 0b11
    }

    /// The DUP flag of a PUBLISH.
    pub const fn dup(&self) -> bool {
        self.flags & DUP != 0
    }

    /// The RETAIN flag of a PUBLISH.
    pub const fn retain(&self) -> bool {
        self.flags & RETAIN != 0
    }

    /// Refuses what only the version decides: v5 wants the shortest form of the remaining length
    /// (v5 1.5.5), AUTH came with v5, and flags that v3.1 does not use in a packet (v3.1 2.1 and 3:
    /// all but the QoS of PUBREL, SUBSCRIBE and UNSUBSCRIBE) are reserved from v3.1.1 on. Every
    /// decoder does it; it is public for who refuses before the body is there.
    #[inline]
    pub fn check(&self, version: Version) -> Result<(), Malformed> {
        if version == Version::V5 && self.len != 1 + variable_int_size(self.remaining) {
            return Err(Malformed::LengthNotMinimal("remaining length"));
        }
        if self.kind == PacketType::Publish {
            return Ok(());
        }
        if version != Version::V5 && self.kind == PacketType::Auth {
            return Err(Malformed::PacketType(15));
        }
        if version != Version::V31 && self.flags != self.kind.flags() {
            return Err(Malformed::ReservedFlags { packet: self.kind.name(), flags: self.flags });
        }
        Ok(())
    }
}

/// Decodes the fixed header at the start of `bytes`; `None` when it is not whole yet.
///
/// Refuses at the first byte that decides: impossible flags, packets of the server, a length of
/// five bytes, and a body over [`BODY_SIZE_MAX`] for everything but PUBLISH (whose limit is the
/// caller's) and CONNECT (for which [`super::connect`] can still send the version's CONNACK).
#[inline]
pub fn fixed_header(bytes: &[u8]) -> Result<Option<FixedHeader>, Malformed> {
    let Some((&first, rest)) = bytes.split_first() else {
        return Ok(None);
    };
    let kind = packet_type(first)?;
    let Some((remaining, size)) = variable_int(rest, "remaining length")? else {
        return Ok(None);
    };
    let header = FixedHeader { kind, flags: first & 0x0f, remaining, len: 1 + size };
    if remaining > BODY_SIZE_MAX && !matches!(kind, PacketType::Publish | PacketType::Connect) {
        let (size, limit) = (header.packet_size(), BODY_SIZE_MAX);
        return Err(Malformed::PacketTooLarge { size, limit });
    }
    Ok(Some(header))
}

/// The type and whether its flags are possible in any version; see [`FixedHeader::check`].
#[inline]
fn packet_type(first: u8) -> Result<PacketType, Malformed> {
    let flags = first & 0x0f;
    let (kind, allowed) = match first >> 4 {
        3 => {
            let qos = (flags >> 1) & 0b11;
            if qos == 3 {
                return Err(Malformed::PublishQos);
            }
            if qos == 0 && flags & DUP != 0 {
                return Err(Malformed::DupWithQos0);
            }
            return Ok(PacketType::Publish);
        }
        1 => (PacketType::Connect, true),
        4 => (PacketType::PubAck, true),
        5 => (PacketType::PubRec, true),
        6 => (PacketType::PubRel, flags & QOS == 0b0010),
        7 => (PacketType::PubComp, true),
        8 => (PacketType::Subscribe, flags & QOS == 0b0010),
        10 => (PacketType::Unsubscribe, flags & QOS == 0b0010),
        12 => (PacketType::PingReq, true),
        14 => (PacketType::Disconnect, true),
        15 => (PacketType::Auth, true),
        2 => return Err(Malformed::ServerPacket("CONNACK")),
        9 => return Err(Malformed::ServerPacket("SUBACK")),
        11 => return Err(Malformed::ServerPacket("UNSUBACK")),
        13 => return Err(Malformed::ServerPacket("PINGRESP")),
        unknown => return Err(Malformed::PacketType(unknown)),
    };
    if allowed { Ok(kind) } else { Err(Malformed::ReservedFlags { packet: kind.name(), flags }) }
}
