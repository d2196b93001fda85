//! Bytes to packets; what is malformed is a fault of the gateway.

use super::super::property;
use super::{Packet, Publish, Version};

/// What is wrong with what the gateway sent.
pub type Malformed = String;

/// The first whole packet and its length, if it is there; panics over what is malformed.
#[track_caller]
pub fn packet(version: Version, received: &[u8]) -> Option<(Packet, usize)> {
    match try_packet(version, received) {
        Ok(packet) => packet,
        Err(malformed) => panic!("the gateway sent {malformed}"),
    }
}

/// The same for whoever goes on.
pub fn try_packet(version: Version, received: &[u8]) -> Result<Option<(Packet, usize)>, Malformed> {
    let Some((first, rest)) = received.split_first() else { return Ok(None) };
    let (mut length, mut header) = (0, 1);
    loop {
        let Some(byte) = rest.get(header - 1) else { return Ok(None) };
        length |= usize::from(byte & 0x7f) << (7 * (header - 1));
        header += 1;
        if byte & 0x80 == 0 {
            break;
        }
        if header > 4 {
            return Err(format!("a length of more than four bytes: {:02x?}", &received[..header]));
        }
    }
    let Some(body) = received.get(header..header + length) else { return Ok(None) };
    Ok(Some((decode(version, *first, body)?, header + length)))
}

fn decode(version: Version, first: u8, body: &[u8]) -> Result<Packet, Malformed> {
    let mut bytes = Bytes(body);
    let v5 = version == Version::V5;
    let packet = match first >> 4 {
        2 => Packet::Connack {
            session_present: match bytes.byte()? {
                0 => false,
                1 => true,
                other => return Err(format!("a CONNACK with flags {other:#04x}")),
            },
            code: bytes.byte()?,
            properties: properties(v5, &mut bytes)?,
        },
        3 => publish(v5, first, &mut bytes)?,
        kind @ 4..=7 => acknowledgement(kind, &mut bytes)?,
        9 => Packet::Suback {
            packet_id: bytes.two()?,
            properties: properties(v5, &mut bytes)?,
            codes: std::mem::take(&mut bytes.0).to_vec(),
        },
        11 => Packet::Unsuback {
            packet_id: bytes.two()?,
            properties: properties(v5, &mut bytes)?,
            codes: std::mem::take(&mut bytes.0).to_vec(),
        },
        13 => Packet::Pingresp,
        14 => Packet::Disconnect {
            code: bytes.byte_or_zero(),
            properties: properties(v5, &mut bytes)?,
        },
        _ => return Err(format!("what only clients send: {first:#04x} {body:02x?}")),
    };
    let flags = if first >> 4 == 6 { 2 } else { 0 };
    if first >> 4 != 3 && first & 0x0f != flags {
        return Err(format!("wrong flags: {first:#04x}"));
    }
    if !bytes.0.is_empty() {
        return Err(format!("bytes that are left over after {packet:?}: {:02x?}", bytes.0));
    }
    Ok(packet)
}

fn publish(v5: bool, first: u8, bytes: &mut Bytes<'_>) -> Result<Packet, Malformed> {
    let qos = first >> 1 & 3;
    let topic = bytes.text()?;
    let packet_id = if qos > 0 { bytes.two()? } else { 0 };
    Ok(Packet::Publish(Publish {
        topic,
        packet_id,
        properties: properties(v5, bytes)?,
        payload: std::mem::take(&mut bytes.0).to_vec(),
        qos,
        dup: first & 0x08 != 0,
        retain: first & 0x01 != 0,
    }))
}

fn acknowledgement(kind: u8, bytes: &mut Bytes<'_>) -> Result<Packet, Malformed> {
    let packet_id = bytes.two()?;
    let code = bytes.byte_or_zero();
    // The length may be left out after the code (MQTT 5, 3.4.2.2).
    let properties = properties(true, bytes)?;
    Ok(match kind {
        4 => Packet::Puback { packet_id, code, properties },
        5 => Packet::Pubrec { packet_id, code, properties },
        6 => Packet::Pubrel { packet_id, code, properties },
        _ => Packet::Pubcomp { packet_id, code, properties },
    })
}

fn properties(v5: bool, bytes: &mut Bytes<'_>) -> Result<Vec<property::Property>, Malformed> {
    if v5 && !bytes.0.is_empty() { property::read(bytes) } else { Ok(Vec::new()) }
}

/// What is left of a packet.
pub struct Bytes<'a>(pub &'a [u8]);

impl<'a> Bytes<'a> {
    pub fn take(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let Some((taken, rest)) = self.0.split_at_checked(count) else {
            return Err(format!("a packet that is too short: {:02x?}", self.0));
        };
        self.0 = rest;
        Ok(taken)
    }

    pub fn byte(&mut self) -> Result<u8, Malformed> {
        Ok(self.take(1)?[0])
    }

    fn byte_or_zero(&mut self) -> u8 {
        self.byte().unwrap_or(0)
    }

    pub fn two(&mut self) -> Result<u16, Malformed> {
        Ok(u16::from(self.byte()?) << 8 | u16::from(self.byte()?))
    }

    pub fn four(&mut self) -> Result<u32, Malformed> {
        Ok(u32::from(self.two()?) << 16 | u32::from(self.two()?))
    }

    pub fn variable(&mut self) -> Result<u32, Malformed> {
        let mut number = 0;
        for shift in [0, 7, 14, 21] {
            let byte = self.byte()?;
            number |= u32::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err("a number of more than four bytes".to_owned())
    }

    pub fn binary(&mut self) -> Result<Vec<u8>, Malformed> {
        let length = self.two()?;
        Ok(self.take(length.into())?.to_vec())
    }

    pub fn text(&mut self) -> Result<String, Malformed> {
        let bytes = self.binary()?;
        String::from_utf8(bytes).map_err(|error| format!("a text that is no UTF-8: {error}"))
    }
}
