//! The real program, started for one test and ended with it.

use std::ffi::OsString;
use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, SocketAddrV6};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{Client, eventually_or, eventually_some, profile_folder};

/// Where a listener is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

impl Address {
    pub fn parse(text: &str) -> Option<Address> {
        match text.strip_prefix("unix:") {
            Some(path) => Some(Address::Unix(path.into())),
            None => text.parse().ok().or_else(|| zoned(text)).map(Address::Tcp),
        }
    }

    /// The internet address; panics for a Unix socket.
    pub fn tcp(&self) -> SocketAddr {
        match self {
            Address::Tcp(addr) => *addr,
            Address::Unix(path) => panic!("{} is no internet address", path.display()),
        }
    }
}

/// An address with the name of its interface: `[fe80::1%eth0]:80`.
fn zoned(text: &str) -> Option<SocketAddr> {
    let (host, port) = text.rsplit_once(':')?;
    let (ip, zone) = host.strip_prefix('[')?.strip_suffix(']')?.split_once('%')?;
    let number = nix::net::if_::if_nametoindex(zone).ok()?;
    Some(SocketAddrV6::new(ip.parse().ok()?, port.parse().ok()?, 0, number).into())
}

/// Runs a program in a terminal of its own, shows what it prints there, and closes the terminal on SIGUSR1.
/// It ends as the program does. Standard error is not the terminal's, so that it can be read when that is
/// closed. The first argument is typed there.
pub const IN_A_TERMINAL: &str = r#"
import os, pty, select, signal, sys
typed = sys.argv.pop(1)
kept = os.dup(2)
closes, close = os.pipe()
os.set_blocking(close, False)
child, terminal = pty.fork()
if child == 0:
    os.dup2(kept, 2)
    os.execvp(sys.argv[1], sys.argv[1:])
signal.set_wakeup_fd(close)
signal.signal(signal.SIGUSR1, lambda *_: None)
os.write(terminal, typed.encode())
while closes not in select.select([terminal, closes], [], [])[0]:
    try:
        os.write(1, os.read(terminal, 4096).replace(b"\r", b""))
    except OSError:
        break
os.close(terminal)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"#;

/// What is to be started, and how.
pub struct Setup {
    program: PathBuf,
    args: Vec<OsString>,
    envs: Vec<(OsString, OsString)>,
    folder: Option<PathBuf>,
    nofile: Option<u32>,
}

/// A started program. It is killed, by its process id, when this is dropped.
pub struct Server {
    child: Child,
    stdout: Arc<Mutex<String>>,
    stderr: Arc<Mutex<String>>,
    readers: Vec<JoinHandle<()>>,
}

impl Setup {
    /// `oneloop ARGS…`; `ONELOOP_PROGRAM` names another build of it, such as a release.
    pub fn oneloop<A: AsRef<str>>(args: impl IntoIterator<Item = A>) -> Setup {
        // Cargo passes the path at run time from 1.94 on; before that only to the compilation of test crates.
        let program = ["ONELOOP_PROGRAM", "CARGO_BIN_EXE_oneloop"].into_iter().find_map(std::env::var_os);
        Setup::program(program.map_or_else(|| profile_folder().join("oneloop"), PathBuf::from), args)
    }

    /// Another program that prints its listeners in the same form.
    pub fn program<A: AsRef<str>>(program: impl Into<PathBuf>, args: impl IntoIterator<Item = A>) -> Setup {
        Setup {
            program: program.into(),
            args: args.into_iter().map(|arg| arg.as_ref().into()).collect(),
            // Every end of a client is logged at debug: tests read the reasons.
            envs: vec![("RUST_LOG".into(), "debug".into())],
            folder: None,
            nofile: None,
        }
    }

    pub fn env(mut self, name: &str, value: &str) -> Setup {
        self.envs.push((name.into(), value.into()));
        self
    }

    pub fn current_dir(mut self, folder: &Path) -> Setup {
        self.folder = Some(folder.to_owned());
        self
    }

    /// With at most so many file descriptors, which it cannot raise unless it is privileged.
    pub fn nofile(mut self, limit: u32) -> Setup {
        self.nofile = Some(limit);
        self
    }

    pub fn start(self) -> Server {
        let mut command = match self.nofile {
            None => Command::new(&self.program),
            Some(limit) => {
                let mut shell = Command::new("sh");
                shell.args(["-c", &format!("ulimit -n {limit} && exec \"$@\""), "sh"]).arg(&self.program);
                shell
            }
        };
        command.args(&self.args).env_remove("LISTEN_FDS").env_remove("NOTIFY_SOCKET").envs(self.envs);
        if let Some(folder) = self.folder {
            command.current_dir(folder);
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let (stdout, out) = collect(child.stdout.take().unwrap());
        let (stderr, err) = collect(child.stderr.take().unwrap());
        Server { child, stdout, stderr, readers: vec![out, err] }
    }
}

fn collect(from: impl Read + Send + 'static) -> (Arc<Mutex<String>>, JoinHandle<()>) {
    let text = Arc::new(Mutex::new(String::new()));
    let sink = Arc::clone(&text);
    let reader = std::thread::spawn(move || {
        let mut lines = BufReader::new(from);
        let mut line = Vec::new();
        while lines.read_until(b'\n', &mut line).is_ok_and(|len| len > 0) {
            // Lines that were written together are seen together.
            if let Some(last) = lines.buffer().iter().rposition(|&byte| byte == b'\n') {
                line.extend_from_slice(&lines.buffer()[..=last]);
                lines.consume(last + 1);
            }
            sink.lock().unwrap().push_str(&String::from_utf8_lossy(&line));
            line.clear();
        }
    });
    (text, reader)
}

impl Server {
    /// `oneloop serve ARGS…`; returns when its first listener is printed.
    pub fn serve(args: &[&str]) -> Server {
        Setup::oneloop(["serve"].iter().chain(args)).start().listening()
    }

    /// Returns when the first listener is printed.
    pub fn listening(mut self) -> Server {
        self.until("a listener", |stdout| stdout.contains("listening on ").then_some(()));
        self
    }

    /// Where the service of this name listens.
    pub fn address(&mut self, name: &str) -> Address {
        self.addresses(name, 1).remove(0)
    }

    /// Where the service of this name listens, when it has printed `count` addresses.
    pub fn addresses(&mut self, name: &str, count: usize) -> Vec<Address> {
        let prefix = format!("listening on {name}@");
        self.until(&format!("{count} of `{prefix}…`"), |stdout| {
            let whole = &stdout[..stdout.rfind('\n')?];
            let told: Vec<_> = whole
                .lines()
                .filter_map(|line| line.strip_prefix(&prefix))
                .map(|text| Address::parse(text).unwrap_or_else(|| panic!("not an address: {text}")))
                .collect();
            (told.len() >= count).then_some(told)
        })
    }

    /// A new client of the service of this name.
    pub fn client(&mut self, name: &str) -> Client {
        Client::connect(&self.address(name))
    }

    fn until<T>(&mut self, what: &str, mut look: impl FnMut(&str) -> Option<T>) -> T {
        eventually_some(what, || {
            let found = look(&self.stdout.lock().unwrap());
            if found.is_none()
                && let Some(status) = self.child.try_wait().unwrap()
            {
                panic!("it ended with {status}, without {what}:\n{}", self.stderr());
            }
            found
        })
    }

    pub fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().cast_signed())
    }

    pub fn stdout(&self) -> String {
        self.stdout.lock().unwrap().clone()
    }

    /// What it prints on standard output. While this is locked, the pipe is not read.
    pub fn stdout_reader(&self) -> Arc<Mutex<String>> {
        Arc::clone(&self.stdout)
    }

    pub fn stderr(&self) -> String {
        self.stderr.lock().unwrap().clone()
    }

    /// Waits until standard error has `part`, at least `count` times.
    #[track_caller]
    pub fn expect_log(&self, part: &str, count: usize) {
        let enough = || (self.stderr.lock().unwrap().matches(part).count() >= count).then_some(());
        eventually_or(enough, || format!("{count} times `{part}` in:\n{}", self.stderr()));
    }

    pub fn signal(&self, signal: Signal) {
        kill(self.pid(), signal).unwrap();
    }

    /// Waits for its end; panics when that does not come in time.
    pub fn ended(&mut self) -> ExitStatus {
        eventually_some("the end of the program", || self.child.try_wait().unwrap())
    }

    /// The same. All it printed is there afterwards.
    pub fn exit(&mut self) -> ExitStatus {
        let status = self.ended();
        for reader in self.readers.drain(..) {
            reader.join().unwrap();
        }
        status
    }

    /// Sends SIGTERM and waits for the end.
    pub fn stop(&mut self) -> ExitStatus {
        self.signal(Signal::SIGTERM);
        self.exit()
    }

    /// The processor time it has used: on Linux only, where /proc has it in nanoseconds.
    pub fn cpu_time(&self) -> Duration {
        let schedstat = std::fs::read_to_string(format!("/proc/{}/schedstat", self.pid())).unwrap();
        Duration::from_nanos(schedstat.split(' ').next().unwrap().parse().unwrap())
    }

    /// Waits until it neither works nor is about to: on Linux only. A process that uses no time may be kept
    /// from it by others: all its threads must sleep, too.
    pub fn quiet(&self) {
        const CALM_LOOKS: u32 = 25;
        let (mut last, mut calm) = (Duration::ZERO, 0);
        eventually_some("the program rests", || {
            let used = self.cpu_time();
            calm = if used == last && self.sleeps() { calm + 1 } else { 0 };
            last = used;
            (calm == CALM_LOOKS).then_some(())
        });
    }

    /// None of its threads runs or waits for a processor: the state after the name in
    /// `/proc/PID/task/TID/stat`, proc(5).
    fn sleeps(&self) -> bool {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.pid())).unwrap();
        tasks.flatten().all(|task| {
            let stat = std::fs::read_to_string(task.path().join("stat"));
            stat.is_ok_and(|stat| stat.rsplit(") ").next().is_some_and(|after| after.starts_with('S')))
        })
    }

    /// Its open file descriptors: on Linux only.
    pub fn descriptors(&self) -> Vec<u32> {
        let entries = std::fs::read_dir(format!("/proc/{}/fd", self.pid())).unwrap();
        entries.map(|entry| entry.unwrap().file_name().to_str().unwrap().parse().unwrap()).collect()
    }

    /// What one of them is open on; `None` if it was closed since. On Linux only.
    pub fn descriptor_leads_to(&self, fd: u32) -> Option<PathBuf> {
        std::fs::read_link(format!("/proc/{}/fd/{fd}", self.pid())).ok()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill(); // by its id; an error means that it has ended
        let _ = self.child.wait();
        if std::thread::panicking() {
            let stderr = self.stderr();
            let tail = stderr.char_indices().rev().nth(4_000).map_or(0, |(at, _)| at);
            eprintln!("the program's standard error ended with:\n{}", &stderr[tail..]);
        }
    }
}
