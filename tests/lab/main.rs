//! The comparison: plans, judgements, reports.
//!
//! Where a new test goes: `judge` for when a number can be trusted, `report` for what a reader sees.

#[path = "../common/mod.rs"]
mod common;

mod judge;
mod report;
