//! One table of the file: takes its values by name and type, and notes where they stand and what is wrong.

use std::collections::HashMap;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::super::error::Scope;

/// What was found besides the values.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// What is wrong, by its offset in the file.
    pub(super) problems: Vec<(usize, String)>,
    /// Where each value stands: every text of a list by itself.
    places: HashMap<(Scope, String), Vec<(String, usize)>>,
    /// Where each part of the settings begins.
    parts: HashMap<Scope, usize>,
}

impl Found {
    /// Where a key of a part of the settings stands, or the value of it that is meant; else where the part
    /// begins. `None` if the file says nothing of it.
    pub(super) fn place(&self, scope: Scope, key: Option<&str>, value: Option<&str>) -> Option<usize> {
        let Some(key) = key else { return self.parts.get(&scope).copied() };
        let places = self.places.get(&(scope, key.to_owned()));
        let meant = |places: &Vec<(String, usize)>| {
            let of_value = places.iter().find(|(text, _)| value == Some(text.as_str()));
            of_value.or(places.first()).map(|(_, offset)| *offset)
        };
        places.and_then(meant).or_else(|| self.parts.get(&scope).copied())
    }

    /// Drops the place of a key.
    pub(super) fn forget(&mut self, scope: Scope, key: &str) {
        self.places.remove(&(scope, key.to_owned()));
    }

    /// Adds what was found in a table inside of another.
    pub(super) fn absorb(&mut self, other: Self) {
        self.problems.extend(other.problems);
        self.places.extend(other.places);
        self.parts.extend(other.parts);
    }
}

/// One table while it is read.
pub(super) struct Reader<'a> {
    table: &'a DeTable<'a>,
    scope: Scope,
    /// What stands before its keys in errors, such as `tls.`; empty for a part of the settings itself.
    prefix: &'static str,
    known: Vec<&'static str>,
    found: Found,
}

impl<'a> Reader<'a> {
    /// The table of what is for the whole process.
    pub(super) fn global(table: &'a DeTable<'a>) -> Self {
        Self { table, scope: Scope::Global, prefix: "", known: Vec::new(), found: Found::default() }
    }

    /// The table of a part of the settings, which begins at this offset.
    pub(super) fn part(table: &'a DeTable<'a>, scope: Scope, offset: usize) -> Self {
        let found = Found { parts: HashMap::from([(scope, offset)]), ..Found::default() };
        Self { table, scope, prefix: "", known: Vec::new(), found }
    }

    /// A text.
    pub(super) fn text(&mut self, key: &'static str) -> Option<String> {
        let value = self.value(key)?;
        match value.get_ref() {
            DeValue::String(text) => Some(self.placed(key, text, value)),
            _ => self.wrong_type(key, value, "a text"),
        }
    }

    /// A text, or a list of texts.
    pub(super) fn texts(&mut self, key: &'static str) -> Option<Vec<String>> {
        self.list(key, "a text or a list of texts", |value| match value {
            DeValue::String(text) => Some(text.to_string()),
            _ => None,
        })
    }

    /// Names or numbers: one, or a list of them.
    pub(super) fn ids(&mut self, key: &'static str) -> Option<Vec<String>> {
        self.list(key, "a name, a number, or a list of them", |value| match value {
            DeValue::String(text) => Some(text.to_string()),
            DeValue::Integer(number) => Some(number.as_str().to_owned()),
            _ => None,
        })
    }

    /// `true` or `false`.
    pub(super) fn boolean(&mut self, key: &'static str) -> Option<bool> {
        let value = self.value(key)?;
        match value.get_ref() {
            DeValue::Boolean(value) => Some(*value),
            _ => self.wrong_type(key, value, "true or false"),
        }
    }

    /// A text or a number that `parse` understands.
    pub(super) fn parsed<T>(
        &mut self,
        key: &'static str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<T> {
        let value = self.value(key)?;
        let text = match value.get_ref() {
            DeValue::String(text) => text.as_ref(),
            DeValue::Integer(number) if number.radix() == 10 => number.as_str(),
            _ => return self.wrong_type(key, value, "a text or a number"),
        };
        let offset = value.span().start;
        match parse(text) {
            Ok(parsed) => Some(parsed),
            Err(error) => self.problem(offset, format!("'{}{key}': {error}", self.prefix)),
        }
    }

    /// The value of a key that may be a table or something else; its place is noted.
    pub(super) fn value(&mut self, key: &'static str) -> Option<&'a Spanned<DeValue<'a>>> {
        self.known.push(key);
        let (_, value) = self.table.iter().find(|(name, _)| name.get_ref() == key)?;
        self.note(key, String::new(), value.span().start);
        Some(value)
    }

    /// A table inside of this one, read by `read`; `None` if it is no table.
    pub(super) fn inner<T>(
        &mut self,
        value: &'a Spanned<DeValue<'a>>,
        prefix: &'static str,
        read: impl FnOnce(&mut Reader<'a>) -> T,
    ) -> Option<T> {
        let DeValue::Table(table) = value.get_ref() else { return None };
        let mut reader =
            Reader { table, scope: self.scope, prefix, known: Vec::new(), found: Found::default() };
        let inner = read(&mut reader);
        self.found.absorb(reader.finish());
        Some(inner)
    }

    /// The tables of `[[key]]`, each with the offset where it begins.
    pub(super) fn tables(&mut self, key: &'static str) -> Vec<(&'a DeTable<'a>, usize)> {
        let Some(value) = self.value(key) else { return Vec::new() };
        let expected = "a list of tables, each begun by its name in double brackets";
        let DeValue::Array(items) = value.get_ref() else {
            self.wrong_type::<()>(key, value, expected);
            return Vec::new();
        };
        let mut tables = Vec::new();
        for item in items.iter() {
            match item.get_ref() {
                DeValue::Table(table) => tables.push((table, item.span().start)),
                _ => drop(self.wrong_type::<()>(key, item, expected)),
            }
        }
        tables
    }

    /// Adds what was found in a table that has a part of the settings of its own.
    pub(super) fn absorb(&mut self, found: Found) {
        self.found.absorb(found);
    }

    /// Notes what is wrong with a key, or with what it would say; there is no value then.
    pub(super) fn wrong_type<T>(
        &mut self,
        key: &str,
        value: &Spanned<DeValue<'_>>,
        expected: &str,
    ) -> Option<T> {
        let article = if value.get_ref().type_str().starts_with(['a', 'i']) { "an" } else { "a" };
        let given = value.get_ref().type_str();
        self.problem(
            value.span().start,
            format!("'{}{key}' takes {expected}, not {article} {given}", self.prefix),
        )
    }

    fn problem<T>(&mut self, offset: usize, text: String) -> Option<T> {
        self.found.problems.push((offset, text));
        None
    }

    /// What was found, with keys that nobody asked for as problems.
    pub(super) fn finish(mut self) -> Found {
        for (name, _) in self.table {
            if !self.known.iter().any(|known| known == name.get_ref()) {
                let text = unknown_key(self.prefix, name.get_ref(), &self.known);
                self.problem::<()>(name.span().start, text);
            }
        }
        self.found
    }

    fn list(
        &mut self,
        key: &'static str,
        expected: &str,
        item: impl Fn(&DeValue<'_>) -> Option<String>,
    ) -> Option<Vec<String>> {
        let value = self.value(key)?;
        let items = match value.get_ref() {
            DeValue::Array(items) => items.iter().collect(),
            _ => vec![value],
        };
        let mut texts = Vec::new();
        for one in items {
            match item(one.get_ref()) {
                Some(text) => texts.push(self.placed(key, &text, one)),
                None => return self.wrong_type(key, one, expected),
            }
        }
        Some(texts)
    }

    fn placed(&mut self, key: &str, text: &str, value: &Spanned<DeValue<'_>>) -> String {
        self.note(key, text.to_owned(), value.span().start);
        text.to_owned()
    }

    fn note(&mut self, key: &str, text: String, offset: usize) {
        let key = format!("{}{key}", self.prefix);
        self.found.places.entry((self.scope, key)).or_default().push((text, offset));
    }
}

fn unknown_key(prefix: &str, given: &str, known: &[&str]) -> String {
    /// Below this two names have little in common.
    const SIMILAR: f64 = 0.8;
    let nearest = known
        .iter()
        .map(|name| (strsim::jaro_winkler(given, name), name))
        .filter(|(score, _)| *score > SIMILAR)
        .max_by(|a, b| a.0.total_cmp(&b.0));
    match nearest {
        Some((_, name)) => format!("unknown key '{prefix}{given}'; did you mean '{prefix}{name}'?"),
        None => format!("unknown key '{prefix}{given}'; the keys here are {}", known.join(", ")),
    }
}
