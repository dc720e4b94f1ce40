//! What is compared: subjects, experiments, metrics, and the cells they make.

pub(crate) mod comparison;
pub(crate) mod experiment;
pub(crate) mod metric;
pub(crate) mod subject;
