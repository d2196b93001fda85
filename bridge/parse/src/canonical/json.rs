//! Events as canonical JSON: written straight from the event, in one pass and a second one for the types.

use std::borrow::Cow;
use std::io::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;

use super::Context;
use super::object::{Object, write_text, write_time};
use crate::event::Event;
use crate::value::Value;

/// Appends the event to `out`, without a line's end.
pub fn write(context: &Context<'_>, event: &Event<'_>, out: &mut Vec<u8>) {
    let identity = context.identity(event);
    let mut object = Object::begin(out);
    object.id("event_id", &context.event_id(event));
    object.id("message_id", &context.message_id);
    object.text("device_id", identity.device_id);
    object.plain("verified", identity.verified);
    if let Some((sender, proved)) = identity.sender {
        object.text("sender", sender);
        object.plain("sender_verified", proved);
    }
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
    object.time("time", event.time.at);
    object.text("time_from", event.time.source.label());
    if let Some(flag) = event.time.flag {
        object.text("time_flag", flag.label());
    }
    if let Some(offset) = event.time.offset_ns {
        object.plain("time_offset_ns", offset);
    }
    object.key("source");
    let mut source = Object::begin(object.out);
    source.text("topic", context.topic);
    source.plain("partition", context.partition);
    source.plain("offset", context.offset);
    source.end();
    object.text("parser", context.parser);
    object.plain("revision", context.revision);
    object.plain("index", event.index);
    object.key("fields");
    write_map(&event.fields, object.out);
    if event.fields.iter().any(|(_, value)| needs_type(value)) {
        object.key("types");
        let mut types = Object::begin(object.out);
        let mut pointer = String::new();
        write_map_types(&event.fields, &mut pointer, &mut types);
        types.end();
    }
    object.end();
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
    let written = match value {
        Value::Null => out.write_all(b"null"),
        Value::Bool(value) => write!(out, "{value}"),
        Value::Int(value) => write!(out, "{value}"),
        // With a fraction or an exponent always, so that it is read as what it is.
        Value::Double(value) if value.is_finite() => write!(out, "{value:?}"),
        Value::Double(value) => write!(out, "\"{}\"", not_finite(*value)),
        Value::Decimal(text) | Value::Text(text) => {
            write_text(text, out);
            Ok(())
        }
        Value::Bytes(bytes) => write!(out, "\"{}\"", STANDARD.encode(bytes)),
        Value::Time(time) => {
            write_time(*time, out);
            Ok(())
        }
        Value::List(items) => {
            out.push(b'[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    out.push(b',');
                }
                write_value(item, out);
            }
            out.write_all(b"]")
        }
        Value::Map(entries) => {
            write_map(entries, out);
            Ok(())
        }
    };
    written.expect("memory takes everything");
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
        value => types.text(pointer, value.type_name()),
    }
}

/// A name within a pointer (RFC 6901, 3).
pub(super) fn push_escaped(name: &str, pointer: &mut String) {
    for one in name.chars() {
        match one {
            '~' => pointer.push_str("~0"),
            '/' => pointer.push_str("~1"),
            one => pointer.push(one),
        }
    }
}
