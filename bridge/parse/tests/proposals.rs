//! What is proposed for a payload is a section that can be written as it is, and parses that payload.

mod support;

use parse::failure::Outcome;
use parse::parser::{Parser as _, Sink};
use parse::propose::propose;
use support::{FACTS, parser, said};

fn proposed(payload: impl AsRef<[u8]>) -> String {
    propose(payload.as_ref(), &FACTS).lines.join("\n")
}

#[test]
fn a_proposal_says_what_is_plain() {
    for (payload, lines) in [
        (r#"{"ts":1770149645123,"v":1}"#, "format: json\ntime: { field: ts, unit: ms }"),
        (
            r#"{"Time":"2026-01-15T09:30:00","v":1}"#,
            "format: json\ntime: { field: Time, zone: UTC }  # in which zone are its clocks?",
        ),
        (r#"{"time":"2026-01-15T09:30:00Z"}"#, "format: json\ntime: time"),
        (r#"{"t":12,"v":NaN}"#, "format: json\nnan: \"null\""),
        (
            r#"{"a":{"b":[{"t":"1770149645","v":"2.5","n":"007"}]},"c":[1]}"#,
            "format: json\nrecords: \"a.b[]\"\ntime: { field: t, unit: s }\nfields:  # numbers that are texts; everything else is kept as it is\n  v: { path: v, type: float }",
        ),
        ("[{\"v\":1}]", "format: json\nrecords: \"[]\""),
        (
            r#"[{"a":"1","b":"1"},{"a":"1.5","b":"x"}]"#,
            "format: json\nrecords: \"[]\"\nfields:  # numbers that are texts; everything else is kept as it is\n  a: { path: a, type: float }",
        ),
        ("{\"v\":1}\n{\"v\":2}\n", "format: ndjson"),
        ("\u{1e}{\"v\":1}\n", "format: json-seq"),
        ("21.5\n", "format: text\nfields:\n  value: { path: \".\", type: float }"),
        ("ON", "format: text\nfields:\n  value: { path: \".\" }"),
        ("hello, world", "format: text\nfields:\n  value: { path: \".\" }"),
        (
            "ts;temp;state\n1770149645;21,5;run\n1770149646;;run\n",
            "format: csv\ncsv: { delimiter: \";\" }\ndecimal_comma: true\ntime: { field: ts, unit: s }\nfields:\n  temp: { path: temp, type: float, nulls: [ \"\" ] }",
        ),
        (
            "1,2.5,x\n",
            "format: csv\ncsv: { header: [ column_1, column_2, column_3 ] }\nfields:\n  column_1: { path: column_1, type: int }\n  column_2: { path: column_2, type: float }",
        ),
        (
            "{\"a.b\":\"1\"}",
            "format: json\nfields:  # numbers that are texts; everything else is kept as it is\n  a.b: { path: \"[\\\"a.b\\\"]\", type: int }",
        ),
    ] {
        assert_eq!(proposed(payload), lines, "{payload}");
    }
    assert_eq!(proposed(b"\xff\xd8\xff\xe0\0\x10"), "format: raw  # it is no text");
    assert_eq!(
        proposed(b"{\"n\":\"K\xfchl\"}"),
        "format: json\ncharset: latin1  # it is not UTF-8; is it that?"
    );
}

struct Nothing;

impl Sink for Nothing {
    fn event(&mut self, _: parse::event::Event<'_>) {}

    fn skipped(&mut self, _: parse::failure::Failure) {}
}

/// Samples that no parser takes, or none without a word of what they mean.
const BROKEN: [&str; 7] = ["30-", "31-", "46-", "86-", "24-", "40-", "54-"];

#[test]
fn what_is_proposed_parses_its_payload() {
    let folder =
        std::path::PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/payloads/samples");
    let mut count = 0;
    for entry in std::fs::read_dir(folder).expect("it is there") {
        let path = entry.expect("it is listed").path();
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        let payload = std::fs::read(&path).expect("it is there");
        let proposal = propose(&payload, &FACTS);
        let yaml = format!("{}\n", proposal.lines.join("\n"));
        let parser = parser(&yaml);
        let outcome = parser.parse(&payload, &FACTS, &mut Nothing);
        count += 1;
        if BROKEN.iter().any(|broken| name.starts_with(broken)) {
            continue;
        }
        assert!(
            matches!(outcome, Outcome::Events { events: 1.., .. }),
            "{name}: {outcome:?}\n{yaml}"
        );
    }
    assert!(count > 50, "{count} samples");
    let lines = said(&parser(&proposed("{\"a\":\"1\"}")), "{\"a\":\"1\"}");
    assert_eq!(lines, ["0 a=1"]);
}
