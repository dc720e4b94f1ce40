//! Options of other load generators and of curl, and their equivalents in `oneloop load`.

mod rows;

use std::net::IpAddr;
use std::sync::LazyLock;

use clap::{ArgAction, CommandFactory};

use super::Cli;
use super::typed_command::TypedCommand;
use super::words::is_url;
use rows::{Counterpart, ROWS, Row, WordChange, is_number, is_span};

/// What the correction of an option of another program is for, and the command with all such options
/// corrected.
pub(super) fn instead_of(option: &str, typed: &[String]) -> Option<String> {
    let mut words = LoadWords::spelled_out(typed)?;
    let mut at = words.begin;
    // Bound: each turn advances.
    let row = loop {
        match words.found(at) {
            _ if at >= words.end() => return None,
            Some(found) if found.name == option => break found.row,
            _ => at += words.len_at(at),
        }
    };
    words.correct();
    let without = if matches!(row.instead, Counterpart::Nothing) { "; without it" } else { "" };
    Some(format!("{}{without}: {}", row.hint, words.command()))
}

/// The message about a word that clap would take for something else than its user: `-rate 7` for
/// `--rate "ate"`, `-d30s` for a body.
pub(super) fn misread(typed: &[String]) -> Option<String> {
    let words = LoadWords::new(typed)?;
    let mut at = words.begin;
    // Bound: each turn advances.
    while at < words.end() {
        let word = &words.words[at];
        if with_two_dashes(word).is_some() {
            let mut corrected = LoadWords::spelled_out(typed)?;
            corrected.correct();
            let command = corrected.command();
            let name = word.split('=').next().unwrap_or(word);
            // Its value may be wrong, too.
            let write = if command.is_valid() { command.to_string() } else { format!("-{name}") };
            return Some(format!("{name} is not an option of load; a long name has two dashes: {write}"));
        }
        // clap takes it for a negative number.
        if word.len() == 2 && word.starts_with('-') && word.as_bytes()[1].is_ascii_digit() {
            return instead_of(word, typed)
                .map(|instead| format!("{word} is not an option of load; {instead}"));
        }
        at += words.len_at(at);
    }
    words.body_that_is_a_time()
}

/// The message about a number after an option that takes no value in the next word.
pub(super) fn behind_flag(typed: &[String]) -> Option<String> {
    let words = LoadWords::new(typed)?;
    let is_flag = |at: &usize| {
        let is_number_next = words.words.get(at + 1).is_some_and(|next| is_number(next));
        is_number_next && own(&words.words[*at]).is_some_and(|own| !own.takes_next)
    };
    let at = words.places().into_iter().find(is_flag)?;
    let (option, number) = (words.words[at].clone(), words.words[at + 1].clone());
    let mut changed = words.words.clone();
    changed.drain(at..at + 2);
    let with = |new: &[&str]| {
        let mut words = TypedCommand::new(&changed);
        words.insert(at, new);
        words
    };
    if option == "-q" {
        let rate = with(&["--rate", &number]);
        return Some(format!("{option} logs less, and takes no value; for requests per second: {rate}"));
    }
    let long = own(&option).and_then(|own| own.long.as_deref());
    let behind_equals = with(&[&format!("{}={number}", long.unwrap_or_default())]);
    if long.is_some() && behind_equals.is_parsed() {
        return Some(format!("the value of {option} follows an equals sign; write: {behind_equals}"));
    }
    Some(format!("{option} takes no value, and \"{number}\" follows it; without that: {}", with(&[&option])))
}

/// What `load` has itself.
struct Interface {
    commands: Vec<String>,
    options: Vec<OwnOption>,
}

static OWN: LazyLock<Interface> = LazyLock::new(|| {
    let program = Cli::command();
    let load = program.find_subcommand("load");
    let commands = load.into_iter().flat_map(clap::Command::get_subcommands);
    let options = load.into_iter().flat_map(clap::Command::get_arguments).filter(|own| !own.is_positional());
    let options = options.map(|option| OwnOption {
        long: option.get_long().map(|long| format!("--{long}")),
        short: option.get_short().map(|short| format!("-{short}")),
        takes_next: option.get_action().takes_values() && !option.is_require_equals_set(),
        repeats: matches!(option.get_action(), ArgAction::Append),
    });
    let of_program = ["v", "q"].map(|short| OwnOption {
        long: None,
        short: Some(format!("-{short}")),
        takes_next: false,
        repeats: true,
    });
    Interface {
        commands: commands.map(|command| command.get_name().to_owned()).collect(),
        options: options.chain(of_program).collect(),
    }
});

fn own(name: &str) -> Option<&'static OwnOption> {
    OWN.options.iter().find(|own| [&own.long, &own.short].into_iter().flatten().any(|own| own == name))
}

/// An option of `load`.
struct OwnOption {
    long: Option<String>,
    short: Option<String>,
    /// Whether its value is the next word.
    takes_next: bool,
    repeats: bool,
}

/// The words of `oneloop load`, while they are corrected.
struct LoadWords {
    words: Vec<String>,
    /// Where the words after the command begin.
    begin: usize,
    /// Where a correction goes.
    at: usize,
}

/// An option of another program.
struct FoundOption {
    row: &'static Row,
    name: String,
    value: Option<String>,
    /// How many words it takes.
    len: usize,
}

impl LoadWords {
    /// The words of the command, if it is a load.
    fn new(typed: &[String]) -> Option<LoadWords> {
        let begin = typed.iter().position(|word| !word.starts_with('-'))? + 1;
        let is_load = typed[begin - 1] == "load";
        let is_inner = typed.get(begin).is_some_and(|word| OWN.commands.contains(word));
        (is_load && !is_inner).then(|| LoadWords { words: typed.to_vec(), begin, at: begin })
    }

    /// The same with two dashes before long names, and with each letter of `-sSL` in a word of its own.
    fn spelled_out(typed: &[String]) -> Option<LoadWords> {
        let mut words = LoadWords::new(typed)?;
        let mut at = words.begin;
        // Bound: each turn advances, or makes a word shorter.
        while at < words.end() {
            if let Some(long) = with_two_dashes(&words.words[at]) {
                words.words[at] = long;
            }
            match first_of_letters(&words.words[at]) {
                Some((first, rest)) => {
                    words.words.splice(at..=at, [first, rest]);
                    at += 1;
                }
                None => at += words.len_at(at),
            }
        }
        Some(words)
    }

    fn command(&self) -> TypedCommand {
        TypedCommand::new(&self.words)
    }

    /// Where options end.
    fn end(&self) -> usize {
        self.words.iter().position(|word| word == "--").unwrap_or(self.words.len())
    }

    /// Where options and arguments are, without the values of options.
    fn places(&self) -> Vec<usize> {
        let (mut places, mut at) = (Vec::new(), self.begin);
        // Bound: each turn advances.
        while at < self.end() {
            places.push(at);
            at += self.len_at(at);
        }
        places
    }

    /// How many words the option or argument there has.
    fn len_at(&self, at: usize) -> usize {
        let len = match own(&self.words[at]) {
            Some(own) => 1 + usize::from(own.takes_next),
            None => self.found(at).map_or(1, |found| found.len),
        };
        len.min(self.words.len() - at)
    }

    /// The option of another program there.
    fn found(&self, at: usize) -> Option<FoundOption> {
        let word = self.words.get(at).filter(|word| word.starts_with('-') && word.len() > 1)?;
        let (name, joined) = if word.starts_with("--") {
            word.split_once('=').map_or((word.as_str(), None), |(name, value)| (name, Some(value)))
        } else {
            let (name, joined) = word.split_at_checked(2)?;
            let joined = joined.strip_prefix('=').unwrap_or(joined);
            (name, Some(joined).filter(|joined| !joined.is_empty()))
        };
        let is_value = |next: &&String| {
            let behind_dash = next.strip_prefix('-');
            behind_dash.is_none_or(|rest| rest.is_empty() || rest.starts_with(|c: char| c.is_ascii_digit()))
        };
        let next = self.words.get(at + 1).filter(is_value).map(String::as_str);
        let seen = joined.or(next).unwrap_or_default();
        let is_row = |row: &&Row| row.has(name) && row.is_meant.is_none_or(|is_meant| is_meant(seen));
        let row = ROWS.iter().find(is_row).filter(|_| own(name).is_none())?;
        let next = next.filter(|_| row.takes_value && joined.is_none());
        let value = joined.filter(|_| row.takes_value).or(next).map(str::to_owned);
        Some(FoundOption { row, name: name.to_owned(), value, len: 1 + usize::from(next.is_some()) })
    }

    /// Replaces the options of other programs by their equivalents. First come those whose value is
    /// kept: an example in place of another one must not displace it.
    fn correct(&mut self) {
        for with_value in [true, false] {
            let mut at = self.begin;
            // Bound: each turn advances, or removes an option of another program and adds none.
            while at < self.end() {
                let found = self.found(at).filter(|found| found.keeps_value() == with_value || !with_value);
                let Some(found) = found else {
                    at += self.len_at(at);
                    continue;
                };
                self.words.drain(at..at + found.len);
                self.at = at;
                let value = found.value.as_deref().unwrap_or_default();
                match found.row.instead {
                    Counterpart::Nothing => {}
                    Counterpart::Words(words, example) => self.put(words, value, example),
                    Counterpart::Change(change) => self.change(change, value),
                }
                at = self.at;
            }
        }
    }

    fn change(&mut self, change: WordChange, value: &str) {
        match change {
            WordChange::Server => server(self, value),
            WordChange::Host => host(self, value),
            WordChange::Port => port(self, value),
            WordChange::UnixSocket => unix_socket(self, value),
            WordChange::Resolve => resolve(self, value),
            WordChange::ConnectTo => connect_to(self, value),
            WordChange::Query => query(self, value),
            WordChange::RequestTarget => request_target(self, value),
            WordChange::RandomUrl => random_url(self),
            WordChange::Output => output(self, value),
            WordChange::OutputFormat => output_format(self, value),
            WordChange::BodyFile => body_file(self, value),
            WordChange::Upload => upload(self, value),
        }
    }

    /// Adds options of this program, unless one is there that is given once.
    fn put(&mut self, words: &[&str], value: &str, example: &str) {
        let in_s = format!("{value}s");
        let has_value = !value.is_empty() && words.iter().any(|word| word.contains("{}"));
        let candidates = [value, &in_s].into_iter().filter(|_| has_value);
        let with = |value: &str| words.iter().map(|word| word.replace("{}", value)).collect::<Vec<_>>();
        let is_valid = |value: &&str| {
            let alone = ["load", "http://127.0.0.1/"].map(str::to_owned).into_iter().chain(with(value));
            TypedCommand::new(&alone.collect::<Vec<_>>()).is_valid()
        };
        let value = candidates.into_iter().find(is_valid).unwrap_or(example);
        let mut is_there = false;
        for word in with(value) {
            if word.starts_with("--") {
                is_there = own(word.split('=').next().unwrap_or(&word))
                    .is_some_and(|own| !own.repeats && self.has(own));
            }
            if !is_there {
                self.words.insert(self.at, word);
                self.at += 1;
            }
        }
    }

    fn has(&self, own: &OwnOption) -> bool {
        self.places().into_iter().any(|at| {
            let word = &self.words[at];
            let is_long = own.long.as_deref().is_some_and(|long| word.split('=').next() == Some(long));
            let is_short = own.short.as_deref().is_some_and(|short| word.starts_with(short));
            is_long || is_short
        })
    }

    /// Where the server is.
    fn target(&self) -> Option<usize> {
        let places = self.places().into_iter().filter(|at| !self.words[*at].starts_with('-'));
        let places: Vec<usize> = places.collect();
        places.iter().find(|at| is_url(&self.words[**at])).or(places.first()).copied()
    }

    /// The host with its port, and the rest of the URL of the server.
    fn url(&self) -> Option<(usize, String, String)> {
        let at = self.target()?;
        let behind = self.words[at].strip_prefix("http://")?;
        let (host, rest) = behind.split_at(behind.find(['/', '?']).unwrap_or(behind.len()));
        (!host.starts_with("unix:")).then(|| (at, host.to_owned(), rest.to_owned()))
    }

    /// Adds the server, unless there is one.
    fn put_target(&mut self, target: &str) {
        if self.target().is_none() {
            self.words.insert(self.at, target.to_owned());
            self.at += 1;
        }
    }

    /// The message about `-d 30s`, which is a duration in wrk. With one of the other options the user means a
    /// body.
    fn body_that_is_a_time(&self) -> Option<String> {
        let is_data = |at: &usize| self.words[*at].starts_with("-d");
        let found: Vec<usize> = self.places().into_iter().filter(is_data).collect();
        let [at] = found[..] else { return None };
        let joined = &self.words[at][2..];
        let is_joined = !joined.is_empty();
        let next = self.words.get(at + 1).map(String::as_str);
        let time = if is_joined { joined.strip_prefix('=').unwrap_or(joined) } else { next? };
        let of_a_body = ["--method", "--header", "--data", "--data-urlencode", "--urls", "--duration"];
        let mut words = self.words.clone();
        words.drain(at..=at + usize::from(!is_joined));
        let mut rest = LoadWords::new(&words)?;
        let is_given = |name: &str| own(name).is_some_and(|own| rest.has(own));
        if !is_span(time) || of_a_body.into_iter().any(is_given) {
            return None;
        }
        rest.at = at;
        rest.put(&["--duration", "{}"], time, "10s");
        let mut rest = LoadWords::spelled_out(&rest.words)?;
        rest.correct();
        Some(format!(
            "-d is for a body, and \"{time}\" is a time (for this body add -X POST); for the duration: {}",
            rest.command()
        ))
    }
}

/// The option in the form of this program, if it is a long name after one dash, as Go's programs write
/// it.
fn with_two_dashes(word: &str) -> Option<String> {
    let name = word.strip_prefix('-')?.split('=').next()?;
    let long = format!("--{name}");
    let is_known = own(&long).is_some() || ROWS.iter().any(|row| row.has(&long));
    if name.len() < 2 || word.starts_with("--") || !is_known {
        return None;
    }
    // vegeta writes a rate as 50/1s.
    Some(format!("-{}", word.strip_suffix("/1s").filter(|_| name == "rate").unwrap_or(word)))
}

/// The first option of several in a word, and the rest of them.
fn first_of_letters(word: &str) -> Option<(String, String)> {
    let letters = word.strip_prefix('-').filter(|letters| letters.len() > 1)?;
    let is_flag = |name: &str| {
        let is_meant = |row: &Row| row.is_meant.is_none_or(|is_meant| is_meant(""));
        ROWS.iter().any(|row| !row.takes_value && row.has(name) && is_meant(row))
    };
    let is_known = |letter: char| {
        let name = format!("-{letter}");
        own(&name).is_some() || ROWS.iter().any(|row| row.has(&name))
    };
    let (first, rest) = letters.split_at_checked(1)?;
    let first = format!("-{first}");
    let is_first = own(&first).map_or_else(|| is_flag(&first), |own| !own.takes_next);
    (is_first && letters.chars().all(is_known)).then(|| (first, format!("-{rest}")))
}

impl FoundOption {
    fn keeps_value(&self) -> bool {
        let is_kept = match self.row.instead {
            Counterpart::Nothing => false,
            Counterpart::Words(words, _) => words.iter().any(|word| word.contains("{}")),
            Counterpart::Change(_) => true,
        };
        is_kept && self.value.is_some()
    }
}

/// `--url`, `--address`.
fn server(words: &mut LoadWords, value: &str) {
    match value {
        "" => words.put_target("http://127.0.0.1:8000/"),
        target if target.contains(['@', '/']) => words.put_target(target),
        host => words.put_target(&format!("http://{host}/")),
    }
}

/// `--host`: the server, or the field of a request to another one.
fn host(words: &mut LoadWords, value: &str) {
    match words.target() {
        Some(_) => words.put(&["--header", "Host: {}"], value, "example.org"),
        None => server(words, value),
    }
}

/// The host of a URL, which may be an IPv6 address in brackets, and its port.
fn split_port(host: &str) -> (&str, Option<&str>) {
    match host.rsplit_once(':') {
        Some((name, port)) if port.parse::<u16>().is_ok() => (name, Some(port)),
        _ => (host, None),
    }
}

fn port(words: &mut LoadWords, value: &str) {
    let port = if value.parse::<u16>().is_ok() { value } else { "8000" };
    match words.url() {
        Some((at, host, rest)) => {
            let (host, _) = split_port(&host);
            words.words[at] = format!("http://{host}:{port}{rest}");
        }
        None => words.put_target(&format!("http://127.0.0.1:{port}/")),
    }
}

/// HTTP over a Unix socket: the path of the URL is kept, and so is its host, as a field.
fn unix_socket(words: &mut LoadWords, value: &str) {
    let socket = if value.is_empty() { "/run/app.sock" } else { value };
    let url = |rest: &str| format!("http://unix:{socket}:/{}", rest.strip_prefix('/').unwrap_or(rest));
    match words.url() {
        Some((at, host, rest)) => {
            words.words[at] = url(&rest);
            if host != "localhost" {
                words.put(&["--header", "Host: {}"], &host, "localhost");
            }
        }
        None => words.put_target(&url("")),
    }
}

/// `--resolve HOST:PORT:ADDRESS`.
fn resolve(words: &mut LoadWords, value: &str) {
    let parts: Vec<&str> = value.trim_start_matches('+').splitn(3, ':').collect();
    if let [_, port, addresses] = parts[..] {
        let address = addresses.split(',').next().unwrap_or(addresses);
        let ip = address.trim_matches(['[', ']']).parse::<IpAddr>();
        let Ok(ip) = ip else { return };
        let address = if ip.is_ipv6() { format!("[{ip}]") } else { ip.to_string() };
        connect_to_address(words, &address, port);
    }
}

/// `--connect-to HOST:PORT:TO-HOST:TO-PORT`; an empty part is the one of the URL.
fn connect_to(words: &mut LoadWords, value: &str) {
    let parts: Vec<&str> = value.splitn(3, ':').collect();
    if let [_, _, to] = parts[..]
        && let Some((to, port)) = to.rsplit_once(':')
    {
        connect_to_address(words, to, port);
    }
}

/// The URL with the address in place of its host, which is sent as a field.
fn connect_to_address(words: &mut LoadWords, address: &str, port: &str) {
    if let Some((at, host, rest)) = words.url() {
        let (name, own_port) = split_port(&host);
        let own_port = own_port.unwrap_or("80");
        let (address, port) =
            (if address.is_empty() { name } else { address }, if port.is_empty() { own_port } else { port });
        words.words[at] = format!("http://{address}:{port}{rest}");
        words.put(&["--header", "Host: {}"], &host, "example.org");
    }
}

/// `--get`: what would be the body is the query.
fn query(words: &mut LoadWords, value: &str) {
    let mut pairs: Vec<String> = Vec::from_iter((!value.is_empty()).then(|| value.to_owned()));
    if value.is_empty() {
        let is_data = |word: &str| ["-d", "--data", "--data-urlencode"].contains(&word);
        while let Some(at) = words.places().into_iter().find(|at| is_data(&words.words[*at])) {
            let end = (at + 2).min(words.words.len());
            pairs.extend(words.words.drain(at..end).nth(1));
            words.at -= if at < words.at { end - at } else { 0 };
        }
    }
    if let Some((at, host, rest)) = words.url().filter(|_| !pairs.is_empty()) {
        let rest = if rest.is_empty() { "/" } else { &rest };
        let and = if rest.contains('?') { '&' } else { '?' };
        let query = pairs.join("&").replace(' ', "%20");
        words.words[at] = format!("http://{host}{rest}{and}{query}");
    }
}

fn request_target(words: &mut LoadWords, value: &str) {
    if let Some((at, host, _)) = words.url() {
        words.words[at] = format!("http://{host}/{}", value.trim_start_matches('/'));
    }
}

/// A regular expression as URL: from the first class of characters on, a number.
fn random_url(words: &mut LoadWords) {
    if let Some((at, host, rest)) = words.url() {
        let fixed = rest.split(['[', '(', '\\']).next().unwrap_or(&rest);
        let slash = if fixed.is_empty() { "/" } else { "" };
        words.words[at] = format!("http://{host}{slash}{fixed}{{random:1-1000}}");
    }
}

fn output(words: &mut LoadWords, value: &str) {
    let end = value.rsplit('.').next().unwrap_or_default();
    match (value, end) {
        ("csv", _) => words.put(&["--csv", "-"], "", ""),
        ("json", _) => words.put(&["--json", "-"], "", ""),
        (_, "csv") => words.put(&["--csv", "{}"], value, "FILE"),
        (_, "html" | "htm") => words.put(&["--html", "{}"], value, "FILE"),
        _ => words.put(&["--json", "{}"], value, "FILE"),
    }
}

fn output_format(words: &mut LoadWords, value: &str) {
    if ["csv", "json"].contains(&value) {
        output(words, value);
    }
}

/// A body from a file; curl's `@` is not doubled.
fn body_file(words: &mut LoadWords, value: &str) {
    words.put(&["--data", "@{}"], value.trim_start_matches('@'), "FILE");
}

fn upload(words: &mut LoadWords, value: &str) {
    words.put(&["--method", "PUT"], "", "");
    body_file(words, value);
}

#[cfg(test)]
mod tests;
