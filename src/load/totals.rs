//! Counters of a run.

/// Counters that only grow: a span is the difference of two.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Totals {
    pub(super) requests: u64,
    pub(super) bytes_in: u64,
    pub(super) bytes_out: u64,
    pub(super) errors: u64,
    /// Idle and slow clients that lost their connection, or got none.
    pub(super) crowd_lost: u64,
    /// Outstanding requests times ns.
    pub(super) outstanding_ns: u128,
    /// Connections of active clients times ns.
    pub(super) connected_ns: u128,
}
