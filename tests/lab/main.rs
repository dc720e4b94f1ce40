//! The comparison, seen from outside. What it makes of numbers is tested beside it, in `src/lab/tests`.
//!
//! Where a new test goes: `replay` for what is made of raw data, `peers` for servers that are not this
//! program's; comparisons of its models are in `tests/lab_real.rs`.

mod peers;
mod replay;
