//! One process, one loop, many clients.
#![deny(unsafe_code)]

#[cfg(not(target_pointer_width = "64"))]
compile_error!("oneloop packs a slot and its generation into one mio::Token and needs 64-bit pointers");

#[cfg(feature = "cli")]
pub mod cli;
pub mod connection;
pub mod journal;
pub mod limits;
pub mod reactor;
pub mod services;
pub mod session;
pub mod sys;
