//! The plots of each experiment.

use super::style::Styles;
use super::text;
use crate::judge::Verdict;
use crate::judge::statistics::MedianInterval;
use crate::lab::judge::is_lower_bound;
use crate::lab::judge::results::{CellResult, Slope};
use crate::lab::plan::experiment::Experiment;
use crate::lab::plan::metric::Metric;
use crate::lab::plan::subject::Subject;
use crate::plot::scale::{AxisUnit, Scale, Spread, short};
use crate::plot::svg::{self, Bar, Point, Series};

/// The plots of an experiment's cells, all of one class of cores.
pub(crate) fn of(
    experiment: Experiment,
    cells: &[&CellResult],
    slopes: &[&Slope],
    styles: &Styles<'_>,
) -> Vec<String> {
    match experiment {
        Experiment::Few => few(cells),
        Experiment::Crowd => {
            let shown =
                [Metric::RequestsPerS, Metric::LatencyP50Us, Metric::LatencyP99Us, Metric::CpuPerRequestUs];
            let plot =
                |metric| over_levels(metric, cells, styles, true, &common_scale(metric, &shown, cells));
            shown.into_iter().filter_map(plot).collect()
        }
        Experiment::Many | Experiment::Idle => memory(experiment, cells, slopes, styles),
        Experiment::Steady => {
            let metrics = [Metric::CpuPerRequestUs, Metric::LatencyP99Us];
            let levels = levels(cells);
            let plots = levels.iter().flat_map(|level| metrics.map(|metric| (*level, metric)));
            plots
                .filter_map(|(level, metric)| {
                    let title = format!("{}, at {level} requests per second", upper(metric.label()));
                    let scale = common_scale(metric, &metrics, cells);
                    one_level(&title, metric, &at_level(cells, level), styles, &scale)
                })
                .collect()
        }
        Experiment::Wait | Experiment::Churn | Experiment::Bulk => {
            let shown: Vec<Metric> = experiment
                .metrics()
                .iter()
                .copied()
                .filter(|metric| *metric != Metric::LatencyP99Us)
                .collect();
            let plot = |metric: &Metric| {
                let scale = common_scale(*metric, &shown, cells);
                one_level(&upper(metric.label()), *metric, cells, styles, &scale)
            };
            shown.iter().filter_map(plot).collect()
        }
    }
}

/// Whether two metrics are one quantity, so that their plots are compared.
fn are_alike(one: Metric, other: Metric) -> bool {
    const ALIKE: [&[Metric]; 3] = [
        &[Metric::LatencyP50Us, Metric::LatencyP99Us, Metric::LatencyP999Us],
        &[Metric::CpuPerClientUs, Metric::ProcessControlUs],
        &[Metric::MemoryBytes, Metric::KernelBytes],
    ];
    one == other || ALIKE.iter().any(|alike| alike.contains(&one) && alike.contains(&other))
}

/// The scale of a metric in the plots of these cells: that of all shown metrics of the same quantity.
fn common_scale(metric: Metric, shown: &[Metric], cells: &[&CellResult]) -> Scale {
    let alike = || shown.iter().copied().filter(|other| are_alike(metric, *other));
    let summaries =
        alike().flat_map(|other| cells.iter().filter_map(move |result| result.summaries.get(&other)));
    // A difference may be below 0, which no logarithmic axis shows.
    let strictest = alike().find(|other| *other == Metric::ProcessControlUs).unwrap_or(metric);
    scale_of(strictest, summaries.flat_map(ends))
}

/// An axis for the values of a metric.
fn scale_of(metric: Metric, values: impl Iterator<Item = f64>) -> Scale {
    let unit = match metric.unit() {
        "\u{b5}s" => AxisUnit::Micros,
        "ms" => AxisUnit::Millis,
        "B" | "B/s" => AxisUnit::Bytes,
        _ => AxisUnit::Count,
    };
    let spread = match metric {
        Metric::Fairness | Metric::ProcessControlUs => Spread::Linear,
        _ => Spread::AsNeeded,
    };
    Scale::of_values(unit, spread, values)
}

fn ends(summary: &MedianInterval) -> [f64; 3] {
    [summary.low, summary.median, summary.high]
}

fn upper(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

fn levels(cells: &[&CellResult]) -> Vec<u32> {
    let mut levels: Vec<u32> = cells.iter().map(|result| result.cell.level).collect();
    levels.dedup();
    levels
}

fn at_level<'a>(cells: &[&'a CellResult], level: u32) -> Vec<&'a CellResult> {
    cells.iter().copied().filter(|result| result.cell.level == level).collect()
}

/// A point at `x` with its value as text.
fn point(
    x: f64,
    metric: Metric,
    (summary, text): (&MedianInterval, &str),
    verdict: Verdict,
    name: &str,
) -> Point {
    let title = format!(
        "{name}: {text} ({} \u{2013} {}), {verdict}",
        metric.format(summary.low),
        metric.format(summary.high)
    );
    let valid = verdict == Verdict::Valid;
    // What is not known to be above 0 has an interval, but no bar.
    let y = if is_below_noise(metric, summary) { 0.0 } else { summary.median.max(0.0) };
    Point { x, y, low: summary.low, high: summary.high, valid, title }
}

/// A line per subject over the levels, on a logarithmic axis if `log`: not where a slope is to be seen.
fn over_levels(
    metric: Metric,
    cells: &[&CellResult],
    styles: &Styles<'_>,
    log: bool,
    y: &Scale,
) -> Option<String> {
    let mut subjects: Vec<&Subject> = Vec::new();
    for result in cells {
        if !subjects.contains(&&result.cell.subject) {
            subjects.push(&result.cell.subject);
        }
    }
    let series: Vec<Series> = subjects
        .into_iter()
        .map(|subject| {
            let mine = cells.iter().filter(|result| result.cell.subject == *subject);
            let points = mine.filter_map(|result| {
                let summary = result.summaries.get(&metric)?;
                Some(point(
                    f64::from(result.cell.level),
                    metric,
                    (summary, &value_text(metric, summary, result.verdict(metric))),
                    result.verdict(metric),
                    &subject.name,
                ))
            });
            Series { name: subject.name.clone(), style: styles.style(subject), points: points.collect() }
        })
        .filter(|series| !series.points.is_empty())
        .collect();
    let levels: Vec<f64> = levels(cells).into_iter().map(f64::from).collect();
    let (first, last) = (*levels.first()?, *levels.last()?);
    let ticks: Vec<(f64, String)> = levels.iter().map(|&level| (level, short(level))).collect();
    let x = if log { Scale::log(first, last) } else { Scale::linear(first, last) };
    let title = match (metric.unit(), y.is_log()) {
        (_, true) => format!("{} (logarithmic)", upper(metric.label())),
        _ => upper(metric.label()),
    };
    let x_label = format!(
        "{}{}",
        cells[0].cell.experiment.level_label(),
        if x.is_log() { " (logarithmic)" } else { "" }
    );
    (!series.is_empty()).then(|| svg::lines(&title, &x_label, &x, &ticks, y, &series))
}

/// A bar per subject.
fn one_level<'a>(
    title: &str,
    metric: Metric,
    cells: &[&'a CellResult],
    styles: &Styles<'_>,
    scale: &Scale,
) -> Option<String> {
    let value = |result: &&'a CellResult| {
        let (verdict, summary) = (result.verdict(metric), result.summaries.get(&metric));
        let value = summary.map(|summary| (summary, value_text(metric, summary, verdict)));
        BarValue { subject: &result.cell.subject, value, verdict }
    };
    let rows: Vec<BarValue<'_>> = cells
        .iter()
        .map(value)
        .filter(|row| row.verdict != Verdict::Unsupported)
        // A metric that only some subjects have gets no empty rows.
        .filter(|row| row.value.is_some() || row.verdict != Verdict::Valid)
        .collect();
    bars(title, metric, &rows, styles, scale)
}

/// What a bar shows.
struct BarValue<'a> {
    subject: &'a Subject,
    /// The value, and as text.
    value: Option<(&'a MedianInterval, String)>,
    verdict: Verdict,
}

fn bars(
    title: &str,
    metric: Metric,
    rows: &[BarValue<'_>],
    styles: &Styles<'_>,
    scale: &Scale,
) -> Option<String> {
    let rows: Vec<Bar> = rows
        .iter()
        .map(|BarValue { subject, value, verdict }| Bar {
            name: subject.name.clone(),
            style: styles.style(subject),
            point: value
                .as_ref()
                .map(|(summary, text)| point(0.0, metric, (summary, text), *verdict, &subject.name)),
            text: value.as_ref().map_or(verdict.to_string(), |(_, text)| text.clone()),
        })
        .collect();
    let any = rows.iter().any(|row| row.point.is_some());
    let title = if scale.is_log() { format!("{title} (logarithmic)") } else { title.to_owned() };
    any.then(|| svg::bars(&title, scale, &rows))
}

/// Shown for a difference whose interval is not wholly above 0.
pub(crate) const BELOW_NOISE: &str = "below noise";

/// Whether a cost is a difference whose interval is not wholly above 0. An interval wholly below 0 is no
/// negative cost: something else changed by more than this cost.
pub(crate) fn is_below_noise(metric: Metric, summary: &MedianInterval) -> bool {
    metric.is_difference() && !summary.is_a_cost()
}

/// A value as text: with `≥` if it is a lower bound, and no number where that would be noise.
pub(crate) fn value_text(metric: Metric, summary: &MedianInterval, verdict: Verdict) -> String {
    if is_below_noise(metric, summary) {
        return BELOW_NOISE.to_owned();
    }
    let bound = if is_lower_bound(verdict, metric, summary.median) { "\u{2265} " } else { "" };
    format!("{bound}{}", metric.format(summary.median))
}

/// Memory over the levels, and the cost of one more.
fn memory(
    experiment: Experiment,
    cells: &[&CellResult],
    slopes: &[&Slope],
    styles: &Styles<'_>,
) -> Vec<String> {
    let each = if experiment == Experiment::Many { "copy" } else { "idle client" };
    let mut plots = Vec::new();
    let scale = |metric| common_scale(metric, &[metric], cells);
    plots.extend(over_levels(Metric::MemoryBytes, cells, styles, false, &scale(Metric::MemoryBytes)));
    let per_each = scale_of(Metric::MemoryBytes, slopes.iter().flat_map(|slope| ends(&slope.summary)));
    for (metric, what) in [(Metric::MemoryBytes, "Memory"), (Metric::KernelBytes, "Kernel memory")] {
        let rows: Vec<BarValue<'_>> = slopes
            .iter()
            .filter(|slope| slope.metric == metric)
            .map(|slope| BarValue {
                subject: &slope.subject,
                value: Some((&slope.summary, text::slope(metric, &slope.summary, slope.at_most))),
                verdict: slope.judgement.verdict,
            })
            .collect();
        plots.extend(bars(&format!("{what} per {each}"), metric, &rows, styles, &per_each));
    }
    if experiment == Experiment::Idle {
        let scale = scale(Metric::CpuPerRequestUs);
        plots.extend(over_levels(Metric::CpuPerRequestUs, cells, styles, false, &scale));
    }
    plots
}

/// How many clients were served, kept waiting, dropped or refused: medians, one plot per level.
fn few(cells: &[&CellResult]) -> Vec<String> {
    let parts = [
        ("served at once", "served"),
        ("kept waiting", "waiting"),
        ("dropped", "dropped"),
        ("refused", "refused"),
    ];
    let metrics = [Metric::ServedAtOnce, Metric::KeptWaiting, Metric::Dropped, Metric::Refused];
    levels(cells)
        .into_iter()
        .filter_map(|level| {
            let rows: Vec<svg::StackedRow> = at_level(cells, level)
                .into_iter()
                .filter(|result| !result.summaries.is_empty())
                .map(|result| {
                    let value = |metric| {
                        result.summaries.get(metric).map_or(0.0, |summary: &MedianInterval| summary.median)
                    };
                    svg::StackedRow {
                        name: result.cell.subject.name.clone(),
                        parts: metrics.iter().map(value).collect(),
                        valid: result.judgement.verdict == Verdict::Valid,
                    }
                })
                .collect();
            let title = format!("{level} clients connect at the same time");
            (!rows.is_empty()).then(|| svg::stacked(&title, f64::from(level), &parts, &rows))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_that_is_not_wholly_above_zero_is_not_shown_as_a_number() {
        let shown = |metric, values: [f64; 3]| {
            value_text(
                metric,
                &MedianInterval::of(&values).unwrap_or_else(|| panic!("no summary")),
                Verdict::Valid,
            )
        };
        assert_eq!(shown(Metric::ProcessControlUs, [-2.0, -1.0, 3.0]), BELOW_NOISE);
        assert_eq!(shown(Metric::ProcessControlUs, [0.0, 1.0, 3.0]), BELOW_NOISE);
        assert_eq!(shown(Metric::ProcessControlUs, [0.0; 3]), "0 \u{b5}s", "of the iterative server itself");
        assert_eq!(shown(Metric::ProcessControlUs, [-4.0, -3.0, -2.0]), BELOW_NOISE, "no cost is negative");
        assert_eq!(shown(Metric::ProcessControlUs, [-3.0; 3]), BELOW_NOISE);
        assert_eq!(shown(Metric::KernelBytes, [-5.8e6, -61_440.0, 122_880.0]), BELOW_NOISE);
        assert_eq!(shown(Metric::KernelBytes, [-3e6, -2e6, -1e6]), BELOW_NOISE);
        assert_eq!(shown(Metric::KernelBytes, [1e6, 2e6, 3e6]), "1.91 MiB");
        assert_eq!(shown(Metric::ProcessControlUs, [2.0, 3.0, 4.0]), "3.00 \u{b5}s");
        assert_eq!(shown(Metric::CpuPerSecondUs, [0.0, 1.0, 3.0]), "1.00 \u{b5}s");
    }
}
