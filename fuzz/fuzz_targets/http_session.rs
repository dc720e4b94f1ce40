//! Any bytes, split anywhere, into a session of the HTTP service.
#![no_main]

#[path = "../http_promise.rs"]
mod http_promise;

libfuzzer_sys::fuzz_target!(|data: &[u8]| http_promise::check(data));
