//! Responses that need slow work first, and bodies that are made beside the loop.

use std::io;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

use super::super::deferred::Notes;
use super::*;
use crate::session::{
    ClientInfo, Fault, Input, Job, Lane, Now, OffloadSource, OffloadTarget, Outbox, Peer, Progress,
    QueueBound, Service, Session, WakeTarget,
};

/// A loop whose offloaded work runs when a test calls it.
#[derive(Default)]
struct Stage {
    jobs: Mutex<Vec<Job>>,
    is_full: bool,
    wakes: AtomicU32,
}

impl OffloadTarget for Stage {
    fn submit(&self, _lane: Lane, bound: QueueBound, job: Job) -> Result<(), Job> {
        if self.is_full && bound == QueueBound::Full {
            return Err(job);
        }
        self.jobs.lock().unwrap().push(job);
        Ok(())
    }
}

impl WakeTarget for Stage {
    fn wake(&self, _client: u64) {
        self.wakes.fetch_add(1, SeqCst);
    }
}

impl Stage {
    /// Does the oldest job.
    fn work(&self) {
        let job = self.jobs.lock().unwrap().remove(0);
        let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(job));
    }

    fn jobs(&self) -> usize {
        self.jobs.lock().unwrap().len()
    }
}

/// One client of a service in such a loop.
struct Talk<S> {
    stage: Arc<Stage>,
    session: S,
    out: Outbox,
    answer: Vec<u8>,
    now_ms: u64,
}

impl<S: Session> Talk<S> {
    fn open<V: Service<Session = S>>(service: &V, stage: Stage) -> Talk<S> {
        let stage = Arc::new(stage);
        let (target, wakes): (Arc<dyn OffloadTarget>, Arc<dyn WakeTarget>) = (stage.clone(), stage.clone());
        let offload = Some(OffloadSource { target: &target, wakes: &wakes, client: 7 });
        let peer = Peer::from(std::net::SocketAddr::from(([192, 0, 2, 7], 1)));
        let session = service.open(&ClientInfo { offload, ..ClientInfo::new(peer, peer) });
        Talk { stage, session, out: Outbox::new(OUT), answer: Vec::new(), now_ms: 0 }
    }

    /// One call of the session; the client reads what is put.
    fn call(&mut self, bytes: &[u8], call: Call) -> Progress {
        let now = Now { monotonic_ms: self.now_ms, wall: UNIX_EPOCH };
        let progress = self.session.advance(Input::new(bytes, call, now), &mut self.out);
        while !self.out.is_empty() {
            let mut slices = [std::io::IoSlice::new(&[]); crate::session::GATHER_MAX];
            let before = self.answer.len();
            if let crate::session::Front::Bytes { count, .. } = self.out.front(&mut slices) {
                slices[..count].iter().for_each(|slice| self.answer.extend_from_slice(slice));
            }
            self.out.sent((self.answer.len() - before) as u64, |_, _| {});
        }
        progress
    }

    fn answer(&mut self) -> String {
        String::from_utf8(std::mem::take(&mut self.answer)).unwrap()
    }
}

/// Answers with a sum that is computed beside the loop.
struct Sum {
    asked: AtomicU32,
}

impl Handler for Sum {
    fn respond(&self, request: &Request<'_>) -> Response {
        self.asked.fetch_add(1, SeqCst);
        match request.notes.and_then(Notes::take_result::<u32>) {
            _ if request.path() == b"/quick" => Response::text(Status::Ok, "quick"),
            Some(sum) => {
                let (path, peer) = (String::from_utf8_lossy(request.path()), request.peer().unwrap());
                Response::text(Status::Ok, format!("{sum} {path} {:?} {peer}", request.body()))
            }
            None if request.path() == b"/panic" => {
                Response::deferred(Lane::Compute, || -> u32 { panic!("planned") })
            }
            // Of a type that is not looked for: it is never enough.
            None if request.path() == b"/endless" => Response::deferred(Lane::Compute, || "more"),
            None => Response::deferred(Lane::Compute, || (1..=100).sum::<u32>()).with_field("X-Lost", "y"),
        }
    }

    fn asks_for_client(&self) -> bool {
        true
    }
}

fn sum() -> Http<Router> {
    Http::new(Router::new().route("/", Sum { asked: AtomicU32::new(0) }))
}

const REQUEST: &[u8] = b"POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhi";

fn request(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n").into_bytes()
}

#[test]
fn a_deferred_request_and_the_requests_after_it_wait_for_its_work() {
    let mut talk = Talk::open(&sum(), Stage::default());
    let behind = request("/quick");
    let both = [REQUEST, &behind].concat();
    assert_eq!(talk.call(&both, Call::Ready), Progress::pause(REQUEST.len()));
    assert_eq!((talk.call(&behind, Call::Woken).next, talk.answer()), (Next::Pause, String::new()));
    talk.stage.work();
    assert_eq!(talk.stage.wakes.load(SeqCst), 1);
    let progress = talk.call(&behind, Call::Woken);
    assert_eq!(progress, Progress::need_input(behind.len(), Wait::NextRequest));
    let answers = talk.answer();
    assert_eq!(statuses(&answers), [200, 200]);
    assert!(answers.contains("5050 /a [104, 105] 192.0.2.7:1HTTP/1.1 200"), "{answers}");
    assert!(answers.ends_with("quick"), "{answers}");
}

#[test]
fn where_a_client_has_a_thread_of_its_own_the_work_is_done_in_the_call() {
    let answer = rehearsal::answer(&sum(), &[REQUEST], true, OUT);
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.ends_with("5050 /a [104, 105] 127.0.0.1:40000"), "{answer}");
}

#[test]
fn work_that_fails_is_refused_or_takes_too_long_has_an_answer_and_the_connection_lives() {
    for (path, stage, status) in [
        ("/panic", Stage::default(), 500),
        ("/endless", Stage::default(), 500),
        ("/late", Stage::default(), 503),
        ("/busy", Stage { is_full: true, ..Stage::default() }, 503),
    ] {
        let mut talk = Talk::open(&sum(), stage);
        let mut progress = talk.call(&request(path), Call::Ready);
        for _ in 0..9 {
            if progress.next != Next::Pause {
                break;
            }
            if path == "/late" {
                talk.now_ms = talk.session.timer_due_ms().expect("a bound for the wait");
                progress = talk.call(b"", Call::Timer);
            } else {
                talk.stage.work();
                progress = talk.call(b"", Call::Woken);
            }
        }
        assert_eq!(progress.next, Next::NeedInput(Wait::NextRequest), "{path}");
        let answer = talk.answer();
        assert_eq!(statuses(&answer), [status], "{path}");
        assert_eq!(field(&answer, "Retry-After").is_some(), status == 503, "{path}");
        let next = talk.call(&request("/quick"), Call::Ready).next;
        assert_eq!((next, statuses(&talk.answer())), (Next::NeedInput(Wait::NextRequest), vec![200]));
    }
}

#[test]
fn work_for_a_client_that_left_is_not_begun() {
    let service = Http::new(Sum { asked: AtomicU32::new(0) });
    let mut talk = Talk::open(&service, Stage::default());
    talk.call(&request("/a"), Call::Ready);
    let Talk { stage, session, .. } = talk;
    drop(session);
    stage.work();
    assert_eq!((stage.wakes.load(SeqCst), service.handler().asked.load(SeqCst)), (0, 1));
}

#[test]
fn a_drain_waits_for_the_work_and_the_answer_is_the_last() {
    let mut talk = Talk::open(&sum(), Stage::default());
    assert_eq!(talk.call(&request("/a"), Call::Ready).next, Next::Pause);
    assert_eq!(talk.call(b"", Call::Stopping).next, Next::Pause);
    talk.stage.work();
    assert_eq!(talk.call(b"", Call::Woken).next, Next::Finish);
    assert_eq!(field(&talk.answer(), "Connection"), Some("close"));
}

/// Three pieces, or an error in place of the last.
#[derive(Debug)]
struct Pieces {
    made: u32,
    fails: bool,
}

impl Producer for Pieces {
    fn produce(&mut self, piece: &mut Vec<u8>) -> io::Result<Produced> {
        self.made += 1;
        piece.extend_from_slice(format!("piece {}\n", self.made).as_bytes());
        match self.made {
            3 if self.fails => Err(io::Error::other("planned")),
            3 => Ok(Produced::End),
            _ => Ok(Produced::More),
        }
    }
}

struct Pieced {
    fails: bool,
}

impl Handler for Pieced {
    fn respond(&self, _request: &Request<'_>) -> Response {
        Response::text(Status::Ok, Body::blocking(Pieces { made: 0, fails: self.fails }))
    }

    fn asks_for_client(&self) -> bool {
        true
    }
}

#[test]
fn the_pieces_of_a_blocking_body_are_made_beside_the_loop_one_ahead() {
    let service = Http::new(Pieced { fails: false });
    let mut talk = Talk::open(&service, Stage::default());
    assert_eq!(talk.call(&request("/"), Call::Ready).next, Next::Pause);
    let mut seen = talk.answer();
    assert_eq!(body(&seen), "", "the head comes first");
    for number in 1..=3 {
        assert_eq!(talk.stage.jobs(), 1, "one piece at a time");
        talk.stage.work();
        let next = talk.call(b"", Call::Woken).next;
        let expected = if number == 3 { Next::NeedInput(Wait::NextRequest) } else { Next::Pause };
        assert_eq!(next, expected);
        seen += &talk.answer();
        assert!(seen.contains(&format!("piece {number}\n")), "{seen}");
    }
    let inline = rehearsal::answer(&service, &[&request("/")], true, OUT);
    let inline = String::from_utf8(inline).unwrap();
    assert_eq!(body(&inline), body(&seen), "the same bytes where the client has a thread of its own");
}

#[test]
fn a_blocking_body_that_fails_or_stalls_ends_its_client() {
    for fails in [true, false] {
        let mut talk = Talk::open(&Http::new(Pieced { fails }), Stage::default());
        assert_eq!(talk.call(&request("/"), Call::Ready).next, Next::Pause);
        for _ in 0..2 {
            talk.stage.work();
            assert_eq!(talk.call(b"", Call::Woken).next, Next::Pause);
            talk.now_ms += 40_000; // each piece has the whole time
            assert_eq!(talk.call(b"", Call::Timer).next, Next::Pause);
        }
        let end = if fails {
            talk.stage.work();
            talk.call(b"", Call::Woken)
        } else {
            talk.now_ms = talk.session.timer_due_ms().expect("a bound for the wait");
            talk.call(b"", Call::Timer)
        };
        assert_eq!(end.next, Next::Abort(Fault::Resource));
    }
}
