//! The counters of a server, for the log.

use std::fmt;

use super::Lag;
use crate::telemetry::{Counters, Reason};

/// What a server has done so far: logged at its end and on SIGUSR1.
#[derive(Clone, Debug)]
pub struct Summary {
    /// Clients accepted.
    pub accepted: u64,
    /// Clients open now.
    pub open: usize,
    /// Accepts that failed: clients lost in the queue, and attempts without descriptors.
    pub accept_errors: u64,
    /// Ends by reason.
    pub counters: Counters,
    /// Clients cut by the drain's deadline or a second signal.
    pub cut: u64,
    /// How long turns took, where there is a loop.
    pub lag: Option<Lag>,
}

impl Summary {
    /// The summary of these counters. Clients that were accepted and have not ended are open.
    pub(crate) fn of_counters(counters: Counters) -> Self {
        let Counters { accepted, accept_errors, .. } = counters;
        let (open, cut) = (counters.open() as usize, counters.of(Reason::DrainCut));
        Summary { accepted, open, accept_errors, counters, cut, lag: None }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Summary { accepted, open, accept_errors, counters, cut, lag } = self;
        write!(
            f,
            "accepted={accepted} open={open} accept-errors={accept_errors} cut={cut} ended: {counters}; {}",
            counters.traffic
        )?;
        match lag {
            Some(lag) => write!(f, "; lag p99<={}µs max={}µs", lag.p99().as_micros(), lag.max().as_micros()),
            None => Ok(()),
        }
    }
}
