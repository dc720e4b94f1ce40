//! The load generator: clients as state machines in a loop of their own, for any server.
//!
//! A [`Plan`] sets the number and the pace of clients, a [`Workload`] what they send and expect; [`run`]
//! returns a [`Report`]. It uses one thread and one poll unless the plan has more threads; a connection costs
//! a slot and no buffer. [`merge()`] joins the reports of several machines.
//!
//! - **Closed loop**: each client sends its next request when it has the reply. It shows the capacity of a
//!   server, and hides its pauses: while the server stops, no client sends (coordinated omission).
//! - **Open loop**: requests fall due on an absolute schedule, at equal distances or at random (Poisson).
//!   Latency counts from the scheduled time: a request that waits for a free connection waits within its
//!   latency. A server that stops for a second shows it in the percentiles.
//!
//! Replies are checked byte by byte. Connecting, the ramp and the warm-up are not measured.
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

mod bend;
mod client_error;
pub mod clients;
mod clock;
mod common_start;
#[cfg(feature = "cli")]
pub(crate) mod comparison;
mod connector;
mod control;
mod conversation;
mod core_waits;
mod dialer;
mod driver;
mod engine;
mod error;
#[cfg(feature = "cli")]
mod expect;
#[cfg(feature = "cli")]
mod export;
#[cfg(feature = "cli")]
mod find;
#[cfg(feature = "cli")]
mod hdr_log;
mod histograms;
mod kernel_counts;
mod merge;
mod plan;
mod pool;
mod portion;
mod random;
#[cfg(feature = "cli")]
mod ranges;
mod recorder;
pub mod report;
mod schedule;
#[cfg(feature = "cli")]
mod search;
mod series;
mod sleeper;
mod slot;
mod sources;
mod standstill;
mod threads;
mod totals;
mod usage;
mod verdict;
mod workload;

use std::ops::ControlFlow;
use std::time::Duration;

use crate::sys::process::raise_descriptors_max;
pub use error::RunError;
#[cfg(feature = "cli")]
pub(crate) use expect::Expectation;
#[cfg(feature = "cli")]
pub(crate) use export::{csv, hgrm};
#[cfg(feature = "cli")]
pub(crate) use find::{Aim, FindProgress, PROBES_MAX, find};
#[cfg(feature = "cli")]
pub(crate) use hdr_log::hdr_log;
pub use merge::{MergeError, merge};
pub use plan::{Plan, PlanError};
#[cfg(feature = "cli")]
pub(crate) use ranges::ranges;
pub use report::Report;
pub use sources::SourceRange;
#[cfg(feature = "cli")]
pub(crate) use verdict::{judged, notes};
pub use workload::{Client, Flow, ReplyStatus, Unsolicited, Workload};

use common_start::CommonStart;
use portion::Portion;
use report::Phase;

/// How far a run is.
#[derive(Clone, Copy, Debug)]
pub struct RunProgress {
    /// The part of the run.
    pub phase: Phase,
    /// How much of the warm-up and the measured span has passed.
    pub passed: Duration,
    /// How long both take together.
    pub total: Duration,
    /// How long the present phase takes at most from now; 0 if that is not known.
    pub phase_left: Duration,
    /// Requests answered per second, in the present interval.
    pub requests_per_second: f64,
    /// The p99 latency of those answers.
    pub p99_ns: u64,
    /// Connections of active clients.
    pub clients_open: u64,
    /// Connections of all clients.
    pub connections_open: u64,
    /// Errors so far.
    pub errors: u64,
    /// Requests in flight or waiting for a connection.
    pub outstanding: u64,
}

impl RunProgress {
    /// The progress before a run that begins after this time.
    fn before(plan: &Plan, left: Duration) -> RunProgress {
        RunProgress {
            phase: Phase::Connecting,
            passed: Duration::ZERO,
            total: plan.warmup + plan.duration,
            phase_left: left,
            requests_per_second: 0.0,
            p99_ns: 0,
            clients_open: 0,
            connections_open: 0,
            errors: 0,
            outstanding: 0,
        }
    }

    /// The progress of several threads; `None` without a thread. The p99 is the highest of the threads.
    fn together(all: &[RunProgress]) -> Option<RunProgress> {
        all.iter().copied().reduce(|one, other| {
            let first = if one.passed <= other.passed { one } else { other };
            RunProgress {
                requests_per_second: one.requests_per_second + other.requests_per_second,
                p99_ns: one.p99_ns.max(other.p99_ns),
                clients_open: one.clients_open + other.clients_open,
                connections_open: one.connections_open + other.connections_open,
                errors: one.errors + other.errors,
                outstanding: one.outstanding + other.outstanding,
                ..first
            }
        })
    }
}

/// Runs a load to its end. Raises the limit of file descriptors of this process as far as allowed.
pub fn run<W: Workload>(plan: &Plan, workload: &W) -> Result<Report, RunError> {
    run_watched(plan, workload, |_| ControlFlow::Continue(()))
}

/// The same with a callback: `watch` is called ten times per second and when the next part of the run begins.
/// If it breaks, the run ends with a report of the measurements so far.
pub fn run_watched<W: Workload>(
    plan: &Plan,
    workload: &W,
    mut watch: impl FnMut(&RunProgress) -> ControlFlow<()>,
) -> Result<Report, RunError> {
    plan.check().map_err(RunError::Plan)?;
    let allowed = raise_descriptors_max();
    let needed = plan.connections() + u64::from(plan.threads) * error::OWN_DESCRIPTORS;
    if needed > allowed {
        return Err(RunError::Descriptors { needed, allowed });
    }
    let Some(start) = CommonStart::of(plan, plan.has_churn(workload), &mut watch) else {
        return Ok(Report { interrupted: true, ..Report::empty(plan.configuration_with(workload)) });
    };
    let mut report = match plan.threads {
        1 => engine::Engine::new(plan, workload, Portion::WHOLE, &start)?.run(watch)?,
        _ => threads::run(plan, workload, &start, watch)?,
    };
    let counts = workload.counts().into_iter();
    report.counts = counts.map(|(name, count)| (name.to_owned(), count)).collect();
    Ok(report)
}
