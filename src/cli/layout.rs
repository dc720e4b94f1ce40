//! Text for terminals of any width.

use std::fmt::Write;

use terminal_size::{Width, terminal_size_of};

/// How wide lines may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LineWidth {
    /// A terminal with this many columns.
    Columns(usize),
    /// A file or a pipe: programs that read it look for whole lines.
    Unbroken,
}

/// Units that stay in the line of their number.
const UNITS: [&str; 10] = ["ns", "µs", "ms", "s", "%", "B/s", "kB/s", "MB/s", "GB/s", "MB"];
/// A terminal that is narrower than this gets lines of this length: the narrowest table needs them.
const COLUMNS_MIN: usize = 20;
/// With less room beside an indentation, lines begin further left.
const BESIDE_INDENT_MIN: usize = 12;
/// How far further lines are indented then.
const INDENT_MIN: usize = 2;
/// What a picture takes where the width is not known.
const PICTURE_COLUMNS: usize = 80;

impl LineWidth {
    /// The width of standard output.
    pub(super) fn of_stdout() -> Self {
        match terminal_size_of(std::io::stdout()) {
            Some((Width(columns @ 1..), _)) => LineWidth::Columns(usize::from(columns).max(COLUMNS_MIN)),
            _ => LineWidth::Unbroken,
        }
    }

    /// The columns for a picture.
    pub(super) fn picture(self) -> usize {
        match self {
            LineWidth::Columns(columns) => columns,
            LineWidth::Unbroken => PICTURE_COLUMNS,
        }
    }
}

/// Names in one column, values in the next; long values are wrapped within theirs. On a narrow terminal
/// values stand below their names.
pub(super) fn named(rows: &[(&str, String)], width: LineWidth) -> String {
    let indent = rows.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0) + 2;
    let is_narrow = matches!(width, LineWidth::Columns(columns) if columns < indent + BESIDE_INDENT_MIN);
    let mut text = String::new();
    for (name, value) in rows {
        if is_narrow {
            text += &filled("", name, 0, width);
            text += &filled(&" ".repeat(INDENT_MIN), value, INDENT_MIN, width);
        } else {
            text += &filled(&format!("{name:<indent$}"), value, indent, width);
        }
    }
    text
}

/// A paragraph that begins with `lead`; further lines are indented. A word that is longer than a line is
/// broken.
pub(super) fn filled(lead: &str, paragraph: &str, indent: usize, width: LineWidth) -> String {
    let LineWidth::Columns(columns) = width else { return format!("{lead}{paragraph}\n") };
    let indent = if columns < indent + BESIDE_INDENT_MIN { indent.min(INDENT_MIN) } else { indent };
    // A lead of blanks is an indentation, too.
    let lead = if lead.trim().is_empty() { &lead[..lead.len().min(indent)] } else { lead };
    let (mut text, mut column, mut is_first) = (lead.to_owned(), lead.chars().count(), true);
    for word in words(paragraph) {
        let mut word = word.as_str();
        let mut len = word.chars().count();
        let needed = len + usize::from(!is_first);
        // At its beginning a line has no more room for the word than the next one.
        if column + needed > columns && column > indent {
            text.truncate(text.trim_end_matches(' ').len());
            // Writing to a string does not fail.
            let _ = write!(text, "\n{:indent$}", "");
            column = indent;
        } else if !is_first {
            text.push(' ');
            column += 1;
        }
        // Bounded: each pass takes a character at least.
        while column + len > columns {
            let room = columns.saturating_sub(column).max(1);
            let at = word.char_indices().nth(room).map_or(word.len(), |(at, _)| at);
            let _ = write!(text, "{}\n{:indent$}", &word[..at], "");
            (word, column, len) = (&word[at..], indent, len - room);
        }
        text += word;
        (column, is_first) = (column + len, false);
    }
    text + "\n"
}

/// The words of a paragraph; a number and its unit are one word.
fn words(paragraph: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    for word in paragraph.split(' ') {
        let unit = word.trim_end_matches([',', ';', ')', '.', ':']);
        match words.last_mut() {
            Some(before) if UNITS.contains(&unit) && before.ends_with(|c: char| c.is_ascii_digit()) => {
                before.push(' ');
                before.push_str(word);
            }
            _ => words.push(word.to_owned()),
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_values_continue_below_their_beginning_and_units_stay_with_their_numbers() {
        let rows =
            [("requests", "12 (3.4 per second)".to_owned()), ("lag", "p50 1.20 ms, p99 3.40 ms".to_owned())];
        assert_eq!(
            named(&rows, LineWidth::Columns(24)),
            "requests  12 (3.4 per\n          second)\nlag       p50 1.20 ms,\n          p99 3.40 ms\n"
        );
        assert_eq!(named(&rows, LineWidth::Unbroken).lines().count(), 2);
        for columns in 20..100 {
            let text = named(&rows, LineWidth::Columns(columns));
            assert!(text.lines().all(|line| line.chars().count() <= columns), "{columns}:\n{text}");
        }
    }

    #[test]
    fn a_word_longer_than_a_line_is_broken_and_none_is_lost() {
        let url = format!("http@127.0.0.1:8000/{}?q=ä: closed loop", "long".repeat(20));
        for (lead, indent) in [("", 2), ("note: ", 6), ("verdict: ", 9), ("         ", 9)] {
            for columns in 20..140 {
                let text = filled(lead, &url, indent, LineWidth::Columns(columns));
                assert!(text.lines().all(|line| line.chars().count() <= columns), "{columns}:\n{text}");
                assert!(text.lines().all(|line| line == line.trim_end()), "{columns}:\n{text}");
                let kept = |text: &str| text.replace(['\n', ' '], "");
                assert_eq!(kept(&text), kept(&format!("{lead}{url}")), "{columns}");
            }
        }
        assert_eq!(
            filled("verdict: ", "GENERATOR-BOUND: it", 9, LineWidth::Columns(20)),
            "verdict:\n  GENERATOR-BOUND:\n  it\n"
        );
        assert_eq!(filled(&" ".repeat(9), "it ran", 9, LineWidth::Columns(20)), "  it ran\n");
        let rows = [("missed sends", "0".to_owned()), ("lag", "p50 1.20 ms, p99 3.40 ms".to_owned())];
        assert_eq!(
            named(&rows, LineWidth::Columns(20)),
            "missed sends\n  0\nlag\n  p50 1.20 ms, p99\n  3.40 ms\n"
        );
    }
}
