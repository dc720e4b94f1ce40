//! Servers under comparison, and the cores they get.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::models::Model;

/// A server under comparison.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Subject {
    /// Its name in tables and plots.
    pub(crate) name: String,
    /// What is started.
    pub(crate) kind: SubjectKind,
}

/// What is started for a subject.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SubjectKind {
    /// This program: `oneloop serve --model MODEL`.
    Model {
        /// The model's name, as `--model` takes it.
        model: Model,
        /// Processes, threads or loops that are started in advance, for models that have them.
        workers: Option<u32>,
    },
    /// Another echo server.
    Peer {
        /// Its command line, run by `sh`; `{port}` is replaced by a free port.
        command: String,
        /// How many clients it serves at a time, as far as was found before the first run.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        clients_at_once: Option<u32>,
    },
}

impl Subject {
    /// Another server.
    pub(crate) fn peer(name: &str, command: &str) -> Subject {
        let kind = SubjectKind::Peer { command: command.to_owned(), clients_at_once: None };
        Subject { name: name.to_owned(), kind }
    }

    /// A model of this program; the name includes the number of workers where it was chosen.
    pub(crate) fn model(model: Model, workers: Option<u32>) -> Subject {
        let name = match workers {
            Some(workers) if model.starts_ahead() || workers > 1 => {
                format!("{}\u{d7}{workers}", model.name())
            }
            _ => model.name().to_owned(),
        };
        Subject { name, kind: SubjectKind::Model { model, workers } }
    }

    /// The model, `None` for a peer.
    pub(crate) fn as_model(&self) -> Option<Model> {
        match self.kind {
            SubjectKind::Model { model, .. } => Some(model),
            SubjectKind::Peer { .. } => None,
        }
    }

    /// How many clients it can serve at a time; `None` without such a limit.
    pub(crate) fn clients_at_once(&self) -> Option<u32> {
        match self.kind {
            SubjectKind::Model { model: Model::Iterative, .. } => Some(1),
            SubjectKind::Model { model, workers } if model.starts_ahead() => workers,
            SubjectKind::Peer { clients_at_once, .. } => clients_at_once,
            SubjectKind::Model { .. } => None,
        }
    }

    /// The same subject with another number of workers, if it has workers.
    pub(crate) fn with_workers(&self, count: u32) -> Option<Subject> {
        match self.kind {
            SubjectKind::Model { model, .. } if model.starts_ahead() || model == Model::Reactor => {
                Some(Subject {
                    name: self.name.clone(),
                    kind: SubjectKind::Model { model, workers: Some(count) },
                })
            }
            _ => None,
        }
    }
}

/// How many cores the server has. Classes are never compared with each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum CoreClass {
    /// The server has one core.
    OneCore,
    /// The server has all cores but those of the generator.
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
