//! Options of other servers and benchmarks, and what does the same here. Those of load generators are in
//! `foreign_load`.

use super::typed_command::{TakenOption, TypedCommand};

/// What is written here for options that users know from other programs.
pub(super) struct Foreign {
    command: &'static str,
    /// The options, separated by spaces.
    names: &'static str,
    /// Whether the value follows in the next word.
    takes_value: bool,
    /// What the correction is for.
    pub(super) hint: &'static str,
    instead: Substitute,
}

/// What takes the place of an option.
enum Substitute {
    /// The command does that already, or cannot do it.
    Nothing,
    Words(&'static [&'static str]),
    /// An option here with the same value, or with this one where it needs another.
    Option(&'static str, &'static str),
    /// The value as an argument, or this one.
    Argument(&'static str),
    /// The value as the path of a site.
    Path,
}

impl Foreign {
    /// The entry for an option of a subcommand.
    pub(super) fn find(command: &str, option: &str) -> Option<&'static Foreign> {
        FOREIGN.iter().find(|entry| entry.command == command && entry.names().any(|name| name == option))
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        self.names.split(' ')
    }

    /// The command that was typed, with what is written here in place of these options and others with the
    /// same hint.
    pub(super) fn corrected(&self, typed: &TypedCommand) -> TypedCommand {
        let mut left = typed.clone();
        let entry = |name: &str| Foreign::find(self.command, name).filter(|entry| entry.hint == self.hint);
        let taken = left.take(|name| entry(name).map(|entry| entry.takes_value));
        let mut changes = Vec::new();
        // First what carries a value of the user.
        for with_value in [true, false] {
            for option in &taken {
                let Some(entry) = entry(&option.name) else { continue };
                let is_dropped = matches!(entry.instead, Substitute::Nothing | Substitute::Words(_));
                if (option.value.is_some() && !is_dropped) == with_value {
                    entry.instead.changes(option, &left, &mut changes);
                }
            }
        }
        changes.push(left);
        TypedCommand::first_valid(changes).unwrap_or_else(|| typed.clone())
    }
}

impl Substitute {
    /// Adds each form of the command that may be right.
    fn changes(&self, taken: &TakenOption, left: &TypedCommand, changes: &mut Vec<TypedCommand>) {
        let mut with = |words: &[&str]| {
            let mut command = left.clone();
            command.insert(taken.at, words);
            changes.push(command);
        };
        let value = taken.value.as_deref();
        match self {
            Substitute::Nothing => {}
            Substitute::Words(words) => with(words),
            Substitute::Option(option, example) => {
                // Other programs take times in seconds, without a unit.
                let in_seconds = value.map(|value| format!("{value}s"));
                let values = value.into_iter().chain(in_seconds.as_deref()).chain([*example]);
                values.for_each(|value| with(&[option, value]));
            }
            Substitute::Argument(example) => {
                value.into_iter().chain([*example]).for_each(|value| with(&[value]));
            }
            Substitute::Path => {
                let path = format!("/{}", value.unwrap_or("docs").trim_matches('/'));
                let sites = left.arguments();
                match sites[..] {
                    [] => with(&[&format!("http={path}:.")]),
                    [site, ..] => {
                        let dir =
                            site.strip_prefix("http=").unwrap_or(if site == "http" { "." } else { site });
                        changes.push(left.clone().with_argument(site, &format!("http={path}:{dir}")));
                    }
                }
            }
        }
    }
}

const fn row(command: &'static str, names: &'static str, hint: &'static str, instead: Substitute) -> Foreign {
    let takes_value = !matches!(instead, Substitute::Nothing | Substitute::Words(_));
    Foreign { command, names, takes_value, hint, instead }
}

/// Of options whose value has no place here.
const fn row_without_value(
    command: &'static str,
    names: &'static str,
    hint: &'static str,
    instead: Substitute,
) -> Foreign {
    Foreign { takes_value: true, ..row(command, names, hint, instead) }
}

const NO_TLS: &str = "TLS is not supported; let a proxy with TLS forward requests to the server";
const NO_WRITES: &str = "nothing is ever written (dufs and miniserve take uploads); to share files";
const ASKS: &str = "the password is asked for, or read from a file with --auth-password FILE";

const FOREIGN: &[Foreign] = &[
    row(
        "serve",
        "-d --directory --dir --root --path --docroot --document-root",
        "the directory is an argument",
        Substitute::Argument("DIR"),
    ),
    row(
        "serve",
        "--listing --list --browse --index-of --autoindex",
        "directories are listed already",
        Substitute::Nothing,
    ),
    row(
        "serve",
        "-A --allow-all --allow-upload --upload -u --upload-files --overwrite-files --mkdir --writable --write \
         --allow-delete --delete --webdav",
        NO_WRITES,
        Substitute::Nothing,
    ),
    row(
        "serve",
        "--qrcode --qr --network --public --expose",
        "to let others in the network open it",
        Substitute::Words(&["--lan"]),
    ),
    row(
        "serve",
        "-o --browser --launch --open-browser",
        "to open the browser",
        Substitute::Words(&["--open"]),
    ),
    row(
        "serve",
        "-t -j -w --threads --processes --jobs",
        "to use several cores",
        Substitute::Option("--workers", "4"),
    ),
    row(
        "serve",
        "--timeout --keepalive --keep-alive --keepalive-timeout --idle-timeout",
        "for the time between requests",
        Substitute::Option("--idle", "30s"),
    ),
    row(
        "serve",
        "-c --connections --max-connections --max-clients --limit",
        "for the number of clients at once",
        Substitute::Option("--clients", "1000"),
    ),
    row(
        "serve",
        "--cors --enable-cors --allow-cors",
        "to add header fields",
        Substitute::Words(&["--header", "Access-Control-Allow-Origin: *"]),
    ),
    row(
        "serve",
        "--log --log-file --log-path",
        "to log requests",
        Substitute::Option("--access-log", "FILE"),
    ),
    row("serve", "--tls --ssl --https -S", NO_TLS, Substitute::Nothing),
    row_without_value(
        "serve",
        "--cert --key --tls-cert --tls-key --ssl-cert --ssl-key --certificate",
        NO_TLS,
        Substitute::Nothing,
    ),
    row(
        "serve",
        "--allow-archive --enable-zip --enable-tar --enable-tar-gz --zip -z -g -r",
        "to offer directories as archives",
        Substitute::Words(&["--archive"]),
    ),
    row(
        "serve",
        "--render-spa -s --single",
        "for single-page applications",
        Substitute::Words(&["--fallback", "index.html"]),
    ),
    row(
        "serve",
        "--render-index --render-try-index",
        "the index.html of a directory is sent already",
        Substitute::Nothing,
    ),
    row(
        "serve",
        "--show-hidden -H --dotfiles",
        "to serve names that begin with a dot",
        Substitute::Words(&["--hidden"]),
    ),
    row(
        "serve",
        "--path-prefix --route-prefix --url-prefix --base-path --base-url --prefix",
        "to serve a directory at a path",
        Substitute::Path,
    ),
    row("serve", "--username --user-name --login", ASKS, Substitute::Option("--auth", "alice")),
    row_without_value("serve", "--password --passwd", ASKS, Substitute::Words(&["--auth", "alice"])),
    row_without_value(
        "serve",
        "--title",
        "the title of a listing is the name of its directory",
        Substitute::Nothing,
    ),
    row("serve", "--allow-search --search", "each listing has a filter box already", Substitute::Nothing),
    row(
        "compare",
        "-n --runs --rounds --repetitions",
        "for the number of repeats",
        Substitute::Option("--repeats", "5"),
    ),
    row(
        "compare",
        "-o --out --dir --directory",
        "for the directory of the report",
        Substitute::Option("--output", "DIR"),
    ),
];

/// Options of other servers for the address to listen on.
pub(super) const HOSTS: &[&str] = &[
    "--host",
    "--hostname",
    "--bind",
    "-b",
    "--addr",
    "--listen",
    "-l",
    "--interface",
    "--interfaces",
    "-i",
    "--ip",
];

/// Options of other servers for the port.
pub(super) const PORTS: &[&str] = &["-P"];

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::super::{Cli, parse};
    use super::*;

    #[test]
    fn no_option_of_another_program_is_an_option_here_or_has_two_meanings() {
        let program = Cli::command();
        for command in ["serve", "compare"] {
            let own = program.find_subcommand(command).unwrap().get_arguments().flat_map(|argument| {
                let long = argument.get_long().map(|long| format!("--{long}"));
                long.into_iter().chain(argument.get_short().map(|short| format!("-{short}")))
            });
            let own: Vec<String> = own.collect();
            let entries = FOREIGN.iter().filter(|entry| entry.command == command);
            let mut names: Vec<&str> = entries.flat_map(Foreign::names).collect();
            if command == "serve" {
                names.extend(HOSTS.iter().chain(PORTS));
            }
            for (at, name) in names.iter().enumerate() {
                assert!(
                    !own.iter().any(|own| own == name) && !names[..at].contains(name),
                    "{command} {name}"
                );
            }
        }
    }

    #[test]
    fn every_command_in_place_of_an_option_of_another_program_is_valid() {
        for entry in FOREIGN {
            for name in entry.names() {
                let words = [entry.command, name].map(str::to_owned);
                let corrected = entry.corrected(&TypedCommand::new(&words)).to_string();
                let typed: Vec<&str> = corrected.split(' ').skip(1).collect();
                let is_placeholder = matches!(entry.instead, Substitute::Argument("DIR"));
                let is_quoted = corrected.contains('\'');
                assert!(
                    is_placeholder
                        || is_quoted
                        || parse(&typed.iter().map(Into::into).collect::<Vec<_>>()).is_ok(),
                    "{corrected}"
                );
                assert!(!corrected.split(' ').any(|word| word == name), "{corrected}");
            }
        }
    }
}
