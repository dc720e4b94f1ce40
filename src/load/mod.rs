//! The load generator: clients as state machines in a loop of their own, for any server.
//!
//! A [`Plan`] says how many clients there are and what paces them, a [`Workload`] what they send and what has to come
//! back; [`run`] gives a [`Report`]. One thread, one poll; a connection costs a slot, and no buffer.
//!
//! - **Closed loop**: each client asks again when it has its answer. It shows what a server can do, and it is blind to
//!   what a server that stops does to others: nobody asks meanwhile.
//! - **Open loop**: requests fall due on an absolute schedule, at equal distances or at random (Poisson). Each is measured
//!   from when it was to be sent, not from when it was: if no connection is free it waits, and its waiting counts.
//!   So a server that stops for a second shows in the percentiles as what it is.
//!
//! Replies are checked byte for byte. Connecting, the ramp and the warm-up are not measured.
//!
//! ```
//! use oneloop::load::{Plan, clients::EchoLoad, run};
//! # use std::io::{Read, Write};
//! # let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
//! # let server: std::net::SocketAddr = listener.local_addr().unwrap();
//! # std::thread::spawn(move || {
//! #     for stream in listener.incoming() {
//! #         std::thread::spawn(move || {
//! #             let (mut stream, mut buf) = (stream.unwrap(), [0; 64]);
//! #             while let Ok(len @ 1..) = stream.read(&mut buf) {
//! #                 stream.write_all(&buf[..len]).unwrap();
//! #             }
//! #         });
//! #     }
//! # });
//! # use std::time::Duration;
//! let mut plan = Plan::new(server.to_string().parse()?);
//! plan.clients = 4;
//! # (plan.warmup, plan.duration) = (Duration::ZERO, Duration::from_millis(50));
//! let report = run(&plan, &EchoLoad::new(64, plan.seed))?;
//! assert_eq!(report.errors.total(), 0);
//! println!("{} requests, p99 {} ns", report.requests, report.latency.p99_ns);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod client;
pub mod clients;
mod connector;
mod conversation;
mod crowd;
mod doubts;
mod engine;
mod errors;
mod expect;
mod export;
mod lifecycle;
mod plan;
mod recorder;
pub mod report;
mod schedule;
mod slot;
mod sources;
mod stages;
mod usage;

use std::fmt;
use std::io;
use std::ops::ControlFlow;

use crate::sys::process::raise_descriptors_max;
pub use client::{Client, Flow, Verdict, Workload};
pub use engine::Progress;
pub use expect::Expectation;
pub use plan::{Plan, PlanError};
pub use report::Report;
pub use sources::SourceRange;

/// Descriptors that are no client's: standard streams, poll, alarm, signals, files of the report, and some to spare.
const OWN_DESCRIPTORS: u64 = 24;

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

/// Runs a load to its end and reports. Raises this process's limit of file descriptors as far as it is allowed.
pub fn run<W: Workload>(plan: &Plan, workload: &W) -> Result<Report, RunError> {
    run_watched(plan, workload, |_| ControlFlow::Continue(()))
}

/// The same, and `watch` is told how far it is, ten times a second and when another part of the run begins; when it breaks, the run ends with what it has.
pub fn run_watched<W: Workload>(
    plan: &Plan,
    workload: &W,
    watch: impl FnMut(&Progress) -> ControlFlow<()>,
) -> Result<Report, RunError> {
    plan.check().map_err(RunError::Plan)?;
    let allowed = raise_descriptors_max();
    let needed = plan.connections() + OWN_DESCRIPTORS;
    if needed > allowed {
        return Err(RunError::Descriptors { needed, allowed });
    }
    engine::Engine::new(plan, workload)?.run(watch)
}
