//! Text that is safe to print.

/// Text for a terminal, in one line. Control characters, and those that change the direction of text, are
/// escaped: names, reasons and paths may come from raw data of another origin.
pub(crate) fn in_one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for char in text.chars() {
        if commands_terminal(char) { line.extend(char.escape_default()) } else { line.push(char) }
    }
    line
}

/// Whether it controls the terminal or the direction of the text around it.
pub(crate) fn commands_terminal(char: char) -> bool {
    char.is_control() || matches!(char, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}
