//! The traffic of a server: requests by class of status, and bytes.

use std::fmt;

use super::tally::{SHARD_COUNTERS, Shard, Tally};
use crate::session::Answers;

/// The order of the counters in a [`Shard`]: bytes received, bytes sent, one counter for each kind of answer.
const BYTES_IN: usize = 0;
const BYTES_OUT: usize = 1;
const ANSWERS: usize = 2;
const _: () = assert!(ANSWERS + Answers::KINDS <= SHARD_COUNTERS);

/// Answered requests, and the bytes of all clients, including open ones.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Bytes received.
    pub bytes_in: u64,
    /// Bytes written to sockets.
    pub bytes_out: u64,
    answers: [u64; Answers::KINDS],
}

impl Traffic {
    /// Requests whose answers have begun.
    pub fn requests(&self) -> u64 {
        self.answers.iter().sum()
    }

    /// Requests whose answers have a status of this class: 2 for 200 to 299. Answers without a status belong
    /// to no class.
    pub fn of_class(&self, class: u16) -> u64 {
        if class == 0 { 0 } else { self.answers.get(usize::from(class)).copied().unwrap_or(0) }
    }

    pub(super) fn received(&mut self, bytes: u64, shard: Option<&Shard>) {
        self.bytes_in += bytes;
        if let Some(shard) = shard {
            shard.add(BYTES_IN, bytes);
        }
    }

    pub(super) fn sent(&mut self, bytes: u64, shard: Option<&Shard>) {
        self.bytes_out += bytes;
        if let Some(shard) = shard {
            shard.add(BYTES_OUT, bytes);
        }
    }

    pub(super) fn answered(&mut self, answers: &Answers, shard: Option<&Shard>) {
        for (kind, count) in answers.counts().into_iter().enumerate().filter(|(_, count)| *count > 0) {
            self.answers[kind] += u64::from(count);
            if let Some(shard) = shard {
                shard.add(ANSWERS + kind, count.into());
            }
        }
    }

    /// Adds the counters of processes or threads.
    pub(super) fn add_tally(&mut self, tally: &Tally) {
        self.bytes_in += tally.shards_sum(BYTES_IN);
        self.bytes_out += tally.shards_sum(BYTES_OUT);
        for (kind, count) in self.answers.iter_mut().enumerate() {
            *count += tally.shards_sum(ANSWERS + kind);
        }
    }
}

/// `requests=5 2xx=4 4xx=1 bytes-in=620 bytes-out=5310`; classes that did not occur are left out.
impl fmt::Display for Traffic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "requests={}", self.requests())?;
        for (class, count) in self.answers.iter().enumerate().skip(1).filter(|(_, count)| **count > 0) {
            write!(f, " {class}xx={count}")?;
        }
        write!(f, " bytes-in={} bytes-out={}", self.bytes_in, self.bytes_out)
    }
}
