//! Text from outside as a log line shows it: its beginning says enough, and nobody fills disks with it.

use std::fmt::{self, Display, Write};

/// Shows what it holds, but no more than half a kilobyte of it: the quotes and backslashes of a log can make
/// twice as much of that.
#[derive(Debug, Clone, Copy)]
pub struct Excerpt<T>(pub T);

/// What stands for the rest.
const ELLIPSIS: &str = "...";
/// How much is shown, in bytes.
const MAX_LEN: usize = 512 - ELLIPSIS.len();

impl<T: Display> Display for Excerpt<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut limited = Limited { out: &mut *f, state: State::Room(MAX_LEN) };
        // Cut short it fails, so that what is long is not written to its end.
        let written = write!(limited, "{}", self.0);
        match limited.state {
            State::Full => f.write_str(ELLIPSIS),
            State::Room(_) => written,
        }
    }
}

/// A writer with room for so much.
struct Limited<W> {
    out: W,
    state: State,
}

enum State {
    /// For so many bytes.
    Room(usize),
    /// Something was left out.
    Full,
}

impl<W: Write> Write for Limited<W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let State::Room(left) = self.state else { return Err(fmt::Error) };
        if text.len() <= left {
            self.state = State::Room(left - text.len());
            return self.out.write_str(text);
        }
        let end = (0..=left).rev().find(|at| text.is_char_boundary(*at)).unwrap_or_default();
        self.state = State::Full;
        self.out.write_str(&text[..end])?;
        Err(fmt::Error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_short_is_shown_as_it_is() {
        for text in ["", "short", &"x".repeat(MAX_LEN)] {
            assert_eq!(Excerpt(text).to_string(), text);
        }
    }

    #[test]
    fn what_is_long_is_cut_between_two_characters() {
        assert_eq!(Excerpt("x".repeat(5000)).to_string(), format!("{}...", "x".repeat(509)));
        let text = Excerpt("\u{20ac}".repeat(5000)).to_string();
        assert_eq!(text, format!("{}...", "\u{20ac}".repeat(169)));
        let in_parts = Excerpt(format_args!("{}{}", "x".repeat(509), "y")).to_string();
        assert_eq!(in_parts, format!("{}...", "x".repeat(509)));
    }
}
