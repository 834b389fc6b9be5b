//! Raw bytes to the canonical path and the decision on it.
#![no_main]

#[path = "../bodies.rs"]
mod bodies;
#[path = "../../tests/it/support/routes.rs"]
mod routes;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bodies::path(bytes));
