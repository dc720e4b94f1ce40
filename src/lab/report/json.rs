//! The results as JSON, for scripts.

use std::fmt::Write as _;

use serde::Serialize;

use crate::lab::judge::decision::{Crossover, Decision, decide};
use crate::lab::judge::results::Results;
use crate::plot::text::commands_terminal;

#[derive(Serialize)]
struct JsonReport<'a> {
    #[serde(flatten)]
    results: &'a Results,
    decisions: Vec<Decision>,
    crossovers: Vec<Crossover>,
}

/// Renders summaries, verdicts, slopes, decisions and crossovers.
pub(crate) fn render(results: &Results) -> String {
    let (decisions, crossovers) = decide(results);
    let found = JsonReport { results, decisions, crossovers };
    // JSON has no numbers that are not finite; summaries leave those out.
    let json =
        serde_json::to_string_pretty(&found).unwrap_or_else(|error| format!("{{\"error\": \"{error}\"}}"));
    without_commands(&json) + "\n"
}

/// Escapes characters that control a terminal. They occur in strings only; JSON requires it for ASCII alone.
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
