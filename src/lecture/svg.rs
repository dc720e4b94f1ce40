//! The timeline as SVG. Colours are CSS classes, so that one picture fits light and dark screens and print.
//! States also differ in pattern and outline, so that colour is not needed.

use std::fmt::Write as _;

use super::play::SceneRun;
use super::scene::{Gauge, Scene, Topic};
use super::screen::{step_us, tick_text};
use super::timeline::{Mark, Timeline, Track, TrackSpan, TrackState, time_text};
use crate::plot::svg::escape;

/// Width of a picture in its own units; on a phone it shrinks by a quarter and stays legible.
pub(super) const WIDTH: f64 = 480.0;
/// Where the chart begins and ends.
const LEFT: f64 = 76.0;
const RIGHT: f64 = 350.0;
/// The x position of the text beside the chart.
const BESIDE: f64 = 358.0;
/// Heights: of the axis, of a client's row, of its bar, of a gauge's row.
const TOP: f64 = 22.0;
const ROW: f64 = 34.0;
const BAR: f64 = 16.0;
const GAUGE_ROW: f64 = 24.0;
/// Labels of the axis, at most.
const TICKS_MAX: u64 = 5;
/// Two numbers of a gauge keep this distance.
const NUMBER_GAP: f64 = 13.0;
/// The bar of a client that is served has at least this width, to be seen.
const BAR_MIN: f64 = 2.0;
/// A bar of another state than waiting and being served is left out below this width.
const OTHERS_MIN: f64 = 1.0;
/// The width of a sample with its meaning, at least.
const LEGEND_ENTRY_MIN: f64 = 190.0;
/// A bar from this width on has room for a word.
const WORD_FROM: f64 = 48.0;

/// A drawing, and its height.
pub(super) struct Drawing {
    /// Elements of SVG.
    pub(super) svg: String,
    /// In units of [`WIDTH`].
    pub(super) height: f64,
}

/// The styles that every drawing needs.
pub(super) const STYLE: &str = include_str!("lecture.css");

/// The pattern of waiting, once for each document that has drawings.
pub(super) const PATTERNS: &str = r#"<defs><pattern id="waits" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)"><rect class="waits-paper" width="6" height="6"/><path class="waits-line" d="M1.5 0V6"/></pattern></defs>"#;

/// The horizontal axis.
struct Axis {
    horizon_us: u64,
}

impl Axis {
    fn x(&self, us: u64) -> f64 {
        LEFT + (RIGHT - LEFT) * us.min(self.horizon_us) as f64 / self.horizon_us as f64
    }
}

/// The timeline of one server. `horizon_us` is the length of the axis.
pub(super) fn drawing(scene: &Scene, played: &SceneRun, horizon_us: u64) -> Drawing {
    let (timeline, axis) = (&played.timeline, Axis { horizon_us });
    let gauges: Vec<Gauge> =
        scene.gauges.iter().copied().filter(|gauge| timeline.gauges.contains_key(gauge)).collect();
    let rows_end = TOP + timeline.tracks.len() as f64 * ROW;
    let height = rows_end + gauges.len() as f64 * GAUGE_ROW + 4.0;
    let mut svg = String::new();
    let step_us = step_us(horizon_us, TICKS_MAX);
    for tick_us in (0..=horizon_us).step_by(step_us as usize) {
        let x = axis.x(tick_us);
        let _ = write!(svg, r#"<path class="grid" d="M{x:.1} {TOP}V{rows_end:.1}"/>"#);
        let anchor = if tick_us == 0 { "" } else { " m" };
        let _ = write!(svg, r#"<text class="soft{anchor}" x="{x:.1}" y="14">{}</text>"#, tick_text(tick_us));
    }
    for (at, track) in timeline.tracks.iter().enumerate() {
        row(&mut svg, track, timeline, &axis, TOP + at as f64 * ROW);
    }
    for (at, gauge) in gauges.iter().enumerate() {
        gauge_row(&mut svg, *gauge, timeline, &axis, rows_end + at as f64 * GAUGE_ROW);
    }
    Drawing { svg, height }
}

fn row(svg: &mut String, track: &Track, timeline: &Timeline, axis: &Axis, y: f64) {
    let course = &track.course;
    let (top, middle) = (y + (ROW - BAR) / 2.0, y + ROW / 2.0);
    let served_in = course.served_in();
    let answer = match course.answer_took_us() {
        Some(took_us) => format!("answer {}", time_text(took_us)),
        None => "no answer".to_owned(),
    };
    let by = served_in.map_or_else(|| "not served".to_owned(), |served_in| served_in.to_string());
    let _ = write!(svg, "<g><title>client {}: {by}, {answer}</title>", escape(&track.label));
    let _ = write!(svg, r#"<path class="base" d="M{LEFT} {middle:.1}H{RIGHT}"/>"#);
    let _ = write!(svg, r#"<text x="0" y="{:.1}">{}</text>"#, middle + 4.5, escape(&track.label));
    for span in timeline.spans(track) {
        bar(svg, span, axis, top);
    }
    for (at_us, mark) in timeline.marks(track) {
        marked(svg, mark, axis.x(at_us), middle);
    }
    let _ = write!(svg, r#"<text x="{BESIDE}" y="{:.1}">{by}</text>"#, middle - 2.0);
    let _ = write!(svg, r#"<text class="soft" x="{BESIDE}" y="{:.1}">{answer}</text></g>"#, middle + 12.0);
}

fn bar(svg: &mut String, span: TrackSpan, axis: &Axis, top: f64) {
    let (from, to) = (axis.x(span.from_us), axis.x(span.to_us));
    if to - from < OTHERS_MIN && !matches!(span.state, TrackState::Queued | TrackState::Served) {
        return;
    }
    let width = (to - from).max(BAR_MIN);
    let class = class_of(span.state);
    let _ = write!(
        svg,
        r#"<rect class="{class}" x="{from:.1}" y="{top:.1}" width="{width:.1}" height="{BAR}" rx="2"/>"#
    );
    if span.state == TrackState::Zombie {
        let word = if width >= WORD_FROM { "zombie" } else { "Z" };
        let _ = write!(
            svg,
            r#"<text class="soft m" x="{:.1}" y="{:.1}">{word}</text>"#,
            from + width / 2.0,
            top + 12.0
        );
    }
}

fn class_of(state: TrackState) -> &'static str {
    match state {
        TrackState::Connecting => "connects",
        TrackState::Queued => "queued",
        TrackState::Served => "served",
        TrackState::Open => "open",
        TrackState::Zombie => "zombie",
    }
}

fn marked(svg: &mut String, mark: Mark, x: f64, y: f64) {
    let _ = match mark {
        Mark::Read => write!(svg, r#"<path class="read" d="M{x:.1} {:.1}v6"/>"#, y + 8.0),
        Mark::SentAgain => {
            write!(
                svg,
                r#"<text class="again e" x="{:.1}" y="{:.1}">SYN sent again</text>"#,
                x - 10.0,
                y + 4.0
            )
        }
        Mark::Answered => write!(
            svg,
            r#"<circle class="answered" cx="{x:.1}" cy="{y:.1}" r="6.5"/><path class="check" d="M{:.1} {y:.1}l2.2 2.4l4 -4.8"/>"#,
            x - 3.2
        ),
        Mark::Left => write!(svg, r#"<path class="left" d="M{:.1} {:.1}l9 9m0 -9l-9 9"/>"#, x - 4.5, y - 4.5),
    };
}

fn gauge_row(svg: &mut String, gauge: Gauge, timeline: &Timeline, axis: &Axis, y: f64) {
    let base = y + 16.0;
    let _ = write!(svg, r#"<text class="soft" x="0" y="{base:.1}">{}</text>"#, gauge.name());
    let _ = write!(svg, r#"<path class="base" d="M{LEFT} {:.1}H{RIGHT}"/>"#, base + 4.0);
    let mut last_x = f64::NEG_INFINITY;
    let values = timeline.gauges.get(&gauge).map_or(&[][..], Vec::as_slice);
    for (at, (at_us, value)) in values.iter().enumerate() {
        let x = axis.x(*at_us);
        // If there is no room for all, the last one is shown.
        let next_x = values.get(at + 1).map_or(f64::INFINITY, |(next_us, _)| axis.x(*next_us));
        if x - last_x < NUMBER_GAP || next_x - x < NUMBER_GAP / 2.0 {
            continue;
        }
        last_x = x;
        let _ = write!(svg, r#"<text class="number" x="{x:.1}" y="{base:.1}">{value}</text>"#);
    }
}

/// What the patterns and marks stand for, in this width.
pub(super) fn legend(scene: &Scene, width: f64) -> Drawing {
    let mut entries: Vec<(LegendSample, &str)> = vec![
        (LegendSample::Bar(TrackState::Queued), "waits in the backlog"),
        (LegendSample::Bar(TrackState::Served), "served"),
        (LegendSample::Mark(Mark::Read), "the server reads"),
        (LegendSample::Mark(Mark::Answered), "answered"),
        (LegendSample::Mark(Mark::Left), "left without an answer"),
    ];
    match scene.topic {
        Topic::Waiting | Topic::Backlog => {}
        Topic::Zombies => entries.push((LegendSample::Bar(TrackState::Zombie), "its child is a zombie")),
        Topic::Leak => {
            entries[4].1 = "gave up";
            entries.insert(4, (LegendSample::Bar(TrackState::Open), "served, but not closed"));
        }
    }
    if scene.draws_connecting() {
        entries.insert(0, (LegendSample::Bar(TrackState::Connecting), "connects"));
    }
    let fits = |columns: &usize| *columns as f64 * LEGEND_ENTRY_MIN <= width;
    let columns = (1..=entries.len()).rev().find(fits).unwrap_or(1);
    let mut svg = String::new();
    for (at, (sample, meaning)) in entries.iter().enumerate() {
        let (x, y) = ((at % columns) as f64 * width / columns as f64, 12.0 + (at / columns) as f64 * 22.0);
        match sample {
            LegendSample::Bar(state) => {
                let class = class_of(*state);
                let _ = write!(
                    svg,
                    r#"<rect class="{class}" x="{:.1}" y="{:.1}" width="18" height="12" rx="2"/>"#,
                    x + 1.0,
                    y - 6.0
                );
            }
            LegendSample::Mark(Mark::Read) => {
                let _ = write!(
                    svg,
                    r#"<rect class="served" x="{:.1}" y="{:.1}" width="18" height="8" rx="2"/>"#,
                    x + 1.0,
                    y - 8.0
                );
                marked(&mut svg, Mark::Read, x + 10.0, y - 8.0);
            }
            LegendSample::Mark(mark) => marked(&mut svg, *mark, x + 10.0, y),
        }
        let _ = write!(svg, r#"<text class="soft" x="{:.1}" y="{:.1}">{meaning}</text>"#, x + 26.0, y + 4.5);
    }
    Drawing { svg, height: entries.len().div_ceil(columns) as f64 * 22.0 + 4.0 }
}

/// What the legend shows.
#[derive(Clone, Copy)]
enum LegendSample {
    Bar(TrackState),
    Mark(Mark),
}
