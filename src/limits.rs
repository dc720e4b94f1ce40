//! The limits of a server: deadlines, sizes and counts, each declared once.
//!
//! An entry of the table below is the only place that names a limit. From it follow the field of [`Limits`]
//! with its default and documentation, and, for the program, the flag of `oneloop serve` with its help, its
//! validation, the manual page, the shell completions and `docs/limits.md`.
//!
//! To add a limit, add an entry and run `ONELOOP_UPDATE_DOCS=1 cargo test --lib limits`, which rewrites
//! `docs/limits.md`:
//!
//! ```text
//! /// What it limits, in one paragraph: the text of `-h`. `other_limit` is shown as that limit's flag.
//! ///
//! /// Why it exists: a second paragraph for `--help` and rustdoc.
//! field_unit: u32 = DEFAULT, Unit(min MIN), "flag", Basic, [];
//! ```
//!
//! `Advanced` in place of `Basic` leaves it out of `-h`. The brackets list what a server must have for the
//! limit to have an effect (`Need`); to set it on another server is reported as a mistake. The limits under
//! `library` have no flag, because no service of the program needs them yet.

/// Declares [`Limits`] and, for the program, the table of [`Setting`]s.
macro_rules! limits {
    ($($heading:literal {
        $(
            $(#[doc = $doc:literal])+
            $field:ident: $type:ty = $default:expr, $unit:ident($(min $min:literal $(, max $max:expr)?)?),
                $flag:literal, $audience:ident, [$($need:ident),*];
        )+
    })+
    library {
        $($(#[doc = $library_doc:literal])+ $library_field:ident: $library_type:ty = $library_default:expr;)+
    }) => {
        /// The limits of one server. `Limits::default()` is meant for a hostile network. A user of the
        /// library sets `HttpConfig::head_bytes_max` in addition to `head_bytes_max`, which only the program
        /// reads.
        ///
        /// ```
        /// use oneloop::limits::Limits;
        ///
        /// let limits = Limits { clients_max: 100, idle_ms: 5_000, ..Limits::default() };
        /// ```
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct Limits {
            $($(
                $(#[doc = $doc])+
                #[doc = ""]
                #[doc = concat!(
                    "Default: `", stringify!($default), "`", unit_suffix!($unit), $("; at least ", $min, $("; at most ", stringify!($max),)?)?
                    ". Flag of `oneloop serve`: `--", $flag, "`."
                )]
                pub $field: $type,
            )+)+
            $(
                $(#[doc = $library_doc])+
                #[doc = ""]
                #[doc = concat!("Default: `", stringify!($library_default), "`.")]
                pub $library_field: $library_type,
            )+
        }

        impl Default for Limits {
            fn default() -> Self {
                Limits { $($($field: $default,)+)+ $($library_field: $library_default,)+ }
            }
        }

        /// Every limit, in the order of `oneloop serve --help`.
        #[cfg(feature = "cli")]
        pub(crate) const SETTINGS: &[Setting] = &[$($(Setting {
            field: stringify!($field),
            flag: $flag,
            heading: $heading,
            doc: &[$($doc),+],
            unit: Unit::$unit,
            bounds: bounds!($type $(, $min $(, $max)?)?),
            choices: <$type as Value>::CHOICES,
            audience: Audience::$audience,
            needs: &[$(Need::$need),*],
            get: |limits| limits.$field.to_number(),
            set: |limits, number| limits.$field = Value::from_number(number),
        },)+)+];
    };
}

/// The unit of a default, as rustdoc shows it.
macro_rules! unit_suffix {
    (Time) => {
        " ms"
    };
    (Bytes) => {
        " bytes"
    };
    ($other:ident) => {
        ""
    };
}

/// The least and the greatest value of a limit.
#[cfg(feature = "cli")]
macro_rules! bounds {
    ($type:ty) => {
        <$type as Value>::BOUNDS
    };
    ($type:ty, $min:literal) => {
        ($min, <$type as Value>::BOUNDS.1)
    };
    ($type:ty, $min:literal, $max:expr) => {
        ($min, $max)
    };
}

limits! {
    "Deadlines" {
        /// How long a client may be idle between requests; 0 means no limit.
        ///
        /// Each request restarts the time, other bytes do not. Without it, idle clients hold slots and
        /// descriptors forever.
        idle_ms: u32 = 60_000, Time(min 0), "idle", Basic, [IdleClients];

        /// How long a request may take from its first byte to its last; 0 means no limit.
        ///
        /// Later bytes do not extend it. Without it, a client that sends one byte per second holds a
        /// slot forever (the "slowloris" attack).
        request_ms: u32 = 30_000, Time(min 0), "request", Basic, [Requests];

        /// A client must read at least `rate_bytes_min` in each period of this length; 0 means no limit.
        ///
        /// It applies while output waits for the client. What a client reads beyond the minimum counts for up
        /// to six periods ahead, because kernels report free space in large steps, however steadily the
        /// client reads. Without it, a client that does not read holds an output buffer and a file forever.
        rate_window_ms: u32 = 10_000, Time(min 0), "rate-window", Basic, [Output];

        /// The least that a client must read in each `rate_window_ms`.
        ///
        /// It should be less than the slowest expected connection transfers in that time.
        rate_bytes_min: u32 = 1024, Bytes(min 0), "rate-bytes", Basic, [Output];

        /// How long a closed connection waits for the client to close its side; 0 closes at once.
        ///
        /// It lasts longer while the client still reads at the minimum rate; then the connection is reset.
        /// Without it, a reset may destroy the last answer on its way (RFC 9112, section 9.6).
        linger_ms: u32 = 2_000, Time(min 0), "linger", Basic, [];

        /// The same as `linger_ms`, for a client that was refused.
        ///
        /// It is short, because refusals must cost less than clients.
        refusal_linger_ms: u32 = 250, Time(min 0), "refusal-linger", Basic, [EarlyAccept];

        /// How long open clients may take to finish when the server is stopped; 0 disconnects them at once.
        ///
        /// Without it, one client could keep the server from stopping.
        drain_ms: u32 = 10_000, Time(min 0), "drain", Basic, [];

        /// How long accepting pauses when no file descriptor is free.
        ///
        /// It resumes earlier when a client ends. Without it, the server would try again in a busy loop.
        accept_pause_ms: u32 = 100, Time(min 0), "accept-pause", Advanced, [EarlyAccept];
    }

    "Limits" {
        /// Clients at once, without refused ones.
        ///
        /// At start `oneloop serve` lowers it to what the limit of file descriptors allows in each process,
        /// after a reserve for the files and directories that http opens. Without it, a crowd takes all
        /// descriptors and memory.
        clients_max: u32 = 16_384, Count(min 1), "clients", Basic, [SeveralClients];

        /// Clients at once from one address (for IPv6: from one /64); 0 means no limit.
        ///
        /// It is off by default: many clients share an address behind a NAT or proxy, and only the operator
        /// knows whether they do.
        clients_per_address_max: u32 = 0, Count(min 0), "clients-per-address", Basic, [EarlyAccept, TcpSocket];

        /// What happens to a client beyond `clients_max`.
        ///
        /// `refuse` reports the overload to the client at once, `wait` hides it, `evict` favours new clients.
        overflow: Overflow = Overflow::Refuse, Choice(), "overflow", Basic, [EarlyAccept];

        /// Connections that wait in the kernel to be accepted, as passed to `listen(2)`.
        ///
        /// The kernel has its own maximum (Linux: `net.core.somaxconn`). Without a queue, connections of a
        /// burst are dropped.
        backlog: u32 = 4096, Count(min 1), "backlog", Basic, [OwnSocket];

        /// Refused clients that may linger at once; others are closed without a last answer.
        ///
        /// Without it, refusals could cost more than clients.
        refusals_max: u32 = 64, Count(min 0), "refusals", Advanced, [EarlyAccept];

        /// Bytes that a lingering client may still send before it is disconnected.
        ///
        /// Without it, a client could send without bound until the end of the linger.
        linger_bytes_max: u32 = 1 << 20, Bytes(min 0), "linger-bytes", Advanced, [];

        /// The longest head of a request, from 10 KiB to 256 KiB: its line, of up to 8 KiB, and its fields.
        ///
        /// A client with many cookies needs more. It counts as input: within `buffers_bytes_max` for all
        /// clients together, and `inbox_bytes_max` is raised to it. Without it, a client that never ends its
        /// head fills the memory.
        head_bytes_max: u32 = 16 << 10, Bytes(min 10240, max 256 << 10), "head-bytes", Basic, [Requests];

        /// Unconsumed input kept for one client; for http at least `head_bytes_max`.
        ///
        /// A session that processes only complete requests, or parts of them, can receive at most this many
        /// bytes at a time. The default is 64 KiB, as much as programs commonly write at once, and a page.
        inbox_bytes_max: u32 = 68 << 10, Bytes(min 512), "inbox", Advanced, [];

        /// Unsent output kept for one client.
        ///
        /// It bounds the memory that a client costs if it does not read.
        outbox_bytes_max: u32 = 68 << 10, Bytes(min 1024), "outbox", Advanced, [];

        /// Memory for input and output of all clients of one process together; 0 means no limit.
        ///
        /// It covers unconsumed input, unsent output with the requests of its answers, and the memory of
        /// sessions for answers in progress. Beyond it, the clients with the largest buffers are reset; each
        /// of several workers has an equal share. Without it, many clients that do not read could each take
        /// the limit of one client.
        buffers_bytes_max: u64 = 256 << 20, Bytes(min 0), "buffers", Basic, [SharedBuffers];
    }

    "Fairness: what one client may take before the others have their turn" {
        /// The most bytes of one read.
        ///
        /// A full read is followed by another, which often finds nothing; so it should be more than one
        /// message. The default is 64 KiB, as much as programs commonly write at once, and a page.
        read_bytes: u32 = 68 << 10, Bytes(min 1), "read-bytes", Advanced, [];

        /// Reads of one client per turn, while its session waits for input.
        ///
        /// Without it, a client that floods the server starves the others.
        reads_per_turn_max: u32 = 4, Count(min 1), "reads-per-turn", Advanced, [EventLoop];

        /// Calls of one session per turn.
        ///
        /// Without it, a session that always has more output starves the others.
        advances_per_turn_max: u32 = 16, Count(min 1), "advances-per-turn", Advanced, [];

        /// Bytes written to one client per turn.
        ///
        /// The default fits a file of 1 MiB with its head, which the kernel copies in about 0.1 ms. Without
        /// it, a big file starves the others.
        write_bytes_per_turn_max: u32 = (1 << 20) + (4 << 10), Bytes(min 1), "write-per-turn", Advanced, [];

        /// New clients of one listener per turn.
        ///
        /// Without it, a burst of new clients starves the open ones.
        accepts_per_turn_max: u32 = 64, Count(min 1), "accepts-per-turn", Advanced, [EarlyAccept];

        /// Events taken from one wait; the rest stay in the kernel for the next turn.
        ///
        /// It bounds the memory for events and how long a turn lasts.
        events_per_turn_max: u32 = 1024, Count(min 1, max 1 << 20), "events-per-turn", Advanced, [EventLoop];

        /// Calls in a row in which a session asks to be called again, although it neither consumes nor
        /// produces a byte.
        ///
        /// Without it, a faulty session is a busy loop.
        again_max: u32 = 1 << 16, Count(min 1), "again", Advanced, [];
    }

    library {
        /// How long the handshakes of a client's layers may take, in ms; 0 means no limit.
        ///
        /// Later bytes do not extend it. Without it, a client that never completes a handshake holds a slot
        /// forever.
        handshake_ms: u32 = 10_000;
    }
}

/// What happens to a client beyond [`Limits::clients_max`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Overflow {
    /// It is accepted, gets the service's refusal, if there is one, and is closed.
    Refuse,
    /// It waits in the kernel's backlog until a client ends.
    Wait,
    /// The client that has been idle longest is closed to make room; if none is idle, the new client is
    /// refused.
    Evict,
}

#[cfg(feature = "cli")]
use table::Value;
#[cfg(feature = "cli")]
pub(crate) use table::{Audience, Need, Setting, Unit};

/// What the table of settings is made of.
#[cfg(feature = "cli")]
mod table {
    use super::{Limits, Overflow};

    /// A limit, as declared.
    pub(crate) struct Setting {
        /// The field of [`Limits`].
        pub(crate) field: &'static str,
        /// The flag, without dashes.
        pub(crate) flag: &'static str,
        /// The heading in the help.
        pub(crate) heading: &'static str,
        /// The lines of its documentation.
        pub(crate) doc: &'static [&'static str],
        pub(crate) unit: Unit,
        /// The least and the greatest value.
        pub(crate) bounds: (u64, u64),
        /// Names and meanings of the values of [`Unit::Choice`], by number.
        pub(crate) choices: &'static [(&'static str, &'static str)],
        pub(crate) audience: Audience,
        /// All of these must hold for it to have an effect.
        pub(crate) needs: &'static [Need],
        pub(crate) get: fn(&Limits) -> u64,
        pub(crate) set: fn(&mut Limits, u64),
    }

    /// In what a limit is typed and shown.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) enum Unit {
        /// Milliseconds, typed as `30s` or `200ms`.
        Time,
        /// Bytes, typed as `64KiB`.
        Bytes,
        /// A number, typed as `64` or `10k`.
        Count,
        /// One of several words.
        Choice,
    }

    /// The operators that a limit is for.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) enum Audience {
        /// Every operator: shown by `-h` and `--help`.
        Basic,
        /// Few: shown by `--help` only.
        Advanced,
    }

    /// What a server must have for an option to have an effect.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) enum Need {
        /// A service whose clients may be idle.
        IdleClients,
        /// A service with requests that take [`Limits::request_ms`] at most.
        Requests,
        /// A service that sends more than a client must take at once.
        Output,
        /// A model that serves several clients at once.
        SeveralClients,
        /// A model that accepts a client before it can serve it, and so can refuse it.
        EarlyAccept,
        /// A model whose clients have their buffers in one process.
        SharedBuffers,
        /// The reactor.
        EventLoop,
        /// A TCP socket.
        TcpSocket,
        /// A socket that the program binds itself.
        OwnSocket,
    }

    /// A type of a limit, as a number.
    pub(super) trait Value: Copy {
        const BOUNDS: (u64, u64);
        const CHOICES: &'static [(&'static str, &'static str)] = &[];
        fn to_number(self) -> u64;
        /// The value of a number within the bounds.
        fn from_number(number: u64) -> Self;
    }

    impl Value for u32 {
        const BOUNDS: (u64, u64) = (0, u32::MAX as u64);

        fn to_number(self) -> u64 {
            self.into()
        }

        fn from_number(number: u64) -> Self {
            u32::try_from(number).unwrap_or(u32::MAX)
        }
    }

    impl Value for u64 {
        const BOUNDS: (u64, u64) = (0, u64::MAX);

        fn to_number(self) -> u64 {
            self
        }

        fn from_number(number: u64) -> Self {
            number
        }
    }

    impl Overflow {
        const ALL: [Overflow; 3] = [Overflow::Refuse, Overflow::Wait, Overflow::Evict];
    }

    impl Value for Overflow {
        const BOUNDS: (u64, u64) = (0, Self::CHOICES.len() as u64 - 1);
        const CHOICES: &'static [(&'static str, &'static str)] = &[
            ("refuse", "It gets the service's refusal, if there is one, and is closed"),
            ("wait", "It waits in the kernel's queue until another client ends"),
            ("evict", "The client that has been idle longest is closed to make room"),
        ];

        fn to_number(self) -> u64 {
            Overflow::ALL.iter().position(|value| *value == self).unwrap_or(0) as u64
        }

        fn from_number(number: u64) -> Self {
            Overflow::ALL.get(number as usize).copied().unwrap_or(Overflow::Refuse)
        }
    }
}
