//! The clients of `wait` and `few` as rows over time: when each waits, and when it is served.
//!
//! What happens differs in shape as well as in colour, for readers who see few colours and for paper: dots
//! while a client connects, a thin line while it waits, a bar while it is served, an outline while it stalls,
//! a cross where it gives up.

use std::fmt::Write as _;

use crate::judge::Verdict;
use crate::judge::figures::three_digits;
use crate::lab::judge::results::CellResult;
use crate::lab::plan::experiment::{Experiment, PATIENCE_MS, WAIT_STALL_MS};
use crate::lab::run::outcome::ClientTimes;
use crate::plot::scale::Scale;
use crate::plot::svg::{WIDTH, escape, open};

/// Clients in a picture, at most: more rows would not be legible on a page.
const CLIENTS_MAX: usize = 16;
const TOP: f64 = 24.0;
const LEFT: f64 = 22.0;
const RIGHT: f64 = 12.0;
const BOTTOM: f64 = 22.0;

/// A picture per server, all with the same scale; none for other experiments and for old raw data. Of several
/// levels, the highest whose clients fit is shown.
pub(super) fn of(cells: &[&CellResult]) -> Vec<String> {
    let shown = || cells.iter().filter(|result| (1..=CLIENTS_MAX).contains(&result.clients.len()));
    let Some(level) = shown().map(|result| result.cell.level).max() else { return Vec::new() };
    let shown: Vec<_> = shown().filter(|result| result.cell.level == level).collect();
    let ends = shown.iter().flat_map(|result| &result.clients).map(|client| client.left_ms);
    // Raw data may be of another origin.
    let end_ms = ends.filter(|end| end.is_finite()).fold(1.0, f64::max).min(2.0 * PATIENCE_MS as f64);
    let scale = Scale::linear_ms(end_ms);
    shown.iter().map(|result| picture(result, &scale)).collect()
}

/// What the shapes mean, as rows of a legend.
pub(super) fn legend(experiment: Experiment) -> String {
    let mut rows = vec![("wait", "waits for its reply"), ("serve", "has its reply, and the server")];
    match experiment {
        Experiment::Wait => rows.push(("stall", "stalls: connected, and silent")),
        _ => rows.insert(0, ("connect", "is not connected yet")),
    }
    if experiment == Experiment::Few {
        rows.push(("end", "gives up, or is refused"));
    }
    let mut html = String::from("<ul class=\"legend\">");
    for (shape, meaning) in rows {
        let _ = write!(html, r#"<li><svg class="swatch" viewBox="0 0 28 14" aria-hidden="true">"#);
        match shape {
            "end" => cross(&mut html, 14.0, 7.0),
            shape => span(&mut html, shape, 1.0, 27.0, (7.0, 10.0), ""),
        }
        let _ = write!(html, "</svg>{meaning}</li>");
    }
    html.push_str("<li class=\"soft\">pale: not VALID</li></ul>");
    html
}

/// What the pictures show.
pub(super) fn caption(experiment: Experiment) -> String {
    let what = match experiment {
        Experiment::Wait => format!("Client 1 stalls for {WAIT_STALL_MS} ms, client 2 asks for a reply."),
        _ => "A row for each client, in the order in which they came.".to_owned(),
    };
    format!(
        "{what} Measured by the clients, in the repeat whose longest wait is the median of the repeats. All servers have the same \
         scale."
    )
}

fn picture(result: &CellResult, scale: &Scale) -> String {
    let row = if result.clients.len() > 4 { 13.0 } else { 24.0 };
    let height = TOP + row * result.clients.len() as f64 + BOTTOM;
    let (left, right, bottom) = (LEFT, WIDTH - RIGHT, height - BOTTOM);
    let name = &result.cell.subject.name;
    let mut svg = open(&format!("{name}: when each client waits and is served"), height);
    let _ = write!(svg, r#"<text class="t" x="0" y="12">{}</text>"#, escape(name));
    for (value, label) in scale.ticks() {
        let at = scale.place(value, left, right);
        let _ = write!(svg, r#"<path class="grid" d="M{at:.1} {TOP}V{bottom:.1}"/>"#);
        // The last label would stick out.
        if at <= right - 14.0 {
            let _ =
                write!(svg, r#"<text class="tick m" x="{at:.1}" y="{:.1}">{label}</text>"#, bottom + 14.0);
        }
    }
    let pale = if result.judgement.verdict == Verdict::Valid { "" } else { r#" class="pale""# };
    let _ = write!(svg, "<g{pale}>");
    for (at, client) in result.clients.iter().enumerate() {
        let middle = TOP + row * (at as f64 + 0.5);
        let place = |ms: f64| scale.place(ms, left, right);
        let _ = write!(
            svg,
            r#"<text class="tick e" x="{:.1}" y="{:.1}">{}</text>"#,
            left - 5.0,
            middle + 4.0,
            at + 1
        );
        client_row(&mut svg, client, &place, (middle, row - 4.0));
    }
    let _ = write!(svg, r#"</g><path class="axis" d="M{left:.1} {TOP}V{bottom:.1}"/></svg>"#);
    svg
}

/// A client's row: its middle, and the height of a bar in it.
fn client_row(
    svg: &mut String,
    client: &ClientTimes,
    place: &impl Fn(f64) -> f64,
    (middle, height): (f64, f64),
) {
    let ClientTimes { came_ms, connected_ms, answered_ms, left_ms, stalls } = *client;
    let mut draw = |shape: &str, from_ms: f64, to_ms: f64, what: &str| {
        let title = format!("{what} {} ms", three_digits((to_ms - from_ms).max(0.0)));
        span(svg, shape, place(from_ms), place(to_ms), (middle, height), &title);
    };
    let connected = connected_ms.unwrap_or(left_ms);
    draw("connect", came_ms, connected, "connects:");
    if stalls {
        draw("stall", connected, left_ms, "stalls:");
    } else if let Some(answered_ms) = answered_ms {
        draw("wait", connected, answered_ms, "waits:");
        // A client that leaves with its reply is served for a moment.
        draw("serve", answered_ms, left_ms, "has its reply and stays:");
    } else {
        if connected_ms.is_some() {
            draw("wait", connected, left_ms, "waits:");
        }
        cross(svg, place(left_ms), middle);
    }
}

/// A part of a row, `y` being its middle and the height of a bar.
fn span(svg: &mut String, shape: &str, from: f64, to: f64, (y, height): (f64, f64), title: &str) {
    let title = if title.is_empty() { String::new() } else { format!("<title>{}</title>", escape(title)) };
    let _ = match shape {
        "serve" | "stall" => write!(
            svg,
            r#"<rect class="tl-{shape}" x="{from:.1}" y="{:.1}" width="{:.1}" height="{height:.1}" rx="2">{title}</rect>"#,
            y - height / 2.0,
            (to - from).max(3.0)
        ),
        // Nothing to see below a pixel.
        _ if to - from < 0.5 => Ok(()),
        _ => write!(svg, r#"<path class="tl-{shape}" d="M{from:.1} {y:.1}H{to:.1}">{title}</path>"#),
    };
}

fn cross(svg: &mut String, x: f64, y: f64) {
    let (from_x, from_y) = (x - 4.0, y - 4.0);
    let _ = write!(svg, r#"<path class="tl-end" d="M{from_x:.1} {from_y:.1}l8 8m0 -8l-8 8"/>"#);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(client: &ClientTimes) -> String {
        let mut svg = String::new();
        client_row(&mut svg, client, &|ms| ms, (10.0, 8.0));
        svg
    }

    #[test]
    fn what_happened_to_a_client_has_a_shape_of_its_own() {
        let served = ClientTimes {
            connected_ms: Some(900.0),
            answered_ms: Some(1_200.0),
            left_ms: 1_500.0,
            ..ClientTimes::default()
        };
        let shapes = |svg: &str| {
            let classes = svg.split("class=\"tl-").skip(1).filter_map(|rest| rest.split('"').next());
            classes.map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(shapes(&drawn(&served)), ["connect", "wait", "serve"]);
        assert!(drawn(&served).contains("waits: 300 ms"), "{}", drawn(&served));
        let at_once =
            ClientTimes { connected_ms: Some(0.1), answered_ms: Some(0.2), left_ms: 300.0, ..served };
        assert_eq!(shapes(&drawn(&at_once)), ["serve"]);
        let gave_up = ClientTimes { answered_ms: None, left_ms: 2_500.0, ..served };
        assert_eq!(shapes(&drawn(&gave_up)), ["connect", "wait", "end"]);
        let never_connected =
            ClientTimes { connected_ms: None, answered_ms: None, left_ms: 2_500.0, ..served };
        assert_eq!(shapes(&drawn(&never_connected)), ["connect", "end"]);
        let stalled = ClientTimes { stalls: true, connected_ms: Some(0.1), answered_ms: None, ..served };
        assert_eq!(shapes(&drawn(&stalled)), ["stall"]);
    }
}
