//! The command line: flags to configuration, and every message to a user about what was typed.
//!
//! Exit codes: 0 all was well, 1 the system refused something, 2 what was typed is wrong, 3 a
//! check of a load does not hold. A mistake is one line on standard error that says what, where and what to do.

mod compare;
mod documents;
mod http;
mod limits;
mod load;
mod load_files;
mod load_table;
mod logging;
mod serve;
mod spec;
mod target;
mod units;

use std::fmt;
use std::io::Write;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{Args, Parser, Subcommand};

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
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return not_parsed(&error),
    };
    logging::start(cli.verbosity);
    let done = match cli.command {
        Command::Serve(args) => serve::run(&args),
        Command::Load(args) => load::run(&args),
        Command::Compare(args) => compare::run(&args),
        Command::Completions(args) => documents::completions(&args),
        Command::Man(args) => documents::man(&args),
    };
    exit_code(done)
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

fn not_parsed(error: &clap::Error) -> ExitCode {
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
            let unreadable = std::env::args_os().find(|arg| arg.to_str().is_none());
            match unreadable.filter(|_| error.kind() == ErrorKind::InvalidUtf8) {
                Some(arg) => complain(&format!("the argument {} is no UTF-8; see --help", arg.display())),
                None => complain(&one_line(&error.to_string())),
            }
            ExitCode::from(2)
        }
    }
}

/// One line on standard error, whatever a path in it is made of. Nobody may be listening there: that is no reason to fail
/// otherwise than we do.
fn complain(what: &str) {
    let _ = writeln!(std::io::stderr(), "oneloop: {}", in_one_line(what));
}

/// With control characters as escapes: a path may have a newline.
fn in_one_line(text: &str) -> String {
    let shown =
        |char: char| if char.is_control() { char.escape_default().collect() } else { String::from(char) };
    text.chars().map(shown).collect()
}

/// What clap says in paragraphs, as one line: the mistake, its tips, and where to read on.
fn one_line(text: &str) -> String {
    let said = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let told = said.filter(|line| !line.starts_with("Usage:") && !line.starts_with("For more information"));
    let line = told.collect::<Vec<_>>().join("; ").replace(":;", ":");
    format!("{}; see --help", line.strip_prefix("error: ").unwrap_or(&line))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_mistake_is_one_line_that_names_it() {
        for (args, part) in [
            (&["serve", "--idle", "soon"][..], "invalid value 'soon' for '--idle <TIME>': "),
            (&["serve", "--idel", "3s"], "a similar argument exists: '--idle'"),
            (&["swerve"], "unrecognized subcommand 'swerve'"),
            (&["serve", "ecko"], "there is no service \"ecko\"; there are message, echo"),
            (&["serve", "-v", "-q"], "cannot be used with"),
        ] {
            let error = Cli::try_parse_from([&["oneloop"], args].concat()).unwrap_err();
            let line = one_line(&error.to_string());
            assert!(line.contains(part) && !line.contains('\n') && !line.contains("Usage"), "{line}");
        }
    }
}
