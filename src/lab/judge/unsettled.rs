//! Which cells are worth another attempt.

use super::attempts::counting;
use super::criteria::{ComparisonSetup, is_replaceable};
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
        match result.judgement.verdict {
            Verdict::Valid => valid.push(result.cell),
            Verdict::Noisy | Verdict::GeneratorBound => {
                let mine = |run: &&Run| run.cell == result.cell;
                let attempts =
                    |repeat| runs.iter().filter(mine).filter(|run| run.repeat == repeat).count() as u32;
                let disturbed = counting.iter().filter(mine).filter(|run| is_replaceable(run, setup));
                let disturbed: Vec<(u32, u32)> =
                    disturbed.map(|run| (run.repeat, attempts(run.repeat))).collect();
                if !disturbed.is_empty() {
                    unsettled.push(UnsettledCell { cell: result.cell, disturbed });
                }
            }
            Verdict::PortStarved | Verdict::Unsupported | Verdict::Failed => {}
        }
    }
    (valid, unsettled)
}
