//! What the integration tests share: the program under guard, a raw client, and waiting for conditions.
//!
//! Ports are given by the kernel, waits have a bound and end with their condition, randomness has a printed
//! seed.
#![allow(
    missing_docs,
    clippy::missing_panics_doc,
    clippy::new_without_default,
    clippy::should_implement_trait,
    reason = "what is public here is so for the tests alone"
)]

pub mod child;
pub mod client;
pub mod examples;
pub mod fault;
pub mod faulty;
pub mod full_queue;
pub mod http;
pub mod inside;
pub mod layers;
pub mod namespace;
pub mod server;
pub mod talker;

pub use child::KilledOnDrop;
pub use client::Client;
pub use server::{Address, Server};

use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// How long a condition may take: far more than it needs, so that a slow machine is no failure.
pub const PATIENCE: Duration = Duration::from_secs(20);
/// How often a condition that nothing announces is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// Waits until `condition` holds; panics with `what` when it does not in time.
#[track_caller]
pub fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    eventually_some(what, || condition().then_some(()));
}

/// Waits until `look` finds something; panics with `what` when it does not in time.
#[track_caller]
pub fn eventually_some<T>(what: &str, look: impl FnMut() -> Option<T>) -> T {
    eventually_or(look, || what.to_owned())
}

/// The same, with a text that is made only when it is needed.
#[track_caller]
pub(crate) fn eventually_or<T>(mut look: impl FnMut() -> Option<T>, what: impl Fn() -> String) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {}", what());
        std::thread::sleep(LOOK_EVERY);
    }
}

/// The pace of a slow client: it does nothing for a while. Never a way to wait for the server.
pub fn pace(pause: Duration) {
    std::thread::sleep(pause);
}

/// Random numbers from a seed that is printed, and accepted as `ONELOOP_SEED`.
pub struct Random(u64);

impl Random {
    pub fn new() -> Self {
        let seed = std::env::var("ONELOOP_SEED").ok().map_or_else(
            || std::time::UNIX_EPOCH.elapsed().map_or(1, |since| since.as_nanos() as u64),
            |seed| seed.parse().expect("ONELOOP_SEED is a number"),
        );
        println!("ONELOOP_SEED={seed} repeats this run");
        Random(seed)
    }

    /// The next number (splitmix64).
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    pub fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.next() as u8).collect()
    }
}

/// Reports that this test, or a part of it, cannot run here. Past the test harness, which keeps back what is
/// printed where nothing fails: a test that does not test is to be seen.
pub fn skipped(why: &str) {
    let thread = std::thread::current();
    let _ = writeln!(std::io::stderr(), "SKIPPED: {}: {why}", thread.name().unwrap_or("a test"));
}

/// Whether an external program is installed; if not, prints that its test is skipped.
pub fn has_program(name: &str) -> bool {
    let found = std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|folder| folder.join(name).is_file()));
    if !found {
        skipped(&format!("no `{name}` on this machine; .ci/run installs it"));
    }
    found
}

/// The folder that cargo builds into, with this profile: `target/debug`.
fn profile_folder() -> PathBuf {
    let own = std::env::current_exe().unwrap(); // target/debug/deps/NAME
    own.ancestors().nth(2).expect("a test is two folders deep").to_owned()
}
