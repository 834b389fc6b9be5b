//! Canonical paths: the one form of a request's path that is matched and forwarded.
//!
//! The engine decodes percent-escapes first and matches then, so the same is done here, once, and
//! whatever could be read in two ways on the way is refused.

use std::borrow::Cow;
use std::ops::Range;

use thiserror::Error;

use super::escape::{decode_escape, push_escape};
use super::version::ApiVersion;

/// A path in its canonical form: absolute, without repeated slashes or dot segments, each byte that may
/// stand unescaped unescaped, every other one as `%XX`. A slash at its end stays: the engine tells
/// `/networks/` from `/info/`.
///
/// Parsing [`CanonicalPath::as_str`] again gives the same path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CanonicalPath<'a> {
    text: Cow<'a, str>,
    version_len: usize,
    encoded_slashes: Option<Range<usize>>,
}

/// Why a path has no canonical form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum PathError {
    /// It does not start with a slash.
    #[error("the path does not start with a slash")]
    NotAbsolute,
    /// A segment `.` or `..`.
    #[error("the path has a dot segment")]
    DotSegment,
    /// A `%` that two hexadecimal digits do not follow.
    #[error("the path has a malformed percent-escape")]
    BadEscape,
    /// A byte, raw or percent-encoded, that no name of the engine's holds and that filters are bypassed
    /// with.
    #[error("the path holds the byte 0x{0:02x}, which no name may")]
    ForbiddenByte(u8),
}

impl<'a> CanonicalPath<'a> {
    /// The canonical form of a request's path (without its query).
    ///
    /// # Errors
    /// [`PathError`] if the path is malformed or could be read in two ways.
    pub fn parse(raw: &'a str) -> Result<Self, PathError> {
        if !raw.starts_with('/') {
            return Err(PathError::NotAbsolute);
        }
        let (text, encoded_slashes) = normalize(raw)?;
        if text.split('/').any(|segment| matches!(segment, "." | "..")) {
            return Err(PathError::DotSegment);
        }
        let version_len = version_prefix_len(&text);
        Ok(Self { text, version_len, encoded_slashes })
    }

    /// The whole path, with its version prefix if it has one; what is sent upstream.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The version prefix, such as `/v1.41`; empty if there is none.
    pub fn prefix(&self) -> &str {
        &self.text[..self.version_len]
    }

    /// The path without its version prefix, as the catalog has it.
    pub fn endpoint(&self) -> &str {
        &self.text[self.version_len..]
    }

    /// A name that was given elsewhere, as it is written in a path; `None` if it could not stand in one.
    pub fn parse_name(name: &str) -> Option<String> {
        let mut path = String::from("/");
        for byte in name.bytes() {
            push_encoded(&mut path, byte).ok()?;
        }
        let canonical = CanonicalPath::parse(&path).ok()?;
        Some(canonical.as_str()[1..].to_owned())
    }

    /// A name as a client means it, of one as it is written in a path.
    pub fn decode_name(mut written: &str) -> String {
        let mut name = String::new();
        while let Some((before, after)) = written.split_once('%') {
            name.push_str(before);
            let escape = decode_escape(after.as_bytes());
            name.push(escape.map_or('%', |(byte, _)| char::from(byte)));
            written = after.get(2..).unwrap_or_default();
        }
        name + written
    }

    /// The version in its prefix, if it has one.
    pub fn version(&self) -> Option<ApiVersion> {
        ApiVersion::of_prefix(self.prefix())
    }

    /// Whether slashes that were received as `%2F` lie outside of `name`, a range of
    /// [`CanonicalPath::endpoint`]: there they would hide a separator.
    ///
    /// Of several slashes in a row that became one, each counts.
    pub fn has_encoded_slash_outside(&self, name: &Range<usize>) -> bool {
        self.encoded_slashes.as_ref().is_some_and(|encoded| {
            encoded.start < self.version_len + name.start || encoded.end > self.version_len + name.end
        })
    }
}

/// Decodes every escape, encodes again what must be, and makes one slash of several, as the engine's
/// redirects do; borrows when nothing changes. Also gives the span from the first to the last slash that
/// came from an escape.
fn normalize(raw: &str) -> Result<(Cow<'_, str>, Option<Range<usize>>), PathError> {
    if raw.bytes().all(is_pchar) && !raw.contains("//") {
        return Ok((Cow::Borrowed(raw), None));
    }
    let mut text = String::with_capacity(raw.len() + 16);
    let mut encoded: Option<Range<usize>> = None;
    let mut rest = raw.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let (byte, tail) =
            if first == b'%' { decode_escape(tail).ok_or(PathError::BadEscape)? } else { (first, tail) };
        rest = tail;
        let repeated = byte == b'/' && text.ends_with('/');
        if byte == b'/' && first == b'%' {
            let at = text.len() - usize::from(repeated);
            let start = encoded.map_or(at, |span| span.start);
            encoded = Some(start..at + 1);
        }
        if !repeated {
            push_encoded(&mut text, byte)?;
        }
    }
    Ok((Cow::Owned(text), encoded))
}

fn push_encoded(text: &mut String, byte: u8) -> Result<(), PathError> {
    match byte {
        _ if is_pchar(byte) => text.push(char::from(byte)),
        b'%' | b'?' | b'#' | b'\\' | b';' => return Err(PathError::ForbiddenByte(byte)),
        b' '..=b'~' => push_escape(byte, text),
        _ => return Err(PathError::ForbiddenByte(byte)),
    }
    Ok(())
}

/// `pchar` of RFC 3986 section 3.3 and the slash, without the semicolon, which some servers take for
/// the start of parameters.
fn is_pchar(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(byte, b'/' | b'-' | b'.' | b'_' | b'~' | b':' | b'@' | b'!' | b'$' | b'&')
        || matches!(byte, b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b'=')
}

/// The length of `/v1.41` (Docker) or `/v4.0.0` (Podman) at the start of a longer path, else 0.
fn version_prefix_len(text: &str) -> usize {
    let Some(after_v) = text.strip_prefix("/v") else { return 0 };
    let Some((version, _)) = after_v.split_once('/') else { return 0 };
    let is_number = |part: &str| matches!(part.len(), 1..=4) && part.bytes().all(|b| b.is_ascii_digit());
    let parts = version.split('.').count();
    if matches!(parts, 2..=3) && version.split('.').all(is_number) { "/v".len() + version.len() } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canonical(raw: &str) -> Result<String, PathError> {
        CanonicalPath::parse(raw).map(|path| path.as_str().to_owned())
    }

    #[test]
    fn plain_paths_stay_as_they_are() {
        for path in ["/", "/version", "/v1.41/containers/json", "/images/ghcr.io/a/b:tag@sha256:0f/json"] {
            assert_eq!(canonical(path).as_deref(), Ok(path));
        }
    }

    #[test]
    fn needless_escapes_are_decoded() {
        assert_eq!(canonical("/containers/%77eb/json").as_deref(), Ok("/containers/web/json"));
        assert_eq!(canonical("/images/nginx%3Alatest/json").as_deref(), Ok("/images/nginx:latest/json"));
        assert_eq!(canonical("/images/ghcr.io%2Fa%2fb/json").as_deref(), Ok("/images/ghcr.io/a/b/json"));
    }

    #[test]
    fn escapes_that_are_needed_are_spelled_in_one_way() {
        assert_eq!(canonical("/networks/my%20net").as_deref(), Ok("/networks/my%20net"));
        assert_eq!(canonical("/networks/a%7cb").as_deref(), Ok("/networks/a%7Cb"));
        assert_eq!(canonical("/networks/a|b").as_deref(), Ok("/networks/a%7Cb"));
    }

    #[test]
    fn repeated_slashes_are_one_and_the_last_one_stays() {
        for (path, clean) in [
            ("//version", "/version"),
            ("/v1.41//version", "/v1.41/version"),
            ("/containers//web///json", "/containers/web/json"),
            ("/images/a%2f%2Fb/json", "/images/a/b/json"),
            ("/%2fversion", "/version"),
            ("//", "/"),
            ("/networks//", "/networks/"),
            ("/version/", "/version/"),
        ] {
            assert_eq!(canonical(path).as_deref(), Ok(clean), "{path}");
        }
    }

    #[test]
    fn a_slash_that_was_escaped_is_remembered_where_it_ended_up() {
        let outside = |path: &str, name| CanonicalPath::parse(path).unwrap().has_encoded_slash_outside(&name);
        assert!(!outside("/images/a%2f%2fb/json", 8..11));
        assert!(!outside("/images//a/%2fb/json", 8..11));
        assert!(outside("/images/%2fa/json", 8..9));
        assert!(outside("/%2fversion", 0..0));
        assert!(!outside("//version", 0..0));
    }

    #[test]
    fn ambiguous_paths_are_refused() {
        for (path, error) in [
            ("version", PathError::NotAbsolute),
            ("", PathError::NotAbsolute),
            ("/containers/../version", PathError::DotSegment),
            ("/containers/%2e%2E/version", PathError::DotSegment),
            ("/containers/./json", PathError::DotSegment),
            ("/a%2f..%2fb", PathError::DotSegment),
            ("/version%", PathError::BadEscape),
            ("/version%4", PathError::BadEscape),
            ("/version%zz", PathError::BadEscape),
            ("/version%+1", PathError::BadEscape),
            ("/version%00", PathError::ForbiddenByte(0)),
            ("/version%0a", PathError::ForbiddenByte(b'\n')),
            ("/version%3fx", PathError::ForbiddenByte(b'?')),
            ("/version%23", PathError::ForbiddenByte(b'#')),
            ("/version%252f", PathError::ForbiddenByte(b'%')),
            ("/version;x", PathError::ForbiddenByte(b';')),
            ("/version%5c", PathError::ForbiddenByte(b'\\')),
            ("/version%7f", PathError::ForbiddenByte(0x7f)),
            ("/versi\u{f6}n", PathError::ForbiddenByte(0xc3)),
            ("/versi%C3%B6n", PathError::ForbiddenByte(0xc3)),
        ] {
            assert_eq!(canonical(path), Err(error), "{path}");
        }
    }

    #[test]
    fn the_version_is_that_of_the_prefix() {
        let version = |path| CanonicalPath::parse(path).unwrap().version();
        assert_eq!(version("/v1.41/info"), Some(ApiVersion::new(1, 41)));
        assert_eq!(version("/v4.0.0/info"), Some(ApiVersion::new(4, 0)));
        assert_eq!(version("/info"), None);
    }

    #[test]
    fn the_version_prefix_is_told_from_names() {
        for (path, endpoint) in [
            ("/v1.41/info", "/info"),
            ("/v4.0.0/info", "/info"),
            ("/info", "/info"),
            ("/v1/info", "/v1/info"),
            ("/v1.41", "/v1.41"),
            ("/v1.41.1.1/info", "/v1.41.1.1/info"),
            ("/v1./info", "/v1./info"),
            ("/v12345.1/info", "/v12345.1/info"),
            ("/v1.41/v1.41/info", "/v1.41/info"),
            ("/volumes/x", "/volumes/x"),
        ] {
            assert_eq!(CanonicalPath::parse(path).unwrap().endpoint(), endpoint);
        }
    }
}
