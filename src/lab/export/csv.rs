//! Raw data as CSV (RFC 4180): a line a run and metric.

use std::fmt::Write as _;

use crate::lab::cell::{Outcome, Run};

/// Renders every run; what was not measured has one line with the reason.
pub fn render(runs: &[Run]) -> String {
    let mut csv = String::from("experiment,class,level,server,repeat,at_s,outcome,metric,value\n");
    for run in runs {
        let cell = &run.cell;
        let start = format!(
            "{},{},{},{},{},{}",
            cell.experiment.name(),
            cell.class,
            cell.level,
            quoted(&cell.subject.name),
            run.repeat + 1,
            run.at_s
        );
        match &run.outcome {
            Outcome::Measured(measurement) => {
                for (metric, value) in &measurement.values {
                    let _ = writeln!(csv, "{start},measured,{},{value}", metric.key());
                }
            }
            Outcome::Unsupported(why) => {
                let _ = writeln!(csv, "{start},{},,", quoted(&format!("unsupported: {why}")));
            }
            Outcome::Failed(why) => {
                let _ = writeln!(csv, "{start},{},,", quoted(&format!("failed: {why}")));
            }
        }
    }
    csv
}

fn quoted(field: &str) -> String {
    if field.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", field.replace('"', "\"\""))
    } else {
        field.to_owned()
    }
}
