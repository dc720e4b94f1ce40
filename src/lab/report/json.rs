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
            // A character beyond U+FFFF is a surrogate pair (RFC 8259, section 7).
            for unit in char.encode_utf16(&mut [0; 2]) {
                let _ = write!(safe, "\\u{unit:04x}");
            }
        } else {
            safe.push(char);
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_controls_a_terminal_is_escaped_and_read_again() {
        let name = "a\u{1b}b\u{2028}c\u{e0001}d";
        let json = without_commands(&format!("{{\n\"name\": \"{name}\"\n}}").replace('\u{1b}', "\\u001b"));
        assert_eq!(json, "{\n\"name\": \"a\\u001bb\\u2028c\\udb40\\udc01d\"\n}");
        let read: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(read["name"], name);
    }
}
