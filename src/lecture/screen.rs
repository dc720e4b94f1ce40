//! The timeline for a terminal: a row per client, time to the right. Each state has its own character, so
//! that colour is not needed.

use std::fmt::Write as _;

use super::scene::{Gauge, LectureServer, Scene};
use super::timeline::{Mark, Timeline, Track, TrackState, time_text};

/// The capabilities of the terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Display {
    /// Columns.
    pub(crate) width: usize,
    /// Whether it shows colours.
    pub(crate) has_colours: bool,
    /// Whether it shows more than ASCII.
    pub(crate) has_unicode: bool,
}

/// The line below the rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LastLine<'a> {
    /// Where each client is now.
    Now,
    /// The result of the scene.
    Sentence(&'a str),
}

/// Columns of the longest label; longer ones are cut.
const LABEL_MAX: usize = 12;
/// Columns for what serves a client: `process 4194303`.
const SERVED_COLUMNS: usize = 15;
/// Columns for the time of its answer: `1.52 s`.
const ANSWER_COLUMNS: usize = 7;
/// On a narrower terminal the time of the answer is left out.
const ANSWER_FROM: usize = 64;
/// On a narrower terminal what serves a client is left out, too.
const SERVED_FROM: usize = 44;
/// The chart has at least this many columns, even if they do not fit.
const CHART_MIN: usize = 8;
/// Columns between two labels of the axis, at least.
const TICK_COLUMNS: usize = 9;

/// What a character of a row stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CellShown {
    Nothing,
    State(TrackState),
    Mark(Mark),
}

impl CellShown {
    /// The character.
    fn char(self, has_unicode: bool) -> char {
        let (unicode, ascii) = match self {
            CellShown::Nothing => (' ', ' '),
            CellShown::State(TrackState::Connecting) => ('~', '~'),
            CellShown::State(TrackState::Queued) => ('░', '.'),
            CellShown::State(TrackState::Served) => ('█', '='),
            CellShown::State(TrackState::Open) => ('-', '-'),
            CellShown::State(TrackState::Zombie) => ('Z', 'Z'),
            CellShown::Mark(Mark::Read) => ('◆', 'r'),
            CellShown::Mark(Mark::SentAgain) => ('S', 'S'),
            CellShown::Mark(Mark::Left) => ('×', 'x'),
            CellShown::Mark(Mark::Answered) => ('●', 'A'),
        };
        if has_unicode { unicode } else { ascii }
    }

    /// The colour, as a parameter of SGR (ECMA-48); `None` for the colour of text.
    fn colour(self) -> Option<&'static str> {
        match self {
            CellShown::Nothing => None,
            CellShown::State(TrackState::Connecting | TrackState::Queued) => Some("33"),
            CellShown::State(TrackState::Served) => Some("34"),
            CellShown::State(TrackState::Open | TrackState::Zombie) => Some("35"),
            CellShown::Mark(Mark::Read | Mark::Answered) => Some("1;36"),
            CellShown::Mark(Mark::SentAgain | Mark::Left) => Some("1;31"),
        }
    }
}

impl Display {
    fn painted(self, text: &str, colour: Option<&str>) -> String {
        match colour {
            Some(colour) if self.has_colours => format!("\x1b[{colour}m{text}\x1b[0m"),
            _ => text.to_owned(),
        }
    }

    /// The usable columns. The last column stays free: terminals may wrap a line that fills it.
    fn columns(self) -> usize {
        self.width.saturating_sub(1).max(1)
    }
}

/// What the characters stand for.
pub(crate) fn legend(scene: &Scene, display: Display) -> Vec<String> {
    use super::scene::Topic;
    let mut entries = vec![
        (CellShown::State(TrackState::Queued), "waits in the backlog"),
        (CellShown::State(TrackState::Served), "served"),
        (CellShown::Mark(Mark::Read), "read"),
        (CellShown::Mark(Mark::Answered), "answered"),
        (CellShown::Mark(Mark::Left), "left without an answer"),
    ];
    match scene.topic {
        Topic::Waiting | Topic::Backlog => {}
        Topic::Zombies => entries.push((CellShown::State(TrackState::Zombie), "zombie")),
        Topic::Leak => {
            entries[4].1 = "gave up";
            entries.insert(4, (CellShown::State(TrackState::Open), "served, but not closed"));
        }
    }
    if scene.draws_connecting() {
        entries.insert(0, (CellShown::State(TrackState::Connecting), "connects"));
        entries.insert(1, (CellShown::Mark(Mark::SentAgain), "SYN again"));
    }
    let (mut lines, mut columns) = (vec![String::new()], 0);
    for (shown, meaning) in entries {
        let char = shown.char(display.has_unicode).to_string();
        let meaning = cut(meaning, display.columns().saturating_sub(2));
        let width = 2 + meaning.chars().count();
        if columns > 0 && columns + 2 + width > display.columns() {
            lines.push(String::new());
            columns = 0;
        }
        if let Some(line) = lines.last_mut() {
            if columns > 0 {
                line.push_str("  ");
                columns += 2;
            }
            line.push_str(&display.painted(&char, shown.colour()));
            line.push(' ');
            line.push_str(&meaning);
            columns += width;
        }
    }
    lines
}

/// Where the columns of a frame are.
struct Columns {
    label: usize,
    chart: usize,
    served: bool,
    answer: bool,
}

impl Columns {
    fn of(scene: &Scene, display: Display) -> Columns {
        let labels = scene.clients.iter().map(|plan| plan.label().chars().count());
        let gauges = scene.gauges.iter().map(|gauge| gauge.name().len());
        let label = labels.chain(gauges).max().unwrap_or(0).min(LABEL_MAX);
        let (served, answer) = (display.width >= SERVED_FROM, display.width >= ANSWER_FROM);
        let beside = label
            + 1
            + if served { 1 + SERVED_COLUMNS } else { 0 }
            + if answer { 1 + ANSWER_COLUMNS } else { 0 };
        Columns { label, chart: display.columns().saturating_sub(beside).max(CHART_MIN), served, answer }
    }

    /// The span of time of a column of the chart.
    fn span(&self, column: usize, horizon_us: u64) -> (u64, u64) {
        let at = |column: usize| column as u64 * horizon_us / self.chart as u64;
        (at(column), at(column + 1).max(at(column) + 1))
    }
}

/// The picture of the timeline so far, not wider than the terminal. `horizon_us` is the length of the axis.
pub(crate) fn frame(
    scene: &Scene,
    server: LectureServer,
    timeline: &Timeline,
    horizon_us: u64,
    display: Display,
    below: LastLine<'_>,
) -> Vec<String> {
    let columns = Columns::of(scene, display);
    let title = cut(&server.title(), display.columns());
    let mut lines = vec![display.painted(&title, Some("1")), axis(&columns, horizon_us)];
    lines.extend(timeline.tracks.iter().map(|track| row(track, timeline, &columns, horizon_us, display)));
    for gauge in &scene.gauges {
        if timeline.gauges.contains_key(gauge) {
            lines.push(gauge_row(*gauge, timeline, &columns, horizon_us));
        }
    }
    match below {
        LastLine::Now => lines.push(cut(&now(timeline), display.columns())),
        LastLine::Sentence(sentence) => lines.extend(wrapped(sentence, display.columns())),
    }
    lines
}

/// The labels of the axis, and the names of the columns beside it.
fn axis(columns: &Columns, horizon_us: u64) -> String {
    let most = (columns.chart / TICK_COLUMNS).max(1) as u64;
    let mut line = format!("{:width$} ", "client", width = columns.label);
    line = cut(&line, columns.label + 1);
    let mut chart = vec![' '; columns.chart];
    let step_us = step_us(horizon_us, most);
    for tick_us in (0..=horizon_us).step_by(step_us as usize) {
        let at = (tick_us * columns.chart as u64 / horizon_us) as usize;
        let label: Vec<char> = format!("|{}", tick_text(tick_us)).chars().collect();
        if at + label.len() <= chart.len() {
            chart[at..at + label.len()].copy_from_slice(&label);
        }
    }
    line.extend(chart);
    if columns.served {
        let _ = write!(line, " {:SERVED_COLUMNS$}", "served by");
    }
    if columns.answer {
        let _ = write!(line, " {:>ANSWER_COLUMNS$}", "answer");
    }
    line.trim_end().to_owned()
}

/// The time between two labels of an axis with room for this many, in µs: 1, 2 or 5 times a power of ten.
pub(super) fn step_us(horizon_us: u64, most: u64) -> u64 {
    let mut power = 1_000;
    // Bounded: a scene has fewer than 10^12 µs.
    while power < 1_000_000_000_000 {
        for step in [power, 2 * power, 5 * power] {
            if horizon_us / step < most {
                return step;
            }
        }
        power *= 10;
    }
    power
}

/// A label of an axis: `0`, `200 ms`, `1.5 s`.
pub(super) fn tick_text(us: u64) -> String {
    match us {
        0 => "0".to_owned(),
        us if us < 1_000_000 => format!("{} ms", us / 1_000),
        us if us.is_multiple_of(1_000_000) => format!("{} s", us / 1_000_000),
        us => format!("{:.1} s", us as f64 / 1e6),
    }
}

fn row(track: &Track, timeline: &Timeline, columns: &Columns, horizon_us: u64, display: Display) -> String {
    let mut line = format!("{:width$} ", cut(&track.label, columns.label), width = columns.label);
    let mut cells = vec![CellShown::Nothing; columns.chart];
    let column_of = |us: u64| ((us * columns.chart as u64 / horizon_us) as usize).min(columns.chart - 1);
    for span in timeline.spans(track) {
        // A span that ends at the beginning of a column is not in it.
        let (from, to) = (column_of(span.from_us), column_of(span.to_us.saturating_sub(1).max(span.from_us)));
        cells[from..=to].fill(CellShown::State(span.state));
    }
    for (at_us, mark) in timeline.marks(track) {
        // A connection whose SYN was sent again is often answered at once: the answer is drawn after it.
        let before = usize::from(mark == Mark::SentAgain);
        let cell = &mut cells[column_of(at_us).saturating_sub(before)];
        // If a column has several marks, the answer or the end is shown.
        if !matches!(cell, CellShown::Mark(before) if *before > mark) {
            *cell = CellShown::Mark(mark);
        }
    }
    for run in cells.chunk_by(|a, b| a == b) {
        let text: String = run.iter().map(|cell| cell.char(display.has_unicode)).collect();
        line += &display.painted(&text, run[0].colour());
    }
    let course = &track.course;
    if columns.served {
        let text = match (course.served_in(), course.state(timeline.until_us)) {
            (Some(served_in), _) => served_in.to_string(),
            (None, Some(TrackState::Connecting)) => "connects".to_owned(),
            (None, Some(_)) => "in the backlog".to_owned(),
            (None, None) => String::new(),
        };
        let _ = write!(line, " {:SERVED_COLUMNS$}", cut(&text, SERVED_COLUMNS));
    }
    if columns.answer {
        let answer = match course.answer_took_us() {
            Some(took_us) => time_text(took_us),
            None if course.left_without_answer() => "none".to_owned(),
            None => String::new(),
        };
        let _ = write!(line, " {answer:>ANSWER_COLUMNS$}");
    }
    line.trim_end().to_owned()
}

/// A digit per column, the greatest value of the column; if values have several digits, only the changes.
fn gauge_row(gauge: Gauge, timeline: &Timeline, columns: &Columns, horizon_us: u64) -> String {
    let mut line = format!("{:width$} ", cut(gauge.name(), columns.label), width = columns.label);
    let has_digits = timeline.gauge_max(gauge).is_some_and(|most| most < 10);
    let (mut shown, mut free_from) = (None, 0);
    let mut chart = vec![' '; columns.chart];
    for column in 0..columns.chart {
        let (from_us, to_us) = columns.span(column, horizon_us);
        let value = if from_us < timeline.until_us { timeline.gauge_in(gauge, from_us, to_us) } else { None };
        let Some(value) = value else { continue };
        let digits: Vec<char> = value.to_string().chars().collect();
        let is_new = has_digits || (shown != Some(value) && column >= free_from);
        if is_new && column + digits.len() <= columns.chart {
            chart[column..column + digits.len()].copy_from_slice(&digits);
            (shown, free_from) = (Some(value), column + digits.len() + 1);
        }
    }
    line.extend(chart);
    line.trim_end().to_owned()
}

/// Where each client is now.
fn now(timeline: &Timeline) -> String {
    let names = |wanted: &dyn Fn(&Track) -> bool| {
        let names: Vec<&str> =
            timeline.tracks.iter().filter(|track| wanted(track)).map(|track| track.name.as_str()).collect();
        if names.is_empty() { "-".to_owned() } else { names.join(" ") }
    };
    let is = |state: TrackState| move |track: &Track| track.course.state(timeline.until_us) == Some(state);
    format!(
        "backlog: {} | served: {} | answered: {}",
        names(&is(TrackState::Queued)),
        names(&is(TrackState::Served)),
        names(&|track| track.course.answered_us.is_some())
    )
}

/// The beginning of a text, at most this many characters.
fn cut(text: &str, columns: usize) -> String {
    text.chars().take(columns).collect()
}

/// The text in lines of at most this many columns; longer words are cut.
pub(crate) fn wrapped(text: &str, columns: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let word = cut(word, columns);
        let used = lines.last().map_or(0, |line| line.chars().count());
        match lines.last_mut() {
            Some(line) if used == 0 => *line = word,
            Some(line) if used + 1 + word.chars().count() <= columns => {
                line.push(' ');
                line.push_str(&word);
            }
            _ => lines.push(word),
        }
    }
    lines
}
