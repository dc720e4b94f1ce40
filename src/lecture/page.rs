//! The runs of a scene as one file: an SVG for a slide, or a page.

use std::fmt::Write as _;

use super::play::SceneRun;
use super::scene::Scene;
use super::screen::wrapped;
use super::svg::{Drawing, PATTERNS, STYLE, WIDTH, drawing, legend};
use super::timeline::{Track, time_text};
use crate::plot::svg::escape;

/// Characters of a line below a picture in the SVG, which does not wrap text.
const LINE_CHARS: usize = 72;
/// The height of such a line.
const LINE: f64 = 17.0;
/// The margin of the SVG.
const MARGIN: f64 = 12.0;
/// The height of a title.
const HEAD: f64 = 26.0;
/// Between two pictures side by side.
const GAP: f64 = 28.0;
/// Pictures side by side, at most.
const COLUMNS_MAX: usize = 3;
/// The width of a slide, in its heights.
const SLIDE: f64 = 16.0 / 9.0;

/// The length of the axis of all pictures, in µs: lengths can be compared between them.
fn horizon_us(played: &[SceneRun]) -> u64 {
    let longest = played.iter().map(|one| one.timeline.until_us).max().unwrap_or(0);
    longest.max(1000) * 51 / 50
}

/// All pictures in one SVG, side by side if they are larger on a slide then. `origin`: the program that made
/// them.
pub(crate) fn svg_file(scene: &Scene, played: &[SceneRun], origin: &str) -> String {
    let panels: Vec<Drawing> = played.iter().map(|one| panel(scene, one, horizon_us(played))).collect();
    let sheet = |columns| Sheet::of(scene, &panels, origin, columns);
    let (first, others) = (sheet(1), (2..=panels.len().min(COLUMNS_MAX)).map(sheet));
    let Sheet { body, width, height } =
        others.fold(first, |best, next| if next.scale() > best.scale() { next } else { best });
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"lecture\" viewBox=\"-{MARGIN} 0 {width} {height:.0}\" width=\"{:.0}\" \
         height=\"{:.0}\" role=\"img\">\n<title>{}</title>\n<style>{STYLE}</style>\n{PATTERNS}<rect class=\"paper\" \
         x=\"-{MARGIN}\" width=\"{width}\" height=\"{height:.0}\"/>\n{body}\n</svg>\n",
        width * 1.6,
        height * 1.6,
        escape(&scene.title),
    )
}

/// What was seen with one server, with title and sentence.
fn panel(scene: &Scene, one: &SceneRun, horizon_us: u64) -> Drawing {
    let mut svg = String::new();
    text(&mut svg, "head", 0.0, &one.server.title());
    let drawn = drawing(scene, one, horizon_us);
    let mut y = HEAD - 4.0;
    let _ = write!(svg, r#"<g transform="translate(0 {y:.1})">{}</g>"#, drawn.svg);
    y += drawn.height + 2.0;
    for line in wrapped(&one.sentence, LINE_CHARS) {
        text(&mut svg, "words", y, &line);
        y += LINE;
    }
    Drawing { svg, height: y + 14.0 }
}

fn text(svg: &mut String, class: &str, y: f64, text: &str) {
    let _ = write!(svg, r#"<text class="{class}" x="0" y="{:.1}">{}</text>"#, y + 13.0, escape(text));
}

/// The pictures in rows of so many.
struct Sheet {
    body: String,
    width: f64,
    height: f64,
}

impl Sheet {
    fn of(scene: &Scene, panels: &[Drawing], origin: &str, columns: usize) -> Sheet {
        let inner_width = columns as f64 * (WIDTH + GAP) - GAP;
        let (mut body, mut y) = (String::new(), MARGIN);
        text(&mut body, "head", y, &scene.title);
        y += HEAD;
        let key = legend(scene, inner_width);
        let _ = write!(body, r#"<g transform="translate(0 {y:.1})">{}</g>"#, key.svg);
        y += key.height + 10.0;
        for row in panels.chunks(columns) {
            for (at, panel) in row.iter().enumerate() {
                let x = at as f64 * (WIDTH + GAP);
                let _ = write!(body, r#"<g transform="translate({x:.1} {y:.1})">{}</g>"#, panel.svg);
            }
            y += row.iter().map(|panel| panel.height).fold(0.0, f64::max);
        }
        for line in wrapped(origin, LINE_CHARS * columns) {
            text(&mut body, "soft", y, &line);
            y += LINE;
        }
        Sheet { body, width: inner_width + 2.0 * MARGIN, height: y + MARGIN }
    }

    /// How large it is on a slide whose height is 1.
    fn scale(&self) -> f64 {
        (SLIDE / self.width).min(1.0 / self.height)
    }
}

/// A page with all pictures, their sentences, and the numbers. `origin`: the program that made them.
pub(crate) fn html(scene: &Scene, played: &[SceneRun], origin: &str) -> String {
    let title = escape(&scene.title);
    let key = legend(scene, WIDTH);
    let mut body = format!(
        "<h1>{title}</h1>\n<p class=\"faint\">What is drawn was measured, by the clients and by the server. Time goes to the right, \
         on the same scale everywhere; on the right is what served each client, and how long its answer took. \
         Made with <code>{}</code></p>\n",
        escape(origin)
    );
    let _ = writeln!(
        body,
        r#"<svg class="lecture" viewBox="0 0 {WIDTH} {:.0}" role="img" aria-label="Legend">{PATTERNS}{}</svg>"#,
        key.height, key.svg
    );
    for one in played {
        let class = if one.server.has_mistake() { " class=\"mistake\"" } else { "" };
        let server = escape(&one.server.title());
        let drawn = drawing(scene, one, horizon_us(played));
        let _ = write!(
            body,
            "<section{class}>\n<h2>{server}</h2>\n<svg class=\"lecture\" viewBox=\"0 0 {WIDTH} {:.0}\" role=\"img\" \
             aria-label=\"{server}: a row per client, time to the right\">{}</svg>\n<p class=\"seen\">{}</p>\n{}</section>\n",
            drawn.height,
            drawn.svg,
            escape(&one.sentence),
            table(one)
        );
    }
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" \
         content=\"width=device-width, initial-scale=1\">\n<title>{title}</title>\n<style>\n{}{STYLE}</style>\n</head>\n<body>\n\
         <main>\n{body}</main>\n</body>\n</html>\n",
        include_str!("page.css")
    )
}

/// The numbers of each client.
fn table(played: &SceneRun) -> String {
    let mut rows = String::new();
    for track in &played.timeline.tracks {
        let _ = writeln!(rows, "<tr>{}</tr>", cells(track));
    }
    format!(
        "<details><summary>The numbers</summary><div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"The numbers\">\n\
         <table><thead><tr><th>client</th><th>comes at</th><th>connect took</th><th>waited for the server</th><th>served by</th>\
         <th>served for</th><th>answer after</th></tr></thead>\n<tbody>\n{rows}</tbody></table></div></details>\n"
    )
}

fn cells(track: &Track) -> String {
    let course = &track.course;
    let time = |us: Option<u64>| us.map_or_else(|| "-".to_owned(), time_text);
    let served_us = course.began.and_then(|(from, _)| Some(course.ended_us?.saturating_sub(from)));
    let served_in = course.served_in().map_or_else(|| "-".to_owned(), |served_in| served_in.to_string());
    let values = [
        escape(&track.label),
        time(course.came_us),
        time(course.connect_took_us()),
        time(course.waited_us()),
        served_in,
        time(served_us),
        time(course.answer_took_us()),
    ];
    values.map(|value| format!("<td>{value}</td>")).concat()
}
