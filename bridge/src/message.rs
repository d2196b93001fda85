//! What a device published, borrowed from the receive buffer, with what is known about its sender.

use std::sync::Arc;

/// What is known about the sender for the whole life of its connection.
#[derive(Clone, Debug, Default)]
pub struct Device {
    pub client_id: Box<str>,
    /// None: the device only claims who it is.
    pub verified: Option<Arc<Verified>>,
    /// CONNECT's user properties, in order.
    pub properties: Vec<(Box<str>, Box<str>)>,
}

impl Device {
    /// The id that was proved, if one was.
    pub fn verified_id(&self) -> Option<&str> {
        self.verified.as_deref().map(|verified| &*verified.id)
    }

    /// Bytes of its texts.
    pub fn bytes(&self) -> usize {
        let properties = self.properties.iter().map(|(name, value)| name.len() + value.len());
        self.client_id.len()
            + self.verified.as_ref().map_or(0, |verified| verified.bytes())
            + properties.sum::<usize>()
    }
}

/// What was proved of a device, by its certificate, its token or its password.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    pub id: Box<str>,
    /// Names and values. An empty value is proved too: the device has no such attribute, and cannot claim
    /// one.
    pub attributes: Vec<(Box<str>, Box<str>)>,
}

impl Verified {
    /// A proved attribute; None where the proof says nothing about it.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(known, _)| **known == *name).map(|(_, value)| &**value)
    }

    /// Bytes of its texts.
    pub fn bytes(&self) -> usize {
        let attributes = self.attributes.iter().map(|(name, value)| name.len() + value.len());
        self.id.len() + attributes.sum::<usize>()
    }
}

/// One publish. Without `Debug`: a payload has no place in a log.
#[derive(Clone, Copy)]
pub struct Message<'a> {
    pub device: &'a Device,
    /// The MQTT topic.
    pub topic: &'a str,
    pub payload: Payload<'a>,
    /// 0, 1 or 2.
    pub qos: u8,
    pub dup: bool,
    pub retain: bool,
    /// 0 for QoS 0.
    pub packet_id: u16,
    /// Milliseconds since 1970 UTC.
    pub received_ms: i64,
    /// Empty: none was given.
    pub content_type: &'a str,
    /// PUBLISH's user properties, in order.
    pub properties: &'a [(&'a str, &'a str)],
}

impl<'a> Message<'a> {
    /// A user property of PUBLISH, or of CONNECT where PUBLISH has none; empty ones say nothing.
    pub fn property(&self, name: &str) -> Option<&'a str> {
        let of_publish = self.properties.iter().find(|(known, _)| *known == name);
        let of_publish = of_publish.map(|(_, value)| *value).filter(|value| !value.is_empty());
        of_publish.or_else(|| {
            let of_connect = self.device.properties.iter().find(|(known, _)| **known == *name);
            of_connect.map(|(_, value)| &**value).filter(|value| !value.is_empty())
        })
    }
}

/// A payload, or its size while it arrives.
#[derive(Clone, Copy)]
pub enum Payload<'a> {
    Inline(&'a [u8]),
    /// It arrives in pieces.
    Streamed {
        /// Bytes in all.
        size: u64,
    },
}

impl Payload<'_> {
    /// Bytes in all.
    pub fn size(&self) -> u64 {
        match self {
            Payload::Inline(bytes) => bytes.len() as u64,
            Payload::Streamed { size } => *size,
        }
    }
}

/// How a payload travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Carriage {
    /// In its record.
    Inline,
    /// Through the object store.
    Large,
}
