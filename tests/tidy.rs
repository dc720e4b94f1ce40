//! The rules of the house, as an ordinary test: who may import whom, who may name mio, slab and the clock, where `unsafe`
//! lives, and how long files and functions get. Each rule has a test that plants a violation and sees it caught.

use std::fmt::{self, Write as _};
use std::fs;
use std::path::Path;

/// Rooms of the house, lowest first; a room may import lower ones only. Rooms of one row do not import each other.
const ROOMS: [&[&str]; 11] = [
    &["limits", "judge"],
    &["session"],
    &["services", "time"],
    &["telemetry"],
    &["connection"],
    &["admission"],
    &["reactor"],
    &["models", "load"],
    &["lab"],
    &["cli"],
    &["main"],
];

/// Only these may name mio.
const MIO_USERS: [&str; 3] = ["src/reactor/", "src/connection/transport", "src/load/"];
/// Only these may name slab.
const SLAB_USERS: [&str; 2] = ["src/reactor/", "src/load/"];
/// Time is an argument here: nothing reads a clock or sleeps.
const CLOCKLESS: [&str; 5] =
    ["src/session/", "src/services/", "src/connection/", "src/limits.rs", "src/telemetry/"];

/// Bounds of length, in lines. Tests tell a story from its beginning, so theirs are looser.
const FILE_LINES_MAX: usize = 500;
const FUNCTION_LINES_MAX: usize = 75;
const TEST_FILE_LINES_MAX: usize = 600;
const TEST_FUNCTION_LINES_MAX: usize = 100;
/// A `// SAFETY:` stands at most this many lines above its `unsafe`.
const SAFETY_LINES_MAX: usize = 8;

/// One file: its path from the root of the repository, with `/`, and its text.
struct Source {
    path: String,
    text: String,
}

#[derive(Debug)]
struct Violation {
    path: String,
    line: usize,
    what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.what)
    }
}

/// An identifier, or one character of punctuation; comments, strings and lifetimes are left out.
struct Token<'a> {
    text: &'a str,
    line: usize,
}

impl Source {
    fn is_rust(&self) -> bool {
        Path::new(&self.path).extension().is_some_and(|extension| extension == "rs")
    }

    fn is_under(&self, places: &[&str]) -> bool {
        places.iter().any(|place| self.path.starts_with(place))
    }

    fn violation(&self, line: usize, what: impl Into<String>) -> Violation {
        Violation { path: self.path.clone(), line, what: what.into() }
    }

    /// The room it belongs to, `None` outside `src` and for `lib.rs`, which only lists the rooms.
    fn room(&self) -> Option<&str> {
        let path = self.path.strip_prefix("src/")?;
        let room = path.split('/').next()?.trim_end_matches(".rs");
        (room != "lib").then_some(room)
    }

    /// How many modules deep it lies: 1 for `src/a.rs` and `src/a/mod.rs`, 2 for `src/a/b.rs`.
    fn depth(&self) -> usize {
        let parts = self.path.split('/').count() - 1;
        if self.path.ends_with("/mod.rs") { parts - 1 } else { parts }
    }

    fn tokens(&self) -> Vec<Token<'_>> {
        let (text, mut tokens, mut at, mut line) = (self.text.as_str(), Vec::new(), 0, 1);
        while at < text.len() {
            let rest = &text[at..];
            let first = rest.chars().next().expect("a character boundary");
            let skipped = skip_len(rest);
            let len = if skipped > 0 {
                skipped
            } else if first.is_alphanumeric() || first == '_' {
                let len = rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len());
                tokens.push(Token { text: &rest[..len], line });
                len
            } else {
                if !first.is_whitespace() {
                    tokens.push(Token { text: &rest[..first.len_utf8()], line });
                }
                first.len_utf8()
            };
            line += rest[..len].matches('\n').count();
            at += len;
        }
        tokens
    }
}

/// How long the comment, string, character or lifetime at the front of `rest` is; 0 if there is none.
fn skip_len(rest: &str) -> usize {
    if rest.starts_with("//") {
        return rest.find('\n').unwrap_or(rest.len());
    }
    if rest.starts_with("/*") {
        return rest.find("*/").map_or(rest.len(), |end| end + 2);
    }
    let unprefixed = rest.strip_prefix('b').unwrap_or(rest);
    let unprefixed = unprefixed.strip_prefix('c').unwrap_or(unprefixed);
    let raw = unprefixed.strip_prefix('r').map(|raw| (raw, raw.bytes().take_while(|&b| b == b'#').count()));
    if let Some((raw, hashes)) = raw
        && raw[hashes..].starts_with('"')
    {
        let end = format!("\"{}", "#".repeat(hashes));
        let body = rest.len() - raw.len() + hashes + 1;
        return rest[body..].find(&end).map_or(rest.len(), |at| body + at + end.len());
    }
    let prefix_len = rest.len() - unprefixed.len();
    if unprefixed.starts_with('"') {
        return prefix_len + quoted_len(unprefixed, '"');
    }
    if let Some(inner) = unprefixed.strip_prefix('\'') {
        let mut chars = inner.chars();
        let (first, second) = (chars.next(), chars.next());
        if first == Some('\\') || second == Some('\'') {
            return prefix_len + quoted_len(unprefixed, '\'');
        }
        let name = inner.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(inner.len());
        return prefix_len + 1 + name; // a lifetime
    }
    0
}

fn quoted_len(quoted: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in quoted.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if c == quote => return at + 1,
            _ => {}
        }
    }
    quoted.len()
}

/// Whether the tokens from `at` on read as `expected`.
fn reads(tokens: &[Token<'_>], at: usize, expected: &[&str]) -> bool {
    tokens.len() >= at + expected.len()
        && expected.iter().zip(&tokens[at..]).all(|(expected, token)| *expected == token.text)
}

/// The first names of a path's continuation at `at`, just behind `crate::`: one name, or those of a group.
fn names_at<'a>(tokens: &[Token<'a>], at: usize) -> Vec<(&'a str, usize)> {
    let Some(first) = tokens.get(at) else { return Vec::new() };
    if first.text != "{" {
        return vec![(first.text, first.line)];
    }
    let (mut names, mut nesting) = (Vec::new(), 0);
    for (i, token) in tokens.iter().enumerate().skip(at) {
        match token.text {
            "{" => nesting += 1,
            "}" => nesting -= 1,
            name if nesting == 1 && matches!(tokens[i - 1].text, "{" | ",") => names.push((name, token.line)),
            _ => {}
        }
        if nesting == 0 {
            break;
        }
    }
    names
}

/// The rooms that a file names, by `crate::`, by `super::` up to the root, or by `oneloop::` in main.rs.
fn named_rooms(source: &Source) -> Vec<(String, usize)> {
    let tokens = source.tokens();
    let (mut named, mut nesting, mut inline_modules) = (Vec::new(), 0, Vec::new());
    for (at, token) in tokens.iter().enumerate() {
        match token.text {
            "{" => {
                nesting += 1;
                if at >= 2 && tokens[at - 2].text == "mod" {
                    inline_modules.push(nesting);
                }
            }
            "}" => {
                inline_modules.retain(|&module| module < nesting);
                nesting -= 1;
            }
            "crate" | "oneloop" if reads(&tokens, at + 1, &[":", ":"]) => {
                named.extend(names_at(&tokens, at + 3));
            }
            "super" if at < 3 || !reads(&tokens, at - 3, &["super", ":", ":"]) => {
                let ups = (0..tokens.len())
                    .take_while(|up| reads(&tokens, at + 3 * up, &["super", ":", ":"]))
                    .count();
                if ups >= source.depth() + inline_modules.len() {
                    named.extend(names_at(&tokens, at + 3 * ups));
                }
            }
            _ => {}
        }
    }
    named.into_iter().map(|(name, line)| (name.to_owned(), line)).collect()
}

fn imports_point_down(source: &Source) -> Vec<Violation> {
    let Some(room) = source.room().filter(|_| source.is_rust()) else { return Vec::new() };
    let rank = |name: &str| ROOMS.iter().position(|row| row.contains(&name));
    let may_use_sys = room != "session" && (room != "services" || source.is_under(&["src/services/http"]));
    let mut violations = Vec::new();
    if room != "sys" && rank(room).is_none() {
        violations.push(source.violation(1, format!("`{room}` has no place in the order of imports")));
    }
    for (name, line) in named_rooms(source) {
        let allowed = match (name.as_str(), rank(&name)) {
            (name, _) if name == room => true,
            ("sys", _) => may_use_sys,
            (_, Some(named)) => room != "sys" && rank(room).is_some_and(|own| named < own),
            // What lib.rs exports again has a room of its own; naming it there says which.
            (name, None) => name.chars().next().is_some_and(char::is_uppercase) && room == "main",
        };
        if !allowed {
            violations
                .push(source.violation(line, format!("`{room}` imports `{name}`, which is not below it")));
        }
    }
    violations
}

fn crates_stay_in_their_rooms(source: &Source) -> Vec<Violation> {
    if !source.path.starts_with("src/") || !source.is_rust() {
        return Vec::new();
    }
    let mut violations = Vec::new();
    for (name, users) in [("mio", &MIO_USERS[..]), ("slab", &SLAB_USERS[..])] {
        let tokens = source.tokens();
        let named = |at: &usize| {
            tokens[*at].text == name
                && (reads(&tokens, at + 1, &[":", ":"]) || (*at > 0 && tokens[at - 1].text == "use"))
        };
        if !source.is_under(users) {
            violations.extend(
                (0..tokens.len())
                    .filter(named)
                    .map(|at| source.violation(tokens[at].line, format!("names {name}"))),
            );
        }
    }
    violations
}

fn time_is_an_argument(source: &Source) -> Vec<Violation> {
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

fn unsafe_stays_in_sys(source: &Source) -> Vec<Violation> {
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
        if !source.path.starts_with("src/sys") {
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

fn lengths_have_bounds(source: &Source) -> Vec<Violation> {
    if !source.is_rust() {
        return Vec::new();
    }
    let is_test = !source.path.starts_with("src/") || source.path.ends_with("/tests.rs");
    let (file_max, function_max) = if is_test {
        (TEST_FILE_LINES_MAX, TEST_FUNCTION_LINES_MAX)
    } else {
        (FILE_LINES_MAX, FUNCTION_LINES_MAX)
    };
    let mut violations = Vec::new();
    let file_lines = source.text.lines().count();
    if file_lines > file_max {
        violations.push(source.violation(file_max, format!("{file_lines} lines, at most {file_max}")));
    }
    let tokens = source.tokens();
    for (at, _) in tokens.iter().enumerate().filter(|(_, token)| token.text == "fn") {
        let Some((name, lines)) = function_at(&tokens, at) else { continue };
        if lines > function_max {
            let what = format!("fn {name}: {lines} lines, at most {function_max}");
            violations.push(source.violation(tokens[at].line, what));
        }
    }
    violations
}

/// The name of the function whose `fn` is at `at`, and its lines; `None` for a type or a function without a body.
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

fn no_path_of_a_machine(source: &Source) -> Vec<Violation> {
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

/// Every rule, by the name of its test below.
const RULES: [fn(&Source) -> Vec<Violation>; 6] = [
    imports_point_down,
    crates_stay_in_their_rooms,
    time_is_an_argument,
    unsafe_stays_in_sys,
    lengths_have_bounds,
    no_path_of_a_machine,
];

/// All text of the repository that people wrote: hidden folders other than `.ci`, and `target`, are left out.
fn sources(folder: &Path, root: &Path, found: &mut Vec<Source>) {
    let mut entries: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_symlink() || (name.starts_with('.') && name != ".ci") || name == "target" {
            continue;
        }
        if path.is_dir() {
            sources(&path, root, found);
        } else if let Ok(text) = fs::read_to_string(&path) {
            let path = path.strip_prefix(root).unwrap().to_string_lossy().replace('\\', "/");
            found.push(Source { path, text });
        }
    }
}

#[test]
fn the_repository_keeps_every_rule() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    sources(root, root, &mut found);
    assert!(found.iter().any(|source| source.path == "src/lib.rs"), "the sources are found");
    let mut report = String::new();
    for violation in found.iter().flat_map(|source| RULES.iter().flat_map(|rule| rule(source))) {
        writeln!(report, "{violation}").unwrap();
    }
    assert!(report.is_empty(), "\n{report}");
}

fn lines_caught(rule: fn(&Source) -> Vec<Violation>, path: &str, text: &str) -> Vec<usize> {
    let source = Source { path: path.to_owned(), text: text.to_owned() };
    rule(&source).iter().map(|violation| violation.line).collect()
}

#[test]
fn an_import_that_points_up_or_aside_is_caught() {
    let caught = |path, text| lines_caught(imports_point_down, path, text);
    assert_eq!(
        caught("src/session/mod.rs", "use crate::limits::Limits;\nuse crate::telemetry::Reason;"),
        [2]
    );
    assert_eq!(caught("src/load/mod.rs", "use crate::{\n    telemetry::{self, End},\n    models,\n};"), [3]);
    assert_eq!(caught("src/connection/mod.rs", "fn f() { crate::reactor::run() }"), [1]);
    assert_eq!(caught("src/services/echo.rs", "use crate::sys::files;"), [1]);
    assert_eq!(caught("src/services/http/file.rs", "use crate::sys::files;"), [] as [usize; 0]);
    assert_eq!(caught("src/sys/files.rs", "use crate::limits::Limits;"), [1]);
    assert_eq!(caught("src/telemetry/mod.rs", "use super::session::Peer;\nuse super::reactor::Turn;"), [2]);
    assert_eq!(
        caught("src/session/outbox.rs", "mod tests { use super::*; use super::super::super::cli::x; }"),
        [1]
    );
    assert_eq!(
        caught("src/session/outbox.rs", "use super::mailbox::Mailbox; mod tests { use super::super::x; }"),
        []
    );
    assert_eq!(caught("src/garage/mod.rs", ""), [1]);
    assert_eq!(caught("src/limits.rs", "// crate::cli\nconst A: &str = \"crate::cli\";"), [] as [usize; 0]);
}

#[test]
fn a_crate_outside_its_rooms_is_caught() {
    let caught = |path, text| lines_caught(crates_stay_in_their_rooms, path, text);
    assert_eq!(caught("src/connection/mod.rs", "use mio::Token;\nlet a: slab::Slab<u8>;"), [1, 2]);
    assert_eq!(caught("src/connection/transport.rs", "use mio::net::TcpStream;"), [] as [usize; 0]);
    assert_eq!(caught("src/reactor/mod.rs", "use slab::Slab; use mio::Poll;"), [] as [usize; 0]);
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
    assert_eq!(caught("tests/any.rs", &function(TEST_FUNCTION_LINES_MAX + 1)), [1]);
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
