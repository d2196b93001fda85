//! Bytes to packets; what is malformed is a fault of the gateway and panics.

use super::super::property;
use super::{Packet, Publish, Version};

/// The first whole packet and its length, if it is there.
pub fn packet(version: Version, received: &[u8]) -> Option<(Packet, usize)> {
    let (first, rest) = received.split_first()?;
    let (mut length, mut header) = (0, 1);
    loop {
        let byte = *rest.get(header - 1)?;
        length |= usize::from(byte & 0x7f) << (7 * (header - 1));
        header += 1;
        if byte & 0x80 == 0 {
            break;
        }
        assert!(header < 6, "the gateway sent a length of more than four bytes: {received:02x?}");
    }
    let body = received.get(header..header + length)?;
    Some((decode(version, *first, body), header + length))
}

fn decode(version: Version, first: u8, body: &[u8]) -> Packet {
    let mut bytes = Bytes(body);
    let v5 = version == Version::V5;
    let packet = match first >> 4 {
        2 => Packet::Connack {
            session_present: match bytes.byte() {
                0 => false,
                1 => true,
                other => panic!("CONNACK has flags {other:#04x}"),
            },
            code: bytes.byte(),
            properties: properties(v5, &mut bytes),
        },
        3 => publish(v5, first, &mut bytes),
        kind @ 4..=7 => acknowledgement(kind, &mut bytes),
        9 => Packet::Suback {
            packet_id: bytes.two(),
            properties: properties(v5, &mut bytes),
            codes: std::mem::take(&mut bytes.0).to_vec(),
        },
        11 => Packet::Unsuback {
            packet_id: bytes.two(),
            properties: properties(v5, &mut bytes),
            codes: std::mem::take(&mut bytes.0).to_vec(),
        },
        13 => Packet::Pingresp,
        14 => Packet::Disconnect {
            code: bytes.byte_or_zero(),
            properties: properties(v5, &mut bytes),
        },
        _ => panic!("the gateway sent what only clients send: {first:#04x} {body:02x?}"),
    };
    let flags = if first >> 4 == 6 { 2 } else { 0 };
    assert!(first >> 4 == 3 || first & 0x0f == flags, "wrong flags: {first:#04x}");
    assert!(bytes.0.is_empty(), "there are bytes left over after {packet:?}: {:02x?}", bytes.0);
    packet
}

fn publish(v5: bool, first: u8, bytes: &mut Bytes<'_>) -> Packet {
    let qos = first >> 1 & 3;
    let topic = bytes.text();
    let packet_id = if qos > 0 { bytes.two() } else { 0 };
    Packet::Publish(Publish {
        topic,
        packet_id,
        properties: properties(v5, bytes),
        payload: std::mem::take(&mut bytes.0).to_vec(),
        qos,
        dup: first & 0x08 != 0,
        retain: first & 0x01 != 0,
    })
}

fn acknowledgement(kind: u8, bytes: &mut Bytes<'_>) -> Packet {
    let packet_id = bytes.two();
    let code = bytes.byte_or_zero();
    // The length may be left out after the code (MQTT 5, 3.4.2.2).
    let properties = properties(true, bytes);
    match kind {
        4 => Packet::Puback { packet_id, code, properties },
        5 => Packet::Pubrec { packet_id, code, properties },
        6 => Packet::Pubrel { packet_id, code, properties },
        _ => Packet::Pubcomp { packet_id, code, properties },
    }
}

fn properties(v5: bool, bytes: &mut Bytes<'_>) -> Vec<property::Property> {
    if v5 && !bytes.0.is_empty() { property::read(bytes) } else { Vec::new() }
}

/// What is left of a packet.
pub struct Bytes<'a>(pub &'a [u8]);

impl<'a> Bytes<'a> {
    pub fn take(&mut self, count: usize) -> &'a [u8] {
        assert!(count <= self.0.len(), "the gateway sent a packet that is too short");
        let (taken, rest) = self.0.split_at(count);
        self.0 = rest;
        taken
    }

    pub fn byte(&mut self) -> u8 {
        self.take(1)[0]
    }

    fn byte_or_zero(&mut self) -> u8 {
        if self.0.is_empty() { 0 } else { self.byte() }
    }

    pub fn two(&mut self) -> u16 {
        u16::from(self.byte()) << 8 | u16::from(self.byte())
    }

    pub fn four(&mut self) -> u32 {
        u32::from(self.two()) << 16 | u32::from(self.two())
    }

    pub fn variable(&mut self) -> u32 {
        let mut number = 0;
        for shift in [0, 7, 14, 21] {
            let byte = self.byte();
            number |= u32::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return number;
            }
        }
        panic!("the gateway sent a number of more than four bytes");
    }

    pub fn binary(&mut self) -> Vec<u8> {
        let length = self.two();
        self.take(length.into()).to_vec()
    }

    pub fn text(&mut self) -> String {
        String::from_utf8(self.binary()).expect("the gateway sends UTF-8")
    }
}
