//! Why a run has no report.

use std::fmt;
use std::io;

use super::plan::PlanError;
use crate::judge::figures::counted;

/// Descriptors other than those of clients: standard streams, poll, alarm, signals, report files, and a
/// reserve.
pub(super) const OWN_DESCRIPTORS: u64 = 24;

/// Why there is no report.
#[derive(Debug)]
#[non_exhaustive]
pub enum RunError {
    /// The plan is not valid.
    Plan(PlanError),
    /// There are fewer file descriptors than connections, even with the limit raised as far as allowed.
    Descriptors {
        /// How many the plan needs.
        needed: u64,
        /// How many this process may have.
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
                "the load needs {needed} file descriptors, and this process may have {allowed}; raise the limit \
                 (ulimit -Hn {needed}, as root; and on Linux fs.nr_open), or use at most {}",
                counted(allowed.saturating_sub(OWN_DESCRIPTORS), "connection", "connections")
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
