//! Where the `impl` of a type stands, that its name has one meaning, and what of the crate is public.

use std::collections::{BTreeMap, BTreeSet};

use crate::source::{Source, Token, Violation, reads};
use crate::{lines_caught, whole_caught};

/// The public modules: what a user of the library needs. What is `pub` in another module must be exported by
/// one of these, else rustc's `unreachable_pub` finds it, which Cargo.toml turns on.
const SURFACE: [&str; 13] = [
    "connection",
    "connection::layers",
    "limits",
    "load",
    "load::clients",
    "load::report",
    "models",
    "reactor",
    "services",
    "services::http",
    "session",
    "session::rehearsal",
    "telemetry",
];
/// Types whose `impl` stands in several files today and shall not. The aim is none.
const NOT_YET_WHOLE: [&str; 0] = [];

/// The name of the type whose inherent `impl` begins at `at`; `None` if it is another `impl`.
fn inherent_impl<'a>(tokens: &[Token<'a>], at: usize) -> Option<&'a str> {
    let is_item = at == 0 || matches!(tokens[at - 1].text, "}" | ";" | "]" | "{" | "unsafe");
    if tokens[at].text != "impl" || !is_item {
        return None;
    }
    let (mut name, mut angles) = (None, 0);
    for (i, token) in tokens.iter().enumerate().skip(at + 1) {
        match token.text {
            "<" => angles += 1,
            ">" if tokens[i - 1].text != "-" => angles -= 1,
            "{" | "where" if angles == 0 => break,
            // A trait's, or a macro's.
            "for" | "$" if angles == 0 => return None,
            text if angles == 0 && text.starts_with(|c: char| c.is_alphabetic() || c == '_') => {
                name = Some(text);
            }
            _ => {}
        }
    }
    name
}

pub(crate) fn an_impl_stands_beside_its_type(source: &Source) -> Vec<Violation> {
    if !source.path.starts_with("src/") || !source.is_rust() {
        return Vec::new();
    }
    let tokens = source.tokens();
    let defines = |name: &str| {
        let kinds = ["struct", "enum", "union", "trait"];
        (1..tokens.len()).any(|at| tokens[at].text == name && kinds.contains(&tokens[at - 1].text))
    };
    let impls = (0..tokens.len()).filter_map(|at| Some((at, inherent_impl(&tokens, at)?)));
    impls
        .filter(|(_, name)| !defines(name) && !NOT_YET_WHOLE.contains(name))
        .map(|(at, name)| {
            let what = format!("`impl {name}` outside the file that defines `{name}`");
            source.violation(tokens[at].line, what)
        })
        .collect()
}

#[test]
fn an_impl_in_another_file_is_caught() {
    let caught = |text| lines_caught(an_impl_stands_beside_its_type, "src/reactor/accept.rs", text);
    assert_eq!(caught("use super::Handle;\nimpl<S: Service<Session = X>> Handle<S> where S: Copy {}"), [2]);
    assert_eq!(caught("#[cfg(unix)]\nimpl super::Handle {}"), [2]);
    assert_eq!(caught("pub struct Handle<S>(S);\nimpl<S: Fn() -> u8> Handle<S> {}"), [] as [usize; 0]);
    assert_eq!(caught("impl<T> From<T> for Handle {}\nimpl Drop for Handle {}"), [] as [usize; 0]);
    assert_eq!(caught("fn f(a: impl Fn()) -> impl Iterator { a }"), [] as [usize; 0]);
}

/// Names that two files may define, each with the reason.
const DEFINED_TWICE: [(&str, &str); 1] =
    [("Http", "the table of services has an alias of the service, which names its handler")];

/// Whether a file has only tests, by its path.
fn is_test_file(source: &Source) -> bool {
    source.path.contains("/tests/") || source.path.ends_with("tests.rs")
}

/// Where the block ends that begins behind `at`; the last token if there is none.
fn end_of_block(tokens: &[Token<'_>], at: usize) -> usize {
    let mut depth = 0;
    for (i, token) in tokens.iter().enumerate().skip(at) {
        match token.text {
            "{" => depth += 1,
            "}" if depth == 1 => return i,
            "}" => depth -= 1,
            _ => {}
        }
    }
    tokens.len().saturating_sub(1)
}

/// The types that a file defines outside of test modules, each with its line. An associated type is none.
fn defined_types<'a>(tokens: &[Token<'a>]) -> Vec<(&'a str, usize)> {
    let (mut found, mut at, mut depth) = (Vec::new(), 0, 0_usize);
    while at + 1 < tokens.len() {
        if reads(tokens, at, &["#", "[", "cfg", "(", "test", ")", "]", "mod"]) {
            at = end_of_block(tokens, at) + 1;
            continue;
        }
        match tokens[at].text {
            "{" => depth += 1,
            "}" => depth = depth.saturating_sub(1),
            "struct" | "enum" | "union" | "trait" => found.push((tokens[at + 1].text, tokens[at + 1].line)),
            "type" if depth == 0 => found.push((tokens[at + 1].text, tokens[at + 1].line)),
            _ => {}
        }
        at += 1;
    }
    found.retain(|(name, _)| name.starts_with(|c: char| c.is_ascii_uppercase()));
    found
}

pub(crate) fn a_type_name_has_one_meaning(sources: &[Source]) -> Vec<Violation> {
    let mut defined: BTreeMap<&str, &Source> = BTreeMap::new();
    let mut violations = Vec::new();
    for source in sources {
        if !source.path.starts_with("src/") || !source.is_rust() || is_test_file(source) {
            continue;
        }
        let tokens = source.tokens();
        for (name, line) in defined_types(&tokens) {
            let other = *defined.entry(name).or_insert(source);
            if other.path != source.path && !DEFINED_TWICE.iter().any(|(allowed, _)| *allowed == name) {
                violations
                    .push(source.violation(line, format!("`{name}` is also defined in {}", other.path)));
            }
        }
    }
    violations
}

#[test]
fn a_type_name_in_two_files_is_caught() {
    let caught = |files: &[(&str, &str)]| whole_caught(a_type_name_has_one_meaning, files);
    let load = ("src/load/slot.rs", "struct Slot;\npub(crate) enum Stage { A }");
    assert_eq!(
        caught(&[load, ("src/reactor/clients.rs", "use x;\nstruct Slot<S>(S);")]),
        ["src/reactor/clients.rs:2: `Slot` is also defined in src/load/slot.rs"]
    );
    assert_eq!(
        caught(&[load, ("src/models/shutdown.rs", "type Stage = u8; impl A for B { type Slot = u8; }")]),
        ["src/models/shutdown.rs:1: `Stage` is also defined in src/load/slot.rs"]
    );
    let in_tests = "fn a() { if b { c } }\n#[cfg(test)]\nmod tests { struct Slot; mod a { enum Stage {} } }";
    assert_eq!(caught(&[load, ("src/time/wheel.rs", in_tests)]), [] as [String; 0]);
    assert_eq!(caught(&[load, ("src/lab/tests/mod.rs", "struct Slot;")]), [] as [String; 0]);
    let both = "#[cfg(a)]\nenum Stage {}\n#[cfg(not(a))]\nstruct Stage;";
    assert_eq!(caught(&[("src/sys/wait.rs", both)]), [] as [String; 0], "a type for each system");
    assert_eq!(caught(&[("tests/a.rs", "struct Slot;"), load]), [] as [String; 0]);
}

/// The modules that a user of the crate can name: those that are `pub mod`, from the root down.
fn public_modules(sources: &[Source]) -> BTreeSet<String> {
    let public_in = |path: &str, prefix: &str| -> Vec<String> {
        let Some(source) = sources.iter().find(|source| source.path == path) else { return Vec::new() };
        let tokens = source.tokens();
        let public = (0..tokens.len()).filter(|&at| reads(&tokens, at, &["pub", "mod"]));
        public.map(|at| format!("{prefix}{}", tokens[at + 2].text)).collect()
    };
    let mut found = BTreeSet::new();
    let mut next = public_in("src/lib.rs", "");
    while let Some(module) = next.pop() {
        let path = module.replace("::", "/");
        for file in [format!("src/{path}.rs"), format!("src/{path}/mod.rs")] {
            next.extend(public_in(&file, &format!("{module}::")));
        }
        found.insert(module);
    }
    found
}

pub(crate) fn only_the_surface_is_public(sources: &[Source]) -> Vec<Violation> {
    let public = public_modules(sources);
    let root = sources.iter().find(|source| source.path == "src/lib.rs");
    let mut violations = Vec::new();
    for module in &public {
        if !SURFACE.contains(&module.as_str()) {
            let what = format!("`{module}` is public, but not in the list of public modules");
            violations.extend(root.map(|root| root.violation(1, what)));
        }
    }
    for module in SURFACE {
        if !public.contains(module) {
            let what = format!("`{module}` is in the list of public modules, but not public");
            violations.extend(root.map(|root| root.violation(1, what)));
        }
    }
    violations
}

#[test]
fn a_module_that_is_public_by_mistake_is_caught() {
    let mut files: Vec<(String, &str)> = vec![(
        "src/lib.rs".into(),
        "pub mod connection; pub mod limits; pub mod load; pub mod models; pub mod reactor; pub mod services; pub mod session; pub mod telemetry;",
    )];
    files.push(("src/connection/mod.rs".into(), "pub mod layers; mod state;"));
    files.push(("src/load/mod.rs".into(), "pub mod clients; pub mod report; mod engine;"));
    files.push(("src/services/mod.rs".into(), "pub mod http;"));
    files.push(("src/session/mod.rs".into(), "pub mod rehearsal;"));
    let caught = |files: &[(String, &str)]| {
        let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (path.as_str(), *text)).collect();
        whole_caught(only_the_surface_is_public, &files)
    };
    assert_eq!(caught(&files), [] as [String; 0]);
    files[3].1 = "pub mod http; pub mod any;";
    assert_eq!(
        caught(&files),
        ["src/lib.rs:1: `services::any` is public, but not in the list of public modules"]
    );
    files[3].1 = "mod http;";
    assert_eq!(
        caught(&files),
        ["src/lib.rs:1: `services::http` is in the list of public modules, but not public"]
    );
}
