//! Faults of what is written of a parser: each is told with its place, and all of them at once.

use super::*;
use crate::written::short::{OneOrMany, Short, Texts};

fn faults(written: &written::Parser) -> Vec<String> {
    match compile(written, Limits::default()) {
        Ok(_) => Vec::new(),
        Err(faults) => faults.iter().map(ToString::to_string).collect(),
    }
}

fn json() -> written::Parser {
    written::Parser { format: Some("json".to_owned()), ..written::Parser::default() }
}

fn with_field(field: written::Field) -> written::Parser {
    let field = written::Field { path: field.path.or(Some("p".to_owned())), ..field };
    written::Parser { fields: [("f".to_owned(), Short(field))].into(), ..json() }
}

fn with_time(time: written::Time) -> written::Parser {
    let field = time.field.or(Some(Texts(vec!["t".to_owned()])));
    written::Parser { time: Some(Short(written::Time { field, ..time })), ..json() }
}

fn text(text: &str) -> Option<String> {
    Some(text.to_owned())
}

#[track_caller]
fn fault(written: &written::Parser, place: &str, word: &str) {
    let faults = faults(written);
    assert_eq!(faults.len(), 1, "{faults:?}");
    let told = &faults[0];
    assert!(told.starts_with(&format!("{place}: ")) && told.contains(word), "{told}");
}

#[test]
fn a_parser_says_its_format() {
    assert!(faults(&json()).is_empty());
    fault(&written::Parser::default(), "format", "missing");
    fault(&written::Parser { format: text("xml"), ..json() }, "format", "write json");
    fault(&written::Parser { csv: Some(written::Csv::default()), ..json() }, "csv", "format: csv");
    fault(&written::Parser { compression: text("lz4"), ..json() }, "compression", "zstd");
    fault(&written::Parser { charset: text("klingon"), ..json() }, "charset", "windows-1252");
    fault(&written::Parser { duplicates: text("all"), ..json() }, "duplicates", "first");
    fault(&written::Parser { nan: text("zero"), ..json() }, "nan", "null");
    fault(&written::Parser { rest: text("all"), ..json() }, "rest", "keep or drop");
    fault(&written::Parser { on_bad_record: text("stop"), ..json() }, "on_bad_record", "skip");
    fault(&written::Parser { revision: Some(0), ..json() }, "revision", "at least 1");
}

#[test]
fn the_way_to_the_records() {
    fault(&written::Parser { records: text("a["), ..json() }, "records", "not closed");
    fault(&written::Parser { records: text("^.a"), ..json() }, "records", "root");
    let both = written::Parser { records: text("a"), jq: text("."), ..json() };
    fault(&both, "records", "leave one of both out");
    fault(&written::Parser { jq: text(".a | nope"), ..json() }, "jq", "no function nope");
    let table = written::Parser { format: text("csv"), records: text("a"), ..json() };
    fault(&table, "records", "only JSON");
    let condition = written::Condition { path: text("a"), ..written::Condition::default() };
    let select = OneOrMany(vec![condition]);
    fault(&written::Parser { select, ..json() }, "select", "says nothing");
    let device = written::DeviceId { path: text("a[].b"), ..written::DeviceId::default() };
    fault(&written::Parser { device_id: Some(Short(device)), ..json() }, "device_id.path", "many");
}

#[test]
fn fields_that_cannot_be() {
    let field = written::Field::default;
    for (field, place, word) in [
        (written::Field { kind: text("string"), ..field() }, "fields.f.type", "write int"),
        (written::Field { kind: text("bytes"), ..field() }, "fields.f.encoding", "hex or base64"),
        (written::Field { encoding: text("hex"), ..field() }, "fields.f.encoding", "type: bytes"),
        (written::Field { scale: text("x"), ..field() }, "fields.f.scale", "1e-6"),
        (
            written::Field { kind: text("text"), scale: text("2"), ..field() },
            "fields.f.scale",
            "numbers",
        ),
        (written::Field { unit: text("s"), ..field() }, "fields.f.unit", "type: time"),
        (written::Field { path: text("a..b"), ..field() }, "fields.f.path", "without a name"),
        (
            written::Field { default: text("x"), kind: text("int"), ..field() },
            "fields.f.default",
            "an int",
        ),
        (
            written::Field { default: text("1"), required: true, ..field() },
            "fields.f.default",
            "never absent",
        ),
        (written::Field { prefix: text("x"), ..field() }, "fields.f.prefix", "spread: true"),
        (written::Field { before: text(""), ..field() }, "fields.f.before", "empty"),
        (
            written::Field { yes: Texts(vec!["ON".to_owned()]), ..field() },
            "fields.f.true",
            "type: bool",
        ),
        (
            written::Field { kind: text("int"), base: Some(99), ..field() },
            "fields.f.base",
            "2 to 36",
        ),
        (
            written::Field { kind: text("time"), pattern: text("%F %T"), ..field() },
            "fields.f.pattern",
            "zone",
        ),
    ] {
        fault(&with_field(field), place, word);
    }
}

#[test]
fn times_that_cannot_be() {
    let time = written::Time::default;
    for (time, place, word) in [
        (written::Time { unit: text("sec"), ..time() }, "time.unit", "write s"),
        (written::Time { zone: text("Mars"), ..time() }, "time.zone", "Europe/Berlin"),
        (
            written::Time { pattern: text("%H:%M"), zone: text("UTC"), ..time() },
            "time.pattern",
            "no year",
        ),
        (
            written::Time { pattern: text("%Y %q"), zone: text("UTC"), ..time() },
            "time.pattern",
            "%q is no code",
        ),
        (written::Time { pattern: text("%F"), unit: text("s"), ..time() }, "time.pattern", "forms"),
        (written::Time { earliest: text("long ago"), ..time() }, "time.earliest", "RFC 3339"),
        (written::Time { ahead: text("24"), ..time() }, "time.ahead", "24h"),
        (written::Time { repeated_hour: text("both"), ..time() }, "time.repeated_hour", "second"),
        (written::Time { base: Some(16), ..time() }, "time.base", "unit"),
        (
            written::Time { relative_below: text("x"), unit: text("s"), ..time() },
            "time.relative_below",
            "a number",
        ),
        (
            written::Time {
                offset: Some(written::TimeOffset { field: text("dt"), unit: None }),
                ..time()
            },
            "time.offset.unit",
            "missing",
        ),
    ] {
        fault(&with_time(time), place, word);
    }
    let form = written::TimeForm { unit: text("fortnight"), ..written::TimeForm::default() };
    fault(
        &with_time(written::Time { forms: vec![form], ..time() }),
        "time.forms[0].unit",
        "write s",
    );
}

#[test]
fn all_faults_are_told_at_once() {
    let written = written::Parser {
        charset: text("klingon"),
        rest: text("all"),
        ..with_field(written::Field { kind: text("string"), ..written::Field::default() })
    };
    assert_eq!(faults(&written).len(), 3);
}

/// The schema is what editors and the chart know of a parser.
#[test]
fn the_schema_knows_what_is_written() {
    let schema = schemars::schema_for!(written::Parser);
    let schema = serde_json::to_value(&schema).expect("it is JSON");
    let properties = schema["properties"].as_object().expect("keys");
    assert!(properties.values().all(|one| one["description"].is_string()), "each is described");
    assert_eq!(schema["additionalProperties"], false);
    assert_eq!(schema["required"], serde_json::json!(["format"]));
    let field = &properties["fields"]["additionalProperties"]["anyOf"];
    assert_eq!(field[0]["type"], "string");
    assert_eq!(field[1]["$ref"], "#/$defs/Field");
    assert_eq!(schema["$defs"]["Field"]["required"], serde_json::json!(["path"]));
}
