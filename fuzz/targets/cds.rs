#![no_main]

#[path = "../records.rs"]
mod records;

libfuzzer_sys::fuzz_target!(|data: &[u8]| records::cds(data));
