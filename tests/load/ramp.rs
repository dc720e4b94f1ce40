//! How a load begins: in what order its clients come, and that it begins though some never can.

use std::ops::ControlFlow;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use oneloop::limits::Limits;
use oneloop::load::clients::EchoLoad;
use oneloop::load::{Client, Plan, ReplyStatus, Report, Workload, run, run_watched};
use oneloop::services::Echo;

use crate::common::full_queue::FullQueue;
use crate::common::inside::Inside;

const CLIENTS: u32 = 40;
/// A run that has not ended by then does not end.
const END_MAX: Duration = Duration::from_secs(30);

fn plan(server: &impl ToString) -> Plan {
    let mut plan = Plan::new(server.to_string().parse().unwrap());
    (plan.clients, plan.ramp) = (CLIENTS, Duration::from_millis(200));
    (plan.warmup, plan.duration) = (Duration::from_millis(20), Duration::from_millis(100));
    plan
}

/// Echo, and how many connections there were when the first request was asked for.
struct Counting {
    echo: EchoLoad,
    opened: AtomicU32,
    at_first: OnceLock<u32>,
}

struct Counted<'a>(<EchoLoad as Workload>::Client, &'a Counting);

impl<'a> Workload for &'a Counting {
    type Client = Counted<'a>;

    fn name(&self) -> &'static str {
        "echo"
    }

    fn open(&self, number: u32) -> Counted<'a> {
        self.opened.fetch_add(1, Ordering::Relaxed);
        Counted(self.echo.open(number), self)
    }
}

impl Client for Counted<'_> {
    fn request(&self, number: u64, sent: usize) -> &[u8] {
        self.1.at_first.get_or_init(|| self.1.opened.load(Ordering::Relaxed));
        self.0.request(number, sent)
    }

    fn reply(&mut self, number: u64, bytes: &[u8], ended: bool) -> ReplyStatus {
        self.0.reply(number, bytes, ended)
    }
}

/// How many were connected when the first asked.
fn connected_at_first(change: impl Fn(&mut Plan)) -> (u32, Report) {
    let echo = Inside::serve(Limits::default(), Echo);
    let mut plan = plan(&echo.addr());
    change(&mut plan);
    let workload =
        Counting { echo: EchoLoad::new(64, 1), opened: AtomicU32::new(0), at_first: OnceLock::new() };
    let report = run(&plan, &&workload).unwrap();
    assert_eq!(report.errors.total() + report.errors_before.total(), 0, "{:?}", report.first_error);
    assert_eq!(report.fairness.clients, u64::from(CLIENTS), "each client was answered");
    (*workload.at_first.get().unwrap(), report)
}

#[test]
fn a_client_of_a_ramp_asks_as_soon_as_it_is_connected() {
    assert!(connected_at_first(|_| ()).0 < CLIENTS / 2);
}

#[test]
fn asked_to_connect_first_no_client_asks_before_all_have_connected() {
    let (at_first, report) = connected_at_first(|plan| (plan.connect_first, plan.depth) = (true, 3));
    assert_eq!(at_first, CLIENTS);
    assert!(
        report.outstanding_mean > 2.9 * f64::from(CLIENTS),
        "{}: each at its depth",
        report.outstanding_mean
    );
}

/// As the clients come one after the other, one of them is always connecting.
#[test]
fn clients_that_never_get_a_connection_do_not_keep_a_run_from_its_end() {
    let server = FullQueue::new();
    let mut plan = plan(&server.addr);
    (plan.connect_timeout, plan.reply_timeout) = (Duration::from_millis(150), Duration::from_millis(50));
    let began = Instant::now();
    let report = run_watched(&plan, &EchoLoad::new(64, plan.seed), |_| match began.elapsed() {
        elapsed if elapsed > END_MAX => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    })
    .unwrap();
    assert!(!report.interrupted, "it has not ended");
    if cfg!(target_os = "linux") {
        assert!(report.errors_before.connect_timeout >= u64::from(CLIENTS) - 1, "{:?}", report.errors_before);
    }
}
