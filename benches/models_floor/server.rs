//! A server under measurement: all of its processes, in a process group and a control group of their own.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use crate::bare::pairs::Bench;
use crate::bare::process::pin;

/// How long the processes of a server may take to be gone.
const GONE_MAX: Duration = Duration::from_secs(10);
/// How long a server may be busy with the ends of its clients; a server with timers is never quiet.
const QUIET_MAX: Duration = Duration::from_millis(60);
/// It is quiet when it took no time for so long.
const QUIET_FOR: Duration = Duration::from_millis(4);

/// A server that is killed, with all of its processes, when this is dropped.
pub(crate) struct Server {
    child: Child,
    addr: SocketAddr,
    group: Option<ControlGroup>,
    /// Open, so that it may print more.
    _stdout: BufReader<ChildStdout>,
}

impl Server {
    pub(crate) fn start(command: &Command, bench: &Bench) -> Server {
        let group = ControlGroup::create();
        let mut started = if let Some(group) = &group {
            let mut shell = Command::new("sh");
            shell.args(["-c", "echo 0 >\"$0\" && exec \"$@\""]).arg(group.0.join("cgroup.procs"));
            shell.arg(command.get_program());
            shell
        } else {
            Command::new(command.get_program())
        };
        started.args(command.get_args());
        started.env_remove("RUST_LOG").process_group(0);
        started.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        // A process starts on the core of the one that starts it, and so do its children.
        pin(Pid::from_raw(0), bench.server_core);
        let child = started.spawn();
        pin(Pid::from_raw(0), bench.load_core);
        let mut child = child.unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let addr = line.trim().strip_prefix("listening on echo@").and_then(|addr| addr.parse().ok());
        let Some(addr) = addr else {
            let _ = child.kill();
            panic!("{command:?} printed no address but {line:?}");
        };
        Server { child, addr, group, _stdout: stdout }
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Processor time of all of its processes so far, children that have ended included, in s; not a number
    /// without a control group.
    pub(crate) fn cpu_seconds(&self) -> f64 {
        self.group.as_ref().map_or(f64::NAN, ControlGroup::cpu_seconds)
    }

    /// Waits until it has finished with the clients that have left.
    pub(crate) fn quiet(&self) {
        let (began, mut last) = (Instant::now(), self.cpu_seconds());
        while began.elapsed() < QUIET_MAX {
            sleep(QUIET_FOR);
            let now = self.cpu_seconds();
            if now <= last {
                return;
            }
            last = now;
        }
    }

    /// Asks its processes to end, and waits until the first one has.
    pub(crate) fn stop(mut self) {
        let _ = killpg(Pid::from_raw(self.child.id().cast_signed()), Signal::SIGTERM);
        let _ = self.child.wait();
    }

    /// The proportional set size of all of its processes, in bytes.
    pub(crate) fn memory_bytes(&self) -> f64 {
        let (mut next, mut kib) = (vec![self.child.id()], 0);
        while let Some(pid) = next.pop() {
            let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
            let pss = rollup.lines().find_map(|line| line.strip_prefix("Pss:"));
            kib += pss.map_or(0, |pss| pss.trim().trim_end_matches(" kB").parse::<u64>().unwrap());
            // A child belongs to the thread that made it.
            for task in fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten() {
                let children = fs::read_to_string(task.path().join("children")).unwrap_or_default();
                next.extend(children.split_whitespace().map(|pid| pid.parse::<u32>().unwrap()));
            }
        }
        (kib << 10) as f64
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = killpg(Pid::from_raw(self.child.id().cast_signed()), Signal::SIGKILL);
        let _ = self.child.wait();
        if let Some(group) = self.group.take() {
            group.remove();
        }
    }
}

/// A group of cgroup v2 below this process's own.
struct ControlGroup(PathBuf);

/// Groups made so far: their names.
static MADE: AtomicU32 = AtomicU32::new(0);

impl ControlGroup {
    /// `None` where this process may make none.
    fn create() -> Option<ControlGroup> {
        let name = format!("oneloop-floor-{}-{}", std::process::id(), MADE.fetch_add(1, Ordering::Relaxed));
        let path = own_group()?.join(name);
        fs::create_dir(&path).ok()?;
        Some(ControlGroup(path))
    }

    fn cpu_seconds(&self) -> f64 {
        let stat = fs::read_to_string(self.0.join("cpu.stat")).unwrap();
        let usage = stat.lines().find_map(|line| line.strip_prefix("usage_usec "));
        usage.and_then(|us| us.parse::<f64>().ok()).expect("usage_usec of cpu.stat") / 1e6
    }

    /// Waits until the killed processes are gone: an empty group can be removed.
    fn remove(self) {
        let began = Instant::now();
        while fs::remove_dir(&self.0).is_err() && began.elapsed() < GONE_MAX {
            sleep(Duration::from_millis(2));
        }
    }
}

/// The directory of this process's own group.
fn own_group() -> Option<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
    let mount = mounts.lines().find(|line| line.contains(" - cgroup2 "))?.split(' ').nth(4)?;
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let own = groups.lines().find_map(|line| line.strip_prefix("0::/"))?;
    Some(Path::new(mount).join(own))
}
