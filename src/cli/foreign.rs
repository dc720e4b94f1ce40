//! Options of other servers and their equivalents in this program. Those of load generators are in
//! `foreign_load`.

use std::path::Path;

use super::spec::{Spec, address_of, directory_argument};
use super::typed_command::{TakenOption, TypedCommand};
use crate::services::ServiceName;

/// Options that users know from other programs, and their equivalent.
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

/// The equivalent of an option.
enum Substitute {
    /// No option: the command does this anyway, or cannot do it.
    Nothing,
    Words(&'static [&'static str]),
    /// An option of this program with the same value, or with this value if it needs another.
    Option(&'static str, &'static str),
    /// The value as the directory to serve.
    Directory,
    /// The value as the path of a site.
    Path,
    /// The value as the host of a site.
    Host,
    /// The value as the file of a picture.
    Picture,
}

impl Foreign {
    /// The entry for an option of a subcommand.
    pub(super) fn find(command: &str, option: &str) -> Option<&'static Foreign> {
        FOREIGN.iter().find(|entry| entry.command == command && entry.names().any(|name| name == option))
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        self.names.split(' ')
    }

    /// What to do, and the typed command, with these options, and others that have the same hint, replaced by
    /// those of this program.
    pub(super) fn corrected(&self, typed: &TypedCommand) -> (&'static str, TypedCommand) {
        let mut left = typed.clone();
        let entry = |name: &str| Foreign::find(self.command, name).filter(|entry| entry.hint == self.hint);
        let taken = left.take(|name| entry(name).map(|entry| entry.takes_value));
        let mut changes = Vec::new();
        // Equivalents with a value of the user come first.
        for with_value in [true, false] {
            for option in &taken {
                let Some(entry) = entry(&option.name) else { continue };
                let is_dropped = matches!(entry.instead, Substitute::Nothing | Substitute::Words(_));
                if (option.value.is_some() && !is_dropped) == with_value {
                    entry.instead.changes(option, &left, &mut changes);
                }
            }
        }
        if let Some(works) = changes.iter().find(|change| change.is_valid()) {
            return (self.hint, works.clone());
        }
        let own = match self.instead {
            Substitute::Words(words) => words.first().copied(),
            Substitute::Option(option, _) => Some(option),
            _ => None,
        };
        // Without the directory of the user, another one would be shared.
        if !left.is_valid() || matches!(self.instead, Substitute::Directory) {
            return (self.hint, changes.into_iter().next().unwrap_or(left));
        }
        if self.hint == LISTS && !shares_directory(&left) {
            return ("only directories are listed, so leave it out", left);
        }
        let is_without_effect = own.is_some_and(|option| !left.has(option.trim_start_matches('-')));
        (if is_without_effect { "it has no effect here; leave it out" } else { self.hint }, left)
    }
}

/// Whether `serve` shares a directory with these arguments: without any, the current one.
fn shares_directory(typed: &TypedCommand) -> bool {
    let arguments = typed.arguments();
    let is_site = |word: &&str| word.parse::<Spec>().is_ok_and(|spec| spec.service == ServiceName::Http);
    arguments.is_empty() || arguments.iter().any(is_site)
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
            Substitute::Directory => {
                let given = value.filter(|dir| Path::new(dir).is_dir());
                let dir = given.map_or_else(|| "DIR".to_owned(), directory_argument);
                let is_directory =
                    |word: &&str| word.parse::<Spec>().is_ok_and(|spec| spec.service == ServiceName::Http);
                let others: Vec<&str> = left.arguments().into_iter().filter(is_directory).collect();
                if given.is_some() || others.is_empty() {
                    with(&[&dir]);
                }
                // Both would be on one port.
                changes.extend(others.iter().map(|other| left.clone().with_argument(other, &dir)));
            }
            Substitute::Picture => {
                let file = Path::new(value.unwrap_or("FILE"));
                let extension = file.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
                match extension.to_ascii_lowercase().as_str() {
                    "html" | "htm" => with(&["--html", &file.to_string_lossy()]),
                    "" => with(&["--svg", &file.to_string_lossy()]),
                    _ => with(&["--svg", &file.with_extension("svg").to_string_lossy()]),
                }
            }
            Substitute::Path | Substitute::Host => {
                let mount = match self {
                    Substitute::Host => format!("//{}", value.unwrap_or("example.org")),
                    _ => format!("/{}", value.unwrap_or("docs").trim_matches('/')),
                };
                // An address is another mistake.
                let is_site = |word: &&str| address_of(word, 0).is_err();
                let sites: Vec<&str> = left.arguments().into_iter().filter(is_site).collect();
                match sites[..] {
                    [] => with(&[&format!("http={mount}:.")]),
                    [site, ..] => {
                        let dir =
                            site.strip_prefix("http=").unwrap_or(if site == "http" { "." } else { site });
                        changes.push(left.clone().with_argument(site, &format!("http={mount}:{dir}")));
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

/// Options whose value has no equivalent in this program.
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

/// Of an option for listings.
const LISTS: &str = "directories are listed without it";

const FOREIGN: &[Foreign] = &[
    row(
        "serve",
        "-d --directory --dir --root --path --docroot --document-root",
        "the directory is an argument",
        Substitute::Directory,
    ),
    row("serve", "--listing --list --browse --index-of --autoindex", LISTS, Substitute::Nothing),
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
    row("serve", "--domain --server-name --vhost", "for one host name", Substitute::Host),
    row(
        "serve",
        "--daemon --daemonize --background --detach",
        "the shell or a supervisor puts it in the background",
        Substitute::Nothing,
    ),
    row("serve", "--silent --no-log --quiet-log", "to log less", Substitute::Words(&["-q"])),
    row_without_value(
        "serve",
        "--config --conf --config-file --configuration",
        "there is no configuration file; options take its place",
        Substitute::Nothing,
    ),
    row_without_value(
        "serve",
        "--proxy --proxy-pass --reverse-proxy --upstream",
        "serve does not forward requests; it shares files",
        Substitute::Nothing,
    ),
    row(
        "serve",
        "--cgi --php --fastcgi",
        "no programs are run; files are sent as they are",
        Substitute::Nothing,
    ),
    row_without_value(
        "serve",
        "--protocol --http-version",
        "HTTP/1.1 is spoken already",
        Substitute::Nothing,
    ),
    row(
        "serve",
        "--gzip --brotli --compress --compression --compress-response",
        "a FILE.gz or FILE.br beside FILE is sent to clients that accept it",
        Substitute::Nothing,
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
    row("lecture", "-m --models", "for the models", Substitute::Option("--model", "fork")),
    row("lecture", "-s --scenario", "for the scene", Substitute::Option("--scene", "zombies")),
    row(
        "lecture",
        "-f --file --input --clients",
        "for a scene of your own",
        Substitute::Option("--script", "FILE"),
    ),
    row(
        "lecture",
        "-w -n --processes --threads --copies",
        "for the number of processes or threads started in advance",
        Substitute::Option("--workers", "2"),
    ),
    row(
        "lecture",
        "-o --output --out --save --picture --image --png --pdf",
        "to keep the picture",
        Substitute::Picture,
    ),
    row("lecture", "--step --steps --wait", "to wait for Enter", Substitute::Words(&["--pause"])),
    row("lecture", "--text", "for sentences in place of a drawing", Substitute::Words(&["--plain"])),
    row("lecture", "-l --list-scenes", "for the names of the scenes", Substitute::Words(&["--list"])),
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
        for command in ["serve", "compare", "lecture"] {
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
                let corrected = entry.corrected(&TypedCommand::new(&words)).1.to_string();
                let typed: Vec<&str> = corrected.split(' ').skip(1).collect();
                let is_placeholder = matches!(entry.instead, Substitute::Directory);
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
