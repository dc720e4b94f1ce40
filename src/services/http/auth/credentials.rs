//! The field `Authorization` (RFC 7617, section 2).

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::super::codec::status::Status;
use super::super::handler::Request;

/// The longest name and password together, in bytes: longer than any that is typed. Without it a client
/// decides how much is hashed.
const CREDENTIALS_BYTES_MAX: usize = 1 << 10;
/// Padding may be left out, as some clients do.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A name and a password, as they were sent. Their charset is UTF-8 if the client follows the server's
/// `charset="UTF-8"`.
#[derive(PartialEq, Eq)]
pub(super) struct Credentials {
    pub(super) user: Vec<u8>,
    pub(super) password: Vec<u8>,
}

impl Credentials {
    /// The credentials of a request; `None` if they cannot be right: another scheme, more bytes than the
    /// bound, no colon, or control characters, which are not allowed (NUL would end the password in other
    /// programs). The error is the status for a request with two `Authorization` fields.
    pub(super) fn of(request: &Request<'_>) -> Result<Option<Credentials>, Status> {
        let mut values = request.fields("Authorization");
        match (values.next(), values.next()) {
            (None, _) => Ok(None),
            (Some(value), None) => Ok(parse(value)),
            // Servers differ in which of the two counts.
            (Some(_), Some(_)) => Err(Status::BadRequest),
        }
    }
}

fn parse(value: &[u8]) -> Option<Credentials> {
    let (scheme, rest) = value.split_at_checked(b"Basic".len())?;
    if !scheme.eq_ignore_ascii_case(b"Basic") || rest.first() != Some(&b' ') {
        return None;
    }
    let token = rest.trim_ascii();
    if token.len() > CREDENTIALS_BYTES_MAX.div_ceil(3) * 4 {
        return None;
    }
    let decoded = BASE64.decode(token).ok()?;
    let colon = decoded.iter().position(|&byte| byte == b':')?;
    let has_controls = decoded.iter().any(u8::is_ascii_control);
    if has_controls || decoded.len() > CREDENTIALS_BYTES_MAX {
        return None;
    }
    let (user, password) = (decoded[..colon].to_vec(), decoded[colon + 1..].to_vec());
    Some(Credentials { user, password })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(value: &str) -> Option<(String, String)> {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        parse(value.as_bytes()).map(|found| (text(found.user), text(found.password)))
    }

    fn basic(credentials: impl AsRef<[u8]>) -> String {
        format!("Basic {}", BASE64.encode(credentials))
    }

    #[test]
    fn the_examples_of_the_rfc_are_read() {
        let pair = |user: &str, password: &str| Some((user.to_owned(), password.to_owned()));
        assert_eq!(parsed("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="), pair("Aladdin", "open sesame"));
        assert_eq!(parsed("basic   dGVzdDoxMjPCow"), pair("test", "123£"));
        assert_eq!(parsed(&basic("a::b:")), pair("a", ":b:"));
        assert_eq!(parsed(&basic(":")), pair("", ""));
    }

    #[test]
    fn invalid_credentials_are_none() {
        for value in [
            "",
            "Basic",
            "Basic ",
            "Basic\tYTpi",
            "BasicYTpi",
            "Bearer YTpi",
            "Basic YTpi YTpi",
            "Basic YTp!",
            "Basic Y",
        ] {
            assert_eq!(parsed(value), None, "{value:?}");
        }
        for credentials in [&b"no colon"[..], b"a:b\0c", b"a\0:b", b"a:b\nc", b"a:\x7f"] {
            assert_eq!(parsed(&basic(credentials)), None, "{credentials:?}");
        }
        let long = |bytes: usize| format!("a:{}", "x".repeat(bytes - 2));
        assert!(parsed(&basic(long(CREDENTIALS_BYTES_MAX))).is_some());
        assert_eq!(parsed(&basic(long(CREDENTIALS_BYTES_MAX + 1))), None);
        assert_eq!(parsed(&basic(long(64 << 10))), None);
    }
}
