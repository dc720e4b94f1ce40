//! The numbers of one run that decide whether it can be trusted.

use serde::{Deserialize, Serialize};

use super::errors::ErrorCounts;

/// Samples of server, generator and machine during one run. `None` means "not sampled here".
///
/// In raw data each name ends with its unit, as in CSV. Shorter names of older raw data are read as well.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Evidence {
    /// CPU time of the generator, as a share of its cores, 0 to 1.
    #[serde(rename = "generator_cpu_share", alias = "generator_cpu")]
    pub(crate) generator_cpu: Option<f64>,
    /// CPU time of the server, as a share of its cores, 0 to 1.
    #[serde(rename = "server_cpu_share", alias = "server_cpu")]
    pub(crate) server_cpu: Option<f64>,
    /// CPU time of all other processes, in cores.
    #[serde(rename = "others_cpu_cores", alias = "others_cpu")]
    pub(crate) others_cpu: Option<f64>,
    /// CPU time of other processes on the server's cores, in cores. A thread of the same physical core
    /// counts: it slows the server down.
    #[serde(rename = "others_on_server_cores", skip_serializing_if = "Option::is_none")]
    pub(crate) others_beside_server: Option<f64>,
    /// The same for the generator's cores.
    #[serde(rename = "others_on_generator_cores", skip_serializing_if = "Option::is_none")]
    pub(crate) others_beside_generator: Option<f64>,
    /// Threads of the server that were runnable without a core, on average. Threads of one server also wait
    /// for each other.
    #[serde(rename = "server_waited_threads", alias = "server_waited")]
    pub(crate) server_waited: Option<f64>,
    /// The same for the generator.
    #[serde(rename = "generator_waited_threads", alias = "generator_waited")]
    pub(crate) generator_waited: Option<f64>,
    /// Requests per second that fell due (open loop).
    pub(crate) target_per_s: Option<f64>,
    /// Requests per second that were answered.
    pub(crate) achieved_per_s: Option<f64>,
    /// Requests in flight, known independently of the latency (closed loop).
    #[serde(rename = "in_flight_requests", alias = "in_flight")]
    pub(crate) in_flight: Option<f64>,
    /// Mean latency, in µs. Times the throughput it must give the requests in flight (Little's law).
    pub(crate) latency_mean_us: Option<f64>,
    /// Requests answered.
    #[serde(rename = "answered_requests", alias = "requests")]
    pub(crate) requests: u64,
    /// Scheduled requests that the generator never sent.
    #[serde(rename = "missed_sends", alias = "missed")]
    pub(crate) missed: u64,
    /// How often the kernel found a listen queue full.
    pub(crate) listen_overflows: Option<u64>,
    /// How much of the measured span has no samples, in ms; such a run has no CPU times.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) not_sampled_ms: Option<f64>,
    /// Errors by class.
    pub(crate) errors: ErrorCounts,
}
