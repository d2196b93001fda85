//! What `landfall parse try` shows of a payload, what it proposes for one that nobody knows yet, and what it says
//! of one that fails: the way of a firmware team.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tests::tools::{Folder, program, repository};

const TOPIC: &str = "devices/pump/pump-17/data";
/// A payload of two records, the second of which is not what the parser asks for.
const PAYLOAD: &str = "{\n \"samples\": [\n  {\"ts\":1795521600,\"p\":\"4.21\",\"t\":215},\n  {\"ts\":1795521660,\"p\":\"hot\",\"t\":-999}\n ]\n}\n";
const CONFIG: &str = "
parse:
  parsers:
    pump:
      format: json
      ignore: [offline]
      records: samples[]
      time: { field: ts, unit: s }
      fields:
        pressure: { path: p, type: decimal }
        temperature: { path: t, type: float, scale: 0.1, nulls: [-999] }
    words: { format: text, select: { path: '.', equals: 'ON' } }
  rules:
    - { when: { topic: 'devices/pump/+/data', firmware: '>=2' }, parser: words, topic: canonical.words, on_failure: skip }
    - { when: { topic: 'devices/pump/+/data' }, parser: pump, topic: canonical.pump }
  canonical: { canonical.pump: {}, canonical.words: {} }
";

struct Bench {
    folder: Folder,
}

/// What a call printed, and its code.
struct Said {
    out: String,
    err: String,
    code: i32,
}

impl Bench {
    fn new() -> Bench {
        let bench = Bench { folder: Folder::new("parse-try") };
        bench.write("landfall.yaml", CONFIG.as_bytes());
        bench
    }

    fn write(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.folder.join(name);
        std::fs::write(&path, content).expect("the test's folder can be written");
        path
    }

    /// Tries a payload that is in a file.
    fn says(&self, payload: &[u8], arguments: &[&str]) -> Said {
        self.write("payload", payload);
        let all = ["--input", "payload", "--topic", TOPIC, "--received", "2026-11-24T12:05:00Z"];
        said(self.command(&all).args(arguments).output().expect("landfall can be started"))
    }

    fn with_config(&self, payload: &[u8], arguments: &[&str]) -> Said {
        self.says(payload, &[&["--config", "landfall.yaml"], arguments].concat())
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(program("landfall"));
        command.args(["parse", "try"]).args(arguments).current_dir(&*self.folder).env_clear();
        command
    }
}

fn said(output: Output) -> Said {
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("only text is printed");
    let code = output.status.code().expect("it ends by itself");
    Said { out: text(output.stdout), err: text(output.stderr), code }
}

#[track_caller]
fn has(said: &Said, code: i32, lines: &[&str]) {
    let Said { out, err, .. } = said;
    assert_eq!(said.code, code, "{out}{err}");
    for line in lines {
        assert!(out.lines().any(|one| one == *line), "{line:?} is not in:\n{out}{err}");
    }
}

#[test]
fn events_are_shown_with_their_types_and_times() {
    let bench = Bench::new();
    let good = PAYLOAD.replace("hot", "5");
    let lines = [
        "lane      fast",
        "rule      parse.rules[1] topic devices/pump/+/data",
        "parser    pump, revision 1",
        "topic     canonical.pump",
        "outcome   2 events",
        "event 0   2026-11-24T12:00:00Z",
        "  pressure     \"4.21\"  decimal",
        "  temperature  21.5    float",
        "event 1   2026-11-24T12:01:00Z",
        "  temperature  null  null",
    ];
    has(&bench.with_config(good.as_bytes(), &[]), 0, &lines);
    // From a pipe, and compressed, it is the same.
    let arguments = ["--input", "-", "--topic", TOPIC, "--config", "landfall.yaml"];
    let mut piped = bench.command(&arguments);
    let child = piped.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = child.spawn().expect("landfall can be started");
    let packed = gzip(good.as_bytes());
    child.stdin.take().expect("it is piped").write_all(&packed).expect("it is read");
    has(&said(child.wait_with_output().expect("it ends")), 0, &lines[1..]);
    // For machines: what is written to the topic.
    let told = bench.with_config(good.as_bytes(), &["--format", "json"]);
    let events: Vec<Value> =
        told.out.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(events.len(), 2);
    assert_eq!(events[0]["fields"]["pressure"], "4.21");
    assert_eq!(events[0]["types"]["/pressure"], "decimal");
    assert_eq!((&events[1]["index"], &events[1]["parser"]), (&1.into(), &"pump".into()));
}

#[test]
fn what_fails_says_why_and_where() {
    let bench = Bench::new();
    let place = [
        "          line 4, column 24:",
        "            {\"ts\":1795521660,\"p\":\"hot\",\"t\":-999}",
        "                                 ^",
        "then      quarantine",
    ];
    let failed = bench.with_config(PAYLOAD.as_bytes(), &[]);
    has(&failed, 1, &place);
    let told = "outcome   failed: type_mismatch (field pressure) in record 1 at byte ";
    assert!(failed.out.contains(told), "{}", failed.out);
    assert!(!failed.out.contains("event 0"), "of a failed message no event is seen");
    // The place is in what a compressed payload holds.
    let packed = bench.with_config(&gzip(PAYLOAD.as_bytes()), &[]);
    has(&packed, 1, &["          line 4, column 24, decompressed:", place[1], place[2]]);
    let machine = bench.with_config(PAYLOAD.as_bytes(), &["--format", "json"]);
    assert!(machine.code == 1 && machine.out.is_empty(), "{}", machine.out);
    assert!(machine.err.contains("type_mismatch"), "{}", machine.err);
    for (payload, reason, line) in [
        (
            &b"{\"samples\":[{\"ts\":17"[..],
            "failed: truncated",
            "          {\"samples\":[{\"ts\":17",
        ),
        (b"{\"samples\":[]}x", "failed: trailing_data", "                        ^"),
        (b"{\"samples\":[\xff]}", "failed: not_", "          {\"samples\":[\u{fffd}]}"),
        (b"{}", "failed: records_missing", "          ^"),
        (b"\x1f\x8b\x08", "failed: decompress", "          line 1, column 4:"),
    ] {
        let said = bench.with_config(payload, &[]);
        has(&said, 1, &[line]);
        assert!(said.out.contains(reason), "{reason}: {}", said.out);
    }
    // What a parser leaves out is shown beside what it keeps.
    let skipping =
        CONFIG.replace("records: samples[]", "records: samples[]\n      on_bad_record: skip");
    bench.write("landfall.yaml", skipping.as_bytes());
    let kept = bench.with_config(PAYLOAD.as_bytes(), &[]);
    has(&kept, 0, &["outcome   1 event, 1 left out", "event 0   2026-11-24T12:00:00Z"]);
    has(&kept, 0, &place[..3]);
}

#[test]
fn what_is_no_data_and_what_nobody_takes_says_so() {
    let bench = Bench::new();
    let no_data = "outcome   no data: it is one of the parser's words to ignore";
    has(&bench.with_config(b"offline\n", &[]), 0, &[no_data]);
    let newer = ["--property", "firmware-version=2.1"];
    let rule = "rule      parse.rules[0] topic devices/pump/+/data, firmware >=2";
    has(&bench.with_config(b"ON", &newer), 0, &[rule, "outcome   1 event"]);
    has(
        &bench.with_config(b"OFF", &newer),
        0,
        &["outcome   no data: no record is what select asks for"],
    );
    let other = said(
        bench
            .command(&["--input", "payload", "--topic", "other", "--config", "landfall.yaml"])
            .output()
            .expect("landfall can be started"),
    );
    has(&other, 1, &["parser    none: no rule of parse.rules holds"]);
    let unread = CONFIG.replace("parse:\n", "parse:\n  pools: { slow: { lanes: [slow] } }\n");
    bench.write("landfall.yaml", unread.as_bytes());
    has(&bench.with_config(b"ON", &[]), 1, &["parser    none: no pool reads the lane fast"]);
    // What its lane does not take is no raw message.
    let large = vec![b'7'; 600 * 1024];
    let large = bench.with_config(&large, &[]);
    assert!(large.code == 1 && large.out.contains("lane      none"), "{}", large.out);
}

#[test]
fn what_cannot_be_tried_is_an_argument_that_is_wrong() {
    let bench = Bench::new();
    bench.write("empty.yaml", b"");
    bench.write("wrong.yaml", b"parse: { rules: [ { when: {}, parser: p, topic: c } ] }");
    for (arguments, word) in [
        (&["--config", "empty.yaml"][..], "there is no section parse"),
        (&["--config", "wrong.yaml"], "parse.rules[0].parser: there is no parser \"p\""),
        (&["--config", "nowhere.yaml"], "nowhere.yaml"),
        (&["--property", "firmware"], "write NAME=VALUE"),
    ] {
        let said = bench.says(b"{}", arguments);
        assert!(said.code == 64 && said.err.contains(word), "{word}: {}", said.err);
    }
    for (arguments, word) in [
        (&["--input", "nowhere", "--topic", TOPIC][..], "--input nowhere"),
        (&["--input", "empty.yaml"], "--topic"),
        (&["--input", "empty.yaml", "--topic", TOPIC, "--received", "noon"], "--received \"noon\""),
    ] {
        let said = said(bench.command(arguments).output().expect("landfall can be started"));
        assert!(said.code == 64 && said.err.contains(word), "{word}: {}", said.err);
    }
}

/// A payload that nobody knew: what is printed is a configuration, by which the same payload gives the same
/// events, in whatever format it is.
#[test]
fn what_is_proposed_is_a_configuration_that_does_what_is_shown() {
    let bench = Bench::new();
    let samples = repository().join("bridge/parse/tests/payloads/samples");
    for sample in [
        "01-tasmota-sensor.json",
        "06-shelly1-scalar.txt",
        "22-edgex-readings.json",
        "25-bare-nan-accepted.json",
        "28-trailing-nul.json",
        "35-backlog-ndjson-gzip.bin",
        "40-csv-semicolon-decimal-comma.csv",
        "43-csv-header-per-message.csv",
        "44-latin1-json.json",
        "48-nmea-lines.txt",
        "73-json-seq-rs.json",
        "82-camera-jpeg.bin",
    ] {
        let payload = std::fs::read(samples.join(sample)).expect(sample);
        let proposed = bench.says(&payload, &[]);
        assert_eq!(proposed.code, 0, "{sample}: {}{}", proposed.out, proposed.err);
        assert!(
            proposed.out.contains("\nparse:\n  parsers:\n    pump:\n      format: "),
            "{sample}"
        );
        let shown: Vec<&str> =
            proposed.out.lines().filter_map(|line| line.strip_prefix('#')).map(str::trim).collect();
        bench.write("landfall.yaml", proposed.out.as_bytes());
        let again = bench.with_config(&payload, &[]);
        assert_eq!(again.code, 0, "{sample}: {}{}", again.out, again.err);
        let lines: Vec<&str> = again.out.lines().map(str::trim).collect();
        assert_eq!(lines, shown, "{sample}");
        let checked = Command::new(program("landfall"))
            .args(["check", "--config", "landfall.yaml"])
            .current_dir(&*bench.folder)
            .env_clear()
            .output();
        let checked = said(checked.expect("landfall can be started"));
        assert!(checked.code == 0 && checked.err.is_empty(), "{sample}: {}", checked.err);
    }
    // One that is cut has a proposal, and says that it is none yet.
    let cut = bench.says(b"{\"a\":1,\"b\":", &[]);
    assert!(cut.out.contains("parse:\n  parsers:"), "{}{}", cut.out, cut.err);
}

/// `explain` and `try` ask the same rules.
#[test]
fn explain_says_which_parser_would_take_a_message() {
    let bench = Bench::new();
    let explain = |arguments: &[&str]| {
        let mut command = Command::new(program("landfall"));
        command.args(["explain", "--config", "landfall.yaml"]).args(arguments);
        said(command.current_dir(&*bench.folder).env_clear().output().expect("it can be started"))
    };
    has(
        &explain(&["--topic", TOPIC]),
        0,
        &[
            "parser    pump, by parse.rules[1] topic devices/pump/+/data",
            "events    canonical.pump, and what fails: quarantine",
        ],
    );
    let newer = ["--topic", TOPIC, "--property", "firmware-version=2", "--format", "json"];
    let newer: Value = serde_json::from_str(&explain(&newer).out).expect("it is JSON");
    let taken = &newer["parse"];
    assert_eq!((&taken["parser"], &taken["on_failure"]), (&"words".into(), &"skip".into()));
    assert_eq!(taken["topic"], "canonical.words");
    has(&explain(&["--topic", "other"]), 0, &["parser    none: no rule of parse.rules holds"]);
    // What does not land has no parser.
    let dead = explain(&["--topic", TOPIC, "--size", "1MiB"]);
    assert!(!dead.out.contains("parser"), "{}", dead.out);
    bench.write("landfall.yaml", b"");
    let without = explain(&["--topic", TOPIC]);
    assert!(without.code == 0 && !without.out.contains("parser"), "{}", without.out);
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packed = Command::new("gzip");
    let mut child = packed.arg("-c").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let child = child.as_mut().expect("gzip can be started");
    child.stdin.take().expect("it is piped").write_all(bytes).expect("it is read");
    let mut out = Vec::new();
    let mut stdout = child.stdout.take().expect("it is piped");
    std::io::Read::read_to_end(&mut stdout, &mut out).expect("it is written");
    assert!(child.wait().expect("it ends").success());
    out
}
