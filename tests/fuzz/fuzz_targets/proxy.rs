//! PROXY headers, fed with whatever the fuzzer thinks of, from good ones on.

#![no_main]

libfuzzer_sys::fuzz_target!(
    init: fuzz::write_seeds("proxy", &fuzz::seeds::proxy()),
    |data: &[u8]| {
        fuzz::proxy::read(data);
    }
);
