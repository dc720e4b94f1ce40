//! The text that explains a directory, shown below its listing: `README.md` or `readme.txt`.

use std::collections::{HashMap, VecDeque};
use std::fmt::{self, Write as _};
use std::io;

use pulldown_cmark::{Alignment, CowStr, Event, HeadingLevel, Options, Parser, Tag, TagEnd};

use super::super::super::bounds::{README_BYTES_MAX, README_HTML_BYTES_MAX};
use super::super::super::html;
use super::super::config::Site;
use super::super::snapshot::{in_one_state, read_some};
use crate::sys::files::FileKind;

/// What of Markdown is read beyond `CommonMark`. Footnotes are not: reading them can take time that grows
/// with the square of the text (pulldown-cmark issue 1076).
const OPTIONS: Options = Options::ENABLE_TABLES
    .union(Options::ENABLE_STRIKETHROUGH)
    .union(Options::ENABLE_TASKLISTS)
    .union(Options::ENABLE_YAML_STYLE_METADATA_BLOCKS);
/// Allowed schemes of links. Links with other schemes, such as `javascript` and `data`, are removed.
const SCHEMES: [&str; 3] = ["http", "https", "mailto"];

/// How the text is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum ReadmeFormat {
    Plain,
    Markdown,
}

/// The best file among the entries so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ReadmeName {
    format: ReadmeFormat,
    name: Vec<u8>,
}

impl ReadmeName {
    /// The better of `before` and an entry: Markdown first, otherwise the smaller name, so that the order of
    /// the directory does not matter.
    pub(crate) fn better(before: Option<ReadmeName>, name: &[u8]) -> Option<ReadmeName> {
        let format = match name.to_ascii_lowercase().as_slice() {
            b"readme.md" => ReadmeFormat::Markdown,
            b"readme.txt" => ReadmeFormat::Plain,
            _ => return before,
        };
        match before {
            Some(before) if (before.format, name) > (format, &before.name) => Some(before),
            _ => Some(ReadmeName { format, name: name.to_vec() }),
        }
    }

    /// The section of the page if the budget has no memory for the text.
    pub(crate) fn left_out(&self) -> String {
        let mut section = String::from("<section class=r><p>");
        html::escape(&self.name, &mut section);
        section.push_str(" is not shown: there are too many listings at once.</p></section>");
        section
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        self.name.capacity()
    }

    /// The section of the page with the text of this file in `directory`, which is a path with a slash at its
    /// end, or empty.
    pub(crate) fn section(&self, site: &Site, directory: &[u8]) -> String {
        let mut label = String::new();
        html::escape(&self.name, &mut label);
        let mut section = format!("<section class=r aria-label=\"{label}\">");
        match self.text(site, directory) {
            Ok(Some(text)) => {
                let begin = section.len();
                let text = String::from_utf8_lossy(text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&text));
                if self.append(&text, &mut section).is_err() {
                    section.truncate(begin);
                    write!(section, "<p>{label} is too long to be shown here.</p>")
                        .expect("memory takes all");
                }
            }
            Ok(None) => {
                write!(section, "<p>{label} is too long to be shown here.</p>").expect("memory takes all");
            }
            Err(error) => {
                log::warn!("http: {} is not shown below its listing: {error}", self.name.escape_ascii());
                return String::new();
            }
        }
        section.push_str("</section>");
        section
    }

    /// The content of the file; `None` if it is too long.
    fn text(&self, site: &Site, directory: &[u8]) -> io::Result<Option<Vec<u8>>> {
        let (file, mut stat) = site.root.open_file(&[directory, &self.name].concat())?;
        if stat.kind != FileKind::File {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        in_one_state(&file, &mut stat, README_BYTES_MAX, read_some)
    }

    fn append(&self, text: &str, section: &mut String) -> fmt::Result {
        let bytes_max = section.len() + README_HTML_BYTES_MAX;
        match self.format {
            ReadmeFormat::Markdown => {
                let events = SafeEvents::new(Parser::new_ext(text, OPTIONS));
                pulldown_cmark::html::write_html_fmt(BoundedText { text: section, bytes_max }, events)
            }
            ReadmeFormat::Plain => {
                section.push_str("<pre>");
                html::escape_text(text, section);
                section.push_str("</pre>");
                if section.len() <= bytes_max { Ok(()) } else { Err(fmt::Error) }
            }
        }
    }
}

/// Takes text up to a bound: a reference that is used many times makes a long page of a short text.
struct BoundedText<'a> {
    text: &'a mut String,
    bytes_max: usize,
}

impl fmt::Write for BoundedText<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if self.text.len() + text.len() > self.bytes_max {
            return Err(fmt::Error);
        }
        self.text.push_str(text);
        Ok(())
    }
}

/// Removes from Markdown what a page must not have: raw HTML, links with unknown schemes, and images of other
/// sites, which would see each visit.
struct SafeEvents<'a, I> {
    events: I,
    /// Events to write before the next one.
    queue: VecDeque<Event<'a>>,
    /// The open links and images, with their end tags; `None` for those that are left out.
    open: Vec<Option<TagEnd>>,
    /// How often each anchor of a heading was used.
    anchors: HashMap<String, u32>,
    /// The columns of the table that is open, and the cell that is next.
    columns: Vec<Alignment>,
    cell: usize,
    cell_tag: &'static str,
    /// Whether a block of HTML is a comment.
    in_comment: bool,
}

impl<'a, I: Iterator<Item = Event<'a>>> SafeEvents<'a, I> {
    fn new(events: I) -> SafeEvents<'a, I> {
        SafeEvents {
            events,
            queue: VecDeque::new(),
            open: Vec::new(),
            anchors: HashMap::new(),
            columns: Vec::new(),
            cell: 0,
            cell_tag: "td",
            in_comment: false,
        }
    }

    /// The event to write in place of `event`; `None` for nothing.
    fn change(&mut self, event: Event<'a>) -> Option<Event<'a>> {
        match event {
            // HTML is shown as text, so that nothing is lost; comments are not.
            Event::Html(html) => {
                self.in_comment |= html.trim_start().starts_with("<!--");
                (!self.in_comment).then_some(Event::Text(html))
            }
            Event::InlineHtml(html) => (!html.starts_with("<!--")).then_some(Event::Text(html)),
            Event::Start(Tag::HtmlBlock) => {
                self.in_comment = false;
                Some(Event::Start(Tag::Paragraph))
            }
            Event::End(TagEnd::HtmlBlock) => Some(Event::End(TagEnd::Paragraph)),
            Event::Start(Tag::Link { .. } | Tag::Image { .. }) => self.begin_link(event),
            Event::End(TagEnd::Link | TagEnd::Image) => self.open.pop().flatten().map(Event::End),
            Event::Start(Tag::Heading { level, .. }) => Some(self.heading(level)),
            _ => Some(self.table(event)),
        }
    }

    fn begin_link(&mut self, event: Event<'a>) -> Option<Event<'a>> {
        let in_link = self.open.contains(&Some(TagEnd::Link));
        let (event, end) = match event {
            Event::Start(Tag::Link { ref dest_url, .. }) if target_of(dest_url) != LinkTarget::Other => {
                (Some(event), Some(TagEnd::Link))
            }
            Event::Start(Tag::Image { link_type, dest_url, title, id }) => match target_of(&dest_url) {
                LinkTarget::Here => {
                    (Some(Event::Start(Tag::Image { link_type, dest_url, title, id })), Some(TagEnd::Image))
                }
                LinkTarget::Elsewhere if !in_link => {
                    (Some(Event::Start(Tag::Link { link_type, dest_url, title, id })), Some(TagEnd::Link))
                }
                LinkTarget::Elsewhere | LinkTarget::Other => (None, None),
            },
            _ => (None, None),
        };
        self.open.push(end);
        event
    }

    /// A heading with an anchor made of its text, one level below the heading of the page. Takes the events
    /// up to its end.
    fn heading(&mut self, level: HeadingLevel) -> Event<'a> {
        let level = HeadingLevel::try_from(level as usize + 1).unwrap_or(HeadingLevel::H6);
        let mut text = String::new();
        // Bounded: a heading is a single block.
        while let Some(event) = self.events.next() {
            match &event {
                Event::End(TagEnd::Heading(_)) => break,
                Event::Text(part) | Event::Code(part) => text.push_str(part),
                _ => {}
            }
            if let Some(event) = self.change(event) {
                self.queue.push_back(event);
            }
        }
        self.queue.push_back(Event::End(TagEnd::Heading(level)));
        let id = self.anchor(&text);
        Event::Start(Tag::Heading { level, id, classes: Vec::new(), attrs: Vec::new() })
    }

    /// As tables of contents expect it: small letters, digits, hyphens for spaces; a number if it was used.
    fn anchor(&mut self, text: &str) -> Option<CowStr<'a>> {
        let letter = |char: char| match char {
            ' ' | '-' => Some('-'),
            '_' => Some('_'),
            char => char.is_alphanumeric().then_some(char),
        };
        let anchor: String = text.trim().to_lowercase().chars().filter_map(letter).collect();
        let used = self.anchors.entry(anchor.clone()).or_insert(0);
        *used += 1;
        let anchor = if *used == 1 { anchor } else { format!("{anchor}-{}", *used - 1) };
        (!anchor.is_empty()).then(|| anchor.into())
    }

    /// Tables without attributes of style, which the policy of the page forbids.
    fn table(&mut self, event: Event<'a>) -> Event<'a> {
        let html: CowStr<'a> = match event {
            Event::Start(Tag::Table(columns)) => {
                self.columns = columns;
                "<table>".into()
            }
            Event::Start(Tag::TableHead) => {
                (self.cell, self.cell_tag) = (0, "th");
                "<thead><tr>".into()
            }
            Event::End(TagEnd::TableHead) => "</tr></thead><tbody>\n".into(),
            Event::Start(Tag::TableRow) => {
                (self.cell, self.cell_tag) = (0, "td");
                "<tr>".into()
            }
            Event::End(TagEnd::TableRow) => "</tr>\n".into(),
            Event::Start(Tag::TableCell) => {
                let class = match self.columns.get(self.cell) {
                    Some(Alignment::Right) => " class=right",
                    Some(Alignment::Center) => " class=center",
                    Some(Alignment::Left | Alignment::None) | None => "",
                };
                self.cell += 1;
                format!("<{}{class}>", self.cell_tag).into()
            }
            Event::End(TagEnd::TableCell) => format!("</{}>", self.cell_tag).into(),
            Event::End(TagEnd::Table) => "</tbody></table>\n".into(),
            event => return event,
        };
        Event::Html(html)
    }
}

impl<'a, I: Iterator<Item = Event<'a>>> Iterator for SafeEvents<'a, I> {
    type Item = Event<'a>;

    fn next(&mut self) -> Option<Event<'a>> {
        loop {
            if let Some(event) = self.queue.pop_front() {
                return Some(event);
            }
            let event = self.events.next()?;
            if let Some(event) = self.change(event) {
                return Some(event);
            }
        }
    }
}

/// Where a link leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LinkTarget {
    /// Into this site.
    Here,
    /// To another page.
    Elsewhere,
    /// Somewhere that a page of this server does not lead to.
    Other,
}

fn target_of(link: &str) -> LinkTarget {
    // Browsers pass over these, wherever they are in a scheme, and read a backslash as a slash.
    let read: String =
        link.chars().filter(|char| *char > ' ').map(|char| if char == '\\' { '/' } else { char }).collect();
    let scheme = read.find([':', '/', '?', '#']).filter(|at| read[*at..].starts_with(':'));
    match scheme.map(|end| &read[..end]) {
        Some(scheme) if SCHEMES.iter().any(|kept| kept.eq_ignore_ascii_case(scheme)) => LinkTarget::Elsewhere,
        Some(_) => LinkTarget::Other,
        None if read.starts_with("//") => LinkTarget::Elsewhere,
        None => LinkTarget::Here,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn markdown(text: &str) -> String {
        let readme = ReadmeName { format: ReadmeFormat::Markdown, name: b"README.md".to_vec() };
        let mut html = String::new();
        readme.append(text, &mut html).unwrap();
        html
    }

    #[test]
    fn markdown_is_shown_before_text_whatever_the_order_of_the_directory() {
        let mut names: Vec<&[u8]> = vec![
            b"readme.txt",
            b"README.TXT",
            b"README.md",
            b"ReadMe.md",
            b"readme.md",
            b"README",
            b"readme.md.gz",
        ];
        for _ in 0..names.len() {
            names.rotate_left(1);
            let found = names.iter().fold(None, |before, name| ReadmeName::better(before, name)).unwrap();
            assert_eq!(found.name, b"README.md", "{names:?}");
        }
        let text =
            [&b"x"[..], b"readme.txt"].iter().fold(None, |before, name| ReadmeName::better(before, name));
        assert_eq!(text.unwrap().format, ReadmeFormat::Plain);
        assert_eq!(ReadmeName::better(None, b"README"), None);
    }

    #[test]
    fn markdown_becomes_html_with_headings_below_that_of_the_page_and_anchors() {
        let html = markdown("# A title\n\nSome *text*.\n\n## A title\n\n- [x] done\n\n~~old~~\n");
        for expected in [
            "<h2 id=\"a-title\">A title</h2>",
            "<h3 id=\"a-title-1\">A title</h3>",
            "<p>Some <em>text</em>.</p>",
            "type=\"checkbox\"",
            "<del>old</del>",
        ] {
            assert!(html.contains(expected), "{expected}: {html}");
        }
        let html = markdown("###### Deep `code` & more_x!\n\n[to it](#deep-code--more_x)\n");
        assert!(
            html.contains("<h6 id=\"deep-code--more_x\">") && html.contains("href=\"#deep-code--more_x\""),
            "{html}"
        );
        assert_eq!(markdown("---\ntitle: x\n---\n"), "", "front matter is not text");
    }

    #[test]
    fn a_table_is_aligned_without_attributes_of_style() {
        let html = markdown("|a|b|c|\n|-|:-:|-:|\n|1|2|*3*|\n");
        assert_eq!(
            html,
            "<table><thead><tr><th>a</th><th class=center>b</th><th class=right>c</th></tr></thead><tbody>\n\
             <tr><td>1</td><td class=center>2</td><td class=right><em>3</em></td></tr>\n</tbody></table>\n"
        );
    }

    #[test]
    fn html_is_text_and_comments_are_nothing() {
        let html = markdown(
            "<script>alert(1)</script>\n\na <img src=x onerror=alert(1)> b <!-- c --> d\n\n<!-- e\n<b>f</b>\n-->\n\n<p align=center>g</p>\n",
        );
        assert!(!html.contains("<script") && !html.contains("<img") && !html.contains("<p align"), "{html}");
        assert!(
            html.contains("&lt;script&gt;") && html.contains("&lt;img src=x onerror=alert(1)&gt;"),
            "{html}"
        );
        for hidden in [" c ", "<!--", "&lt;!--", "&lt;b&gt;f"] {
            assert!(!html.contains(hidden), "{hidden}: {html}");
        }
        assert!(html.contains("&lt;p align=center&gt;g&lt;/p&gt;"), "{html}");
    }

    #[test]
    fn links_lead_into_the_site_or_to_other_pages_and_run_nothing() {
        for link in [
            "guide.md",
            "a%20b/",
            "/top",
            "#part",
            "?sort=size",
            "//example.org/x",
            "http://example.org",
            "HTTPS://x",
            "mailto:a@b.c",
        ] {
            let html = markdown(&format!("[text](<{link}>)"));
            assert!(html.contains("<a href=") && html.contains(">text</a>"), "{link}: {html}");
        }
        for link in [
            "javascript:alert(1)",
            "JaVaScRiPt:alert(1)",
            "java&Tab;script:alert(1)",
            "java&NewLine;script:alert(1)",
            "&#1;javascript:alert(1)",
            "javascript&colon;alert(1)",
            "data:text/html,x",
            "vbscript:x",
            "file:///etc/passwd",
            "blob:x",
            "view-source:x",
        ] {
            let html = markdown(&format!("[text](<{link}>) and ![picture](<{link}>)"));
            assert_eq!(html, "<p>text and picture</p>\n", "{link}");
        }
        assert_eq!(markdown("<javascript:alert(1)>"), "<p>javascript:alert(1)</p>\n");
        let html = markdown("[a][b]\n\n[b]: javascript:x \"title\"\n");
        assert_eq!(html, "<p>a</p>\n");
        assert!(markdown("<a@b.example>").contains("href=\"mailto:a@b.example\""));
    }

    #[test]
    fn images_of_the_site_are_shown_and_those_of_others_are_links() {
        assert!(
            markdown("![a \"*plan*\"](plan.svg \"t\")")
                .contains("<img src=\"plan.svg\" alt=\"a &quot;plan&quot;\" title=\"t\"")
        );
        assert_eq!(
            markdown("![badge](https://x.example/b.svg)"),
            "<p><a href=\"https://x.example/b.svg\">badge</a></p>\n"
        );
        let in_link = markdown("[![badge](//x.example/b.svg)](https://ci.example/)");
        assert_eq!(in_link, "<p><a href=\"https://ci.example/\">badge</a></p>\n");
    }

    #[test]
    fn text_that_grows_in_html_is_cut_off_by_the_bound() {
        let readme = ReadmeName { format: ReadmeFormat::Plain, name: b"readme.txt".to_vec() };
        let fits = "&".repeat(README_HTML_BYTES_MAX / 5 - 20);
        assert!(readme.append(&fits, &mut String::new()).is_ok());
        assert!(readme.append(&"&".repeat(README_HTML_BYTES_MAX / 5), &mut String::new()).is_err());
        let readme = ReadmeName { format: ReadmeFormat::Markdown, ..readme };
        let html = &mut String::new();
        assert!(readme.append(&"&".repeat(README_HTML_BYTES_MAX / 5), html).is_err());
        assert!(html.len() <= README_HTML_BYTES_MAX);
    }
}
