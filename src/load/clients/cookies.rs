//! The cookies of one client.

use cookie::Cookie;
use cookie::time::OffsetDateTime;

/// Cookies that the server has set. The load speaks to one server, so that the attributes Domain and Secure
/// do not matter: a server behind a proxy with TLS sets cookies that a browser would send to the proxy only.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct CookieJar {
    /// Those with longer paths first (RFC 6265, section 5.4).
    cookies: Vec<StoredCookie>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct StoredCookie {
    name: String,
    value: String,
    path: String,
}

/// What browsers keep of one site (RFC 6265, section 6.1).
const COOKIES_MAX: usize = 50;
const COOKIE_BYTES_MAX: usize = 4 << 10;

impl CookieJar {
    /// Takes the value of a field Set-Cookie of the reply to a request for `target`. Returns whether it is a
    /// cookie that is kept or removed.
    pub(super) fn set(&mut self, field: &str, target: &str, now: OffsetDateTime) -> bool {
        let Ok(cookie) = Cookie::parse(field) else { return false };
        if field.len() > COOKIE_BYTES_MAX || field.bytes().any(|byte| byte < b' ' || byte == 0x7f) {
            return false;
        }
        let path = match cookie.path() {
            Some(path) if path.starts_with('/') => path,
            _ => folder_of(target),
        };
        self.cookies.retain(|stored| stored.name != cookie.name() || stored.path != path);
        let is_over = match cookie.max_age() {
            Some(age) => age.whole_seconds() <= 0,
            None => cookie.expires_datetime().is_some_and(|expires| expires <= now),
        };
        if !is_over && self.cookies.len() < COOKIES_MAX {
            let (name, value) = (cookie.name().to_owned(), cookie.value().to_owned());
            let at = self.cookies.partition_point(|stored| stored.path.len() >= path.len());
            self.cookies.insert(at, StoredCookie { name, value, path: path.to_owned() });
        }
        true
    }

    /// Appends the field for a request for `target`, if there is a cookie for it.
    pub(super) fn append_field(&self, target: &str, head: &mut Vec<u8>) {
        let path = target.split('?').next().unwrap_or(target);
        let mut separator = "Cookie: ";
        for cookie in self.cookies.iter().filter(|cookie| is_within(path, &cookie.path)) {
            for part in [separator, &cookie.name, "=", &cookie.value] {
                head.extend_from_slice(part.as_bytes());
            }
            separator = "; ";
        }
        if separator == "; " {
            head.extend_from_slice(b"\r\n");
        }
    }
}

/// The default path of a cookie (RFC 6265, section 5.1.4).
fn folder_of(target: &str) -> &str {
    let path = target.split('?').next().unwrap_or(target);
    match path.rfind('/') {
        Some(at) if at > 0 && path.starts_with('/') => &path[..at],
        _ => "/",
    }
}

/// Whether a cookie with the path `folder` is for `path`.
fn is_within(path: &str, folder: &str) -> bool {
    path.strip_prefix(folder)
        .is_some_and(|rest| rest.is_empty() || folder.ends_with('/') || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jar(fields: &[&str]) -> CookieJar {
        let mut jar = CookieJar::default();
        for field in fields {
            jar.set(
                field,
                "/app/login?x",
                OffsetDateTime::UNIX_EPOCH + std::time::Duration::from_secs(1 << 30),
            );
        }
        jar
    }

    fn sent(jar: &CookieJar, target: &str) -> String {
        let mut head = Vec::new();
        jar.append_field(target, &mut head);
        String::from_utf8(head).unwrap()
    }

    #[test]
    fn a_cookie_is_sent_back_to_its_path_until_it_is_replaced_or_removed() {
        let kept =
            jar(&["id=7; Path=/; Secure; HttpOnly; Domain=example.org", "view=a=b", "deep=1; path=/app/x"]);
        assert_eq!(sent(&kept, "/"), "Cookie: id=7\r\n");
        assert_eq!(sent(&kept, "/app?q=/app/x"), "Cookie: view=a=b; id=7\r\n");
        assert_eq!(sent(&kept, "/app/x"), "Cookie: deep=1; view=a=b; id=7\r\n");
        assert_eq!(sent(&kept, "/application"), "Cookie: id=7\r\n");
        assert_eq!(sent(&jar(&["a=1; Path=/", "a=2; Path=/"]), "/"), "Cookie: a=2\r\n");
        for over in ["a=; Path=/; Max-Age=0", "a=; Path=/; Expires=Thu, 01 Jan 1970 00:00:00 GMT"] {
            assert_eq!(sent(&jar(&["a=1; Path=/", over]), "/"), "", "{over}");
        }
        assert_eq!(
            sent(&jar(&["a=1; Path=/; Expires=Fri, 01 Jan 2100 00:00:00 GMT"]), "/"),
            "Cookie: a=1\r\n"
        );
    }

    #[test]
    fn invalid_and_excess_cookies_are_not_stored() {
        let long = format!("a={}", "x".repeat(COOKIE_BYTES_MAX));
        assert_eq!(sent(&jar(&["", "novalue", "a=b\nX: y", &long]), "/app"), "");
        let many: Vec<String> = (0..100).map(|number| format!("c{number}=1")).collect();
        let many = jar(&many.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(many.cookies.len(), COOKIES_MAX);
    }
}
