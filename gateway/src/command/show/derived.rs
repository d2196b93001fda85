//! What is made of lanes' records, as a person wants to see it: events, the metadata stream, the quarantine.

use bridge::kafka::consumer::ConsumerRecord;
use bridge::text::escape;
use serde_json::{Map, Value};

/// Characters of an event's fields that are shown.
const FIELDS_CHARS: usize = 200;

/// Describes a record that the parse role wrote; None if it is none.
pub fn line(record: &ConsumerRecord) -> Option<String> {
    let header = |name: &str| {
        let found = record.headers.iter().find(|(known, _)| known == name);
        let value = found.and_then(|(_, value)| value.as_deref());
        value.map(|value| escape(&String::from_utf8_lossy(value)).to_string())
    };
    if let (Some(detail), Some(source)) = (header("landfall-detail"), header("landfall-source")) {
        let parser = header("landfall-parser").map_or(String::new(), |name| format!(" by {name}"));
        return Some(format!("quarantine  {source}{parser}  {detail}"));
    }
    let value = serde_json::from_slice::<Value>(record.value.as_deref()?).ok()?;
    let record = value.as_object()?;
    if record.contains_key("event_id") {
        return Some(event(record));
    }
    match record.get("kind")?.as_str()? {
        "landed" => Some(format!("{}  {}", beginning(record, "landed"), source(record))),
        "parsed" => Some(format!("{}  {}", beginning(record, "parsed"), outcome(record))),
        _ => None,
    }
}

fn event(event: &Map<String, Value>) -> String {
    let fields = event.get("fields").and_then(Value::as_object);
    let fields = fields.into_iter().flatten().map(|(name, value)| format!("{name} {value}"));
    let fields = fields.collect::<Vec<_>>().join(", ");
    let shown: String = fields.chars().take(FIELDS_CHARS).collect();
    let more = if shown.len() < fields.len() { "…" } else { "" };
    let (time, device) = (text(event, "time"), text(event, "device_id"));
    format!("{time}  event     {device}  {}  {}{more}", text(event, "parser"), escape(&shown))
}

fn beginning(record: &Map<String, Value>, kind: &str) -> String {
    let (time, device) = (text(record, "received"), text(record, "device_id"));
    format!("{time}  {kind:<9} {device}  {}", text(record, "lane"))
}

fn source(record: &Map<String, Value>) -> String {
    let source = record.get("source").and_then(Value::as_object);
    let part = |name| source.map_or(String::new(), |source| text(source, name));
    let (topic, partition, offset) = (part("topic"), part("partition"), part("offset"));
    format!("{} B at {topic}/{partition}/{offset}", text(record, "size"))
}

fn outcome(record: &Map<String, Value>) -> String {
    let events = record.get("events").and_then(Value::as_u64);
    let became = match (events, record.get("reason")) {
        (Some(1), _) => "1 event".to_owned(),
        (Some(events), _) => format!("{events} events"),
        (None, Some(_)) => format!("{}: {}", text(record, "outcome"), text(record, "reason")),
        (None, None) => text(record, "outcome"),
    };
    match record.get("parser") {
        Some(_) => format!("{became} by {}", text(record, "parser")),
        None => became,
    }
}

/// A member as text; empty where there is none.
fn text(record: &Map<String, Value>, name: &str) -> String {
    match record.get(name) {
        None => String::new(),
        Some(Value::String(text)) => escape(text).to_string(),
        Some(other) => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use serde_json::json;

    use super::*;

    fn record(value: &Value, headers: &[(&str, &str)]) -> ConsumerRecord {
        let header = |(name, value): &(&str, &str)| {
            ((*name).to_owned(), Some(Bytes::from(value.as_bytes().to_vec())))
        };
        ConsumerRecord {
            topic: "any".to_owned(),
            partition: 0,
            offset: 0,
            timestamp_ms: None,
            key: None,
            value: Some(Bytes::from(value.to_string())),
            headers: headers.iter().map(header).collect(),
        }
    }

    #[test]
    fn each_is_told_in_words_and_nothing_that_a_terminal_obeys() {
        let event = json!({
            "event_id": "e", "device_id": "m-1\u{1b}[2J", "time": "2026-03-01T12:00:00.000Z",
            "parser": "meter", "fields": { "power_w": 21.5, "site": "north" },
        });
        assert_eq!(
            line(&record(&event, &[])).expect("an event"),
            "2026-03-01T12:00:00.000Z  event     m-1\\u{1b}[2J  meter  power_w 21.5, site \"north\""
        );
        let mut metadata = json!({
            "kind": "landed", "received": "2026-03-01T12:00:00.000Z", "device_id": "m-1",
            "lane": "fast", "size": 31,
            "source": { "topic": "landfall.fast", "partition": 1, "offset": 9 },
        });
        assert_eq!(
            line(&record(&metadata, &[])).expect("metadata"),
            "2026-03-01T12:00:00.000Z  landed    m-1  fast  31 B at landfall.fast/1/9"
        );
        metadata["kind"] = json!("parsed");
        metadata["outcome"] = json!("quarantined");
        metadata["reason"] = json!("not_json");
        metadata["parser"] = json!("meter");
        assert_eq!(
            line(&record(&metadata, &[])).expect("metadata"),
            "2026-03-01T12:00:00.000Z  parsed    m-1  fast  quarantined: not_json by meter"
        );
        metadata["events"] = json!(2);
        let told = line(&record(&metadata, &[])).expect("metadata");
        assert!(told.ends_with("2 events by meter"), "{told}");
        let headers = [("landfall-detail", "not_json at byte 3: x"), ("landfall-source", "t/1/9")];
        let told = line(&record(&json!(1), &headers)).expect("quarantine");
        assert_eq!(told, "quarantine  t/1/9  not_json at byte 3: x");
        assert_eq!(line(&record(&json!({ "temperature": 1 }), &[])), None);
    }
}
