//! What is to be done with an answer: what of it is redacted, and which items of its lists stay.

use std::collections::HashSet;
use std::sync::Arc;

use super::table::{Member, Table, Word};
use crate::policy::redaction::Redaction;
use crate::policy::visibility::{Fact, Visibility};

/// One redaction and one visibility made ready; it is shared by all answers that it applies to.
#[derive(Debug)]
pub struct Plan {
    redaction: Redaction,
    visibility: Visibility,
    /// If there is, items are judged by whether they name one of these objects, by id or name.
    named: Option<HashSet<String>>,
    table: Arc<Table>,
}

impl Plan {
    /// What a view leaves of an answer.
    pub fn new(redaction: Redaction, visibility: Visibility) -> Self {
        let table = Table::redacting(redaction.classes());
        Self { redaction, visibility, named: None, table }
    }

    /// Of lists of what other objects are named, and of objects with a member for each, only those that name one
    /// of `named` stay, and nothing of what tells of the others beside them.
    pub fn references(named: HashSet<String>) -> Self {
        let (redaction, visibility) = (Redaction::default(), Visibility::default());
        Self { redaction, visibility, named: Some(named), table: Table::references() }
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

    /// What the table says of a key, in an object that `segments` lead to.
    #[inline]
    pub(super) fn member(&self, key: &[u8], segments: &[Word], is_map: bool) -> Member {
        self.table.member(key, segments, is_map)
    }
}
