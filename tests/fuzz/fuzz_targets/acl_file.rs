//! mosquitto's acl_file, fed with whatever the fuzzer thinks of, from good files on.

#![no_main]

libfuzzer_sys::fuzz_target!(
    init: fuzz::write_seeds("acl_file", &fuzz::seeds::acl_file()),
    |data: &[u8]| {
        fuzz::acl_file::ask(data);
    }
);
