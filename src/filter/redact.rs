//! The pass that redacts: JSON comes in chunks, and goes on in chunks without what the policy takes out, and
//! without the items of lists that are not visible.
//!
//! What stays goes on byte for byte. A value is replaced as soon as it begins, and what cannot be judged yet
//! is held: an entry of `Env`, a label's key, an event's action, an item until a name or a label makes it visible.
//! So memory is bounded by [`MAX_HELD`], by [`MAX_ITEM`] and by what the tokenizer keeps, never by the answer.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use super::items::Item;
pub use super::items::MAX_ITEM;
use super::json::{self, Event, Framing, JsonError, Kind, MAX_DEPTH, Tokenizer};
use super::memo::Recall;
pub use super::plan::Plan;
use super::stats::LeftOut;
use super::table::{Member, OTHER, Word};
use crate::policy::redaction::{Entries, Handling, PLAIN_ACTIONS};
use crate::policy::visibility::Lists;

/// How many bytes are held until they can be judged. A variable that Linux can hand to a process has up to
/// 128 KiB, and a byte of it up to 6 in JSON.
pub const MAX_HELD: usize = 1024 * 1024;

/// Why an answer cannot be filtered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// It is not JSON that can be filtered.
    Json(JsonError),
    /// A value that must be seen whole is larger than [`MAX_HELD`], or an item than [`MAX_ITEM`].
    TooLarge,
}

/// An answer that cannot be filtered. None of what follows passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FilterError {
    /// Why.
    pub reason: Reason,
    /// Behind how many bytes of the answer.
    pub offset: u64,
}

impl fmt::Display for FilterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.reason {
            Reason::Json(error) => error.fmt(f)?,
            Reason::TooLarge => write!(f, "a value is too large to be judged")?,
        }
        write!(f, " at byte {}", self.offset)
    }
}

impl std::error::Error for FilterError {}

impl From<JsonError> for Reason {
    fn from(error: JsonError) -> Self {
        Reason::Json(error)
    }
}

/// An object or array that is open.
#[derive(Debug, Clone, Copy)]
struct Frame {
    is_object: bool,
    /// How many of the segments lead to it.
    segments: usize,
    /// Whether its members have names of their own.
    is_map: bool,
    filter: Option<Filter>,
    /// Whether a member or item of a filtered one has gone on.
    has_kept: bool,
}

/// What stays of an object's members or an array's items.
#[derive(Debug, Clone, Copy)]
enum Filter {
    /// Members with these names, and those that a pattern keeps.
    Members(&'static [&'static str], Option<Entries>),
    /// Items whose name a pattern keeps.
    Items(Entries),
    /// Items that are visible.
    Visible,
    /// Members with the names of visible objects.
    Naming,
}

/// Where the bytes at hand go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Target {
    Out,
    Held,
    Nowhere,
}

/// A value that is treated as a whole.
#[derive(Debug, Clone, Copy)]
struct Whole {
    /// How deep it stands.
    depth: usize,
    purpose: Purpose,
}

#[derive(Debug, Clone, Copy)]
enum Purpose {
    /// It goes.
    Drop,
    /// A string `NAME=VALUE` in an array; it begins there in what is held.
    Text(Entries, usize),
    /// An object with a `Name` in an array.
    Named(Entries, Name),
    /// An event's action.
    Action,
}

/// The `Name` of an object that is held.
#[derive(Debug, Clone, Copy, Default)]
struct Name {
    /// How many keys are spelled so, upper and lower case aside. Readers differ on which counts.
    count: usize,
    is_next: bool,
    /// Where its value begins and ends in what is held.
    from: Option<usize>,
    to: Option<usize>,
}

/// Redacts one answer, and leaves out what is not visible.
#[derive(Debug)]
pub struct Redactor {
    plan: Arc<Plan>,
    /// Where the answer has lists whose items are judged.
    lists: Lists,
    tokens: Tokenizer,
    frames: Vec<Frame>,
    /// The keys on the way to the object at hand.
    segments: [Word; MAX_DEPTH + 1],
    /// Of the last key.
    member: Member,
    whole: Option<Whole>,
    target: Target,
    /// What is not judged yet.
    held: Vec<u8>,
    /// Behind the comma in what is held.
    comma: Option<usize>,
    /// How many more items of lists go on; `None` is all that are visible.
    most: Option<usize>,
    /// The item that is being judged.
    item: Option<Item>,
    /// While there is such an item, between calls: what is held of it. While its bytes are written: what has
    /// gone on before it.
    aside: Vec<u8>,
    /// Where what has not been taken begins in the chunk.
    from: usize,
    /// How long the chunks before this one are together.
    before: u64,
    failed: Option<FilterError>,
    /// What items became in earlier answers.
    recall: Option<Recall>,
    /// The item of the whole list that is being read, if it is to be kept.
    to_keep: Option<ToKeep>,
    left_out: LeftOut,
}

/// An item that has begun in the chunk at hand.
#[derive(Debug, Clone, Copy)]
struct ToKeep {
    /// Where.
    from: usize,
    /// How much of what is put aside comes before it.
    before: usize,
    /// Where what is shown of it begins in what goes on; `None` if nothing is.
    shown: Option<usize>,
    /// What had been left out before it.
    left_out: LeftOut,
}

impl Redactor {
    /// A pass over one answer. Items of its lists are judged if the plan's visibility is not everything.
    pub fn new(plan: Arc<Plan>, framing: Framing, lists: Lists) -> Self {
        let lists = if plan.shows_everything() { Lists::None } else { lists };
        Redactor {
            plan,
            lists,
            tokens: Tokenizer::new(framing),
            frames: Vec::with_capacity(16),
            segments: [OTHER; MAX_DEPTH + 1],
            member: Member::default(),
            whole: None,
            target: Target::Out,
            held: Vec::new(),
            comma: None,
            most: None,
            item: None,
            aside: Vec::new(),
            from: 0,
            before: 0,
            failed: None,
            recall: None,
            to_keep: None,
            left_out: LeftOut::default(),
        }
    }

    /// Takes items of a list that is the whole answer from a memo, and keeps others there. Its other passes have to
    /// be of the same plan and `lists`, and let all visible items go on.
    #[must_use]
    pub fn with_memo(mut self, recall: Recall) -> Self {
        self.recall = Some(recall);
        self
    }

    /// Lets at most so many items of its lists go on; `None` is all that are visible.
    #[must_use]
    pub fn with_at_most(mut self, items: Option<usize>) -> Self {
        self.most = items;
        self
    }

    /// Takes the next bytes of the answer, of any length, and appends to `out` what of them can go on.
    ///
    /// # Errors
    ///
    /// If the answer cannot be filtered; then nothing is appended, now and ever after.
    pub fn push(&mut self, chunk: &[u8], out: &mut Vec<u8>) -> Result<(), FilterError> {
        let length = out.len();
        let result = match self.failed {
            Some(error) => Err(error),
            None => {
                let in_item = self.item.is_some();
                self.turn_aside(in_item, out);
                let result = self.pass(chunk, out);
                let in_item = self.item.is_some();
                self.turn_aside(in_item, out);
                result.map_err(|reason| self.fail(reason))
            }
        };
        if result.is_err() {
            out.truncate(length);
        }
        self.before += chunk.len() as u64;
        result
    }

    /// What it has left out since this was last called.
    pub fn take_left_out(&mut self) -> LeftOut {
        std::mem::take(&mut self.left_out)
    }

    /// The end of the answer.
    ///
    /// # Errors
    ///
    /// If it has failed, or is not complete.
    pub fn finish(&mut self) -> Result<(), FilterError> {
        match (self.failed, self.tokens.finish()) {
            (Some(error), _) => Err(error),
            (None, Ok(_)) => Ok(()),
            (None, Err(error)) => Err(self.fail(error.into())),
        }
    }

    fn fail(&mut self, reason: Reason) -> FilterError {
        let error = FilterError { reason, offset: self.before + self.tokens.position() as u64 };
        self.failed = Some(error);
        self.held = Vec::new();
        self.aside = Vec::new();
        error
    }

    fn pass(&mut self, chunk: &[u8], out: &mut Vec<u8>) -> Result<(), Reason> {
        self.from = 0;
        self.to_keep = None;
        loop {
            if self.recall.is_some() && self.tokens.is_before_item(chunk) {
                self.recall(chunk, out)?;
            }
            let Some(event) = self.tokens.next(chunk)? else { break };
            if event == Event::Key
                && let Some(item) = &mut self.item
            {
                item.enter(&self.tokens, chunk, &self.plan);
            }
            match self.whole {
                None => self.on(event, chunk, out)?,
                Some(whole) => self.in_whole(whole, event, chunk, out)?,
            }
            if let Some(item) = &mut self.item
                && item.shows(event, &self.tokens, chunk, &self.plan)
                && self.most != Some(0)
            {
                self.take(chunk, self.tokens.position(), out)?;
                self.show_item(out);
            }
            if event == Event::End(Kind::Object) && self.tokens.depth() == 1 {
                self.keep(chunk, out)?;
            }
        }
        if let Some(item) = &mut self.item {
            item.end_chunk(chunk);
        }
        self.take(chunk, chunk.len(), out)
    }

    /// Lets the item that begins here become what it became in an earlier answer, if that is known.
    fn recall(&mut self, chunk: &[u8], out: &mut Vec<u8>) -> Result<(), Reason> {
        let (Some(recall), from) = (&self.recall, self.tokens.position()) else { return Ok(()) };
        let known = recall.find(&chunk[from..]);
        self.take(chunk, from, out)?;
        let Some(known) = known else {
            let shown = (self.target == Target::Out).then_some(out.len());
            self.to_keep = Some(ToKeep { from, before: 0, shown, left_out: self.left_out });
            return Ok(());
        };
        self.tokens.skip_known(known.len());
        self.left_out += known.left_out();
        self.from = self.tokens.position();
        if let Some(shown) = known.shown() {
            self.let_held_go(out);
            out.extend_from_slice(shown);
        }
        self.held.clear();
        self.comma = None;
        Ok(())
    }

    /// Keeps what the item became that has ended, if it began in the same chunk.
    fn keep(&mut self, chunk: &[u8], out: &mut Vec<u8>) -> Result<(), Reason> {
        let Some(ToKeep { from, shown, left_out, .. }) = self.to_keep.take() else { return Ok(()) };
        self.take(chunk, self.tokens.position(), out)?;
        if let Some(recall) = &self.recall {
            let item = &chunk[from..self.tokens.position()];
            recall.keep(item, shown.map(|from| &out[from..]), self.left_out.since(left_out));
        }
        Ok(())
    }

    #[inline]
    fn on(&mut self, event: Event, chunk: &[u8], out: &mut Vec<u8>) -> Result<(), Reason> {
        match event {
            Event::Key => self.key(chunk, out),
            Event::Begin(kind) => self.begin(kind, chunk, out),
            Event::End(kind) => self.end(kind, chunk, out),
            Event::Comma if self.target == Target::Held => {
                self.take(chunk, self.tokens.position(), out)?;
                self.comma = Some(self.held.len());
                Ok(())
            }
            Event::Comma => Ok(()),
        }
    }

    fn key(&mut self, chunk: &[u8], out: &mut Vec<u8>) -> Result<(), Reason> {
        let Some(&frame) = self.frames.last() else { return Ok(()) };
        if let Some(filter @ (Filter::Members(..) | Filter::Naming)) = frame.filter {
            self.take(chunk, self.tokens.position(), out)?;
            let name = text(self.tokens.key(chunk));
            let stays = match filter {
                Filter::Members(known, entries) => {
                    known.contains(&name)
                        || entries.is_some_and(|entries| self.plan.redaction().keeps(entries, name))
                }
                _ => self.plan.names(name),
            };
            if !stays {
                match filter {
                    Filter::Naming => self.left_out.hidden += 1,
                    _ => self.left_out.redacted += 1,
                }
                self.drop_whole(self.tokens.depth());
                if self.skip_scalar(chunk) {
                    self.take(chunk, self.tokens.position(), out)?;
                    self.whole = None;
                    self.after_value(chunk, out)?;
                }
                return Ok(());
            }
            self.let_held_go(out);
            self.target = Target::Out;
        }
        let segments = &self.segments[..frame.segments];
        self.member = self.plan.member(self.tokens.key(chunk), segments, frame.is_map);
        if self.member.keeps_scalars() && self.skip_scalar(chunk) {
            self.after_value(chunk, out)?;
            if self.target == Target::Out {
                self.tokens.skip_comma(chunk);
            }
        }
        Ok(())
    }

    /// Reads the value of the key at hand at once, if it is a plain one that is whole in the chunk and judges no item.
    #[inline]
    fn skip_scalar(&mut self, chunk: &[u8]) -> bool {
        let is_judged = self.item.as_ref().is_some_and(|item| item.judges_value(&self.tokens));
        !is_judged && self.tokens.skip_scalar(chunk)
    }

    fn begin(&mut self, kind: Kind, chunk: &[u8], out: &mut Vec<u8>) -> Result<(), Reason> {
        let parent = self.frames.last().copied();
        let handling = match parent {
            Some(Frame { filter: Some(Filter::Items(entries)), .. }) => {
                return self.begin_item(entries, kind, chunk, out);
            }
            Some(Frame { filter: Some(Filter::Visible), .. }) => {
                return self.begin_listed(kind, chunk, out);
            }
            Some(Frame { is_object: true, .. }) if kind == Kind::String && self.member.is_action => {
                self.take(chunk, self.tokens.position() - 1, out)?;
                self.hold_whole(self.tokens.depth(), Purpose::Action);
                return Ok(());
            }
            Some(Frame { is_object: true, .. }) => self
                .member
                .handling
                .filter(|handling| *handling != Handling::EmptyObject || kind == Kind::Object),
            _ => None,
        };
        let filter = match (handling, kind) {
            (None, Kind::Array) if self.is_list(parent) => Some(Filter::Visible),
            (None, Kind::Object) if self.is_reference_map(parent) => Some(Filter::Naming),
            (None, _) => None,
            (Some(Handling::Entries(entries)), Kind::Object) => Some(Filter::Members(&[], Some(entries))),
            (Some(Handling::Entries(entries)), Kind::Array) => Some(Filter::Items(entries)),
            (Some(Handling::Known(known, entries)), Kind::Object) => Some(Filter::Members(known, entries)),
            (Some(Handling::Known(..)), Kind::String | Kind::Number | Kind::Bool) => None,
            (Some(_), kind) => {
                self.take(chunk, self.tokens.position() - 1, out)?;
                out.extend_from_slice(empty(kind));
                self.left_out.redacted += u64::from(kind != Kind::Null);
                self.drop_whole(self.depth_around(kind));
                return Ok(());
            }
        };
        if matches!(kind, Kind::Object | Kind::Array) {
            self.open(parent, kind == Kind::Object, filter);
        }
        if filter.is_some() {
            self.take(chunk, self.tokens.position(), out)?;
            self.target = Target::Held;
        }
        Ok(())
    }

    /// Whether an array that begins is a list whose items are judged.
    fn is_list(&self, parent: Option<Frame>) -> bool {
        match self.lists {
            Lists::None => false,
            Lists::Root => parent.is_none(),
            Lists::Named => parent.is_some_and(|parent| parent.is_object) && self.member.is_list,
        }
    }

    fn is_reference_map(&self, parent: Option<Frame>) -> bool {
        parent.is_some_and(|parent| parent.is_object) && self.member.is_reference_map
    }

    fn open(&mut self, parent: Option<Frame>, is_object: bool, filter: Option<Filter>) {
        // The items of a document that is an array are not anchored: there is an unknown word before them.
        let (segments, word) = match parent {
            None if is_object => (0, None),
            None => (1, Some(OTHER)),
            Some(parent) if parent.is_object => (parent.segments + 1, Some(self.member.word)),
            Some(parent) => (parent.segments, None),
        };
        if let Some(word) = word {
            self.segments[segments - 1] = word;
        }
        let is_member = parent.is_some_and(|parent| parent.is_object);
        let is_map = is_object && is_member && self.member.is_map;
        self.frames.push(Frame { is_object, segments, is_map, filter, has_kept: false });
    }

    fn begin_item(
        &mut self,
        entries: Entries,
        kind: Kind,
        chunk: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), Reason> {
        self.take(chunk, self.tokens.position() - 1, out)?;
        let depth = self.depth_around(kind);
        match kind {
            Kind::String => self.hold_whole(depth, Purpose::Text(entries, self.held.len())),
            Kind::Object => self.hold_whole(depth, Purpose::Named(entries, Name::default())),
            _ => {
                self.left_out.redacted += 1;
                self.drop_whole(depth);
            }
        }
        Ok(())
    }

    /// An item of a list begins: what it becomes is put aside until it is known to be visible.
    fn begin_listed(&mut self, kind: Kind, chunk: &[u8], out: &mut Vec<u8>) -> Result<(), Reason> {
        if kind != Kind::Object {
            self.left_out.hidden += 1;
            self.drop_whole(self.depth_around(kind));
            return Ok(());
        }
        self.take(chunk, self.tokens.position() - 1, out)?;
        if let Some(to_keep) = &mut self.to_keep {
            to_keep.before = self.held.len();
        }
        let list = self.frames.len() - 1;
        self.item = Some(Item::new(self.depth_around(kind), list, self.comma.take()));
        self.aside.clear();
        self.aside.append(&mut self.held);
        self.turn_aside(true, out);
        self.target = Target::Out;
        self.open(self.frames.last().copied(), true, None);
        Ok(())
    }

    /// The item at hand is visible: what has been put aside of it goes on, and so does the rest as it comes.
    fn show_item(&mut self, out: &mut Vec<u8>) {
        let Some(item) = self.item.take() else { return };
        self.most = self.most.map(|most| most.saturating_sub(1));
        self.turn_aside(true, out);
        let list = &mut self.frames[item.list];
        let from = if list.has_kept { 0 } else { item.comma.unwrap_or(0) };
        list.has_kept = true;
        if let Some(to_keep) = &mut self.to_keep {
            to_keep.shown = Some(out.len() + to_keep.before - from);
        }
        out.extend_from_slice(&self.aside[from..]);
        self.aside.clear();
    }

    /// The item at hand has ended and nothing has made it visible.
    fn leave_item_out(&mut self, out: &mut Vec<u8>) {
        self.item = None;
        self.left_out.hidden += 1;
        self.turn_aside(true, out);
        self.aside.clear();
    }

    /// Exchanges what goes on and what is put aside.
    fn turn_aside(&mut self, in_item: bool, out: &mut Vec<u8>) {
        if in_item {
            std::mem::swap(&mut self.aside, out);
        }
    }

    fn end(&mut self, kind: Kind, chunk: &[u8], out: &mut Vec<u8>) -> Result<(), Reason> {
        if matches!(kind, Kind::Object | Kind::Array) {
            let frame = self.frames.pop();
            if frame.is_some_and(|frame| frame.filter.is_some()) {
                self.take(chunk, self.tokens.position(), out)?;
                out.append(&mut self.held);
                self.target = Target::Out;
            }
        }
        if self.item.as_ref().is_some_and(|item| item.ends(Event::End(kind), &self.tokens)) {
            self.take(chunk, self.tokens.position(), out)?;
            self.leave_item_out(out);
        }
        self.after_value(chunk, out)
    }

    /// In a filtered object or array, what follows a value is held until the next has been judged.
    #[inline]
    fn after_value(&mut self, chunk: &[u8], out: &mut Vec<u8>) -> Result<(), Reason> {
        let is_filtered = self.frames.last().is_some_and(|frame| frame.filter.is_some());
        let target = if is_filtered { Target::Held } else { Target::Out };
        if target != self.target {
            self.take(chunk, self.tokens.position(), out)?;
            self.target = target;
        }
        Ok(())
    }

    /// Goes on in a value that is treated as a whole.
    fn in_whole(
        &mut self,
        whole: Whole,
        event: Event,
        chunk: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), Reason> {
        let depth = self.tokens.depth();
        if !matches!(event, Event::End(_)) || depth != whole.depth {
            if let Purpose::Named(entries, name) = whole.purpose
                && depth == whole.depth + 1
            {
                let name = self.find_name(name, event, chunk, out)?;
                self.whole = Some(Whole { purpose: Purpose::Named(entries, name), ..whole });
            }
            return Ok(());
        }
        self.take(chunk, self.tokens.position(), out)?;
        self.whole = None;
        match whole.purpose {
            Purpose::Drop => {}
            Purpose::Action => self.end_action(out),
            Purpose::Text(entries, from) => {
                let stays = self.keeps(entries, &self.held[from..]);
                self.end_item(stays, out);
            }
            Purpose::Named(entries, name) => {
                let place = name.from.zip(name.to).filter(|_| name.count == 1);
                let stays = place.is_some_and(|(from, to)| self.keeps(entries, &self.held[from..to]));
                self.end_item(stays, out);
            }
        }
        self.after_value(chunk, out)
    }

    /// Looks for the `Name` among the members of an object that is held.
    fn find_name(
        &mut self,
        mut name: Name,
        event: Event,
        chunk: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<Name, Reason> {
        match event {
            Event::Key => {
                let key = self.tokens.key(chunk);
                name.count += usize::from(key.eq_ignore_ascii_case(b"Name"));
                name.is_next = key == b"Name";
            }
            Event::Begin(Kind::String) if name.is_next => {
                self.take(chunk, self.tokens.position() - 1, out)?;
                name.from = Some(self.held.len());
            }
            Event::End(Kind::String) if name.is_next => {
                self.take(chunk, self.tokens.position(), out)?;
                name.to = Some(self.held.len());
            }
            _ => {}
        }
        Ok(name)
    }

    /// Whether a pattern keeps an entry `NAME=VALUE` or `NAME`, given as it is written.
    fn keeps(&self, entries: Entries, string: &[u8]) -> bool {
        let entry = decoded(string);
        let name = entry.split('=').next().unwrap_or_default();
        self.plan.redaction().keeps(entries, name)
    }

    fn end_item(&mut self, stays: bool, out: &mut Vec<u8>) {
        if stays {
            self.let_held_go(out);
        } else {
            self.left_out.redacted += 1;
        }
        self.held.clear();
        self.comma = None;
    }

    fn end_action(&mut self, out: &mut Vec<u8>) {
        let action = decoded(&self.held);
        match action.split_once(':') {
            Some((name, _)) if !PLAIN_ACTIONS.contains(&name) => {
                out.extend_from_slice(serde_json::Value::from(name).to_string().as_bytes());
                self.left_out.redacted += 1;
            }
            _ => out.extend_from_slice(&self.held),
        }
        self.held.clear();
    }

    /// Lets a member or item that stays go on, with the comma before it if one has gone before.
    fn let_held_go(&mut self, out: &mut Vec<u8>) {
        let Some(frame) = self.frames.last_mut() else { return };
        let from = if frame.has_kept { 0 } else { self.comma.unwrap_or(0) };
        frame.has_kept = true;
        out.extend_from_slice(&self.held[from..]);
        self.held.clear();
        self.comma = None;
    }

    /// Nothing of the value that stands at this depth goes on, nor of what is held before it.
    fn drop_whole(&mut self, depth: usize) {
        self.held.clear();
        self.comma = None;
        self.whole = Some(Whole { depth, purpose: Purpose::Drop });
        self.target = Target::Nowhere;
    }

    fn hold_whole(&mut self, depth: usize, purpose: Purpose) {
        self.whole = Some(Whole { depth, purpose });
        self.target = Target::Held;
    }

    /// How deep a value stands that has just begun.
    fn depth_around(&self, kind: Kind) -> usize {
        self.tokens.depth() - usize::from(matches!(kind, Kind::Object | Kind::Array))
    }

    /// Sends what has come since the last time where it goes.
    #[inline]
    fn take(&mut self, chunk: &[u8], to: usize, out: &mut Vec<u8>) -> Result<(), Reason> {
        let bytes = &chunk[self.from..to];
        self.from = to;
        match self.target {
            Target::Out if self.item.is_some() && out.len() + bytes.len() > MAX_ITEM => {
                return Err(Reason::TooLarge);
            }
            Target::Out => out.extend_from_slice(bytes),
            Target::Held if self.held.len() + bytes.len() > MAX_HELD => return Err(Reason::TooLarge),
            Target::Held => self.held.extend_from_slice(bytes),
            Target::Nowhere => {}
        }
        Ok(())
    }
}

/// The empty value of a type.
fn empty(kind: Kind) -> &'static [u8] {
    match kind {
        Kind::Object => b"{}",
        Kind::Array => b"[]",
        Kind::String => b"\"\"",
        Kind::Number => b"0",
        Kind::Bool => b"false",
        Kind::Null => b"null",
    }
}

/// A string as it is written, its quotes included, decoded.
fn decoded(string: &[u8]) -> Cow<'_, str> {
    let inside = string.get(1..string.len().saturating_sub(1)).unwrap_or_default();
    if inside.contains(&b'\\') {
        Cow::Owned(String::from_utf8(json::unescaped(inside)).unwrap_or_default())
    } else {
        Cow::Borrowed(text(inside))
    }
}

/// The tokenizer has seen that it is UTF-8.
fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::redaction::{Class, Classes, Glob, Redaction};
    use crate::policy::visibility::Visibility;

    fn plan(classes: &str, keep_env: &[&str], keep_labels: &[&str]) -> Arc<Plan> {
        let globs = |globs: &[&str]| globs.iter().map(|glob| Glob::new(glob)).collect();
        let classes: Classes = classes.parse().unwrap();
        let redaction = Redaction::new(classes, globs(keep_env), globs(keep_labels));
        Arc::new(Plan::new(redaction, Visibility::default()))
    }

    fn pass(plan: &Arc<Plan>, answer: &str) -> Result<String, FilterError> {
        let mut redactor = Redactor::new(Arc::clone(plan), Framing::Document, Lists::None);
        let mut out = Vec::new();
        redactor.push(answer.as_bytes(), &mut out)?;
        redactor.finish()?;
        Ok(String::from_utf8(out).unwrap())
    }

    fn shown(classes: &str, answer: &str) -> String {
        // A pattern implies its class, so it is given only with it.
        let set: Classes = classes.parse().unwrap();
        let env: &[&str] = if set.contains(Class::Env) { &["KEEP*"] } else { &[] };
        let labels: &[&str] = if set.contains(Class::Labels) { &["keep*"] } else { &[] };
        pass(&plan(classes, env, labels), answer).unwrap()
    }

    #[test]
    fn a_variable_that_no_pattern_keeps_is_gone() {
        for (env, left) in [
            (r#"["A=1","B=2"]"#, "[]"),
            (r#"["KEEP=1"]"#, r#"["KEEP=1"]"#),
            (r#"[ "A=1", "KEEP=1", "KEEP2=2" , "B=2" ]"#, r#"[ "KEEP=1", "KEEP2=2" ]"#),
            (r#"["\u004bEEP\u003d\u003c1\u003e","KEEP"]"#, r#"["\u004bEEP\u003d\u003c1\u003e","KEEP"]"#),
            (r#"["A=KEEP=1",1,null,["KEEP=1"],{"KEEP":1}]"#, "[]"),
            (r#""KEEP=1""#, r#""""#),
            (r#"{"A":"1","KEEP":{"Env":["A=1"]}}"#, r#"{"KEEP":{"Env":[]}}"#),
            ("null", "null"),
        ] {
            assert_eq!(
                shown("env", &format!(r#"{{"Env":{env},"a":1}}"#)),
                format!(r#"{{"Env":{left},"a":1}}"#)
            );
        }
    }

    #[test]
    fn a_variable_that_is_an_object_is_judged_by_its_name() {
        for (object, stays) in [
            (r#"{"Name":"KEEP","Value":"A"}"#, true),
            (r#"{"Value":{"Name":"A"},"Name":"\u004bEEP"}"#, true),
            (r#"{"Name":"A","Value":"KEEP"}"#, false),
            (r#"{"Value":{"Name":"KEEP"}}"#, false),
            (r#"{"name":"KEEP"}"#, false),
            // A client may take the one for the other.
            (r#"{"Name":"KEEP","name":"A"}"#, false),
            (r#"{"Name":["KEEP"]}"#, false),
        ] {
            let left = if stays { object } else { "" };
            assert_eq!(shown("env", &format!(r#"{{"Env":[{object}]}}"#)), format!(r#"{{"Env":[{left}]}}"#));
        }
    }

    #[test]
    fn keys_are_found_however_they_are_spelled() {
        for key in ["Env", "env", "ENV", "\\u0045nv", "\\u0065\\u006e\\u0076"] {
            assert_eq!(shown("env", &format!(r#"[{{"{key}":["A=1"]}}]"#)), format!(r#"[{{"{key}":[]}}]"#));
        }
    }

    #[test]
    fn other_values_become_the_empty_ones_of_their_types() {
        let answer = r#"{"Cmd":"x","Args":["x",{"a":[]}],"Entrypoint":{"a":1},"Shell":-1.5e3,"Test":true,"Command":null}"#;
        let left = r#"{"Cmd":"","Args":[],"Entrypoint":{},"Shell":0,"Test":false,"Command":null}"#;
        assert_eq!(shown("commands", answer), left);
        assert_eq!(shown("env,labels,paths,options,tokens", answer), answer);
    }

    #[test]
    fn labels_and_attributes_stay_if_they_are_known_or_kept() {
        let answer = r#"{"Actor":{"Attributes":{"secret":"x","name":"web","keep.me":"1","exitCode":"0"}},"Labels":["a=1","keep=1"]}"#;
        let left =
            r#"{"Actor":{"Attributes":{"name":"web","keep.me":"1","exitCode":"0"}},"Labels":["keep=1"]}"#;
        assert_eq!(shown("labels", answer), left);
    }

    #[test]
    fn a_name_that_a_user_chose_is_no_key_of_the_table() {
        for answer in [
            r#"{"Labels":{"Env":"x","Cmd":"y"}}"#,
            r#"{"NetworkSettings":{"Networks":{"Env":{"IPAddress":"x"},"Args":{}}}}"#,
            r#"{"HostConfig":{"LogConfig":{"Config":{"env":"A,B"}}}}"#,
        ] {
            assert_eq!(shown("env,commands", answer), answer);
        }
        let answer = r#"{"NetworkSettings":{"Networks":{"Devices":{"Path":"x"},"Mounts":[{"Source":"y"}]}}}"#;
        assert_eq!(shown("paths", answer), answer);
        let answer = r#"{"NetworkSettings":{"Networks":{"Env":{"DriverOpts":{"a":"b"}}}}}"#;
        assert_eq!(shown("options", answer), r#"{"NetworkSettings":{"Networks":{"Env":{"DriverOpts":{}}}}}"#);
    }

    #[test]
    fn an_action_loses_its_command_and_a_state_stays() {
        let answer = r#"{"status":"exec_start: sh -c x","Action":"exec_create\u003a \"x\""}"#;
        assert_eq!(shown("commands", answer), r#"{"status":"exec_start","Action":"exec_create"}"#);
        for answer in [
            r#"{"status":"health_status: healthy","Action":"exec_die"}"#,
            r#"{"Status":{"State":"running","Err":""},"Spec":{"Action":"a: b"}}"#,
            r#"[{"Status":"Up 3 hours: fine"}]"#,
        ] {
            assert_eq!(shown("commands", answer), answer);
        }
    }

    #[test]
    fn a_longer_row_decides() {
        let answer = r#"{"DNSConfig":{"Options":["ndots:1"]},"Driver":{"Options":{"a":"b"}}}"#;
        assert_eq!(
            shown("options", answer),
            r#"{"DNSConfig":{"Options":["ndots:1"]},"Driver":{"Options":{}}}"#
        );
    }

    #[test]
    fn an_anchored_row_fits_at_the_root_alone() {
        for (answer, left) in [
            (r#"{"Path":"sh"}"#, r#"{"Path":""}"#),
            (r#"[{"Path":"/etc"}]"#, r#"[{"Path":"/etc"}]"#),
            (r#"{"a":{"Path":"/etc"}}"#, r#"{"a":{"Path":"/etc"}}"#),
        ] {
            assert_eq!(shown("commands", answer), left);
        }
    }

    #[test]
    fn the_mounts_of_an_old_container_go_and_a_list_of_volumes_stays() {
        for (answer, left) in [
            (r#"{"Volumes":{"/data":"/srv"}}"#, r#"{"Volumes":{}}"#),
            (
                r#"{"Volumes":[{"Name":"a","Mountpoint":"/srv"}]}"#,
                r#"{"Volumes":[{"Name":"a","Mountpoint":""}]}"#,
            ),
            (r#"{"Volumes":null}"#, r#"{"Volumes":null}"#),
            (r#"{"Config":{"Volumes":{"/data":{}}}}"#, r#"{"Config":{"Volumes":{"/data":{}}}}"#),
            (
                r#"{"Options":{"type":"none","o":"bind","device":"/srv"}}"#,
                r#"{"Options":{"type":"none","o":"","device":""}}"#,
            ),
        ] {
            assert_eq!(shown("paths", answer), left);
        }
    }

    #[test]
    fn an_object_of_a_sequence_goes_out_when_it_is_complete() {
        let mut redactor = Redactor::new(plan("all", &[], &[]), Framing::Sequence, Lists::None);
        for (event, left) in [
            (r#"{"Action":"exec_create: x"}"#, r#"{"Action":"exec_create"}"#),
            ("\n{\"Labels\":{\"a\":\"b\"}}", "\n{\"Labels\":{}}"),
            ("\u{1e}{\"Env\":[\"A=1\"]}\n", "\u{1e}{\"Env\":[]}\n"),
        ] {
            let mut out = Vec::new();
            redactor.push(event.as_bytes(), &mut out).unwrap();
            assert_eq!(String::from_utf8_lossy(&out), left);
        }
        redactor.finish().unwrap();
    }

    #[test]
    fn the_first_byte_goes_on_before_the_last_has_come() {
        let mut redactor = Redactor::new(plan("all", &[], &[]), Framing::Document, Lists::None);
        let mut out = Vec::new();
        for byte in br#"{"Id":"9f","Env":["A"# {
            redactor.push(&[*byte], &mut out).unwrap();
        }
        assert_eq!(out, br#"{"Id":"9f","Env":["#);
    }

    #[test]
    fn after_an_error_nothing_comes_out() {
        let mut redactor = Redactor::new(plan("env", &[], &[]), Framing::Document, Lists::None);
        let mut out = Vec::new();
        redactor.push(br#"{"a":1,"#, &mut out).unwrap();
        let length = out.len();
        let error = redactor.push(br#""b":2,"a":3,"c":4}"#, &mut out).unwrap_err();
        assert_eq!(error, FilterError { reason: Reason::Json(JsonError::DuplicateKey), offset: 16 });
        assert_eq!(error.to_string(), "a key occurs twice in an object at byte 16");
        assert_eq!(redactor.push(b"}", &mut out), Err(error));
        assert_eq!(redactor.push(b"", &mut out), Err(error));
        assert_eq!(redactor.finish(), Err(error));
        assert_eq!(out.len(), length);
    }

    #[test]
    fn what_is_held_is_bounded_and_what_is_not_may_be_of_any_length() {
        let text = |length: usize| "x".repeat(length);
        let env =
            |length| pass(&plan("env", &["KEEP*"], &[]), &format!(r#"{{"Env":["KEEP={}"]}}"#, text(length)));
        assert!(env(MAX_HELD - 100).is_ok());
        assert_eq!(env(MAX_HELD).unwrap_err().reason, Reason::TooLarge);
        let answer =
            format!(r#"{{"Cmd":"{0}","Labels":{{"keep":"{0}","a":"{0}"}},"b":"{0}"}}"#, text(MAX_HELD * 2));
        let left = format!(r#"{{"Cmd":"","Labels":{{"keep":"{0}"}},"b":"{0}"}}"#, text(MAX_HELD * 2));
        assert!(shown("all", &answer) == left);
        let spaces = format!(r#"{{"Env":[{}]}}"#, " ".repeat(MAX_HELD + 1));
        assert_eq!(pass(&plan("env", &[], &[]), &spaces).unwrap_err().reason, Reason::TooLarge);
    }

    fn visible(lists: Lists, selectors: &[&str], answer: &str) -> String {
        let only = selectors.iter().map(|selector| selector.parse().unwrap()).collect();
        let redaction = Redaction::new("env,labels".parse().unwrap(), vec![], vec![]);
        let plan = Arc::new(Plan::new(redaction, Visibility::new(only)));
        let whole = parts(&plan, lists, answer, answer.len()).unwrap();
        for part in 1..answer.len() {
            assert_eq!(parts(&plan, lists, answer, part).unwrap(), whole, "in parts of {part}");
        }
        whole
    }

    fn parts(plan: &Arc<Plan>, lists: Lists, answer: &str, part: usize) -> Result<String, FilterError> {
        let mut redactor = Redactor::new(Arc::clone(plan), Framing::Document, lists);
        let mut out = Vec::new();
        for part in answer.as_bytes().chunks(part) {
            redactor.push(part, &mut out)?;
        }
        redactor.finish()?;
        Ok(String::from_utf8(out).unwrap())
    }

    #[test]
    fn items_that_no_selector_chooses_are_left_out() {
        let answer = r#"[ {"Id":"1","Names":["/web"],"Labels":{"p":"a"}}, {"Id":"2","Names":["/db"],"Labels":{"p":"b"}} ,{"Id":"3"}, 4 ]"#;
        for (selectors, left) in [
            (&["label:p=a"][..], r#"[ {"Id":"1","Names":["/web"],"Labels":{}} ]"#),
            (&["label:p=b"], r#"[ {"Id":"2","Names":["/db"],"Labels":{}} ]"#),
            (
                &["name:web", "name:d?"],
                r#"[ {"Id":"1","Names":["/web"],"Labels":{}}, {"Id":"2","Names":["/db"],"Labels":{}} ]"#,
            ),
            (&["label:q"], "[ ]"),
        ] {
            assert_eq!(visible(Lists::Root, selectors, answer), left, "{selectors:?}");
        }
    }

    #[test]
    fn items_are_judged_by_what_the_engine_writes_where_it_writes_it() {
        let show = |selector, item: &str| visible(Lists::Root, &[selector], &format!("[{item}]")) != "[]";
        for item in [
            r#"{"Names":["/x","/web"]}"#,
            r#"{"Name":"web"}"#,
            r#"{"RepoTags":["x","web"]}"#,
            r#"{"Spec":{"Name":"web"}}"#,
            r#"{"\u004eame":"w\u0065b"}"#,
        ] {
            assert!(show("name:web", item), "{item}");
        }
        for item in [
            // What another container calls it in a link.
            r#"{"Names":["/db","/web/db"]}"#,
            r#"{"name":"web"}"#,
            r#"{"Names":{"a":"web"}}"#,
            r#"{"Names":[["web"]]}"#,
            r#"{"Names":"web"}"#,
            r#"{"a":{"Name":"web"}}"#,
            r#"{"Spec":{"a":{"Name":"web"}}}"#,
            r#"{"Spec":[{"Name":"web"}]}"#,
            r#"{"Labels":{"a":"web"}}"#,
        ] {
            assert!(!show("name:web", item) && !show("name:*/db", item), "{item}");
        }
        for item in [r#"{"Labels":{"a":"x","k":"v"}}"#, r#"{"Spec":{"Name":"x","Labels":{"k":"v"}}}"#] {
            assert!(show("label:k=v", item) && show("label:k", item) && !show("label:k=", item), "{item}");
        }
        for item in
            [r#"{"Config":{"Labels":{"k":"v"}}}"#, r#"{"Labels":{"k":{"k":"v"}}}"#, r#"{"Labels":["k=v"]}"#]
        {
            assert!(!show("label:k=v", item), "{item}");
        }
    }

    #[test]
    fn lists_are_judged_where_they_are_named_and_other_arrays_are_not() {
        let answer = r#"{"Volumes":[{"Name":"a"},{"Name":"b"}],"Warnings":["b"],"ImageUsage":{"Items":[{"RepoTags":["b"]}],"x":[1]}}"#;
        let left = r#"{"Volumes":[{"Name":"a"}],"Warnings":["b"],"ImageUsage":{"Items":[],"x":[1]}}"#;
        assert_eq!(visible(Lists::Named, &["name:a"], answer), left);
        assert_eq!(visible(Lists::None, &["name:a"], answer), answer);
        assert_eq!(visible(Lists::Named, &[], answer), answer);
    }

    #[test]
    fn what_is_left_out_of_a_known_item_counts_each_time() {
        let redaction = Redaction::new("env".parse().unwrap(), Vec::new(), Vec::new());
        let plan = Arc::new(Plan::new(redaction, Visibility::new(vec!["name:a*".parse().unwrap()])));
        let memo = Arc::new(super::super::memo::Memo::default());
        let item =
            |name: &str| format!(r#"{{"Name":"{name}","Id":"{}","Env":["A=1","B=2"]}}"#, "0".repeat(128));
        let answer = format!("[{},{}]", item("a"), item("b"));
        let left_out = || {
            let pass = Redactor::new(Arc::clone(&plan), Framing::Document, Lists::Root);
            let mut pass = pass.with_memo(memo.recall(()));
            pass.push(answer.as_bytes(), &mut Vec::new()).unwrap();
            pass.take_left_out()
        };
        let first = left_out();
        assert!(first.hidden == 1 && first.redacted >= 2, "{first:?}");
        assert_eq!(left_out(), first);
    }

    #[test]
    fn an_item_goes_on_when_it_is_known_to_be_visible_and_is_held_no_longer_than_its_limit() {
        let redaction = Redaction::default();
        let only = Visibility::new(vec!["name:a".parse().unwrap()]);
        let plan = Arc::new(Plan::new(redaction, only));
        let mut redactor = Redactor::new(Arc::clone(&plan), Framing::Document, Lists::Root);
        let mut out = Vec::new();
        redactor.push(br#"[{"Id":"1","Name":"a"#, &mut out).unwrap();
        assert_eq!(out, b"[");
        redactor.push(br#"","a"#, &mut out).unwrap();
        assert_eq!(out, br#"[{"Id":"1","Name":"a","a"#);
        let large = "x".repeat(MAX_ITEM);
        let visible = format!(r#"[{{"Name":"a","b":"{large}"}}]"#);
        assert_eq!(parts(&plan, Lists::Root, &visible, 1000).unwrap(), visible);
        let late = format!(r#"[{{"b":"{large}","Name":"a"}}]"#);
        for part in [1000, late.len()] {
            let error = parts(&plan, Lists::Root, &late, part).map(|shown| shown.len()).unwrap_err();
            assert_eq!(error.reason, Reason::TooLarge);
        }
    }
}
