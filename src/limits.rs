//! Every bound of the program in one place: the unit in the name, the reason beside it.
//!
//! A deadline or count of `0` is off, where the comment says so. A bound without which nothing could move (bytes kept or
//! asked of a read, what is done per turn) is at least 1.

/// The bounds of one server. `Limits::default()` is meant for a hostile network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How long a client may be without a request, in ms; it restarts with each request. `0` is off.
    /// Without it idle clients hold slots and descriptors for ever.
    pub idle_ms: u32,
    /// How long the rest of a request may take from its first byte, in ms, absolute. `0` is off.
    /// Without it a byte a second holds a slot for ever (the "slowloris" attack).
    pub request_ms: u32,
    /// The window in which a client that must read owes `rate_bytes_min`, in ms. `0` is off.
    /// Without it a client that does not read holds an outbox and a file for ever. What a client takes beyond its duty counts
    /// for up to six windows ahead: a kernel tells of room in large steps, however steadily the client's program reads.
    pub rate_window_ms: u32,
    /// What a client that must read takes at least per `rate_window_ms`, in bytes.
    pub rate_bytes_min: u32,
    /// How long a closed connection waits for the client's own close, in ms, absolute. `0` closes at once. A client that has
    /// yet to take more than the kernel sends at once may go on at the minimum rate; then it is reset.
    /// Without lingering a reset may destroy the last reply on its way (RFC 9112, section 9.6).
    pub linger_ms: u32,
    /// What a lingering client may still send before it is cut, in bytes.
    pub linger_bytes_max: u32,
    /// How long a refused client lingers so that the last words arrive, in ms.
    pub refusal_linger_ms: u32,
    /// How many refused clients may linger at once; the others are closed plainly.
    /// Without it refusals would cost more than clients.
    pub refusals_max: u32,
    /// How long a drain may take, in ms, absolute. `0` is no drain: clients are cut at once.
    pub drain_ms: u32,
    /// Clients at once, refused ones apart.
    pub clients_max: u32,
    /// Clients at once from one address (IPv4 address, IPv6 /64). `0` is off: many clients share an address
    /// behind a translator or a proxy, so only the operator can know.
    pub clients_per_address_max: u32,
    /// What happens to a client over `clients_max`.
    pub overflow: Overflow,
    /// Connections the kernel queues before `accept`, as asked of `listen(2)`; the kernel has its own maximum.
    pub backlog: u32,
    /// Unconsumed bytes kept for one client: the longest unit a session can ask for whole.
    pub inbox_bytes_max: u32,
    /// Unsent bytes kept for one client: what a client that does not read costs.
    pub outbox_bytes_max: u32,
    /// The buffers of all clients of one process together, in bytes: unconsumed input, unsent output with the records of its
    /// answers, and what sessions keep for an answer. `0` is off. Over it, the clients with the largest buffers are reset.
    /// Without it the bounds for one client, times the clients, are what a crowd that does not read can take.
    pub buffers_bytes_max: u64,
    /// Bytes asked of one read: the loop's scratch space. A read that brings so many is followed by another, which often
    /// finds nothing: more than one message has is best.
    pub read_bytes: u32,
    /// Reads of one client per turn, while its session waits for input; else there is at most one for each of its calls.
    /// Without it a client that floods starves the others.
    pub reads_per_turn_max: u32,
    /// Calls of one session per turn. Without it a session that always has more to say starves the others.
    pub advances_per_turn_max: u32,
    /// Bytes written to one client per turn: a file of 1 MiB with its head, which takes the kernel about 0.1 ms. Without
    /// it a big file starves the others.
    pub write_bytes_per_turn_max: u32,
    /// Accepts of one listener per turn. Without it a storm of new clients starves the open ones.
    pub accepts_per_turn_max: u32,
    /// Events taken from one wait; the rest stay in the kernel for the next turn.
    pub events_per_turn_max: u32,
    /// Calls in a row in which a session asks to be called again and neither takes nor gives a byte.
    /// Without it a session's mistake is a spin.
    pub again_max: u32,
    /// How long accepting pauses without file descriptors when no client ends before that, in ms.
    pub accept_pause_ms: u32,
}

/// What happens to a client over `clients_max`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overflow {
    /// It is accepted, told the service's last words and closed.
    Refuse,
    /// It waits in the kernel's backlog until a client ends.
    Wait,
    /// The client that has been idle longest ends in its favour; if none is idle, it is refused.
    Evict,
}

/// 64 KiB, as much as programs commonly write at once, and a page more: so the read that takes all of it is shorter than asked,
/// which says without a further read that nothing is left.
const MESSAGE_BYTES: u32 = (64 << 10) + (4 << 10);

impl Default for Limits {
    fn default() -> Self {
        Limits {
            idle_ms: 60_000,
            request_ms: 30_000,
            rate_window_ms: 10_000,
            rate_bytes_min: 1024,
            linger_ms: 2_000,
            linger_bytes_max: 1 << 20,
            refusal_linger_ms: 250,
            refusals_max: 64,
            drain_ms: 10_000,
            clients_max: 16_384,
            clients_per_address_max: 0,
            overflow: Overflow::Refuse,
            backlog: 4096,
            inbox_bytes_max: MESSAGE_BYTES,
            outbox_bytes_max: MESSAGE_BYTES,
            buffers_bytes_max: 256 << 20,
            read_bytes: MESSAGE_BYTES,
            reads_per_turn_max: 4,
            advances_per_turn_max: 16,
            write_bytes_per_turn_max: (1 << 20) + (4 << 10),
            accepts_per_turn_max: 64,
            events_per_turn_max: 1024,
            again_max: 1 << 16,
            accept_pause_ms: 100,
        }
    }
}
