//! Reads an event's canonical JSON back, as the protobuf message that says the same. Replays, `verify` and
//! tests read with it; that nothing is lost between both formats is a property.

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use proto::v1::value::Kind as Typed;
use proto::v1::{self, IdentityTrust, NullValue};

use super::json::push_escaped;
use super::{flag_of, protobuf, source_of};
use crate::json::reader::{self, Duplicates, Rules};
use crate::json::{Entry, Json, Kind};
use crate::limits::DEPTH_MAX;

/// As deep as what was written can be: a value within its field within the event.
const RULES: Rules = Rules {
    depth: DEPTH_MAX + 2,
    duplicates: Duplicates::Fail,
    not_finite: false,
    tree: usize::MAX,
};

/// The event, or what is wrong with the text.
pub fn read(text: &str) -> Result<v1::Event, String> {
    let json = reader::read(text, &RULES).map_err(|failure| failure.to_string())?;
    let types = types(json.get("types"))?;
    let verified = flag(&json, "verified")?;
    let sender = json.get("sender").map(|_| text_at(&json, "sender")).transpose()?;
    let sender_trust = match sender {
        Some(_) => protobuf::trust(flag(&json, "sender_verified")?),
        None => IdentityTrust::Unspecified,
    };
    let source = source_of(text_at(&json, "time_from")?).ok_or("time_from is not known")?;
    let time_flag = match json.get("time_flag") {
        Some(_) => Some(flag_of(text_at(&json, "time_flag")?).ok_or("time_flag is not known")?),
        None => None,
    };
    let place = json.get("source").ok_or("source is missing")?;
    let optional = |name: &str| json.get(name).map_or(Ok(""), |_| text_at(&json, name));
    let fields = json.get("fields").ok_or("fields is missing")?;
    let received = time_at(&json, "received")?;
    Ok(v1::Event {
        event_id: id_at(&json, "event_id")?,
        message_id: id_at(&json, "message_id")?,
        device_id: text_at(&json, "device_id")?.to_owned(),
        device_id_trust: protobuf::trust(verified).into(),
        sender: sender.unwrap_or_default().to_owned(),
        sender_trust: sender_trust.into(),
        device_type: optional("device_type")?.to_owned(),
        firmware_version: optional("firmware_version")?.to_owned(),
        group: optional("group")?.to_owned(),
        lane: text_at(&json, "lane")?.to_owned(),
        received_ms: received.as_millisecond(),
        time: Some(protobuf::of_time(time_at(&json, "time")?)),
        time_source: protobuf::source(source).into(),
        time_flag: protobuf::flag(time_flag).into(),
        time_offset_ns: json
            .get("time_offset_ns")
            .map(|_| number_at(&json, "time_offset_ns"))
            .transpose()?,
        source: Some(v1::Position {
            topic: text_at(place, "topic")?.to_owned(),
            partition: number_at(place, "partition")?,
            offset: number_at(place, "offset")?,
        }),
        parser: text_at(&json, "parser")?.to_owned(),
        revision: number_at(&json, "revision")?,
        index: number_at(&json, "index")?,
        fields: map(fields, &types, &mut String::new())?,
    })
}

type Types<'j> = HashMap<&'j str, &'j str>;

fn types<'j>(written: Option<&'j Json<'_>>) -> Result<Types<'j>, String> {
    let Some(written) = written else { return Ok(Types::new()) };
    let Kind::Map(entries) = &written.kind else { return Err("types is no object".to_owned()) };
    let entry = |entry: &'j Entry<'_>| match &entry.value.kind {
        Kind::Text(name) => Ok((entry.key.as_ref(), name.as_ref())),
        _ => Err(format!("the type of {} is no text", entry.key)),
    };
    entries.iter().map(entry).collect()
}

fn map(
    json: &Json<'_>,
    types: &Types<'_>,
    pointer: &mut String,
) -> Result<std::collections::BTreeMap<String, v1::Value>, String> {
    let Kind::Map(entries) = &json.kind else { return Err(format!("{pointer} is no object")) };
    let entry = |entry: &Entry<'_>| {
        let end = pointer.len();
        pointer.push('/');
        push_escaped(&entry.key, pointer);
        let value = value(&entry.value, types, pointer)?;
        pointer.truncate(end);
        Ok((entry.key.to_string(), value))
    };
    entries.iter().map(entry).collect()
}

fn value(json: &Json<'_>, types: &Types<'_>, pointer: &mut String) -> Result<v1::Value, String> {
    let kind = match (&json.kind, types.get(pointer.as_str()).copied()) {
        (Kind::Null, None) => Typed::NullValue(NullValue::NullValue.into()),
        (Kind::Bool(value), None) => Typed::BoolValue(*value),
        (Kind::Number(digits), None) => {
            let is_whole = digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
            let wrong = || format!("{pointer}: {digits} is no number of 64 bits");
            match is_whole {
                true => Typed::IntValue(digits.parse().map_err(|_| wrong())?),
                false => Typed::FloatValue(digits.parse().map_err(|_| wrong())?),
            }
        }
        (Kind::Text(text), None) => Typed::TextValue(text.to_string()),
        (Kind::Text(text), Some("decimal")) => Typed::DecimalValue(text.to_string()),
        (Kind::Text(text), Some("bytes")) => {
            let bytes = STANDARD.decode(text.as_ref());
            Typed::BytesValue(bytes.map_err(|error| format!("{pointer}: {error}"))?)
        }
        (Kind::Text(text), Some("time")) => {
            let time = text.parse().map_err(|error| format!("{pointer}: {error}"))?;
            Typed::TimeValue(protobuf::of_time(time))
        }
        (Kind::Text(text), Some("float")) => {
            let value = reader::not_finite(text);
            Typed::FloatValue(value.ok_or_else(|| format!("{pointer}: {text} is no float"))?)
        }
        (Kind::List(items), None) => {
            let mut values = Vec::with_capacity(items.len());
            for (at, item) in items.iter().enumerate() {
                let end = pointer.len();
                pointer.push('/');
                pointer.push_str(&at.to_string());
                values.push(value(item, types, pointer)?);
                pointer.truncate(end);
            }
            Typed::ListValue(v1::List { values })
        }
        (Kind::Map(_), None) => Typed::MapValue(v1::Map { values: map(json, types, pointer)? }),
        (_, declared) => {
            return Err(format!("{pointer}: {} as {declared:?}", json.describe()));
        }
    };
    Ok(v1::Value { kind: Some(kind) })
}

fn text_at<'j>(json: &'j Json<'_>, key: &str) -> Result<&'j str, String> {
    match json.get(key).map(|value| &value.kind) {
        Some(Kind::Text(text)) => Ok(text),
        _ => Err(format!("{key} is missing, or no text")),
    }
}

fn flag(json: &Json<'_>, key: &str) -> Result<bool, String> {
    match json.get(key).map(|value| &value.kind) {
        Some(Kind::Bool(value)) => Ok(*value),
        _ => Err(format!("{key} is missing, or no boolean")),
    }
}

fn number_at<T: std::str::FromStr>(json: &Json<'_>, key: &str) -> Result<T, String> {
    let digits = match json.get(key).map(|value| &value.kind) {
        Some(Kind::Number(digits)) => digits.parse().ok(),
        _ => None,
    };
    digits.ok_or_else(|| format!("{key} is missing, or no whole number of its size"))
}

fn time_at(json: &Json<'_>, key: &str) -> Result<Timestamp, String> {
    text_at(json, key)?.parse().map_err(|error| format!("{key}: {error}"))
}

fn id_at(json: &Json<'_>, key: &str) -> Result<Vec<u8>, String> {
    let text: String = text_at(json, key)?.replace('-', "");
    let digit = |at: usize| text.get(at..at + 2).and_then(|two| u8::from_str_radix(two, 16).ok());
    let bytes: Option<Vec<u8>> = (0..16).map(|byte| digit(2 * byte)).collect();
    bytes.filter(|_| text.len() == 32).ok_or_else(|| format!("{key} is no id"))
}
