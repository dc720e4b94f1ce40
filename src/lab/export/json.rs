//! What was found, as JSON: for scripts, and to keep beside the raw data.

use serde::Serialize;

use crate::lab::decision::{Crossover, Decision, decide};
use crate::lab::results::Results;

#[derive(Serialize)]
struct Found<'a> {
    #[serde(flatten)]
    results: &'a Results,
    decisions: Vec<Decision>,
    crossovers: Vec<Crossover>,
}

/// Renders summaries, judgements, slopes, decisions and crossovers.
pub fn render(results: &Results) -> String {
    let (decisions, crossovers) = decide(results);
    let found = Found { results, decisions, crossovers };
    // A value that JSON cannot tell would be one that is not finite, and summaries leave those out.
    let mut json =
        serde_json::to_string_pretty(&found).unwrap_or_else(|error| format!("{{\"error\": \"{error}\"}}"));
    json.push('\n');
    json
}
