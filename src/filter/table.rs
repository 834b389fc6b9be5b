//! The policy's tables of keys made ready for the pass: words as numbers, and for each the rows that end in it.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError, Weak};

use crate::policy::redaction::{Classes, Handling, MAPS, RULES};
use crate::policy::visibility::{BESIDE_LISTS, NAMED_LISTS, REFERENCE_LISTS, REFERENCE_MAPS};

/// A word of the table's paths, as a number.
pub(super) type Word = u8;
/// A key that is no word of the table.
pub(super) const OTHER: Word = 0;
/// A member of an object whose members have names of their own; `*` in the table.
const ANY: Word = 1;
/// The first number of a word of the table.
const FIRST: Word = 2;

/// What keys mean.
#[derive(Debug, Default)]
pub(super) struct Table {
    /// The words by [`shelf`], which is known before their bytes are compared.
    words: Vec<Vec<(&'static str, Word)>>,
    /// By the last word of their path, the longest first.
    endings: Vec<Endings>,
}

/// What paths that end in one word mean.
#[derive(Debug, Default)]
struct Endings {
    /// None: harmless, though a shorter path fits.
    rules: Vec<Ending<Option<Handling>>>,
    actions: Vec<Ending<()>>,
    maps: Vec<Ending<()>>,
    lists: Vec<Ending<()>>,
    references: Vec<Ending<()>>,
}

/// The end of a path without its last word.
#[derive(Debug)]
struct Ending<T> {
    /// The words before the last, from the last to the first.
    before: Vec<Word>,
    /// Whether nothing may stand before them.
    is_anchored: bool,
    then: T,
}

impl<T> Ending<T> {
    /// `segments` are the keys on the way to the object at hand.
    fn fits(&self, segments: &[Word], is_map: bool) -> bool {
        let count = self.before.len();
        (!is_map || self.before.first().is_some_and(|word| *word != ANY))
            && (segments.len() == count || segments.len() > count && !self.is_anchored)
            && self
                .before
                .iter()
                .zip(segments.iter().rev())
                .all(|(word, segment)| word == segment || *word == ANY)
    }
}

/// What a key says of its value.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Member {
    pub(super) word: Word,
    pub(super) handling: Option<Handling>,
    /// If the value is a string: whether it is an event's action.
    pub(super) is_action: bool,
    /// If the value is an object: whether its members have names of their own.
    pub(super) is_map: bool,
    /// If the value is an array: whether it is a list of objects that can be invisible.
    pub(super) is_list: bool,
    /// If the value is an object: whether its members are named by objects that can be invisible.
    pub(super) is_reference_map: bool,
}

impl Member {
    /// Whether a value that is neither an object nor an array stays as it is.
    pub(super) fn keeps_scalars(&self) -> bool {
        self.handling.is_none() && !self.is_action
    }
}

/// How many shelves there are; a few times as many as words, so that most keys have an empty one.
const SHELVES: usize = 512;

/// Where a word is looked for: by its length, first and last letter, upper and lower case aside.
#[inline]
fn shelf(word: &[u8]) -> usize {
    let [first, .., last] = word else { return 0 };
    let letter = |byte: &u8| usize::from(byte.to_ascii_lowercase() & 0x1f);
    (word.len() * 77 + letter(first) * 16 + letter(last)) % SHELVES
}

impl Table {
    /// The rows that redact these classes, and those of the lists of objects. All views that redact the same share
    /// one, for it is large beside all else that a client's rule takes.
    pub(super) fn redacting(classes: Classes) -> Arc<Self> {
        static MADE: LazyLock<Mutex<HashMap<Classes, Weak<Table>>>> = LazyLock::new(Mutex::default);
        let mut made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
        made.get(&classes).and_then(Weak::upgrade).unwrap_or_else(|| {
            let table = Arc::new(Self::make_redacting(classes));
            made.insert(classes, Arc::downgrade(&table));
            table
        })
    }

    fn make_redacting(classes: Classes) -> Self {
        let mut table = Self::default();
        for rule in RULES.iter().filter(|rule| rule.classes.is_empty() || rule.classes.intersects(classes)) {
            let (last, before, is_anchored) = table.ending(rule.path);
            match rule.handling {
                Handling::Action => {
                    table.endings[last].actions.push(Ending { before, is_anchored, then: () })
                }
                handling => {
                    let then = (!rule.classes.is_empty()).then_some(handling);
                    table.endings[last].rules.push(Ending { before, is_anchored, then });
                }
            }
        }
        table.add_maps();
        for path in NAMED_LISTS {
            table.add_list(path);
        }
        for Endings { rules, .. } in &mut table.endings {
            rules.sort_by_key(|ending| std::cmp::Reverse((ending.before.len(), ending.is_anchored)));
        }
        table
    }

    /// The rows of lists of what other objects are named, of objects with a member for each, and of what tells of
    /// them beside these.
    pub(super) fn references() -> Arc<Self> {
        static MADE: LazyLock<Arc<Table>> = LazyLock::new(|| Arc::new(Table::make_references()));
        Arc::clone(&MADE)
    }

    fn make_references() -> Self {
        let mut table = Self::default();
        table.add_maps();
        for path in REFERENCE_LISTS {
            table.add_list(path);
        }
        for path in REFERENCE_MAPS {
            let (last, before, is_anchored) = table.ending(path);
            table.endings[last].references.push(Ending { before, is_anchored, then: () });
        }
        for path in BESIDE_LISTS {
            let (last, before, is_anchored) = table.ending(path);
            table.endings[last].rules.push(Ending { before, is_anchored, then: Some(Handling::Empty) });
        }
        table
    }

    fn add_maps(&mut self) {
        for path in MAPS {
            let (last, before, is_anchored) = self.ending(path);
            self.endings[last].maps.push(Ending { before, is_anchored, then: () });
        }
    }

    fn add_list(&mut self, path: &'static str) {
        let (last, before, is_anchored) = self.ending(path);
        self.endings[last].lists.push(Ending { before, is_anchored, then: () });
    }

    fn ending(&mut self, path: &'static str) -> (usize, Vec<Word>, bool) {
        let words = path.strip_prefix('.').unwrap_or(path).split('.').map(|word| self.word_of(word));
        let mut words: Vec<Word> = words.collect();
        let last = words.pop().unwrap_or(OTHER);
        words.reverse();
        (usize::from(last), words, path.starts_with('.'))
    }

    /// The number of a word of the table, a new one if it has none.
    fn word_of(&mut self, text: &'static str) -> Word {
        if text == "*" {
            return ANY;
        }
        let known = self.word(text.as_bytes());
        if known != OTHER {
            return known;
        }
        let count: usize = self.words.iter().map(Vec::len).sum();
        let word = Word::try_from(count).expect("the table has fewer than 254 words") + FIRST;
        self.words.resize_with(SHELVES, Vec::new);
        self.words[shelf(text.as_bytes())].push((text, word));
        self.endings.resize_with(usize::from(word) + 1, Endings::default);
        word
    }

    #[inline]
    fn word(&self, key: &[u8]) -> Word {
        let alike = self.words.get(shelf(key)).map_or(&[][..], Vec::as_slice);
        let found = alike.iter().find(|(text, _)| text.as_bytes().eq_ignore_ascii_case(key));
        found.map_or(OTHER, |(_, word)| *word)
    }

    /// What the table says of a key, in an object that `segments` lead to.
    #[inline]
    pub(super) fn member(&self, key: &[u8], segments: &[Word], is_map: bool) -> Member {
        let word = self.word(key);
        if word == OTHER {
            return Member { word: if is_map { ANY } else { OTHER }, ..Member::default() };
        }
        let Endings { rules, actions, maps, lists, references } = &self.endings[usize::from(word)];
        Member {
            word: if is_map { ANY } else { word },
            handling: rules.iter().find(|rule| rule.fits(segments, is_map)).and_then(|rule| rule.then),
            is_action: actions.iter().any(|action| action.fits(segments, is_map)),
            is_map: maps.iter().any(|map| map.fits(segments, is_map)),
            is_list: lists.iter().any(|list| list.fits(segments, is_map)),
            is_reference_map: references.iter().any(|map| map.fits(segments, is_map)),
        }
    }
}
