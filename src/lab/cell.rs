//! What is compared: subjects, cells, and what one run of a cell gave.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::experiments::Experiment;
pub use super::metric::{Better, Metric};
pub use crate::load::report::Errors;
pub use crate::models::Model;

/// A server under comparison.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Subject {
    /// How tables and plots call it.
    pub name: String,
    /// What is started.
    pub kind: Kind,
}

/// What is started for a subject.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// This program: `oneloop serve --model MODEL`.
    Model {
        /// The model's name, as `--model` takes it.
        model: Model,
        /// Processes, threads or loops started ahead, for the models that have them.
        workers: Option<u32>,
    },
    /// Another echo server.
    Peer {
        /// Its command line, run by `sh`; `{port}` is replaced by a free port.
        command: String,
    },
}

impl Subject {
    /// A model of this program; the name tells the workers where they were chosen.
    pub fn model(model: Model, workers: Option<u32>) -> Subject {
        let name = match workers {
            Some(workers) if model.starts_ahead() || workers > 1 => {
                format!("{}\u{d7}{workers}", model.name())
            }
            _ => model.name().to_owned(),
        };
        Subject { name, kind: Kind::Model { model, workers } }
    }

    /// The model, `None` for a peer.
    pub fn as_model(&self) -> Option<Model> {
        match self.kind {
            Kind::Model { model, .. } => Some(model),
            Kind::Peer { .. } => None,
        }
    }

    /// How many clients it can converse with at once, `None` without such a number.
    pub fn clients_at_once(&self) -> Option<u32> {
        match self.kind {
            Kind::Model { model: Model::Iterative, .. } => Some(1),
            Kind::Model { model, workers } if model.starts_ahead() => workers,
            _ => None,
        }
    }

    /// The same subject with another number of workers, if it has workers.
    pub fn with_workers(&self, count: u32) -> Option<Subject> {
        match self.kind {
            Kind::Model { model, .. } if model.starts_ahead() || model == Model::Reactor => {
                Some(Subject { name: self.name.clone(), kind: Kind::Model { model, workers: Some(count) } })
            }
            _ => None,
        }
    }
}

/// How many cores the server has. Classes are never compared with each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CoreClass {
    /// The server has one core.
    OneCore,
    /// The server has every core that the generator leaves.
    AllCores,
}

impl fmt::Display for CoreClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            CoreClass::OneCore => "one core",
            CoreClass::AllCores => "all cores",
        })
    }
}

/// One thing to measure: a subject in an experiment at a level.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Cell {
    /// The experiment.
    pub experiment: Experiment,
    /// The server's cores.
    pub class: CoreClass,
    /// What the experiment varies; see [`Experiment::level_label`].
    pub level: u32,
    /// The server.
    pub subject: Subject,
}

/// One run of a cell, as it stands in the raw data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// What was measured.
    pub cell: Cell,
    /// Which repeat, from 0.
    pub repeat: u32,
    /// Seconds since the start of the comparison, at its end.
    pub at_s: f64,
    /// What came of it.
    pub outcome: Outcome,
}

impl Run {
    /// Its numbers, if it has any.
    pub fn measured(&self) -> Option<&Measurement> {
        match &self.outcome {
            Outcome::Measured(measurement) => Some(measurement),
            _ => None,
        }
    }
}

/// What came of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Numbers.
    Measured(Box<Measurement>),
    /// The subject cannot do what the cell asks, by its nature.
    Unsupported(String),
    /// It should have worked and did not.
    Failed(String),
}

/// The numbers of one run, and what is needed to judge them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Measurement {
    /// What was measured.
    pub values: BTreeMap<Metric, f64>,
    /// What tells whether to believe it.
    pub evidence: Evidence,
}

impl Measurement {
    /// The same with one more value.
    pub fn with(mut self, metric: Metric, value: f64) -> Self {
        self.values.insert(metric, value);
        self
    }
}

/// What tells whether to believe a run. `None` is "not sampled here". In raw data names end with their units, as in CSV; the
/// names here are read as well, which older raw data has.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Evidence {
    /// CPU time of the generator, as a share of its cores, 0 to 1.
    #[serde(rename = "generator_cpu_share", alias = "generator_cpu")]
    pub generator_cpu: Option<f64>,
    /// CPU time of the server, as a share of its cores, 0 to 1.
    #[serde(rename = "server_cpu_share", alias = "server_cpu")]
    pub server_cpu: Option<f64>,
    /// CPU time of all other processes, in cores.
    #[serde(rename = "others_cpu_cores", alias = "others_cpu")]
    pub others_cpu: Option<f64>,
    /// Threads of the server that were ready to run and had no core, on average. Those of one server also wait for each
    /// other.
    #[serde(rename = "server_waited_threads", alias = "server_waited")]
    pub server_waited: Option<f64>,
    /// The same of the generator.
    #[serde(rename = "generator_waited_threads", alias = "generator_waited")]
    pub generator_waited: Option<f64>,
    /// What really fell due, per second (open loop).
    pub target_per_s: Option<f64>,
    /// What was answered, per second.
    pub achieved_per_s: Option<f64>,
    /// Requests that were in flight by construction (closed loop).
    #[serde(rename = "in_flight_requests", alias = "in_flight")]
    pub in_flight: Option<f64>,
    /// Mean latency, in µs: with the throughput it gives the requests in flight again (Little's law).
    pub latency_mean_us: Option<f64>,
    /// Requests answered.
    #[serde(rename = "answered_requests", alias = "requests")]
    pub requests: u64,
    /// Sends that the generator missed.
    #[serde(rename = "missed_sends", alias = "missed")]
    pub missed: u64,
    /// How often the kernel found a listen queue full, or dropped a connection for it.
    pub listen_overflows: Option<u64>,
    /// How much of the measured span was not sampled, in ms; then there are no CPU times of this run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_sampled_ms: Option<f64>,
    /// Errors by class.
    pub errors: Errors,
}
