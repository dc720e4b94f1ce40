//! The table on the terminal.

use std::fmt::Write as _;

use comfy_table::{Cell as TableCell, CellAlignment, ColumnConstraint, ContentArrangement, Table, Width};

use super::plots::{BELOW_NOISE, is_below_noise, told};
use crate::lab::cell::CoreClass;
use crate::lab::decision::decide;
use crate::lab::experiments::{Experiment, Extent};
use crate::lab::judge::Verdict;
use crate::lab::metric::Metric;
use crate::lab::results::{CellResult, Results};
use crate::lab::stats::Summary;

/// Renders every experiment; `width` in characters, `None` for as wide as it needs.
pub fn render(results: &Results, width: Option<u16>) -> String {
    let mut text = String::new();
    let plan = &results.header.plan;
    let quick = if plan.extent == Extent::Quick { "QUICK, " } else { "" };
    let _ = writeln!(
        text,
        "{quick}{} repeats, seed {}; {}",
        plan.repeats, plan.seed, results.header.machine.placement
    );
    let _ =
        writeln!(text, "medians; \u{b1} is half of the interval of the repeats: {}", interval(plan.repeats));
    for &experiment in &plan.experiments {
        for &class in &plan.classes {
            let cells = results.of_experiment(experiment, class);
            if !cells.is_empty() {
                let _ = writeln!(text, "\n{} ({class}): {}", experiment.name(), experiment.question());
                if cells.iter().any(|result| result.judgement.verdict != Verdict::Unsupported) {
                    let _ = writeln!(text, "{}", shown(cell_table(experiment, &cells, width)));
                }
                remarks(&mut text, &cells);
                for line in results.unsupported(experiment, class) {
                    let _ = writeln!(text, "UNSUPPORTED: {line}");
                }
            }
        }
    }
    slopes(&mut text, results, width);
    decisions(&mut text, results);
    let counts: Vec<String> =
        results.verdicts().iter().map(|(verdict, count)| format!("{count} {verdict}")).collect();
    let _ = writeln!(text, "\ncells: {}", counts.join(", "));
    if results.runs_made < results.runs_planned {
        let _ =
            writeln!(text, "interrupted: {} of {} runs were made", results.runs_made, results.runs_planned);
    }
    text
}

/// What the interval of so many repeats is.
fn interval(repeats: u32) -> String {
    let places: Vec<f64> = (1..=repeats).map(f64::from).collect();
    let Some(summary) = Summary::of(&places) else { return "there are none".to_owned() };
    let ends = if summary.low <= 1.0 {
        "the least and the greatest".to_owned()
    } else {
        format!("number {:.0} from below and from above", summary.low)
    };
    format!("{ends}, between which the true median lies with {:.1} %", summary.coverage * 100.0)
}

/// A line below the head and none between rows, so that a page holds an experiment.
const HEAD_LINE_ONLY: &str = "     \u{2500}              ";

fn new_table(width: Option<u16>) -> Table {
    let mut table = Table::new();
    table.load_preset(HEAD_LINE_ONLY).set_content_arrangement(ContentArrangement::Dynamic);
    // Without a width of its own the table would ask the terminal, and a snapshot would depend on it.
    table.set_width(width.unwrap_or(u16::MAX));
    table
}

/// The table with no column narrower than its longest word: a line may end between words, not within one.
fn shown(mut table: Table) -> String {
    let columns = table.column_count();
    let rows = || table.header().into_iter().chain(table.row_iter());
    let longest = |at: usize| {
        let texts = rows().filter_map(|row| row.cell_iter().nth(at)).map(TableCell::content);
        let words = texts.map(|text| text.split(' ').map(|word| word.chars().count()).max().unwrap_or(0));
        words.max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(longest).collect();
    for (at, (column, width)) in table.column_iter_mut().zip(widths).enumerate() {
        let padding = (u16::from(at > 0), u16::from(at + 1 < columns));
        column.set_padding(padding);
        let least = u16::try_from(width).unwrap_or(u16::MAX).saturating_add(padding.0 + padding.1);
        column.set_constraint(ColumnConstraint::LowerBoundary(Width::Fixed(least)));
    }
    table.to_string().replace(UNBROKEN, " ")
}

/// Stands for a space at which no line ends, as between a number and its unit.
const UNBROKEN: &str = "\u{a0}";

fn unbroken(text: &str) -> String {
    text.replace(' ', UNBROKEN)
}

fn right(text: String) -> TableCell {
    TableCell::new(text).set_alignment(CellAlignment::Right)
}

fn cell_table(experiment: Experiment, cells: &[&CellResult], width: Option<u16>) -> Table {
    let mut table = new_table(width);
    let metrics = experiment.metrics();
    let mut head = vec![right(experiment.level_label().to_owned()), TableCell::new("server")];
    head.extend(metrics.iter().map(|metric| right(metric.label().to_owned())));
    head.push(TableCell::new("judgement"));
    table.set_header(head);
    for result in cells {
        let verdict = result.judgement.verdict;
        if verdict == Verdict::Unsupported {
            continue;
        }
        let mut row = vec![right(result.cell.level.to_string()), TableCell::new(&result.cell.subject.name)];
        row.extend(metrics.iter().map(|metric| {
            right(result.summaries.get(metric).map_or("-".to_owned(), |summary| {
                let spread = match summary.spread() {
                    // About nothing, as a difference may be: a share of the median would tell nothing.
                    spread if spread >= 1.0 || is_below_noise(*metric, summary) => {
                        let [low, high] =
                            [summary.low, summary.high].map(|value| unbroken(&metric.format(value)));
                        format!(" ({low} \u{2013} {high})")
                    }
                    spread if spread >= 0.005 => format!(" \u{b1}{:.0}%", spread * 100.0),
                    _ => String::new(),
                };
                let alone = if result.verdict(*metric) == verdict { "" } else { " NOISY" };
                format!("{}{spread}{alone}", unbroken(&told(*metric, summary, verdict)))
            }))
        }));
        let why = result.judgement.evidence.first().filter(|_| verdict != Verdict::Valid);
        row.push(TableCell::new(why.map_or(verdict.to_string(), |why| format!("{verdict}: {why}"))));
        table.add_row(row);
    }
    table
}

/// What a difference means that is no number, or less than nothing; and what a value that is not to be believed alone.
fn remarks(text: &mut String, cells: &[&CellResult]) {
    let metric = Metric::ProcessControlUs;
    let label = metric.label();
    let believed = || cells.iter().filter(|result| result.verdict(metric) == Verdict::Valid);
    let summaries = || cells.iter().filter_map(|result| result.summaries.get(&metric));
    if summaries().any(|summary| is_below_noise(metric, summary)) {
        let _ = writeln!(text, "{BELOW_NOISE}: {label} is a difference, and its interval has 0 in it");
    }
    if believed().filter_map(|result| result.summaries.get(&metric)).any(|summary| summary.high < 0.0) {
        let _ = writeln!(text, "less than 0: {label} is a difference, and the iterative server takes more");
    }
    let doubted = cells.iter().filter(|result| result.judgement.verdict == Verdict::Valid);
    if let Some((metric, why)) = doubted.flat_map(|result| &result.doubted).next() {
        let _ = writeln!(text, "NOISY in a VALID row is that value alone; {}: {why}", metric.label());
    }
}

/// Which class of cores, where there is more than one.
fn in_class(class: CoreClass, classes: usize) -> String {
    if classes > 1 { format!(" ({class})") } else { String::new() }
}

fn slopes(text: &mut String, results: &Results, width: Option<u16>) {
    if results.slopes.is_empty() {
        return;
    }
    let mut table = new_table(width);
    let classes = results.header.plan.classes.len();
    table.set_header(["one more costs", "server", "memory (PSS)", "kernel memory", "judgement"]);
    for slope in results.slopes.iter().filter(|slope| slope.metric == Metric::MemoryBytes) {
        let kernel = results.slopes.iter().find(|other| {
            (other.experiment, other.class, &other.subject, other.metric)
                == (slope.experiment, slope.class, &slope.subject, Metric::KernelBytes)
        });
        let each = if slope.experiment == Experiment::Many { "copy" } else { "idle client" };
        table.add_row(vec![
            TableCell::new(format!("{each}{}", in_class(slope.class, classes))),
            TableCell::new(&slope.subject.name),
            right(unbroken(&Metric::MemoryBytes.format(slope.summary.median))),
            right(kernel.map_or("-".to_owned(), |kernel| {
                unbroken(&Metric::KernelBytes.format(kernel.summary.median))
            })),
            TableCell::new(kernel.map_or(slope.judgement.verdict.to_string(), |kernel| {
                match (slope.judgement.verdict, kernel.judgement.verdict) {
                    (memory, kernel) if memory == kernel => memory.to_string(),
                    (memory, kernel) => format!("{memory}, kernel {kernel}"),
                }
            })),
        ]);
    }
    let _ = writeln!(text, "\n{}", shown(table));
}

fn decisions(text: &mut String, results: &Results) {
    let (decisions, crossovers) = decide(results);
    if decisions.is_empty() {
        return;
    }
    let classes = results.header.plan.classes.len();
    let _ = writeln!(
        text,
        "\nIf this is your situation (best first, VALID cells alone; > apart, ~ intervals meet):"
    );
    for decision in &decisions {
        let tiers: Vec<String> = decision
            .tiers
            .iter()
            .map(|tier| tier.iter().map(|standing| standing.name.clone()).collect::<Vec<_>>().join(" ~ "))
            .collect();
        let _ = writeln!(
            text,
            "  {}{}, by {}: {}",
            decision.situation,
            in_class(decision.class, classes),
            decision.metric.label(),
            tiers.join(" > ")
        );
    }
    for crossover in &crossovers {
        let _ = writeln!(
            text,
            "  crossover{}, by {}: {} up to {} clients, {} from {}",
            in_class(crossover.class, classes),
            crossover.metric.label(),
            crossover.before,
            crossover.until,
            crossover.after,
            crossover.from
        );
    }
}
