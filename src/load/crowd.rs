//! Clients beside the active ones: idle ones hold a connection, slow ones take a byte at a time.

use mio::event::Event;
use socket2::SockRef;

use super::Workload;
use super::conversation::{Budget, Rest};
use super::engine::{Engine, Stage, ns};
use super::errors::Class;
use super::lifecycle::{ACTIVE, converse};
use super::slot::{Role, SlowLedger, State};

/// What a slow client does in its turn, on its slow side.
const SLOW: Budget = Budget { calls_max: 1, bytes_max: 1 };
/// Requests that a slow reader has under way: enough for the server to have more to say than the kernel keeps.
const SLOW_READER_DEPTH: usize = 64;

impl<W: Workload> Engine<'_, W> {
    pub(super) fn slow_turn(&mut self, index: u32) {
        let slot = &mut self.slots[index as usize];
        let State::Open(conversation) = &mut slot.state else { return };
        let budgets = match slot.role {
            Role::SlowReader => {
                let depth = if self.workload.one_shot() { 1 } else { SLOW_READER_DEPTH };
                while conversation.in_flight() < depth {
                    conversation.begin(self.now_ns, self.now_ns);
                }
                [SLOW, ACTIVE]
            }
            _ => [ACTIVE, SLOW],
        };
        let (bytes_in, bytes_out) = (&mut self.slow.bytes_in, &mut self.slow.bytes_out);
        let mut ledger = SlowLedger { now_ns: self.now_ns, bytes_in, bytes_out };
        match converse(conversation, budgets, &mut self.scratch, &mut ledger) {
            Ok(Rest::Over) => self.over(index),
            Err(class) => self.fail(index, class),
            Ok(_) => self.file(index, self.now_ns + ns(self.plan.slow_pause)),
        }
    }

    /// An idle client whose connection the server has ended is lost. That may come with the event that it is connected.
    pub(super) fn look_after_held(&mut self, index: u32, event: &Event) {
        let State::Held(stream) = &self.slots[index as usize].state else { return };
        if event.is_read_closed() || event.is_error() {
            let error = SockRef::from(stream.stream()).take_error().ok().flatten();
            self.fail(index, error.map_or(Class::ClosedEarly, |error| Class::of(&error)));
        }
    }

    /// A client of the crowd has no connection, and does not try again: how many are there is what was asked for, so who is
    /// gone is counted. It is no error of a request; but wrong bytes are wrong, whoever reads them.
    pub(super) fn lose(&mut self, index: u32, class: Class) {
        log::debug!("client {index} of the crowd: {}", class.describe());
        let slot = &mut self.slots[index as usize];
        slot.state = State::Ended;
        let is_wrong = matches!(class, Class::WrongBytes(_));
        if matches!(self.stage, Stage::Draining { .. } | Stage::Done) && !is_wrong {
            return; // it was there for as long as it was needed
        }
        let crowd = if slot.role == Role::Idle { &mut self.idle } else { &mut self.slow };
        class.count(&mut crowd.lost, 1);
        self.recorder.totals.crowd_lost += 1;
        if is_wrong {
            crowd.wrong_bytes += 1;
            self.recorder.failed(self.now_ns, class, 1);
        }
    }
}
