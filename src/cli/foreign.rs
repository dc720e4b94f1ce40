//! Options of other servers and load generators, and what does the same here.

/// The command here for options that users know from other programs.
pub(super) struct Foreign {
    /// The options, separated by spaces.
    names: &'static str,
    /// What the command is for.
    pub(super) hint: &'static str,
    /// The arguments of `oneloop`, quoted for a shell; the first is the subcommand that the options were
    /// given to.
    pub(super) instead: &'static str,
}

impl Foreign {
    /// The entry for an option of a subcommand.
    pub(super) fn find(subcommand: &str, option: &str) -> Option<&'static Foreign> {
        FOREIGN
            .iter()
            .find(|entry| entry.subcommand() == subcommand && entry.names().any(|name| name == option))
    }

    fn subcommand(&self) -> &str {
        self.instead.split(' ').next().unwrap_or_default()
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        self.names.split(' ')
    }
}

const fn row(names: &'static str, hint: &'static str, instead: &'static str) -> Foreign {
    Foreign { names, hint, instead }
}

const FOREIGN: &[Foreign] = &[
    row(
        "-d --directory --dir --root --path --docroot --document-root",
        "the directory is an argument",
        "serve DIR",
    ),
    row("--listing --list --browse --index-of --autoindex", "directories are listed already", "serve ."),
    row(
        "-A --allow-all --allow-upload --upload -u --upload-files --overwrite-files --mkdir",
        "nothing is ever written (dufs and miniserve take uploads); to share files",
        "serve .",
    ),
    row("--qrcode --qr --network --public --expose", "to let others in the network open it", "serve --lan"),
    row("-o --browser --launch --open-browser", "to open the browser", "serve --open"),
    row("-t -j -w --threads --processes --jobs", "to use several cores", "serve http --workers 4"),
    row(
        "--timeout --keepalive --keep-alive --keepalive-timeout --idle-timeout",
        "for the time between requests",
        "serve http --idle 30s",
    ),
    row(
        "-c --connections --max-connections --max-clients --limit",
        "for the number of clients at once",
        "serve http --clients 1000",
    ),
    row("--cors", "to add header fields", "serve http --header 'Access-Control-Allow-Origin: *'"),
    row("--log --log-file --log-path", "to log requests", "serve http --access-log FILE"),
    row(
        "--tls --ssl --https --cert --key -S",
        "TLS is not supported; let a proxy with TLS forward requests to",
        "serve http@127.0.0.1:8000",
    ),
    row("--connections --concurrency --users", "for the number of connections", "load echo --clients 64"),
    row("-z --time --seconds", "for the duration", "load echo --duration 10s"),
    row("-m --request", "for the method of a request", "load http://127.0.0.1:8000/ --method POST"),
    row(
        "-b --body --data-raw --data-binary --body-file -D --post",
        "for the body of a request",
        "load http://127.0.0.1:8000/ --data @FILE",
    ),
    row("--headers", "for a header field", "load http://127.0.0.1:8000/ --header 'Accept: text/html'"),
    row("-R --rps --qps", "for requests per second", "load echo --rate 1k"),
    row(
        "-n --requests -N --number",
        "a load has a duration, not a number of requests",
        "load echo --duration 10s",
    ),
    row("--cpus --workers", "for the number of threads", "load echo --threads 2"),
    row(
        "-k --keepalive --keep-alive --disable-keepalive --no-keepalive",
        "connections are reused; for one connection per request",
        "load echo --churn",
    ),
    row("-T --timeout", "for the time that a reply may take", "load echo --reply-timeout 10s"),
    row("-o --output --out", "to write the report to a file", "load echo --json FILE"),
    row(
        "-p --port --host --url --target -a --address --addr",
        "the server is named by its service and address",
        "load echo@127.0.0.1:7007",
    ),
    row("-n --runs --rounds --repetitions", "for the number of repeats", "compare --repeats 5"),
    row("-o --out --dir --directory", "for the directory of the report", "compare --output DIR"),
];

/// Options of other servers for the address to listen on.
pub(super) const HOSTS: &[&str] =
    &["--host", "--hostname", "--bind", "-b", "--addr", "--listen", "-l", "--interface", "-i", "--ip"];

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
        for command in ["serve", "load", "compare"] {
            let own = program.find_subcommand(command).unwrap().get_arguments().flat_map(|argument| {
                let long = argument.get_long().map(|long| format!("--{long}"));
                long.into_iter().chain(argument.get_short().map(|short| format!("-{short}")))
            });
            let own: Vec<String> = own.collect();
            let entries = FOREIGN.iter().filter(|entry| entry.subcommand() == command);
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
            let mut words: Vec<std::ffi::OsString> = Vec::new();
            for (at, part) in entry.instead.split('\'').enumerate() {
                let is_quoted = at % 2 == 1;
                if is_quoted {
                    words.push(part.into());
                } else {
                    words.extend(part.replace("DIR", ".").split_whitespace().map(Into::into));
                }
            }
            assert!(parse(&words).is_ok(), "{}", entry.instead);
        }
    }
}
