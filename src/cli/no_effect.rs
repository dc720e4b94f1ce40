//! Reports options of `oneloop serve` that have no effect in this server as mistakes: the user relies on
//! them.

use super::listen;
use super::spec::Spec;
use super::typed_command::TypedCommand;
use super::{Failure, GivenOption, GivenOptions};
use crate::limits::{Need, SETTINGS};
use crate::models::Model;
use crate::services::ServiceName;
use crate::sys::Address;
use crate::sys::address::ip_with_zone;

/// The server that is about to start.
pub(super) struct PlannedServer<'a> {
    pub(super) model: Model,
    /// The specs as typed.
    pub(super) specs: &'a [Spec],
    pub(super) services: &'a [ServiceName],
    /// The address of each listener; `None`: a socket of the supervisor.
    pub(super) addresses: &'a [Option<Address>],
    /// Whether a service has no `@ADDR`.
    pub(super) takes_address: bool,
}

/// What a server must have for an option to have an effect.
#[derive(Clone, Copy)]
enum Requirement {
    Limit(Need),
    Service(ServiceName),
    UnixSocket,
    /// A service that listens at the address of `--port`, `--address` and `--lan`.
    OpenAddress,
}

/// Models that accept a client before they can serve it: only these can refuse clients, pause, or count them
/// by address.
const EARLY_ACCEPT: &[Model] = &[Model::Reactor, Model::Fork, Model::Thread];

fn requirements(option: &GivenOption) -> Vec<Requirement> {
    if let Some(setting) = SETTINGS.iter().find(|setting| setting.flag == option.long) {
        return setting.needs.iter().copied().map(Requirement::Limit).collect();
    }
    match option.long.as_str() {
        // Other services have no requests to log.
        "access-log" => vec![Requirement::Limit(Need::Requests)],
        "unix-mode" => vec![Requirement::UnixSocket],
        "port" | "address" | "lan" => vec![Requirement::OpenAddress],
        "open" => vec![Requirement::Service(ServiceName::Http)],
        _ => {
            let service = |service: &&ServiceName| service.as_str().eq_ignore_ascii_case(&option.heading);
            ServiceName::ALL
                .iter()
                .find(service)
                .map(|service| Requirement::Service(*service))
                .into_iter()
                .collect()
        }
    }
}

/// The services that meet a requirement; `None` if it is not about services.
fn services(requirement: Requirement) -> Option<Vec<ServiceName>> {
    match requirement {
        Requirement::Service(service) => Some(vec![service]),
        Requirement::Limit(need @ (Need::Requests | Need::IdleClients | Need::Output)) => {
            Some(ServiceName::ALL.iter().copied().filter(|service| service.meets(need)).collect())
        }
        _ => None,
    }
}

/// The models that meet a requirement; `None` if it is not about models.
fn models(requirement: Requirement) -> Option<&'static [Model]> {
    match requirement {
        Requirement::Limit(Need::SeveralClients) => {
            Some(&[Model::Reactor, Model::Fork, Model::Thread, Model::Prefork, Model::Prethread])
        }
        Requirement::Limit(Need::EarlyAccept) => Some(EARLY_ACCEPT),
        Requirement::Limit(Need::SharedBuffers) => Some(&[Model::Reactor, Model::Thread, Model::Prethread]),
        Requirement::Limit(Need::EventLoop) => Some(&[Model::Reactor]),
        _ => None,
    }
}

impl PlannedServer<'_> {
    /// The first option that would have no effect, as a mistake.
    pub(super) fn check(&self, given: &GivenOptions) -> Result<(), Failure> {
        let unmet = |option: &GivenOption| requirements(option).into_iter().find(|need| !self.meets(*need));
        let mut all = given.options.iter().filter_map(|option| Some((option, unmet(option)?)));
        let Some((option, need)) = all.next() else { return Ok(()) };
        // The command that is shown has none of the others, either. Another model is an offer of its own.
        let others = all.filter(|(_, other)| models(need).is_none() || models(*other).is_none());
        let left = others.fold(given.command.clone(), |left, (other, _)| left.without(&other.long));
        Err(Failure::Usage(self.message(option, need, &left)))
    }

    fn meets(&self, requirement: Requirement) -> bool {
        let mut addresses = self.addresses.iter();
        match requirement {
            Requirement::UnixSocket => addresses.any(|address| matches!(address, Some(Address::Unix(_)))),
            // A socket of the supervisor counts as either kind: its service file may be written for both.
            Requirement::Limit(Need::TcpSocket) => {
                addresses.any(|address| matches!(address, None | Some(Address::Tcp(_))))
            }
            Requirement::Limit(Need::OwnSocket) => addresses.any(Option::is_some),
            Requirement::OpenAddress => self.takes_address,
            _ => {
                let service = |services: Vec<ServiceName>| {
                    self.services.iter().any(|service| services.contains(service))
                };
                services(requirement).is_none_or(service)
                    && models(requirement).is_none_or(|models| models.contains(&self.model))
            }
        }
    }

    fn message(&self, option: &GivenOption, requirement: Requirement, typed: &TypedCommand) -> String {
        let long = format!("--{}", option.long);
        let why = match requirement {
            Requirement::UnixSocket => "without a Unix socket".to_owned(),
            Requirement::Limit(Need::TcpSocket) => "with Unix sockets only".to_owned(),
            Requirement::OpenAddress => {
                let why = "because each service has its own address";
                if let Some(moved) = self.with_open_address(option, typed) {
                    return format!("{long} has no effect {why}; write: {moved}");
                }
                why.to_owned()
            }
            Requirement::Limit(Need::OwnSocket) => {
                return format!(
                    "{long} has no effect on sockets of a supervisor; leave it out, or set it in the supervisor"
                );
            }
            _ => match services(requirement) {
                Some(services) => {
                    let names: Vec<_> = services.iter().map(|service| service.as_str()).collect();
                    let one_of = if names.len() > 1 { "one of " } else { "" };
                    format!("without {one_of}{}", names.join(", "))
                }
                None => {
                    return format!(
                        "{long} has no effect with --model {}; leave it out, or use the model reactor: {}",
                        self.model,
                        typed.clone().with("model", "reactor")
                    );
                }
            },
        };
        format!("{long} has no effect {why}; leave it out: {}", typed.clone().without(&option.long))
    }

    /// The command with its only service at the address of this option. The other part of the service's own
    /// address becomes an option.
    fn with_open_address(&self, option: &GivenOption, typed: &TypedCommand) -> Option<TypedCommand> {
        let [Spec { address: Some(Address::Tcp(own)), .. }] = self.specs else { return None };
        let spec = &self.specs[0];
        let open = typed.clone().with_argument(&spec.typed, &spec.place);
        let changed = match option.long.as_str() {
            "port" if own.ip().is_loopback() && own.is_ipv4() => open,
            "port" if own.ip().is_unspecified() && own.is_ipv6() => open.with("address", "*"),
            "port" => open.with("address", &ip_with_zone(*own)),
            "address" if listen::has_port(&option.value) => open,
            _ if open.has("port") || own.port() == spec.service.default_port() => open,
            _ => open.with("port", &own.port().to_string()),
        };
        changed.is_valid().then_some(changed)
    }
}
