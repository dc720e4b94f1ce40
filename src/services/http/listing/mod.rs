//! Directory listings: a page that sorts, fits a phone and believes no name; made in pieces, so that a huge directory
//! costs bounded memory and holds up nobody.

mod page;

use std::cmp::Ordering;
use std::fs::File;
use std::io;

use super::bounds::{ENTRIES_PER_CALL_MAX, ENTRIES_SORTED_MAX, LISTING_PIECE_BYTES};
use super::config::Site;
use super::parts::Put;
use super::request::Version;
use crate::session::Outbox;
use crate::sys::files::{Entries, Kind, Root, Stat};
use page::{PAGE_BOTTOM, page_top, row};

/// A listing under way.
#[derive(Debug)]
pub(super) struct Listing {
    entries: Entries,
    /// Decoded, as in [`super::target::Path::file`].
    directory: Vec<u8>,
    order: Order,
    framing: Version,
    phase: Phase,
    /// The piece that is being put, and how much of it was.
    piece: Vec<u8>,
    put_bytes: usize,
}

#[derive(Debug)]
enum Phase {
    /// Entries are looked at, to be sorted.
    Collect(Vec<Item>),
    /// Those collected are written; behind them there may be more, too many to sort.
    Rows(std::vec::IntoIter<Item>, Behind),
    End,
    Done,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Behind {
    Nothing,
    More,
}

#[derive(Clone, Debug)]
struct Item {
    name: Vec<u8>,
    stat: Stat,
}

/// What a listing is sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Order {
    column: Column,
    direction: Direction,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Column {
    Name,
    Size,
    Modified,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Direction {
    Up,
    Down,
}

impl Order {
    /// From a query such as `sort=-size`; by name if it says nothing.
    pub(super) fn asked(query: &[u8]) -> Order {
        let mut settings = query.split(|&byte| byte == b'&');
        let asked = settings.find_map(|setting| setting.strip_prefix(b"sort=")).unwrap_or_default();
        let (direction, column) = match asked.strip_prefix(b"-") {
            Some(column) => (Direction::Down, column),
            None => (Direction::Up, asked),
        };
        let column = match column {
            b"size" => Column::Size,
            b"modified" => Column::Modified,
            _ => Column::Name,
        };
        Order { column, direction }
    }

    /// Directories first; what is equal is sorted by name.
    fn compare(self, a: &Item, b: &Item) -> Ordering {
        let files = |item: &Item| item.stat.kind != Kind::Directory;
        let folded = |item: &Item| item.name.to_ascii_lowercase();
        let by_name = || folded(a).cmp(&folded(b)).then_with(|| a.name.cmp(&b.name));
        let key = match self.column {
            Column::Name => by_name(),
            // What a directory itself takes on the disk means nothing to people.
            Column::Size if !files(a) => Ordering::Equal,
            Column::Size => a.stat.identity.size_bytes.cmp(&b.stat.identity.size_bytes),
            Column::Modified => {
                let time = |item: &Item| (item.stat.identity.modified_s, item.stat.identity.modified_ns);
                time(a).cmp(&time(b))
            }
        };
        let key = if self.direction == Direction::Down { key.reverse() } else { key };
        let key = key.then_with(by_name);
        files(a).cmp(&files(b)).then(key)
    }
}

impl Listing {
    /// Begins a listing of `dir`, which was opened by [`Root::open_file`] as `directory`.
    pub(super) fn new(dir: File, directory: &[u8], query: &[u8], framing: Version) -> io::Result<Listing> {
        Ok(Listing {
            entries: Root::entries(dir)?,
            directory: directory.to_vec(),
            order: Order::asked(query),
            framing,
            phase: Phase::Collect(Vec::new()),
            piece: Vec::new(),
            put_bytes: 0,
        })
    }

    /// Puts what there is room for.
    pub(super) fn put(&mut self, site: &Site, out: &mut Outbox) -> Put {
        loop {
            self.put_bytes += out.put_some(&self.piece[self.put_bytes..]);
            if self.put_bytes < self.piece.len() {
                return Put::Room;
            }
            self.piece.clear();
            self.put_bytes = 0;
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

    /// Looks at some entries, or writes the next piece.
    fn step(&mut self, site: &Site) -> io::Result<Put> {
        match &mut self.phase {
            Phase::Collect(items) => {
                let more = look(&mut self.entries, &self.directory, site, items)?;
                if more == Behind::More && items.len() < ENTRIES_SORTED_MAX {
                    return Ok(Put::Again);
                }
                let mut items = std::mem::take(items);
                if more == Behind::Nothing {
                    items.sort_by(|a, b| self.order.compare(a, b));
                }
                self.phase = Phase::Rows(items.into_iter(), more);
                let top = page_top(&self.directory, self.order, more);
                self.write(&top);
                Ok(Put::Done)
            }
            Phase::Rows(items, behind) => {
                let mut rows = String::new();
                for item in items.by_ref() {
                    row(&item, &mut rows);
                    if rows.len() >= LISTING_PIECE_BYTES {
                        break;
                    }
                }
                if !rows.is_empty() {
                    self.write(&rows);
                    return Ok(Put::Done);
                }
                if *behind == Behind::Nothing {
                    self.phase = Phase::End;
                    self.write(PAGE_BOTTOM);
                    return Ok(Put::Done);
                }
                let mut items = Vec::new();
                let behind = look(&mut self.entries, &self.directory, site, &mut items)?;
                self.phase = Phase::Rows(items.into_iter(), behind);
                Ok(Put::Again)
            }
            Phase::End => {
                self.phase = Phase::Done;
                if self.framing == Version::Http11 {
                    self.piece.extend_from_slice(b"0\r\n\r\n");
                }
                Ok(Put::Done)
            }
            Phase::Done => Ok(Put::Done),
        }
    }

    fn write(&mut self, text: &str) {
        match self.framing {
            Version::Http11 => self.piece = format!("{:x}\r\n{text}\r\n", text.len()).into_bytes(),
            Version::Http10 => self.piece = text.as_bytes().to_vec(),
        }
    }
}

/// Looks at some more entries, and keeps those that would be served.
fn look(entries: &mut Entries, directory: &[u8], site: &Site, items: &mut Vec<Item>) -> io::Result<Behind> {
    for _ in 0..ENTRIES_PER_CALL_MAX {
        let Some(name) = entries.next() else { return Ok(Behind::Nothing) };
        let name = name?;
        if name.starts_with(b".") && !site.hidden {
            continue;
        }
        let stat = match entries.stat(&name) {
            // Where a link leads is asked of the root, which lets none lead outside.
            Ok(Stat { kind: Kind::Link, .. }) => site.root.stat(&[directory, &name].concat()),
            stat => stat,
        };
        // What is gone since, or is never served, is left out.
        if let Ok(stat @ Stat { kind: Kind::File | Kind::Directory, .. }) = stat {
            items.push(Item { name, stat });
        }
    }
    Ok(Behind::More)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::files::Identity;

    pub(super) fn item(name: &[u8], kind: Kind, size_bytes: u64, modified_s: i64) -> Item {
        let identity = Identity { device: 0, inode: 0, size_bytes, modified_s, modified_ns: 0 };
        Item { name: name.to_vec(), stat: Stat { kind, identity, changed_s: modified_s, changed_ns: 0 } }
    }

    #[test]
    fn directories_come_first_and_the_rest_as_asked() {
        let items = [
            item(b"b", Kind::File, 10, 3),
            item(b"A", Kind::File, 30, 1),
            item(b"c", Kind::File, 20, 2),
            item(b"y", Kind::Directory, 1, 9),
            item(b"x", Kind::Directory, 2, 8),
        ];
        for (query, expected) in [
            ("", "x y A b c"),
            ("sort=-name", "y x c b A"),
            ("a=b&sort=size", "x y b c A"),
            ("sort=-size", "x y A c b"),
            ("sort=modified", "x y A c b"),
            ("sort=nonsense", "x y A b c"),
        ] {
            let mut sorted = items.to_vec();
            sorted.sort_by(|a, b| Order::asked(query.as_bytes()).compare(a, b));
            let names: Vec<_> = sorted.iter().map(|item| String::from_utf8_lossy(&item.name)).collect();
            assert_eq!(names.join(" "), expected, "{query}");
        }
    }
}
