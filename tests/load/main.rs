//! The load generator: what it sends, counts and reports.
//!
//! Where a new test goes: `command` for flags, `output` for the forms of the report, `loops` for schedules
//! and counts, a file of its own for a fault of the server under load.

use oneloop_tests as common;

mod closes;
mod command;
mod find;
mod freeze;
mod haproxy;
mod http;
mod loops;
mod machines;
mod output;
mod ramp;
mod raw;
mod starved;
mod unix;
mod verdict;
