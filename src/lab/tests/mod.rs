//! Comparisons of made-up samples: every verdict is reached with its reasons, and every report is as it was.
//!
//! Where a new test goes: `verdicts` for a rule of the judge, `generator` for what the generator caused,
//! `again` for what is measured again, `order` for slopes, rankings and crossovers, `report` for what a
//! reader sees.

mod again;
mod generator;
mod order;
mod report;
mod verdicts;

use super::again::Remeasurement;
use super::judge::decision::decide;
use super::judge::results::{CellResult, Results, Slope};
use super::mock::MockExecutor;
use super::plan::comparison::{ATTEMPTS_DEFAULT, Cell, ComparisonPlan, PlanStep, subjects};
use super::plan::experiment::{Experiment, Extent};
use super::plan::metric::Metric;
use super::plan::subject::CoreClass;
use super::report as reports;
use super::run::executor::Executor;
use super::run::outcome::{Measurement, Run, RunOutcome};
use super::run::raw::{FORMAT, Header};
use super::run::steps::{Watcher, compare};
use crate::judge::{ErrorCounts, Judgement, Verdict};
use crate::models::Model;

pub(super) struct Unwatched;

impl Watcher for Unwatched {
    fn begins(&mut self, _at: usize, _step: &PlanStep) {}
    fn done(&mut self, _at: usize, _run: &Run) {}
}

/// Compares all models in one experiment; `meddle` changes the outcomes of one of them.
pub(super) fn compared(
    experiment: Experiment,
    extent: Extent,
    meddle: impl FnMut(&Cell, u32, RunOutcome) -> RunOutcome + 'static,
) -> Results {
    let directory = tempfile::tempdir().unwrap();
    let mut executor = MockExecutor::meddling(meddle);
    let header = Header {
        format: FORMAT,
        version: "0.0.0".into(),
        command: "oneloop compare".into(),
        started: "2026-01-02T03:04:05Z".into(),
        machine: executor.machine(),
        plan: ComparisonPlan {
            experiments: vec![experiment],
            subjects: subjects(&Model::ALL, &[], &[]),
            classes: vec![CoreClass::OneCore],
            cores_all: 1,
            extent,
            repeats: 5,
            attempts_max: ATTEMPTS_DEFAULT,
            seed: 1,
        },
        findings: Vec::new(),
    };
    let raw = directory.path().join("raw.jsonl");
    let (runs, _) =
        compare(&header, &mut executor, &raw, &mut Remeasurement::of(&header), &|| false, &mut Unwatched);
    Results::of(header, &runs)
}

/// The results of a comparison that was interrupted after this many repeats.
pub(super) fn interrupted(experiment: Experiment, extent: Extent, repeats: usize) -> Results {
    let whole = compared(experiment, extent, |_, _, outcome| outcome);
    let directory = tempfile::tempdir().unwrap();
    let (cells, asked) = (whole.header.plan.cells().len(), std::cell::Cell::new(0));
    // Asked before and after each run.
    let stop = || asked.replace(asked.get() + 1) >= 2 * cells * repeats;
    let mut executor = MockExecutor::default();
    let raw = directory.path().join("raw.jsonl");
    let (runs, _) = compare(
        &whole.header,
        &mut executor,
        &raw,
        &mut Remeasurement::of(&whole.header),
        &stop,
        &mut Unwatched,
    );
    assert_eq!(runs.len(), cells * repeats);
    Results::of(whole.header, &runs)
}

/// Compares with trouble in the reactor's cells alone.
pub(super) fn reactor_in_trouble(
    experiment: Experiment,
    mut trouble: impl FnMut(u32, &mut Measurement) + 'static,
) -> Results {
    compared(experiment, Extent::Full, move |cell, repeat, mut outcome| {
        if let (Some(Model::Reactor), RunOutcome::Measured(measurement)) =
            (cell.subject.as_model(), &mut outcome)
        {
            trouble(repeat, measurement);
        }
        outcome
    })
}

pub(super) fn of(results: &Results, model: Model) -> &CellResult {
    results.cells.iter().find(|result| result.cell.subject.as_model() == Some(model)).unwrap()
}

#[track_caller]
pub(super) fn assert_judged(results: &Results, model: Model, verdict: Verdict, evidence: &str) {
    let judgement = &of(results, model).judgement;
    assert_eq!(judgement.verdict, verdict, "{judgement:?}");
    let told = judgement.evidence.join("; ");
    assert!(told.contains(evidence), "{told:?} does not tell {evidence:?}");
}

#[track_caller]
pub(super) fn assert_not_in_the_order(results: &Results, name: &str) {
    let (decisions, _) = decide(results);
    assert!(!decisions.is_empty());
    for decision in &decisions {
        assert!(!decision.tiers.iter().flatten().any(|standing| standing.name == name), "{decision:?}");
        assert!(decision.left_out.iter().any(|(left_out, _)| left_out == name), "{decision:?}");
    }
}
