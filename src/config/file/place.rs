//! Where something stands in the file: looked up once there is something wrong with it.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::super::error::Scope;

/// The offset of a key of a part of the settings, or of that one of its values that is meant; else where the part
/// begins. `None` if the file says nothing of it.
pub(super) fn find(text: &str, scope: Scope, key: Option<&str>, value: Option<&str>) -> Option<usize> {
    let file = DeTable::parse(text).ok()?;
    let (part, begins_at) = match scope {
        Scope::Global => (file.get_ref(), None),
        Scope::Listener(listener) => nth(file.get_ref(), "listener", listener)?,
        Scope::Client(listener, client) => {
            nth(nth(file.get_ref(), "listener", listener)?.0, "client", client)?
        }
    };
    let found = key.and_then(|key| in_table(part, key));
    found.map(|found| meant(found, value).span().start).or(begins_at)
}

/// One of several tables, and where it begins.
fn nth<'a>(table: &'a DeTable<'a>, key: &str, index: usize) -> Option<(&'a DeTable<'a>, Option<usize>)> {
    let one = in_table(table, key)?.get_ref().as_array()?.get(index)?;
    Some((one.get_ref().as_table()?, Some(one.span().start)))
}

/// The value of a key, which may be one of a table inside, such as `tls.ca`.
fn in_table<'a>(table: &'a DeTable<'a>, key: &str) -> Option<&'a Spanned<DeValue<'a>>> {
    let (first, rest) = key.split_once('.').map_or((key, None), |(first, rest)| (first, Some(rest)));
    let (_, value) = table.iter().find(|(name, _)| name.get_ref() == first)?;
    // Of a table that is not there, what stands in its place.
    Some(
        rest.zip(value.get_ref().as_table()).and_then(|(rest, inner)| in_table(inner, rest)).unwrap_or(value),
    )
}

/// The value of a list that is meant; else the whole.
fn meant<'a>(value: &'a Spanned<DeValue<'a>>, text: Option<&str>) -> &'a Spanned<DeValue<'a>> {
    let items = value.get_ref().as_array().into_iter().flat_map(|items| items.iter());
    let mut meant = items.filter(|item| item.get_ref().as_str().is_some() && item.get_ref().as_str() == text);
    meant.next().unwrap_or(value)
}
