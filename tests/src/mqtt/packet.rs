//! The packets that a client sends and sees.

pub mod decode;
pub mod encode;

use super::property::{Property, Value};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// `MQIsdp`, level 3.
    V31,
    V311,
    V5,
}

impl Version {
    pub const ALL: [Version; 3] = [Version::V31, Version::V311, Version::V5];
}

/// A CONNECT.
#[derive(Clone, Debug)]
pub struct Connect {
    pub version: Version,
    pub client_id: String,
    /// Clean session, or clean start.
    pub clean: bool,
    pub keep_alive_seconds: u16,
    pub will: Option<Will>,
    pub user_name: Option<String>,
    pub password: Option<Vec<u8>>,
    /// MQTT 5 only.
    pub properties: Vec<Property>,
}

impl Connect {
    pub fn new(version: Version, client_id: &str) -> Connect {
        Connect {
            version,
            client_id: client_id.to_owned(),
            clean: true,
            keep_alive_seconds: 60,
            will: None,
            user_name: None,
            password: None,
            properties: Vec::new(),
        }
    }
}

#[derive(Clone, Debug)]
pub struct Will {
    pub topic: String,
    pub payload: Vec<u8>,
    pub qos: u8,
    pub retain: bool,
    /// MQTT 5 only.
    pub properties: Vec<Property>,
}

impl Will {
    /// Not retained, without properties.
    pub fn new(topic: &str, qos: u8, payload: &[u8]) -> Will {
        let (topic, payload) = (topic.to_owned(), payload.to_vec());
        Will { topic, payload, qos, retain: false, properties: Vec::new() }
    }
}

/// A PUBLISH.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publish {
    pub topic: String,
    pub payload: Vec<u8>,
    pub qos: u8,
    /// Sent where `qos` is not 0.
    pub packet_id: u16,
    pub dup: bool,
    pub retain: bool,
    /// MQTT 5 only.
    pub properties: Vec<Property>,
}

impl Publish {
    /// With QoS 0.
    pub fn new(topic: &str, payload: &[u8]) -> Publish {
        Publish {
            topic: topic.to_owned(),
            payload: payload.to_vec(),
            qos: 0,
            packet_id: 0,
            dup: false,
            retain: false,
            properties: Vec::new(),
        }
    }

    pub fn qos1(self, packet_id: u16) -> Publish {
        Publish { qos: 1, packet_id, ..self }
    }

    pub fn qos2(self, packet_id: u16) -> Publish {
        Publish { qos: 2, packet_id, ..self }
    }

    pub fn dup(self) -> Publish {
        Publish { dup: true, ..self }
    }

    pub fn retain(self) -> Publish {
        Publish { retain: true, ..self }
    }

    pub fn with(mut self, property: Property) -> Publish {
        self.properties.push(property);
        self
    }
}

/// What a gateway sends. Codes of versions that have none are 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Packet {
    Connack { session_present: bool, code: u8, properties: Vec<Property> },
    Publish(Publish),
    Puback { packet_id: u16, code: u8, properties: Vec<Property> },
    Pubrec { packet_id: u16, code: u8, properties: Vec<Property> },
    Pubrel { packet_id: u16, code: u8, properties: Vec<Property> },
    Pubcomp { packet_id: u16, code: u8, properties: Vec<Property> },
    Suback { packet_id: u16, codes: Vec<u8>, properties: Vec<Property> },
    Unsuback { packet_id: u16, codes: Vec<u8>, properties: Vec<Property> },
    Pingresp,
    Disconnect { code: u8, properties: Vec<Property> },
}

impl Packet {
    pub fn properties(&self) -> &[Property] {
        match self {
            Packet::Connack { properties, .. }
            | Packet::Publish(Publish { properties, .. })
            | Packet::Puback { properties, .. }
            | Packet::Pubrec { properties, .. }
            | Packet::Pubrel { properties, .. }
            | Packet::Pubcomp { properties, .. }
            | Packet::Suback { properties, .. }
            | Packet::Unsuback { properties, .. }
            | Packet::Disconnect { properties, .. } => properties,
            Packet::Pingresp => &[],
        }
    }

    /// The value of the first property with that number.
    pub fn property(&self, number: u8) -> Option<&Value> {
        let found = self.properties().iter().find(|property| property.number == number);
        found.map(|property| &property.value)
    }
}
