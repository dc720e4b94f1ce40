//! Any bytes, split anywhere, into the clients of the load generator.
#![no_main]

#[path = "../properties/load_reply.rs"]
mod load_reply;

libfuzzer_sys::fuzz_target!(|data: &[u8]| load_reply::check(data));
