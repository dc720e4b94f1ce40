//! Any session over any stream, in any order of events.
#![no_main]

#[path = "../properties/connection/mod.rs"]
mod connection;

libfuzzer_sys::fuzz_target!(|data: &[u8]| connection::check(data));
