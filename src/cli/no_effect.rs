//! Options of `serve` that would have no effect beside the others: a mistake, because whoever types one relies on it.

use super::spec::Spec;
use super::words::command;
use super::{Failure, Given, Typed};
use crate::models::Model;
use crate::sys::Address;

/// What is going to be served.
pub(super) struct Served<'a> {
    pub(super) model: Model,
    pub(super) specs: &'a [Spec],
    /// Where each listens; `None`: at a socket of the supervisor.
    pub(super) addresses: &'a [Option<Address>],
}

/// What must be there for an option to have an effect.
enum Need {
    /// One of these services.
    Service(&'static [&'static str]),
    /// One of these models.
    Model(&'static [Model]),
    /// An address of this kind.
    Unix,
    Tcp,
    /// A socket that is not the supervisor's.
    OwnSocket,
}

/// Models that accept without waiting for the client before: only these can refuse, pause or count by address.
const ACCEPTING: &[Model] = &[Model::Reactor, Model::Fork, Model::Thread];

fn needs(option: &Typed) -> Vec<Need> {
    let http = || Need::Service(&["http"]);
    match option.long.as_str() {
        _ if option.heading == "HTTP" => vec![http()],
        // Other services have no requests to log, or to wait for: message has a time of its own.
        "access-log" | "request" => vec![http()],
        "idle" => vec![Need::Service(&["http", "echo", "discard", "message"])],
        "rate-bytes" | "rate-window" => {
            vec![Need::Service(&["http", "echo", "message", "daytime", "chargen", "time"])]
        }
        "clients" => {
            vec![Need::Model(&[Model::Reactor, Model::Fork, Model::Thread, Model::Prefork, Model::Prethread])]
        }
        "clients-per-address" => vec![Need::Model(ACCEPTING), Need::Tcp],
        "overflow" | "refusals" | "refusal-linger" | "accept-pause" | "accepts-per-turn" => {
            vec![Need::Model(ACCEPTING)]
        }
        "buffers" => vec![Need::Model(&[Model::Reactor, Model::Thread, Model::Prethread])],
        "events-per-turn" | "reads-per-turn" => vec![Need::Model(&[Model::Reactor])],
        "unix-mode" => vec![Need::Unix],
        "backlog" => vec![Need::OwnSocket],
        _ => Vec::new(),
    }
}

impl Served<'_> {
    /// The first option that would have no effect, as a mistake.
    pub(super) fn check(&self, given: &Given) -> Result<(), Failure> {
        let unmet = |option: &Typed| needs(option).into_iter().find(|need| !self.meets(need));
        let found = given.options.iter().find_map(|option| Some((option, unmet(option)?)));
        match found {
            None => Ok(()),
            Some((option, need)) => Err(Failure::Usage(self.told(option, &need))),
        }
    }

    fn meets(&self, need: &Need) -> bool {
        let mut addresses = self.addresses.iter();
        match need {
            Need::Service(names) => self.specs.iter().any(|spec| names.contains(&spec.what.name())),
            Need::Model(models) => models.contains(&self.model),
            Need::Unix => addresses.any(|address| matches!(address, Some(Address::Unix(_)))),
            // Of a supervisor's socket it does not matter which kind it is: its server may be the same for both.
            Need::Tcp => addresses.any(|address| matches!(address, None | Some(Address::Tcp(_)))),
            Need::OwnSocket => addresses.any(Option::is_some),
        }
    }

    fn told(&self, option: &Typed, need: &Need) -> String {
        let long = format!("--{}", option.long);
        let with = |spec: &str, model: &str| {
            let model = if model.is_empty() { ["", ""] } else { ["--model", model] };
            command(&["serve", spec, model[0], model[1], &long, &option.value])
        };
        let name = self.specs.first().map_or("echo", |spec| spec.what.name());
        let (why, right) = match need {
            Need::Service(["http"]) => ("without http".to_owned(), with("http=.", "")),
            Need::Service(names) => (format!("without one of {}", names.join(", ")), with(names[0], "")),
            Need::Model(_) => (format!("with --model {}", self.model), with(name, "reactor")),
            Need::Unix => {
                ("without a Unix socket".to_owned(), with(&format!("{name}@unix:./{name}.sock"), ""))
            }
            Need::Tcp => ("with Unix sockets alone".to_owned(), with(&format!("{name}@127.0.0.1"), "")),
            Need::OwnSocket => ("on the sockets of a supervisor".to_owned(), String::new()),
        };
        let instead =
            if right.is_empty() { "set it there".to_owned() } else { format!("use it like this: {right}") };
        format!("{long} has no effect {why}; leave it out, or {instead}")
    }
}
