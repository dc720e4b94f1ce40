//! What is measured again after the planned runs, in which order, and for how long.
//!
//! Other processes disturb some runs; [`crate::lab::judge::unsettled`] finds them by evidence alone. Here
//! they are put in an order that gives each experiment a VALID cell first, within a budget of time. No clock
//! is read: the time is an argument.

use std::collections::BTreeMap;
use std::time::Duration;

use super::judge::unsettled::{UnsettledCell, settled_and_not};
use super::plan::comparison::{Cell, PlanStep};
use super::plan::experiment::{Experiment, Extent};
use super::plan::subject::CoreClass;
use super::run::outcome::Run;
use super::run::raw::Header;
use super::run::steps::Again;

/// When a quick comparison ends, from its first run on: two minutes, less what the checks before and the
/// report after it take.
const QUICK_UNTIL: Duration = Duration::from_secs(115);
/// How much longer than planned a full comparison takes at most, as a share of the planned runs.
const FULL_EXTRA: f64 = 0.2;
/// After this many failed attempts in a row, an experiment waits until the others have had a turn.
const VAIN_MAX: u32 = 6;
/// An experiment without a VALID cell has this many turns before experiments that have one: it needs them
/// most, but if it cannot get a VALID cell it must not use all of the time.
const VALID_WAITS: u32 = 3;

/// Decides what is measured again.
#[derive(Debug)]
pub(crate) struct Remeasurement<'a> {
    header: &'a Header,
    /// Decides between cells with equal claims.
    lots: BTreeMap<Cell, u64>,
    phase: AgainPhase,
}

#[derive(Clone, Debug)]
enum AgainPhase {
    /// The planned runs are not known to be done.
    Planned,
    /// Runs are measured again until this time after the start of the first run.
    Again { until: Duration },
    /// Nothing more is measured.
    Over,
}

impl<'a> Remeasurement<'a> {
    /// For the comparison with this header.
    pub(crate) fn of(header: &'a Header) -> Remeasurement<'a> {
        Remeasurement { header, lots: header.plan.lots(), phase: AgainPhase::Planned }
    }

    /// When it ends, if the planned runs were done after this time.
    pub(crate) fn until(extent: Extent, planned: Duration) -> Duration {
        match extent {
            Extent::Quick => QUICK_UNTIL,
            Extent::Full => planned.mul_f64(1.0 + FULL_EXTRA),
        }
    }

    /// The best candidate that fits in the time that is left.
    fn choose(&self, runs: &[Run], left: Duration) -> Option<PlanStep> {
        let (valid, unsettled) = settled_and_not(self.header, runs);
        let claims = Priorities::of(&valid, runs, &unsettled);
        let attempts_max = self.header.plan.attempts_max;
        let steps = unsettled
            .iter()
            .filter_map(|candidate| Some((candidate, next_attempt(candidate, attempts_max)?)));
        let fitting = steps.filter(|(candidate, _)| self.expected(runs, &candidate.cell) <= left);
        let rank = |candidate: &UnsettledCell| {
            (claims.rank(candidate), self.lots.get(&candidate.cell).copied().unwrap_or(0))
        };
        fitting.min_by_key(|(candidate, _)| rank(candidate)).map(|(_, step)| step)
    }

    /// The expected duration of a run of this cell: that of its longest run so far.
    fn expected(&self, runs: &[Run], cell: &Cell) -> Duration {
        let began_s = |at: usize| at.checked_sub(1).map_or(0.0, |before: usize| runs[before].at_s);
        let took_s = runs
            .iter()
            .enumerate()
            .filter(|(_, run)| run.cell == *cell)
            .map(|(at, run)| run.at_s - began_s(at));
        let longest = took_s.fold(0.0, f64::max);
        Duration::try_from_secs_f64(longest).unwrap_or_default().max(self.header.plan.estimate_cell(cell))
    }
}

impl Again for Remeasurement<'_> {
    fn next(&mut self, runs: &[Run], elapsed: Duration) -> Option<PlanStep> {
        let until = match self.phase {
            AgainPhase::Planned => Self::until(self.header.plan.extent, elapsed),
            AgainPhase::Again { until } => until,
            AgainPhase::Over => return None,
        };
        let chosen = self.choose(runs, until.saturating_sub(elapsed));
        self.phase = if chosen.is_some() { AgainPhase::Again { until } } else { AgainPhase::Over };
        chosen
    }
}

/// The next attempt at the repeat with the fewest attempts; `None` if all repeats have had their maximum.
fn next_attempt(candidate: &UnsettledCell, attempts_max: u32) -> Option<PlanStep> {
    let (repeat, attempt) = candidate.disturbed.iter().min_by_key(|(repeat, count)| (*count, *repeat))?;
    let cell = candidate.cell.clone();
    (*attempt < attempts_max).then_some(PlanStep { cell, repeat: *repeat, attempt: *attempt })
}

/// An experiment in a class of cores: what shall have a VALID cell.
type ExperimentPart = (Experiment, CoreClass);

/// What decides which candidate is measured next.
struct Priorities {
    /// How many VALID cells each has.
    valid: BTreeMap<ExperimentPart, u32>,
    /// Per experiment: attempts that were disturbed since the last undisturbed one.
    vain: BTreeMap<ExperimentPart, u32>,
    /// Attempts at each beyond the planned runs.
    again: BTreeMap<ExperimentPart, u32>,
}

fn part(cell: &Cell) -> ExperimentPart {
    (cell.experiment, cell.class)
}

impl Priorities {
    fn of(valid: &[Cell], runs: &[Run], unsettled: &[UnsettledCell]) -> Priorities {
        let mut claims = Priorities { valid: BTreeMap::new(), vain: BTreeMap::new(), again: BTreeMap::new() };
        for cell in valid {
            *claims.valid.entry(part(cell)).or_default() += 1;
        }
        for run in runs.iter().filter(|run| run.attempt > 0) {
            *claims.again.entry(part(&run.cell)).or_default() += 1;
            let still = unsettled.iter().filter(|candidate| candidate.cell == run.cell);
            let is_vain =
                still.flat_map(|candidate| &candidate.disturbed).any(|(repeat, _)| *repeat == run.repeat);
            let vain = claims.vain.entry(part(&run.cell)).or_default();
            *vain = if is_vain { *vain + 1 } else { 0 };
        }
        claims
    }

    /// The lowest rank is measured first. Order: experiments without a VALID cell; the experiment with the
    /// fewest attempts; the cell that lacks the fewest repeats; the cell with the fewest attempts.
    fn rank(&self, candidate: &UnsettledCell) -> impl Ord + use<> {
        let part = part(&candidate.cell);
        let count = |counts: &BTreeMap<ExperimentPart, u32>| counts.get(&part).copied().unwrap_or(0);
        let attempts: u32 = candidate.disturbed.iter().map(|(_, attempts)| attempts).sum();
        let lacks = candidate.disturbed.len();
        let has_valid = count(&self.valid) > 0;
        let turn = count(&self.vain) / VAIN_MAX + if has_valid { VALID_WAITS } else { 0 };
        (turn, has_valid, count(&self.again), lacks, attempts)
    }
}
