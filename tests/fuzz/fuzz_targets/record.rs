//! Envelopes and events as records hold them, fed with whatever the fuzzer thinks of, from good records on.

#![no_main]

libfuzzer_sys::fuzz_target!(
    init: fuzz::write_seeds("record", &fuzz::record::seeds()),
    |data: &[u8]| {
        fuzz::record::read_value(data);
    }
);
