//! Tokens and key sets, fed with whatever the fuzzer thinks of, from good ones on.

#![no_main]

libfuzzer_sys::fuzz_target!(
    init: fuzz::write_seeds("token", &fuzz::token::seeds()),
    |data: &[u8]| {
        fuzz::token::look(data);
    }
);
