//! Processes and kernel as `/proc` shows them (proc(5)). On systems without it every result is `None`, and
//! the report shows that the value is missing.

use std::collections::BTreeMap;
use std::fs;
use std::io;

use crate::sys::process::run_delay_ns;

/// CPU time, in ns.
pub(crate) type Nanos = u64;

/// The fields of `/proc/PID/stat` that matter here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stat {
    parent: u32,
    /// Of the process and its threads, also those that ended, in ticks.
    own: u64,
    /// Of children that ended and were waited for, and of theirs, in ticks.
    reaped: u64,
}

fn parse_stat(text: &str) -> Option<Stat> {
    // The name is in parentheses and may contain anything, also parentheses.
    let fields: Vec<&str> = text.get(text.rfind(')')? + 1..)?.split_whitespace().collect();
    let number = |at: usize| fields.get(at)?.parse::<u64>().ok();
    // Fields count from 1 in proc(5); the state, field 3, is at 0 here.
    // utime, stime; then cutime, cstime.
    let (own, reaped) = (number(11)? + number(12)?, number(13)? + number(14)?);
    Some(Stat { parent: number(1)? as u32, own, reaped })
}

/// The children of a process that run, or ended and were not yet waited for; none without `/proc`.
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
    stats: BTreeMap<u32, Stat>,
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

    /// A process and all of its descendants. Processes whose parent died belong to another tree.
    fn tree(&self, root: u32) -> Vec<(u32, Stat)> {
        let mut found = BTreeMap::new();
        let mut next = vec![root];
        // Bounded by the processes that were there: each is visited once.
        while let Some(pid) = next.pop() {
            if let Some(stat) = self.stats.get(&pid)
                && found.insert(pid, *stat).is_none()
            {
                next.extend(self.children.get(&pid).into_iter().flatten());
            }
        }
        found.into_iter().collect()
    }

    /// CPU time of a process tree: of all running processes, and of all that ended and were waited for.
    /// `None` without any.
    ///
    /// Running processes have exact times; the total of those that ended is exact to a tick of 10 ms.
    pub(crate) fn cpu(&self, root: u32) -> Option<Nanos> {
        let (tick_ns, tree) = (1_000_000_000 / ticks_per_s(), self.tree(root));
        let total = tree.iter().map(|(pid, stat)| {
            let own = exact_cpu(*pid).unwrap_or(stat.own * tick_ns);
            own + stat.reaped * tick_ns
        });
        (!tree.is_empty()).then(|| total.sum())
    }

    /// How long the running threads of a process tree were runnable without a core, in total.
    pub(crate) fn waited(&self, root: u32) -> Option<Nanos> {
        let mut waited = None;
        for (pid, _) in self.tree(root) {
            for task in fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten() {
                if let Some(ns) = run_delay_ns(&task.path()) {
                    waited = Some(waited.unwrap_or(0) + ns);
                }
            }
        }
        waited
    }
}

/// A process and all of its descendants, now; `None` if it does not exist.
fn tree(root: u32) -> Option<Vec<(u32, Stat)>> {
    Some(Processes::now()?.tree(root)).filter(|tree| !tree.is_empty())
}

/// CPU time of a process tree, as [`Processes::cpu`].
pub(crate) fn tree_cpu(root: u32) -> Option<Nanos> {
    Processes::now()?.cpu(root)
}

/// The CPU clock of one process (`clock_getcpuclockid(3)`).
#[cfg(target_os = "linux")]
fn exact_cpu(pid: u32) -> Option<Nanos> {
    let pid = nix::unistd::Pid::from_raw(i32::try_from(pid).ok()?);
    let time = nix::time::clock_getcpuclockid(pid).ok()?.now().ok()?;
    Some(std::time::Duration::from(time).as_nanos() as Nanos)
}

#[cfg(not(target_os = "linux"))]
fn exact_cpu(_pid: u32) -> Option<Nanos> {
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

/// CPU time that processes, and the host of a virtual machine, used on all cores. It excludes interrupts:
/// much of their work is for the measured processes, and cannot be separated.
pub(crate) fn machine_cpu() -> Option<Nanos> {
    let stat = fs::read_to_string("/proc/stat").ok()?;
    let fields: Vec<u64> =
        stat.lines().next()?.split_whitespace().skip(1).map(|field| field.parse().unwrap_or(0)).collect();
    // user, nice, system, idle, iowait, irq, softirq, steal
    let ticks = fields.first()? + fields.get(1)? + fields.get(2)? + fields.get(7)?;
    Some(ticks * (1_000_000_000 / ticks_per_s()))
}

/// Processes and threads of a tree.
pub(crate) fn tree_tasks(root: u32) -> Option<usize> {
    let tasks = tree(root)?
        .into_iter()
        .map(|(pid, _)| fs::read_dir(format!("/proc/{pid}/task")).map_or(0, Iterator::count));
    Some(tasks.sum())
}

/// Proportional set size of a process tree, in bytes: a page shared by n processes counts as 1/n for each.
/// `None` if one of the processes cannot be read, as one of another user: the rest would pass for the whole.
pub(crate) fn tree_memory_bytes(root: u32) -> Option<u64> {
    let sizes = tree(root)?.into_iter().map(|(pid, _)| {
        match fs::read_to_string(format!("/proc/{pid}/smaps_rollup")) {
            Ok(rollup) => Some(kib_of(&rollup, "Pss:").unwrap_or(0) << 10),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => None,
            // It has ended meanwhile.
            Err(_) => Some(0),
        }
    });
    sizes.sum::<Option<u64>>().filter(|bytes| *bytes > 0)
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

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_os = "linux")]
    use std::time::Duration;

    #[test]
    fn a_name_with_parentheses_and_spaces_does_not_shift_the_fields() {
        let text = "42 (a) b (c)) S 7 42 42 0 -1 4194304 9 8 0 0 11 22 33 44 20 0 1 0 100";
        assert_eq!(parse_stat(text), Some(Stat { parent: 7, own: 33, reaped: 77 }));
        assert_eq!(parse_stat("nonsense"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_cpu_time_of_children_counts_whether_they_live_or_were_waited_for() {
        let busy = "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done";
        let script = format!("sh -c '{busy}'; read line");
        let mut child = std::process::Command::new("sh")
            .args(["-c", &script])
            .stdin(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let deadline = std::time::Instant::now() + Duration::from_secs(20);
        // Once the grandchild is gone, its time is that of a child that was waited for.
        while tree_tasks(child.id()) != Some(1) || tree_cpu(child.id()).unwrap() < 30_000_000 {
            assert!(std::time::Instant::now() < deadline, "{:?} ns", tree_cpu(child.id()));
            std::thread::sleep(Duration::from_millis(5));
        }
        drop(child.stdin.take());
        child.wait().unwrap();
        assert_eq!(tree_cpu(child.id()), None, "nothing is left");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_machine_has_what_is_sampled() {
        assert!(machine_cpu().is_some_and(|ns| ns > 0));
        assert!(tree_memory_bytes(std::process::id()).is_some_and(|bytes| bytes > 100_000));
        assert!(kernel_memory_bytes().is_some_and(|bytes| bytes > 1_000_000));
        assert!(listen_overflows().is_some());
        assert!(own_cpu() > 0);
    }
}
