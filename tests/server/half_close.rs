//! A client that ends its side first still gets its whole answer (design, rule 2): data that comes with FIN
//! is data.

use crate::common::{Client, Server};

#[test]
fn a_client_that_ends_its_side_with_its_request_gets_the_whole_answer() {
    let mut server = Server::serve(&["echo@127.0.0.1:0", "echo@[::1]:0"]);
    for address in server.addresses("echo", 2) {
        let mut client = Client::connect(&address);
        client.send(b"the last words");
        client.half_close();
        client.expect_exact(b"the last words");
        client.expect_end();
    }
    server.expect_log("peer-closed", 2);
}

#[test]
fn an_answer_longer_than_every_buffer_is_whole_after_a_half_close() {
    let mut server = Server::serve(&["echo@127.0.0.1:0"]);
    let text: Vec<u8> = (0..4 << 20).map(|i: u32| (i * 7 / 5) as u8).collect();
    let mut client = server.client("echo");
    let mut sender = client.another_handle();
    let sent = text.clone();
    let sending = std::thread::spawn(move || {
        sender.send(&sent);
        sender.half_close();
    });
    client.expect_exact(&text);
    client.expect_end();
    sending.join().unwrap();
}

#[test]
fn data_and_end_that_are_already_there_when_the_client_is_accepted_are_answered() {
    let mut server = Server::serve(&["echo@127.0.0.1:0"]);
    // While the program is stopped the kernel completes connections and queues what they sent.
    server.signal(nix::sys::signal::Signal::SIGSTOP);
    let mut clients: Vec<Client> = (0..50).map(|_| server.client("echo")).collect();
    for client in &mut clients {
        client.send(b"early");
        client.half_close();
    }
    server.signal(nix::sys::signal::Signal::SIGCONT);
    for client in &mut clients {
        client.expect_exact(b"early");
        client.expect_end();
    }
}

#[test]
fn a_client_that_only_ends_its_side_is_closed() {
    let mut server = Server::serve(&["echo@127.0.0.1:0"]);
    let mut client = server.client("echo");
    client.half_close();
    client.expect_end();
    server.expect_log("peer-closed in=0 out=0", 1);
}

#[test]
fn the_end_of_input_ends_a_message_that_nothing_else_has_ended() {
    let mut server = Server::serve(&["message@127.0.0.1:0"]);
    let mut client = server.client("message");
    client.send(b"no newline");
    client.half_close();
    client.expect_exact(b"I got your message");
    client.expect_end();
}
