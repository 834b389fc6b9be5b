//! Queries: the parameters that an endpoint knows, each read once, judged, and written in one spelling.
//!
//! They are read as the engine reads them (Go's `net/url`, `ParseQuery`): pairs between `&`, plus signs for
//! spaces, and the first value where one is read. What an endpoint does not know is left out.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::escape::{decode_query, push_escape};
use super::ps_args;

/// The longest query that is taken, in bytes, with what no URI holds raw escaped.
pub const MAX_QUERY_LEN: usize = 4096;
/// How many values a list, or `filters` in all, may have. An engine compiles a regular expression from each.
pub const MAX_VALUES: usize = 32;
/// How long such a value may be, in bytes.
pub const MAX_VALUE_LEN: usize = 256;
/// How many names that were left out are told, so that a client cannot fill the log.
const MAX_LEFT_OUT: usize = 8;

/// A query parameter that an endpoint knows.
#[derive(Debug, PartialEq, Eq)]
pub struct Parameter {
    /// Its name; upper and lower case differ.
    pub name: &'static str,
    /// What its value may be.
    pub kind: Kind,
}

/// What a parameter's value may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Yes or no, in the engine's own spellings.
    Boolean,
    /// A whole number.
    Integer,
    /// Seconds since 1970 with a fraction, or a time as in RFC 3339. Podman also takes durations.
    Timestamp,
    /// A number of lines, or `all`.
    Tail,
    /// One text.
    Text,
    /// Texts; the parameter is repeated.
    List,
    /// A JSON object that says which objects are asked for.
    Filters,
    /// Options of ps(1): see [`ps_args`].
    PsArgs,
}

/// A query as it is sent on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Query<'a> {
    /// The known parameters in the order of the endpoint's row; `None` if there are none.
    pub text: Option<String>,
    /// Names that were left out, as they were received; not all, if they are many.
    pub left_out: Vec<&'a str>,
}

/// Why a query is not let through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum QueryError {
    /// It is too long.
    #[error("the query is longer than {MAX_QUERY_LEN} bytes")]
    TooLong,
    /// A semicolon, which engines before Go 1.17 took for `&`.
    #[error("the query has a semicolon")]
    Semicolon,
    /// A `%` that two hexadecimal digits do not follow.
    #[error("the query has a malformed percent-escape")]
    BadEscape,
    /// A parameter's value.
    #[error("the parameter '{0}' {1}")]
    Value(&'static str, ValueError),
}

/// What is wrong with a parameter's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ValueError {
    /// It is not UTF-8, or holds a control character.
    #[error("is not plain text")]
    NotPlain,
    /// It is too long.
    #[error("is longer than {MAX_VALUE_LEN} bytes")]
    TooLong,
    /// There are too many.
    #[error("has more than {MAX_VALUES} values")]
    TooMany,
    /// It is not a boolean.
    #[error("must be 1 or 0, true or false")]
    Boolean,
    /// It is not a whole number.
    #[error("must be a whole number")]
    Integer,
    /// It is not a time.
    #[error("must be a time in seconds since 1970, or as in 2026-01-31T12:00:00Z")]
    Timestamp,
    /// It is not a number of lines.
    #[error("must be a number or 'all'")]
    Tail,
    /// It is not in one of the two forms of filters.
    #[error("must be a JSON object of lists, or of objects with true or false")]
    Filters,
    /// A filter's value has a counted repetition.
    #[error("must not have a counted repetition such as 'a{{9}}'")]
    Repetition,
    /// It is not one of the options that show no more than a container's processes.
    #[error("must be options such as -ef, aux, or -eo with columns such as pid,user,args")]
    PsArgs,
}

impl<'a> Query<'a> {
    /// What of a query is sent on to an endpoint that knows these parameters.
    ///
    /// # Errors
    /// [`QueryError`] if it cannot be read, or a known parameter has a value that is not let through.
    pub fn parse(raw: Option<&'a str>, known: &[Parameter]) -> Result<Self, QueryError> {
        let raw = raw.unwrap_or_default();
        if raw.len() > MAX_QUERY_LEN {
            return Err(QueryError::TooLong);
        }
        if raw.contains(';') {
            return Err(QueryError::Semicolon);
        }
        let mut pairs: Vec<(&'static str, Cow<'_, [u8]>)> = Vec::new();
        let mut left_out = Vec::new();
        for pair in raw.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (decoded, value) = (decode(name)?, decode(value)?);
            match known.iter().find(|parameter| parameter.name.as_bytes() == &*decoded) {
                Some(parameter) => pairs.push((parameter.name, value)),
                None if left_out.len() < MAX_LEFT_OUT => left_out.push(name),
                None => {}
            }
        }
        Ok(Self { text: rebuild(&pairs, known)?, left_out })
    }
}

impl Query<'_> {
    /// The values of a parameter, decoded.
    pub fn values(&self, parameter: &str) -> Vec<String> {
        let values = self.pairs().filter(|(name, _)| *name == parameter).map(|(_, value)| decode(value));
        values.filter_map(|value| String::from_utf8(value.ok()?.into_owned()).ok()).collect()
    }

    /// Whether a parameter is sent on.
    pub fn has(&self, parameter: &str) -> bool {
        self.pairs().any(|(name, _)| name == parameter)
    }

    /// What is sent on, with other values of some parameters.
    pub fn with_values(&self, parameters: &[(&str, &[String])]) -> Option<String> {
        let others = self.pairs().filter(|(name, _)| parameters.iter().all(|(changed, _)| changed != name));
        let mut pairs: Vec<String> = others.map(|(name, value)| format!("{name}={value}")).collect();
        for (name, values) in parameters {
            pairs.extend(values.iter().map(|value| {
                let mut pair = format!("{name}=");
                encode(value, &mut pair);
                pair
            }));
        }
        (!pairs.is_empty()).then(|| pairs.join("&"))
    }

    /// What is sent on, in pairs; names need no encoding.
    fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        let text = self.text.as_deref().unwrap_or_default();
        text.split('&').filter_map(|pair| pair.split_once('='))
    }
}

fn rebuild(
    pairs: &[(&'static str, Cow<'_, [u8]>)],
    known: &[Parameter],
) -> Result<Option<String>, QueryError> {
    let mut text = String::new();
    for Parameter { name, kind } in known {
        let values = pairs.iter().filter(|(given, _)| given == name).map(|(_, value)| &**value);
        let accepted = accept(*kind, values).map_err(|error| QueryError::Value(name, error))?;
        for value in accepted {
            text.push_str(if text.is_empty() { "" } else { "&" });
            encode(name, &mut text);
            text.push('=');
            encode(&value, &mut text);
        }
    }
    Ok((!text.is_empty()).then_some(text))
}

/// The values that are sent on: of a list all, else the first. One that is empty is none, as to the engine, but
/// for a boolean, which it makes false.
fn accept<'v>(kind: Kind, mut values: impl Iterator<Item = &'v [u8]>) -> Result<Vec<String>, ValueError> {
    if kind == Kind::List {
        let values: Vec<String> = values.map(|value| short(plain(value)?)).collect::<Result<_, _>>()?;
        return if values.len() > MAX_VALUES { Err(ValueError::TooMany) } else { Ok(values) };
    }
    let Some(value) = values.next() else { return Ok(Vec::new()) };
    let value = plain(value)?;
    let accepted = match kind {
        Kind::Boolean => boolean(value)?.to_owned(),
        _ if value.is_empty() => return Ok(Vec::new()),
        Kind::Integer => value.parse::<i64>().map_err(|_| ValueError::Integer)?.to_string(),
        Kind::Timestamp => timestamp(value)?,
        Kind::Tail => tail(value)?,
        Kind::Filters => filters(value)?,
        Kind::PsArgs => ps_args::accept(value).ok_or(ValueError::PsArgs)?,
        Kind::Text | Kind::List => value.to_owned(),
    };
    Ok(vec![accepted])
}

fn plain(value: &[u8]) -> Result<&str, ValueError> {
    let text = std::str::from_utf8(value).map_err(|_| ValueError::NotPlain)?;
    if text.chars().any(char::is_control) { Err(ValueError::NotPlain) } else { Ok(text) }
}

fn short(value: &str) -> Result<String, ValueError> {
    if value.len() > MAX_VALUE_LEN { Err(ValueError::TooLong) } else { Ok(value.to_owned()) }
}

/// The engine takes whatever is none of these for yes, Podman's `f` and `off` too; what the two read differently
/// is not let through.
fn boolean(value: &str) -> Result<&'static str, ValueError> {
    match value.trim().to_ascii_lowercase().as_str() {
        "" | "0" | "no" | "false" | "none" => Ok("0"),
        "1" | "yes" | "true" | "t" | "y" | "on" => Ok("1"),
        _ => Err(ValueError::Boolean),
    }
}

fn timestamp(value: &str) -> Result<String, ValueError> {
    let digits = value.strip_prefix('-').unwrap_or(value);
    let allowed = |byte: u8| byte.is_ascii_digit() || b"TZ:+-.hms".contains(&byte);
    let good = digits.len() <= 40 && digits.starts_with(|c: char| c.is_ascii_digit());
    if good && digits.bytes().all(allowed) { Ok(value.to_owned()) } else { Err(ValueError::Timestamp) }
}

fn tail(value: &str) -> Result<String, ValueError> {
    match value {
        "all" => Ok(value.to_owned()),
        number => number.parse::<i64>().map(|number| number.to_string()).map_err(|_| ValueError::Tail),
    }
}

/// The two forms of filters; the engine takes the second from clients before API 1.22.
#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
enum Filters {
    Sets(BTreeMap<String, BTreeMap<String, bool>>),
    Lists(BTreeMap<String, Vec<String>>),
}

/// Parsed and written anew, so that no two readers see different filters in it.
fn filters(value: &str) -> Result<String, ValueError> {
    let filters: Filters = serde_json::from_str(value).map_err(|_| ValueError::Filters)?;
    let (names, values): (Vec<&str>, Vec<&str>) = match &filters {
        Filters::Sets(sets) => (
            sets.keys().map(String::as_str).collect(),
            sets.values().flat_map(|set| set.keys().map(String::as_str)).collect(),
        ),
        Filters::Lists(lists) => (
            lists.keys().map(String::as_str).collect(),
            lists.values().flatten().map(String::as_str).collect(),
        ),
    };
    if names.len() > MAX_VALUES || values.len() > MAX_VALUES {
        return Err(ValueError::TooMany);
    }
    if names.iter().chain(&values).any(|text| text.len() > MAX_VALUE_LEN) {
        return Err(ValueError::TooLong);
    }
    if filters.has_counted_repetition() {
        return Err(ValueError::Repetition);
    }
    serde_json::to_string(&filters).map_err(|_| ValueError::Filters)
}

impl Filters {
    /// Whether a value that the engine may take for a regular expression has a counted repetition, such as
    /// `.{999}`: of those it makes a program of thousands of steps, for every object anew. Labels are compared.
    fn has_counted_repetition(&self) -> bool {
        let counted =
            |value: &str| value.split('{').skip(1).any(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
        let compared = |name: &str| name.contains("label");
        match self {
            Self::Sets(sets) => {
                sets.iter().any(|(name, set)| !compared(name) && set.keys().any(|value| counted(value)))
            }
            Self::Lists(lists) => {
                lists.iter().any(|(name, list)| !compared(name) && list.iter().any(|value| counted(value)))
            }
        }
    }
}

/// The values of some of the filters in a parameter that was let through.
pub fn filter_values(filters: &str, names: &[&str]) -> Vec<String> {
    let is_named = |name: &str| names.contains(&name);
    match serde_json::from_str(filters) {
        Ok(Filters::Sets(sets)) => {
            let sets = sets.into_iter().filter(|(name, _)| is_named(name));
            sets.flat_map(|(_, set)| set.into_keys()).collect()
        }
        Ok(Filters::Lists(lists)) => {
            lists.into_iter().filter(|(name, _)| is_named(name)).flat_map(|(_, list)| list).collect()
        }
        Err(_) => Vec::new(),
    }
}

/// Undoes percent-encoding.
fn decode(text: &str) -> Result<Cow<'_, [u8]>, QueryError> {
    decode_query(text).ok_or(QueryError::BadEscape)
}

/// Percent-encodes all but the unreserved characters of RFC 3986 section 2.3.
fn encode(text: &str, out: &mut String) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            push_escape(byte, out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: &[Parameter] = &[
        Parameter { name: "all", kind: Kind::Boolean },
        Parameter { name: "limit", kind: Kind::Integer },
        Parameter { name: "since", kind: Kind::Timestamp },
        Parameter { name: "tail", kind: Kind::Tail },
        Parameter { name: "path", kind: Kind::Text },
        Parameter { name: "names", kind: Kind::List },
        Parameter { name: "filters", kind: Kind::Filters },
        Parameter { name: "ps_args", kind: Kind::PsArgs },
    ];

    fn sent(raw: &str) -> Result<String, QueryError> {
        Query::parse(Some(raw), ALL).map(|query| query.text.unwrap_or_default())
    }

    fn refused(raw: &str) -> ValueError {
        match sent(raw) {
            Err(QueryError::Value(_, error)) => error,
            other => panic!("{raw}: {other:?}"),
        }
    }

    #[test]
    fn known_parameters_are_sent_on_in_the_row_s_order_and_in_one_spelling() {
        assert_eq!(sent("").as_deref(), Ok(""));
        assert_eq!(sent("limit=07&all=TRUE").as_deref(), Ok("all=1&limit=7"));
        assert_eq!(sent("%61ll=%31").as_deref(), Ok("all=1"));
        assert_eq!(sent("path=/a+b%2fc&&").as_deref(), Ok("path=%2Fa%20b%2Fc"));
        assert_eq!(sent("path=caf%C3%A9").as_deref(), Ok("path=caf%C3%A9"));
        assert_eq!(sent("names=b&names=a").as_deref(), Ok("names=b&names=a"));
    }

    #[test]
    fn the_first_value_counts_where_the_engine_reads_one() {
        assert_eq!(sent("all=0&all=1").as_deref(), Ok("all=0"));
        assert_eq!(sent("limit=&limit=5").as_deref(), Ok(""));
        assert_eq!(sent("limit=3&limit=nonsense").as_deref(), Ok("limit=3"));
    }

    #[test]
    fn what_is_not_known_is_left_out_and_named() {
        let query = Query::parse(Some("showsecret=true&all&ALL=1&x%20y=z"), ALL).unwrap();
        assert_eq!(query.text.as_deref(), Some("all=0"));
        assert_eq!(query.left_out, ["showsecret", "ALL", "x%20y"]);
        let many = "a=1&".repeat(100);
        assert_eq!(Query::parse(Some(&many), ALL).unwrap().left_out.len(), MAX_LEFT_OUT);
        assert_eq!(Query::parse(None, ALL), Ok(Query::default()));
    }

    #[test]
    fn what_two_readers_could_read_differently_is_refused() {
        assert_eq!(sent("all=1;limit=2"), Err(QueryError::Semicolon));
        for bad in ["all=%", "all=%4", "x=%zz", "%%%=1"] {
            assert_eq!(sent(bad), Err(QueryError::BadEscape), "{bad}");
        }
        assert_eq!(sent(&format!("path={}", "x".repeat(MAX_QUERY_LEN))), Err(QueryError::TooLong));
        for bad in ["all=maybe", "all=f", "all=off"] {
            assert_eq!(refused(bad), ValueError::Boolean, "{bad}");
        }
        for bad in ["path=%00", "path=a%0ab", "path=%ff", "path=%7f", "names=%1b"] {
            assert_eq!(refused(bad), ValueError::NotPlain, "{bad}");
        }
    }

    #[test]
    fn booleans_are_spelled_as_the_engine_spells_them() {
        for no in ["", "0", "no", "False", "none", "+0+"] {
            assert_eq!(sent(&format!("all={no}")).as_deref(), Ok("all=0"), "{no}");
        }
        for yes in ["1", "true", "True", "yes", "on"] {
            assert_eq!(sent(&format!("all={yes}")).as_deref(), Ok("all=1"), "{yes}");
        }
    }

    #[test]
    fn numbers_and_times_are_judged() {
        for good in ["limit=-1", "since=1700000000.000000001", "since=2026-01-31T12%3A00%3A00Z", "tail=all"] {
            assert_eq!(sent(good).as_deref(), Ok(good), "{good}");
        }
        assert_eq!(refused("limit=1e3"), ValueError::Integer);
        assert_eq!(refused("limit=99999999999999999999"), ValueError::Integer);
        assert_eq!(refused("since=yesterday"), ValueError::Timestamp);
        assert_eq!(refused("tail=some"), ValueError::Tail);
    }

    #[test]
    fn filters_have_two_forms_and_are_written_anew() {
        let filters = |value: &str| {
            let mut raw = String::from("filters=");
            encode(value, &mut raw);
            let sent = sent(&raw)?;
            let decoded = decode(sent.trim_start_matches("filters="))?.into_owned();
            Ok::<_, QueryError>(String::from_utf8(decoded).unwrap())
        };
        for (given, sent) in [
            (r#"{"label":["a=b","c"]}"#, r#"{"label":["a=b","c"]}"#),
            (r#"{"name":{"web":true}}"#, r#"{"name":{"web":true}}"#),
            (r#" {"b":{"x":false} , "a":{}} "#, r#"{"a":{},"b":{"x":false}}"#),
            (r#"{"label":["a"],"label":["b"]}"#, r#"{"label":["b"]}"#),
            ("{}", "{}"),
        ] {
            assert_eq!(filters(given).as_deref(), Ok(sent), "{given}");
        }
        for bad in
            ["[]", "null", "{\"a\":\"b\"}", "{\"a\":[1]}", "{\"a\":[\"b\"],\"c\":{\"d\":true}}", "{", "x"]
        {
            assert_eq!(filters(bad), Err(QueryError::Value("filters", ValueError::Filters)), "{bad}");
        }
        let long = format!(r#"{{"name":["{}"]}}"#, "x".repeat(MAX_VALUE_LEN + 1));
        assert_eq!(filters(&long), Err(QueryError::Value("filters", ValueError::TooLong)));
        let many = format!(r#"{{"name":[{}]}}"#, vec!["\"x\""; MAX_VALUES + 1].join(","));
        assert_eq!(filters(&many), Err(QueryError::Value("filters", ValueError::TooMany)));
        for repeated in [r#"{"name":["ab.{999}"]}"#, r#"{"id":{"(a{2}){3,}":true}}"#] {
            let error = QueryError::Value("filters", ValueError::Repetition);
            assert_eq!(filters(repeated), Err(error), "{repeated}");
        }
        for compared in [r#"{"label":["a={1}"]}"#, r#"{"name":["^/a.*{b}$"]}"#] {
            assert_eq!(filters(compared).as_deref(), Ok(compared));
        }
        let exact = format!(r#"{{"name":[{}]}}"#, vec!["\"x\""; MAX_VALUES].join(","));
        assert_eq!(filters(&exact).as_deref(), Ok(exact.as_str()));
    }

    #[test]
    fn lists_have_a_most() {
        assert_eq!(refused(&"names=a&".repeat(MAX_VALUES + 1)), ValueError::TooMany);
        assert_eq!(refused(&format!("names={}", "x".repeat(MAX_VALUE_LEN + 1))), ValueError::TooLong);
    }

    #[test]
    fn what_is_sent_on_is_its_own_spelling() {
        for raw in ["all=yes&limit=07", "path=/a+b", "names=a&names=%41", "filters=%7B%22a%22:[%22b%22]%7D"] {
            let once = sent(raw).unwrap();
            assert_eq!(sent(&once), Ok(once));
        }
    }
}
