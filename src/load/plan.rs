//! What a run of the load generator does.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::portion::Portion;
use super::report::{Configuration, Pace};
use super::sources::SourceRange;
use super::workload::Workload;
use crate::sys::Address;

/// What a run does. Start with [`Plan::new`] and set what differs.
///
/// ```
/// use std::time::Duration;
/// use oneloop::load::Plan;
/// use oneloop::load::report::{Arrivals, Pace};
///
/// let mut plan = Plan::new("127.0.0.1:7007".parse()?);
/// plan.clients = 64;
/// plan.pace = Pace::Open { rate_per_second: 5_000.0, arrivals: Arrivals::Poisson };
/// plan.duration = Duration::from_secs(30);
/// assert!(plan.check().is_ok());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Plan {
    /// The server.
    pub target: Address,
    /// Threads of the generator, each with a loop and a share of the clients and of the schedule. More than
    /// one helps if one would need more than a core.
    pub threads: u32,
    /// When the load begins: all clients are connected before, and wait. With a connection per request they
    /// begin to connect then.
    pub start_at: Option<SystemTime>,
    /// Active clients: connections in the closed loop, the most connections in the open loop.
    pub clients: u32,
    /// Requests in flight on one connection, at most; 1 if each request has its own connection.
    pub depth: u32,
    /// What paces the requests.
    pub pace: Pace,
    /// Whether each request has its own connection. Then connecting is part of the request's latency.
    pub churn: bool,
    /// Clients that hold a connection and do nothing.
    pub idle: u32,
    /// Slow clients. Every other one sends a byte at a time, the rest read a byte at a time. If bytes flow in
    /// one direction only ([`super::Workload::flow`]), all are slow in that direction.
    pub slow: u32,
    /// How long a slow client waits between two bytes.
    pub slow_pause: Duration,
    /// The time over which active clients start, one after the other.
    pub ramp: Duration,
    /// Whether all active clients are connected before the first one sends. Otherwise clients that already
    /// send may keep the server from accepting the rest. The open loop always waits for all.
    pub connect_first: bool,
    /// How long the load runs before it is measured.
    pub warmup: Duration,
    /// How long is measured.
    pub duration: Duration,
    /// How long connecting may take. If the queue of a Unix socket is full, this includes the wait for room
    /// in it.
    pub connect_timeout: Duration,
    /// How long a client waits for a reply, and how long the end of the run waits for replies.
    pub reply_timeout: Duration,
    /// The length of an interval of [`super::Report::series`].
    pub interval: Duration,
    /// Source addresses, used in turn. If empty, the kernel chooses; for a server in 127.0.0.0/8, on Linux
    /// many addresses of this block are used, so that ports do not run out.
    pub sources: Vec<SourceRange>,
    /// When each request falls due after the begin of the warm-up, ascending, in ns, for
    /// [`super::report::Arrivals::Recorded`].
    pub recorded_ns: Option<Arc<[u64]>>,
    /// The same seed gives the same bytes and the same arrivals.
    pub seed: u64,
}

/// Threads that no machine has cores for are probably a mistake.
const THREADS_MAX: u32 = 256;
/// Slots and timers are numbered in 32 bits.
const CLIENTS_MAX: u32 = 1 << 24;
/// Each request in flight keeps its scheduled time.
const DEPTH_MAX: u32 = 1 << 16;
/// A day: a longer span is probably a mistake.
const SPAN_MAX: Duration = Duration::from_secs(86_400);
/// Requests per second: the clock counts in ns.
const RATE_MAX: f64 = 1e8;
/// The shortest interval of the series.
pub(super) const INTERVAL_MIN: Duration = Duration::from_millis(10);

impl Plan {
    /// A closed loop with one client: one second of warm-up, ten seconds measured.
    pub fn new(target: Address) -> Self {
        Plan {
            target,
            threads: 1,
            start_at: None,
            clients: 1,
            depth: 1,
            pace: Pace::Closed,
            churn: false,
            idle: 0,
            slow: 0,
            slow_pause: Duration::from_millis(100),
            ramp: Duration::ZERO,
            connect_first: false,
            warmup: Duration::from_secs(1),
            duration: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(5),
            reply_timeout: Duration::from_secs(10),
            interval: Duration::from_secs(1),
            sources: Vec::new(),
            recorded_ns: None,
            seed: 1,
        }
    }

    /// All connections that may be open at once.
    pub fn connections(&self) -> u64 {
        u64::from(self.clients) + u64::from(self.idle) + u64::from(self.slow)
    }

    /// Checks whether the plan is valid.
    pub fn check(&self) -> Result<(), PlanError> {
        let wrong = |what| Err(PlanError(what));
        if self.clients == 0 {
            return wrong("at least one client must be active");
        }
        if self.threads == 0 || self.threads > THREADS_MAX {
            return wrong("the number of threads must be from 1 to 256");
        }
        if self.threads > self.clients {
            return wrong(
                "there must be at least as many clients as threads; raise --clients, or lower --threads",
            );
        }
        if self.connections() > u64::from(CLIENTS_MAX) {
            return wrong(
                "more than 16 million connections are not possible; lower --clients, --idle or --slow",
            );
        }
        if self.depth == 0 || self.depth > DEPTH_MAX {
            return wrong("the depth must be from 1 to 65536");
        }
        if self.churn && self.depth > 1 {
            return wrong("with a connection per request the depth must be 1; leave out --depth");
        }
        if self.churn && self.connect_first {
            return wrong(
                "with a connection per request, clients cannot connect before they send; leave out --connect-first",
            );
        }
        let rates = match self.pace {
            Pace::Closed => None,
            Pace::Open { rate_per_second, .. } => Some([rate_per_second; 2]),
            Pace::Ramp { from_per_second, to_per_second, .. } => Some([from_per_second, to_per_second]),
        };
        if rates.into_iter().flatten().any(|rate| !(rate > 0.0 && rate <= RATE_MAX)) {
            return wrong("the rate must be more than 0 and at most 100 million per second; change --rate");
        }
        let is_meant = |source: &SourceRange| match self.target {
            Address::Tcp(server) => source.is_ipv4() == server.is_ipv4(),
            Address::Unix(_) => false,
        };
        if !self.sources.iter().all(is_meant) {
            return wrong(
                "source addresses must be of the same family (IPv4 or IPv6) as the server, and a Unix socket has none; \
                 change --source",
            );
        }
        let spans = [self.ramp, self.warmup, self.duration, self.connect_timeout, self.reply_timeout];
        if spans.iter().any(|&span| span > SPAN_MAX) {
            return wrong(
                "no time may be longer than a day; change --ramp, --warmup, --duration, --connect-timeout or \
                 --reply-timeout",
            );
        }
        let positive = [self.duration, self.connect_timeout, self.reply_timeout, self.slow_pause];
        if positive.iter().any(|&span| span < Duration::from_millis(1)) {
            return wrong("duration, timeouts and the pause of slow clients must be at least 1 ms");
        }
        if self.interval < INTERVAL_MIN {
            return wrong("the interval of the series must be at least 10 ms");
        }
        Ok(())
    }

    /// Whether requests fall due on a schedule.
    pub(super) fn is_open_loop(&self) -> bool {
        self.pace != Pace::Closed
    }

    /// The part of the plan for one thread.
    pub(super) fn portion(&self, portion: Portion) -> Plan {
        let [clients, idle, slow] = [self.clients, self.idle, self.slow].map(|count| portion.count(count));
        Plan { clients, idle, slow, ..self.clone() }
    }

    /// Whether each request has its own connection.
    pub(super) fn has_churn(&self, workload: &impl Workload) -> bool {
        self.churn || workload.one_shot()
    }

    /// The settings of a run with this workload.
    pub(super) fn configuration_with(&self, workload: &impl Workload) -> Configuration {
        let churn = self.has_churn(workload);
        Configuration {
            resource: workload.resource().unwrap_or_default().to_owned(),
            request: workload.request_settings(),
            churn,
            depth: if churn { 1 } else { self.depth },
            ..self.configuration(workload.name(), workload.request_bytes())
        }
    }

    pub(crate) fn configuration(&self, service: &str, request_bytes: u64) -> Configuration {
        let ns = |span: Duration| span.as_nanos() as u64;
        Configuration {
            service: service.to_owned(),
            resource: String::new(),
            request: None,
            target: self.target.to_string(),
            threads: self.threads,
            clients: self.clients,
            depth: self.depth,
            request_bytes,
            pace: self.pace,
            churn: self.churn,
            idle_clients: self.idle,
            slow_clients: self.slow,
            slow_pause_ns: ns(self.slow_pause),
            ramp_ns: ns(self.ramp),
            connect_first: self.connect_first,
            warmup_ns: ns(self.warmup),
            duration_ns: ns(self.duration),
            interval_ns: ns(self.interval),
            connect_timeout_ns: ns(self.connect_timeout),
            reply_timeout_ns: ns(self.reply_timeout),
            sources: self.sources.iter().map(ToString::to_string).collect(),
            seed: self.seed,
        }
    }
}

/// Why a plan is not valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlanError(&'static str);

impl fmt::Display for PlanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for PlanError {}
