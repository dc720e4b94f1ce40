//! Colour and marker of each subject: the same in every plot of a report.

use crate::lab::plan::subject::Subject;
use crate::models::Model;
use crate::plot::svg::Style;

/// The styles of a report's subjects.
#[derive(Debug)]
pub(crate) struct Styles<'a> {
    subjects: &'a [Subject],
}

impl<'a> Styles<'a> {
    /// For these subjects.
    pub(crate) fn of(subjects: &'a [Subject]) -> Self {
        Styles { subjects }
    }

    /// A model keeps its colour for any number of workers; a second number of workers is dashed, with another
    /// marker.
    pub(crate) fn style(&self, subject: &Subject) -> Style {
        let variants = |model| self.subjects.iter().filter(move |other| other.as_model() == Some(model));
        if let Some(model) = subject.as_model() {
            let colour = Model::ALL.iter().position(|other| *other == model).unwrap_or(0);
            let variant = variants(model).position(|other| other.name == subject.name).unwrap_or(0);
            return Style { colour, marker: colour + variant, dashed: variant > 0 };
        }
        let mut peers = self.subjects.iter().filter(|other| other.as_model().is_none());
        let at = peers.position(|other| other.name == subject.name).unwrap_or(0);
        Style { colour: Model::ALL.len() + at % 4, marker: at, dashed: true }
    }
}
