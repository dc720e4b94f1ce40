//! The command line: from arguments to configuration, and every message about the arguments.
//!
//! Exit codes: 0 success, 1 system error, 2 invalid arguments, 3 a failed check of `oneloop load`, 4 a check
//! of `oneloop load compare` that the data cannot decide. An error is one line on standard error: what
//! happened, to what, and what to do next.

mod announce;
mod auth;
mod browser;
mod compare;
mod completions;
mod descriptors;
mod documents;
mod foreign;
mod foreign_load;
mod http;
mod layout;
mod lecture;
mod limits;
mod listen;
mod load;
mod load_auth;
mod load_command;
mod load_compare;
mod load_files;
mod load_find;
mod load_form;
mod load_histogram;
mod load_input;
mod load_merge;
mod load_page;
mod load_raw;
mod load_replay;
mod load_report;
mod load_request;
mod load_table;
mod load_urls;
mod load_values;
mod load_verdict;
mod logging;
mod mend;
mod mistake;
mod network;
mod no_effect;
mod protocol;
mod serve;
mod services;
mod spec;
mod start_time;
mod stderr;
#[cfg(test)]
mod suggestions;
mod target;
mod typed_command;
mod units;
mod words;

use std::ffi::OsString;
use std::fmt;
use std::io::Write;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{ArgMatches, Args, CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::plot::text::in_one_line;
use typed_command::TypedCommand;

/// One process, one loop, many clients: a server, a load generator, and a comparison of server models.
///
/// Share this directory, look at it, put load on the server, watch the models, and compare them:
///
///   oneloop serve
///   curl 127.0.0.1:8000/
///   oneloop load http@127.0.0.1:8000
///   oneloop lecture
///   oneloop compare --quick
#[derive(Debug, Parser)]
#[command(
    name = "oneloop",
    version,
    max_term_width = 110,
    arg_required_else_help = true,
    verbatim_doc_comment
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    verbosity: Verbosity,
}

#[derive(Debug, Subcommand)]
enum Command {
    Serve(Box<serve::ServeArgs>),
    Load(load_command::LoadCommand),
    Compare(Box<compare::CompareArgs>),
    Lecture(Box<lecture::LectureArgs>),
    Completions(documents::CompletionsArgs),
    Man(documents::ManArgs),
}

#[derive(Clone, Copy, Debug, Args)]
struct Verbosity {
    /// Log more: -v the start and end of each client, -vv everything
    #[arg(short, long, action = clap::ArgAction::Count, global = true, conflicts_with = "quiet", help_heading = "Log")]
    verbose: u8,
    /// Log less: -q warnings and errors, -qq errors only; `RUST_LOG` selects levels per module
    #[arg(short, long, action = clap::ArgAction::Count, global = true, help_heading = "Log")]
    quiet: u8,
}

/// Why a command failed.
#[derive(Debug)]
enum Failure {
    /// Invalid arguments: exit code 2.
    Usage(String),
    /// A system error: exit code 1.
    System(String),
    /// The command succeeded, but a check of its result failed: exit code 3.
    Check(String),
    /// The data cannot decide whether it failed: exit code 4.
    Undecided(String),
}

impl Failure {
    fn usage(error: impl fmt::Display) -> Self {
        Failure::Usage(error.to_string())
    }

    fn system(error: impl fmt::Display) -> Self {
        Failure::System(error.to_string())
    }
}

/// Runs the program: parses its arguments, runs the command, reports its error.
pub fn main() -> ExitCode {
    let typed: Vec<OsString> = std::env::args_os().skip(1).collect();
    let (cli, matches) = match parse(&typed) {
        Ok(parsed) => parsed,
        Err(error) => return not_parsed(&error, &typed),
    };
    logging::start(cli.verbosity);
    let done = match cli.command {
        Command::Serve(args) => serve::run(&args, &GivenOptions::of(&matches, &typed)),
        Command::Load(command) => load_command::run(&command, &TypedCommand::new(&in_utf8(&typed))),
        Command::Compare(args) => compare::run(&args, &TypedCommand::new(&in_utf8(&typed))),
        Command::Lecture(args) => lecture::run(&args, &GivenOptions::of(&matches, &typed).command),
        Command::Completions(args) => documents::completions(&args),
        Command::Man(args) => documents::man(&args),
    };
    exit_code(done, &in_utf8(&typed))
}

fn in_utf8(typed: &[OsString]) -> Vec<String> {
    typed.iter().map(|word| word.to_string_lossy().into_owned()).collect()
}

/// Parses the arguments after the program's name.
fn parse(typed: &[OsString]) -> Result<(Cli, ArgMatches), clap::Error> {
    if let Some(error) = mistake::misread(typed) {
        return Err(error);
    }
    let parse = |typed: &[OsString]| {
        let words = std::iter::once(OsString::from("oneloop")).chain(typed.iter().cloned());
        let matches = Cli::command().try_get_matches_from(words)?;
        Ok((Cli::from_arg_matches(&matches)?, matches))
    };
    parse(typed).or_else(|error: clap::Error| {
        let joined = mistake::joined(typed);
        if error.kind() == ErrorKind::UnknownArgument && joined != typed {
            parse(&joined)
        } else {
            Err(error)
        }
    })
}

/// Checks what needs more than the parser, and no run: a command that a message suggests must be accepted.
/// The rest of what `load` and `compare` check needs their files and servers.
fn check(cli: &Cli, given: &GivenOptions) -> Result<(), Failure> {
    match &cli.command {
        Command::Serve(args) => serve::check(args, given),
        // It stands for a file of the user.
        Command::Lecture(_) if given.values("script") == ["FILE"] => Ok(()),
        Command::Lecture(args) => lecture::check(args, &given.command).map(drop),
        Command::Load(command) => load_command::check(command, &given.command),
        Command::Compare(args) => compare::check(args, &given.command),
        Command::Completions(_) | Command::Man(_) => Ok(()),
    }
}

/// The options that the user gave to a subcommand, without those that have their default.
struct GivenOptions {
    options: Vec<GivenOption>,
    /// For messages.
    command: TypedCommand,
}

/// An option that the user gave.
struct GivenOption {
    /// The name, without dashes.
    long: String,
    /// The heading in the help.
    heading: String,
    /// The first value; empty if the option takes none.
    value: String,
    /// All values.
    values: Vec<OsString>,
}

impl GivenOptions {
    fn has(&self, long: &str) -> bool {
        self.options.iter().any(|option| option.long == long)
    }

    /// The values of an option; none if it was not given.
    fn values(&self, long: &str) -> &[OsString] {
        self.options.iter().find(|option| option.long == long).map_or(&[], |option| &option.values)
    }

    fn of(matches: &ArgMatches, typed: &[OsString]) -> GivenOptions {
        let command = TypedCommand::new(&in_utf8(typed));
        let program = Cli::command();
        let Some((name, matches)) = matches.subcommand() else {
            return GivenOptions { options: Vec::new(), command };
        };
        let arguments = program.find_subcommand(name).into_iter().flat_map(clap::Command::get_arguments);
        let typed = arguments.filter(|argument| {
            let id = argument.get_id().as_str();
            // Global options are not defined for the subcommand itself.
            matches.try_contains_id(id).is_ok() && matches.value_source(id) == Some(ValueSource::CommandLine)
        });
        let options = typed.filter_map(|argument| {
            let takes_value = argument.get_action().takes_values();
            let values = matches.get_raw(argument.get_id().as_str()).filter(|_| takes_value);
            let values: Vec<OsString> = values.into_iter().flatten().map(Into::into).collect();
            Some(GivenOption {
                long: argument.get_long()?.to_owned(),
                heading: argument.get_help_heading().unwrap_or_default().to_owned(),
                value: values.first().map_or_else(String::new, |value| value.to_string_lossy().into_owned()),
                values,
            })
        });
        GivenOptions { options: options.collect(), command }
    }
}

/// Reports the error of the command `typed`, if there is one.
fn exit_code(done: Result<(), Failure>, typed: &[String]) -> ExitCode {
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Usage(what)) => {
            report(&mend::with_accepted_command(&what, typed));
            ExitCode::from(2)
        }
        Err(Failure::System(what)) => {
            report(&what);
            ExitCode::FAILURE
        }
        Err(Failure::Check(what)) => {
            report(&what);
            ExitCode::from(3)
        }
        Err(Failure::Undecided(what)) => {
            report(&what);
            ExitCode::from(4)
        }
    }
}

fn not_parsed(error: &clap::Error, typed: &[OsString]) -> ExitCode {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            let printed = error.print().and_then(|()| std::io::stdout().flush());
            exit_code(documents::printed(printed), &[])
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            let _ = error.print();
            ExitCode::from(2)
        }
        _ => {
            let unreadable = typed.iter().find(|arg| arg.to_str().is_none());
            let typed = in_utf8(typed);
            let line = if let Some(arg) = unreadable.filter(|_| error.kind() == ErrorKind::InvalidUtf8) {
                format!("the argument {} is not UTF-8; see: oneloop --help", arg.display())
            } else {
                mistake::line(error, &typed, &Cli::command())
            };
            report(&mend::with_accepted_command(&line, &typed));
            ExitCode::from(2)
        }
    }
}

/// Prints one line on standard error; line ends in it are escaped. If standard error is closed, the exit code
/// is enough.
fn report(what: &str) {
    stderr::say(format_args!("oneloop: {}", in_one_line(what)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    /// Help and manual fill paragraphs to the width of the terminal, but not lists and examples. The manual
    /// indents a text by 7.
    #[test]
    fn lists_and_examples_of_the_help_fit_in_80_columns() {
        let mut program = Cli::command();
        program.build();
        let commands: Vec<String> =
            program.get_subcommands().map(|command| command.get_name().to_owned()).collect();
        for name in &commands {
            let command = program.find_subcommand(name).unwrap();
            let mut texts: Vec<(usize, String)> = Vec::new();
            texts.extend(command.get_long_about().map(|text| (7, text.to_string())));
            texts.extend(command.get_after_long_help().map(|text| (7, text.to_string())));
            let arguments = command.get_arguments().filter_map(|argument| argument.get_long_help());
            texts.extend(arguments.map(|text| (10, text.to_string())));
            for (indent, text) in texts {
                for line in text.lines().filter(|line| line.starts_with("  ")) {
                    assert!(indent + line.chars().count() <= 80, "{name}: {line}");
                }
            }
        }
    }
}
