//! A whole uplink session, fed with whatever the fuzzer thinks of, from good sessions on.

#![no_main]

libfuzzer_sys::fuzz_target!(
    init: fuzz::write_seeds("session", &fuzz::seeds::session()),
    |data: &[u8]| {
        fuzz::session::serve(data);
    }
);
