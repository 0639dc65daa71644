#![no_main]

#[path = "../messages.rs"]
mod messages;
#[path = "../records.rs"]
mod records;

libfuzzer_sys::fuzz_target!(|data: &[u8]| messages::body(data));
