//! A child per client: the concurrent server of the lecture, and UNP section 30.5 ("concurrent server, one child per client").
//!
//! ```text
//! for (;;) {
//!     connfd = accept(listenfd);
//!     if (fork() == 0) { close(listenfd); dostuff(connfd); exit(0); }
//!     close(connfd);
//! }
//! ```
//!
//! Nobody waits for another, and a child that crashes takes nobody along. Each client costs a fork and an exit, and a process as
//! long as it stays. The parent counts clients and addresses, reaps its children, and counts the reason that each of them
//! tells by its exit code; one that was killed counts as crashed.

use std::collections::HashMap;
use std::io;
use std::time::Duration;

use crate::journal::Reason;
use crate::reactor::Summary;
use crate::session::{Peer, Service};
use crate::sys::process::{self, Ended, Forked, Tell};

use super::blocking::{INTERRUPT_EVERY_MS, SLICE_MS, Worker};
use super::front::{Front, Guest};
use super::supervise::Ending;
use super::{Entrance, Setup};

/// The children: who is served by which.
type Children = HashMap<u32, Peer>;

/// Serves with a child per client, until a signal stops it.
pub(super) fn run<S: Service>(setup: Setup<S>, stopping: &mut dyn FnMut()) -> io::Result<Summary> {
    let mut front = Front::new(setup)?;
    let mut children = Children::new();
    loop {
        let (arrived, knocked) = front.wait(None, None)?;
        if arrived.child {
            reap(&mut front, &mut children, Reason::Crashed)?;
        }
        if arrived.reopen {
            front.journal.reopen_if_asked();
            tell_all(&children, Tell::Reopen);
        }
        if arrived.report {
            log::info!(
                "{} children: {}",
                children.len(),
                Summary::of_counters(front.journal.counters.clone())
            );
        }
        if arrived.stops > 0 {
            stopping();
            return drain(front, children);
        }
        front.welcome(&knocked, |front, guest| hand_over(front, guest, &mut children));
    }
}

/// Forks a child for this client; the child never returns.
fn hand_over<S: Service>(
    front: &mut Front<S>,
    guest: Guest,
    children: &mut Children,
) -> Result<(), (Guest, io::Error)> {
    // The child counts by its exit code; only its access log is shared.
    let journal = match front.journal.sibling(None) {
        Ok(journal) => journal,
        Err(error) => return Err((guest, error)),
    };
    match process::fork(&mut front.signals) {
        Ok(Forked::Parent(pid)) => {
            children.insert(pid, guest.peer);
            Ok(())
        }
        Ok(Forked::Child(parent)) => {
            process::work_and_exit(|| {
                let entrance = front.become_child(guest.entrance);
                let Entrance { listener, service, request_ms, local } = entrance;
                drop(listener); // a child that lives on must not keep the port
                let mut worker = Worker::new(&front.limits, front.clock, journal, SLICE_MS).of_parent(parent);
                worker.serve(&service, request_ms, local, guest.fd, guest.peer) as u8
            })
        }
        Err(error) => Err((guest, error)),
    }
}

/// Takes leave of children that ended, and counts why: who was killed, for `killed`.
fn reap<S: Service>(front: &mut Front<S>, children: &mut Children, killed: Reason) -> io::Result<()> {
    while let Some((pid, ended)) = process::reap()? {
        let Some(peer) = children.remove(&pid) else { continue };
        let reason = match ended {
            Ended::Exited(code) => Reason::from_code(code).unwrap_or(Reason::Crashed),
            Ended::Killed(signal) => {
                log::error!("{peer}: the child that served it was killed by signal {signal}");
                killed
            }
        };
        front.journal.counters.count(reason);
        front.leave(peer);
    }
    Ok(())
}

fn tell_all(children: &Children, what: Tell) {
    for &pid in children.keys() {
        if let Err(error) = process::tell(pid, what) {
            log::error!("process {pid} cannot be told: {error}");
        }
    }
}

/// Forks for whoever waits in the backlog, closes the listeners, has all children drain, and waits until they have ended.
/// Bound: see [`Ending`].
fn drain<S: Service>(mut front: Front<S>, mut children: Children) -> io::Result<Summary> {
    log::info!("draining: {} clients have {} ms", children.len(), front.limits.drain_ms);
    let mut ending = Ending::new(front.limits.drain_ms);
    loop {
        let what = ending.next();
        if ending.may_take() {
            front.take_backlog(|front, guest| hand_over(front, guest, &mut children));
        } else {
            front.close();
        }
        tell_all(&children, what);
        reap(&mut front, &mut children, ending.reason_of_killed())?;
        if children.is_empty() && !front.is_open() {
            front.let_go();
            return Ok(Summary::of_counters(front.journal.counters.clone()));
        }
        front.wait(None, Some(Duration::from_millis(INTERRUPT_EVERY_MS)))?;
    }
}
