//! What the tests of parsers share: a parser out of YAML, and what it says of a message in short lines.

use std::borrow::Cow;

use parse::compile::compile;
use parse::event::Event;
use parse::facts::Facts;
use parse::failure::{Failure, Outcome};
use parse::limits::Limits;
use parse::parser::{Declared, Parser as _, Sink};
use parse::value::Value;
use parse::written;

pub const FACTS: Facts<'_> = Facts {
    topic: "devices/meter/m-1/power",
    received_ms: 1_772_366_400_000,
    device_id: "m-1",
    verified: true,
    attributes: &[("device_type", "meter")],
};

pub fn written(yaml: &str) -> written::Parser {
    serde_saphyr::from_str(yaml).unwrap_or_else(|error| panic!("{yaml}: {error}"))
}

pub fn parser_within(yaml: &str, limits: Limits) -> Declared {
    compile(&written(yaml), limits).unwrap_or_else(|faults| panic!("{yaml}: {faults:?}"))
}

pub fn parser(yaml: &str) -> Declared {
    parser_within(yaml, Limits::default())
}

/// What was said, a line for each event and each record that was left out, and one for the outcome where it
/// is no number of events.
pub fn said(parser: &Declared, payload: impl AsRef<[u8]>) -> Vec<String> {
    let mut lines = Lines(Vec::new());
    match parser.parse(payload.as_ref(), &FACTS, &mut lines) {
        Outcome::Events { events, skipped, .. } => {
            let all = lines.0.len() as u64;
            assert_eq!(events + skipped, all, "the outcome counts what was said");
            lines.0
        }
        Outcome::NotData(why) => vec![why.label().to_owned()],
        Outcome::Failed(failure) => vec![of_failure(&failure)],
    }
}

struct Lines(Vec<String>);

impl Sink for Lines {
    fn event(&mut self, event: Event<'_>) {
        let mut line = event.index.to_string();
        if let Some(id) = &event.device_id {
            line.push_str(&format!(" of {id}"));
        }
        if let Some(flag) = event.time.flag {
            line.push_str(&format!(" {}", flag.label()));
        }
        for (name, value) in &event.fields {
            line.push_str(&format!(" {name}={}", of_value(value)));
        }
        self.0.push(line);
    }

    fn skipped(&mut self, failure: Failure) {
        self.0.push(format!("skipped {}", of_failure(&failure)));
    }
}

pub fn of_failure(failure: &Failure) -> String {
    let mut line = failure.reason.label().to_owned();
    if let Some(record) = failure.record {
        line.push_str(&format!(" record {record}"));
    }
    if let Some(field) = &failure.field {
        line.push_str(&format!(" field {field}"));
    }
    if let Some(at) = failure.at {
        line.push_str(&format!(" at {at}"));
    }
    line
}

fn of_value(value: &Value<'_>) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Int(value) => value.to_string(),
        Value::Double(value) => format!("{value:?}"),
        Value::Decimal(text) => format!("{text}d"),
        Value::Text(text) => format!("{text:?}"),
        Value::Bytes(bytes) => format!("{bytes:?}"),
        Value::Time(time) => time.to_string(),
        Value::List(items) => {
            format!("[{}]", items.iter().map(of_value).collect::<Vec<_>>().join(","))
        }
        Value::Map(entries) => {
            let entry =
                |(name, value): &(Cow<'_, str>, Value<'_>)| format!("{name}:{}", of_value(value));
            format!("{{{}}}", entries.iter().map(entry).collect::<Vec<_>>().join(","))
        }
    }
}
