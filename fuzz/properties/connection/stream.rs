//! The stream: what each call gives, and whether the bytes are those that were put.

use std::io::{self, IoSlice};
use std::os::unix::fs::FileExt;

use oneloop::connection::{Patience, ReadOutcome, Transport, WriteOutcome};
use oneloop::session::FileRange;

use super::world::{Close, World};

/// A stream that follows a script.
pub(super) struct Stream<'w, 'a> {
    pub(super) world: &'w World<'a>,
    pub(super) latches: Latches,
}

/// Whether the stream knows by itself that a call would block.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Latches {
    Nothing,
    Readiness,
}

const ERRORS: [io::ErrorKind; 4] = [
    io::ErrorKind::ConnectionReset,
    io::ErrorKind::BrokenPipe,
    io::ErrorKind::TimedOut,
    io::ErrorKind::PermissionDenied,
];

impl Stream<'_, '_> {
    /// What a write, or a file, gives: a count from 1 to `len`, or what there is instead.
    fn put(&self, len: usize, is_file: bool) -> io::Result<WriteOutcome> {
        let (world, mut seen) = (self.world, self.world.seen.borrow_mut());
        assert!(
            !seen.is_shut && seen.stream_error.is_none() && !seen.was_file_short,
            "a write after the end"
        );
        assert!(len > 0, "a write of nothing");
        seen.writes += 1;
        if self.latches == Latches::Readiness && seen.writes_block {
            return Ok(WriteOutcome::NotNow);
        }
        match world.below(32) {
            _ if world.is_over() => {}
            0..6 => {
                seen.writes_block = true;
                return Ok(WriteOutcome::NotNow);
            }
            6 => {
                let kind = ERRORS[world.below(ERRORS.len())];
                seen.stream_error = Some(kind);
                return Err(kind.into());
            }
            7 if is_file => {
                seen.was_file_short = true;
                return Ok(WriteOutcome::FileShort);
            }
            _ => {}
        }
        seen.writes_block = false;
        Ok(WriteOutcome::Bytes(world.part(len)))
    }
}

impl Stream<'_, '_> {
    fn closes(&self, close: Close) {
        let before = self.world.seen.borrow_mut().close.replace(close);
        assert_eq!(before, None, "it is decided once how the stream is closed");
    }
}

impl Transport for Stream<'_, '_> {
    fn read(&mut self, buf: &mut [u8], _patience: Patience) -> io::Result<ReadOutcome> {
        let (world, mut seen) = (self.world, self.world.seen.borrow_mut());
        assert!(seen.stream_error.is_none(), "a read after an error");
        if seen.has_input_ended {
            assert!(seen.is_shut, "a read after the end, though not to see whether the client has gone");
            seen.reads += 1;
            return Ok(ReadOutcome::End);
        }
        assert!(!buf.is_empty(), "a read into nothing looks like the end");
        seen.reads += 1;
        if self.latches == Latches::Readiness && seen.reads_block {
            return Ok(ReadOutcome::NotNow);
        }
        match world.below(32) {
            _ if world.is_over() => {
                seen.has_input_ended = true;
                Ok(ReadOutcome::End)
            }
            0..8 => {
                seen.reads_block = true;
                Ok(ReadOutcome::NotNow)
            }
            8 => {
                seen.has_input_ended = true;
                Ok(ReadOutcome::End)
            }
            9 => {
                let kind = ERRORS[world.below(ERRORS.len())];
                seen.stream_error = Some(kind);
                Err(kind.into())
            }
            _ => {
                let len = world.part(buf.len());
                for to in &mut buf[..len] {
                    *to = (seen.read.len() % 251) as u8;
                    seen.read.push(*to);
                }
                seen.reads_block = self.latches == Latches::Readiness && len < buf.len();
                Ok(ReadOutcome::Bytes(len))
            }
        }
    }

    fn write(&mut self, slices: &[IoSlice<'_>], more: bool) -> io::Result<WriteOutcome> {
        let bytes = slices.iter().flat_map(|slice| slice.iter().copied()).collect::<Vec<u8>>();
        let put = self.put(bytes.len(), false);
        let mut seen = self.world.seen.borrow_mut();
        let rest = &seen.put[seen.taken.len()..];
        assert!(rest.starts_with(&bytes), "not what was put, or not in its order");
        if let Ok(WriteOutcome::Bytes(len)) = put {
            seen.taken.extend_from_slice(&bytes[..len]);
            seen.taken_memory += len;
            seen.is_held = more;
        }
        put
    }

    fn send_file(&mut self, range: &FileRange, bytes_max: usize) -> io::Result<WriteOutcome> {
        let mut bytes = vec![0; usize::try_from(range.len).unwrap().min(bytes_max)];
        let put = self.put(bytes.len(), true);
        range.file.read_exact_at(&mut bytes, range.offset).unwrap();
        let mut seen = self.world.seen.borrow_mut();
        let rest = &seen.put[seen.taken.len()..];
        assert!(rest.starts_with(&bytes), "not the range of the file that was put");
        if let Ok(WriteOutcome::Bytes(len)) = put {
            seen.taken.extend_from_slice(&bytes[..len]);
            seen.is_held = false;
        }
        put
    }

    fn shutdown_write(&mut self) -> io::Result<()> {
        let (world, mut seen) = (self.world, self.world.seen.borrow_mut());
        assert!(!seen.is_shut, "our side ends twice");
        (seen.is_shut, seen.is_held) = (true, false);
        if world.one_in(8) { Err(io::ErrorKind::NotConnected.into()) } else { Ok(()) }
    }

    fn may_read(&self) -> bool {
        self.latches == Latches::Nothing || !self.world.seen.borrow().reads_block
    }

    fn unacknowledged_bytes(&self) -> u64 {
        let seen = self.world.seen.borrow();
        (seen.taken.len() - seen.acknowledged) as u64
    }

    fn reset_at_close(&mut self) {
        self.closes(Close::Reset);
    }

    fn close_in_order(&mut self) {
        self.closes(Close::InOrder);
    }
}
