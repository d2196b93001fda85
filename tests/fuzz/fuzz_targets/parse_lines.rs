//! JSON in lines and sequences, fed with whatever the fuzzer thinks of, from good payloads on.

#![no_main]

libfuzzer_sys::fuzz_target!(
    init: fuzz::write_seeds("parse_lines", &fuzz::payload::seeds(fuzz::payload::Kind::Lines)),
    |data: &[u8]| {
        fuzz::payload::parse(fuzz::payload::Kind::Lines, data);
    }
);
