//! Discard: what comes is thrown away (RFC 863).

use crate::session::{Call, ClientInfo, Input, Outbox, Progress, Service, Session, Wait};

/// The discard service (RFC 863): takes whatever it is sent, answers nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Discard;

impl Service for Discard {
    type Session = Discard;

    fn open(&self, _client: &ClientInfo<'_>) -> Discard {
        Discard
    }
}

impl Session for Discard {
    fn advance(&mut self, input: Input<'_>, _out: &mut Outbox) -> Progress {
        let consumed = input.bytes.len();
        if input.call == Call::Stopping {
            Progress::finish(consumed)
        } else {
            Progress::need_input(consumed, Wait::NextRequest)
        }
    }
}
