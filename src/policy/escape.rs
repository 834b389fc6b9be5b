//! Percent-escapes (RFC 3986 section 2.1): read and written in one way, in paths and in queries.

use std::borrow::Cow;

/// The byte that an escape stands for, and what follows it; `None` if it is malformed.
pub(super) fn decode_escape(after_percent: &[u8]) -> Option<(u8, &[u8])> {
    let [high, low, tail @ ..] = after_percent else { return None };
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let value = digit(*high)? * 16 + digit(*low)?;
    Some((value as u8, tail))
}

/// Writes a byte as an escape.
pub(super) fn push_escape(byte: u8, out: &mut String) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    out.push('%');
    out.push(char::from(HEX[usize::from(byte >> 4)]));
    out.push(char::from(HEX[usize::from(byte & 15)]));
}

/// A part of a query without its escapes, with plus signs for spaces, as Go's `net/url` reads it; `None` if an
/// escape is malformed.
pub(super) fn decode_query(text: &str) -> Option<Cow<'_, [u8]>> {
    if !text.contains(['%', '+']) {
        return Some(Cow::Borrowed(text.as_bytes()));
    }
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let (byte, tail) = match first {
            b'%' => decode_escape(tail)?,
            b'+' => (b' ', tail),
            byte => (byte, tail),
        };
        decoded.push(byte);
        rest = tail;
    }
    Some(Cow::Owned(decoded))
}
