//! An answer in parts, put into the outbox as there is room.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use super::super::files::config::Site;
use super::super::files::listing::Listing;
use crate::session::{FileRange, Outbox, Record};

/// What is left of an answer.
#[derive(Debug, Default)]
pub(crate) struct Parts(VecDeque<Part>);

/// A part of an answer.
#[derive(Debug)]
pub(crate) enum Part {
    /// Bytes of its own, from the given one on.
    Bytes(Vec<u8>, usize),
    /// Bytes that others have too.
    Shared(Arc<[u8]>, Range<usize>),
    File(FileRange),
    Listing(Box<Listing>),
    Record(Record),
}

/// How far the putting came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Put {
    Done,
    /// There is no room for the rest.
    Room,
    /// Others should have their turn before the rest.
    Again,
    /// The rest cannot be had.
    Failed,
}

impl Parts {
    pub(crate) fn push(&mut self, part: Part) {
        self.0.push_back(part);
    }

    pub(crate) fn extend(&mut self, parts: impl IntoIterator<Item = Part>) {
        self.0.extend(parts);
    }

    /// The record at the end, if it was not put.
    pub(crate) fn take_record(&mut self) -> Option<Record> {
        match self.0.pop_back() {
            Some(Part::Record(record)) => Some(record),
            _ => None,
        }
    }

    /// Memory that they take.
    pub(crate) fn memory_bytes(&self) -> usize {
        let parts = self.0.iter().map(|part| match part {
            Part::Bytes(bytes, _) => bytes.capacity(),
            Part::Shared(_, range) => range.len(), // for some it may be the only answer that keeps them
            Part::File(_) => 0,
            Part::Listing(listing) => listing.memory_bytes(),
            Part::Record(record) => record.memory_bytes(),
        });
        self.0.capacity() * size_of::<Part>() + parts.sum::<usize>()
    }

    /// Puts what there is room for, from the front.
    pub(crate) fn put(&mut self, site: &Site, out: &mut Outbox) -> Put {
        while let Some(part) = self.0.front_mut() {
            match part.put(site, out) {
                Put::Done => {
                    if let Some(Part::Record(record)) = self.0.pop_front() {
                        out.record(record);
                    }
                }
                put => return put,
            }
        }
        Put::Done
    }
}

impl Part {
    pub(crate) fn bytes(bytes: impl Into<Vec<u8>>) -> Part {
        Part::Bytes(bytes.into(), 0)
    }

    /// Puts what there is room for.
    pub(crate) fn put(&mut self, site: &Site, out: &mut Outbox) -> Put {
        match self {
            Part::Bytes(bytes, at) => {
                *at += out.put_some(&bytes[*at..]);
                done(*at == bytes.len())
            }
            Part::Shared(bytes, range) => {
                let end = range.end.min(range.start + out.room());
                if out.share(Arc::clone(bytes), range.start..end).is_ok() {
                    range.start = end;
                }
                done(range.start == range.end)
            }
            Part::File(range) => done(out.file(range.clone()).is_ok()),
            Part::Listing(listing) => listing.put(site, out),
            Part::Record(_) => Put::Done,
        }
    }
}

fn done(done: bool) -> Put {
    if done { Put::Done } else { Put::Room }
}
