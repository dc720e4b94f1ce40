//! The table on the terminal.

use std::fmt::Write as _;

use comfy_table::{
    Cell as TableCell, CellAlignment, ColumnConstraint, ContentArrangement, Row, Table, Width,
};

use super::floor;
use super::plots::{BELOW_NOISE, is_below_noise, value_text};
use super::sentences;
use super::text::{found, left_out, slope as slope_text, slope_note};
use crate::judge::Verdict;
use crate::judge::figures::counted;
use crate::judge::statistics::MedianInterval;
use crate::lab::judge::decision::decide;
use crate::lab::judge::results::{CellResult, Results, Slope};
use crate::lab::plan::experiment::{Experiment, Extent};
use crate::lab::plan::metric::Metric;
use crate::lab::plan::subject::{CoreClass, Subject};
use crate::plot::text::in_one_line;

/// Renders every experiment; `width` in characters, `None` for as wide as needed.
pub(crate) fn render(results: &Results, width: Option<u16>) -> String {
    let mut text = WrappedText { text: String::new(), width };
    let plan = &results.header.plan;
    let quick = if plan.extent == Extent::Quick { "QUICK, " } else { "" };
    let placement = &results.header.machine.placement;
    let repeats = counted(plan.repeats.into(), "repeat", "repeats");
    text.line(&format!("{quick}{repeats}, seed {}; {placement}", plan.seed));
    text.line(&format!(
        "values are medians; \u{b1} is half of the confidence interval, which lies between {}",
        interval(plan.repeats)
    ));
    for sentence in sentences::busy_machine(results).into_iter().chain(sentences::measured_again(results)) {
        text.line(&sentence);
    }
    for finding in &results.header.findings {
        text.line(&found(finding));
    }
    for &experiment in &plan.experiments {
        for &class in &plan.classes {
            let cells = results.of_experiment(experiment, class);
            if !cells.is_empty() {
                text.blank();
                text.line(&format!("{} ({class}): {}", experiment.name(), experiment.question()));
                if cells.iter().any(|result| result.judgement.verdict != Verdict::Unsupported) {
                    text.table(|gaps| cell_table(experiment, &cells, gaps));
                }
                remarks(&mut text, &cells);
                reasons(&mut text, &cells);
                for line in results.unsupported(experiment, class) {
                    text.line(&format!("UNSUPPORTED: {line}"));
                }
            }
        }
    }
    slopes(&mut text, results);
    decisions(&mut text, results);
    let counts: Vec<String> =
        results.verdicts().iter().map(|(verdict, count)| format!("{count} {verdict}")).collect();
    text.blank();
    text.line(&format!("cells: {}", counts.join(", ")));
    text.blank();
    text.line("In one sentence each, from VALID cells alone:");
    for (name, sentence) in sentences::all(results) {
        text.line(&format!("  {name}: {sentence}"));
    }
    if results.runs_made < results.runs_planned {
        let planned = counted(results.runs_planned.into(), "run", "runs");
        text.line(&format!("interrupted after {} of {planned}", results.runs_made));
    }
    text.text
}

/// Text in lines of at most a width.
struct WrappedText {
    text: String,
    width: Option<u16>,
}

/// Starts a continuation line.
const INDENT: &str = "    ";

impl WrappedText {
    fn blank(&mut self) {
        self.text.push('\n');
    }

    /// A line, wrapped between words; `line` may have names and reasons from raw data in it.
    fn line(&mut self, line: &str) {
        let width = self.width.map_or(usize::MAX, usize::from);
        let line = in_one_line(line).replace(" %", &format!("{UNBROKEN}%"));
        let words = line.trim_start();
        let mut gap = &line[..line.len() - words.len()];
        let mut column = 0;
        for word in words.split(' ') {
            let len = word.chars().count();
            if column > 0 && column + gap.len() + len > width {
                self.blank();
                (gap, column) = (INDENT, 0);
            }
            let _ = write!(self.text, "{gap}{}", word.replace(UNBROKEN, " "));
            column += gap.len() + len;
            gap = " ";
        }
        self.blank();
    }

    /// A table with as few line breaks within its values as the width allows.
    fn table(&mut self, of: impl Fn(Gaps) -> Table) {
        let width = self.width.unwrap_or(u16::MAX);
        let fits =
            |gaps: &Gaps| least_widths(&of(*gaps), *gaps).into_iter().sum::<usize>() <= usize::from(width);
        let gaps = Gaps::TRIED.into_iter().find(fits).unwrap_or(Gaps::NARROW);
        let _ = writeln!(self.text, "{}", shown(of(gaps), gaps, width));
    }
}

/// The meaning of the confidence interval for this many repeats.
fn interval(repeats: u32) -> String {
    let places: Vec<f64> = (1..=repeats).map(f64::from).collect();
    let Some(summary) = MedianInterval::of(&places) else { return "there are none".to_owned() };
    let ends = if summary.low <= 1.0 {
        "the least and the greatest repeat".to_owned()
    } else {
        format!("repeat {:.0} from below and from above", summary.low)
    };
    format!("{ends} and covers the true median with a probability of {:.1} %", summary.coverage * 100.0)
}

/// A line below the head and none between rows, so that an experiment fits on a page.
const HEAD_LINE_ONLY: &str = "     \u{2500}              ";

fn new_table() -> Table {
    let mut table = Table::new();
    table.load_preset(HEAD_LINE_ONLY).set_content_arrangement(ContentArrangement::Dynamic);
    table
}

/// A column's padding on both sides: none at the table's ends.
fn padding(at: usize, columns: usize, gaps: Gaps) -> (u16, u16) {
    (u16::from(at > 0), if at + 1 < columns { gaps.behind_column } else { 0 })
}

/// The longest word of each column, with its padding.
fn least_widths(table: &Table, gaps: Gaps) -> Vec<usize> {
    let columns = table.header().map_or(0, Row::cell_count);
    let rows = || table.header().into_iter().chain(table.row_iter());
    let longest = |at: usize| {
        let texts = rows().filter_map(|row| row.cell_iter().nth(at)).map(TableCell::content);
        let words =
            texts.map(|text| text.split([' ', '\n']).map(|word| word.chars().count()).max().unwrap_or(0));
        let (before, behind) = padding(at, columns, gaps);
        words.max().unwrap_or(0) + usize::from(before + behind)
    };
    (0..columns).map(longest).collect()
}

/// The table, with no column narrower than its longest word: lines break between words only.
fn shown(mut table: Table, gaps: Gaps, width: u16) -> String {
    // Without a width the table would ask the terminal, and a snapshot would depend on it.
    table.set_width(width);
    let (columns, widths) = (table.column_count(), least_widths(&table, gaps));
    for (at, (column, width)) in table.column_iter_mut().zip(widths).enumerate() {
        column.set_padding(padding(at, columns, gaps));
        let least = u16::try_from(width).unwrap_or(u16::MAX);
        column.set_constraint(ColumnConstraint::LowerBoundary(Width::Fixed(least)));
    }
    table.to_string().replace(UNBROKEN, " ")
}

/// A space at which no line breaks, as between a number and its unit.
const UNBROKEN: &str = "\u{a0}";

/// The gaps between the words of a cell: each is a space, or a space at which no line breaks.
#[derive(Clone, Copy)]
struct Gaps {
    before_interval: &'static str,
    within_interval: &'static str,
    before_spread: &'static str,
    within_verdict: &'static str,
    behind_column: u16,
}

impl Gaps {
    const NONE: Gaps = Gaps {
        before_interval: UNBROKEN,
        within_interval: UNBROKEN,
        before_spread: UNBROKEN,
        within_verdict: "-",
        behind_column: 1,
    };
    const ALL: Gaps = Gaps {
        before_interval: " ",
        within_interval: " ",
        before_spread: " ",
        within_verdict: "-\n",
        behind_column: 1,
    };
    /// Where even that is too wide.
    const NARROW: Gaps = Gaps { behind_column: 0, ..Gaps::ALL };
    /// In order of preference: the fewer breaks, the better.
    const TRIED: [Gaps; 4] = [
        Gaps::NONE,
        Gaps { before_interval: " ", ..Gaps::NONE },
        Gaps { before_interval: " ", within_interval: " ", ..Gaps::NONE },
        Gaps::ALL,
    ];
}

fn unbroken(text: &str) -> String {
    text.replace(' ', UNBROKEN)
}

/// The ends of an interval; the unit only once if both have the same.
fn range(metric: Metric, summary: &MedianInterval, gaps: Gaps) -> String {
    let ends = [summary.low, summary.high].map(|value| unbroken(&metric.format(value)));
    let [low, high] = ends.each_ref().map(|end| {
        let unit = end.rfind(|c: char| c.is_ascii_digit()).map_or(0, |last| last + 1);
        end.split_at(unit)
    });
    let unit = if low.1 == high.1 { "" } else { low.1 };
    format!("{}{unit}{UNBROKEN}\u{2013}{}{}{}", low.0, gaps.within_interval, high.0, high.1)
}

fn right(text: String) -> TableCell {
    TableCell::new(text).set_alignment(CellAlignment::Right)
}

fn name_of(subject: &Subject) -> TableCell {
    TableCell::new(in_one_line(&subject.name))
}

/// Whether a cell with values has a ratio to the leanest server.
fn has_floor(cells: &[&CellResult]) -> bool {
    let shown = cells.iter().filter(|result| result.judgement.verdict != Verdict::Unsupported);
    shown.map(|result| floor::of_cell(&result.cell)).any(|ratio| ratio.is_some())
}

fn cell_table(experiment: Experiment, cells: &[&CellResult], gaps: Gaps) -> Table {
    let mut table = new_table();
    let metrics = experiment.metrics();
    let mut head = vec![right(experiment.level_label().to_owned()), TableCell::new("server")];
    let with_floor = has_floor(cells);
    if with_floor {
        head.push(right(floor::LABEL.to_owned()));
    }
    head.extend(metrics.iter().map(|metric| right(metric.label().to_owned())));
    head.push(TableCell::new("verdict"));
    table.set_header(head);
    for result in cells {
        let verdict = result.judgement.verdict;
        if verdict == Verdict::Unsupported {
            continue;
        }
        let mut row = vec![right(result.cell.level.to_string()), name_of(&result.cell.subject)];
        if with_floor {
            row.push(right(floor::text(floor::of_cell(&result.cell))));
        }
        row.extend(metrics.iter().map(|metric| {
            right(result.summaries.get(metric).map_or("-".to_owned(), |summary| {
                let spread = match summary.spread() {
                    // The median is close to 0, which is possible for a difference: a share of it would be
                    // meaningless.
                    spread if spread >= 1.0 || is_below_noise(*metric, summary) => {
                        format!("{}({})", gaps.before_interval, range(*metric, summary, gaps))
                    }
                    spread if spread >= 0.005 => {
                        format!("{}\u{b1}{:.0}%", gaps.before_spread, spread * 100.0)
                    }
                    _ => String::new(),
                };
                let alone = if result.verdict(*metric) == verdict { "" } else { ALONE };
                format!("{}{spread}{alone}", unbroken(&value_text(*metric, summary, verdict)))
            }))
        }));
        row.push(TableCell::new(verdict.to_string().replace('-', gaps.within_verdict)));
        table.add_row(row);
    }
    table
}

/// After a value that is NOISY in a row that is VALID.
const ALONE: &str = "*";

/// Why cells are not VALID, in lines of their own: in a column the reasons would make rows high.
fn reasons(text: &mut WrappedText, cells: &[&CellResult]) {
    for CellResult { cell, judgement, .. } in cells {
        if !matches!(judgement.verdict, Verdict::Valid | Verdict::Unsupported) {
            let (verdict, why) = (judgement.verdict, judgement.why());
            text.line(&format!("{verdict}: {} at {}: {why}", cell.subject.name, cell.level));
        }
    }
}

/// Explains differences that are below noise, and values that are NOISY in a row that is VALID.
fn remarks(text: &mut WrappedText, cells: &[&CellResult]) {
    for (metric, to, below) in [
        (
            Metric::ProcessControlUs,
            "to the iterative server",
            "the server needed less CPU time than the iterative one, for other reasons",
        ),
        (
            Metric::KernelBytes,
            "to before the server started",
            "the system freed more kernel memory than the server needed",
        ),
    ] {
        let summaries = || cells.iter().filter_map(|result| result.summaries.get(&metric));
        if summaries().any(|summary| is_below_noise(metric, summary)) {
            let any_below = summaries().any(|summary| summary.high < 0.0);
            let below = if any_below { format!("; if it is wholly below 0, {below}") } else { String::new() };
            let label = metric.label();
            text.line(&format!(
                "{BELOW_NOISE}: {label} is a difference {to}, and its interval is not wholly above 0{below}"
            ));
        }
    }
    let doubted = cells.iter().filter(|result| result.judgement.verdict == Verdict::Valid);
    let mut doubts =
        doubted.flat_map(|result| result.doubted.iter().map(move |(metric, why)| (result, metric, why)));
    if let Some((CellResult { cell, .. }, metric, why)) = doubts.next() {
        text.line(&format!(
            "{ALONE} this value alone is NOISY; for example, {} of {} at {}: {why}",
            metric.label(),
            cell.subject.name,
            cell.level
        ));
    }
    if has_floor(cells) {
        text.line(&floor::note());
    }
}

/// The class of cores, if there are several.
fn in_class(class: CoreClass, classes: usize) -> String {
    if classes > 1 { format!(" ({class})") } else { String::new() }
}

fn slopes(text: &mut WrappedText, results: &Results) {
    if results.slopes.is_empty() {
        return;
    }
    let mut table = new_table();
    let classes = results.header.plan.classes.len();
    let memory = || results.slopes.iter().filter(|slope| slope.metric == Metric::MemoryBytes);
    let with_floor = memory().any(|slope| floor::of_slope(slope).is_some());
    let value = |slope: &Slope| unbroken(&slope_text(slope.metric, &slope.summary, slope.at_most));
    let mut head = vec![TableCell::new("cost of one more"), TableCell::new("server")];
    if with_floor {
        head.push(right(floor::LABEL.to_owned()));
    }
    head.extend(["memory (PSS)", "kernel memory"].map(|name| right(name.to_owned())));
    head.push(TableCell::new("verdict"));
    table.set_header(head);
    for slope in memory() {
        let kernel = results.slopes.iter().find(|other| {
            (other.experiment, other.class, &other.subject, other.metric)
                == (slope.experiment, slope.class, &slope.subject, Metric::KernelBytes)
        });
        let each = if slope.experiment == Experiment::Many { "copy" } else { "idle client" };
        let mut row = vec![
            TableCell::new(format!("{each}{}", in_class(slope.class, classes))),
            name_of(&slope.subject),
        ];
        if with_floor {
            row.push(right(floor::text(floor::of_slope(slope))));
        }
        row.extend([
            right(value(slope)),
            right(kernel.map_or("-".to_owned(), value)),
            TableCell::new(kernel.map_or(slope.judgement.verdict.to_string(), |kernel| {
                match (slope.judgement.verdict, kernel.judgement.verdict) {
                    (memory, kernel) if memory == kernel => memory.to_string(),
                    (memory, kernel) => format!("{memory}, kernel {kernel}"),
                }
            })),
        ]);
        table.add_row(row);
    }
    text.blank();
    text.table(|_| table.clone());
    if with_floor {
        text.line(&floor::memory_note());
    }
    if results.slopes.iter().any(|slope| slope.at_most.is_some()) {
        text.line(&slope_note());
    }
}

fn decisions(text: &mut WrappedText, results: &Results) {
    let (decisions, crossovers) = decide(results);
    if decisions.is_empty() {
        return;
    }
    let classes = results.header.plan.classes.len();
    text.blank();
    text.line(
        "If this is your situation (best first, VALID cells alone; > clearly better, ~ intervals overlap):",
    );
    for decision in &decisions {
        let tiers: Vec<String> = decision
            .tiers
            .iter()
            .map(|tier| tier.iter().map(|ranked| ranked.name.clone()).collect::<Vec<_>>().join(" ~ "))
            .collect();
        let of_ranking = decision.left_out.iter().map(|(name, verdict)| (&**name, *verdict));
        let not_ranked = match of_ranking.len() {
            0 => String::new(),
            _ => format!(" (not ranked: {})", left_out(of_ranking)),
        };
        text.line(&format!(
            "  {}{}, by {}: {}{not_ranked}",
            decision.situation,
            in_class(decision.class, classes),
            decision.metric.label(),
            tiers.join(" > ")
        ));
    }
    for crossover in &crossovers {
        text.line(&format!(
            "  crossover{}, by {}: {} up to {}, {} from {}",
            in_class(crossover.class, classes),
            crossover.metric.label(),
            crossover.before,
            counted(crossover.until.into(), "client", "clients"),
            crossover.after,
            crossover.from
        ));
    }
}
