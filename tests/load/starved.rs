//! A generator that shares its core with other programs reports it: they distort what it measures.
#![cfg(target_os = "linux")]

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;
use oneloop::limits::Limits;
use oneloop::load::clients::EchoLoad;
use oneloop::load::report::Verdict;
use oneloop::load::{Plan, run};
use oneloop::services::Echo;

use crate::common::inside::Inside;

/// Each takes the core for as long as the kernel lets it.
const OTHERS: usize = 4;

#[test]
fn a_generator_reports_how_long_it_had_no_core() {
    let echo = Inside::serve(Limits::default(), Echo);
    let mut plan = Plan::new(echo.addr().to_string().parse().unwrap());
    (plan.clients, plan.warmup, plan.duration) = (64, Duration::ZERO, Duration::from_millis(500));
    let allowed = sched_getaffinity(Pid::from_raw(0)).unwrap();
    let mut core = CpuSet::new();
    core.set((0..CpuSet::count()).find(|&core| allowed.is_set(core).unwrap()).unwrap()).unwrap();
    let is_over = AtomicBool::new(false);
    let pin = || sched_setaffinity(Pid::from_raw(0), &core).unwrap(); // this thread
    let report = std::thread::scope(|scope| {
        for _ in 0..OTHERS {
            scope.spawn(|| {
                pin();
                while !is_over.load(SeqCst) {
                    std::hint::spin_loop();
                }
            });
        }
        let load = scope.spawn(|| {
            pin();
            run(&plan, &EchoLoad::new(64, plan.seed)).unwrap()
        });
        let report = load.join().unwrap();
        is_over.store(true, SeqCst);
        report
    });
    let Some(run_delay_s) = report.generator.run_delay_s else {
        crate::common::skipped("this kernel does not count how long a thread waits for a core");
        return;
    };
    let span_s = report.measured_ns as f64 / 1e9;
    // One of five, if it wants the core all the time; it sleeps when all have asked.
    assert!(run_delay_s > 0.1 * span_s && run_delay_s <= span_s, "{run_delay_s} s of {span_s} s");
    let judged = report.verdict.expect("each run is judged");
    assert_ne!(judged.verdict, Verdict::Valid, "{judged:?}");
    assert!(judged.reasons.iter().any(|why| why.contains("waited for")), "{judged:?}");
}
