//! A picture of each model: clients on the left, the queue, and what serves them on the right.

use std::fmt::Write as _;

use crate::models::Model;
use crate::plot::svg::escape;

/// Clients in each picture.
const CLIENTS: usize = 5;
/// Copies and threads that are started in advance, in the pictures.
const STARTED: usize = 3;
/// The height of a client's row.
const ROW: usize = 20;

/// Where a client is served.
struct ServingUnit {
    /// What it is called.
    name: &'static str,
    /// How many there are.
    count: usize,
    /// What surrounds all of them, if they are in one process.
    within: Option<&'static str>,
}

fn serving_unit(model: Model) -> ServingUnit {
    let (name, count, within) = match model {
        Model::Iterative => ("process", 1, None),
        Model::Prefork => ("copy", STARTED, None),
        Model::Fork => ("child", CLIENTS, None),
        Model::Thread => ("thread", CLIENTS, Some("one process")),
        Model::Prethread => ("thread", STARTED, Some("one process")),
        Model::Reactor => ("slot", CLIENTS, Some("one loop")),
    };
    ServingUnit { name, count, within }
}

/// The picture of a model, as SVG.
pub(super) fn picture(model: Model) -> String {
    let ServingUnit { name, count, within } = serving_unit(model);
    let height = CLIENTS * ROW + 24;
    let mut svg = format!(r#"<svg class="model" viewBox="0 0 236 {height}" role="img">"#);
    let _ = write!(svg, "<title>{}: {}</title>", model.name(), escape(model.about()));
    if let Some(within) = within {
        let box_height = count * ROW + 4;
        let _ =
            write!(svg, r#"<rect class="process" x="134" y="2" width="92" height="{box_height}" rx="5"/>"#);
        let _ = write!(svg, r#"<text class="m" x="180" y="{}">{within}</text>"#, box_height + 15);
    }
    for client in 0..CLIENTS {
        let y = 14 + client * ROW;
        let is_served = client < count;
        let (state, end) = if is_served { ("served", 144) } else { ("waits", 74) };
        let _ = write!(
            svg,
            r#"<path class="axis" d="M16 {y}H{end}"/><circle class="{state}" cx="10" cy="{y}" r="6"/>"#
        );
        if is_served {
            let _ =
                write!(svg, r#"<rect class="place" x="144" y="{}" width="72" height="16" rx="3"/>"#, y - 8);
            let _ = write!(svg, r#"<text class="m" x="180" y="{}">{name}</text>"#, y + 4);
        } else {
            let _ = write!(svg, r#"<rect class="place" x="74" y="{}" width="26" height="16"/>"#, y - 8);
        }
    }
    if count < CLIENTS {
        let _ = write!(svg, r#"<text class="m" x="87" y="{}">queue</text>"#, CLIENTS * ROW + 19);
    }
    svg.push_str("</svg>");
    svg
}
