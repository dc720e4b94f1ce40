//! Text that is safe to print.

/// Text for a terminal, in one line. Characters that [`commands_terminal`] finds are escaped: names, reasons
/// and paths may come from raw data of another origin.
pub(crate) fn in_one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for char in text.chars() {
        if commands_terminal(char) { line.extend(char.escape_default()) } else { line.push(char) }
    }
    line
}

/// Whether it controls the terminal, ends a line, is invisible, or changes the direction of the text around
/// it: the categories Cc, Cf, Zl and Zp of Unicode.
pub(crate) fn commands_terminal(char: char) -> bool {
    char.is_control()
        || matches!(char, '\u{2028}' | '\u{2029}')
        || FORMATS.iter().any(|&(first, last)| (first..=last).contains(&char))
}

/// The category Cf (Unicode 16.0), in order. The unassigned U+E0002 to U+E001F are among the tags.
const FORMATS: [(char, char); 20] = [
    ('\u{ad}', '\u{ad}'),
    ('\u{600}', '\u{605}'),
    ('\u{61c}', '\u{61c}'),
    ('\u{6dd}', '\u{6dd}'),
    ('\u{70f}', '\u{70f}'),
    ('\u{890}', '\u{891}'),
    ('\u{8e2}', '\u{8e2}'),
    ('\u{180e}', '\u{180e}'),
    ('\u{200b}', '\u{200f}'),
    ('\u{202a}', '\u{202e}'),
    ('\u{2060}', '\u{2064}'),
    ('\u{2066}', '\u{206f}'),
    ('\u{feff}', '\u{feff}'),
    ('\u{fff9}', '\u{fffb}'),
    ('\u{110bd}', '\u{110bd}'),
    ('\u{110cd}', '\u{110cd}'),
    ('\u{13430}', '\u{1343f}'),
    ('\u{1bca0}', '\u{1bca3}'),
    ('\u{1d173}', '\u{1d17a}'),
    ('\u{e0001}', '\u{e007f}'),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn controls_separators_and_formats_are_escaped_and_other_text_is_kept() {
        for (text, expected) in [
            ("a\nb\u{1b}[2J\u{7f}\u{9b}", r"a\nb\u{1b}[2J\u{7f}\u{9b}"),
            ("a\u{2028}b\u{2029}c", r"a\u{2028}b\u{2029}c"),
            (
                "\u{200b}\u{200e}\u{202e}\u{2066}\u{feff}\u{ad}",
                r"\u{200b}\u{200e}\u{202e}\u{2066}\u{feff}\u{ad}",
            ),
            ("\u{61c}\u{fff9}\u{e0001}\u{e007f}\u{1d173}", r"\u{61c}\u{fff9}\u{e0001}\u{e007f}\u{1d173}"),
            (
                "é \u{a0}–\u{2027}\u{202f}\u{3000}日本 \u{1f600}",
                "é \u{a0}–\u{2027}\u{202f}\u{3000}日本 \u{1f600}",
            ),
        ] {
            assert_eq!(in_one_line(text), expected, "{expected}");
        }
    }
}
