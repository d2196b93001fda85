//! Compressed payloads, fed with whatever the fuzzer thinks of, from good payloads on.

#![no_main]

libfuzzer_sys::fuzz_target!(
    init: fuzz::write_seeds("unpack", &fuzz::unpack::seeds()),
    |data: &[u8]| {
        fuzz::unpack::take_off(data);
    }
);
