//! Plots and the page around them: one self-contained HTML file, readable in light and dark, on a phone and
//! in print. Shared by the reports of `load` and `lab`.

pub(crate) mod page;
pub(crate) mod scale;
pub(crate) mod svg;
pub(crate) mod text;
