//! What the worst payloads of strangers cost: each fails by its name and at its place, or is read, and neither
//! memory nor the processor is used beyond what the limits allow.
//!
//! Each is parsed in a process of its own, because only of a process it can be seen what it took.

use std::io::Write as _;
use std::process::Command;
use std::time::Duration;

use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use parse::event::Event;
use parse::failure::{Failure, Outcome};
use parse::limits::Limits;
use parse::parser::{Parser as _, Sink};

use crate::support::{FACTS, of_failure, parser};

/// Names the case that a process is for.
const CASE: &str = "LANDFALL_BOUNDS_CASE";
/// Time of the processor that none takes, on any machine and without optimization.
const PROCESSOR_MAX: Duration = Duration::from_secs(20);
const MIB: usize = 1024 * 1024;
/// Memory of what costs nothing to speak of: threads, what is read from files, noise.
const LITTLE: usize = 4 * MIB;

struct Case {
    name: &'static str,
    parser: &'static str,
    payload: fn() -> Vec<u8>,
    /// So many events and records left out, or the failure.
    says: &'static str,
    /// Bytes that it takes beside the payload.
    memory: usize,
}

/// Bytes of the largest document, and of the tree that is made of one.
const DOCUMENT: usize = 8 * MIB;
const TREE: usize = 4 * DOCUMENT;

const CASES: [Case; 27] = [
    Case {
        name: "a document that is cut",
        parser: "{format: json, rest: drop, fields: {v: $.a}}",
        payload: || format!("{{\"a\":[{}1", "1,".repeat(MIB)).into_bytes(),
        says: "too_large at 0",
        memory: TREE + LITTLE,
    },
    Case {
        name: "a list that is cut",
        parser: "{format: json, records: 'a[]'}",
        payload: || format!("{{\"a\":[{}1", "1,".repeat(400_000)).into_bytes(),
        says: "truncated at 800007",
        memory: LITTLE,
    },
    Case {
        name: "a byte that is not UTF-8, behind a megabyte",
        parser: "format: json",
        payload: || [&b"{\"a\":\""[..], &vec![b'x'; MIB], b"\xff\"}"].concat(),
        says: "not_utf8 at 1048582",
        memory: LITTLE,
    },
    Case {
        name: "lists nested 100,000 deep",
        parser: "format: json",
        payload: || [vec![b'['; 100_000], vec![b']'; 100_000]].concat(),
        says: "too_deep at 128",
        memory: LITTLE,
    },
    Case {
        name: "objects nested 100,000 deep, in a line",
        parser: "{format: ndjson, on_bad_record: skip}",
        payload: || format!("1\n{}\n2\n", "{\"a\":".repeat(100_000)).into_bytes(),
        says: "2 events, 1 left out: too_deep record 1 at 642",
        memory: LITTLE,
    },
    Case {
        name: "lists nested 100,000 deep, for a program",
        parser: "{format: json, jq: '[recurse]'}",
        payload: || [vec![b'['; 100_000], vec![b']'; 100_000]].concat(),
        says: "too_deep at 128",
        memory: LITTLE,
    },
    Case {
        name: "a bomb of gzip",
        parser: "format: json",
        payload: || gzip(&vec![0; 8 * MIB]),
        says: "too_large at 0",
        memory: LITTLE,
    },
    Case {
        name: "a bomb of many members of gzip",
        parser: "format: json",
        payload: || gzip(&vec![0; MIB]).repeat(64),
        says: "too_large at 6306",
        // A hundred times what came, and as much again while it grows.
        memory: 16 * MIB + LITTLE,
    },
    Case {
        name: "a bomb of zstd",
        parser: "format: json",
        payload: || zstd::encode_all(&vec![0; 256 * MIB][..], 3).expect("memory"),
        says: "too_large at 0",
        memory: LITTLE,
    },
    Case {
        name: "a bomb of zlib",
        parser: "{format: json, compression: zlib}",
        payload: || {
            let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
            encoder.write_all(&vec![0; 8 * MIB]).expect("memory");
            encoder.finish().expect("memory")
        },
        says: "too_large at 0",
        memory: LITTLE,
    },
    Case {
        name: "two layers of compression",
        parser: "format: json",
        payload: || gzip(&gzip(b"{\"a\":1}")),
        says: "decompress at 0",
        memory: LITTLE,
    },
    Case {
        name: "gzip around zstd",
        parser: "{format: ndjson, compression: gzip, on_bad_record: skip}",
        payload: || gzip(&zstd::encode_all(&b"{\"a\":1}"[..], 3).expect("memory")),
        says: "decompress at 0",
        memory: LITTLE,
    },
    Case {
        name: "a header of a million columns",
        parser: "format: csv",
        payload: || vec!["x"; 1_000_000].join(",").into_bytes(),
        says: "column_count at 20000",
        memory: LITTLE,
    },
    Case {
        name: "a row of a million columns",
        parser: "{format: csv, on_bad_record: skip}",
        payload: || format!("a,b\n1,2\n{}\n3,4\n", vec!["x"; 1_000_000].join(",")).into_bytes(),
        says: "2 events, 1 left out: column_count record 1 at 20008",
        memory: LITTLE,
    },
    Case {
        name: "a million records and one more in a list",
        parser: "{format: json, records: '[]', rest: drop}",
        payload: || format!("[{}0]", "0,".repeat(1_000_000)).into_bytes(),
        says: "too_many",
        memory: LITTLE,
    },
    Case {
        name: "a million records in lines",
        parser: "{format: ndjson, rest: drop}",
        payload: || "0\n".repeat(1_000_000).into_bytes(),
        says: "1000000 events, 0 left out",
        memory: LITTLE,
    },
    Case {
        name: "a million bad lines and one more",
        parser: "{format: ndjson, on_bad_record: skip}",
        payload: || "x\n".repeat(1_000_001).into_bytes(),
        says: "too_many",
        memory: LITTLE,
    },
    Case {
        name: "a million objects that cost a hundred times their bytes",
        parser: "{format: json, records: '[]', fields: {all: '$[0]'}}",
        payload: || format!("[{}0]", "{\"\":0},".repeat(1_000_000)).into_bytes(),
        says: "too_large at 0",
        memory: TREE + LITTLE,
    },
    Case {
        name: "a text of a million parts",
        parser: "{format: text, text: {split: ','}, rest: drop}",
        payload: || ",".repeat(DOCUMENT).into_bytes(),
        says: "too_large at 0",
        memory: LITTLE,
    },
    Case {
        name: "a program that makes much of little",
        parser: "{format: json, jq: '[range(.)] | map(tostring) | add'}",
        payload: || b"99999999999".to_vec(),
        says: "jq_limit at 0",
        memory: 256 * MIB,
    },
    Case {
        name: "a program that is asked for much in every line",
        parser: "{format: ndjson, on_bad_record: skip, jq: 'last(range(.))'}",
        payload: || b"999999\n".repeat(40),
        says: "10 events, 30 left out: jq_limit record 10 at 70",
        memory: LITTLE,
    },
    Case {
        name: "a number that does not fit",
        parser: "{format: json, fields: {v: {path: v, type: int}}}",
        payload: || b"{\"u\":1,\"v\":9223372036854775808}".to_vec(),
        says: "does_not_fit record 0 field v at 11",
        memory: LITTLE,
    },
    Case {
        name: "a float beyond all floats",
        parser: "{format: json, fields: {v: {path: v, type: float}}}",
        payload: || b"{\"v\":1e400}".to_vec(),
        says: "does_not_fit record 0 field v at 5",
        memory: LITTLE,
    },
    Case {
        name: "a decimal of a million digits",
        parser: "{format: json, fields: {v: {path: v, type: decimal}}}",
        payload: || b"{\"v\":1e1000000}".to_vec(),
        says: "does_not_fit record 0 field v at 5",
        memory: LITTLE,
    },
    Case {
        name: "times of 1970 and 2100",
        parser: "{format: ndjson, time: {field: t, unit: s}}",
        payload: || b"{\"t\":0}\n{\"t\":4102444800}\n{\"t\":1772366400}\n".to_vec(),
        says: "3 events, 0 left out: 2 flagged out_of_range",
        memory: LITTLE,
    },
    Case {
        name: "one bad line among 10,000 good ones, which fails them",
        parser: "{format: ndjson, fields: {v: {path: v, type: int}}}",
        payload: one_bad_line,
        says: "type_mismatch record 7000 field v at 75895",
        memory: LITTLE,
    },
    Case {
        name: "one bad line among 10,000 good ones, which is left out",
        parser: "{format: ndjson, on_bad_record: skip, fields: {v: {path: v, type: int}}}",
        payload: one_bad_line,
        says: "9999 events, 1 left out: type_mismatch record 7000 field v at 75895",
        memory: LITTLE,
    },
];

fn one_bad_line() -> Vec<u8> {
    let line =
        |v| if v == 7_000 { "{\"v\":true}\n".to_owned() } else { format!("{{\"v\":{v}}}\n") };
    (0..10_000).map(line).collect::<String>().into_bytes()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).expect("memory");
    encoder.finish().expect("memory")
}

#[test]
fn each_says_why_and_costs_no_more_than_it_may() {
    assert_eq!((Limits::default().document_size, Limits::default().events), (DOCUMENT, 1_000_000));
    let own = std::env::current_exe().expect("a program knows its path");
    let mut faults = Vec::new();
    for case in &CASES {
        let mut command = Command::new(&own);
        command.args(["--exact", "bounds::a_case_of_its_own_process", "--nocapture"]);
        let output = command.env(CASE, case.name).output().expect("it can be started again");
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            faults.push(format!("{}: {}\n{said}", case.name, output.status));
        }
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn a_case_of_its_own_process() {
    let Ok(name) = std::env::var(CASE) else { return };
    let case = CASES.iter().find(|case| case.name == name).expect("it is one");
    let (parser, payload) = (parser(case.parser), (case.payload)());
    // From here on the peak counts, and not what the payload was made of (proc(5), clear_refs).
    std::fs::write("/proc/self/clear_refs", "5").expect("a process may look at itself");
    let before = status("VmRSS:");
    let mut told = Told::default();
    let outcome = parser.parse(&payload, &FACTS, &mut told);
    let took = status("VmHWM:").saturating_sub(before);
    eprintln!("{name}: {} KiB, {:?} of the processor", took / 1024, processor());
    assert_eq!(told.of(&outcome), case.says);
    assert!(took <= case.memory, "it took {took} bytes, and {} are allowed", case.memory);
    assert!(processor() < PROCESSOR_MAX, "{:?}", processor());
}

/// What a parser told, in short: there may be a million of it.
#[derive(Default)]
struct Told {
    events: u64,
    flags: Vec<&'static str>,
    skipped: Option<String>,
}

impl Sink for Told {
    fn event(&mut self, event: Event<'_>) {
        self.events += 1;
        self.flags.extend(event.time.flag.map(|flag| flag.label()));
    }

    fn skipped(&mut self, failure: Failure) {
        self.skipped.get_or_insert_with(|| of_failure(&failure));
    }
}

impl Told {
    fn of(&self, outcome: &Outcome) -> String {
        let (events, skipped) = match outcome {
            Outcome::Events { events, skipped, .. } => (events, skipped),
            Outcome::NotData(why) => return why.label().to_owned(),
            Outcome::Failed(failure) => return of_failure(failure),
        };
        assert_eq!(*events, self.events);
        let mut told = format!("{events} events, {skipped} left out");
        if let Some(skipped) = &self.skipped {
            told.push_str(&format!(": {skipped}"));
        }
        if let Some(flag) = self.flags.first() {
            told.push_str(&format!(": {} flagged {flag}", self.flags.len()));
        }
        told
    }
}

/// A line of the process's own status, in bytes.
fn status(name: &str) -> usize {
    let text = std::fs::read_to_string("/proc/self/status").expect("this is Linux");
    let line = text.lines().find_map(|line| line.strip_prefix(name)).expect("it is there");
    let kib: usize = line.trim().trim_end_matches(" kB").parse().expect("a number");
    kib * 1024
}

/// What the process took of the processor.
fn processor() -> Duration {
    // Behind the name in brackets: the 12th and 13th number, in hundredths of a second.
    let text = std::fs::read_to_string("/proc/self/stat").expect("this is Linux");
    let numbers = text.rsplit(')').next().expect("it has a name");
    let ticks = numbers.split_whitespace().skip(11).take(2);
    let ticks: u64 = ticks.map(|one| one.parse::<u64>().expect("a number")).sum();
    Duration::from_millis(ticks * 10)
}
