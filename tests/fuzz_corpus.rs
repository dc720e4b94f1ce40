//! What the fuzzers found worth keeping, replayed.
//!
//! Where a new test goes: here if `fuzz/` has a new target; a new input is a file in `fuzz/corpus/`.

#[path = "../fuzz/properties/connection/mod.rs"]
mod connection;
#[path = "../fuzz/properties/http_session.rs"]
mod http_session;
#[path = "../fuzz/properties/load_reply.rs"]
mod load_reply;

use std::path::Path;

/// An empty corpus would check nothing.
const INPUTS_MIN: usize = 20;

fn replay(target: &str, check: fn(&[u8])) {
    let corpus = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/..")).join("fuzz/corpus").join(target);
    let mut count = 0;
    for entry in std::fs::read_dir(corpus).unwrap() {
        let path = entry.unwrap().path();
        println!("{}", path.display());
        check(&std::fs::read(path).unwrap());
        count += 1;
    }
    assert!(count >= INPUTS_MIN, "only {count} inputs of {target}: is the corpus there?");
}

#[test]
fn every_input_of_http_session_keeps_the_properties() {
    replay("http_session", http_session::check);
}

#[test]
fn every_input_of_load_reply_keeps_the_properties() {
    replay("load_reply", load_reply::check);
}

#[test]
fn every_input_of_connection_keeps_the_properties() {
    replay("connection", connection::check);
}
