//! The report as one self-contained HTML file, readable in light and dark, on a phone and in print.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::style::Styles;
use super::terms::Explained;
use super::{floor, pictures, plots, sentences, text, timeline};
use crate::judge::figures::{bytes, counted, percent};
use crate::judge::statistics::MedianInterval;
use crate::judge::thresholds;
use crate::judge::{Judgement, Verdict};
use crate::lab::judge::decision::{Crossover, Decision, decide};
use crate::lab::judge::results::{CellResult, Results, Slope};
use crate::lab::plan::experiment::{Experiment, Extent};
use crate::lab::plan::metric::Metric;
use crate::lab::plan::subject::{CoreClass, Subject, SubjectKind};
use crate::lab::run::raw::Finding;
use crate::models::Model;
use crate::plot::page::page;
use crate::plot::svg::{escape, swatch};

/// Renders the report.
pub(crate) fn render(results: &Results) -> String {
    let mut html = String::new();
    head(&mut html, results);
    models(&mut html, &results.header.plan.subjects);
    let mut explained = Explained::default();
    seen(&mut html, results, &mut explained);
    decisions(&mut html, results, &mut explained);
    for &experiment in &results.header.plan.experiments {
        for &class in &results.header.plan.classes {
            section(&mut html, results, experiment, class, &mut explained);
        }
    }
    reading(&mut html, results, &mut explained);
    machine(&mut html, results);
    page(&format!("oneloop compare, {}", results.header.started), &html)
}

fn head(html: &mut String, results: &Results) {
    let header = &results.header;
    let plan = &header.plan;
    html.push_str(
        "<header><p class=\"kicker\">oneloop compare</p><h1>How should a server handle many clients?</h1>",
    );
    let _ = write!(
        html,
        "<p class=\"soft\">{} servers with the same service and the same requests, measured on {} with {}. {}, \
         seed {}, {}.</p>",
        plan.subjects.len(),
        escape(&header.machine.processor),
        escape(&header.machine.kernel),
        counted(plan.repeats.into(), "repeat", "repeats"),
        plan.seed,
        escape(&header.started),
    );
    html.push_str("<ul class=\"chips\">");
    if plan.extent == Extent::Quick {
        html.push_str("<li class=\"chip NOISY\">QUICK</li>");
    }
    for (verdict, count) in results.verdicts() {
        let _ = write!(html, "<li class=\"chip {verdict}\">{count} {verdict}</li>");
    }
    html.push_str("</ul>");
    if plan.extent == Extent::Quick {
        html.push_str(
            "<p class=\"banner\"><strong>QUICK</strong>: a subset of the experiments, with few levels, short runs and few \
             repeats. There is no decision table, because so few measurements do not support one.</p>",
        );
    }
    if results.runs_made < results.runs_planned {
        let _ = write!(
            html,
            "<p class=\"banner\">Interrupted after {} of {}. The report shows these runs only.</p>",
            results.runs_made,
            counted(results.runs_planned.into(), "run", "runs")
        );
    }
    for sentence in sentences::busy_machine(results).into_iter().chain(sentences::measured_again(results)) {
        let _ = write!(html, "<p class=\"banner\">{sentence}</p>");
    }
    for Finding { server, what } in &results.header.findings {
        let _ = write!(html, "<p class=\"banner\"><strong>{}</strong> {}.</p>", escape(server), escape(what));
    }
    html.push_str("<nav aria-label=\"Experiments\">");
    if plan.subjects.iter().any(|subject| subject.as_model().is_some()) {
        html.push_str("<a href=\"#models\">models</a>");
    }
    html.push_str("<a href=\"#seen\">in short</a>");
    for &experiment in &plan.experiments {
        for &class in &plan.classes {
            let name = if plan.classes.len() > 1 {
                format!("{} ({class})", experiment.name())
            } else {
                experiment.name().to_owned()
            };
            // An interrupted comparison has no section for experiments that it did not reach.
            if !results.of_experiment(experiment, class).is_empty() {
                let _ = write!(html, "<a href=\"#{}\">{name}</a>", anchor(experiment, class));
            }
        }
    }
    html.push_str("<a href=\"#reading\">how to read</a><a href=\"#machine\">machine</a></nav></header>\n");
}

/// What each model is.
fn models(html: &mut String, subjects: &[Subject]) {
    let compared = |model: &Model| subjects.iter().any(|subject| subject.as_model() == Some(*model));
    let compared: Vec<Model> = Model::ALL.into_iter().filter(compared).collect();
    if compared.is_empty() {
        return;
    }
    html.push_str(
        "<section id=\"models\"><p class=\"kicker\">models</p><h2>What serves a client</h2><p class=\"method\">Five clients \
         come. Filled ones are served at once, hollow ones wait in the queue of the kernel.</p><ul class=\"models\">",
    );
    for model in compared {
        let picture = pictures::picture(model);
        let _ = write!(html, "<li>{picture}<b>{}</b> {}</li>", model.name(), escape(model.about()));
    }
    html.push_str("</ul></section>\n");
}

/// The part of a page that begins with `intro`, and between that and `rest` the terms that first stand in it.
fn with_terms(intro: &str, rest: &str, explained: &mut Explained) -> String {
    let mut terms = String::new();
    for (term, meaning) in explained.first_in(&format!("{intro}{rest}")) {
        let _ = write!(terms, "<dt>{term}</dt><dd>{meaning}</dd>");
    }
    if !terms.is_empty() {
        terms = format!("<dl class=\"terms\">{terms}</dl>");
    }
    format!("{intro}{terms}{rest}")
}

/// One sentence per experiment.
fn seen(html: &mut String, results: &Results, explained: &mut Explained) {
    let intro = "<section id=\"seen\"><p class=\"kicker\">in short</p><h2>What was seen</h2>\
         <p class=\"method\">One sentence per experiment, from VALID cells alone.</p>";
    let mut rest = String::from("<dl>");
    for (name, sentence) in sentences::all(results) {
        let _ = write!(rest, "<dt>{name}</dt><dd>{}</dd>", escape(&sentence));
    }
    rest.push_str("</dl></section>\n");
    html.push_str(&with_terms(intro, &rest, explained));
}

/// The id of an experiment's section, one for each class of cores.
fn anchor(experiment: Experiment, class: CoreClass) -> String {
    match class {
        CoreClass::OneCore => experiment.name().to_owned(),
        CoreClass::AllCores => format!("{}-all-cores", experiment.name()),
    }
}

fn decisions(html: &mut String, results: &Results, explained: &mut Explained) {
    let (decisions, crossovers) = decide(results);
    if decisions.is_empty() {
        return;
    }
    let intro = "<section id=\"decide\"><p class=\"kicker\">decide</p><h2>If this is your situation</h2>\
         <p class=\"method\">Best first, from VALID cells alone. Servers before a mark \u{203a} are clearly better than all \
         servers after it: their intervals do not overlap. Servers joined by \u{2248} have overlapping intervals, directly or \
         through another server, and their order means nothing. There is no overall winner, because situations \
         differ.</p>";
    let mut rest = String::from(
        "<table class=\"decide\"><thead><tr><th>Situation</th><th>Order</th></tr></thead><tbody>",
    );
    for decision in &decisions {
        decision_row(&mut rest, decision, results.header.plan.classes.len() > 1);
    }
    rest.push_str("</tbody></table>");
    crossings(&mut rest, &crossovers, &results.header.plan.experiments);
    rest.push_str("</section>\n");
    html.push_str(&with_terms(intro, &rest, explained));
}

fn decision_row(html: &mut String, decision: &Decision, with_class: bool) {
    let class = if with_class { format!(", {}", decision.class) } else { String::new() };
    let _ = write!(
        html,
        "<tr><td>{}<span class=\"range\">by {}{class}</span></td><td><ol class=\"order\">",
        escape(&decision.situation),
        decision.metric.label()
    );
    for (at, tier) in decision.tiers.iter().enumerate() {
        for (within, ranked) in tier.iter().enumerate() {
            let mark = match (at, within) {
                (0, 0) => "",
                (_, 0) => "<span class=\"tier\" title=\"clearly better\">\u{203a}</span>",
                _ => "<span class=\"tier\" title=\"intervals overlap\">\u{2248}</span>",
            };
            let value = text::slope(decision.metric, &ranked.summary, ranked.at_most);
            let _ = write!(html, "<li>{mark}<b>{}</b> {value}</li>", escape(&ranked.name));
        }
    }
    html.push_str("</ol>");
    if !decision.left_out.is_empty() {
        let left_out = text::left_out(decision.left_out.iter().map(|(name, verdict)| (&**name, *verdict)));
        let _ = write!(html, "<span class=\"range\">not ranked: {}</span>", escape(&left_out));
    }
    html.push_str("</td></tr>");
}

fn crossings(html: &mut String, crossovers: &[Crossover], experiments: &[Experiment]) {
    if !experiments.contains(&Experiment::Crowd) {
        return;
    }
    html.push_str("<h3>Crossovers as the number of clients grows</h3>");
    if crossovers.is_empty() {
        html.push_str("<p class=\"method\">None found: no two servers change places between two levels at which their order is clear.</p>");
        return;
    }
    html.push_str("<div class=\"scroll\"><table><thead><tr><th>By</th><th>Up to</th><th>Better there</th><th>From</th><th>Better there</th></tr></thead><tbody>");
    for crossover in crossovers {
        let _ = write!(
            html,
            "<tr><td>{} ({})</td><td>{}</td><td><b>{}</b></td><td>{}</td><td><b>{}</b></td></tr>",
            crossover.metric.label(),
            crossover.class,
            counted(crossover.until.into(), "client", "clients"),
            escape(&crossover.before),
            counted(crossover.from.into(), "client", "clients"),
            escape(&crossover.after)
        );
    }
    html.push_str("</tbody></table></div>");
}

/// The section of an experiment.
fn section(
    html: &mut String,
    results: &Results,
    experiment: Experiment,
    class: CoreClass,
    explained: &mut Explained,
) {
    let cells = results.of_experiment(experiment, class);
    if cells.is_empty() {
        return;
    }
    let styles = Styles::of(&results.header.plan.subjects);
    let slopes: Vec<&Slope> = results
        .slopes
        .iter()
        .filter(|slope| slope.experiment == experiment && slope.class == class)
        .collect();
    let intro = format!(
        "<section id=\"{}\"><p class=\"kicker\">{} \u{b7} {class}</p><h2>{}</h2><p class=\"method\">{}</p>",
        anchor(experiment, class),
        experiment.name(),
        experiment.question(),
        experiment.method()
    );
    let mut rest = String::new();
    let plots = plots::of(experiment, &cells, &slopes, &styles);
    legend(&mut rest, experiment, &cells, &styles);
    let _ = write!(rest, "<div class=\"plots\">{}</div>", plots.join("\n"));
    timelines(&mut rest, experiment, &cells);
    slope_table(&mut rest, experiment, &slopes);
    cell_table(&mut rest, experiment, &cells);
    unsupported(&mut rest, &results.unsupported(experiment, class));
    rest.push_str("</section>\n");
    html.push_str(&with_terms(&intro, &rest, explained));
}

/// When each client waits and is served, at each server.
fn timelines(html: &mut String, experiment: Experiment, cells: &[&CellResult]) {
    let pictures = timeline::of(cells);
    if !pictures.is_empty() {
        let _ = write!(
            html,
            "<h3>When each client waits and is served</h3><p class=\"method\">{}</p>{}<div class=\"plots\">{}</div>",
            timeline::caption(experiment),
            timeline::legend(experiment),
            pictures.join("\n")
        );
    }
}

fn unsupported(html: &mut String, lines: &[String]) {
    if !lines.is_empty() {
        html.push_str("<ul class=\"cannot\">");
        for line in lines {
            let _ = write!(
                html,
                "<li><span class=\"verdict UNSUPPORTED\">UNSUPPORTED</span> {}</li>",
                escape(line)
            );
        }
        html.push_str("</ul>");
    }
}

fn legend(html: &mut String, experiment: Experiment, cells: &[&CellResult], styles: &Styles<'_>) {
    html.push_str("<ul class=\"legend\">");
    if experiment == Experiment::Few {
        for (class, name) in [
            ("served", "served at once"),
            ("waiting", "kept waiting"),
            ("dropped", "dropped"),
            ("refused", "refused"),
        ] {
            let _ = write!(html, "<li><span class=\"key {class}\"></span>{name}</li>");
        }
        html.push_str("<li class=\"soft\">pale: not VALID</li>");
    } else {
        let mut shown: Vec<&Subject> = Vec::new();
        for result in cells.iter().filter(|result| !result.summaries.is_empty()) {
            if !shown.contains(&&result.cell.subject) {
                shown.push(&result.cell.subject);
                let _ = write!(
                    html,
                    "<li>{}{}</li>",
                    swatch(styles.style(&result.cell.subject)),
                    escape(&result.cell.subject.name)
                );
            }
        }
        html.push_str("<li class=\"soft\">hollow: not VALID</li>");
    }
    html.push_str("</ul>");
}

/// A value, as text, with its interval, in a row with this verdict.
fn value_cell(
    html: &mut String,
    metric: Metric,
    value: Option<(&MedianInterval, String)>,
    verdict: Verdict,
    row: Verdict,
) {
    let Some((summary, text)) = value else {
        html.push_str("<td class=\"n\">\u{2013}</td>");
        return;
    };
    let _ = write!(html, "<td class=\"n\">{text}");
    if summary.high > summary.low {
        let _ = write!(
            html,
            "<span class=\"range\">{} \u{2013} {}</span>",
            metric.format(summary.low),
            metric.format(summary.high)
        );
    }
    if verdict != row {
        let _ = write!(html, "<span class=\"verdict {verdict}\">{verdict}</span>");
    }
    html.push_str("</td>");
}

fn judgement_cell(html: &mut String, judgement: &Judgement) {
    let _ = write!(
        html,
        "<td class=\"judgement\"><span class=\"verdict {0}\">{0}</span><span class=\"why\">{1}</span></td>",
        judgement.verdict,
        escape(&judgement.why())
    );
}

fn slope_table(html: &mut String, experiment: Experiment, slopes: &[&Slope]) {
    if slopes.is_empty() {
        return;
    }
    let each = if experiment == Experiment::Many { "copy" } else { "idle client" };
    let with_floor = slopes.iter().any(|slope| floor::of_slope(slope).is_some());
    let _ = write!(
        html,
        "<div class=\"scroll\"><table class=\"judged\" style=\"--columns:{}\"><caption>Cost of one more {each} (slope over the levels)</caption><thead><tr>\
         <th>Server</th>{}<th class=\"n\">memory (PSS)</th><th class=\"n\">kernel memory</th><th>Verdict</th></tr></thead><tbody>",
        3 + usize::from(with_floor),
        if with_floor { floor_head() } else { String::new() }
    );
    for slope in slopes.iter().filter(|slope| slope.metric == Metric::MemoryBytes) {
        let kernel =
            slopes.iter().find(|other| other.metric == Metric::KernelBytes && other.subject == slope.subject);
        let _ = write!(html, "<tr><td>{}</td>", escape(&slope.subject.name));
        if with_floor {
            floor_cell(html, floor::of_slope(slope));
        }
        let row = slope.judgement.verdict;
        let value = |slope: &Slope| text::slope(slope.metric, &slope.summary, slope.at_most);
        value_cell(html, Metric::MemoryBytes, Some((&slope.summary, value(slope))), row, row);
        let verdict = kernel.map_or(row, |kernel| kernel.judgement.verdict);
        let kernel_value = kernel.map(|kernel| (&kernel.summary, value(kernel)));
        value_cell(html, Metric::KernelBytes, kernel_value, verdict, row);
        let mut judgement = slope.judgement.clone();
        if let Some(kernel) = kernel.filter(|kernel| kernel.judgement.verdict != judgement.verdict) {
            let why = kernel.judgement.why();
            judgement.evidence.push(format!("kernel memory {}: {why}", kernel.judgement.verdict));
        }
        judgement_cell(html, &judgement);
        html.push_str("</tr>");
    }
    html.push_str("</tbody></table></div>");
    floor_note(html, with_floor, &floor::memory_note());
    if slopes.iter().any(|slope| slope.at_most.is_some()) {
        let _ = write!(html, "<p class=\"method\">{}.</p>", text::slope_note());
    }
}

fn floor_head() -> String {
    format!("<th class=\"n\">{}</th>", floor::LABEL)
}

fn floor_cell(html: &mut String, ratio: Option<f64>) {
    let _ = write!(html, "<td class=\"n\">{}</td>", floor::text(ratio).replace('-', "\u{2013}"));
}

fn floor_note(html: &mut String, with_floor: bool, note: &str) {
    if with_floor {
        let _ = write!(html, "<p class=\"method\">{}.</p>", escape(note));
    }
}

fn cell_table(html: &mut String, experiment: Experiment, cells: &[&CellResult]) {
    if cells.iter().all(|result| result.judgement.verdict == Verdict::Unsupported) {
        return;
    }
    let metrics = experiment.metrics();
    let shown = || cells.iter().filter(|result| result.judgement.verdict != Verdict::Unsupported);
    let with_floor = shown().any(|result| floor::of_cell(&result.cell).is_some());
    let _ = write!(
        html,
        "<div class=\"scroll\"><table class=\"judged\" style=\"--columns:{}\"><caption>Medians with their intervals</caption>\
         <thead><tr><th>Server</th>",
        metrics.len() + 1 + usize::from(with_floor)
    );
    if with_floor {
        html.push_str(&floor_head());
    }
    for metric in metrics {
        let _ = write!(html, "<th class=\"n\">{}</th>", metric.label());
    }
    html.push_str("<th>Verdict</th></tr></thead><tbody>");
    let many_levels = cells.iter().any(|result| result.cell.level != cells[0].cell.level);
    let mut level = None;
    for result in shown() {
        if many_levels && level != Some(result.cell.level) {
            level = Some(result.cell.level);
            let _ = write!(
                html,
                "<tr class=\"group\"><td colspan=\"{}\">{}: {}</td></tr>",
                metrics.len() + 2 + usize::from(with_floor),
                experiment.level_label(),
                result.cell.level
            );
        }
        let _ = write!(html, "<tr><td>{}</td>", escape(&result.cell.subject.name));
        if with_floor {
            floor_cell(html, floor::of_cell(&result.cell));
        }
        for metric in metrics {
            let verdict = result.verdict(*metric);
            let summary = result.summaries.get(metric);
            let value = summary.map(|summary| (summary, plots::value_text(*metric, summary, verdict)));
            value_cell(html, *metric, value, verdict, result.judgement.verdict);
        }
        let mut judgement = result.judgement.clone();
        if judgement.verdict == Verdict::Valid {
            judgement.evidence.extend(doubts(result));
        }
        judgement_cell(html, &judgement);
        html.push_str("</tr>");
    }
    html.push_str("</tbody></table></div>");
    floor_note(html, with_floor, &floor::note());
}

/// Which values of a VALID cell are NOISY, once for each reason.
fn doubts(result: &CellResult) -> Vec<String> {
    let mut doubts: Vec<(&str, Vec<&str>)> = Vec::new();
    for (metric, why) in &result.doubted {
        match doubts.iter_mut().find(|(reason, _)| reason == why) {
            Some((_, metrics)) => metrics.push(metric.label()),
            None => doubts.push((why, vec![metric.label()])),
        }
    }
    let sentence = |(why, metrics): (&str, Vec<&str>)| {
        let verb = if metrics.len() == 1 { "is" } else { "are" };
        format!("{} {verb} NOISY: {why}", metrics.join(", "))
    };
    doubts.into_iter().map(sentence).collect()
}

/// The probability that an interval covers the true median, for each number of repeats that occurs.
fn coverages(results: &Results) -> String {
    let summaries = results.cells.iter().flat_map(|result| result.summaries.values());
    let by_repeats: BTreeMap<u32, f64> = summaries.map(|summary| (summary.n, summary.coverage)).collect();
    let shown: Vec<String> = by_repeats
        .iter()
        .rev()
        .map(|(&repeats, coverage)| {
            format!("{:.1} % with {}", coverage * 100.0, counted(repeats.into(), "repeat", "repeats"))
        })
        .collect();
    if shown.is_empty() {
        return String::new();
    }
    format!("; it covers the true median with a probability of {}", shown.join(", "))
}

fn reading(html: &mut String, results: &Results, explained: &mut Explained) {
    let intro = format!(
        "<section id=\"reading\"><p class=\"kicker\">how to read</p><h2>Values and verdicts</h2><p class=\"method\">\
         Each value is the median of the repeats. The range below it is its confidence interval, whose ends are two of the \
         repeats{}, whatever the distribution. Every run had a freshly started server. Each repeat measured all cells once, in \
         a new random order. A run that other processes disturbed is measured again while time is left, if its cell is NOISY \
         or GENERATOR-BOUND. The first attempt that they did not disturb counts, whatever its value; without one, the first of all. \
         A run that failed is never replaced. The raw data has every attempt.</p>",
        coverages(results)
    );
    let mut rest = String::from("<dl>");
    let noisy = format!(
        "half of the interval is more than {} of the median, other processes used more than {} of the server's \
         core, the generator waited for its core more than {} of the time (which leaves the capacity of a server that uses its own \
         core all the time as it is), throughput \
         \u{d7} latency differs by more than {} from the requests in flight, to which it is equal by Little's law, there are fewer than {} repeats, or \
         there were errors. Next to a single value, it applies to that value alone: other processes disturbed it, it is a \
         difference to a value that is NOISY, or it is kernel memory that varies by more than {} of the median and by more than {}",
        percent(thresholds::SPREAD_MAX),
        percent(thresholds::OTHERS_MAX),
        percent(thresholds::STARVED_MAX),
        percent(thresholds::LITTLE_MAX),
        results.header.plan.extent.repeats_min(),
        percent(thresholds::SPREAD_MAX),
        Metric::KernelBytes.format(Metric::KernelBytes.negligible())
    );
    let small = results.header.plan.experiments.iter().filter_map(|experiment| experiment.metrics().first());
    let small = small.filter(|metric| metric.negligible() > 0.0);
    let small: BTreeSet<String> =
        small.map(|metric| format!("{} of {}", metric.format(metric.negligible()), metric.label())).collect();
    let noisy = if small.is_empty() {
        noisy
    } else {
        let small: Vec<String> = small.into_iter().collect();
        format!(
            "{noisy}. Differences that do not matter are never NOISY, however large a share of the median they are: up to {}",
            small.join(", ")
        )
    };
    let noisy = if results.slopes.is_empty() {
        noisy
    } else {
        format!(
            "{noisy}. The cost of one more client or copy, which is a slope, may vary by as much for all clients or \
             copies together"
        )
    };
    let bound = format!(
        "the generator was the limit: it used its core, or waited for it, at least {} of the time while the server's core was \
         not busy, or it did not send more than {} of its scheduled requests. Throughput is a lower bound, marked \u{2265}",
        percent(thresholds::BUSY_FROM),
        percent(thresholds::SHORTFALL_MAX)
    );
    let words = [
        ("VALID", "no reason for doubt; only VALID cells are ranked"),
        ("NOISY", &noisy),
        ("GENERATOR-BOUND", &bound),
        ("PORT-STARVED", "the generator ran out of local ports or descriptors"),
        ("UNSUPPORTED", "the server cannot do this by design"),
        ("FAILED", "the server should have done this and did not"),
    ];
    for (word, meaning) in words {
        let _ = write!(rest, "<dt><span class=\"verdict {word}\">{word}</span></dt><dd>{meaning}</dd>");
    }
    rest.push_str("</dl></section>\n");
    html.push_str(&with_terms(&intro, &rest, explained));
}

fn machine(html: &mut String, results: &Results) {
    let header = &results.header;
    let machine = &header.machine;
    html.push_str("<section id=\"machine\"><p class=\"kicker\">machine</p><h2>Machine and settings</h2><dl>");
    let mut row = |name: &str, value: &str| {
        let _ = write!(html, "<dt>{}</dt><dd>{}</dd>", escape(name), escape(value));
    };
    row("Command", &header.command);
    row("Version", &format!("oneloop {}", header.version));
    row("Date", &header.started);
    row("Seed", &header.plan.seed.to_string());
    row("Processor", &machine.processor);
    row("Cores", &format!("{}: {}", machine.cores.len(), machine.placement));
    if let Some(memory) = machine.memory_bytes {
        row("Memory", &bytes(memory as f64));
    }
    row("Kernel", &machine.kernel);
    let (soft, hard) = machine.descriptors_max;
    row("Descriptors", &format!("{soft} per process (hard limit {hard})"));
    if let Some(processes) = machine.processes_max {
        row("Processes", &format!("at most {processes}"));
    }
    for (name, value) in &machine.settings {
        row(name, value);
    }
    for missing in &machine.not_sampled {
        row("Not sampled", missing);
    }
    for subject in &header.plan.subjects {
        if let SubjectKind::Peer { command, .. } = &subject.kind {
            row(&subject.name, command);
        }
    }
    html.push_str("</dl></section>\n<footer>Made by <code>oneloop compare</code> from its raw data; <code>--replay FILE</code> makes it again.</footer>\n");
}
