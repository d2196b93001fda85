//! The properties of v5 (2.2.2): one walk that checks each property's value, that it belongs into
//! the packet and that it comes once; and the user properties, which stay where they were received.

use super::reader::Reader;
use super::{Malformed, USER_PROPERTIES_MAX};

pub(super) const PAYLOAD_FORMAT_INDICATOR: u8 = 0x01;
pub(super) const MESSAGE_EXPIRY_INTERVAL: u8 = 0x02;
pub(super) const CONTENT_TYPE: u8 = 0x03;
pub(super) const RESPONSE_TOPIC: u8 = 0x08;
pub(super) const CORRELATION_DATA: u8 = 0x09;
pub(super) const SUBSCRIPTION_IDENTIFIER: u8 = 0x0B;
pub(super) const SESSION_EXPIRY_INTERVAL: u8 = 0x11;
pub(super) const ASSIGNED_CLIENT_IDENTIFIER: u8 = 0x12;
pub(super) const SERVER_KEEP_ALIVE: u8 = 0x13;
pub(super) const AUTHENTICATION_METHOD: u8 = 0x15;
pub(super) const AUTHENTICATION_DATA: u8 = 0x16;
pub(super) const REQUEST_PROBLEM_INFORMATION: u8 = 0x17;
pub(super) const WILL_DELAY_INTERVAL: u8 = 0x18;
pub(super) const REQUEST_RESPONSE_INFORMATION: u8 = 0x19;
pub(super) const REASON_STRING: u8 = 0x1F;
pub(super) const RECEIVE_MAXIMUM: u8 = 0x21;
pub(super) const TOPIC_ALIAS_MAXIMUM: u8 = 0x22;
pub(super) const TOPIC_ALIAS: u8 = 0x23;
pub(super) const RETAIN_AVAILABLE: u8 = 0x25;
pub(super) const USER_PROPERTY: u8 = 0x26;
pub(super) const MAXIMUM_PACKET_SIZE: u8 = 0x27;
pub(super) const WILDCARD_SUBSCRIPTION_AVAILABLE: u8 = 0x28;
pub(super) const SUBSCRIPTION_IDENTIFIER_AVAILABLE: u8 = 0x29;
pub(super) const SHARED_SUBSCRIPTION_AVAILABLE: u8 = 0x2A;

/// The properties that a packet may carry, one bit for each identifier (all are below 64).
#[derive(Clone, Copy)]
pub(super) struct Allowed(u64);

impl Allowed {
    pub(super) const fn of(identifiers: &[u8]) -> Self {
        let mut bits = 1 << USER_PROPERTY;
        let mut index = 0;
        while index < identifiers.len() {
            bits |= 1 << identifiers[index];
            index += 1;
        }
        Self(bits)
    }

    const fn contains(self, identifier: u8) -> bool {
        identifier < 64 && self.0 & (1 << identifier) != 0
    }
}

/// One property that a client may send. User properties are not among them: the walk counts them
/// and [`Properties::user`] hands them over.
#[derive(Clone, Copy)]
pub(super) enum Property<'a> {
    PayloadFormatUtf8(bool),
    MessageExpiry(u32),
    ContentType(&'a str),
    ResponseTopic(&'a str),
    CorrelationData(&'a [u8]),
    SubscriptionIdentifier(u32),
    SessionExpiry(u32),
    AuthenticationMethod(&'a str),
    AuthenticationData(&'a [u8]),
    RequestProblemInformation(bool),
    WillDelay(u32),
    RequestResponseInformation(bool),
    ReasonString,
    ReceiveMaximum(u16),
    TopicAliasMaximum(u16),
    TopicAlias(u16),
    MaximumPacketSize(u32),
}

/// The walk over one block of properties.
pub(super) struct Properties<'a> {
    block: &'a [u8],
    reader: Reader<'a>,
    allowed: Allowed,
    seen: u64,
    users: u8,
}

impl<'a> Properties<'a> {
    /// Starts at the length of the block and leaves `reader` behind the block.
    pub(super) fn read(reader: &mut Reader<'a>, allowed: Allowed) -> Result<Self, Malformed> {
        let size = reader.variable("property length")?;
        let block =
            reader.take(size as usize, "properties").map_err(|_| Malformed::PropertyLength)?;
        Ok(Self { block, reader: Reader::new(block), allowed, seen: 0, users: 0 })
    }

    /// The next property that is not a user property; `None` at the end of the block.
    pub(super) fn next(&mut self) -> Result<Option<Property<'a>>, Malformed> {
        while !self.reader.is_empty() {
            let identifier = self.reader.u8("property identifier")?;
            if !self.allowed.contains(identifier) {
                return Err(Malformed::PropertyNotAllowed(identifier));
            }
            if identifier == USER_PROPERTY {
                user_property(&mut self.reader)?;
                self.users += 1;
                if self.users > USER_PROPERTIES_MAX {
                    return Err(Malformed::TooManyUserProperties);
                }
                continue;
            }
            if self.seen & (1 << identifier) != 0 {
                return Err(Malformed::PropertyTwice(identifier));
            }
            self.seen |= 1 << identifier;
            return value(identifier, &mut self.reader).map(Some);
        }
        Ok(None)
    }

    /// Checks the rest of a block of which only the user properties matter, or nothing at all.
    pub(super) fn finish(mut self) -> Result<UserProperties<'a>, Malformed> {
        while self.next()?.is_some() {}
        Ok(self.user())
    }

    /// The user properties of a block that was walked to its end.
    pub(super) const fn user(&self) -> UserProperties<'a> {
        UserProperties { block: self.block, count: self.users }
    }
}

fn user_property<'a>(reader: &mut Reader<'a>) -> Result<(&'a str, &'a str), Malformed> {
    Ok((reader.string("name of a user property")?, reader.string("value of a user property")?))
}

/// Reads and checks the value of every property but a user property.
fn value<'a>(identifier: u8, reader: &mut Reader<'a>) -> Result<Property<'a>, Malformed> {
    let boolean = |byte| match byte {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(Malformed::PropertyValue(identifier)),
    };
    let not_zero = |zero: bool| match zero {
        false => Ok(()),
        true => Err(Malformed::PropertyValue(identifier)),
    };
    Ok(match identifier {
        PAYLOAD_FORMAT_INDICATOR => {
            Property::PayloadFormatUtf8(boolean(reader.u8("payload format indicator")?)?)
        }
        MESSAGE_EXPIRY_INTERVAL => Property::MessageExpiry(reader.u32("message expiry interval")?),
        CONTENT_TYPE => Property::ContentType(reader.string("content type")?),
        RESPONSE_TOPIC => {
            let topic = reader.string("response topic")?;
            if !super::topic::is_name(topic) {
                return Err(Malformed::ResponseTopic);
            }
            Property::ResponseTopic(topic)
        }
        CORRELATION_DATA => Property::CorrelationData(reader.binary("correlation data")?),
        SUBSCRIPTION_IDENTIFIER => {
            let number = reader.variable("subscription identifier")?;
            not_zero(number == 0)?;
            Property::SubscriptionIdentifier(number)
        }
        SESSION_EXPIRY_INTERVAL => Property::SessionExpiry(reader.u32("session expiry interval")?),
        AUTHENTICATION_METHOD => {
            Property::AuthenticationMethod(reader.string("authentication method")?)
        }
        AUTHENTICATION_DATA => Property::AuthenticationData(reader.binary("authentication data")?),
        REQUEST_PROBLEM_INFORMATION => {
            Property::RequestProblemInformation(boolean(reader.u8("request problem information")?)?)
        }
        WILL_DELAY_INTERVAL => Property::WillDelay(reader.u32("will delay interval")?),
        REQUEST_RESPONSE_INFORMATION => Property::RequestResponseInformation(boolean(
            reader.u8("request response information")?,
        )?),
        REASON_STRING => {
            // Checked, but of no use to a server.
            reader.string("reason string")?;
            Property::ReasonString
        }
        RECEIVE_MAXIMUM => {
            let maximum = reader.u16("receive maximum")?;
            not_zero(maximum == 0)?;
            Property::ReceiveMaximum(maximum)
        }
        TOPIC_ALIAS_MAXIMUM => Property::TopicAliasMaximum(reader.u16("topic alias maximum")?),
        TOPIC_ALIAS => match reader.u16("topic alias")? {
            0 => return Err(Malformed::TopicAlias),
            alias => Property::TopicAlias(alias),
        },
        MAXIMUM_PACKET_SIZE => {
            let maximum = reader.u32("maximum packet size")?;
            not_zero(maximum == 0)?;
            Property::MaximumPacketSize(maximum)
        }
        other => return Err(Malformed::PropertyNotAllowed(other)),
    })
}

/// The user properties of a packet, in their order, borrowed from where it was received. They were
/// checked when the packet was decoded; reading them allocates nothing.
#[derive(Clone, Copy, Default)]
pub struct UserProperties<'a> {
    /// The whole block of properties, of any kind.
    block: &'a [u8],
    count: u8,
}

impl<'a> UserProperties<'a> {
    /// How many there are, at most [`USER_PROPERTIES_MAX`].
    pub const fn len(&self) -> usize {
        self.count as usize
    }

    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Names and values, in the order of the packet; a name can come more than once.
    pub const fn iter(&self) -> UserPropertiesIter<'a> {
        UserPropertiesIter { reader: Reader::new(self.block), left: self.count }
    }
}

impl<'a> IntoIterator for UserProperties<'a> {
    type Item = (&'a str, &'a str);
    type IntoIter = UserPropertiesIter<'a>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl std::fmt::Debug for UserProperties<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_list().entries(self.iter()).finish()
    }
}

/// See [`UserProperties::iter`].
#[derive(Clone, Debug)]
pub struct UserPropertiesIter<'a> {
    reader: Reader<'a>,
    left: u8,
}

impl<'a> Iterator for UserPropertiesIter<'a> {
    type Item = (&'a str, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        const CHECKED: &str = "the block was walked to its end when its packet was decoded";
        if self.left == 0 {
            return None;
        }
        self.left -= 1;
        loop {
            match self.reader.u8("").expect(CHECKED) {
                USER_PROPERTY => return Some(user_property(&mut self.reader).expect(CHECKED)),
                other => value(other, &mut self.reader).expect(CHECKED),
            };
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (usize::from(self.left), Some(usize::from(self.left)))
    }
}

impl ExactSizeIterator for UserPropertiesIter<'_> {}
