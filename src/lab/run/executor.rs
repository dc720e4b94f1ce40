//! The interface for measuring a cell: with real servers, or with made-up numbers in tests.

use super::machine::Machine;
use super::outcome::RunOutcome;
use crate::lab::plan::comparison::Cell;
use crate::lab::plan::experiment::Extent;
use crate::lab::plan::subject::Subject;

/// The findings about a server before the measurement.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Examination {
    /// How many clients it serves at a time; `None` if no limit was found.
    pub(crate) clients_at_once: Option<u32>,
    /// What is wrong with it, as sentences that begin with a verb.
    pub(crate) findings: Vec<String>,
}

/// Measures cells.
pub(crate) trait Executor {
    /// The machine. Called once, before the first run.
    fn machine(&mut self) -> Machine;

    /// Checks that a server starts and returns the same bytes as the others, and examines how a peer treats
    /// clients. Called for each server before the first run, so that a mistake of a peer is reported at once,
    /// not after an hour of failed runs. The error is a message.
    fn check(&mut self, _subject: &Subject) -> Result<Examination, String> {
        Ok(Examination::default())
    }

    /// Runs a cell once, with a freshly started server. A failure is an outcome, not an error: the comparison
    /// continues. After a stop signal an executor may return any outcome early; the run is then discarded.
    fn run(&mut self, cell: &Cell, extent: Extent, repeat: u32) -> RunOutcome;
}
