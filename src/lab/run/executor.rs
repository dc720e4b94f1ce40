//! Who measures a cell: the real one on real servers, or the mock one of the tests.

use super::machine::Machine;
use super::outcome::Outcome;
use crate::lab::plan::comparison::Cell;
use crate::lab::plan::experiment::Extent;
use crate::lab::plan::subject::Subject;

/// Measures cells.
pub(crate) trait Executor {
    /// What it measures on. Asked once, before the first run.
    fn machine(&mut self) -> Machine;

    /// Whether a server starts and gives the same bytes as every other. Asked of each before the first run: a mistake in a
    /// peer's command is told at once, not by an hour of failed runs. The error is for people.
    fn check(&mut self, _subject: &Subject) -> Result<(), String> {
        Ok(())
    }

    /// One run of a cell, with a server started afresh. What goes wrong is an outcome, not an error: the comparison
    /// goes on. An executor that was told to stop may return early with anything; the run is then left out.
    fn run(&mut self, cell: &Cell, extent: Extent, repeat: u32) -> Outcome;
}
