//! The page of a listing. It is complete without its script, which adds a filter and local times.

use std::fmt::{self, Write as _};

use super::super::super::codec::date::calendar;
use super::super::super::codec::target::encode_segment;
use super::super::super::html;
use super::super::archive::ArchiveKind;
use super::table::{Column, Direction, Item, Order};
use crate::sys::files::{FileKind, Stat};

const STYLE: &str = include_str!("page.css");
const README_STYLE: &str = include_str!("readme.css");
const SCRIPT: &str = include_str!("page.js");

/// [`STYLE`], [`README_STYLE`] and [`SCRIPT`] as sources of a `Content-Security-Policy`.
const STYLE_SOURCE: &str = "'sha256-CWHZAVtouMCyUjeErYZo2lEkR0Cb51ISZqWBSfjVSBY='";
const README_STYLE_SOURCE: &str = "'sha256-VoQZFwGhnyy7hAyHUHzuClyESVpcJxKwFjSsU4AiFXc='";
const SCRIPT_SOURCE: &str = "'sha256-R15uRrmMxICqtR0nMpy8aJuD3GE1QiQ/GUH9Yunwb0c='";

/// The lines of the head of a listing. Nothing is applied, run or loaded but what is written here. With
/// `readme`, the text below the rows may show images of the site.
pub(crate) fn head_lines(readme: bool) -> String {
    let (readme_style, images) = if readme { (README_STYLE_SOURCE, "img-src 'self'; ") } else { ("", "") };
    format!(
        "Cache-Control: no-cache\r\nX-Content-Type-Options: nosniff\r\n\
         Content-Security-Policy: default-src 'none'; style-src {} {STYLE_SOURCE} {readme_style}; script-src {SCRIPT_SOURCE}; \
         {images}base-uri 'none'; form-action 'none'\r\n",
        html::STYLE_SOURCE
    )
}

/// Whether the rows come sorted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sorting {
    Done,
    TooMany,
    /// Other listings use the memory that sorting would need.
    TooBusy,
}

/// What a directory has, as far as it is listed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ListingTotals {
    folders: u64,
    files: u64,
    /// Of the files.
    size_bytes: u64,
}

impl ListingTotals {
    pub(crate) fn add(&mut self, stat: &Stat) {
        if stat.kind == FileKind::Directory {
            self.folders += 1;
        } else {
            self.files += 1;
            self.size_bytes = self.size_bytes.saturating_add(stat.identity.size_bytes);
        }
    }
}

impl fmt::Display for ListingTotals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counted = |count, one, many| format!("{count} {}", if count == 1 { one } else { many });
        let folders = counted(self.folders, "folder", "folders");
        let files = counted(self.files, "file", "files");
        let size = human(self.size_bytes);
        match (self.folders, self.files) {
            (0, 0) => f.write_str("This folder is empty."),
            (_, 0) => f.write_str(&folders),
            (0, _) => write!(f, "{files}, {size}"),
            _ => write!(f, "{folders}, {files}, {size}"),
        }
    }
}

/// What stands above the rows.
#[derive(Debug)]
pub(crate) struct PageHead<'a> {
    /// The name of the root directory.
    pub(crate) root_name: &'a [u8],
    /// The path of this directory below it, without a leading slash.
    pub(crate) directory: &'a [u8],
    /// Whether the directory can be downloaded as an archive.
    pub(crate) archive: bool,
    /// Whether a text may be shown below the rows.
    pub(crate) readme: bool,
    pub(crate) order: Order,
    pub(crate) sorting: Sorting,
    /// Known when all entries were read.
    pub(crate) totals: Option<ListingTotals>,
}

impl PageHead<'_> {
    /// The page up to its first row.
    pub(crate) fn html(&self) -> String {
        let PageHead { root_name, directory, archive, readme, order, sorting, totals } = self;
        let beneath = directory.split(|&byte| byte == b'/').filter(|name| !name.is_empty());
        let names: Vec<&[u8]> = std::iter::once(*root_name).chain(beneath).collect();
        let (name, above) = names.split_last().map_or((*root_name, &[][..]), |(name, above)| (*name, above));
        let query = order.query();
        let mut title = String::new();
        html::escape(name, &mut title);
        if !above.is_empty() {
            title.push_str(" \u{2013} ");
            html::escape(root_name, &mut title);
        }
        let mut page = html::page_top(&title, if *readme { &[STYLE, README_STYLE] } else { &[STYLE] });
        page.push_str("<header>");
        if !above.is_empty() {
            page.push_str("<nav aria-label=Breadcrumb><ol>");
            for (at, name) in above.iter().enumerate() {
                let up = "../".repeat(above.len() - at);
                add(&mut page, format_args!("<li><a href=\"{up}{query}\"><bdi>"));
                html::escape(name, &mut page);
                page.push_str("</bdi></a>");
            }
            page.push_str("</ol></nav>");
        }
        page.push_str("<h1><bdi>");
        html::escape(name, &mut page);
        page.push_str("</bdi></h1><div class=b>");
        match (sorting, totals) {
            (Sorting::Done, Some(totals)) => add(&mut page, format_args!("<p>{totals}</p>")),
            (Sorting::Done, None) => {}
            (Sorting::TooMany, _) => {
                page.push_str("<p>Too many files to sort: in the order of the directory.</p>");
            }
            (Sorting::TooBusy, _) => page.push_str(
                "<p>Too many listings at once to sort this one: in the order of the directory.</p>",
            ),
        }
        if *archive {
            page.push_str("<p class=d>Download:");
            for kind in ArchiveKind::ALL {
                let kind = kind.extension();
                add(&mut page, format_args!(" <a href=\"?archive={kind}\">{kind}</a>"));
            }
            page.push_str("</p>");
        }
        // The filter is of the script: without it, it stays hidden.
        page.push_str(
            "<p role=status></p><label hidden><input type=search placeholder=Filter aria-label=\"Filter by name\" \
             autocomplete=off spellcheck=false></label></div></header><main><table class=l><thead><tr>",
        );
        for (column, class) in
            [(Column::Name, ""), (Column::Size, " class=s"), (Column::Modified, " class=t")]
        {
            add(&mut page, format_args!("<th scope=col{class}"));
            match sorting {
                Sorting::Done => sort_link(column, *order, &mut page),
                Sorting::TooMany | Sorting::TooBusy => add(&mut page, format_args!(">{}", label(column))),
            }
        }
        page.push_str("</thead>");
        if !above.is_empty() {
            add(
                &mut page,
                format_args!(
                    "<tbody><tr><td><a aria-label=\"Parent folder\" href=\"../{query}\">../</a><td><td></tbody>"
                ),
            );
        }
        page.push_str("<tbody>\n");
        page
    }
}

/// Its times are in UTC until the script has made them local.
fn label(column: Column) -> &'static str {
    match column {
        Column::Name => "Name",
        Column::Size => "Size",
        Column::Modified => "Modified<span class=u> (UTC)</span>",
    }
}

fn sort_link(column: Column, order: Order, page: &mut String) {
    let (aria, arrow, direction) = match (column == order.column, order.direction) {
        (true, Direction::Up) => {
            (" aria-sort=ascending", " <span aria-hidden=true>\u{2191}</span>", Direction::Down)
        }
        (true, Direction::Down) => {
            (" aria-sort=descending", " <span aria-hidden=true>\u{2193}</span>", Direction::Up)
        }
        (false, _) => ("", "", Direction::Up),
    };
    let (label, name) = (label(column), Order { column, direction }.name());
    add(page, format_args!("{aria}><a href=\"?sort={name}\">{label}{arrow}</a>"));
}

/// A row. `query` selects the order, which links to folders keep.
pub(crate) fn row(item: &Item<'_>, query: &str, rows: &mut String) {
    let (slash, query) = if item.is_directory { ("/", query) } else { ("", "") };
    // No byte of a name is left as it is that could end a scheme or begin a query.
    add(rows, format_args!("<tr><td><a href=\"{}{slash}{query}\">", encode_segment(item.name)));
    html::escape(item.name, rows);
    let size = if item.is_directory { String::new() } else { human(item.size_bytes) };
    let modified = calendar(item.modified_s.try_into().unwrap_or(0), "%Y-%m-%d %H:%M");
    add(rows, format_args!("{slash}</a><td>{size}<td><time>{modified}Z</time>\n"));
}

/// Adds what stands below the rows. `totals`: if the top has them not.
pub(crate) fn below_rows(totals: Option<ListingTotals>, page: &mut String) {
    page.push_str("</tbody></table>");
    if let Some(totals) = totals {
        add(page, format_args!("<p>{totals}</p>"));
    }
    page.push_str("</main>");
}

/// Adds the end of the page.
pub(crate) fn page_bottom(page: &mut String) {
    add(page, format_args!("<script>{SCRIPT}</script></body></html>\n"));
}

fn add(to: &mut String, text: fmt::Arguments<'_>) {
    to.write_fmt(text).expect("memory takes all");
}

/// Bytes as people read them, in powers of 1024: up to three digits and a fraction of small numbers.
fn human(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64;
    let mut unit = "B";
    for next in UNITS {
        if value < 1023.5 {
            break;
        }
        value /= 1024.0;
        unit = next;
    }
    let digits = usize::from(value < 99.95);
    format!("{value:.digits$} {unit}")
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
        row(&item(b"<script>\"&'\xff\n", false), "", &mut html);
        row(&item(b"javascript:x", true), "?sort=size", &mut html);
        row(&item("\u{202e}fdp.exe".as_bytes(), false), "", &mut html);
        row(&item(b"?sort=#x", false), "?sort=size", &mut html);
        assert!(html.contains(">&lt;script&gt;&quot;&amp;&#39;\u{fffd}\u{fffd}</a>"), "{html}");
        assert!(html.contains("href=\"%3Cscript%3E%22%26%27%FF%0A\""), "{html}");
        assert!(html.contains("href=\"javascript%3Ax/?sort=size\""), "{html}");
        assert!(html.contains(">\u{fffd}fdp.exe</a>"), "it would be read as exe.pdf: {html}");
        assert!(html.contains("href=\"%3Fsort%3D%23x\""), "{html}");
    }

    #[test]
    fn the_policy_names_the_styles_and_the_script_of_the_page() {
        let lines = head_lines(true);
        for text in [html::STYLE, STYLE, README_STYLE, SCRIPT] {
            let source = html::source_of(text);
            assert!(lines.contains(&source), "{source} is not in {lines}");
        }
        assert!(!lines.contains("unsafe"), "{lines}");
    }

    #[test]
    fn a_listing_of_5000_entries_has_less_than_500_kb() {
        let totals = ListingTotals { folders: 0, files: 5_000, size_bytes: 5_000 << 20 };
        let head = PageHead {
            root_name: b"photos",
            directory: b"2026/lofoten/",
            archive: false,
            readme: false,
            order: Order::asked(b""),
            sorting: Sorting::Done,
            totals: Some(totals),
        };
        let mut page = head.html();
        for number in 0..5_000 {
            let name = format!("photo-{number:04}.jpg");
            row(
                &Item { size_bytes: 999 << 10, modified_s: 1_800_000_000, ..item(name.as_bytes(), false) },
                "",
                &mut page,
            );
        }
        below_rows(None, &mut page);
        page_bottom(&mut page);
        assert!(page.len() < 500_000, "{} bytes", page.len());
    }

    #[test]
    fn the_breadcrumb_leads_up_in_the_same_order_from_the_name_of_the_root() {
        let head = |directory, query: &[u8]| {
            let (order, sorting) = (Order::asked(query), Sorting::Done);
            let (archive, readme) = (query == b"sort=-size", false);
            PageHead { root_name: b"<photos>", directory, archive, readme, order, sorting, totals: None }
                .html()
        };
        let page = head(b"2026/a&b/", b"sort=-size");
        assert!(page.contains("<title>a&amp;b \u{2013} &lt;photos&gt;</title>"), "{page}");
        assert!(page.contains("<h1><bdi>a&amp;b</bdi></h1>"), "{page}");
        let crumbs = "<li><a href=\"../../?sort=-size\"><bdi>&lt;photos&gt;</bdi></a>\
             <li><a href=\"../?sort=-size\"><bdi>2026</bdi></a></ol>";
        assert!(page.contains(crumbs), "{page}");
        assert!(page.contains("aria-label=\"Parent folder\" href=\"../?sort=-size\""), "{page}");
        assert!(page.contains("<a href=\"?archive=tar.zst\">tar.zst</a>"), "{page}");
        let top = head(b"", b"sort=name");
        assert!(!top.contains("?archive="), "archives are off: {top}");
        assert!(top.contains("<title>&lt;photos&gt;</title>") && !top.contains("../"), "{top}");
    }

    #[test]
    fn totals_are_read_by_people() {
        let text = |folders, files, size_bytes| ListingTotals { folders, files, size_bytes }.to_string();
        assert_eq!(text(0, 0, 0), "This folder is empty.");
        assert_eq!(text(1, 0, 0), "1 folder");
        assert_eq!(text(2, 1, 5), "2 folders, 1 file, 5 B");
        assert_eq!(text(0, 12_000, 3 << 30), "12000 files, 3.0 GiB");
    }

    #[test]
    fn sizes_are_read_by_people() {
        let table = [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (99 << 10, "99.0 KiB"),
            (102_399, "100 KiB"),
            (1_048_063, "1023 KiB"),
            (1_048_064, "1.0 MiB"),
            (u64::MAX, "16.0 EiB"),
        ];
        for (bytes, expected) in table {
            assert_eq!(human(bytes), expected);
        }
    }
}
