//! A child per client: the concurrent server of the lecture, and UNP section 30.5 ("concurrent server, one
//! child per client").
//!
//! ```text
//! for (;;) {
//!     connfd = accept(listenfd);
//!     if (fork() == 0) { close(listenfd); dostuff(connfd); exit(0); }
//!     close(connfd);
//! }
//! ```
//!
//! No client waits for another, and a child that crashes ends one client alone. Each client costs a fork and
//! an exit, and a process for as long as it stays. The parent counts clients and addresses, and reaps its
//! children. Each child counts the end of its client in memory that it shares with its parent, and exits
//! with 0. For a child that did not, because it was killed, the parent counts its client as crashed.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use crate::admission::Accepted;
use crate::reactor::Summary;
use crate::session::{Peer, Service};
use crate::sys::process::{self, ChildRequest, Ended, Forked};
use crate::telemetry::{Counters, Reason, Tally};

use super::acceptor::{Acceptor, NotServed};
use super::blocking::{INTERRUPT_EVERY_MS, SLICE_MS, Worker};
use super::shutdown::Shutdown;
use super::{BoundListener, Setup};

/// The exit code of a child that has served its client to its end, and has counted that.
const SERVED: u8 = 0;

/// The children.
struct Children {
    /// The client of each.
    peers: HashMap<u32, Peer>,
    /// The ends that they have counted.
    tally: Arc<Tally>,
}

/// Serves with a child per client, until a signal stops it.
pub(super) fn run<S: Service>(setup: Setup<S>, stopping: &mut dyn FnMut()) -> io::Result<Summary> {
    let mut acceptor = Acceptor::new(setup)?;
    let mut children = Children { peers: HashMap::new(), tally: Arc::new(Tally::new()?) };
    reap(&mut acceptor, &mut children, Reason::Crashed)?; // children of the program that became this one: no signal came
    loop {
        let (arrived, ready) = acceptor.wait(None, None)?;
        if arrived.child {
            reap(&mut acceptor, &mut children, Reason::Crashed)?;
        }
        if arrived.reopen {
            acceptor.telemetry.reopen_if_asked();
            notify_all(&children, ChildRequest::ReopenLogs);
        }
        if arrived.report {
            log::info!("{} children: {}", children.peers.len(), summary(&acceptor, &children));
        }
        if arrived.stops > 0 {
            stopping();
            return drain(acceptor, children);
        }
        acceptor
            .accept_ready(&ready, |acceptor, at, accepted| hand_over(acceptor, at, accepted, &mut children));
    }
}

fn summary<S: Service>(acceptor: &Acceptor<S>, children: &Children) -> Summary {
    let mut counters: Counters = acceptor.telemetry.counters.clone();
    counters.add_tally(&children.tally);
    Summary::of_counters(counters)
}

/// Forks a child for this client; the child never returns.
fn hand_over<S: Service>(
    acceptor: &mut Acceptor<S>,
    at: usize,
    accepted: Accepted,
    children: &mut Children,
) -> Result<(), NotServed> {
    match process::fork(&mut acceptor.signals) {
        Ok(Forked::Parent(pid)) => {
            children.peers.insert(pid, accepted.peer);
            Ok(())
        }
        Ok(Forked::Child(parent)) => {
            process::work_and_exit(|| {
                let telemetry = std::mem::take(&mut acceptor.telemetry).of_child(Some(&children.tally));
                let listener = acceptor.become_child(at);
                let BoundListener { socket, served } = listener;
                drop(socket); // a child that lives on must not keep the port
                let services = vec![served.service.clone()];
                let signals = acceptor.signals.counts();
                let worker =
                    Worker::new(services, &acceptor.limits, acceptor.clock, telemetry, signals, SLICE_MS);
                let mut worker = worker.of_parent(parent);
                worker.serve(&served, accepted);
                SERVED
            })
        }
        Err(error) => Err((accepted, error)),
    }
}

/// Reaps the children that have ended. The client of a child that was killed ends for the reason `killed`. (A
/// child that is killed after it has counted its client counts twice; all that it had left to do was to
/// exit.)
fn reap<S: Service>(acceptor: &mut Acceptor<S>, children: &mut Children, killed: Reason) -> io::Result<()> {
    while let Some((pid, ended)) = process::reap()? {
        let Some(peer) = children.peers.remove(&pid) else { continue };
        match ended {
            Ended::Exited(SERVED) => {}
            Ended::Exited(code) => {
                log::error!("{peer}: its child process ended with exit code {code}");
                acceptor.telemetry.counters.count(Reason::Crashed);
            }
            Ended::Killed(signal) => {
                log::error!("{peer}: its child process was killed by signal {signal}");
                acceptor.telemetry.counters.count(killed);
            }
        }
        acceptor.leave(peer);
    }
    Ok(())
}

fn notify_all(children: &Children, request: ChildRequest) {
    for &pid in children.peers.keys() {
        if let Err(error) = process::notify(pid, request) {
            log::error!("cannot signal process {pid}: {error}");
        }
    }
}

/// Forks for the clients in the backlogs, closes the listeners, has all children drain, and waits until they
/// have ended. Bound: see [`Shutdown`].
fn drain<S: Service>(mut acceptor: Acceptor<S>, mut children: Children) -> io::Result<Summary> {
    let drain = Duration::from_millis(acceptor.limits.drain_ms.into());
    log::info!("draining: {} clients have up to {drain:?} to finish", children.peers.len());
    let mut shutdown = Shutdown::new(acceptor.limits.drain_ms, acceptor.signals.counts());
    loop {
        let request = shutdown.request();
        if shutdown.may_accept() {
            acceptor.take_backlog(|acceptor, at, accepted| hand_over(acceptor, at, accepted, &mut children));
        } else {
            acceptor.close();
        }
        notify_all(&children, request);
        reap(&mut acceptor, &mut children, shutdown.reason_of_killed())?;
        if children.peers.is_empty() && !acceptor.is_open() {
            acceptor.release();
            return Ok(summary(&acceptor, &children));
        }
        acceptor.wait(None, Some(Duration::from_millis(INTERRUPT_EVERY_MS)))?;
    }
}
