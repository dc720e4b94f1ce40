//! A server under comparison, from its start to its end.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use super::placement::Placement;
use crate::lab::plan::subject::{Subject, SubjectKind};
use crate::lab::sample::proc::is_listening;
use crate::lab::sample::server::ServerProcesses;
use crate::sys::child_output::keep_error_output;
use crate::sys::control_group::ControlGroup;
use crate::sys::process::end_with_parent;
use crate::sys::signals::SignalCounts;

/// How long a server may take until it listens.
const START_MAX: Duration = Duration::from_secs(10);
/// How long it may take to stop when asked, before it is killed.
const STOP_MAX: Duration = Duration::from_secs(3);
/// How long the reply to the check may take.
const CHECK_MAX: Duration = Duration::from_secs(5);
/// How long a client's error may come before the end of the server that caused it.
const END_SEEN_MAX: Duration = Duration::from_millis(200);
/// How often states without an event are polled.
const LOOK_EVERY: Duration = Duration::from_millis(2);
/// How long to wait for the error output of a server that has ended.
const ERROR_OUTPUT_MAX: Duration = Duration::from_millis(500);

/// A running server. Dropping it stops it, and all processes of its group.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    processes: ServerProcesses,
    addr: SocketAddr,
    stop_method: StopMethod,
    error_output: mpsc::Receiver<String>,
    signals: SignalCounts,
    /// It has passed the check.
    has_served: bool,
}

/// How a server is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum StopMethod {
    /// Kill at once: this program keeps all of its processes in its process group.
    Kill,
    /// With SIGTERM first: a peer may have processes elsewhere that only it can end.
    Terminate,
}

/// Options of a server, in addition to its model.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ServerOptions<'a> {
    /// The length of the listen queue, if not the default. Peers set their own.
    pub(crate) backlog: Option<u32>,
    /// The signals that interrupt a wait for it.
    pub(crate) signals: SignalCounts,
    /// The control group of its processes, where there is one.
    pub(crate) group: Option<&'a Arc<ControlGroup>>,
    /// Children that this process had before any server.
    pub(crate) inherited: &'a [u32],
}

impl Server {
    /// Starts a subject on these cores, and waits until it listens and passes the check. The error is a
    /// message.
    pub(crate) fn start(
        program: &Path,
        subject: &Subject,
        options: ServerOptions<'_>,
        placement: &Placement,
        cores: &[usize],
    ) -> Result<Server, String> {
        let mut server = match &subject.kind {
            SubjectKind::Model { model, workers } => {
                let mut command = Command::new(program);
                command.args(["serve", "-qq", "--model", model.name(), "--drain", "0", "--idle", "10min"]);
                if let Some(workers) = workers {
                    command.arg("--workers").arg(workers.to_string());
                }
                if let Some(backlog) = options.backlog {
                    command.arg("--backlog").arg(backlog.to_string());
                }
                command.arg("echo@127.0.0.1:0");
                Server::start_ours(command, options, placement, cores)?
            }
            SubjectKind::Peer { command, .. } => Server::start_peer(command, options, placement, cores)?,
        };
        // If the server ended, its exit explains more than the client's error.
        server.check().map_err(|why| server.lives().err().unwrap_or(why))?;
        server.has_served = true;
        Ok(server)
    }

    fn spawn(
        mut command: Command,
        options: ServerOptions<'_>,
        placement: &Placement,
        cores: &[usize],
    ) -> Result<(Child, ServerProcesses), String> {
        // In a separate process group: Ctrl-C on the terminal reaches only this process, which then stops the
        // server.
        command.process_group(0).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        end_with_parent(&mut command);
        let spawned = options.group.map_or(Ok(()), |group| group.take_in(&mut command));
        let spawned = spawned.and_then(|()| placement.on(cores, || command.spawn()));
        let child = spawned.map_err(|error| format!("not started: {error}"))?;
        let processes = ServerProcesses::new(child.id(), options.group, options.inherited);
        Ok((child, processes))
    }

    fn start_ours(
        command: Command,
        options: ServerOptions<'_>,
        placement: &Placement,
        cores: &[usize],
    ) -> Result<Server, String> {
        let (mut child, processes) = Server::spawn(command, options, placement, cores)?;
        let error_output = keep_error_output(&mut child);
        let lines = listening_lines(&mut child);
        let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let mut server = Server {
            child,
            processes,
            addr,
            stop_method: StopMethod::Kill,
            error_output,
            signals: options.signals,
            has_served: false,
        };
        // The channel closes with the server's output, so a server that failed is not waited for.
        if let Ok(addr) = lines.recv_timeout(START_MAX) {
            server.addr = addr;
            return Ok(server);
        }
        server.kill();
        Err(server.with_output("does not listen"))
    }

    fn start_peer(
        command: &str,
        options: ServerOptions<'_>,
        placement: &Placement,
        cores: &[usize],
    ) -> Result<Server, String> {
        let addr = free_addr().map_err(|error| format!("no free port: {error}"))?;
        let mut shell = Command::new("sh");
        shell.arg("-c").arg(command.replace("{port}", &addr.port().to_string()));
        let (mut child, processes) = Server::spawn(shell, options, placement, cores)?;
        let error_output = keep_error_output(&mut child);
        drain_output(&mut child);
        let mut server = Server {
            child,
            processes,
            addr,
            stop_method: StopMethod::Terminate,
            error_output,
            signals: options.signals,
            has_served: false,
        };
        let (deadline, stops) = (Instant::now() + START_MAX, server.stops());
        while !listens(addr) {
            server.lives()?;
            if server.stops() != stops {
                return Err("interrupted".to_owned());
            }
            if Instant::now() > deadline {
                server.kill();
                return Err(server.with_output(&format!("does not listen after {} s", START_MAX.as_secs())));
            }
            thread::sleep(LOOK_EVERY);
        }
        Ok(server)
    }

    /// Stop signals that the lab has received.
    pub(crate) fn stops(&self) -> u32 {
        self.signals.stops()
    }

    /// An error message if the server has ended.
    pub(crate) fn lives(&mut self) -> Result<(), String> {
        let Ok(Some(status)) = self.child.try_wait() else { return Ok(()) };
        let is_peer = self.stop_method == StopMethod::Terminate;
        let signal = signal_of(status, is_peer);
        let hint = match signal {
            Some(Signal::SIGPIPE) => {
                "; it wrote to a client that had closed: ignore SIGPIPE, and check what write returns"
            }
            // A server in the background may not listen yet.
            None if is_peer && status.success() && (listens(self.addr) || !self.has_served) => {
                "; a server that goes to the background cannot be measured"
            }
            None if is_peer && status.success() => "; a server accepts clients in a loop",
            _ => "",
        };
        let cause = status_text(status, signal);
        Err(self.with_output(&format!("it ended ({cause}){hint}")))
    }

    /// The same as [`Server::lives`], for a client that had an error: the server may be about to end.
    pub(crate) fn lives_on(&mut self) -> Result<(), String> {
        let deadline = Instant::now() + END_SEEN_MAX;
        while Instant::now() < deadline {
            self.lives()?;
            thread::sleep(LOOK_EVERY);
        }
        Ok(())
    }

    /// What went wrong, with the error output of the server. Other processes that hold its standard error are
    /// not waited for.
    fn with_output(&self, what: &str) -> String {
        let error_output = self.error_output.recv_timeout(ERROR_OUTPUT_MAX).unwrap_or_default();
        match error_output.trim() {
            "" => what.to_owned(),
            output => format!("{what}: {output}"),
        }
    }

    /// The address of the server.
    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Its processes.
    pub(crate) fn processes(&self) -> &ServerProcesses {
        &self.processes
    }

    /// Checks that the server echoes: the same bytes must come back as from every other server.
    fn check(&mut self) -> Result<(), String> {
        let sent: Vec<u8> = (0..=255).chain(0..=255).collect();
        let (processes, is_peer) = (&mut self.processes, self.stop_method == StopMethod::Terminate);
        let before = if is_peer { processes.ids() } else { Vec::new() };
        let mut answer = || -> io::Result<Vec<u8>> {
            let mut stream = TcpStream::connect_timeout(&self.addr, CHECK_MAX)?;
            stream.set_read_timeout(Some(CHECK_MAX))?;
            stream.write_all(&sent)?;
            let mut answer = vec![0; sent.len()];
            stream.read_exact(&mut answer)?;
            // The models of this program wait for their children.
            if is_peer {
                processes.serving(&before);
            }
            Ok(answer)
        };
        match answer() {
            Ok(answer) if answer == sent => Ok(()),
            Ok(_) => Err("replies with other bytes than were sent: it is not an echo server".to_owned()),
            Err(error) if is_timeout(&error) => {
                Err(format!("does not reply within {} s", CHECK_MAX.as_secs()))
            }
            Err(error) => Err(format!("does not reply: {error}")),
        }
    }

    fn signal(&self, signal: Signal) {
        if let Ok(group) = i32::try_from(self.child.id()) {
            // An error means that the group is gone already.
            let _ = killpg(Pid::from_raw(group), signal);
        }
    }

    fn kill(&mut self) {
        self.signal(Signal::SIGKILL);
        let _ = self.child.wait();
    }

    fn stop(&mut self) {
        if self.stop_method == StopMethod::Terminate && matches!(self.child.try_wait(), Ok(None)) {
            let root = i32::try_from(self.child.id()).map(Pid::from_raw);
            let _ = root.map(|root| nix::sys::signal::kill(root, Signal::SIGTERM));
            let deadline = Instant::now() + STOP_MAX;
            while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < deadline {
                thread::sleep(LOOK_EVERY);
            }
        }
        // The rest of the group: children of a peer, or a server that did not stop.
        self.kill();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Whether a call took longer than the socket's timeout.
pub(super) fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock)
}

/// The signal that ended a process. A shell that ran a peer's command reports it as 128 and its number.
fn signal_of(status: ExitStatus, through_shell: bool) -> Option<Signal> {
    let number = status.signal().or_else(|| status.code().filter(|_| through_shell)?.checked_sub(128))?;
    Signal::try_from(number).ok()
}

/// How a process ended: `exit status: 3`, or `signal 13, SIGPIPE`.
fn status_text(status: ExitStatus, signal: Option<Signal>) -> String {
    signal.map_or_else(|| status.to_string(), |signal| format!("signal {}, {signal}", signal as i32))
}

/// Whether a server listens at the address. If the system reports sockets, this makes no connection: a server
/// may serve only its first client.
fn listens(addr: SocketAddr) -> bool {
    is_listening(addr.port()).unwrap_or_else(|| TcpStream::connect(addr).is_ok())
}

/// An address that was free a moment ago, to be passed to a peer: a peer cannot report the port it has
/// chosen.
fn free_addr() -> io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}

fn drain_output(child: &mut Child) {
    if let Some(mut output) = child.stdout.take() {
        thread::spawn(move || io::copy(&mut output, &mut io::sink()));
    }
}

/// The addresses of `listening on NAME@ADDR` lines.
fn listening_lines(child: &mut Child) -> mpsc::Receiver<SocketAddr> {
    let (sender, receiver) = mpsc::channel();
    if let Some(output) = child.stdout.take() {
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if let Some(addr) = listening_addr(&line) {
                    let _ = sender.send(addr);
                }
            }
        });
    }
    receiver
}

fn listening_addr(line: &str) -> Option<SocketAddr> {
    line.strip_prefix("listening on ")?.split_once('@')?.1.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_peer_is_named_by_its_signal_also_through_a_shell() {
        let text = |raw, through_shell| {
            let status = ExitStatus::from_raw(raw);
            status_text(status, signal_of(status, through_shell))
        };
        assert_eq!(text(13, true), "signal 13, SIGPIPE");
        assert_eq!(text(141 << 8, true), "signal 13, SIGPIPE");
        assert_eq!(text(141 << 8, false), "exit status: 141");
        assert_eq!([text(3 << 8, true), text(255 << 8, true)], ["exit status: 3", "exit status: 255"]);
    }

    #[test]
    fn the_address_is_found_in_its_line() {
        assert_eq!(
            listening_addr("listening on echo@127.0.0.1:4242"),
            Some("127.0.0.1:4242".parse().unwrap())
        );
        assert_eq!(listening_addr("open http://127.0.0.1:8000/"), None);
    }
}
