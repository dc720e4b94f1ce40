//! The process of a server of a scene: its start, its output and its end.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use super::report::LISTENING;
use super::scene::LectureServer;
use super::serve::ServerArgument;
use super::sighting::ServerLine;
use crate::sys::child_output::keep_error_output;
use crate::sys::process::end_with_parent;

/// How long it may take until it listens.
const START_MAX: Duration = Duration::from_secs(10);
/// How long to wait for the error output of a server that did not start.
const ERROR_OUTPUT_MAX: Duration = Duration::from_millis(500);

/// A server that was started for a scene. Drop ends it and all of its processes.
#[derive(Debug)]
pub(super) struct StartedServer {
    child: Child,
    addr: SocketAddr,
}

impl StartedServer {
    /// Starts it, and waits until it listens. Its reports go to `lines`. The error is a message.
    pub(super) fn start(
        server: LectureServer,
        workers: u32,
        lines: impl Fn(ServerLine) + Send + 'static,
    ) -> Result<StartedServer, String> {
        let program =
            std::env::current_exe().map_err(|error| format!("cannot find this program: {error}"))?;
        let mut command = Command::new(program);
        command.args(["lecture", "--server", &ServerArgument { server, workers }.to_string()]);
        StartedServer::spawn(command, lines)
    }

    fn spawn(
        mut command: Command,
        lines: impl Fn(ServerLine) + Send + 'static,
    ) -> Result<StartedServer, String> {
        // In a separate process group: Ctrl-C on the terminal reaches only this process, which then ends the
        // server.
        command.process_group(0).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        end_with_parent(&mut command);
        let mut child = command.spawn().map_err(|error| format!("the server was not started: {error}"))?;
        let error_output = keep_error_output(&mut child);
        let listening = read_lines(&mut child, lines);
        let mut server = StartedServer { child, addr: SocketAddr::from(([127, 0, 0, 1], 0)) };
        // The channel closes with the server's output, so a server that failed is not waited for.
        if let Ok(addr) = listening.recv_timeout(START_MAX) {
            server.addr = addr;
            return Ok(server);
        }
        server.end();
        let output = error_output.recv_timeout(ERROR_OUTPUT_MAX).unwrap_or_default();
        Err(match output.trim() {
            "" => "the server does not listen".to_owned(),
            output => format!("the server does not listen: {output}"),
        })
    }

    /// The address of the server.
    pub(super) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The process that listens.
    pub(super) fn process(&self) -> u32 {
        self.child.id()
    }

    /// Ends it with all of its processes.
    fn end(&mut self) {
        if let Ok(group) = i32::try_from(self.child.id()) {
            // An error means that the group is gone already.
            let _ = killpg(Pid::from_raw(group), Signal::SIGKILL);
        }
        let _ = self.child.wait();
    }
}

impl Drop for StartedServer {
    fn drop(&mut self) {
        self.end();
    }
}

/// Passes on the reports of the server, until its last process has ended.
fn read_lines(child: &mut Child, lines: impl Fn(ServerLine) + Send + 'static) -> mpsc::Receiver<SocketAddr> {
    let (sender, receiver) = mpsc::channel();
    if let Some(output) = child.stdout.take() {
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if let Some(line) = ServerLine::parse(&line) {
                    lines(line);
                } else if let Some(Ok(addr)) = line.strip_prefix(LISTENING).map(str::parse) {
                    let _ = sender.send(addr);
                }
            }
        });
    }
    receiver
}
