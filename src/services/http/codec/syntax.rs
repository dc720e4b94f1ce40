//! Grammar that requests, targets and fields share: tokens and hosts.

use std::net::Ipv6Addr;

/// A character of a token (RFC 9110, section 5.6.2).
pub(crate) fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// `uri-host [ ":" port ]` (RFC 3986, section 3.2); it may be empty. An IPv6 address may have a zone,
/// although a client should not send it (RFC 6874, section 4): many do, and other servers accept it.
pub(crate) fn is_host(authority: &[u8]) -> bool {
    let is_port = |port: &[u8]| match port {
        [] | [b':'] => true,
        [b':', digits @ ..] => {
            digits.iter().all(u8::is_ascii_digit)
                && std::str::from_utf8(digits).is_ok_and(|digits| digits.parse::<u16>().is_ok())
        }
        _ => false,
    };
    if let Some(literal) = authority.strip_prefix(b"[") {
        let Some(end) = literal.iter().position(|&byte| byte == b']') else { return false };
        return is_ip_literal(&literal[..end]) && is_port(&literal[end + 1..]);
    }
    let end = authority.iter().position(|&byte| byte == b':').unwrap_or(authority.len());
    let (name, port) = authority.split_at(end);
    is_name(name) && is_port(port)
}

/// The text between the brackets: `IPv6address`, the same with a zone after `%` or `%25` (RFC 6874, section
/// 2), or `IPvFuture` (RFC 3986, section 3.2.2).
fn is_ip_literal(literal: &[u8]) -> bool {
    let is_unreserved = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~".contains(byte);
    if let [b'v' | b'V', future @ ..] = literal {
        let Some(dot) = future.iter().position(|&byte| byte == b'.') else { return false };
        let (version, address) = (&future[..dot], &future[dot + 1..]);
        return !version.is_empty()
            && version.iter().all(u8::is_ascii_hexdigit)
            && !address.is_empty()
            && address.iter().all(|byte| is_unreserved(byte) || b"!$&'()*+,;=:".contains(byte));
    }
    let percent = literal.iter().position(|&byte| byte == b'%');
    let (address, zone) = literal.split_at(percent.unwrap_or(literal.len()));
    let is_zone =
        |zone: &[u8]| !zone.is_empty() && zone.iter().all(|byte| is_unreserved(byte) || *byte == b'%');
    std::str::from_utf8(address).is_ok_and(|address| address.parse::<Ipv6Addr>().is_ok())
        && zone.strip_prefix(b"%").is_none_or(is_zone)
}

/// `reg-name`: an escape is a percent sign and two hexadecimal digits.
fn is_name(name: &[u8]) -> bool {
    let mut digits = 0;
    for &byte in name {
        match byte {
            _ if digits > 0 && byte.is_ascii_hexdigit() => digits -= 1,
            _ if digits > 0 => return false,
            b'%' => digits = 2,
            _ if byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=".contains(&byte) => {}
            _ => return false,
        }
    }
    digits == 0
}
