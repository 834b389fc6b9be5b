//! The head of a request, parsed strictly before anything is done with it.
//!
//! hyper parses heads too, but what it refuses it answers without a word, and it is lenient where two
//! readers could differ. So a head is parsed here first (with the parser that hyper uses), and
//! hyper sees only those that can be read in just one way. RFC 9112 unless said otherwise.

use std::borrow::Cow;
use std::mem::MaybeUninit;
use std::ops::Range;

use http::Version;

pub use super::error::{HeadError, MAX_HEAD_LEN, MAX_HEADERS};
use super::target;

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
    /// What follows it.
    pub body: Body,
    /// What is to become of a body that is there as soon as the head is.
    pub arrived_body: ArrivedBody,
}

/// What a request says of its body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body {
    /// It has none.
    None,
    /// It has one of this length, which is not 0.
    Length(u64),
    /// It has one in chunks.
    Chunked,
}

/// What is to become of a body that is there as soon as the head is. No body is ever looked into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ArrivedBody {
    /// It is skipped, and the connection goes on: clients send small bodies with what is refused.
    Skip,
    /// The connection ends after the answer: a `GET` has no use for a body, and what follows it is not
    /// worth the doubt (RFC 9110 section 9.3.1).
    Close,
}

/// Whether the client may send another request after this one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum After {
    /// It may, if it wants to.
    KeepAlive,
    /// It may not.
    Close,
}

/// The first line of a request, as far as it can be made out; for answers and the log about what is no
/// request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestLine<'a> {
    /// The method.
    pub method: &'a [u8],
    /// The target without its query.
    pub path: &'a [u8],
    /// 1.0 if it says so, else 1.1.
    pub version: Version,
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
    if let Some(Err(error)) = target_range(received).map(|range| target::check_query(&received[range])) {
        return ParseStatus::Invalid(error);
    }
    let mut headers = [const { MaybeUninit::uninit() }; MAX_HEADERS];
    let mut request = httparse::Request::new(&mut []);
    match request.parse_with_uninit_headers(received, &mut headers) {
        Ok(httparse::Status::Complete(len)) if len > MAX_HEAD_LEN => ParseStatus::Invalid(HeadError::TooLong),
        Ok(httparse::Status::Complete(len)) => match check_fields(&request) {
            Ok(body) => ParseStatus::Complete(Head { len, body, arrived_body: ArrivedBody::of(&request) }),
            Err(error) => ParseStatus::Invalid(error),
        },
        Ok(httparse::Status::Partial) if received.len() > MAX_HEAD_LEN => {
            ParseStatus::Invalid(HeadError::TooLong)
        }
        Ok(httparse::Status::Partial) => ParseStatus::Partial,
        Err(error) => ParseStatus::Invalid(syntax(error)),
    }
}

/// Where the target of a whole request line is: between its first space and its last.
fn target_range(received: &[u8]) -> Option<Range<usize>> {
    let start = received.iter().position(|byte| !matches!(byte, b'\r' | b'\n'))?;
    let end = start + received[start..].iter().position(|byte| *byte == b'\n')?;
    let line = &received[start..end];
    let first = line.iter().position(|byte| *byte == b' ')?;
    let last = line.iter().rposition(|byte| *byte == b' ')?;
    (first < last).then_some(start + first + 1..start + last)
}

/// The received bytes with the target of the first request escaped; borrowed if it needs nothing.
pub fn escape_target(received: &[u8]) -> Cow<'_, [u8]> {
    let Some(range) = target_range(received) else { return Cow::Borrowed(received) };
    match target::escape(&received[range.clone()]) {
        Cow::Borrowed(_) => Cow::Borrowed(received),
        Cow::Owned(target) => {
            Cow::Owned([&received[..range.start], &target, &received[range.end..]].concat())
        }
    }
}

/// The first line of what was received, if it has a method, a target and an end.
pub fn request_line(received: &[u8]) -> Option<RequestLine<'_>> {
    let range = target_range(received)?;
    let line_end = received[range.end..].iter().position(|byte| *byte == b'\n')? + range.end;
    let method = received[..range.start].trim_ascii();
    let path = received[range.clone()].split(|byte| *byte == b'?').next()?;
    let version = received[range.end..line_end].trim_ascii();
    Some(RequestLine {
        method,
        path,
        version: if version == b"HTTP/1.0" { Version::HTTP_10 } else { Version::HTTP_11 },
    })
}

/// A whole head without the fields that say of a body: for a reader that is to see none.
pub fn without_body(head: &[u8], after: After) -> Vec<u8> {
    const OF_THE_BODY: [&str; 4] = ["content-length", "transfer-encoding", "trailer", "expect"];
    let is = |line: &[u8], name: &str| {
        line.split(|byte| *byte == b':')
            .next()
            .is_some_and(|field| field.eq_ignore_ascii_case(name.as_bytes()))
    };
    let mut lines = head.split_inclusive(|byte| *byte == b'\n');
    let mut rest = Vec::with_capacity(head.len());
    for line in lines.by_ref() {
        let is_blank = matches!(line, b"\n" | b"\r\n");
        if is_blank && !rest.is_empty() {
            break;
        }
        let replaced = after == After::Close && is(line, "connection");
        if !is_blank && !replaced && !OF_THE_BODY.iter().any(|name| is(line, name)) {
            rest.extend_from_slice(line);
        }
    }
    if after == After::Close {
        rest.extend_from_slice(b"Connection: close\r\n");
    }
    rest.extend_from_slice(b"\r\n");
    rest
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
    target::parse(request.path.unwrap_or_default())?;
    if framing.hosts > 1 || (framing.hosts == 0 && !http_1_0) {
        return Err(HeadError::Host);
    }
    if framing.codings > 0 && (http_1_0 || framing.codings > 1 || !framing.chunked) {
        return Err(HeadError::TransferEncoding);
    }
    if framing.lengths > 1 || (framing.lengths > 0 && framing.codings > 0) {
        return Err(HeadError::ContentLength);
    }
    match framing.length {
        Some(Err(())) => Err(HeadError::ContentLength),
        None | Some(Ok(0)) if framing.codings == 0 => Ok(Body::None),
        Some(Ok(length)) => Ok(Body::Length(length)),
        None => Ok(Body::Chunked),
    }
}

impl ArrivedBody {
    fn of(request: &httparse::Request<'_, '_>) -> Self {
        if request.method == Some("GET") { Self::Close } else { Self::Skip }
    }
}

impl Body {
    /// How many of these bytes it is; `None` if it is not whole yet, or what it says of its chunks is wrong.
    pub fn len_in(self, received: &[u8]) -> Option<usize> {
        match self {
            Self::None => Some(0),
            Self::Length(length) => usize::try_from(length).ok().filter(|length| *length <= received.len()),
            Self::Chunked => chunks_len(received),
        }
    }
}

/// The length of a whole body in chunks (section 7.1), without trailers.
fn chunks_len(received: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        let Ok(httparse::Status::Complete((line, size))) = httparse::parse_chunk_size(&received[at..]) else {
            return None;
        };
        let data = at + line;
        let end = data.checked_add(usize::try_from(size).ok()?)?;
        at = end.checked_add(2)?;
        if received.get(end..at)? != b"\r\n" {
            return None;
        }
        if size == 0 {
            return Some(at);
        }
    }
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
        let head = Head { len: text.len(), body: Body::None, arrived_body: ArrivedBody::Close };
        assert_eq!(parsed(text), ParseStatus::Complete(head));
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
    fn a_query_with_a_byte_that_no_target_holds_names_it() {
        for (query, byte, position) in [("a b", b' ', 2), ("#", b'#', 1), ("a=\x7f", 0x7f, 3), ("\x01", 1, 1)]
        {
            let text = format!("GET /info?{query} HTTP/1.1\r\nHost: x\r\n\r\n");
            assert_eq!(malformed(&text), HeadError::QueryByte { byte, position }, "{query:?}");
        }
    }

    #[test]
    fn a_target_is_escaped_in_its_place() {
        let escaped = escape_target(b"\r\nGET /info?{\xff HTTP/1.1\r\nX: {}\r\n\r\nGET /{");
        assert_eq!(*escaped, *b"\r\nGET /info?%7B%FF HTTP/1.1\r\nX: {}\r\n\r\nGET /{".as_slice());
        for plain in ["GET /info HTTP/1.1\r\nX: {}\r\n", "GET /{", "{}\r\n"] {
            assert!(matches!(escape_target(plain.as_bytes()), Cow::Borrowed(_)), "{plain}");
        }
    }

    #[test]
    fn a_request_line_is_made_out_of_what_is_no_request() {
        let line = request_line(b"GET /a\x01?secret HTTP/1.0\r\n\r\n").unwrap();
        assert_eq!((line.method, line.path, line.version), (&b"GET"[..], &b"/a\x01"[..], Version::HTTP_10));
        assert_eq!(request_line(b"GET /a HTTP/2.0\r\n").unwrap().version, Version::HTTP_11);
        assert_eq!(request_line(b"nonsense\r\n"), None);
    }

    #[test]
    fn a_head_is_stripped_of_what_it_says_of_a_body() {
        let head = b"\r\nPOST / HTTP/1.1\r\nHost: x\r\ncontent-length: 2\r\nConnection: keep-alive\r\nExpect: x\r\n\r\n";
        assert_eq!(
            without_body(head, After::KeepAlive).escape_ascii().to_string(),
            b"POST / HTTP/1.1\r\nHost: x\r\nConnection: keep-alive\r\n\r\n".escape_ascii().to_string()
        );
        assert_eq!(
            without_body(head, After::Close).escape_ascii().to_string(),
            b"POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".escape_ascii().to_string()
        );
    }

    #[test]
    fn a_body_is_measured_only_when_it_is_whole() {
        assert_eq!(Body::Length(2).len_in(b"{}GET"), Some(2));
        assert_eq!(Body::Length(4).len_in(b"{}"), None);
        assert_eq!(Body::Length(u64::MAX).len_in(b"{}"), None);
        assert_eq!(Body::Chunked.len_in(b"0\r\n\r\nGET"), Some(5));
        assert_eq!(Body::Chunked.len_in(b"2;x=y\r\n{}\r\n0\r\n\r\n"), Some(16));
        for partial in
            ["", "0\r\n", "2\r\n{}", "2\r\n{}\r\n", "2\r\n{}xx0\r\n\r\n", "0\r\nX: y\r\n\r\n", "x\r\n"]
        {
            assert_eq!(Body::Chunked.len_in(partial.as_bytes()), None, "{partial:?}");
        }
        assert_eq!(Body::Chunked.len_in(b"ffffffffffffffff\r\n{}"), None);
    }

    #[test]
    fn bodies_are_noticed() {
        assert_eq!(body("GET / HTTP/1.0\r\nContent-Length: 0\r\n\r\n"), Body::None);
        assert_eq!(body("POST / HTTP/1.0\r\n\r\n"), Body::None);
        assert_eq!(body("POST / HTTP/1.0\r\nContent-Length: 2\r\n\r\nhi"), Body::Length(2));
        assert_eq!(body("GET / HTTP/1.0\r\nContent-Length: 2\r\n\r\nhi"), Body::Length(2));
        assert_eq!(body("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: Chunked\r\n\r\n"), Body::Chunked);
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
