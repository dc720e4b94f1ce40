//! Rules for one file: no clock where time is an argument, `unsafe` only in its places, no path of a machine,
//! and lengths that a review should ask about.

use crate::lines_caught;
use crate::source::{Source, Token, Violation, reads};

/// Time is an argument here: nothing reads a clock or sleeps.
const CLOCKLESS: [&str; 5] =
    ["src/session/", "src/services/", "src/connection/", "src/limits.rs", "src/telemetry/"];
/// Beyond these a review asks whether the file is two nouns, or the function two verbs. They are loose on
/// purpose: a bound that pushes a type apart does more harm than a long file.
const FILE_LINES_MAX: usize = 1500;
const FUNCTION_LINES_MAX: usize = 150;
/// `max_width` of rustfmt.toml, which rustfmt itself does not ask of comments.
const COMMENT_WIDTH_MAX: usize = 110;
/// Where `unsafe` may be. The servers of the lecture do without the library, and call fork(2) themselves.
const UNSAFE_IN: [&str; 2] = ["src/sys/", "examples/lecture/shared.rs"];
/// A `// SAFETY:` stands at most this many lines above its `unsafe`.
const SAFETY_LINES_MAX: usize = 8;

pub(crate) fn time_is_an_argument(source: &Source) -> Vec<Violation> {
    if !source.is_under(&CLOCKLESS) {
        return Vec::new();
    }
    let tokens = source.tokens();
    let reads_clock = |at: &usize| {
        reads(&tokens, *at, &["Instant", ":", ":", "now"])
            || reads(&tokens, *at, &["SystemTime", ":", ":", "now"])
            || reads(&tokens, *at, &["Zoned", ":", ":", "now"])
            || reads(&tokens, *at, &["Timestamp", ":", ":", "now"])
            || reads(&tokens, *at, &[".", "elapsed", "("])
            || reads(&tokens, *at, &["sleep", "("])
            || tokens[*at].text == "clock_gettime"
    };
    (0..tokens.len())
        .filter(reads_clock)
        .map(|at| source.violation(tokens[at].line, "reads a clock or sleeps; here time is an argument"))
        .collect()
}

pub(crate) fn unsafe_stays_in_sys(source: &Source) -> Vec<Violation> {
    if !source.is_rust() {
        return Vec::new();
    }
    let lines: Vec<&str> = source.text.lines().collect();
    let explained = |line: usize| {
        lines[line.saturating_sub(SAFETY_LINES_MAX + 1)..line]
            .iter()
            .any(|line| line.contains("// SAFETY:") || line.contains("# Safety"))
    };
    let tokens = source.tokens();
    let what = |token: &Token<'_>| {
        if !source.is_under(&UNSAFE_IN) {
            Some("`unsafe` outside src/sys")
        } else if !explained(token.line) {
            Some("`unsafe` without `// SAFETY:`")
        } else {
            None
        }
    };
    let uses = tokens.iter().filter(|token| token.text == "unsafe");
    uses.filter_map(|token| what(token).map(|what| source.violation(token.line, what))).collect()
}

pub(crate) fn lengths_have_bounds(source: &Source) -> Vec<Violation> {
    if !source.is_rust() {
        return Vec::new();
    }
    let mut violations = Vec::new();
    let file_lines = source.text.lines().count();
    if file_lines > FILE_LINES_MAX {
        violations.push(source.violation(
            FILE_LINES_MAX,
            format!("{file_lines} lines; more than {FILE_LINES_MAX} want a review"),
        ));
    }
    let tokens = source.tokens();
    for (at, _) in tokens.iter().enumerate().filter(|(_, token)| token.text == "fn") {
        let Some((name, lines)) = function_at(&tokens, at) else { continue };
        if lines > FUNCTION_LINES_MAX {
            let what = format!("fn {name}: {lines} lines; more than {FUNCTION_LINES_MAX} want a review");
            violations.push(source.violation(tokens[at].line, what));
        }
    }
    violations
}

/// The name of the function whose `fn` is at `at`, and its lines; `None` for a type or a function without a
/// body.
fn function_at<'a>(tokens: &[Token<'a>], at: usize) -> Option<(&'a str, usize)> {
    let name = tokens.get(at + 1).filter(|token| token.text != "(")?;
    let open = (at..tokens.len()).find(|&i| matches!(tokens[i].text, "{" | ";"))?;
    let mut nesting = 0;
    for token in &tokens[open..] {
        match token.text {
            "{" => nesting += 1,
            "}" => nesting -= 1,
            _ => {}
        }
        if nesting == 0 {
            let lines = token.line - tokens[at].line + 1;
            return (token.text == "}").then_some((name.text, lines));
        }
    }
    None
}

/// Comments are as wide as code may be. Diagrams, tables and code in comments are left out.
pub(crate) fn comments_keep_their_width(source: &Source) -> Vec<Violation> {
    if !source.is_rust() {
        return Vec::new();
    }
    let (mut violations, mut is_code) = (Vec::new(), false);
    for (at, line) in source.text.lines().enumerate() {
        let comment = line.trim_start();
        if !comment.starts_with("//") {
            is_code = false;
            continue;
        }
        is_code ^= comment.contains("```");
        let is_drawn = is_code || comment.contains("   ") || comment.contains("| ");
        if !is_drawn && line.chars().count() > COMMENT_WIDTH_MAX {
            violations
                .push(source.violation(at + 1, format!("a comment wider than {COMMENT_WIDTH_MAX} columns")));
        }
    }
    violations
}

pub(crate) fn no_path_of_a_machine(source: &Source) -> Vec<Violation> {
    let paths = ["work", "root", "home"].map(|top| format!("/{top}/"));
    let is_absolute = |before: &str| !before.ends_with(|c: char| c.is_alphanumeric() || "._}".contains(c));
    let names_path = |line: &str| {
        paths.iter().any(|path| line.match_indices(path.as_str()).any(|(at, _)| is_absolute(&line[..at])))
    };
    let lines = source.text.lines().enumerate().filter(|(_, line)| names_path(line));
    lines
        .map(|(at, line)| source.violation(at + 1, format!("a path of some machine: {}", line.trim())))
        .collect()
}

#[test]
fn a_clock_where_time_is_an_argument_is_caught() {
    let caught = |path, text| lines_caught(time_is_an_argument, path, text);
    assert_eq!(
        caught("src/session/mod.rs", "let t = Instant::now();\nstd::thread::sleep(d);\nt.elapsed();"),
        [1, 2, 3]
    );
    assert_eq!(caught("src/services/daytime.rs", "SystemTime::now()"), [1]);
    assert_eq!(caught("src/reactor/mod.rs", "Instant::now()"), [] as [usize; 0]);
}

#[test]
fn unsafe_outside_its_fence_or_unexplained_is_caught() {
    let caught = |path, text| lines_caught(unsafe_stays_in_sys, path, text);
    assert_eq!(caught("src/reactor/mod.rs", "// SAFETY: it is not\nunsafe { f() }"), [2]);
    assert_eq!(caught("tests/any.rs", "unsafe { f() }"), [1]);
    assert_eq!(caught("src/sys/files.rs", "unsafe { f() }"), [1]);
    assert_eq!(caught("examples/lecture/shared.rs", "unsafe { f() }"), [1]);
    assert_eq!(caught("examples/lecture/fork.rs", "// SAFETY: f has no conditions.\nunsafe { f() }"), [2]);
    assert_eq!(
        caught("src/sys/files.rs", "// SAFETY: f has no conditions.\nunsafe { f() }"),
        [] as [usize; 0]
    );
}

#[test]
fn a_file_or_a_function_that_is_too_long_is_caught() {
    let caught = |path, text: &str| lines_caught(lengths_have_bounds, path, text);
    assert_eq!(caught("src/limits.rs", &"\n".repeat(FILE_LINES_MAX + 1)), [FILE_LINES_MAX]);
    assert_eq!(caught("src/limits.rs", &"\n".repeat(FILE_LINES_MAX)), [] as [usize; 0]);
    let function =
        |lines: usize| format!("fn a() {{\n{}'}}' }}\n", "';' '{' \"{\" r#\"}\"#;\n".repeat(lines - 2));
    assert_eq!(caught("src/limits.rs", &function(FUNCTION_LINES_MAX + 1)), [1]);
    assert_eq!(caught("src/limits.rs", &function(FUNCTION_LINES_MAX)), [] as [usize; 0]);
}

#[test]
fn a_comment_that_is_too_wide_is_caught() {
    let wide = "w".repeat(COMMENT_WIDTH_MAX);
    let text =
        format!("    // {wide}\n//! ```text\n//! {wide}\n//! ```\n/// {wide}\nlet a = \"// {wide}\";\n");
    assert_eq!(lines_caught(comments_keep_their_width, "src/limits.rs", &text), [1, 5]);
}

#[test]
fn a_path_of_a_machine_is_caught() {
    let text = ["a /wo", "rk/b\n/ho", "me/c"].concat();
    assert_eq!(lines_caught(no_path_of_a_machine, "README.md", &text), [1, 2]);
    assert_eq!(
        lines_caught(no_path_of_a_machine, "README.md", "/tmp/x, $HOME/.cache and a/root/b"),
        [] as [usize; 0]
    );
}
