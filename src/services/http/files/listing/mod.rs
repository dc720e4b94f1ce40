//! Directory listings, made in pieces, so that a huge directory costs bounded memory and holds up nobody.
//!
//! Entries are collected, a bounded number in a call, and sorted by runs of them. From then on nothing is open any more: who
//! reads the page slowly holds a little memory, out of a budget that all listings share. What is too large to be sorted, or
//! comes when the budget is used up, is written in the order of the directory, some entries at a time.

mod page;
mod table;

use std::fs::File;
use std::io;
use std::sync::Arc;

use super::super::bounds::{
    DIRECTORY_BUFFER_BYTES, ENTRIES_PER_CALL_MAX, ENTRIES_SORTED_MAX, ENTRIES_UNSORTED_MAX, HIDDEN_PER_ENTRY,
    LISTING_PIECE_BYTES, LISTING_PIECES_PER_CALL_MAX,
};
use super::super::codec::request::Version;
use super::super::codec::send::Put;
use super::config::Site;
use super::open_files::Place;
use crate::session::Outbox;
use crate::sys::files::{Entries, Kind, Root, Stat};
use page::{PAGE_BOTTOM, Sorting, page_top, row};
pub(crate) use table::Budget;
use table::{Merge, Order, Table};

/// A listing under way.
#[derive(Debug)]
pub(crate) struct Listing {
    /// Decoded, as in `codec::target::Path::file`.
    directory: Vec<u8>,
    order: Order,
    framing: Version,
    table: Table,
    phase: Phase,
    /// The piece that is being put, and how much of it was.
    piece: Vec<u8>,
    put_bytes: usize,
}

#[derive(Debug)]
enum Phase {
    /// Entries are looked at, to be sorted.
    Collect(Directory),
    /// All were: their rows are written.
    Sorted(Merge),
    /// The rows are written as the entries come, from this one of the table on. Behind them there may be more.
    Unsorted(usize, Option<Directory>),
    End,
    Done,
}

/// A directory that is read, and its place among what the service has open.
#[derive(Debug)]
struct Directory {
    entries: Entries,
    _place: Place,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Behind {
    Nothing,
    More,
}

impl Listing {
    /// Begins a listing of `dir`, which was opened by [`Root::open_file`] as `directory`, and has this place.
    pub(crate) fn new(
        (dir, place): (File, Place),
        directory: &[u8],
        query: &[u8],
        framing: Version,
        budget: &Arc<Budget>,
    ) -> io::Result<Listing> {
        Ok(Listing {
            directory: directory.to_vec(),
            order: Order::asked(query),
            framing,
            table: Table::new(Arc::clone(budget)),
            phase: Phase::Collect(Directory { entries: Root::entries(dir)?, _place: place }),
            piece: Vec::new(),
            put_bytes: 0,
        })
    }

    /// Memory that it takes outside the budget of all listings.
    pub(crate) fn memory_bytes(&self) -> usize {
        let open = matches!(self.phase, Phase::Collect(_) | Phase::Unsorted(_, Some(_)));
        size_of::<Listing>()
            + self.directory.capacity()
            + self.piece.capacity()
            + self.table.unbudgeted_bytes()
            + if open { DIRECTORY_BUFFER_BYTES } else { 0 }
    }

    /// Puts what there is room for, as far as a call goes: others have their turn before the rest.
    pub(crate) fn put(&mut self, site: &Site, out: &mut Outbox) -> Put {
        let mut pieces_of_rows = 0;
        loop {
            self.put_bytes += out.put_some(&self.piece[self.put_bytes..]);
            if self.put_bytes < self.piece.len() {
                return Put::Room;
            }
            self.piece.clear();
            self.put_bytes = 0;
            if self.has_rows() {
                if pieces_of_rows == LISTING_PIECES_PER_CALL_MAX {
                    return Put::Again;
                }
                pieces_of_rows += 1;
            }
            match self.step(site) {
                Ok(Put::Done) if !self.piece.is_empty() => {}
                Ok(put) => return put,
                Err(error) => {
                    log::warn!("listing of /{}: {error}", self.directory.escape_ascii());
                    return Put::Failed;
                }
            }
        }
    }

    /// Whether the next step writes rows.
    fn has_rows(&self) -> bool {
        match &self.phase {
            Phase::Sorted(merge) => !merge.is_empty(),
            Phase::Unsorted(next, _) => *next < self.table.len(),
            Phase::Collect(_) | Phase::End | Phase::Done => false,
        }
    }

    /// Looks at some entries, or writes the next piece.
    fn step(&mut self, site: &Site) -> io::Result<Put> {
        match std::mem::replace(&mut self.phase, Phase::Done) {
            Phase::Collect(entries) => return self.collect(entries, site),
            Phase::Sorted(mut merge) => {
                let rows = rows(self.table.share(LISTING_PIECE_BYTES), || merge.next(&self.table));
                if rows.is_empty() {
                    self.write_bottom();
                } else {
                    self.phase = Phase::Sorted(merge);
                    self.write(&rows);
                }
            }
            Phase::Unsorted(mut next, entries) => {
                let rows = rows(self.table.share(LISTING_PIECE_BYTES), || {
                    next += 1;
                    self.table.item(next - 1)
                });
                match entries {
                    entries if !rows.is_empty() => {
                        self.phase = Phase::Unsorted(next, entries);
                        self.write(&rows);
                    }
                    None => self.write_bottom(),
                    Some(mut entries) => {
                        self.table.clear();
                        let max = self.table.share(ENTRIES_PER_CALL_MAX).min(ENTRIES_UNSORTED_MAX);
                        let behind = self.look(&mut entries, site, max)?;
                        self.phase = Phase::Unsorted(0, Some(entries).filter(|_| behind == Behind::More));
                        return Ok(Put::Again);
                    }
                }
            }
            Phase::End if self.framing == Version::Http11 => self.piece.extend_from_slice(b"0\r\n\r\n"),
            Phase::End | Phase::Done => {}
        }
        Ok(Put::Done)
    }

    /// Looks at more entries while they can be sorted. Then the directory is closed, or the page comes unsorted.
    fn collect(&mut self, mut entries: Directory, site: &Site) -> io::Result<Put> {
        let max = self.table.share(ENTRIES_PER_CALL_MAX);
        let sorting = if self.table.len() >= ENTRIES_SORTED_MAX {
            Sorting::TooMany
        } else if !self.table.make_room(max) {
            Sorting::TooBusy
        } else if self.look(&mut entries, site, max)? == Behind::More {
            self.table.sort_run(self.order, false);
            self.phase = Phase::Collect(entries);
            return Ok(Put::Again);
        } else {
            self.table.sort_run(self.order, false);
            self.table.sort_run(self.order, true);
            Sorting::Done
        };
        self.table.shrink();
        self.phase = match sorting {
            Sorting::Done => Phase::Sorted(Merge::new(&self.table, self.order)),
            Sorting::TooMany | Sorting::TooBusy => Phase::Unsorted(0, Some(entries)),
        };
        self.write(&page_top(&self.directory, self.order, sorting));
        Ok(Put::Done)
    }

    /// Looks at up to `max` more entries, and keeps those that would be served. Hidden ones cost less, and are many in some
    /// directories.
    fn look(&mut self, directory: &mut Directory, site: &Site, max: usize) -> io::Result<Behind> {
        let entries = &mut directory.entries;
        let mut left = max * HIDDEN_PER_ENTRY;
        while left > 0 {
            let Some(name) = entries.next() else { return Ok(Behind::Nothing) };
            let name = name?;
            if name.starts_with(b".") && !site.hidden {
                left -= 1;
                continue;
            }
            left = left.saturating_sub(HIDDEN_PER_ENTRY);
            let stat = match entries.stat(&name) {
                // Where a link leads is asked of the root, which lets none lead outside.
                Ok(Stat { kind: Kind::Link, .. }) => site.root.stat(&[&self.directory[..], &name].concat()),
                stat => stat,
            };
            // What is gone since, or is never served, is left out.
            if let Ok(stat @ Stat { kind: Kind::File | Kind::Directory, .. }) = stat {
                self.table.push(&name, &stat);
            }
        }
        Ok(Behind::More)
    }

    fn write_bottom(&mut self) {
        self.table.clear();
        self.write(PAGE_BOTTOM);
        self.phase = Phase::End;
    }

    /// Makes a piece of `text`, which is not empty: a chunk of nothing would be the last.
    fn write(&mut self, text: &str) {
        match self.framing {
            Version::Http11 => self.piece = format!("{:x}\r\n{text}\r\n", text.len()).into_bytes(),
            Version::Http10 => self.piece = text.as_bytes().to_vec(),
        }
    }
}

/// The rows of a piece of about so many bytes.
fn rows<'a>(bytes: usize, mut next: impl FnMut() -> Option<table::Item<'a>>) -> String {
    let mut rows = String::new();
    // Bound: each row has some bytes.
    while rows.len() < bytes
        && let Some(item) = next()
    {
        row(&item, &mut rows);
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::super::super::{Config, Http};
    use super::*;

    const FILES: usize = 1_500;

    fn site() -> (tempfile::TempDir, Http) {
        let dir = tempfile::tempdir().unwrap();
        for number in 0..FILES {
            std::fs::write(dir.path().join(format!("{}", number * 7 % FILES)), b"").unwrap();
        }
        let http = Http::new(Config::new(dir.path())).unwrap();
        (dir, http)
    }

    fn begin(site: &Site, budget: &Arc<Budget>) -> Listing {
        let (dir, _) = site.root.open_file(b"").unwrap();
        let place = site.open_files.directory().unwrap();
        Listing::new((dir, place), b"", b"", Version::Http10, budget).unwrap()
    }

    /// All that fits into an outbox.
    fn some(listing: &mut Listing, site: &Site) -> String {
        let mut out = Outbox::new(32 << 10);
        for _ in 0..FILES {
            if listing.put(site, &mut out) != Put::Again {
                break;
            }
        }
        String::from_utf8(out.plain().unwrap_or_default().to_vec()).unwrap()
    }

    fn all(listing: &mut Listing, site: &Site) -> String {
        let mut page = String::new();
        while !matches!(listing.phase, Phase::Done) || !listing.piece.is_empty() {
            page += &some(listing, site);
        }
        page
    }

    fn names(page: &str) -> Vec<String> {
        let rows = page.split("<tr><td><a href=\"./").skip(1);
        rows.map(|row| row.split('"').next().unwrap().to_owned()).collect()
    }

    #[test]
    fn without_budget_a_page_is_whole_and_unsorted_and_sorted_again_once_others_have_ended() {
        let (_dir, http) = site();
        let site = &http.shared.site;
        let mut expected: Vec<String> = (0..FILES).map(|number| number.to_string()).collect();
        expected.sort();
        // Enough for one listing of this directory.
        let budget = Arc::new(Budget::new(160_000));
        let mut unread = begin(site, &budget);
        let mut first = some(&mut unread, site);
        let taken_bytes = budget.taken_bytes();
        assert!(taken_bytes > 0);

        let page = all(&mut begin(site, &budget), site);
        assert!(page.contains("Too many listings at once"), "{page}");
        let mut unsorted = names(&page);
        assert_ne!(unsorted, expected);
        unsorted.sort();
        assert_eq!(unsorted, expected);
        assert_eq!(budget.taken_bytes(), taken_bytes);

        first += &all(&mut unread, site);
        assert_eq!(names(&first), expected);
        assert_eq!(budget.taken_bytes(), 0, "a page that is written needs nothing");
        let mut cut = begin(site, &budget);
        some(&mut cut, site);
        drop(cut);
        assert_eq!(budget.taken_bytes(), 0, "nor one that is cut");
        assert_eq!(names(&all(&mut begin(site, &budget), site)), expected);
    }

    #[test]
    fn a_small_page_takes_one_call_and_of_a_large_one_a_bounded_part_is_made_in_each() {
        let (dir, http) = site();
        let site = &http.shared.site;
        let mut large = begin(site, &Arc::new(Budget::new(1 << 20)));
        let mut out = Outbox::new(1 << 20);
        let mut before = (0, 0, 0);
        while large.put(site, &mut out) == Put::Again {
            let after = (large.table.len(), large.table.sorted_len(), out.held_bytes());
            assert!(after.0 - before.0 <= ENTRIES_PER_CALL_MAX, "{before:?} {after:?}");
            assert!(after.1 - before.1 <= 2 * ENTRIES_PER_CALL_MAX, "{before:?} {after:?}");
            // The top of the page comes with its first rows, and a piece ends with a whole row.
            let bytes_max = (LISTING_PIECES_PER_CALL_MAX + 1) * LISTING_PIECE_BYTES;
            assert!(after.2 - before.2 <= bytes_max, "{before:?} {after:?}");
            before = after;
        }
        assert_eq!((before.0, before.1), (FILES, FILES));
        assert!(out.held_bytes() > 10 * LISTING_PIECE_BYTES, "{before:?}");
        let small = dir.path().join("small");
        std::fs::create_dir(&small).unwrap();
        std::fs::write(small.join("file"), b"").unwrap();
        let (dir, _) = site.root.open_file(b"small").unwrap();
        let place = site.open_files.directory().unwrap();
        let mut small =
            Listing::new((dir, place), b"small", b"", Version::Http11, &Arc::new(Budget::new(1 << 20)))
                .unwrap();
        assert_eq!(small.put(site, &mut Outbox::new(32 << 10)), Put::Done);
    }

    #[test]
    fn what_would_not_be_served_is_not_listed() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root");
        std::fs::create_dir_all(root.join("folder")).unwrap();
        std::fs::create_dir(root.join(".git")).unwrap();
        for file in ["file", ".secret", "../outside"] {
            std::fs::write(root.join(file), b"").unwrap();
        }
        for (to, link) in
            [("file", "inside"), ("../outside", "out"), ("nowhere", "dangling"), ("socket", "to-socket")]
        {
            std::os::unix::fs::symlink(to, root.join(link)).unwrap();
        }
        let _socket = std::os::unix::net::UnixListener::bind(root.join("socket")).unwrap();
        let listed = |hidden| {
            let http = Http::new(Config { hidden, ..Config::new(&root) }).unwrap();
            let site = &http.shared.site;
            names(&all(&mut begin(site, &Arc::new(Budget::new(1 << 20))), site)).join(" ")
        };
        // Links are followed where the kernel can promise that they stay inside.
        let inside = if cfg!(target_os = "linux") { " inside" } else { "" };
        assert_eq!(listed(false), format!("folder/ file{inside}"));
        assert_eq!(listed(true), format!(".git/ folder/ .secret file{inside}"));
    }

    #[test]
    fn a_page_that_nobody_reads_keeps_no_directory_open() {
        let (_dir, http) = site();
        let site = &http.shared.site;
        let mut unread = begin(site, &Arc::new(Budget::new(1 << 20)));
        some(&mut unread, site);
        assert!(matches!(unread.phase, Phase::Sorted(_)), "{:?}", unread.phase);
    }
}
