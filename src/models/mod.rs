//! The models: how a server handles many clients.
//!
//! Every model serves any [`Service`] with the same bytes on the wire, because each runs the same
//! connections; models differ in which clients wait, and in what a client costs. All but the reactor's
//! workers are in W. R. Stevens, "UNIX Network Programming", volume 1, third edition, chapter 30, which
//! measures them against each other.
//!
//! | model | a client is served by | limits of the model |
//! |---|---|---|
//! | `iterative` | the only process, one client after the other | the second client waits for the first |
//! | `prefork` | one of N processes started in advance | client N + 1 waits |
//! | `fork` | a process of its own | thousands of clients are expensive; sessions cannot wake each other |
//! | `thread` | a thread of its own | thousands of clients are expensive |
//! | `prethread` | one of N threads started in advance | client N + 1 waits |
//! | `reactor` | one event loop, all clients at once | one core; with N workers, N loops in processes of their own |
//!
//! Models that serve one client at a time (`iterative`, `prefork`, `prethread`) leave the others in the
//! kernel's backlog: `clients_max` refuses no client there. Only the reactor can evict.
//!
//! | file | what it holds |
//! |---|---|
//! | `accept_loop` | accept and serve one client at a time: `iterative`, `prefork`, `prethread` |
//! | `acceptor` | accept and hand over: `fork`, `thread` |
//! | `blocking` | one client, served to its end by calls that block: all but the reactor |
//! | `child_table` | which client each child serves: `fork` |
//! | `supervise` | the parent of worker processes: `prefork`, `workers` |
//! | `shutdown` | the end of children and threads |

mod accept_loop;
mod acceptor;
mod blocking;
mod child_table;
mod fork;
mod iterative;
mod prefork;
mod prethread;
mod shutdown;
mod supervise;
mod thread;
mod workers;

use std::fmt;
use std::io;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use crate::admission::ListenerService;
use crate::connection::ListenerLayers;
use crate::limits::{Limits, Overflow};
use crate::reactor::{Reactor, Summary, Turn};
use crate::session::Service;
use crate::sys::{Listener, Signals};
use crate::telemetry::Telemetry;
use blocking::SLICE_MS;

/// How a server handles many clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(feature = "load", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Model {
    /// One client at a time.
    Iterative,
    /// N processes started ahead, all accepting on one socket.
    Prefork,
    /// A child process per client.
    Fork,
    /// A thread per client.
    Thread,
    /// N threads started ahead.
    Prethread,
    /// One loop for all; with N workers, N loops in processes of their own.
    Reactor,
}

impl Model {
    /// All of them, in the order of the lecture.
    pub const ALL: [Model; 6] =
        [Model::Iterative, Model::Prefork, Model::Fork, Model::Thread, Model::Prethread, Model::Reactor];

    /// The name on the command line and in reports.
    pub fn name(self) -> &'static str {
        match self {
            Model::Iterative => "iterative",
            Model::Prefork => "prefork",
            Model::Fork => "fork",
            Model::Thread => "thread",
            Model::Prethread => "prethread",
            Model::Reactor => "reactor",
        }
    }

    /// One line about it.
    pub fn about(self) -> &'static str {
        match self {
            Model::Iterative => "one client at a time; the others wait",
            Model::Prefork => "N processes started in advance, one client each (alias: copies)",
            Model::Fork => "one child process per client",
            Model::Thread => "one thread per client",
            Model::Prethread => "N threads started in advance, one client each",
            Model::Reactor => "one event loop for all clients; with --workers N, N loops",
        }
    }

    /// Whether workers are started in advance, each with one client at a time.
    pub fn starts_ahead(self) -> bool {
        matches!(self, Model::Prefork | Model::Prethread)
    }

    /// Whether each client gets a process or a thread of its own.
    #[cfg(feature = "cli")]
    pub(crate) fn makes_one_per_client(self) -> bool {
        matches!(self, Model::Fork | Model::Thread)
    }

    /// The default number of workers; `None` if the model has no workers to count.
    pub fn workers_default(self) -> Option<usize> {
        match self {
            Model::Prefork | Model::Prethread => Some(8),
            Model::Reactor => Some(1),
            Model::Iterative | Model::Fork | Model::Thread => None,
        }
    }

    /// Whether each worker has a listening socket of its own where the system can share a port
    /// (`SO_REUSEPORT`).
    pub fn splits_port(self, workers: usize) -> bool {
        self == Model::Reactor && workers > 1 && cfg!(target_os = "linux")
    }

    /// Whether its first process forks others.
    pub fn makes_processes(self, workers: usize) -> bool {
        match self {
            Model::Prefork | Model::Fork => true,
            Model::Reactor => workers > 1,
            Model::Iterative | Model::Thread | Model::Prethread => false,
        }
    }

    /// The number of processes that share its clients; `None` if each client has its own process.
    pub fn processes(self, workers: usize) -> Option<usize> {
        match self {
            Model::Fork => None,
            Model::Prefork | Model::Reactor => Some(workers),
            Model::Iterative | Model::Thread | Model::Prethread => Some(1),
        }
    }

    /// Whether its clients share an address space, so that their sessions can wake each other.
    pub fn shares_memory(self, workers: usize) -> bool {
        match self {
            Model::Thread | Model::Prethread => true,
            Model::Reactor => workers <= 1,
            Model::Iterative | Model::Prefork | Model::Fork => false,
        }
    }

    /// Why it cannot serve `service`, in one line with what to do instead; `None` if it can.
    pub fn objection_to<S: Service>(self, service: &S, workers: usize) -> Option<String> {
        if !service.wakes() || self.shares_memory(workers) {
            return None;
        }
        let few = if self == Model::Reactor { " with several workers" } else { "" };
        Some(format!(
            "sessions of this service wake each other, but clients of {self}{few} share no memory; use --model reactor (with \
             one worker), thread or prethread"
        ))
    }

    /// Why it cannot serve with these limits, in one line with what to do instead; `None` if it can.
    pub fn objection(self, workers: usize, limits: &Limits) -> Option<String> {
        if self == Model::Reactor && workers > limits.clients_max as usize {
            return Some(format!(
                "{workers} event loops need at least {workers} clients, not {}; raise --clients or lower --workers",
                limits.clients_max
            ));
        }
        if limits.overflow == Overflow::Evict && self != Model::Reactor {
            return Some(format!(
                "--model {self} cannot evict a client; use --overflow refuse or wait, or --model reactor"
            ));
        }
        None
    }
}

impl fmt::Display for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The name of an unknown model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownModel(String);

impl fmt::Display for UnknownModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = Model::ALL.map(Model::name).join(", ");
        write!(f, "unknown model \"{}\"; the models are {names}", self.0.escape_debug())
    }
}

impl std::error::Error for UnknownModel {}

impl FromStr for Model {
    type Err = UnknownModel;

    fn from_str(name: &str) -> Result<Self, UnknownModel> {
        let name = if name == "copies" { "prefork" } else { name };
        Model::ALL.into_iter().find(|model| model.name() == name).ok_or_else(|| UnknownModel(name.to_owned()))
    }
}

/// A service and the sockets at which it is served.
pub struct ListenerConfig<S> {
    /// The service.
    pub service: S,
    /// The listening sockets: one, or one per worker ([`Model::splits_port`]).
    pub sockets: Vec<Listener>,
    /// The byte layers between the service and the stream of each client.
    pub layers: ListenerLayers,
}

/// What a model runs.
pub struct ServerConfig<S> {
    /// The services and their listening sockets.
    pub listeners: Vec<ListenerConfig<S>>,
    /// The limits of the server.
    pub limits: Limits,
    /// How many workers, for models that have them; at least 1.
    pub workers: usize,
    /// Counts ends and answers.
    pub telemetry: Telemetry,
    /// The installed signals: they drain, stop, reopen and report.
    pub signals: Signals,
}

impl<S> ServerConfig<S> {
    /// From here on SIGHUP reopens the log files, if there are any.
    fn reopen_on_hangup(&mut self) -> io::Result<()> {
        if self.telemetry.has_file() { self.signals.reopen_on_hangup() } else { Ok(()) }
    }
}

/// Serves until a signal stops it. `stopping` is called once, by the first process or thread, when draining
/// begins.
///
/// # Errors
/// `Unsupported` with [`Model::objection`] or [`Model::objection_to`]; otherwise the error of the system. An
/// error of a client ends only this client.
pub fn run<S: Service + Send>(
    model: Model,
    config: ServerConfig<S>,
    stopping: &mut dyn FnMut(),
) -> io::Result<Summary> {
    run_announced(model, config, Ok, stopping)
}

/// The same. `ready` announces the server: it is called once nothing that a loop needs can be refused any
/// more, before the first client is served. It may change what signals do.
pub(crate) fn run_announced<S: Service + Send>(
    model: Model,
    mut config: ServerConfig<S>,
    ready: impl FnOnce(Signals) -> io::Result<Signals>,
    stopping: &mut dyn FnMut(),
) -> io::Result<Summary> {
    let to_service = |served: &ListenerConfig<S>| model.objection_to(&served.service, config.workers);
    let objection = model.objection(config.workers, &config.limits);
    if let Some(objection) = objection.or_else(|| config.listeners.iter().find_map(to_service)) {
        return Err(io::Error::new(io::ErrorKind::Unsupported, objection));
    }
    config.reopen_on_hangup()?;
    config.telemetry.watch_signals(config.signals.counts());
    if model == Model::Reactor && config.workers <= 1 {
        let mut reactor = Reactor::new(config.limits)?;
        reactor.set_telemetry(config.telemetry);
        for ListenerConfig { service, sockets, layers } in config.listeners {
            for socket in sockets {
                reactor.listen_with(socket, service.clone(), layers.clone())?;
            }
        }
        reactor.watch_signals(ready(config.signals)?)?;
        while reactor.turn(None)? == Turn::Serving {}
        stopping();
        return reactor.run();
    }
    if model == Model::Reactor {
        // Each process makes its own loop after the fork. Where one cannot be made, none can.
        drop(Reactor::<S>::new(config.limits.clone())?);
    }
    config.signals = ready(config.signals)?;
    match model {
        Model::Iterative => iterative::run(config, stopping),
        Model::Prefork => prefork::run(config, stopping),
        Model::Fork => fork::run(config, stopping),
        Model::Thread => thread::run(config, stopping),
        Model::Prethread => prethread::run(config, stopping),
        Model::Reactor => workers::run(config, stopping),
    }
}

/// A listening socket and its service, for the blocking models.
pub(crate) struct BoundListener<S> {
    /// Shared by threads; closed when the last of them drops it.
    pub(crate) socket: Arc<Listener>,
    pub(crate) served: ListenerService<S>,
}

/// What serves the clients of a blocking model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ServedBy {
    /// This process, or its threads.
    ThisProcess,
    /// Processes that may be killed while this one lives on.
    Children,
}

impl<S: Service> BoundListener<S> {
    /// One for each socket. If children serve the clients, sockets are set to be reset when a child is
    /// killed.
    pub(crate) fn all(configs: Vec<ListenerConfig<S>>, limits: &Limits, served_by: ServedBy) -> Vec<Self> {
        let all_of = |config: ListenerConfig<S>| {
            let ListenerConfig { service, sockets, layers } = config;
            let bound = move |socket: Listener| {
                if service.client_speaks_first() {
                    socket.clients_speak_first();
                }
                let mut served = ListenerService::new(&socket, service.clone(), layers.clone(), limits);
                let write_timeout = Duration::from_millis(SLICE_MS);
                served.are_sockets_set =
                    socket.set_for_clients(write_timeout, served_by == ServedBy::Children);
                BoundListener { socket: Arc::new(socket), served }
            };
            sockets.into_iter().map(bound).collect::<Vec<_>>()
        };
        configs.into_iter().flat_map(all_of).collect()
    }

    /// The same for another thread.
    pub(crate) fn share(&self) -> Self {
        BoundListener { socket: Arc::clone(&self.socket), served: self.served.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_model_is_found_by_its_name_and_copies_is_prefork() {
        for model in Model::ALL {
            assert_eq!(model.name().parse(), Ok(model));
        }
        assert_eq!("copies".parse(), Ok(Model::Prefork));
        assert!("forks".parse::<Model>().is_err_and(|error| error.to_string().contains("prethread")));
    }
}
