//! `oneloop load merge`: the reports of several machines as one.

use std::path::PathBuf;

use clap::Args;

use super::Failure;
use super::load::{complete, judged};
use super::load_files::FileArgs;
use super::load_report::read_report;
use crate::load::{Expectation, merge};

/// Join the reports of loads that ran at the same time on several machines
///
/// Requests and rates add up. Latencies are those of all requests: histograms are added without loss, and
/// percentiles are never averaged. Start the loads together with --start-at.
#[derive(Debug, Args)]
#[command(after_long_help = AFTER_HELP)]
pub(super) struct MergeArgs {
    /// Reports that `oneloop load --json` wrote
    #[arg(value_name = "FILE", required = true, num_args = 1..)]
    reports: Vec<PathBuf>,
    /// A check of the joined report, such as p99<5ms; may be repeated
    #[arg(long, value_name = "CHECK", help_heading = "Output")]
    expect: Vec<Expectation>,
    #[command(flatten)]
    files: FileArgs,
}

const AFTER_HELP: &str = "\
Examples:
  oneloop load merge a.json b.json
      two machines as one
  oneloop load merge *.json --json all.json --html all.html --expect 'p99<5ms'

Exit codes: 0 all checks hold, 1 a system error, 2 invalid arguments or runs that were not measured together, 3 a check \
failed.";

/// Joins the reports, and writes the whole.
pub(super) fn run(args: &MergeArgs) -> Result<(), Failure> {
    args.files.check()?;
    let stored = args.reports.iter().map(|path| read_report(path)).collect::<Result<Vec<_>, _>>()?;
    let (reports, ignored): (Vec<_>, Vec<_>) =
        stored.into_iter().map(|stored| (stored.report, stored.note)).unzip();
    let mut whole = merge(&reports).map_err(|error| {
        let names: Vec<String> = args.reports.iter().map(|path| path.display().to_string()).collect();
        Failure::Usage(format!("cannot merge {}: {error}", names.join(", ")))
    })?;
    // A server that answers each request with an error would look fast.
    complete(&mut whole, &args.expect, &["2xx>0"]);
    whole.notes.extend(ignored.into_iter().flatten());
    args.files.write(&whole, true)?;
    judged(&whole)
}
