//! A server of a scene, as it runs in a separate process: this program, started anew.

use std::fmt;
use std::io;
use std::str::FromStr;
use std::sync::Arc;

use super::faulty;
use super::report::{listen, report, served_here};
use super::scene::LectureServer;
use super::sighting::ServerEvent;
use crate::connection::ListenerLayers;
use crate::limits::Limits;
use crate::models::{self, ListenerConfig, Model, ServerConfig};
use crate::session::{
    AnswerDetail, AnswerInfo, Call, ClientInfo, Input, Outbox, Peer, Progress, Service, Session, Wait,
};
use crate::sys::Signals;
use crate::telemetry::{Answer, Begin, End, Observer, Telemetry};

/// Which server a process is to run: an argument of `oneloop lecture` that its help does not show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ServerArgument {
    /// The server.
    pub(super) server: LectureServer,
    /// Workers of models that start them in advance.
    pub(super) workers: u32,
}

impl fmt::Display for ServerArgument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, backlog) = match self.server {
            LectureServer::Model(model, backlog) => (model.name(), backlog),
            LectureServer::WithoutWait => ("without-wait", None),
            LectureServer::WithoutClose => ("without-close", None),
        };
        write!(f, "{name},{}", self.workers)?;
        backlog.map_or(Ok(()), |backlog| write!(f, ",{backlog}"))
    }
}

impl FromStr for ServerArgument {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let form = || "write it as NAME,WORKERS or NAME,WORKERS,BACKLOG".to_owned();
        let mut parts = text.split(',');
        let name = parts.next().unwrap_or_default();
        let workers = parts.next().and_then(|part| part.parse().ok()).ok_or_else(form)?;
        let backlog = parts.next().map(str::parse).transpose().map_err(|_| form())?;
        let server = match name {
            "without-wait" => LectureServer::WithoutWait,
            "without-close" => LectureServer::WithoutClose,
            model => LectureServer::Model(model.parse().map_err(|_| form())?, backlog),
        };
        Ok(ServerArgument { server, workers })
    }
}

/// Runs the server in this process, until a signal stops it.
pub(crate) fn run(argument: ServerArgument) -> io::Result<()> {
    match argument.server {
        LectureServer::Model(model, backlog) => run_model(model, backlog, argument.workers as usize),
        LectureServer::WithoutWait => faulty::run(faulty::ForgottenCall::NoWait),
        LectureServer::WithoutClose => faulty::run(faulty::ForgottenCall::NoClose),
    }
}

fn run_model(model: Model, backlog: Option<u32>, workers: usize) -> io::Result<()> {
    let workers = if model.starts_ahead() { workers } else { 1 };
    let signals = Signals::install()?;
    let signals = if model.makes_processes(workers) { signals } else { signals.without_children()? };
    let listener = listen(backlog)?;
    let listeners = vec![ListenerConfig {
        service: ReportedEcho,
        sockets: vec![listener],
        layers: ListenerLayers::none(),
    }];
    // A client of a scene may be silent for as long as its plan requires.
    let limits = Limits { idle_ms: 0, request_ms: 0, drain_ms: 0, ..Limits::default() };
    let telemetry = Telemetry::new().with_observer(Arc::new(Reporter));
    models::run(model, ServerConfig { listeners, limits, workers, telemetry, signals }, &mut || {}).map(drop)
}

fn port_of(peer: Peer) -> u16 {
    peer.socket_addr().map_or(0, |addr| addr.port())
}

/// Reports how a server handles its clients.
struct Reporter;

impl Observer for Reporter {
    fn answer_detail(&self) -> AnswerDetail {
        AnswerDetail::Outcome
    }

    fn began(&self, begin: &Begin) {
        report(port_of(begin.peer), ServerEvent::Began(served_here(begin.slot)));
    }

    fn answered(&self, answer: &Answer<'_>) {
        if answer.is_complete {
            report(port_of(answer.peer), ServerEvent::Answered(answer.sent_bytes as usize));
        }
    }

    fn ended(&self, end: &End) {
        report(port_of(end.peer), ServerEvent::Ended);
    }
}

/// An echo that reports what it reads, and each answer.
#[derive(Clone, Copy)]
struct ReportedEcho;

/// One client of it.
struct ReportedSession {
    port: u16,
}

impl Service for ReportedEcho {
    type Session = ReportedSession;

    fn open(&self, client: &ClientInfo<'_>) -> ReportedSession {
        ReportedSession { port: port_of(client.peer) }
    }
}

impl Session for ReportedSession {
    fn advance(&mut self, input: Input<'_>, out: &mut Outbox) -> Progress {
        let consumed = out.put_some(input.bytes);
        if consumed > 0 {
            report(self.port, ServerEvent::Read(consumed));
            let began_ms = input.arrived_ms;
            out.answered(AnswerInfo { status: None, head_bytes: 0, began_ms, request: None });
        }
        if consumed < input.bytes.len() {
            Progress::need_room(consumed)
        } else if input.call == Call::Stopping {
            Progress::finish(consumed)
        } else {
            Progress::need_input(consumed, Wait::NextRequest)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_named_by_its_argument() {
        let servers = Model::ALL.map(|model| LectureServer::Model(model, None));
        let others = [
            LectureServer::Model(Model::Iterative, Some(1)),
            LectureServer::WithoutWait,
            LectureServer::WithoutClose,
        ];
        for server in servers.into_iter().chain(others) {
            let argument = ServerArgument { server, workers: 3 };
            assert_eq!(argument.to_string().parse(), Ok(argument));
        }
        assert!("fork".parse::<ServerArgument>().is_err() && "x,1".parse::<ServerArgument>().is_err());
    }
}
