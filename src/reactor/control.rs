//! The life of the loop: serving, draining, stopped.

use crate::connection::Mode;

use super::Turn;
use super::wakes::StopRequest;

/// The state of the loop, and the requests to stop it.
#[derive(Debug)]
pub(super) struct Control {
    state: ControlState,
    /// The strongest request of a [`super::Handle`] so far.
    requested: StopRequest,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ControlState {
    Serving,
    /// Listeners stay open only while clients wait there. Clients that are still open at the deadline are
    /// cut.
    Draining {
        due_ms: u64,
    },
    Stopped,
}

/// What the loop has to do now, on request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ControlCommand {
    Nothing,
    Drain,
    Stop,
}

impl Control {
    pub(super) fn new() -> Self {
        Control { state: ControlState::Serving, requested: StopRequest::None }
    }

    pub(super) fn is_serving(&self) -> bool {
        self.state == ControlState::Serving
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.state == ControlState::Stopped
    }

    pub(super) fn mode(&self) -> Mode {
        if self.is_serving() { Mode::Serving } else { Mode::Draining }
    }

    pub(super) fn turn(&self) -> Turn {
        match self.state {
            ControlState::Serving => Turn::Serving,
            ControlState::Draining { .. } => Turn::Draining,
            ControlState::Stopped => Turn::Stopped,
        }
    }

    /// When a drain ends, if there is one.
    pub(super) fn drain_due_ms(&self) -> Option<u64> {
        match self.state {
            ControlState::Draining { due_ms } => Some(due_ms),
            ControlState::Serving | ControlState::Stopped => None,
        }
    }

    /// A handle has asked for something.
    pub(super) fn request(&mut self, request: StopRequest) {
        self.requested = request;
    }

    /// The command after `stops` more signals to stop: the first signal drains, the second stops.
    pub(super) fn command(&self, stops: u32) -> ControlCommand {
        let by_signals = match stops {
            0 => StopRequest::None,
            1 if self.is_serving() => StopRequest::Drain,
            _ => StopRequest::Stop,
        };
        match (self.requested.max(by_signals), self.state) {
            (StopRequest::Stop, ControlState::Serving | ControlState::Draining { .. }) => {
                ControlCommand::Stop
            }
            (StopRequest::Drain, ControlState::Serving) => ControlCommand::Drain,
            _ => ControlCommand::Nothing,
        }
    }

    pub(super) fn start_drain(&mut self, due_ms: u64) {
        self.state = ControlState::Draining { due_ms };
    }

    pub(super) fn stop(&mut self) {
        self.state = ControlState::Stopped;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_signal_drains_and_the_next_stops_whatever_a_handle_has_asked_for() {
        let mut control = Control::new();
        assert_eq!(control.command(0), ControlCommand::Nothing);
        assert_eq!(control.command(1), ControlCommand::Drain);
        assert_eq!(control.command(2), ControlCommand::Stop);
        control.request(StopRequest::Drain);
        assert_eq!(control.command(0), ControlCommand::Drain);
        control.start_drain(1_000);
        assert_eq!(control.command(0), ControlCommand::Nothing, "it drains already");
        assert_eq!(control.command(1), ControlCommand::Stop);
        control.request(StopRequest::Stop);
        assert_eq!(control.command(0), ControlCommand::Stop);
        control.stop();
        assert_eq!(control.command(1), ControlCommand::Nothing);
    }
}
