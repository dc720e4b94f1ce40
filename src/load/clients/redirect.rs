//! Redirects of HTTP: where they lead, and the request that follows.

use fluent_uri::{Uri, UriRef};

/// Where a redirect leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Redirect {
    /// To this target of the same server.
    Here(String),
    /// To another server or scheme, or nowhere.
    Elsewhere,
}

/// Whether a reply with this status and a field Location asks the client to send another request (RFC 9110,
/// section 15.4).
pub(super) fn is_redirect(status: u16) -> bool {
    matches!(status, 301 | 302 | 303 | 307 | 308)
}

/// Where `location` leads that came in the reply to a request for `target`, of a server with these names.
pub(super) fn resolve(location: &str, hosts: &[&str], target: &str) -> Redirect {
    // Servers send spaces and letters that are not ASCII as they are.
    let mut encoded = String::with_capacity(location.len());
    for byte in location.bytes() {
        match byte {
            b'!'..=b'~' => encoded.push(char::from(byte)),
            byte => {
                use std::fmt::Write;
                let _ = write!(encoded, "%{byte:02X}");
            }
        }
    }
    let Some(host) = hosts.first() else { return Redirect::Elsewhere };
    let base = format!("http://{host}{target}");
    let resolved = Uri::parse(&*base).ok().and_then(|base| {
        let reference = UriRef::parse(&*encoded).ok()?;
        reference.resolve_against(&base).ok()
    });
    let Some(uri) = resolved else { return Redirect::Elsewhere };
    let is_here = uri.scheme().as_str().eq_ignore_ascii_case("http")
        && uri.authority().is_some_and(|authority| {
            let named = without_port_80(authority.as_str());
            hosts.iter().any(|host| without_port_80(host).eq_ignore_ascii_case(named))
        });
    if !is_here {
        return Redirect::Elsewhere;
    }
    let path = uri.path().as_str();
    let path = if path.is_empty() { "/" } else { path };
    Redirect::Here(match uri.query() {
        Some(query) => format!("{path}?{}", query.as_str()),
        None => path.to_owned(),
    })
}

fn without_port_80(authority: &str) -> &str {
    authority.strip_suffix(":80").or_else(|| authority.strip_suffix(':')).unwrap_or(authority)
}

/// The request for the target of the redirect that answered `sent`, and where its fields end. As in browsers,
/// a POST becomes a GET after 301, 302 and 303; the other fields stay.
pub(super) fn request_after(sent: &[u8], head_bytes: usize, status: u16, target: &str) -> (Vec<u8>, usize) {
    let head = &sent[..head_bytes];
    let line_end = head.windows(2).position(|pair| pair == b"\r\n").map_or(head.len(), |at| at + 2);
    let method = head.split(|&byte| byte == b' ').next().unwrap_or_default();
    let becomes_get = match status {
        303 => method != b"HEAD",
        301 | 302 => method == b"POST",
        _ => false,
    };
    let mut request = if becomes_get { b"GET".to_vec() } else { method.to_vec() };
    for part in [&b" "[..], target.as_bytes(), b" HTTP/1.1\r\n"] {
        request.extend_from_slice(part);
    }
    for line in head[line_end..].split_inclusive(|&byte| byte == b'\n') {
        let name = line.split(|&byte| byte == b':').next().unwrap_or_default();
        let is = |field: &str| name.eq_ignore_ascii_case(field.as_bytes());
        let is_about_body = is("content-length") || is("content-type") || is("content-encoding");
        if !(is("cookie") && line.starts_with(b"Cookie: ") || becomes_get && is_about_body) {
            request.extend_from_slice(line);
        }
    }
    let fields_end = request.len();
    request.extend_from_slice(b"\r\n");
    if !becomes_get {
        request.extend_from_slice(sent.get(head_bytes + 2..).unwrap_or_default());
    }
    (request, fields_end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_location_leads_to_a_target_of_this_server_or_elsewhere() {
        for (location, expected) in [
            ("/b?c=d#e", Some("/b?c=d")),
            ("g", Some("/b/g")),
            ("../g", Some("/g")),
            ("?q", Some("/b/a?q")),
            ("http://h:81/x", Some("/x")),
            ("HTTP://Front.example/x", Some("/x")),
            ("http://front.example:80", Some("/")),
            ("//h:81/y", Some("/y")),
            ("/a b/ü", Some("/a%20b/%C3%BC")),
            ("", Some("/b/a?x")),
            ("https://h:81/x", None),
            ("http://h/x", None),
            ("http://other/x", None),
            ("mailto:a@b", None),
            ("http://[::1/x", None),
        ] {
            let expected = expected.map_or(Redirect::Elsewhere, |target| Redirect::Here(target.to_owned()));
            assert_eq!(resolve(location, &["h:81", "front.example"], "/b/a?x"), expected, "{location}");
        }
    }

    #[test]
    fn a_post_becomes_a_get_where_browsers_do_so() {
        let head =
            "POST /a HTTP/1.1\r\nHost: h\r\nCookie: a=1\r\nContent-Type: x\r\nX: 1\r\nContent-Length: 2\r\n";
        let sent = [head.as_bytes(), b"\r\nhi"].concat();
        for (status, expected) in [
            (301, "GET /b HTTP/1.1\r\nHost: h\r\nX: 1\r\n\r\n"),
            (303, "GET /b HTTP/1.1\r\nHost: h\r\nX: 1\r\n\r\n"),
            (307, "POST /b HTTP/1.1\r\nHost: h\r\nContent-Type: x\r\nX: 1\r\nContent-Length: 2\r\n\r\nhi"),
        ] {
            let (request, end) = request_after(&sent, head.len(), status, "/b");
            assert_eq!(String::from_utf8_lossy(&request), expected, "{status}");
            assert_eq!(&request[end..end + 2], b"\r\n");
        }
        let head = "HEAD /a HTTP/1.1\r\nHost: h\r\n";
        let (request, _) = request_after(format!("{head}\r\n").as_bytes(), head.len(), 303, "/b");
        assert_eq!(request, b"HEAD /b HTTP/1.1\r\nHost: h\r\n\r\n");
    }
}
