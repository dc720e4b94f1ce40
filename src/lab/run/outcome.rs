//! What one run of a cell gave.

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
    /// When it ended, in seconds since the start of the comparison.
    pub(crate) at_s: f64,
    /// The result.
    pub(crate) outcome: RunOutcome,
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
    /// It should have worked and did not.
    Failed(String),
}

/// The numbers of one run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Measurement {
    /// What was measured.
    pub(crate) values: BTreeMap<Metric, f64>,
    /// Whether to trust it.
    pub(crate) evidence: Evidence,
}

impl Measurement {
    /// The same with one more value.
    pub(crate) fn with(mut self, metric: Metric, value: f64) -> Self {
        self.values.insert(metric, value);
        self
    }
}
