//! The page of a listing: it sorts, fits a phone and believes no name.

use std::fmt::{self, Write as _};

use super::super::super::codec::date::calendar;
use super::super::super::codec::target::encode_segment;
use super::table::{Column, Direction, Item, Order};

const STYLE: &str = "\
:root{color-scheme:light dark;font:1rem/1.5 system-ui,sans-serif}\
body{max-width:60rem;margin:0 auto;padding:1rem}\
h1{font-size:1.25rem;overflow-wrap:anywhere}\
table{width:100%;border-collapse:collapse}\
th,td{padding:.4rem .5rem;text-align:left;border-bottom:1px solid color-mix(in srgb,currentColor 15%,transparent)}\
td:first-child{overflow-wrap:anywhere}\
td:first-child a{display:block}\
bdi{white-space:pre-wrap}\
th:nth-child(n+2),td:nth-child(n+2){text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums}\
tbody tr:hover{background:color-mix(in srgb,currentColor 6%,transparent)}\
a{text-decoration:none}a:hover{text-decoration:underline}\
@media(max-width:32rem){th:nth-child(3),td:nth-child(3){display:none}}";

pub(crate) const PAGE_BOTTOM: &str = "</tbody></table></body></html>\n";

/// Whether the rows come sorted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sorting {
    Done,
    TooMany,
    /// Other listings have the memory that this would take.
    TooBusy,
}

pub(crate) fn page_top(directory: &[u8], order: Order, sorting: Sorting) -> String {
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
    let head = match sorting {
        Sorting::Done => {
            [("Name", Column::Name), ("Size", Column::Size), ("Modified (UTC)", Column::Modified)]
                .map(|(label, column)| sort_link(label, column, order))
                .concat()
        }
        Sorting::TooMany | Sorting::TooBusy => "<th>Name<th>Size<th>Modified (UTC)".into(),
    };
    let notice = match sorting {
        Sorting::Done => "",
        Sorting::TooMany => "<p>Too many files to sort: in the order of the directory.</p>",
        Sorting::TooBusy => {
            "<p>Too many listings at once to sort this one: in the order of the directory.</p>"
        }
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

pub(crate) fn row(item: &Item<'_>, rows: &mut String) {
    let slash = if item.is_directory { "/" } else { "" };
    // The leading dot keeps a name with a colon from being a scheme.
    add(rows, format_args!("<tr><td><a href=\"./{}{slash}\"><bdi>", encode_segment(item.name)));
    escape(item.name, rows);
    let size = if slash.is_empty() { human(item.size_bytes) } else { String::new() };
    let modified = calendar(item.modified_s.try_into().unwrap_or(0), "%Y-%m-%d %H:%M");
    add(rows, format_args!("</bdi>{slash}</a><td>{size}<td>{modified}\n"));
}

fn add(to: &mut String, text: fmt::Arguments<'_>) {
    to.write_fmt(text).expect("memory takes all");
}

/// A name as text: what is not UTF-8, and control characters, as the replacement character; so are those that
/// turn the direction of text, with which one name looks like another.
fn escape(name: &[u8], to: &mut String) {
    for chunk in name.utf8_chunks() {
        let mut rest = chunk.valid();
        // Runs that need no escape are copied as one.
        while let Some((at, char)) = rest.char_indices().find(|(_, char)| !is_text(*char)) {
            to.push_str(&rest[..at]);
            match char {
                '&' => to.push_str("&amp;"),
                '<' => to.push_str("&lt;"),
                '>' => to.push_str("&gt;"),
                '"' => to.push_str("&quot;"),
                '\'' => to.push_str("&#39;"),
                _ => to.push(char::REPLACEMENT_CHARACTER),
            }
            rest = &rest[at + char.len_utf8()..];
        }
        to.push_str(rest);
        if !chunk.invalid().is_empty() {
            to.push(char::REPLACEMENT_CHARACTER);
        }
    }
}

/// Whether a character is shown as it is.
fn is_text(char: char) -> bool {
    !matches!(char, '&' | '<' | '>' | '"' | '\'' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
        && !char.is_control()
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
    fn item(name: &[u8], is_directory: bool) -> Item<'_> {
        Item { name, is_directory, size_bytes: 5, modified_s: 0, modified_ns: 0 }
    }

    #[test]
    fn a_hostile_name_is_text_and_a_link_beneath_the_directory() {
        let mut html = String::new();
        row(&item(b"<script>\"&'\xff\n", false), &mut html);
        row(&item(b"javascript:x", true), &mut html);
        row(&item("\u{202e}fdp.exe".as_bytes(), false), &mut html);
        assert!(html.contains("<bdi>&lt;script&gt;&quot;&amp;&#39;\u{fffd}\u{fffd}</bdi>"), "{html}");
        assert!(html.contains("href=\"./%3Cscript%3E%22%26%27%FF%0A\""), "{html}");
        assert!(html.contains("href=\"./javascript%3Ax/\""), "{html}");
        assert!(html.contains("<bdi>\u{fffd}fdp.exe</bdi>"), "it would be read as exe.pdf: {html}");
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
