//! A request's target as a URI can hold it (RFC 3986).
//!
//! Clients write `{`, `"`, `|` and others raw, and the engine takes them. Escaped they mean the same to it, and
//! every parser takes them.

use std::borrow::Cow;

use http::Uri;

use super::error::HeadError;

/// The target with each byte escaped that a URI must not hold raw, in the path or in the query; borrowed
/// when there is none. What is escaped already stays, bad escapes too: they are the engine's to judge.
pub fn escape(target: &[u8]) -> Cow<'_, [u8]> {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let query = query_start(target);
    let is_raw = |(at, byte): (usize, &u8)| must_be_escaped(*byte) || (at >= query && b"[]".contains(byte));
    let escapes = target.iter().enumerate().filter(|byte| is_raw(*byte)).count();
    if escapes == 0 {
        return Cow::Borrowed(target);
    }
    let mut escaped = Vec::with_capacity(target.len() + 2 * escapes);
    for (at, byte) in target.iter().enumerate() {
        if is_raw((at, byte)) {
            escaped.extend([b'%', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
        } else {
            escaped.push(*byte);
        }
    }
    Cow::Owned(escaped)
}

/// Bytes that RFC 3986 leaves out of URIs; control characters, spaces and `#` are refused instead.
/// Brackets are taken raw in an authority and so left out here.
fn must_be_escaped(byte: u8) -> bool {
    matches!(byte, b'"' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}' | 0x80..=0xff)
}

/// Where the query begins, behind its question mark; the end, if there is none.
fn query_start(target: &[u8]) -> usize {
    target.iter().position(|byte| *byte == b'?').map_or(target.len(), |mark| mark + 1)
}

/// Refuses the first byte of a query that no target may hold: a control character, a space or `#`.
///
/// # Errors
/// [`HeadError::QueryByte`], with its position in the query, counted from 1.
pub fn check_query(target: &[u8]) -> Result<(), HeadError> {
    let query = &target[query_start(target)..];
    match query.iter().position(|byte| matches!(*byte, 0..=b' ' | b'#' | 0x7f)) {
        Some(at) => Err(HeadError::QueryByte { byte: query[at], position: at + 1 }),
        None => Ok(()),
    }
}

/// Takes origin form, absolute form, and what CONNECT and `OPTIONS *` use; these lead nowhere later.
///
/// # Errors
/// [`HeadError::QueryByte`] for a byte that no query may hold, [`HeadError::Target`] for anything else.
pub fn parse(target: &str) -> Result<Uri, HeadError> {
    check_query(target.as_bytes())?;
    let escaped = escape(target.as_bytes());
    let plain = escaped.iter().all(|byte| byte.is_ascii_graphic() && *byte != b'#');
    let uri = Uri::try_from(&*escaped).map_err(|_| HeadError::Target)?;
    let scheme = uri.scheme_str().is_none_or(|scheme| scheme == "http" || scheme == "https");
    if plain && scheme { Ok(uri) } else { Err(HeadError::Target) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn escaped(target: &str) -> String {
        String::from_utf8(escape(target.as_bytes()).into_owned()).unwrap()
    }

    #[test]
    fn what_a_uri_holds_stays_and_is_not_copied() {
        for target in
            ["/", "/v1.41/images/a:b@c/json?x=1&y=%7b%zz;'!$()*+,-./:?@_~", "http://[::1]:2375/info"]
        {
            assert!(matches!(escape(target.as_bytes()), Cow::Borrowed(_)), "{target}");
        }
    }

    #[test]
    fn what_a_uri_must_not_hold_is_escaped() {
        assert_eq!(
            escaped("/containers/json?filters={\"name\":[\"web\"]}"),
            "/containers/json?filters=%7B%22name%22:%5B%22web%22%5D%7D"
        );
        assert_eq!(escaped("/a<b>\\^`|?<>\\^`|\u{f6}"), "/a%3Cb%3E%5C%5E%60%7C?%3C%3E%5C%5E%60%7C%C3%B6");
    }

    #[test]
    fn every_visible_byte_of_a_query_but_the_hash_makes_a_target() {
        for byte in 0..=0xffu8 {
            let target = [b"/info?a".as_slice(), &[byte], b"b"].concat();
            let wanted = match byte {
                0x21..=0x7e if byte != b'#' => Ok(()),
                0x80..=0xff => Ok(()),
                _ => Err(HeadError::QueryByte { byte, position: 2 }),
            };
            assert_eq!(check_query(&target), wanted, "{byte:#04x}");
            assert_eq!(
                wanted.is_ok(),
                Uri::try_from(&*escape(&target)).is_ok_and(|_| byte != b'#'),
                "{byte:#04x}"
            );
        }
    }

    #[test]
    fn targets_are_paths_or_http_urls() {
        for good in
            ["/", "/version?x=1", "http://docker/version", "*", "docker:80", "/\u{f6}", "/a`b", "/a<b"]
        {
            assert!(parse(good).is_ok(), "{good}");
        }
        for bad in ["/a#b", "ftp://x/", "version/x", "http://", "\\info", "/a b", ""] {
            assert_eq!(parse(bad), Err(HeadError::Target), "{bad}");
        }
    }
}
