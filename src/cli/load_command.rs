//! `oneloop load`, and its commands that work on the reports of earlier loads.

use clap::{ArgMatches, Args, Command, FromArgMatches};

use super::Failure;
use super::load::LoadArgs;
use super::load_compare::CompareRunsArgs;
use super::load_merge::MergeArgs;
use super::typed_command::TypedCommand;

/// What `oneloop load` does.
#[derive(Debug)]
pub(super) enum LoadCommand {
    Run(Box<LoadArgs>),
    Compare(CompareRunsArgs),
    Merge(Box<MergeArgs>),
}

/// clap's derive cannot declare that either an argument or a subcommand is enough.
impl FromArgMatches for LoadCommand {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        match matches.subcommand() {
            Some(("compare", matches)) => {
                CompareRunsArgs::from_arg_matches(matches).map(LoadCommand::Compare)
            }
            Some((_, matches)) => {
                MergeArgs::from_arg_matches(matches).map(|args| LoadCommand::Merge(Box::new(args)))
            }
            None => LoadArgs::from_arg_matches(matches).map(|args| LoadCommand::Run(Box::new(args))),
        }
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Args for LoadCommand {
    fn augment_args(command: Command) -> Command {
        LoadArgs::augment_args(command)
            .args_conflicts_with_subcommands(true)
            .subcommand_negates_reqs(true)
            .disable_help_subcommand(true)
            .subcommand(CompareRunsArgs::augment_args(Command::new("compare")))
            .subcommand(MergeArgs::augment_args(Command::new("merge")))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

/// Rejects options without effect, as far as that needs no file and no server.
pub(super) fn check(command: &LoadCommand, typed: &TypedCommand) -> Result<(), Failure> {
    match command {
        LoadCommand::Run(args) => super::load::check(args, typed),
        LoadCommand::Compare(_) | LoadCommand::Merge(_) => Ok(()),
    }
}

/// Does it.
pub(super) fn run(command: &LoadCommand, typed: &TypedCommand) -> Result<(), Failure> {
    check(command, typed)?;
    match command {
        LoadCommand::Run(args) => super::load::run(args),
        LoadCommand::Compare(args) => super::load_compare::run(args),
        LoadCommand::Merge(args) => super::load_merge::run(args),
    }
}
