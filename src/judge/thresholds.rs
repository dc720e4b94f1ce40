//! The thresholds of trust, the same for a run of the load generator and for a cell of the lab.

/// Half of the interval's width, relative to the median, above which repeats are noisy. Below it, two servers
/// that differ by more than a third can be distinguished.
pub(crate) const SPREAD_MAX: f64 = 0.15;
/// Share of its cores from which a generator counts as the limit, if the server has CPU time to spare. Below
/// 1 because sampling (up to 4 %) and interrupts share the generator's core.
pub(crate) const BUSY_FROM: f64 = 0.90;
/// Share of the scheduled requests that may be missed, or of the offered rate that may be unanswered: more
/// than what is in flight at the end of a short run.
pub(crate) const SHORTFALL_MAX: f64 = 0.03;
/// How far throughput times latency may be from the requests in flight. Requests in flight at an end of the
/// measured span count in only one of the two; with 10,000 clients they are about 5 %.
pub(crate) const LITTLE_MAX: f64 = 0.10;
/// The share of the server's core, or of the generator's, that other processes may use. Even if one side
/// loses all of it, repeats differ by less than [`SPREAD_MAX`].
pub(crate) const OTHERS_MAX: f64 = 0.10;
/// Share of the time that a generator may wait for a core: a closed loop sends less by at most this share,
/// and an open loop sends late. Undisturbed it is half of this share, a wait of microseconds at each wake-up.
pub(crate) const STARVED_MAX: f64 = 0.10;
/// Share of requests with an error up to which the repeats are only noisy: one client of a thousand.
pub(crate) const ERRORS_MAX: f64 = 0.001;
