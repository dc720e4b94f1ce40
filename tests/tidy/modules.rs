//! Which top-level module (a folder or file directly in `src`) may import which, and which may name mio and
//! slab.

use crate::lines_caught;
use crate::source::{Source, Token, Violation, reads};

/// The top-level modules, lowest first. A module may import only lower ones; modules of the same row do not
/// import each other.
const MODULES: [&[&str]; 12] = [
    &["limits", "judge"],
    &["session", "plot"],
    &["services", "time"],
    &["telemetry"],
    &["connection"],
    &["admission"],
    &["reactor"],
    &["models", "load"],
    &["lab"],
    &["lecture"],
    &["cli"],
    &["main"],
];

/// Only these may name mio.
const MIO_USERS: [&str; 3] = ["src/reactor/", "src/connection/transport", "src/load/"];
/// Only these may name slab.
const SLAB_USERS: [&str; 2] = ["src/reactor/", "src/load/"];

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

/// The modules that a file names, by `crate::`, by `super::` up to the root, or by `oneloop::` in main.rs.
fn named_modules(source: &Source) -> Vec<(String, usize)> {
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

pub(crate) fn imports_point_down(source: &Source) -> Vec<Violation> {
    let Some(module) = source.top_module().filter(|_| source.is_rust()) else { return Vec::new() };
    let rank = |name: &str| MODULES.iter().position(|row| row.contains(&name));
    let may_use_sys =
        module != "session" && (module != "services" || source.is_under(&["src/services/http"]));
    let mut violations = Vec::new();
    if module != "sys" && rank(module).is_none() {
        violations.push(source.violation(1, format!("`{module}` has no place in the order of imports")));
    }
    for (name, line) in named_modules(source) {
        let allowed = match (name.as_str(), rank(&name)) {
            (name, _) if name == module => true,
            ("sys", _) => may_use_sys,
            (_, Some(named)) => module != "sys" && rank(module).is_some_and(|own| named < own),
            // The one function that lib.rs exports for the program.
            (name, None) => name == "program" && module == "main",
        };
        if !allowed {
            violations
                .push(source.violation(line, format!("`{module}` imports `{name}`, which is not below it")));
        }
    }
    violations
}

pub(crate) fn crates_stay_in_their_modules(source: &Source) -> Vec<Violation> {
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
fn a_crate_outside_its_modules_is_caught() {
    let caught = |path, text| lines_caught(crates_stay_in_their_modules, path, text);
    assert_eq!(caught("src/connection/mod.rs", "use mio::Token;\nlet a: slab::Slab<u8>;"), [1, 2]);
    assert_eq!(caught("src/connection/transport.rs", "use mio::net::TcpStream;"), [] as [usize; 0]);
    assert_eq!(caught("src/reactor/mod.rs", "use slab::Slab; use mio::Poll;"), [] as [usize; 0]);
}
