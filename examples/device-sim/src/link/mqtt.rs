//! What a device says and hears, in either version of MQTT, as rumqttc's packets: a codec that is not
//! the gateway's, so that a fault in that cannot hide itself.

use std::time::Duration;

use bytes::BytesMut;
use rumqttc::mqttbytes::{self as three, v4};
use rumqttc::v5::mqttbytes::{self as five, v5};

use crate::fleet::{Device, Version};
use crate::outbox::Message;

/// Largest packet, in bytes: MQTT's own limit, so that the gateway's is the one that is met.
const PACKET_MAX_BYTES: u32 = 268_435_455;

/// A user name and a password.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    pub user: String,
    pub password: String,
}

/// What came from the gateway, as far as a device minds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// A CONNACK that accepts, and how many messages the gateway takes at once, if it said so.
    Accepted {
        receive_maximum: Option<u16>,
    },
    /// A CONNACK that does not.
    Refused(String),
    /// PUBACK; the code is MQTT 5's.
    Acknowledged {
        packet_id: u16,
        code: u8,
    },
    /// PUBREC, likewise.
    Received {
        packet_id: u16,
        code: u8,
    },
    /// PUBCOMP.
    Completed {
        packet_id: u16,
    },
    /// DISCONNECT.
    Ended(String),
    Other,
}

/// A PUBLISH without its packet id.
pub enum Publication {
    V311(v4::Publish),
    V5(v5::Publish),
}

impl Publication {
    pub fn new(device: &Device, message: &Message) -> Publication {
        let (topic, payload) = (message.topic.clone(), message.payload.clone());
        match device.version {
            Version::V311 => {
                use three::QoS;
                let qos =
                    [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce][usize::from(message.qos)];
                Publication::V311(v4::Publish::new(topic, qos, payload))
            }
            Version::V5 => {
                use five::QoS;
                let qos =
                    [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce][usize::from(message.qos)];
                let properties = Some(properties(device, message));
                Publication::V5(v5::Publish::new(topic, qos, payload, properties))
            }
        }
    }

    /// Everything but QoS 0 travels under a packet id.
    pub fn wants_id(&self) -> bool {
        match self {
            Publication::V311(publish) => publish.qos != three::QoS::AtMostOnce,
            Publication::V5(publish) => publish.qos != five::QoS::AtMostOnce,
        }
    }

    pub fn write(self, packet_id: u16, out: &mut BytesMut) -> Result<(), String> {
        match self {
            Publication::V311(publish) => {
                write_311(&v4::Packet::Publish(v4::Publish { pkid: packet_id, ..publish }), out)
            }
            Publication::V5(publish) => {
                write_5(&v5::Packet::Publish(v5::Publish { pkid: packet_id, ..publish }), out)
            }
        }
    }
}

fn properties(device: &Device, message: &Message) -> v5::PublishProperties {
    let mut user_properties = vec![
        ("message-id".to_owned(), message.sequence.to_string()),
        ("device-type".to_owned(), device.kind.to_owned()),
        ("firmware-version".to_owned(), device.firmware.to_owned()),
        ("group".to_owned(), device.group.to_owned()),
    ];
    if let Some((start_ms, end_ms)) = message.event_ms {
        user_properties.push(("event-start".to_owned(), start_ms.to_string()));
        user_properties.push(("event-end".to_owned(), end_ms.to_string()));
    }
    v5::PublishProperties { user_properties, ..Default::default() }
}

/// CONNECT with a clean session.
pub fn connect(
    version: Version,
    client_id: &str,
    keep_alive: Duration,
    login: Option<Login>,
    out: &mut BytesMut,
) -> Result<(), String> {
    let keep_alive = keep_alive.as_secs() as u16;
    match version {
        Version::V311 => {
            let mut connect = v4::Connect::new(client_id);
            connect.keep_alive = keep_alive;
            connect.login =
                login.map(|Login { user, password }| v4::Login { username: user, password });
            write_311(&v4::Packet::Connect(connect), out)
        }
        Version::V5 => {
            let connect = v5::Connect {
                keep_alive,
                client_id: client_id.to_owned(),
                clean_start: true,
                properties: None,
            };
            let login = login.map(|Login { user, password }| v5::Login::new(user, password));
            write_5(&v5::Packet::Connect(connect, None, login), out)
        }
    }
}

/// PUBREL, the second half of QoS 2.
pub fn release(version: Version, packet_id: u16, out: &mut BytesMut) -> Result<(), String> {
    match version {
        Version::V311 => write_311(&v4::Packet::PubRel(v4::PubRel::new(packet_id)), out),
        Version::V5 => write_5(&v5::Packet::PubRel(v5::PubRel::new(packet_id, None)), out),
    }
}

pub fn ping(version: Version, out: &mut BytesMut) -> Result<(), String> {
    match version {
        Version::V311 => write_311(&v4::Packet::PingReq, out),
        Version::V5 => write_5(&v5::Packet::PingReq(v5::PingReq), out),
    }
}

/// DISCONNECT, a goodbye.
pub fn goodbye(version: Version, out: &mut BytesMut) -> Result<(), String> {
    match version {
        Version::V311 => write_311(&v4::Packet::Disconnect, out),
        Version::V5 => {
            let normal = v5::DisconnectReasonCode::NormalDisconnection;
            write_5(&v5::Packet::Disconnect(v5::Disconnect::new(normal)), out)
        }
    }
}

fn write_311(packet: &v4::Packet, out: &mut BytesMut) -> Result<(), String> {
    let written = packet.write(out, PACKET_MAX_BYTES as usize);
    written.map(drop).map_err(|error| format!("a packet cannot be written: {error}"))
}

fn write_5(packet: &v5::Packet, out: &mut BytesMut) -> Result<(), String> {
    let written = packet.write(out, Some(PACKET_MAX_BYTES));
    written.map(drop).map_err(|error| format!("a packet cannot be written: {error}"))
}

/// Takes the next whole packet out of what was received.
pub fn hear(version: Version, received: &mut BytesMut) -> Result<Option<Heard>, String> {
    match version {
        Version::V311 => match v4::Packet::read(received, PACKET_MAX_BYTES as usize) {
            Ok(packet) => Ok(Some(heard_311(packet))),
            Err(three::Error::InsufficientBytes(_)) => Ok(None),
            Err(error) => Err(format!("the gateway's packet cannot be read: {error}")),
        },
        Version::V5 => match v5::Packet::read(received, Some(PACKET_MAX_BYTES)) {
            Ok(packet) => Ok(Some(heard_5(packet))),
            Err(five::Error::InsufficientBytes(_)) => Ok(None),
            Err(error) => Err(format!("the gateway's packet cannot be read: {error}")),
        },
    }
}

fn heard_311(packet: v4::Packet) -> Heard {
    use v4::Packet;
    match packet {
        Packet::ConnAck(ack) if ack.code == v4::ConnectReturnCode::Success => {
            Heard::Accepted { receive_maximum: None }
        }
        Packet::ConnAck(ack) => Heard::Refused(format!("CONNACK {:?}", ack.code)),
        Packet::PubAck(ack) => Heard::Acknowledged { packet_id: ack.pkid, code: 0 },
        Packet::PubRec(ack) => Heard::Received { packet_id: ack.pkid, code: 0 },
        Packet::PubComp(ack) => Heard::Completed { packet_id: ack.pkid },
        _ => Heard::Other,
    }
}

fn heard_5(packet: v5::Packet) -> Heard {
    use v5::Packet;
    match packet {
        Packet::ConnAck(ack) if ack.code == v5::ConnectReturnCode::Success => {
            let receive_maximum = ack.properties.and_then(|known| known.receive_max);
            Heard::Accepted { receive_maximum }
        }
        Packet::ConnAck(ack) => Heard::Refused(format!("CONNACK {:?}", ack.code)),
        Packet::PubAck(ack) => {
            Heard::Acknowledged { packet_id: ack.pkid, code: puback_code(ack.reason) }
        }
        Packet::PubRec(ack) => {
            Heard::Received { packet_id: ack.pkid, code: pubrec_code(ack.reason) }
        }
        Packet::PubComp(ack) => Heard::Completed { packet_id: ack.pkid },
        Packet::Disconnect(end) => Heard::Ended(format!("DISCONNECT {:?}", end.reason_code)),
        _ => Heard::Other,
    }
}

/// rumqttc keeps names of the codes of MQTT 5 (3.4.2.1), not the codes.
fn puback_code(reason: v5::PubAckReason) -> u8 {
    use v5::PubAckReason::*;
    match reason {
        Success => 0,
        NoMatchingSubscribers => 0x10,
        UnspecifiedError => 0x80,
        ImplementationSpecificError => 0x83,
        NotAuthorized => 0x87,
        TopicNameInvalid => 0x90,
        PacketIdentifierInUse => 0x91,
        QuotaExceeded => 0x97,
        PayloadFormatInvalid => 0x99,
    }
}

/// The same of PUBREC (3.5.2.1).
fn pubrec_code(reason: v5::PubRecReason) -> u8 {
    use v5::PubRecReason::*;
    match reason {
        Success => 0,
        NoMatchingSubscribers => 0x10,
        UnspecifiedError => 0x80,
        ImplementationSpecificError => 0x83,
        NotAuthorized => 0x87,
        TopicNameInvalid => 0x90,
        PacketIdentifierInUse => 0x91,
        QuotaExceeded => 0x97,
        PayloadFormatInvalid => 0x99,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(version: Version, bytes: &[u8]) -> Option<Heard> {
        hear(version, &mut BytesMut::from(bytes)).unwrap()
    }

    #[test]
    fn answers_are_heard_as_what_they_are() {
        use Version::{V5, V311};
        assert_eq!(heard(V311, &[0x20, 2, 0, 0]), Some(Heard::Accepted { receive_maximum: None }));
        let refused = Heard::Refused("CONNACK NotAuthorized".to_owned());
        assert_eq!(heard(V311, &[0x20, 2, 0, 5]), Some(refused.clone()));
        assert_eq!(heard(V5, &[0x20, 3, 0, 0x87, 0]), Some(refused));
        let receive_maximum = Some(7);
        assert_eq!(
            heard(V5, &[0x20, 6, 0, 0, 3, 0x21, 0, 7]),
            Some(Heard::Accepted { receive_maximum })
        );
        let denied = |packet_id| Heard::Acknowledged { packet_id, code: 0x87 };
        assert_eq!(heard(V5, &[0x40, 3, 0, 9, 0x87]), Some(denied(9)));
        assert_eq!(
            heard(V5, &[0x50, 3, 0, 9, 0x97]),
            Some(Heard::Received { packet_id: 9, code: 0x97 })
        );
        let ended = Heard::Ended("DISCONNECT NotAuthorized".to_owned());
        assert_eq!(heard(V5, &[0xe0, 2, 0x87, 0]), Some(ended));
        assert_eq!(heard(V311, &[0x40, 2, 0]), None, "it is not whole");
    }

    #[test]
    fn a_login_is_said_in_both_versions() {
        for version in [Version::V311, Version::V5] {
            let login = Login { user: "m-1".to_owned(), password: "secret".to_owned() };
            let mut out = BytesMut::new();
            connect(version, "m-1", Duration::from_secs(30), Some(login), &mut out).unwrap();
            assert_eq!(out[9] & 0b1100_0010, 0b1100_0010, "{version:?}: user, password, clean");
            assert!(out.ends_with(b"\0\x03m-1\0\x06secret"), "{version:?}: {out:?}");
        }
    }
}
