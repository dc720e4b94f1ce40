//! The command at the end of a message. A user may make several mistakes in one command, and a message is
//! about the first: the others are mended here, so that what the message suggests is accepted.

use std::ffi::OsString;

use clap::CommandFactory;

use super::words::{command, split};
use super::{Cli, Failure, GivenOptions, check, mistake, parse};

/// The most mistakes that are mended in a command that a message suggests. More are rare, and each costs a
/// parse.
const MENDS_MAX: usize = 4;

/// The message about one mistake, with a command that is accepted: other mistakes in it are mended. If they
/// cannot be, the message has no command that fails, but leads to the help.
pub(super) fn with_accepted_command(message: &str, typed: &[String]) -> String {
    let message = &with_example(message, typed);
    let Some(suggestion) = Suggestion::of(message) else { return message.to_owned() };
    if is_accepted(&suggestion.words) {
        return message.to_owned();
    }
    let Suggestion { before, words, after } = suggestion;
    if let Some(mended) = mended(placed(&words)) {
        let mended: Vec<String> =
            mended.iter().map(|word| word.replace(ANY_DIRECTORY, PLACEHOLDER)).collect();
        let mended: Vec<&str> = mended.iter().map(String::as_str).collect();
        return format!("{before}: {}{after}", command(&mended));
    }
    let program = Cli::command();
    let name = words.iter().find(|word| program.find_subcommand(word).is_some());
    let help: Vec<&str> = name.map(String::as_str).into_iter().chain(["--help"]).collect();
    // Without the clause that leads to the command.
    let what = before.rfind("; ").max(before.rfind("? ")).map_or(before, |at| &before[..=at]);
    match what.strip_suffix(';').unwrap_or(what) {
        question if question.ends_with('?') => format!("{question} See: {}", command(&help)),
        what => format!("{what}; see: {}", command(&help)),
    }
}

/// The message with an example of the option that it is about, if it has no command.
fn with_example(message: &str, typed: &[String]) -> String {
    let example = || {
        // What a program does that the user has named is not a mistake in the command.
        let is_of_peer = message.starts_with("--peer ") && first_mistake(typed).is_none();
        (!is_of_peer).then(|| mistake::example(message, typed, &Cli::command()))?
    };
    match Suggestion::of(message).is_none().then(example).flatten() {
        Some(works) => format!("{message}; for example: {works}"),
        None => message.to_owned(),
    }
}

/// What `oneloop` reports about these words, before anything is mended; `None` if it accepts them.
pub(super) fn first_mistake(words: &[String]) -> Option<String> {
    let typed: Vec<OsString> = words.iter().map(OsString::from).collect();
    match parse(&typed) {
        Err(error) if error.use_stderr() => Some(mistake::line(&error, words, &Cli::command())),
        Err(_) => None,
        Ok((cli, matches)) => match check(&cli, &GivenOptions::of(&matches, &typed)) {
            Ok(()) => None,
            Err(
                Failure::Usage(what)
                | Failure::System(what)
                | Failure::Check(what)
                | Failure::Undecided(what),
            ) => Some(what),
        },
    }
}

/// The command that a message suggests.
pub(super) struct Suggestion<'a> {
    /// The message before the command and its colon.
    before: &'a str,
    /// The arguments of the command.
    pub(super) words: Vec<String>,
    /// A second example.
    after: &'a str,
}

impl Suggestion<'_> {
    pub(super) fn of(message: &str) -> Option<Suggestion<'_>> {
        const COMMAND: &str = ": oneloop ";
        let program = Cli::command();
        // The command may have these words, too, and so may what the message quotes.
        message.match_indices(COMMAND).find_map(|(at, _)| {
            let rest = &message[at + COMMAND.len()..];
            let end = rest.find(", or: oneloop ").unwrap_or(rest.len());
            let words = split(&rest[..end]);
            let begins = |word: &String| word.starts_with('-') || program.find_subcommand(word).is_some();
            let is_command = words.first().is_some_and(begins);
            is_command.then(|| Suggestion { before: &message[..at], words, after: &rest[end..] })
        })
    }
}

/// What a message has in place of a directory that only the user can name.
const PLACEHOLDER: &str = "DIR";

/// A directory of every system, in a form that no user types: it takes the place of [`PLACEHOLDER`] in a
/// check.
const ANY_DIRECTORY: &str = "/./.";

fn placed(words: &[String]) -> Vec<String> {
    words.iter().map(|word| word.replace(PLACEHOLDER, ANY_DIRECTORY)).collect()
}

/// The command with its mistakes mended as their messages suggest.
fn mended(words: Vec<String>) -> Option<Vec<String>> {
    let mut now = words;
    for _ in 0..MENDS_MAX {
        let message = with_example(&first_mistake(&now)?, &now);
        let next = placed(&Suggestion::of(&message)?.words);
        // The help is accepted, but is not what the user wants to do.
        if next == now || next.iter().any(|word| word == "--help") {
            return None;
        }
        if is_accepted(&next) {
            return Some(next);
        }
        now = next;
    }
    None
}

/// Whether the command is accepted once its placeholder is a directory.
fn is_accepted(words: &[String]) -> bool {
    first_mistake(words).is_none() || first_mistake(&placed(words)).is_none()
}
