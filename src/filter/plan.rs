//! The policy's tables made ready for the pass: words as numbers, and for each the rows that end in it.

use std::collections::HashSet;

use crate::policy::redaction::{Handling, MAPS, RULES, Redaction};
use crate::policy::visibility::{
    BESIDE_LISTS, Fact, NAMED_LISTS, REFERENCE_LISTS, REFERENCE_MAPS, Visibility,
};

/// A word of the table's paths, as a number.
pub(super) type Word = u8;
/// A key that is no word of the table.
pub(super) const OTHER: Word = 0;
/// A member of an object whose members have names of their own; `*` in the table.
const ANY: Word = 1;
/// The first number of a word of the table.
const FIRST: Word = 2;

/// The table made ready for one redaction and one visibility; it is shared by all answers that it applies to.
#[derive(Debug, Default)]
pub struct Plan {
    redaction: Redaction,
    visibility: Visibility,
    /// If there is, items are judged by whether they name one of these objects, by id or name.
    named: Option<HashSet<String>>,
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

impl Plan {
    /// The rows of the table that this redaction needs.
    pub fn new(redaction: Redaction, visibility: Visibility) -> Self {
        let mut plan = Plan { redaction, visibility, ..Plan::default() };
        let classes = plan.redaction.classes();
        for rule in RULES.iter().filter(|rule| rule.classes.is_empty() || rule.classes.intersects(classes)) {
            let (last, before, is_anchored) = plan.ending(rule.path);
            match rule.handling {
                Handling::Action => plan.endings[last].actions.push(Ending { before, is_anchored, then: () }),
                handling => {
                    let then = (!rule.classes.is_empty()).then_some(handling);
                    plan.endings[last].rules.push(Ending { before, is_anchored, then });
                }
            }
        }
        plan.add_maps();
        for path in NAMED_LISTS {
            plan.add_list(path);
        }
        for Endings { rules, .. } in &mut plan.endings {
            rules.sort_by_key(|ending| std::cmp::Reverse((ending.before.len(), ending.is_anchored)));
        }
        plan
    }

    /// Of lists of what other objects are named, and of objects with a member for each, only those that name one
    /// of `named` stay, and nothing of what tells of the others beside them.
    pub fn references(named: HashSet<String>) -> Self {
        let mut plan = Plan { named: Some(named), ..Plan::default() };
        plan.add_maps();
        for path in REFERENCE_LISTS {
            plan.add_list(path);
        }
        for path in REFERENCE_MAPS {
            let (last, before, is_anchored) = plan.ending(path);
            plan.endings[last].references.push(Ending { before, is_anchored, then: () });
        }
        for path in BESIDE_LISTS {
            let (last, before, is_anchored) = plan.ending(path);
            plan.endings[last].rules.push(Ending { before, is_anchored, then: Some(Handling::Empty) });
        }
        plan
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

    /// What is redacted.
    pub fn redaction(&self) -> &Redaction {
        &self.redaction
    }

    /// What is visible.
    pub fn visibility(&self) -> &Visibility {
        &self.visibility
    }

    /// Whether every item of a list stays.
    pub fn shows_everything(&self) -> bool {
        self.named.is_none() && self.visibility.is_everything()
    }

    /// Whether items are judged by the objects that they name.
    pub(super) fn decides_by_references(&self) -> bool {
        self.named.is_some()
    }

    /// Whether this fact alone makes an item visible.
    pub(super) fn shows(&self, fact: Fact<'_>) -> bool {
        self.visibility.shows(fact)
    }

    /// Whether an object of this id or name is one of those that stay.
    pub(super) fn names(&self, object: &str) -> bool {
        self.named.as_ref().is_some_and(|named| named.contains(object))
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
