//! The packets that a server sends, never larger than what the client takes. Each function appends
//! one packet to `out`, in the client's version, and returns whether it did: nothing is appended
//! that is over `limit`, the client's Maximum Packet Size in bytes, which a server must not exceed
//! (v5 3.1.2.11.4).
//!
//! Reason codes are v5's everywhere and are translated here.

use super::reader::variable_int_size;
use super::{Version, property, reason};

/// The longest reason string that is sent, in bytes; longer ones are cut.
pub const REASON_STRING_MAX: usize = 1024;

const REMAINING_MAX: u32 = 0x0fff_ffff;

/// The smallest CONNACK of v5, in bytes: a code and no properties.
pub(super) const CONNACK_MIN: u32 = 5;

/// The properties of a v5 CONNACK. [`Default`] is what the standard takes for granted, and only
/// what differs from it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnAckProperties<'a> {
    /// Seconds; `None`: as the client asked.
    pub session_expiry: Option<u32>,
    /// QoS 1 and 2 publishes that the client may have open; at least 1.
    pub receive_maximum: u16,
    pub retain_available: bool,
    /// Bytes of a whole packet; at least 1.
    pub maximum_packet_size: Option<u32>,
    /// At most 65,535 bytes, without U+0000.
    pub assigned_client_id: Option<&'a str>,
    pub topic_alias_maximum: u16,
    /// Left out where it would make the packet too large for the client.
    pub reason_string: Option<&'a str>,
    pub wildcard_subscription_available: bool,
    pub subscription_identifier_available: bool,
    pub shared_subscription_available: bool,
    /// Seconds; `None`: as the client asked.
    pub server_keep_alive: Option<u16>,
}

impl Default for ConnAckProperties<'_> {
    fn default() -> Self {
        Self {
            session_expiry: None,
            receive_maximum: u16::MAX,
            retain_available: true,
            maximum_packet_size: None,
            assigned_client_id: None,
            topic_alias_maximum: 0,
            reason_string: None,
            wildcard_subscription_available: true,
            subscription_identifier_available: true,
            shared_subscription_available: true,
            server_keep_alive: None,
        }
    }
}

/// CONNACK. False when v3 has no return code for `code` ([`reason::v3_connack`]; close without
/// one), when the packet is over `limit`, or when the assigned client identifier is too long.
#[must_use = "without its CONNACK no session begins"]
pub fn connack(
    out: &mut Vec<u8>,
    version: Version,
    session_present: bool,
    code: u8,
    properties: &ConnAckProperties<'_>,
    limit: Option<u32>,
) -> bool {
    // v3.1 has no such flag, and with a failure it is 0 (v5 3.2.2.1.1).
    let session_present = session_present && code == reason::SUCCESS && version != Version::V31;
    if version != Version::V5 {
        let Some(code) = reason::v3_connack(code) else {
            return false;
        };
        out.extend_from_slice(&[0x20, 2, u8::from(session_present), code]);
        return true;
    }
    if properties.assigned_client_id.is_some_and(|id| id.len() > usize::from(u16::MAX)) {
        return false;
    }
    // One allocation for each connection, which costs more than that anyway.
    let mut block = Vec::with_capacity(64);
    connack_properties(&mut block, properties);
    with_reason(
        out,
        0x20,
        &[u8::from(session_present), code],
        block,
        properties.reason_string,
        limit,
    )
}

fn connack_properties(block: &mut Vec<u8>, properties: &ConnAckProperties<'_>) {
    let mut u16_property = |identifier, value: u16| {
        block.push(identifier);
        block.extend_from_slice(&value.to_be_bytes());
    };
    if properties.receive_maximum != u16::MAX {
        u16_property(property::RECEIVE_MAXIMUM, properties.receive_maximum);
    }
    if properties.topic_alias_maximum != 0 {
        u16_property(property::TOPIC_ALIAS_MAXIMUM, properties.topic_alias_maximum);
    }
    if let Some(seconds) = properties.server_keep_alive {
        u16_property(property::SERVER_KEEP_ALIVE, seconds);
    }
    for (identifier, value) in [
        (property::SESSION_EXPIRY_INTERVAL, properties.session_expiry),
        (property::MAXIMUM_PACKET_SIZE, properties.maximum_packet_size),
    ] {
        if let Some(value) = value {
            block.push(identifier);
            block.extend_from_slice(&value.to_be_bytes());
        }
    }
    for (identifier, available) in [
        (property::RETAIN_AVAILABLE, properties.retain_available),
        (property::WILDCARD_SUBSCRIPTION_AVAILABLE, properties.wildcard_subscription_available),
        (property::SUBSCRIPTION_IDENTIFIER_AVAILABLE, properties.subscription_identifier_available),
        (property::SHARED_SUBSCRIPTION_AVAILABLE, properties.shared_subscription_available),
    ] {
        if !available {
            block.extend_from_slice(&[identifier, 0]);
        }
    }
    if let Some(client_id) = properties.assigned_client_id {
        block.push(property::ASSIGNED_CLIENT_IDENTIFIER);
        string(block, client_id.as_bytes());
    }
}

/// DISCONNECT, which only v5 servers send. Without its reason string where that makes it too large;
/// false when it is over `limit` then, too: closing is what is left.
#[must_use = "the client may have to be closed without a word"]
pub fn disconnect(
    out: &mut Vec<u8>,
    code: u8,
    reason_string: Option<&str>,
    limit: Option<u32>,
) -> bool {
    // The length of no properties may be left out (v5 3.14.2.2.1), but rumqttc then waits for it.
    with_reason(out, 0xE0, &[code], Vec::new(), reason_string, limit)
}

/// A packet of a fixed part and properties, with the reason string where it fits (v5 3.2.2.3.9).
fn with_reason(
    out: &mut Vec<u8>,
    first: u8,
    fixed: &[u8],
    mut block: Vec<u8>,
    reason_string: Option<&str>,
    limit: Option<u32>,
) -> bool {
    let size = |block: &Vec<u8>| {
        let size = block.len() as u32;
        fixed.len() as u32 + u32::from(variable_int_size(size)) + size
    };
    let without = block.len();
    if let Some(text) = reason_string {
        block.push(property::REASON_STRING);
        string(&mut block, cut(text).as_bytes());
        if exceeds(packet_size(size(&block)), limit) {
            block.truncate(without);
        }
    }
    let remaining = size(&block);
    if exceeds(packet_size(remaining), limit) {
        return false;
    }
    out.push(first);
    variable(out, remaining);
    out.extend_from_slice(fixed);
    variable(out, block.len() as u32);
    out.extend_from_slice(&block);
    true
}

/// A reason string that MQTT can carry: short, and without U+0000.
fn cut(text: &str) -> &str {
    let text = &text[..text.floor_char_boundary(REASON_STRING_MAX)];
    text.split('\0').next().unwrap_or(text)
}

/// Which packet answers a PUBLISH or a PUBREL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Answer {
    Puback = 0x40,
    Pubrec = 0x50,
    Pubcomp = 0x70,
}

/// PUBACK, PUBREC or PUBCOMP. v3 cannot say a failure: its plain PUBACK makes the client forget the
/// message. v5 leaves the code out where it is success (v5 3.4.2.1), so that all versions are alike there;
/// with a code it has 5 bytes, as the smallest CONNACK has, so that a client with a session takes it.
#[inline]
#[must_use = "a client that cannot be answered is closed"]
pub fn acknowledge(
    out: &mut Vec<u8>,
    answer: Answer,
    version: Version,
    packet_id: u16,
    code: u8,
    limit: Option<u32>,
) -> bool {
    let [high, low] = packet_id.to_be_bytes();
    let plain = code == reason::SUCCESS || version != Version::V5;
    if exceeds(if plain { 4 } else { 5 }, limit) {
        return false;
    }
    if plain {
        out.extend_from_slice(&[answer as u8, 2, high, low]);
    } else {
        out.extend_from_slice(&[answer as u8, 3, high, low, code]);
    }
    true
}

/// SUBACK with one code for each filter: the granted QoS or a failure, which v3 only knows as
/// [`reason::UNSPECIFIED`]. False when it is over `limit`: no code may be left out (v5 3.9.3).
#[must_use = "a client that cannot be answered is closed"]
pub fn suback(
    out: &mut Vec<u8>,
    version: Version,
    packet_id: u16,
    codes: &[u8],
    limit: Option<u32>,
) -> bool {
    let remaining = (2 + usize::from(version == Version::V5) + codes.len()) as u32;
    if exceeds(packet_size(remaining), limit) {
        return false;
    }
    out.push(0x90);
    variable(out, remaining);
    out.extend_from_slice(&packet_id.to_be_bytes());
    match version {
        Version::V5 => {
            out.push(0);
            out.extend_from_slice(codes);
        }
        Version::V31 | Version::V311 => {
            out.extend(codes.iter().map(|code| (*code).min(reason::UNSPECIFIED)));
        }
    }
    true
}

/// UNSUBACK; v5 has one code for each filter, v3 has none. Otherwise as [`suback`].
#[must_use = "a client that cannot be answered is closed"]
pub fn unsuback(
    out: &mut Vec<u8>,
    version: Version,
    packet_id: u16,
    codes: &[u8],
    limit: Option<u32>,
) -> bool {
    let remaining = if version == Version::V5 { (3 + codes.len()) as u32 } else { 2 };
    if exceeds(packet_size(remaining), limit) {
        return false;
    }
    out.push(0xB0);
    variable(out, remaining);
    out.extend_from_slice(&packet_id.to_be_bytes());
    if version == Version::V5 {
        out.push(0);
        out.extend_from_slice(codes);
    }
    true
}

/// PINGRESP.
#[inline]
#[must_use = "a client that cannot be answered is closed"]
pub fn pingresp(out: &mut Vec<u8>, limit: Option<u32>) -> bool {
    if exceeds(2, limit) {
        return false;
    }
    out.extend_from_slice(&[0xD0, 0]);
    true
}

/// A message for a subscriber. What v5 added is left out for v3 clients.
#[derive(Clone, Copy)]
pub struct Delivery<'a, P = (&'a str, &'a str)> {
    pub topic: &'a str,
    pub payload: &'a [u8],
    pub retain: bool,
    /// Empty: none.
    pub content_type: &'a str,
    pub payload_format_utf8: bool,
    pub response_topic: Option<&'a str>,
    pub correlation_data: Option<&'a [u8]>,
    /// Seconds that are left.
    pub message_expiry: Option<u32>,
    pub user_properties: &'a [P],
}

impl<'a, P> Delivery<'a, P> {
    /// A message of which nothing else is known.
    pub fn plain(topic: &'a str, payload: &'a [u8]) -> Delivery<'a, P> {
        Delivery {
            topic,
            payload,
            retain: false,
            content_type: "",
            payload_format_utf8: false,
            response_topic: None,
            correlation_data: None,
            message_expiry: None,
            user_properties: &[],
        }
    }
}

/// PUBLISH with QoS 0. False when it is over `limit` or over what MQTT can say (a string of more
/// than 65,535 bytes, a packet of more than 256 MiB): such a message is not for this client
/// (v5 3.1.2.11.4). The same bytes serve every subscriber of the same version and limit.
#[must_use = "a message that is not sent is counted"]
pub fn publish_qos0<S: AsRef<str>>(
    out: &mut Vec<u8>,
    version: Version,
    delivery: &Delivery<'_, (S, S)>,
    limit: Option<u32>,
) -> bool {
    let begun = publish_qos0_head(out, version, delivery, limit);
    if begun {
        out.extend_from_slice(delivery.payload);
    }
    begun
}

/// [`publish_qos0`] without the payload, which follows it.
#[must_use = "a message that is not sent is counted"]
pub fn publish_qos0_head<S: AsRef<str>>(
    out: &mut Vec<u8>,
    version: Version,
    delivery: &Delivery<'_, (S, S)>,
    limit: Option<u32>,
) -> bool {
    let Some(sizes) = publish_sizes(version, delivery) else {
        return false;
    };
    if sizes.remaining > REMAINING_MAX || exceeds(packet_size(sizes.remaining), limit) {
        return false;
    }
    out.push(0x30 | u8::from(delivery.retain));
    variable(out, sizes.remaining);
    string(out, delivery.topic.as_bytes());
    if let Some(properties) = sizes.properties {
        variable(out, properties);
        publish_properties(out, delivery);
    }
    true
}

/// The size of [`publish_qos0`] in bytes; `None` where it is more than MQTT can say.
pub fn publish_qos0_size<S: AsRef<str>>(
    version: Version,
    delivery: &Delivery<'_, (S, S)>,
) -> Option<u32> {
    publish_sizes(version, delivery).map(|sizes| packet_size(sizes.remaining))
}

struct PublishSizes {
    remaining: u32,
    /// `None` in v3, which has no properties.
    properties: Option<u32>,
}

/// The lengths of a PUBLISH, or `None` where a field or the whole is longer than they can say.
fn publish_sizes<S: AsRef<str>>(
    version: Version,
    delivery: &Delivery<'_, (S, S)>,
) -> Option<PublishSizes> {
    // u64 cannot overflow here: each part is a slice in memory.
    let field = |bytes: &[u8]| u16::try_from(bytes.len()).ok().map(|size| 2 + u64::from(size));
    let mut remaining = field(delivery.topic.as_bytes())? + delivery.payload.len() as u64;
    let mut properties = None;
    if version == Version::V5 {
        let mut size = 0;
        if delivery.payload_format_utf8 {
            size += 2;
        }
        if delivery.message_expiry.is_some() {
            size += 5;
        }
        if !delivery.content_type.is_empty() {
            size += 1 + field(delivery.content_type.as_bytes())?;
        }
        if let Some(topic) = delivery.response_topic {
            size += 1 + field(topic.as_bytes())?;
        }
        if let Some(data) = delivery.correlation_data {
            size += 1 + field(data)?;
        }
        for (name, value) in delivery.user_properties {
            size += 1 + field(name.as_ref().as_bytes())? + field(value.as_ref().as_bytes())?;
        }
        let size = u32::try_from(size).ok().filter(|size| *size <= REMAINING_MAX)?;
        remaining += u64::from(variable_int_size(size)) + u64::from(size);
        properties = Some(size);
    }
    Some(PublishSizes { remaining: u32::try_from(remaining).ok()?, properties })
}

fn publish_properties<S: AsRef<str>>(out: &mut Vec<u8>, delivery: &Delivery<'_, (S, S)>) {
    if delivery.payload_format_utf8 {
        out.extend_from_slice(&[property::PAYLOAD_FORMAT_INDICATOR, 1]);
    }
    if let Some(seconds) = delivery.message_expiry {
        out.push(property::MESSAGE_EXPIRY_INTERVAL);
        out.extend_from_slice(&seconds.to_be_bytes());
    }
    if !delivery.content_type.is_empty() {
        out.push(property::CONTENT_TYPE);
        string(out, delivery.content_type.as_bytes());
    }
    if let Some(topic) = delivery.response_topic {
        out.push(property::RESPONSE_TOPIC);
        string(out, topic.as_bytes());
    }
    if let Some(data) = delivery.correlation_data {
        out.push(property::CORRELATION_DATA);
        string(out, data);
    }
    for (name, value) in delivery.user_properties {
        out.push(property::USER_PROPERTY);
        string(out, name.as_ref().as_bytes());
        string(out, value.as_ref().as_bytes());
    }
}

/// A string or binary data behind its length; the callers know that it fits.
fn string(out: &mut Vec<u8>, bytes: &[u8]) {
    let size =
        u16::try_from(bytes.len()).expect("a field's length is checked before it is written");
    out.extend_from_slice(&size.to_be_bytes());
    out.extend_from_slice(bytes);
}

fn variable(out: &mut Vec<u8>, mut value: u32) {
    while value > 0x7f {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

const fn packet_size(remaining: u32) -> u32 {
    1 + variable_int_size(remaining) as u32 + remaining
}

fn exceeds(size: u32, limit: Option<u32>) -> bool {
    limit.is_some_and(|limit| size > limit)
}
