//! The properties of MQTT 5 (2.2.2): a number and a value of the type that the number has. The
//! constants are the numbers that tests name.

use super::packet::decode::{Bytes, Malformed};
use super::packet::encode;

pub const MESSAGE_EXPIRY_INTERVAL: u8 = 0x02;
pub const CONTENT_TYPE: u8 = 0x03;
pub const RESPONSE_TOPIC: u8 = 0x08;
pub const CORRELATION_DATA: u8 = 0x09;
pub const SUBSCRIPTION_IDENTIFIER: u8 = 0x0b;
pub const SESSION_EXPIRY_INTERVAL: u8 = 0x11;
pub const ASSIGNED_CLIENT_IDENTIFIER: u8 = 0x12;
pub const SERVER_KEEP_ALIVE: u8 = 0x13;
pub const REASON_STRING: u8 = 0x1f;
pub const RECEIVE_MAXIMUM: u8 = 0x21;
pub const TOPIC_ALIAS_MAXIMUM: u8 = 0x22;
pub const TOPIC_ALIAS: u8 = 0x23;
pub const MAXIMUM_QOS: u8 = 0x24;
pub const RETAIN_AVAILABLE: u8 = 0x25;
pub const USER_PROPERTY: u8 = 0x26;
pub const MAXIMUM_PACKET_SIZE: u8 = 0x27;
pub const WILDCARD_SUBSCRIPTION_AVAILABLE: u8 = 0x28;
pub const SUBSCRIPTION_IDENTIFIERS_AVAILABLE: u8 = 0x29;
pub const SHARED_SUBSCRIPTION_AVAILABLE: u8 = 0x2a;

/// One property; whether its value fits its number is the test's affair.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Property {
    pub number: u8,
    pub value: Value,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    Byte(u8),
    TwoBytes(u16),
    FourBytes(u32),
    Variable(u32),
    Text(String),
    Binary(Vec<u8>),
    Pair(String, String),
}

impl Property {
    pub fn new(number: u8, value: Value) -> Property {
        Property { number, value }
    }

    pub fn user(name: &str, value: &str) -> Property {
        Property::new(USER_PROPERTY, Value::Pair(name.to_owned(), value.to_owned()))
    }

    pub fn text(number: u8, text: &str) -> Property {
        Property::new(number, Value::Text(text.to_owned()))
    }
}

/// Their length and bytes.
pub(super) fn write(properties: &[Property], out: &mut Vec<u8>) {
    let mut bytes = Vec::new();
    for Property { number, value } in properties {
        bytes.push(*number);
        match value {
            Value::Byte(byte) => bytes.push(*byte),
            Value::TwoBytes(number) => bytes.extend(number.to_be_bytes()),
            Value::FourBytes(number) => bytes.extend(number.to_be_bytes()),
            Value::Variable(number) => encode::variable(*number, &mut bytes),
            Value::Text(text) => encode::text(text, &mut bytes),
            Value::Binary(binary) => encode::binary(binary, &mut bytes),
            Value::Pair(name, value) => {
                encode::text(name, &mut bytes);
                encode::text(value, &mut bytes);
            }
        }
    }
    encode::variable(bytes.len() as u32, out);
    out.extend(bytes);
}

pub(super) fn read(bytes: &mut Bytes<'_>) -> Result<Vec<Property>, Malformed> {
    let length = bytes.variable()? as usize;
    let mut own = Bytes(bytes.take(length)?);
    let mut properties = Vec::new();
    while !own.0.is_empty() {
        let number = own.byte()?;
        let value = match number {
            0x01 | 0x17 | 0x19 | 0x24 | 0x25 | 0x28 | 0x29 | 0x2a => Value::Byte(own.byte()?),
            0x13 | 0x21 | 0x22 | 0x23 => Value::TwoBytes(own.two()?),
            0x02 | 0x11 | 0x18 | 0x27 => Value::FourBytes(own.four()?),
            0x0b => Value::Variable(own.variable()?),
            0x09 | 0x16 => Value::Binary(own.binary()?),
            0x26 => Value::Pair(own.text()?, own.text()?),
            0x03 | 0x08 | 0x12 | 0x15 | 0x1a | 0x1c | 0x1f => Value::Text(own.text()?),
            other => return Err(format!("a property that MQTT 5 does not have: {other:#04x}")),
        };
        properties.push(Property { number, value });
    }
    Ok(properties)
}
