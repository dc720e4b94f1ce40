//! Which subject has which colour and marker: the same in every plot of a report.

use super::svg::Look;
use crate::lab::cell::{Model, Subject};

/// The looks of a report's subjects.
#[derive(Debug)]
pub struct Looks<'a> {
    subjects: &'a [Subject],
}

impl<'a> Looks<'a> {
    /// For these subjects.
    pub fn of(subjects: &'a [Subject]) -> Self {
        Looks { subjects }
    }

    /// A model keeps its colour whatever its workers; a second number of workers is dashed, and has another marker.
    pub fn look(&self, subject: &Subject) -> Look {
        let variants = |model| self.subjects.iter().filter(move |other| other.as_model() == Some(model));
        if let Some(model) = subject.as_model() {
            let colour = Model::ALL.iter().position(|other| *other == model).unwrap_or(0);
            let variant = variants(model).position(|other| other.name == subject.name).unwrap_or(0);
            return Look { colour, marker: colour + variant, dashed: variant > 0 };
        }
        let mut peers = self.subjects.iter().filter(|other| other.as_model().is_none());
        let at = peers.position(|other| other.name == subject.name).unwrap_or(0);
        Look { colour: Model::ALL.len() + at % 4, marker: at, dashed: true }
    }
}
