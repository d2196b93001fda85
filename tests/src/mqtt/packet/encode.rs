//! Packets to bytes; nothing is checked, so that tests can send what is wrong.

use super::super::property;
use super::{Connect, Publish, Version};

pub fn connect(connect: &Connect) -> Vec<u8> {
    let mut body = Vec::new();
    let (name, level) = match connect.version {
        Version::V31 => ("MQIsdp", 3),
        Version::V311 => ("MQTT", 4),
        Version::V5 => ("MQTT", 5),
    };
    text(name, &mut body);
    body.push(level);
    let will = connect.will.as_ref();
    let flags = [
        (0x02, connect.clean),
        (0x04, will.is_some()),
        (0x20, will.is_some_and(|will| will.retain)),
        (0x40, connect.password.is_some()),
        (0x80, connect.user_name.is_some()),
    ];
    let set = flags.iter().filter(|(_, set)| *set).map(|(bit, _)| bit).sum::<u8>();
    body.push(set | will.map_or(0, |will| will.qos << 3));
    body.extend(connect.keep_alive_seconds.to_be_bytes());
    if connect.version == Version::V5 {
        property::write(&connect.properties, &mut body);
    }
    text(&connect.client_id, &mut body);
    if let Some(will) = will {
        if connect.version == Version::V5 {
            property::write(&will.properties, &mut body);
        }
        text(&will.topic, &mut body);
        binary(&will.payload, &mut body);
    }
    if let Some(name) = &connect.user_name {
        text(name, &mut body);
    }
    if let Some(password) = &connect.password {
        binary(password, &mut body);
    }
    packet(0x10, &body)
}

pub fn publish(version: Version, publish: &Publish) -> Vec<u8> {
    let mut body = Vec::with_capacity(publish.payload.len() + publish.topic.len() + 64);
    text(&publish.topic, &mut body);
    if publish.qos > 0 {
        body.extend(publish.packet_id.to_be_bytes());
    }
    if version == Version::V5 {
        property::write(&publish.properties, &mut body);
    }
    body.extend(&publish.payload);
    let flags = u8::from(publish.dup) << 3 | publish.qos << 1 | u8::from(publish.retain);
    packet(0x30 | flags, &body)
}

/// PUBACK, PUBREC, PUBREL or PUBCOMP, in the short form that every version has.
pub fn acknowledgement(first: u8, packet_id: u16) -> Vec<u8> {
    packet(first, &packet_id.to_be_bytes())
}

pub fn subscribe(version: Version, packet_id: u16, filter: &str, qos: u8) -> Vec<u8> {
    let mut body = packet_id.to_be_bytes().to_vec();
    if version == Version::V5 {
        property::write(&[], &mut body);
    }
    text(filter, &mut body);
    body.push(qos);
    packet(0x82, &body)
}

pub fn unsubscribe(version: Version, packet_id: u16, filter: &str) -> Vec<u8> {
    let mut body = packet_id.to_be_bytes().to_vec();
    if version == Version::V5 {
        property::write(&[], &mut body);
    }
    text(filter, &mut body);
    packet(0xa2, &body)
}

/// A fixed header before a body.
pub fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    variable(body.len() as u32, &mut bytes);
    bytes.extend(body);
    bytes
}

/// A variable byte integer (1.5.5).
pub fn variable(mut number: u32, out: &mut Vec<u8>) {
    while number > 0x7f {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

pub fn text(text: &str, out: &mut Vec<u8>) {
    binary(text.as_bytes(), out);
}

pub fn binary(bytes: &[u8], out: &mut Vec<u8>) {
    let length = u16::try_from(bytes.len()).expect("MQTT's strings have at most 65,535 bytes");
    out.extend(length.to_be_bytes());
    out.extend(bytes);
}
