//! What the fuzzer found worth keeping, replayed.
#![cfg(feature = "http")]

#[path = "../fuzz/http_promise.rs"]
mod http_promise;

#[test]
fn every_input_of_the_fuzzers_corpus_keeps_the_promise() {
    let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/corpus/http_session");
    let mut count = 0;
    for entry in std::fs::read_dir(corpus).unwrap() {
        let path = entry.unwrap().path();
        println!("{}", path.display());
        http_promise::check(&std::fs::read(path).unwrap());
        count += 1;
    }
    assert!(count >= 20, "only {count} inputs: is the corpus there?");
}
