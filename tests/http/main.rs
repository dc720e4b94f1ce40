//! Static files over HTTP with real sockets and real clients.
//!
//! Where a new test goes: the protocol without sockets is tested beside its code (`src/services/http/tests`);
//! here are tests that need a client, a browser, a file system that changes, or the log.

use oneloop_tests as common;

mod archive;
mod auth;
mod browser;
mod clients;
mod contract;
mod devtools;
mod files;
mod handlers;
mod hostile;
mod log;
mod pages;
mod sites;
