//! Directory listings, made in pieces, so that a huge directory costs bounded memory and does not delay other
//! clients.
//!
//! Entries are collected, a bounded number in a call, and sorted in runs. Then the directory is closed: a
//! client that reads the page slowly holds only memory, out of a budget that all listings share. A directory
//! that is too large to be sorted, or is asked for when the budget is used up, is written in the order of the
//! directory, some entries at a time.

mod page;
mod readme;
mod table;

use std::fs::File;
use std::io;
use std::sync::Arc;

use super::super::body::{Produced, Producer};
use super::super::bounds::{
    ENTRIES_PER_CALL_MAX, ENTRIES_SORTED_MAX, ENTRIES_UNSORTED_MAX, HIDDEN_PER_ENTRY, LISTING_PIECE_BYTES,
};
use super::config::Site;
use super::open_files::DirectoryPermit;
use crate::sys::directory::Entries;
use crate::sys::files::{FileKind, Stat};
use crate::sys::root::Root;
pub(crate) use page::head_lines;
use page::{ListingTotals, PageHead, Sorting, below_rows, page_bottom, row};
use readme::ReadmeName;
pub(crate) use table::ListingBudget;
use table::{Merge, Order, Table};

/// A listing under way.
#[derive(Debug)]
pub(crate) struct Listing {
    site: Arc<Site>,
    /// Decoded, without the slash at its beginning.
    directory: Vec<u8>,
    order: Order,
    /// Of the links to folders: what keeps the order in them.
    query: String,
    table: Table,
    totals: ListingTotals,
    /// The file that is shown below the rows, if any.
    readme: Option<ReadmeName>,
    phase: ListingPhase,
}

#[derive(Debug)]
enum ListingPhase {
    /// Entries are read, to be sorted.
    Collect(Directory),
    /// All were: their rows are written.
    Sorted(Merge),
    /// The rows were: the text below them is read.
    Readme(ReadmeName),
    /// It is written, from this byte on.
    Below(String, usize),
    /// Rows are written unsorted, from this index of the table on; then the directory, if it is not at its
    /// end, is read on.
    Unsorted(usize, Option<Directory>),
    Done,
}

/// A directory that is read, and the permit to have it open.
#[derive(Debug)]
struct Directory {
    entries: Entries,
    _permit: DirectoryPermit,
}

/// How much of a directory was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum EntriesRead {
    All,
    Part,
}

impl Listing {
    /// Begins a listing of `dir`, which was opened by [`Root::open_file`] as `directory`, and has this
    /// permit.
    pub(crate) fn new(
        site: Arc<Site>,
        budget: Arc<ListingBudget>,
        (dir, permit): (File, DirectoryPermit),
        directory: &[u8],
        query: &[u8],
    ) -> io::Result<Listing> {
        let order = Order::asked(query);
        Ok(Listing {
            site,
            directory: directory.to_vec(),
            order,
            query: order.query(),
            table: Table::new(budget),
            totals: ListingTotals::default(),
            readme: None,
            phase: ListingPhase::Collect(Directory { entries: Root::entries(dir)?, _permit: permit }),
        })
    }

    /// Reads some entries, or writes at most one piece: rows, with the parts of the page before and after
    /// them.
    fn step(&mut self, piece: &mut String) -> io::Result<Produced> {
        if let ListingPhase::Collect(_) = self.phase
            && self.collect(piece)? == Produced::Yield
        {
            return Ok(Produced::Yield);
        }
        let bytes = self.table.share(LISTING_PIECE_BYTES);
        let is_unsorted = matches!(self.phase, ListingPhase::Unsorted(..));
        match std::mem::replace(&mut self.phase, ListingPhase::Done) {
            ListingPhase::Sorted(mut merge) => {
                write_rows(piece, bytes, &self.query, || merge.next(&self.table));
                if !merge.is_empty() {
                    self.phase = ListingPhase::Sorted(merge);
                    return Ok(Produced::More);
                }
            }
            ListingPhase::Unsorted(mut next, entries) if next < self.table.len() => {
                write_rows(piece, bytes, &self.query, || {
                    next += 1;
                    self.table.item(next - 1)
                });
                self.phase = ListingPhase::Unsorted(next, entries);
                return Ok(Produced::More);
            }
            ListingPhase::Unsorted(_, Some(mut entries)) => {
                self.table.clear();
                let max = self.table.share(ENTRIES_PER_CALL_MAX).min(ENTRIES_UNSORTED_MAX);
                let read = self.scan(&mut entries, max)?;
                self.phase = ListingPhase::Unsorted(0, Some(entries).filter(|_| read == EntriesRead::Part));
                return Ok(Produced::Yield);
            }
            ListingPhase::Readme(readme) => {
                let section = readme.section(&self.site, &self.directory);
                // The section counts towards the budget, as entries do, while the client has not read it.
                let section = if self.table.hold(section.capacity()) { section } else { readme.left_out() };
                self.phase = ListingPhase::Below(section, 0);
                return Ok(Produced::Yield);
            }
            ListingPhase::Below(section, at) => {
                let mut end = section.len().min(at + LISTING_PIECE_BYTES);
                // Bound: a character has four bytes at most.
                while !section.is_char_boundary(end) {
                    end += 1;
                }
                piece.push_str(&section[at..end]);
                if end < section.len() {
                    self.phase = ListingPhase::Below(section, end);
                    return Ok(Produced::More);
                }
                self.table.clear();
                page_bottom(piece);
                return Ok(Produced::End);
            }
            ListingPhase::Unsorted(_, None) | ListingPhase::Collect(_) | ListingPhase::Done => {}
        }
        self.table.clear();
        below_rows(is_unsorted.then_some(self.totals), piece);
        if let Some(readme) = self.readme.take() {
            self.phase = ListingPhase::Readme(readme);
            return Ok(Produced::Yield);
        }
        page_bottom(piece);
        Ok(Produced::End)
    }

    /// Looks at more entries while they can be sorted. Then the directory is closed, or the page comes
    /// unsorted; its top is written.
    fn collect(&mut self, piece: &mut String) -> io::Result<Produced> {
        let ListingPhase::Collect(mut entries) = std::mem::replace(&mut self.phase, ListingPhase::Done)
        else {
            return Ok(Produced::More);
        };
        let max = self.table.share(ENTRIES_PER_CALL_MAX);
        let sorting = if self.table.len() >= ENTRIES_SORTED_MAX {
            Sorting::TooMany
        } else if !self.table.make_room(max) {
            Sorting::TooBusy
        } else if self.scan(&mut entries, max)? == EntriesRead::Part {
            self.table.sort_run(self.order, false);
            self.phase = ListingPhase::Collect(entries);
            return Ok(Produced::Yield);
        } else {
            self.table.sort_run(self.order, false);
            self.table.sort_run(self.order, true);
            Sorting::Done
        };
        self.table.shrink();
        self.phase = match sorting {
            Sorting::Done => ListingPhase::Sorted(Merge::new(&self.table, self.order)),
            Sorting::TooMany | Sorting::TooBusy => ListingPhase::Unsorted(0, Some(entries)),
        };
        let head = PageHead {
            root_name: &self.site.name,
            archive: self.site.archive,
            readme: self.site.readme,
            directory: &self.directory,
            order: self.order,
            sorting,
            totals: (sorting == Sorting::Done).then_some(self.totals),
        };
        piece.push_str(&head.html());
        Ok(Produced::More)
    }

    /// Reads up to `max` more entries, and keeps those that would be served. Hidden entries, of which some
    /// directories have many, count less.
    fn scan(&mut self, directory: &mut Directory, max: usize) -> io::Result<EntriesRead> {
        let entries = &mut directory.entries;
        let mut left = max * HIDDEN_PER_ENTRY;
        while left > 0 {
            let Some(name) = entries.next() else { return Ok(EntriesRead::All) };
            let name = name?;
            if name.starts_with(b".") && !self.site.hidden {
                left -= 1;
                continue;
            }
            left = left.saturating_sub(HIDDEN_PER_ENTRY);
            let stat = match entries.stat(&name) {
                // The root resolves a link, and refuses one that leads outside.
                Ok(Stat { kind: FileKind::Link, .. }) => {
                    self.site.root.stat(&[&self.directory[..], &name].concat())
                }
                stat => stat,
            };
            // Entries that have vanished or are never served are left out.
            if let Ok(stat @ Stat { kind: FileKind::File | FileKind::Directory, .. }) = stat {
                self.table.push(&name, &stat);
                self.totals.add(&stat);
                if self.site.readme && stat.kind == FileKind::File {
                    self.readme = ReadmeName::better(self.readme.take(), &name);
                }
            }
        }
        Ok(EntriesRead::Part)
    }
}

impl Producer for Listing {
    fn produce(&mut self, piece: &mut Vec<u8>) -> io::Result<Produced> {
        if !self.table.takes_turn() {
            return Ok(Produced::Yield);
        }
        let mut text = String::new();
        let next = self.step(&mut text).map_err(|error| {
            let directory = self.directory.escape_ascii();
            io::Error::new(error.kind(), format!("the listing of /{directory}: {error}"))
        });
        *piece = text.into_bytes();
        match next {
            // One piece in a turn, whose work they share.
            Ok(Produced::More) if self.table.has_company() => Ok(Produced::Yield),
            next => next,
        }
    }

    /// What it takes outside the budget of all listings.
    fn held_bytes(&self) -> usize {
        let open = matches!(self.phase, ListingPhase::Collect(_) | ListingPhase::Unsorted(_, Some(_)));
        self.directory.capacity()
            + self.query.capacity()
            + self.readme.as_ref().map_or(0, ReadmeName::memory_bytes)
            + self.table.unbudgeted_bytes()
            + if open { Entries::BUFFER_BYTES } else { 0 }
    }
}

/// Adds rows, up to about this many bytes.
fn write_rows<'a>(
    piece: &mut String,
    bytes: usize,
    query: &str,
    mut next: impl FnMut() -> Option<table::Item<'a>>,
) {
    let end = piece.len() + bytes;
    // Bound: each row has some bytes.
    while piece.len() < end
        && let Some(item) = next()
    {
        row(&item, query, piece);
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::bounds::{PIECES_PER_CALL_MAX, README_BYTES_MAX};
    use super::super::FilesConfig;
    use super::*;

    const FILES: usize = 1_500;

    fn site() -> (tempfile::TempDir, Arc<Site>) {
        let dir = tempfile::tempdir().unwrap();
        for number in 0..FILES {
            std::fs::write(dir.path().join(format!("{}", number * 7 % FILES)), b"").unwrap();
        }
        let site = Arc::new(Site::new(FilesConfig::new(dir.path())).unwrap());
        (dir, site)
    }

    fn begin(site: &Arc<Site>, budget: &Arc<ListingBudget>) -> Listing {
        let (dir, _) = site.root.open_file(b"").unwrap();
        let permit = site.open_files.directory().unwrap();
        Listing::new(Arc::clone(site), Arc::clone(budget), (dir, permit), b"", b"").unwrap()
    }

    /// The output of one call of a session with enough room.
    fn call(listing: &mut Listing, page: &mut Vec<u8>) -> Produced {
        for _ in 0..PIECES_PER_CALL_MAX {
            let mut piece = Vec::new();
            let next = listing.produce(&mut piece).unwrap();
            page.extend(piece);
            if next != Produced::More {
                return next;
            }
        }
        Produced::Yield
    }

    /// Some of the page, as it is made for a client that stops reading then.
    fn some(listing: &mut Listing) -> String {
        let mut page = Vec::new();
        while page.len() < LISTING_PIECE_BYTES && call(listing, &mut page) == Produced::Yield {}
        String::from_utf8(page).unwrap()
    }

    /// The rest of the page.
    fn all(listing: &mut Listing) -> String {
        let mut page = Vec::new();
        while call(listing, &mut page) == Produced::Yield {}
        String::from_utf8(page).unwrap()
    }

    fn names(page: &str) -> Vec<String> {
        let rows = page.split("<tr><td><a href=\"").skip(1);
        rows.map(|row| row.split('"').next().unwrap().to_owned()).collect()
    }

    #[test]
    fn without_budget_a_page_is_complete_but_unsorted_until_other_listings_end() {
        let (_dir, site) = site();
        let expected: Vec<String> = (0..FILES).map(|number| number.to_string()).collect();
        // A budget for one listing of this directory.
        let budget = Arc::new(ListingBudget::new(160_000));
        let mut unread = begin(&site, &budget);
        let mut first = some(&mut unread);
        let taken_bytes = budget.taken_bytes();
        assert!(taken_bytes > 0);

        let page = all(&mut begin(&site, &budget));
        assert!(page.contains("Too many listings at once"), "{page}");
        let mut unsorted = names(&page);
        assert_ne!(unsorted, expected);
        unsorted.sort_by_key(|name| name.parse::<usize>().unwrap());
        assert_eq!(unsorted, expected);
        assert_eq!(budget.taken_bytes(), taken_bytes);

        first += &all(&mut unread);
        assert_eq!(names(&first), expected);
        assert_eq!(budget.taken_bytes(), 0, "a page that is written needs nothing");
        let mut cut = begin(&site, &budget);
        some(&mut cut);
        drop(cut);
        assert_eq!(budget.taken_bytes(), 0, "nor one that is cut");
        assert_eq!(names(&all(&mut begin(&site, &budget))), expected);
    }

    #[test]
    fn a_small_page_takes_one_call_and_of_a_large_one_a_bounded_part_is_made_in_each() {
        let (dir, site) = site();
        let mut large = begin(&site, &Arc::new(ListingBudget::new(1 << 20)));
        let mut page = Vec::new();
        let mut before = (0, 0, 0);
        while call(&mut large, &mut page) == Produced::Yield {
            let after = (large.table.len(), large.table.sorted_len(), page.len());
            assert!(after.0 - before.0 <= ENTRIES_PER_CALL_MAX, "{before:?} {after:?}");
            assert!(after.1 - before.1 <= 2 * ENTRIES_PER_CALL_MAX, "{before:?} {after:?}");
            // The top of the page comes with its first rows, and a piece ends with a whole row.
            let bytes_max = (PIECES_PER_CALL_MAX + 1) * LISTING_PIECE_BYTES;
            assert!(after.2 - before.2 <= bytes_max, "{before:?} {after:?}");
            before = after;
        }
        assert_eq!((before.0, before.1), (FILES, FILES));
        assert!(page.len() > 10 * LISTING_PIECE_BYTES, "{before:?}");
        let small = dir.path().join("small");
        std::fs::create_dir(&small).unwrap();
        std::fs::write(small.join("file"), b"").unwrap();
        let (dir, _) = site.root.open_file(b"small").unwrap();
        let permit = site.open_files.directory().unwrap();
        let budget = Arc::new(ListingBudget::new(1 << 20));
        let mut small = Listing::new(site, budget, (dir, permit), b"small", b"").unwrap();
        assert_eq!(call(&mut small, &mut Vec::new()), Produced::End);
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
            let site = Arc::new(Site::new(FilesConfig { hidden, ..FilesConfig::new(&root) }).unwrap());
            names(&all(&mut begin(&site, &Arc::new(ListingBudget::new(1 << 20))))).join(" ")
        };
        // Links are followed where the kernel can promise that they stay inside.
        let inside = if cfg!(target_os = "linux") { " inside" } else { "" };
        assert_eq!(listed(false), format!("folder/ file{inside}"));
        assert_eq!(listed(true), format!(".git/ folder/ .secret file{inside}"));
    }

    #[test]
    fn an_unread_page_keeps_no_directory_open() {
        let (_dir, site) = site();
        let mut unread = begin(&site, &Arc::new(ListingBudget::new(1 << 20)));
        some(&mut unread);
        assert!(matches!(unread.phase, ListingPhase::Sorted(_)), "{:?}", unread.phase);
    }

    /// The page of the root of a site that shows READMEs.
    fn page_with_readme(root: &std::path::Path, budget_bytes: usize) -> String {
        let site = Arc::new(Site::new(FilesConfig { readme: true, ..FilesConfig::new(root) }).unwrap());
        let budget = Arc::new(ListingBudget::new(budget_bytes));
        let page = all(&mut begin(&site, &budget));
        assert_eq!(budget.taken_bytes(), 0);
        assert!(page.ends_with("</script></body></html>\n"));
        page
    }

    #[test]
    fn a_readme_is_shown_below_the_rows_and_none_of_another_kind_or_place() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root");
        let readme = root.join("README.md");
        std::fs::create_dir_all(&readme).unwrap();
        std::fs::write(dir.path().join("outside.md"), "secret").unwrap();
        assert!(!page_with_readme(&root, 1 << 20).contains("<section"), "it is a directory");
        std::fs::remove_dir(&readme).unwrap();
        std::os::unix::fs::symlink("../outside.md", &readme).unwrap();
        let page = page_with_readme(&root, 1 << 20);
        assert!(!page.contains("<section") && !page.contains("secret"), "{page}");
        std::fs::write(root.join("readme.txt"), b"\xef\xbb\xbfa < b\n\tc\xff").unwrap();
        let text =
            "</main><section class=r aria-label=\"readme.txt\"><pre>a &lt; b\n\tc\u{fffd}</pre></section>";
        assert!(page_with_readme(&root, 1 << 20).contains(text));
        std::fs::remove_file(&readme).unwrap();
        std::fs::write(&readme, "# Title").unwrap();
        let page = page_with_readme(&root, 1 << 20);
        assert!(page.contains("aria-label=\"README.md\"><h2 id=\"title\">Title</h2>\n</section>"), "{page}");
        std::fs::write(&readme, "x".repeat(README_BYTES_MAX as usize + 1)).unwrap();
        assert!(page_with_readme(&root, 1 << 20).contains("<p>README.md is too long to be shown here.</p>"));
        let site = Arc::new(Site::new(FilesConfig::new(&root)).unwrap());
        assert!(!all(&mut begin(&site, &Arc::new(ListingBudget::new(1 << 20)))).contains("<section"));
    }

    #[test]
    fn a_readme_that_a_client_leaves_unread_is_of_the_budget_of_all_listings() {
        let dir = tempfile::tempdir().unwrap();
        let text = "\u{e4}\u{1f600} ".repeat(20_000);
        std::fs::write(dir.path().join("README.md"), &text).unwrap();
        let whole = page_with_readme(dir.path(), 1 << 20);
        assert!(whole.contains(text.trim()), "pieces end between characters");
        let page = page_with_readme(dir.path(), 100_000);
        assert!(page.contains("README.md is not shown: there are too many listings at once."), "{page}");
    }
}
