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
/// A terminal that is narrower than this is as good as this wide: words do not fit anyway.
const COLUMNS_MIN: usize = 24;
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

/// Names in one column, values in the next; long values are wrapped within theirs.
pub(super) fn named(rows: &[(&str, String)], width: LineWidth) -> String {
    let indent = rows.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0) + 2;
    let mut text = String::new();
    for (name, value) in rows {
        let lead = format!("{name:<indent$}");
        text += &filled(&lead, value, indent, width);
    }
    text
}

/// A paragraph that begins with `lead`; further lines are indented.
pub(super) fn filled(lead: &str, paragraph: &str, indent: usize, width: LineWidth) -> String {
    let LineWidth::Columns(columns) = width else { return format!("{lead}{paragraph}\n") };
    let (mut text, mut column, mut is_first) = (lead.to_owned(), lead.chars().count(), true);
    for word in words(paragraph) {
        let len = word.chars().count();
        if !is_first && column + 1 + len > columns {
            // Writing to a string does not fail.
            let _ = write!(text, "\n{:indent$}", "");
            column = indent;
        } else if !is_first {
            text.push(' ');
            column += 1;
        }
        text += &word;
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
        for columns in 24..100 {
            let text = named(&rows, LineWidth::Columns(columns));
            assert!(text.lines().all(|line| line.chars().count() <= columns), "{columns}:\n{text}");
        }
    }
}
