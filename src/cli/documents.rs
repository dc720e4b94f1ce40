//! Shell completions and manual pages.

use std::io::{self, Write};

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::words::did_you_mean;
use super::{Cli, Failure, completions};

/// Print a shell completion script
///
/// To install it for bash, which needs the package bash-completion:
///
///   mkdir -p ~/.local/share/bash-completion/completions
///   oneloop completions bash \
///     > ~/.local/share/bash-completion/completions/oneloop
///
/// For zsh:
///
///   mkdir -p ~/.zfunc
///   oneloop completions zsh > ~/.zfunc/_oneloop
///   echo 'fpath=(~/.zfunc $fpath)' >> ~/.zshrc
///   echo 'autoload -U compinit && compinit' >> ~/.zshrc
///
/// For fish:
///
///   mkdir -p ~/.config/fish/completions
///   oneloop completions fish > ~/.config/fish/completions/oneloop.fish
///
/// It takes effect in shells that are started afterwards.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(super) struct CompletionsArgs {
    /// The shell
    shell: Shell,
    /// The words of a command line that is being typed: the script asks what can take the place of the last.
    #[arg(last = true, hide = true)]
    words: Vec<String>,
}

/// Print the manual page
///
/// To read it:
///
///   oneloop man | man -l -
///
/// To install the pages, in a directory that must exist (mkdir -p):
///
///   oneloop man > /usr/local/share/man/man1/oneloop.1
///   oneloop man serve > /usr/local/share/man/man1/oneloop-serve.1
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(super) struct ManArgs {
    /// The command [default: the program as a whole]
    command: Option<String>,
}

pub(super) fn completions(args: &CompletionsArgs) -> Result<(), Failure> {
    if args.words.is_empty() {
        print(&completions::script(args.shell))
    } else {
        print(completions::candidates(&args.words).as_bytes())
    }
}

pub(super) fn man(args: &ManArgs) -> Result<(), Failure> {
    let mut program = Cli::command();
    program.build();
    let page = match &args.command {
        None => program,
        Some(name) => page_of(&program, name).cloned().ok_or_else(|| {
            let names: Vec<_> = program.get_subcommands().map(clap::Command::get_name).collect();
            Failure::Usage(format!(
                "unknown command \"{}\"; the commands are {}{}",
                name.escape_debug(),
                names.join(", "),
                did_you_mean(name, names.iter().copied())
            ))
        })?,
    };
    let mut text = Vec::new();
    clap_mangen::Man::new(page).render(&mut text).map_err(Failure::system)?;
    print(set(&String::from_utf8_lossy(&text)).as_bytes())
}

/// The command with this name; a command of a command is named with a dash, as its page is: `load-compare`.
fn page_of<'a>(program: &'a clap::Command, name: &str) -> Option<&'a clap::Command> {
    program.find_subcommand(name).or_else(|| {
        let (outer, inner) = name.split_once('-')?;
        program.find_subcommand(outer)?.find_subcommand(inner)
    })
}

/// Adds what `clap_mangen` leaves out: the version in the footer, and indented lines (examples, lists) as
/// they are (`.nf`, see man(7)) instead of filled and justified.
fn set(page: &str) -> String {
    let mut text = String::new();
    let mut kept = false;
    for line in page.lines() {
        if line.starts_with("  ") != kept {
            kept = !kept;
            text += if kept { ".nf\n" } else { ".fi\n" };
        }
        match line.strip_prefix(".TH ").and_then(|title| title.split(' ').next()) {
            Some(name) => text.extend([".TH ", name, " 1 \"\" \"oneloop ", env!("CARGO_PKG_VERSION"), "\""]),
            None => text += line,
        }
        text.push('\n');
    }
    text
}

/// Prints to standard output.
pub(super) fn print(text: &[u8]) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    printed(out.write_all(text).and_then(|()| out.flush()))
}

/// The result of printing. A reader that closes the pipe early, such as `head`, is not a failure.
pub(super) fn printed(done: io::Result<()>) -> Result<(), Failure> {
    match done {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::System(format!("cannot write to standard output: {error}")))
        }
        _ => Ok(()),
    }
}
