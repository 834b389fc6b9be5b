//! A tokenizer for JSON (RFC 8259) that comes in chunks, split anywhere.
//!
//! It says where keys and values begin and end in the bytes at hand, so that what is not changed can go on
//! as it came: numbers, escapes, order and white space. It buffers nothing but a key that is split or
//! escaped.
//!
//! Why not a library: struson and json-streaming read from a source that blocks or awaits, and hand out
//! decoded values, which would have to be written anew; so does actson, which takes chunks but holds every
//! string whole; `serde_json`'s `RawValue` keeps the bytes, but needs the whole item in memory. None tells
//! of duplicate keys. `serde_json` is the oracle of the tests.
//!
//! It is stricter than RFC 8259 where readers differ, for what two readers understand differently cannot
//! be filtered: no key may occur twice in an object (compared after decoding), text is UTF-8, and an escape
//! that is half of a surrogate pair is an error. The engine's encoder writes none of these.

use std::collections::HashSet;
use std::fmt;
use std::hash::{BuildHasher, Hasher};

use foldhash::fast::RandomState;

/// How deep objects and arrays may be nested.
pub const MAX_DEPTH: usize = 128;

/// How many bytes a key may have, as it is written.
pub const MAX_KEY: usize = 64 * 1024;

/// How many keys the open objects may have together: their hashes are remembered to find one that occurs
/// twice in its object.
pub const MAX_KEYS: usize = 64 * 1024;

/// Up to how many keys of an object are looked through one by one.
const FEW_KEYS: usize = 32;

/// Why bytes are not JSON that can be filtered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JsonError {
    /// A byte that cannot stand where it is.
    Syntax,
    /// A string that is not UTF-8.
    Utf8,
    /// An escape that is half of a surrogate pair.
    Surrogate,
    /// A key that occurs twice in one object.
    DuplicateKey,
    /// More levels than [`MAX_DEPTH`].
    TooDeep,
    /// A key longer than [`MAX_KEY`].
    LongKey,
    /// More keys in the open objects than [`MAX_KEYS`].
    ManyKeys,
    /// The end before the document is complete, or before it began.
    Truncated,
}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            JsonError::Syntax => "invalid JSON",
            JsonError::Utf8 => "invalid UTF-8",
            JsonError::Surrogate => "half of a surrogate pair",
            JsonError::DuplicateKey => "a key occurs twice in an object",
            JsonError::TooDeep => "nested too deeply",
            JsonError::LongKey => "a key is too long",
            JsonError::ManyKeys => "too many keys",
            JsonError::Truncated => "the answer ends too early",
        })
    }
}

impl std::error::Error for JsonError {}

/// What the bytes hold, from the beginning of the answer to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// One JSON document.
    Document,
    /// Objects one after the other, with white space or record separators (RFC 7464) between them, or nothing.
    Sequence,
}

/// The type of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// An object.
    Object,
    /// An array.
    Array,
    /// A string.
    String,
    /// A number.
    Number,
    /// `true` or `false`.
    Bool,
    /// `null`.
    Null,
}

/// Something that begins or ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// A key has ended; the position is behind its closing quote, [`Tokenizer::key`] has it decoded.
    Key,
    /// A value has begun; the position is behind its first byte.
    Begin(Kind),
    /// A value has ended; the position is behind its last byte.
    End(Kind),
    /// A comma; the position is behind it.
    Comma,
}

/// Where in the grammar the next byte stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Before a document, or between those of a sequence.
    Start,
    /// After the document.
    Done,
    Value,
    ValueOrEnd,
    Key,
    KeyOrEnd,
    Colon,
    CommaOrEnd,
    InString(Text),
    InKey(Text),
    InNumber(Number),
    /// How much of `true`, `false` or `null` has come.
    InLiteral(Literal, u8),
}

/// `true`, `false` and `null`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Literal {
    True,
    False,
    Null,
}

impl Literal {
    fn text(self) -> &'static [u8] {
        match self {
            Literal::True => b"true",
            Literal::False => b"false",
            Literal::Null => b"null",
        }
    }

    fn kind(self) -> Kind {
        match self {
            Literal::True | Literal::False => Kind::Bool,
            Literal::Null => Kind::Null,
        }
    }
}

/// Where in a string.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Text {
    Plain,
    /// Within a character of several bytes: how many follow, and from what to what the next may be.
    Utf8 {
        left: u8,
        low: u8,
        high: u8,
    },
    Escape,
    /// Within four hexadecimal digits: how many follow, and those that came.
    Hex {
        left: u8,
        unit: u16,
    },
    /// After the first half of a surrogate pair.
    SecondEscape,
    SecondU,
    SecondHex {
        left: u8,
        unit: u16,
    },
}

/// Where in a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Number {
    Minus,
    Zero,
    Integer,
    Point,
    Fraction,
    E,
    Sign,
    Exponent,
}

impl Number {
    fn next(self, byte: u8) -> Option<Number> {
        Some(match (self, byte) {
            (Number::Minus, b'0') => Number::Zero,
            (Number::Minus | Number::Integer, b'0'..=b'9') => Number::Integer,
            (Number::Zero | Number::Integer, b'.') => Number::Point,
            (Number::Point | Number::Fraction, b'0'..=b'9') => Number::Fraction,
            (Number::Zero | Number::Integer | Number::Fraction, b'e' | b'E') => Number::E,
            (Number::E, b'+' | b'-') => Number::Sign,
            (Number::E | Number::Sign | Number::Exponent, b'0'..=b'9') => Number::Exponent,
            _ => return None,
        })
    }

    fn is_complete(self) -> bool {
        matches!(self, Number::Zero | Number::Integer | Number::Fraction | Number::Exponent)
    }
}

/// An open object or array.
#[derive(Debug)]
struct Level {
    is_object: bool,
    /// Where its keys begin in `Tokenizer::keys`.
    first_key: usize,
    /// All of its keys, once they are more than [`FEW_KEYS`].
    many: Option<HashSet<u64>>,
}

/// Reads JSON in chunks.
#[derive(Debug)]
pub struct Tokenizer {
    framing: Framing,
    state: State,
    levels: Vec<Level>,
    /// Hashes of the keys of all open objects. The hasher's key is random, so that no one can choose labels
    /// that collide; if two keys did, the answer would be refused.
    keys: Vec<u64>,
    hasher: RandomState,
    /// How many keys there are in `Level::many`.
    many_keys: usize,
    /// The position in the chunk.
    at: usize,
    /// Where the key at hand begins in the chunk; none if it is in `buffer`.
    key_from: Option<usize>,
    key_to: usize,
    /// Whether the key at hand has escapes.
    key_escaped: bool,
    /// A key that came in parts, or the decoded form of one with escapes.
    buffer: Vec<u8>,
}

impl Tokenizer {
    /// A tokenizer at the beginning of an answer.
    pub fn new(framing: Framing) -> Self {
        Tokenizer {
            framing,
            state: State::Start,
            levels: Vec::with_capacity(16),
            keys: Vec::with_capacity(64),
            hasher: RandomState::default(),
            many_keys: 0,
            at: 0,
            key_from: None,
            key_to: 0,
            key_escaped: false,
            buffer: Vec::new(),
        }
    }

    /// The position in the chunk: how much of it has been read.
    pub fn position(&self) -> usize {
        self.at
    }

    /// How many objects and arrays are open.
    pub fn depth(&self) -> usize {
        self.levels.len()
    }

    /// Whether an object begins right here that is an item of an array that is the whole document.
    #[inline]
    pub fn is_before_item(&self, chunk: &[u8]) -> bool {
        matches!(self.state, State::Value | State::ValueOrEnd)
            && matches!(self.levels[..], [Level { is_object: false, .. }])
            && chunk.get(self.at) == Some(&b'{')
    }

    /// Reads the value that begins here without looking at it: whoever calls knows it to be complete, and valid.
    pub fn skip_known(&mut self, length: usize) {
        self.at += length;
        self.state = self.after_value();
    }

    /// The key of the last [`Event::Key`], decoded. `chunk` is the one that the event came from.
    pub fn key<'a>(&'a self, chunk: &'a [u8]) -> &'a [u8] {
        match self.key_from {
            Some(from) => &chunk[from..self.key_to],
            None => &self.buffer,
        }
    }

    /// The next event in the chunk; none if more bytes are needed. Then the next call gets the next chunk.
    ///
    /// # Errors
    ///
    /// If the bytes are not JSON, or not JSON that can be filtered. The tokenizer must not be used any more.
    #[inline]
    pub fn next(&mut self, chunk: &[u8]) -> Result<Option<Event>, JsonError> {
        loop {
            match self.state {
                State::InString(text) => match self.text(chunk, text)? {
                    None => {
                        self.state = self.after_value();
                        return Ok(Some(Event::End(Kind::String)));
                    }
                    Some(text) => {
                        self.state = State::InString(text);
                        return Ok(self.need_more());
                    }
                },
                State::InKey(text) => return self.in_key(chunk, text),
                State::InNumber(number) => return self.number(chunk, number),
                State::InLiteral(literal, came) => return self.literal(chunk, literal, came),
                _ => {}
            }
            let Some(&byte) = chunk.get(self.at) else { return Ok(self.need_more()) };
            self.at += 1;
            if matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
                continue;
            }
            match (self.state, byte) {
                (State::Colon, b':') => self.state = State::Value,
                (State::Key | State::KeyOrEnd, b'"') => {
                    if self.plain_key(chunk)? {
                        return Ok(Some(Event::Key));
                    }
                    self.key_from = Some(self.at);
                    self.key_escaped = false;
                    self.buffer.clear();
                    self.state = State::InKey(Text::Plain);
                }
                (State::CommaOrEnd, b',') => {
                    let is_object = self.levels.last().is_some_and(|level| level.is_object);
                    self.state = if is_object { State::Key } else { State::Value };
                    return Ok(Some(Event::Comma));
                }
                (State::CommaOrEnd | State::KeyOrEnd | State::ValueOrEnd, b'}' | b']') => {
                    return self.close(byte).map(Some);
                }
                (State::Start, 0x1e) if self.framing == Framing::Sequence => {}
                (State::Start, _) if self.framing == Framing::Sequence && byte != b'{' => {
                    return Err(JsonError::Syntax);
                }
                (State::Value | State::ValueOrEnd | State::Start, _) => return self.begin(byte).map(Some),
                _ => return Err(JsonError::Syntax),
            }
        }
    }

    /// The end of the answer. A number that is a whole document ends here.
    ///
    /// # Errors
    ///
    /// If the document is not complete, or there was none.
    pub fn finish(&mut self) -> Result<Option<Event>, JsonError> {
        match (self.state, self.framing) {
            (State::InNumber(number), _) if number.is_complete() && self.levels.is_empty() => {
                self.state = State::Done;
                Ok(Some(Event::End(Kind::Number)))
            }
            (State::Done, Framing::Document) | (State::Start, Framing::Sequence) => Ok(None),
            _ => Err(JsonError::Truncated),
        }
    }

    /// Gets ready for the next chunk.
    fn need_more(&mut self) -> Option<Event> {
        self.at = 0;
        None
    }

    fn after_value(&self) -> State {
        match (self.levels.is_empty(), self.framing) {
            (false, _) => State::CommaOrEnd,
            (true, Framing::Document) => State::Done,
            (true, Framing::Sequence) => State::Start,
        }
    }

    fn begin(&mut self, byte: u8) -> Result<Event, JsonError> {
        let (state, kind) = match byte {
            b'"' => (State::InString(Text::Plain), Kind::String),
            b'{' => (State::KeyOrEnd, Kind::Object),
            b'[' => (State::ValueOrEnd, Kind::Array),
            b'-' => (State::InNumber(Number::Minus), Kind::Number),
            b'0' => (State::InNumber(Number::Zero), Kind::Number),
            b'1'..=b'9' => (State::InNumber(Number::Integer), Kind::Number),
            b't' => (State::InLiteral(Literal::True, 1), Kind::Bool),
            b'f' => (State::InLiteral(Literal::False, 1), Kind::Bool),
            b'n' => (State::InLiteral(Literal::Null, 1), Kind::Null),
            _ => return Err(JsonError::Syntax),
        };
        if matches!(kind, Kind::Object | Kind::Array) {
            if self.levels.len() == MAX_DEPTH {
                return Err(JsonError::TooDeep);
            }
            let is_object = kind == Kind::Object;
            self.levels.push(Level { is_object, first_key: self.keys.len(), many: None });
        }
        self.state = state;
        Ok(Event::Begin(kind))
    }

    fn close(&mut self, byte: u8) -> Result<Event, JsonError> {
        let level = self.levels.pop().ok_or(JsonError::Syntax)?;
        if level.is_object != (byte == b'}') {
            return Err(JsonError::Syntax);
        }
        self.keys.truncate(level.first_key);
        self.many_keys -= level.many.map_or(0, |many| many.len());
        self.state = self.after_value();
        Ok(Event::End(if level.is_object { Kind::Object } else { Kind::Array }))
    }

    fn number(&mut self, chunk: &[u8], mut number: Number) -> Result<Option<Event>, JsonError> {
        while let Some(&byte) = chunk.get(self.at) {
            match number.next(byte) {
                Some(next) => number = next,
                None if number.is_complete() => {
                    self.state = self.after_value();
                    return Ok(Some(Event::End(Kind::Number)));
                }
                None => return Err(JsonError::Syntax),
            }
            self.at += 1;
        }
        self.state = State::InNumber(number);
        Ok(self.need_more())
    }

    fn literal(&mut self, chunk: &[u8], literal: Literal, from: u8) -> Result<Option<Event>, JsonError> {
        let mut came = from;
        for expected in &literal.text()[usize::from(from)..] {
            match chunk.get(self.at) {
                Some(byte) if byte == expected => came += 1,
                Some(_) => return Err(JsonError::Syntax),
                None => {
                    self.state = State::InLiteral(literal, came);
                    return Ok(self.need_more());
                }
            }
            self.at += 1;
        }
        self.state = self.after_value();
        Ok(Some(Event::End(literal.kind())))
    }

    /// Reads a key that is whole in the chunk and has nothing but printable ASCII; the position is behind its
    /// opening quote. Whether it was one; if not, nothing has been read.
    #[inline]
    fn plain_key(&mut self, chunk: &[u8]) -> Result<bool, JsonError> {
        let length = plain(&chunk[self.at..]);
        if chunk.get(self.at + length) != Some(&b'"') || length > MAX_KEY {
            return Ok(false);
        }
        self.key_from = Some(self.at);
        self.key_to = self.at + length;
        self.at += length + 1;
        self.remember(chunk)?;
        self.state = State::Colon;
        Ok(true)
    }

    /// After a key: reads its value if that is neither an object nor an array, is whole in the chunk and has
    /// nothing unusual about it. Whether it was one; if not, nothing has been read.
    #[inline]
    pub fn skip_scalar(&mut self, chunk: &[u8]) -> bool {
        let [b':', value @ ..] = &chunk[self.at..] else { return false };
        let Some(length) = plain_scalar(value) else { return false };
        debug_assert_eq!(self.state, State::Colon);
        self.at += 1 + length;
        self.state = State::CommaOrEnd;
        true
    }

    /// After a value in an object: reads the comma, if it comes next.
    #[inline]
    pub fn skip_comma(&mut self, chunk: &[u8]) {
        if chunk.get(self.at) == Some(&b',') {
            self.at += 1;
            self.state = State::Key;
        }
    }

    fn in_key(&mut self, chunk: &[u8], text: Text) -> Result<Option<Event>, JsonError> {
        let from = self.at;
        let ended = self.text(chunk, text)?;
        let to = if ended.is_none() { self.at - 1 } else { self.at };
        if self.buffer.len() + (to - from) > MAX_KEY {
            return Err(JsonError::LongKey);
        }
        let is_whole = self.key_from.is_some() && ended.is_none() && !self.key_escaped;
        if is_whole {
            self.key_to = to;
        } else {
            self.key_from = None;
            self.buffer.extend_from_slice(&chunk[from..to]);
        }
        if let Some(text) = ended {
            self.state = State::InKey(text);
            return Ok(self.need_more());
        }
        if self.key_escaped {
            self.buffer = unescaped(&self.buffer);
        }
        self.remember(chunk)?;
        self.state = State::Colon;
        Ok(Some(Event::Key))
    }

    /// Takes the key at hand into those of the object.
    fn remember(&mut self, chunk: &[u8]) -> Result<(), JsonError> {
        let mut hasher = self.hasher.build_hasher();
        hasher.write(self.key(chunk));
        let hash = hasher.finish();
        let level = self.levels.last_mut().ok_or(JsonError::Syntax)?;
        let few = &self.keys[level.first_key..];
        if few.len() < FEW_KEYS {
            // All of them: the processor compares several at a time if it need not stop at one.
            if few.iter().fold(false, |found, other| found | (*other == hash)) {
                return Err(JsonError::DuplicateKey);
            }
            self.keys.push(hash);
        } else {
            let before = level.many.as_ref().map_or(0, HashSet::len);
            let many = level.many.get_or_insert_with(|| few.iter().copied().collect());
            if !many.insert(hash) {
                return Err(JsonError::DuplicateKey);
            }
            self.many_keys += many.len() - before;
        }
        if self.keys.len() + self.many_keys > MAX_KEYS { Err(JsonError::ManyKeys) } else { Ok(()) }
    }

    /// Reads on in a string. None: it has ended, the position is behind the quote. Else: where in it the
    /// chunk ends.
    #[inline]
    fn text(&mut self, chunk: &[u8], mut text: Text) -> Result<Option<Text>, JsonError> {
        loop {
            if text == Text::Plain {
                self.at += plain(&chunk[self.at..]);
            }
            let Some(&byte) = chunk.get(self.at) else { return Ok(Some(text)) };
            self.at += 1;
            if text == Text::Plain && byte == b'"' {
                return Ok(None);
            }
            self.key_escaped |= byte == b'\\';
            text = text.next(byte)?;
        }
    }
}

impl Text {
    fn next(self, byte: u8) -> Result<Text, JsonError> {
        match self {
            Text::Plain => Text::first(byte),
            Text::Utf8 { left, low, high } => match (low..=high).contains(&byte) {
                false => Err(JsonError::Utf8),
                true if left == 1 => Ok(Text::Plain),
                true => Ok(Text::Utf8 { left: left - 1, low: 0x80, high: 0xbf }),
            },
            Text::Escape => match byte {
                b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Ok(Text::Plain),
                b'u' => Ok(Text::Hex { left: 4, unit: 0 }),
                _ => Err(JsonError::Syntax),
            },
            Text::Hex { left, unit } => match (left, with_digit(unit, byte)?) {
                (1, 0xd800..=0xdbff) => Ok(Text::SecondEscape),
                (1, 0xdc00..=0xdfff) => Err(JsonError::Surrogate),
                (1, _) => Ok(Text::Plain),
                (_, unit) => Ok(Text::Hex { left: left - 1, unit }),
            },
            Text::SecondEscape if byte == b'\\' => Ok(Text::SecondU),
            Text::SecondU if byte == b'u' => Ok(Text::SecondHex { left: 4, unit: 0 }),
            Text::SecondEscape | Text::SecondU => Err(JsonError::Surrogate),
            Text::SecondHex { left, unit } => match (left, with_digit(unit, byte)?) {
                (1, 0xdc00..=0xdfff) => Ok(Text::Plain),
                (1, _) => Err(JsonError::Surrogate),
                (_, unit) => Ok(Text::SecondHex { left: left - 1, unit }),
            },
        }
    }

    /// What a byte that [`plain`] stops at begins; the well-formed byte sequences are those of Unicode, table 3-7.
    fn first(byte: u8) -> Result<Text, JsonError> {
        let (left, low, high) = match byte {
            b'\\' => return Ok(Text::Escape),
            0x00..=0x1f => return Err(JsonError::Syntax),
            0x20..=0x7f => return Ok(Text::Plain),
            0xc2..=0xdf => (1, 0x80, 0xbf),
            0xe0 => (2, 0xa0, 0xbf),
            0xe1..=0xec | 0xee | 0xef => (2, 0x80, 0xbf),
            0xed => (2, 0x80, 0x9f),
            0xf0 => (3, 0x90, 0xbf),
            0xf1..=0xf3 => (3, 0x80, 0xbf),
            0xf4 => (3, 0x80, 0x8f),
            _ => return Err(JsonError::Utf8),
        };
        Ok(Text::Utf8 { left, low, high })
    }
}

fn with_digit(unit: u16, byte: u8) -> Result<u16, JsonError> {
    let digit = char::from(byte).to_digit(16).ok_or(JsonError::Syntax)?;
    Ok(unit << 4 | digit as u16)
}

/// How many bytes at the beginning mean themselves in a string: printable ASCII but `"` and `\`.
/// Eight at a time, by the usual tricks on the bytes of a word.
#[inline]
fn plain(bytes: &[u8]) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let mut at = 0;
    let mut words = bytes.chunks_exact(8);
    for word in &mut words {
        let word = u64::from_le_bytes(word.try_into().unwrap_or_default());
        let quote = word ^ (ONES * b'"' as u64);
        let backslash = word ^ (ONES * b'\\' as u64);
        // The lowest bit that is set is exact; those above it may come from a borrow.
        let stops =
            (word | word.wrapping_sub(ONES * 0x20) | quote.wrapping_sub(ONES) | backslash.wrapping_sub(ONES))
                & HIGH;
        if stops != 0 {
            return at + (stops.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    let stop = |byte: &u8| !matches!(byte, 0x20..=0x7f) || matches!(byte, b'"' | b'\\');
    let rest = words.remainder();
    at + rest.iter().position(stop).unwrap_or(rest.len())
}

/// How long the value is that `bytes` begin with, if it is a string of printable ASCII without escapes, an integer,
/// `true`, `false` or `null`, and whole. A number is whole when something follows it.
#[inline]
fn plain_scalar(bytes: &[u8]) -> Option<usize> {
    match bytes {
        [b'"', text @ ..] => {
            let length = plain(text);
            (text.get(length) == Some(&b'"')).then_some(length + 2)
        }
        [b'0', b',' | b'}', ..] => Some(1),
        [b'1'..=b'9', digits @ ..] => {
            let length = digits.iter().position(|byte| !byte.is_ascii_digit())?;
            matches!(digits[length], b',' | b'}').then_some(1 + length)
        }
        [b't', b'r', b'u', b'e', ..] | [b'n', b'u', b'l', b'l', ..] => Some(4),
        [b'f', b'a', b'l', b's', b'e', ..] => Some(5),
        _ => None,
    }
}

/// The inside of a valid string, decoded.
pub(super) fn unescaped(raw: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(at) = rest.iter().position(|byte| *byte == b'\\') {
        decoded.extend_from_slice(&rest[..at]);
        let (char, length) = escape(&rest[at + 1..]);
        decoded.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
        rest = &rest[at + 1 + length..];
    }
    decoded.extend_from_slice(rest);
    decoded
}

/// The character of a valid escape, and how many bytes it has after its backslash.
fn escape(after: &[u8]) -> (char, usize) {
    match after[0] {
        b'u' => match unit(&after[1..]) {
            high @ 0xd800..=0xdbff => {
                let low = unit(&after[7..]);
                let code = 0x1_0000 + ((high - 0xd800) << 10) + (low - 0xdc00);
                (char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER), 11)
            }
            code => (char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER), 5),
        },
        b'b' => ('\u{8}', 1),
        b'f' => ('\u{c}', 1),
        b'n' => ('\n', 1),
        b'r' => ('\r', 1),
        b't' => ('\t', 1),
        itself => (char::from(itself), 1),
    }
}

fn unit(digits: &[u8]) -> u32 {
    digits[..4].iter().fold(0, |unit, byte| unit << 4 | char::from(*byte).to_digit(16).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads an answer in parts: its events with the bytes before each position, or the error.
    fn read(framing: Framing, answer: &[u8], part: usize) -> Result<Vec<(Event, usize)>, JsonError> {
        let mut tokens = Tokenizer::new(framing);
        let mut events = Vec::new();
        for (number, chunk) in answer.chunks(part).enumerate() {
            while let Some(event) = tokens.next(chunk)? {
                events.push((event, number * part + tokens.position()));
            }
        }
        events.extend(tokens.finish()?.map(|event| (event, answer.len())));
        Ok(events)
    }

    /// Whole and in parts of every length.
    fn error(framing: Framing, answer: impl AsRef<[u8]>) -> Option<JsonError> {
        let answer = answer.as_ref();
        let whole = read(framing, answer, answer.len().max(1));
        for part in 1..answer.len().min(20) {
            assert_eq!(read(framing, answer, part), whole, "{} in parts of {part}", answer.escape_ascii());
        }
        whole.err()
    }

    #[test]
    fn events_come_at_their_bytes() {
        let events = read(Framing::Document, br#"{"a":[1,"b"]} "#, 100).unwrap();
        assert_eq!(
            events,
            [
                (Event::Begin(Kind::Object), 1),
                (Event::Key, 4),
                (Event::Begin(Kind::Array), 6),
                (Event::Begin(Kind::Number), 7),
                (Event::End(Kind::Number), 7),
                (Event::Comma, 8),
                (Event::Begin(Kind::String), 9),
                (Event::End(Kind::String), 11),
                (Event::End(Kind::Array), 12),
                (Event::End(Kind::Object), 13),
            ]
        );
    }

    #[test]
    fn a_key_is_decoded_wherever_it_is_split() {
        let answer = br#"{"\u0045n\u20acv\ud83d\ude00\/\n":1}"#;
        for part in 1..=answer.len() {
            let mut tokens = Tokenizer::new(Framing::Document);
            let mut keys = Vec::new();
            for chunk in answer.chunks(part) {
                while let Some(event) = tokens.next(chunk).unwrap() {
                    if event == Event::Key {
                        keys.push(String::from_utf8(tokens.key(chunk).to_vec()).unwrap());
                    }
                }
            }
            assert_eq!(keys, ["En\u{20ac}v\u{1f600}/\n"], "in parts of {part}");
        }
    }

    #[test]
    fn valid_documents_are_read() {
        let deep = "[".repeat(MAX_DEPTH) + &"]".repeat(MAX_DEPTH);
        for answer in [
            "0",
            "-0.0e-0",
            "12",
            "1E+5",
            " true ",
            "null",
            "\"\"",
            "[]",
            "{}",
            "[ ]",
            "{ }\r\n\t",
            "[1 , 2]",
            "{\"a\" : 1 , \"b\":{\"a\":2}}",
            "[{\"a\":1},{\"a\":1}]",
            "\"\u{7f}\u{80}\u{7ff}\u{ffff}\u{10ffff}\"",
            &deep,
        ] {
            assert_eq!(error(Framing::Document, answer), None, "{answer}");
        }
    }

    #[test]
    fn what_is_not_json_is_refused() {
        for answer in [
            "01",
            "+1",
            "[1.]",
            ".5",
            "[1e]",
            "[1e+]",
            "--1",
            "0x1",
            "truee",
            "nul ",
            "True",
            "NaN",
            "'a'",
            "[1,]",
            "[,1]",
            "[1 2]",
            "{,}",
            "{\"a\"}",
            "{\"a\":}",
            "{\"a\":1,}",
            "{1:2}",
            "{a:1}",
            "[1}",
            "{\"a\":1]",
            "]",
            "}",
            ",",
            ":",
            "[1]]",
            "{} {}",
            "1 1",
            "[]x",
            "\"\n\"",
            "\"\0\"",
            "\"\\x\"",
            "\"\\u12g4\"",
            "\"\\U0041\"",
            "\u{feff}[]",
            "[\u{a0}1]",
            "\u{1e}{}",
            "/**/1",
            "\u{c}1",
        ] {
            assert_eq!(error(Framing::Document, answer), Some(JsonError::Syntax), "{answer}");
        }
    }

    #[test]
    fn what_ends_too_early_is_refused() {
        for answer in [
            "", " ", "[", "{\"a", "{\"a\"", "{\"a\":", "{\"a\":1", "\"a", "\"\\", "\"\\u12", "-", "1.", "1e",
            "tru",
        ] {
            assert_eq!(error(Framing::Document, answer), Some(JsonError::Truncated), "{answer}");
        }
        assert_eq!(error(Framing::Sequence, "{}{"), Some(JsonError::Truncated));
    }

    #[test]
    fn what_is_not_utf_8_is_refused() {
        for bytes in [
            &b"\x80"[..],
            b"\xc0\x80",
            b"\xc1\xbf",
            b"\xc3",
            b"\xc3a",
            b"\xe0\x80\x80",
            b"\xe2\x82",
            b"\xed\xa0\x80",
            b"\xf0\x80\x80\x80",
            b"\xf4\x90\x80\x80",
            b"\xf5\x80\x80\x80",
            b"\xff",
        ] {
            for answer in [[b"\"", bytes, b"\""].concat(), [b"{\"", bytes, b"\":1}"].concat()] {
                assert_eq!(
                    error(Framing::Document, &answer),
                    Some(JsonError::Utf8),
                    "{}",
                    answer.escape_ascii()
                );
            }
        }
    }

    #[test]
    fn half_of_a_surrogate_pair_is_refused() {
        for answer in [
            r#""\ud83d""#,
            r#""\ude00""#,
            r#""\ud83dx""#,
            r#""\ud83d\n""#,
            r#""\ud83d\u0041""#,
            r#""\ud83d\ud83d""#,
        ] {
            assert_eq!(error(Framing::Document, answer), Some(JsonError::Surrogate), "{answer}");
        }
    }

    #[test]
    fn a_key_must_not_occur_twice() {
        let many: String = (0..100).map(|number| format!("\"k{number}\":0,")).collect();
        for answer in [
            r#"{"a":1,"a":2}"#.to_owned(),
            r#"{"Env":1,"\u0045nv":2}"#.to_owned(),
            r#"{"a":{"b":1},"b":{"a":1,"c":{},"a":2}}"#.to_owned(),
            r#"{"":1,"":2}"#.to_owned(),
            format!("{{{many}\"k0\":0}}"),
            format!("{{{many}\"k99\":0}}"),
        ] {
            assert_eq!(error(Framing::Document, &answer), Some(JsonError::DuplicateKey), "{answer}");
        }
        assert_eq!(error(Framing::Document, format!("{{{many}\"k100\":0}}")), None);
        for count in FEW_KEYS - 2..FEW_KEYS + 3 {
            let some: String = (0..count).map(|number| format!("\"k{number}\":0,")).collect();
            for number in 0..count {
                let answer = format!("{{{some}\"k{number}\":0}}");
                let error = read(Framing::Document, answer.as_bytes(), answer.len()).err();
                assert_eq!(error, Some(JsonError::DuplicateKey), "{answer}");
            }
        }
        assert_eq!(error(Framing::Document, format!("{{{many}\"o\":{{{many}\"p\":0}}}}")), None);
    }

    #[test]
    fn there_is_a_limit_to_depth_and_keys() {
        let deep = "[".repeat(MAX_DEPTH + 1);
        assert_eq!(read(Framing::Document, deep.as_bytes(), 10), Err(JsonError::TooDeep));
        let key = |length: usize| format!("{{\"{}\":1}}", "k".repeat(length));
        assert!(read(Framing::Document, key(MAX_KEY).as_bytes(), 100).is_ok());
        for part in [100, MAX_KEY * 2] {
            assert_eq!(read(Framing::Document, key(MAX_KEY + 1).as_bytes(), part), Err(JsonError::LongKey));
        }
        let keys =
            |count: usize| (0..count).map(|number| format!("\"{number}\":1")).collect::<Vec<_>>().join(",");
        let some = keys(MAX_KEYS / 2);
        let twice = format!("[{{{some}}},{{{some}}},{{{some}}}]");
        assert!(read(Framing::Document, twice.as_bytes(), twice.len()).is_ok());
        let many = format!("{{{}}}", keys(MAX_KEYS + 1));
        assert_eq!(read(Framing::Document, many.as_bytes(), many.len()), Err(JsonError::ManyKeys));
    }

    #[test]
    fn a_sequence_has_objects_alone() {
        for answer in ["", "\n", "{}", "{}{}", "{}\n{}\n", "\u{1e}{}\n\u{1e}{\"a\":1}\n"] {
            assert_eq!(error(Framing::Sequence, answer), None, "{answer:?}");
        }
        for answer in ["[]", "{},{}", "{}1", "null", "{\u{1e}}", "{}]"] {
            assert_eq!(error(Framing::Sequence, answer), Some(JsonError::Syntax), "{answer:?}");
        }
    }

    #[test]
    fn the_word_wise_scan_stops_where_a_byte_wise_one_does() {
        for length in 0..20 {
            for at in 0..length {
                for byte in 0..=u8::MAX {
                    let mut bytes = vec![b'a'; length];
                    bytes[at] = byte;
                    let is_plain = matches!(byte, 0x20..=0x7f) && byte != b'"' && byte != b'\\';
                    assert_eq!(
                        plain(&bytes),
                        if is_plain { length } else { at },
                        "{byte:#x} at {at} of {length}"
                    );
                }
            }
        }
    }
}
