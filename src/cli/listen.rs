//! Where services without `@ADDR` listen: `--port`, `--address`, `--lan`.

use std::str::FromStr;

use clap::Args;

use super::Failure;
use super::spec::address_of;
use super::typed_command::TypedCommand;
use crate::services::ServiceName;
use crate::sys::Address;

#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Address")]
pub(super) struct ListenArgs {
    /// The port of services without @ADDR; 0 is any free port [default: see SERVICE]
    #[arg(short, long, value_name = "PORT", value_parser = port)]
    port: Option<u16>,
    /// The address of services without @ADDR; '*' is every address of this machine [default: 127.0.0.1]
    #[arg(short, long, value_name = "ADDR")]
    address: Option<ListenAddress>,
    /// Listen on every address of this machine, and print the URLs that others can open; on a terminal also a
    /// QR code
    ///
    /// Everyone in the network can read the shared files: do not use it in a network that you do not trust.
    /// The URL that most likely works comes first.
    #[arg(long, conflicts_with = "address")]
    pub(super) lan: bool,
    /// Open the browser
    #[arg(long, conflicts_with = "user")]
    pub(super) open: bool,
}

fn port(text: &str) -> Result<u16, String> {
    text.parse().map_err(|_| "a port is a number from 0 to 65535".to_owned())
}

/// An address without a port, so that each service has its own, or with one port for all.
#[derive(Clone, Debug)]
struct ListenAddress {
    text: String,
}

impl FromStr for ListenAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.parse::<u16>().is_ok() {
            return Err("it is a port".to_owned());
        }
        address_of(text, 0)?;
        Ok(ListenAddress { text: text.to_owned() })
    }
}

impl ListenAddress {
    fn has_port(&self) -> bool {
        has_port(&self.text)
    }
}

/// Whether an address leaves no choice of a port.
pub(super) fn has_port(address: &str) -> bool {
    address_of(address, 1) == address_of(address, 2)
}

impl ListenArgs {
    /// Checks what no option can know of itself.
    pub(super) fn check(&self, typed: &TypedCommand) -> Result<(), Failure> {
        match (&self.address, self.port) {
            (Some(address), Some(port)) if address.has_port() => Err(Failure::Usage(format!(
                "--address \"{}\" has a port already; leave out --port {port}: {}",
                address.text.escape_debug(),
                typed.clone().without("port")
            ))),
            _ => Ok(()),
        }
    }

    /// Whether `--address` has a port for all services.
    pub(super) fn address_has_port(&self) -> bool {
        self.address.as_ref().is_some_and(ListenAddress::has_port)
    }

    /// The address of a service without `@ADDR`: its own port on loopback, if no option sets another.
    pub(super) fn address_of(&self, service: ServiceName) -> Result<Address, Failure> {
        let port = self.port.unwrap_or_else(|| service.default_port());
        let default = if self.lan { "*" } else { "localhost" };
        let text = self.address.as_ref().map_or(default, |address| &address.text);
        address_of(text, port).map_err(Failure::Usage)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn serve() -> TypedCommand {
        TypedCommand::new(&["serve".to_owned()])
    }

    fn args(address: Option<&str>, port: Option<u16>) -> ListenArgs {
        let address = address.map(|text| text.parse().unwrap());
        ListenArgs { port, address, lan: false, open: false }
    }

    #[test]
    fn a_service_without_an_address_has_what_is_given_and_the_rest_by_default() {
        for (address, port, expected) in [
            (None, None, "127.0.0.1:7007"),
            (None, Some(8), "127.0.0.1:8"),
            (Some("*"), None, "[::]:7007"),
            (Some("::1"), Some(8), "[::1]:8"),
            (Some("[::1]"), Some(8), "[::1]:8"),
            (Some("0.0.0.0:80"), None, "0.0.0.0:80"),
            (Some("localhost"), Some(0), "127.0.0.1:0"),
            (Some("unix:./x"), None, "unix:./x"),
        ] {
            let args = args(address, port);
            args.check(&serve()).unwrap();
            assert_eq!(args.address_of(ServiceName::Echo).unwrap().to_string(), expected);
        }
        let lan = ListenArgs { lan: true, ..args(None, Some(8)) };
        assert_eq!(lan.address_of(ServiceName::Echo).unwrap().to_string(), "[::]:8");
    }

    #[test]
    fn two_ports_or_a_port_in_place_of_an_address_are_a_mistake() {
        for address in ["0.0.0.0:80", "unix:./x"] {
            assert!(
                matches!(args(Some(address), Some(8)).check(&serve()), Err(Failure::Usage(_))),
                "{address}"
            );
        }
        let error = "8080".parse::<ListenAddress>().unwrap_err();
        assert_eq!(error, "it is a port");
        assert!("example.org".parse::<ListenAddress>().unwrap_err().contains("name of a host"));
        assert!("exam/ple".parse::<ListenAddress>().unwrap_err().contains("is not a valid address"));
    }
}
