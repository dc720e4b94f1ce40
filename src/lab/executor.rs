//! Who measures a cell: the real one on real servers, or the mock one of the tests.

use super::cell::{Cell, Outcome};
use super::experiments::Extent;
use super::machine::Machine;

/// Measures cells.
pub trait Executor {
    /// What it measures on. Asked once, before the first run.
    fn machine(&mut self) -> Machine;

    /// One run of a cell, with a server started afresh. What goes wrong is an outcome, not an error: the comparison
    /// goes on. An executor that was told to stop may return early with anything; the run is then left out.
    fn run(&mut self, cell: &Cell, extent: Extent, repeat: u32) -> Outcome;
}
