//! The head of a request, judged before anything is done with it.
//!
//! hyper parses heads too, but what it refuses it answers without a word, and it is lenient where two
//! readers could differ. So a head is examined here first (with the parser that hyper uses), and
//! hyper sees only those that can be read in just one way. RFC 9112 unless said otherwise.

use std::fmt;
use std::mem::MaybeUninit;

use http::{StatusCode, Uri};

/// The longest head, request line and headers together, in bytes.
pub const MAX_HEAD_LEN: usize = 64 * 1024;
/// The most header lines in a head.
pub const MAX_HEADERS: usize = 100;

/// What the bytes received so far are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Examined {
    /// The beginning of a head.
    Partial,
    /// A whole head, perhaps with more behind it.
    Whole(Head),
    /// No head that has one meaning.
    Malformed(Malformed),
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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Malformed {
    /// The preface of HTTP/2 (RFC 9113 section 3.4).
    Http2,
    /// Another version than 1.0 and 1.1.
    Version,
    /// Not the syntax of a head; what was expected.
    Syntax(&'static str),
    /// A target that is no path and no `http` URL, or holds what an URL does not.
    Target,
    /// No `Host` in HTTP/1.1, or several (section 3.2).
    Host,
    /// Several `Content-Length`, one that is no number, or one beside `Transfer-Encoding`.
    ContentLength,
    /// Another `Transfer-Encoding` than `chunked`, or any in HTTP/1.0.
    TransferEncoding,
    /// A body on a GET.
    BodyOnGet,
    /// More than [`MAX_HEADERS`].
    TooManyHeaders,
    /// Longer than [`MAX_HEAD_LEN`].
    TooLong,
    /// The client stopped sending in the middle.
    Incomplete,
    /// It took longer than `--header-timeout`.
    Late,
}

/// Whether the bytes may hold the end of a head at or after `from`: a blank line. Parsing waits for
/// it, so that a head that comes byte by byte is not parsed once for every byte.
pub fn may_be_whole(received: &[u8], from: usize) -> bool {
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
pub fn may_be_a_beginning(received: &[u8]) -> bool {
    const MOST_LINE_ENDS: usize = 4;
    match received.iter().position(|byte| !matches!(byte, b'\r' | b'\n')) {
        Some(skipped) => skipped <= MOST_LINE_ENDS && received[skipped].is_ascii_alphabetic(),
        None => received.len() <= MOST_LINE_ENDS,
    }
}

/// Judges what was received.
pub fn examine(received: &[u8]) -> Examined {
    if received.starts_with(b"PRI * HTTP/2.0\r\n") {
        return Examined::Malformed(Malformed::Http2);
    }
    let mut headers = [const { MaybeUninit::uninit() }; MAX_HEADERS];
    let mut request = httparse::Request::new(&mut []);
    match request.parse_with_uninit_headers(received, &mut headers) {
        Ok(httparse::Status::Complete(len)) if len > MAX_HEAD_LEN => Examined::Malformed(Malformed::TooLong),
        Ok(httparse::Status::Complete(len)) => match examine_fields(&request) {
            Ok(body) => Examined::Whole(Head { len, body }),
            Err(malformed) => Examined::Malformed(malformed),
        },
        Ok(httparse::Status::Partial) if received.len() > MAX_HEAD_LEN => {
            Examined::Malformed(Malformed::TooLong)
        }
        Ok(httparse::Status::Partial) => Examined::Partial,
        Err(error) => Examined::Malformed(syntax(error)),
    }
}

fn syntax(error: httparse::Error) -> Malformed {
    match error {
        httparse::Error::Version => Malformed::Version,
        httparse::Error::TooManyHeaders => Malformed::TooManyHeaders,
        httparse::Error::HeaderName => Malformed::Syntax("a header's name"),
        httparse::Error::HeaderValue => Malformed::Syntax("a header's value"),
        httparse::Error::NewLine => Malformed::Syntax("a line's end"),
        _ => Malformed::Syntax("the request line"),
    }
}

fn examine_fields(request: &httparse::Request<'_, '_>) -> Result<Body, Malformed> {
    let http_1_0 = request.version == Some(0);
    let framing = Framing::of(request.headers);
    parse_target(request.path.unwrap_or_default())?;
    if framing.hosts > 1 || (framing.hosts == 0 && !http_1_0) {
        return Err(Malformed::Host);
    }
    if framing.codings > 0 && (http_1_0 || framing.codings > 1 || !framing.chunked) {
        return Err(Malformed::TransferEncoding);
    }
    if framing.lengths > 1 || (framing.lengths > 0 && framing.codings > 0) {
        return Err(Malformed::ContentLength);
    }
    let body = match framing.length {
        Some(Ok(0)) | None if framing.codings == 0 => Body::None,
        Some(Err(())) => return Err(Malformed::ContentLength),
        _ => Body::Declared,
    };
    if body == Body::Declared && request.method == Some("GET") {
        return Err(Malformed::BodyOnGet);
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
/// [`Malformed::Target`] for anything else.
pub fn parse_target(target: &str) -> Result<Uri, Malformed> {
    let plain = target.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#');
    let uri: Uri = target.parse().map_err(|_| Malformed::Target)?;
    let scheme = uri.scheme_str().is_none_or(|scheme| scheme == "http" || scheme == "https");
    if plain && scheme { Ok(uri) } else { Err(Malformed::Target) }
}

impl Malformed {
    /// The status of the answer.
    pub fn status(self) -> StatusCode {
        match self {
            Self::TooManyHeaders | Self::TooLong => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::Late => StatusCode::REQUEST_TIMEOUT,
            _ => StatusCode::BAD_REQUEST,
        }
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http2 => write!(f, "HTTP/2 is not spoken here; use HTTP/1.1"),
            Self::Version => write!(f, "the HTTP version is neither 1.0 nor 1.1"),
            Self::Syntax(what) => write!(f, "malformed HTTP: {what} was expected"),
            Self::Target => write!(f, "the request's target is neither a path nor an http URL"),
            Self::Host => write!(f, "one Host header is needed"),
            Self::ContentLength => {
                write!(f, "Content-Length is malformed, repeated or beside Transfer-Encoding")
            }
            Self::TransferEncoding => {
                write!(f, "Transfer-Encoding may only be chunked, once, and in HTTP/1.1")
            }
            Self::BodyOnGet => write!(f, "a GET with a body is not taken"),
            Self::TooManyHeaders => write!(f, "more than {MAX_HEADERS} headers"),
            Self::TooLong => write!(f, "the head is longer than {MAX_HEAD_LEN} bytes"),
            Self::Incomplete => write!(f, "the request ends in the middle of its head"),
            Self::Late => write!(f, "the request's head took too long"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(text: &str) -> Examined {
        examine(text.as_bytes())
    }

    fn malformed(text: &str) -> Malformed {
        match verdict(text) {
            Examined::Malformed(why) => why,
            other => panic!("{text:?} is {other:?}"),
        }
    }

    fn body(text: &str) -> Body {
        match verdict(text) {
            Examined::Whole(head) => head.body,
            other => panic!("{text:?} is {other:?}"),
        }
    }

    #[test]
    fn a_head_that_ends_as_echo_ends_it_is_whole() {
        let text = "GET /version HTTP/1.0\r\n\n";
        assert_eq!(verdict(text), Examined::Whole(Head { len: text.len(), body: Body::None }));
        assert!(may_be_whole(text.as_bytes(), 0));
    }

    #[test]
    fn the_end_of_a_head_is_seen_wherever_the_reads_fall() {
        let text = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";
        for from in 0..text.len() {
            assert!(may_be_whole(text, from), "{from}");
        }
        assert!(!may_be_whole(&text[..text.len() - 1], 0));
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
                    let seen = may_be_whole(&text, from);
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
        assert_eq!(post("Content-Length: 1\r\nContent-Length: 1"), Malformed::ContentLength);
        assert_eq!(post("Content-Length: 1\r\nTransfer-Encoding: chunked"), Malformed::ContentLength);
        assert_eq!(post("Transfer-Encoding: chunked\r\nContent-Length: 1"), Malformed::ContentLength);
        assert_eq!(post("Content-Length: 1, 1"), Malformed::ContentLength);
        assert_eq!(post("Content-Length: +1"), Malformed::ContentLength);
        assert_eq!(post("Content-Length:"), Malformed::ContentLength);
        assert_eq!(post("Content-Length: 99999999999999999999"), Malformed::ContentLength);
        assert_eq!(post("Transfer-Encoding: gzip, chunked"), Malformed::TransferEncoding);
        assert_eq!(
            post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"),
            Malformed::TransferEncoding
        );
        assert_eq!(post("Transfer-Encoding: identity"), Malformed::TransferEncoding);
        assert_eq!(post("Transfer-Encoding : chunked"), Malformed::Syntax("a header's name"));
        assert_eq!(get("A: b\r\n folded"), Malformed::Syntax("a header's name"));
        assert_eq!(get("Host: y"), Malformed::Host);
        assert_eq!(get("Content-Length: 5"), Malformed::BodyOnGet);
        assert_eq!(get("Transfer-Encoding: chunked"), Malformed::BodyOnGet);
        assert_eq!(
            malformed("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"),
            Malformed::TransferEncoding
        );
        assert_eq!(malformed("GET / HTTP/1.1\r\n\r\n"), Malformed::Host);
    }

    #[test]
    fn other_protocols_are_malformed() {
        assert_eq!(malformed("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), Malformed::Http2);
        assert_eq!(malformed("GET / HTTP/2.0\r\n\r\n"), Malformed::Version);
        assert_eq!(malformed("GET / HTTP/1.2\r\n\r\n"), Malformed::Version);
        assert!(!may_be_a_beginning(b"\x16\x03\x01"));
    }

    #[test]
    fn a_few_line_ends_may_come_before_a_request() {
        for beginning in ["G", "\r", "\r\n", "\n\n", "\r\n\r\nGET"] {
            assert!(may_be_a_beginning(beginning.as_bytes()), "{beginning:?}");
        }
        for beginning in ["\n\n\n\n\n", "\r\n\r\n\nGET", " GET", "\r\n\0", "-"] {
            assert!(!may_be_a_beginning(beginning.as_bytes()), "{beginning:?}");
        }
    }

    #[test]
    fn targets_are_paths_or_http_urls() {
        let target = |target: &str| verdict(&format!("GET {target} HTTP/1.0\r\n\r\n"));
        for good in ["/", "/version?x=1", "http://docker/version", "*", "docker:80"] {
            assert!(matches!(target(good), Examined::Whole(_)), "{good}");
        }
        for bad in ["/a#b", "ftp://x/", "/\u{f6}", "/a`b", "/a<b", "version/x", "http://"] {
            assert!(
                matches!(target(bad), Examined::Malformed(Malformed::Target)),
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
        assert_eq!(malformed(&format!("GET / HTTP/1.0\r\n{many}\r\n")), Malformed::TooManyHeaders);
        let long = "x".repeat(MAX_HEAD_LEN);
        assert_eq!(malformed(&format!("GET / HTTP/1.0\r\nA: {long}\r\n\r\n")), Malformed::TooLong);
        assert_eq!(malformed(&format!("GET / HTTP/1.0\r\nA: {long}")), Malformed::TooLong);
        assert_eq!(verdict("GET / HTTP/1.0\r\n"), Examined::Partial);
    }
}
