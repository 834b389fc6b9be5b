//! What giving an answer costs the engine: whether it counts among the answers in flight, and how much.

use std::borrow::Cow;

use super::escape::decode_query;

/// What an endpoint's answers cost the engine while they are given, as its row in the catalog says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Load {
    /// Next to nothing while it is quiet, however long that is.
    Quiet,
    /// As most answers do.
    Ordinary,
    /// So many units.
    Costly(u32),
    /// So many units if this parameter of the query is true, which without it is false.
    CostlyIf(&'static str, u32),
    /// So many units unless this parameter of the query is false, which without it is true.
    CostlyUnlessFalse(&'static str, u32),
}

/// What one answer counts for while it is in flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Charge {
    /// Nothing: its connection counts already.
    Nothing,
    /// One request, and so many units of load.
    Request {
        /// 0 for most.
        load: u32,
    },
}

impl Load {
    /// What an answer to a request with this query counts for. Where a parameter is given more than once
    /// the one that costs more is believed: the engine takes the first, others may take the last.
    pub fn charge(self, query: Option<&str>) -> Charge {
        let values = |name| values(query.unwrap_or_default(), name).map(|value| is_true(&value));
        let load = match self {
            Self::Quiet => return Charge::Nothing,
            Self::Ordinary => 0,
            Self::Costly(units) => units,
            Self::CostlyIf(name, units) => {
                if values(name).any(|value| value) {
                    units
                } else {
                    0
                }
            }
            Self::CostlyUnlessFalse(name, units) => {
                let mut values = values(name).peekable();
                let given = values.peek().is_some();
                if given && values.all(|value| !value) { 0 } else { units }
            }
        };
        Charge::Request { load }
    }
}

/// Every value of a parameter, decoded as the engine does it: Go's `url.ParseQuery`, which leaves out
/// what it cannot decode.
fn values<'a>(query: &'a str, name: &str) -> impl Iterator<Item = Cow<'a, [u8]>> {
    let pairs = query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    let named = pairs.filter(move |(key, _)| decode_query(key).as_deref() == Some(name.as_bytes()));
    named.filter_map(|(_, value)| decode_query(value))
}

/// The engine's rule (`BoolValue` in its `httputils`): true is whatever does not say that it is false.
fn is_true(value: &[u8]) -> bool {
    let value = value.trim_ascii().to_ascii_lowercase();
    !matches!(value.as_slice(), b"" | b"0" | b"no" | b"false" | b"none")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(load: Load, query: &str) -> u32 {
        match load.charge(Some(query)) {
            Charge::Request { load } => load,
            Charge::Nothing => panic!("it counts for nothing"),
        }
    }

    #[test]
    fn a_log_is_costly_only_while_it_is_followed() {
        let logs = Load::CostlyIf("follow", 2);
        for query in [
            "follow=1",
            "stdout=1&follow=true",
            "f%6Fllow=YES",
            "follow=%31",
            "follow=+x",
            "follow=0&follow=1",
        ] {
            assert_eq!(load(logs, query), 2, "{query}");
        }
        for query in [
            "",
            "follow",
            "follow=",
            "follow=0",
            "follow=False",
            "follow=+no+",
            "stdout=1",
            "xfollow=1",
            "follow=%zz",
        ] {
            assert_eq!(load(logs, query), 0, "{query}");
        }
        assert_eq!(logs.charge(None), Charge::Request { load: 0 });
    }

    #[test]
    fn statistics_are_a_stream_unless_the_query_says_otherwise() {
        let stats = Load::CostlyUnlessFalse("stream", 1);
        for query in ["", "stream=1", "one-shot=1", "stream=0&stream=1", "stream=%zz"] {
            assert_eq!(load(stats, query), 1, "{query}");
        }
        for query in ["stream=0", "stream=false&one-shot=true", "stream"] {
            assert_eq!(load(stats, query), 0, "{query}");
        }
    }

    #[test]
    fn what_is_quiet_counts_for_nothing() {
        assert_eq!(Load::Quiet.charge(None), Charge::Nothing);
        assert_eq!(load(Load::Costly(16), ""), 16);
        assert_eq!(load(Load::Ordinary, "follow=1"), 0);
    }
}
