//! Invalid arguments, each reported in one line: what the user wrote, why it is invalid, and a command that
//! works.

use std::error::Error as _;
use std::ffi::OsString;
use std::path::Path;

use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::foreign::{Foreign, HOSTS, PORTS};
use super::foreign_load::{behind_flag, instead_of};
use super::listen::has_port;
use super::spec::SpecError;
use super::target::TargetError;
use super::typed_command::TypedCommand;
use super::units::Ms;
use super::words::{closest, command, did_you_mean, is_url};
use super::{foreign_load, in_one_line, spec, target};
use crate::lab::plan::experiment::Experiment;
use crate::lecture::scene::SceneName;
use crate::models::Model;
use crate::sys::Address;

/// A valid value for an option, by the name of its value in the help; `None` if the reason is clear without
/// an example.
fn example_value(value_name: &str) -> Option<&'static str> {
    Some(match value_name {
        "TIME" => "30s",
        "SIZE" => "64KiB",
        "N" => "64",
        "R" | "R|A:B" => "10k",
        "MODE" => "660",
        "PORT" => "8080",
        "ADDR" => "127.0.0.1",
        "METHOD" => "POST",
        "NAME: VALUE" => "X-Key: 7",
        "DATA|@FILE" => "id=7",
        "USER" => "alice",
        "NAME=TEXT|@FILE" => "name=text",
        "TEXT|@FILE" => r"PING\r\n",
        "TEXT|/REGEX/" => r"+PONG\r\n",
        "FILE" => "FILE",
        "DIR" => "DIR",
        "VALUE" => "max-age=3600",
        "CHECK" => "p99<5ms",
        "CHANGE" => "p99>+5%",
        "TIME OF DAY" => "23:59:59",
        "EXT=TYPE" => ".wasm=application/wasm",
        "FIELD" => "X-Frame-Options: DENY",
        "N,..." => "4,16,64",
        "HOPS" => "10",
        "FACTOR" => "2",
        "NAME=COMMAND" => "socat=socat TCP-LISTEN:{port},fork,reuseaddr EXEC:cat",
        "ADDR[/LEN],..." => "127.0.0.0/24",
        _ => return None,
    })
}

/// The message for an error in `typed`, the arguments after the program's name.
pub(super) fn line(error: &clap::Error, typed: &[String], program: &clap::Command) -> String {
    let (name, command) = subcommand(typed, program);
    let mistake = Mistake { error, typed: TypedCommand::new(typed), words: typed, name: &name, command };
    let name = name.as_str();
    if let Some(message) = mistake.context(ContextKind::Custom) {
        return message.to_owned();
    }
    match error.kind() {
        ErrorKind::UnknownArgument => mistake.unknown_argument(),
        ErrorKind::InvalidSubcommand => mistake.unknown_command(program),
        // A word after the server, where a subcommand could stand.
        ErrorKind::ArgumentConflict if mistake.context(ContextKind::InvalidSubcommand).is_some() => {
            mistake.superfluous(mistake.context(ContextKind::InvalidSubcommand).unwrap_or_default())
        }
        ErrorKind::ArgumentConflict => {
            let replay = mistake.paced_replay().filter(|_| name == "load");
            replay.or_else(|| mistake.conflict()).unwrap_or_else(|| mistake.as_clap_reports())
        }
        ErrorKind::InvalidValue | ErrorKind::ValueValidation => mistake.wrong_value(),
        ErrorKind::MissingRequiredArgument if name == "load" => mistake.without_server(),
        ErrorKind::MissingRequiredArgument if name == "load compare" => mistake.without_report(),
        ErrorKind::MissingRequiredArgument if name == "load merge" => {
            let works = mistake.typed.clone().with_argument("", "FILE").with_argument("", "FILE");
            format!("the reports are missing; write: {works}")
        }
        ErrorKind::MissingRequiredArgument if name == "completions" => {
            let works = mistake.typed.clone().with_argument("", "bash");
            format!("the shell is missing; for example: {works}")
        }
        _ => mistake.as_clap_reports(),
    }
}

/// The subcommand of these words, such as `serve` or `load compare`, with its name; the name is empty if
/// there is none.
fn subcommand<'p>(typed: &[String], program: &'p clap::Command) -> (String, Option<&'p clap::Command>) {
    let at = typed.iter().position(|word| program.find_subcommand(word).is_some());
    let Some((at, outer)) = at.and_then(|at| Some((at, program.find_subcommand(&typed[at])?))) else {
        return (String::new(), None);
    };
    // In `load compare`, the subcommand is the word after the command.
    match typed.get(at + 1).and_then(|word| outer.find_subcommand(word)) {
        Some(inner) => (format!("{} {}", typed[at], inner.get_name()), Some(inner)),
        None => (typed[at].clone(), Some(outer)),
    }
}

/// The command with an example of the option that begins the message, in place of a value that the parser
/// accepted.
pub(super) fn example(message: &str, typed: &[String], program: &clap::Command) -> Option<TypedCommand> {
    let (name, command) = subcommand(typed, program);
    let end = |c: char| c != '-' && !c.is_ascii_alphanumeric();
    let long = message.strip_prefix("--")?.split(end).next()?;
    let typed_command = TypedCommand::new(typed);
    let values = typed_command.values(long);
    let is_quoted = |value: &&String| message.contains(&*value.escape_debug().to_string());
    let value = values.iter().find(is_quoted).or(values.last())?;
    // The message is about the value: another one may say that the option has no effect.
    let (subject, _) = message.split_once(": ")?;
    let shown = subject["--".len() + long.len()..].trim().trim_matches('"');
    if !value.escape_debug().to_string().starts_with(shown) {
        return None;
    }
    let error = clap::Error::new(ErrorKind::InvalidValue);
    let mistake = Mistake { error: &error, typed: typed_command.clone(), words: typed, name: &name, command };
    let example = mistake.example_of(long, value, &[])?;
    Some(typed_command.with_value(long, value, &example))
}

/// The error for a word that clap would take for something else than its user.
pub(super) fn misread(typed: &[OsString]) -> Option<clap::Error> {
    let typed: Vec<String> = typed.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    let message = foreign_load::misread(&typed)?;
    let mut error = clap::Error::new(ErrorKind::InvalidValue);
    error.insert(ContextKind::Custom, ContextValue::String(message));
    Some(error)
}

struct Mistake<'a> {
    error: &'a clap::Error,
    typed: TypedCommand,
    words: &'a [String],
    /// The subcommand; empty if there is none.
    name: &'a str,
    command: Option<&'a clap::Command>,
}

impl Mistake<'_> {
    fn context(&self, kind: ContextKind) -> Option<&str> {
        match self.error.get(kind) {
            Some(ContextValue::String(text)) => Some(text),
            _ => None,
        }
    }

    fn help(&self) -> String {
        let words: Vec<&str> = self.name.split_whitespace().chain(["--help"]).collect();
        format!("see: {}", command(&words))
    }

    /// The paragraphs of clap as one line: the error, its tips, and the command for help.
    fn as_clap_reports(&self) -> String {
        let text = self.error.to_string();
        let mut is_usage = false;
        let lines = text.lines().map(str::trim).filter(|line| {
            // Of a command with commands, the usage has two lines.
            is_usage = line.starts_with("Usage:") || is_usage && !line.is_empty();
            !line.is_empty() && !is_usage && !line.starts_with("For more information")
        });
        let line = lines.collect::<Vec<_>>().join("; ").replace(":;", ":");
        format!("{}; {}", line.strip_prefix("error: ").unwrap_or(&line), self.help())
    }

    /// The message about a load without a server. A URL after an option is the value of that option.
    fn without_server(&self) -> String {
        let valued = self.options_with_values().find_map(|(names, value_name)| {
            let name = names.into_iter().find(|name| self.words.contains(name))?;
            let at = self.words.iter().position(|word| *word == name)?;
            let url = self.words.get(at + 1).filter(|next| is_url(next))?;
            Some((at, name, url, example_value(value_name)?))
        });
        if let Some((at, option, url, example)) = valued {
            let mut works = TypedCommand::new(self.words);
            works.insert(at + 1, &[example]);
            let url = url.escape_debug();
            return format!(
                "{option} takes \"{url}\" as its value, so the server is missing; for example: {works}"
            );
        }
        // Most options are for HTTP.
        let server = if self.words.len() == 1 { "echo@127.0.0.1:7007" } else { "http://127.0.0.1:8000/" };
        format!("the server is missing; for example: {}", self.typed.clone().with_argument("", server))
    }

    /// The options with values, each as its names and the name of its value.
    fn options_with_values(&self) -> impl Iterator<Item = (Vec<String>, &str)> {
        let arguments = self.command.into_iter().flat_map(clap::Command::get_arguments);
        arguments.filter(|option| option.get_action().takes_values() && !option.is_positional()).map(
            |option| {
                let long = option.get_long().map(|long| format!("--{long}"));
                let names = option.get_short().map(|short| format!("-{short}")).into_iter().chain(long);
                let value = option.get_value_names().and_then(|names| names.first());
                (names.collect(), value.map_or("", |name| name.as_str()))
            },
        )
    }

    /// The message about `load compare` with fewer than two reports.
    fn without_report(&self) -> String {
        let missing = 2_usize.saturating_sub(self.typed.arguments().len().saturating_sub(1));
        let works = (0..missing).fold(self.typed.clone(), |works, _| works.with_argument("", "FILE"));
        let what =
            if missing == 1 { "one report to compare with is missing" } else { "two reports are missing" };
        format!("{what}: of the run before a change, and of the run after it; write: {works}")
    }

    /// The message about an option that changes when requests of a log are sent.
    fn paced_replay(&self) -> Option<String> {
        let text = self.error.to_string();
        let names = |option: &str| text.contains(&format!("'--{option} <"));
        let option = ["find", "rate", "arrivals"].into_iter().find(|option| names(option))?;
        names("replay-log").then(|| {
            let without = self.typed.clone().without(option);
            format!("--replay-log sends at the times of the log, so --{option} has no effect; leave it out: {without}")
        })
    }

    /// The message about options that exclude each other, or about one that is given twice.
    fn conflict(&self) -> Option<String> {
        let long = |shown: &str| -> Option<String> {
            let end = |c: char| c != '-' && !c.is_ascii_alphanumeric();
            Some(shown.strip_prefix("--")?.split(end).next()?.to_owned())
        };
        let later = long(self.context(ContextKind::InvalidArg)?)?;
        let others = match self.error.get(ContextKind::PriorArg)? {
            ContextValue::String(other) => vec![long(other)?],
            ContextValue::Strings(others) => others.iter().filter_map(|other| long(other)).collect(),
            _ => return None,
        };
        if others.is_empty() || others.contains(&later) {
            let left = self.typed.clone();
            let works = match left.values(&later).pop() {
                Some(last) => left.with(&later, &last),
                None => left.with_flag(&later),
            };
            return Some(format!("--{later} is given more than once; write: {works}"));
        }
        let without =
            |names: &[String]| names.iter().fold(self.typed.clone(), |left, name| left.without(name));
        let mut changes = vec![without(&others), without(std::slice::from_ref(&later))];
        // An option with a value says more than a flag.
        if self.typed.values(&later).is_empty() {
            changes.reverse();
        }
        let works = TypedCommand::first_valid(changes)?;
        let others: Vec<String> = others.iter().map(|other| format!("--{other}")).collect();
        Some(format!("--{later} and {} exclude each other; for example: {works}", others.join(", ")))
    }

    fn superfluous(&self, argument: &str) -> String {
        if let Some(works) = self.with_options_of_lecture() {
            return format!(
                "lecture does not take the argument \"{}\"; write: {works}",
                argument.escape_debug()
            );
        }
        let arguments = self.typed.arguments();
        let command = arguments.first().and_then(|word| self.command_of_load(word));
        if let Some(line) = command.or_else(|| behind_flag(self.words)) {
            return line;
        }
        if let Some(line) = self.with_options_of_compare(&arguments) {
            return line;
        }
        let program = if self.name.is_empty() { "oneloop" } else { self.name };
        let what = format!("{program} does not take the argument \"{}\"", argument.escape_debug());
        if self.name == "load" && is_url(argument) {
            let works = self.typed.clone().without_last_argument(argument);
            return format!(
                "{what}: it measures one server, and --urls FILE has several requests; write: {works}"
            );
        }
        let works = self.typed.clone().without_last_argument(argument);
        if works.is_valid() {
            format!("{what}; without it: {works}")
        } else {
            format!("{what}; {}", self.help())
        }
    }

    /// The message about models or experiments without their option.
    fn with_options_of_compare(&self, arguments: &[&str]) -> Option<String> {
        if self.name != "compare" {
            return None;
        }
        let known = [
            ("models", Model::ALL.map(Model::name).to_vec()),
            ("experiments", Experiment::ALL.map(Experiment::name).to_vec()),
        ];
        let mut works = self.typed.clone();
        for word in arguments {
            let (option, names) = known.iter().find_map(|(option, names)| {
                let meant = word.split(',').map(|name| closest(name, names.iter().copied()));
                Some((option, meant.collect::<Option<Vec<&str>>>()?))
            })?;
            let names = works.values(option).into_iter().chain(names.into_iter().map(str::to_owned));
            let names = names.collect::<Vec<_>>().join(",");
            works = works.without_argument(word).with(option, &names);
        }
        let shown = arguments.join(" ").escape_debug().to_string();
        Some(format!("compare does not take the argument \"{shown}\"; write: {works}"))
    }

    /// The command with the options for models, a scene and a script that were typed without one.
    fn with_options_of_lecture(&self) -> Option<TypedCommand> {
        if self.name != "lecture" {
            return None;
        }
        let scenes = SceneName::ALL.map(SceneName::name);
        let models = Model::ALL.map(Model::name);
        let mut model: Vec<String> = self.typed.values("model");
        let (known, mut scene, mut script) = (model.len(), None, None);
        let arguments = self.typed.arguments();
        for word in arguments.iter().flat_map(|word| word.split(',')) {
            let name = closest(word, models.into_iter().chain(scenes));
            match name.filter(|_| !word.contains(['.', '/'])) {
                Some(name) if scenes.contains(&name) => scene = Some(name.to_owned()),
                Some(name) => model.push(name.to_owned()),
                None if Path::new(word).is_file() => script = Some(word.to_owned()),
                None if word.contains(['.', '/']) => script = Some("FILE".to_owned()),
                None => {}
            }
        }
        let left = arguments.iter().fold(self.typed.clone(), |left, word| left.without_argument(word));
        if left.has("list") {
            return Some(left);
        }
        let model = (model.len() > known).then(|| model.join(","));
        let found = [("model", model), ("scene", scene), ("script", script)];
        let found: Vec<(&str, String)> =
            found.into_iter().filter_map(|(option, value)| Some((option, value?))).collect();
        // All of them, or one where they do not go together.
        let all = found.iter().fold(left.clone(), |works, (option, value)| works.with(option, value));
        let bare = left.without("scene").without("script");
        let each = found.iter().map(|(option, value)| bare.clone().with(option, value));
        TypedCommand::first_valid(std::iter::once(all).chain(each).collect()).filter(|_| !found.is_empty())
    }

    /// The message about a misspelt command of `load`, which clap takes for a server.
    fn command_of_load(&self, word: &str) -> Option<String> {
        let commands = self.command.filter(|_| self.name == "load")?.get_subcommands();
        let commands: Vec<&str> = commands.map(clap::Command::get_name).collect();
        let meant =
            closest(word, commands.iter().copied().chain(target::names().map(|name| -> &str { name })))?;
        let meant = commands.into_iter().find(|command| *command == meant && *command != word)?;
        let corrected = self.typed.clone().with_argument(word, meant);
        let next = if corrected.is_valid() {
            format!("Write: {corrected}")
        } else {
            format!("See: {}", command(&["load", meant, "--help"]))
        };
        Some(format!("unknown command \"load {}\"; did you mean {meant}? {next}", word.escape_debug()))
    }

    fn unknown_argument(&self) -> String {
        let argument = self.context(ContextKind::InvalidArg).unwrap_or_default();
        if !argument.starts_with('-') {
            return self.superfluous(argument);
        }
        if let Some(works) = self.with_serve_for_python() {
            return format!("-m is not an option; to share a directory, write: {works}");
        }
        if let Some(works) = self.with_options_after_command() {
            return format!("{} goes after the command; write: {works}", in_one_line(argument));
        }
        let of = if self.name.is_empty() { String::new() } else { format!(" of {}", self.name) };
        let unknown = format!("{} is not an option{of}", in_one_line(argument));
        if self.name == "serve" && (HOSTS.contains(&argument) || PORTS.contains(&argument)) {
            return format!("{unknown}; write: {}", self.with_own_options());
        }
        if self.name == "load"
            && let Some(instead) = instead_of(argument, self.words)
        {
            return format!("{unknown}; {instead}");
        }
        if let Some(advice) = self.instead_of_nginx(argument) {
            return format!("{unknown}; {advice}");
        }
        if let Some(entry) = Foreign::find(self.name, argument) {
            let (hint, works) = entry.corrected(&self.typed);
            return format!("{unknown}; {hint}: {works}");
        }
        let options = self.options().map(|(long, _)| long);
        match closest(argument.trim_start_matches('-'), options) {
            Some(meant) => {
                let works = self.typed.clone().with_option_renamed(argument, &format!("--{meant}"));
                format!("{unknown}; did you mean --{meant}? Write: {works}")
            }
            None => format!("{unknown}; {}", self.help()),
        }
    }

    /// What to do in place of an option of nginx whose letter has another meaning in other servers.
    fn instead_of_nginx(&self, option: &str) -> Option<String> {
        if self.name != "serve" {
            return None;
        }
        let at = self.words.iter().position(|word| word == option)?;
        let value = self.words.get(at + 1)?;
        let left = || TypedCommand::new(&[&self.words[..at], &self.words[at + 2..]].concat());
        match (option, value.as_str()) {
            ("-s", "reload" | "reopen" | "stop" | "quit") => Some(
                "signals do that: kill -HUP PID reopens the access log, and kill PID drains and stops the server"
                    .to_owned(),
            ),
            ("-g", value) if value.ends_with(';') => {
                Some(format!("serve stays in the foreground, and options take the place of directives: {}", left()))
            }
            ("-c", value) if Path::new(value).extension().is_some_and(|end| end == "conf") => {
                Some(format!("there is no configuration file; options take its place: {}", left()))
            }
            _ => None,
        }
    }

    /// The command `serve` for `python3 -m http.server`.
    fn with_serve_for_python(&self) -> Option<TypedCommand> {
        let (["-m", "http.server"], rest) = self.words.split_at_checked(2).map(|(begin, rest)| {
            let [first, second] = [&begin[0], &begin[1]].map(String::as_str);
            ([first, second], rest)
        })?
        else {
            return None;
        };
        Some(TypedCommand::new(&[&["serve".to_owned()], rest].concat()))
    }

    /// The command with the words before it after it; where there is none, with one that has these options.
    fn with_options_after_command(&self) -> Option<TypedCommand> {
        let (commands, others) = if self.name.is_empty() {
            (&["serve", "load", "lecture", "compare"][..], self.words.to_vec())
        } else {
            let at = self.words.iter().position(|word| word == self.name).filter(|at| *at > 0)?;
            (&[self.name][..], [&self.words[..at], &self.words[at + 1..]].concat())
        };
        let with = |command: &&str| TypedCommand::new(&[&[(*command).to_owned()], &others[..]].concat());
        commands.iter().map(with).find(TypedCommand::is_valid)
    }

    /// The long options of the subcommand, with the names of their values.
    fn options(&self) -> impl Iterator<Item = (&str, &str)> {
        let arguments = self.command.into_iter().flat_map(clap::Command::get_arguments);
        arguments.filter_map(|argument| {
            let value =
                argument.get_value_names().and_then(|names| names.first()).map_or("", |name| name.as_str());
            Some((argument.get_long()?, value))
        })
    }

    /// The command as it was typed, with `--address` and `--port` in place of the options of other servers.
    fn with_own_options(&self) -> TypedCommand {
        let mut words: Vec<String> = Vec::new();
        let mut typed = self.words.iter().map(String::as_str).peekable();
        // Bound: the words typed.
        while let Some(word) = typed.next() {
            match ForeignAddress::of(word) {
                None => words.push(word.to_owned()),
                Some(option) => {
                    let value = option.joined.or_else(|| typed.next_if(|next| !next.starts_with('-')));
                    words.extend(option.own(value));
                }
            }
        }
        let command = self.with_one_address(TypedCommand::new(&words));
        let mut changes = vec![command.clone()];
        // A service with an address of its own, which takes no option.
        for word in command.arguments() {
            let Some((place, address)) = word.split_once('@') else { continue };
            let open = command.clone().with_argument(word, place);
            let port = address.rsplit_once(':').map_or(address, |(_, port)| port);
            changes.extend((!command.has("port")).then(|| open.clone().with("port", port)));
            changes.push(open);
        }
        changes.push(command.without("address").without("port"));
        TypedCommand::first_valid(changes).unwrap_or_else(|| self.typed.clone())
    }

    /// With one address and one port: an address that the user wrote takes precedence over --lan, unless it
    /// stands for every address.
    fn with_one_address(&self, mut works: TypedCommand) -> TypedCommand {
        for option in ["port", "address"] {
            if let [first, _, ..] = works.values(option).as_slice() {
                works = works.with(option, first);
            }
        }
        let Some(address) = works.values("address").pop() else { return works };
        let tcp = match spec::address_of(&address, 0) {
            Ok(Address::Tcp(tcp)) => Some(tcp),
            _ => None,
        };
        let is_every = tcp.is_some_and(|tcp| tcp.ip().is_unspecified());
        let is_typed = self.words.iter().any(|word| word.ends_with(&address));
        if works.has("lan") && (is_every || !is_typed) {
            works = works.without("address");
            return match tcp.filter(|_| has_port(&address)) {
                Some(tcp) => works.with("port", &tcp.port().to_string()),
                None => works,
            };
        }
        works = works.without("lan");
        if has_port(&address) { works.without("port") } else { works }
    }

    fn unknown_command(&self, program: &clap::Command) -> String {
        let word = self.context(ContextKind::InvalidSubcommand).unwrap_or_default();
        let commands: Vec<&str> = program.get_subcommands().map(clap::Command::get_name).collect();
        let unknown = format!("unknown command \"{}\"", word.escape_debug());
        if let Some(meant) = closest(word, commands.iter().copied()) {
            return format!("{unknown}; did you mean {meant}? See: {}", command(&[meant, "--help"]));
        }
        if word.starts_with("http://") {
            let load = self.typed.clone().with_word_before(word, "load");
            return format!("{unknown}; to put load on that server: {load}");
        }
        if let Err(error) = word.parse::<spec::Spec>() {
            let served = self.typed.clone().with_word_before(word, "serve");
            if spec::with_valid_port(word).is_some() {
                return error.message(word, &served);
            }
            let left = served.without_argument(word);
            if word.parse::<u16>().is_ok() && !left.has("port") {
                return format!("{unknown}; to serve on that port: {}", left.with("port", word));
            }
            return format!("{unknown}; the commands are {}; see: oneloop --help", commands.join(", "));
        }
        format!("{unknown}; to serve it: {}", self.typed.clone().with_word_before(word, "serve"))
    }

    fn wrong_value(&self) -> String {
        let argument = self.context(ContextKind::InvalidArg).unwrap_or_default();
        let value = self.context(ContextKind::InvalidValue).unwrap_or_default();
        let option = argument.split([' ', '=', '[']).next().unwrap_or(argument);
        let source = self.error.source();
        if let Some(error) = source.and_then(|source| source.downcast_ref::<SpecError>()) {
            return error.message(value, &self.typed);
        }
        // Before what a target may mean: a command of `load` may have another target.
        let server = source.and_then(|source| source.downcast_ref::<TargetError>());
        if let Some(error) = server.filter(|_| self.command_of_load(value).is_none()) {
            return error.message(value, &self.typed);
        }
        let reason = source.map(ToString::to_string);
        let valid: &[String] = match self.error.get(ContextKind::ValidValue) {
            Some(ContextValue::Strings(names)) => names,
            _ => &[],
        };
        let valid_names = || valid.iter().map(String::as_str);
        if !option.starts_with('-') {
            if let Some(line) = self.command_of_load(value) {
                return line;
            }
            let names = || {
                let (what, value) = (option.trim_matches(['<', '>']).to_lowercase(), value.escape_debug());
                let meant = did_you_mean(value.to_string().as_str(), valid_names());
                let example =
                    closest(&value.to_string(), valid_names()).or(valid.first().map(String::as_str));
                let works = self.typed.clone().with_argument(&value.to_string(), example.unwrap_or_default());
                format!(
                    "unknown {what} \"{value}\"; the values are {}{meant}; for example: {works}",
                    valid.join(", ")
                )
            };
            // The reason of a positional argument quotes it.
            return reason
                .or_else(|| (!valid.is_empty()).then(names))
                .unwrap_or_else(|| self.as_clap_reports());
        }
        let reason = match (reason, valid) {
            (Some(reason), _) => reason,
            (None, []) => "it needs a value".to_owned(),
            (None, names) => {
                format!("the values are {}{}", names.join(", "), did_you_mean(value, valid_names()))
            }
        };
        let quoted = if value.is_empty() { String::new() } else { format!(" \"{}\"", value.escape_debug()) };
        // Parsers of the command line name the value that was probably meant.
        let meant = reason.rsplit_once("did you mean ").and_then(|(_, meant)| meant.strip_suffix('?'));
        let example = match self.correction(option, value, valid, meant) {
            Some((meaning, command)) => format!("; {meaning}: {command}"),
            None => String::new(),
        };
        format!("{option}{quoted}: {reason}{example}")
    }

    /// What to write in place of a wrong value of an option, and what that is for.
    fn correction(
        &self,
        option: &str,
        value: &str,
        valid: &[String],
        meant: Option<&str>,
    ) -> Option<(&'static str, TypedCommand)> {
        let long = option.strip_prefix("--")?;
        if long == "address" {
            let left = || self.typed.clone().without("address");
            if value.parse::<u16>().is_ok() {
                return Some(("write", left().with("port", value)));
            }
            // As in `miniserve -a joe:123` and `dufs -a joe:123@/`.
            let user = value.split_once(':').map(|(user, _)| user);
            let is_user =
                |user: &&str| !user.is_empty() && user.chars().all(|c| c.is_alphanumeric() || c == '_');
            if let Some(user) = user.filter(is_user) {
                return Some((
                    "to let in only a user, whose password is asked for",
                    left().with("auth", user),
                ));
            }
        }
        if self.name == "load" {
            let left = || self.typed.clone().without(long);
            // As in `oha -t 5s` and `curl --json '{}'`.
            if long == "threads" && value.parse::<Ms>().is_ok_and(|time| time.0 > 0) {
                return Some(("for the time that a reply may take", left().with("reply-timeout", value)));
            }
            if long == "json" && !value.is_empty() {
                let with_body = left().with_more("data", value);
                return Some((
                    "for a JSON body",
                    with_body.with_more("header", "Content-Type: application/json"),
                ));
            }
        }
        if let Some(works) = self.with_joined_unit(long, value) {
            return Some(("in one word with its unit", works));
        }
        // Of a list with commas, clap names the wrong piece.
        let typed =
            self.typed.values(long).into_iter().find(|typed| typed.split(',').any(|piece| piece == value));
        if let (Some(typed), Some(meant)) = (typed, meant) {
            let pieces: Vec<&str> =
                typed.split(',').map(|piece| if piece == value { meant } else { piece }).collect();
            return Some(("for example", self.typed.clone().with_value(long, &typed, &pieces.join(","))));
        }
        let example = self.example_of(long, value, valid)?;
        let with_example = self.typed.clone().with_value(long, value, &example);
        if long == "auth-password" && !self.typed.has("auth") {
            return Some(("for example", with_example.with("auth", "alice")));
        }
        let left = self.typed.clone().without(long);
        if !with_example.is_valid() && left.is_valid() {
            return Some(("it has no effect here; leave it out", left));
        }
        Some(("for example", with_example))
    }

    /// With the unit in the word of the number, as in `--idle 5 minutes`.
    fn with_joined_unit(&self, long: &str, value: &str) -> Option<TypedCommand> {
        let number = value.parse::<u64>().ok()?;
        let unit = self.typed.word_after_value(long, value)?;
        let time = format!("{number}{unit}").parse::<Ms>().ok()?;
        let left = self.typed.clone().without_argument(unit);
        Some(left.with_value(long, value, &time.to_string()))
    }

    fn example_of(&self, long: &str, value: &str, valid: &[String]) -> Option<String> {
        let (_, name) = self.options().find(|(name, _)| *name == long)?;
        if name == "TIME" && value.parse::<u64>().is_ok_and(|number| number > 0) {
            return Some(format!("{value}s"));
        }
        let arguments = || self.command.into_iter().flat_map(clap::Command::get_arguments);
        let default = || {
            let option = arguments().find(|argument| argument.get_long() == Some(long))?;
            Some(option.get_default_values().first()?.to_string_lossy().into_owned())
        };
        if value.starts_with('@') && name.contains("@FILE") {
            return Some("@FILE".to_owned());
        }
        let fixed = match (long, name) {
            _ if !valid.is_empty() => return default().or_else(|| valid.first().cloned()),
            ("auth", _) if value.contains(':') => value.split(':').next(),
            ("interval", _) => Some("100ms"),
            ("user", _) if self.name == "load" => Some("alice"),
            ("user", _) => Some("nobody"),
            ("verify", _) => Some("status"),
            ("threads", _) => Some("2"),
            ("scene", _) => Some("zombies"),
            ("model" | "models", _) => Some("fork,reactor"),
            ("experiments", _) => Some("crowd,idle"),
            ("repeats", _) if self.typed.has("quick") => Some("3"),
            ("repeats", _) => Some("5"),
            ("bytes", _) => Some("64"),
            ("workers", _) if self.name == "lecture" => Some("2"),
            ("charset", _) => Some("utf-8"),
            ("index" | "fallback", _) => Some("index.html"),
            ("not-found", _) => Some("404.html"),
            _ => example_value(name),
        };
        fixed.map(str::to_owned)
    }
}

/// An option of another server for the address or port.
struct ForeignAddress<'a> {
    is_port: bool,
    /// The value in the same word.
    joined: Option<&'a str>,
}

impl<'a> ForeignAddress<'a> {
    fn of(word: &'a str) -> Option<Self> {
        let joined = |name: &&str| match word.strip_prefix(name)? {
            "" => Some(None),
            joined if name.starts_with("--") => joined.strip_prefix('=').map(Some),
            joined => Some(Some(joined.strip_prefix('=').unwrap_or(joined))),
        };
        let find = |names: &[&str], is_port| {
            names.iter().find_map(joined).map(|joined| ForeignAddress { is_port, joined })
        };
        find(HOSTS, false).or_else(|| find(PORTS, true))
    }

    /// The option for this value; if the value is not valid, an example.
    fn own(&self, value: Option<&str>) -> [String; 2] {
        let is_port = |text: &str| text.parse::<u16>().is_ok();
        let port = |value: &str| ["--port".to_owned(), value.to_owned()];
        let address = |value: &str| ["--address".to_owned(), value.to_owned()];
        match value {
            Some(value) if is_port(value) => port(value),
            _ if self.is_port => port("8080"),
            // As in `caddy file-server --listen :8080`.
            Some(value) if value.strip_prefix(':').is_some_and(is_port) => address(&format!("*{value}")),
            Some(value) if spec::address_of(value, 0).is_ok() => address(value),
            _ => address("127.0.0.1"),
        }
    }
}

/// Joins each argument that looks like a negative number, such as `-5s`, to the option before it: clap would
/// take it for an option, but the user meant a value.
pub(super) fn joined(typed: &[OsString]) -> Vec<OsString> {
    let mut words: Vec<OsString> = Vec::new();
    for word in typed {
        let text = word.to_string_lossy();
        let is_number =
            text.strip_prefix('-').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
        let is_option = |before: &OsString| {
            let before = before.to_string_lossy();
            before.starts_with("--") && !before.contains('=')
        };
        match words.last_mut().filter(|before| is_number && is_option(before)) {
            Some(option) => {
                option.push("=");
                option.push(word);
            }
            None => words.push(word.clone()),
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::super::Cli;
    use super::super::words::split;
    use super::*;
    use clap::CommandFactory;

    fn reported(args: &str) -> String {
        let typed: Vec<String> = args.split(' ').filter(|word| !word.is_empty()).map(str::to_owned).collect();
        match super::super::parse(&typed.iter().map(Into::into).collect::<Vec<_>>()) {
            Ok(_) => panic!("{args} is valid"),
            Err(error) => line(&error, &typed, &Cli::command()),
        }
    }

    #[test]
    fn every_example_of_a_value_is_taken() {
        let mut seen = 0;
        for (name, target) in [("serve", "echo"), ("load", "echo"), ("compare", "")] {
            let program = Cli::command();
            let options = program.find_subcommand(name).unwrap().get_arguments();
            for option in options.filter_map(|option| Some((option.get_long()?, option.get_value_names()?))) {
                let Some(value) = example_value(&option.1[0]) else { continue };
                if option.1[0] == "TIME OF DAY" {
                    continue; // it is ahead until it is past
                }
                let typed = ["oneloop", name, target, &format!("--{}={value}", option.0)];
                let typed = typed.iter().filter(|word| !word.is_empty());
                let parsed = Cli::command().try_get_matches_from(typed);
                // Without --setup-until, for example.
                let needs_other = |error: &clap::Error| error.kind() == ErrorKind::MissingRequiredArgument;
                let is_taken = parsed.as_ref().err().is_none_or(needs_other);
                assert!(is_taken, "--{} {value}: {}", option.0, parsed.unwrap_err());
                seen += 1;
            }
        }
        assert!(seen > 30, "{seen}");
    }

    #[test]
    fn an_option_of_another_server_leads_to_the_one_here() {
        for (args, works) in [
            ("serve -P 8080", "serve --port 8080"),
            ("serve echo -P8080", "serve echo --port 8080"),
            ("serve echo -P", "serve echo --port 8080"),
            ("serve echo -P 99999", "serve echo --port 8080"),
            ("serve --host 0.0.0.0 --port 8080 echo", "serve --address 0.0.0.0 --port 8080 echo"),
            ("serve site --interfaces 0.0.0.0 --lsiting", "serve site --address 0.0.0.0 --lsiting"),
            ("serve . --host=::1 -p 80", "serve . --address ::1 -p 80"),
            ("serve echo --bind 0.0.0.0:8080", "serve echo --address 0.0.0.0:8080"),
            ("serve echo --bind *:80 --idle 3s", "serve echo --address '*:80' --idle 3s"),
            ("serve --listen :8080", "serve --address '*:8080'"),
            ("serve --listen 8080", "serve --port 8080"),
            ("serve --host example.org .", "serve --address 127.0.0.1 ."),
            ("serve src --host ::1 --nonsense", "serve src --address ::1 --nonsense"),
            ("serve src --lan --host 0.0.0.0", "serve src --lan"),
            ("serve src --lan --host 0.0.0.0:81", "serve src --lan --port 81"),
            ("serve src --lan --host ::1", "serve src --address ::1"),
            ("serve src --lan --host example.org", "serve src --lan"),
            ("serve src --host [::1]:81 -p 80 --lan", "serve src --address '[::1]:81'"),
            ("serve src@8080 -P 80", "serve src --port 80"),
            ("serve src@*:8080 --host ::1", "serve src --address ::1 --port 8080"),
        ] {
            let line = reported(args);
            let part = " is not an option of serve; write: oneloop ";
            assert!(line.contains(part) && line.ends_with(&format!(": oneloop {works}")), "{args}: {line}");
        }
    }

    /// What was typed must not be lost: a command without its DIR shares another directory.
    #[test]
    fn a_correction_keeps_the_rest_of_the_command() {
        for (args, works) in [
            ("serve src 8080", "serve src --port 8080"),
            ("serve src :8080 --lan", "serve src --lan --port 8080"),
            ("serve src 8080 -p 9000", "serve src -p 9000"),
            ("serve src *:80", "serve src --address '*:80'"),
            ("serve src *:80 --lan", "serve src --lan --port 80"),
            ("serve src http://0.0.0.0:81/", "serve src --address 0.0.0.0:81"),
            ("serve src --qr", "serve src --lan"),
            ("serve --qrcode src -p 1", "serve --lan src -p 1"),
            ("serve src --public --lan", "serve src --lan"),
            ("serve src --upload", "serve src"),
            ("serve src -u -A --browse", "serve src --browse"),
            ("serve src --browse", "serve src"),
            ("serve src --cors", "serve src --header 'Access-Control-Allow-Origin: *'"),
            ("serve src --enable-cors -v", "serve src --header 'Access-Control-Allow-Origin: *' -v"),
            ("serve --dir src -p 1", "serve src -p 1"),
            ("serve --dir=src --lan", "serve src --lan"),
            ("serve src -t 3", "serve src --workers 3"),
            ("serve src --timeout 20", "serve src --idle 20s"),
            ("serve src -c lots", "serve src --clients 1000"),
            ("serve src --log x.log", "serve src --access-log x.log"),
            ("serve src --tls-cert a.pem --tls-key=b.pem -p 1", "serve src -p 1"),
            ("serve src --allow-archive", "serve src --archive"),
            ("serve src --enable-zip --enable-tar", "serve src --archive"),
            ("serve src --zip", "serve src --archive"),
            ("serve src --render-spa", "serve src --fallback index.html"),
            ("serve -s src", "serve --fallback index.html src"),
            ("serve src --show-hidden", "serve src --hidden"),
            ("serve src -H", "serve src --hidden"),
            ("serve src --path-prefix /x", "serve http=/x:src"),
            ("serve http=src@81 --path-prefix=x/", "serve http=/x:src@81"),
            ("serve --path-prefix x --lan", "serve http=/x:. --lan"),
            ("serve src --username joe --password 123", "serve src --auth joe"),
            ("serve src --password 123 --username joe", "serve src --auth joe"),
            ("serve src --password 123", "serve src --auth alice"),
            ("serve src --writable", "serve src"),
            ("serve src --title Mine", "serve src"),
            ("serve src -a joe:123", "serve src --auth joe"),
            ("serve src -a joe:123@/:rw -p 1", "serve src -p 1 --auth joe"),
            ("serve src -a 80 --lan", "serve src --lan --port 80"),
            ("serve src -a exmple.org", "serve src --address 127.0.0.1"),
            ("serve src --idle 30 --lan", "serve src --idle 30s --lan"),
            ("serve src -p99999", "serve src --port 8080"),
            ("serve src --auth", "serve src --auth alice"),
            ("serve src --auth-password", "serve src --auth-password FILE --auth alice"),
            ("serve src --type .foo=bad", "serve src --type .wasm=application/wasm"),
            (
                "serve src --header a:b --header bad",
                "serve src --header a:b --header 'X-Frame-Options: DENY'",
            ),
            ("serve src/lib.rs --lan -p 8229", "serve src --lan -p 8229"),
            ("serve nginx --lan", "serve DIR --lan"),
            ("serve sorc --lan", "serve src --lan"),
            ("serve src echo@x", "serve src echo@127.0.0.1:7007"),
            ("src --lan", "serve src --lan"),
            ("serve src --directory=/", "serve /"),
            ("serve src --root src --lan", "serve src --lan"),
            ("serve src --root nowhere", "serve DIR"),
            ("serve --directory", "serve DIR"),
            ("serve src/lib.rs src", "serve src"),
            ("serve src/lib.rs examples", "serve src@8001 examples"),
            ("serve src:8080 --lan", "serve src --lan --port 8080"),
            ("serve src:8080 echo@9 -v", "serve src echo@9 -v --port 8080"),
            ("serve http://src src", "serve src"),
            ("lecture fork", "lecture --model fork"),
            ("lecture fork reactor --speed 2", "lecture --speed 2 --model fork,reactor"),
            ("lecture --model fork reactor", "lecture --model fork,reactor"),
            ("lecture zombies", "lecture --scene zombies"),
            ("lecture class.txt", "lecture --script FILE"),
            ("lecture -m fork --plain", "lecture --model fork --plain"),
            ("lecture --output x.html", "lecture --html x.html"),
            ("lecture -o x.png", "lecture --svg x.svg"),
            ("lecture -o", "lecture --svg FILE"),
            ("lecture -f", "lecture --script FILE"),
            ("lecture -f nowhere.txt", "lecture --script FILE"),
            ("lecture --workers 0 --speed 2", "lecture --workers 2 --speed 2"),
            ("lecture --workers 0 --model fork", "lecture --model fork"),
            ("load message --depth 0 -v", "load message -v"),
            ("load message --rps 10", "load message --rate 10"),
            ("load --url http://127.0.0.1/ -v", "load http://127.0.0.1/ -v"),
            ("load http://127.0.0.1/ --host x -p 80", "load http://127.0.0.1:80/ --header 'Host: x'"),
            ("load merg r.json -q", "load merge r.json -q"),
            ("load compar a b", "load compare a b"),
        ] {
            let line = reported(args);
            assert!(line.ends_with(&format!(": oneloop {works}")), "{args}: {line}");
        }
    }

    #[test]
    fn a_server_that_a_message_suggests_is_accepted() {
        for args in [
            "load tcp://127.0.0.1:6379/",
            "load echo://127.0.0.1:7",
            "load htp://127.0.0.1/x",
            "load https://127.0.0.1/x",
            "load unix:///run/app.sock",
            "load ftp://127.0.0.1/",
            "load redis@127.0.0.1:6379",
            "load http:127.0.0.1:1",
            "load http:8000",
            "load tcp:127.0.0.1:1",
            "load echo:7007",
            "load tcp@127.0.0.1",
            "load tpc@127.0.0.1:1",
            "load",
        ] {
            let line = reported(args);
            let (_, suggested) = line.rsplit_once(": oneloop ").unwrap();
            let words: Vec<OsString> = split(suggested).into_iter().map(OsString::from).collect();
            assert!(super::super::parse(&words).is_ok(), "{args}: {line}");
        }
    }

    #[test]
    fn what_needs_a_command_is_shown_with_one() {
        for (args, line) in [
            ("8080", "unknown command \"8080\"; to serve on that port: oneloop serve --port 8080"),
            ("-p 8080", "-p goes after the command; write: oneloop serve -p 8080"),
            ("-p 8080 serve echo", "-p goes after the command; write: oneloop serve -p 8080 echo"),
            (
                "8080 -p 9000",
                "unknown command \"8080\"; the commands are serve, load, compare, lecture, completions, man; see: oneloop --help",
            ),
            ("--scene zombies", "--scene goes after the command; write: oneloop lecture --scene zombies"),
            ("--nonsense", "--nonsense is not an option; see: oneloop --help"),
        ] {
            assert_eq!(reported(args), line, "{args}");
        }
    }

    #[test]
    fn an_error_quotes_the_argument_and_shows_what_works() {
        for (args, line) in [
            (
                "serve --idle -5s",
                "--idle \"-5s\": a time cannot be negative; write 0 for off; for example: oneloop serve --idle 30s",
            ),
            (
                "serve --idle=-5s",
                "--idle \"-5s\": a time cannot be negative; write 0 for off; for example: oneloop serve --idle 30s",
            ),
            (
                "serve --clients -1",
                "--clients \"-1\": it must be at least 1; for example: oneloop serve --clients 64",
            ),
            (
                "load echo --clients lots",
                "--clients \"lots\": not a whole number; write it as 64, 10k or 1M; for example: oneloop load echo --clients 64",
            ),
            ("serve --idle", "--idle: it needs a value; for example: oneloop serve --idle 30s"),
            (
                "serve --model forks",
                "--model \"forks\": the values are iterative, prefork, fork, thread, prethread, reactor; did you mean fork?; for example: oneloop serve --model fork",
            ),
            (
                "serve --idel 3s",
                "--idel is not an option of serve; did you mean --idle? Write: oneloop serve --idle 3s",
            ),
            (
                "serve -p 99999",
                "--port \"99999\": a port is a number from 0 to 65535; for example: oneloop serve --port 8080",
            ),
            ("serve -a 80", "--address \"80\": it is a port; write: oneloop serve --port 80"),
            (
                "serve --listing",
                "--listing is not an option of serve; directories are listed without it: oneloop serve",
            ),
            (
                "serve --upload",
                "--upload is not an option of serve; nothing is ever written (dufs and miniserve take uploads); to share files: oneloop serve",
            ),
            ("serve --nonsense", "--nonsense is not an option of serve; see: oneloop serve --help"),
            (
                "serve . --title x",
                "--title is not an option of serve; the title of a listing is the name of its directory: oneloop serve .",
            ),
            (
                "completions tcsh",
                "unknown shell \"tcsh\"; the values are bash, elvish, fish, powershell, zsh; for example: oneloop completions bash",
            ),
            ("--nothing", "--nothing is not an option; see: oneloop --help"),
            (
                "load echo -z 5s",
                "-z is not an option of load; for the duration: oneloop load echo --duration 5s",
            ),
            (
                "load http://127.0.0.1/ --replay-log f --find p99<1s --replay-speed 2",
                "--replay-log sends at the times of the log, so --find has no effect; leave it out: oneloop load http://127.0.0.1/ --replay-log f --replay-speed 2",
            ),
            (
                "load http://127.0.0.1/ --rate 5 --replay-log f",
                "--replay-log sends at the times of the log, so --rate has no effect; leave it out: oneloop load http://127.0.0.1/ --replay-log f",
            ),
            (
                "load merg",
                "unknown command \"load merg\"; did you mean merge? See: oneloop load merge --help",
            ),
            (
                "load echo --rate 5 --rate 6",
                "--rate is given more than once; write: oneloop load echo --rate 6",
            ),
            (
                "load echo --proxy x",
                "--proxy is not an option of load; a proxy is not supported, because the load measures one server; without it: oneloop load echo",
            ),
            (
                "load echo -rate 7",
                "-rate is not an option of load; a long name has two dashes: oneloop load echo --rate 7",
            ),
            (
                "load echo -d30s",
                "-d is for a body, and \"30s\" is a time (for this body add -X POST); for the duration: oneloop load echo --duration 30s",
            ),
            ("load echo -L 3", "the value of -L follows an equals sign; write: oneloop load echo --follow=3"),
            ("load echo 64", "load does not take the argument \"64\"; without it: oneloop load echo"),
            ("load", "the server is missing; for example: oneloop load echo@127.0.0.1:7007"),
            ("sreve", "unknown command \"sreve\"; did you mean serve? See: oneloop serve --help"),
            ("echo@8", "unknown command \"echo@8\"; to serve it: oneloop serve echo@8"),
            (
                "http://localhost/",
                "unknown command \"http://localhost/\"; to put load on that server: oneloop load http://localhost/",
            ),
        ] {
            assert_eq!(reported(args), line, "{args}");
        }
        assert_eq!(
            reported("serve -v -q"),
            "--verbose and --quiet exclude each other; for example: oneloop serve -q"
        );
    }
}
