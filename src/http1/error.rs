//! Why what a client sent is no request.

use http::StatusCode;
use thiserror::Error;

/// The longest head, request line and headers together, in bytes.
pub const MAX_HEAD_LEN: usize = 64 * 1024;
/// The most header lines in a head.
pub const MAX_HEADERS: usize = 100;

/// Why bytes are no request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum HeadError {
    /// The preface of HTTP/2 (RFC 9113 section 3.4).
    #[error("HTTP/2 is not supported; use HTTP/1.1")]
    Http2,
    /// Another version than 1.0 and 1.1.
    #[error("the HTTP version is neither 1.0 nor 1.1")]
    Version,
    /// Not the syntax of a head; what was expected.
    #[error("malformed HTTP: {0} was expected")]
    Syntax(&'static str),
    /// A target that is neither a path nor an `http` URL, or holds what a URL does not.
    #[error("the request's target is neither a path nor an http URL")]
    Target,
    /// No `Host` in HTTP/1.1, or several (section 3.2).
    #[error("one Host header is needed")]
    Host,
    /// Several `Content-Length`, one that is no number, or one beside `Transfer-Encoding`.
    #[error("Content-Length is malformed, repeated or beside Transfer-Encoding")]
    ContentLength,
    /// Another `Transfer-Encoding` than `chunked`, or any in HTTP/1.0.
    #[error("Transfer-Encoding may only be chunked, once, and in HTTP/1.1")]
    TransferEncoding,
    /// A byte in the query that no target may hold.
    #[error("the query holds the byte 0x{byte:02x} at position {position}, which must be escaped")]
    QueryByte {
        /// The byte.
        byte: u8,
        /// Where in the query it is, counted from 1.
        position: usize,
    },
    /// Too long once it is escaped.
    #[error("the target is too long once what must be is escaped")]
    TargetTooLong,
    /// More than [`MAX_HEADERS`].
    #[error("more than {MAX_HEADERS} headers")]
    TooManyHeaders,
    /// Longer than [`MAX_HEAD_LEN`].
    #[error("the head is longer than {MAX_HEAD_LEN} bytes")]
    TooLong,
    /// The client stopped sending in the middle.
    #[error("the request ends in the middle of its head")]
    Incomplete,
    /// Too many heads are arriving at the same time.
    #[error("too many long heads are arriving at the same time")]
    NoRoom,
    /// It did not arrive in time.
    #[error("the request's head took too long")]
    Timeout,
}

impl HeadError {
    /// The status of the answer.
    pub fn status(self) -> StatusCode {
        match self {
            Self::TooManyHeaders | Self::TooLong => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::TargetTooLong => StatusCode::URI_TOO_LONG,
            Self::NoRoom => StatusCode::SERVICE_UNAVAILABLE,
            Self::Timeout => StatusCode::REQUEST_TIMEOUT,
            _ => StatusCode::BAD_REQUEST,
        }
    }
}
