//! What a shell offers for a command line that is being typed.
//!
//! The scripts for bash, zsh and fish ask this program (`oneloop completions SHELL -- WORDS`), so that they
//! know every value of the installed version, and let the shell itself complete paths. Other shells get a
//! script that completes the options only.

use std::fmt::Write;
use std::path::Path;

use clap::builder::StyledStr;
use clap::{Arg, Args, Command, CommandFactory};
use clap_complete::Shell;

use super::Cli;
use super::http::SiteArgs;
use super::services::LOADABLE;
use crate::lab::plan::experiment::Experiment;
use crate::lecture::scene::SceneName;
use crate::models::Model;
use crate::services::{Argument, ServiceName};

/// The script that a shell loads.
pub(super) fn script(shell: Shell) -> Vec<u8> {
    match shell {
        Shell::Bash => include_bytes!("oneloop.bash").to_vec(),
        Shell::Zsh => include_bytes!("oneloop.zsh").to_vec(),
        Shell::Fish => include_bytes!("oneloop.fish").to_vec(),
        other => {
            let mut script = Vec::new();
            clap_complete::generate(other, &mut Cli::command(), "oneloop", &mut script);
            script
        }
    }
}

/// The candidates for the last of `words`, the words after the name of the program. The first line has the
/// kind of paths that the shell completes (`none`, `files` or `directories`) and the text to keep before
/// them; each further line has a candidate, a tab and its description.
pub(super) fn candidates(words: &[String]) -> String {
    let mut program = Cli::command();
    program.build();
    let (last, before) = words.split_last().map_or(("", words), |(last, before)| (last.as_str(), before));
    let offer = Position::of(&program, before).offer(last);
    let paths = match offer.paths {
        Paths::None => "none",
        Paths::Files => "files",
        Paths::Directories => "directories",
    };
    let mut text = format!("{paths} {}\n", offer.kept);
    for (value, help) in offer.values.iter().filter(|(value, _)| value.starts_with(last)) {
        writeln!(text, "{value}\t{}", help.lines().next().unwrap_or_default()).expect("memory takes all");
    }
    text
}

/// What may follow.
struct Candidates {
    paths: Paths,
    /// The beginning of the word, before the path.
    kept: String,
    /// Whole words, each with its meaning.
    values: Vec<(String, String)>,
}

impl Candidates {
    fn words(values: Vec<(String, String)>) -> Candidates {
        Candidates { paths: Paths::None, kept: String::new(), values }
    }
}

#[derive(Clone, Copy)]
enum Paths {
    None,
    Files,
    Directories,
}

/// Where in the command line the last word is.
struct Position<'a> {
    command: &'a Command,
    /// The option whose value it is.
    option: Option<&'a Arg>,
    /// How many positional arguments are before it.
    positionals: usize,
}

impl<'a> Position<'a> {
    fn of(program: &'a Command, before: &[String]) -> Position<'a> {
        let mut position = Position { command: program, option: None, positionals: 0 };
        for word in before {
            if position.option.take().is_some() {
                continue;
            }
            if word.starts_with('-') {
                let option = position.option_of(word);
                position.option = option.filter(|option| option.get_action().takes_values());
            } else if let Some(command) = position.command.find_subcommand(word) {
                (position.command, position.positionals) = (command, 0);
            } else {
                position.positionals += 1;
            }
        }
        position
    }

    /// The option that a word without a value names.
    fn option_of(&self, word: &str) -> Option<&'a Arg> {
        self.command.get_arguments().find(|argument| match word.strip_prefix("--") {
            Some(long) => argument.get_long_and_visible_aliases().is_some_and(|all| all.contains(&long)),
            None => argument.get_short().is_some_and(|short| word == format!("-{short}")),
        })
    }

    fn offer(&self, last: &str) -> Candidates {
        if let Some(option) = self.option {
            return self.values(option, "", last);
        }
        if let Some((name, value)) = last.split_once('=').filter(|(name, _)| name.starts_with("--")) {
            let option = self.option_of(name);
            return option.map_or(Candidates::words(Vec::new()), |option| {
                self.values(option, &format!("{name}="), value)
            });
        }
        if last.starts_with('-') {
            return Candidates::words(self.options());
        }
        let positionals = self.command.get_positionals().filter(|argument| !argument.is_hide_set());
        let positionals: Vec<&Arg> = positionals.collect();
        let takes_several =
            |argument: &&&Arg| argument.get_num_args().is_some_and(|range| range.max_values() > 1);
        let several = positionals.last().filter(takes_several);
        let positional = several.or_else(|| positionals.get(self.positionals));
        match positional {
            Some(positional) => {
                let mut offer = self.values(positional, "", last);
                // The first word may also be a command, as in `load compare`.
                if self.positionals == 0 {
                    offer.values.extend(commands(self.command));
                }
                offer
            }
            None => Candidates::words(commands(self.command)),
        }
    }

    fn options(&self) -> Vec<(String, String)> {
        let options = self.command.get_arguments().filter(|argument| !argument.is_hide_set());
        let names = |option: &'a Arg| {
            let longs = option.get_long_and_visible_aliases().into_iter().flatten();
            let longs = longs.map(|long| format!("--{long}"));
            let short = option.get_short().map(|short| format!("-{short}"));
            longs.chain(short).map(|name| (name, text(option.get_help())))
        };
        options.flat_map(names).collect()
    }

    /// The values of an argument: `begun` is the typed part of the value, `before` the part of the word
    /// before it.
    fn values(&self, argument: &Arg, before: &str, begun: &str) -> Candidates {
        let name =
            argument.get_value_names().and_then(|names| names.first()).map_or("", |name| name.as_str());
        let mut paths = match name {
            "FILE" | "BEFORE" | "AFTER" => Paths::Files,
            "DIR" => Paths::Directories,
            _ => Paths::None,
        };
        let mut kept = before.to_owned();
        let known = match (self.command.get_name(), argument.get_id().as_str()) {
            ("serve", "specs") => {
                let site = TypedSite::of(begun);
                if let Some(option) = site.option {
                    return option_of_site(site.before, option);
                }
                paths = Paths::Directories;
                site.before.clone_into(&mut kept);
                services(ServiceName::ALL)
            }
            ("load", "target") => services(LOADABLE),
            ("compare", "experiments") => {
                Experiment::ALL.map(|one| (one.name().to_owned(), one.question().to_owned())).to_vec()
            }
            ("compare", "models") => {
                Model::ALL.map(|model| (model.name().to_owned(), model.about().to_owned())).to_vec()
            }
            ("lecture", "model") => {
                Model::ALL.map(|model| (model.name().to_owned(), model.about().to_owned())).to_vec()
            }
            ("lecture", "scene") => {
                SceneName::ALL.map(|scene| (scene.name().to_owned(), scene.title())).to_vec()
            }
            ("man", "command") => commands(&Cli::command()),
            _ => {
                let values = argument.get_possible_values().into_iter().filter(|value| !value.is_hide_set());
                values.map(|value| (value.get_name().to_owned(), text(value.get_help()))).collect()
            }
        };
        // Of a list the last item is completed; those before it are not offered again.
        let last = argument.get_value_delimiter().and_then(|delimiter| begun.rfind(delimiter));
        let done = last.map_or("", |at| &begun[..=at]);
        let values = known.into_iter().filter(|(value, _)| !done.split(',').any(|item| item == value));
        let values = values.map(|(value, help)| (format!("{before}{done}{value}"), help)).collect();
        Candidates { paths, kept, values }
    }
}

/// A site that is being typed: `[http=[//HOST][/PATH:]]DIR[,OPTION...]`.
struct TypedSite<'t> {
    /// What precedes the directory or the last option.
    before: &'t str,
    /// What is typed of the last option.
    option: Option<&'t str>,
}

impl<'t> TypedSite<'t> {
    fn of(begun: &'t str) -> TypedSite<'t> {
        let service = begun.split_once('=').filter(|(name, _)| takes_directory(name));
        let mut at = service.map_or(0, |(name, _)| name.len() + 1);
        let rest = &begun[at..];
        if at > 0 && rest.starts_with('/') {
            // The address of a host may have colons: //[::1]:DIR.
            let host = if rest.starts_with("//[") { rest.find(']').unwrap_or(0) } else { 0 };
            at += rest[host..].find(':').map_or(0, |colon| host + colon + 1);
        }
        let dir = &begun[at..];
        let is_dir = |path: &str| path.starts_with('~') || Path::new(path).is_dir();
        match dir.split_once(',') {
            Some((path, _)) if is_dir(path) => {
                let option = begun.rfind(',').map_or(begun.len(), |comma| comma + 1);
                TypedSite { before: &begun[..option], option: Some(&begun[option..]) }
            }
            _ => TypedSite { before: &begun[..at], option: None },
        }
    }
}

/// The options of a site, or the paths that an option takes.
fn option_of_site(before: &str, begun: &str) -> Candidates {
    let flags = SiteArgs::augment_args(Command::new("site"));
    let mut offer = Candidates::words(Vec::new());
    for flag in flags.get_arguments() {
        let Some(long) = flag.get_long() else { continue };
        if !flag.get_action().takes_values() {
            let option = long.strip_prefix("no-").map_or(long.to_owned(), |name| format!("{name}=off"));
            offer.values.push((format!("{before}{option}"), text(flag.get_help())));
            continue;
        }
        if begun.split_once('=').is_some_and(|(name, _)| name == long) {
            offer.kept = format!("{before}{long}=");
            offer.paths = match flag.get_value_names().and_then(|names| names.first()).map(AsRef::as_ref) {
                Some("FILE") => Paths::Files,
                Some("DIR") => Paths::Directories,
                _ => Paths::None,
            };
        } else {
            offer.values.push((format!("{before}{long}="), text(flag.get_help())));
        }
    }
    offer
}

fn takes_directory(service: &str) -> bool {
    service.parse::<ServiceName>().is_ok_and(|service| service.argument() == Argument::Directory)
}

fn services(names: &[ServiceName]) -> Vec<(String, String)> {
    names.iter().map(|service| (service.to_string(), service.about().to_owned())).collect()
}

fn commands(program: &Command) -> Vec<(String, String)> {
    let commands = program.get_subcommands().filter(|command| !command.is_hide_set());
    commands.map(|command| (command.get_name().to_owned(), text(command.get_about()))).collect()
}

fn text(help: Option<&StyledStr>) -> String {
    help.map_or_else(String::new, ToString::to_string)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offered(line: &str) -> (String, Vec<String>) {
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        let text = candidates(&words);
        let mut lines = text.lines();
        let paths = lines.next().unwrap().to_owned();
        (paths, lines.map(|line| line.split('\t').next().unwrap().to_owned()).collect())
    }

    #[test]
    fn services_directories_experiments_and_models_are_offered() {
        let services: Vec<&str> = ServiceName::ALL.iter().map(|service| service.as_str()).collect();
        for (line, paths, values) in [
            ("", "none ", &["serve", "load", "compare", "lecture", "completions", "man", "help"][..]),
            ("ser", "none ", &["serve"]),
            ("-q ser", "none ", &["serve"]),
            ("serve ec", "directories ", &["echo"]),
            ("serve ", "directories ", &services),
            ("serve echo --workers 2 da", "directories ", &["daytime"]),
            ("serve http=si", "directories http=", &[]),
            ("serve si", "directories ", &[]),
            ("serve http=/docs:m", "directories http=/docs:", &[]),
            ("serve http=//example.org:m", "directories http=//example.org:", &[]),
            ("serve http=//[::1]/docs:m", "directories http=//[::1]/docs:", &[]),
            ("serve http=/et", "directories http=", &[]),
            ("serve src,lis", "none ", &["src,listing=off"]),
            ("serve http=/docs:src,hidden,cl", "none ", &["http=/docs:src,hidden,clean-urls"]),
            ("serve http=src,fol", "none ", &["http=src,follow="]),
            ("serve http=src,follow=", "directories http=src,follow=", &[]),
            ("serve --model pre", "none ", &["prefork", "prethread"]),
            ("serve --model=re", "none --model=", &["--model=reactor"]),
            ("serve --access-log ", "files ", &[]),
            ("serve --access-log=a", "files --access-log=", &[]),
            ("serve --no-lis", "none ", &["--no-listing"]),
            ("serve -p", "none ", &["-p"]),
            ("serve --overflow e", "none ", &["evict"]),
            ("serve --nothing=x", "none ", &[]),
            ("load ec", "none ", &["echo"]),
            ("compare --experiments cr", "none ", &["crowd"]),
            ("compare --experiments crowd,c", "none ", &["crowd,churn"]),
            ("compare --experiments=crowd,id", "none --experiments=", &["--experiments=crowd,idle"]),
            ("compare --models pre", "none ", &["prefork", "prethread"]),
            ("compare --output ", "directories ", &[]),
            ("lecture --model pre", "none ", &["prefork", "prethread"]),
            ("lecture --model fork,rea", "none ", &["fork,reactor"]),
            ("lecture --scene zo", "none ", &["zombies"]),
            ("lecture --script ", "files ", &[]),
            ("completions b", "none ", &["bash"]),
            ("man se", "none ", &["serve"]),
            ("help lo", "none ", &["load"]),
        ] {
            let (found, offered) = offered(line);
            assert_eq!(found, paths, "{line}");
            let offered: Vec<&str> = offered.iter().map(String::as_str).collect();
            assert_eq!(offered, values, "{line}");
        }
    }
}
