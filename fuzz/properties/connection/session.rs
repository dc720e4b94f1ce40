//! The session: its operations on the outbox, and its results.

use std::fs::File;
use std::io::Write;
use std::sync::{Arc, OnceLock};

use oneloop::session::{
    AnswerInfo, Call, Fault, FileRange, Full, Input, Next, Outbox, Progress, Session, Wait,
};

use super::world::World;

/// Bytes of the file that ranges are taken from.
const FILE_BYTES: usize = 4096;
/// Operations of a session in one call.
const OPERATIONS_MAX: u8 = 8;

/// The file, and what is in it: its bytes are never those of memory at the same place.
fn file() -> &'static (Arc<File>, Vec<u8>) {
    static FILE: OnceLock<(Arc<File>, Vec<u8>)> = OnceLock::new();
    FILE.get_or_init(|| {
        let bytes: Vec<u8> = (0..FILE_BYTES).map(|at| 128 + (at * 7 % 127) as u8).collect();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&bytes).unwrap();
        (Arc::new(file), bytes)
    })
}

/// A session that follows a script.
pub(super) struct Scripted<'w, 'a>(pub(super) &'w World<'a>);

/// What a call of the session has put.
struct Putting<'o> {
    out: &'o mut Outbox,
    put: Vec<u8>,
    put_memory: usize,
    answers: Vec<(usize, u32)>,
}

impl Putting<'_> {
    fn memory(&self, len: usize) -> Vec<u8> {
        (self.put.len()..self.put.len() + len).map(|at| (at % 127) as u8).collect()
    }

    /// Takes note of what was put, or was refused for want of room.
    fn was_put(&mut self, room: usize, bytes: &[u8], result: Result<(), Full>) {
        assert_eq!(result.is_ok(), bytes.len() <= room, "{} bytes into room for {room}", bytes.len());
        if result.is_ok() {
            self.put.extend_from_slice(bytes);
            self.put_memory += bytes.len();
        }
    }

    fn operate(&mut self, world: &World<'_>, operation: usize) {
        let room = self.out.room();
        match operation {
            0 | 1 => {
                let bytes = self.memory(world.below(90));
                let result = self.out.put(&bytes);
                self.was_put(room, &bytes, result);
            }
            2 => {
                let bytes = self.memory(world.below(90));
                let (one, other) = bytes.split_at(world.below(bytes.len() + 1));
                let result = self.out.put_all(&[one, b"", other]);
                self.was_put(room, &bytes, result);
            }
            3 => {
                let bytes = self.memory(world.below(200));
                let len = self.out.put_some(&bytes);
                assert_eq!(len, bytes.len().min(room));
                self.was_put(room, &bytes[..len], Ok(()));
            }
            4 => {
                let whole = [&[255], &self.memory(world.below(60))[..], &[255]].concat();
                let range = 1..whole.len() - 1;
                let result = self.out.share(Arc::from(&whole[..]), range.clone());
                self.was_put(room, &whole[range], result);
            }
            5 => {
                let (file, content) = file();
                let start = world.below(256) * FILE_BYTES / 256;
                let len = (world.below(256) * 8).min(FILE_BYTES - start);
                let range = FileRange { file: Arc::clone(file), offset: start as u64, len: len as u64 };
                if self.out.file(range).is_ok() {
                    self.put.extend_from_slice(&content[start..start + len]);
                } else {
                    assert_eq!(room, 0, "a file needs a place only");
                }
            }
            _ => {
                let head_bytes = world.below(30) as u32;
                self.out.answered(info(head_bytes));
                self.answers.push((self.put.len(), head_bytes));
            }
        }
    }
}

fn info(head_bytes: u32) -> AnswerInfo {
    AnswerInfo { status: None, head_bytes, began_ms: 0, request: None }
}

impl Session for Scripted<'_, '_> {
    fn advance(&mut self, input: Input<'_>, out: &mut Outbox) -> Progress {
        let (world, mut seen) = (self.0, self.0.seen.borrow_mut());
        seen.advances += 1;
        let said_last =
            matches!(seen.said, Some(Next::Finish | Next::Close | Next::TimedOut | Next::Abort(_)));
        assert!(!seen.is_at_fault && !said_last && !seen.is_expired, "it is called after its last call");
        seen.is_expired = matches!(input.call, Call::Expired(_));
        assert_eq!(input.call == Call::Open, seen.said.is_none());
        let now_ms = input.now.monotonic_ms;
        let is_due = seen.timer_due_ms.is_some_and(|due_ms| due_ms <= now_ms);
        assert!(input.call != Call::Timer || is_due, "its timer is not due");
        seen.called = Some(input.call);
        seen.timer_due_ms = world.one_in(6).then(|| now_ms + world.below(60) as u64);
        let woken = std::mem::take(&mut seen.is_woken);
        assert!(!woken || matches!(input.call, Call::Open | Call::Woken), "{:?} for a wake", input.call);
        assert_eq!(input.bytes, &seen.read[seen.consumed..]);
        assert_eq!(input.ended, seen.has_input_ended);
        assert!(out.is_empty() && out.held_bytes() == 0 && out.room() == out.bytes_max());
        let start = seen.put.len();
        let (put, answers) = (std::mem::take(&mut seen.put), std::mem::take(&mut seen.answers));
        let mut putting = Putting { out, put, put_memory: seen.put_memory, answers };
        let memory_before = putting.put_memory;
        for _ in 0..world.below(usize::from(OPERATIONS_MAX)) {
            let (operation, times) = (world.below(7), if world.one_in(8) { world.below(90) } else { 1 });
            for _ in 0..times {
                putting.operate(world, operation);
                let held_bytes = putting.put_memory - memory_before;
                assert_eq!(putting.out.held_bytes(), held_bytes);
                assert!(held_bytes <= putting.out.bytes_max());
            }
        }
        let Putting { put, put_memory, answers, .. } = putting;
        (seen.put, seen.put_memory, seen.answers) = (put, put_memory, answers);
        let progress = progress(world, input);
        let has_content = seen.put.len() > start;
        let asks_again = match input.call {
            Call::Timer => seen.timer_due_ms.is_some_and(|due_ms| due_ms <= now_ms),
            _ => progress.next == Next::Again,
        };
        let is_idle = progress.consumed == 0 && !has_content && asks_again;
        seen.idle_calls = if is_idle { seen.idle_calls + 1 } else { 0 };
        if progress.consumed > 0 {
            seen.is_inside_request = progress.unfinished > 0;
        }
        let waits_for_rest = progress.next == Next::NeedInput(Wait::Rest) && !input.ended && !seen.is_expired;
        let has_begun = progress.consumed < input.bytes.len() || seen.is_inside_request;
        seen.is_at_fault = progress.consumed > input.bytes.len()
            || progress.unfinished > progress.consumed
            || (progress.next == Next::NeedRoom && !has_content)
            || (waits_for_rest && !has_begun)
            || seen.idle_calls > world.again_max;
        if seen.is_at_fault || matches!(progress.next, Next::Abort(_)) {
            // Nothing of this call is sent. Its answers are reported all the same.
            seen.put.truncate(start);
            seen.put_memory = memory_before;
            for answer in &mut seen.answers {
                answer.0 = answer.0.min(start);
            }
        }
        seen.consumed += progress.consumed.min(input.bytes.len());
        seen.said = Some(progress.next);
        seen.unfinished = world.one_in(4).then(|| info(world.below(30) as u32));
        progress
    }

    fn timer_due_ms(&self) -> Option<u64> {
        self.0.seen.borrow().timer_due_ms
    }

    fn unfinished(&mut self) -> Option<AnswerInfo> {
        let mut seen = self.0.seen.borrow_mut();
        seen.unfinished_calls += 1;
        let unfinished = seen.unfinished.take();
        // It has what was sent since the last answer, and nothing follows.
        seen.answers.extend(unfinished.iter().map(|info| (usize::MAX, info.head_bytes)));
        unfinished
    }
}

fn progress(world: &World<'_>, input: Input<'_>) -> Progress {
    let len = input.bytes.len();
    let consumed = match world.below(8) {
        _ if world.is_over() => len,
        0 => 0,
        1 => len / 2,
        2 => len.min(1),
        3 if world.one_in(8) => len + 1,
        _ => len,
    };
    let next = match world.below(40) {
        _ if world.is_over() => Next::NeedInput(Wait::NextRequest),
        0..12 => Next::NeedInput(Wait::NextRequest),
        20..28 => Next::NeedRoom,
        28..36 => Next::Again,
        12..16 => Next::Pause,
        16 => Next::TimedOut,
        36 => Next::Finish,
        37 => Next::Close,
        38 => Next::Abort(Fault::Protocol),
        _ => Next::NeedInput(Wait::Rest),
    };
    let unfinished = match world.below(16) {
        _ if world.is_over() => 0,
        0..6 => consumed,
        6 => consumed / 2,
        7 if world.one_in(8) => consumed + 1,
        _ => 0,
    };
    Progress::new(consumed, next).with_unfinished(unfinished)
}
