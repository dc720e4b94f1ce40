//! Answers that a thread computes: a session pauses until its answer has come, or for as long as it is
//! willing to wait.
//!
//! ```sh
//! cargo run --example backend
//! ```
//!
//! It listens on 127.0.0.1:7003. In another terminal:
//!
//! ```sh
//! printf 'one\ntwo\n' | nc -N 127.0.0.1 7003
//! ```

use std::io;
use std::sync::mpsc;
use std::time::Duration;

use oneloop::Signals;
use oneloop::limits::Limits;
use oneloop::reactor::Reactor;
use oneloop::session::{
    Call, ClientInfo, Fault, Input, Mailbox, Outbox, Progress, Sender, Service, Session, Wait, Waker,
};

/// The longest line, with its newline.
pub const LINE_BYTES_MAX: usize = 512;
/// Answers that may wait for one client: it asks one question at a time.
const MAILBOX_BYTES: usize = 4 * LINE_BYTES_MAX;
/// How long the thread takes for an answer.
pub const WORK: Duration = Duration::from_millis(2);
/// How long a client waits for one.
const PATIENCE: Duration = Duration::from_secs(10);

/// What the thread is to do: a line, and where its answer goes.
struct Job {
    line: Vec<u8>,
    answer: Sender<Vec<u8>>,
}

/// The service: the way to the thread.
#[derive(Clone)]
pub struct Backend {
    jobs: mpsc::Sender<Job>,
}

/// One client.
pub struct Asker {
    jobs: mpsc::Sender<Job>,
    answers: Mailbox<Vec<u8>>,
    /// Until when the answer to a question is waited for.
    patience_due_ms: Option<u64>,
    /// The answer, while there is no room for it.
    unsent: Option<Vec<u8>>,
}

impl Backend {
    /// Starts the thread. It ends when the last sender of jobs is dropped.
    pub fn start() -> Backend {
        let (jobs, taken) = mpsc::channel::<Job>();
        std::thread::spawn(move || {
            for Job { line, answer } in taken {
                std::thread::sleep(WORK);
                // It fails if the client has ended.
                let _ = answer.post([&b"you asked "[..], &line].concat());
            }
        });
        Backend { jobs }
    }
}

impl Service for Backend {
    type Session = Asker;

    fn wakes(&self) -> bool {
        true
    }

    fn open(&self, client: &ClientInfo<'_>) -> Asker {
        let waker: Waker = client.waker();
        let answers = Mailbox::new(waker, MAILBOX_BYTES);
        Asker { jobs: self.jobs.clone(), answers, patience_due_ms: None, unsent: None }
    }
}

impl Session for Asker {
    fn advance(&mut self, input: Input<'_>, out: &mut Outbox) -> Progress {
        if let Some(due_ms) = self.patience_due_ms {
            if self.unsent.is_none() {
                let Ok(answer) = self.answers.take() else { return Progress::abort(Fault::Resource) };
                self.unsent = answer;
            }
            match self.unsent.take() {
                None if due_ms <= input.now.monotonic_ms => return Progress::timed_out(0),
                None => return Progress::pause(0),
                Some(answer) if out.put(&answer).is_err() => {
                    self.unsent = Some(answer);
                    return Progress::need_room(0);
                }
                Some(_) => self.patience_due_ms = None,
            }
        }
        let Some(end) = input.bytes.iter().take(LINE_BYTES_MAX).position(|&byte| byte == b'\n') else {
            return match input.bytes.len() {
                0 if input.call == Call::Stopping => Progress::finish(0),
                0 => Progress::need_input(0, Wait::NextRequest),
                LINE_BYTES_MAX.. => Progress::abort(Fault::Protocol),
                _ => Progress::need_input(0, Wait::Rest),
            };
        };
        let line = input.bytes[..=end].to_vec();
        if self.jobs.send(Job { line, answer: self.answers.sender() }).is_err() {
            return Progress::abort(Fault::Resource);
        }
        self.patience_due_ms = Some(input.now.after_ms(PATIENCE));
        Progress::pause(end + 1)
    }

    fn timer_due_ms(&self) -> Option<u64> {
        self.patience_due_ms
    }
}

#[allow(dead_code, reason = "the tests include this file for its service")]
fn main() -> io::Result<()> {
    let mut reactor = Reactor::new(Limits::default())?;
    println!("listening on backend@{}", reactor.bind("127.0.0.1:7003", Backend::start())?);
    reactor.watch_signals(Signals::install()?)?;
    println!("{}", reactor.run()?);
    Ok(())
}
