//! What follows from the cells: slopes, crossovers, and an order of the servers.

use super::*;

#[test]
fn memory_per_idle_client_is_the_slope_and_not_the_quotient() {
    let results = compared(Experiment::Idle, Extent::Full, |_, _, outcome| outcome);
    let slope = |model| {
        let of = |metric| {
            let mut slopes = results.slopes.iter();
            slopes.find(|slope| slope.subject.as_model() == Some(model) && slope.metric == metric).unwrap()
        };
        (of(Metric::MemoryBytes).summary.median, of(Metric::KernelBytes).summary.median)
    };
    let (user, kernel) = slope(Model::Thread);
    assert!(
        (user / 14_000.0 - 1.0).abs() < 0.05 && (kernel / 26_000.0 - 1.0).abs() < 0.05,
        "{user} {kernel}"
    );
}

#[test]
fn a_quick_look_decides_nothing() {
    let results = compared(Experiment::Churn, Extent::Quick, |_, _, outcome| outcome);
    assert_eq!(decide(&results), (vec![], vec![]));
    assert!(reports::html::render(&results).contains("QUICK"));
}

#[test]
fn crossovers_are_found_between_levels_with_a_clear_order() {
    let results = compared(Experiment::Crowd, Extent::Full, |cell, _, mut outcome| {
        if let (Some(Model::Fork), RunOutcome::Measured(measurement)) =
            (cell.subject.as_model(), &mut outcome)
            && cell.level <= 16
        {
            let rate = measurement.values.get_mut(&Metric::RequestsPerS).unwrap();
            *rate *= 3.0;
        }
        outcome
    });
    let (_, crossovers) = decide(&results);
    let found =
        crossovers.iter().find(|crossover| crossover.before == "fork" && crossover.after == "reactor");
    let found = found.unwrap_or_else(|| panic!("{crossovers:?}"));
    assert_eq!((found.metric, found.until, found.from), (Metric::RequestsPerS, 16, 64));
}

#[test]
fn equals_share_a_tier_and_the_order_has_no_winner() {
    let results = compared(Experiment::Wait, Extent::Full, |_, _, outcome| outcome);
    let (decisions, _) = decide(&results);
    let names: Vec<Vec<&str>> = decisions[0]
        .tiers
        .iter()
        .map(|tier| tier.iter().map(|standing| standing.name.as_str()).collect())
        .collect();
    assert_eq!(names.len(), 2, "{names:?}");
    assert_eq!((names[0].len(), names[1].as_slice()), (5, &["iterative"][..]));
}
