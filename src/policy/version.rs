//! Versions of the API, as they stand before a path: `/v1.41/...`.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// A version of the Engine API. Of Podman's, which have three parts, it holds the first two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ApiVersion {
    /// What stands before the dot.
    pub major: u16,
    /// What stands after it.
    pub minor: u16,
}

/// A text that is no version.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("invalid API version '{0}'; write one such as 1.44")]
pub struct InvalidVersion(String);

impl ApiVersion {
    /// The version with these parts.
    pub const fn new(major: u16, minor: u16) -> Self {
        Self { major, minor }
    }

    /// The version at the start of a path such as `/v1.41`, which may have a third part.
    pub(super) fn of_prefix(prefix: &str) -> Option<Self> {
        let mut parts = prefix.strip_prefix("/v")?.split('.').map(str::parse);
        Some(Self { major: parts.next()?.ok()?, minor: parts.next()?.ok()? })
    }
}

impl fmt::Display for ApiVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

impl FromStr for ApiVersion {
    type Err = InvalidVersion;

    fn from_str(text: &str) -> Result<Self, InvalidVersion> {
        let number = |part: &str| {
            let digits = matches!(part.len(), 1..=4) && part.bytes().all(|byte| byte.is_ascii_digit());
            part.parse().ok().filter(|_| digits)
        };
        let parts = text.strip_prefix('v').unwrap_or(text).split_once('.');
        parts
            .and_then(|(major, minor)| Some(Self { major: number(major)?, minor: number(minor)? }))
            .ok_or_else(|| InvalidVersion(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_and_compared_by_their_numbers() {
        let version = |text: &str| text.parse::<ApiVersion>().unwrap();
        assert_eq!(version("1.44"), ApiVersion::new(1, 44));
        assert_eq!(version("v1.44"), ApiVersion::new(1, 44));
        assert!(version("1.9") < version("1.28") && version("1.56") < version("4.0"));
        assert_eq!(ApiVersion::of_prefix("/v4.0.0"), Some(ApiVersion::new(4, 0)));
        for wrong in ["", "1", "1.", ".1", "1.44.0", "1.+4", "1.x", "1.12345"] {
            assert!(wrong.parse::<ApiVersion>().is_err(), "{wrong}");
        }
    }
}
