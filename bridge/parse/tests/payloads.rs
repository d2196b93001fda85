//! What device fleets really send gives the events that are expected of it, by configuration alone: each
//! payload of `payloads/` by its parser in `payloads/parsers.yaml`, and so those of `shapes/`, which are
//! what else devices are known to send. `payloads/README.md` says how the expected files are read.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::PathBuf;

use base64::Engine as _;
use parse::compile::compile;
use parse::event::Event;
use parse::facts::Facts;
use parse::failure::{Failure, Outcome};
use parse::limits::Limits;
use parse::parser::{Declared, Parser as _, Sink};
use parse::time::TimeSource;
use parse::value::Value;
use parse::written;
use serde_json::{Map, Value as Json, json};

/// Bytes that the place of a failure may be off.
const PLACE_OFF_MAX: u64 = 2;

const FOLDERS: [&str; 2] = ["payloads", "shapes"];

fn tests() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests")
}

fn text(folder: &str, name: &str) -> String {
    std::fs::read_to_string(tests().join(folder).join(name)).expect(name)
}

/// Everything that a parser says of a message, in the payload's order.
#[derive(Default)]
struct Seen {
    told: Vec<Json>,
}

impl Sink for Seen {
    fn event(&mut self, event: Event<'_>) {
        self.told.push(shown(&event));
    }

    fn skipped(&mut self, failure: Failure) {
        let mut told = failed(&failure);
        told["skipped"] = true.into();
        self.told.push(told);
    }
}

fn failed(failure: &Failure) -> Json {
    let mut told = json!({ "fails": failure.reason.label() });
    if let Some(record) = failure.record {
        told["record"] = record.into();
    }
    if let Some(at) = failure.at {
        told["at"] = at.into();
    }
    if let Some(field) = &failure.field {
        told["field"] = field.as_ref().into();
    }
    told["detail"] = failure.detail.as_ref().into();
    told
}

/// An event as the expected files write it.
fn shown(event: &Event<'_>) -> Json {
    let mut told = Map::new();
    told.insert("index".into(), event.index.into());
    let time = event.time;
    let is_payload = time.source == TimeSource::Payload;
    told.insert("time_from".into(), time.source.label().into());
    told.insert("time".into(), is_payload.then(|| format!("{:.3}", time.at)).into());
    told.insert("time_exact".into(), format!("{:.9}", time.at).into());
    if let Some(flag) = time.flag {
        told.insert("time_flag".into(), flag.label().into());
    }
    if let Some(offset) = time.offset_ns {
        told.insert("time_offset_ms".into(), (offset / 1_000_000).into());
    }
    if let Some(id) = &event.device_id {
        told.insert("device_id".into(), id.as_ref().into());
    }
    let fields = event.fields.iter().map(|(name, value)| (name.to_string(), typed(value)));
    told.insert("fields".into(), Json::Object(fields.collect()));
    Json::Object(told)
}

fn typed(value: &Value<'_>) -> Json {
    let shown = match value {
        Value::Null => Json::Null,
        Value::Bool(value) => (*value).into(),
        Value::Int(value) => (*value).into(),
        Value::Double(value) => (*value).into(),
        Value::Decimal(text) | Value::Text(text) => text.as_ref().into(),
        Value::Bytes(bytes) => base64::engine::general_purpose::STANDARD.encode(bytes).into(),
        Value::Time(time) => format!("{time:.3}").into(),
        Value::List(items) => items.iter().map(typed).collect(),
        Value::Map(entries) => {
            let entry =
                |(name, value): &(Cow<'_, str>, Value<'_>)| (name.to_string(), typed(value));
            Json::Object(entries.iter().map(entry).collect())
        }
    };
    json!({ "type": value.type_name(), "value": shown })
}

/// What of the expected does not hold of what was seen.
fn differences(expected: &Json, seen: &[Json]) -> Vec<String> {
    let expected = expected.as_array().expect("a list");
    let mut wrong = Vec::new();
    if expected.len() != seen.len() {
        wrong.push(format!("{} are expected, {} were seen", expected.len(), seen.len()));
    }
    for (at, (expected, seen)) in expected.iter().zip(seen).enumerate() {
        for (key, wanted) in expected.as_object().expect("an object") {
            let found = &seen[key];
            let is_right = match key.as_str() {
                "at" => match (wanted.as_u64(), found.as_u64()) {
                    (Some(wanted), Some(found)) => wanted.abs_diff(found) <= PLACE_OFF_MAX,
                    _ => false,
                },
                _ => wanted == found,
            };
            if !is_right {
                wrong.push(format!("[{at}].{key}: expected {wanted}, found {found}"));
            }
        }
        for key in ["time_flag", "device_id", "fails", "skipped", "time_offset_ms"] {
            if expected[key].is_null() && !seen[key].is_null() {
                wrong.push(format!("[{at}].{key}: nothing is expected, found {}", seen[key]));
            }
        }
    }
    if !wrong.is_empty() {
        wrong.push(format!("seen: {}", serde_json::to_string_pretty(&seen).expect("JSON")));
    }
    wrong
}

fn parsers(folder: &str) -> BTreeMap<String, Declared> {
    let written: BTreeMap<String, written::Parser> =
        serde_saphyr::from_str(&text(folder, "parsers.yaml")).expect("parsers.yaml is valid");
    let compiled = |(name, written): (String, written::Parser)| {
        let parser = compile(&written, Limits::default());
        let parser = parser.unwrap_or_else(|faults| panic!("{name}: {faults:?}"));
        (name, parser)
    };
    written.into_iter().map(compiled).collect()
}

fn parsed(parser: &Declared, sample: &Json, payload: &[u8]) -> Vec<Json> {
    let received: jiff::Timestamp =
        sample["received"].as_str().expect("a text").parse().expect("a time");
    let facts = Facts {
        topic: sample["topic"].as_str().expect("a text"),
        received_ms: received.as_millisecond(),
        device_id: "device",
        verified: true,
        attributes: &[],
    };
    let mut seen = Seen::default();
    match parser.parse(payload, &facts, &mut seen) {
        Outcome::Failed(failure) => vec![failed(&failure)],
        Outcome::NotData(_) | Outcome::Events { .. } => seen.told,
    }
}

/// Line protocol is a format of another day.
const NOT_YET: [&str; 1] = ["66-influx-line-seconds"];

#[test]
fn each_payload_gives_its_events() {
    let mut wrong = Vec::new();
    for folder in FOLDERS {
        let parsers = parsers(folder);
        let manifest: Vec<Json> =
            serde_json::from_str(&text(folder, "manifest.json")).expect("a manifest");
        let mut count = 0;
        for sample in &manifest {
            let file = sample["sample"].as_str().expect("a name");
            let name = file.rsplit_once('.').expect("it has an ending").0;
            if NOT_YET.contains(&name) {
                continue;
            }
            count += 1;
            let payload =
                std::fs::read(tests().join(folder).join("samples").join(file)).expect(file);
            let expected = format!("expected/{}", sample["expected"].as_str().expect("a name"));
            let expected: Json =
                serde_json::from_str(&text(folder, &expected)).expect("an expected file");
            let parser = parsers.get(name).unwrap_or_else(|| panic!("{name} has no parser"));
            // Nothing of one message remains for the next.
            for time in ["once", "again"] {
                let differences = differences(&expected, &parsed(parser, sample, &payload));
                if !differences.is_empty() {
                    wrong.push(format!("{name}, {time}:\n  {}", differences.join("\n  ")));
                }
            }
        }
        assert_eq!(count, parsers.len(), "{folder}: each parser has a payload");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_header_holds_for_one_message() {
    let parsers = parsers("payloads");
    let parser = &parsers["43-csv-header-per-message"];
    let sample = json!({ "topic": "servers/a1/cpu", "received": "2026-03-01T12:00:00.000Z" });
    let fields = |payload: &str| -> String {
        let seen = parsed(parser, &sample, payload.as_bytes());
        seen.iter().map(|event| event["fields"].to_string()).collect()
    };
    let first = fields("time,cpu,idle\n1770149645123,cpu0,42\n");
    let other = fields("idle,core,time\n7,cpu9,1770149645123\n");
    assert!(first.contains("cpu0") && first.contains("\"cpu\""), "{first}");
    assert!(other.contains("\"core\"") && !other.contains("\"cpu\""), "{other}");
    assert_eq!(fields("time,cpu,idle\n1770149645123,cpu0,42\n"), first);
}
