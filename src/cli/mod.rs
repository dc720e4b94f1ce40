//! The command line: flags to configuration, and every message to a user about what was typed.
//!
//! Exit codes: 0 all was well, 1 the system refused something, 2 what was typed is wrong, 3 a
//! check of a load does not hold. A mistake is one line on standard error that says what, where and what to do.

mod compare;
mod descriptors;
mod documents;
mod foreign;
mod http;
mod limits;
mod load;
mod load_files;
mod load_table;
mod logging;
mod mistake;
mod no_effect;
mod serve;
mod services;
mod spec;
mod target;
mod units;
mod words;

use std::ffi::OsString;
use std::fmt;
use std::io::Write;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{ArgMatches, Args, CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::lab::report::in_one_line;

/// One process, one loop, many clients: a small server, and what other ways to serve cost.
///
/// Share this directory, then try the server, then load it, then compare:
///
///   oneloop serve http=. echo
///   curl 127.0.0.1:8000/
///   oneloop load echo@127.0.0.1:7007
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
    Load(Box<load::LoadArgs>),
    Compare(Box<compare::CompareArgs>),
    Completions(documents::CompletionsArgs),
    Man(documents::ManArgs),
}

const QUIET_HELP: &str = "Tell less: -q warnings only, -qq errors only. RUST_LOG chooses more finely";

#[derive(Clone, Copy, Debug, Args)]
struct Verbosity {
    /// Tell more: -v each end of a client, -vv everything
    #[arg(short, long, action = clap::ArgAction::Count, global = true, conflicts_with = "quiet", help_heading = "Log")]
    verbose: u8,
    #[arg(short, long, action = clap::ArgAction::Count, global = true, help_heading = "Log", help = QUIET_HELP)]
    quiet: u8,
}

/// Why a command did not do what it was to do.
#[derive(Debug)]
enum Failure {
    /// What was typed is wrong: exit code 2.
    Usage(String),
    /// The system refused: exit code 1.
    System(String),
    /// All was done, and a check of the result does not hold: exit code 3.
    Check(String),
}

impl Failure {
    fn usage(error: impl fmt::Display) -> Self {
        Failure::Usage(error.to_string())
    }

    fn system(error: impl fmt::Display) -> Self {
        Failure::System(error.to_string())
    }
}

/// Runs the program: reads its arguments, does what they ask for, tells what went wrong.
pub fn main() -> ExitCode {
    let typed: Vec<OsString> = std::env::args_os().skip(1).collect();
    let (cli, matches) = match parse(&typed) {
        Ok(parsed) => parsed,
        Err(error) => return not_parsed(&error, &typed),
    };
    logging::start(cli.verbosity);
    let done = match cli.command {
        Command::Serve(args) => serve::run(&args, &Given::of(&matches)),
        Command::Load(args) => load::run(&args),
        Command::Compare(args) => compare::run(&args),
        Command::Completions(args) => documents::completions(&args),
        Command::Man(args) => documents::man(&args),
    };
    exit_code(done)
}

/// Parses the arguments behind the program's name.
fn parse(typed: &[OsString]) -> Result<(Cli, ArgMatches), clap::Error> {
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

/// The options of a subcommand that were typed, and are not there by default.
struct Given {
    options: Vec<Typed>,
}

/// An option that was typed.
struct Typed {
    /// Its name, without the dashes.
    long: String,
    /// The heading that it stands under in the help.
    heading: String,
    /// Its value, the first if there are several; empty if it has none.
    value: String,
}

impl Given {
    fn has(&self, long: &str) -> bool {
        self.options.iter().any(|option| option.long == long)
    }

    fn of(matches: &ArgMatches) -> Given {
        let program = Cli::command();
        let Some((name, matches)) = matches.subcommand() else { return Given { options: Vec::new() } };
        let arguments = program.find_subcommand(name).into_iter().flat_map(clap::Command::get_arguments);
        let typed = arguments.filter(|argument| {
            let id = argument.get_id().as_str();
            // The options that all subcommands share are not among these.
            matches.try_contains_id(id).is_ok() && matches.value_source(id) == Some(ValueSource::CommandLine)
        });
        let options = typed.filter_map(|argument| {
            let takes_value = argument.get_action().takes_values();
            let values = matches.get_raw(argument.get_id().as_str()).filter(|_| takes_value);
            let value = values.and_then(|mut values| values.next());
            Some(Typed {
                long: argument.get_long()?.to_owned(),
                heading: argument.get_help_heading().unwrap_or_default().to_owned(),
                value: value.map_or_else(String::new, |value| value.to_string_lossy().into_owned()),
            })
        });
        Given { options: options.collect() }
    }
}

/// Tells what went wrong, if anything did.
fn exit_code(done: Result<(), Failure>) -> ExitCode {
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Usage(what)) => {
            complain(&what);
            ExitCode::from(2)
        }
        Err(Failure::System(what)) => {
            complain(&what);
            ExitCode::FAILURE
        }
        Err(Failure::Check(what)) => {
            complain(&what);
            ExitCode::from(3)
        }
    }
}

fn not_parsed(error: &clap::Error, typed: &[OsString]) -> ExitCode {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            let printed = error.print().and_then(|()| std::io::stdout().flush());
            exit_code(documents::printed(printed))
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            let _ = error.print();
            ExitCode::from(2)
        }
        _ => {
            let unreadable = typed.iter().find(|arg| arg.to_str().is_none());
            let line = if let Some(arg) = unreadable.filter(|_| error.kind() == ErrorKind::InvalidUtf8) {
                format!("the argument {} is not UTF-8; see: oneloop --help", arg.display())
            } else {
                let typed: Vec<String> = typed.iter().map(|arg| arg.to_string_lossy().into_owned()).collect();
                mistake::line(error, &typed, &Cli::command())
            };
            complain(&line);
            ExitCode::from(2)
        }
    }
}

/// One line on standard error, whatever a path in it is made of. Nobody may be listening there: that is no reason to fail
/// otherwise than we do.
fn complain(what: &str) {
    let _ = writeln!(std::io::stderr(), "oneloop: {}", in_one_line(what));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }
}
