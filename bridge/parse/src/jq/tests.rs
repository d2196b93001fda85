//! What programs can do, and what they cannot.

use super::*;
use crate::json::Kind;
use crate::json::reader::{Duplicates, Rules, read};

const ALLOWANCE: Allowance = Allowance { steps: 200_000, size: 1 << 20, depth: 128 };
const FACTS: Facts<'_> = Facts {
    topic: "a/b",
    received_ms: 1_770_149_645_123,
    device_id: "d",
    verified: true,
    attributes: &[("group", "g")],
};

fn shown(json: &Json<'_>) -> String {
    match &json.kind {
        Kind::Null => "null".to_owned(),
        Kind::Bool(value) => value.to_string(),
        Kind::Number(digits) => digits.to_string(),
        Kind::NotFinite(value) => value.to_string(),
        Kind::Text(text) => format!("{text:?}"),
        Kind::Bytes(bytes) => format!("{bytes:?}"),
        Kind::List(items) => format!("[{}]", items.iter().map(shown).collect::<Vec<_>>().join(",")),
        Kind::Map(entries) => {
            let entry =
                |entry: &crate::json::Entry<'_>| format!("{}:{}", entry.key, shown(&entry.value));
            format!("{{{}}}", entries.iter().map(entry).collect::<Vec<_>>().join(","))
        }
    }
}

fn run(program: &str, input: &str) -> Result<String, Failure> {
    let rules =
        Rules { depth: 128, duplicates: Duplicates::Fail, not_finite: false, tree: usize::MAX };
    let input = read(input, &rules).expect("JSON");
    let program = Program::compile(program, ALLOWANCE).expect(program);
    let mut outputs = Vec::new();
    let visitor = &mut |output: &Json<'_>| {
        outputs.push(shown(output));
        Ok(())
    };
    program.run(&input, &FACTS, &mut Rest::new(ALLOWANCE.steps, 0), visitor)?;
    Ok(outputs.join(" "))
}

#[test]
fn numbers_keep_their_digits() {
    for (program, input, output) in [
        (".", "[1,19.90,9007199254740993,18446744073709551615,-0.0,1E+5]", None),
        (".[]", "[9007199254740993]", Some("9007199254740993")),
        (".[0] + 1", "[9007199254740992]", Some("9007199254740993")),
        (".[0] * 2", "[9223372036854775807]", Some("18446744073709551614")),
        (".a / 4", r#"{"a":1}"#, Some("0.25")),
        (". / 1", "3", Some("3.0")),
        ("tonumber", "\"0002\"", Some("2")),
        ("tonumber", "\"2.5e+01\"", Some("2.5e+01")),
        ("tonumber", "\" +.50 \"", Some("0.50")),
        ("tonumber", "\"18446744073709551615\"", Some("18446744073709551615")),
        ("nan", "1", Some("NaN")),
        // By doubles it would be 1770149645.6699998, 0.30000000000000004 and so on.
        (".[0] + .[1]", "[1770149645.57,0.1]", Some("1770149645.67")),
        ("add", "[0.1,0.2,1]", Some("1.3")),
        (".[0] - .[1]", "[19.90,0.1]", Some("19.80")),
        (".[0] * .[1]", "[19.90,3]", Some("59.70")),
        (".a += 0.1 | .b -= 0.1 | [.a, .b]", r#"{"a":0.2,"b":0.3}"#, Some("[0.3,0.2]")),
        (".[0] + .[1]", "[1e3,0.0]", Some("1000.0")),
        (".[0] + .[1]", "[1e3,1]", Some("1001.0")),
        ("-.[0] + .[1]", "[0.5,1]", Some("0.5")),
        // Beyond what is added digit by digit, jq's own way.
        (".[0] + .[1]", "[1e300,0.5]", Some("1e300")),
        (".[0] * .[1]", "[1e300,0.5]", Some("5e299")),
        (". - [1]", "[1,2]", Some("[2]")),
    ] {
        let expected = output.unwrap_or(input);
        assert_eq!(run(program, input).expect(program), expected, "{program}");
    }
}

#[test]
fn shapes_that_paths_cannot_say() {
    let senml = r#"[{"bn":"p/","bt":10,"n":"a","v":1},{"n":"b","t":5,"v":2.50}]"#;
    let program = r#"foreach .[] as $r ({}; {bn: ($r.bn // .bn), bt: ($r.bt // .bt), r: $r};
        {name: (.bn + .r.n), time: (.bt + (.r.t // 0)), value: .r.v})"#;
    assert_eq!(
        run(program, senml).expect("SenML"),
        "{name:\"p/a\",time:10,value:1} {name:\"p/b\",time:15,value:2.50}"
    );
    let table = r#"{"f":["t","v"],"r":[[1,2.0],[3,null]]}"#;
    assert_eq!(
        run(".f as $f | .r[] | named($f)", table).expect("a table"),
        "{t:1,v:2.0} {t:3,v:null}"
    );
    let columns = r#"{"t":[1,2],"v":[3,4]}"#;
    assert_eq!(run("columns", columns).expect("columns"), "{t:1,v:3} {t:2,v:4}");
    assert_eq!(
        run("[$topic[1], $received, $device_id, $attributes.group]", "1").expect("facts"),
        "[\"b\",1770149645123,\"d\",\"g\"]"
    );
    assert_eq!(
        run("[range(0; 6; 2)], [range(3; 0; -1)], [range(2)]", "1").expect("ranges"),
        "[0,2,4] [3,2,1] [0,1]"
    );
    assert_eq!(run(".a += 1 | .b *= 2", r#"{"a":1,"b":2}"#).expect("updates"), "{a:2,b:4}");
    assert_eq!(
        run("to_entries | map(.key + \"=\" + (.value|tostring)) | join(\";\")", r#"{"a":1}"#)
            .expect("joined"),
        "\"a=1\""
    );
    assert_eq!(run("fromjson.a", r#""{\"a\":1.50}""#).expect("JSON in a text"), "1.50");
    for text in ["eyJhIjoxLjUwfQ==", "eyJhIjoxLjUwfQ"] {
        let text = format!("\"{text}\"");
        assert_eq!(run("@base64d | fromjson.a", &text).expect("JSON in base64"), "1.50");
    }
    assert_eq!(run("@base64d", "\"_w==\"").expect("bytes"), "[255]");
    assert_eq!(run("split(\",\") | map(tonumber) | add", "\"1,2,3\"").expect("split"), "6");
}

#[test]
fn errors_have_reasons() {
    for (program, input, reason, word) in [
        ("columns", r#"{"t":[1,2],"v":[3]}"#, Reason::ColumnsDiffer, "[2,1]"),
        ("columns", r#"{"t":[1,2],"dev":"e2"}"#, Reason::TypeMismatch, "dev is none"),
        ("columns", r#"{"t":[1,2],"dt":2}"#, Reason::TypeMismatch, "dt is none"),
        ("@base64d", "\"e30\\u0000\"", Reason::Jq, "base64"),
        ("named([\"a\"])", "[1,2]", Reason::ColumnsDiffer, "1 names, and 2 values"),
        ("fail(\"field_missing\"; \"no v\")", "1", Reason::FieldMissing, "no v"),
        ("error(\"bad\")", "1", Reason::Jq, "bad"),
        (".a", "1", Reason::Jq, "cannot index"),
        ("{(1|tojson): 2} | {([1]): 2}", "1", Reason::Jq, "key"),
        ("halt_error?, error(1)", "1", Reason::Jq, "1"),
    ] {
        let Ok(compiled) = Program::compile(program, ALLOWANCE) else {
            assert!(program.contains("halt"), "{program}");
            continue;
        };
        drop(compiled);
        let failure = run(program, input).expect_err(program);
        assert_eq!(failure.reason, reason, "{program}: {failure}");
        assert!(failure.detail.contains(word), "{program}: {failure}");
    }
}

#[test]
fn a_program_has_limits() {
    for program in [
        "def f: f; f",
        "def f: 1 + f; f",
        "def f: [f]; f",
        "repeat(.)",
        "last(repeat(1))",
        "until(false; .)",
        "[range(1000000000000)]",
        "range(0; 1; 0)",
        "[limit(1000000000000; repeat(0))]",
        "\"x\" * 1000000000000",
        "1000000000000 * \"x\"",
        "\"x\" * 100000000000000000000000000",
        ".x = \"ab\" | .x *= 1000000000",
        "reduce range(60) as $i (\"ab\"; . + .)",
        "reduce range(60) as $i (\"ab\"; . += .)",
        "reduce range(60) as $i ([1]; . + .)",
        "reduce range(60) as $i ([1]; [., .])",
        "reduce range(100000) as $i (1; [.])",
        "reduce range(100000) as $i (1; {a: .})",
        "reduce range(60) as $i ([1]; [., .]) | tojson",
        "reduce range(16) as $i ([\"0123456789abcdef\"]; [., .])",
        "reduce range(60) as $i (99; . * .)",
        "try (def f: f; f) catch 1",
        "first(def f: f; f)",
        "def f: f; f // 1",
        "([range(1000000000000)] | length)?",
    ] {
        let failure = run(program, "{}").expect_err(program);
        assert_eq!(failure.reason, Reason::JqLimit, "{program}: {failure}");
    }
    // And within them, a thread's stack is enough.
    let deep = "reduce range(120) as $i (1; [.])";
    assert!(run(deep, "1").is_ok());
}

#[test]
fn a_program_reaches_nothing_else() {
    for program in [
        "now",
        "env",
        "$ENV",
        "$ENV.PATH",
        "input",
        "inputs",
        "debug",
        "stderr",
        "halt",
        "halt(1)",
        "input_filename",
        "localtime",
        "mktime",
        "include \"x\"; 1",
        "import \"x\" as x; 1",
        "$__loc__",
        "test(\"a\")",
        "getpath",
        "ltrimstr(1",
        "{",
        ".a.b.",
        "nonsense(1; 2)",
    ] {
        let fault = Program::compile(program, ALLOWANCE).expect_err(program);
        assert!(fault.contains("column") || fault.contains("end"), "{program}: {fault}");
    }
    let fault = Program::compile("\n  .a | $nope", ALLOWANCE).expect_err("no such variable");
    assert!(fault.starts_with("line 2, column 8: there is no variable $nope"), "{fault}");
}

/// What one document may take is not what each of a million may take.
#[test]
fn the_documents_of_a_message_share_their_steps() {
    let program = Program::compile("last(range(50000))", ALLOWANCE).expect("it is right");
    let input = Json { at: 0, kind: Kind::Null };
    let count = |bytes: usize| {
        let mut rest = Rest::new(ALLOWANCE.steps, bytes);
        let mut run = || program.run(&input, &FACTS, &mut rest, &mut |_| Ok(()));
        let failure = (0..1_000).map(|at| (at, run())).find_map(|(at, ran)| Some((at, ran.err()?)));
        let (ran, failure) = failure.expect("there is an end");
        assert_eq!(failure.reason, Reason::JqLimit);
        assert!(failure.detail.contains("the message has no more steps"), "{failure}");
        assert_eq!(run().expect_err("it stays so").reason, Reason::JqLimit);
        ran
    };
    let (short, long) = (count(0), count(100_000));
    assert!((1..=4).contains(&short), "{short}");
    assert!(
        long > 10 * short,
        "{long} for a message of 100,000 bytes, and {short} for an empty one"
    );
}
