//! Tables, fed with whatever the fuzzer thinks of, from good payloads on.

#![no_main]

libfuzzer_sys::fuzz_target!(
    init: fuzz::write_seeds("parse_csv", &fuzz::payload::seeds(fuzz::payload::Kind::Csv)),
    |data: &[u8]| {
        fuzz::payload::parse(fuzz::payload::Kind::Csv, data);
    }
);
