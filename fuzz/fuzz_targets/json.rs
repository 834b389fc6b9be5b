//! Raw bytes through the JSON pass.
#![no_main]

#[path = "../json_bodies.rs"]
mod json_bodies;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| json_bodies::json(bytes));
