//! A load by several threads or machines: the reports join without loss, and two runs are compared.

use std::process::{Command, Output};
use std::time::{Duration, SystemTime};

use oneloop::load::clients::EchoLoad;
use oneloop::load::report::{Arrivals, Pace, Phase, RequestSettings};
use oneloop::load::{Plan, Report, merge, run};

use crate::common::Server;

fn plan(server: &mut Server) -> Plan {
    let mut plan = Plan::new(server.address("echo").tcp().to_string().parse().unwrap());
    (plan.clients, plan.threads) = (5, 2);
    (plan.warmup, plan.duration) = (Duration::from_millis(50), Duration::from_millis(300));
    plan.interval = Duration::from_millis(50);
    plan
}

#[test]
fn threads_share_the_clients_and_the_schedule_and_their_report_is_one() {
    let mut server = Server::serve(&["echo@127.0.0.1:0"]);
    for arrivals in [Arrivals::Constant, Arrivals::Poisson] {
        let mut plan = plan(&mut server);
        plan.pace = Pace::Open { rate_per_second: 2_000.0, arrivals };
        (plan.idle, plan.slow) = (3, 1);
        let report = run(&plan, &EchoLoad::new(64, plan.seed)).unwrap();
        assert_eq!(report.errors.total() + report.missed_sends, 0, "{:?}", report.first_error);
        assert_eq!((report.configuration.threads, report.configuration.clients), (2, 5));
        assert_eq!(report.configuration.pace, plan.pace);
        assert_eq!((report.fairness.clients, report.idle.connected, report.slow.connected), (5, 3, 1));
        assert_eq!(report.latency.count, report.requests_due, "every request that fell due has a latency");
        if arrivals == Arrivals::Constant {
            // Each thread's span begins with one of its turns: an arrival may be on the other side.
            assert!(report.requests_due.abs_diff(600) <= 2, "{}", report.requests_due);
        }
        let measured: Vec<_> = report.series.iter().filter(|it| it.phase == Phase::Measuring).collect();
        assert_eq!(measured.iter().map(|interval| interval.requests).sum::<u64>(), report.requests);
        assert!(measured.is_sorted_by_key(|interval| interval.start_ns), "{measured:?}");
    }
}

#[test]
fn a_given_start_is_kept_and_all_are_connected_before_it() {
    let mut server = Server::serve(&["echo@127.0.0.1:0"]);
    let mut plan = plan(&mut server);
    let start_at = SystemTime::now() + Duration::from_millis(400);
    plan.start_at = Some(start_at);
    let report = run(&plan, &EchoLoad::new(64, plan.seed)).unwrap();
    let start_ns = start_at.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_nanos() as u64;
    let warm_up = report.series.iter().find(|interval| interval.phase == Phase::WarmUp).unwrap();
    let began_ns = report.origin.began_unix_ns + warm_up.start_ns;
    // The two clocks are read one after the other.
    assert!(began_ns + 1_000_000 >= start_ns, "{} ns early", start_ns - began_ns);
    let before = report.series.iter().take_while(|interval| interval.phase == Phase::Connecting);
    let (sent, open) = before.fold((0, 0), |(sent, _), it| (sent + it.requests, it.clients_open));
    assert_eq!((sent, open), (0, 5), "connected, and silent");
    assert!(report.requests > 0);
}

fn oneloop(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_oneloop")).args(args).env_remove("RUST_LOG").output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// The report of a load as JSON, in a file.
fn measured(folder: &std::path::Path) -> (String, Report) {
    let mut server = Server::serve(&["echo@127.0.0.1:0"]);
    let target = format!("echo@{}", server.address("echo").tcp());
    let path = folder.join("run.json").display().to_string();
    let args = ["--clients=2", "--threads=2", "--warmup=20ms", "--duration=200ms", "--interval=20ms"];
    let done = oneloop(&[&["load", &target, "--json", &path][..], &args].concat());
    assert!(done.status.success(), "{done:?}");
    let report = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    (path, report)
}

#[test]
fn reports_of_several_machines_become_one() {
    let folder = tempfile::tempdir().unwrap();
    let (path, report) = measured(folder.path());
    let whole = folder.path().join("whole.json").display().to_string();
    let done = oneloop(&["load", "merge", &path, &path, "--json", &whole, "--expect", "p99<10s"]);
    assert!(done.status.success() && done.stderr.is_empty(), "{done:?}");
    assert!(text(&done.stdout).contains("4 clients") && text(&done.stdout).contains("busiest of 4 threads"));
    let merged: Report = serde_json::from_str(&std::fs::read_to_string(&whole).unwrap()).unwrap();
    assert_eq!(merged.requests, 2 * report.requests);
    assert_eq!(
        (merged.latency.count, merged.latency.p99_ns),
        (2 * report.latency.count, report.latency.p99_ns)
    );
    assert_eq!(merged.latency, merge(&[report.clone(), report.clone()]).unwrap().latency);
    let failed = oneloop(&["load", "merge", &path, &path, "--expect", "p99<1ns"]);
    assert_eq!(failed.status.code(), Some(3), "{failed:?}");
    let mut later = report;
    later.origin.began_unix_ns += 3_600_000_000_000;
    let late = folder.path().join("late.json");
    std::fs::write(&late, serde_json::to_string(&later).unwrap()).unwrap();
    let refused = oneloop(&["load", "merge", &path, late.to_str().unwrap()]);
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
    assert!(text(&refused.stderr).contains("--start-at"), "{refused:?}");
}

/// As in the log of a pod, which has both outputs.
#[test]
fn reports_are_read_from_logs_and_what_else_is_in_them_is_noted() {
    let folder = tempfile::tempdir().unwrap();
    let (path, _) = measured(folder.path());
    let log = folder.path().join("pod.log").display().to_string();
    let report = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&log, format!("{report}oneloop: errors=0 does not hold: it was 3\n")).unwrap();
    let note = format!("{log}: 1 line was left out around the report: \\\"oneloop: errors=0");
    for args in [&["merge", &path, &log, "--json=-"], &["compare", &path, &log, "--json"]] {
        let done = oneloop(&[&["load"][..], args].concat());
        assert!(done.status.success(), "{done:?}");
        assert!(text(&done.stdout).contains(&note), "{args:?}: {}", text(&done.stdout));
    }
}

#[test]
fn runs_with_other_requests_are_noted_and_not_merged() {
    let folder = tempfile::tempdir().unwrap();
    let (path, mut report) = measured(folder.path());
    let (get, put) = (folder.path().join("get.json"), folder.path().join("put.json"));
    for (file, method) in [(&get, "GET"), (&put, "PUT")] {
        let settings = RequestSettings { method: method.to_owned(), ..RequestSettings::default() };
        report.configuration.request = Some(settings);
        std::fs::write(file, serde_json::to_string(&report).unwrap()).unwrap();
    }
    let [get, put] = [get, put].map(|file| file.display().to_string());
    let compared = oneloop(&["load", "compare", &get, &put]);
    let noted = "note: the runs differ in the method: GET and PUT";
    assert!(text(&compared.stdout).contains(noted), "{compared:?}");
    let merged = oneloop(&["load", "merge", &get, &put]);
    assert_eq!(merged.status.code(), Some(2), "{merged:?}");
    assert!(text(&merged.stderr).contains("the runs differ in the method"), "{merged:?}");
    // A report of before has no method.
    assert!(oneloop(&["load", "merge", &path, &put]).status.success());
}

#[test]
fn a_comparison_ends_with_a_code_for_scripts() {
    let folder = tempfile::tempdir().unwrap();
    let (path, mut report) = measured(folder.path());
    // On a quiet machine: all intervals are alike, and in the other run twice as long.
    let one =
        report.series.iter().find(|it| it.phase == Phase::Measuring && it.requests > 0).unwrap().clone();
    let mut write = |path: &str, interval_ns: u64, clients| {
        let intervals = (0..20).map(|at| {
            let (start_ns, end_ns) = (at * interval_ns, (at + 1) * interval_ns);
            oneloop::load::report::Interval { start_ns, end_ns, ..one.clone() }
        });
        report.series = intervals.collect();
        (report.configuration.interval_ns, report.configuration.clients) = (interval_ns, clients);
        std::fs::write(path, serde_json::to_string(&report).unwrap()).unwrap();
    };
    let slower = folder.path().join("slower.json").display().to_string();
    write(&path, 20_000_000, 2);
    write(&slower, 40_000_000, 1);
    for (args, code, part) in [
        (&[][..], 0, ""),
        (&["--fail-if=rate<-10%"], 3, "rate<-10% is met: "),
        (&["--fail-if", "rate<-95%"], 0, ""),
        (&["--fail-if=p99.99999>5%"], 4, "too few for p99.99999"),
        (&["--fail-if=p99.99999>5%", "--fail-if=rate<-10%"], 3, "rate<-10% is met"),
        (&["--fail-if=p99>5ms"], 2, "p99>+5%"),
        (&["--fail-ix=p99>5%"], 2, "--fail-ix is not an option of load compare; did you mean --fail-if?"),
    ] {
        let done = oneloop(&[&["load", "compare", &path, &slower], args].concat());
        let said = text(&done.stderr);
        assert_eq!(done.status.code(), Some(code), "{args:?}: {done:?}");
        assert!(said.contains(part) && said.lines().count() == usize::from(code != 0), "{args:?}: {said}");
    }
    let shown = oneloop(&["load", "compare", &path, &slower]);
    for part in ["before", "after", "rate", "worse", "p99.9", "note: the runs differ in clients: 2 and 1"] {
        assert!(text(&shown.stdout).contains(part), "`{part}` in:\n{}", text(&shown.stdout));
    }
    let json = oneloop(&["load", "compare", &path, &slower, "--json", "--fail-if=rate<-10%"]);
    let json: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(
        (&json["conditions"][0]["met"], &json["differences"][0]["quantity"]),
        (&true.into(), &"rate_per_s".into())
    );
    for wrong in ["/no/such/file", "/dev/null"] {
        let done = oneloop(&["load", "compare", &path, wrong]);
        assert!(
            matches!(done.status.code(), Some(1 | 2)) && text(&done.stderr).lines().count() == 1,
            "{done:?}"
        );
    }
}
