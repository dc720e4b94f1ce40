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
//!
//! A page that the parent or a child writes to after the fork is copied, which costs time for each client and
//! memory for each that stays. So the parent prepares what a child needs, a child allocates and frees nothing
//! for a small request, and what the parent writes down for each client lies in memory that is not copied.

use std::io;
use std::time::Duration;

use crate::admission::Accepted;
use crate::reactor::Summary;
use crate::session::Service;
use crate::sys::ChildEnds;
use crate::sys::process::{self, ChildExit, ChildRequest, ForkSide};
use crate::telemetry::{Counters, Reason, Tally};
use crate::time::in_words;

use super::acceptor::{Acceptor, NotServed};
use super::blocking::{INTERRUPT_EVERY_MS, Interrupter, Services, Worker};
use super::child_table::ChildTable;
use super::shutdown::{Cuts, Shutdown};
use super::{ServedBy, ServerConfig};

/// The pause between two reapings of children, in ms: while many clients come and go, their children are
/// reaped together, and not every end wakes the parent.
const REAP_EVERY_MS: u64 = 20;

/// The exit code of a child that has served its client to its end, and has counted that.
const SERVED: u8 = 0;

/// The children.
struct Children<S> {
    /// The client of each.
    clients: ChildTable,
    /// The ends that they have counted.
    tally: Tally,
    /// Until when children are left to end, in ms of the clock; 0 if the next end is noticed at once.
    left_until_ms: u64,
    /// What each child serves its client with. It is made before the fork: what a child makes for itself
    /// takes time and memory for each client.
    worker: Worker<'static, S>,
}

impl<S: Service> Children<S> {
    fn new(acceptor: &Acceptor<S>) -> io::Result<Self> {
        let tally = Tally::new()?;
        let telemetry = acceptor.telemetry.for_children(&tally);
        let (services, counts) = (Services::of(&acceptor.listeners), acceptor.signals.counts());
        let (limits, clock) = (acceptor.limits.clone(), acceptor.clock);
        let worker = Worker::new(services, limits, clock, telemetry, counts, Interrupter::TIMER);
        let clients = ChildTable::new(acceptor.limits.clients_max)?;
        Ok(Children { clients, tally, left_until_ms: 0, worker: worker.for_children() })
    }

    /// How long a wait ignores the ends of children; `None` if the next end must be noticed at once.
    fn left_for(&self, acceptor: &Acceptor<S>) -> Option<Duration> {
        let left_ms = self.left_until_ms.saturating_sub(acceptor.clock.now_ms());
        (left_ms > 0 && !acceptor.is_nearly_full()).then(|| Duration::from_millis(left_ms))
    }
}

/// Serves with a child per client, until a signal stops it.
#[inline(never)] // what is on the stack at the fork is copied for each child
pub(super) fn run<S: Service>(config: ServerConfig<S>, stopping: &mut dyn FnMut()) -> io::Result<Summary> {
    let mut acceptor = Acceptor::new(config, ServedBy::Children)?;
    let mut children = Children::new(&acceptor)?;
    process::release_free_memory();
    reap(&mut acceptor, &mut children, Reason::Crashed)?; // children from before exec: no signal has come for them
    loop {
        let left_for = children.left_for(&acceptor);
        acceptor.signals.set_child_ends(if left_for.is_some() { ChildEnds::Stay } else { ChildEnds::Come });
        let woken = acceptor.wait(None, left_for)?;
        let arrived = woken.arrived;
        if arrived.child || arrived.report {
            reap(&mut acceptor, &mut children, Reason::Crashed)?;
            children.left_until_ms = acceptor.clock.now_ms() + REAP_EVERY_MS;
        }
        if arrived.reopen {
            acceptor.telemetry.reopen_if_asked();
            notify_all(&children, ChildRequest::ReopenLogs);
        }
        if arrived.report {
            log::info!("{} children: {}", children.clients.len(), summary(&acceptor, &children));
        }
        if arrived.stops > 0 {
            stopping();
            return drain(&mut acceptor, &mut children);
        }
        acceptor
            .accept_ready(&woken, |acceptor, at, accepted| hand_over(acceptor, at, accepted, &mut children));
    }
}

#[inline(never)]
fn summary<S: Service>(acceptor: &Acceptor<S>, children: &Children<S>) -> Summary {
    let mut counters: Counters = acceptor.telemetry.counters.clone();
    counters.add_tally(&children.tally);
    Summary::of_counters(counters)
}

/// Forks a child for this client; the child never returns.
fn hand_over<S: Service>(
    acceptor: &mut Acceptor<S>,
    at: usize,
    accepted: Accepted,
    children: &mut Children<S>,
) -> Result<(), NotServed> {
    let forked = process::fork(&mut acceptor.signals, INTERRUPT_EVERY_MS);
    // A child that has ended counts among the processes until it is reaped.
    let forked = forked.or_else(|error| match reap(acceptor, children, Reason::Crashed) {
        Ok(1..) => process::fork(&mut acceptor.signals, INTERRUPT_EVERY_MS),
        _ => Err(error),
    });
    match forked {
        Ok(ForkSide::Parent(pid)) => {
            children.clients.insert(pid, accepted.peer);
            Ok(())
        }
        Ok(ForkSide::Child(parent)) => {
            process::work_and_exit(|| {
                acceptor.close_in_child(); // a child that lives on must not keep the port
                children.worker.begin_child(parent);
                children.worker.telemetry.begin_child();
                children.worker.serve(&acceptor.listeners[at].served, accepted);
                children.worker.telemetry.close();
                SERVED
            })
        }
        Err(error) => Err((accepted, error)),
    }
}

/// Reaps the children that have ended, and returns how many those were. The client of a child that was killed
/// ends for the reason `killed`. (A child that is killed after it has counted its client counts twice; all
/// that it had left to do was to exit.)
fn reap<S: Service>(
    acceptor: &mut Acceptor<S>,
    children: &mut Children<S>,
    killed: Reason,
) -> io::Result<usize> {
    let mut reaped = 0;
    while let Some((pid, ended)) = process::reap()? {
        reaped += 1;
        let Some(peer) = children.clients.remove(pid) else { continue };
        match ended {
            ChildExit::Exited(SERVED) => {}
            ChildExit::Exited(code) => {
                log::error!("{peer}: its child process ended with exit code {code}");
                acceptor.telemetry.counters.count(Reason::Crashed);
            }
            ChildExit::Killed(signal) => {
                log::error!("{peer}: its child process was killed by signal {signal}");
                acceptor.telemetry.counters.count(killed);
            }
        }
        acceptor.leave(peer);
    }
    Ok(reaped)
}

fn notify_all<S>(children: &Children<S>, request: ChildRequest) {
    for pid in children.clients.pids() {
        if let Err(error) = process::notify(pid, request) {
            log::error!("cannot signal process {pid}: {error}");
        }
    }
}

/// Forks for the clients in the backlogs, closes the listeners, has all children drain, and waits until they
/// have ended. Bound: see [`Shutdown`].
#[inline(never)]
fn drain<S: Service>(acceptor: &mut Acceptor<S>, children: &mut Children<S>) -> io::Result<Summary> {
    let drain = Duration::from_millis(acceptor.limits.drain_ms.into());
    log::info!("draining for at most {}; clients: {}", in_words(drain), children.clients.len());
    acceptor.signals.set_child_ends(ChildEnds::Come);
    let mut shutdown = Shutdown::new(acceptor.limits.drain_ms, acceptor.signals.counts());
    let cuts = Cuts::new(&children.tally);
    loop {
        let request = shutdown.request();
        if shutdown.may_accept() && !cuts.have_begun() {
            acceptor.take_backlog(|acceptor, at, accepted| hand_over(acceptor, at, accepted, children));
        } else {
            acceptor.close();
        }
        notify_all(children, request);
        reap(acceptor, children, shutdown.reason_of_killed())?;
        if children.clients.len() == 0 && !acceptor.is_open() {
            acceptor.release();
            return Ok(summary(acceptor, children));
        }
        acceptor.wait(None, Some(Duration::from_millis(INTERRUPT_EVERY_MS.into())))?;
    }
}
