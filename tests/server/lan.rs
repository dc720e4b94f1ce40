//! `oneloop serve --lan` on a machine with a wireless network and containers: a network namespace of its own.

use crate::common::http::get;
use crate::common::namespace::in_a_network;
use crate::common::{Address, Client, Server};

/// A network with IPv4 and IPv6, of which the kernel makes a temporary address too, a bridge that leads
/// nowhere, and one with an address that others may reach.
const NETWORK: &str = "\
    ip link add wlan0 type veth peer name access-point && \
    echo 2 >/proc/sys/net/ipv6/conf/wlan0/use_tempaddr && \
    ip link set wlan0 up && ip link set access-point up && \
    ip link add idle type veth peer name nothing && ip link set idle up && ip addr add 172.17.0.1/16 dev idle && \
    ip link add tunnel type veth peer name other && ip link set tunnel up && ip link set other up && \
    ip addr add 10.8.0.2/24 dev tunnel && ip addr add 192.168.1.7/24 dev wlan0 && \
    ip addr add 2001:db8:1::7/64 dev wlan0 nodad mngtmpaddr && ip route add default via 192.168.1.1 && \
    hostname lan-test";

#[test]
fn every_url_that_others_can_open_is_printed_the_likeliest_first() {
    in_a_network(NETWORK, inside);
}

fn inside() {
    for (args, hosts) in [
        (
            &[".", "--lan", "--port=0"][..],
            &["192.168.1.7", "[2001:db8:1::7]", "10.8.0.2", "lan-test", "127.0.0.1"][..],
        ),
        // As before there was --lan.
        (&["http@*:0"], &["192.168.1.7", "[2001:db8:1::7]", "10.8.0.2", "lan-test", "127.0.0.1"]),
        (&[".", "--address=0.0.0.0", "--port=0"], &["192.168.1.7", "10.8.0.2", "lan-test", "127.0.0.1"]),
        (&[".", "--address=192.168.1.7", "--port=0"], &["192.168.1.7"]),
        (&[".", "--port=0"], &["127.0.0.1"]),
    ] {
        let mut server = Server::serve(args);
        let port = server.address("http").tcp().port();
        let urls: Vec<String> = hosts.iter().map(|host| format!("http://{host}:{port}/")).collect();
        let stdout = server.stdout();
        let printed: Vec<&str> = stdout.lines().filter_map(|line| line.strip_prefix("open ")).collect();
        assert_eq!(printed, urls, "{args:?}");
        for host in hosts.iter().filter(|host| **host != "lan-test") {
            let mut client = Client::connect(&Address::parse(&format!("{host}:{port}")).unwrap());
            assert_eq!(get(&mut client, "/none", "").status, 404, "{args:?} {host}");
        }
    }
    let mut server = Server::serve(&["echo", "--lan", "--port=0"]);
    assert!(server.address("echo").tcp().ip().is_unspecified());
    assert_eq!(server.stdout().lines().count(), 1, "only http has URLs");
}
