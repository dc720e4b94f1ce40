//! Flags for every limit and deadline.

use clap::{Args, ValueEnum};

use super::units::{Bytes, Ms, Size, count};
use crate::limits::{Limits, Overflow};

/// What happens to a client over `--clients`.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum OverflowArg {
    /// It is told so where the service has words for it, and closed
    Refuse,
    /// It waits in the queue of the kernel until another client ends
    Wait,
    /// The client that has been idle longest ends in its favour
    Evict,
}

#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Deadlines (0 is off; of --drain and --accept-pause: none)")]
struct DeadlineArgs {
    /// How long a client may be idle between requests
    #[arg(long, value_name = "TIME", default_value_t = Ms(Limits::default().idle_ms))]
    idle: Ms,
    /// How long a request may take from its first byte to its last
    #[arg(long, value_name = "TIME", default_value_t = Ms(Limits::default().request_ms))]
    request: Ms,
    /// A client that has something to read takes at least --rate-bytes in each such time; what it takes beyond that
    /// counts for up to six of them ahead
    #[arg(long, value_name = "TIME", default_value_t = Ms(Limits::default().rate_window_ms))]
    rate_window: Ms,
    /// See --rate-window
    #[arg(long, value_name = "SIZE", default_value_t = Bytes(Limits::default().rate_bytes_min))]
    rate_bytes: Bytes,
    /// How long a closed connection waits for the client's own close, so that it gets the last answer whole; longer while the
    /// client takes it at the minimum rate
    #[arg(long, value_name = "TIME", default_value_t = Ms(Limits::default().linger_ms))]
    linger: Ms,
    /// The same for a client that was refused
    #[arg(long, value_name = "TIME", default_value_t = Ms(Limits::default().refusal_linger_ms))]
    refusal_linger: Ms,
    /// How long open clients may take to finish when the server is stopped; 0 cuts them at once
    #[arg(long, value_name = "TIME", default_value_t = Ms(Limits::default().drain_ms))]
    drain: Ms,
    /// How long accepting pauses when there are no file descriptors and no client ends
    #[arg(long, value_name = "TIME", default_value_t = Ms(Limits::default().accept_pause_ms), hide_short_help = true)]
    accept_pause: Ms,
}

#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Limits")]
struct ClientArgs {
    /// Clients at once; lowered at start to what the limit of file descriptors (of each process) allows beside a reserve for the
    /// files and directories that http has open
    #[arg(long, value_name = "N", default_value_t = Limits::default().clients_max,
          value_parser = count::<1, { u32::MAX }>)]
    clients: u32,
    /// Clients at once from one address (for IPv6: from one /64); 0 is off
    #[arg(long, value_name = "N", default_value_t = Limits::default().clients_per_address_max,
          value_parser = count::<0, { u32::MAX }>)]
    clients_per_address: u32,
    /// What happens to a client over --clients
    #[arg(long, value_enum, default_value = "refuse")]
    overflow: OverflowArg,
    /// Connections that wait in the kernel to be accepted; the kernel has its own maximum (net.core.somaxconn)
    #[arg(long, value_name = "N", default_value_t = Limits::default().backlog,
          value_parser = count::<1, { u32::MAX }>)]
    backlog: u32,
    /// Refused clients that may linger at once; more are closed without last words
    #[arg(long, value_name = "N", default_value_t = Limits::default().refusals_max, hide_short_help = true,
          value_parser = count::<0, { u32::MAX }>)]
    refusals: u32,
    /// What a lingering client may still send
    #[arg(long, value_name = "SIZE", default_value_t = Bytes(Limits::default().linger_bytes_max), hide_short_help = true)]
    linger_bytes: Bytes,
    /// Input kept for one client; for http at least 16 KiB, the longest head of a request
    #[arg(long, value_name = "SIZE", default_value_t = Bytes(Limits::default().inbox_bytes_max), hide_short_help = true,
          value_parser = at_least::<512>)]
    inbox: Bytes,
    /// Output kept for one client: what one that does not read costs
    #[arg(long, value_name = "SIZE", default_value_t = Bytes(Limits::default().outbox_bytes_max), hide_short_help = true,
          value_parser = at_least::<1024>)]
    outbox: Bytes,
    /// Input and output kept for all clients together; over it the clients for whom most is kept are reset; 0 is off. With
    /// --workers each loop has an equal share
    #[arg(long, value_name = "SIZE", default_value_t = Size(Limits::default().buffers_bytes_max))]
    buffers: Size,
}

#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Fairness: what one client may take before the others have their turn")]
struct TurnArgs {
    /// Bytes asked of one read
    #[arg(long, value_name = "SIZE", default_value_t = Bytes(Limits::default().read_bytes), hide_short_help = true,
          value_parser = at_least::<1>)]
    read_bytes: Bytes,
    /// Reads of one client
    #[arg(long, value_name = "N", default_value_t = Limits::default().reads_per_turn_max, hide_short_help = true,
          value_parser = count::<1, { u32::MAX }>)]
    reads_per_turn: u32,
    /// Calls of one session
    #[arg(long, value_name = "N", default_value_t = Limits::default().advances_per_turn_max, hide_short_help = true,
          value_parser = count::<1, { u32::MAX }>)]
    advances_per_turn: u32,
    /// Bytes written to one client
    #[arg(long, value_name = "SIZE", default_value_t = Bytes(Limits::default().write_bytes_per_turn_max),
          hide_short_help = true, value_parser = at_least::<1>)]
    write_per_turn: Bytes,
    /// New clients of one listener
    #[arg(long, value_name = "N", default_value_t = Limits::default().accepts_per_turn_max, hide_short_help = true,
          value_parser = count::<1, { u32::MAX }>)]
    accepts_per_turn: u32,
    /// Events taken from one wait
    #[arg(long, value_name = "N", default_value_t = Limits::default().events_per_turn_max, hide_short_help = true,
          value_parser = count::<1, { 1 << 20 }>)]
    events_per_turn: u32,
    /// Calls in a row in which a session neither takes nor gives a byte and asks to be called again
    #[arg(long, value_name = "N", default_value_t = Limits::default().again_max, hide_short_help = true,
          value_parser = count::<1, { u32::MAX }>)]
    again: u32,
}

/// Flags for every limit and deadline.
#[derive(Clone, Debug, Args)]
pub(super) struct LimitArgs {
    #[command(flatten)]
    deadlines: DeadlineArgs,
    #[command(flatten)]
    clients: ClientArgs,
    #[command(flatten)]
    turn: TurnArgs,
}

/// A size without which nothing could be served.
fn at_least<const LEAST: u32>(text: &str) -> Result<Bytes, String> {
    let bytes: Bytes = text.parse()?;
    if bytes.0 < LEAST { Err(format!("it must be at least {}", Bytes(LEAST))) } else { Ok(bytes) }
}

impl From<&LimitArgs> for Limits {
    fn from(args: &LimitArgs) -> Self {
        let LimitArgs { deadlines, clients, turn } = args;
        Limits {
            idle_ms: deadlines.idle.0,
            request_ms: deadlines.request.0,
            rate_window_ms: deadlines.rate_window.0,
            rate_bytes_min: deadlines.rate_bytes.0,
            linger_ms: deadlines.linger.0,
            linger_bytes_max: clients.linger_bytes.0,
            refusal_linger_ms: deadlines.refusal_linger.0,
            refusals_max: clients.refusals,
            drain_ms: deadlines.drain.0,
            clients_max: clients.clients,
            clients_per_address_max: clients.clients_per_address,
            overflow: match clients.overflow {
                OverflowArg::Refuse => Overflow::Refuse,
                OverflowArg::Wait => Overflow::Wait,
                OverflowArg::Evict => Overflow::Evict,
            },
            backlog: clients.backlog,
            inbox_bytes_max: clients.inbox.0,
            outbox_bytes_max: clients.outbox.0,
            buffers_bytes_max: clients.buffers.0,
            read_bytes: turn.read_bytes.0,
            reads_per_turn_max: turn.reads_per_turn,
            advances_per_turn_max: turn.advances_per_turn,
            write_bytes_per_turn_max: turn.write_per_turn.0,
            accepts_per_turn_max: turn.accepts_per_turn,
            events_per_turn_max: turn.events_per_turn,
            again_max: turn.again,
            accept_pause_ms: deadlines.accept_pause.0,
        }
    }
}

/// Descriptors that are no client's and no listener's: standard streams, poll, waker, signals, log, and some to spare, with
/// which small files are read.
const OWN_DESCRIPTORS: u32 = 16;

/// Who shares the descriptors of a process.
#[derive(Clone, Copy)]
pub(super) struct Sharing {
    /// Descriptors that a process may have.
    pub(super) descriptors: u64,
    pub(super) listeners: usize,
    /// What the services have open at least, files and directories: without a reserve for them clients alone take all
    /// descriptors, and then each of them is told that there is none for its file.
    pub(super) files: usize,
    /// Among how many processes the clients are divided; `None`: each client has one of its own.
    pub(super) processes: Option<usize>,
}

/// Lowers what needs a descriptor each to what there is, and says so. The rest is for files: how many of them, and of
/// directories, may be open, at least [`Sharing::files`] or half of all descriptors.
pub(super) fn fit(limits: &mut Limits, sharing: Sharing) -> usize {
    let descriptors = u32::try_from(sharing.descriptors).unwrap_or(u32::MAX);
    limits.refusals_max = limits.refusals_max.min(descriptors / 8);
    // However many services there are, half of all is for clients.
    let files = u32::try_from(sharing.files).unwrap_or(u32::MAX).min(descriptors / 2);
    let own = OWN_DESCRIPTORS + sharing.listeners as u32 + limits.refusals_max;
    let Some(processes) = sharing.processes.map(|processes| processes.max(1) as u32) else {
        return files as usize;
    };
    let most = descriptors.saturating_sub(own + files).max(1).saturating_mul(processes);
    if limits.clients_max > most {
        let each = if processes > 1 { format!(" in each of {processes} processes") } else { String::new() };
        let beside = if files > 0 { format!(" beside {files} open files") } else { String::new() };
        log::warn!(
            "{descriptors} file descriptors{each} allow {most} clients at once{beside}, not {}; raise the limit (ulimit -n) \
             for more",
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
    use clap::Parser;

    #[derive(Parser)]
    struct Alone {
        #[command(flatten)]
        args: LimitArgs,
    }

    fn parsed(args: &[&str]) -> Limits {
        let alone = Alone::try_parse_from([&["x"], args].concat());
        Limits::from(&alone.unwrap_or_else(|error| panic!("{error}")).args)
    }

    #[test]
    fn without_a_flag_all_limits_are_the_defaults() {
        assert_eq!(parsed(&[]), Limits::default());
    }

    #[test]
    fn flags_set_limits_in_their_units() {
        let limits =
            parsed(&["--idle=0", "--drain=1h", "--linger-bytes=64KiB", "--overflow=evict", "--clients=2"]);
        assert_eq!((limits.idle_ms, limits.drain_ms, limits.linger_bytes_max), (0, 3_600_000, 65_536));
        assert_eq!((limits.overflow, limits.clients_max), (Overflow::Evict, 2));
    }

    #[test]
    fn a_limit_that_would_serve_nobody_is_refused() {
        for flag in
            ["--clients=0", "--backlog=0", "--inbox=1", "--outbox=1", "--read-bytes=0", "--reads-per-turn=0"]
        {
            assert!(Alone::try_parse_from(["x", flag]).is_err(), "{flag}");
        }
    }

    #[test]
    fn clients_fit_into_the_descriptors_there_are() {
        let fitted = |limits: Limits, descriptors, files, processes| {
            let mut limits = limits;
            let files = fit(&mut limits, Sharing { descriptors, listeners: 2, files, processes });
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
        fit(&mut limits, Sharing { descriptors: 64, listeners: 2, files: 0, processes: Some(1) });
        assert_eq!(limits.refusals_max, 8);
    }
}
