//! Echo: what comes goes back (RFC 862).

use crate::session::{Call, ClientInfo, Input, Outbox, Progress, Service, Session, Wait};

/// The echo service (RFC 862): sends back whatever it is sent, until the client ends its side.
#[derive(Clone, Copy, Debug, Default)]
pub struct Echo;

impl Service for Echo {
    type Session = Echo;

    fn open(&self, _client: &ClientInfo<'_>) -> Echo {
        Echo
    }
}

impl Session for Echo {
    fn advance(&mut self, input: Input<'_>, out: &mut Outbox) -> Progress {
        let consumed = out.put_some(input.bytes);
        if consumed < input.bytes.len() {
            Progress::need_room(consumed)
        } else if input.call == Call::Stopping {
            Progress::finish(consumed)
        } else {
            Progress::need_input(consumed, Wait::NextRequest)
        }
    }
}
