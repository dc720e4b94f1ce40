//! `oneloop serve`: from arguments to a running server.

use std::io::{ErrorKind, IsTerminal};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use clap::Args;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::announce::{Announcement, Share};
use super::descriptors::{Sharing, fit};
use super::http::{ServerContext, check_directories, missing};
use super::limits::LimitArgs;
use super::listen::ListenArgs;
use super::no_effect::PlannedServer;
use super::services::ServiceFlags;
use super::spec::Spec;
use super::typed_command::TypedCommand;
use super::units::{Size, count};
use super::{Failure, GivenOptions};
use crate::connection::ListenerLayers;
use crate::limits::{Limits, Need};
use crate::models::{self, ListenerConfig, Model, ServerConfig};
use crate::reactor::Summary;
use crate::services::http::{Files, Handler};
use crate::services::{AnyService, ServiceName};
use crate::sys::listener::backlog_max;
use crate::sys::process::raise_descriptors_max;
use crate::sys::{
    Address, BindError, BindErrorKind, Identity, ListenOptions, Listener, Notice, Signals, Supervisor,
};
use crate::telemetry::{AccessFormat, AccessLog, AccessTarget, Telemetry, TerminalLog};
use crate::time::ServerClock;

/// Share a directory over HTTP, or serve other services, until stopped
///
/// Nothing is ever written to a directory. Each DIR and SERVICE listens on the address after its @, or on its
/// own port of 127.0.0.1, which only programs on this machine can reach; --lan, --address and --port change
/// that. Each listener is printed on standard output as "listening on SERVICE@ADDR". Ctrl-C or SIGTERM stops
/// the server when its open clients have finished; a second signal stops it at once.
#[derive(Debug, Args)]
#[command(after_long_help = AFTER_HELP, allow_negative_numbers = true)]
pub(super) struct ServeArgs {
    #[arg(value_name = "DIR|SERVICE", help = SERVICE_HELP, long_help = services_help())]
    specs: Vec<Spec>,

    #[command(flatten)]
    listen: ListenArgs,

    /// How clients are served
    ///
    /// Every service sends the same bytes under every model.
    #[arg(long, value_name = "MODEL", default_value = "reactor", value_parser = model(), help_heading = "Model")]
    model: Model,
    /// Processes of prefork or threads of prethread (default 8), or event loops of reactor (default 1)
    ///
    /// Each event loop is a process. Processes divide --clients among them; --clients-per-address applies to
    /// each process.
    #[arg(long, value_name = "N", value_parser = count::<1, 1024>, help_heading = "Model")]
    workers: Option<u32>,

    #[command(flatten)]
    services: ServiceFlags,
    #[command(flatten)]
    limits: LimitArgs,

    /// Permissions of Unix sockets, in octal, such as 660
    #[arg(long, value_name = "MODE", value_parser = unix_mode, help_heading = "Process")]
    unix_mode: Option<u32>,
    /// After binding, switch to this user (name or number) for good; for a server started as root
    ///
    /// The server keeps only the groups of this user and no capabilities, even if it already runs as this
    /// user. Unix sockets belong to this user. If it may not write to the directory of a socket, the socket
    /// file remains at the end, and the next server replaces it.
    #[arg(long, value_name = "USER", help_heading = "Process")]
    user: Option<String>,
    /// With --user: switch to this group instead of the user's own
    #[arg(long, value_name = "GROUP", help_heading = "Process")]
    group: Option<String>,

    /// Write one line per answered request to this file; "-" is standard output
    ///
    /// Without it, a terminal shows a short line per request (time, client, request, status, size, duration);
    /// -q turns these lines off.
    ///
    /// SIGHUP reopens the file. /dev/stdout and /dev/stderr may be sockets, as under systemd. A slow reader
    /// of a pipe or FIFO does not delay the server: up to 1 MiB of lines wait for it; further lines are
    /// dropped and counted in the log.
    #[arg(long, value_name = "FILE", help_heading = "Log")]
    access_log: Option<PathBuf>,
}

const SERVICE_HELP: &str =
    "What to serve, and where: DIR[@ADDR] or SERVICE[=ARG][@ADDR] [default: this directory]";

const AFTER_HELP: &str = "\
Examples:
  oneloop serve                           this directory on port 8000
  oneloop serve ~/Pictures --lan          a directory, for your network
  oneloop serve ~/Pictures --port 8080    the same on another port
  oneloop serve 'site@*:80' --no-listing  a site, on all addresses
  oneloop serve . http=/docs:manual       two directories on one port
  oneloop serve echo                      on port 7007 of 127.0.0.1
  oneloop serve echo@0                    on any free port
  oneloop serve echo@9000 message         two services
  oneloop serve 'daytime@[::1]:7013'      on IPv6
  oneloop serve echo@unix:./echo.sock     on a Unix socket
  oneloop serve 'echo@*:7' --user nobody  bind as root, serve as nobody

Signals: SIGTERM and SIGINT drain and stop the server, a second one stops it at once. SIGUSR1 logs the counters. SIGHUP \
reopens the access log. When its terminal closes, a server without an access log in a file drains and stops; nohup keeps it.

Sites: http=DIR serves all requests, http=/docs:DIR those below /docs, http=//example.org:DIR those of a host, and \
http=//example.org/docs:DIR both. Sites with the same ADDR share a listener. A request for a host that no site has goes to the sites \
without a host, or gets 421 if there are none. Flags apply to all sites, an option after DIR to that site alone: \
http=/docs:DIR,listing=off,index=start.html. The options are the flags under HTTP without dashes, except --access-format; \
write a comma in a value twice.

Counters (also logged at the end): accepted; open, clients now; accept-errors, failed attempts to accept; cut, clients that were \
disconnected at the end of --drain; ended, clients by reason; requests, answers begun by http and message; 2xx to 5xx, HTTP \
responses by status; bytes-in and bytes-out; lag, how long the turns of the loop took, in which other clients wait: the 99th \
percentile and the maximum.

Sockets from a supervisor (LISTEN_FDS of systemd) go to the SERVICEs without @ADDR: to the service with the name of the socket \
(FileDescriptorName=echo), otherwise in order. The supervisor is notified when the server is ready (NOTIFY_SOCKET).

Exit codes: 0 stopped on request, 1 system error (such as a port in use), 2 invalid arguments.";

/// The services of this build, from their table.
fn services_help() -> String {
    let list = ServiceName::ALL
        .iter()
        .map(|service| format!("\n  {service:<9} {}  {}", service.default_port(), service.about()));
    format!(
        "{SERVICE_HELP}\n\n\
         DIR is shared over HTTP, like http=DIR. Write ./NAME for a directory that has the name of a service.\n\n\
         Services, with the port of each when no ADDR is given:{}\n\n\
         ADDR is an address with a port (127.0.0.1:7007, '[::1]:7007', '*:7007' for all addresses of this machine), a port (on \
         127.0.0.1; 0 is any free port), an IP address (with the port above), or unix:PATH.",
        list.collect::<String>()
    )
}

fn model() -> impl TypedValueParser<Value = Model> {
    let names = Model::ALL.map(|model| PossibleValue::new(model.name()).help(model.about()));
    let names = names.map(|name| if name.get_name() == "prefork" { name.alias("copies") } else { name });
    PossibleValuesParser::new(names).try_map(|name| name.parse::<Model>())
}

fn unix_mode(text: &str) -> Result<u32, String> {
    match u32::from_str_radix(text, 8) {
        Ok(mode) if mode <= 0o777 => Ok(mode),
        _ => Err("write permission bits in octal, from 0 to 777, such as 660".to_owned()),
    }
}

/// Serves until the server is stopped.
pub(super) fn run(args: &ServeArgs, given: &GivenOptions) -> Result<(), Failure> {
    // First: nothing may open a descriptor before, and from here on no signal may end the server without a
    // drain.
    let mut supervisor = Supervisor::adopt().map_err(Failure::usage)?;
    let signals = Signals::install().map_err(Failure::system)?.for_good();
    let identity = identity(args, &given.command)?;
    check_directories(&args.specs, given)?;
    let CheckedArgs { groups, mut limits, workers, inherited, addresses, sites } =
        checked(args, given, &mut supervisor)?;
    let flags = &args.services;
    warn_of_hidden_directories(&args.specs);
    let descriptors = raise_descriptors_max();
    let options = ListenOptions {
        backlog: limits.backlog,
        unix_mode: args.unix_mode,
        unix_owner: identity.as_ref().map(Identity::ids),
        ..ListenOptions::default()
    };
    let sockets = if args.model.splits_port(workers) { workers } else { 1 };
    let share = |spec: &Spec| Share::of(spec, &flags.http.site, given);
    let shares = groups.iter().map(|group| group.specs.iter().map(share).collect());
    let shares = shares.collect::<Result<Vec<Vec<_>>, Failure>>()?;
    let server = ServerContext { given, limits: &limits, sites };
    let open = |group: &ListenerGroup| flags.open(group.service, &group.specs, &server);
    let services = groups.iter().map(open).collect::<Result<Vec<_>, _>>()?;
    let listeners = bind(services, inherited, &addresses, &options, sockets)
        .map_err(|error| not_bound(&error, &groups, &addresses, &args.listen, &given.command))?;
    let mut telemetry = Telemetry::new();
    let access = args.access_target();
    // Asked once: the user of the server may not be able to look.
    let is_file = access.as_ref().is_some_and(AccessTarget::is_file);
    if let Some(target) = access.as_ref().filter(|_| !is_file) {
        // A pipe or terminal belongs to the starting user: after the change of user it may not be opened.
        telemetry = with_access_log(telemetry, target, flags.http.access_format(), &given.command)?;
    }
    if access.is_none() && groups.iter().any(|group| group.service.meets(Need::Requests)) {
        telemetry = with_request_lines(telemetry);
    }
    if let Some(identity) = identity {
        identity.assume().map_err(Failure::system)?;
        log::info!("privileges given up; running as {identity}");
    }
    // After giving up privileges: what can be opened now can be opened again when the log is rotated.
    if let Some(target) = access.as_ref().filter(|_| is_file) {
        telemetry = with_access_log(telemetry, target, flags.http.access_format(), &given.command)?;
    }
    // Not before: what this user may do with the directories decides what is served.
    let user = args.user.as_ref().map_or("the server's user".to_owned(), |user| format!("the user {user}"));
    for listener in &listeners {
        if let AnyService::Http(http) = &listener.service {
            let now = ServerClock::start().now();
            http.handler().routes().for_each(|(_, site)| site.check_for(&user, now));
        }
    }
    let files = sites * Files::open_files_max(descriptors);
    let sockets: usize = listeners.iter().map(|listener| listener.sockets.len()).sum();
    let of_sites = |listener: &ListenerConfig<AnyService>| match &listener.service {
        AnyService::Http(http) => http.handler().routes().map(|(_, site)| site.open_directories()).sum(),
        _ => 0,
    };
    // The directory of the first site is among the descriptors of the program itself.
    let directories = listeners.iter().map(of_sites).sum::<usize>().saturating_sub(1);
    let kept_open = sockets + directories;
    let processes = args.model.processes(workers);
    let files = fit(
        &mut limits,
        Sharing { descriptors, listeners: kept_open, files, processes, clients_given: given.has("clients") },
    );
    for listener in &listeners {
        if let AnyService::Http(http) = &listener.service {
            http.handler().routes().for_each(|(_, site)| site.limit_open_files((files / sites).max(1)));
        }
    }
    warn_of_clear_passwords(&listeners);
    log_limits(&limits, descriptors);
    let setup = ServerConfig { listeners, limits, workers, telemetry, signals };
    serve(args.model, setup, &shares, &args.listen, &supervisor)
}

/// A user of every system, who owns no files.
const EXAMPLE_USER: &str = "nobody";

/// The user to switch to.
fn identity(args: &ServeArgs, typed: &TypedCommand) -> Result<Option<Identity>, Failure> {
    let user = args.user.as_deref();
    let group = args.group.as_deref();
    Identity::find(user, group).map_err(|error| {
        // Only root can become another user.
        let can_be = |user, group| Identity::find(user, group).is_ok();
        let example = |typed: TypedCommand| typed.with("user", EXAMPLE_USER);
        let works = if user.is_some() && can_be(user, None) {
            typed.clone().without("group")
        } else if can_be(Some(EXAMPLE_USER), group) {
            example(typed.clone())
        } else if can_be(Some(EXAMPLE_USER), None) {
            example(typed.clone().without("group"))
        } else {
            typed.clone().without("user").without("group")
        };
        Failure::Usage(format!("{error}; for example: {works}"))
    })
}

/// The server that the arguments describe, whose parts fit each other.
struct CheckedArgs {
    groups: Vec<ListenerGroup>,
    limits: Limits,
    workers: usize,
    /// The supervisor's socket of each group.
    inherited: Vec<Option<Listener>>,
    /// The address of each group; `None`: a socket of the supervisor.
    addresses: Vec<Option<Address>>,
    /// How many directories are served.
    sites: usize,
}

/// Checks what no argument can know of another, without a supervisor.
pub(super) fn check(args: &ServeArgs, given: &GivenOptions) -> Result<(), Failure> {
    if let Some((root, error)) = args.specs.iter().find_map(missing) {
        return Err(Failure::Usage(format!("cannot serve {}: {error}", root.display())));
    }
    identity(args, &given.command)?;
    checked(args, given, &mut Supervisor::default()).map(drop)
}

fn checked(
    args: &ServeArgs,
    given: &GivenOptions,
    supervisor: &mut Supervisor,
) -> Result<CheckedArgs, Failure> {
    let mut limits = args.limits.0.clone();
    let mut specs = if args.specs.is_empty() { default_specs(supervisor)? } else { args.specs.clone() };
    args.listen.check(&given.command)?;
    args.services.http.site.check(&args.specs, given)?;
    let takes_address = specs.iter().any(|spec| spec.address.is_none());
    if supervisor.listeners.is_empty() {
        for spec in specs.iter_mut().filter(|spec| spec.address.is_none()) {
            spec.address = Some(args.listen.address_of(spec.service)?);
        }
    }
    let services: Vec<ServiceName> = specs.iter().map(|spec| spec.service).collect();
    let sites = services.iter().filter(|service| **service == ServiceName::Http).count();
    let groups = grouped(specs);
    if sites > 0 && limits.inbox_bytes_max < limits.head_bytes_max {
        if given.has("inbox") {
            let head = Size(limits.head_bytes_max.into());
            return Err(Failure::Usage(format!(
                "--inbox is too small for http, which needs room for a request head of {head}; use --inbox {head} or more: {}",
                given.command.clone().with("inbox", &head.to_string())
            )));
        }
        limits.inbox_bytes_max = limits.head_bytes_max;
    }
    let workers = workers(args, &given.command)?;
    if let Some(objection) = args.model.objection(workers, &limits) {
        let works = match args.model {
            Model::Reactor => given.command.clone().with("clients", &workers.to_string()),
            _ => given.command.clone().with("model", "reactor"),
        };
        return Err(Failure::Usage(format!("{objection}; for example: {works}")));
    }
    let inherited = inherited(&groups, supervisor)?;
    let addresses = addresses(&groups, &inherited, &args.listen, &given.command)?;
    let takes_address = takes_address && inherited.iter().any(Option::is_none);
    let specs = &args.specs;
    PlannedServer { model: args.model, specs, services: &services, addresses: &addresses, takes_address }
        .check(given)?;
    if args.access_log.is_none() && given.has("access-format") {
        return Err(Failure::Usage(format!(
            "--access-format has no effect without --access-log; use it like this: {}",
            given.command.clone().with("access-log", "FILE")
        )));
    }
    Ok(CheckedArgs { groups, limits, workers, inherited, addresses, sites })
}

impl ServeArgs {
    fn access_target(&self) -> Option<AccessTarget> {
        let path = self.access_log.as_ref()?;
        Some(if path.as_os_str() == "-" { AccessTarget::Stdout } else { AccessTarget::of_path(path) })
    }
}

/// Warns of directories with the name of a service, because the argument was read as the service.
fn warn_of_hidden_directories(specs: &[Spec]) {
    for spec in specs.iter().filter(|spec| spec.argument.is_none()) {
        let name = spec.service;
        if Path::new(name.as_str()).is_dir() {
            log::warn!(
                "{name} is the service; there is also a directory ./{name}: write ./{name} to share it"
            );
        }
    }
}

/// The number of workers; an error if it was given for a model without workers.
fn workers(args: &ServeArgs, typed: &TypedCommand) -> Result<usize, Failure> {
    match (args.workers, args.model.workers_default()) {
        (Some(workers), Some(_)) => Ok(workers as usize),
        (None, default) => Ok(default.unwrap_or(1)),
        (Some(_), None) => Err(Failure::Usage(format!(
            "--workers has no effect with --model {}; leave it out, or use the model reactor: {}",
            args.model,
            typed.clone().with("model", "reactor")
        ))),
    }
}

/// Without a SERVICE: the services that the supervisor's sockets are named after, or this directory.
fn default_specs(supervisor: &Supervisor) -> Result<Vec<Spec>, Failure> {
    let parse = |name: &str| name.parse::<Spec>();
    if supervisor.listeners.is_empty() {
        return Ok(vec![parse("http").map_err(Failure::usage)?]);
    }
    let named = supervisor.listeners.iter().map(|(name, listener)| {
        parse(name).map_err(|_| {
            Failure::Usage(format!(
                "the inherited socket {} (named \"{}\") does not name a service; list the SERVICEs in the order of the sockets",
                listener.local_addr(),
                name.escape_debug()
            ))
        })
    });
    named.collect()
}

/// What has its own sockets: a service, or the sites that share an address.
struct ListenerGroup {
    service: ServiceName,
    /// At least one.
    specs: Vec<Spec>,
    address: Option<Address>,
}

/// The services grouped by their sockets. A site shares the sockets of an earlier site with the same address.
/// If both are for the same requests, that is a mistake, except on port 0, where each site gets its own port.
fn grouped(specs: Vec<Spec>) -> Vec<ListenerGroup> {
    let mut groups: Vec<ListenerGroup> = Vec::new();
    for spec in specs {
        let is_site = spec.service == ServiceName::Http;
        let takes = |group: &&mut ListenerGroup| {
            is_site
                && group.service == spec.service
                && same(group.address.as_ref(), spec.address.as_ref())
                && group.specs.iter().all(|other| other.mount != spec.mount)
        };
        if let Some(group) = groups.iter_mut().find(takes) {
            group.specs.push(spec);
        } else {
            let (service, address) = (spec.service, spec.address.clone());
            groups.push(ListenerGroup { service, specs: vec![spec], address });
        }
    }
    groups
}

/// The address of each group; `None`: a socket of the supervisor. No two may have the same address.
fn addresses(
    groups: &[ListenerGroup],
    inherited: &[Option<Listener>],
    listen: &ListenArgs,
    typed: &TypedCommand,
) -> Result<Vec<Option<Address>>, Failure> {
    let address = |(group, own): (&ListenerGroup, &Option<Listener>)| match (&group.address, own) {
        (Some(address), _) => Ok(Some(address.clone())),
        (None, Some(_)) => Ok(None),
        (None, None) => listen.address_of(group.service).map(Some),
    };
    let addresses: Vec<Option<Address>> =
        groups.iter().zip(inherited).map(address).collect::<Result<_, _>>()?;
    reject_shared(groups, &addresses, typed)?;
    Ok(addresses)
}

/// The sockets of each service. Services without an address get the sockets of the supervisor, while there
/// are any.
fn bind(
    services: Vec<AnyService>,
    inherited: Vec<Option<Listener>>,
    addresses: &[Option<Address>],
    options: &ListenOptions,
    sockets: usize,
) -> Result<Vec<ListenerConfig<AnyService>>, BindError> {
    let listen = |address: &Address| match address {
        Address::Tcp(tcp) if sockets > 1 => Listener::bind_group(*tcp, options, sockets),
        address => Listener::bind(address, options).map(|listener| vec![listener]),
    };
    let mut listeners = Vec::new();
    for ((service, own), address) in services.into_iter().zip(inherited).zip(addresses) {
        let bound = address.as_ref().map(listen).transpose()?;
        listeners.push(ListenerConfig {
            service,
            sockets: bound.unwrap_or_else(|| own.into_iter().collect()),
            layers: ListenerLayers::none(),
        });
    }
    Ok(listeners)
}

/// Why a service does not listen. If its port is taken, the message shows the command with another.
fn not_bound(
    error: &BindError,
    groups: &[ListenerGroup],
    addresses: &[Option<Address>],
    listen: &ListenArgs,
    typed: &TypedCommand,
) -> Failure {
    let at = |address: &Address| addresses.iter().position(|known| known.as_ref() == Some(address));
    let place = error.place.parse::<Address>().ok();
    if error.kind == BindErrorKind::NotAvailable
        && let Some(Address::Tcp(tcp)) = place
    {
        return Failure::System(format!("{error}; for example: {}", on_loopback(tcp, groups, listen, typed)));
    }
    let taken = place.filter(|_| error.kind == BindErrorKind::InUse);
    let Some((address @ Address::Tcp(taken), at)) =
        taken.as_ref().and_then(|taken| Some((taken, at(taken)?)))
    else {
        return Failure::system(error);
    };
    let mut port = example_port(address);
    let is_taken = |port| {
        addresses.iter().flatten().any(|other| overlap(other, &Address::Tcp((taken.ip(), port).into())))
    };
    // Bound: each turn passes an address that is taken.
    while port < u16::MAX && is_taken(port) {
        port += 1;
    }
    let elsewhere = match taken.ip() {
        ip if ip.is_unspecified() && ip.is_ipv6() => format!("*:{port}"),
        ip if ip == Ipv4Addr::LOCALHOST => port.to_string(),
        _ => {
            let mut elsewhere = *taken;
            elsewhere.set_port(port);
            Address::Tcp(elsewhere).to_string()
        }
    };
    let takes_address = |spec: &Spec| spec.typed == spec.place;
    let takers = groups.iter().filter(|group| group.specs.iter().any(takes_address)).count();
    let works = if takers > 1 || !groups[at].specs.iter().all(takes_address) {
        let place = |typed: TypedCommand, spec: &Spec| {
            typed.with_argument(&spec.typed, &format!("{}@{elsewhere}", spec.place))
        };
        groups[at].specs.iter().fold(typed.clone(), place)
    } else if listen.address_has_port() {
        typed.clone().with("address", &elsewhere)
    } else {
        typed.clone().with("port", &port.to_string())
    };
    Failure::System(format!("{error}; for example: {works}"))
}

/// The command with the loopback address in place of one that this machine does not have.
fn on_loopback(
    tcp: SocketAddr,
    groups: &[ListenerGroup],
    listen: &ListenArgs,
    typed: &TypedCommand,
) -> TypedCommand {
    let loopback = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), tcp.port());
    let here = Address::Tcp(tcp);
    let specs = groups.iter().flat_map(|group| &group.specs);
    let own = specs.filter(|spec| spec.typed != spec.place && spec.address.as_ref() == Some(&here));
    let works = own.fold(typed.clone(), |works, spec| {
        works.with_argument(&spec.typed, &format!("{}@{loopback}", spec.place))
    });
    match works.has("address") {
        true if listen.address_has_port() => works.with("address", &loopback.to_string()),
        true => works.with("address", &loopback.ip().to_string()),
        false => works,
    }
}

/// The supervisor's sockets for services without an address: by name, then in order. No socket may be left
/// over.
fn inherited(
    groups: &[ListenerGroup],
    supervisor: &mut Supervisor,
) -> Result<Vec<Option<Listener>>, Failure> {
    let mut sockets = std::mem::take(&mut supervisor.listeners);
    let mut inherited = Vec::new();
    for group in groups {
        let named =
            |(name, _): &(String, Listener)| group.address.is_none() && name == group.service.as_str();
        inherited.push(sockets.iter().position(named).map(|place| sockets.remove(place).1));
    }
    let mut rest = sockets.into_iter().map(|(_, listener)| listener);
    for (_, own) in
        groups.iter().zip(&mut inherited).filter(|(group, own)| group.address.is_none() && own.is_none())
    {
        *own = rest.next();
    }
    match rest.next() {
        None => Ok(inherited),
        Some(listener) => Err(Failure::Usage(format!(
            "the inherited socket {} has no service; list one SERVICE without @ADDR for each socket",
            listener.local_addr()
        ))),
    }
}

/// An error if two services have the same address: better than a port in use by an unknown program.
fn reject_shared(
    groups: &[ListenerGroup],
    addresses: &[Option<Address>],
    typed: &TypedCommand,
) -> Result<(), Failure> {
    for (nth, address) in addresses.iter().enumerate() {
        let Some(address) = address else { continue };
        for (group, other) in groups.iter().zip(addresses).take(nth) {
            let Some(other) = other.as_ref().filter(|other| overlap(other, address)) else { continue };
            let others = &groups[nth].specs;
            let mut pairs = group.specs.iter().flat_map(|one| others.iter().map(move |two| (one, two)));
            let twice = pairs.find(|(one, two)| one.service == two.service && one.mount == two.mount);
            let twice =
                twice.filter(|(one, _)| one.service == ServiceName::Http && same(Some(other), Some(address)));
            let (first, second) = twice.unwrap_or((&group.specs[0], &others[0]));
            let mount = &first.mount;
            let advice = apart(groups, addresses, typed);
            let (first, second) = (first.name(), second.name());
            return Err(Failure::Usage(if twice.is_some() {
                format!(
                    "{first} and {second} are both for {mount} on {address}; give one a path (http=/docs:DIR), a host \
                     (http=//example.org:DIR), or its own address: {advice}"
                )
            } else if other == address {
                format!(
                    "{first} and {second} cannot both listen on {address}; give each its own address: {advice}"
                )
            } else {
                format!(
                    "{first} cannot listen on {other} and {second} on {address}: the addresses overlap; give each its \
                     own address: {advice}"
                )
            }));
        }
    }
    Ok(())
}

/// The command with another address for each service whose own is that of an earlier one.
fn apart(groups: &[ListenerGroup], addresses: &[Option<Address>], typed: &TypedCommand) -> TypedCommand {
    let mut taken: Vec<Address> = addresses.iter().flatten().cloned().collect();
    let mut works = typed.clone();
    for (at, group) in groups.iter().enumerate() {
        let Some(address) = &addresses[at] else { continue };
        if !addresses[..at].iter().flatten().any(|earlier| overlap(earlier, address)) {
            continue;
        }
        let mut port = example_port(address);
        let at_port = |port: u16| Address::Tcp((Ipv4Addr::LOCALHOST, port).into());
        // Bound: each turn passes an address that is taken.
        while port < u16::MAX && taken.iter().any(|taken| overlap(taken, &at_port(port))) {
            port += 1;
        }
        taken.push(at_port(port));
        works = group
            .specs
            .iter()
            .fold(works, |works, spec| works.with_argument(&spec.typed, &format!("{}@{port}", spec.place)));
    }
    works
}

/// A free port to suggest if the port is in use.
fn example_port(taken: &Address) -> u16 {
    match taken {
        Address::Tcp(addr) if (1..u16::MAX).contains(&addr.port()) => addr.port() + 1,
        _ => 8080,
    }
}

/// Whether two addresses are the same, however their paths are written.
fn same(one: Option<&Address>, other: Option<&Address>) -> bool {
    match (one, other) {
        (Some(Address::Unix(one)), Some(Address::Unix(other))) => {
            one == other || std::path::absolute(one).ok() == std::path::absolute(other).ok()
        }
        _ => one == other,
    }
}

/// Whether two sockets cannot listen on these addresses at the same time.
fn overlap(one: &Address, other: &Address) -> bool {
    match (one, other) {
        (Address::Tcp(one), Address::Tcp(other)) => {
            let holds = |all: &SocketAddr, one: &SocketAddr| {
                // The unspecified IPv6 address takes IPv4, too.
                all.ip().is_unspecified() && (all.is_ipv6() || one.is_ipv4())
            };
            one.port() == other.port()
                && one.port() != 0
                && (one.ip() == other.ip() || holds(one, other) || holds(other, one))
        }
        (Address::Unix(_), Address::Unix(_)) => same(Some(one), Some(other)),
        _ => false,
    }
}

fn with_access_log(
    telemetry: Telemetry,
    target: &AccessTarget,
    format: AccessFormat,
    typed: &TypedCommand,
) -> Result<Telemetry, Failure> {
    let log = AccessLog::open(target.clone(), format).map_err(|error| {
        let advice = match error.kind() {
            ErrorKind::NotConnected => "start its reader first, or use a file",
            _ => "use a file that this user may write",
        };
        let works = typed.clone().with("access-log", "FILE");
        Failure::System(format!("cannot open the access log {target}: {error}; {advice}: {works}"))
    })?;
    Ok(telemetry.with_observer(Arc::new(log)))
}

/// Warns once if passwords cross a network.
fn warn_of_clear_passwords(listeners: &[ListenerConfig<AnyService>]) {
    let asks = |listener: &&ListenerConfig<AnyService>| match &listener.service {
        AnyService::Http(http) => http.handler().asks_for_client(),
        _ => false,
    };
    let mut addresses =
        listeners.iter().filter(asks).flat_map(|listener| &listener.sockets).map(Listener::local_addr);
    let is_in_network = |address: &&Address| matches!(address, Address::Tcp(tcp) if !tcp.ip().is_loopback());
    if let Some(address) = addresses.find(is_in_network) {
        log::warn!(
            "passwords cross the network in clear at {address}: use it in a network that you trust, or behind a proxy with TLS"
        );
    }
}

/// The log target of the line per request: `RUST_LOG` and `--quiet` can turn the lines off.
const REQUESTS: &str = "oneloop::requests";

/// With a line per request, if a person watches standard output.
fn with_request_lines(telemetry: Telemetry) -> Telemetry {
    if !std::io::stdout().is_terminal() || !log::log_enabled!(target: REQUESTS, log::Level::Info) {
        return telemetry;
    }
    let zone = TimeZone::system();
    let local_time = move |time: SystemTime| match Timestamp::try_from(time) {
        Ok(time) => {
            let local = zone.to_datetime(time);
            [local.hour(), local.minute(), local.second()].map(i8::unsigned_abs)
        }
        Err(_) => [0; 3],
    };
    match TerminalLog::open(Box::new(local_time)) {
        Ok(lines) => telemetry.with_observer(Arc::new(lines)),
        Err(error) => {
            log::debug!("no line per request on this terminal: {error}");
            telemetry
        }
    }
}

/// Logs the limits in force, after they were lowered to those of the system. For operators who read the log,
/// not for a user who shares a directory from a terminal.
fn log_limits(limits: &Limits, descriptors: u64) {
    let per_address = match limits.clients_per_address_max {
        0 => "any number".to_owned(),
        max => max.to_string(),
    };
    let level = if std::io::stderr().is_terminal() { log::Level::Debug } else { log::Level::Info };
    log::log!(
        level,
        "clients at once: {}, from one address: {per_address}; backlog: {}; file descriptors: {descriptors}",
        limits.clients_max,
        limits.backlog.min(backlog_max().unwrap_or(u32::MAX))
    );
}

fn serve(
    model: Model,
    setup: ServerConfig<AnyService>,
    shares: &[Vec<Option<Share>>],
    listen: &ListenArgs,
    supervisor: &Supervisor,
) -> Result<(), Failure> {
    log::debug!("model: {model}, workers: {}", setup.workers);
    let announcement = Announcement::of(&setup.listeners, shares);
    let makes_processes = model.makes_processes(setup.workers);
    let ready = |signals: Signals| {
        announcement.print(listen);
        // Not before: a browser that is opened would inherit that its children are ignored.
        let signals = if makes_processes { signals } else { signals.without_children()? };
        supervisor.notify(Notice::Ready);
        Ok(signals)
    };
    let summary = models::run_announced(model, setup, ready, &mut || supervisor.notify(Notice::Stopping))
        .map_err(|error| Failure::System(format!("cannot serve with --model {model}: {error}")))?;
    log_end(&summary);
    Ok(())
}

fn log_end(summary: &Summary) {
    if summary.cut > 0 {
        log::warn!("{} clients did not finish in time and were disconnected", summary.cut);
    }
    log::info!("ended: {summary}");
}
