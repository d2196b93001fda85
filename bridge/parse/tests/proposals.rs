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
            r#"{"id":"a","created":1770149645123,"r":[{"v":1}]}"#,
            "format: json\nrecords: \"r[]\"\ntime: { field: \"$.created\", unit: ms }",
        ),
        (
            r#"{"r":[{"v":"1","ts":"2"}],"ts":1770149645}"#,
            "format: json\nrecords: \"r[]\"\ntime: { field: \"$.ts\", unit: s }\nfields:  # numbers that are texts; everything else is kept as it is\n  v: { path: v, type: int }\n  ts: { path: ts, type: int }",
        ),
        // What a gateway heard is a part of what was sent.
        (
            r#"{"time":1770149645,"object":{"t":21.5},"rx":[{"rssi":-36}]}"#,
            "format: json\ntime: { field: time, unit: s }",
        ),
        (
            r#"[{"a":"1","b":"1"},{"a":"1.5","b":"x"}]"#,
            "format: json\nrecords: \"[]\"\nfields:  # numbers that are texts; everything else is kept as it is\n  a: { path: a, type: float }",
        ),
        ("{\"v\":1}\n{\"v\":2}\n", "format: ndjson"),
        ("\u{1e}{\"v\":1}\n", "format: json-seq"),
        ("21.5\n", "format: text\nfields:\n  value: { path: \".\", type: float }"),
        ("ON", "format: text\nfields:\n  value: { path: \".\" }"),
        ("[12345] temp: 21.5C", "format: text\nfields:\n  value: { path: \".\" }"),
        ("{\"v\":1}xx", "format: json"),
        ("{\"v\":1}\n....\n{\"v\":3}\n", "format: ndjson"),
        (
            "ts,v\r1770149645,2\r",
            "format: csv\ntime: { field: ts, unit: s }\nfields:\n  v: { path: v, type: int }",
        ),
        (
            "# two\nts,v,v\n1770149645,2,3\n",
            "format: csv\ncsv: { comments: \"#\", skip_lines: 2, header: [ ts, v, column_3 ] }\ntime: { field: ts, unit: s }\nfields:\n  v: { path: v, type: int }\n  column_3: { path: column_3, type: int }",
        ),
        ("{\"\":\"1\"}", "format: json"),
        (
            "{\"a\\u001b\u{feff}'\":\"1\"}",
            "format: json\nfields:  # numbers that are texts; everything else is kept as it is\n  \"a\\u001b\\ufeff'\": { path: \"a\\u001b\\ufeff'\", type: int }",
        ),
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
    // What auto does not find, as `x^` begins texts too.
    let zlib = b"\x78\x9c\x2b\x29\xd6\x29\xe3\x32\xd2\x31\xe6\x02\x00\x0d\x9b\x02\x2f";
    assert!(proposed(zlib).ends_with("\ncompression: zlib"), "{}", proposed(zlib));
    assert_eq!(
        proposed(b"{\"n\":\"K\xfchl\"}"),
        "format: json\ncharset: latin1  # it is not UTF-8; is it that?"
    );
}

/// What strangers are fond of, in keys and values.
const WORDS: [&str; 20] = [
    "\"", "\\", "{", "[", "]", "}", ":", ",", "'", "#", "\n", "\r", "\0", "\t", ";", "\u{1b}",
    "\u{feff}", "😀", "%", "7",
];

#[test]
fn whatever_a_payload_is_its_proposal_can_be_written() {
    let mut random: u64 = 14;
    let mut below = |limit: usize| {
        random =
            random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) as usize % limit.max(1)
    };
    let all = [samples("payloads"), samples("shapes")].concat();
    for (_, sample) in all {
        for _ in 0..20 {
            let mut payload = sample.clone();
            for _ in 0..=below(4) {
                let at = below(payload.len() + 1);
                match below(3) {
                    0 => drop(payload.splice(at..at, WORDS[below(WORDS.len())].bytes())),
                    1 => payload.truncate(at),
                    _ => {
                        let end = (at + below(9)).min(payload.len());
                        let part = payload[at..end].to_vec();
                        drop(payload.splice(at..at, part));
                    }
                }
            }
            let proposal = propose(&payload, &FACTS).lines.join("\n");
            // It panics where the section is none.
            let parser = parser(&format!("{proposal}\n"));
            drop(parser.parse(&payload, &FACTS, &mut Nothing));
        }
    }
}

/// The payloads of a folder of the tests, by their names.
fn samples(folder: &str) -> Vec<(String, Vec<u8>)> {
    let tests = std::path::PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests");
    let files = std::fs::read_dir(tests.join(folder).join("samples")).expect("it is there");
    let mut samples: Vec<_> = files
        .map(|entry| {
            let path = entry.expect("it is listed").path();
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            (name, std::fs::read(&path).expect("it is there"))
        })
        .collect();
    samples.sort();
    samples
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
    let mut count = 0;
    for (name, payload) in samples("payloads") {
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
