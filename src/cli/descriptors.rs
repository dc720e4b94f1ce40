//! How many clients and files the limit of file descriptors allows.

use crate::limits::Limits;

/// Descriptors for neither clients nor listeners: standard streams, poll, waker, signals, log, and some spare
/// ones, with which small files are read.
const OWN_DESCRIPTORS: u32 = 16;

/// What shares the descriptors of a process.
#[derive(Clone, Copy)]
pub(super) struct Sharing {
    /// Descriptors that a process may have open.
    pub(super) descriptors: u64,
    pub(super) listeners: usize,
    /// Descriptors reserved for files and directories of the services. Without the reserve, clients would
    /// take all descriptors, and the files they request could not be opened.
    pub(super) files: usize,
    /// How many processes divide the clients among them; `None`: each client has its own process.
    pub(super) processes: Option<usize>,
    /// Whether the user gave the number of clients.
    pub(super) clients_given: bool,
}

/// Lowers the limits of clients and refusals to the available descriptors, and logs that. Returns how many
/// files and directories may be open: the rest, but at least [`Sharing::files`], or half of all descriptors
/// if that is less.
pub(super) fn fit(limits: &mut Limits, sharing: Sharing) -> usize {
    let descriptors = u32::try_from(sharing.descriptors).unwrap_or(u32::MAX);
    limits.refusals_max = limits.refusals_max.min(descriptors / 8);
    // Half of the descriptors is for clients, however many services there are.
    let files = u32::try_from(sharing.files).unwrap_or(u32::MAX).min(descriptors / 2);
    let own = OWN_DESCRIPTORS + sharing.listeners as u32 + limits.refusals_max;
    let Some(processes) = sharing.processes.map(|processes| processes.max(1) as u32) else {
        return files as usize;
    };
    let most = descriptors.saturating_sub(own + files).max(1).saturating_mul(processes);
    if limits.clients_max > most {
        let each = if processes > 1 { format!(" in each of {processes} processes") } else { String::new() };
        let beside = if files > 0 { format!(" beside {files} open files") } else { String::new() };
        // Few miss what is lowered of a default.
        let level = if sharing.clients_given { log::Level::Warn } else { log::Level::Info };
        log::log!(
            level,
            "{descriptors} file descriptors{each} allow {most} clients at once{beside}, not {}; raise the limit (ulimit -n)",
            limits.clients_max
        );
        limits.clients_max = most;
    }
    let clients = limits.clients_max.div_ceil(processes);
    descriptors.saturating_sub(own.saturating_add(clients)).max(files) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_fit_into_the_descriptors_there_are() {
        let fitted = |limits: Limits, descriptors, files, processes| {
            let mut limits = limits;
            let files = fit(
                &mut limits,
                Sharing { descriptors, listeners: 2, files, processes, clients_given: true },
            );
            (limits.clients_max, files)
        };
        let one = |descriptors, files| fitted(Limits::default(), descriptors, files, Some(1));
        let all = Limits::default().clients_max;
        assert_eq!(one(64, 0), (64 - 8 - 16 - 2, 0));
        assert_eq!(one(64, 5), (64 - 8 - 16 - 2 - 5, 5), "files have their own");
        assert_eq!(one(64, 1_000), (64 - 8 - 16 - 2 - 32, 32), "but not more than half of all");
        assert_eq!(one(4, 1).0, 1);
        assert_eq!(
            one(1 << 20, 128),
            (all, (1 << 20) - 64 - 16 - 2 - all as usize),
            "what is left is for files"
        );
        let few = Limits { clients_max: 5, ..Limits::default() };
        assert_eq!(
            fitted(few, 64, 5, Some(1)),
            (5, 64 - 8 - 16 - 2 - 5),
            "fewer clients leave more for files"
        );
        let most = 64 - 8 - 16 - 2;
        assert_eq!(fitted(Limits::default(), 64, 0, Some(4)).0, 4 * most, "each process has its own");
        assert_eq!(fitted(Limits::default(), 64, 5, None), (all, 5), "and so has each client's");
        let mut limits = Limits::default();
        fit(
            &mut limits,
            Sharing { descriptors: 64, listeners: 2, files: 0, processes: Some(1), clients_given: true },
        );
        assert_eq!(limits.refusals_max, 8);
    }
}
