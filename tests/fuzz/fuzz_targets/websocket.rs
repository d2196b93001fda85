//! Requests for WebSockets and their frames, fed with whatever the fuzzer thinks of, from good ones on.

#![no_main]

libfuzzer_sys::fuzz_target!(
    init: fuzz::write_seeds("websocket", &fuzz::seeds::websocket()),
    |data: &[u8]| {
        fuzz::websocket::receive(data);
    }
);
