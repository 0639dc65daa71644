#![no_main]

#[path = "../caught.rs"]
mod caught;
#[path = "../pictures.rs"]
mod pictures;

libfuzzer_sys::fuzz_target!(init: caught::let_through(), |data: &[u8]| pictures::image(data));
