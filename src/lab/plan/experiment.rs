//! The experiments of the lecture: the question of each, what it varies, and what it reports.
//!
//! How a cell is measured on real servers is in [`crate::lab::run`].

use serde::{Deserialize, Serialize};

use super::metric::Metric;
use super::subject::Subject;
use crate::models::Model;

/// An experiment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Experiment {
    /// How long a second client waits while the first one stalls.
    Wait,
    /// Fewer copies than clients: how many clients are refused, dropped or kept waiting.
    Few,
    /// More copies than clients: memory and CPU time without any request.
    Many,
    /// A connection per request.
    Churn,
    /// Throughput and latency as the number of clients grows.
    Crowd,
    /// CPU time and latency at the same offered rate for all servers.
    Steady,
    /// Memory per idle client, and what idle clients cost the active ones.
    Idle,
    /// Throughput with large messages.
    Bulk,
}

/// How much is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Extent {
    /// All of it.
    Full,
    /// What fits in two minutes: fewer levels, shorter runs.
    Quick,
}

/// With fewer repeats a cell is not trusted: with five repeats each, the ranges of two equal servers are
/// disjoint once in 126 comparisons.
pub(crate) const REPEATS_MIN: u32 = 5;
/// The same for a quick comparison, which ranks nothing: with three repeats it is once in 10.
pub(crate) const REPEATS_MIN_QUICK: u32 = 3;

/// Repeats of each cell, at most: far more than an interval needs. Without a bound, raw data would decide how
/// much memory and time its report takes.
pub(crate) const REPEATS_MAX: u32 = 10_000;

impl Extent {
    /// Repeats of each cell unless the user asks for more; with fewer nothing is trusted.
    pub(crate) fn repeats_min(self) -> u32 {
        match self {
            Extent::Full => REPEATS_MIN,
            Extent::Quick => REPEATS_MIN_QUICK,
        }
    }
}

/// Connections in `steady`; models with workers need at least as many workers.
pub(crate) const STEADY_CLIENTS: u32 = 16;
/// Clients at once in `churn`.
pub(crate) const CHURN_CLIENTS: u32 = 16;
/// Copies of the models with workers, in `few`.
pub(crate) const FEW_COPIES: u32 = 4;
/// The listen queue, in `few`.
pub(crate) const FEW_BACKLOG: u32 = 16;
/// How long each client of `few` holds its connection, in ms.
pub(crate) const FEW_HOLD_MS: u64 = 300;
/// When a client of `wait` and `few` gives up, in ms: enough for a dropped connection to be answered at its
/// second attempt, which comes after a second (RFC 6298, section 2).
pub(crate) const PATIENCE_MS: u64 = 2500;
/// How long the first client of `wait` stalls, in ms.
pub(crate) const WAIT_STALL_MS: u64 = 500;
/// The request of all experiments but `bulk`, in bytes.
pub(crate) const REQUEST_BYTES: u32 = 64;
/// The request of `bulk`, in bytes.
pub(crate) const BULK_BYTES: u32 = 32 << 10;
/// The offered rate of the active clients beside an idle crowd, per second.
pub(crate) const IDLE_ACTIVE_RATE: u32 = 1000;

impl Experiment {
    /// All of them, in the order of the report.
    pub(crate) const ALL: [Experiment; 8] = [
        Experiment::Wait,
        Experiment::Few,
        Experiment::Many,
        Experiment::Churn,
        Experiment::Crowd,
        Experiment::Steady,
        Experiment::Idle,
        Experiment::Bulk,
    ];

    /// The subset of a quick comparison.
    pub(crate) const QUICK: [Experiment; 6] = [
        Experiment::Wait,
        Experiment::Few,
        Experiment::Churn,
        Experiment::Crowd,
        Experiment::Steady,
        Experiment::Idle,
    ];

    /// The name that `--experiments` takes.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Experiment::Wait => "wait",
            Experiment::Few => "few",
            Experiment::Many => "many",
            Experiment::Churn => "churn",
            Experiment::Crowd => "crowd",
            Experiment::Steady => "steady",
            Experiment::Idle => "idle",
            Experiment::Bulk => "bulk",
        }
    }

    /// The experiment with this name.
    pub(crate) fn named(name: &str) -> Option<Experiment> {
        Experiment::ALL.into_iter().find(|experiment| experiment.name() == name)
    }

    /// The question, as a heading.
    pub(crate) fn question(self) -> &'static str {
        match self {
            Experiment::Wait => "How long does a second client wait behind a stalled one?",
            Experiment::Few => "Too few copies: how many clients wait or are dropped?",
            Experiment::Many => "Too many copies: what do they cost while they are idle?",
            Experiment::Churn => "What does a client with a single request cost?",
            Experiment::Crowd => "What happens as the number of clients grows?",
            Experiment::Steady => "At the same request rate: what latency, at what CPU cost?",
            Experiment::Idle => "What does an idle client cost?",
            Experiment::Bulk => "How many bytes per second, and are they shared fairly?",
        }
    }

    /// What is done, for the report.
    pub(crate) fn method(self) -> String {
        match self {
            Experiment::Wait => format!(
                "One client connects, sends nothing for {WAIT_STALL_MS} ms and closes. Meanwhile a second client \
                 connects and sends {REQUEST_BYTES} bytes. Measured is the time from its send to its complete reply."
            ),
            Experiment::Few => format!(
                "All clients connect at the same time. Each sends {REQUEST_BYTES} bytes, reads the reply and holds its \
                 connection for {FEW_HOLD_MS} ms. A client without a reply after {PATIENCE_MS} ms gives up, so a longer \
                 wait is shown as \u{2265}. Dropped are clients whose first connection attempt found the listen queue \
                 full. Servers that start copies in advance have {FEW_COPIES}; the listen queue holds {FEW_BACKLOG}."
            ),
            Experiment::Many => {
                "Each server starts the given number of copies and gets no request. Measured are the \
                 proportional set size (PSS) of its process tree, kernel memory, and CPU time per second. Kernel memory is \
                 a difference to before the server started: if its interval is not wholly above 0, it is shown as below noise."
                    .to_owned()
            }
            Experiment::Churn => format!(
                "{CHURN_CLIENTS} clients at the same time. Each connects, sends {REQUEST_BYTES} bytes, reads the reply, \
                 closes and connects again (closed loop). Process control (Stevens) is the CPU time per client minus that of the \
                 iterative server in the same repeat. If the interval of this difference is not wholly above 0, it is shown as \
                 below noise, because a cost is not negative. For another server the difference includes everything else in \
                 which it differs from oneloop's iterative server: it may be below 0 because that server does less."
            ),
            Experiment::Crowd => format!(
                "Each client sends {REQUEST_BYTES} bytes, waits for the reply and sends again (closed loop). Clients \
                 connect one after the other, 4000 per second, and start to send when all are connected."
            ),
            Experiment::Steady => format!(
                "{STEADY_CLIENTS} connections. Requests of {REQUEST_BYTES} bytes follow a fixed schedule with Poisson \
                 arrivals (open loop). Latency counts from the scheduled time of a request."
            ),
            Experiment::Idle => format!(
                "The given number of clients connect and stay silent, while {STEADY_CLIENTS} others send \
                 {IDLE_ACTIVE_RATE} requests per second (open loop). Memory per idle client is the slope of the proportional set size \
                 (PSS) of the process tree. Kernel memory is shown separately and includes both ends of each connection. It is \
                 a difference to before the server started: if its interval is not wholly above 0, it is shown as below noise."
            ),
            Experiment::Bulk => format!(
                "Each client sends {} KiB, reads them back and sends again (closed loop). Fairness is Jain's index of the bytes per \
                 client: 1 is perfectly even.",
                BULK_BYTES >> 10
            ),
        }
    }

    /// What the level of a cell is.
    pub(crate) fn level_label(self) -> &'static str {
        match self {
            Experiment::Wait => "stalled clients",
            Experiment::Few => "clients at the same time",
            Experiment::Many => "copies",
            Experiment::Churn | Experiment::Crowd | Experiment::Bulk => "clients",
            Experiment::Steady => "offered requests per second",
            Experiment::Idle => "idle clients",
        }
    }

    /// What is varied, in ascending order.
    pub(crate) fn levels(self, extent: Extent) -> &'static [u32] {
        match (self, extent) {
            (Experiment::Wait, _) => &[1],
            (Experiment::Few, Extent::Full) => &[4, 16, 64],
            (Experiment::Few, Extent::Quick) => &[10],
            (Experiment::Many, Extent::Full) => &[1, 16, 64, 256],
            (Experiment::Many, Extent::Quick) => &[1, 64],
            (Experiment::Churn, _) => &[CHURN_CLIENTS],
            (Experiment::Crowd, Extent::Full) => &[1, 4, 16, 64, 256, 1000, 4000, 10_000],
            (Experiment::Crowd, Extent::Quick) => &[1, 32, 1000],
            (Experiment::Steady, Extent::Full) => &[2000, 8000],
            (Experiment::Steady, Extent::Quick) => &[2000],
            (Experiment::Idle, Extent::Full) => &[0, 250, 1000, 4000, 10_000],
            (Experiment::Idle, Extent::Quick) => &[0, 500],
            (Experiment::Bulk, _) => &[8],
        }
    }

    /// What is reported. The first one is the headline: it decides whether a cell is noisy.
    pub(crate) fn metrics(self) -> &'static [Metric] {
        match self {
            Experiment::Wait => &[Metric::WaitMs],
            Experiment::Few => &[
                Metric::ServedAtOnce,
                Metric::KeptWaiting,
                Metric::Dropped,
                Metric::Refused,
                Metric::WaitMaxMs,
            ],
            Experiment::Many => &[Metric::MemoryBytes, Metric::KernelBytes, Metric::CpuPerSecondUs],
            Experiment::Churn => {
                &[Metric::ClientsPerS, Metric::CpuPerClientUs, Metric::ProcessControlUs, Metric::LatencyP99Us]
            }
            Experiment::Crowd => {
                &[Metric::RequestsPerS, Metric::LatencyP50Us, Metric::LatencyP99Us, Metric::CpuPerRequestUs]
            }
            Experiment::Steady => {
                &[Metric::CpuPerRequestUs, Metric::LatencyP50Us, Metric::LatencyP99Us, Metric::LatencyP999Us]
            }
            Experiment::Idle => {
                &[Metric::MemoryBytes, Metric::KernelBytes, Metric::CpuPerRequestUs, Metric::LatencyP99Us]
            }
            Experiment::Bulk => &[Metric::BytesPerS, Metric::Fairness, Metric::CpuPerRequestUs],
        }
    }

    /// The metric that decides whether a cell is noisy.
    pub(crate) fn headline(self) -> Metric {
        self.metrics()[0]
    }

    /// How long the measured part of a run lasts, in ms.
    pub(crate) fn measured_ms(self, extent: Extent) -> u64 {
        match (self, extent) {
            (Experiment::Wait, _) => WAIT_STALL_MS,
            (Experiment::Few, _) => FEW_HOLD_MS,
            (Experiment::Many, Extent::Full) => 1000,
            (Experiment::Many, Extent::Quick) => 300,
            (_, Extent::Full) => 2000,
            (_, Extent::Quick) => 400,
        }
    }

    /// How long a run takes in addition to its measured part (start, check, warm-up, stop), in ms. An
    /// estimate for the forecast.
    pub(crate) fn overhead_ms(self, extent: Extent, subject: &Subject, level: u32) -> u64 {
        let start_ms = 150;
        match self {
            Experiment::Wait => start_ms,
            // Rounds until all clients are served, at most until they give up.
            Experiment::Few => match subject.as_model() {
                Some(Model::Iterative) => start_ms + (FEW_HOLD_MS * u64::from(level)).min(2500),
                Some(model) if model.starts_ahead() => {
                    start_ms + (FEW_HOLD_MS * u64::from(level / FEW_COPIES)).min(2500)
                }
                _ => start_ms,
            },
            Experiment::Many => start_ms + u64::from(level),
            Experiment::Crowd => start_ms + warmup_ms(extent) + ramp_ms(level),
            Experiment::Idle => start_ms + warmup_ms(extent) + u64::from(level) / 4,
            _ => start_ms + warmup_ms(extent),
        }
    }

    /// Why the subject cannot take part at this level, by its design or by limits of the system; `None` if it
    /// can.
    pub(crate) fn unsupported(self, subject: &Subject, level: u32, allowed: SystemLimits) -> Option<String> {
        let processes_max = allowed.processes_max;
        if matches!(self, Experiment::Crowd | Experiment::Idle)
            && u64::from(level) > allowed.descriptors_max.saturating_sub(DESCRIPTORS_BESIDE)
        {
            return Some(format!(
                "needs a file descriptor per client in the generator, too; this system allows {} per process",
                allowed.descriptors_max
            ));
        }
        if let (true, Some(processes_max)) =
            (subject.as_model().is_some_and(Model::makes_one_per_client), processes_max)
            && matches!(self, Experiment::Crowd | Experiment::Idle)
            && u64::from(level) * 2 > processes_max
        {
            return Some(format!(
                "needs a process or thread per client; this system allows {processes_max}, and this comparison uses at \
                 most half of them"
            ));
        }
        if self == Experiment::Many {
            let has_copies = subject.with_workers(level).is_some();
            return (!has_copies).then(|| "does not start copies in advance".to_owned());
        }
        let at_once = subject.clients_at_once()?;
        let asked = match self {
            Experiment::Crowd | Experiment::Bulk => level,
            Experiment::Steady => STEADY_CLIENTS,
            Experiment::Idle => level + STEADY_CLIENTS,
            _ => return None,
        };
        (asked > at_once).then(|| {
            let serves = if at_once == 1 { "one client".to_owned() } else { format!("{at_once} clients") };
            format!("serves {serves} at a time; the others would wait forever")
        })
    }
}

/// What the system allows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SystemLimits {
    /// Processes and threads, where that is known.
    pub(crate) processes_max: Option<u64>,
    /// Descriptors per process.
    pub(crate) descriptors_max: u64,
}

/// Descriptors that a server or a generator needs in addition to one per client: listeners, polls, pipes,
/// standard streams, and a server's reserve.
const DESCRIPTORS_BESIDE: u64 = 128;

/// Over how long the clients of a crowd start, in ms: 4000 per second.
pub(crate) fn ramp_ms(clients: u32) -> u64 {
    u64::from(clients) / 4
}

/// How long traffic runs before it is measured, in ms.
pub(crate) fn warmup_ms(extent: Extent) -> u64 {
    match extent {
        Extent::Full => 500,
        Extent::Quick => 100,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_ascend_and_quick_ones_stay_small() {
        for experiment in Experiment::ALL {
            for extent in [Extent::Full, Extent::Quick] {
                assert!(experiment.levels(extent).windows(2).all(|pair| pair[0] < pair[1]), "{experiment:?}");
            }
            assert_eq!(Experiment::named(experiment.name()), Some(experiment));
        }
        assert_eq!(Experiment::Crowd.levels(Extent::Full).last(), Some(&10_000));
        assert_eq!(Experiment::Crowd.levels(Extent::Quick).last(), Some(&1000));
    }

    #[test]
    fn a_model_is_asked_for_no_more_clients_than_it_can_hold() {
        const ANY: SystemLimits = SystemLimits { processes_max: None, descriptors_max: u64::MAX };
        let iterative = Subject::model(Model::Iterative, None);
        let prefork = Subject::model(Model::Prefork, Some(64));
        let fork = Subject::model(Model::Fork, None);
        assert!(Experiment::Crowd.unsupported(&iterative, 1, ANY).is_none());
        assert!(Experiment::Crowd.unsupported(&iterative, 4, ANY).is_some());
        assert!(Experiment::Crowd.unsupported(&prefork, 64, ANY).is_none());
        assert!(Experiment::Crowd.unsupported(&prefork, 65, ANY).is_some());
        assert!(Experiment::Churn.unsupported(&iterative, 16, ANY).is_none());
        assert!(
            Experiment::Crowd
                .unsupported(&fork, 10_000, SystemLimits { processes_max: Some(15_000), ..ANY })
                .is_some()
        );
        let reactor = Subject::model(Model::Reactor, None);
        let few = SystemLimits { descriptors_max: 4096, ..ANY };
        assert!(Experiment::Crowd.unsupported(&reactor, 4000, few).is_some());
        assert!(Experiment::Idle.unsupported(&reactor, 10_000, few).is_some());
        assert!(Experiment::Idle.unsupported(&reactor, 1000, few).is_none());
        assert!(Experiment::Many.unsupported(&fork, 1, ANY).is_some());
        assert!(Experiment::Few.unsupported(&iterative, 64, ANY).is_none());
    }
}
