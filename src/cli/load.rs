//! `oneloop load`: from arguments to a load and its report.

use std::ops::ControlFlow;
use std::time::{Duration, SystemTime};

use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use nix::unistd::gethostname;

use super::load_files::FileArgs;
use super::load_find::{FindArgs, RateArg};
use super::load_input::FileInput;
use super::load_raw::RawArgs;
use super::load_request::RequestArgs;
use super::load_values::ValuesArgs;
use super::protocol::{Protocol, RAW_TCP};
use super::services::{UseWorkload, WorkloadOptions, loadable, with_workload};
use super::start_time::StartTime;
use super::target::LoadTarget;
use super::typed_command::TypedCommand;
use super::units::{Bytes, Ms, count, seed, span};
use super::{Failure, load_find, load_table, stderr};
use crate::judge::figures::counted;
use crate::load::report::{Arrivals, Pace, Phase};
use crate::load::{
    Expectation, Flow, Plan, Report, RunError, RunProgress, SourceRange, Workload, notes, run_watched,
};
use crate::services::ServiceName;
use crate::sys::Signals;
use crate::sys::sink::Sink;

/// Put load on a server and measure it
///
/// Without --rate, each client sends its next request when it has received a reply (closed loop): this shows
/// what the server can do. With --rate, requests follow a schedule that slow replies do not delay (open
/// loop), and latency counts from the scheduled time: this is what users see at that rate. Replies are
/// checked byte for byte; HTTP replies with a status other than 2xx are counted by status.
#[derive(Debug, Args)]
#[command(after_long_help = AFTER_HELP, allow_negative_numbers = true)]
pub(super) struct LoadArgs {
    #[arg(value_name = "SERVICE@ADDR|URL", help = target_help())]
    target: LoadTarget,
    #[command(flatten)]
    load: ShapeArgs,
    #[command(flatten)]
    request: RequestArgs,
    #[command(flatten)]
    raw: RawArgs,
    #[command(flatten)]
    values: ValuesArgs,
    #[command(flatten)]
    time: TimeArgs,
    #[command(flatten)]
    find: FindArgs,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Load")]
struct ShapeArgs {
    /// Threads of the generator, if one core is not enough
    #[arg(short, long, value_name = "N", default_value = "1", value_parser = count::<1, 256>)]
    threads: u32,
    /// Active clients, one connection each (10k is 10000)
    #[arg(short, long, value_name = "N", default_value = "64", value_parser = count::<1, { u32::MAX }>)]
    clients: u32,
    /// Requests in flight per connection
    #[arg(long, value_name = "N", default_value = "1", value_parser = count::<1, 65_536>)]
    depth: u32,
    /// Size of a request: for message at most 255, for chargen the bytes to read [default: 64; chargen:
    /// 64KiB]
    #[arg(long, value_name = "SIZE")]
    bytes: Option<Bytes>,
    /// Requests per second in total: the open loop (10k is 10000); A:B changes evenly from A to B
    ///
    /// 100:5k shows at which rate the latency bends. With --find, A and B are the lowest and the highest rate
    /// tried, and a single rate is the first one tried.
    #[arg(short, long, value_name = "R|A:B")]
    rate: Option<RateArg>,
    /// How requests of the open loop are spaced [default: constant]
    #[arg(long, value_enum)]
    arrivals: Option<ArrivalsArg>,
    /// Use a new connection for each request; connecting is part of its latency
    #[arg(long)]
    churn: bool,
    /// Additional clients that only hold a connection; lost ones are counted
    #[arg(long, value_name = "N", default_value = "0", value_parser = count::<0, { u32::MAX }>)]
    idle: u32,
    /// Additional clients that send or read one byte per --slow-pause; half of them each if the service
    /// allows both
    #[arg(long, value_name = "N", default_value = "0", value_parser = count::<0, { u32::MAX }>)]
    slow: u32,
    /// Time between two bytes of a slow client [default: 100ms]
    #[arg(long, value_name = "TIME", value_parser = span::<1>)]
    slow_pause: Option<Ms>,
    /// Source addresses or blocks, used in turn [default: many of 127.0.0.0/8 for a server there, otherwise
    /// the system's choice]
    #[arg(long, value_name = "ADDR[/LEN],...", value_delimiter = ',')]
    source: Vec<SourceRange>,
    /// Repeat the bytes and arrivals of another run [default: from the clock, shown in the report]
    #[arg(long, value_name = "N", value_parser = seed)]
    seed: Option<u64>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Time")]
struct TimeArgs {
    /// When the load begins, with all clients connected: for several machines at once
    ///
    /// As 18:30:00 (today), 2026-01-31T18:30:00Z, or @SECONDS since 1970.
    #[arg(long, value_name = "TIME OF DAY")]
    start_at: Option<StartTime>,
    /// How long to measure [default: 10s; with --find 3s for a probe; with --replay-log as long as the log]
    #[arg(long, value_name = "TIME", value_parser = span::<1>)]
    duration: Option<Ms>,
    /// How long to run before measuring [default: 1s; with --find 500ms; with --replay-log 0]
    #[arg(long, value_name = "TIME")]
    warmup: Option<Ms>,
    /// Start the clients one after the other over this time, before the warm-up
    #[arg(long, value_name = "TIME", default_value = "0")]
    ramp: Ms,
    /// Send no request before all clients are connected; always so with --rate
    #[arg(long)]
    connect_first: bool,
    /// How long connecting may take
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = span::<1>)]
    connect_timeout: Ms,
    /// How long a reply may take, and how long the end of the run waits for replies
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = span::<1>)]
    reply_timeout: Ms,
    /// Length of the intervals in --csv, --json, --html and --hdr-log [default: 1s, or a tenth of a short
    /// run; a fiftieth of a run with --rate A:B]
    #[arg(long, value_name = "TIME", value_parser = span::<10>)]
    interval: Option<Ms>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Output")]
struct OutputArgs {
    /// A check, such as p99<5ms, max<1s, rate>=10k, errors<0.1%, status=200, 2xx>99%, missed=0, cpu<90% or
    /// lost=0; may be repeated
    ///
    /// All checks must hold. status=200 holds if every reply has that status; 2xx and 503 count replies by
    /// status. lost counts idle and slow clients. Implied checks, unless you give one of the kind: errors=0,
    /// missed=0, and for HTTP 2xx>0, or with --verify status 2xx=100%.
    #[arg(long, value_name = "CHECK")]
    expect: Vec<Expectation>,
    /// Print the name of each phase, as in --csv, on standard error when it begins: for programs that observe
    /// the server
    #[arg(long)]
    show_phases: bool,
    #[command(flatten)]
    files: FileArgs,
}

const AFTER_HELP: &str = "\
Examples:
  oneloop load echo@127.0.0.1:7007
      64 clients, each as fast as it gets replies
  oneloop load http://127.0.0.1:8000/ --rate 5k
      5000 requests per second, whatever the server does
  oneloop load http://127.0.0.1:8000/api/ -d @FILE -H 'X-Key: 7'
      the same POST again and again
  oneloop load tcp@127.0.0.1:6379 --send 'PING\\r\\n' --until '+PONG\\r\\n'
      raw TCP: Redis
  oneloop load message --churn --clients 100
      a new connection for each message
  oneloop load echo --idle 10k --rate 1k --arrivals poisson
      10,000 idle connections in addition to the active clients
  oneloop load echo --rate 2k --expect 'p99<5ms' --expect 'errors<0.1%'
      for scripts: exit code 3 unless both checks hold
  oneloop load echo --rate 100:20k --csv run.csv
      a rate that grows: where does the latency bend?
  oneloop load http://127.0.0.1:8000/ --find 'p99<5ms'
      the highest rate with a p99 below 5 ms, in at most 90 s
  oneloop load echo@unix:./echo.sock --json run.json --html run.html

Latency counts from the scheduled time of a request (closed loop: from when it is sent) to the last byte of its reply. \
discard sends no reply: its requests end when the kernel has taken them. Requests that failed or were never sent are not in \
the percentiles. Requests that have no reply at the end of the run, but are not late, count with the time they have waited. Errors count in the phase in which they happen.

More machines or more than one run: oneloop load merge --help, oneloop load compare --help.

Each run is judged: VALID, or why its numbers cannot be trusted: NOISY (the generator was disturbed, or the numbers \
contradict each other), GENERATOR-BOUND (the generator was the limit), PORT-STARVED (it lacked ports or descriptors), FAILED \
(errors, wrong replies, clients without a reply, or a rate that was not reached). --expect verdict=VALID makes that a check. A \
verdict is about the numbers alone: a run that is VALID may fail a check, and any status of HTTP is a reply.

Exit codes: 0 all checks hold, 1 no connection or a system error, 2 invalid arguments, 3 a check failed, or --find found no rate. \
Ctrl-C ends the run early and prints its report; a search prints its result so far.";

#[derive(Clone, Copy, Debug, ValueEnum)]
enum ArrivalsArg {
    /// At equal intervals
    Constant,
    /// At random, independently of each other
    Poisson,
}

fn target_help() -> String {
    format!("The server to load: a URL, or SERVICE@ADDR, with SERVICE one of {}", loadable())
}

impl LoadArgs {
    /// What the workload is made of.
    fn ask(&self) -> WorkloadOptions<'_> {
        let from_clock =
            || SystemTime::UNIX_EPOCH.elapsed().map_or(1, |since| u64::from(since.subsec_nanos()) + 1);
        WorkloadOptions {
            protocol: self.target.protocol,
            bytes: self.load.bytes.map(|bytes| bytes.0.into()),
            seed: self.load.seed.unwrap_or_else(from_clock),
            churn: self.load.churn,
            host: &self.target.host,
            path: &self.target.path,
            request: &self.request,
            raw: &self.raw,
            values: &self.values,
            input: FileInput::Read,
        }
    }

    /// The plan, if it makes sense with this workload.
    fn checked_plan(&self, seed: u64, workload: &impl Workload) -> Result<Plan, Failure> {
        let plan = self.plan(seed, workload);
        plan.check().map_err(Failure::usage)?;
        self.output.files.check()?;
        Ok(plan)
    }

    fn plan(&self, seed: u64, workload: &impl Workload) -> Plan {
        let LoadArgs { target, load, time, .. } = self;
        let span = |ms: Ms| Duration::from_millis(ms.0.into());
        let mut plan = Plan::new(target.address.clone());
        (plan.threads, plan.clients, plan.depth) = (load.threads, load.clients, load.depth);
        plan.start_at = time.start_at.map(|at| at.0);
        plan.churn = load.churn || workload.one_shot();
        (plan.idle, plan.slow, plan.slow_pause) =
            (load.idle, load.slow, load.slow_pause.map_or(plan.slow_pause, span));
        plan.pace = load.rate.map_or(Pace::Closed, |rate| rate.pace(self.arrivals()));
        let mut defaults = self.find.spans();
        if let Some(times) = self.request.replayed() {
            plan.recorded_ns = Some(times.due_ns.clone());
            plan.pace = Pace::Open { rate_per_second: times.rate_per_second(), arrivals: Arrivals::Recorded };
            defaults = (Duration::ZERO, times.span);
        }
        plan.ramp = span(time.ramp);
        (plan.warmup, plan.duration) =
            (time.warmup.map_or(defaults.0, span), time.duration.map_or(defaults.1, span));
        plan.connect_first = time.connect_first;
        plan.connect_timeout = span(time.connect_timeout);
        plan.reply_timeout = span(time.reply_timeout);
        let parts = if matches!(plan.pace, Pace::Ramp { .. }) { 50 } else { 10 };
        let part = (plan.duration / parts).clamp(Duration::from_millis(10), Duration::from_secs(1));
        plan.interval = time.interval.map_or(part, span);
        plan.sources.clone_from(&load.source);
        plan.seed = seed;
        plan
    }

    fn arrivals(&self) -> Arrivals {
        self.load.arrivals.map_or(Arrivals::Constant, Arrivals::from)
    }

    /// With a live view on standard error, if that is a terminal.
    fn watched(&self, plan: &Plan, workload: &impl Workload) -> Result<Report, Failure> {
        let signals = Signals::install().map_err(Failure::system)?;
        let bar = ProgressBar::with_draw_target(
            Some((plan.warmup + plan.duration).as_millis() as u64),
            stderr::progress_target(),
        );
        let style =
            ProgressStyle::with_template("{bar:12} {percent:>3} %  {wide_msg}").map_err(Failure::system)?;
        bar.set_style(style);
        let mut printed = None;
        let watcher = if self.output.show_phases { Sink::inherited(2).ok() } else { None };
        let done = run_watched(plan, workload, |progress| {
            show(&bar, progress);
            if let Some(watcher) = &watcher
                && printed.replace(progress.phase) != Some(progress.phase)
            {
                // Without a reader the run continues and its report is not lost.
                let _ = watcher.write_now(format!("{}\n", progress.phase.name()).as_bytes());
            }
            if signals.counts().stops() > 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        bar.finish_and_clear();
        done.map_err(|error| match error {
            RunError::Plan(error) => Failure::usage(error),
            error => Failure::system(error),
        })
    }
}

/// Rejects options that contradict each other or have no effect with a workload.
struct CheckPlan<'a> {
    args: &'a LoadArgs,
    typed: &'a TypedCommand,
}

impl UseWorkload for CheckPlan<'_> {
    type Output = Result<(), Failure>;

    fn with(self, workload: &impl Workload) -> Self::Output {
        let CheckPlan { args, typed } = self;
        if let Err(error) = args.plan(1, workload).check() {
            let what = error.to_string();
            // The message names the options that may be changed.
            let named = what.match_indices("--").filter_map(|(at, dashes)| {
                what[at + dashes.len()..].split(|c: char| c != '-' && !c.is_ascii_lowercase()).next()
            });
            let left = named.filter(|long| typed.has(long)).map(|long| typed.clone().without(long));
            return Err(Failure::Usage(match TypedCommand::first_valid(left.collect()) {
                Some(works) => format!("{what}; for example: {works}"),
                None => what,
            }));
        }
        let protocol = args.target.protocol;
        let paced = [(args.find.is_given(), "find"), (args.load.rate.is_some(), "rate")];
        if let (Flow::ToClient, Some((_, option))) =
            (workload.flow(), paced.iter().find(|(is_given, _)| *is_given))
        {
            let left = typed.clone().without(option);
            let why = if protocol == Protocol::RawTcp {
                "without --send, because the load only reads".to_owned()
            } else {
                format!("with {protocol}, which sends without requests")
            };
            return Err(Failure::Usage(format!("--{option} has no effect {why}; leave it out: {left}")));
        }
        Ok(())
    }
}

/// Rejects options that are wrong or without effect, as far as that needs no file and no server.
pub(super) fn check(args: &LoadArgs, typed: &TypedCommand) -> Result<(), Failure> {
    let LoadArgs { load, request, raw, values, time, find, output, .. } = args;
    let wrong = |what: String, works: TypedCommand| Err(Failure::Usage(format!("{what}: {works}")));
    let typed = || typed.clone();
    if load.arrivals.is_some() && load.rate.is_none() && !find.is_given() {
        let what = "--arrivals has no effect without --rate; for example".to_owned();
        return wrong(what, typed().with("rate", "1k"));
    }
    if load.slow_pause.is_some() && load.slow == 0 {
        let what = "--slow-pause has no effect without --slow; for example".to_owned();
        return wrong(what, typed().with("slow", "10"));
    }
    let protocol = args.target.protocol;
    let is_http = protocol == Protocol::Service(ServiceName::Http);
    let without_effect = [
        request.first_given().filter(|_| !is_http),
        values.is_given().then_some("--values").filter(|_| !is_http && protocol != Protocol::RawTcp),
        load.bytes.and(Some("--bytes")).filter(|_| is_http || protocol == Protocol::RawTcp),
    ];
    if let Some(option) = without_effect.into_iter().flatten().next() {
        let left = typed().without(option.trim_start_matches('-'));
        return wrong(format!("{option} has no effect with {protocol}; leave it out"), left);
    }
    if protocol != Protocol::RawTcp
        && let Some(option) = raw.first_given()
    {
        let server = typed().arguments().first().map(|server| (*server).to_owned()).unwrap_or_default();
        let works = typed().with_argument(&server, &format!("{RAW_TCP}@{}", args.target.address));
        return wrong(format!("{option} has no effect with {protocol}; for raw TCP"), works);
    }
    if load.threads > load.clients {
        let works = typed().with("threads", &load.clients.to_string());
        return wrong(
            "there must be at least as many clients as threads; raise --clients, or lower --threads"
                .to_owned(),
            works,
        );
    }
    if load.churn && load.depth > 1 {
        let what = "with a connection per request the depth must be 1; leave out --depth".to_owned();
        return wrong(what, typed().without("depth"));
    }
    if let Some(RateArg::FromTo(low, high)) = load.rate.filter(|_| find.is_given())
        && low > high
    {
        let rate = typed().values("rate").pop().unwrap_or_default();
        let turned = rate.split_once(':').map_or_else(String::new, |(low, high)| format!("{high}:{low}"));
        let what = "--rate A:B of a search has its lowest rate first; write".to_owned();
        return wrong(what, typed().with("rate", &turned));
    }
    if protocol == Protocol::RawTcp && !raw.has_end() {
        let works = typed().with("until", r"+PONG\r\n");
        let works = if works.has("send") { works } else { works.with("send", r"PING\r\n") };
        let what =
            "tcp needs --until, --until-bytes or --until-close: where a reply ends; for example".to_owned();
        return wrong(what, works);
    }
    if time.interval.is_some() && !output.files.has_series() {
        let what = "--interval has no effect without --csv, --json, --html or --hdr-log, which show the run over time; for example";
        return wrong(what.to_owned(), typed().with("csv", "run.csv"));
    }
    let ask = WorkloadOptions { input: FileInput::Assumed, ..args.ask() };
    with_workload(&ask, CheckPlan { args, typed: &typed() })?
}

/// Runs the load with its workload.
struct Measure<'a> {
    args: &'a LoadArgs,
    seed: u64,
}

impl UseWorkload for Measure<'_> {
    type Output = Result<Report, Failure>;

    fn with(self, workload: &impl Workload) -> Self::Output {
        let plan = self.args.checked_plan(self.seed, workload)?;
        if self.args.find.is_given() {
            let LoadArgs { find, load, output, request, .. } = self.args;
            let asked = (output.expect.as_slice(), request.status_checks());
            return find.search(&plan, workload, load.rate, self.args.arrivals(), asked);
        }
        self.args.watched(&plan, workload)
    }
}

impl From<ArrivalsArg> for Arrivals {
    fn from(arg: ArrivalsArg) -> Self {
        match arg {
            ArrivalsArg::Constant => Arrivals::Constant,
            ArrivalsArg::Poisson => Arrivals::Poisson,
        }
    }
}

/// Runs the load, writes its report, and fails if a check does not hold.
pub(super) fn run(args: &LoadArgs) -> Result<(), Failure> {
    let ask = args.ask();
    let mut report = with_workload(&ask, Measure { args, seed: ask.seed })??;
    let asked = [args.find.checks(), args.output.expect.as_slice()].concat();
    complete(&mut report, &asked, args.request.status_checks());
    let has_connected = report.connections.established > 0;
    args.output.files.write(&report, has_connected)?;
    if report.interrupted && report.connections.attempted == 0 {
        return Err(Failure::System("interrupted before the load began".to_owned()));
    }
    if !has_connected {
        let why = report.first_error.as_deref().unwrap_or("no connection");
        return Err(Failure::System(format!("{}: {}", report.configuration.target, with_help(why))));
    }
    if let Some(why) = load_find::failure(&report) {
        return Err(Failure::Check(why));
    }
    judged(&report)
}

/// Why there is no connection, and what to do. An error of the generator, against which a server does not
/// help, has that in it.
fn with_help(why: &str) -> String {
    let help = if why.contains("; ") { "" } else { "; start a server there, or use the address of one" };
    format!("{why}{help}")
}

/// An error if a check of the report failed.
pub(super) fn judged(report: &Report) -> Result<(), Failure> {
    let broken = report.checks.iter().filter(|check| !check.held);
    let failed: Vec<_> =
        broken.map(|check| format!("{} does not hold: {}", check.asked, check.seen)).collect();
    if failed.is_empty() { Ok(()) } else { Err(Failure::Check(failed.join("; "))) }
}

/// Adds to the report what describes it: its origin, the results of the checks, and the notes.
pub(super) fn complete(report: &mut Report, asked: &[Expectation], by_default: &[&str]) {
    if report.origin.host.is_empty() {
        let name = gethostname().map(|name| name.to_string_lossy().into_owned());
        report.origin.host = name.unwrap_or_default();
    }
    report.origin.date = jiff::Timestamp::from_nanosecond(report.origin.began_unix_ns.into())
        .map_or_else(|_| String::new(), |time| time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string());
    let checks = checks(report, asked, by_default);
    report.checks = checks.iter().map(|check| check.result(report)).collect();
    report.notes = notes(report);
}

/// The checks of the user, and each implied check unless the user has one of its kind.
fn checks(report: &Report, asked: &[Expectation], by_default: &[&str]) -> Vec<Expectation> {
    let mut checks = asked.to_vec();
    if !report.statuses.is_empty() && !checks.iter().any(Expectation::is_about_statuses) {
        checks.extend(by_default.iter().filter_map(|check| check.parse::<Expectation>().ok()));
    }
    checks.extend(load_find::implied(&checks, report.configuration.pace));
    checks
}

fn show(bar: &ProgressBar, progress: &RunProgress) {
    if bar.is_hidden() {
        return;
    }
    bar.set_position(progress.passed.as_millis() as u64);
    bar.set_message(live_line(progress));
}

/// What is happening, for the line that is shown meanwhile.
fn live_line(progress: &RunProgress) -> String {
    let errors = counted(progress.errors, "error", "errors");
    let phase = match progress.phase {
        Phase::Connecting if progress.phase_left > Duration::ZERO => {
            let (left_s, open) = (progress.phase_left.as_secs_f64(), progress.connections_open);
            return format!("the load begins in {left_s:.0} s, {open} connected, {errors}");
        }
        Phase::Connecting => "connecting",
        Phase::WarmUp => "warm-up",
        Phase::Measuring => "measuring",
        Phase::Draining => {
            let replies = counted(progress.outstanding, "reply", "replies");
            let left_s = progress.phase_left.as_secs();
            return format!("waiting for {replies}, {left_s} s at most; {errors}");
        }
    };
    format!(
        "{phase} {:.0}/s, p99 {}, {} connected, {errors}",
        progress.requests_per_second,
        load_table::time_of(progress.p99_ns, progress.p99_ns),
        progress.connections_open,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Alone {
        #[command(flatten)]
        args: LoadArgs,
    }

    struct Check<'a>(&'a LoadArgs, u64);

    impl UseWorkload for Check<'_> {
        type Output = Result<Plan, Failure>;

        fn with(self, workload: &impl Workload) -> Self::Output {
            self.0.checked_plan(self.1, workload)
        }
    }

    fn parsed(args: &[&str]) -> Result<Plan, String> {
        let alone = Alone::try_parse_from([&["x"], args].concat());
        let args = alone.map_err(|error| error.to_string())?.args;
        let ask = args.ask();
        let typed = TypedCommand::new(&["load".to_owned()]);
        let checked = check(&args, &typed).and_then(|()| with_workload(&ask, Check(&args, ask.seed)));
        let plan = checked.and_then(|plan| plan);
        plan.map_err(|failure| format!("{failure:?}"))
    }

    #[test]
    fn flags_become_a_plan_in_their_units() {
        let typed = "echo@127.0.0.1:7 --clients 10k --rate 1.5k/s --arrivals poisson --ramp 2s --duration 500ms \
                     --idle 1k --slow 4 --source 10.0.0.0/30,10.1.0.1 --seed 7 --depth 2";
        let plan = parsed(&typed.split_whitespace().collect::<Vec<_>>()).unwrap();
        assert_eq!((plan.clients, plan.idle, plan.slow, plan.depth, plan.seed), (10_000, 1_000, 4, 2, 7));
        assert_eq!(plan.pace, Pace::Open { rate_per_second: 1_500.0, arrivals: Arrivals::Poisson });
        assert_eq!((plan.ramp, plan.duration), (Duration::from_secs(2), Duration::from_millis(500)));
        assert_eq!((plan.interval, plan.sources.len()), (Duration::from_millis(50), 2));
    }

    #[test]
    fn a_server_is_no_help_against_an_error_of_the_generator() {
        let refused = "refused: nothing listens there";
        assert_eq!(with_help(refused), format!("{refused}; start a server there, or use the address of one"));
        let of_source = "a source address does not belong to this machine; change --source";
        assert_eq!(with_help(of_source), of_source);
    }

    #[test]
    fn contradictory_options_are_reported() {
        for (typed, part) in [
            ("echo --clients 1.5", "64, 10k or 1M"),
            ("echo --rate fast", "500, 10k or 1.5M"),
            ("echo --rate 0", "more than 0"),
            ("echo --clients 0", "at least 1"),
            ("echo --churn --depth 2", "the depth must be 1; leave out --depth"),
            (
                "echo --threads 8 --clients 4",
                "as many clients as threads; raise --clients, or lower --threads",
            ),
            ("tcp@127.0.0.1:1 --until x --rate 5", "--rate has no effect without --send, because"),
            ("http://127.0.0.1/ --replay-log f --find p99<1s", "'--find <CHECK>'"),
            ("http://127.0.0.1/ --replay-log f --replay-speed 2 --find p99<1s", "'--find <CHECK>'"),
            ("http://127.0.0.1/ --follow=x", "not a whole number; write it as 64"),
            ("echo --seed x", "not a whole number from 0"),
            ("echo --churn --connect-first", "before they send"),
            ("echo --bytes 0", "at least 1 byte"),
            ("message --bytes 256", "a request of message has at least 1 byte and at most 255"),
            ("chargen --rate 10", "--rate has no effect with chargen"),
            ("echo --arrivals poisson", "no effect without --rate"),
            ("echo --slow-pause 1s", "no effect without --slow;"),
            ("echo --interval 1s --hgrm x", "no effect without --csv, --json"),
            ("message --depth 2", "the depth must be 1"),
            ("message --connect-first", "before they send"),
            ("echo --source ::1", "as the server"),
            ("echo@unix:x --source 127.0.0.1", "Unix socket has none"),
            ("echo --json - --csv -", "--json and --csv"),
            ("echo --csv x --hgrm x", "--csv and --hgrm"),
            ("http://127.0.0.1/ --bytes 9", "--bytes has no effect with http; leave it out"),
            ("echo --expect p99<5", "p99<5ms"),
            ("echo --duration 0", "at least 1 ms"),
            ("echo --source 10.0.0.0/99", "10.0.0.0/24"),
        ] {
            let error = parsed(&typed.split_whitespace().collect::<Vec<_>>()).unwrap_err();
            assert!(error.contains(part), "{typed}: {error}");
        }
    }
}
