//! The machine, as far as the system describes it.

use std::fs;

use nix::sys::resource::{Resource, getrlimit};
use serde::{Deserialize, Serialize};

use crate::judge::repeats::Cores;
use crate::lab::plan::experiment::SystemLimits;

/// The machine, its kernel and its limits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Machine {
    /// Operating system and kernel version.
    pub(crate) kernel: String,
    /// The name of the processor.
    pub(crate) processor: String,
    /// Cores that this process may use.
    pub(crate) cores: Vec<usize>,
    /// Main memory, in bytes.
    pub(crate) memory_bytes: Option<u64>,
    /// Descriptors per process: after raising, and the hard limit.
    pub(crate) descriptors_max: (u64, u64),
    /// Processes and threads that may exist.
    pub(crate) processes_max: Option<u64>,
    /// Settings of the kernel that matter here, by name.
    pub(crate) settings: Vec<(String, String)>,
    /// The cores of server and generator, and whether they are pinned.
    pub(crate) placement: String,
    /// What cannot be sampled here.
    pub(crate) not_sampled: Vec<String>,
}

impl Machine {
    /// What it allows.
    pub(crate) fn allowed(&self) -> SystemLimits {
        SystemLimits { processes_max: self.processes_max, descriptors_max: self.descriptors_max.0 }
    }

    /// Whether server and generator have cores of their own.
    pub(crate) fn core_sharing(&self) -> Cores {
        if self.cores.len() > 1 { Cores::Separate } else { Cores::Shared }
    }
}

/// Inspects the machine. `placement` is the text for [`Machine::placement`].
pub(crate) fn inspect(cores: Vec<usize>, placement: String) -> Machine {
    let mut not_sampled = Vec::new();
    if !cfg!(target_os = "linux") {
        not_sampled.push(
            "CPU time, memory and listen queues of servers are read from /proc, which this system does not have; \
             only what the generator sees is measured"
                .to_owned(),
        );
    }
    Machine {
        kernel: kernel(),
        processor: processor(),
        cores,
        memory_bytes: memory_bytes(),
        descriptors_max: getrlimit(Resource::RLIMIT_NOFILE).unwrap_or((0, 0)),
        processes_max: processes_max(),
        settings: settings(),
        placement,
        not_sampled,
    }
}

fn kernel() -> String {
    let text = |path| fs::read_to_string(path).ok().map(|text| text.trim().to_owned());
    match (text("/proc/sys/kernel/ostype"), text("/proc/sys/kernel/osrelease")) {
        (Some(system), Some(release)) => format!("{system} {release}"),
        _ => format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
    }
}

fn processor() -> String {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    name.map_or_else(|| std::env::consts::ARCH.to_owned(), |(_, name)| name.trim().to_owned())
}

fn memory_bytes() -> Option<u64> {
    let meminfo = fs::read_to_string("/proc/meminfo").ok()?;
    let kib: u64 = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?
        .split_whitespace()
        .next()?
        .parse()
        .ok()?;
    Some(kib << 10)
}

/// The smallest of the limits on processes and threads.
fn processes_max() -> Option<u64> {
    let number = |path: &str| fs::read_to_string(path).ok()?.trim().parse::<u64>().ok();
    let limits = [
        number("/proc/sys/kernel/pid_max"),
        number("/proc/sys/kernel/threads-max"),
        #[cfg(target_os = "linux")]
        getrlimit(Resource::RLIMIT_NPROC).ok().map(|(soft, _)| soft),
    ];
    limits.into_iter().flatten().min()
}

fn settings() -> Vec<(String, String)> {
    const NAMES: [&str; 7] = [
        "net/core/somaxconn",
        "net/ipv4/tcp_max_syn_backlog",
        "net/ipv4/ip_local_port_range",
        "net/ipv4/tcp_tw_reuse",
        "net/ipv4/tcp_syncookies",
        "net/ipv4/tcp_abort_on_overflow",
        "kernel/pid_max",
    ];
    let mut settings: Vec<(String, String)> = NAMES
        .iter()
        .filter_map(|name| {
            let value = fs::read_to_string(format!("/proc/sys/{name}")).ok()?;
            Some((name.replace('/', "."), value.split_whitespace().collect::<Vec<_>>().join(" ")))
        })
        .collect();
    let governor = fs::read_to_string("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor");
    settings.extend(governor.ok().map(|name| ("cpufreq governor".to_owned(), name.trim().to_owned())));
    settings
}
