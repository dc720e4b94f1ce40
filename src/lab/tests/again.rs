//! Runs that other processes disturbed are measured again, in virtual time.

use std::collections::BTreeMap;
use std::time::Duration;

use super::*;
use crate::lab::run::steps::Again;

/// When a quick comparison ends at the latest.
const QUICK_MAX: Duration = Duration::from_secs(115);

fn header(extent: Extent, seed: u64) -> Header {
    Header {
        format: FORMAT,
        version: "0.0.0".into(),
        command: "oneloop compare".into(),
        started: "2026-01-02T03:04:05Z".into(),
        machine: MockExecutor::default().machine(),
        plan: ComparisonPlan {
            experiments: Experiment::QUICK.to_vec(),
            subjects: subjects(&Model::ALL, &[], &[]),
            classes: vec![CoreClass::OneCore],
            cores_all: 1,
            extent,
            repeats: extent.repeats_min(),
            attempts_max: ATTEMPTS_DEFAULT,
            seed,
        },
        findings: Vec::new(),
    }
}

/// Runs a comparison in virtual time. `meddle` gets the step, and when it runs, in seconds from the start.
fn simulated(
    header: &Header,
    mut meddle: impl FnMut(&PlanStep, [f64; 2], RunOutcome) -> RunOutcome,
) -> (Vec<Run>, f64) {
    let mut executor = MockExecutor::default();
    let mut again = Remeasurement::of(header);
    let mut planned = header.plan.steps().into_iter();
    let (mut runs, mut now_s) = (Vec::new(), 0.0);
    while let Some(step) = planned.next().or_else(|| again.next(&runs, Duration::from_secs_f64(now_s))) {
        let PlanStep { cell, repeat, attempt } = step.clone();
        let allowed = header.machine.allowed();
        let unsupported = cell.experiment.unsupported(&cell.subject, cell.level, allowed);
        let outcome = if let Some(why) = unsupported {
            RunOutcome::Unsupported(why)
        } else {
            let began_s = now_s;
            now_s += header.plan.estimate_cell(&cell).as_secs_f64();
            let outcome = executor.run(&cell, header.plan.extent, repeat);
            meddle(&step, [began_s, now_s], outcome)
        };
        runs.push(Run { cell, repeat, attempt, at_s: now_s, outcome });
    }
    (runs, now_s)
}

/// Takes a share of the server's core, and changes what is measured as much.
fn disturb(mut outcome: RunOutcome, share: f64) -> RunOutcome {
    if let RunOutcome::Measured(measurement) = &mut outcome {
        measurement.evidence.others_beside_server = Some(share);
        measurement.evidence.others_beside_generator = Some(0.0);
        measurement.values.values_mut().for_each(|value| *value *= 1.0 + share);
    }
    outcome
}

/// The share of a span in which a process runs that is busy in the first part of each period.
fn busy_share([from_s, to_s]: [f64; 2], period_s: f64, part: f64) -> f64 {
    let busy_until = |at_s: f64| {
        let whole = (at_s / period_s).floor();
        (whole + ((at_s / period_s - whole) / part).min(1.0)) * period_s * part
    };
    (busy_until(to_s) - busy_until(from_s)) / (to_s - from_s)
}

fn again(runs: &[Run]) -> usize {
    runs.iter().filter(|run| run.attempt > 0).count()
}

/// How many cells of each experiment are VALID.
fn valid(results: &Results) -> BTreeMap<Experiment, usize> {
    let is_valid = |result: &&CellResult| result.judgement.verdict == Verdict::Valid;
    let count = |experiment: &Experiment| {
        let cells = results.of_experiment(*experiment, CoreClass::OneCore);
        (*experiment, cells.into_iter().filter(is_valid).count())
    };
    results.header.plan.experiments.iter().map(count).collect()
}

#[test]
fn each_experiment_has_a_valid_cell_while_half_of_the_time_is_quiet_and_it_ends_in_time() {
    for seed in 0..20 {
        let header = header(Extent::Quick, seed);
        let period_s = 3.0 + (seed % 10) as f64;
        let (runs, took_s) =
            simulated(&header, |_, span_s, outcome| disturb(outcome, busy_share(span_s, period_s, 0.5)));
        assert!(took_s <= QUICK_MAX.as_secs_f64(), "seed {seed}: {took_s} s");
        assert!(again(&runs) > 0, "seed {seed}");
        let without: Vec<Run> = runs.iter().filter(|run| run.attempt == 0).cloned().collect();
        let [before, after] = [without, runs].map(|runs| valid(&Results::of(header.clone(), &runs)));
        assert!(after.values().all(|count| *count > 0), "seed {seed}: {after:?}");
        assert!(after.values().sum::<usize>() > before.values().sum(), "seed {seed}: {before:?} {after:?}");
    }
}

#[test]
fn on_a_machine_that_is_never_quiet_every_experiment_is_tried_and_the_time_is_kept() {
    for seed in 0..8 {
        let header = header(Extent::Quick, seed);
        let (runs, took_s) = simulated(&header, |_, _, outcome| disturb(outcome, 0.5));
        assert!(took_s <= QUICK_MAX.as_secs_f64(), "seed {seed}: {took_s} s");
        let results = Results::of(header, &runs);
        let valid = valid(&results);
        assert_eq!((valid[&Experiment::Crowd], valid[&Experiment::Steady]), (0, 0), "{valid:?}");
        for experiment in [Experiment::Churn, Experiment::Crowd, Experiment::Steady] {
            let tried = results.of_experiment(experiment, CoreClass::OneCore);
            assert!(tried.iter().any(|result| result.attempts_again > 0), "seed {seed}: {experiment:?}");
        }
        let table = reports::table::render(&results, None);
        let why = "other processes used 50 % of the server's core (measured again in ";
        assert!(table.contains(why) && table.contains("none is VALID now."), "{table}");
    }
}

/// The numbers of the sentences on a busy machine add up: each NOISY cell was measured again, or had no turn.
#[test]
fn cells_that_had_no_turn_are_counted_beside_those_that_had_one() {
    let header = header(Extent::Quick, 4);
    let (mut runs, _) = simulated(&header, |step, _, outcome| {
        disturb(outcome, if step.cell.experiment == Experiment::Steady { 0.5 } else { 0.0 })
    });
    let again_in = |runs: &[Run]| {
        let cells = runs.iter().filter(|run| run.attempt > 0).map(|run| &run.cell);
        cells.collect::<std::collections::BTreeSet<_>>().len()
    };
    let measured_again = |runs: &[Run], header: &Header| {
        let results = Results::of(header.clone(), runs);
        let noisy = results.verdicts()[&Verdict::Noisy];
        assert_eq!(noisy, again_in(runs) + results.cells_without_turn as usize);
        let table = reports::table::render(&results, None);
        let noisy = format!(
            "other processes took CPU time in 5 of {} cells, and 5 of these are NOISY.",
            results.cells.len()
        );
        assert!(table.contains(&noisy), "{table}");
        let line = table.lines().find(|line| line.contains("measured again"));
        line.unwrap_or_default().split_once("measured again: ").unwrap_or_default().1.to_owned()
    };
    let all = again(&runs);
    assert_eq!(measured_again(&runs, &header), format!("5 cells in {all} runs, and none is VALID now."));
    // The time ended sooner.
    let first = runs.iter().position(|run| run.attempt > 0).unwrap();
    let end = (first..runs.len()).find(|end| again_in(&runs[..*end]) == 2).unwrap();
    runs.truncate(end);
    let left = "more that are NOISY or GENERATOR-BOUND had no turn before the comparison ended.";
    let made = again(&runs);
    assert_eq!(
        measured_again(&runs, &header),
        format!("2 cells in {made} runs, and none is VALID now. 3 {left}")
    );
    runs.truncate(first);
    let left = left.replace("more", "cells");
    assert_eq!(measured_again(&runs, &header), format!("none in time. 5 {left}"));
    let mut once = header.clone();
    once.plan.attempts_max = 1;
    assert_eq!(Results::of(once.clone(), &runs).cells_without_turn, 0, "nothing was to be measured again");
    assert!(!reports::table::render(&Results::of(once, &runs), None).contains("measured again"));
}

#[test]
fn a_full_comparison_takes_a_fifth_longer_at_most() {
    let header = header(Extent::Full, 3);
    let planned = header.plan.estimate(&header.plan.steps(), header.machine.allowed());
    let (runs, took_s) = simulated(&header, |_, _, outcome| disturb(outcome, 0.5));
    assert!(again(&runs) > 0);
    assert!(took_s <= planned.as_secs_f64() * 1.2 + 1e-6, "{took_s} s, planned {planned:?}");
}

#[test]
fn what_is_not_the_fault_of_other_processes_is_never_measured_again() {
    let header = header(Extent::Quick, 1);
    let (runs, _) = simulated(&header, |_, _, outcome| disturb(outcome, 0.0));
    assert_eq!(again(&runs), 0, "a quiet machine");
    // A server whose repeats differ without a disturbance.
    let (runs, _) = simulated(&header, |step, _, mut outcome| {
        if let RunOutcome::Measured(measurement) = &mut outcome {
            measurement.values.values_mut().for_each(|value| *value *= 1.0 + f64::from(step.repeat));
        }
        outcome
    });
    let results = Results::of(header.clone(), &runs);
    assert!(results.verdicts()[&Verdict::Noisy] > 20, "{:?}", results.verdicts());
    assert_eq!(again(&runs), 0);
    // A server that fails, on a machine that is busy.
    let (runs, _) = simulated(&header, |step, _, outcome| {
        let fails = step.cell.subject.as_model() == Some(Model::Reactor) && step.repeat == 1;
        if fails { RunOutcome::Failed("it ended".into()) } else { disturb(outcome, 0.5) }
    });
    let replaced = |run: &&Run| run.cell.subject.as_model() == Some(Model::Reactor) && run.attempt > 0;
    assert!(again(&runs) > 0);
    assert!(!runs.iter().filter(replaced).any(|run| run.repeat == 1), "a failure is never replaced");
}

#[test]
fn attempts_at_a_repeat_end_with_the_first_quiet_one_or_with_their_bound() {
    for seed in 0..10 {
        let header = header(Extent::Quick, seed);
        let (runs, _) = simulated(&header, |step, _, outcome| {
            // Few repeats, so that there is time for all attempts.
            let is_busy = step.cell.experiment == Experiment::Steady && step.repeat < 2;
            let is_over = step.attempt >= seed as u32 % 10;
            disturb(outcome, if is_busy && !is_over { 0.9 } else { 0.0 })
        });
        for (at, run) in runs.iter().enumerate() {
            let earlier =
                || runs[..at].iter().filter(|other| (&other.cell, other.repeat) == (&run.cell, run.repeat));
            assert_eq!(earlier().count() as u32, run.attempt, "in order, none left out");
            assert!(run.attempt < ATTEMPTS_DEFAULT, "{run:?}");
            let quiet = |run: &Run| {
                run.measured()
                    .is_some_and(|measurement| measurement.evidence.others_beside_server < Some(0.1))
            };
            assert!(run.attempt == 0 || !earlier().any(quiet), "{run:?}");
        }
    }
}

#[test]
fn raw_data_has_every_attempt_and_the_report_their_number() {
    let directory = tempfile::tempdir().unwrap();
    let header = header(Extent::Quick, 4);
    let mut seen = BTreeMap::new();
    // The first attempt at each repeat of `steady` is disturbed.
    let mut executor = MockExecutor::meddling(move |cell, repeat, outcome| {
        let attempt = seen.entry((cell.clone(), repeat)).or_insert(0);
        *attempt += 1;
        let is_disturbed = cell.experiment == Experiment::Steady && *attempt == 1;
        disturb(outcome, if is_disturbed { 0.4 } else { 0.0 })
    });
    let raw = directory.path().join("raw.jsonl");
    let mut again = Remeasurement::of(&header);
    let (runs, kept) = compare(&header, &mut executor, &raw, &mut again, &|| false, &mut Unwatched);
    kept.unwrap();
    // Five servers. Two quiet repeats of three differ too much from one that was disturbed.
    let steady = runs.iter().filter(|run| run.cell.experiment == Experiment::Steady);
    assert_eq!(steady.filter(|run| run.attempt == 1).count(), 3 * 5);
    let (header, read) = crate::lab::run::raw::read(&raw).unwrap();
    assert_eq!(read.len(), runs.len());
    let results = Results::of(header, &read);
    assert_eq!(valid(&results)[&Experiment::Steady], 5);
    assert_eq!((results.runs_again, results.runs_made), (15, results.runs_planned));
    let sentence = "While time was left, cells that other processes had disturbed were measured again: 5 cells in 15 runs, and \
         all are VALID now.\n";
    assert!(reports::table::render(&results, None).contains(sentence));
    let html = reports::html::render(&results);
    assert!(html.contains(sentence.trim_end()) && !html.contains("Interrupted"));
    let csv = reports::csv::render(&read);
    assert!(csv.lines().any(|line| line.starts_with("steady,one core,2000,reactor,1,2,")), "{csv}");
}
