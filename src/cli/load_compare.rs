//! `oneloop load compare`: two runs, and what changed from one to the other.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use super::Failure;
use super::documents::print;
use super::layout::{LineWidth, filled};
use super::load_report::read_report;
use super::units::seed;
use crate::judge::figures::{three_digits, time};
use crate::load::comparison::{
    COVERAGE, Change, ComparedQuantity, Difference, Regression, RegressionState, compare,
};
use crate::load::report::Verdict;
use crate::load::{Report, judged};

/// Compare two loads: what changed, and whether the data can decide it
///
/// Each change has an interval of 95 %, computed from how much both runs varied over time (a bootstrap over
/// blocks of their intervals). A change whose interval contains 0 is not decided. Two runs do not show how
/// much runs vary: alternate several runs of each version, and trust what all pairs show.
#[derive(Debug, Args)]
#[command(after_long_help = AFTER_HELP)]
pub(super) struct CompareRunsArgs {
    /// The report to compare with, as --json wrote it
    #[arg(value_name = "BEFORE")]
    before: PathBuf,
    /// The report to compare
    #[arg(value_name = "AFTER")]
    after: PathBuf,
    /// Fail if a quantity changed by more than this, such as p99>+5%, rate<-3% or errors>0.1%; may be
    /// repeated
    ///
    /// Latencies (mean, p50, p99.9 ...) and the rate change in percent, the share of errors in points. The
    /// condition is met if the whole interval of the change meets it.
    #[arg(long, value_name = "CHANGE", allow_hyphen_values = true)]
    fail_if: Vec<Regression>,
    /// Print the comparison as JSON
    #[arg(long)]
    json: bool,
    /// The seed of the intervals
    #[arg(long, value_name = "N", default_value = "1", value_parser = seed)]
    seed: u64,
}

const AFTER_HELP: &str = "\
Examples:
  oneloop load echo --json before.json
  oneloop load echo --json after.json
  oneloop load compare before.json after.json
  oneloop load compare before.json after.json --fail-if 'p99>+5%'
      for CI: exit code 3 if p99 is clearly more than 5 % higher

Exit codes: 0 no condition is met, 1 a system error, 2 invalid arguments, 3 a condition of --fail-if is met, 4 none is met and \
the data cannot decide about one: measure longer.";

/// Compares the reports, prints what changed, and fails if a condition is met.
pub(super) fn run(args: &CompareRunsArgs) -> Result<(), Failure> {
    let [before, after] = [read_report(&args.before)?, read_report(&args.after)?];
    let ignored = [before.note, after.note];
    let (before, after) = (before.report, after.report);
    let mut quantities = ComparedQuantity::ALL.to_vec();
    for regression in &args.fail_if {
        if !quantities.contains(&regression.quantity) {
            quantities.push(regression.quantity);
        }
    }
    let differences = compare(&before, &after, &quantities, args.seed);
    let conditions: Vec<Condition> =
        args.fail_if.iter().map(|regression| Condition::of(regression, &differences)).collect();
    let mut notes = notes(&before, &after);
    notes.extend(ignored.into_iter().flatten());
    if args.json {
        print(json(&differences, &conditions, &notes).as_bytes())?;
    } else {
        print(table(&differences, &conditions, &notes, LineWidth::of_stdout()).as_bytes())?;
    }
    let those = |met: RegressionState| {
        let all = conditions.iter().filter(|condition| condition.met == met);
        all.map(|condition| format!("{} {}", condition.asked, condition.seen)).collect::<Vec<_>>()
    };
    let (failed, undecided) = (those(RegressionState::Yes), those(RegressionState::Undecided));
    match (failed.is_empty(), undecided.is_empty()) {
        (false, _) => Err(Failure::Check(failed.join("; "))),
        (true, false) => Err(Failure::Undecided(format!("{}; measure longer", undecided.join("; ")))),
        (true, true) => Ok(()),
    }
}

/// A condition of `--fail-if` with its result.
struct Condition {
    asked: String,
    met: RegressionState,
    seen: String,
}

impl Condition {
    fn of(regression: &Regression, differences: &[Difference]) -> Condition {
        let found = differences.iter().find(|difference| difference.quantity == regression.quantity);
        let unit = regression.quantity.change_unit();
        let met =
            found.map_or(RegressionState::Undecided, |difference| regression.is_met(&difference.change));
        let interval = found.map_or_else(String::new, |difference| interval(&difference.change, unit));
        let seen = match met {
            RegressionState::Yes => format!("is met: {interval}"),
            RegressionState::No => format!("is not met: {interval}"),
            RegressionState::Undecided => format!("cannot be decided: {interval}"),
        };
        Condition { asked: regression.to_string(), met, seen }
    }
}

fn signed(change: f64) -> String {
    let sign = if change < 0.0 { "\u{2212}" } else { "+" };
    format!("{sign}{}", three_digits(change.abs()))
}

/// The interval of a change, or why there is none.
fn interval(change: &Change, unit: &str) -> String {
    match change {
        Change::Measured { low, high, .. } => format!("{} to {} {unit}", signed(*low), signed(*high)),
        Change::Unknown(why) => why.clone(),
    }
}

/// What a change means: better, worse, the same, or not decided.
fn decision(difference: &Difference) -> &'static str {
    let Change::Measured { low, high, .. } = difference.change else { return "" };
    let is_better = |is_higher: bool| is_higher == difference.quantity.is_better_high();
    match (low > 0.0, high < 0.0) {
        (true, _) if is_better(true) => "better",
        (true, _) => "worse",
        (_, true) if is_better(false) => "better",
        (_, true) => "worse",
        _ if low == 0.0 && high == 0.0 => "the same",
        _ => "not decided",
    }
}

fn shown(quantity: ComparedQuantity, value: f64) -> String {
    match quantity {
        ComparedQuantity::Rate => format!("{value:.0}/s"),
        ComparedQuantity::Errors => format!("{} %", three_digits(value)),
        ComparedQuantity::Mean | ComparedQuantity::Quantile(_) => time(value),
    }
}

/// What the columns before the changes take, and the least that changes take beside them.
const VALUES_COLUMNS: usize = 29;
const CHANGE_COLUMNS_MIN: usize = 20;

fn table(differences: &[Difference], conditions: &[Condition], notes: &[String], width: LineWidth) -> String {
    let is_narrow =
        matches!(width, LineWidth::Columns(columns) if columns < VALUES_COLUMNS + CHANGE_COLUMNS_MIN);
    let coverage = COVERAGE * 100.0;
    let mut text = if is_narrow {
        filled("", &format!("before, after; change, {coverage:.0} %"), 2, width)
    } else {
        format!("{:<7}{:>10}{:>10}  change, {coverage:.0} %\n", "", "before", "after")
    };
    for difference in differences {
        let quantity = difference.quantity;
        let [before, after] = difference
            .values
            .map_or(["-".to_owned(), "-".to_owned()], |values| values.map(|value| shown(quantity, value)));
        let lead = format!("{:<7}{before:>10}{after:>10}  ", quantity.to_string());
        let unit = quantity.change_unit();
        let change = match &difference.change {
            Change::Measured { change, .. } => format!(
                "{} {unit} ({}) {}",
                signed(*change),
                interval(&difference.change, unit),
                decision(difference)
            ),
            Change::Unknown(why) => why.clone(),
        };
        text += &if is_narrow {
            filled("", &format!("{quantity}: {before}, {after}; {change}"), 2, width)
        } else {
            filled(&lead, &change, 9, width)
        };
    }
    for condition in conditions {
        text += &filled("", &format!("{} {}", condition.asked, condition.seen), 2, width);
    }
    for note in notes {
        text += &filled("note: ", note, 6, width);
    }
    text
}

/// What must be equal for a comparison to mean something, where it is not, and runs that cannot be trusted.
fn notes(before: &Report, after: &Report) -> Vec<String> {
    let mut notes = Vec::new();
    let (one, other) = (&before.configuration, &after.configuration);
    let pace = |report: &Report| serde_json::to_string(&report.configuration.pace).unwrap_or_default();
    let mut differ = |what: &str, values: [String; 2]| {
        if values[0] != values[1] {
            notes.push(format!("the runs differ in {what}: {} and {}", values[0], values[1]));
        }
    };
    for (what, values) in one.request_differences(other) {
        differ(what, values);
    }
    differ("clients", [one.clients.to_string(), other.clients.to_string()]);
    differ("depth", [one.depth.to_string(), other.depth.to_string()]);
    differ("threads", [one.threads.to_string(), other.threads.to_string()]);
    differ("pace", [pace(before), pace(after)]);
    differ("machine", [before.origin.host.clone(), after.origin.host.clone()]);
    differ("program", [before.origin.program.clone(), after.origin.program.clone()]);
    for (name, report) in [("before", before), ("after", after)] {
        let judged = judged(report);
        if judged.verdict != Verdict::Valid {
            notes.push(format!("{name} is {}: {}", judged.verdict, judged.reasons.join("; ")));
        }
        notes.extend(report.notes.iter().map(|note| format!("{name}: {note}")));
    }
    notes
}

#[derive(Serialize)]
struct JsonComparison<'a> {
    coverage: f64,
    differences: Vec<JsonDifference>,
    conditions: Vec<JsonCondition<'a>>,
    notes: &'a [String],
}

#[derive(Serialize)]
struct JsonDifference {
    quantity: String,
    before: Option<f64>,
    after: Option<f64>,
    /// Of the three that follow.
    unit: &'static str,
    change: Option<f64>,
    low: Option<f64>,
    high: Option<f64>,
    decision: Option<&'static str>,
    reason: Option<String>,
}

#[derive(Serialize)]
struct JsonCondition<'a> {
    asked: &'a str,
    seen: &'a str,
    /// `null` if the data cannot decide.
    met: Option<bool>,
}

/// Names end with their units: latencies are in ns, the rate is per second, errors are in percent.
fn json(differences: &[Difference], conditions: &[Condition], notes: &[String]) -> String {
    let differences = differences.iter().map(|difference| {
        let (measured, reason) = match &difference.change {
            Change::Measured { change, low, high } => (Some((*change, *low, *high)), None),
            Change::Unknown(why) => (None, Some(why.clone())),
        };
        let unit = match difference.quantity {
            ComparedQuantity::Rate => "rate_per_s".to_owned(),
            ComparedQuantity::Errors => "errors_percent".to_owned(),
            latency => format!("{latency}_ns"),
        };
        JsonDifference {
            quantity: unit,
            before: difference.values.map(|values| values[0]),
            after: difference.values.map(|values| values[1]),
            unit: difference.quantity.change_unit(),
            change: measured.map(|measured| measured.0),
            low: measured.map(|measured| measured.1),
            high: measured.map(|measured| measured.2),
            decision: measured.map(|_| decision(difference)),
            reason,
        }
    });
    let conditions = conditions.iter().map(|Condition { asked, seen, met }| JsonCondition {
        asked,
        seen,
        met: match met {
            RegressionState::Yes => Some(true),
            RegressionState::No => Some(false),
            RegressionState::Undecided => None,
        },
    });
    let whole = JsonComparison {
        coverage: COVERAGE,
        differences: differences.collect(),
        conditions: conditions.collect(),
        notes,
    };
    // It has numbers and texts only, which JSON can always represent.
    serde_json::to_string_pretty(&whole).map_or_else(|error| error.to_string(), |json| json + "\n")
}
