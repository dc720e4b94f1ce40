//! Raw data as CSV (RFC 4180): a line for each metric of a run, and one for each number that the verdict
//! rests on.
//!
//! Columns: `experiment`, `class` of cores, `level` (what the experiment varies), `server`, `repeat` (from
//! 1), `attempt` at it (from 1; more than one where other processes disturbed those before), `at_s` (seconds
//! from the start of the comparison to the end of the run), `outcome` (`measured`; or `unsupported` or
//! `failed` with the reason, and then the last two columns are empty), `metric` (ends with its unit) and
//! `value`. Numbers that the verdict rests on have the prefix `evidence_`.

use std::fmt::Write as _;

use crate::judge::evidence::Evidence;
use crate::lab::run::outcome::{Run, RunOutcome};
use crate::plot::text::in_one_line;

/// Renders every run; a run that was not measured has one line with the reason.
pub(crate) fn render(runs: &[Run]) -> String {
    let mut csv = String::from("experiment,class,level,server,repeat,attempt,at_s,outcome,metric,value\n");
    for run in runs {
        let cell = &run.cell;
        let start = format!(
            "{},{},{},{},{},{},{}",
            cell.experiment.name(),
            cell.class,
            cell.level,
            quoted(&cell.subject.name),
            run.repeat + 1,
            run.attempt + 1,
            run.at_s
        );
        match &run.outcome {
            RunOutcome::Measured(measurement) => {
                for (metric, value) in &measurement.values {
                    let _ = writeln!(csv, "{start},measured,{},{value}", metric.key());
                }
                for (name, value) in evidence(&measurement.evidence) {
                    let _ = writeln!(csv, "{start},measured,evidence_{name},{value}");
                }
            }
            RunOutcome::Unsupported(why) => {
                let _ = writeln!(csv, "{start},{},,", quoted(&format!("unsupported: {why}")));
            }
            RunOutcome::Failed(why) => {
                let _ = writeln!(csv, "{start},{},,", quoted(&format!("failed: {why}")));
            }
        }
    }
    csv
}

/// What was sampled, by a name that ends with the unit.
fn evidence(evidence: &Evidence) -> Vec<(&'static str, f64)> {
    let Evidence { errors, .. } = evidence;
    let sampled = [
        ("generator_cpu_share", evidence.generator_cpu),
        ("server_cpu_share", evidence.server_cpu),
        ("others_cpu_cores", evidence.others_cpu),
        ("others_on_server_cores", evidence.others_beside_server),
        ("others_on_generator_cores", evidence.others_beside_generator),
        ("server_waited_threads", evidence.server_waited),
        ("generator_waited_threads", evidence.generator_waited),
        ("target_per_s", evidence.target_per_s),
        ("achieved_per_s", evidence.achieved_per_s),
        ("in_flight_requests", evidence.in_flight),
        ("latency_mean_us", evidence.latency_mean_us),
        ("answered_requests", Some(evidence.requests as f64)),
        ("missed_sends", Some(evidence.missed as f64)),
        ("listen_overflows", evidence.listen_overflows.map(|count| count as f64)),
        ("not_sampled_ms", evidence.not_sampled_ms),
        ("errors_of_server", Some(errors.of_server() as f64)),
        ("errors_of_generator", Some(errors.of_generator() as f64)),
    ];
    sampled.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}

fn quoted(field: &str) -> String {
    let field = in_one_line(field);
    if field.contains([',', '"']) { format!("\"{}\"", field.replace('"', "\"\"")) } else { field }
}
