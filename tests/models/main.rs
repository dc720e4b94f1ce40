//! What holds under every model: the same conversations, waiting, drains, crashes, limits.
//!
//! Where a new test goes: here if it loops over models (`common::faulty::models`).

#[cfg(target_os = "linux")] // all that follows is
use oneloop_tests as common;

mod contract;
mod conversations;
mod faults;
mod layers;
mod lecture;
mod metrics;
mod stop;
