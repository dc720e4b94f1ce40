//! Every verdict is reached, with its reasons, and only VALID cells are ranked.

use super::*;

#[test]
fn quiet_repeats_of_a_server_that_is_the_limit_are_valid() {
    let results = reactor_in_trouble(Experiment::Churn, |_, _| {});
    assert_judged(&results, Model::Reactor, Verdict::Valid, "generator CPU 55 %; server CPU 98 %");
}

#[test]
fn repeats_that_differ_are_noisy() {
    let results = reactor_in_trouble(Experiment::Churn, |repeat, measurement| {
        *measurement.values.get_mut(&Metric::ClientsPerS).unwrap() *= 1.0 + 0.2 * f64::from(repeat);
    });
    assert_judged(&results, Model::Reactor, Verdict::Noisy, "clients per second varies by \u{b1}");
    assert_not_in_the_order(&results, "reactor");
}

#[test]
fn a_machine_that_is_busy_with_others_is_noisy() {
    let results =
        reactor_in_trouble(Experiment::Churn, |_, measurement| measurement.evidence.others_cpu = Some(0.4));
    assert_judged(&results, Model::Reactor, Verdict::Noisy, "other processes used 40 % of a core");
}

#[test]
fn a_run_whose_span_exceeds_the_samples_is_noisy_with_the_reason() {
    let results = reactor_in_trouble(Experiment::Churn, |repeat, measurement| {
        if repeat == 2 {
            measurement.values.remove(&Metric::CpuPerClientUs);
            measurement.evidence.not_sampled_ms = Some(12.0);
        }
    });
    let why = "1 of 5 repeats has no CPU times: 12.0 ms of the measured span have no samples";
    assert_judged(&results, Model::Reactor, Verdict::Noisy, why);
    assert_not_in_the_order(&results, "reactor");
}

/// A run without answers. The server waited for a core for this part of the time.
fn unanswered(measurement: &mut Measurement, waited: f64) {
    measurement.values.clear();
    let evidence = &mut measurement.evidence;
    (evidence.requests, evidence.achieved_per_s, evidence.in_flight) = (0, Some(524.0), Some(16.0));
    (evidence.latency_mean_us, evidence.server_cpu, evidence.server_waited) =
        (Some(524.0), Some(0.01), Some(waited));
}

#[test]
fn a_server_that_others_kept_from_its_core_has_not_failed() {
    let results = reactor_in_trouble(Experiment::Churn, |repeat, measurement| {
        if repeat < 3 {
            unanswered(measurement, 0.98);
            measurement.evidence.others_cpu = Some(1.2);
        }
    });
    let why = "the server waited for a core 98 % of the time, while other processes used 120 % of one";
    assert_judged(&results, Model::Reactor, Verdict::Noisy, why);
    let summary = &of(&results, Model::Reactor).summaries[&Metric::ClientsPerS];
    assert_eq!(summary.n, 2, "what was not measured is not in the median");
    assert_not_in_the_order(&results, "reactor");
}

#[test]
fn a_server_with_a_core_and_without_an_answer_has_failed() {
    let results = reactor_in_trouble(Experiment::Churn, |_, measurement| unanswered(measurement, 0.02));
    let why = "no request was answered: server CPU 1 %, waited for a core 2 % of the time";
    assert_judged(&results, Model::Reactor, Verdict::Failed, why);
    // Other processes on other cores do not excuse a difference.
    let results = reactor_in_trouble(Experiment::Churn, |_, measurement| {
        unanswered(measurement, 0.02);
        measurement.evidence.others_cpu = Some(0.9);
    });
    assert_judged(&results, Model::Reactor, Verdict::Failed, why);
}

#[test]
fn numbers_that_break_littles_law_are_noisy() {
    let results = reactor_in_trouble(Experiment::Bulk, |_, measurement| {
        measurement.evidence.in_flight = Some(8.0);
        measurement.evidence.achieved_per_s = Some(1000.0);
        measurement.evidence.latency_mean_us = Some(4000.0);
    });
    assert_judged(
        &results,
        Model::Reactor,
        Verdict::Noisy,
        "throughput \u{d7} latency is 0.50 times the requests in flight",
    );
}

#[test]
fn a_listen_queue_that_overflowed_makes_churn_noisy() {
    let results = reactor_in_trouble(Experiment::Churn, |_, measurement| {
        measurement.evidence.listen_overflows = Some(3);
    });
    assert_judged(&results, Model::Reactor, Verdict::Noisy, "the listen queue overflowed 15 times");
}

/// It is what this experiment asks.
#[test]
fn a_client_refused_by_too_few_copies_is_not_an_error() {
    let results =
        reactor_in_trouble(Experiment::Few, |_, measurement| measurement.evidence.errors.refused = 20);
    assert_judged(&results, Model::Reactor, Verdict::Valid, "repeats");
}

#[test]
fn repeats_that_differ_by_next_to_nothing_are_quiet() {
    for (step_ms, verdict) in [(0.5, Verdict::Valid), (5.0, Verdict::Noisy)] {
        let results = compared(Experiment::Wait, Extent::Full, move |cell, repeat, mut outcome| {
            if let (Some(Model::Reactor), RunOutcome::Measured(measurement)) =
                (cell.subject.as_model(), &mut outcome)
            {
                measurement.values.insert(Metric::WaitMs, 0.1 + step_ms * f64::from(repeat));
            }
            outcome
        });
        assert_judged(&results, Model::Reactor, verdict, "");
    }
}

/// Memory of the reactor beside idle clients that grows by so much per client, in each of five repeats.
fn reactor_with_slopes(extent: Extent, per_client: [f64; 5]) -> Results {
    compared(Experiment::Idle, extent, move |cell, repeat, mut outcome| {
        if let (Some(Model::Reactor), RunOutcome::Measured(measurement)) =
            (cell.subject.as_model(), &mut outcome)
        {
            let grown = per_client[repeat as usize] * f64::from(cell.level);
            measurement.values.insert(Metric::MemoryBytes, 2.5e6 + grown);
        }
        outcome
    })
}

fn slope_of_reactor(results: &Results) -> &Slope {
    let is_it = |slope: &&Slope| {
        slope.subject.as_model() == Some(Model::Reactor) && slope.metric == Metric::MemoryBytes
    };
    results.slopes.iter().find(is_it).unwrap()
}

#[test]
fn a_slope_is_as_quiet_as_the_difference_between_its_ends() {
    // 256 KiB are 524 B for each of 500 clients, and 26 B for each of 10,000.
    for (extent, per_client, verdict, at_most) in [
        (Extent::Quick, [-120.0, 184.0, 377.0, 150.0, 90.0], Verdict::Valid, Some(524.0)),
        (Extent::Quick, [100.0, 200.0, 300.0, 250.0, 150.0], Verdict::Valid, Some(524.0)),
        (Extent::Quick, [-90.0, -50.0, -20.0, -60.0, -70.0], Verdict::Valid, Some(524.0)),
        (Extent::Quick, [-11e3, -10e3, -10e3, -9e3, -10e3], Verdict::Noisy, Some(524.0)),
        (Extent::Quick, [-105.0, -100.0, -100.0, -95.0, -100.0], Verdict::Valid, Some(524.0)),
        (Extent::Quick, [-346.0, 108.0, 913.0, 100.0, 110.0], Verdict::Noisy, Some(913.0)),
        (Extent::Quick, [900.0, 2000.0, 3000.0, 2100.0, 1900.0], Verdict::Noisy, None),
        (Extent::Quick, [200.0, 204.0, 196.0, 202.0, 198.0], Verdict::Valid, None),
        (Extent::Full, [180.0, 200.0, 220.0, 190.0, 210.0], Verdict::Valid, None),
        (Extent::Full, [40.0, 60.0, 80.0, 50.0, 70.0], Verdict::Valid, Some(80.0)),
        (Extent::Full, [100.0, 200.0, 300.0, 250.0, 150.0], Verdict::Noisy, None),
    ] {
        let results = reactor_with_slopes(extent, per_client);
        let slope = slope_of_reactor(&results);
        assert_eq!(slope.judgement.verdict, verdict, "{slope:?}");
        assert_eq!(slope.at_most.map(f64::round), at_most, "{slope:?}");
    }
}

#[test]
fn of_a_slope_that_may_be_zero_a_bound_is_shown() {
    let results = reactor_with_slopes(Extent::Quick, [-120.0, -53.0, 377.0, 150.0, -90.0]);
    let table = reports::table::render(&results, None);
    assert!(table.contains("\u{2264} 524 B"), "{table}");
    let sentence = "The memory of an idle client is at most 524 B at reactor and ";
    assert!(table.contains(sentence) && table.contains(" at fork, at least 2"), "{table}");
    let page = reports::html::render(&results);
    assert!(
        page.contains("<td class=\"n\">\u{2264} 524 B<span class=\"range\">-120 B \u{2013} 377 B"),
        "{page}"
    );
    assert!(page.contains(">\u{2264} 524 B</text>"), "in the plot, too");
    let why = "the slope varies by \u{b1}248 B, which is \u{b1}121 KiB for 500 idle \
               clients: up to 256 KiB do not matter";
    assert!(page.contains(why), "{:?}", slope_of_reactor(&results));
    let full = reactor_with_slopes(Extent::Full, [-12.0, -5.0, 37.0, 15.0, -9.0]);
    let page = reports::html::render(&full);
    assert!(page.contains("<b>reactor</b> \u{2264} 37.0 B"), "in the order: {:?}", slope_of_reactor(&full));
}

#[test]
fn what_a_model_cannot_do_is_unsupported_and_never_run() {
    let results = compared(Experiment::Steady, Extent::Full, |cell, _, outcome| {
        assert_ne!(cell.subject.as_model(), Some(Model::Iterative), "it was run");
        outcome
    });
    assert_judged(&results, Model::Iterative, Verdict::Unsupported, "serves one client at a time");
    assert_not_in_the_order(&results, "iterative");
}

#[test]
fn wrong_bytes_fail_and_so_do_many_errors() {
    let results = reactor_in_trouble(Experiment::Churn, |repeat, measurement| {
        measurement.evidence.errors.wrong_bytes = u64::from(repeat == 4);
    });
    assert_judged(&results, Model::Reactor, Verdict::Failed, "wrong replies: 1");
    let results =
        reactor_in_trouble(Experiment::Churn, |_, measurement| measurement.evidence.errors.reset = 50);
    assert_judged(&results, Model::Reactor, Verdict::Failed, "errors: 250 reset, with 50,000 answers");
    let results =
        reactor_in_trouble(Experiment::Churn, |_, measurement| measurement.evidence.errors.reset = 1);
    assert_judged(&results, Model::Reactor, Verdict::Noisy, "errors: 5 reset, with 50,000 answers");
}

#[test]
fn a_rate_that_was_not_held_is_a_failure_of_the_server() {
    let results = reactor_in_trouble(Experiment::Steady, |_, measurement| {
        measurement.evidence.achieved_per_s = Some(1500.0);
    });
    assert_judged(
        &results,
        Model::Reactor,
        Verdict::Failed,
        "the offered rate was not reached: 1,500 of 2,000 per second",
    );
}

#[test]
fn runs_that_failed_fail_the_cell_and_few_of_them_make_it_noisy() {
    for (failing, verdict, repeats) in [
        (5, Verdict::Failed, "repeats 1, 2, 3, 4, 5"),
        (3, Verdict::Failed, "repeats 1, 2, 3"),
        (1, Verdict::Noisy, "repeat 1"),
    ] {
        let results = compared(Experiment::Churn, Extent::Full, move |cell, repeat, outcome| {
            let fails = cell.subject.as_model() == Some(Model::Reactor) && repeat < failing;
            if fails { RunOutcome::Failed("does not listen".into()) } else { outcome }
        });
        assert_judged(&results, Model::Reactor, verdict, &format!("{repeats}: does not listen"));
        assert_not_in_the_order(&results, "reactor");
    }
}

#[test]
fn process_control_is_what_a_client_costs_beyond_the_iterative_server() {
    let results = compared(Experiment::Churn, Extent::Full, |_, _, outcome| outcome);
    let process_control = |model| of(&results, model).summaries[&Metric::ProcessControlUs].median;
    assert!(process_control(Model::Iterative).abs() < 1e-9);
    assert!((process_control(Model::Fork) - 168.0).abs() < 8.0, "{}", process_control(Model::Fork));
}

#[test]
fn a_difference_is_no_better_than_the_server_that_it_is_to() {
    let results = compared(Experiment::Churn, Extent::Full, |cell, _, mut outcome| {
        if let (Some(Model::Iterative), RunOutcome::Measured(measurement)) =
            (cell.subject.as_model(), &mut outcome)
        {
            measurement.evidence.others_cpu = Some(0.5);
        }
        outcome
    });
    let fork = of(&results, Model::Fork);
    assert_eq!(fork.verdict(Metric::ClientsPerS), Verdict::Valid);
    assert_eq!(fork.verdict(Metric::ProcessControlUs), Verdict::Noisy, "{:?}", fork.doubted);
    let table = reports::table::render(&results, None);
    assert!(
        table.lines().any(|line| line.contains("fork") && line.contains("%* ") && line.contains("VALID"))
    );
    assert!(table.contains("it is the difference to the iterative server, which is NOISY"), "{table}");
}

/// A generator that waits for its core does not change the rate of a busy server, but the CPU time per
/// client.
#[test]
fn a_difference_is_doubted_if_the_cpu_time_of_the_iterative_server_is() {
    let results = compared(Experiment::Churn, Extent::Full, |cell, _, mut outcome| {
        if let RunOutcome::Measured(measurement) = &mut outcome {
            match cell.subject.as_model() {
                Some(Model::Iterative) => measurement.evidence.generator_waited = Some(0.3),
                Some(Model::Thread) => measurement.evidence.generator_waited = Some(0.4),
                _ => {}
            }
        }
        outcome
    });
    let iterative = of(&results, Model::Iterative);
    assert_eq!(iterative.verdict(Metric::ClientsPerS), Verdict::Valid, "{:?}", iterative.judgement);
    assert_eq!(iterative.verdict(Metric::CpuPerClientUs), Verdict::Noisy);
    let difference = "it is the difference to the iterative server, which is NOISY";
    assert_eq!(of(&results, Model::Fork).doubted[&Metric::ProcessControlUs], difference);
    // A reason of its own is kept.
    let own = format!("the generator waited for a core 40 % of the time; {difference}");
    assert_eq!(of(&results, Model::Thread).doubted[&Metric::ProcessControlUs], own);
}

#[test]
fn no_report_shows_a_negative_cost() {
    // CPU per client is 22 us at the iterative server.
    let results = reactor_in_trouble(Experiment::Churn, |_, measurement| {
        *measurement.values.get_mut(&Metric::CpuPerClientUs).unwrap() *= 0.5;
    });
    let summary = &of(&results, Model::Reactor).summaries[&Metric::ProcessControlUs];
    assert!(summary.high < 0.0, "the results keep the numbers: {summary:?}");
    let table = reports::table::render(&results, None);
    assert!(table.contains("below noise (-"), "{table}");
    let note = "below noise: process control per client is a difference to the iterative server, and its interval is \
                not wholly above 0; if it is wholly below 0, the server needed less CPU time than the iterative one, \
                for other reasons\n";
    assert!(table.contains(note), "{table}");
    let page = reports::html::render(&results);
    assert!(page.contains("<td class=\"n\">below noise<span class=\"range\">-"), "{page}");
    assert!(page.contains("<title>reactor: below noise (-"), "in the plot, too: {page}");
    assert!(!page.contains("reactor: -"), "{page}");
    // The bar of the plot has no length; its interval is drawn.
    let (_, bar) = page.split_once("<title>reactor: below noise").map(|(bar, rest)| (rest, bar)).unwrap();
    assert!(bar.rsplit_once("<rect ").unwrap().1.contains("width=\"0.5\""), "{bar}");
}

#[test]
fn kernel_memory_that_other_processes_freed_is_no_cost_and_not_valid() {
    for (kib, verdict) in [
        ([-60.0, -5663.0, 120.0, -300.0, 80.0], Verdict::Noisy),
        ([-60.0, -100.0, 120.0, -30.0, 80.0], Verdict::Valid),
    ] {
        let results = compared(Experiment::Idle, Extent::Quick, move |cell, repeat, mut outcome| {
            if let (0, Some(Model::Fork), RunOutcome::Measured(measurement)) =
                (cell.level, cell.subject.as_model(), &mut outcome)
            {
                measurement.values.insert(Metric::KernelBytes, kib[repeat as usize] * 1024.0);
            }
            outcome
        });
        let fork = of(&results, Model::Fork);
        assert_eq!(fork.judgement.verdict, Verdict::Valid);
        assert_eq!(fork.verdict(Metric::KernelBytes), verdict, "{:?}", fork.doubted);
        let table = reports::table::render(&results, None);
        let row = table.lines().find(|line| line.contains(" fork ")).unwrap();
        assert!(row.contains("below noise (-"), "{table}");
        let alone = "* this value alone is NOISY; for example, kernel memory of fork at 0: it varies by \u{b1}2.82 MiB, and \
                     only up to 256 KiB do not matter\n";
        assert_eq!(
            (row.contains("KiB)* "), table.contains(alone)),
            (verdict == Verdict::Noisy, verdict == Verdict::Noisy),
            "{table}"
        );
        assert!(
            table.contains("below noise: kernel memory is a difference to before the server started"),
            "{table}"
        );
    }
}

#[test]
fn with_an_idle_crowd_a_busy_machine_disturbs_times_but_not_memory() {
    let results =
        reactor_in_trouble(Experiment::Idle, |_, measurement| measurement.evidence.others_cpu = Some(1.4));
    let reactor = of(&results, Model::Reactor);
    assert_eq!(reactor.verdict(Metric::MemoryBytes), Verdict::Valid);
    for metric in [Metric::CpuPerRequestUs, Metric::LatencyP99Us] {
        assert_eq!(reactor.verdict(metric), Verdict::Noisy);
        assert_eq!(of(&results, Model::Thread).verdict(metric), Verdict::Valid);
    }
    let report = reports::html::render(&results);
    assert!(report.contains("latency p99, CPU per request are NOISY: other processes used 140 % of a core"));
    let slope = results.slopes.iter().find(|slope| slope.subject.as_model() == Some(Model::Reactor)).unwrap();
    assert_eq!(slope.judgement.verdict, Verdict::Valid);
}

#[test]
fn a_full_comparison_believes_nothing_of_fewer_than_five_repeats() {
    let results = compared(Experiment::Churn, Extent::Full, |cell, repeat, mut outcome| {
        let unanswered_run = cell.subject.as_model() == Some(Model::Reactor) && repeat == 0;
        if let (true, RunOutcome::Measured(measurement)) = (unanswered_run, &mut outcome) {
            unanswered(measurement, 0.98);
            measurement.evidence.others_cpu = Some(1.2);
        }
        outcome
    });
    assert_not_in_the_order(&results, "reactor");
    for (extent, made, verdict) in [
        (Extent::Full, 4, Verdict::Noisy),
        (Extent::Full, 5, Verdict::Valid),
        (Extent::Quick, 2, Verdict::Noisy),
        (Extent::Quick, 3, Verdict::Valid),
    ] {
        let results = interrupted(Experiment::Churn, extent, made);
        assert_eq!(of(&results, Model::Reactor).judgement.verdict, verdict, "{made} repeats of {extent:?}");
    }
}

#[test]
fn the_wait_of_a_client_that_gave_up_is_a_lower_bound() {
    let results = reactor_in_trouble(Experiment::Few, |_, measurement| {
        measurement.values.insert(Metric::WaitMaxMs, 2501.0);
    });
    let table = reports::table::render(&results, None);
    assert!(table.contains("\u{2265} 2.50 s"), "{table}");
    assert!(of(&results, Model::Reactor).judgement.evidence.join("; ").contains("listen queue overflows: 0"));
}
