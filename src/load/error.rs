//! Why a run has no report.

use std::fmt;
use std::io;

use super::plan::PlanError;

/// Descriptors that are no client's: standard streams, poll, alarm, signals, files of the report, and some to spare.
pub(super) const OWN_DESCRIPTORS: u64 = 24;

/// Why there is no report.
#[derive(Debug)]
pub enum RunError {
    /// The plan makes no sense.
    Plan(PlanError),
    /// There are fewer file descriptors than connections, though the limit was raised as far as it goes.
    Descriptors {
        /// As many as the plan takes.
        needed: u64,
        /// As many as this process may have.
        allowed: u64,
    },
    /// The system refused.
    System(io::Error),
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RunError::Plan(error) => error.fmt(f),
            RunError::Descriptors { needed, allowed } => write!(
                f,
                "the load takes {needed} file descriptors, and this process may have {allowed}; raise the limit \
                 (ulimit -Hn {needed}, as root; and on Linux fs.nr_open), or ask for at most {} connections",
                allowed.saturating_sub(OWN_DESCRIPTORS)
            ),
            RunError::System(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for RunError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            RunError::Plan(error) => Some(error),
            RunError::Descriptors { .. } => None,
            RunError::System(error) => Some(error),
        }
    }
}
