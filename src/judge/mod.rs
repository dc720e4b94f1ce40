//! When a measurement can be trusted: rules that `load` and `lab` share.
//!
//! Pure: numbers in, judgement and reasons out. Nothing here runs, measures or reads anything.
//!
//! - `single_run`: the verdict on one run of the load generator, and the numbers that it rests on;
//! - `repeats`: the verdict on all repeats of one measurement of the lab, and `evidence`, its numbers;
//! - `thresholds`: where trust ends, for both;
//! - `statistics`: medians with confidence intervals, and slopes;
//! - `figures`: numbers as text.

mod errors;
#[cfg(feature = "cli")]
pub(crate) mod evidence;
pub(crate) mod figures;
#[cfg(feature = "cli")]
pub(crate) mod repeats;
pub(crate) mod single_run;
pub(crate) mod statistics;
pub(crate) mod thresholds;
mod verdict;

pub use errors::ErrorCounts;
pub use single_run::{RunEvidence, RunVerdict};
#[cfg(feature = "cli")]
pub(crate) use verdict::Judgement;
pub use verdict::Verdict;
