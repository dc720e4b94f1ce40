//! Which cells are worth another attempt.

use super::attempts::counting;
use super::criteria::ComparisonSetup;
use super::results::Results;
use crate::judge::Verdict;
use crate::lab::plan::comparison::Cell;
use crate::lab::run::outcome::Run;
use crate::lab::run::raw::Header;

/// A cell that is worth another attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct UnsettledCell {
    /// The cell.
    pub(crate) cell: Cell,
    /// Its repeats of which every attempt was disturbed, with the number of attempts.
    pub(crate) disturbed: Vec<(u32, u32)>,
}

/// The cells to measure again, and the VALID cells, after the runs so far. A cell is measured again if its
/// verdict is NOISY or GENERATOR-BOUND and other processes disturbed a repeat that counts.
pub(crate) fn settled_and_not(header: &Header, runs: &[Run]) -> (Vec<Cell>, Vec<UnsettledCell>) {
    let setup = ComparisonSetup::of(header);
    let counting = counting(runs, setup);
    let (mut valid, mut unsettled) = (Vec::new(), Vec::new());
    for result in Results::cells_of(header, &counting, setup) {
        let attempts =
            |repeat| runs.iter().filter(|run| run.cell == result.cell && run.repeat == repeat).count() as u32;
        let disturbed = result.worth_another_attempt(&counting, setup).into_iter();
        let disturbed: Vec<(u32, u32)> = disturbed.map(|run| (run.repeat, attempts(run.repeat))).collect();
        if result.judgement.verdict == Verdict::Valid {
            valid.push(result.cell);
        } else if !disturbed.is_empty() {
            unsettled.push(UnsettledCell { cell: result.cell, disturbed });
        }
    }
    (valid, unsettled)
}
