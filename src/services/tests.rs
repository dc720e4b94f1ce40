//! What each service answers, and that no answer depends on how the bytes were split.

use std::io::IoSlice;
use std::time::{Duration, SystemTime};

use proptest::prelude::*;

use super::*;
use crate::session::rehearsal::{Rehearsal, State, answer};
use crate::session::{Call, ClientInfo, Front, Input, Next, Now, Peer, Service, Session, Wait};

/// The services whose answer has an end; chargen, which never ends, has a separate test.
fn ending_services() -> Vec<AnyService> {
    let names = ServiceName::ALL.iter().filter(|name| **name != ServiceName::Chargen);
    names.filter_map(|name| AnyService::new(*name, None).ok()).collect()
}

/// `bytes` cut at `cuts`, each modulo the remaining length.
fn split<'a>(mut bytes: &'a [u8], cuts: &[usize]) -> Vec<&'a [u8]> {
    let mut chunks = Vec::new();
    for cut in cuts {
        let (chunk, rest) = bytes.split_at(cut % (bytes.len() + 1));
        chunks.push(chunk);
        bytes = rest;
    }
    chunks.push(bytes);
    chunks
}

proptest! {
    #[test]
    fn no_answer_depends_on_how_the_bytes_were_split(
        bytes in prop::collection::vec(prop_oneof![8 => any::<u8>(), 1 => Just(b'\n')], 0..700),
        cuts in prop::collection::vec(any::<usize>(), 0..12),
        end: bool,
        out_bytes_max in prop_oneof![1_usize..40, Just(65_536_usize)],
    ) {
        for service in ending_services() {
            let whole = answer(&service, &[&bytes], end, 65_536);
            let parts = answer(&service, &split(&bytes, &cuts), end, out_bytes_max);
            prop_assert_eq!(&whole, &parts, "{}", service.name());
        }
    }

    #[test]
    fn chargen_gives_the_same_lines_whatever_room_there_is(
        rooms in prop::collection::vec(1_usize..5_000, 1..12),
        input in prop::collection::vec(any::<u8>(), 0..300),
        ended: bool,
    ) {
        let mut session = Chargen.open(&client());
        let mut sent = Vec::new();
        for room in &rooms {
            let mut out = Outbox::new(*room);
            let progress = session.advance(Input { ended, ..Input::new(&input, Call::Ready, now(0)) }, &mut out);
            prop_assert_eq!(progress, Progress::need_room(input.len()));
            prop_assert_eq!(out.room(), 0, "it fills what room there is");
            sent.extend(bytes_of(&out));
        }
        for (n, line) in sent.chunks(74).enumerate() {
            let expected = (0..72).map(|c| b' ' + ((n + c) % 95) as u8).chain(*b"\r\n");
            prop_assert!(expected.take(line.len()).eq(line.iter().copied()), "line {n}: {}", line.escape_ascii());
        }
    }
}

fn client() -> ClientInfo<'static> {
    ClientInfo::new(Peer::UNIX, Peer::UNIX)
}

fn now(unix_s: u64) -> Now {
    Now { monotonic_ms: 0, wall: SystemTime::UNIX_EPOCH + Duration::from_secs(unix_s) }
}

fn bytes_of(out: &Outbox) -> Vec<u8> {
    let mut slices = [IoSlice::new(&[]); 16];
    match out.front(&mut slices) {
        Front::Bytes { count, .. } => {
            slices[..count].iter().flat_map(|slice| slice.iter().copied()).collect()
        }
        Front::Empty | Front::File(_) => Vec::new(),
    }
}

/// What a service that speaks at once sends at this time.
fn sent_at(service: &AnyService, unix_s: u64) -> (Vec<u8>, Next) {
    let mut out = Outbox::new(100);
    let input = Input::new(b"", Call::Open, now(unix_s));
    let progress = service.open(&client()).advance(input, &mut out);
    (bytes_of(&out), progress.next)
}

#[test]
fn a_message_ends_at_a_newline_at_255_bytes_at_the_end_of_input_or_when_its_time_is_up() {
    let got = b"I got your message".to_vec();
    assert_eq!(answer(&Message, &[b"hello\nand more"], false, 100), got);
    assert_eq!(answer(&Message, &[&[b'x'; 254]], false, 100), b"");
    assert_eq!(answer(&Message, &[&[b'x'; 254], b"x"], false, 100), got);
    assert_eq!(answer(&Message, &[b"hello"], true, 100), got);
    assert_eq!(answer(&Message, &[], true, 100), b"", "no message, no answer");
    let mut late = Rehearsal::open(&Message, 100);
    assert_eq!(late.state(), State::Waits(Wait::NextRequest));
    assert_eq!(late.feed(b"hel").state(), State::Waits(Wait::Rest));
    late.call(Call::Expired(Wait::Rest));
    assert_eq!((late.state(), &late.answer), (State::Done(Next::Finish), &got));
    assert_eq!(Message.request_timeout(), Some(Duration::from_millis(200)));
}

#[test]
fn an_idle_client_of_message_gets_no_answer_and_a_drain_lets_a_begun_message_end() {
    let mut idle = Rehearsal::open(&Message, 100);
    assert!(idle.call(Call::Expired(Wait::NextRequest)).answer.is_empty());
    assert_eq!(Rehearsal::open(&Message, 100).call(Call::Stopping).state(), State::Done(Next::Finish));
    let mut begun = Rehearsal::open(&Message, 100);
    assert_eq!(begun.feed(b"hel").call(Call::Stopping).state(), State::Waits(Wait::Rest));
    assert_eq!(begun.feed(b"lo\n").answer, b"I got your message");
}

#[test]
fn echo_and_discard_take_all_and_finish_when_the_server_drains() {
    for (service, answer) in [(AnyService::Echo(Echo), "some bytes"), (AnyService::Discard(Discard), "")] {
        let mut stage = Rehearsal::open(&service, 4);
        stage.feed(b"some ").feed(b"bytes");
        assert_eq!(stage.state(), State::Waits(Wait::NextRequest));
        assert_eq!((stage.unconsumed(), stage.answer.as_slice()), (&b""[..], answer.as_bytes()));
        assert_eq!(stage.call(Call::Stopping).state(), State::Done(Next::Finish));
    }
}

#[test]
fn chargen_finishes_when_the_server_drains() {
    let mut out = Outbox::new(100);
    let input = Input::new(b"ab", Call::Stopping, now(0));
    assert_eq!(Chargen.open(&client()).advance(input, &mut out), Progress::finish(2));
}

#[test]
#[cfg(feature = "daytime")]
fn daytime_is_the_first_form_of_rfc_867_in_utc() {
    let daytime = AnyService::Daytime(Daytime);
    // The example of the RFC, whose day of the week is wrong.
    let line = b"Monday, February 22, 1982 17:37:43-UTC\r\n".to_vec();
    assert_eq!(sent_at(&daytime, 383_247_463), (line, Next::Finish));
    assert_eq!(sent_at(&daytime, 2_000_000_000).0, b"Wednesday, May 18, 2033 03:33:20-UTC\r\n");
}

#[test]
fn time_is_the_number_of_rfc_868_and_begins_again_in_2036() {
    // The first two are examples of the RFC: 1970 and 1976, 00:00 GMT on 1 January.
    for (unix_s, number) in
        [(0, 2_208_988_800), (189_302_400, 2_398_291_200), (2_085_978_495, u32::MAX), (2_085_978_496, 0)]
    {
        assert_eq!(sent_at(&AnyService::Time(Time), unix_s), (number.to_be_bytes().to_vec(), Next::Finish));
    }
}

#[test]
fn every_name_makes_its_service_and_the_session_stays_small() {
    for &name in ServiceName::ALL {
        assert_eq!(name.as_str().parse(), Ok(name));
        assert_eq!(AnyService::new(name, None).unwrap().name(), name);
    }
    let unknown = "ecko".parse::<ServiceName>().unwrap_err().to_string();
    assert!(unknown.starts_with("unknown service \"ecko\"; the services are message, echo,"), "{unknown}");
    assert!(AnyService::new(ServiceName::Echo, Some("x")).is_err());
    // A connection is bounded at 192 bytes with its session in it.
    assert!(size_of::<AnySession>() <= 40, "{}", size_of::<AnySession>());
}
