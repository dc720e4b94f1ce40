//! The report of a comparison of made-up samples: every format by snapshot, and the HTML page in a real
//! browser.
//!
//! Snapshots are renewed with `SNAPSHOTS=write cargo test --lib lab`; read the difference before committing
//! it.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::*;
use crate::lab::run::raw;

/// Trouble of every kind, in cells that are otherwise quiet.
fn trouble(cell: &Cell, repeat: u32, mut outcome: RunOutcome) -> RunOutcome {
    let RunOutcome::Measured(measurement) = &mut outcome else { return outcome };
    let evidence = &mut measurement.evidence;
    match (cell.experiment, cell.subject.as_model(), cell.level) {
        (Experiment::Crowd, Some(Model::Reactor), 4000) => {
            (evidence.generator_cpu, evidence.server_cpu) = (Some(0.99), Some(0.71));
        }
        (Experiment::Crowd, Some(Model::Thread), 256) if repeat.is_multiple_of(2) => {
            measurement.values.values_mut().for_each(|value| *value *= 1.6);
        }
        (Experiment::Crowd, Some(Model::Fork), 4000) => {
            return RunOutcome::Failed("fork: no more processes".into());
        }
        (Experiment::Churn, None, _) => {
            evidence.errors = ErrorCounts { out_of_ports: 12, ..ErrorCounts::default() };
        }
        // As much as the iterative server, within what both vary by.
        (Experiment::Churn, Some(Model::Reactor), _) => {
            measurement.values.entry(Metric::CpuPerClientUs).and_modify(|cpu_us| *cpu_us *= 0.88);
        }
        _ => {}
    }
    outcome
}

fn plan(extent: Extent) -> ComparisonPlan {
    ComparisonPlan {
        experiments: Experiment::ALL.to_vec(),
        subjects: subjects(&Model::ALL, &[], &[("other <&> server".into(), "other --port {port}".into())]),
        classes: vec![CoreClass::OneCore],
        cores_all: 1,
        extent,
        repeats: if extent == Extent::Quick { 3 } else { 5 },
        attempts_max: ATTEMPTS_DEFAULT,
        seed: 7,
    }
}

fn compared(directory: &Path, extent: Extent) -> (Results, Vec<Run>) {
    compared_in(directory, plan(extent))
}

fn compared_in(directory: &Path, plan: ComparisonPlan) -> (Results, Vec<Run>) {
    let mut executor = MockExecutor::meddling(trouble);
    let header = Header {
        format: FORMAT,
        version: "0.0.0".into(),
        command: "oneloop compare --peer 'other <&> server=other --port {port}'".into(),
        started: "2026-01-02T03:04:05Z".into(),
        machine: executor.machine(),
        plan,
        findings: Vec::new(),
    };
    let raw = directory.join(reports::RAW);
    compare(&header, &mut executor, &raw, &mut Remeasurement::of(&header), &|| false, &mut Unwatched)
        .1
        .unwrap();
    let (header, mut runs) = raw::read(&raw).unwrap();
    // When a run ended is the only thing that a mock does not make up.
    for (at, run) in runs.iter_mut().enumerate() {
        run.at_s = at as f64;
    }
    (Results::of(header, &runs), runs)
}

/// Compares with the stored snapshot, or stores it.
fn snapshot(name: &str, text: &str) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/snapshots");
    if !folder.is_dir() {
        let _ =
            writeln!(std::io::stderr(), "SKIPPED: {name}: the package has no snapshots, the repository has");
        return;
    }
    let path = folder.join(name);
    if std::env::var_os("SNAPSHOTS").is_some_and(|value| value == "write") {
        fs::write(&path, text).unwrap();
    }
    let stored = fs::read_to_string(&path).unwrap_or_default();
    let differs = stored.lines().zip(text.lines()).position(|(old, new)| old != new);
    assert!(
        stored == text,
        "{name} differs from its snapshot, first at line {:?}; renew with SNAPSHOTS=write",
        differs.map(|at| at + 1)
    );
}

/// Raw data as it is stored: a part of it is replayed by the tests of the program.
#[test]
fn raw_data_has_the_same_form_as_before() {
    let directory = tempfile::tempdir().unwrap();
    let plan = ComparisonPlan {
        experiments: vec![Experiment::Wait, Experiment::Churn, Experiment::Crowd],
        ..plan(Extent::Quick)
    };
    let (results, runs) = compared_in(directory.path(), plan);
    let again = directory.path().join("again.jsonl");
    let mut file = raw::RawDataFile::create(&again, &results.header).unwrap();
    for run in &runs {
        file.append(run).unwrap();
    }
    snapshot("raw.jsonl", &fs::read_to_string(again).unwrap());
}

#[test]
fn every_exporter_writes_the_same_comparison_as_before() {
    let directory = tempfile::tempdir().unwrap();
    let (results, runs) = compared(directory.path(), Extent::Quick);
    snapshot("quick.txt", &reports::table::render(&results, None));
    snapshot("quick.html", &reports::html::render(&results));
    snapshot("quick.json", &reports::json::render(&results));
    snapshot("quick.csv", &reports::csv::render(&runs));
    let directory = tempfile::tempdir().unwrap();
    let (results, _) = compared(directory.path(), Extent::Full);
    snapshot("full.txt", &reports::table::render(&results, None));
    snapshot("full.html", &reports::html::render(&results));
}

#[test]
fn evidence_has_the_same_names_in_json_and_csv_and_older_ones_are_still_read() {
    let directory = tempfile::tempdir().unwrap();
    let (_, runs) = compared(directory.path(), Extent::Quick);
    let whole = fs::read_to_string(directory.path().join(reports::RAW)).unwrap();
    let csv = reports::csv::render(&runs);
    let names = csv.lines().filter_map(|line| line.split_once(",evidence_")?.1.split(',').next());
    // Errors are whole in JSON, class by class.
    for name in names.filter(|name| !name.starts_with("errors_")) {
        assert!(whole.contains(&format!("\"{name}\":")), "{name}");
    }
    let old = [
        ("generator_cpu_share", "generator_cpu"),
        ("server_cpu_share", "server_cpu"),
        ("others_cpu_cores", "others_cpu"),
        ("server_waited_threads", "server_waited"),
        ("generator_waited_threads", "generator_waited"),
        ("in_flight_requests", "in_flight"),
        ("answered_requests", "requests"),
        ("missed_sends", "missed"),
    ];
    let older = old.iter().fold(whole.clone(), |text, (new, old)| {
        assert!(text.contains(new), "{new}");
        text.replace(&format!("\"{new}\":"), &format!("\"{old}\":"))
    });
    let path = directory.path().join("older.jsonl");
    fs::write(&path, older).unwrap();
    let measured = |runs: Vec<Run>| runs.into_iter().map(|run| run.outcome).collect::<Vec<_>>();
    assert_eq!(measured(raw::read(&path).unwrap().1), measured(runs));
}

#[test]
fn a_terminal_of_80_columns_breaks_no_word_and_no_line() {
    for (extent, factor) in [(Extent::Quick, 1.0), (Extent::Full, 1.0), (Extent::Full, 3.0)] {
        let directory = tempfile::tempdir().unwrap();
        let (Results { header, .. }, mut runs) = compared(directory.path(), extent);
        // A machine so busy that values are shown with both ends of their interval.
        for run in &mut runs {
            if let (RunOutcome::Measured(measurement), true) =
                (&mut run.outcome, run.repeat == 1 || run.repeat == 3)
            {
                measurement.values.values_mut().for_each(|value| *value *= factor);
            }
        }
        let results = Results::of(header, &runs);
        let [wide, narrow] = [None, Some(80)].map(|width| reports::table::render(&results, width));
        let words = |text: &str| {
            // A judgement may end a line at its hyphen.
            let judged =
                text.replace("GENERATOR-BOUND", "GENERATOR- BOUND").replace("PORT-STARVED", "PORT- STARVED");
            let mut words: Vec<String> = judged.split_whitespace().map(str::to_owned).collect();
            words.retain(|word| !word.starts_with('\u{2500}'));
            words.sort_unstable();
            words
        };
        assert_eq!(words(&wide), words(&narrow), "{narrow}");
        for line in narrow.lines() {
            assert!(line.trim_end().chars().count() <= 80, "{line}\n{narrow}");
        }
    }
}

/// The folder for pictures of the report, to look at: `tmp/report` in cargo's target directory of this build.
fn pictures() -> PathBuf {
    let program = std::env::current_exe().unwrap();
    let folder = program.ancestors().nth(3).unwrap().join("tmp/report");
    fs::create_dir_all(&folder).unwrap();
    folder
}

fn chromium() -> Option<PathBuf> {
    let folders = std::env::var_os("PATH")?;
    let names = ["chromium", "chromium-browser", "google-chrome"];
    std::env::split_paths(&folders)
        .flat_map(|folder| names.map(|name| folder.join(name)))
        .find(|path| path.is_file())
}

/// What the browser found in a report shown at some width.
#[derive(Debug, serde::Deserialize)]
struct BrowserFindings {
    /// Width of the page's content beyond its window, in CSS px: what would have to be scrolled sideways.
    beyond: f64,
    /// Luminance of the page's background, 0 to 255.
    paper: f64,
    /// Luminance of its text.
    ink: f64,
    /// Texts in plots that stick out of them, or of the page.
    cut: Vec<String>,
    /// Texts in plots that lie on each other.
    overlapping: Vec<String>,
    /// The smallest text of a plot, as shown, in px.
    smallest: f64,
    plots: usize,
    /// Colours of the series, as computed.
    colours: usize,
}

const MEASURE: &str = r"
const frame = document.querySelector('iframe'), page = frame.contentDocument, view = frame.contentWindow;
const light = c => { const [r, g, b] = c.match(/[\d.]+/g).map(Number); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
const style = view.getComputedStyle(page.body);
const cut = [], overlapping = []; let smallest = 1e9;
for (const plot of page.querySelectorAll('svg.plot')) {
  const outer = plot.getBoundingClientRect(), scale = outer.width / plot.viewBox.baseVal.width;
  const shown = [];
  for (const text of plot.querySelectorAll('text')) {
    const box = text.getBoundingClientRect(), told = text.firstChild ? text.firstChild.data : '';
    if (box.left < outer.left - 2 || box.right > outer.right + 2 || box.bottom > outer.bottom + 2) cut.push(told);
    for (const [other, words] of shown)
      if (box.left < other.right - 1 && other.left < box.right - 1 && box.top < other.bottom - 5 && other.top < box.bottom - 5)
        overlapping.push(words + ' / ' + told);
    shown.push([box, told]);
    smallest = Math.min(smallest, parseFloat(view.getComputedStyle(text).fontSize) * scale);
  }
}
const colours = new Set([...page.querySelectorAll('svg.plot .name')].map(name => view.getComputedStyle(name).fill));
const found = { beyond: page.documentElement.scrollWidth - page.documentElement.clientWidth,
  paper: light(style.backgroundColor), ink: light(style.color), cut, overlapping, smallest,
  plots: page.querySelectorAll('svg.plot').length, colours: colours.size };
document.body.append(Object.assign(document.createElement('pre'), { id: 'found', textContent: JSON.stringify(found) }));
";

/// Shows the report in a frame of this width and measures it there; keeps a picture as well.
fn shown(browser: &Path, report: &str, name: &str, width: u32, dark: bool) -> BrowserFindings {
    let folder = pictures();
    let page = folder.join(format!("report-{name}.html"));
    let framed = report.replace('&', "&amp;").replace('"', "&quot;");
    let html = format!(
        "<!doctype html><meta charset=utf-8><body style=\"margin:0\"><iframe style=\"border:0;width:{width}px;height:9000px\" \
         srcdoc=\"{framed}\"></iframe><script>document.querySelector('iframe').onload = () => {{ {MEASURE} }};</script>"
    );
    fs::write(&page, html).unwrap();
    let run = |what: &[String]| {
        let profile = tempfile::tempdir().unwrap();
        let scheme = i32::from(!dark);
        let out = Command::new(browser)
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"])
            .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
            .args(["--hide-scrollbars", "--virtual-time-budget=5000"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg(format!("--blink-settings=preferredColorScheme={scheme}"))
            .arg(format!("--window-size={},9000", width.max(500)))
            .args(what)
            .arg(format!("file://{}", page.display()))
            .output()
            .unwrap();
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8(out.stdout).unwrap()
    };
    run(&[format!("--screenshot={}", folder.join(format!("report-{name}.png")).display())]);
    let dom = run(&["--dump-dom".to_owned()]);
    let found = dom.split_once("<pre id=\"found\">").and_then(|(_, rest)| rest.split_once("</pre>"));
    let (found, _) = found
        .unwrap_or_else(|| panic!("the page was not measured: {}", &dom[dom.len().saturating_sub(400)..]));
    serde_json::from_str(&found.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")).unwrap()
}

#[test]
fn the_report_is_readable_in_light_in_dark_and_on_a_phone() {
    let Some(browser) = chromium() else {
        // Past the test harness, which hides what a passing test prints.
        let _ = writeln!(std::io::stderr(), "SKIPPED: the report in a browser: no Chromium here");
        return;
    };
    let directory = tempfile::tempdir().unwrap();
    let report = reports::html::render(&compared(directory.path(), Extent::Full).0);
    for (name, width, dark) in [("light", 1200, false), ("dark", 1200, true), ("phone", 390, false)] {
        let found = shown(&browser, &report, name, width, dark);
        assert!(found.plots >= 15 && found.colours >= 6, "{name}: {found:?}");
        assert!(found.beyond <= 0.0, "{name} is wider than its window: {found:?}");
        assert_eq!(found.cut, [""; 0], "{name}: cut off");
        assert_eq!(found.overlapping, [""; 0], "{name}: on each other");
        assert!(found.smallest >= 8.0, "{name}: text of {} px", found.smallest);
        let (dim, bright) = if dark { (found.paper, found.ink) } else { (found.ink, found.paper) };
        assert!(dim < 60.0 && bright > 200.0, "{name}: {found:?}");
    }
}

#[test]
fn raw_data_is_read_as_far_as_it_goes_and_never_guessed_at() {
    let directory = tempfile::tempdir().unwrap();
    let (_, runs) = compared(directory.path(), Extent::Quick);
    let whole = fs::read(directory.path().join(reports::RAW)).unwrap();
    let cut = directory.path().join("cut.jsonl");
    let read = |bytes: &[u8]| {
        fs::write(&cut, bytes).unwrap();
        raw::read(&cut).map(|(_, runs)| runs.len()).map_err(|error| error.to_string())
    };
    assert_eq!(read(&whole), Ok(runs.len()));
    // Cut anywhere in the last line, also within a character that takes two bytes.
    let last = whole[..whole.len() - 1].iter().rposition(|byte| *byte == b'\n').unwrap() + 1;
    let mut named = String::from_utf8(whole[last..].to_vec()).unwrap();
    named = named.replace("\"name\":\"", "\"name\":\"\u{d7}");
    let named = [&whole[..last], named.as_bytes()].concat();
    assert_eq!(read(&named), Ok(runs.len()));
    let cuts = (last..named.len() - 1).filter(|end| end.is_multiple_of(61) || named[*end] >= 0x80);
    for end in cuts {
        assert_eq!(read(&named[..end]), Ok(runs.len() - 1), "cut after {} bytes", end - last);
    }
    let header = whole.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    for (bytes, why) in [
        ([&whole[..last], b"{\"run\":\n", &whole[last..]].concat(), format!("line {}: ", runs.len() + 1)),
        ([&whole[..], &whole[..]].concat(), format!("line {}: a second header", runs.len() + 2)),
        (whole[header..].to_vec(), "no header".to_owned()),
        (whole[..header / 2].to_vec(), "line 1: ".to_owned()),
        (Vec::new(), "no header".to_owned()),
        (b"\xff\xfe\n\n".to_vec(), "line 1: ".to_owned()),
    ] {
        assert!(read(&bytes).is_err_and(|error| error.contains(&why)), "{why}: {:?}", read(&bytes));
    }
}

#[test]
fn every_report_distinguishes_the_classes_of_cores() {
    let directory = tempfile::tempdir().unwrap();
    let classes = vec![CoreClass::OneCore, CoreClass::AllCores];
    let plan = ComparisonPlan { classes, cores_all: 4, ..plan(Extent::Full) };
    let (results, _) = compared_in(directory.path(), plan);
    let report = reports::html::render(&results);
    let mut ids: Vec<&str> =
        report.split(" id=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    for id in &ids {
        assert!(["decide"].contains(id) || report.contains(&format!("href=\"#{id}\"")), "no link to {id}");
    }
    ids.sort_unstable();
    let parts = ids.len();
    ids.dedup();
    assert_eq!((parts, ids.len()), (2 * 8 + 5, 2 * 8 + 5), "two parts share an id: {ids:?}");
    let table = reports::table::render(&results, None);
    let (_, orders) = table.split_once("If this is your situation").unwrap();
    let of = |class| orders.lines().filter(|line| line.contains(class) && line.contains(", by ")).count();
    assert!(of("(one core)") > 20 && of("(one core)") == of("(all cores)"), "{orders}");
    assert!(orders.lines().all(|line| !line.contains(", by ") || line.contains(" core")), "{orders}");
    assert!(table.contains("idle client (all cores)") && orders.contains("reactor\u{d7}4"), "{table}");
}

/// The first part of the page that has the word explains the term.
#[track_caller]
fn assert_explained_where_it_first_stands(report: &str, word: &str, term: &str) {
    let explained = format!("<dt>{term}</dt>");
    assert_eq!(report.matches(&explained).count(), 1, "{term} is explained once");
    let first = report.split("<section ").find(|part| part.contains(word)).unwrap();
    let title = first.lines().next().unwrap_or_default();
    assert!(first.contains(&explained), "{word} first stands in: {}", &title[..title.len().min(60)]);
}

#[test]
fn a_term_is_explained_where_it_first_stands() {
    for extent in [Extent::Quick, Extent::Full] {
        let directory = tempfile::tempdir().unwrap();
        let report = reports::html::render(&compared(directory.path(), extent).0);
        for (word, term) in [
            ("(PSS)", "PSS"),
            ("ernel memory", "Kernel memory"),
            ("atency p99", "p50, p99, p99.9"),
            ("intervals", "Interval"),
            ("Little's law", "Little's law"),
            ("closed loop", "Closed loop"),
            ("open loop", "Open loop"),
            ("rocess control", "Process control"),
        ] {
            assert_explained_where_it_first_stands(&report, word, term);
        }
    }
    let report =
        reports::html::render(&super::compared(Experiment::Wait, Extent::Full, |_, _, outcome| outcome));
    assert_explained_where_it_first_stands(&report, "Little's law", "Little's law");
    assert!(!report.contains("PSS"), "nothing is explained that the page does not have");
}

#[test]
fn the_report_needs_nothing_but_itself() {
    let directory = tempfile::tempdir().unwrap();
    let report = reports::html::render(&compared(directory.path(), Extent::Full).0);
    for (what, forbidden) in
        [("a script", "<script"), ("a link elsewhere", "://"), ("an import", "@import"), ("a file", "src=")]
    {
        assert!(!report.contains(forbidden), "{what}");
    }
    assert!(!report.contains("other <&> server"), "names are escaped");
}

/// The sentence on the only experiment of a comparison, and the lines of the decision table.
fn sentence_and_order(results: &Results) -> (String, Vec<String>) {
    let table = reports::table::render(results, None);
    let sentence =
        table.split_once("In one sentence each").unwrap().1.lines().nth(1).unwrap().trim().to_owned();
    (
        sentence,
        table.lines().filter(|line| line.contains(", by ")).map(|line| line.trim().to_owned()).collect(),
    )
}

#[test]
fn a_sentence_names_the_servers_that_it_leaves_out() {
    let results = super::compared(Experiment::Crowd, Extent::Quick, |cell, repeat, mut outcome| {
        let RunOutcome::Measured(measurement) = &mut outcome else { return outcome };
        let evidence = &mut measurement.evidence;
        match cell.subject.as_model() {
            Some(Model::Reactor) => (evidence.generator_cpu, evidence.server_cpu) = (Some(0.99), Some(0.71)),
            Some(Model::Thread) if cell.level > 1 => {
                let factor = 1.0 + f64::from(repeat);
                measurement.values.values_mut().for_each(|value| *value *= factor);
            }
            _ => {}
        }
        outcome
    });
    let (sentence, _) = sentence_and_order(&results);
    assert_eq!(
        sentence,
        "crowd: With 32 clients the request rate is 72,645/s at prefork\u{d7}64 and 68,524/s at fork (not compared: \
         thread NOISY; reactor GENERATOR-BOUND; iterative UNSUPPORTED)."
    );
    // A metric may be NOISY in a cell that is VALID.
    let mut results = super::compared(Experiment::Churn, Extent::Full, |_, _, outcome| outcome);
    let fork = |result: &&mut CellResult| result.cell.subject.as_model() == Some(Model::Fork);
    let fork = results.cells.iter_mut().find(fork).unwrap();
    fork.doubted.insert(Metric::CpuPerClientUs, "it varies".into());
    let (sentence, orders) = sentence_and_order(&results);
    assert!(sentence.ends_with("times apart (not compared: fork NOISY)."), "{sentence}");
    assert!(
        !orders[0].contains("not ranked") && orders[1].ends_with("> thread (not ranked: fork NOISY)"),
        "{orders:?}"
    );
}

#[test]
fn a_sentence_on_slopes_counts_the_verdicts_of_slopes() {
    let slope = |results: &Results| {
        let counted = sentence_and_order(results).0;
        assert!(!counted.contains(" VALID,") && !counted.contains(" VALID)"), "{counted}");
        counted
    };
    let mut results = super::compared(Experiment::Idle, Extent::Full, |_, _, outcome| outcome);
    let (sentence, orders) = sentence_and_order(&results);
    let left_out = "iterative, prefork\u{d7}64 and prethread\u{d7}64 UNSUPPORTED)";
    assert!(sentence.ends_with(&format!(" times apart (not compared: {left_out}.")), "{sentence}");
    assert!(orders.iter().all(|order| order.ends_with(&format!(" (not ranked: {left_out}"))), "{orders:?}");
    for slope in &mut results.slopes {
        slope.judgement = Judgement { verdict: Verdict::Noisy, evidence: vec!["the slope varies".into()] };
    }
    let nothing = "idle: Nothing can be concluded: no value is VALID (3 NOISY, 3 UNSUPPORTED); \
                   at fork, for example, the slope varies.";
    assert_eq!(slope(&results), nothing);
    // A single server, as with `--models reactor`.
    results.cells.retain(|result| result.cell.subject.as_model() == Some(Model::Reactor));
    results.slopes.retain(|slope| slope.subject.as_model() == Some(Model::Reactor));
    let nothing = "idle: Nothing can be concluded: no value is VALID (1 NOISY); \
                   at reactor, for example, the slope varies.";
    assert_eq!(slope(&results), nothing);
    results.slopes.clear();
    assert_eq!(slope(&results), "idle: Nothing can be concluded: no value is VALID (1 not measured).");
}

#[test]
fn table_page_and_sentence_give_the_same_reasons_for_a_cell() {
    let busy_and_varying = |cell: &Cell, repeat: u32, mut outcome: RunOutcome| {
        if let RunOutcome::Measured(measurement) = &mut outcome {
            let varies = 1.0 + 100.0 * f64::from(repeat);
            measurement.values.values_mut().for_each(|value| *value *= varies);
            let is_fork = cell.subject.as_model() == Some(Model::Fork);
            measurement.evidence.others_beside_server = Some(if is_fork { 0.17 } else { 0.0 });
        }
        outcome
    };
    let results = super::compared(Experiment::Churn, Extent::Quick, busy_and_varying);
    let table = reports::table::render(&results, None);
    let noisy = table.lines().find_map(|line| line.strip_prefix("NOISY: fork at 16: ")).unwrap();
    assert!(noisy.starts_with("clients per second varies by \u{b1}"), "{noisy}");
    assert!(noisy.ends_with("; other processes used 17 % of the server's core"), "{noisy}");
    // That of fork is the example, because its disturbance can be ended.
    let sentence = format!("; at fork, for example, {noisy} (measured again in ");
    assert!(sentence_and_order(&results).0.contains(&sentence), "{table}");
    let page = reports::html::render(&results);
    assert!(page.contains(&format!("<span class=\"why\">{noisy}</span>")), "{page}");
    // Other processes are no reason for the verdict on `wait`.
    let results = super::compared(Experiment::Wait, Extent::Quick, busy_and_varying);
    assert_eq!(of(&results, Model::Fork).disturbed_by.len(), 1);
    let table = reports::table::render(&results, None);
    assert!(!table.contains("of the server's core"), "{table}");
}

#[test]
fn a_sentence_uses_only_valid_cells_or_states_that_there_are_none() {
    let directory = tempfile::tempdir().unwrap();
    let (mut results, _) = compared(directory.path(), Extent::Quick);
    let sentences = |results: &Results| {
        let table = reports::table::render(results, None);
        table.split_once("In one sentence each").unwrap().1.to_owned()
    };
    let said = sentences(&results);
    for part in [
        "wait: The second client waited 499 ms at iterative behind a stalled one, and 150 \u{b5}s to 152 \u{b5}s at",
        "few: When 10 clients came at the same time, all were served at once at fork, thread, reactor and other <&> server; 4 at",
        "churn: The processor time of a client with one request is 22.0 \u{b5}s at reactor and 189 \u{b5}s at fork, 8.6 times apart (not compared: other <&> server PORT-STARVED).",
    ] {
        assert!(said.contains(part), "{part}\n{said}");
    }
    for cell in results.cells.iter_mut().filter(|result| result.cell.experiment == Experiment::Churn) {
        cell.doubted.insert(Metric::CpuPerClientUs, "it varies".into());
    }
    let said = sentences(&results);
    assert!(said.contains("churn: With one request from each client the rate of clients is "), "{said}");
    for cell in &mut results.cells {
        let evidence = vec!["it varies".into(), "others used the core".into()];
        cell.judgement = Judgement { verdict: Verdict::Noisy, evidence };
        cell.disturbed_by = vec!["others used the core".into()];
    }
    for slope in &mut results.slopes {
        slope.judgement.verdict = Verdict::Noisy;
    }
    let said = sentences(&results);
    assert!(said.contains("wait: Nothing can be concluded: no value is VALID (7 NOISY); at iterative, for example, it varies; others used the core."), "{said}");
    assert!(!said.contains("times apart"), "{said}");
    let all = results.cells.len();
    let busy = format!("other processes took CPU time in {all} of {all} cells, and {all} of these are NOISY");
    assert!(reports::html::render(&results).contains(&busy));
    assert!(reports::table::render(&results, None).contains(&busy));
}
