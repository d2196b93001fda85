//! JSON documents, fed with whatever the fuzzer thinks of, from good payloads on.

#![no_main]

libfuzzer_sys::fuzz_target!(
    init: fuzz::write_seeds("parse_json", &fuzz::payload::seeds(fuzz::payload::Kind::Json)),
    |data: &[u8]| {
        fuzz::payload::parse(fuzz::payload::Kind::Json, data);
    }
);
