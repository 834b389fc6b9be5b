//! The head of a request, parsed strictly before anything is done with it.
//!
//! hyper parses heads too, but what it refuses it answers without a word, and it is lenient where two
//! readers could differ. So a head is parsed here first (with the parser that hyper uses), and
//! hyper sees only those that can be read in just one way. RFC 9112 unless said otherwise.

use std::mem::MaybeUninit;

use http::{StatusCode, Uri};
use thiserror::Error;

/// The longest head, request line and headers together, in bytes.
pub const MAX_HEAD_LEN: usize = 64 * 1024;
/// The most header lines in a head.
pub const MAX_HEADERS: usize = 100;

/// What the bytes received so far are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ParseStatus {
    /// The beginning of a head.
    Partial,
    /// A whole head, perhaps with more behind it.
    Complete(Head),
    /// No head that has one meaning.
    Invalid(HeadError),
}

/// A head that can be read in just one way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Its length in bytes, blank line included.
    pub len: usize,
    /// Whether a body follows; none is ever read, so the connection ends after the answer.
    pub body: Body,
}

/// What a request says of its body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body {
    /// It has none.
    None,
    /// It has one, of whatever length.
    Declared,
}

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
    /// A body on a GET.
    #[error("a GET with a body is not accepted")]
    BodyOnGet,
    /// More than [`MAX_HEADERS`].
    #[error("more than {MAX_HEADERS} headers")]
    TooManyHeaders,
    /// Longer than [`MAX_HEAD_LEN`].
    #[error("the head is longer than {MAX_HEAD_LEN} bytes")]
    TooLong,
    /// The client stopped sending in the middle.
    #[error("the request ends in the middle of its head")]
    Incomplete,
    /// It did not arrive in time.
    #[error("the request's head took too long")]
    Timeout,
}

/// Whether the bytes may hold the end of a head at or after `from`: a blank line. Parsing waits for
/// it, so that a head that comes byte by byte is not parsed once for every byte.
pub fn has_blank_line(received: &[u8], from: usize) -> bool {
    let tail = &received[from.saturating_sub(2)..];
    let mut lines = tail.split(|byte| *byte == b'\n');
    // The first may have begun before, the last has not ended yet.
    lines.next();
    lines.next_back();
    lines.any(|line| matches!(line, b"" | b"\r"))
}

/// Whether a request can begin like this: with a method's first letter, perhaps after a line end or
/// two, which section 2.2 lets a server skip. No more of them, or a client could have them looked at
/// again with every further one.
pub fn looks_like_http(received: &[u8]) -> bool {
    const MOST_LINE_ENDS: usize = 4;
    match received.iter().position(|byte| !matches!(byte, b'\r' | b'\n')) {
        Some(skipped) => skipped <= MOST_LINE_ENDS && received[skipped].is_ascii_alphabetic(),
        None => received.len() <= MOST_LINE_ENDS,
    }
}

/// Parses what was received.
pub fn parse(received: &[u8]) -> ParseStatus {
    if received.starts_with(b"PRI * HTTP/2.0\r\n") {
        return ParseStatus::Invalid(HeadError::Http2);
    }
    let mut headers = [const { MaybeUninit::uninit() }; MAX_HEADERS];
    let mut request = httparse::Request::new(&mut []);
    match request.parse_with_uninit_headers(received, &mut headers) {
        Ok(httparse::Status::Complete(len)) if len > MAX_HEAD_LEN => ParseStatus::Invalid(HeadError::TooLong),
        Ok(httparse::Status::Complete(len)) => match check_fields(&request) {
            Ok(body) => ParseStatus::Complete(Head { len, body }),
            Err(error) => ParseStatus::Invalid(error),
        },
        Ok(httparse::Status::Partial) if received.len() > MAX_HEAD_LEN => {
            ParseStatus::Invalid(HeadError::TooLong)
        }
        Ok(httparse::Status::Partial) => ParseStatus::Partial,
        Err(error) => ParseStatus::Invalid(syntax(error)),
    }
}

fn syntax(error: httparse::Error) -> HeadError {
    match error {
        httparse::Error::Version => HeadError::Version,
        httparse::Error::TooManyHeaders => HeadError::TooManyHeaders,
        httparse::Error::HeaderName => HeadError::Syntax("a header's name"),
        httparse::Error::HeaderValue => HeadError::Syntax("a header's value"),
        httparse::Error::NewLine => HeadError::Syntax("a line's end"),
        _ => HeadError::Syntax("the request line"),
    }
}

fn check_fields(request: &httparse::Request<'_, '_>) -> Result<Body, HeadError> {
    let http_1_0 = request.version == Some(0);
    let framing = Framing::of(request.headers);
    parse_target(request.path.unwrap_or_default())?;
    if framing.hosts > 1 || (framing.hosts == 0 && !http_1_0) {
        return Err(HeadError::Host);
    }
    if framing.codings > 0 && (http_1_0 || framing.codings > 1 || !framing.chunked) {
        return Err(HeadError::TransferEncoding);
    }
    if framing.lengths > 1 || (framing.lengths > 0 && framing.codings > 0) {
        return Err(HeadError::ContentLength);
    }
    let body = match framing.length {
        Some(Ok(0)) | None if framing.codings == 0 => Body::None,
        Some(Err(())) => return Err(HeadError::ContentLength),
        _ => Body::Declared,
    };
    if body == Body::Declared && request.method == Some("GET") {
        return Err(HeadError::BodyOnGet);
    }
    Ok(body)
}

/// The header fields that say where a request ends, counted.
#[derive(Default)]
struct Framing {
    hosts: usize,
    lengths: usize,
    length: Option<Result<u64, ()>>,
    codings: usize,
    chunked: bool,
}

impl Framing {
    fn of(headers: &[httparse::Header<'_>]) -> Self {
        let mut framing = Self::default();
        for header in headers {
            if header.name.eq_ignore_ascii_case("host") {
                framing.hosts += 1;
            } else if header.name.eq_ignore_ascii_case("content-length") {
                framing.lengths += 1;
                framing.length = Some(decimal(header.value));
            } else if header.name.eq_ignore_ascii_case("transfer-encoding") {
                framing.codings += 1;
                framing.chunked = header.value.eq_ignore_ascii_case(b"chunked");
            }
        }
        framing
    }
}

fn decimal(value: &[u8]) -> Result<u64, ()> {
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return Err(());
    }
    std::str::from_utf8(value).map_err(|_| ())?.parse().map_err(|_| ())
}

/// Takes origin form, absolute form, and what CONNECT and `OPTIONS *` use; these lead nowhere later.
///
/// # Errors
/// [`HeadError::Target`] for anything else.
pub fn parse_target(target: &str) -> Result<Uri, HeadError> {
    let plain = target.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#');
    let uri: Uri = target.parse().map_err(|_| HeadError::Target)?;
    let scheme = uri.scheme_str().is_none_or(|scheme| scheme == "http" || scheme == "https");
    if plain && scheme { Ok(uri) } else { Err(HeadError::Target) }
}

impl HeadError {
    /// The status of the answer.
    pub fn status(self) -> StatusCode {
        match self {
            Self::TooManyHeaders | Self::TooLong => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::Timeout => StatusCode::REQUEST_TIMEOUT,
            _ => StatusCode::BAD_REQUEST,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> ParseStatus {
        parse(text.as_bytes())
    }

    fn malformed(text: &str) -> HeadError {
        match parsed(text) {
            ParseStatus::Invalid(why) => why,
            other => panic!("{text:?} is {other:?}"),
        }
    }

    fn body(text: &str) -> Body {
        match parsed(text) {
            ParseStatus::Complete(head) => head.body,
            other => panic!("{text:?} is {other:?}"),
        }
    }

    #[test]
    fn a_head_that_ends_as_echo_ends_it_is_whole() {
        let text = "GET /version HTTP/1.0\r\n\n";
        assert_eq!(parsed(text), ParseStatus::Complete(Head { len: text.len(), body: Body::None }));
        assert!(has_blank_line(text.as_bytes(), 0));
    }

    #[test]
    fn the_end_of_a_head_is_seen_wherever_the_reads_fall() {
        let text = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";
        for from in 0..text.len() {
            assert!(has_blank_line(text, from), "{from}");
        }
        assert!(!has_blank_line(&text[..text.len() - 1], 0));
    }

    #[test]
    fn a_blank_line_is_seen_where_it_ends_and_nowhere_else() {
        let ends = |text: &[u8]| text.ends_with(b"\n\n") || text.ends_with(b"\n\r\n");
        for len in 0..8 {
            for nth in 0..3_usize.pow(len) {
                let text: Vec<u8> = (0..len).map(|at| b"a\r\n"[nth / 3_usize.pow(at) % 3]).collect();
                for from in 0..=text.len() {
                    let blank_line =
                        |mut ends_at: std::ops::RangeInclusive<usize>| ends_at.any(|to| ends(&text[..to]));
                    let seen = has_blank_line(&text, from);
                    assert!(seen || !blank_line(from + 1..=text.len()), "{text:?} from {from}");
                    assert!(!seen || blank_line(1..=text.len()), "{text:?} from {from}");
                }
            }
        }
    }

    #[test]
    fn what_two_readers_could_read_differently_is_malformed() {
        let get = |headers: &str| malformed(&format!("GET / HTTP/1.1\r\nHost: x\r\n{headers}\r\n\r\n"));
        let post = |headers: &str| malformed(&format!("POST / HTTP/1.1\r\nHost: x\r\n{headers}\r\n\r\n"));
        assert_eq!(post("Content-Length: 1\r\nContent-Length: 1"), HeadError::ContentLength);
        assert_eq!(post("Content-Length: 1\r\nTransfer-Encoding: chunked"), HeadError::ContentLength);
        assert_eq!(post("Transfer-Encoding: chunked\r\nContent-Length: 1"), HeadError::ContentLength);
        assert_eq!(post("Content-Length: 1, 1"), HeadError::ContentLength);
        assert_eq!(post("Content-Length: +1"), HeadError::ContentLength);
        assert_eq!(post("Content-Length:"), HeadError::ContentLength);
        assert_eq!(post("Content-Length: 99999999999999999999"), HeadError::ContentLength);
        assert_eq!(post("Transfer-Encoding: gzip, chunked"), HeadError::TransferEncoding);
        assert_eq!(
            post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"),
            HeadError::TransferEncoding
        );
        assert_eq!(post("Transfer-Encoding: identity"), HeadError::TransferEncoding);
        assert_eq!(post("Transfer-Encoding : chunked"), HeadError::Syntax("a header's name"));
        assert_eq!(get("A: b\r\n folded"), HeadError::Syntax("a header's name"));
        assert_eq!(get("Host: y"), HeadError::Host);
        assert_eq!(get("Content-Length: 5"), HeadError::BodyOnGet);
        assert_eq!(get("Transfer-Encoding: chunked"), HeadError::BodyOnGet);
        assert_eq!(
            malformed("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"),
            HeadError::TransferEncoding
        );
        assert_eq!(malformed("GET / HTTP/1.1\r\n\r\n"), HeadError::Host);
    }

    #[test]
    fn other_protocols_are_malformed() {
        assert_eq!(malformed("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), HeadError::Http2);
        assert_eq!(malformed("GET / HTTP/2.0\r\n\r\n"), HeadError::Version);
        assert_eq!(malformed("GET / HTTP/1.2\r\n\r\n"), HeadError::Version);
        assert!(!looks_like_http(b"\x16\x03\x01"));
    }

    #[test]
    fn a_few_line_ends_may_come_before_a_request() {
        for beginning in ["G", "\r", "\r\n", "\n\n", "\r\n\r\nGET"] {
            assert!(looks_like_http(beginning.as_bytes()), "{beginning:?}");
        }
        for beginning in ["\n\n\n\n\n", "\r\n\r\n\nGET", " GET", "\r\n\0", "-"] {
            assert!(!looks_like_http(beginning.as_bytes()), "{beginning:?}");
        }
    }

    #[test]
    fn targets_are_paths_or_http_urls() {
        let target = |target: &str| parsed(&format!("GET {target} HTTP/1.0\r\n\r\n"));
        for good in ["/", "/version?x=1", "http://docker/version", "*", "docker:80"] {
            assert!(matches!(target(good), ParseStatus::Complete(_)), "{good}");
        }
        for bad in ["/a#b", "ftp://x/", "/\u{f6}", "/a`b", "/a<b", "version/x", "http://"] {
            assert!(
                matches!(target(bad), ParseStatus::Invalid(HeadError::Target)),
                "{bad}: {:?}",
                target(bad)
            );
        }
    }

    #[test]
    fn bodies_are_noticed() {
        assert_eq!(body("GET / HTTP/1.0\r\nContent-Length: 0\r\n\r\n"), Body::None);
        assert_eq!(body("POST / HTTP/1.0\r\n\r\n"), Body::None);
        assert_eq!(body("POST / HTTP/1.0\r\nContent-Length: 2\r\n\r\nhi"), Body::Declared);
        assert_eq!(body("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: Chunked\r\n\r\n"), Body::Declared);
    }

    #[test]
    fn heads_have_a_size() {
        let many = "A: b\r\n".repeat(MAX_HEADERS + 1);
        assert_eq!(malformed(&format!("GET / HTTP/1.0\r\n{many}\r\n")), HeadError::TooManyHeaders);
        let long = "x".repeat(MAX_HEAD_LEN);
        assert_eq!(malformed(&format!("GET / HTTP/1.0\r\nA: {long}\r\n\r\n")), HeadError::TooLong);
        assert_eq!(malformed(&format!("GET / HTTP/1.0\r\nA: {long}")), HeadError::TooLong);
        assert_eq!(parsed("GET / HTTP/1.0\r\n"), ParseStatus::Partial);
    }
}
