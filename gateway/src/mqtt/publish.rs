//! PUBLISH, decoded from its head alone: the payload need not have arrived, so that a large one
//! can be streamed.

use super::property::{self, Allowed, Properties, Property, UserProperties};
use super::reader::{self, Reader, variable_int, variable_int_size};
use super::{FixedHeader, Malformed, PROPERTIES_MAX, PUBLISH_HEAD_MAX, Version, topic};

/// Everything of a PUBLISH but its payload, borrowed from the receive buffer.
#[derive(Clone, Copy, Debug)]
pub struct PublishHead<'a> {
    /// Without wildcards; empty only where `topic_alias` stands for it.
    pub topic: &'a str,
    /// 0 for QoS 0, never 0 otherwise.
    pub packet_id: u16,
    /// 0, 1 or 2.
    pub qos: u8,
    pub dup: bool,
    pub retain: bool,
    /// Bytes of the head after the fixed header; the payload is the rest of `remaining`.
    pub head_len: u32,
    /// Empty: none was given.
    pub content_type: &'a str,
    /// The client says that the payload is UTF-8; it is not checked, payloads are left alone.
    pub payload_format_utf8: bool,
    /// Never 0. Whether it is within what was announced is for the session to know.
    pub topic_alias: Option<u16>,
    pub response_topic: Option<&'a str>,
    pub correlation_data: Option<&'a [u8]>,
    /// Seconds.
    pub message_expiry: Option<u32>,
    pub user_properties: UserProperties<'a>,
}

const ALLOWED: Allowed = Allowed::of(&[
    property::PAYLOAD_FORMAT_INDICATOR,
    property::MESSAGE_EXPIRY_INTERVAL,
    property::TOPIC_ALIAS,
    property::RESPONSE_TOPIC,
    property::CORRELATION_DATA,
    property::CONTENT_TYPE,
    // Valid in a PUBLISH, but not in a client's (v5 3.3.4): refused below with its own code.
    property::SUBSCRIPTION_IDENTIFIER,
]);

/// Decodes the head of a PUBLISH whose fixed header is `header` from as much of its body as is
/// there (bytes beyond the packet are left alone); `None` when the head is not whole yet.
///
/// A head that cannot fit into the packet, or whose properties are over [`PROPERTIES_MAX`], is refused
/// as soon as its lengths are known.
#[inline]
pub fn publish_head<'a>(
    version: Version,
    header: &FixedHeader,
    body: &'a [u8],
) -> Result<Option<PublishHead<'a>>, Malformed> {
    header.check(version)?;
    let Some((head_len, properties_at)) = measure(version, header, body)? else {
        return Ok(None);
    };
    let Some(head_bytes) = body.get(..head_len as usize) else {
        return Ok(None);
    };

    let mut reader = Reader::new(head_bytes);
    let mut head = PublishHead {
        topic: topic(reader.binary("topic")?)?,
        packet_id: if header.qos() == 0 { 0 } else { reader.packet_id()? },
        qos: header.qos(),
        dup: header.dup(),
        retain: header.retain(),
        head_len,
        content_type: "",
        payload_format_utf8: false,
        topic_alias: None,
        response_topic: None,
        correlation_data: None,
        message_expiry: None,
        user_properties: UserProperties::default(),
    };
    if version == Version::V5 && head_bytes[properties_at as usize] != 0 {
        properties(&mut head, &mut reader)?;
    }
    if head.topic.is_empty() && head.topic_alias.is_none() {
        return Err(Malformed::TopicEmpty);
    }
    Ok(Some(head))
}

/// How large a head can be at most that is not whole yet: its size once the lengths in it are here.
pub fn publish_head_bound(version: Version, header: &FixedHeader, body: &[u8]) -> u32 {
    match measure(version, header, body) {
        Ok(Some((head_len, _))) => head_len,
        _ => header.remaining.min(PUBLISH_HEAD_MAX),
    }
}

/// Bytes of a whole PUBLISH in MQTT 5, with these properties and a payload of so many bytes.
pub fn publish_size(
    topic: &str,
    qos: u8,
    content_type: &str,
    user_properties: &[(&str, &str)],
    payload: u64,
) -> u64 {
    let text = |text: &str| 2 + text.len() as u64;
    let length = |bytes: u64| u64::from(variable_int_size(bytes.try_into().unwrap_or(u32::MAX)));
    let pairs = user_properties.iter().map(|(name, value)| 1 + text(name) + text(value));
    let own = if content_type.is_empty() { 0 } else { 1 + text(content_type) };
    let properties = pairs.sum::<u64>() + own;
    let packet_id = if qos == 0 { 0 } else { 2 };
    let remaining = text(topic) + packet_id + length(properties) + properties + payload;
    1 + length(remaining) + remaining
}

/// The size of the head and where in it the length of the properties is, from the lengths that it
/// declares; `None` when these have not all arrived.
#[inline]
fn measure(
    version: Version,
    header: &FixedHeader,
    body: &[u8],
) -> Result<Option<(u32, u32)>, Malformed> {
    if header.remaining < 2 {
        return Err(Malformed::MissingBytes("topic"));
    }
    let Some(topic_len) = body.first_chunk::<2>() else {
        return Ok(None);
    };
    let after_topic = 2 + u32::from(u16::from_be_bytes(*topic_len));
    let properties_at = after_topic + if header.qos() == 0 { 0 } else { 2 };
    // v5 has at least the one byte of an empty property length.
    let least = properties_at + u32::from(version == Version::V5);
    if least > header.remaining {
        let field = match () {
            () if after_topic > header.remaining => "topic",
            () if properties_at > header.remaining => "packet identifier",
            () => "property length",
        };
        return Err(Malformed::MissingBytes(field));
    }
    if version != Version::V5 {
        return Ok(Some((least, properties_at)));
    }

    let end = body.len().min(header.remaining as usize);
    let Some(length) = body.get(properties_at as usize..end) else {
        return Ok(None);
    };
    let Some((properties_len, size)) = variable_int(length, "property length")? else {
        return if end == header.remaining as usize {
            Err(Malformed::MissingBytes("property length"))
        } else {
            Ok(None)
        };
    };
    if size != variable_int_size(properties_len) {
        return Err(Malformed::LengthNotMinimal("property length"));
    }
    // Cannot overflow: the parts have 17 and 28 bits.
    let head_len = properties_at + u32::from(size) + properties_len;
    if head_len > header.remaining {
        return Err(Malformed::PropertyLength);
    }
    if properties_len > PROPERTIES_MAX {
        return Err(Malformed::HeadTooLarge);
    }
    Ok(Some((head_len, properties_at)))
}

/// A topic name: UTF-8, no U+0000, no wildcards.
#[inline]
fn topic(bytes: &[u8]) -> Result<&str, Malformed> {
    let text = reader::utf8(bytes, "topic")?;
    if bytes.contains(&0) {
        return Err(Malformed::Nul("topic"));
    }
    if topic::has_wildcard(text) {
        return Err(Malformed::TopicWildcard);
    }
    Ok(text)
}

fn properties<'a>(head: &mut PublishHead<'a>, reader: &mut Reader<'a>) -> Result<(), Malformed> {
    let mut properties = Properties::read(reader, ALLOWED)?;
    while let Some(property) = properties.next()? {
        match property {
            Property::PayloadFormatUtf8(utf8) => head.payload_format_utf8 = utf8,
            Property::MessageExpiry(seconds) => head.message_expiry = Some(seconds),
            Property::TopicAlias(alias) => head.topic_alias = Some(alias),
            Property::ResponseTopic(topic) => head.response_topic = Some(topic),
            Property::CorrelationData(data) => head.correlation_data = Some(data),
            Property::ContentType(text) => head.content_type = text,
            Property::SubscriptionIdentifier(_) => {
                return Err(Malformed::ServerProperty(property::SUBSCRIPTION_IDENTIFIER));
            }
            _ => unreachable!("ALLOWED lets no other property through"),
        }
    }
    head.user_properties = properties.user();
    Ok(())
}
