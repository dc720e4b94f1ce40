//! What was found, as JSON: for scripts, and to keep beside the raw data.

use std::fmt::Write as _;

use serde::Serialize;

use super::text::commands_terminal;
use crate::lab::judge::decision::{Crossover, Decision, decide};
use crate::lab::judge::results::Results;

#[derive(Serialize)]
struct Found<'a> {
    #[serde(flatten)]
    results: &'a Results,
    decisions: Vec<Decision>,
    crossovers: Vec<Crossover>,
}

/// Renders summaries, judgements, slopes, decisions and crossovers.
pub(crate) fn render(results: &Results) -> String {
    let (decisions, crossovers) = decide(results);
    let found = Found { results, decisions, crossovers };
    // A value that JSON cannot tell would be one that is not finite, and summaries leave those out.
    let json =
        serde_json::to_string_pretty(&found).unwrap_or_else(|error| format!("{{\"error\": \"{error}\"}}"));
    without_commands(&json) + "\n"
}

/// With what a terminal obeys as escapes: it is in strings only, and JSON itself asks for that of ASCII alone.
fn without_commands(json: &str) -> String {
    let mut safe = String::with_capacity(json.len());
    for char in json.chars() {
        if char != '\n' && commands_terminal(char) {
            let _ = write!(safe, "\\u{:04x}", u32::from(char)); // four digits are enough for all of them
        } else {
            safe.push(char);
        }
    }
    safe
}
