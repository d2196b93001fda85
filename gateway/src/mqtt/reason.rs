//! The reason codes of MQTT 5.0 (2.4), which Landfall uses inside for every version, and the only
//! place where they are translated for older ones.

/// Success; normal disconnection; granted QoS 0.
pub const SUCCESS: u8 = 0x00;
/// DISCONNECT of a client that wants its will published.
pub const DISCONNECT_WITH_WILL: u8 = 0x04;
/// Accepted, but no subscription matched.
pub const NO_MATCHING_SUBSCRIBERS: u8 = 0x10;
/// UNSUBACK: there was no such subscription.
pub const NO_SUBSCRIPTION_EXISTED: u8 = 0x11;
/// AUTH: the exchange goes on.
pub const CONTINUE_AUTHENTICATION: u8 = 0x18;
/// AUTH: the client wants to authenticate again.
pub const REAUTHENTICATE: u8 = 0x19;
/// The reason is not revealed or fits no other code; also v3.1.1's only SUBACK failure.
pub const UNSPECIFIED: u8 = 0x80;
/// The packet cannot be parsed.
pub const MALFORMED_PACKET: u8 = 0x81;
/// The packet is well-formed, but not allowed here.
pub const PROTOCOL_ERROR: u8 = 0x82;
/// Valid, but not accepted by this server.
pub const IMPLEMENTATION_SPECIFIC: u8 = 0x83;
/// The server does not speak the protocol level.
pub const UNSUPPORTED_PROTOCOL_VERSION: u8 = 0x84;
/// The client identifier is not allowed.
pub const CLIENT_IDENTIFIER_NOT_VALID: u8 = 0x85;
/// User name or password are wrong.
pub const BAD_USER_NAME_OR_PASSWORD: u8 = 0x86;
/// The client may not do this.
pub const NOT_AUTHORIZED: u8 = 0x87;
/// The server cannot serve now.
pub const SERVER_UNAVAILABLE: u8 = 0x88;
/// The server has too much to do; try again later.
pub const SERVER_BUSY: u8 = 0x89;
/// The client was banned.
pub const BANNED: u8 = 0x8A;
/// The server shuts down.
pub const SERVER_SHUTTING_DOWN: u8 = 0x8B;
/// The authentication method is not supported.
pub const BAD_AUTHENTICATION_METHOD: u8 = 0x8C;
/// Nothing was received for 1.5 times the keep-alive.
pub const KEEP_ALIVE_TIMEOUT: u8 = 0x8D;
/// Another connection uses the same client identifier.
pub const SESSION_TAKEN_OVER: u8 = 0x8E;
/// The topic filter is malformed or not accepted.
pub const TOPIC_FILTER_INVALID: u8 = 0x8F;
/// The topic name is malformed or not accepted.
pub const TOPIC_NAME_INVALID: u8 = 0x90;
/// The packet identifier is already in use.
pub const PACKET_IDENTIFIER_IN_USE: u8 = 0x91;
/// The packet identifier is unknown.
pub const PACKET_IDENTIFIER_NOT_FOUND: u8 = 0x92;
/// More QoS 1 and 2 publishes are open than were announced.
pub const RECEIVE_MAXIMUM_EXCEEDED: u8 = 0x93;
/// The topic alias is 0 or above the announced maximum.
pub const TOPIC_ALIAS_INVALID: u8 = 0x94;
/// The packet exceeds the announced maximum.
pub const PACKET_TOO_LARGE: u8 = 0x95;
/// Messages come too fast.
pub const MESSAGE_RATE_TOO_HIGH: u8 = 0x96;
/// A limit of the implementation or of an administrator was exceeded.
pub const QUOTA_EXCEEDED: u8 = 0x97;
/// An administrator closed the connection.
pub const ADMINISTRATIVE_ACTION: u8 = 0x98;
/// The payload is not what its format indicator says.
pub const PAYLOAD_FORMAT_INVALID: u8 = 0x99;
/// Retained messages are not available.
pub const RETAIN_NOT_SUPPORTED: u8 = 0x9A;
/// The QoS is above the announced maximum.
pub const QOS_NOT_SUPPORTED: u8 = 0x9B;
/// Use another server for a while.
pub const USE_ANOTHER_SERVER: u8 = 0x9C;
/// Use another server for good.
pub const SERVER_MOVED: u8 = 0x9D;
/// Shared subscriptions are not available.
pub const SHARED_SUBSCRIPTIONS_NOT_SUPPORTED: u8 = 0x9E;
/// Connections come too fast.
pub const CONNECTION_RATE_EXCEEDED: u8 = 0x9F;
/// The connection has lasted its longest time.
pub const MAXIMUM_CONNECT_TIME: u8 = 0xA0;
/// Subscription identifiers are not available.
pub const SUBSCRIPTION_IDENTIFIERS_NOT_SUPPORTED: u8 = 0xA1;
/// Wildcard subscriptions are not available.
pub const WILDCARD_SUBSCRIPTIONS_NOT_SUPPORTED: u8 = 0xA2;

/// The CONNACK return code of v3.1 and v3.1.1 (v3.1.1 3.2.2.3) that says the same as a v5 reason
/// code, or `None` where there is none and the connection is closed without a CONNACK.
pub const fn v3_connack(code: u8) -> Option<u8> {
    match code {
        SUCCESS => Some(0),
        UNSUPPORTED_PROTOCOL_VERSION => Some(1),
        CLIENT_IDENTIFIER_NOT_VALID => Some(2),
        SERVER_UNAVAILABLE => Some(3),
        BAD_USER_NAME_OR_PASSWORD => Some(4),
        NOT_AUTHORIZED => Some(5),
        _ => None,
    }
}
