//! The lecture: the servers of `examples/lecture/`, in Rust and in C.
//!
//! Where a new test goes: here if it is about what the lecture shows, and not about the library.
#![cfg(target_os = "linux")]

use oneloop_tests as common;

mod calls;
mod play;
mod servers;
#[cfg(not(mio_unsupported_force_poll_poll))] // the tour shows epoll_wait
mod tour;
