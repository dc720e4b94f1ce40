//! Any bytes, split anywhere, into a session of the HTTP service.
#![no_main]

#[path = "../properties/http_session.rs"]
mod http_session;

libfuzzer_sys::fuzz_target!(|data: &[u8]| http_session::check(data));
