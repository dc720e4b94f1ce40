//! A control group for measured processes (Linux, cgroup v2): its CPU time includes processes that have
//! ended, however they ended, and processes that have left their parent.
#![allow(unsafe_code)]

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A control group below that of this process. It is removed when this is dropped, if it is empty then.
#[derive(Debug)]
pub(crate) struct ControlGroup {
    path: PathBuf,
    processes: File,
}

impl ControlGroup {
    /// Creates a group with this name. Fails without permission (on most systems, without privileges) or
    /// without cgroup v2.
    pub(crate) fn create(name: &str) -> io::Result<ControlGroup> {
        let path = own_group()?.join(name);
        fs::create_dir(&path)?;
        let processes = OpenOptions::new().write(true).open(path.join("cgroup.procs"));
        let processes = processes.inspect_err(|_| {
            let _ = fs::remove_dir(&path); // the error to report is that of the file
        })?;
        let group = ControlGroup { path, processes };
        // A group may be made and still take no process in.
        let mut trial = Command::new("true");
        trial.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        group.take_in(&mut trial)?;
        trial.status()?;
        group.cpu_ns().ok_or(io::ErrorKind::Unsupported)?;
        Ok(group)
    }

    /// Puts the program that this command starts, and all of its descendants, into the group.
    pub(crate) fn take_in(&self, command: &mut Command) -> io::Result<()> {
        let processes = self.processes.try_clone()?;
        let enter = move || {
            // 0 is the process that writes.
            nix::unistd::write(processes.as_fd(), b"0")?;
            Ok(())
        };
        // SAFETY: between fork and exec it makes one system call, and neither allocates nor locks.
        unsafe { command.pre_exec(enter) };
        Ok(())
    }

    /// CPU time of all processes that are or were in the group, in ns, exact to a µs. A process that runs on
    /// another core at this moment counts up to its last timer tick.
    pub(crate) fn cpu_ns(&self) -> Option<u64> {
        let stat = fs::read_to_string(self.path.join("cpu.stat")).ok()?;
        let used_us: u64 = stat.lines().find_map(|line| line.strip_prefix("usage_usec "))?.parse().ok()?;
        Some(used_us * 1000)
    }
}

impl Drop for ControlGroup {
    fn drop(&mut self) {
        // Processes that could not be ended keep it; it costs nothing then.
        let _ = fs::remove_dir(&self.path);
    }
}

/// The directory of this process's own group.
fn own_group() -> io::Result<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mountinfo")?;
    let groups = fs::read_to_string("/proc/self/cgroup")?;
    parse_own_group(&mounts, &groups).ok_or_else(|| io::ErrorKind::Unsupported.into())
}

/// From the mounts (proc(5): the fifth field is the mount point) and the groups of a process (cgroups(7):
/// that of version 2 has the number 0).
fn parse_own_group(mounts: &str, groups: &str) -> Option<PathBuf> {
    let mount = mounts.lines().find(|line| line.contains(" - cgroup2 "))?.split(' ').nth(4)?;
    let own = groups.lines().find_map(|line| line.strip_prefix("0::/"))?;
    Some(Path::new(mount).join(own))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_own_group_is_found_below_the_mount_of_version_2() {
        let mounts = "31 1 0:1 / /sys/fs/cgroup rw - tmpfs t rw\n41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 c rw\n";
        let groups = "4:memory:/other\n0::/user.slice/a.scope\n";
        let found = parse_own_group(mounts, groups);
        assert_eq!(found, Some(PathBuf::from("/sys/fs/cgroup/unified/user.slice/a.scope")));
        assert_eq!(
            parse_own_group(mounts, "0::/\n"),
            Some(PathBuf::from("/sys/fs/cgroup/unified/")),
            "the root"
        );
        assert_eq!(parse_own_group("", groups), None);
        assert_eq!(parse_own_group(mounts, "4:memory:/\n"), None, "version 1 alone");
    }

    #[test]
    fn the_time_of_processes_that_have_ended_is_counted() {
        let name = format!("oneloop-test-{}", std::process::id());
        let Ok(group) = ControlGroup::create(&name) else { return };
        let before = group.cpu_ns().unwrap();
        let mut shell = Command::new("sh");
        shell.args(["-c", "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done"]);
        group.take_in(&mut shell).unwrap();
        assert!(shell.status().unwrap().success());
        let used_ns = group.cpu_ns().unwrap() - before;
        assert!(used_ns > 10_000_000, "{used_ns}");
        let path = group.path.clone();
        drop(group);
        assert!(!path.exists(), "it is removed");
    }
}
