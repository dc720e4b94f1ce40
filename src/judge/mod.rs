//! When a measurement can be trusted: rules that `load` and `lab` share.
//!
//! Pure: numbers in, judgement and reasons out. Nothing here runs, measures or reads anything.
//!
//! - `single_run`: what makes one run of the load generator doubtful;
//! - `repeats`: the verdict on all repeats of one measurement, with its reasons;
//! - `evidence`: the numbers that the verdict rests on;
//! - `statistics`: medians with confidence intervals, and slopes;
//! - `figures`: numbers as text.

mod errors;
#[cfg(feature = "cli")]
pub(crate) mod evidence;
#[cfg(feature = "cli")]
pub(crate) mod figures;
#[cfg(feature = "cli")]
pub(crate) mod repeats;
#[cfg(feature = "cli")]
pub(crate) mod single_run;
#[cfg(feature = "cli")]
pub(crate) mod statistics;
#[cfg(feature = "cli")]
mod verdict;

pub use errors::ErrorCounts;
#[cfg(feature = "cli")]
pub(crate) use verdict::{Judgement, Verdict};
