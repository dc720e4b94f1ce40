//! Every bound of the HTTP service: the unit in the name, the reason beside it.

use std::time::Duration;

/// A request line (RFC 9112, section 3, asks for at least 8,000), and a line of trailers.
pub(super) const LINE_BYTES_MAX: usize = 8 << 10;
/// Header fields of a request. Without it a head of empty fields costs the most to look through.
pub(super) const HEADERS_MAX: usize = 100;
/// Header fields of the requests that most clients send; more cost a second pass.
pub(super) const HEADERS_USUAL: usize = 16;
/// The longest body of a request, framing included, that is discarded, and that is kept for a handler without
/// its own bound. Without it a client could fill the memory, or send without end.
pub(super) const BODY_BYTES_MAX: u64 = 1 << 20;
/// The line with a chunk's size. Extensions are skipped, not kept.
pub(super) const CHUNK_LINE_BYTES_MAX: usize = 256;
/// How long a client waits for work beside the loop: a queue of passwords, or a disk that does not answer.
/// Without it, a client that needs a failed disk would keep its slot.
pub(super) const OFFLOADED_MAX: Duration = Duration::from_secs(60);
/// How often a request may be deferred. Without it, a handler that always defers would never answer.
pub(super) const DEFERRALS_MAX: u32 = 4;
/// Requests of a client answered in one call; then other clients have their turn.
pub(super) const REQUESTS_PER_CALL_MAX: u32 = 64;
/// Free space in the outbox that is required to begin a further pipelined response.
pub(super) const ANSWER_ROOM_BYTES: usize = 1 << 10;
/// Ranges of one request; a request with more gets the whole file. Without it, a short request could ask for
/// thousands of parts.
pub(super) const RANGES_MAX: usize = 16;
/// Files up to this size are kept in memory. Longer ones cost less with sendfile(2): a copy of their bytes
/// would be in the cache of this core, and a client on loopback would have to fetch it from there each time.
pub(super) const MEMORY_FILE_BYTES_MAX: u64 = 8 << 10;
/// Files up to this size are kept in memory while no further one may be open: most pages and their parts can
/// be served still. Reading one takes about 10 µs.
pub(super) const CROWDED_FILE_BYTES_MAX: u64 = 64 << 10;
/// The entity tag of a file up to this size is a hash of its content: reading and hashing it once takes less
/// than 0.1 ms of a turn (59 µs for 1 MiB) when it is in the page cache.
pub(super) const HASHED_BYTES_MAX: u64 = 1 << 20;
/// Bytes of a file that are read and hashed at a time: they fit a core's cache.
pub(super) const HASH_PIECE_BYTES: usize = 64 << 10;
/// Hashes remembered at once, about 4 MiB. More than [`CACHE_ENTRIES_MAX`]: a file that was evicted from that
/// cache is opened again on its next request, but not hashed again.
pub(super) const HASHES_MAX: usize = 32 << 10;
/// Bodies up to this size are copied after their head; for longer ones a reference is cheaper.
pub(super) const COPY_BYTES_MAX: usize = 4 << 10;
/// All files in memory together.
pub(super) const CACHE_BYTES_MAX: usize = 64 << 20;
/// Paths remembered at once.
pub(super) const CACHE_ENTRIES_MAX: usize = 16 << 10;
/// Files kept open at once. Descriptors are for clients first.
pub(super) const CACHE_FILES_MAX: usize = 1024;
/// The cache may hold 1/n of the descriptors of the process, with this n: half of the service's share; the
/// rest is for files that are sent and listed.
pub(super) const DESCRIPTORS_PER_CACHE_FILE: u64 = 16;
/// A service may use one of this many parts of the process's descriptors for files and directories (cached,
/// sent or listed), and more if clients need fewer. Without it, clients that request big files and do not
/// read would take every descriptor.
pub(super) const DESCRIPTORS_PER_OPEN_FILE: u64 = 8;
/// How long a remembered file is believed to be unchanged, in ms. Half of the second that is promised.
pub(super) const BELIEVED_MS: u64 = 500;
/// How long the open root directory is used before its path is checked again, in ms. Together with the time
/// for files it is less than the two seconds that are promised, and a request needs no check of the root.
pub(super) const ROOT_BELIEVED_MS: u64 = 1_000;
/// How often the root directory is checked without a request, in ms: a replaced one must not stay open,
/// because then its file system could not be unmounted.
pub(super) const ROOT_LOOKED_AT_MS: u64 = 30_000;
/// How long an unused file is kept open, in ms. Without it the disk space of a deleted file is not freed, and
/// its file system cannot be unmounted. Opening it again costs some microseconds.
pub(super) const UNUSED_MS: u64 = 10_000;
/// Files closed in one call; then clients have their turn. Closing the last descriptor of a deleted big file
/// frees its blocks, which takes long.
pub(super) const CLOSES_PER_CALL_MAX: usize = 16;
/// A file that changed less than this before it was read, in ms, may change again within the same tick of its
/// clock: it is read again, as a comparison would not be enough.
pub(super) const SETTLED_MS: u64 = 100;
/// The same for a file whose times are whole seconds: its file system may store no fractions, and FAT has a
/// resolution of two seconds.
pub(super) const SETTLED_SECONDS_MS: u64 = 2_100;
/// How often a file that changes while it is read is tried again.
pub(super) const READ_TRIES_MAX: u32 = 3;
/// Directory entries read in one call, about 0.1 ms of processor time; then other clients have their turn.
pub(super) const ENTRIES_PER_CALL_MAX: usize = 64;
/// Entries that all listings together read or write in one turn of the loop, about 4 ms. The listings share
/// it; where each would have less than `ENTRIES_PER_CALL_MIN`, they take turns.
pub(super) const ENTRIES_PER_TURN_MAX: usize = 384;
/// With fewer entries per call, the calls would cost more than the entries.
pub(super) const ENTRIES_PER_CALL_MIN: usize = 4;
/// This many hidden entries, which are skipped, count as one.
pub(super) const HIDDEN_PER_ENTRY: usize = 8;
/// Entries sorted for a listing; a larger directory comes in its own order, piece by piece, so that it costs
/// no more memory than this.
pub(super) const ENTRIES_SORTED_MAX: usize = 10_000;
/// Entries read in one call for an unsorted listing. They wait for a client that may not read, and are not in
/// the budget of sorted listings: a few KiB, less than the client's outbox.
pub(super) const ENTRIES_UNSORTED_MAX: usize = 64;
/// Memory for the entries of all sorted listings, about a million entries. Without it, clients that request
/// large listings and do not read would take unbounded memory.
pub(super) const LISTINGS_BYTES_MAX: usize = 64 << 20;
/// The longest text that is shown below a listing; of a longer one only the name is shown. The time to parse
/// Markdown can grow faster than the text.
pub(super) const README_BYTES_MAX: u64 = 256 << 10;
/// The longest HTML of such a text. Without it, a reference that is used many times would make a long page of
/// a short text.
pub(super) const README_HTML_BYTES_MAX: usize = 1 << 20;
/// The size of a piece of a listing, if there are few listings.
pub(super) const LISTING_PIECE_BYTES: usize = 8 << 10;
/// Pieces of a produced body made in one call; then other clients have their turn. A piece of a listing
/// (`LISTING_PIECE_BYTES`) takes about 0.1 ms. Without it, a client that reads as fast as pieces are made
/// would get a whole body in one turn.
pub(super) const PIECES_PER_CALL_MAX: usize = 2;
/// Steps of a production beside the loop that make no piece, before the session is woken: waking it costs as
/// much as a step.
pub(super) const STEPS_BESIDE_MAX: usize = 8;
/// Archives that a process sends at a time, at least one per site. Each holds two descriptors, a few MiB of
/// memory and, if it is made beside the loop, a share of the processor.
pub(super) const ARCHIVES_MAX: usize = 16;
/// One archive at a time per this many files and directories that a site may have open, but always one. Each
/// archive has two open, so half is left to other requests. Without it, clients that request archives and do
/// not read would keep others from listings and big files.
pub(super) const OPEN_FILES_PER_ARCHIVE: usize = 4;
/// Bytes of an archive made in one call: they fit into an outbox, and are enough that the call itself costs
/// little.
pub(super) const ARCHIVE_PIECE_BYTES: usize = 64 << 10;
/// Entries read in one call, about 2 ms: a folder of many hidden or empty files must not delay bytes that are
/// ready to be sent.
pub(super) const ARCHIVE_STEPS_PER_PIECE_MAX: usize = 256;
/// Files up to this size, which are most files, are read before their header is written. A file that changes
/// later is archived as it was read.
pub(super) const ARCHIVE_SMALL_FILE_BYTES_MAX: u64 = 32 << 10;
/// The depth of folders in an archive: as many as the components of a path where each is opened separately.
pub(super) const ARCHIVE_DEPTH_MAX: usize = 128;
/// The path of an entry: `PATH_MAX` of Linux, which no request can exceed either.
pub(super) const ARCHIVE_PATH_BYTES_MAX: usize = 4 << 10;
/// Memory for the names of folders that wait to be archived, of one archive: some hundred thousand names.
pub(super) const ARCHIVE_WAITING_BYTES_MAX: usize = 4 << 20;
/// Files and folders of one archive. Without it, a few folders with links to each other would make an archive
/// without end.
pub(super) const ARCHIVE_ENTRIES_MAX: u64 = 10_000_000;
/// The list of what an archive lacks. It is for people.
pub(super) const OMISSIONS_BYTES_MAX: usize = 64 << 10;
/// Memory for the entries of a zip archive, which are repeated at its end: about half a million entries.
pub(super) const ZIP_DIRECTORY_BYTES_MAX: usize = 16 << 20;
/// What is compressed at a time: the longest block of Zstandard. It takes about 2 ms.
pub(super) const ZSTD_FRAME_BYTES: usize = 128 << 10;
