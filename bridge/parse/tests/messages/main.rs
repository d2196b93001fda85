//! Messages as strangers send them, by parsers as people write them: every format, what is left over, what
//! is bad, and what is too much.

mod bounds;
#[path = "../support/mod.rs"]
mod support;

use parse::limits::Limits;
use support::{parser, parser_within, said};

#[track_caller]
fn says(yaml: &str, cases: &[(&str, &[&str])]) {
    let parser = parser(yaml);
    for (payload, lines) in cases {
        assert_eq!(said(&parser, payload), *lines, "{payload:?} by {yaml}");
    }
}

#[test]
fn json_is_one_document() {
    says(
        "format: json",
        &[
            (r#"{"a":1}"#, &["0 a=1"]),
            ("\u{feff}{\"a\":1}\r\n\0", &["0 a=1"]),
            ("{}", &["0"]),
            ("7", &["0 value=7"]),
            ("[1,2]", &["0 value=[1,2]"]),
            ("", &["truncated at 0"]),
            ("{\"a\":1", &["truncated at 6"]),
            ("\u{feff}{\"a\":1,}", &["not_json at 10"]),
            ("offline", &["not_json at 0"]),
            ("{\"a\":1}{\"a\":2}", &["trailing_data at 7"]),
            ("{\"a\":1,\"a\":2}", &["duplicate_key at 7"]),
            ("{\"a\":NaN}", &["not_json at 5"]),
        ],
    );
    let parser = parser("format: json");
    for (payload, line) in [
        (&b"{\"a\":\"\xff\"}"[..], "not_utf8 at 6"),
        (b"{\"a\":x,\"\xff\"}", "not_json at 5"),
        (b"{\"a\":\"\xc3", "truncated at 7"),
        (b"\x1f\x8b", "decompress at 2"),
        (b"\xff\xfe{\0", "not_utf8 at 0"),
    ] {
        assert_eq!(said(&parser, payload), [line], "{payload:?}");
    }
}

#[test]
fn records_have_what_is_around_them() {
    says(
        "{format: json, records: 'groups[].readings[]', device_id: ^.name, \
          fields: {unit: $.unit, at: '@index', topic: '@topic[2]', type: '@attribute.device_type'}}",
        &[(
            r#"{"unit":"C","groups":[{"name":"a","readings":[{"v":1},{"v":2}]},{"name":7,"readings":[{"v":3}]}]}"#,
            &[
                "0 of a at=0 topic=\"m-1\" type=\"meter\" unit=\"C\" v=1",
                "1 of a at=1 topic=\"m-1\" type=\"meter\" unit=\"C\" v=2",
                "2 of 7 at=0 topic=\"m-1\" type=\"meter\" unit=\"C\" v=3",
            ],
        )],
    );
    says(
        "{format: json, records: 'data[]'}",
        &[
            ("{\"data\":[]}", &[]),
            ("{\"data\":null}", &[]),
            ("{\"data\":{\"v\":1}}", &["0 v=1"]),
            ("{\"date\":[]}", &["records_missing at 0"]),
            ("[1]", &["records_missing at 0"]),
        ],
    );
    says(
        "{format: json, device_id: id}",
        &[
            ("{\"id\":\"\"}", &["field_missing record 0 field device_id"]),
            ("{\"id\":null}", &["field_missing record 0 field device_id"]),
            ("{}", &["field_missing record 0 field device_id"]),
            ("{\"id\":[1]}", &["type_mismatch record 0 field device_id at 6"]),
        ],
    );
}

#[test]
fn what_is_left_over_is_kept_or_dropped() {
    let payload = r#"{"t":1770149645,"a":{"x":1,"y":{"z":2}},"l":[1,2],"n":null}"#;
    for (rest, line) in
        [("", "0 z=2 first=1 a={x:1} l=[1,2] n=null"), (", rest: drop", "0 z=2 first=1")]
    {
        let yaml = format!(
            "{{format: json, time: {{field: t, unit: s}}, fields: {{z: a.y.z, first: 'l[0]'}}{rest}}}"
        );
        let fields = |line: &str| {
            let mut words: Vec<String> = line.split(' ').map(str::to_owned).collect();
            words.sort();
            words
        };
        assert_eq!(fields(&said(&parser(&yaml), payload)[0]), fields(line), "{yaml}");
    }
    says(
        "{format: json, records: '[]', fields: {v: '[1]'}}",
        &[("[[1,2],[3,4]]", &["0 v=2", "1 v=4"]), ("[{\"x\":1}]", &["0 x=1"])],
    );
    says(
        "{format: json, fields: {a: b}}",
        &[(r#"{"b":1}"#, &["0 a=1"]), (r#"{"a":2,"b":1}"#, &["duplicate_field record 0 field a"])],
    );
    says(
        "{format: json, rest: drop, fields: {all: {path: a, spread: true, prefix: p_}, x: x}}",
        &[
            (r#"{"a":{"b":1,"c":[2]}}"#, &["0 p_b=1 p_c=[2]"]),
            (r#"{"a":null}"#, &["0"]),
            ("{}", &["0"]),
            (r#"{"a":3}"#, &["type_mismatch record 0 field all at 5"]),
            (r#"{"a":{"b":1},"x":4}"#, &["0 p_b=1 x=4"]),
        ],
    );
}

#[test]
fn null_is_not_absent() {
    says(
        "{format: json, rest: drop, nulls: [n/a], fields: {a: a, b: {path: b, default: 7}, \
          c: {path: c, required: true}}}",
        &[
            (r#"{"c":1}"#, &["0 b=7 c=1"]),
            (r#"{"a":null,"b":null,"c":null}"#, &["0 a=null b=null c=null"]),
            (r#"{"a":"n/a","c":"n/a"}"#, &["0 a=null b=7 c=null"]),
            (r#"{"a":1}"#, &["field_missing record 0 field c at 0"]),
        ],
    );
}

#[test]
fn not_data_is_no_failure() {
    says(
        "{format: json, ignore: offline, nulls: -999}",
        &[("offline", &["ignored"]), ("[-999]", &["0 value=[null]"])],
    );
    says("{format: json, nan: null}", &[("{\"v\":NaN}", &["0 v=null"])]);
    says("{format: json, nan: \"null\"}", &[("{\"v\":NaN}", &["0 v=null"])]);
    says("{format: json}", &[("{\"v\":NaN}", &["not_json at 5"])]);
    says(
        "{format: json, ignore: [offline, ''], select: [{path: type, equals: [data, log]}, {path: v, exists: true}], records: '[]'}",
        &[
            ("offline", &["ignored"]),
            (" offline\r\n\0", &["ignored"]),
            ("", &["ignored"]),
            (" \n", &["ignored"]),
            ("offlin", &["not_json at 0"]),
            (r#"{"type":"lwt","v":1}"#, &["not_selected"]),
            (r#"{"type":"data"}"#, &["not_selected"]),
            (r#"[{"type":"lwt"},{"type":"log","v":1}]"#, &["1 type=\"log\" v=1"]),
            ("[]", &[]),
        ],
    );
}

#[test]
fn lines_are_good_and_bad() {
    let backlog =
        "{\"v\":1}\n{\"v\":2\n\n{\"v\":3}{\"v\":4} {\"v\":5}\r\n{\"v\":\"x\"}\n{\"v\":6},\n";
    says(
        "{format: ndjson, fields: {v: {path: v, type: int}}}",
        &[
            (backlog, &["truncated record 1 at 14"]),
            ("{\n  \"v\": 1\n}\n{\n  \"v\": 2\n} {\"v\":3}\n", &["0 v=1", "1 v=2", "2 v=3"]),
            ("{\"v\":1} {\n\"v\":2}\n{\"v\":", &["truncated record 2 at 22"]),
            ("{\"v\":1}\n", &["0 v=1"]),
            ("{\"v\":1}\n{\"v\":true}", &["type_mismatch record 1 field v at 13"]),
            ("", &[]),
            ("\n\n", &[]),
        ],
    );
    says(
        "{format: ndjson, on_bad_record: skip, fields: {v: {path: v, type: int}}}",
        &[(
            backlog,
            &[
                "0 v=1",
                "skipped truncated record 1 at 14",
                "2 v=3",
                "3 v=4",
                "4 v=5",
                "skipped type_mismatch record 5 field v at 45",
                "6 v=6",
                "skipped not_json record 7 at 57",
            ],
        )],
    );
    let parser = parser("{format: ndjson, on_bad_record: skip}");
    assert_eq!(
        said(&parser, b"{\"v\":1}\n{\"v\":\"\xff\"}\n{\"v\":3}"),
        ["0 v=1", "skipped not_utf8 record 1 at 14", "2 v=3"]
    );
    says(
        "{format: json-seq, on_bad_record: skip}",
        &[
            (
                "\u{1e}{\"v\":1}\n\u{1e}{\"v\":\n\u{1e}{\n\"v\":3}\n",
                &["0 v=1", "skipped truncated record 1 at 16", "2 v=3"],
            ),
            ("{\"v\":1}", &["not_json at 0"]),
            ("", &[]),
        ],
    );
}

#[test]
fn one_bad_line_among_ten_thousand() {
    let mut lines: Vec<String> = (0..10_000).map(|v| format!("{{\"v\":{v}}}")).collect();
    lines[7_000] = "{\"v\":7\u{1}".to_owned();
    let said = said(&parser("{format: ndjson, on_bad_record: skip}"), lines.join("\n"));
    assert_eq!(said.len(), 10_000);
    assert_eq!(said[9_999], "9999 v=9999");
    assert_eq!(
        said.iter().filter(|line| line.starts_with("skipped not_json record 7000")).count(),
        1
    );
}

#[test]
fn lines_that_are_all_cut_cost_no_more_than_others() {
    // Each asks for the rest of a document behind it, and there is none.
    let payload = "[\n".repeat(200_000);
    let said = said(&parser("{format: ndjson, on_bad_record: skip}"), &payload);
    assert_eq!(said.len(), 200_000);
    assert_eq!(said[199_999], "skipped truncated record 199999 at 399999");
}

#[test]
fn tables_are_read_by_their_header() {
    says(
        "{format: csv, fields: {v: {path: v, type: float}}}",
        &[
            ("t,v\n1,2.5\n", &["0 v=2.5 t=\"1\""]),
            ("t,v\r\n1,2.5\r\n\r\n2,3\r\n", &["0 v=2.5 t=\"1\"", "1 v=3.0 t=\"2\""]),
            ("t,v\n1,2.5", &["0 v=2.5 t=\"1\""]),
            ("t,v\r1,2.5\r2,3\r", &["0 v=2.5 t=\"1\"", "1 v=3.0 t=\"2\""]),
            ("t,v\r\r\n1,2.5\r\r\n", &["0 v=2.5 t=\"1\""]),
            ("t,v\r\n\"a\rb\",1\r\n", &["0 v=1.0 t=\"a\\rb\""]),
            ("t,v\r1,hot\r", &["type_mismatch record 0 field v at 6"]),
            ("\u{feff}t,v\n1,2.5\n\0", &["0 v=2.5 t=\"1\""]),
            ("t,v\n\"a, \"\"b\"\"\nc\",1\n", &["0 v=1.0 t=\"a, \\\"b\\\"\\nc\""]),
            ("t,v\n", &[]),
            ("", &[]),
            ("t,v\n1\n", &["column_count record 0 at 4"]),
            ("t,v\n1,2,3\n", &["column_count record 0 at 4"]),
            ("t,v\n1,\"2\n", &["truncated record 0 at 9"]),
            ("t,v\n1,hot\n", &["type_mismatch record 0 field v at 6"]),
            ("t,v,t\n1,2,3\n", &["duplicate_key at 4"]),
        ],
    );
    says(
        "{format: csv, on_bad_record: skip}",
        &[(
            "a,b\n1,2\n3\n4,5,6\n\"7\"x,8\n9,\"",
            &[
                "0 a=\"1\" b=\"2\"",
                "skipped column_count record 1 at 8",
                "skipped column_count record 2 at 10",
                "3 a=\"7x\" b=\"8\"",
                "skipped truncated record 4 at 26",
            ],
        )],
    );
    says(
        "{format: csv, csv: {delimiter: tab, skip_lines: 1, skip_after_header: 1, comments: '#', trim: true}}",
        &[(
            "logger 12\n# made by hand\na\tb\nC\tm/s\n1 \t \"2 \"\n# gap\n",
            &["0 a=\"1\" b=\"2\""],
        )],
    );
    says(
        "{format: csv, csv: {header: [a, b], quote: \"'\"}}",
        &[("1,'2;'\n", &["0 a=\"1\" b=\"2;\""])],
    );
    let parser = parser("{format: csv, on_bad_record: skip}");
    assert_eq!(
        said(&parser, b"a,b\n1,\xff\n2,3\n"),
        ["skipped not_utf8 record 0 at 6", "1 a=\"2\" b=\"3\""]
    );
    let wide = vec!["x"; 1_000_000].join(",");
    assert_eq!(said(&parser, &wide), ["column_count at 20000"]);
}

#[test]
fn texts_and_bytes() {
    says(
        "{format: text, fields: {v: {path: ., type: float}}}",
        &[
            ("21.5\r\n", &["0 v=21.5"]),
            (" 21.5 ", &["0 v=21.5"]),
            ("21,5", &["type_mismatch record 0 field v at 0"]),
            ("", &["type_mismatch record 0 field v at 0"]),
        ],
    );
    says(
        "{format: text, text: {lines: true, split: ';'}, on_bad_record: skip, rest: drop, \
           fields: {a: {path: '[0]', type: int}, b: {path: '[1]'}}}",
        &[(
            "1;x\n\n2\nz;y\r\n3;\n",
            &[
                "0 a=1 b=\"x\"",
                "1 a=2",
                "skipped type_mismatch record 2 field a at 7",
                "3 a=3 b=\"\"",
            ],
        )],
    );
    says(
        "{format: text, text: {lines: true}}",
        &[(
            "a\rb\r\nc\n\rd",
            &["0 value=\"a\"", "1 value=\"b\"", "2 value=\"c\"", "3 value=\"d\""],
        )],
    );
    says("{format: text, charset: latin1}", &[("a", &["0 value=\"a\""])]);
    says(
        "{format: json, fields: {v: {path: v, type: decimal, scale: 100}}}",
        &[("{\"v\":0.482}", &["0 v=48.2d"]), ("{\"v\":-1}", &["0 v=-100d"])],
    );
    says(
        "{format: json, fields: {b: {path: b, type: bytes, encoding: base64}}}",
        &[("{\"b\":\"AQID\\r\\nBA==\\r\\n\"}", &["0 b=[1, 2, 3, 4]"])],
    );
    let raw = parser("format: raw");
    assert_eq!(said(&raw, b"\x1f\x8b\0"), ["0 value=[31, 139, 0]"]);
    let wide = parser("{format: json, charset: utf-16, fields: {v: {path: v, type: int}}}");
    assert_eq!(
        said(&wide, b"\xff\xfe{\0\"\0v\0\"\0:\0\"\0x\0\"\0}\0"),
        ["type_mismatch record 0 field v at 12"]
    );
    let latin = parser("{format: json, charset: latin1, fields: {v: {path: v, type: int}}}");
    assert_eq!(
        said(&latin, b"{\"\xfc\":\"\xb0\",\"v\":\"x\"}"),
        ["type_mismatch record 0 field v at 13"]
    );
}

#[test]
fn programs_make_records() {
    says(
        "{format: json, jq: '.[] | {v: ., n: $device_id}', on_bad_record: skip, fields: {v: {path: v, type: int}}}",
        &[
            (
                "[1,\"x\",3]",
                &["0 v=1 n=\"m-1\"", "skipped type_mismatch record 1 field v", "2 v=3 n=\"m-1\""],
            ),
            ("[]", &[]),
            (" 3", &["jq at 1"]),
        ],
    );
    says(
        "{format: ndjson, jq: 'if .v == 0 then error(\"zero\") else . end', on_bad_record: skip}",
        &[("{\"v\":1}\n{\"v\":0}\n{\"v\":2}", &["0 v=1", "skipped jq record 1 at 8", "2 v=2"])],
    );
    says(
        "{format: csv, jq: 'to_entries[] | {name: .key, value: (.value | tonumber)}'}",
        &[("a,b\n1,2.50\n", &["0 name=\"a\" value=1", "1 name=\"b\" value=2.5"])],
    );
    says(
        "{format: text, jq: 'split(\";\") | map(split(\"=\") | {(.[0]): .[1]}) | add'}",
        &[("a=1;b=x", &["0 a=\"1\" b=\"x\""])],
    );
}

/// The programs of docs/formats.md, each with the payload and the records that stand around it: a comment of
/// words, one that is a payload, the program, and one with an arrow.
#[test]
fn programs_of_the_docs_do_what_they_say() {
    let docs = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/formats.md");
    let docs = std::fs::read_to_string(docs).expect("the page is there");
    let (_, block) = docs.split_once("```jq\n").expect("it has programs");
    let (block, _) = block.split_once("\n```").expect("they end");
    let programs: Vec<&str> = block.split("\n\n").collect();
    assert!(programs.len() >= 10, "{} programs", programs.len());
    let records = parser("format: ndjson");
    for told in programs {
        let lines: Vec<&str> = told.lines().collect();
        let [words, payload, program, result] = lines[..] else { panic!("four lines: {told}") };
        let payload = payload.strip_prefix("# ").expect("a comment");
        let result = result.strip_prefix("# → ").expect("a result");
        // A text stands in quotes there, and its payload is what is within.
        let (format, payload) = match words.contains("format: text") {
            true => ("text", payload.trim_matches('"')),
            false => ("json", payload),
        };
        let yaml = format!("format: {format}\njq: |\n  {program}\n");
        assert_eq!(said(&parser(&yaml), payload), said(&records, result), "{told}");
    }
}

#[test]
fn nothing_is_without_a_limit() {
    let limits =
        Limits { events: 3, event_size: 100, document_size: 1000, depth: 5, ..Limits::default() };
    let json = parser_within("{format: json, records: '[]'}", limits);
    assert_eq!(said(&json, "[1,2,3]").len(), 3);
    assert_eq!(said(&json, "[1,2,3,4]"), ["too_many"]);
    assert_eq!(said(&json, "[[[[[[1]]]]]]"), ["too_deep at 5"]);
    assert_eq!(said(&json, format!("[\"{}\"]", "x".repeat(200))), ["too_large record 0"]);
    assert_eq!(said(&json, format!("[\"{}\"]", "x".repeat(2000))), ["too_large at 1"]);
    let lines = parser_within("{format: ndjson, on_bad_record: skip}", limits);
    let payload = format!("1\n\"{}\"\n2\n", "x".repeat(2000));
    assert_eq!(
        said(&lines, payload),
        ["0 value=1", "skipped too_large record 1 at 2", "2 value=2"]
    );
    assert_eq!(said(&lines, "x\nx\nx\nx\n"), ["too_many"]);
    let nested = |depth: usize| format!("{{\"v\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
    let fields = parser("format: json");
    assert_eq!(said(&fields, nested(30)).len(), 1);
    assert_eq!(said(&fields, nested(31)), ["too_deep record 0 field v"]);
    let deep = parser("format: json");
    assert_eq!(said(&deep, "[".repeat(100_000)), ["too_deep at 128"]);
    let million = format!("[{}0]", "0,".repeat(1_000_000));
    let many = parser("{format: json, records: '[]', rest: drop}");
    assert_eq!(said(&many, million), ["too_many"]);
}

#[test]
fn what_is_too_large_to_be_held_is_a_stream() {
    let limits = Limits { document_size: 40, ..Limits::default() };
    let payload = r#"{"unit":"C","readings":[{"v":1},{"v":"x"},{"v":3}],"end":true}"#;
    let yaml = |more: &str| {
        format!(
            "{{format: json, records: 'readings[]', on_bad_record: skip, \
              fields: {{at: '@index', v: {{path: v, type: int}}{more}}}}}"
        )
    };
    let streamed = ["0 at=0 v=1", "skipped type_mismatch record 1 field v at 37", "2 at=2 v=3"];
    assert_eq!(said(&parser_within(&yaml(""), limits), payload), streamed);
    // It is the same as what is held.
    assert_eq!(said(&parser(&yaml("")), payload), streamed);
    let broken = &payload[..payload.len() - 1];
    assert_eq!(said(&parser_within(&yaml(""), limits), broken), ["truncated at 61"]);
    // What is around a record is not there before the document ends.
    let whole = parser_within(&yaml(", unit: $.unit"), limits);
    assert_eq!(said(&whole, payload), ["too_large at 0"]);
}
