//! The yardstick: the leanest loop of a server and the leanest load for it, hand-written over epoll for the
//! benchmarks.
//!
//! No timers, no limits, no log, no table of states: one read and one write per request, which `strace -c`
//! confirms. Linux only.
#![allow(dead_code, reason = "each benchmark uses its own part of this")]

pub(crate) mod load;
pub(crate) mod once;
pub(crate) mod pairs;
pub(crate) mod process;
pub(crate) mod server;

/// A benchmark. It exits with code 1 when `measure` returns that a guarantee of the project is not kept.
pub(crate) fn main(what: &str, measure: impl FnOnce(&pairs::Bench) -> bool) {
    match process::Role::of_arguments() {
        process::Role::Benchmark => {}
        process::Role::Echo => server::echo(),
        process::Role::Http(dir) => server::http(&dir),
    }
    if !measure(&pairs::Bench::begin(what)) {
        std::process::exit(1);
    }
}
