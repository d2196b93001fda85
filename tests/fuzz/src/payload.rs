//! Payloads, whatever strangers make of them, given to parsers as people write them. What is looked at:
//!
//! - no panic, and the same is said of the same payload twice, whatever was parsed in between;
//! - an outcome is events, no data, or a failure with a name and a place that is in the payload;
//! - no event and no number of them is beyond a limit, and none takes the processor for long;
//! - each event comes back whole from its canonical JSON and from its protobuf;
//! - what is good by a parser that fails is the same by one that skips, and held whole the same as streamed.

use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::time::Duration;

use parse::canonical::whole::Whole;
use parse::canonical::{Context, json, protobuf, read};
use parse::compile::compile;
use parse::event::Event;
use parse::facts::Facts;
use parse::failure::{Failure, Outcome, Reason};
use parse::format::Format;
use parse::limits::Limits;
use parse::parser::{Declared, Parser as _, Sink, Way};
use parse::unpack::unpack;
use parse::written;
use prost::Message as _;
use proto::v1;
use rustix::time::{ClockId, clock_gettime};

/// Which parsers an input is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Json,
    /// Documents in lines and in sequences.
    Lines,
    Csv,
    /// Texts, and bytes as they are.
    Text,
    /// Programs behind any format.
    Jq,
}

/// Small limits, so that small inputs meet them.
const LIMITS: Limits = Limits {
    decompressed: 1024 * 1024,
    ratio: 100,
    depth: 128,
    events: 2_000,
    event_size: 64 * 1024,
    document_size: 64 * 1024,
    jq_steps: 50_000,
};
/// Bytes of a document beyond which it is read as a stream, where that can be.
const STREAMED_FROM: usize = 48;
/// Time of the processor that no payload within those limits takes, on any machine and without optimization.
const PROCESSOR_MAX: Duration = Duration::from_secs(20);

const FACTS: Facts<'_> = Facts {
    topic: "a/b/c/0/e",
    received_ms: 1_772_366_400_000,
    device_id: "device",
    verified: true,
    attributes: &[("device_type", "meter")],
};

/// What strangers are fond of.
const WORDS: [&[u8]; 27] = [
    b"{",
    b"}",
    b"[",
    b"]",
    b"\"",
    b":",
    b",",
    b"\\",
    b"\\u",
    b"\\ud800",
    b"null",
    b"NaN",
    b"-Infinity",
    b"1e999",
    b"18446744073709551616",
    b"-",
    b"\n",
    b"\r\n",
    b"\0",
    b"\x1e",
    b"\xff",
    b"\xc3",
    b"\x1f\x8b\x08",
    b"\x28\xb5\x2f\xfd",
    b";",
    b"\xef\xbb\xbf",
    b"9999-12-31T23:59:60.999999999Z",
];

/// What the payloads of the parse role's own tests do not show: each parser with a payload of its own.
const MORE: [(&str, &str); 15] = [
    (
        "{format: json, records: 'readings[]', fields: {at: '@index', v: {path: v, type: int}}}",
        r#"{"unit":"C","readings":[{"v":1},{"v":"2"},{"v":3,"w":null}],"end":true}"#,
    ),
    ("{format: json, records: '[]', duplicates: last}", r#"[{"a":1,"a":2},{"a":[{}]},3]"#),
    (
        "{format: json, records: 'groups[].readings[]', device_id: ^.name, \
          fields: {unit: $.unit, at: '@index', topic: '@topic[-2]', type: '@attribute.device_type'}}",
        r#"{"unit":"C","groups":[{"name":"a","readings":[{"v":1},{"v":2}]},{"name":7,"readings":[{"v":3}]}]}"#,
    ),
    (
        "{format: json, nan: keep, nulls: [n/a, -999, 'Error*'], rest: keep, fields: {\
          i: {path: i, type: int}, f: {path: f, type: float, scale: 0.1}, d: {path: d, type: decimal, scale: 1e-3}, \
          b: {path: b, type: bool, true: ['on'], false: ['off']}, x: {path: x, type: bytes, encoding: base64}, \
          t: {path: t, type: time, unit: s}, \
          all: {path: all, spread: true, prefix: p_}}, time: {field: at, forms: [{unit: ms}, {pattern: rfc3339}]}}",
        r#"{"i":"-9223372036854775808","f":21.5,"d":"12345678901234567890.125","b":"on","x":"AP8=","t":1770149645.57,"all":{"n":null,"o":"n/a"},"at":1772366400000,"inf":-Infinity}"#,
    ),
    ("{format: json, charset: utf-16le}", "{\0}\0"),
    (
        "{format: ndjson, on_bad_record: skip, ignore: ['', offline], select: {path: v, exists: true}}",
        "{\"v\":1}\n{\"v\":2\n\n{\"v\":3}{\"v\":4} {\"v\":5}\r\n{\n \"v\": 6\n}\n{\"w\":7},\n",
    ),
    ("{format: json-seq, compression: none}", "\u{1e}{\"v\":1}\n\u{1e}{\n\"v\":3}\n"),
    (
        "{format: csv, csv: {delimiter: tab, skip_lines: 1, skip_after_header: 1, comments: '#', trim: true}}",
        "logger 12\n# made by hand\na\tb\nC\tm/s\n1 \t \"2 \"\n# gap\n",
    ),
    ("{format: csv, csv: {header: [a, b], quote: \"'\"}}", "1,'2;'\n'it''s','x\ny'z\n"),
    (
        "{format: text, text: {lines: true, split: ';'}, rest: drop, \
          fields: {a: {path: '[0]', type: int}, b: {path: '[1]'}}}",
        "1;x\n\n2\nz;y\r\n3;\n",
    ),
    ("{format: raw, compression: auto, fields: {image: '.'}}", "\u{1}bytes"),
    ("{format: ndjson, jq: 'if .v == 0 then error(\"zero\") else . end'}", "{\"v\":1}\n{\"v\":2}"),
    ("{format: ndjson, jq: '[range(.n)] | {n: length, all: map(tostring) | add}'}", "{\"n\":9}\n"),
    (
        "{format: csv, jq: 'to_entries[] | {name: .key, value: (.value | tonumber)}'}",
        "a,b\n1,2.50\n",
    ),
    ("{format: text, jq: 'split(\";\") | map(split(\"=\") | {(.[0]): .[1]}) | add'}", "a=1;b=x"),
];

/// A parser in all the ways that are compared, and a payload of its devices with what is said of it.
struct Bench {
    strict: Declared,
    lenient: Declared,
    /// Where large documents are read as streams.
    streaming: Option<Declared>,
    sample: Vec<u8>,
    of_sample: Said,
}

/// All parsers of a kind.
fn benches(kind: Kind) -> &'static [Bench] {
    static BENCHES: LazyLock<BTreeMap<Kind, Vec<Bench>>> = LazyLock::new(all);
    &BENCHES[&kind]
}

fn all() -> BTreeMap<Kind, Vec<Bench>> {
    let shipped = ["payloads", "shapes"].into_iter().flat_map(shipped);
    let more = MORE.into_iter().map(|(yaml, sample)| {
        let written = serde_saphyr::from_str(yaml);
        (written.unwrap_or_else(|error| panic!("{yaml}: {error}")), sample.as_bytes().to_vec())
    });
    let mut benches: BTreeMap<Kind, Vec<Bench>> = BTreeMap::new();
    for (written, sample) in shipped.chain(more) {
        let bench = Bench::new(written, sample);
        benches.entry(kind_of(&bench.strict)).or_default().push(bench);
    }
    benches
}

/// The parsers of a folder of the parse role's own tests, each with its payload.
fn shipped(folder: &str) -> Vec<(written::Parser, Vec<u8>)> {
    let folder = tests::tools::repository().join("bridge/parse/tests").join(folder);
    let text = std::fs::read_to_string(folder.join("parsers.yaml")).expect("it is there");
    let written: BTreeMap<String, written::Parser> =
        serde_saphyr::from_str(&text).expect("it is valid");
    let samples = std::fs::read_dir(folder.join("samples")).expect("it is there").map(|entry| {
        let path = entry.expect("it is listed").path();
        let name = path.file_stem().expect("a file has a name").to_string_lossy().into_owned();
        (name, std::fs::read(&path).expect("a sample can be read"))
    });
    let mut samples: BTreeMap<String, Vec<u8>> = samples.collect();
    let parsers = written.into_iter().map(|(name, written)| {
        let sample = samples.remove(&name).expect("each parser has a payload");
        (written, sample)
    });
    parsers.collect()
}

fn kind_of(parser: &Declared) -> Kind {
    match (&parser.way, &parser.format) {
        (Way::Program(_), _) => Kind::Jq,
        (_, Format::Json) => Kind::Json,
        (_, Format::NdJson | Format::JsonSeq) => Kind::Lines,
        (_, Format::Csv(_)) => Kind::Csv,
        (_, Format::Text(_) | Format::Raw) => Kind::Text,
    }
}

impl Bench {
    fn new(mut written: written::Parser, sample: Vec<u8>) -> Bench {
        written.on_bad_record = None;
        let strict = compile(&written, LIMITS).expect("a shipped parser is right");
        let limits = Limits { document_size: STREAMED_FROM, ..LIMITS };
        let streaming = compile(&written, limits).expect("its limits are no part of it");
        let streaming = Some(streaming).filter(|parser| parser.streams_by().is_some());
        written.on_bad_record = Some("skip".to_owned());
        written.nan.get_or_insert_with(|| "keep".to_owned());
        let lenient = compile(&written, LIMITS).expect("it differs by two words");
        let of_sample = said(&strict, &sample);
        Bench { strict, lenient, streaming, sample, of_sample }
    }

    fn parse(&self, payload: &[u8]) -> bool {
        let strict = said(&self.strict, payload);
        let lenient = said(&self.lenient, payload);
        assert_eq!(
            said(&self.strict, &self.sample),
            self.of_sample,
            "the next message is as it was"
        );
        assert_eq!(said(&self.strict, payload), strict, "it says the same twice");
        assert_eq!(said(&self.lenient, payload), lenient, "it says the same twice");
        let is_good = matches!(strict.outcome, Outcome::Events { .. });
        if is_good {
            assert!(strict.skipped.is_empty(), "a strict parser skips nothing");
            assert_eq!(lenient, strict, "what is good has nothing to be left out");
        }
        if let Some(streaming) = &self.streaming {
            let streamed = said(streaming, payload);
            match (&strict.outcome, &streamed.outcome) {
                // An element alone may be larger than what is held of a stream.
                (Outcome::Events { .. }, Outcome::Failed(failure)) => {
                    assert_eq!(failure.reason, Reason::TooLarge, "{failure}");
                }
                (Outcome::Events { .. }, _) | (_, Outcome::Events { .. }) => {
                    assert_eq!(streamed, strict, "a stream has the same events");
                }
                _ => {}
            }
        }
        is_good
    }
}

/// The first byte says which parser of the kind; the rest is the payload. Returns whether it has events.
pub fn parse(kind: Kind, data: &[u8]) -> bool {
    let Some((which, payload)) = data.split_first() else { return false };
    if kind == Kind::Jq && *which == OWN_PROGRAM {
        return own_program(payload);
    }
    let benches = benches(kind);
    benches[usize::from(*which) % benches.len()].parse(payload)
}

/// A program stands in front of the payload, up to a zero.
const OWN_PROGRAM: u8 = 0xff;

/// Whoever writes a configuration may write any program: it is refused with its faults, or has the same limits.
fn own_program(data: &[u8]) -> bool {
    let mut parts = data.splitn(2, |byte| *byte == 0);
    let [program, payload] = [(); 2].map(|()| parts.next().unwrap_or_default());
    let Ok(program) = std::str::from_utf8(program) else { return false };
    let written = written::Parser {
        format: Some("json".to_owned()),
        jq: Some(program.to_owned()),
        ..written::Parser::default()
    };
    match compile(&written, LIMITS) {
        Err(faults) => {
            assert!(!faults.is_empty());
            false
        }
        Ok(parser) => {
            let once = said(&parser, payload);
            assert_eq!(said(&parser, payload), once, "it says the same twice");
            matches!(once.outcome, Outcome::Events { .. })
        }
    }
}

/// What a parser says of a payload, after a look at whether it may say so.
fn said(parser: &Declared, payload: &[u8]) -> Said {
    let before = processor_time();
    let mut telling = Telling::default();
    let outcome = parser.parse(payload, &FACTS, &mut telling);
    let took = processor_time().saturating_sub(before);
    assert!(took < PROCESSOR_MAX, "it took {took:?} of the processor");
    let Telling { lines, skipped, .. } = telling;
    let length = unpack(payload, parser.packing, &LIMITS).map_or(0, |text| text.len());
    // Places are counted in the text: of another charset that has up to three bytes for one of the payload.
    let length = 3 * length.max(payload.len());
    for failure in &skipped {
        assert!(failure.record.is_some(), "{failure}");
        has_a_place(failure, length);
    }
    match &outcome {
        Outcome::Events { events, skipped: left_out, .. } => {
            assert_eq!((*events, *left_out), (lines.len() as u64, skipped.len() as u64));
            assert!(events + left_out <= LIMITS.events);
        }
        Outcome::NotData(_) => assert!(lines.is_empty() && skipped.is_empty()),
        Outcome::Failed(failure) => has_a_place(failure, length),
    }
    Said { outcome, lines, skipped }
}

fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec as u32)
}

/// A failure is in a record or at a byte of the payload, but for what is about the payload as a whole.
fn has_a_place(failure: &Failure, length: usize) {
    assert!(failure.at.is_none_or(|at| at <= length), "{failure} in {length} bytes");
    let is_of_the_whole = failure.reason == Reason::TooMany;
    assert!(is_of_the_whole || failure.at.is_some() || failure.record.is_some(), "{failure}");
    assert!(!failure.detail.is_empty() && failure.detail.len() < 4_096, "{failure}");
}

/// All that was said of a payload.
#[derive(Debug, PartialEq)]
struct Said {
    outcome: Outcome,
    lines: Vec<Vec<u8>>,
    skipped: Vec<Failure>,
}

#[derive(Default)]
struct Telling {
    lines: Vec<Vec<u8>>,
    skipped: Vec<Failure>,
    next: u64,
}

impl Sink for Telling {
    fn event(&mut self, event: Event<'_>) {
        assert!(event.index >= self.next, "records are told in their order");
        self.next = event.index + 1;
        assert!(event.weight() <= LIMITS.event_size, "{} bytes", event.weight());
        let context = Context {
            facts: &FACTS,
            message_id: [7; 16],
            device_type: "",
            firmware_version: "",
            group: "g",
            lane: "fast",
            topic: "landfall.fast",
            partition: 0,
            offset: 1,
            parser: "p",
            revision: 1,
        };
        let mut line = Vec::new();
        json::write(&context, &event, &mut line);
        is_the_same_everywhere(&line, &protobuf::message(&context, &event));
        self.lines.push(line);
    }

    fn skipped(&mut self, failure: Failure) {
        self.skipped.push(failure);
    }
}

/// An event is the same in canonical JSON and in protobuf, and each can be made of the other.
pub fn is_the_same_everywhere(line: &[u8], message: &v1::Event) {
    let text = std::str::from_utf8(line).expect("JSON is UTF-8");
    // NaN is not itself.
    if text.contains("\"NaN\"") {
        return;
    }
    assert_eq!(read::read(text).as_ref(), Ok(message), "{text}");
    let decoded = v1::Event::decode(message.encode_to_vec().as_slice());
    assert_eq!(decoded.as_ref(), Ok(message), "{text}");
    let whole = Whole::read(message).unwrap_or_else(|fault| panic!("{fault}: {text}"));
    let mut again = Vec::new();
    json::write(&whole.context(), &whole.event, &mut again);
    let again = std::str::from_utf8(&again).expect("JSON is UTF-8");
    assert_eq!(read::read(again).as_ref(), Ok(message), "{text}");
}

/// Payloads as fleets send them, and what strangers are fond of.
pub fn seeds(kind: Kind) -> Vec<Vec<u8>> {
    let samples = benches(kind).iter().enumerate();
    let sample = |(which, bench): (usize, &Bench)| [&[which as u8], &bench.sample[..]].concat();
    let mut seeds: Vec<Vec<u8>> = samples.map(sample).collect();
    if kind == Kind::Jq {
        for (program, payload) in [
            (".[] | {a: .x, b: (.y + 1 | tostring)}", "[{\"x\":1,\"y\":9007199254740993}]"),
            ("def f: if . > 3 then . else (. + 1 | f) end; f", "1"),
            ("foreach .[] as $r (0; . + $r; {sum: ., $r})", "[1,2.50,3]"),
            ("[limit(9; repeat(1))] | to_entries | map({(.key | tostring): .value}) | add", "0"),
            ("{t: $topic[1], r: $received} | ., (try error(\"x\") catch {e: .})", "null"),
        ] {
            seeds.push([&[OWN_PROGRAM], program.as_bytes(), &[0], payload.as_bytes()].concat());
        }
    }
    seeds.extend(WORDS.map(|word| [&[0], word].concat()));
    seeds
}
