//! Byte layers under the reactor: whose address counts, and what else passes through them.

use std::io::Write;
use std::sync::Arc;

use crate::common::inside::Inside;
use crate::common::layers::{Frames, FramesClient, Origin};
use crate::common::talker::Talker;
use oneloop::connection::ListenerLayers;
use oneloop::limits::Limits;
use oneloop::session::{
    Call, ClientInfo, FileRange, Input, Outbox, Progress, Refusal, Service, Session, Wait,
};
use oneloop::telemetry::Reason;

/// Sends its file to each client, then echoes.
#[derive(Clone)]
struct Sends(Arc<std::fs::File>, u64);

impl Sends {
    fn new(content: &[u8]) -> Sends {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(content).unwrap();
        Sends(Arc::new(file), content.len() as u64)
    }
}

impl Service for Sends {
    type Session = Sends;

    fn open(&self, _client: &ClientInfo<'_>) -> Sends {
        self.clone()
    }

    fn refusal(&self, _why: Refusal) -> &[u8] {
        b"too many from your address"
    }
}

impl Session for Sends {
    fn advance(&mut self, input: Input<'_>, out: &mut Outbox) -> Progress {
        if input.call == Call::Open {
            out.file(FileRange { file: Arc::clone(&self.0), offset: 0, len: self.1 }).unwrap();
        }
        Progress::need_input(out.put_some(input.bytes), Wait::NextRequest)
    }
}

fn both() -> ListenerLayers {
    ListenerLayers::none().with(Origin::default).with(Frames::default)
}

#[test]
fn the_limit_per_address_counts_the_address_that_a_layer_has_found_and_its_refusal_passes_the_layers() {
    let limits = Limits { clients_per_address_max: 1, ..Limits::default() };
    let server = Inside::serve_behind(both(), limits, Sends::new(b"hello"));
    let talker = |from: &str| {
        let mut talker = Talker::new(server.client(), FramesClient::default());
        talker.client.send(format!("{from}\n").as_bytes());
        assert!(talker.establish(1));
        while talker.toy.got.is_empty() {
            assert!(talker.read());
        }
        talker
    };
    let (first, mut second) = (talker("192.0.2.1:1"), talker("192.0.2.1:2"));
    let other = talker("192.0.2.2:1");
    while second.read() {}
    assert_eq!(second.toy.got, b"too many from your address");
    assert!(second.toy.has_ended, "in order");
    assert!(b"hello".starts_with(&first.toy.got) && b"hello".starts_with(&other.toy.got));
    drop(first);
    crate::common::eventually("the place of the first is free", || {
        let mut third = Talker::new(server.client(), FramesClient::default());
        third.client.send(b"192.0.2.1:3\n");
        third.establish(1);
        while third.toy.got.is_empty() && third.read() {}
        b"hello".starts_with(&third.toy.got) && !third.toy.got.is_empty()
    });
    drop((second, other));
    let summary = server.drain();
    assert!(summary.counters.of(Reason::RefusedAddress) >= 1, "{summary}");
    assert_eq!(summary.open, 0);
}

#[test]
fn a_file_passes_the_layers_as_bytes() {
    let content: Vec<u8> = (0..300_000u32).flat_map(u32::to_be_bytes).collect();
    let server = Inside::serve_behind(
        ListenerLayers::none().with(Frames::default),
        Limits::default(),
        Sends::new(&content),
    );
    let mut talker = Talker::new(server.client(), FramesClient::default());
    let got = talker.converse(b"and bytes behind it", 100);
    assert!(got == [&content[..], b"and bytes behind it"].concat());
}

/// One byte more than the longest line of the layer.
#[test]
fn a_client_that_breaks_the_lower_layer_ends_before_the_upper_one_begins() {
    let server = Inside::serve_behind(both(), Limits::default(), Sends::new(b""));
    let mut client = server.client();
    client.send(&[b'1'; 200]);
    client.expect_end();
    assert_eq!(server.drain().counters.of(Reason::HandshakeFailed), 1);
}
