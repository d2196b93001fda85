//! CONNECT: the packet that names the version, and which CONNACK can still be sent when it is
//! refused.

use super::property::{self, Allowed, Properties, Property, UserProperties};
use super::reader::Reader;
use super::{CONNECT_SIZE_MAX, FixedHeader, Malformed, PacketType, Version, encode, topic};

/// A CONNECT, borrowed from the receive buffer. In v3 what v5 added has the value that means the
/// same.
#[derive(Clone, Copy)]
pub struct Connect<'a> {
    pub version: Version,
    /// Empty: the server assigns one (v5, or v3.1.1 with a clean session).
    pub client_id: &'a str,
    pub clean_start: bool,
    /// Seconds; 0 is none.
    pub keep_alive: u16,
    pub will: Option<Will<'a>>,
    pub username: Option<&'a str>,
    pub password: Option<&'a [u8]>,
    /// How long the client asks to keep its session after the connection, in seconds; `u32::MAX`
    /// is for ever, which is what v3 means without a clean session.
    pub session_expiry: u32,
    /// How many QoS 1 and 2 publishes the client takes at once; never 0.
    pub receive_maximum: u16,
    /// The largest packet that the client takes, in bytes; never 0.
    pub maximum_packet_size: Option<u32>,
    pub topic_alias_maximum: u16,
    pub request_problem_information: bool,
    pub request_response_information: bool,
    pub authentication_method: Option<&'a str>,
    pub authentication_data: Option<&'a [u8]>,
    pub user_properties: UserProperties<'a>,
}

impl std::fmt::Debug for Connect<'_> {
    /// Without secrets: neither password nor authentication data.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Connect")
            .field("version", &self.version)
            .field("client_id", &self.client_id)
            .field("clean_start", &self.clean_start)
            .field("keep_alive", &self.keep_alive)
            .field("will", &self.will)
            .field("username", &self.username)
            .field("password", &self.password.map(|_| "hidden"))
            .field("session_expiry", &self.session_expiry)
            .field("receive_maximum", &self.receive_maximum)
            .field("maximum_packet_size", &self.maximum_packet_size)
            .field("topic_alias_maximum", &self.topic_alias_maximum)
            .field("authentication_method", &self.authentication_method)
            .field("user_properties", &self.user_properties)
            .finish_non_exhaustive()
    }
}

/// The message that a client leaves for the case that it goes without a goodbye.
#[derive(Clone, Copy)]
pub struct Will<'a> {
    /// Without wildcards, not empty.
    pub topic: &'a str,
    pub payload: &'a [u8],
    /// 0, 1 or 2.
    pub qos: u8,
    pub retain: bool,
    /// Seconds between the end of the connection and the will.
    pub delay_s: u32,
    pub payload_format_utf8: bool,
    /// Seconds.
    pub message_expiry: Option<u32>,
    /// Empty: none was given.
    pub content_type: &'a str,
    pub response_topic: Option<&'a str>,
    pub correlation_data: Option<&'a [u8]>,
    pub user_properties: UserProperties<'a>,
}

impl std::fmt::Debug for Will<'_> {
    /// Without the payload, which is never logged.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Will")
            .field("topic", &self.topic)
            .field("payload_size", &self.payload.len())
            .field("qos", &self.qos)
            .field("retain", &self.retain)
            .field("delay_s", &self.delay_s)
            .field("content_type", &self.content_type)
            .field("user_properties", &self.user_properties)
            .finish_non_exhaustive()
    }
}

/// A CONNECT that is refused by the codec.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("CONNECT: {cause}")]
pub struct ConnectFault {
    pub cause: Malformed,
    /// The version in which the client would understand an answer, where it is known.
    pub version: Option<Version>,
    /// The largest answer that the client takes, in bytes. Where the fault hides what it said of
    /// that, the smallest CONNACK.
    pub limit: Option<u32>,
}

impl ConnectFault {
    /// Appends the CONNACK that tells the client why, and returns whether there is one: none when
    /// the version is unknown or is one of v3 without a code for this fault, or when the client
    /// takes no packet of its size.
    #[must_use = "without a CONNACK the client is closed"]
    pub fn connack(&self, out: &mut Vec<u8>) -> bool {
        let Some(version) = self.version else {
            return false;
        };
        let text = self.cause.to_string();
        let properties =
            encode::ConnAckProperties { reason_string: Some(&text), ..Default::default() };
        encode::connack(out, version, false, self.cause.code(), &properties, self.limit)
    }
}

const CLEAN_START: u8 = 1 << 1;
const WILL: u8 = 1 << 2;
const WILL_RETAIN: u8 = 1 << 5;
const PASSWORD: u8 = 1 << 6;
const USER_NAME: u8 = 1 << 7;

/// mosquitto's bridges set this bit in the protocol level; refused as an unknown level of their
/// version, they come back without it.
const BRIDGE: u8 = 0x80;

/// Decodes a CONNECT whose fixed header is `header` from as much of its body as is there (bytes
/// beyond the packet are left alone); `None` when it is not whole yet. Protocol, level and size are
/// refused as soon as they are there.
pub fn connect<'a>(
    header: &FixedHeader,
    body: &'a [u8],
) -> Result<Option<Connect<'a>>, ConnectFault> {
    debug_assert_eq!(header.kind, PacketType::Connect);
    let whole = header.remaining as usize;
    let (body, is_whole) = match body.get(..whole) {
        Some(body) => (body, true),
        None => (body, false),
    };
    let mut reader = Reader::new(body);
    let version = match protocol(&mut reader) {
        Ok(version) => version,
        Err(ConnectFault { cause: Malformed::MissingBytes(_), .. }) if !is_whole => {
            return Ok(None);
        }
        Err(fault) => {
            return Err(ConnectFault { limit: answer_limit(fault.version, body), ..fault });
        }
    };
    let fault = |cause| {
        let version = Some(version);
        ConnectFault { cause, version, limit: answer_limit(version, body) }
    };
    header.check(version).map_err(fault)?;
    let size = header.packet_size();
    if size > CONNECT_SIZE_MAX {
        return Err(fault(Malformed::PacketTooLarge { size, limit: CONNECT_SIZE_MAX }));
    }
    if !is_whole {
        return Ok(None);
    }
    after_level(version, reader).map(Some).map_err(fault)
}

/// Protocol name and level (v5 3.1.2.1 and 3.1.2.2).
fn protocol(reader: &mut Reader<'_>) -> Result<Version, ConnectFault> {
    let unanswered = |cause| ConnectFault { cause, version: None, limit: None };
    // An unknown name may be any length; it is refused from its length, without waiting for it.
    let size = reader.u16("protocol name").map_err(unanswered)?;
    if size != 4 && size != 6 {
        return Err(unanswered(Malformed::ProtocolName));
    }
    let name = reader.take(usize::from(size), "protocol name").map_err(unanswered)?;
    if name != b"MQTT" && name != b"MQIsdp" {
        return Err(unanswered(Malformed::ProtocolName));
    }
    let level = reader.u8("protocol level").map_err(unanswered)?;
    match (name, level) {
        (b"MQIsdp", 3) => Ok(Version::V31),
        (b"MQTT", 4) => Ok(Version::V311),
        (b"MQTT", 5) => Ok(Version::V5),
        _ => {
            let answer = match name {
                b"MQTT" if level & !BRIDGE >= 5 => Version::V5,
                _ => Version::V311,
            };
            let cause = Malformed::ProtocolLevel(level);
            Err(ConnectFault { cause, version: Some(answer), limit: None })
        }
    }
}

/// The largest packet that a client takes whose CONNECT is refused. Whatever the fault is, it may be
/// behind the properties that say it; where these cannot be read to their end, the smallest CONNACK
/// is what the client is taken to take.
fn answer_limit(version: Option<Version>, body: &[u8]) -> Option<u32> {
    if version != Some(Version::V5) {
        return None;
    }
    let mut limit = None;
    let walk = |limit: &mut Option<u32>| {
        let mut reader = Reader::new(body);
        reader.binary("protocol name")?;
        // Level, flags and keep-alive.
        reader.take(4, "CONNECT flags")?;
        let mut properties = Properties::read(&mut reader, ALLOWED)?;
        while let Some(property) = properties.next()? {
            if let Property::MaximumPacketSize(size) = property {
                *limit = Some(size);
            }
        }
        Ok::<(), Malformed>(())
    };
    match walk(&mut limit) {
        Ok(()) => limit,
        Err(_) => limit.or(Some(encode::CONNACK_MIN)),
    }
}

fn after_level<'a>(version: Version, mut reader: Reader<'a>) -> Result<Connect<'a>, Malformed> {
    let flags = reader.u8("CONNECT flags")?;
    check_flags(version, flags)?;
    let clean_start = flags & CLEAN_START != 0;
    let mut connect = Connect {
        version,
        client_id: "",
        clean_start,
        keep_alive: reader.u16("keep-alive")?,
        will: None,
        username: None,
        password: None,
        session_expiry: if clean_start || version == Version::V5 { 0 } else { u32::MAX },
        receive_maximum: u16::MAX,
        maximum_packet_size: None,
        topic_alias_maximum: 0,
        request_problem_information: true,
        request_response_information: false,
        authentication_method: None,
        authentication_data: None,
        user_properties: UserProperties::default(),
    };
    if version == Version::V5 {
        properties(&mut connect, &mut reader)?;
    }
    connect.client_id = reader.string("client identifier")?;
    if flags & WILL != 0 {
        connect.will = Some(will(version, flags, &mut reader)?);
    }
    // In v3.1 the end of the packet wins over these two flags (v3.1 3.1).
    let is_there = |flag, reader: &Reader<'_>| {
        flags & flag != 0 && !(version == Version::V31 && reader.is_empty())
    };
    if is_there(USER_NAME, &reader) {
        connect.username = Some(reader.string("user name")?);
    }
    if is_there(PASSWORD, &reader) {
        connect.password = Some(reader.binary("password")?);
    }
    reader.end()?;

    let may_be_empty = match version {
        Version::V31 => false,
        Version::V311 => connect.clean_start,
        Version::V5 => true,
    };
    if connect.client_id.is_empty() && !may_be_empty {
        return Err(Malformed::ClientIdentifier);
    }
    Ok(connect)
}

/// v3.1 only calls the bits unused that v3.1.1 and v5 want to be 0.
fn check_flags(version: Version, flags: u8) -> Result<(), Malformed> {
    if flags & 1 != 0 && version != Version::V31 {
        return Err(Malformed::ConnectFlags);
    }
    let (will_qos, will_retain) = (will_qos(flags), flags & WILL_RETAIN != 0);
    if flags & WILL != 0 {
        if will_qos == 3 {
            return Err(Malformed::WillFlags);
        }
    } else if (will_qos != 0 || will_retain) && version != Version::V31 {
        return Err(Malformed::WillFlags);
    }
    if flags & PASSWORD != 0 && flags & USER_NAME == 0 && version != Version::V5 {
        return Err(Malformed::PasswordWithoutUserName);
    }
    Ok(())
}

const fn will_qos(flags: u8) -> u8 {
    (flags >> 3) & 0b11
}

const ALLOWED: Allowed = Allowed::of(&[
    property::SESSION_EXPIRY_INTERVAL,
    property::RECEIVE_MAXIMUM,
    property::MAXIMUM_PACKET_SIZE,
    property::TOPIC_ALIAS_MAXIMUM,
    property::REQUEST_RESPONSE_INFORMATION,
    property::REQUEST_PROBLEM_INFORMATION,
    property::AUTHENTICATION_METHOD,
    property::AUTHENTICATION_DATA,
]);

fn properties<'a>(connect: &mut Connect<'a>, reader: &mut Reader<'a>) -> Result<(), Malformed> {
    let mut properties = Properties::read(reader, ALLOWED)?;
    while let Some(property) = properties.next()? {
        match property {
            Property::SessionExpiry(seconds) => connect.session_expiry = seconds,
            Property::ReceiveMaximum(maximum) => connect.receive_maximum = maximum,
            Property::MaximumPacketSize(size) => connect.maximum_packet_size = Some(size),
            Property::TopicAliasMaximum(maximum) => connect.topic_alias_maximum = maximum,
            Property::RequestResponseInformation(is) => connect.request_response_information = is,
            Property::RequestProblemInformation(is) => connect.request_problem_information = is,
            Property::AuthenticationMethod(name) => connect.authentication_method = Some(name),
            Property::AuthenticationData(data) => connect.authentication_data = Some(data),
            _ => unreachable!("ALLOWED lets no other property through"),
        }
    }
    connect.user_properties = properties.user();
    if connect.authentication_data.is_some() && connect.authentication_method.is_none() {
        return Err(Malformed::AuthenticationMethod);
    }
    Ok(())
}

fn will<'a>(version: Version, flags: u8, reader: &mut Reader<'a>) -> Result<Will<'a>, Malformed> {
    let mut will = Will {
        topic: "",
        payload: &[],
        qos: will_qos(flags),
        retain: flags & WILL_RETAIN != 0,
        delay_s: 0,
        payload_format_utf8: false,
        message_expiry: None,
        content_type: "",
        response_topic: None,
        correlation_data: None,
        user_properties: UserProperties::default(),
    };
    if version == Version::V5 {
        will_properties(&mut will, reader)?;
    }
    will.topic = reader.string("topic of the will")?;
    if !topic::is_name(will.topic) {
        return Err(Malformed::WillTopic);
    }
    will.payload = reader.binary("payload of the will")?;
    Ok(will)
}

fn will_properties<'a>(will: &mut Will<'a>, reader: &mut Reader<'a>) -> Result<(), Malformed> {
    const ALLOWED: Allowed = Allowed::of(&[
        property::WILL_DELAY_INTERVAL,
        property::PAYLOAD_FORMAT_INDICATOR,
        property::MESSAGE_EXPIRY_INTERVAL,
        property::CONTENT_TYPE,
        property::RESPONSE_TOPIC,
        property::CORRELATION_DATA,
    ]);
    let mut properties = Properties::read(reader, ALLOWED)?;
    while let Some(property) = properties.next()? {
        match property {
            Property::WillDelay(seconds) => will.delay_s = seconds,
            Property::PayloadFormatUtf8(utf8) => will.payload_format_utf8 = utf8,
            Property::MessageExpiry(seconds) => will.message_expiry = Some(seconds),
            Property::ContentType(text) => will.content_type = text,
            Property::ResponseTopic(topic) => will.response_topic = Some(topic),
            Property::CorrelationData(data) => will.correlation_data = Some(data),
            _ => unreachable!("ALLOWED lets no other property through"),
        }
    }
    will.user_properties = properties.user();
    Ok(())
}
