//! Rules for the commands that pages and headers show: a reader pastes them into an interactive shell. zsh
//! has no comments there (`INTERACTIVE_COMMENTS` is off), and refuses a word that is a pattern of file names
//! and matches none, such as a URL with a query.

use crate::lines_caught;
use crate::source::{Source, Violation};

/// The languages of fences that a reader types.
const SHELLS: [&str; 5] = ["sh", "bash", "zsh", "shell", "console"];
/// What code in a table begins with if it is a command.
const PROGRAMS: [&str; 5] = ["oneloop ", "cargo ", "curl ", "sudo ", "nc "];

/// Pages, and the headers of programs that a reader starts.
pub(crate) fn commands_can_be_pasted(source: &Source) -> Vec<Violation> {
    let is_header = source.is_rust() && source.is_under(&["benches/", "examples/"]);
    if !is_header && !source.has_extension("md") {
        return Vec::new();
    }
    let (mut violations, mut fence, mut shell) = (Vec::new(), None, Shell::default());
    for (at, line) in source.text.lines().enumerate() {
        let line = if is_header {
            let Some(header) = line.strip_prefix("//!") else { break };
            header.trim_start()
        } else {
            line.trim_start()
        };
        let mut mistakes = Vec::new();
        if let Some(language) = line.strip_prefix("```") {
            fence = if fence.is_none() { Some(language) } else { None };
            shell = Shell::default();
        } else if fence.is_some_and(|language| SHELLS.contains(&language)) {
            mistakes.extend(shell.mistake_in(line));
        } else if fence.is_none() && line.starts_with('|') {
            let spans = line.split('`').skip(1).step_by(2);
            let commands = spans.filter(|span| PROGRAMS.iter().any(|program| span.starts_with(program)));
            mistakes.extend(commands.filter_map(|command| Shell::default().mistake_in(command)));
        }
        violations.extend(mistakes.into_iter().map(|mistake| source.violation(at + 1, mistake)));
    }
    violations
}

/// How a shell reads a block, from line to line.
#[derive(Default)]
struct Shell {
    /// The quote that is open.
    quote: Option<char>,
}

impl Shell {
    fn mistake_in(&mut self, line: &str) -> Option<&'static str> {
        let (mut word, mut is_pattern, mut escaped) = (String::new(), false, false);
        for c in line.chars().chain(['\n']) {
            let is_end = c.is_whitespace() || ";&|()<>".contains(c);
            match self.quote {
                _ if escaped => escaped = false,
                Some('\'') if c != '\'' => {}
                _ if c == '\\' => escaped = true,
                Some(quote) if c == quote => self.quote = None,
                Some(_) => {}
                None if c == '#' && word.is_empty() => {
                    return Some("a comment among commands; say it in the text, or in a table");
                }
                None if is_end && is_pattern && word.contains([':', '@']) => {
                    return Some("`?`, `*` or `[` in an address without quotes");
                }
                None if is_end => {
                    word.clear();
                    is_pattern = false;
                    continue;
                }
                None if "'\"".contains(c) => self.quote = Some(c),
                None => is_pattern |= "?*[".contains(c) && !word.ends_with('$'),
            }
            word.push(c);
        }
        None
    }
}

#[test]
fn a_comment_among_commands_is_caught() {
    let caught = |path, text| lines_caught(commands_can_be_pasted, path, text);
    let page = "# Title\n```sh\necho a # b\n# c\necho '# d' \"${e#f}\" g#h \\# 'i\n# j'\n```\n# k\n";
    assert_eq!(caught("docs/any.md", page), [3, 4]);
    assert_eq!(caught("docs/any.md", "```console\n$ echo # a\n```\n```yaml\n# b\n```\n"), [2]);
    assert_eq!(caught("docs/any.md", "| `oneloop serve # a` | `#b` |\n"), [1]);
    assert_eq!(caught("examples/any.rs", "//! ```sh\n//! a # b\n//! ```\n\n/// ```sh\n/// # c\n"), [2]);
    assert_eq!(caught("src/any.rs", "//! ```sh\n//! a # b\n//! ```\n"), [] as [usize; 0]);
}

#[test]
fn an_address_that_zsh_takes_for_a_pattern_is_caught() {
    let page = "```sh\ncurl http://a/?b\noneloop serve echo@*:1\nrm trace.* 'c@*' d@\\*; [ $? = 4 ]\n```\n";
    assert_eq!(lines_caught(commands_can_be_pasted, "README.md", page), [2, 3]);
}
