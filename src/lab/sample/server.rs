//! The processes of a server, wherever they are: its process tree, and descendants that lost their parent.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::proc::{
    Nanos, ProcessStat, Processes, cpu_of, descriptors, exact_cpu, ignores_ended_children, memory_of,
    tasks_of, waited_of,
};
use crate::sys::control_group::ControlGroup;
use crate::sys::process::reap_child;

/// A server's processes. CPU time includes that of children that have ended.
///
/// With a control group it includes all of them. Otherwise it includes children that were waited for, by
/// their parent or, if that had ended, by this process, which adopts them; a server that ignores SIGCHLD
/// waits for none, and has no CPU time then.
#[derive(Debug)]
pub(crate) struct ServerProcesses {
    root: u32,
    group: Option<Arc<ControlGroup>>,
    /// Children that this process had before: they are not adopted.
    inherited: Vec<u32>,
    /// CPU time of adopted processes that have ended, in ns.
    adopted_ns: AtomicU64,
    /// Ended children are not counted.
    loses_children: bool,
}

/// The processes, threads and descriptors of a server at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Holdings {
    /// Processes that have ended, and that their parent has not waited for.
    pub(crate) zombies: usize,
    /// Processes and threads that run.
    pub(crate) tasks: usize,
    /// Open descriptors of each process, by its id.
    pub(crate) descriptors: Vec<(u32, usize)>,
}

impl ServerProcesses {
    /// Of the server that was started as the process `root`, in this group.
    pub(crate) fn new(root: u32, group: Option<&Arc<ControlGroup>>, inherited: &[u32]) -> ServerProcesses {
        ServerProcesses {
            root,
            group: group.map(Arc::clone),
            inherited: inherited.to_vec(),
            adopted_ns: AtomicU64::new(0),
            loses_children: false,
        }
    }

    /// The processes that it has now.
    pub(crate) fn ids(&self) -> Vec<u32> {
        let all = Processes::now().map(|processes| self.of(&processes, None)).unwrap_or_default();
        all.into_iter().map(|(pid, _)| pid).collect()
    }

    /// Checks whether the server waits for the children that it makes for clients. Called while it serves a
    /// client; `before` are its processes before that.
    pub(crate) fn serving(&mut self, before: &[u32]) {
        let all = Processes::now().map(|processes| self.of(&processes, None)).unwrap_or_default();
        let mut made = all.iter().filter(|(pid, _)| !before.contains(pid));
        let ignored = made.any(|(_, stat)| ignores_ended_children(stat.parent));
        self.loses_children = ignored && self.group.is_none();
    }

    /// Whether the time of children that have ended is unknown, and with it that of the server.
    pub(crate) fn loses_children(&self) -> bool {
        self.loses_children
    }

    /// Its processes among those of the machine. The generator is the other child of this process.
    fn of(&self, processes: &Processes, generator: Option<u32>) -> Vec<(u32, ProcessStat)> {
        let mut found = processes.tree(self.root);
        for pid in self.adopted(processes, generator) {
            found.extend(processes.tree(pid));
        }
        found
    }

    fn adopted(&self, processes: &Processes, generator: Option<u32>) -> Vec<u32> {
        let own = processes.children(std::process::id()).iter().copied();
        let is_other =
            |pid: &u32| *pid == self.root || Some(*pid) == generator || self.inherited.contains(pid);
        own.filter(|pid| !is_other(pid)).collect()
    }

    /// CPU time so far, and how long its running threads have waited for a core. Reaps adopted processes that
    /// have ended, as the system's first process would.
    pub(super) fn times(
        &self,
        processes: &Processes,
        generator: Option<u32>,
    ) -> (Option<Nanos>, Option<Nanos>) {
        let mut all = self.of(processes, generator);
        if all.is_empty() {
            return (None, None);
        }
        let mut adopted = self.adopted(processes, generator);
        adopted.retain(|pid| all.iter().any(|(found, stat)| found == pid && stat.is_zombie));
        for pid in adopted {
            if let Some(used) = reap_child(pid) {
                self.adopted_ns.fetch_add(used.as_nanos() as u64, Relaxed);
                all.retain(|(found, _)| *found != pid);
            }
        }
        let cpu = match &self.group {
            _ if self.loses_children => None,
            Some(group) => {
                exact_cpu(self.root); // reading this clock brings the time of the group up to date, too
                group.cpu_ns()
            }
            None => Some(cpu_of(&all) + self.adopted_ns.load(Relaxed)),
        };
        (cpu, waited_of(&all))
    }

    /// CPU time so far.
    pub(crate) fn cpu(&self) -> Option<Nanos> {
        self.times(&Processes::now()?, None).0
    }

    /// How many processes and threads it has.
    pub(crate) fn tasks(&self) -> Option<usize> {
        Some(tasks_of(&self.of(&Processes::now()?, None)))
    }

    /// Proportional set size of all of its processes, in bytes.
    pub(crate) fn memory_bytes(&self) -> Option<u64> {
        memory_of(&self.of(&Processes::now()?, None))
    }

    /// What it holds now.
    pub(crate) fn holdings(&self) -> Option<Holdings> {
        let processes = Processes::now()?;
        let all = self.of(&processes, None);
        let (zombies, alive): (Vec<_>, Vec<_>) = all.into_iter().partition(|(_, stat)| stat.is_zombie);
        let adopted = self.adopted(&processes, None);
        Some(Holdings {
            // Orphans of the server are children of this process, which must wait for them.
            zombies: zombies.iter().filter(|(pid, _)| !adopted.contains(pid)).count(),
            tasks: tasks_of(&alive),
            descriptors: alive.iter().filter_map(|(pid, _)| Some((*pid, descriptors(*pid)?))).collect(),
        })
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use std::io::Write;
    use std::process::{Command, Stdio};
    use std::time::{Duration, Instant};

    /// A loop of some 100 ms.
    const BUSY: &str = "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done";

    #[test]
    fn the_cpu_time_of_children_counts_whether_they_live_or_were_waited_for() {
        let script = format!("sh -c '{BUSY}'; read line");
        let mut child = Command::new("sh").args(["-c", &script]).stdin(Stdio::piped()).spawn().unwrap();
        let server = ServerProcesses::new(child.id(), None, &own_children(child.id()));
        let deadline = Instant::now() + Duration::from_secs(20);
        // Once the grandchild is gone, its time is that of a child that was waited for.
        while server.tasks() != Some(1) || server.cpu().unwrap() < 30_000_000 {
            assert!(Instant::now() < deadline, "{:?} ns", server.cpu());
            std::thread::sleep(Duration::from_millis(5));
        }
        assert!(server.memory_bytes().is_some_and(|bytes| bytes > 10_000));
        let holdings = server.holdings().unwrap();
        assert_eq!((holdings.zombies, holdings.tasks, holdings.descriptors.len()), (0, 1, 1));
        drop(child.stdin.take());
        child.wait().unwrap();
        assert_eq!(server.cpu(), None, "nothing is left");
    }

    /// Children of other tests do not belong to this server.
    fn own_children(but: u32) -> Vec<u32> {
        super::super::proc::children(std::process::id()).into_iter().filter(|pid| *pid != but).collect()
    }

    #[test]
    fn a_server_that_ignores_the_ends_of_its_children_has_no_cpu_time_without_a_group() {
        let mut ignoring = Command::new("env");
        ignoring.args(["--ignore-signal=CHLD", "sh", "-c", "read line; cat; :"]).stdin(Stdio::piped());
        let mut child = ignoring.spawn().unwrap();
        let mut server = ServerProcesses::new(child.id(), None, &own_children(child.id()));
        server.serving(&[]);
        assert!(!server.loses_children(), "it has no child whose time may be lost");
        let before = server.ids();
        child.stdin.as_mut().unwrap().write_all(b"a client\n").unwrap();
        let deadline = Instant::now() + Duration::from_secs(20);
        while server.ids().len() == before.len() {
            assert!(Instant::now() < deadline);
        }
        server.serving(&before);
        // A shell may reset what it inherits.
        if ignores_ended_children(child.id()) {
            assert!(server.loses_children());
            assert_eq!(server.cpu(), None);
        }
        drop(child.stdin.take());
        child.wait().unwrap();
    }
}
