//! Plots as SVG. Colours are CSS classes, so that one picture fits light and dark screens and print.
//!
//! Written without a plotting crate, because these write fixed colours and font sizes into the picture.

use std::fmt::Write as _;

use super::scale::Scale;
use super::text::in_one_line;

/// Width of a plot in its own units; on a phone it shrinks by a quarter and stays legible.
pub(crate) const WIDTH: f64 = 480.0;
const HEIGHT: f64 = 300.0;
const LEFT: f64 = 66.0;
const RIGHT: f64 = 112.0;
const TOP: f64 = 26.0;
const BOTTOM: f64 = 44.0;
const ROW: f64 = 26.0;
/// Lines with more points than this have no markers: they would cover the line.
const MARKED_POINTS_MAX: usize = 40;
/// Labels of lines keep this distance.
const LABEL_GAP: f64 = 14.0;

/// A measured point with its interval.
#[derive(Clone, Debug)]
pub(crate) struct Point {
    /// Place on the horizontal axis.
    pub(crate) x: f64,
    /// The median.
    pub(crate) y: f64,
    /// Lower end of the interval.
    pub(crate) low: f64,
    /// Upper end of the interval.
    pub(crate) high: f64,
    /// Whether the cell is VALID; others are drawn hollow.
    pub(crate) valid: bool,
    /// Shown when a pointer rests on it.
    pub(crate) title: String,
}

/// A subject's points.
#[derive(Clone, Debug)]
pub(crate) struct Series {
    /// Its name.
    pub(crate) name: String,
    /// Its style: colour, marker and dash.
    pub(crate) style: Style,
    /// Its points, ascending.
    pub(crate) points: Vec<Point>,
}

/// The style of a subject: colour and shape, either of which is enough to tell subjects apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Style {
    /// Index of the colour: the class `sN`.
    pub(crate) colour: usize,
    /// Index of the marker.
    pub(crate) marker: usize,
    /// Whether its line is dashed: a variant of another subject with the same colour.
    pub(crate) dashed: bool,
}

/// A row of a bar plot.
#[derive(Clone, Debug)]
pub(crate) struct Bar {
    /// The subject.
    pub(crate) name: String,
    /// Its style.
    pub(crate) style: Style,
    /// Its value, `None` where nothing was measured.
    pub(crate) point: Option<Point>,
    /// The value, or the verdict instead.
    pub(crate) text: String,
}

/// Lines over a common horizontal axis. `ticks` are the places on it that have a label, with these labels.
pub(crate) fn lines(
    title: &str,
    x_label: &str,
    x: &Scale,
    ticks: &[(f64, String)],
    y: &Scale,
    series: &[Series],
) -> String {
    let mut svg = open(title, HEIGHT);
    let (left, right, bottom) = (LEFT, WIDTH - RIGHT, HEIGHT - BOTTOM);
    let place_x = |value: f64| x.place(value, left, right);
    let place_y = |value: f64| y.place(value, bottom, TOP);
    let _ = write!(svg, r#"<text class="t" x="0" y="12">{}</text>"#, escape(title));
    for (value, label) in y.ticks() {
        let at = place_y(value);
        let _ = write!(svg, r#"<path class="grid" d="M{left:.1} {at:.1}H{right:.1}"/>"#);
        let _ =
            write!(svg, r#"<text class="tick e" x="{:.1}" y="{:.1}">{label}</text>"#, left - 6.0, at + 4.0);
    }
    let mut last_label = f64::NEG_INFINITY;
    for (value, label) in ticks {
        let at = place_x(*value);
        if at - last_label >= 30.0 {
            let _ = write!(svg, r#"<path class="axis" d="M{at:.1} {bottom:.1}v4"/>"#);
            let _ = write!(
                svg,
                r#"<text class="tick m" x="{at:.1}" y="{:.1}">{}</text>"#,
                bottom + 17.0,
                escape(label)
            );
            last_label = at;
        }
    }
    let _ = write!(svg, r#"<path class="axis" d="M{left:.1} {bottom:.1}H{right:.1}"/>"#);
    let middle = f64::midpoint(left, right);
    let _ = write!(
        svg,
        r#"<text class="label m" x="{middle:.1}" y="{:.1}">{}</text>"#,
        HEIGHT - 8.0,
        escape(x_label)
    );
    for one in series {
        line(&mut svg, one, &place_x, &place_y);
    }
    end_labels(&mut svg, series, &place_x, &place_y, right, bottom);
    svg.push_str("</svg>");
    svg
}

fn line(svg: &mut String, series: &Series, x: &impl Fn(f64) -> f64, y: &impl Fn(f64) -> f64) {
    let Style { colour, marker, dashed } = series.style;
    let _ = write!(svg, r#"<g class="s{colour}">"#);
    let path: Vec<String> =
        series.points.iter().map(|point| format!("{:.1} {:.1}", x(point.x), y(point.y))).collect();
    if path.len() > 1 {
        let class = if dashed { "line dash" } else { "line" };
        let _ = write!(svg, r#"<path class="{class}" d="M{}"/>"#, path.join("L"));
    }
    if series.points.len() > MARKED_POINTS_MAX {
        svg.push_str("</g>");
        return;
    }
    for point in &series.points {
        let (at_x, low, high) = (x(point.x), y(point.low), y(point.high));
        if (low - high).abs() > 3.0 {
            let _ = write!(
                svg,
                r#"<path class="bar-end" d="M{at_x:.1} {low:.1}V{high:.1}M{:.1} {low:.1}h6M{:.1} {high:.1}h6"/>"#,
                at_x - 3.0,
                at_x - 3.0
            );
        }
        mark(svg, marker, at_x, y(point.y), point.valid, &point.title);
    }
    svg.push_str("</g>");
}

/// Names at the ends of lines that reach the right edge; the other names are in the legend.
fn end_labels(
    svg: &mut String,
    series: &[Series],
    x: &impl Fn(f64) -> f64,
    y: &impl Fn(f64) -> f64,
    right: f64,
    bottom: f64,
) {
    let mut ends: Vec<(f64, &Series)> = series
        .iter()
        .filter_map(|one| Some((one, one.points.last()?)))
        .filter(|(_, point)| x(point.x) > right - 1.0)
        .map(|(one, point)| (y(point.y), one))
        .collect();
    ends.sort_by(|a, b| a.0.total_cmp(&b.0));
    for at in 1..ends.len() {
        ends[at].0 = ends[at].0.max(ends[at - 1].0 + LABEL_GAP);
    }
    // Labels below the plot move back up from its bottom.
    let mut floor = bottom;
    for end in ends.iter_mut().rev() {
        end.0 = end.0.min(floor);
        floor = end.0 - LABEL_GAP;
    }
    for (at, one) in ends {
        let _ = write!(
            svg,
            r#"<text class="name s{}" x="{:.1}" y="{:.1}">{}</text>"#,
            one.style.colour,
            right + 9.0,
            at + 4.0,
            clipped(&one.name)
        );
    }
}

/// A marker: filled if VALID, else hollow.
fn mark(svg: &mut String, marker: usize, x: f64, y: f64, valid: bool, title: &str) {
    let class = if valid { "mark" } else { "mark hollow" };
    let r = 4.2;
    let path = match marker % 6 {
        0 => format!("M{:.1} {y:.1}a{r} {r} 0 1 0 {:.1} 0a{r} {r} 0 1 0 -{:.1} 0z", x - r, 2.0 * r, 2.0 * r),
        1 => format!("M{:.1} {:.1}h{s}v{s}h-{s}z", x - 3.8, y - 3.8, s = 7.6),
        2 => format!("M{x:.1} {:.1}l5 8.6h-10z", y - 5.4),
        3 => format!("M{x:.1} {:.1}l5 -8.6h-10z", y + 5.4),
        4 => format!("M{x:.1} {:.1}l5.4 5.4l-5.4 5.4l-5.4 -5.4z", y - 5.4),
        _ => format!("M{:.1} {:.1}h3v-3h4v3h3v4h-3v3h-4v-3h-3z", x - 5.0, y - 2.0),
    };
    let _ = write!(svg, r#"<path class="{class}" d="{path}"><title>{}</title></path>"#, escape(title));
}

/// The style of a subject, for a legend.
pub(crate) fn swatch(style: Style) -> String {
    let mut svg = format!(r#"<svg class="swatch s{}" viewBox="0 0 28 14" aria-hidden="true">"#, style.colour);
    let class = if style.dashed { "line dash" } else { "line" };
    let _ = write!(svg, r#"<path class="{class}" d="M1 7H27"/>"#);
    mark(&mut svg, style.marker, 14.0, 7.0, true, "");
    svg.push_str("</svg>");
    svg
}

/// One horizontal bar per subject; on a logarithmic scale, where the length of a bar means nothing, a dot on
/// a thread.
pub(crate) fn bars(title: &str, scale: &Scale, rows: &[Bar]) -> String {
    const NAME: f64 = 118.0;
    const VALUE: f64 = 116.0;
    let height = 24.0 + ROW * rows.len() as f64 + 22.0;
    let (left, right, bottom) = (NAME, WIDTH - VALUE, height - 20.0);
    let mut svg = open(title, height);
    let _ = write!(svg, r#"<text class="t" x="0" y="12">{}</text>"#, escape(title));
    // Bars begin at zero, which lies within the plot if a value is negative; a logarithmic scale has no zero.
    let zero = scale.place(0.0, left, right);
    let mut last_label = f64::NEG_INFINITY;
    for (value, label) in scale.ticks() {
        let at = scale.place(value, left, right);
        let _ = write!(svg, r#"<path class="grid" d="M{at:.1} 22V{bottom:.1}"/>"#);
        if at - last_label >= 48.0 {
            let _ =
                write!(svg, r#"<text class="tick m" x="{at:.1}" y="{:.1}">{label}</text>"#, bottom + 14.0);
            last_label = at;
        }
    }
    for (at, row) in rows.iter().enumerate() {
        let middle = 24.0 + ROW * (at as f64 + 0.5);
        let _ = write!(
            svg,
            r#"<text class="name s{} e" x="{:.1}" y="{:.1}">{}</text>"#,
            row.style.colour,
            left - 8.0,
            middle + 4.0,
            clipped(&row.name)
        );
        let mut value_at = left + 6.0;
        if let Some(point) = &row.point {
            let place = |value: f64| scale.place(value, left, right);
            value_at = place(point.high).max(zero) + 9.0;
            bar(&mut svg, scale, row, point, zero, middle, &place);
        }
        let class = if row.point.as_ref().is_some_and(|point| point.valid) { "value" } else { "value weak" };
        let _ = write!(
            svg,
            r#"<text class="{class}" x="{value_at:.1}" y="{:.1}">{}</text>"#,
            middle + 4.0,
            escape(&row.text)
        );
    }
    let _ = write!(svg, r#"<path class="axis" d="M{zero:.1} 22V{bottom:.1}"/></svg>"#);
    svg
}

fn bar(
    svg: &mut String,
    scale: &Scale,
    row: &Bar,
    point: &Point,
    zero: f64,
    middle: f64,
    place: &impl Fn(f64) -> f64,
) {
    let (at, low, high) = (place(point.y), place(point.low), place(point.high));
    let _ = write!(svg, r#"<g class="s{}">"#, row.style.colour);
    if scale.is_log() {
        let _ = write!(svg, r#"<path class="thread" d="M{zero:.1} {middle:.1}H{at:.1}"/>"#);
        mark(svg, row.style.marker, at, middle, point.valid, &point.title);
    } else {
        let class = if point.valid { "bar" } else { "bar hollow" };
        let _ = write!(
            svg,
            r#"<rect class="{class}" x="{:.1}" y="{:.1}" width="{:.1}" height="14" rx="2"><title>{}</title></rect>"#,
            at.min(zero),
            middle - 7.0,
            (at - zero).abs().max(0.5),
            escape(&point.title)
        );
    }
    if high - low > 3.0 {
        let _ = write!(
            svg,
            r#"<path class="whisker" d="M{low:.1} {middle:.1}H{high:.1}M{low:.1} {:.1}v8M{high:.1} {:.1}v8"/>"#,
            middle - 4.0,
            middle - 4.0
        );
    }
    svg.push_str("</g>");
}

/// A row of a stacked bar.
#[derive(Clone, Debug)]
pub(crate) struct StackedRow {
    /// The subject.
    pub(crate) name: String,
    /// In the order of `parts` of [`stacked`].
    pub(crate) parts: Vec<f64>,
    /// Whether the cell is VALID; others are drawn pale.
    pub(crate) valid: bool,
}

/// Bars whose parts add up to `total`, or to more: medians of parts need not add up as the parts of one run
/// do. `parts` are names and CSS classes.
pub(crate) fn stacked(title: &str, total: f64, parts: &[(&str, &str)], rows: &[StackedRow]) -> String {
    const NAME: f64 = 118.0;
    let height = 24.0 + ROW * rows.len() as f64 + 4.0;
    let (left, right) = (NAME, WIDTH - 8.0);
    let mut svg = open(title, height);
    let _ = write!(svg, r#"<text class="t" x="0" y="12">{}</text>"#, escape(title));
    let total = rows.iter().map(|row| row.parts.iter().sum()).fold(total, f64::max);
    for (at, StackedRow { name, parts: values, valid }) in rows.iter().enumerate() {
        let (pale, pale_in) = if *valid { ("", "") } else { (" pale", " pale-in") };
        let top = 24.0 + ROW * at as f64 + 4.0;
        let _ = write!(
            svg,
            r#"<text class="name plain e" x="{:.1}" y="{:.1}">{}</text>"#,
            left - 8.0,
            top + 13.0,
            clipped(name)
        );
        let mut from = left;
        for ((part, class), value) in parts.iter().zip(values) {
            let width = value / total * (right - left);
            if width < 0.5 {
                continue;
            }
            let _ = write!(
                svg,
                r#"<rect class="{class}{pale}" x="{from:.1}" y="{top:.1}" width="{:.1}" height="18"><title>{part}: {value:.0}</title></rect>"#,
                (width - 1.0).max(0.5)
            );
            if width > 20.0 {
                let _ = write!(
                    svg,
                    r#"<text class="in {class}-in{pale_in} m" x="{:.1}" y="{:.1}">{value:.0}</text>"#,
                    from + width / 2.0,
                    top + 13.0
                );
            }
            from += width;
        }
    }
    svg.push_str("</svg>");
    svg
}

/// The begin of a plot.
pub(crate) fn open(title: &str, height: f64) -> String {
    format!(r#"<svg class="plot" viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{}">"#, escape(title))
}

/// A name, cut to the space that plots have for it.
fn clipped(name: &str) -> String {
    const CHARS_MAX: usize = 12;
    if name.chars().count() <= CHARS_MAX {
        return escape(name);
    }
    let start: String = name.chars().take(CHARS_MAX - 1).collect();
    format!("{}\u{2026}<title>{}</title>", escape(&start), escape(name))
}

/// Text for HTML and SVG: names and command lines of peers come from the user.
pub(crate) fn escape(text: &str) -> String {
    in_one_line(text).replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
