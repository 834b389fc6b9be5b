//! Values as people write them, in flags and in the file: times, sizes, modes, numbers.

use std::num::NonZeroUsize;
use std::time::Duration;

/// Permission bits in octal, such as `0660`.
///
/// # Errors
/// In words, like those of all others here.
pub fn octal_mode(text: &str) -> Result<u32, String> {
    match u32::from_str_radix(text, 8) {
        Ok(mode) if mode <= 0o777 => Ok(mode),
        _ => Err("write permission bits in octal, such as 0660 or 0666".to_owned()),
    }
}

/// A number with a unit, such as `10s`, `500ms` or `2m`; without one it counts seconds.
///
/// # Errors
/// If it is no time, or one beyond a year.
pub fn duration(text: &str) -> Result<Duration, String> {
    /// Beyond this, sums with the clock could overflow.
    const MAX_DURATION: Duration = Duration::from_secs(365 * 24 * 3600);
    let seconds = text.parse().ok().filter(|_| !text.starts_with('+')).map(Duration::from_secs);
    let parsed = seconds.or_else(|| humantime::parse_duration(text).ok());
    parsed
        .filter(|time| *time <= MAX_DURATION)
        .ok_or_else(|| "write a time such as 10s, 500ms or 2m".to_owned())
}

/// The same, and more than nothing.
///
/// # Errors
/// If it is none.
pub fn positive_duration(text: &str) -> Result<Duration, String> {
    duration(text)
        .and_then(|time| if time.is_zero() { Err("it must be more than 0".to_owned()) } else { Ok(time) })
}

/// A number of bytes with a unit, such as `1KiB` or `2MB`; without one it counts bytes.
///
/// # Errors
/// If it is no size.
pub fn size(text: &str) -> Result<u64, String> {
    let unit_at = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(unit_at);
    let factor = match unit.trim_start() {
        "" | "B" => Some(1),
        "kB" | "KB" => Some(1000),
        "KiB" => Some(1 << 10),
        "MB" => Some(1_000_000),
        "MiB" => Some(1 << 20),
        _ => None,
    };
    let bytes =
        number.parse::<u64>().ok().zip(factor).and_then(|(number, factor)| number.checked_mul(factor));
    bytes.ok_or_else(|| "write a size such as 512, 1KiB or 2MB".to_owned())
}

/// How long the event loop may be stuck; 0 is without limit.
///
/// # Errors
/// If it is less than a busy machine takes at times.
pub fn watchdog_limit(text: &str) -> Result<Duration, String> {
    /// Less would mistake a busy machine for a stuck loop.
    const MIN_LIMIT: Duration = Duration::from_secs(2);
    match duration(text)? {
        limit if limit.is_zero() || limit >= MIN_LIMIT => Ok(limit),
        _ => Err("it must be 0 or at least 2s".to_owned()),
    }
}

/// A number of threads.
///
/// # Errors
/// If it is none, or more than 64.
pub fn threads(text: &str) -> Result<NonZeroUsize, String> {
    const MOST: usize = 64;
    let number = text.parse().ok().filter(|number: &NonZeroUsize| number.get() <= MOST);
    number.ok_or_else(|| format!("write a number from 1 to {MOST}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_and_the_watchdog_s_limit_have_a_least_and_a_most() {
        assert_eq!(threads("4").map(NonZeroUsize::get), Ok(4));
        for wrong in ["0", "65", "-1", "two"] {
            assert!(threads(wrong).is_err(), "{wrong}");
        }
        assert_eq!(watchdog_limit("0"), Ok(Duration::ZERO));
        assert_eq!(watchdog_limit("2s"), Ok(Duration::from_secs(2)));
        assert!(watchdog_limit("1s").is_err());
    }

    #[test]
    fn times_have_units() {
        assert_eq!(duration("10"), Ok(Duration::from_secs(10)));
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        assert_eq!(duration("1.5s"), Ok(Duration::from_millis(1500)));
        assert_eq!(duration("10d"), Ok(Duration::from_secs(10 * 24 * 3600)));
        for wrong in ["", "s", "-1", "+1", "10x", "99999999999999999999s", "999999h"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
        assert!(positive_duration("0").is_err());
    }

    #[test]
    fn sizes_have_units() {
        for (text, bytes) in
            [("0", 0), ("512", 512), ("7B", 7), ("1KiB", 1024), ("2 MB", 2_000_000), ("3MiB", 3 << 20)]
        {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for wrong in ["", "KiB", "-1", "+1", "1.5KiB", "1XB", "99999999999999999999", "99999999999999MiB"] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
    }
}
