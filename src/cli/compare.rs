//! `oneloop compare`: from arguments to a comparison and its report.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use super::documents::print;
use super::typed_command::TypedCommand;
use super::units::{count, seed};
use super::words::{command, did_you_mean, typed};
use super::{Failure, stderr};
use crate::judge::figures::counted;
use crate::lab::again::Remeasurement;
use crate::lab::judge::results::Results;
use crate::lab::plan::comparison::{ATTEMPTS_DEFAULT, ATTEMPTS_MAX, ComparisonPlan, PlanStep, subjects};
use crate::lab::plan::experiment::{Experiment, Extent, REPEATS_MAX};
use crate::lab::plan::subject::{CoreClass, SubjectKind};
use crate::lab::report::{self, found};
use crate::lab::run::executor::Executor;
use crate::lab::run::outcome::Run;
use crate::lab::run::placement::{Placement, physical_core};
use crate::lab::run::raw::{self, FORMAT, Finding, Header};
use crate::lab::run::real::RealExecutor;
use crate::lab::run::steps::{Watcher, compare};
use crate::lab::sample::proc::cores_cpu;
use crate::models::{Model, UnknownModel};
use crate::plot::text::in_one_line;
use crate::sys::process::{cores, raise_descriptors_max};
use crate::sys::{Signals, signals};
use crate::time::in_words;

/// Compare server models and other servers on this machine
///
/// All models serve the same bytes in the same experiments, in random order, each time with a freshly started
/// server. Every result is judged, and results that cannot be trusted are marked. Runs that other processes
/// disturbed are measured again at the end: with --quick until two minutes are over, otherwise for up to a
/// fifth of the time of the planned runs. The raw data keeps every attempt. The expected duration is printed
/// at the start. Ctrl-C stops the comparison and reports the measurements so far.
#[derive(Debug, Args)]
#[command(after_long_help = AFTER_HELP, allow_negative_numbers = true)]
pub(super) struct CompareArgs {
    /// Take about two minutes: fewer experiments and levels, three short repeats, no decision table
    #[arg(long)]
    quick: bool,
    #[arg(long, value_name = "NAME,...", value_delimiter = ',', value_parser = experiment, help = EXPERIMENTS_HELP,
          long_help = experiments_help())]
    experiments: Vec<Experiment>,
    #[arg(long, value_name = "NAME,...", value_delimiter = ',', value_parser = model, help = models_help())]
    models: Vec<ModelChoice>,
    /// Another echo server to compare with; {port} in its command is replaced by a free port
    ///
    /// It is examined before the measurement: mistakes such as zombies, sockets that are not closed, or
    /// serving a single client at a time are printed and reported.
    #[arg(long, value_name = "NAME=COMMAND", value_parser = peer)]
    peer: Vec<(String, String)>,
    /// Processes of prefork and threads of prethread; several numbers are compared [default: 64]
    #[arg(long, value_name = "N,...", value_delimiter = ',', value_parser = count::<1, 4096>)]
    workers: Vec<u32>,
    /// How often to repeat each measurement: at least 5, with --quick at least 3 [default: the least]
    #[arg(long, value_name = "N", value_parser = count::<1, REPEATS_MAX>)]
    repeats: Option<u32>,
    /// The most attempts at a run that other processes disturb; 1 measures nothing again [default: 8]
    #[arg(long, value_name = "N", value_parser = count::<1, ATTEMPTS_MAX>)]
    attempts: Option<u32>,
    /// Repeat the order of another comparison [default: from the clock, printed at the start]
    #[arg(long, value_name = "N", value_parser = seed)]
    seed: Option<u64>,
    /// Directory for the report and the raw data [default: oneloop-compare-DATE; with --replay: that of FILE]
    #[arg(long, value_name = "DIR")]
    output: Option<PathBuf>,
    /// Make the report again from this raw data (raw.jsonl), without measuring
    #[arg(long, value_name = "FILE", conflicts_with_all = ["quick", "experiments", "models", "peer", "workers", "repeats", "attempts", "seed"])]
    replay: Option<PathBuf>,
}

const AFTER_HELP: &str = "\
Examples:
  oneloop compare --quick
      about two minutes
  oneloop compare
      all experiments with all models
  oneloop compare --experiments crowd,idle --models thread,reactor
  oneloop compare --peer 'socat=socat TCP-LISTEN:{port},fork EXEC:cat'
      with another echo server
  oneloop compare --experiments churn --workers 4,16,64
      prefork and prethread with 4, 16 and 64 workers
  oneloop compare --replay DIR/raw.jsonl
      the report again

Exit codes: 0 success, 1 interrupted or a system error, 2 invalid arguments.";

/// A model, or `none`, which compares peers only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ModelChoice {
    None,
    One(Model),
}

const EXPERIMENTS_HELP: &str = "Experiments to run [default: all]";

fn models_help() -> String {
    let names = Model::ALL.map(Model::name).join(", ");
    format!("Models to compare, of: {names}; none for peers only [default: all]")
}

fn experiments_help() -> String {
    let list =
        Experiment::ALL.map(|experiment| format!("\n  {:<7} {}", experiment.name(), experiment.question()));
    format!("{EXPERIMENTS_HELP}{}", list.concat())
}

fn experiment(name: &str) -> Result<Experiment, String> {
    let names = Experiment::ALL.map(Experiment::name);
    let unknown = || {
        let meant = did_you_mean(name, names);
        format!("unknown experiment; the experiments are {}{meant}", names.join(", "))
    };
    Experiment::named(name).ok_or_else(unknown)
}

fn model(name: &str) -> Result<ModelChoice, String> {
    if name == "none" {
        return Ok(ModelChoice::None);
    }
    name.parse().map(ModelChoice::One).map_err(|unknown: UnknownModel| {
        format!("{unknown}{}", did_you_mean(name, Model::ALL.map(Model::name)))
    })
}

fn peer(text: &str) -> Result<(String, String), String> {
    let (name, command) = text.split_once('=').ok_or("write a peer as NAME=COMMAND")?;
    if name.is_empty() || name.parse::<Model>().is_ok() {
        return Err(format!(
            "{name:?} is not a valid name for a peer: it is empty or the name of a model; choose another"
        ));
    }
    if !command.contains("{port}") {
        return Err("the command needs {port} in place of the port on which the peer listens".to_owned());
    }
    Ok((name.to_owned(), command.to_owned()))
}

/// Rejects options that have no effect, or leave nothing to compare.
pub(super) fn check(args: &CompareArgs, typed: &TypedCommand) -> Result<(), Failure> {
    if args.replay.is_some() {
        return Ok(());
    }
    let repeats_min = args.extent().repeats_min();
    if let Some(repeats) = args.repeats.filter(|repeats| *repeats < repeats_min) {
        let quick = if args.quick { "" } else { "; with --quick, 3" };
        return Err(Failure::Usage(format!(
            "--repeats {repeats}: a confidence interval needs at least {repeats_min}{quick}; write: {}",
            typed.clone().with("repeats", &repeats_min.to_string())
        )));
    }
    let models = args.models();
    if models.is_empty() && args.peer.is_empty() {
        return Err(Failure::Usage(format!(
            "nothing to compare: name a model or a --peer; for example: {}",
            typed.clone().with("models", "fork,reactor")
        )));
    }
    if !args.workers.is_empty() && !models.iter().any(|model| model.starts_ahead()) {
        return Err(Failure::Usage(format!(
            "--workers has no effect without prefork or prethread; leave it out, or name one of them in --models: {}",
            typed.clone().without("workers")
        )));
    }
    Ok(())
}

/// Compares, or makes a report again from raw data.
pub(super) fn run(args: &CompareArgs, typed: &TypedCommand) -> Result<(), Failure> {
    check(args, typed)?;
    if let Some(file) = &args.replay {
        return replay(file, args.output.as_deref());
    }
    let cores = cores();
    let used = used_shares();
    let placement = Placement::of(&cores, physical_core, |core| used.get(&core).copied().unwrap_or(0.0));
    let plan = plan(args, &placement);
    raise_descriptors_max();
    let signals = Signals::install().map_err(Failure::system)?;
    let counts = signals.counts();
    let stops_before = counts.stops();
    let mut executor = RealExecutor::new(placement, counts).map_err(Failure::system)?;
    compare_with(args, plan, &mut executor, &|| counts.stops() != stops_before)
}

/// How much of each core other processes use, looked at for a moment; empty where the system does not report
/// it.
fn used_shares() -> BTreeMap<usize, f64> {
    let began = Instant::now();
    let Some(before) = cores_cpu() else { return BTreeMap::new() };
    std::thread::sleep(USE_SEEN_FOR);
    let after = cores_cpu().unwrap_or_default();
    let seconds = began.elapsed().as_secs_f64();
    let share = |(core, before): &(usize, u64)| {
        let after = after.iter().find(|(other, _)| other == core)?.1;
        Some((*core, after.saturating_sub(*before) as f64 / 1e9 / seconds))
    };
    before.iter().filter_map(share).collect()
}

/// Some thirty ticks of 10 ms, in which the kernel reports the use of a core.
const USE_SEEN_FOR: Duration = Duration::from_millis(300);

impl CompareArgs {
    fn extent(&self) -> Extent {
        if self.quick { Extent::Quick } else { Extent::Full }
    }

    /// The models to compare, in their own order.
    fn models(&self) -> Vec<Model> {
        match self.models.as_slice() {
            [] => Model::ALL.to_vec(),
            chosen => {
                Model::ALL.into_iter().filter(|model| chosen.contains(&ModelChoice::One(*model))).collect()
            }
        }
    }
}

/// The plan of arguments that [`check`] accepts.
fn plan(args: &CompareArgs, placement: &Placement) -> ComparisonPlan {
    let extent = args.extent();
    let repeats = args.repeats.unwrap_or(extent.repeats_min());
    let subjects = subjects(&args.models(), &args.workers, &args.peer);
    let experiments = match args.experiments.as_slice() {
        [] if args.quick => Experiment::QUICK.to_vec(),
        [] => Experiment::ALL.to_vec(),
        chosen => Experiment::ALL.into_iter().filter(|experiment| chosen.contains(experiment)).collect(),
    };
    let classes = placement.classes();
    ComparisonPlan {
        experiments,
        subjects,
        cores_all: placement.server(CoreClass::AllCores).len() as u32,
        // A quick comparison has time for one class.
        classes: if args.quick { classes[..1].to_vec() } else { classes },
        extent,
        repeats,
        attempts_max: args.attempts.unwrap_or(ATTEMPTS_DEFAULT),
        seed: args.seed.unwrap_or_else(|| std::time::UNIX_EPOCH.elapsed().map_or(1, |since| since.as_secs())),
    }
}

/// Compares with any executor.
fn compare_with(
    args: &CompareArgs,
    mut plan: ComparisonPlan,
    executor: &mut dyn Executor,
    stop: &dyn Fn() -> bool,
) -> Result<(), Failure> {
    let now = jiff::Timestamp::now();
    let default = || PathBuf::from(format!("oneloop-compare-{}", now.strftime("%Y%m%dT%H%M%SZ")));
    let findings = check_servers(&mut plan, executor, stop)?;
    let directory = args.output.clone().unwrap_or_else(default);
    let raw = directory.join(report::RAW);
    fs::create_dir_all(&directory).map_err(|error| not_written(&directory, &error))?;
    let header = Header {
        format: FORMAT,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        command: typed(),
        started: now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        machine: executor.machine(),
        plan,
        findings,
    };
    let steps = header.plan.steps();
    let estimate = header.plan.estimate(&steps, header.machine.allowed());
    // A failure to print is reported with the table, after the files are written.
    let _ = print(forecast(&header, steps.len(), estimate, &directory).as_bytes());
    let mut bar = ProgressDisplay::new(&header, estimate);
    let mut again = Remeasurement::of(&header);
    let (runs, kept) = compare(&header, executor, &raw, &mut again, stop, &mut bar);
    bar.shown.finish_and_clear();
    if let Err(error) = kept {
        if runs.is_empty() {
            return Err(not_written(&raw, &error));
        }
        let made = format!("stopped {}", how_far(runs.len(), steps.len()));
        // Other files are likely to fail for the same reason, which is reported once.
        let _ = finish(&directory, &raw, header, &runs);
        return Err(Failure::System(format!("{}: {error}; {made}", raw.display())));
    }
    finish(&directory, &raw, header, &runs)?;
    if stop() {
        return Err(Failure::System(format!("interrupted {}", how_far(runs.len(), steps.len()))));
    }
    Ok(())
}

/// How far a comparison came that ended early.
fn how_far(runs: usize, planned: usize) -> String {
    let all = counted(planned as u64, "run", "runs");
    match runs.checked_sub(planned) {
        None => format!("after {runs} of {all}; the report has these"),
        Some(again) => format!("after {planned} of {all} and {again} measured again; the report has these"),
    }
}

/// Starts each server once, before anything is measured or written: all must serve the same bytes. Peers are
/// examined: the plan learns how many clients they serve at a time.
fn check_servers(
    plan: &mut ComparisonPlan,
    executor: &mut dyn Executor,
    stop: &dyn Fn() -> bool,
) -> Result<Vec<Finding>, Failure> {
    let mut findings = Vec::new();
    for subject in &mut plan.subjects {
        let examined = executor.check(subject).map_err(|why| match subject.as_model() {
            _ if stop() => Failure::System("interrupted before the first measurement".to_owned()),
            Some(_) => Failure::System(format!("{}: {why}", subject.name)),
            None => Failure::usage(format!("--peer {}: {why}", subject.name)),
        })?;
        if let SubjectKind::Peer { clients_at_once, .. } = &mut subject.kind {
            *clients_at_once = examined.clients_at_once;
        }
        let server = &subject.name;
        findings.extend(examined.findings.into_iter().map(|what| Finding { server: server.clone(), what }));
    }
    Ok(findings)
}

fn replay(file: &Path, output: Option<&Path>) -> Result<(), Failure> {
    signals::ignore_file_limit().map_err(Failure::system)?;
    let (header, runs) = raw::read(file).map_err(|error| unread(file, &error))?;
    let beside = file.parent().unwrap_or(Path::new("."));
    let directory = output.unwrap_or(beside);
    fs::create_dir_all(directory).map_err(|error| not_written(directory, &error))?;
    finish(directory, file, header, &runs)
}

/// Prints the table and writes the report. A file that cannot be written does not affect the others.
fn finish(directory: &Path, raw: &Path, header: Header, runs: &[Run]) -> Result<(), Failure> {
    let results = Results::of(header, runs);
    let width = comfy_table::Table::new().width();
    let printed = print(report::table::render(&results, width).as_bytes());
    report::write(directory, &results, runs).map_err(|(file, error)| {
        Failure::System(format!(
            "cannot write {}: {error}; make the report again from the raw data: oneloop compare --replay {} --output DIR",
            file.display(),
            raw.display()
        ))
    })?;
    let report = directory.join("report.html");
    printed.and(print((in_one_line(&format!("report: {}", report.display())) + "\n").as_bytes()))
}

fn forecast(header: &Header, steps: usize, estimate: Duration, directory: &Path) -> String {
    let plan = &header.plan;
    let quick = if plan.extent == Extent::Quick { "QUICK: " } else { "" };
    let experiments =
        plan.experiments.iter().map(|experiment| experiment.name()).collect::<Vec<_>>().join(", ");
    let subjects =
        plan.subjects.iter().map(|subject| in_one_line(&subject.name)).collect::<Vec<_>>().join(", ");
    let findings: String = header.findings.iter().map(|finding| found(finding) + "\n").collect();
    let again = match plan.attempts_max {
        1 => String::new(),
        _ => format!(
            "runs that other processes disturb are measured again, up to {} in all\n",
            in_words(longest(header, estimate))
        ),
    };
    format!(
        "{quick}{experiments}\nservers: {subjects}\n{findings}{}\n{} in {}, seed {}; takes about {}; Ctrl-C stops and \
         reports\n{again}raw data: {}\n",
        header.machine.placement,
        counted(steps as u64, "run", "runs"),
        counted(plan.repeats.into(), "repeat", "repeats"),
        plan.seed,
        in_words(Duration::from_secs(estimate.as_secs().max(1))),
        in_one_line(&directory.join(report::RAW).display().to_string())
    )
}

/// How long it takes with all that may be measured again.
fn longest(header: &Header, estimate: Duration) -> Duration {
    let until = Remeasurement::until(header.plan.extent, estimate).max(estimate);
    Duration::from_secs(until.as_secs().max(1))
}

/// Why a report cannot be made from this file.
fn unread(file: &Path, error: &std::io::Error) -> Failure {
    let word = file.display();
    let replay = |raw: &Path| command(&["compare", "--replay", &raw.display().to_string()]);
    let raw = Path::new("DIR").join(report::RAW);
    match error.kind() {
        ErrorKind::NotFound => Failure::Usage(format!(
            "--replay {word}: no such file; name the raw data of a comparison: {}",
            replay(&raw)
        )),
        ErrorKind::IsADirectory => {
            let inside = file.join(report::RAW);
            let raw = if inside.is_file() { &inside } else { &raw };
            Failure::Usage(format!("--replay {word}: is a directory; name the file: {}", replay(raw)))
        }
        ErrorKind::InvalidData => {
            let text = error.to_string();
            // What the parser of JSON reports is of no use to a user who names another file.
            let why = match text.split_once(": ") {
                Some((line, reason)) if reason.contains(" at line ") => {
                    format!("{line} is not from a comparison")
                }
                _ => text,
            };
            Failure::System(format!(
                "--replay {word}: {why}; the raw data that oneloop compare writes is {}, for example: {}",
                report::RAW,
                replay(&raw)
            ))
        }
        _ => Failure::System(format!("--replay {word}: cannot read it: {error}")),
    }
}

fn not_written(path: &Path, error: &std::io::Error) -> Failure {
    let hint = match error.kind() {
        ErrorKind::AlreadyExists => "; choose another --output, raw data is never overwritten",
        _ => "",
    };
    Failure::System(format!("cannot write {}: {error}{hint}", path.display()))
}

/// Progress on standard error: a bar on a terminal, otherwise one line per repeat.
struct ProgressDisplay {
    shown: ProgressBar,
    cells: usize,
    repeats: u32,
    /// How long it takes at most, for the runs that are measured again.
    longest: String,
}

impl ProgressDisplay {
    fn new(header: &Header, estimate: Duration) -> ProgressDisplay {
        let cells = header.plan.cells().len();
        let steps = cells as u64 * u64::from(header.plan.repeats);
        let bar = ProgressBar::with_draw_target(Some(steps), stderr::progress_target());
        let template = "{bar:30} {pos}/{len} {elapsed} of about {prefix}  {msg}";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.set_prefix(in_words(Duration::from_secs(estimate.as_secs().max(1))));
        ProgressDisplay {
            shown: bar,
            cells,
            repeats: header.plan.repeats,
            longest: in_words(longest(header, estimate)),
        }
    }
}

impl Watcher for ProgressDisplay {
    fn begins(&mut self, at: usize, step: &PlanStep) {
        let cell = &step.cell;
        let again = if step.attempt > 0 { "again: " } else { "" };
        let shown = format!("{again}{} {} {}", cell.experiment.name(), cell.subject.name, cell.level);
        self.shown.set_message(in_one_line(&shown));
        let planned = self.cells * self.repeats as usize;
        if step.attempt > 0 {
            self.shown.inc_length(1);
            self.shown.set_prefix(self.longest.clone());
            if self.shown.is_hidden() && at == planned {
                stderr::say(format_args!(
                    "measuring again what other processes disturbed, up to {} in all",
                    self.longest
                ));
            }
        } else if self.shown.is_hidden() && at.is_multiple_of(self.cells.max(1)) {
            stderr::say(format_args!("repeat {} of {}", step.repeat + 1, self.repeats));
        }
    }

    fn done(&mut self, _at: usize, _run: &Run) {
        self.shown.inc(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::mock::MockExecutor;
    use crate::lab::plan::comparison::WORKERS_DEFAULT;
    use clap::Parser;
    use std::cell::Cell;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        args: CompareArgs,
    }

    fn parsed(line: &[&str]) -> CompareArgs {
        Line::try_parse_from([&["compare"], line].concat()).unwrap().args
    }

    fn typed() -> TypedCommand {
        TypedCommand::new(&["compare".to_owned()])
    }

    fn two_cores() -> Placement {
        Placement::of(&[0, 1], |core| core, |_| 0.0)
    }

    fn files(directory: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(directory)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_comparison_writes_its_report_and_a_replay_writes_the_same_again() {
        let directory = tempfile::tempdir().unwrap();
        let output = directory.path().join("first");
        let args = parsed(&["--quick", "--seed", "5", "--output", output.to_str().unwrap()]);
        let plan = plan(&args, &two_cores());
        compare_with(&args, plan, &mut MockExecutor::default(), &|| false)
            .unwrap_or_else(|_| panic!("failed"));
        assert_eq!(files(&output), ["raw.csv", "raw.jsonl", "report.html", "results.json"]);

        let again = directory.path().join("again");
        let raw = output.join("raw.jsonl");
        let args = parsed(&["--replay", raw.to_str().unwrap(), "--output", again.to_str().unwrap()]);
        run(&args, &typed()).unwrap_or_else(|_| panic!("failed"));
        for name in ["raw.csv", "report.html", "results.json"] {
            assert!(
                fs::read(output.join(name)).unwrap() == fs::read(again.join(name)).unwrap(),
                "{name} differs"
            );
        }
    }

    #[test]
    fn an_interruption_keeps_and_reports_what_there_is() {
        let directory = tempfile::tempdir().unwrap();
        let args =
            parsed(&["--quick", "--experiments", "churn", "--output", directory.path().to_str().unwrap()]);
        let plan = plan(&args, &two_cores());
        let asked = Cell::new(0);
        let stop = || asked.replace(asked.get() + 1) >= 10;
        let done = compare_with(&args, plan, &mut MockExecutor::default(), &stop);
        assert!(matches!(done, Err(Failure::System(what)) if what.contains("5 of 18 runs")));
        assert_eq!(raw::read(&directory.path().join("raw.jsonl")).unwrap().1.len(), 5);
        let report = fs::read_to_string(directory.path().join("report.html")).unwrap();
        assert!(report.contains("Interrupted after 5 of 18 runs"));
    }

    #[test]
    fn raw_data_is_never_written_over() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("raw.jsonl"), "precious").unwrap();
        let args = parsed(&["--quick", "--output", directory.path().to_str().unwrap()]);
        let plan = plan(&args, &two_cores());
        let done = compare_with(&args, plan, &mut MockExecutor::default(), &|| false);
        assert!(matches!(done, Err(Failure::System(what)) if what.contains("another --output")));
        assert_eq!(fs::read_to_string(directory.path().join("raw.jsonl")).unwrap(), "precious");
    }

    #[test]
    fn an_impossible_comparison_is_reported_in_one_line() {
        for (line, part) in [
            (&["--experiments", "crwod"][..], "did you mean crowd?"),
            (&["--models", "forks"], "did you mean fork?"),
            (&["--peer", "other"], "NAME=COMMAND"),
            (&["--peer", "other=other 7007"], "needs {port}"),
            (&["--peer", "fork=x {port}"], "the name of a model"),
        ] {
            let error = Line::try_parse_from([&["compare"], line].concat()).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
        for line in [
            &["--repeats", "4"][..],
            &["--quick", "--repeats", "2"],
            &["--models", "none"],
            &["--models", "reactor", "--workers", "4"],
        ] {
            assert!(matches!(check(&parsed(line), &typed()), Err(Failure::Usage(_))), "{line:?}");
        }
    }

    #[test]
    fn copies_is_another_name_of_prefork_and_none_leaves_the_peers() {
        let planned = plan(&parsed(&["--models", "copies,reactor"]), &two_cores());
        let names: Vec<&str> = planned.subjects.iter().map(|subject| subject.name.as_str()).collect();
        assert_eq!(names, [format!("prefork\u{d7}{WORKERS_DEFAULT}").as_str(), "reactor"]);
        let args = parsed(&["--models", "none", "--peer", "a=b {port}"]);
        assert_eq!(plan(&args, &two_cores()).subjects.len(), 1);
    }
}
