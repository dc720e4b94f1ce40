//! Processes and kernel as `/proc` shows them (proc(5)). On systems without it every result is `None`, and
//! the report shows that the value is missing.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::PathBuf;

use crate::sys::process::run_delay_ns;

/// CPU time, in ns.
pub(crate) type Nanos = u64;

/// The fields of `/proc/PID/stat` that matter here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ProcessStat {
    pub(super) parent: u32,
    /// It has ended, and was not yet waited for.
    pub(super) is_zombie: bool,
    /// Of the process and its threads, also those that ended, in ticks.
    own: u64,
    /// Of children that ended and were waited for, and of theirs, in ticks.
    reaped: u64,
}

fn parse_stat(text: &str) -> Option<ProcessStat> {
    // The name is in parentheses and may contain anything, also parentheses.
    let fields: Vec<&str> = text.get(text.rfind(')')? + 1..)?.split_whitespace().collect();
    let number = |at: usize| fields.get(at)?.parse::<u64>().ok();
    // Fields count from 1 in proc(5); the state, field 3, is at 0 here.
    // utime, stime; then cutime, cstime.
    let (own, reaped) = (number(11)? + number(12)?, number(13)? + number(14)?);
    Some(ProcessStat { parent: number(1)? as u32, is_zombie: fields[0] == "Z", own, reaped })
}

/// The children of a process, running or zombies; none without `/proc`.
pub(crate) fn children(parent: u32) -> Vec<u32> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let parent_of =
        |pid: &u32| Some(parse_stat(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)?.parent);
    pids.filter(|pid| parent_of(pid) == Some(parent)).collect()
}

/// All processes of the machine at one moment. With thousands of processes this takes tens of ms: for several
/// values of one moment, read it once.
#[derive(Debug)]
pub(crate) struct Processes {
    stats: BTreeMap<u32, ProcessStat>,
    children: BTreeMap<u32, Vec<u32>>,
}

impl Processes {
    /// The processes that run, or ended and were not yet waited for.
    pub(crate) fn now() -> Option<Processes> {
        let mut processes = Processes { stats: BTreeMap::new(), children: BTreeMap::new() };
        for entry in fs::read_dir("/proc").ok()?.flatten() {
            let pid = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok());
            let stat = pid.and_then(|pid| parse_stat(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?));
            if let (Some(pid), Some(stat)) = (pid, stat) {
                processes.children.entry(stat.parent).or_default().push(pid);
                processes.stats.insert(pid, stat);
            }
        }
        Some(processes)
    }

    /// The children of a process.
    pub(super) fn children(&self, parent: u32) -> &[u32] {
        self.children.get(&parent).map_or(&[], Vec::as_slice)
    }

    /// A process and all of its descendants. Processes whose parent died belong to another tree.
    pub(super) fn tree(&self, root: u32) -> Vec<(u32, ProcessStat)> {
        let mut found = BTreeMap::new();
        let mut next = vec![root];
        // Bounded by the processes that were there: each is visited once.
        while let Some(pid) = next.pop() {
            if let Some(stat) = self.stats.get(&pid)
                && found.insert(pid, *stat).is_none()
            {
                next.extend(self.children(pid));
            }
        }
        found.into_iter().collect()
    }

    /// CPU time of a process tree, as [`cpu_of`]. `None` if there is no such process.
    pub(crate) fn cpu(&self, root: u32) -> Option<Nanos> {
        let tree = self.tree(root);
        (!tree.is_empty()).then(|| cpu_of(&tree))
    }
}

/// CPU time of all of these processes, and of all of their children that ended and were waited for.
///
/// Running processes have exact times; the total of those that ended is exact to a tick of 10 ms.
pub(super) fn cpu_of(processes: &[(u32, ProcessStat)]) -> Nanos {
    let tick_ns = 1_000_000_000 / ticks_per_s();
    let total = processes.iter().map(|(pid, stat)| {
        let own = exact_cpu(*pid).unwrap_or(stat.own * tick_ns);
        own + stat.reaped * tick_ns
    });
    total.sum()
}

/// How long the running threads of these processes were runnable without a core, in total.
pub(super) fn waited_of(processes: &[(u32, ProcessStat)]) -> Option<Nanos> {
    let mut waited = None;
    for (pid, _) in processes {
        for task in tasks(*pid) {
            if let Some(ns) = run_delay_ns(&task) {
                waited = Some(waited.unwrap_or(0) + ns);
            }
        }
    }
    waited
}

/// The folders of a process's threads.
fn tasks(pid: u32) -> impl Iterator<Item = PathBuf> {
    fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten().map(|task| task.path())
}

/// The CPU clock of one process (`clock_getcpuclockid(3)`).
#[cfg(target_os = "linux")]
pub(super) fn exact_cpu(pid: u32) -> Option<Nanos> {
    let pid = nix::unistd::Pid::from_raw(i32::try_from(pid).ok()?);
    let time = nix::time::clock_getcpuclockid(pid).ok()?.now().ok()?;
    Some(std::time::Duration::from(time).as_nanos() as Nanos)
}

#[cfg(not(target_os = "linux"))]
pub(super) fn exact_cpu(_pid: u32) -> Option<Nanos> {
    None
}

/// CPU time of this process: exact, on every system.
pub(crate) fn own_cpu() -> Nanos {
    use nix::sys::resource::{UsageWho, getrusage};
    use nix::sys::time::TimeValLike;
    let used = getrusage(UsageWho::RUSAGE_SELF).map(|usage| usage.user_time() + usage.system_time());
    used.map_or(0, |used| u64::try_from(used.num_nanoseconds()).unwrap_or(0))
}

fn ticks_per_s() -> u64 {
    let ticks = nix::unistd::sysconf(nix::unistd::SysconfVar::CLK_TCK);
    ticks.ok().flatten().and_then(|ticks| u64::try_from(ticks).ok()).filter(|ticks| *ticks > 0).unwrap_or(100)
}

/// CPU time that processes, and the host of a virtual machine, used on each core so far. It excludes
/// interrupts: much of their work is for the measured processes, and cannot be separated.
pub(crate) fn cores_cpu() -> Option<Vec<(usize, Nanos)>> {
    parse_cores(&fs::read_to_string("/proc/stat").ok()?, 1_000_000_000 / ticks_per_s())
}

/// From the lines `cpuN user nice system idle iowait irq softirq steal ...` of `/proc/stat` (proc(5)).
fn parse_cores(stat: &str, tick_ns: Nanos) -> Option<Vec<(usize, Nanos)>> {
    let cores =
        stat.lines().filter_map(|line| line.strip_prefix("cpu")).filter(|line| !line.starts_with(' '));
    let used = cores.map(|line| {
        let fields: Vec<u64> = line.split_whitespace().map(|field| field.parse().unwrap_or(0)).collect();
        let ticks = fields.get(1)? + fields.get(2)? + fields.get(3)? + fields.get(8)?;
        Some((fields[0] as usize, ticks * tick_ns))
    });
    used.collect::<Option<Vec<_>>>().filter(|cores| !cores.is_empty())
}

/// How many threads these processes have; a process with one thread counts as one.
pub(super) fn tasks_of(processes: &[(u32, ProcessStat)]) -> usize {
    processes.iter().map(|(pid, _)| tasks(*pid).count()).sum()
}

/// Proportional set size of these processes, in bytes: a page shared by n processes counts as 1/n for each.
/// `None` if one of the processes cannot be read, as one of another user: the rest would pass for the whole.
pub(super) fn memory_of(processes: &[(u32, ProcessStat)]) -> Option<u64> {
    let sizes = processes.iter().map(|(pid, _)| {
        match fs::read_to_string(format!("/proc/{pid}/smaps_rollup")) {
            Ok(rollup) => Some(kib_of(&rollup, "Pss:").unwrap_or(0) << 10),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => None,
            // It has ended meanwhile.
            Err(_) => Some(0),
        }
    });
    sizes.sum::<Option<u64>>().filter(|bytes| *bytes > 0)
}

/// How many descriptors a process has open. `None` if it cannot be read.
pub(super) fn descriptors(pid: u32) -> Option<usize> {
    Some(fs::read_dir(format!("/proc/{pid}/fd")).ok()?.count())
}

/// Whether a process ignores SIGCHLD: then the kernel reaps its children, and drops their times (wait(2)).
pub(super) fn ignores_ended_children(pid: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    parse_ignored(&status)
        .is_some_and(|ignored| ignored & (1 << (nix::sys::signal::Signal::SIGCHLD as u32 - 1)) != 0)
}

/// The signals that are ignored, as a mask (proc(5)).
fn parse_ignored(status: &str) -> Option<u64> {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"))?;
    u64::from_str_radix(mask.trim(), 16).ok()
}

/// Kernel memory of the whole machine that clients and servers can cause, in bytes: slabs that are not
/// reclaimable, stacks, page tables, socket buffers.
pub(crate) fn kernel_memory_bytes() -> Option<u64> {
    let meminfo = fs::read_to_string("/proc/meminfo").ok()?;
    let kib: u64 =
        ["SUnreclaim:", "KernelStack:", "PageTables:"].iter().filter_map(|name| kib_of(&meminfo, name)).sum();
    let sockstat = fs::read_to_string("/proc/net/sockstat").unwrap_or_default();
    let pages: u64 = sockstat
        .lines()
        .filter_map(|line| line.split_once(" mem ")?.1.split_whitespace().next()?.parse::<u64>().ok())
        .sum();
    let page_bytes = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE).ok().flatten().unwrap_or(4096);
    Some((kib << 10) + pages * u64::try_from(page_bytes).unwrap_or(4096))
}

/// Waits shortly until the kernel has freed the memory of earlier servers and clients, and returns what
/// remains. Much is freed only after a grace period of read-copy-update.
pub(crate) fn kernel_memory_settled() -> Option<u64> {
    const LOOKS_MAX: u32 = 10;
    const LOOK_EVERY: std::time::Duration = std::time::Duration::from_millis(40);
    const SETTLED_BYTES: u64 = 64 << 10;
    let mut last = kernel_memory_bytes()?;
    for _ in 0..LOOKS_MAX {
        std::thread::sleep(LOOK_EVERY);
        let now = kernel_memory_bytes()?;
        if last.abs_diff(now) <= SETTLED_BYTES {
            return Some(now);
        }
        last = now;
    }
    Some(last)
}

fn kib_of(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace().next()?.parse().ok()
}

/// How often a listen queue was full, or a connection dropped for it, since the machine started.
pub(crate) fn listen_overflows() -> Option<u64> {
    let text = fs::read_to_string("/proc/net/netstat").ok()?;
    let mut lines = text.lines().filter_map(|line| line.strip_prefix("TcpExt:"));
    let (names, values) = (lines.next()?, lines.next()?);
    let mut pairs = names.split_whitespace().zip(values.split_whitespace());
    pairs.find(|(name, _)| *name == "ListenOverflows")?.1.parse().ok()
}

/// Whether a TCP socket listens on this port. `None` where the system does not report its sockets.
pub(crate) fn is_listening(port: u16) -> Option<bool> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(|path| fs::read_to_string(path).ok());
    // A system without IPv6 has one table.
    tables[0].as_ref()?;
    Some(tables.iter().flatten().any(|table| table.lines().any(|line| listens(line, port))))
}

/// Whether a line of the table is of a socket that listens on this port: `0: 0100007F:1F90 00000000:0000 0A`.
fn listens(line: &str, port: u16) -> bool {
    let mut fields = line.split_whitespace().skip(1);
    let local = fields.next().and_then(|local| u16::from_str_radix(local.rsplit(':').next()?, 16).ok());
    local == Some(port) && fields.nth(1) == Some("0A")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_and_spaces_does_not_shift_the_fields() {
        let text = "42 (a) b (c)) S 7 42 42 0 -1 4194304 9 8 0 0 11 22 33 44 20 0 1 0 100";
        assert_eq!(parse_stat(text), Some(ProcessStat { parent: 7, is_zombie: false, own: 33, reaped: 77 }));
        assert_eq!(parse_stat("nonsense"), None);
    }

    #[test]
    fn a_socket_that_listens_is_found_in_the_table() {
        let line =
            "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1";
        assert!(listens(line, 8080) && !listens(line, 8081));
        assert!(!listens(&line.replace(" 0A ", " 01 "), 8080), "a connection");
        assert!(!listens("  sl  local_address rem_address   st tx_queue rx_queue tr tm->when", 8080));
        assert_eq!(parse_ignored("SigBlk:\t0000\nSigIgn:\t0000000000011000\n"), Some(0x11000));
    }

    #[test]
    fn the_time_of_each_core_excludes_idle_time_and_interrupts() {
        let stat =
            "cpu  9 9 9 9 9 9 9 9 0 0\ncpu0 1 2 3 400 500 600 700 4 0 0\ncpu12 5 0 0 1 1 1 1 0 0 0\nintr 7";
        assert_eq!(parse_cores(stat, 10), Some(vec![(0, 100), (12, 50)]));
        assert_eq!(parse_cores("intr 7", 10), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_machine_has_what_is_sampled() {
        assert!(cores_cpu().is_some_and(|cores| cores.iter().map(|(_, ns)| ns).sum::<Nanos>() > 0));
        let own = Processes::now().unwrap().tree(std::process::id());
        assert!(memory_of(&own).is_some_and(|bytes| bytes > 100_000));
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        assert_eq!(is_listening(port), Some(true));
        assert!(kernel_memory_bytes().is_some_and(|bytes| bytes > 1_000_000));
        assert!(listen_overflows().is_some());
        assert!(own_cpu() > 0);
    }
}
