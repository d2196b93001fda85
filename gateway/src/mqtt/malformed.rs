//! Why bytes from a client are refused: for each fault a label for metrics, the v5 reason code and
//! a sentence for people. Nothing in it is taken from the client's text, so that it can be logged.

use super::{PROPERTIES_MAX, USER_PROPERTIES_MAX, reason};

/// A packet that breaks the standard or one of the codec's limits. The connection ends with it: in
/// v5 with DISCONNECT (or CONNACK) and [`Malformed::code`], in v3 by closing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    // The fixed header.
    #[error("packet type {0} does not exist in this version; is the peer speaking MQTT at all?")]
    PacketType(u8),
    #[error("{0} is sent by servers only, a client must not send it")]
    ServerPacket(&'static str),
    #[error("{0} is not allowed here: CONNECT is the first packet and comes once")]
    UnexpectedPacket(&'static str),
    #[error("the flags {flags:#06b} in the first byte of {packet} are not those of the standard")]
    ReservedFlags { packet: &'static str, flags: u8 },
    #[error("PUBLISH has QoS 3, which does not exist")]
    PublishQos,
    #[error("PUBLISH has DUP set with QoS 0; only QoS 1 and 2 are ever sent again")]
    DupWithQos0,
    #[error("the {0} is longer than the four bytes it may have")]
    LengthTooLong(&'static str),
    #[error("the {0} is not encoded in the fewest bytes")]
    LengthNotMinimal(&'static str),
    #[error("a packet of {size} bytes that is not a PUBLISH is over the limit of {limit}")]
    PacketTooLarge { size: u32, limit: u32 },
    #[error("the properties of a PUBLISH are over the limit of {PROPERTIES_MAX} bytes")]
    HeadTooLarge,

    // The body.
    #[error("the packet ends inside its {0}")]
    MissingBytes(&'static str),
    #[error("the packet goes on after its last field by {0} bytes")]
    ExcessBytes(u32),
    #[error("the {0} is not UTF-8")]
    Utf8(&'static str),
    #[error("the {0} contains U+0000, which MQTT strings must not")]
    Nul(&'static str),
    #[error("the packet identifier is 0; it counts from 1")]
    PacketIdentifier,
    #[error("the reason code {0:#04x} is not one that a client may send in this packet")]
    ReasonCode(u8),

    // Topics and filters.
    #[error("the topic of a PUBLISH is empty (and in v5 no topic alias stands for it)")]
    TopicEmpty,
    #[error("the topic of a PUBLISH contains a wildcard; `+` and `#` are for subscriptions")]
    TopicWildcard,
    #[error("the topic alias is 0; it counts from 1")]
    TopicAlias,
    #[error("the response topic is empty or contains a wildcard")]
    ResponseTopic,
    #[error("the will's topic is empty or contains a wildcard")]
    WillTopic,
    #[error(
        "a topic filter is empty, or `#` is not its whole last level, or `+` not a whole level"
    )]
    TopicFilter,
    #[error("a shared subscription is not of the form $share/NAME/FILTER")]
    ShareName,
    #[error("SUBSCRIBE or UNSUBSCRIBE without any topic filter")]
    NoFilters,
    #[error("a subscription asks for QoS 3, which does not exist")]
    SubscriptionQos,
    #[error("a subscription has retain handling 3, which does not exist")]
    RetainHandling,
    #[error("reserved bits of the subscription options are not 0")]
    SubscriptionOptions,
    #[error("a shared subscription has No Local set, which is not allowed")]
    NoLocalShared,

    // Properties of v5.
    #[error("the length of the properties goes beyond the packet")]
    PropertyLength,
    #[error("property {0:#04x} is unknown or does not belong into this packet")]
    PropertyNotAllowed(u8),
    #[error("property {0:#04x} in this packet is for servers to send, not for clients")]
    ServerProperty(u8),
    #[error("property {0:#04x} is there twice")]
    PropertyTwice(u8),
    #[error("property {0:#04x} has a value that the standard does not allow")]
    PropertyValue(u8),
    #[error(
        "more than {USER_PROPERTIES_MAX} user properties; send fewer or put them into the payload"
    )]
    TooManyUserProperties,
    #[error("authentication data or AUTH without an authentication method")]
    AuthenticationMethod,

    // CONNECT.
    #[error("the protocol name of CONNECT is neither `MQTT` nor `MQIsdp`")]
    ProtocolName,
    #[error("protocol level {0} is not supported; use 3 (with `MQIsdp`), 4 or 5")]
    ProtocolLevel(u8),
    #[error("the reserved bit of the CONNECT flags is not 0")]
    ConnectFlags,
    #[error("the CONNECT flags describe an impossible will: QoS 3, or QoS or retain without one")]
    WillFlags,
    #[error("CONNECT has a password without a user name, which only v5 allows")]
    PasswordWithoutUserName,
    #[error("an empty client identifier needs a clean session, and in v3.1 it is never allowed")]
    ClientIdentifier,
}

impl Malformed {
    /// The fault as a label of a metric: snake case, one of a fixed set.
    pub const fn label(&self) -> &'static str {
        match self {
            Self::PacketType(_) => "packet_type",
            Self::ServerPacket(_) => "server_packet",
            Self::UnexpectedPacket(_) => "unexpected_packet",
            Self::ReservedFlags { .. } => "reserved_flags",
            Self::PublishQos => "publish_qos",
            Self::DupWithQos0 => "dup_with_qos0",
            Self::LengthTooLong(_) => "length_too_long",
            Self::LengthNotMinimal(_) => "length_not_minimal",
            Self::PacketTooLarge { .. } => "packet_too_large",
            Self::HeadTooLarge => "head_too_large",
            Self::MissingBytes(_) => "missing_bytes",
            Self::ExcessBytes(_) => "excess_bytes",
            Self::Utf8(_) => "utf8",
            Self::Nul(_) => "nul",
            Self::PacketIdentifier => "packet_identifier",
            Self::ReasonCode(_) => "reason_code",
            Self::TopicEmpty => "topic_empty",
            Self::TopicWildcard => "topic_wildcard",
            Self::TopicAlias => "topic_alias",
            Self::ResponseTopic => "response_topic",
            Self::WillTopic => "will_topic",
            Self::TopicFilter => "topic_filter",
            Self::ShareName => "share_name",
            Self::NoFilters => "no_filters",
            Self::SubscriptionQos => "subscription_qos",
            Self::RetainHandling => "retain_handling",
            Self::SubscriptionOptions => "subscription_options",
            Self::NoLocalShared => "no_local_shared",
            Self::PropertyLength => "property_length",
            Self::PropertyNotAllowed(_) => "property_not_allowed",
            Self::ServerProperty(_) => "server_property",
            Self::PropertyTwice(_) => "property_twice",
            Self::PropertyValue(_) => "property_value",
            Self::TooManyUserProperties => "too_many_user_properties",
            Self::AuthenticationMethod => "authentication_method",
            Self::ProtocolName => "protocol_name",
            Self::ProtocolLevel(_) => "protocol_level",
            Self::ConnectFlags => "connect_flags",
            Self::WillFlags => "will_flags",
            Self::PasswordWithoutUserName => "password_without_user_name",
            Self::ClientIdentifier => "client_identifier",
        }
    }

    /// The v5 reason code for DISCONNECT, or CONNACK when the fault is in CONNECT (v5 4.13 says
    /// what is malformed and what is a protocol error). A topic or filter that breaks 4.7 is
    /// malformed; the codes of topics and filters are for what is well-formed and not accepted.
    pub const fn code(&self) -> u8 {
        match self {
            Self::PacketType(_)
            | Self::ReservedFlags { .. }
            | Self::PublishQos
            | Self::DupWithQos0
            | Self::LengthTooLong(_)
            | Self::LengthNotMinimal(_)
            | Self::MissingBytes(_)
            | Self::ExcessBytes(_)
            | Self::Utf8(_)
            | Self::Nul(_)
            | Self::SubscriptionOptions
            | Self::PropertyLength
            | Self::PropertyNotAllowed(_)
            | Self::ConnectFlags
            | Self::WillFlags
            | Self::PasswordWithoutUserName
            | Self::TopicFilter
            | Self::ShareName
            | Self::TopicWildcard
            | Self::WillTopic
            | Self::ResponseTopic => reason::MALFORMED_PACKET,
            Self::ServerPacket(_)
            | Self::UnexpectedPacket(_)
            | Self::PacketIdentifier
            | Self::ReasonCode(_)
            | Self::TopicEmpty
            | Self::NoFilters
            | Self::SubscriptionQos
            | Self::RetainHandling
            | Self::NoLocalShared
            | Self::ServerProperty(_)
            | Self::PropertyTwice(_)
            | Self::PropertyValue(_)
            | Self::AuthenticationMethod => reason::PROTOCOL_ERROR,
            Self::ProtocolName | Self::ProtocolLevel(_) => reason::UNSUPPORTED_PROTOCOL_VERSION,
            Self::ClientIdentifier => reason::CLIENT_IDENTIFIER_NOT_VALID,
            Self::TopicAlias => reason::TOPIC_ALIAS_INVALID,
            Self::PacketTooLarge { .. } | Self::HeadTooLarge => reason::PACKET_TOO_LARGE,
            Self::TooManyUserProperties => reason::QUOTA_EXCEEDED,
        }
    }
}
