//! From experiments and subjects to cells, in which order, and how long it takes.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::experiment::{Experiment, Extent, SystemLimits};
use super::subject::{CoreClass, Subject};
use crate::models::Model;

/// Workers of models that start them in advance, unless chosen: enough for every experiment but the larger
/// crowds.
pub(crate) const WORKERS_DEFAULT: u32 = 64;

/// One thing to measure: a subject in an experiment at a level.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Cell {
    /// The experiment.
    pub(crate) experiment: Experiment,
    /// The server's cores.
    pub(crate) class: CoreClass,
    /// What the experiment varies; see [`Experiment::level_label`].
    pub(crate) level: u32,
    /// The server.
    pub(crate) subject: Subject,
}

/// What is compared, and how thoroughly.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct ComparisonPlan {
    /// The experiments, in the order of the report.
    pub(crate) experiments: Vec<Experiment>,
    /// The servers: models in the order of the lecture, then peers.
    pub(crate) subjects: Vec<Subject>,
    /// Cores of the server.
    pub(crate) classes: Vec<CoreClass>,
    /// Cores of the server in the class of all cores; the reactor runs as many loops there.
    pub(crate) cores_all: u32,
    /// All of it or a quick comparison.
    pub(crate) extent: Extent,
    /// How often each cell is measured.
    pub(crate) repeats: u32,
    /// Attempts at a run that other processes disturb, at most; 1 in older raw data.
    #[serde(default = "one_attempt")]
    pub(crate) attempts_max: u32,
    /// Determines the order of the cells within each repeat.
    pub(crate) seed: u64,
}

fn one_attempt() -> u32 {
    1
}

/// The default number of attempts at a run: after so many disturbed ones, the next is likely to be disturbed,
/// too.
pub(crate) const ATTEMPTS_DEFAULT: u32 = 8;
/// Attempts at a run, at most: those of all runs must fit in two minutes anyway.
pub(crate) const ATTEMPTS_MAX: u32 = 100;

/// One step of a plan.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct PlanStep {
    /// What is measured.
    pub(crate) cell: Cell,
    /// Which repeat, from 0.
    pub(crate) repeat: u32,
    /// How often this repeat was measured before.
    pub(crate) attempt: u32,
}

impl ComparisonPlan {
    /// Every cell once, in the order of the report.
    pub(crate) fn cells(&self) -> Vec<Cell> {
        let mut cells = Vec::new();
        for &experiment in &self.experiments {
            for &class in &self.classes {
                for &level in experiment.levels(self.extent) {
                    for subject in self.subjects_of(experiment, class) {
                        cells.push(Cell { experiment, class, level, subject });
                    }
                }
            }
        }
        cells
    }

    /// The subjects that take part. In experiments that set the number of copies themselves, a sweep over
    /// workers would measure the same thing again.
    fn subjects_of(&self, experiment: Experiment, class: CoreClass) -> Vec<Subject> {
        let mut subjects: Vec<Subject> = Vec::new();
        for subject in &self.subjects {
            let taking_part = match (experiment, subject.as_model()) {
                (Experiment::Few | Experiment::Many, Some(model)) => Subject::model(model, None),
                (_, Some(Model::Reactor)) if class == CoreClass::AllCores => {
                    Subject::model(Model::Reactor, Some(self.cores_all))
                }
                _ => subject.clone(),
            };
            let in_class = class == CoreClass::OneCore || subject.as_model() != Some(Model::Iterative);
            if in_class && !subjects.contains(&taking_part) {
                subjects.push(taking_part);
            }
        }
        subjects
    }

    /// Every cell `repeats` times: all cells in a random order, then all again in another order, so that slow
    /// changes of the machine affect all cells alike.
    pub(crate) fn steps(&self) -> Vec<PlanStep> {
        let mut random = SplitMix(self.seed);
        let mut steps = Vec::new();
        for repeat in 0..self.repeats {
            let mut cells = self.cells();
            // Fisher and Yates.
            for last in (1..cells.len()).rev() {
                cells.swap(last, random.below(last as u64 + 1) as usize);
            }
            steps.extend(cells.into_iter().map(|cell| PlanStep { cell, repeat, attempt: 0 }));
        }
        steps
    }

    /// About how long these steps take. Unsupported cells take no time.
    pub(crate) fn estimate(&self, steps: &[PlanStep], allowed: SystemLimits) -> Duration {
        let measured = steps.iter().filter(|step| {
            step.cell.experiment.unsupported(&step.cell.subject, step.cell.level, allowed).is_none()
        });
        measured.map(|step| self.estimate_cell(&step.cell)).sum()
    }

    /// About how long a run of this cell takes.
    pub(crate) fn estimate_cell(&self, cell: &Cell) -> Duration {
        let overhead_ms = cell.experiment.overhead_ms(self.extent, &cell.subject, cell.level);
        Duration::from_millis(cell.experiment.measured_ms(self.extent) + overhead_ms)
    }

    /// A number for each cell, at random: the order of cells that have equal claims otherwise.
    pub(crate) fn lots(&self) -> BTreeMap<Cell, u64> {
        // Not those numbers that decide the order of the steps.
        let mut random = SplitMix(!self.seed);
        self.cells().into_iter().map(|cell| (cell, random.next())).collect()
    }
}

/// The subjects for these models. A model that starts workers in advance takes part once for each number in
/// `sweep`, or once with [`WORKERS_DEFAULT`].
pub(crate) fn subjects(models: &[Model], sweep: &[u32], peers: &[(String, String)]) -> Vec<Subject> {
    let mut subjects = Vec::new();
    for &model in models {
        if !model.starts_ahead() {
            subjects.push(Subject::model(model, None));
        } else if sweep.is_empty() {
            subjects.push(Subject::model(model, Some(WORKERS_DEFAULT)));
        } else {
            subjects.extend(sweep.iter().map(|&workers| Subject::model(model, Some(workers))));
        }
    }
    for (name, command) in peers {
        subjects.push(Subject::peer(name, command));
    }
    subjects
}

/// A small generator of random numbers with a seed (Steele, Lea, Flood 2014: `SplitMix64`).
struct SplitMix(u64);

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Below `bound`; the bias is below 2^-40 for the few thousand cells of a plan.
    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(extent: Extent, seed: u64) -> ComparisonPlan {
        ComparisonPlan {
            experiments: Experiment::ALL.to_vec(),
            subjects: subjects(&Model::ALL, &[], &[("other".into(), "other {port}".into())]),
            classes: vec![CoreClass::OneCore],
            cores_all: 1,
            extent,
            repeats: extent.repeats_min(),
            attempts_max: ATTEMPTS_DEFAULT,
            seed,
        }
    }

    #[test]
    fn repeats_are_interleaved_and_complete() {
        let plan = plan(Extent::Full, 7);
        let cells = plan.cells();
        let steps = plan.steps();
        assert_eq!(steps.len(), cells.len() * 5);
        for (repeat, chunk) in steps.chunks(cells.len()).enumerate() {
            assert!(chunk.iter().all(|step| step.repeat as usize == repeat));
            let mut measured: Vec<Cell> = chunk.iter().map(|step| step.cell.clone()).collect();
            let mut wanted = cells.clone();
            measured.sort();
            wanted.sort();
            assert_eq!(measured, wanted, "each repeat has every cell once");
        }
    }

    #[test]
    fn the_seed_decides_the_order() {
        assert_eq!(plan(Extent::Full, 1).steps(), plan(Extent::Full, 1).steps());
        assert_ne!(plan(Extent::Full, 1).steps(), plan(Extent::Full, 2).steps());
        let steps = plan(Extent::Full, 1).steps();
        let half = steps.len() / 5;
        let order = |steps: &[PlanStep]| steps.iter().map(|step| step.cell.clone()).collect::<Vec<_>>();
        assert_ne!(order(&steps[..half]), order(&steps[half..2 * half]), "another order in each repeat");
    }

    #[test]
    fn a_quick_comparison_is_planned_within_two_minutes() {
        let mut plan = plan(Extent::Quick, 1);
        plan.subjects.pop();
        plan.experiments = Experiment::QUICK.to_vec();
        let estimate = plan
            .estimate(&plan.steps(), SystemLimits { processes_max: Some(30_000), descriptors_max: 20_000 });
        assert!(estimate < Duration::from_secs(105), "{estimate:?}");
    }

    #[test]
    fn a_sweep_multiplies_only_what_it_changes() {
        let mut plan = plan(Extent::Full, 1);
        plan.subjects = subjects(&[Model::Prefork, Model::Thread], &[8, 32], &[]);
        let count = |experiment| plan.cells().iter().filter(|cell| cell.experiment == experiment).count();
        assert_eq!(count(Experiment::Churn), 3);
        assert_eq!(count(Experiment::Few), 2 * Experiment::Few.levels(Extent::Full).len());
    }
}
