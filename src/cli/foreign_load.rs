//! Options of other load generators and of curl, and their equivalents in `oneloop load`.

use std::net::IpAddr;
use std::sync::LazyLock;

use clap::{ArgAction, CommandFactory};

use super::Cli;
use super::typed_command::TypedCommand;
use super::units::Ms;

/// Options that users know from other programs.
struct Row {
    /// The options, separated by spaces.
    names: &'static str,
    /// Whether the value follows in the next word.
    takes_value: bool,
    /// Whether the row is for an option before this word, where programs give one name several meanings;
    /// `None` if it is for all others.
    is_meant: Option<fn(&str) -> bool>,
    /// What the correction is for.
    hint: &'static str,
    instead: Counterpart,
}

/// The equivalent of an option.
enum Counterpart {
    /// The load does that already, or cannot do it.
    Nothing,
    /// These words with the value for `{}`, or with this one if the value is not valid in this program.
    Words(&'static [&'static str], &'static str),
    /// What this does with the value.
    Change(fn(&mut LoadWords, &str)),
}

const fn flag(names: &'static str, hint: &'static str, instead: Counterpart) -> Row {
    Row { names, takes_value: false, is_meant: None, hint, instead }
}

const fn valued(names: &'static str, hint: &'static str, instead: Counterpart) -> Row {
    Row { takes_value: true, ..flag(names, hint, instead) }
}

impl Row {
    const fn when(self, is_meant: fn(&str) -> bool) -> Row {
        Row { is_meant: Some(is_meant), ..self }
    }

    fn has(&self, name: &str) -> bool {
        self.names.split(' ').any(|own| own == name)
    }
}

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
    if long.is_some() && behind_equals.is_valid() {
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
                    Counterpart::Change(change) => change(self, value),
                }
                at = self.at;
            }
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

    /// The message about `-d 30s`, which wrk takes for a duration, where nothing else tells a body.
    fn body_that_is_a_time(&self) -> Option<String> {
        let is_data = |at: &usize| self.words[*at].starts_with("-d");
        let found: Vec<usize> = self.places().into_iter().filter(is_data).collect();
        let [at] = found[..] else { return None };
        let joined = &self.words[at][2..];
        let is_joined = !joined.is_empty();
        let next = self.words.get(at + 1).map(String::as_str);
        let time = if is_joined { joined.strip_prefix('=').unwrap_or(joined) } else { next? };
        let telling = ["--method", "--header", "--data", "--data-urlencode", "--urls", "--duration"];
        let mut words = self.words.clone();
        words.drain(at..=at + usize::from(!is_joined));
        let mut rest = LoadWords::new(&words)?;
        let is_telling = |name: &str| own(name).is_some_and(|own| rest.has(own));
        if !is_span(time) || telling.into_iter().any(is_telling) {
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

fn is_number(text: &str) -> bool {
    text.trim_end_matches(['k', 'K', 'm', 'M']).parse::<f64>().is_ok_and(f64::is_finite)
}

/// A time, with or without its unit.
fn is_span(text: &str) -> bool {
    text.parse::<Ms>().is_ok() || text.parse::<f64>().is_ok_and(f64::is_finite)
}

fn is_url(text: &str) -> bool {
    text.contains("://")
}

fn is_url_or_nothing(text: &str) -> bool {
    text.is_empty() || is_url(text)
}

fn is_media_type(text: &str) -> bool {
    let types = ["*", "application", "audio", "font", "image", "multipart", "text", "video"];
    text.split_once('/').is_some_and(|(first, _)| types.contains(&first))
}

/// A name and a password, and not an address with its port.
fn is_login(text: &str) -> bool {
    text.split_once(':').is_some_and(|(name, password)| {
        let is_host = name.is_empty() || name == "localhost" || name.contains(['.', '[']);
        let is_port = password.bytes().all(|byte| byte.is_ascii_digit());
        !is_url(text) && !name.contains([' ', '/']) && (!is_host || !is_port)
    })
}

/// As in `id=7; theme=dark`.
fn is_cookie(text: &str) -> bool {
    let is_token =
        |name: &str| !name.is_empty() && name.bytes().all(|c| c.is_ascii_graphic() && !b"{&/@".contains(&c));
    text.split_once('=').is_some_and(|(name, value)| is_token(name) && !value.contains('&'))
}

fn is_ip(text: &str) -> bool {
    text.parse::<IpAddr>().is_ok()
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

fn port(words: &mut LoadWords, value: &str) {
    let port = if value.parse::<u16>().is_ok() { value } else { "8000" };
    match words.url() {
        Some((at, host, rest)) => {
            let has_port = host.rsplit_once(':').filter(|(_, port)| port.parse::<u16>().is_ok());
            let host = has_port.map_or(host.as_str(), |(host, _)| host);
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
        && (port.is_empty() || port.parse::<u16>().is_ok())
        && !to.ends_with(':')
    {
        connect_to_address(words, to, port);
    }
}

/// The URL with the address in place of its host, which is sent as a field.
fn connect_to_address(words: &mut LoadWords, address: &str, port: &str) {
    if let Some((at, host, rest)) = words.url() {
        let (name, own_port) = host.rsplit_once(':').unwrap_or((&host, "80"));
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
fn random_url(words: &mut LoadWords, _: &str) {
    if let Some((at, host, rest)) = words.url() {
        let fixed = rest.split(['[', '(', '\\']).next().unwrap_or(&rest);
        let slash = if fixed.is_empty() { "/" } else { "" };
        words.words[at] = format!("http://{host}{slash}{fixed}{{random:1-1000}}");
    }
}

/// A file with the report, in the form that its name or `csv` tells.
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

const NO_TLS: &str = "load has no TLS; put load on the server behind it";
const NO_PROXY: &str = "a proxy is not supported, because the load measures one server";
const NO_VERSION: &str = "HTTP/1.1 is the only version that load speaks";
const NO_PROTOCOL: &str = "not supported, because load speaks HTTP/1.1 and raw TCP only";
const NO_SCHEME: &str =
    "not supported, because load sends a name with a password (--user) or a token (--bearer) only";
const NO_SOCKET_OPTION: &str = "not supported, because load sets the options of its sockets itself";
const NOT_PRINTED: &str = "replies are checked and counted, not printed";
const NO_PROGRESS: &str = "progress is shown on a terminal only";
const NO_RETRY: &str = "a failed request is counted, not repeated";
const ONE_ADDRESS: &str =
    "a name is resolved once, before the load; for one of its addresses, write that in the URL";
const NO_ENCODING: &str = "not supported, because a body is sent as it is, with its length";
const NO_SPEED: &str = "the speed of a transfer is not bounded; clients that are slow are added with --slow";
const DURATION: &str = "for the duration";
const REPLY_TIME: &str = "for the time that a reply may take";
const BODY: &str = "for the body of a request";
const FIELD: &str = "for a header field";
const USER: &str = "for a user and password";
const CLIENTS: &str = "for the number of connections";
const A_DURATION: &str = "a load has a duration, not a number of requests";
const SERVER: &str = "the server is named by its URL, or by service and address";
const REPORT_FILE: &str = "to write the report to a file";
const SOURCE: &str = "for the address that connections come from";
const BURSTS: &str = "bursts of a size are not supported; for arrivals at random, with bursts";
const COOKIES: &str = "to keep cookies";
const WAITS: &str = "the end of the load waits for replies already";
const REUSED: &str = "connections are reused already";

const ROWS: &[Row] = &[
    valued(
        "--connections --concurrency --users --vus --max-workers --max-connections --parallel-max --parallel-max-host",
        CLIENTS,
        Counterpart::Words(&["--clients", "{}"], "64"),
    ),
    flag("-Z", CLIENTS, Counterpart::Words(&["--clients", "64"], "")).when(is_url_or_nothing),
    flag("--parallel --parallel-immediate", CLIENTS, Counterpart::Words(&["--clients", "64"], "")),
    valued(
        "--cpus --workers --worker-threads",
        "for the number of threads",
        Counterpart::Words(&["--threads", "{}"], "2"),
    ),
    valued("-z", DURATION, Counterpart::Words(&["--duration", "{}"], "10s"))
        .when(|value| value.is_empty() || is_span(value)),
    valued(
        "-z --time-cond",
        FIELD,
        Counterpart::Words(&["--header", "If-Modified-Since: {}"], "Sat, 31 Jan 2026 18:30:00 GMT"),
    ),
    valued(
        "--time --seconds --run-time --max-duration",
        DURATION,
        Counterpart::Words(&["--duration", "{}"], "10s"),
    ),
    valued(
        "--warm-up --warm-up-time --warmup-time",
        "for the time before measuring",
        Counterpart::Words(&["--warmup", "{}"], "1s"),
    ),
    valued(
        "--ramp-up --rampup --ramp-up-period",
        "to start clients one after the other",
        Counterpart::Words(&["--ramp", "{}"], "2s"),
    ),
    valued("-n -N", A_DURATION, Counterpart::Words(&["--duration", "10s"], ""))
        .when(|value| value.is_empty() || is_number(value)),
    valued("--requests --number", A_DURATION, Counterpart::Words(&["--duration", "10s"], "")),
    valued("-T -s -m", REPLY_TIME, Counterpart::Words(&["--reply-timeout", "{}"], "10s")).when(is_span),
    valued(
        "--timeout --max-time --request-timeout",
        REPLY_TIME,
        Counterpart::Words(&["--reply-timeout", "{}"], "10s"),
    ),
    valued("-m --request", "for the method of a request", Counterpart::Words(&["--method", "{}"], "POST")),
    flag("-I --head", "for the method HEAD", Counterpart::Words(&["--method", "HEAD"], "")),
    valued("-b -C", FIELD, Counterpart::Words(&["--header", "Cookie: {}"], "id=7")).when(is_cookie),
    valued("-b", NO_SOCKET_OPTION, Counterpart::Nothing).when(is_number),
    valued(
        "-b --body --data-raw --data-binary --data-ascii --post",
        BODY,
        Counterpart::Words(&["--data", "{}"], "@FILE"),
    ),
    valued("-D", NOT_PRINTED, Counterpart::Nothing).when(|value| value == "-"),
    valued("-D --body-file", BODY, Counterpart::Change(body_file)),
    valued("-T", FIELD, Counterpart::Words(&["--header", "Content-Type: {}"], "application/json"))
        .when(is_media_type),
    valued("-T --upload-file", "for a file as the body of a PUT", Counterpart::Change(upload)),
    valued(
        "-Z --body-path-lines",
        "for a body from each line of a file, whose first line is then the name of the column",
        Counterpart::Words(&["--values", "{}", "--data", "{body}"], "FILE"),
    ),
    flag("-G --get", "for data in the query of the URL", Counterpart::Change(query)),
    valued("--url-query", "for data in the query of the URL", Counterpart::Change(query)),
    valued("--request-target", "for the path", Counterpart::Change(request_target)),
    valued("--headers", FIELD, Counterpart::Words(&["--header", "{}"], "Accept: text/html")),
    valued("-A", FIELD, Counterpart::Words(&["--header", "Accept: {}"], "text/html")).when(is_media_type),
    valued("-A -a", USER, Counterpart::Words(&["--user", "{}"], "NAME")).when(is_login),
    valued("-A --user-agent", FIELD, Counterpart::Words(&["--header", "User-Agent: {}"], "test")),
    valued("--accept", FIELD, Counterpart::Words(&["--header", "Accept: {}"], "text/html")),
    valued("-e", FIELD, Counterpart::Words(&["--header", "Referer: {}"], "http://example.org/")).when(is_url),
    valued("--referer", FIELD, Counterpart::Words(&["--header", "Referer: {}"], "http://example.org/")),
    valued("-e", REPORT_FILE, Counterpart::Words(&["--csv", "{}"], "FILE")),
    valued("--host-header", FIELD, Counterpart::Words(&["--header", "Host: {}"], "example.org")),
    valued(
        "--content-type",
        FIELD,
        Counterpart::Words(&["--header", "Content-Type: {}"], "application/json"),
    ),
    valued("--range", FIELD, Counterpart::Words(&["--header", "Range: bytes={}"], "0-99")),
    valued("--cookie", FIELD, Counterpart::Words(&["--header", "Cookie: {}"], "id=7"))
        .when(|value| value.is_empty() || value.contains('=')),
    valued("--cookie --cookie-jar", COOKIES, Counterpart::Words(&["--cookies"], "")),
    flag("-j --junk-session-cookies", COOKIES, Counterpart::Words(&["--cookies"], "")),
    valued("--form-string --form-file", "for a form", Counterpart::Words(&["--form", "{}"], "name=@FILE")),
    flag("--form-escape", "names with quotes are escaped already", Counterpart::Nothing),
    valued("--accept-encoding", "for bodies with gzip", Counterpart::Words(&["--compressed"], ""))
        .when(|value| value.is_empty() || value.contains("gzip")),
    valued("--accept-encoding", FIELD, Counterpart::Words(&["--header", "Accept-Encoding: {}"], "br")),
    flag("--gzip --compression", "for bodies with gzip", Counterpart::Words(&["--compressed"], "")),
    flag(
        "--disable-compression",
        "compressed bodies are asked for only with --compressed",
        Counterpart::Nothing,
    ),
    flag("--tr-encoding --chunked --crlf --use-ascii", NO_ENCODING, Counterpart::Nothing),
    valued("-B", SOURCE, Counterpart::Words(&["--source", "{}"], "127.0.0.2")).when(is_ip),
    valued("-R", "for requests per second", Counterpart::Words(&["--rate", "{}"], "1k"))
        .when(|value| value.is_empty() || value.starts_with(|c: char| c.is_ascii_digit())),
    flag("-R --remote-time", NOT_PRINTED, Counterpart::Nothing),
    valued(
        "--rps --qps --query-per-second --max-rate --target-rate",
        "for requests per second",
        Counterpart::Words(&["--rate", "{}"], "1k"),
    ),
    valued(
        "--burst-rate --burst-delay",
        BURSTS,
        Counterpart::Words(&["--rate", "1k", "--arrivals", "poisson"], ""),
    ),
    valued(
        "--pipeline --pipelining",
        "for several requests in flight on a connection",
        Counterpart::Words(&["--depth", "{}"], "16"),
    ),
    flag("--latency --latencies", "every report has the distribution of latencies", Counterpart::Nothing),
    flag(
        "--latency-correction",
        "with --rate, latency counts from the scheduled time already",
        Counterpart::Nothing,
    ),
    valued("-U", NO_PROXY, Counterpart::Nothing).when(is_login),
    flag("-U --u_latency", "with --rate, every report has the time from the send, too", Counterpart::Nothing),
    flag("-B --batch_latency", "each request of a pipeline is measured by itself", Counterpart::Nothing),
    flag(
        "--histogram --hist",
        "every report has the distribution of latencies; to write it to a file",
        Counterpart::Words(&["--hgrm", "FILE"], ""),
    ),
    flag("-s", NO_PROGRESS, Counterpart::Nothing).when(is_url_or_nothing),
    valued(
        "-s --script",
        "scripts in Lua are not supported; for several requests, a file with a line each",
        Counterpart::Words(&["--urls", "FILE"], ""),
    )
    .when(|value| value.rsplit('.').next() == Some("lua")),
    valued(
        "-s --script --targets --urls-from-file --input --input-file",
        "for several requests",
        Counterpart::Words(&["--urls", "{}"], "FILE"),
    ),
    flag(
        "-: --next",
        "for several requests, a file with a line each",
        Counterpart::Words(&["--urls", "FILE"], ""),
    ),
    flag("--rand-regex-url", "for URLs that differ", Counterpart::Change(random_url)),
    valued(
        "--max-repeat --dump-urls",
        "regular expressions in URLs are not supported; {random:1-1000} and --values make URLs differ",
        Counterpart::Nothing,
    ),
    valued(
        "--redirect --redirects --max-redirs",
        "redirects are followed only with --follow",
        Counterpart::Nothing,
    )
    .when(|value| ["0", "-1"].contains(&value)),
    valued(
        "--redirect --redirects --max-redirs",
        "to follow redirects",
        Counterpart::Words(&["--follow={}"], "10"),
    )
    .when(is_number),
    flag(
        "--location --location-trusted --redirect --redirects --max-redirs --follow-redirects --allow-redirects",
        "to follow redirects",
        Counterpart::Words(&["--follow"], ""),
    ),
    flag(
        "--disable-redirect --disable-redirects --no-redirect",
        "redirects are followed only with --follow",
        Counterpart::Nothing,
    ),
    flag("--post301 --post302 --post303", "a redirect is followed as browsers do it", Counterpart::Nothing),
    valued("--basic-auth --auth --authentication", USER, Counterpart::Words(&["--user", "{}"], "NAME")),
    flag("--basic", "--user sends HTTP Basic already", Counterpart::Nothing),
    valued("--oauth2-bearer --token", "for a token", Counterpart::Words(&["--bearer", "{}"], "@FILE")),
    flag(
        "-n --netrc --netrc-optional",
        "for a password from a file",
        Counterpart::Words(&["--user", "NAME", "--user-password", "FILE"], ""),
    ),
    valued(
        "--netrc-file",
        "for a password from a file",
        Counterpart::Words(&["--user", "NAME", "--user-password", "FILE"], ""),
    ),
    flag("--anyauth --digest --negotiate --ntlm --ntlm-wb --sasl-ir", NO_SCHEME, Counterpart::Nothing),
    valued(
        "--aws-sigv4 --aws-session --delegation --service-name --krb --login-options --sasl-authzid",
        NO_SCHEME,
        Counterpart::Nothing,
    ),
    flag("--disallow-username-in-url", "a URL has no user name here", Counterpart::Nothing),
    valued("--unix-socket --socket", "for HTTP over a Unix socket", Counterpart::Change(unix_socket)),
    valued(
        "--abstract-unix-socket",
        "not supported, because a Unix socket is named by its path",
        Counterpart::Nothing,
    ),
    flag(
        "-0 --http0.9 --http1.0 --http1.1 --http1 --http2 --http2-prior-knowledge --h2 --h2c --http3 --http3-only",
        NO_VERSION,
        Counterpart::Nothing,
    ),
    valued("--http-version", NO_VERSION, Counterpart::Nothing),
    flag("-k", "connections are reused already, and load has no TLS", Counterpart::Nothing),
    flag(
        "--insecure --tls --ssl -1 --tlsv1 --tlsv1.0 --tlsv1.1 --tlsv1.2 --tlsv1.3 -2 --sslv2 -3 --sslv3 --ssl-reqd \
         --ssl-allow-beast --ssl-auto-client-cert --ssl-no-revoke --ssl-revoke-best-effort --ssl-sessions \
         --cert-status --false-start --no-alpn --no-npn --no-sessionid --ca-native --tls-earlydata",
        NO_TLS,
        Counterpart::Nothing,
    ),
    valued("-f", NO_TLS, Counterpart::Nothing)
        .when(|value| value.starts_with("TLS") || value.starts_with("SSL")),
    valued(
        "--cacert --capath --cert -E --key --cert-type --key-type --ciphers --curves --crlfile --pass --pinnedpubkey \
         --tls-max --tls13-ciphers --tlsauthtype --tlspassword --tlsuser --egd-file --random-file --engine --hsts \
         --ech --sigalgs --root-certs",
        NO_TLS,
        Counterpart::Nothing,
    ),
    valued(
        "--replay --access-log --har",
        "to send the requests of a log again",
        Counterpart::Words(&["--replay-log", "{}"], "FILE"),
    ),
    flag("--keepalive --keep-alive", "for one connection per request", Counterpart::Words(&["--churn"], ""))
        .when(|value| value == "false"),
    flag("--keepalive --keep-alive", REUSED, Counterpart::Nothing),
    flag(
        "--disable-keepalive --no-keepalive",
        "connections are reused; for one connection per request",
        Counterpart::Words(&["--churn"], ""),
    ),
    valued("-o --output --out", NOT_PRINTED, Counterpart::Nothing).when(|value| value.starts_with("/dev/")),
    valued("-o --output --out", REPORT_FILE, Counterpart::Change(output)),
    valued("--output-format --format", "for the form of the report", Counterpart::Change(output_format))
        .when(|value| ["csv", "json"].contains(&value)),
    valued(
        "--output-format --format --time-unit",
        "the report is a table with units, or --json, --csv and --html",
        Counterpart::Nothing,
    ),
    valued("-g", REPORT_FILE, Counterpart::Words(&["--csv", "{}"], "FILE"))
        .when(|value| !is_url_or_nothing(value)),
    flag("-g --globoff", "brackets in a URL are sent as they are", Counterpart::Nothing),
    flag("--path-as-is", "a path is sent as it is", Counterpart::Nothing),
    valued(
        "--db-url",
        "not supported; for the report in a file",
        Counterpart::Words(&["--json", "FILE"], ""),
    ),
    valued("-p", BODY, Counterpart::Change(body_file))
        .when(|value| !value.is_empty() && value.parse::<u16>().is_err()),
    valued("-p --port", SERVER, Counterpart::Change(port)),
    valued("--host", "for the host that a request names", Counterpart::Change(host)),
    flag("-a", NO_PROTOCOL, Counterpart::Nothing).when(is_url_or_nothing),
    valued("-a --url --target --address --addr", SERVER, Counterpart::Change(server)),
    valued("--interface --laddr", SOURCE, Counterpart::Words(&["--source", "{}"], "127.0.0.2")).when(is_ip),
    valued(
        "--interface --laddr",
        "an interface is not chosen; --source chooses an address of it",
        Counterpart::Nothing,
    ),
    valued(
        "--local-port",
        "the system chooses local ports; --source chooses addresses",
        Counterpart::Nothing,
    ),
    valued("--resolve", "for the address of a host", Counterpart::Change(resolve)),
    valued("--connect-to", "for the address of a host", Counterpart::Change(connect_to)),
    flag(
        "-4 --ipv4 -6 --ipv6 --no-pre-lookup --doh-cert-status --doh-insecure",
        ONE_ADDRESS,
        Counterpart::Nothing,
    ),
    valued(
        "--happy-eyeballs-timeout-ms --dns-interface --dns-ipv4-addr --dns-ipv6-addr --dns-servers --doh-url \
         --dns-ttl --resolvers",
        ONE_ADDRESS,
        Counterpart::Nothing,
    ),
    flag(
        "--proxytunnel --proxy-anyauth --proxy-basic --proxy-digest --proxy-insecure --proxy-negotiate --proxy-ntlm \
         --proxy-ssl-allow-beast --proxy-ssl-auto-client-cert --proxy-tlsv1 --proxy-ca-native --proxy-http2 \
         --socks5-basic --socks5-gssapi --socks5-gssapi-nec --suppress-connect-headers --haproxy-protocol",
        NO_PROXY,
        Counterpart::Nothing,
    ),
    valued(
        "-x --proxy --preproxy --proxy-header --proxy-http-version --proxy-user --proxy-cacert --proxy-capath \
         --proxy-cert --proxy-cert-type --proxy-ciphers --proxy-crlfile --proxy-key --proxy-key-type --proxy-pass \
         --proxy-pinnedpubkey --proxy-service-name --proxy-tls13-ciphers --proxy-tlsauthtype --proxy-tlspassword \
         --proxy-tlsuser --proxy1.0 --noproxy --socks4 --socks4a --socks5 --socks5-hostname --socks5-gssapi-service \
         --haproxy-clientip -P",
        NO_PROXY,
        Counterpart::Nothing,
    ),
    flag(
        "-f --fail --fail-with-body",
        "for errors of all replies but 2xx",
        Counterpart::Words(&["--verify", "status"], ""),
    ),
    flag("-l", "for bodies that differ in length", Counterpart::Words(&["--verify", "whole"], "")),
    flag("-w", WAITS, Counterpart::Nothing).when(|value| !value.contains('%')),
    flag("--wait-ongoing-requests-after-deadline", WAITS, Counterpart::Nothing),
    flag("--stats-success-breakdown", "every report counts replies by their status", Counterpart::Nothing),
    flag(
        "-S --silent --show-error --no-progress-meter -# --progress-bar --no-tui",
        NO_PROGRESS,
        Counterpart::Nothing,
    ),
    valued("--fps", NO_PROGRESS, Counterpart::Nothing),
    flag("--no-color --styled-output", "a report has no colours", Counterpart::Nothing),
    flag(
        "-i --include --show-headers --debug -N --no-buffer -O --remote-name --remote-name-all -J \
         --remote-header-name --create-dirs --no-clobber --remove-on-error --skip-existing --xattr --raw --out-null \
         --trace-time --trace-ids --dump-ca-embed --lazy",
        NOT_PRINTED,
        Counterpart::Nothing,
    ),
    valued(
        "-w --write-out --dump-header --output-dir --create-file-mode --stderr --trace --trace-ascii --trace-config \
         --libcurl --etag-save --max-filesize --max-body -C --continue-at --name --prometheus-addr",
        NOT_PRINTED,
        Counterpart::Nothing,
    ),
    valued("--etag-compare", FIELD, Counterpart::Words(&["--header", "If-None-Match: \"x\""], "")),
    flag("--retry-all-errors --retry-connrefused --fail-early", NO_RETRY, Counterpart::Nothing),
    valued("--retry --retry-delay --retry-max-time", NO_RETRY, Counterpart::Nothing),
    valued("--limit-rate -Y --speed-limit -y --speed-time", NO_SPEED, Counterpart::Nothing),
    flag("--tcp-nodelay", "TCP_NODELAY is set already", Counterpart::Nothing),
    flag("--tcp-fastopen --mptcp", NO_SOCKET_OPTION, Counterpart::Nothing),
    valued(
        "--keepalive-time --keepalive-cnt --ip-tos --vlan-priority",
        NO_SOCKET_OPTION,
        Counterpart::Nothing,
    ),
    flag("-M --manual", "oneloop man prints the manual page", Counterpart::Nothing),
    flag("--disable", "options are not read from a file", Counterpart::Nothing),
    valued("-K --config --variable", "options are not read from a file", Counterpart::Nothing),
    valued("--expect100-timeout", "a body is sent without waiting for 100", Counterpart::Nothing),
    flag(
        "--ignore-content-length",
        "not supported, because replies are checked for their length",
        Counterpart::Nothing,
    ),
    flag(
        "--append --list-only --ftp-create-dirs --ftp-pasv --ftp-pret --ftp-skip-pasv-ip --ftp-ssl-ccc \
         --ftp-ssl-control --disable-eprt --disable-epsv --mail-rcpt-allowfails --tftp-no-options --compressed-ssh \
         --metalink",
        NO_PROTOCOL,
        Counterpart::Nothing,
    ),
    valued(
        "--alt-svc --proto --proto-default --proto-redir --ipfs-gateway --ftp-account --ftp-alternative-to-user \
         --ftp-method --ftp-port --ftp-ssl-ccc-mode -Q --quote --mail-auth --mail-from --mail-rcpt --hostpubmd5 \
         --hostpubsha256 --pubkey --telnet-option --tftp-blksize",
        NO_PROTOCOL,
        Counterpart::Nothing,
    ),
];

#[cfg(test)]
mod tests;
