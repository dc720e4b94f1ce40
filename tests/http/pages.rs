//! The pages that the server makes, as people get them: by a browser in light and dark, on phones, on paper,
//! without scripts, and as a screen reader has them. `ONELOOP_UPDATE_PICTURES=1` renders the pictures again.

use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::common::http::{Site, get};
use crate::common::{Server, eventually};
use crate::devtools::{Browser, View};

/// 2026-07-14 16:30 in UTC.
const MODIFIED_S: u64 = 1_784_046_600;

const DESKTOP: View = View { width: 800, height: 640, scheme: "light", media: "screen", is_phone: false };
const DARK: View = View { scheme: "dark", ..DESKTOP };
const PHONE: View = View { width: 390, height: 844, is_phone: true, ..DESKTOP };
/// A4 at 96 dots per inch.
const PAPER: View = View { width: 794, height: 640, media: "print", ..DARK };

/// A folder as people share it, whose times are always the same.
fn photos() -> Site {
    let site = Site::new();
    let files = [
        ("2025 Lofoten/a.jpg", 1),
        ("raw files/b.jpg", 1),
        ("IMG_9.jpg", 3_512_331),
        ("IMG_10.jpg", 2_941_002),
        ("clip.webm", 1_931_000),
        ("hike.gpx", 48_213),
        ("notes.txt", 2_130),
        ("prints-2026.zip", 4_100_000),
        ("song.flac", 1_203_000),
        ("train tickets.pdf", 412_000),
    ];
    for (name, len) in files {
        site.file(&format!("photos/{name}"), vec![b'x'; len]);
    }
    age(&site.root().join("photos"));
    site
}

/// Gives everything in `folder` its time: a day less for each name, so that the order by time is another one
/// than that by name.
fn age(folder: &Path) {
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    for (at, path) in paths.iter().enumerate() {
        let modified = UNIX_EPOCH + Duration::from_secs(MODIFIED_S - 86_400 * at as u64);
        std::fs::File::open(path).unwrap().set_modified(modified).unwrap();
    }
}

/// A server of `folder`, and where it is.
fn serve(folder: &Path, args: &[&str]) -> (Server, String) {
    let spec = crate::common::http::spec(folder);
    let mut server = Server::serve(&[&[spec.as_str()], args].concat());
    let url = format!("http://{}/", server.address("http").tcp());
    (server, url)
}

/// Writes the picture to a file of the repository, if pictures are to be updated; otherwise the file must
/// exist.
#[track_caller]
fn picture(browser: &mut Browser, path: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
    if std::env::var_os("ONELOOP_UPDATE_PICTURES").is_some() {
        std::fs::write(&path, browser.picture()).unwrap();
    }
    assert!(path.exists(), "{}: make it with ONELOOP_UPDATE_PICTURES=1", path.display());
}

/// How bright the page and its text are, from 0 to 255.
fn brightness(browser: &mut Browser) -> (u64, u64) {
    let colour = |browser: &mut Browser, property: &str| {
        let rgb = format!("getComputedStyle(document.body).{property}.match(/\\d+/g).map(Number)");
        let rgb: Vec<u64> = serde_json::from_value(browser.evaluate(&rgb)).unwrap();
        rgb.iter().sum::<u64>() / 3
    };
    (colour(browser, "backgroundColor"), colour(browser, "color"))
}

#[track_caller]
fn assert_fits(browser: &mut Browser, width: u32) {
    let widest = browser.evaluate("document.documentElement.scrollWidth");
    assert!(widest.as_u64().unwrap() <= u64::from(width), "{widest} of {width} pixels");
}

#[test]
fn a_listing_fits_the_screen_and_the_paper_in_light_and_dark() {
    let Some(mut browser) = Browser::start() else { return };
    let site = photos();
    let (_server, url) = serve(&site.root().join("photos"), &[]);
    browser.call("Emulation.setTimezoneOverride", &json!({ "timezoneId": "Europe/Berlin" }));
    let expected = [
        "2025 Lofoten/",
        "raw files/",
        "clip.webm",
        "hike.gpx",
        "IMG_9.jpg",
        "IMG_10.jpg",
        "notes.txt",
        "prints-2026.zip",
        "song.flac",
        "train tickets.pdf",
    ];
    for (name, view, is_dark) in [
        ("docs/listing.png", DESKTOP, false),
        ("tests/pictures/listing-dark.png", DARK, true),
        ("tests/pictures/listing-phone.png", PHONE, false),
        ("tests/pictures/listing-print.png", PAPER, false),
    ] {
        browser.view(view);
        browser.open(&url);
        assert_eq!(browser.rows(), expected, "{name}");
        assert_fits(&mut browser, view.width);
        let (back, text) = brightness(&mut browser);
        assert_eq!(back < text, is_dark, "{name}: {back} {text}");
        assert!(back.abs_diff(text) > 150, "{name}: {back} {text}");
        let filter = browser.evaluate("document.querySelector('input').offsetHeight > 0");
        assert_eq!(filter, view.media == "screen", "{name}");
        picture(&mut browser, name);
    }
    assert_eq!(browser.complaints(), Vec::<&Value>::new());
}

/// What real phones call themselves, and how wide their screens are.
const PHONES: [(&str, u32, &str); 3] = [
    (
        "iPhone",
        390,
        "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 \
         Mobile/15E148 Safari/604.1",
    ),
    (
        "Android",
        412,
        "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/138.0.0.0 Mobile Safari/537.36",
    ),
    (
        "a small one",
        320,
        "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) SamsungBrowser/27.0 Chrome/125.0.0.0 \
         Mobile Safari/537.36",
    ),
];

#[test]
fn a_phone_shows_all_of_a_row_and_its_links_are_large_enough_for_a_finger() {
    let Some(mut browser) = Browser::start() else { return };
    let site = photos();
    site.file(&format!("photos/{}.tar.gz", "long".repeat(60)), "x");
    let (_server, url) = serve(&site.root().join("photos"), &["--archive"]);
    for (phone, width, agent) in PHONES {
        browser.view(View { width, ..PHONE });
        browser.call("Network.setUserAgentOverride", &json!({ "userAgent": agent }));
        browser.open(&url);
        assert_eq!(browser.evaluate("navigator.userAgent"), agent);
        assert_fits(&mut browser, width);
        let cells = browser
            .evaluate("[...document.querySelectorAll('td:not(:empty)')].every(cell => cell.offsetHeight)");
        assert_eq!(cells, true, "{phone}: size and time are shown");
        let lowest =
            "Math.min(...[...document.querySelectorAll('td a, .d a')].map(link => link.offsetHeight))";
        // WCAG 2.2, success criterion 2.5.8.
        assert!(browser.evaluate(lowest).as_u64().unwrap() >= 24, "{phone}");
    }
}

#[test]
fn the_filter_shows_the_rows_that_have_all_its_words_and_how_many_they_are() {
    let Some(mut browser) = Browser::start() else { return };
    let site = photos();
    site.file("photos/2025 Lofoten/b <i>&.JPG", "x");
    let (_server, url) = serve(&site.root().join("photos"), &[]);
    browser.view(DESKTOP);
    browser.open(&url);
    browser.click("input");
    browser.type_text("img");
    assert_eq!(browser.rows(), ["IMG_9.jpg", "IMG_10.jpg"]);
    assert_eq!(browser.evaluate("document.querySelector('[role=status]').innerText"), "2 of 10 shown");
    picture(&mut browser, "tests/pictures/listing-filter.png");
    browser.type_text(" 10");
    assert_eq!(browser.rows(), ["IMG_10.jpg"]);
    browser.type_text(" none");
    assert_eq!(browser.rows(), [""; 0]);
    browser.evaluate("document.querySelector('input').select()");
    browser.type_text(" ");
    assert_eq!(browser.rows().len(), 10);
    assert_eq!(browser.evaluate("document.querySelector('[role=status]').innerText"), "");
    let below = format!("{url}2025%20Lofoten/");
    browser.open(&below);
    browser.click("input");
    browser.type_text("<I>&");
    assert_eq!(browser.rows(), ["../", "b <i>&.JPG"], "the way up stays");
    assert_eq!(browser.complaints(), Vec::<&Value>::new());
}

#[test]
fn a_filter_is_kept_when_the_order_changes() {
    let Some(mut browser) = Browser::start() else { return };
    let site = photos();
    site.file("photos/100% #1 img.jpg", "longer than the others");
    let (_server, url) = serve(&site.root().join("photos"), &[]);
    browser.view(DESKTOP);
    browser.open(&url);
    browser.click("input");
    browser.type_text("img #1 100%");
    browser.click("th.s a");
    browser.wait_for_page(&format!("{url}?sort=size#filter=img%20%231%20100%25"));
    assert_eq!(browser.rows(), ["100% #1 img.jpg"]);
    assert_eq!(browser.evaluate("document.querySelector('input').value"), "img #1 100%");
    assert_eq!(browser.evaluate("document.querySelector('[role=status]').innerText"), "1 of 11 shown");
    browser.evaluate("document.querySelector('input').select()");
    browser.type_text(" ");
    browser.click("th.s a");
    browser.wait_for_page(&format!("{url}?sort=-size"));
    assert_eq!(browser.rows().len(), 11);
    assert_eq!(browser.complaints(), Vec::<&Value>::new());
}

#[test]
fn an_order_is_kept_on_the_way_into_folders_and_back() {
    let Some(mut browser) = Browser::start() else { return };
    let site = photos();
    let (_server, url) = serve(&site.root(), &[]);
    browser.view(DESKTOP);
    let top = format!("{url}photos/");
    browser.open(&top);
    browser.click("th.s a");
    browser.wait_for_page(&format!("{top}?sort=size"));
    assert_eq!(browser.rows()[..4], ["../", "2025 Lofoten/", "raw files/", "notes.txt"]);
    assert_eq!(browser.evaluate("document.querySelector('[aria-sort]').innerText"), "Size ↑");
    browser.click("th.s a");
    browser.wait_for_page(&format!("{top}?sort=-size"));
    assert_eq!(browser.rows()[3], "prints-2026.zip");
    browser.click("a[href^='raw']");
    browser.wait_for_page(&format!("{top}raw%20files/?sort=-size"));
    assert_eq!(browser.evaluate("document.title"), "raw files – root");
    assert_eq!(
        browser.evaluate("[...document.querySelectorAll('nav a')].map(link => link.innerText)"),
        json!(["root", "photos"])
    );
    browser.click("nav li:last-child a");
    browser.wait_for_page(&format!("{top}?sort=-size"));
    browser.click("a[aria-label='Parent folder']");
    browser.wait_for_page(&format!("{url}?sort=-size"));
    browser.click("th:first-child a");
    browser.wait_for_page(&format!("{url}?sort=name"));
    browser.click("a[href^='photos']");
    browser.wait_for_page(&top);
}

#[test]
fn times_are_local_and_machines_read_them() {
    let Some(mut browser) = Browser::start() else { return };
    let site = photos();
    let (_server, url) = serve(&site.root().join("photos"), &[]);
    let time = "(time => [time.innerText, time.dateTime])(document.querySelector('time'))";
    let header = "document.querySelector('th.t').innerText";
    for (zone, local) in [
        ("UTC", "2026-07-14 16:30"),
        ("Europe/Berlin", "2026-07-14 18:30"),
        ("Pacific/Auckland", "2026-07-15 04:30"),
    ] {
        browser.call("Emulation.setTimezoneOverride", &json!({ "timezoneId": zone }));
        browser.open(&url);
        assert_eq!(browser.evaluate(time), json!([local, "2026-07-14T16:30Z"]));
        assert_eq!(browser.evaluate(header), "Modified");
    }
}

#[test]
fn without_scripts_the_page_is_complete() {
    let Some(mut browser) = Browser::start() else { return };
    let site = photos();
    let (_server, url) = serve(&site.root().join("photos"), &[]);
    browser.view(DESKTOP);
    browser.call("Emulation.setScriptExecutionDisabled", &json!({ "value": true }));
    browser.open(&url);
    assert_eq!(browser.rows().len(), 10);
    assert_eq!(browser.evaluate("document.querySelector('input').offsetHeight"), 0);
    assert_eq!(browser.evaluate("document.querySelector('th.t').innerText"), "Modified (UTC)");
    assert_eq!(browser.evaluate("document.querySelector('time').innerText"), "2026-07-14 16:30Z");
    browser.click("th.s a");
    browser.wait_for_page(&format!("{url}?sort=size"));
}

/// Names that a page, a link or a reader may take for something else.
fn hostile_names() -> Vec<Vec<u8>> {
    let mut names: Vec<Vec<u8>> = [
        "<script>document.title='hacked'</script>".replace('/', "\u{2215}"),
        "<img src=x onerror=document.title='hacked'>".into(),
        "\"onmouseover=document.title='hacked' x=\"".into(),
        "'&quot;&amp;&lt;".into(),
        "two\nlines\tand\r\x1b[31m".into(),
        "\u{202e}fdp.exe".into(),
        "\u{5e9}\u{5dc}\u{5d5}\u{5dd}".into(),
        "javascript:document.title='hacked'".into(),
        "?sort=size".into(),
        "#part".into(),
        "%2e%2e%2f".into(),
        " spaces  at both ends ".into(),
        "back\\slash".into(),
        "~".into(),
        "-rf".into(),
        "n".repeat(255),
        "\u{1f600}".repeat(63),
    ]
    .into_iter()
    .map(String::into_bytes)
    .collect();
    // Latin 1. Not every file system takes it.
    if cfg!(target_os = "linux") {
        names.push(b"caf\xe9".to_vec());
    }
    names
}

#[test]
fn hostile_names_are_text_and_their_links_lead_to_them() {
    use std::os::unix::ffi::OsStrExt;
    let Some(mut browser) = Browser::start() else { return };
    let site = Site::new();
    for (at, name) in hostile_names().iter().enumerate() {
        let path = site.root().join(std::ffi::OsStr::from_bytes(name));
        std::fs::write(path, at.to_string()).unwrap();
    }
    age(&site.root());
    let (mut server, url) = serve(&site.root(), &[]);
    for view in [DESKTOP, PHONE] {
        browser.view(view);
        browser.open(&url);
        assert_fits(&mut browser, view.width);
    }
    picture(&mut browser, "tests/pictures/listing-hostile-names.png");
    assert_eq!(browser.evaluate("document.title"), "root");
    let elements = "document.querySelectorAll('main script, main img, [onmouseover]').length";
    assert_eq!(browser.evaluate(elements), 0);
    let shown: Vec<String> = browser.rows();
    assert!(!shown.iter().any(|name| name.contains('\u{202e}')), "{shown:?}");
    assert!(shown.contains(&"\u{fffd}fdp.exe".to_owned()), "{shown:?}");
    let links = browser.evaluate("[...document.querySelectorAll('td a')].map(link => link.href)");
    let links: Vec<String> = serde_json::from_value(links).unwrap();
    let mut found: Vec<usize> = links
        .iter()
        .map(|link| {
            let target = link.strip_prefix(&url).expect("it stays in the folder");
            get(&mut server.client("http"), &format!("/{target}"), "").text().parse().expect(link)
        })
        .collect();
    found.sort_unstable();
    assert_eq!(found, (0..hostile_names().len()).collect::<Vec<_>>());
    assert_eq!(browser.complaints(), Vec::<&Value>::new());
}

#[test]
fn a_script_or_a_style_that_found_its_way_into_the_page_is_not_applied() {
    let Some(mut browser) = Browser::start() else { return };
    let site = photos();
    let (_server, url) = serve(&site.root().join("photos"), &[]);
    browser.open(&url);
    browser.evaluate(
        "for (const [name, text] of [['script', 'document.title = \"hacked\"'], ['style', 'h1 { color: rgb(1, 2, 3) }']]) {
           const element = document.createElement(name);
           element.textContent = text;
           document.body.append(element);
         }
         const link = document.createElement('a');
         link.setAttribute('onclick', 'document.title = \"hacked\"');
         document.body.append(link);
         link.click();",
    );
    assert_eq!(browser.evaluate("document.title"), "photos");
    assert_ne!(browser.evaluate("getComputedStyle(document.querySelector('h1')).color"), "rgb(1, 2, 3)");
    assert_eq!(browser.complaints().len(), 3, "each is forbidden by the policy: {:#?}", browser.complaints());
}

/// The role and the name of everything that a screen reader has of the page.
fn accessible(browser: &mut Browser) -> Vec<(String, String)> {
    let tree = browser.call("Accessibility.getFullAXTree", &json!({}));
    let text =
        |node: &Value, field: &str| node[field]["value"].as_str().unwrap_or_default().trim().to_owned();
    let nodes = tree["nodes"].as_array().unwrap().iter().filter(|node| node["ignored"] == false);
    nodes.map(|node| (text(node, "role"), text(node, "name"))).collect()
}

#[test]
fn a_screen_reader_has_headings_a_table_its_order_and_names_for_all_controls() {
    let Some(mut browser) = Browser::start() else { return };
    let site = photos();
    let (_server, url) = serve(&site.root(), &[]);
    for view in [DESKTOP, PHONE] {
        browser.view(view);
        browser.open(&format!("{url}photos/?sort=-modified"));
        let nodes = accessible(&mut browser);
        for (role, name) in [
            ("navigation", "Breadcrumb"),
            ("link", "root"),
            ("heading", "photos"),
            ("searchbox", "Filter by name"),
            ("columnheader", "Name"),
            ("columnheader", "Modified"),
            ("link", "Parent folder"),
            ("link", "raw files/"),
            ("cell", "2.1 KiB"),
        ] {
            let has = nodes.iter().any(|node| (node.0.as_str(), node.1.as_str()) == (role, name));
            assert!(has, "{role} {name:?} is not among {nodes:#?}");
        }
        for role in ["main", "table", "row", "status"] {
            assert!(nodes.iter().any(|node| node.0 == role), "{role} is not among {nodes:#?}");
        }
        assert_eq!(browser.evaluate("document.querySelector('th.t').ariaSort"), "descending");
        assert_eq!(browser.evaluate("document.documentElement.lang"), "en");
    }
}

#[test]
fn an_error_page_looks_like_a_listing_and_has_a_way_home() {
    let Some(mut browser) = Browser::start() else { return };
    let site = photos();
    let (_server, url) = serve(&site.root(), &[]);
    let mut fonts = Vec::new();
    for (view, is_dark) in [(DARK, true), (PHONE, false)] {
        browser.view(view);
        browser.open(&format!("{url}photos/nothing/here.jpg"));
        let (back, text) = brightness(&mut browser);
        assert_eq!(back < text, is_dark);
        assert_fits(&mut browser, view.width);
        fonts.push(browser.evaluate("getComputedStyle(document.querySelector('h1')).font"));
    }
    assert_eq!(browser.evaluate("document.querySelector('h1').innerText"), "404 Not Found");
    picture(&mut browser, "tests/pictures/error-phone.png");
    browser.click("main a");
    browser.wait_for_page(&url);
    fonts.push(browser.evaluate("getComputedStyle(document.querySelector('h1')).font"));
    assert_eq!(fonts[0], fonts[2]);
    // The browser reports the 404 itself, and nothing else.
    for complaint in browser.complaints() {
        assert!(complaint["params"]["entry"]["text"].as_str().unwrap().contains("404"), "{complaint}");
    }
}

const README: &str = "# Prints

The photos of the *tour*, ready to be printed. [The plan](plan.md), [a folder](raw%20files/), [below](#formats).

![A square](square.svg)

<script>document.title = 'hacked'</script>

[not this](javascript:document.title='hacked')

## Formats

| Format | Width |
|--------|------:|
| A4     |   210 |
| A3     |   297 |

```sh
oneloop serve photos --readme
```
";

#[test]
fn a_readme_is_shown_below_its_listing_with_its_images_and_links_and_without_its_scripts() {
    let Some(mut browser) = Browser::start() else { return };
    let site = photos();
    site.file("photos/README.md", README);
    site.file("photos/plan.md", "the plan");
    let square = "<svg xmlns='http://www.w3.org/2000/svg' width='40' height='40'><rect width='40' height='40' fill='teal'/></svg>";
    site.file("photos/square.svg", square);
    age(&site.root().join("photos"));
    let (_server, url) = serve(&site.root(), &["--readme"]);
    let page = format!("{url}photos/?sort=-name");
    for view in [View { height: 1100, ..DESKTOP }, PHONE] {
        browser.view(view);
        browser.open(&page);
        assert_fits(&mut browser, view.width);
        assert_eq!(browser.evaluate("document.title"), "photos \u{2013} root");
        assert_eq!(browser.evaluate("document.querySelector('section h2').innerText"), "Prints");
        assert_eq!(browser.evaluate("document.querySelector('section img').naturalWidth"), 40);
        let links = browser.evaluate("[...document.querySelectorAll('section a')].map(link => link.href)");
        let expected = ["photos/plan.md", "photos/raw%20files/", "photos/?sort=-name#formats"];
        assert_eq!(links, json!(expected.map(|link| format!("{url}{link}"))));
        if !view.is_phone {
            picture(&mut browser, "tests/pictures/listing-readme.png");
        }
    }
    browser.click("section a[href='#formats']");
    browser.wait_for_page(&format!("{page}#formats"));
    // The browser scrolls when it next draws.
    let shown = "scrollY > 0 && document.querySelector('#formats').getBoundingClientRect().top < innerHeight";
    eventually("the heading is shown", || browser.evaluate(shown) == true);
    assert_eq!(browser.complaints(), Vec::<&Value>::new());
}

#[test]
fn a_listing_offers_its_folder_as_an_archive_where_archives_are_on() {
    let Some(mut browser) = Browser::start() else { return };
    let site = photos();
    let (mut server, url) = serve(&site.root(), &["--archive"]);
    browser.view(View { height: 360, ..DESKTOP });
    browser.open(&format!("{url}photos/?sort=size"));
    let links = browser.evaluate("[...document.querySelectorAll('header p a')].map(link => link.href)");
    let kinds = ["zip", "tar", "tar.zst"];
    assert_eq!(links, json!(kinds.map(|kind| format!("{url}photos/?archive={kind}"))));
    picture(&mut browser, "tests/pictures/listing-archive.png");
    for kind in kinds {
        let answer = get(&mut server.client("http"), &format!("/photos/?archive={kind}"), "");
        assert_eq!(answer.status, 200);
        let disposition = answer.field("content-disposition").unwrap_or_default();
        assert!(disposition.contains(&format!("photos.{kind}")), "{disposition}");
    }
    let (_server, url) = serve(&site.root(), &[]);
    browser.open(&format!("{url}photos/"));
    assert_eq!(browser.evaluate("document.querySelectorAll('header p a').length"), 0);
}
