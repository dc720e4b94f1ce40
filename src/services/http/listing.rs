//! Directory listings: a page that sorts, fits a phone and believes no name; made in pieces, so that a huge directory
//! costs bounded memory and holds up nobody.

use std::cmp::Ordering;
use std::fmt::{self, Write as _};
use std::fs::File;
use std::io;

use super::bounds::{ENTRIES_PER_CALL_MAX, ENTRIES_SORTED_MAX, LISTING_PIECE_BYTES};
use super::clock::calendar;
use super::config::Site;
use super::parts::Put;
use super::request::Version;
use super::target::encode_segment;
use crate::session::Outbox;
use crate::sys::files::{Entries, Kind, Root, Stat};

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

const STYLE: &str = "\
:root{color-scheme:light dark;font:1rem/1.5 system-ui,sans-serif}\
body{max-width:60rem;margin:0 auto;padding:1rem}\
h1{font-size:1.25rem;overflow-wrap:anywhere}\
table{width:100%;border-collapse:collapse}\
th,td{padding:.4rem .5rem;text-align:left;border-bottom:1px solid color-mix(in srgb,currentColor 15%,transparent)}\
td:first-child{overflow-wrap:anywhere}\
td:first-child a{display:block}\
th:nth-child(n+2),td:nth-child(n+2){text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums}\
tbody tr:hover{background:color-mix(in srgb,currentColor 6%,transparent)}\
a{text-decoration:none}a:hover{text-decoration:underline}\
@media(max-width:32rem){th:nth-child(3),td:nth-child(3){display:none}}";

const PAGE_BOTTOM: &str = "</tbody></table></body></html>\n";

fn page_top(directory: &[u8], order: Order, behind: Behind) -> String {
    let mut title = String::from("/");
    escape(directory, &mut title);
    let mut crumbs = String::new();
    let depth = directory.split(|&byte| byte == b'/').filter(|name| !name.is_empty()).count();
    let up = |levels: usize| if levels == 0 { "./".to_owned() } else { "../".repeat(levels) };
    add(&mut crumbs, format_args!("<a href=\"{}\">/</a>", up(depth)));
    for (at, name) in directory.split(|&byte| byte == b'/').filter(|name| !name.is_empty()).enumerate() {
        add(&mut crumbs, format_args!("<a href=\"{}\"><bdi>", up(depth - at - 1)));
        escape(name, &mut crumbs);
        crumbs.push_str("</bdi></a>/");
    }
    let head = match behind {
        Behind::Nothing => {
            [("Name", Column::Name), ("Size", Column::Size), ("Modified (UTC)", Column::Modified)]
                .map(|(label, column)| sort_link(label, column, order))
                .concat()
        }
        Behind::More => "<th>Name<th>Size<th>Modified (UTC)".into(),
    };
    let notice = match behind {
        Behind::Nothing => "",
        Behind::More => "<p>Too many files to sort: in the order of the directory.</p>",
    };
    let parent = if depth > 0 { "<tr><td><a href=\"../\">../</a><td><td>" } else { "" };
    format!(
        "<!doctype html><html lang=en><head><meta charset=utf-8><meta name=viewport \
         content=\"width=device-width,initial-scale=1\"><title>{title}</title><style>{STYLE}</style></head>\
         <body><h1>{crumbs}</h1>{notice}<table><thead><tr>{head}</thead><tbody>\n{parent}"
    )
}

fn sort_link(label: &str, column: Column, order: Order) -> String {
    let name = match column {
        Column::Name => "name",
        Column::Size => "size",
        Column::Modified => "modified",
    };
    let (sign, aria, arrow) = match (column == order.column, order.direction) {
        (true, Direction::Up) => ("-", " aria-sort=ascending", " \u{2191}"),
        (true, Direction::Down) => ("", " aria-sort=descending", " \u{2193}"),
        (false, _) => ("", "", ""),
    };
    format!("<th{aria}><a href=\"?sort={sign}{name}\">{label}{arrow}</a>")
}

fn row(item: &Item, rows: &mut String) {
    let slash = if item.stat.kind == Kind::Directory { "/" } else { "" };
    // The leading dot keeps a name with a colon from being a scheme.
    add(rows, format_args!("<tr><td><a href=\"./{}{slash}\"><bdi>", encode_segment(&item.name)));
    escape(&item.name, rows);
    let size = if slash.is_empty() { human(item.stat.identity.size_bytes) } else { String::new() };
    let modified = calendar(item.stat.identity.modified_s.try_into().unwrap_or(0), "%Y-%m-%d %H:%M");
    add(rows, format_args!("</bdi>{slash}</a><td>{size}<td>{modified}\n"));
}

fn add(to: &mut String, text: fmt::Arguments<'_>) {
    to.write_fmt(text).expect("memory takes all");
}

/// A name as text: what is not UTF-8, and control characters, as the replacement character.
fn escape(name: &[u8], to: &mut String) {
    for char in String::from_utf8_lossy(name).chars() {
        match char {
            '&' => to.push_str("&amp;"),
            '<' => to.push_str("&lt;"),
            '>' => to.push_str("&gt;"),
            '"' => to.push_str("&quot;"),
            '\'' => to.push_str("&#39;"),
            char if char.is_control() => to.push(char::REPLACEMENT_CHARACTER),
            char => to.push(char),
        }
    }
}

/// Bytes as people read them, in powers of 1024.
fn human(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64;
    let mut unit = "B";
    for next in UNITS {
        if value < 1023.95 {
            break;
        }
        value /= 1024.0;
        unit = next;
    }
    format!("{value:.1} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::files::Identity;

    fn item(name: &[u8], kind: Kind, size_bytes: u64, modified_s: i64) -> Item {
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

    #[test]
    fn a_hostile_name_is_text_and_a_link_beneath_the_directory() {
        let mut html = String::new();
        row(&item(b"<script>\"&'\xff\n", Kind::File, 5, 0), &mut html);
        row(&item(b"javascript:x", Kind::Directory, 5, 0), &mut html);
        assert!(html.contains("<bdi>&lt;script&gt;&quot;&amp;&#39;\u{fffd}\u{fffd}</bdi>"), "{html}");
        assert!(html.contains("href=\"./%3Cscript%3E%22%26%27%FF%0A\""), "{html}");
        assert!(html.contains("href=\"./javascript%3Ax/\""), "{html}");
    }

    #[test]
    fn sizes_are_read_by_people() {
        let table =
            [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (1_048_575, "1.0 MiB"), (u64::MAX, "16.0 EiB")];
        for (bytes, expected) in table {
            assert_eq!(human(bytes), expected);
        }
    }
}
