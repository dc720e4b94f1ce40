//! How close each model of this program comes to the leanest server of the same model, so that what this
//! program adds is not taken for what the model costs.
//!
//! The ratios are kept from `cargo bench --bench models_floor`, not measured with each comparison: the
//! leanest servers are C programs, which not every machine can build, and a ratio worth a decision takes many
//! pairs. They are of one machine and one day, and the report gives both. `benches/RESULTS.md` has them with
//! their intervals.

use crate::lab::judge::results::Slope;
use crate::lab::plan::comparison::{Cell, WORKERS_DEFAULT};
use crate::lab::plan::experiment::Experiment;
use crate::lab::plan::metric::Metric;
use crate::lab::plan::subject::{CoreClass, Subject, SubjectKind};

/// The head of the column.
pub(super) const LABEL: &str = "of floor";

/// What the benchmark wrote: date, machine, and a line for each model. A field is empty where a model cannot
/// be measured.
const KEPT: &str = include_str!("floor.csv");

/// What a ratio is of, as the columns of the kept measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FloorColumn {
    Stay1 = 1,
    Stay64,
    Stay1000,
    Once,
    Memory,
}

/// What the model does per second of processor time, over what the leanest server does; `None` where it was
/// not measured: for peers, other numbers of clients or workers, and several cores.
pub(super) fn of_cell(cell: &Cell) -> Option<f64> {
    let column = match (cell.experiment, cell.level) {
        (Experiment::Churn, _) => FloorColumn::Once,
        (Experiment::Crowd, 1) => FloorColumn::Stay1,
        (Experiment::Crowd, 64) => FloorColumn::Stay64,
        (Experiment::Crowd, 1000) => FloorColumn::Stay1000,
        _ => return None,
    };
    kept(&cell.subject, cell.class, column)
}

/// The memory of an idle client over that at the leanest server. Workers that are started in advance have
/// theirs before any client comes.
pub(super) fn of_slope(slope: &Slope) -> Option<f64> {
    let is_memory = (slope.experiment, slope.metric) == (Experiment::Idle, Metric::MemoryBytes);
    let ahead = slope.subject.as_model().is_some_and(crate::models::Model::starts_ahead);
    if !is_memory || ahead {
        return None;
    }
    kept(&slope.subject, slope.class, FloorColumn::Memory)
}

fn kept(subject: &Subject, class: CoreClass, column: FloorColumn) -> Option<f64> {
    let SubjectKind::Model { model, workers } = subject.kind else { return None };
    let workers_measured = model.starts_ahead().then_some(WORKERS_DEFAULT);
    if class != CoreClass::OneCore || workers != workers_measured {
        return None;
    }
    field(model.name(), column as usize)?.parse().ok()
}

/// What the column means, and when and where it was measured.
pub(super) fn note() -> String {
    let (date, machine) = (field("date", 1).unwrap_or_default(), field("machine", 1).unwrap_or_default());
    format!(
        "{LABEL}: work per second of processor time, over that of the leanest server of the same model (plain C, or a \
         bare epoll loop). Measured on {date} on {machine}; `cargo bench --bench models_floor` repeats it"
    )
}

/// The same for the memory of idle clients.
pub(super) fn memory_note() -> String {
    format!("{LABEL}: memory (PSS) per idle client, over that of the leanest server of the same model")
}

/// A field of the line that begins with `name`.
fn field(name: &str, at: usize) -> Option<&'static str> {
    let mut lines = KEPT.lines().map(|line| line.split(','));
    let mut line = lines.find(|line| line.clone().next() == Some(name))?;
    line.nth(at)
}

/// A ratio as it is shown.
pub(super) fn text(ratio: Option<f64>) -> String {
    ratio.map_or("-".to_owned(), |ratio| format!("{ratio:.2}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::Model;

    fn cell(model: Model, workers: Option<u32>, experiment: Experiment, level: u32) -> Cell {
        Cell { experiment, class: CoreClass::OneCore, level, subject: Subject::model(model, workers) }
    }

    #[test]
    fn every_model_has_kept_ratios_where_it_can_serve() {
        for model in Model::ALL {
            let workers = model.starts_ahead().then_some(WORKERS_DEFAULT);
            let of = |experiment, level| of_cell(&cell(model, workers, experiment, level));
            assert!(of(Experiment::Churn, 16).is_some_and(|ratio| ratio > 0.1), "{model}");
            let serves_many = model != Model::Iterative;
            for clients in [64, 1000] {
                assert_eq!(of(Experiment::Crowd, clients).is_some(), serves_many, "{model} at {clients}");
            }
            assert!(of(Experiment::Crowd, 1).is_some(), "{model}");
            assert_eq!(of(Experiment::Crowd, 4), None, "not measured");
            assert_eq!(of(Experiment::Steady, 2000), None, "not measured");
        }
        assert_eq!(of_cell(&cell(Model::Prefork, Some(4), Experiment::Churn, 16)), None, "other workers");
        let peer =
            Cell { subject: Subject::peer("fork", "x"), ..cell(Model::Fork, None, Experiment::Churn, 16) };
        assert_eq!(of_cell(&peer), None);
        assert!(note().contains("2026") && !note().contains("on  on"), "{}", note());
    }
}
