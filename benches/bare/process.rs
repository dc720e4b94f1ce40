//! A server under measurement: a process of its own, on a core of its own.

use std::ffi::OsString;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

/// A server that is killed, by its process id, when this is dropped.
pub(crate) struct Server {
    child: Child,
    addr: SocketAddr,
}

/// The cores this process may use at its start: the first is the server's, the last is the load's.
pub(crate) fn cores() -> Vec<usize> {
    let allowed = sched_getaffinity(Pid::from_raw(0)).unwrap();
    (0..CpuSet::count()).filter(|&core| allowed.is_set(core).unwrap()).collect()
}

/// Pins a process (0: this one) to one core.
pub(crate) fn pin(pid: Pid, core: usize) {
    let mut only = CpuSet::new();
    only.set(core).unwrap();
    sched_setaffinity(pid, &only).unwrap();
}

impl Server {
    /// `oneloop serve echo`, as released, with default settings. `ONELOOP_PROGRAM` names another build.
    pub(crate) fn oneloop(core: usize, more: &[&str]) -> Server {
        let program = std::env::var_os("ONELOOP_PROGRAM");
        Server::build(program.unwrap_or_else(|| env!("CARGO_BIN_EXE_oneloop").into()), core, more)
    }

    fn build(program: OsString, core: usize, more: &[&str]) -> Server {
        let mut command = Command::new(program);
        command.args(["serve", "echo@127.0.0.1:0"]).args(more).env_remove("RUST_LOG");
        Server::start(command, core)
    }

    /// The bare loop: this very program, see `Role`. `ONELOOP_AGAINST` names a build of oneloop to measure
    /// against instead.
    pub(crate) fn bare(core: usize) -> Server {
        if let Some(program) = std::env::var_os("ONELOOP_AGAINST") {
            return Server::build(program, core, &[]);
        }
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.arg(BARE);
        Server::start(command, core)
    }

    fn start(mut command: Command, core: usize) -> Server {
        let mut child =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let pid = Pid::from_raw(child.id().cast_signed());
        pin(pid, core);
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let addr = line.trim().strip_prefix("listening on echo@").and_then(|addr| addr.parse().ok());
        let Some(addr) = addr else {
            let _ = child.kill();
            panic!("{command:?} told no address but {line:?}");
        };
        Server { child, addr }
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Processor time used so far, in s.
    pub(crate) fn cpu_seconds(&self) -> f64 {
        let schedstat = std::fs::read_to_string(format!("/proc/{}/schedstat", self.child.id())).unwrap();
        schedstat.split(' ').next().unwrap().parse::<f64>().unwrap() / 1e9
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The argument with which a benchmark, started again by itself, is the bare echo server.
pub(crate) const BARE: &str = "--bare-server";
/// The same for the bare server of files; their directory follows. For `benches/nginx.py`.
const BARE_HTTP: &str = "--bare-http";

/// What this process was started as.
pub(crate) enum Role {
    Benchmark,
    Echo,
    Http(PathBuf),
}

impl Role {
    pub(crate) fn of_arguments() -> Role {
        let mut arguments = std::env::args_os().skip(1);
        while let Some(argument) = arguments.next() {
            if argument == BARE {
                return Role::Echo;
            }
            if argument == BARE_HTTP {
                return Role::Http(arguments.next().expect("--bare-http DIR").into());
            }
        }
        Role::Benchmark
    }
}
