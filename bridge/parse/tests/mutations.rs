//! Whatever a stranger makes of a payload: no parser panics, each says the same twice, a place lies within
//! the payload, and every event comes back whole from its canonical JSON.
//!
//! `LANDFALL_MUTATIONS=1000000 cargo test --release -p parse --test mutations` tries for longer; the seed is
//! printed where something is found, and `LANDFALL_MUTATIONS_SEED` sets it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use parse::canonical::{Context, json, protobuf, read};
use parse::compile::compile;
use parse::event::Event;
use parse::facts::Facts;
use parse::failure::{Failure, Outcome};
use parse::limits::Limits;
use parse::parser::{Declared, Parser as _, Sink};
use parse::written;

/// Mutations of one run in the tests.
const MUTATIONS: u64 = 6_000;

/// What strangers are fond of.
const WORDS: [&[u8]; 26] = [
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
];

/// A small generator (splitmix64): the same seed tries the same.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }
}

fn mutated(random: &mut Random, payload: &[u8], other: &[u8]) -> Vec<u8> {
    let mut bytes = payload.to_vec();
    for _ in 0..=random.below(4) {
        let at = random.below(bytes.len() + 1);
        match random.below(7) {
            0 => bytes.truncate(at),
            1 if at < bytes.len() => bytes[at] = random.next() as u8,
            2 if at < bytes.len() => drop(bytes.remove(at)),
            3 => {
                let word = WORDS[random.below(WORDS.len())];
                drop(bytes.splice(at..at, word.iter().copied()));
            }
            4 => {
                let end = at + random.below(bytes.len() - at + 1);
                let part = bytes[at..end].to_vec();
                drop(bytes.splice(at..at, part));
            }
            5 => {
                let from = random.below(other.len() + 1);
                drop(bytes.splice(at..at, other[from..].iter().copied()));
            }
            _ => {
                let end = at + random.below(bytes.len() - at + 1);
                drop(bytes.drain(at..end));
            }
        }
    }
    bytes
}

/// What a parser said, and whether it can be read back.
#[derive(Debug, Default, PartialEq)]
struct Said {
    lines: Vec<Vec<u8>>,
    skipped: Vec<Failure>,
}

const FACTS: Facts<'_> = Facts {
    topic: "a/b/c/0/e",
    received_ms: 1_772_366_400_000,
    device_id: "device",
    verified: true,
    attributes: &[],
};

impl Sink for Said {
    fn event(&mut self, event: Event<'_>) {
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
        let text = std::str::from_utf8(&line).expect("JSON is UTF-8");
        let back = read::read(text);
        let whole = protobuf::message(&context, &event);
        // NaN is not itself.
        if !text.contains("\"NaN\"") {
            assert_eq!(back, Ok(whole), "{text}");
        }
        self.lines.push(line);
    }

    fn skipped(&mut self, failure: Failure) {
        self.skipped.push(failure);
    }
}

fn tried(parser: &Declared, payload: &[u8]) {
    let once = || {
        let mut said = Said::default();
        let outcome = parser.parse(payload, &FACTS, &mut said);
        (outcome, said)
    };
    let (outcome, said) = once();
    assert_eq!((&outcome, &said), (&once().0, &once().1), "it says the same twice");
    let failures = said.skipped.iter();
    let is_plain = !payload.starts_with(b"\x1f\x8b") && !payload.starts_with(b"\x28\xb5");
    let is_plain = is_plain && payload.first().is_none_or(|first| first & 0x0f != 8);
    let failed = match &outcome {
        Outcome::Failed(failure) => Some(failure),
        _ => None,
    };
    for failure in failures.chain(failed).filter(|_| is_plain) {
        assert!(failure.at.is_none_or(|at| at <= payload.len()), "{failure} in {payload:?}");
    }
}

#[test]
fn mutated_payloads_break_nothing() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/payloads");
    let text = std::fs::read_to_string(folder.join("parsers.yaml")).expect("it is there");
    let written: BTreeMap<String, written::Parser> =
        serde_saphyr::from_str(&text).expect("it is valid");
    let limits = Limits {
        events: 2_000,
        document_size: 64 * 1024,
        decompressed: 1024 * 1024,
        jq_steps: 50_000,
        ..Limits::default()
    };
    let parsers: Vec<(String, Declared)> = written
        .into_iter()
        .flat_map(|(name, mut written)| {
            let strict = compile(&written, limits).expect("it is right");
            written.on_bad_record = Some("skip".to_owned());
            written.nan = Some("keep".to_owned());
            let lenient = compile(&written, limits).expect("it is right");
            [(name.clone(), strict), (name, lenient)]
        })
        .collect();
    let mut samples = Vec::new();
    for entry in std::fs::read_dir(folder.join("samples")).expect("it is there") {
        let path = entry.expect("it is listed").path();
        samples.push((
            path.file_stem().expect("a name").to_owned(),
            std::fs::read(&path).expect("it is there"),
        ));
    }
    samples.sort();
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let seed: u64 = number("LANDFALL_MUTATIONS_SEED").unwrap_or(1);
    for round in 0..number("LANDFALL_MUTATIONS").unwrap_or(MUTATIONS) {
        let mut random = Random(seed.wrapping_add(round));
        let (name, payload) = &samples[random.below(samples.len())];
        let (_, other) = &samples[random.below(samples.len())];
        let payload = mutated(&mut random, payload, other);
        // Mostly its own parser: another one stops at the first byte.
        let own: Vec<&Declared> = parsers
            .iter()
            .filter(|(parser, _)| random.below(8) == 0 || name.as_os_str() == parser.as_str())
            .map(|(_, parser)| parser)
            .collect();
        let Some(parser) = own.get(random.below(own.len())) else { continue };
        let tried =
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| tried(parser, &payload)));
        assert!(tried.is_ok(), "LANDFALL_MUTATIONS_SEED={} finds {payload:?}", seed + round);
    }
}
