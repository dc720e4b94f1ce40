//! The command that was typed, and how it looks with a mistake corrected: a message offers what the user
//! typed and nothing beyond it, so that it never shares another directory or loses an option.

use std::ffi::OsString;
use std::fmt;

use clap::{Arg, CommandFactory};

use super::words::command;
use super::{Cli, GivenOptions};

/// The arguments of this process, after the name of the program.
#[derive(Clone, Debug)]
pub(super) struct TypedCommand {
    words: Vec<String>,
}

/// An option among the words.
struct Occurrence {
    at: usize,
    /// How many words it takes: two, if its value is the next word.
    len: usize,
    value: Option<String>,
}

impl TypedCommand {
    pub(super) fn new(words: &[String]) -> TypedCommand {
        TypedCommand { words: words.to_vec() }
    }

    /// Whether each option has a value that it can have. Options may still not go together.
    pub(super) fn is_parsed(&self) -> bool {
        super::parse(&self.words.iter().map(OsString::from).collect::<Vec<_>>()).is_ok()
    }

    /// Whether the command is accepted, as far as that is known before it runs.
    pub(super) fn is_valid(&self) -> bool {
        let words: Vec<OsString> = self.words.iter().map(OsString::from).collect();
        super::parse(&words)
            .is_ok_and(|(cli, matches)| super::check(&cli, &GivenOptions::of(&matches, &words)).is_ok())
    }

    /// With `new` in place of the first argument `old`, or at the end if there is none.
    pub(super) fn with_argument(mut self, old: &str, new: &str) -> TypedCommand {
        match self.argument(old) {
            Some(at) => new.clone_into(&mut self.words[at]),
            None => self.words.push(new.to_owned()),
        }
        self
    }

    pub(super) fn without_argument(mut self, old: &str) -> TypedCommand {
        if let Some(at) = self.argument(old) {
            self.words.remove(at);
        }
        self
    }

    /// Without the last argument `old`: what is typed first is kept.
    pub(super) fn without_last_argument(mut self, old: &str) -> TypedCommand {
        if let Some(at) = self.places().into_iter().skip(1).rfind(|at| self.words[*at] == old) {
            self.words.remove(at);
        }
        self
    }

    /// With `new` before the first word `old` that is neither an option nor its value.
    pub(super) fn with_word_before(mut self, old: &str, new: &str) -> TypedCommand {
        let at = self.places().into_iter().find(|at| self.words[*at] == old).unwrap_or(0);
        self.words.insert(at, new.to_owned());
        self
    }

    /// The arguments of the subcommand, without options and their values.
    pub(super) fn arguments(&self) -> Vec<&str> {
        self.places().into_iter().skip(1).map(|at| self.words[at].as_str()).collect()
    }

    /// Whether an option here is among the words.
    pub(super) fn has(&self, long: &str) -> bool {
        !self.options(long).is_empty()
    }

    /// The values of an option here.
    pub(super) fn values(&self, long: &str) -> Vec<String> {
        self.options(long).into_iter().filter_map(|option| option.value).collect()
    }

    /// Without an option here and its values.
    pub(super) fn without(mut self, long: &str) -> TypedCommand {
        for option in self.options(long).iter().rev() {
            self.words.drain(option.at..option.at + option.len);
        }
        self
    }

    /// With a value of an option here, in place of the value that it has.
    pub(super) fn with(mut self, long: &str, value: &str) -> TypedCommand {
        let at = self.options(long).first().map(|option| option.at);
        self = self.without(long);
        self.put(at.unwrap_or(self.words.len()), long, value);
        self
    }

    /// With another name for an option of another program.
    pub(super) fn with_option_renamed(mut self, old: &str, new: &str) -> TypedCommand {
        for word in &mut self.words {
            match word.strip_prefix(old) {
                Some("") => new.clone_into(word),
                Some(value) if value.starts_with('=') => *word = format!("{new}{value}"),
                _ => {}
            }
        }
        self
    }

    /// The word after the value of an option here.
    pub(super) fn word_after_value(&self, long: &str, value: &str) -> Option<&str> {
        let options = self.options(long);
        let option = options.iter().find(|option| option.value.as_deref() == Some(value))?;
        self.words.get(option.at + option.len).map(String::as_str)
    }

    /// With an option here that takes no value, once.
    pub(super) fn with_flag(mut self, long: &str) -> TypedCommand {
        let at = self.options(long).first().map_or(self.words.len(), |option| option.at);
        self = self.without(long);
        self.insert(at, &[&format!("--{long}")]);
        self
    }

    /// With one more value of an option here.
    pub(super) fn with_more(mut self, long: &str, value: &str) -> TypedCommand {
        self.put(self.words.len(), long, value);
        self
    }

    /// Replaces the value `old` of an option; an empty `old` means that the option has no value.
    pub(super) fn with_value(mut self, long: &str, old: &str, new: &str) -> TypedCommand {
        let options = self.options(long);
        let found = options.iter().find(|option| option.value.as_deref().unwrap_or_default() == old);
        match found.or(options.last()) {
            Some(option) => {
                self.words.drain(option.at..option.at + option.len);
                self.put(option.at, long, new);
            }
            None => self.put(self.words.len(), long, new),
        }
        self
    }

    /// The command with each of `changes`: the first that is accepted, or the first if none is because of
    /// another mistake.
    pub(super) fn first_valid(changes: Vec<TypedCommand>) -> Option<TypedCommand> {
        let found = changes.iter().position(TypedCommand::is_valid).unwrap_or(0);
        changes.into_iter().nth(found)
    }

    /// The values of options of another program; `takes_value` decides whether the next word is the value of
    /// an option.
    pub(super) fn take(&mut self, takes_value: impl Fn(&str) -> Option<bool>) -> Vec<TakenOption> {
        let mut taken = Vec::new();
        let mut at = 0;
        // Bound: each turn advances or removes a word.
        while at < self.words.len() && self.words[at] != "--" {
            let Some((name, joined, has_value)) = named(&self.words[at], &takes_value) else {
                at += 1;
                continue;
            };
            let is_value = |next: &&String| {
                let behind_dash = next.strip_prefix('-');
                behind_dash.is_none_or(|rest| {
                    rest.is_empty() || rest.starts_with(|char: char| char.is_ascii_digit())
                })
            };
            let next = self.words.get(at + 1).filter(|next| has_value && is_value(next));
            let len = if joined.is_none() && next.is_some() { 2 } else { 1 };
            let value = joined.or_else(|| next.cloned());
            self.words.drain(at..at + len);
            taken.push(TakenOption { name, value, at });
        }
        taken
    }

    pub(super) fn insert(&mut self, at: usize, words: &[&str]) {
        self.words.splice(at..at, words.iter().map(|word| (*word).to_owned()));
    }

    /// Adds an option here with its value.
    fn put(&mut self, at: usize, long: &str, value: &str) {
        let known = self.known();
        let option = known.iter().find(|option| option.get_long() == Some(long));
        if option.is_some_and(Arg::is_require_equals_set) {
            self.insert(at, &[&format!("--{long}={value}")]);
        } else {
            self.insert(at, &[&format!("--{long}"), value]);
        }
    }

    fn argument(&self, word: &str) -> Option<usize> {
        self.places().into_iter().skip(1).find(|at| self.words[*at] == word)
    }

    /// Where the words are that are neither options nor their values: first the subcommand.
    fn places(&self) -> Vec<usize> {
        let takes_value: Vec<String> =
            self.known().iter().filter(|option| option.get_action().takes_values()).flat_map(names).collect();
        let mut places = Vec::new();
        let mut is_value = false;
        for (at, word) in self.words.iter().enumerate() {
            if std::mem::take(&mut is_value) {
                continue;
            }
            if word.starts_with('-') {
                is_value = takes_value.contains(word);
            } else {
                places.push(at);
            }
        }
        places
    }

    /// The options of the subcommand.
    fn known(&self) -> Vec<Arg> {
        let program = Cli::command();
        let outer = self.words.iter().position(|word| program.find_subcommand(word).is_some());
        let outer = outer.and_then(|at| Some((at, program.find_subcommand(&self.words[at])?)));
        // In `load compare`, the subcommand is the word after the command.
        let inner = outer.and_then(|(at, outer)| outer.find_subcommand(self.words.get(at + 1)?));
        let command = inner.or(outer.map(|(_, outer)| outer)).unwrap_or(&program);
        let global = program.get_arguments().filter(|option| option.is_global_set());
        command.get_arguments().filter(|option| !option.is_positional()).chain(global).cloned().collect()
    }

    fn options(&self, long: &str) -> Vec<Occurrence> {
        let Some(option) = self.known().into_iter().find(|option| option.get_long() == Some(long)) else {
            return Vec::new();
        };
        let (names, has_value) = (names(&option), option.get_action().takes_values());
        let mut rest = self.clone();
        let mut before = 0;
        let taken = rest.take(|name| names.iter().any(|own| own == name).then_some(has_value));
        let occurrence = |taken: TakenOption| {
            let at = taken.at + before;
            // A value in the next word was taken with the option.
            let len = if taken.value.is_some() && self.words[at] == taken.name { 2 } else { 1 };
            before += len;
            Occurrence { at, len, value: taken.value }
        };
        taken.into_iter().map(occurrence).collect()
    }
}

/// Whether `oneloop serve` has this flag.
pub(super) fn is_flag_of_serve(long: &str) -> bool {
    let program = Cli::command();
    let serve = program.find_subcommand("serve");
    serve.is_some_and(|serve| serve.get_arguments().any(|flag| flag.get_long() == Some(long)))
}

/// An option that was taken out of the words.
pub(super) struct TakenOption {
    pub(super) name: String,
    pub(super) value: Option<String>,
    /// Where it was, among the words that are left.
    pub(super) at: usize,
}

fn names(option: &Arg) -> Vec<String> {
    let longs = option.get_long_and_visible_aliases().into_iter().flatten().map(|long| format!("--{long}"));
    longs.chain(option.get_short().map(|short| format!("-{short}"))).collect()
}

/// The option that a word names, the value joined to it, and whether the option takes a value.
fn named(word: &str, takes_value: impl Fn(&str) -> Option<bool>) -> Option<(String, Option<String>, bool)> {
    let (name, joined) = match word.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (word, None),
    };
    if let Some(has_value) = takes_value(name) {
        return Some((name.to_owned(), joined.map(str::to_owned), has_value));
    }
    // As in -P8080.
    let is_short = word.starts_with('-') && !word.starts_with("--");
    let (name, joined) = word.split_at_checked(2).filter(|_| is_short)?;
    takes_value(name).filter(|has_value| *has_value)?;
    Some((name.to_owned(), Some(joined.to_owned()), true))
}

impl fmt::Display for TypedCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&command(&self.words.iter().map(String::as_str).collect::<Vec<_>>()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(line: &str) -> TypedCommand {
        TypedCommand::new(&line.split(' ').map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn only_what_is_wrong_is_replaced() {
        let line = "-q serve site -p 8080 --spa=x 8080 --index a --index=b --lan";
        for (changed, expected) in [
            (
                typed(line).with_argument("8080", "docs"),
                "-q serve site -p 8080 --spa=x docs --index a --index=b --lan",
            ),
            (typed(line).without_argument("8080"), "-q serve site -p 8080 --spa=x --index a --index=b --lan"),
            (typed(line).without("index").without("lan"), "-q serve site -p 8080 --spa=x 8080"),
            (
                typed(line).with("port", "1").with("fallback", "y"),
                "-q serve site --port 1 --fallback y 8080 --index a --index=b --lan",
            ),
            (
                typed(line).with_value("index", "b", "c"),
                "-q serve site -p 8080 --spa=x 8080 --index a --index c --lan",
            ),
            (typed("serve a -p80").with("port", "1"), "serve a --port 1"),
            (typed("serve a --access-log - -q").without("access-log"), "serve a -q"),
            (typed("serve a --idle -q").with_value("idle", "", "3s"), "serve a --idle 3s -q"),
            (typed("a --lan").with_word_before("a", "serve"), "serve a --lan"),
        ] {
            assert_eq!(changed.to_string(), format!("oneloop {expected}"));
        }
        assert_eq!(typed(line).arguments(), ["site", "8080"]);
    }
}
