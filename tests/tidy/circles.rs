//! No circular imports among the modules of a folder.
//!
//! A node is a file, or a folder with all that it holds. A folder's `mod.rs` is its page: it may name every
//! module of the folder, and these may name what it defines; a name that it only exports again counts as the
//! module that defines it. Tests (`mod tests`, `tests.rs`) may look anywhere.

use std::collections::{BTreeMap, BTreeSet};

use crate::source::{Source, Token, Violation, reads};
use crate::whole_caught;

/// Folders with known circular imports, to be fixed. The aim is none.
const KNOWN_CIRCLES: [&str; 0] = [];
/// The depth to which re-exports of re-exports are followed.
const REEXPORTS_DEEP_MAX: usize = 8;

type Module<'a> = Vec<&'a str>;

/// A path that a file names: its segments from the root of the crate, its name in the file, and the line.
struct Named<'a> {
    path: Vec<&'a str>,
    alias: &'a str,
    line: usize,
    exported: bool,
}

/// All modules of the crate, with the names that each re-exports.
struct Modules<'a> {
    exports: BTreeMap<Module<'a>, BTreeMap<&'a str, Vec<&'a str>>>,
}

impl<'a> Modules<'a> {
    /// The module that defines what `path` names.
    fn defining(&self, path: &[&'a str], deep: usize) -> Module<'a> {
        let mut module: Module<'a> = Vec::new();
        for (at, segment) in path.iter().enumerate() {
            let exported = self.exports.get(&module).and_then(|names| names.get(segment));
            module.push(segment);
            if self.exports.contains_key(&module) {
                continue;
            }
            module.pop();
            return match exported {
                Some(target) if deep < REEXPORTS_DEEP_MAX => {
                    let target: Vec<&str> = target.iter().chain(&path[at + 1..]).copied().collect();
                    self.defining(&target, deep + 1)
                }
                _ => module,
            };
        }
        module
    }
}

/// Where the block that opens at `open` ends.
fn block_end(tokens: &[Token<'_>], open: usize) -> usize {
    let mut nesting = 0;
    for (at, token) in tokens.iter().enumerate().skip(open) {
        match token.text {
            "{" => nesting += 1,
            "}" => nesting -= 1,
            _ => {}
        }
        if nesting == 0 {
            return at;
        }
    }
    tokens.len()
}

/// Reads the tree of paths at `at`, each with `prefix` before it, and returns where it ends.
fn expand<'a>(
    tokens: &[Token<'a>],
    mut at: usize,
    prefix: &[&'a str],
    found: &mut Vec<(Vec<&'a str>, &'a str, usize)>,
) -> usize {
    let mut path = prefix.to_vec();
    while let Some(token) = tokens.get(at) {
        match token.text {
            "{" => {
                let end = block_end(tokens, at);
                at += 1;
                while at < end {
                    at = if tokens[at].text == "," { at + 1 } else { expand(tokens, at, &path, found) };
                }
                return end + 1;
            }
            // `a::{self}` is `a`.
            "self" if !prefix.is_empty() || !path.is_empty() => {}
            name => path.push(name),
        }
        at += 1;
        let goes_on = tokens.get(at + 2).is_some_and(|next| !matches!(next.text, "<" | "("));
        if !(reads(tokens, at, &[":", ":"]) && goes_on) {
            break;
        }
        at += 2;
    }
    let mut alias = path.last().copied().unwrap_or_default();
    if reads(tokens, at, &["as"]) {
        alias = tokens.get(at + 1).map_or(alias, |token| token.text);
        at += 2;
    }
    let line = tokens.get(at.saturating_sub(1)).map_or(1, |token| token.line);
    found.push((path, alias, line));
    at.max(1)
}

/// Every path into this crate that the file names outside tests.
fn named<'a>(source: &'a Source, module: &[&'a str], children: &BTreeSet<&'a str>) -> Vec<Named<'a>> {
    let tokens = source.tokens();
    let (mut found, mut at, mut inline) = (Vec::new(), 0, Vec::new());
    while at < tokens.len() {
        let token = tokens[at];
        inline.retain(|&(_, end)| at < end);
        if token.text == "mod" && reads(&tokens, at + 2, &["{"]) {
            let end = block_end(&tokens, at + 2);
            if tokens[at + 1].text == "tests" {
                at = end;
            } else {
                inline.push((tokens[at + 1].text, end));
            }
        }
        let begins = at == 0 || tokens[at - 1].text != ":";
        let is_use = at > 0 && tokens[at - 1].text == "use";
        let in_crate = match token.text {
            "crate" | "super" | "self" => reads(&tokens, at + 1, &[":", ":"]),
            name => is_use && inline.is_empty() && children.contains(name),
        };
        if !(begins && in_crate) {
            at += 1;
            continue;
        }
        let exported = is_use && at >= 2 && matches!(tokens[at - 2].text, "pub" | ")");
        let here: Vec<&str> = module.iter().copied().chain(inline.iter().map(|&(name, _)| name)).collect();
        let (mut base, mut rest) = match token.text {
            "crate" => (Vec::new(), at + 3),
            "self" => (here, at + 3),
            _ => (here, at),
        };
        while reads(&tokens, rest, &["super", ":", ":"]) {
            base.pop();
            rest += 3;
        }
        let mut paths = Vec::new();
        at = expand(&tokens, rest, &base, &mut paths).max(at + 1);
        found.extend(paths.into_iter().map(|(path, alias, line)| Named { path, alias, line, exported }));
    }
    found
}

/// An edge between two nodes of a folder, with the place that names it first.
type Edges<'a> = BTreeMap<(Module<'a>, &'a str, &'a str), (&'a Source, usize)>;

fn edges(sources: &[Source]) -> Edges<'_> {
    let is_test = |source: &&Source| {
        let folders = source.path.split('/').any(|part| matches!(part, "tests" | "tests.rs"));
        source.is_rust() && !folders
    };
    let files: Vec<(&Source, Module<'_>)> =
        sources.iter().filter(is_test).filter_map(|source| Some((source, source.module()?))).collect();
    let mut modules = Modules { exports: BTreeMap::new() };
    let mut children: BTreeMap<Module<'_>, BTreeSet<&str>> = BTreeMap::new();
    for (_, module) in &files {
        modules.exports.insert(module.clone(), BTreeMap::new());
        let (name, parent) = module.split_last().expect("a module has a name");
        children.entry(parent.to_vec()).or_default().insert(name);
    }
    let none = BTreeSet::new();
    let mut names = Vec::new();
    for (source, module) in &files {
        for named in named(source, module, children.get(module).unwrap_or(&none)) {
            if named.exported {
                let exports = modules.exports.get_mut(module).expect("every module is there");
                exports.insert(named.alias, named.path.clone());
            }
            names.push((*source, module, named));
        }
    }
    let mut edges = Edges::new();
    for (source, module, named) in names {
        let target = modules.defining(&named.path, 0);
        let shared = module.iter().zip(&target).take_while(|(a, b)| a == b).count();
        // Nothing shared: another top-level module, for which `modules` has the order. One module is the page
        // of the other: see above.
        if shared > 0 && shared < module.len() && shared < target.len() {
            let edge = (module[..shared].to_vec(), module[shared], target[shared]);
            edges.entry(edge).or_insert((source, named.line));
        }
    }
    edges
}

pub(crate) fn no_circle_inside_a_module(sources: &[Source]) -> Vec<Violation> {
    let edges = edges(sources);
    let reaches = |folder: &Module<'_>, from: &str, to: &str| {
        let (mut seen, mut next) = (BTreeSet::from([from]), vec![from]);
        while let Some(node) = next.pop() {
            let after = edges.keys().filter(|(of, begin, _)| of == folder && *begin == node);
            next.extend(after.map(|&(_, _, end)| end).filter(|end| seen.insert(end)));
        }
        seen.contains(to)
    };
    let mut violations = Vec::new();
    for ((folder, from, to), (source, line)) in &edges {
        let path = folder.join("/");
        let is_known = KNOWN_CIRCLES.iter().any(|known| path.starts_with(known));
        if !is_known && reaches(folder, to, from) {
            let what = format!("`{from}` imports `{to}`, which imports `{from}` in a circle, in {path}");
            violations.push(source.violation(*line, what));
        }
    }
    violations
}

#[test]
fn a_circle_inside_a_module_is_caught() {
    let caught = |files: &[(&str, &str)]| whole_caught(no_circle_inside_a_module, files);
    let page = ("src/load/mod.rs", "mod a; mod b; mod c;\npub(crate) use b::B;\nuse a::A;\npub struct Page;");
    let lines = |found: Vec<String>| {
        found.into_iter().map(|it| it[..it.find(": ").unwrap()].to_owned()).collect::<Vec<_>>()
    };
    // Through a re-export of the page, and by a path in an expression.
    let first = ("src/load/a.rs", "use super::{Page, B};\npub struct A;");
    let second = ("src/load/b.rs", "use std::fmt;\n\nfn f() { crate::load::c::g() }");
    let third = ("src/load/c.rs", "use {super::a::{self, A}, crate::limits::Limits};");
    assert_eq!(
        lines(caught(&[page, first, second, third])),
        ["src/load/a.rs:1", "src/load/b.rs:3", "src/load/c.rs:1"]
    );
    // The page may be named and may name; tests may look anywhere.
    let in_test = ("src/load/c.rs", "mod tests { use super::super::a::A; }\nuse super::Page;");
    assert_eq!(caught(&[page, first, second, in_test]), [] as [String; 0]);
    // A folder is one node, and has an order inside.
    let folder = ("src/load/d/mod.rs", "mod x; mod y;");
    let low = ("src/load/d/x.rs", "use super::y::Y;\nuse super::super::e::E;");
    let high = ("src/load/d/y.rs", "use super::x::X;");
    let beside = ("src/load/e.rs", "use crate::load::d;");
    assert_eq!(
        lines(caught(&[page, folder, low, high, beside])),
        ["src/load/d/x.rs:2", "src/load/e.rs:1", "src/load/d/x.rs:1", "src/load/d/y.rs:1"]
    );
}
