//! The comparison, tested from outside. The evaluation of numbers is tested beside the code, in
//! `src/lab/tests`.
//!
//! Where a new test goes: `replay` for reports from raw data, `peers` for servers of other programs;
//! comparisons of its models are in `tests/lab_real.rs`.

mod peers;
mod replay;
