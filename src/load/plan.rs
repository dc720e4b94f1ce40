//! What a run of load is to do.

use std::fmt;
use std::time::Duration;

use super::report::{Configuration, Pace};
use super::sources::SourceRange;
use crate::sys::Address;

/// What a run of load is to do. Begin with [`Plan::new`] and change what differs.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The server.
    pub target: Address,
    /// Active clients: connections in the closed loop, the most connections in the open loop.
    pub clients: u32,
    /// Requests in flight on one connection, at most; 1 when each request has its own.
    pub depth: u32,
    /// What paces the requests.
    pub pace: Pace,
    /// Whether each request has a connection of its own. Then connecting counts as part of the request.
    pub churn: bool,
    /// Clients that hold a connection and do nothing.
    pub idle: u32,
    /// Slow clients: those with an even number send a byte at a time, the others read a byte at a time. Where bytes go only one
    /// way ([`super::Workload::flow`]), all are slow in that.
    pub slow: u32,
    /// How long a slow client waits between two bytes.
    pub slow_pause: Duration,
    /// Over how long active clients begin, one after the other.
    pub ramp: Duration,
    /// Whether all of them are connected before the first asks: else a crowd that already asks keeps the server from
    /// letting the others in. The open loop always waits for that.
    pub connect_first: bool,
    /// How long the load runs before it is measured.
    pub warmup: Duration,
    /// How long is measured.
    pub duration: Duration,
    /// How long a connection may take; at a Unix socket whose queue is full, from when the client began to wait for room.
    pub connect_timeout: Duration,
    /// How long a client waits without getting a reply that is owed, and how long the end of the run waits for replies.
    pub reply_timeout: Duration,
    /// The pieces of [`super::Report::series`].
    pub interval: Duration,
    /// Source addresses, used in turn. Empty: the kernel's choice, and on Linux many of 127.0.0.0/8 for a server there,
    /// so that ports do not run out.
    pub sources: Vec<SourceRange>,
    /// Where randomness begins: the same seed gives the same bytes and the same arrivals.
    pub seed: u64,
}

/// Slots are numbered in 32 bits, and the wheel of deadlines has as many links.
const CLIENTS_MAX: u32 = 1 << 24;
/// Intended times are kept per request in flight.
const DEPTH_MAX: u32 = 1 << 16;
/// A day: more is rather a mistake.
const SPAN_MAX: Duration = Duration::from_secs(86_400);
/// Requests per second: one per ns of the clock would be the end.
const RATE_MAX: f64 = 1e8;
/// The shortest piece of the series.
pub(super) const INTERVAL_MIN: Duration = Duration::from_millis(10);

impl Plan {
    /// A closed loop of one client for ten seconds after one of warm-up.
    pub fn new(target: Address) -> Self {
        Plan {
            target,
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
            seed: 1,
        }
    }

    /// All connections that may be open at once.
    pub fn connections(&self) -> u64 {
        u64::from(self.clients) + u64::from(self.idle) + u64::from(self.slow)
    }

    /// Whether it can be run at all.
    pub fn check(&self) -> Result<(), PlanError> {
        let wrong = |what| Err(PlanError(what));
        if self.clients == 0 {
            return wrong("at least one client has to be active");
        }
        if self.connections() > u64::from(CLIENTS_MAX) {
            return wrong("more than 16 million connections are not possible");
        }
        if self.depth == 0 || self.depth > DEPTH_MAX {
            return wrong("the depth is from 1 to 65536");
        }
        if self.churn && self.depth > 1 {
            return wrong("with a connection per request the depth is 1");
        }
        if self.churn && self.connect_first {
            return wrong("with a connection per request nobody connects before it asks");
        }
        if let Pace::Open { rate_per_second, .. } = self.pace
            && !(rate_per_second > 0.0 && rate_per_second <= RATE_MAX)
        {
            return wrong("the rate is more than 0 and at most 100 million per second");
        }
        let is_meant = |source: &SourceRange| match self.target {
            Address::Tcp(server) => source.is_ipv4() == server.is_ipv4(),
            Address::Unix(_) => false,
        };
        if !self.sources.iter().all(is_meant) {
            return wrong(
                "a source address is IPv4 or IPv6 as the server is, and a Unix socket has none; change --source",
            );
        }
        let spans = [self.ramp, self.warmup, self.duration, self.connect_timeout, self.reply_timeout];
        if spans.iter().any(|&span| span > SPAN_MAX) {
            return wrong("no span may be longer than a day");
        }
        let positive = [self.duration, self.connect_timeout, self.reply_timeout, self.slow_pause];
        if positive.iter().any(|&span| span < Duration::from_millis(1)) {
            return wrong("duration, timeouts and the pause of slow clients are at least 1 ms");
        }
        if self.interval < INTERVAL_MIN {
            return wrong("an interval of the series is at least 10 ms");
        }
        Ok(())
    }

    /// Whether requests fall due on a schedule.
    pub(super) fn is_open_loop(&self) -> bool {
        matches!(self.pace, Pace::Open { .. })
    }

    pub(crate) fn configuration(&self, service: &str, request_bytes: u64) -> Configuration {
        let ns = |span: Duration| span.as_nanos() as u64;
        Configuration {
            service: service.to_owned(),
            resource: String::new(),
            target: self.target.to_string(),
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

/// Why a plan cannot be run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlanError(&'static str);

impl fmt::Display for PlanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for PlanError {}
