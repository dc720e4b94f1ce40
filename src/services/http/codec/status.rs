//! Status codes.

/// Declares the statuses once: name, code and reason phrase.
macro_rules! statuses {
    ($($name:ident = $code:literal $reason:literal,)*) => {
        /// The status of a response (RFC 9110, section 15; RFC 6585; RFC 7725).
        ///
        /// ```
        /// use oneloop::services::http::Status;
        ///
        /// assert_eq!(Status::NotFound.code(), 404);
        /// assert_eq!(Status::NotFound.reason(), "Not Found");
        /// ```
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[non_exhaustive]
        #[repr(u16)]
        pub enum Status {
            $(
                #[doc = concat!("`", $code, " ", $reason, "`")]
                $name = $code,
            )*
        }

        impl Status {
            /// The code, for example 404.
            pub fn code(self) -> u16 {
                self as u16
            }

            /// The reason phrase, for example `Not Found`.
            pub fn reason(self) -> &'static str {
                match self {
                    $(Status::$name => $reason,)*
                }
            }

            /// The status line of a head, with its end of line.
            pub(crate) fn line(self) -> &'static str {
                match self {
                    $(Status::$name => concat!("HTTP/1.1 ", $code, " ", $reason, "\r\n"),)*
                }
            }
        }
    };
}

statuses! {
    Continue = 100 "Continue",
    SwitchingProtocols = 101 "Switching Protocols",
    Ok = 200 "OK",
    Created = 201 "Created",
    Accepted = 202 "Accepted",
    NonAuthoritativeInformation = 203 "Non-Authoritative Information",
    NoContent = 204 "No Content",
    ResetContent = 205 "Reset Content",
    PartialContent = 206 "Partial Content",
    MultipleChoices = 300 "Multiple Choices",
    MovedPermanently = 301 "Moved Permanently",
    Found = 302 "Found",
    SeeOther = 303 "See Other",
    NotModified = 304 "Not Modified",
    TemporaryRedirect = 307 "Temporary Redirect",
    PermanentRedirect = 308 "Permanent Redirect",
    BadRequest = 400 "Bad Request",
    Unauthorized = 401 "Unauthorized",
    PaymentRequired = 402 "Payment Required",
    Forbidden = 403 "Forbidden",
    NotFound = 404 "Not Found",
    MethodNotAllowed = 405 "Method Not Allowed",
    NotAcceptable = 406 "Not Acceptable",
    ProxyAuthenticationRequired = 407 "Proxy Authentication Required",
    RequestTimeout = 408 "Request Timeout",
    Conflict = 409 "Conflict",
    Gone = 410 "Gone",
    LengthRequired = 411 "Length Required",
    PreconditionFailed = 412 "Precondition Failed",
    ContentTooLarge = 413 "Content Too Large",
    UriTooLong = 414 "URI Too Long",
    UnsupportedMediaType = 415 "Unsupported Media Type",
    RangeNotSatisfiable = 416 "Range Not Satisfiable",
    ExpectationFailed = 417 "Expectation Failed",
    MisdirectedRequest = 421 "Misdirected Request",
    UnprocessableContent = 422 "Unprocessable Content",
    UpgradeRequired = 426 "Upgrade Required",
    PreconditionRequired = 428 "Precondition Required",
    TooManyRequests = 429 "Too Many Requests",
    HeaderFieldsTooLarge = 431 "Request Header Fields Too Large",
    UnavailableForLegalReasons = 451 "Unavailable For Legal Reasons",
    InternalError = 500 "Internal Server Error",
    NotImplemented = 501 "Not Implemented",
    BadGateway = 502 "Bad Gateway",
    Unavailable = 503 "Service Unavailable",
    GatewayTimeout = 504 "Gateway Timeout",
    VersionNotSupported = 505 "HTTP Version Not Supported",
}

/// The status for an error of the file system.
impl From<&std::io::Error> for Status {
    fn from(error: &std::io::Error) -> Status {
        use std::io::ErrorKind;
        match error.kind() {
            ErrorKind::NotFound | ErrorKind::NotADirectory | ErrorKind::InvalidFilename => Status::NotFound,
            ErrorKind::PermissionDenied => Status::Forbidden,
            _ => match error.raw_os_error() {
                Some(libc::ELOOP) => Status::Forbidden,
                Some(libc::ENAMETOOLONG | libc::EINVAL) => Status::NotFound,
                Some(libc::EMFILE | libc::ENFILE | libc::ENOMEM | libc::EAGAIN | libc::EINTR) => {
                    Status::Unavailable
                }
                _ => Status::InternalError,
            },
        }
    }
}
