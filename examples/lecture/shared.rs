//! What the servers of the lecture share: the work for one client, and what slides leave out.
#![allow(dead_code, unreachable_pub, reason = "each server uses its part of it")]

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid};

/// A client that is silent for longer is gone, or keeps the others waiting.
pub const SILENCE_MAX: Duration = Duration::from_secs(60);
/// The pause after an error that an immediate second attempt would meet, too.
pub const PAUSE: Duration = Duration::from_millis(100);

/// The work for one client: what it sends is sent back to it, until it closes its side.
pub fn do_stuff(new_s: &TcpStream) {
    let work = || -> io::Result<()> {
        new_s.set_read_timeout(Some(SILENCE_MAX))?;
        new_s.set_write_timeout(Some(SILENCE_MAX))?;
        new_s.set_nodelay(true)?;
        let mut client = Client::new(new_s);
        while client.step()? {}
        Ok(())
    };
    work().unwrap_or_else(|error| eprintln!("a client was lost: {error}"));
}

/// A client, and the state of its work. A server that waits for this client alone needs no such value: its
/// position in the loop of recv and send is the state.
pub struct Client<S> {
    new_s: S,
    state: State,
    /// When it last sent or took something.
    pub seen: Instant,
}

enum State {
    Receiving,
    /// The bytes that it has not taken back yet.
    Sending(Vec<u8>),
}

impl<S: Read + Write> Client<S> {
    pub fn new(new_s: S) -> Self {
        Client { new_s, state: State::Receiving, seen: Instant::now() }
    }

    /// One recv(2) or send(2). `false` when the client has closed its side and has everything back.
    pub fn step(&mut self) -> io::Result<bool> {
        let mut buffer = [0; 16 << 10];
        let called = match &self.state {
            State::Receiving => self.new_s.read(&mut buffer),
            State::Sending(bytes) => self.new_s.write(bytes),
        };
        let len = match called {
            Err(error) if error.kind() == ErrorKind::Interrupted => return Ok(true), // the same again
            called => called?,
        };
        self.seen = Instant::now();
        match &mut self.state {
            State::Receiving if len == 0 => return Ok(false),
            State::Receiving => self.state = State::Sending(buffer[..len].to_vec()),
            State::Sending(bytes) if len == bytes.len() => self.state = State::Receiving,
            State::Sending(bytes) => drop(bytes.drain(..len)), // a part was sent
        }
        Ok(true)
    }
}

/// `socket`, `bind` and `listen`, at the port that the command line names, or at 7007.
pub fn listen() -> io::Result<TcpListener> {
    let port = std::env::args().nth(1).map_or(Ok(7007), |port| port.parse());
    let port = port.map_err(|error| io::Error::new(ErrorKind::InvalidInput, format!("PORT: {error}")))?;
    let s = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
    println!("listening on echo@{}", s.local_addr()?);
    Ok(s)
}

/// accept(2), repeated after an error: the server continues for the other clients.
pub fn accept(s: &TcpListener) -> TcpStream {
    loop {
        match s.accept() {
            Ok((new_s, _)) => return new_s,
            Err(error) if concerns_one_client(&error) => {}
            Err(error) => {
                eprintln!("accept: {error}"); // EMFILE, for instance: the client stays in the queue
                sleep(PAUSE);
            }
        }
    }
}

/// Whether accept(2) can be called again at once.
pub fn concerns_one_client(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::ConnectionAborted)
}

/// fork(2), in a process with one thread.
pub fn fork() -> io::Result<ForkResult> {
    // SAFETY: no other thread holds a lock that would stay locked in the child.
    Ok(unsafe { nix::unistd::fork() }?)
}

/// From now on, children that have ended are reaped: until then they are zombies.
pub fn reap_children() -> io::Result<()> {
    let flags = SaFlags::SA_RESTART | SaFlags::SA_NOCLDSTOP;
    let on_child = SigAction::new(SigHandler::Handler(reap), flags, SigSet::empty());
    // SAFETY: `reap` calls only waitpid(2), which a signal handler may call, and restores errno.
    unsafe { sigaction(Signal::SIGCHLD, &on_child) }?;
    Ok(())
}

extern "C" fn reap(_signal: i32) {
    let errno = Errno::last_raw();
    // Signals merge: one may stand for several children.
    while !matches!(
        waitpid(None, Some(WaitPidFlag::WNOHANG)),
        Ok(WaitStatus::StillAlive) | Err(Errno::ECHILD)
    ) {}
    Errno::set_raw(errno);
}

/// In a child: has the system end it when its parent ends. Only Linux can.
pub fn end_with_parent(parent: Pid) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    nix::sys::prctl::set_pdeathsig(Signal::SIGTERM)?;
    if Pid::parent() == parent { Ok(()) } else { Err(io::Error::other("the parent has ended")) }
}
