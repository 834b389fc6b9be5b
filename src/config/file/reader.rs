//! One table of the file: takes its values by name and type, and notes what is wrong.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::policy::names;

/// What is wrong at which offset of the file.
pub(super) type Problem = (usize, String);

/// One table while it is read.
pub(super) struct Reader<'a> {
    table: &'a DeTable<'a>,
    /// What stands before its keys in errors, such as `tls.`; empty for a part of the settings itself.
    prefix: &'static str,
    known: Vec<&'static str>,
    problems: Vec<Problem>,
}

impl<'a> Reader<'a> {
    /// A table of the file.
    pub(super) fn new(table: &'a DeTable<'a>) -> Self {
        Self { table, prefix: "", known: Vec::new(), problems: Vec::new() }
    }

    /// A text.
    pub(super) fn text(&mut self, key: &'static str) -> Option<String> {
        let value = self.value(key)?;
        match value.get_ref() {
            DeValue::String(text) => Some(text.to_string()),
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
            DeValue::Integer(number) if number.radix() == 10 => Some(number.as_str().replace('_', "")),
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

    /// The value of a key that may be a table or something else.
    pub(super) fn value(&mut self, key: &'static str) -> Option<&'a Spanned<DeValue<'a>>> {
        self.known.push(key);
        let (_, value) = self.table.iter().find(|(name, _)| name.get_ref() == key)?;
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
        let mut reader = Reader { prefix, ..Reader::new(table) };
        let inner = read(&mut reader);
        self.absorb(reader.finish());
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

    /// Adds what is wrong in a table inside of this one.
    pub(super) fn absorb(&mut self, problems: Vec<Problem>) {
        self.problems.extend(problems);
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
        self.problems.push((offset, text));
        None
    }

    /// What is wrong, keys that nobody asked for included.
    pub(super) fn finish(mut self) -> Vec<Problem> {
        for (name, _) in self.table {
            if !self.known.iter().any(|known| known == name.get_ref()) {
                let text = unknown_key(self.prefix, name.get_ref(), &self.known);
                self.problem::<()>(name.span().start, text);
            }
        }
        self.problems
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
                Some(text) => texts.push(text),
                None => return self.wrong_type(key, one, expected),
            }
        }
        Some(texts)
    }
}

fn unknown_key(prefix: &str, given: &str, known: &[&'static str]) -> String {
    match names::similar(given, known).first() {
        Some(name) => format!("unknown key '{prefix}{given}'; did you mean '{prefix}{name}'?"),
        None => format!("unknown key '{prefix}{given}'; the keys here are {}", known.join(", ")),
    }
}
