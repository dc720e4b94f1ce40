//! The comparison, seen from outside. What it makes of numbers is tested beside it, in `src/lab/tests`.
//!
//! Where a new test goes: `replay` for what is made of raw data; comparisons of real servers are in
//! `tests/lab_real.rs`.

#[path = "../common/mod.rs"]
mod common;

mod replay;
