//! The outcome of one run of a cell.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::judge::evidence::Evidence;
use crate::lab::plan::comparison::Cell;
use crate::lab::plan::metric::Metric;

/// One run of a cell, as the raw data has it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Run {
    /// What was measured.
    pub(crate) cell: Cell,
    /// Which repeat, from 0.
    pub(crate) repeat: u32,
    /// How often this repeat was measured before: 0 unless other processes disturbed it.
    #[serde(default, skip_serializing_if = "is_first")]
    pub(crate) attempt: u32,
    /// When it ended, in seconds since the start of the comparison.
    pub(crate) at_s: f64,
    /// The result.
    pub(crate) outcome: RunOutcome,
}

/// Most runs are first attempts, and raw data omits the field for them.
#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_first(attempt: &u32) -> bool {
    *attempt == 0
}

impl Run {
    /// Its numbers, if it has any.
    pub(crate) fn measured(&self) -> Option<&Measurement> {
        match &self.outcome {
            RunOutcome::Measured(measurement) => Some(measurement),
            _ => None,
        }
    }
}

/// The result of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RunOutcome {
    /// It has numbers.
    Measured(Box<Measurement>),
    /// The subject cannot do this by design.
    Unsupported(String),
    /// It failed, although the server should support it.
    Failed(String),
}

/// The numbers of one run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Measurement {
    /// What was measured.
    pub(crate) values: BTreeMap<Metric, f64>,
    /// Whether to trust it.
    pub(crate) evidence: Evidence,
    /// The times of each client, in the order in which they came; only for `wait` and `few`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) clients: Vec<ClientTimes>,
}

/// The times of a client, in ms since the first client came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct ClientTimes {
    /// It began to connect.
    pub(crate) came_ms: f64,
    /// It was connected: the system queues it until the server accepts it.
    pub(crate) connected_ms: Option<f64>,
    /// Its reply was complete. It holds its connection from then on, until it leaves.
    pub(crate) answered_ms: Option<f64>,
    /// It left, or gave up.
    pub(crate) left_ms: f64,
    /// It stalls: it never asks for a reply.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) stalls: bool,
}

impl Measurement {
    /// The same with one more value.
    pub(crate) fn with(mut self, metric: Metric, value: f64) -> Self {
        self.values.insert(metric, value);
        self
    }
}
