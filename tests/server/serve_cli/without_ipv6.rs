//! Machines without IPv6: disabled, and not there at all.

use super::complaint;
use crate::common::fault::Fault;
use crate::common::namespace::in_a_network;
use crate::common::{Address, Client, Server};

/// Waits for the printed address, and talks to the server there.
fn expect_reachable(mut server: Server) {
    assert!(server.address("http").tcp().ip().is_ipv4(), "{}", server.stdout());
    let told = server.stdout();
    let open = told.lines().find_map(|line| line.strip_prefix("open http://")?.strip_suffix('/')).unwrap();
    let mut client = Client::connect(&Address::parse(open).unwrap());
    assert!(crate::common::http::get(&mut client, "/none", "").status == 404, "{told}");
    drop(client);
    assert_eq!(server.stop().code(), Some(0));
}

/// In a network namespace this very test is started again, where IPv6 can be disabled.
#[test]
fn without_ipv6_the_wildcard_is_ipv4_and_the_printed_address_works() {
    let disable = "echo 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6";
    in_a_network(disable, || {
        expect_reachable(Server::serve(&["http@*:0"]));
        expect_reachable(Server::serve(&["http@[::]:0"]));
        expect_reachable(Server::serve(&["http@*:0", "--workers=2"]));
        let said = complaint(&["serve", "-q", "echo@[::1]:0"], 1);
        assert!(said.contains("this machine does not have that address; use one of its addresses"), "{said}");
    });
}

/// A kernel without IPv6: the addresses of the machine cannot be asked for, the first socket is refused, the
/// next is IPv4's.
#[test]
fn where_there_is_no_ipv6_every_address_is_that_of_ipv4() {
    let fault = Fault { call: "socket", effect: "error=EAFNOSUPPORT:when=1..2" };
    if fault.can_be_injected() {
        let command = [env!("CARGO_BIN_EXE_oneloop"), "serve", "http@*:0"];
        expect_reachable(fault.injected_into(command).start().listening());
    }
}
