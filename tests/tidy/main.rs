//! The rules of the crate as an ordinary test: which module may import which, which may name mio, slab and
//! the clock, where `unsafe` is allowed, where the `impl` of a type is, that no two files define a type of
//! the same name, what is public, what is too long, and which commands cannot be pasted.
//!
//! Where a new rule goes: into the file of its kind (`modules`: between modules; `circles`: inside a module;
//! `types`: about one type or its visibility; `lines`: about the text of one file; `commands`: about the
//! commands that pages show), and into `RULES` or `RULES_OF_THE_WHOLE`. Each rule has a test beside it that
//! plants a violation.

mod circles;
mod commands;
mod lines;
mod modules;
mod source;
mod types;

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use source::{Source, Violation};

type Rule = fn(&Source) -> Vec<Violation>;
type RuleOfTheWhole = fn(&[Source]) -> Vec<Violation>;

/// Rules for each file by itself.
const RULES: [Rule; 9] = [
    modules::imports_point_down,
    modules::crates_stay_in_their_modules,
    lines::time_is_an_argument,
    lines::unsafe_stays_in_sys,
    lines::lengths_have_bounds,
    lines::comments_keep_their_width,
    lines::no_path_of_a_machine,
    commands::commands_can_be_pasted,
    types::an_impl_stands_beside_its_type,
];

/// Rules for all files together.
const RULES_OF_THE_WHOLE: [RuleOfTheWhole; 3] = [
    circles::no_circle_inside_a_module,
    types::a_type_name_has_one_meaning,
    types::only_the_surface_is_public,
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
            found.push(Source::new(path, text));
        }
    }
}

#[test]
fn the_repository_keeps_every_rule() {
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    let mut found = Vec::new();
    sources(root, root, &mut found);
    assert!(found.iter().any(|source| source.path == "src/lib.rs"), "the sources are found");
    let mut report = String::new();
    let of_files = found.iter().flat_map(|source| RULES.iter().flat_map(|rule| rule(source)));
    let of_the_whole = RULES_OF_THE_WHOLE.iter().flat_map(|rule| rule(&found));
    for violation in of_files.chain(of_the_whole) {
        writeln!(report, "{violation}").unwrap();
    }
    assert!(report.is_empty(), "\n{report}");
}

/// Lines where `rule` finds a violation in a file of this path and text.
fn lines_caught(rule: Rule, path: &str, text: &str) -> Vec<usize> {
    let source = Source::new(path, text);
    rule(&source).iter().map(|violation| violation.line).collect()
}

/// What `rule` finds in a repository of these files.
fn whole_caught(rule: RuleOfTheWhole, files: &[(&str, &str)]) -> Vec<String> {
    let source = |(path, text): &(&str, &str)| Source::new(*path, *text);
    let sources: Vec<Source> = files.iter().map(source).collect();
    rule(&sources).iter().map(ToString::to_string).collect()
}
