//! The MQTT codec, server's side: decodes what clients send and encodes what a server sends.
//!
//! It is our own because it has to parse borrowed slices straight out of a receive buffer without
//! allocating, to parse a PUBLISH's head before its payload has arrived, to be strict in v3.1,
//! v3.1.1 and v5, and to know for every fault which reason code each version has for it. It knows
//! no sockets, no sessions and no time.
//!
//! The order of use: [`fixed_header`] on what was received, then by its `kind` [`connect`],
//! [`publish_head`] or [`packet`]. A decoder that returns `None` needs more bytes; a verdict once
//! returned does not change when more bytes arrive. Encoders append to a `Vec<u8>`; see [`encode`].
//!
//! Clause numbers in the comments are those of the OASIS standards: "v5 3.3.2" is MQTT 5.0,
//! "v3.1.1 3.3.2" is MQTT 3.1.1.

mod connect;
pub mod encode;
mod header;
mod malformed;
mod packet;
mod property;
mod publish;
mod reader;
pub mod reason;
mod subscribe;
#[cfg(test)]
mod tests;
mod topic;

pub use connect::{Connect, ConnectFault, Will, connect};
pub use header::{FIXED_HEADER_MAX, FixedHeader, PacketType, fixed_header};
pub use malformed::Malformed;
pub use packet::{Auth, Packet, packet};
pub use property::{UserProperties, UserPropertiesIter};
pub use publish::{PublishHead, publish_head, publish_head_bound, publish_size};
pub use subscribe::{Filter, Filters, Subscribe, Topics, Unsubscribe};

/// The largest body of every packet but PUBLISH and CONNECT, in bytes after the fixed header: a topic or filter of
/// any length, and 4 KiB beside it.
pub const BODY_SIZE_MAX: u32 = 68 * 1024;

/// The largest CONNECT, in bytes, all of it: whoever sends one may be anybody.
pub const CONNECT_SIZE_MAX: u32 = 64 * 1024;

/// The longest topic, in bytes: what its two-byte length can say.
pub const TOPIC_MAX: u32 = u16::MAX as u32;

/// The largest block of properties of a PUBLISH, in bytes after its length.
pub const PROPERTIES_MAX: u32 = 64 * 1024;

/// The largest head of a PUBLISH, in bytes: topic, packet identifier and properties, with the lengths
/// of the first and the last.
pub const PUBLISH_HEAD_MAX: u32 = 2 + TOPIC_MAX + 2 + 3 + PROPERTIES_MAX;

/// The most user properties in one block of properties (CONNECT has two blocks: its own and its
/// will's).
pub const USER_PROPERTIES_MAX: u8 = 64;

/// The protocol version that a client named in its CONNECT.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// MQTT 3.1: protocol name `MQIsdp`, level 3.
    V31,
    /// MQTT 3.1.1: protocol name `MQTT`, level 4.
    V311,
    /// MQTT 5.0: protocol name `MQTT`, level 5.
    V5,
}

impl Version {
    /// All of them, in the order of their places.
    pub const ALL: [Version; 3] = [Version::V31, Version::V311, Version::V5];

    /// The version as people write it; bounded, so that it can label a metric.
    pub const fn label(self) -> &'static str {
        match self {
            Self::V31 => "3.1",
            Self::V311 => "3.1.1",
            Self::V5 => "5",
        }
    }
}
