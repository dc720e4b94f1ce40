//! A file of the repository, and its tokens.

use std::cell::OnceCell;
use std::fmt;
use std::ops::Range;
use std::path::Path;

/// One file: its path from the root of the repository, with `/`, and its text.
pub(crate) struct Source {
    pub(crate) path: String,
    pub(crate) text: String,
    /// Where its tokens are, with their lines: several rules ask for them.
    tokens: OnceCell<Vec<(Range<usize>, usize)>>,
}

#[derive(Debug)]
pub(crate) struct Violation {
    path: String,
    pub(crate) line: usize,
    what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.what)
    }
}

/// An identifier, or one character of punctuation; comments, strings and lifetimes are left out.
#[derive(Clone, Copy)]
pub(crate) struct Token<'a> {
    pub(crate) text: &'a str,
    pub(crate) line: usize,
}

impl Source {
    pub(crate) fn new(path: impl Into<String>, text: impl Into<String>) -> Source {
        Source { path: path.into(), text: text.into(), tokens: OnceCell::new() }
    }

    pub(crate) fn has_extension(&self, extension: &str) -> bool {
        Path::new(&self.path).extension().is_some_and(|found| found == extension)
    }

    pub(crate) fn is_rust(&self) -> bool {
        self.has_extension("rs")
    }

    pub(crate) fn is_under(&self, places: &[&str]) -> bool {
        places.iter().any(|place| self.path.starts_with(place))
    }

    pub(crate) fn violation(&self, line: usize, what: impl Into<String>) -> Violation {
        Violation { path: self.path.clone(), line, what: what.into() }
    }

    /// The folder or file in `src` that it belongs to; `None` outside `src` and for `lib.rs`, which only
    /// lists the modules.
    pub(crate) fn top_module(&self) -> Option<&str> {
        if self.path == "program/src/main.rs" {
            return Some("main");
        }
        let path = self.path.strip_prefix("src/")?;
        let module = path.split('/').next()?.trim_end_matches(".rs");
        (module != "lib").then_some(module)
    }

    /// The module that it is, from the root of the crate: `a`, `b` for `src/a/b.rs`, and `a` for
    /// `src/a/mod.rs`.
    pub(crate) fn module(&self) -> Option<Vec<&str>> {
        let path = self.path.strip_prefix("src/")?.strip_suffix(".rs")?;
        let path = path.strip_suffix("/mod").unwrap_or(path);
        (path != "lib").then(|| path.split('/').collect())
    }

    /// How many modules deep it lies: 1 for `src/a.rs` and `src/a/mod.rs`, 2 for `src/a/b.rs`.
    pub(crate) fn depth(&self) -> usize {
        let parts = self.path.split('/').count() - 1;
        if self.path.ends_with("/mod.rs") { parts - 1 } else { parts }
    }

    pub(crate) fn tokens(&self) -> Vec<Token<'_>> {
        let found = self.tokens.get_or_init(|| self.find_tokens());
        found.iter().map(|(range, line)| Token { text: &self.text[range.clone()], line: *line }).collect()
    }

    fn find_tokens(&self) -> Vec<(Range<usize>, usize)> {
        let (text, mut tokens, mut at, mut line) = (self.text.as_str(), Vec::new(), 0, 1);
        while at < text.len() {
            let rest = &text[at..];
            let first = rest.chars().next().expect("a character boundary");
            let is_word = |c: char| c.is_alphanumeric() || c == '_';
            let (len, is_token) = match skip_len(rest) {
                0 if is_word(first) => (rest.find(|c| !is_word(c)).unwrap_or(rest.len()), true),
                0 if first.is_whitespace() => {
                    (rest.find(|c: char| !c.is_whitespace()).unwrap_or(rest.len()), false)
                }
                0 => (first.len_utf8(), true),
                skipped => (skipped, false),
            };
            if is_token {
                tokens.push((at..at + len, line));
            }
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
pub(crate) fn reads(tokens: &[Token<'_>], at: usize, expected: &[&str]) -> bool {
    tokens.len() >= at + expected.len()
        && expected.iter().zip(&tokens[at..]).all(|(expected, token)| *expected == token.text)
}
