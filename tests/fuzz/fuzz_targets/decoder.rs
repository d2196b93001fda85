//! The packet decoder, fed with whatever the fuzzer thinks of, from good packets on.

#![no_main]

libfuzzer_sys::fuzz_target!(
    init: fuzz::write_seeds("decoder", &fuzz::seeds::decoder()),
    |data: &[u8]| {
        fuzz::decoder::decode_stream(data);
    }
);
