//! Effects of the generator, or of processes that kept the generator from its core, are not blamed on the
//! server.

use super::*;

#[test]
fn a_generator_that_was_kept_from_its_core_makes_its_cells_noisy() {
    for (waited, verdict) in [(0.3, Verdict::Noisy), (0.05, Verdict::Valid)] {
        for experiment in [Experiment::Churn, Experiment::Steady] {
            let results = reactor_in_trouble(experiment, move |_, measurement| {
                (measurement.evidence.generator_waited, measurement.evidence.server_cpu) =
                    (Some(waited), Some(0.6));
            });
            let why = if verdict == Verdict::Noisy {
                "the generator waited for a core 30 % of the time"
            } else {
                ""
            };
            assert_judged(&results, Model::Reactor, verdict, why);
        }
    }
    // The capacity of a server that uses its core all the time does not depend on it; latencies do.
    let results = reactor_in_trouble(Experiment::Churn, |_, measurement| {
        (measurement.evidence.generator_waited, measurement.evidence.server_cpu) = (Some(0.3), Some(0.97));
    });
    let reactor = of(&results, Model::Reactor);
    assert_eq!(reactor.verdict(Metric::ClientsPerS), Verdict::Valid, "{:?}", reactor.judgement);
    assert_eq!(reactor.verdict(Metric::LatencyP99Us), Verdict::Noisy);
    assert_eq!(reactor.verdict(Metric::CpuPerClientUs), Verdict::Noisy);
    // A generator that waits for a core does not change the server's memory.
    let results = reactor_in_trouble(Experiment::Idle, |_, measurement| {
        measurement.evidence.generator_waited = Some(0.3);
    });
    let reactor = of(&results, Model::Reactor);
    assert_eq!(reactor.verdict(Metric::MemoryBytes), Verdict::Valid);
    assert_eq!(reactor.verdict(Metric::LatencyP99Us), Verdict::Noisy, "{:?}", reactor.doubted);
}

/// A process on the generator's core does not affect the server; a process on a third core affects neither.
#[test]
fn other_processes_disturb_what_they_share_a_core_with() {
    let beside = |server, generator| {
        move |_, measurement: &mut Measurement| {
            let evidence = &mut measurement.evidence;
            (evidence.others_beside_server, evidence.others_beside_generator) =
                (Some(server), Some(generator));
            evidence.others_cpu = Some(1.5);
        }
    };
    for experiment in [Experiment::Churn, Experiment::Crowd, Experiment::Steady] {
        let results = reactor_in_trouble(experiment, beside(0.02, 0.5));
        let reactor = of(&results, Model::Reactor);
        assert_eq!(reactor.verdict(experiment.headline()), Verdict::Valid, "{:?}", reactor.judgement);
        assert_eq!(reactor.verdict(Metric::LatencyP99Us), Verdict::Noisy, "{experiment:?}");
        assert_eq!(reactor.disturbed_by.len(), 1, "{:?}", reactor.disturbed_by);
        let results = reactor_in_trouble(experiment, beside(0.3, 0.0));
        assert_judged(&results, Model::Reactor, Verdict::Noisy, "used 30 % of the server's core");
        let results = reactor_in_trouble(experiment, beside(0.03, 0.03));
        let reactor = of(&results, Model::Reactor);
        assert!(reactor.doubted.is_empty() && reactor.disturbed_by.is_empty(), "{:?}", reactor.doubted);
    }
}

#[test]
fn a_generator_that_wanted_its_core_all_the_time_gives_a_lower_bound() {
    let starved = |_, measurement: &mut Measurement| {
        let evidence = &mut measurement.evidence;
        (evidence.generator_cpu, evidence.generator_waited, evidence.server_cpu) =
            (Some(0.4), Some(0.55), Some(0.5));
    };
    let results = reactor_in_trouble(Experiment::Churn, starved);
    let told = "generator CPU 40 %, waiting for a core 55 %; server CPU 50 %";
    assert_judged(&results, Model::Reactor, Verdict::GeneratorBound, told);
    // The throughput at a given rate is not a bound.
    assert_judged(&reactor_in_trouble(Experiment::Steady, starved), Model::Reactor, Verdict::Noisy, "waited");
    // On a core that they share the server is why, as it has to be.
    let Results { mut header, .. } = results;
    header.machine.cores = vec![0];
    let directory = tempfile::tempdir().unwrap();
    let mut executor = MockExecutor::meddling(move |_, repeat, mut outcome| {
        if let RunOutcome::Measured(measurement) = &mut outcome {
            starved(repeat, measurement);
        }
        outcome
    });
    let (runs, _) = compare(
        &header,
        &mut executor,
        &directory.path().join("raw.jsonl"),
        &mut Remeasurement::of(&header),
        &|| false,
        &mut Unwatched,
    );
    assert_judged(&Results::of(header, &runs), Model::Reactor, Verdict::Valid, "");
}

#[test]
fn a_generator_without_a_core_to_spare_gives_a_lower_bound() {
    let results = reactor_in_trouble(Experiment::Churn, |_, measurement| {
        measurement.evidence.generator_cpu = Some(0.99);
        measurement.evidence.server_cpu = Some(0.6);
    });
    assert_judged(&results, Model::Reactor, Verdict::GeneratorBound, "generator CPU 99 %; server CPU 60 %");
    assert_not_in_the_order(&results, "reactor");
    let table = reports::table::render(&results, None);
    assert!(table.contains("\u{2265} "), "{table}");
}

#[test]
fn sends_that_the_generator_missed_are_its_own_limit() {
    let results = reactor_in_trouble(Experiment::Steady, |_, measurement| measurement.evidence.missed = 900);
    assert_judged(
        &results,
        Model::Reactor,
        Verdict::GeneratorBound,
        "the generator did not send 4,500 of 54,500 requests",
    );
}

/// Some are missed on every machine.
#[test]
fn few_sends_that_were_missed_change_nothing() {
    let results = reactor_in_trouble(Experiment::Steady, |_, measurement| measurement.evidence.missed = 200);
    assert_judged(&results, Model::Reactor, Verdict::Valid, "repeats");
}

#[test]
fn a_generator_without_ports_is_port_starved() {
    let results = reactor_in_trouble(Experiment::Churn, |_, measurement| {
        measurement.evidence.errors =
            ErrorCounts { out_of_ports: 2, out_of_descriptors: 1, ..ErrorCounts::default() };
    });
    let told = "the generator could not connect: 10 without a local port, 5 without a descriptor";
    assert_judged(&results, Model::Reactor, Verdict::PortStarved, told);
    assert_not_in_the_order(&results, "reactor");
}

#[test]
fn a_rate_not_held_on_a_busy_machine_is_not_a_failure() {
    let results = reactor_in_trouble(Experiment::Steady, |_, measurement| {
        measurement.evidence.achieved_per_s = Some(1500.0);
        measurement.evidence.others_cpu = Some(1.3);
    });
    assert_judged(&results, Model::Reactor, Verdict::Noisy, "other processes used 130 % of a core");
    for (waited, verdict) in [(0.3, Verdict::Noisy), (0.9, Verdict::GeneratorBound)] {
        let results = reactor_in_trouble(Experiment::Steady, move |_, measurement| {
            let evidence = &mut measurement.evidence;
            (evidence.achieved_per_s, evidence.generator_cpu) = (Some(1500.0), Some(0.05));
            evidence.generator_waited = Some(waited);
        });
        assert_judged(&results, Model::Reactor, verdict, "the offered rate was not reached: 1,500 of 2,000");
    }
}
