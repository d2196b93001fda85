//! Events as canonical JSON: written straight from the event, in one pass and a second one for the types.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;

use super::object::Object;
use super::scalar::{write_double, write_int, write_text, write_time};
use super::{Context, Identity};
use crate::event::Event;
use crate::value::Value;

/// Appends the event to `out`, without a line's end.
pub fn write(context: &Context<'_>, event: &Event<'_>, out: &mut Vec<u8>) {
    let mut frame = Frame::default();
    frame.fill(context);
    frame.write(context, event, out);
}

/// What the events of one message have in common, as JSON: it is written once, and copied for each. It is
/// filled again for the next message.
#[derive(Default)]
pub struct Frame {
    bytes: Vec<u8>,
    /// Behind what the message is called, behind whom it is about, and behind the rest in front of the time;
    /// what is left comes behind the time.
    ends: [usize; 3],
}

impl Frame {
    /// Takes another message.
    pub fn fill(&mut self, context: &Context<'_>) {
        self.bytes.clear();
        let mut object = Object::within(&mut self.bytes);
        object.id("message_id", &context.message_id);
        self.ends[0] = object.out.len();
        write_identity(&context.own_identity(), &mut object);
        self.ends[1] = object.out.len();
        for (name, known) in [
            ("device_type", context.device_type),
            ("firmware_version", context.firmware_version),
            ("group", context.group),
        ] {
            if !known.is_empty() {
                object.text(name, known);
            }
        }
        object.text("lane", context.lane);
        let received = Timestamp::from_millisecond(context.facts.received_ms);
        object.time("received", received.unwrap_or(Timestamp::UNIX_EPOCH));
        self.ends[2] = object.out.len();
        object.known("source");
        let mut source = Object::begin(object.out);
        source.text("topic", context.topic);
        source.int("partition", context.partition);
        source.int("offset", context.offset);
        source.end();
        object.text("parser", context.parser);
        object.int("revision", context.revision);
    }

    /// Appends an event of the message that it was filled with, without a line's end.
    pub fn write(&self, context: &Context<'_>, event: &Event<'_>, out: &mut Vec<u8>) {
        self.write_with_id(context, &context.event_id(event), event, out);
    }

    /// The same, where the event's id is known already.
    pub fn write_with_id(
        &self,
        context: &Context<'_>,
        event_id: &[u8; 16],
        event: &Event<'_>,
        out: &mut Vec<u8>,
    ) {
        let [message, identity, rest] = self.ends;
        let mut object = Object::begin(out);
        object.id("event_id", event_id);
        if event.device_id.is_none() {
            object.out.extend_from_slice(&self.bytes[..rest]);
        } else {
            object.out.extend_from_slice(&self.bytes[..message]);
            write_identity(&context.identity(event), &mut object);
            object.out.extend_from_slice(&self.bytes[identity..rest]);
        }
        object.time("time", event.time.at);
        object.text("time_from", event.time.source.label());
        if let Some(flag) = event.time.flag {
            object.text("time_flag", flag.label());
        }
        if let Some(offset) = event.time.offset_ns {
            object.int("time_offset_ns", offset);
        }
        object.out.extend_from_slice(&self.bytes[rest..]);
        object.int("index", event.index);
        object.known("fields");
        write_map(&event.fields, object.out);
        if event.fields.iter().any(|(_, value)| needs_type(value)) {
            object.known("types");
            let mut types = Object::begin(object.out);
            let mut pointer = String::new();
            write_map_types(&event.fields, &mut pointer, &mut types);
            types.end();
        }
        object.end();
    }
}

fn write_identity(identity: &Identity<'_>, object: &mut Object<'_>) {
    object.text("device_id", identity.device_id);
    object.bool("verified", identity.verified);
    if let Some((sender, proved)) = identity.sender {
        object.text("sender", sender);
        object.bool("sender_verified", proved);
    }
}

fn write_map(entries: &[(Cow<'_, str>, Value<'_>)], out: &mut Vec<u8>) {
    let mut map = Object::begin(out);
    for (name, value) in entries {
        map.key(name);
        write_value(value, map.out);
    }
    map.end();
}

/// Recursive by the value's depth, which the document's limits.
fn write_value(value: &Value<'_>, out: &mut Vec<u8>) {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(value) => out.extend_from_slice(if *value { b"true" } else { b"false" }),
        Value::Int(value) => write_int(*value, out),
        Value::Double(value) if value.is_finite() => write_double(*value, out),
        Value::Double(value) => write_text(not_finite(*value), out),
        Value::Decimal(text) | Value::Text(text) => write_text(text, out),
        Value::Bytes(bytes) => {
            out.extend_from_slice(format!("\"{}\"", STANDARD.encode(bytes)).as_bytes());
        }
        Value::Time(time) => write_time(*time, out),
        Value::List(items) => {
            out.push(b'[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    out.push(b',');
                }
                write_value(item, out);
            }
            out.push(b']');
        }
        Value::Map(entries) => write_map(entries, out),
    }
}

/// What JSON has no number for, as protobuf's JSON calls it: Java, Go and Python read these names.
fn not_finite(value: f64) -> &'static str {
    match value {
        f64::INFINITY => "Infinity",
        f64::NEG_INFINITY => "-Infinity",
        _ => "NaN",
    }
}

/// Whether JSON alone does not tell its type, or that of something within.
fn needs_type(value: &Value<'_>) -> bool {
    match value {
        Value::Decimal(_) | Value::Bytes(_) | Value::Time(_) => true,
        Value::Double(value) => !value.is_finite(),
        Value::List(items) => items.iter().any(needs_type),
        Value::Map(entries) => entries.iter().any(|(_, value)| needs_type(value)),
        _ => false,
    }
}

fn write_map_types(
    entries: &[(Cow<'_, str>, Value<'_>)],
    pointer: &mut String,
    types: &mut Object<'_>,
) {
    for (name, value) in entries {
        let end = pointer.len();
        pointer.push('/');
        push_escaped(name, pointer);
        write_types(value, pointer, types);
        pointer.truncate(end);
    }
}

fn write_types(value: &Value<'_>, pointer: &mut String, types: &mut Object<'_>) {
    if !needs_type(value) {
        return;
    }
    match value {
        Value::List(items) => {
            for (at, item) in items.iter().enumerate() {
                let end = pointer.len();
                pointer.push('/');
                pointer.push_str(&at.to_string());
                write_types(item, pointer, types);
                pointer.truncate(end);
            }
        }
        Value::Map(entries) => write_map_types(entries, pointer, types),
        value => {
            types.key(pointer);
            write_text(value.type_name(), types.out);
        }
    }
}

/// A name within a pointer (RFC 6901, 3).
pub(super) fn push_escaped(name: &str, pointer: &mut String) {
    if !name.bytes().any(|byte| matches!(byte, b'~' | b'/')) {
        return pointer.push_str(name);
    }
    for one in name.chars() {
        match one {
            '~' => pointer.push_str("~0"),
            '/' => pointer.push_str("~1"),
            one => pointer.push(one),
        }
    }
}
