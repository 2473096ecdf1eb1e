//! Sizes and durations with units: `"32MiB"`, `"10ms"`.
//!
//! A size or a duration is a whole number followed by its unit, nothing between them. There is one
//! spelling for each unit; near misses (`MB`, `sec`) are refused with the spelling that was meant.

use std::fmt;
use std::time::Duration;

/// A number of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteSize(u64);

impl ByteSize {
    /// So many bytes.
    #[must_use]
    pub const fn new(bytes: u64) -> Self {
        Self(bytes)
    }

    /// So many bytes.
    #[must_use]
    pub const fn bytes(self) -> u64 {
        self.0
    }
}

/// Reads as the language writes it.
impl std::str::FromStr for ByteSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        parse_size(text).map_err(|UnitProblem { what, nearest }| match nearest {
            Some(nearest) => format!("{what}; perhaps {nearest}"),
            None => what,
        })
    }
}

/// Prints as the language writes it, in the largest unit that is exact: `32MiB`.
impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, scale) = largest_exact(self.0, SIZE_UNITS);
        write!(f, "{}{name}", self.0 / scale)
    }
}

/// A unit's spelling and what it multiplies, smallest first.
type Unit = (&'static str, u64);

const SIZE_UNITS: &[Unit] = &[
    ("B", 1),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
];

/// In nanoseconds.
const DURATION_UNITS: &[Unit] = &[
    ("us", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// Spellings that people write, and the unit that they mean.
const SIZE_ALIASES: &[(&str, &str)] = &[
    ("byte", "B"),
    ("bytes", "B"),
    ("k", "KiB"),
    ("ki", "KiB"),
    ("kb", "KiB"),
    ("kib", "KiB"),
    ("m", "MiB"),
    ("mi", "MiB"),
    ("mb", "MiB"),
    ("mib", "MiB"),
    ("g", "GiB"),
    ("gi", "GiB"),
    ("gb", "GiB"),
    ("gib", "GiB"),
    ("t", "TiB"),
    ("ti", "TiB"),
    ("tb", "TiB"),
    ("tib", "TiB"),
    ("b", "B"),
];

const DURATION_ALIASES: &[(&str, &str)] = &[
    ("µs", "us"),
    ("μs", "us"),
    ("usec", "us"),
    ("micros", "us"),
    ("msec", "ms"),
    ("msecs", "ms"),
    ("millis", "ms"),
    ("milliseconds", "ms"),
    ("sec", "s"),
    ("secs", "s"),
    ("second", "s"),
    ("seconds", "s"),
    ("min", "m"),
    ("mins", "m"),
    ("minute", "m"),
    ("minutes", "m"),
    ("hr", "h"),
    ("hrs", "h"),
    ("hour", "h"),
    ("hours", "h"),
    ("ms", "ms"),
    ("us", "us"),
    ("s", "s"),
    ("h", "h"),
];

/// The unit spellings of a size, as a message lists them.
pub(crate) const SIZE_UNIT_NAMES: &str = "B, KiB, MiB, GiB, TiB";

/// The unit spellings of a duration, as a message lists them.
pub(crate) const DURATION_UNIT_NAMES: &str = "us, ms, s, m, h";

/// Why a text is not a size or not a duration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UnitProblem {
    /// What is wrong, short enough to stand under the text.
    pub(crate) what: String,
    /// The text that was probably meant.
    pub(crate) nearest: Option<String>,
}

/// Reads a size.
pub(crate) fn parse_size(text: &str) -> Result<ByteSize, UnitProblem> {
    parse(text, SIZE_UNITS, SIZE_ALIASES, SIZE_UNIT_NAMES).map(ByteSize)
}

/// Reads a duration.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, UnitProblem> {
    parse(text, DURATION_UNITS, DURATION_ALIASES, DURATION_UNIT_NAMES).map(Duration::from_nanos)
}

/// Writes a duration as the language does, in the largest unit that is exact; what is below a
/// microsecond is dropped, the language cannot say it.
#[must_use]
pub fn format_duration(duration: Duration) -> String {
    let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    if nanos == 0 {
        return "0s".to_owned();
    }
    let micros = nanos - nanos % 1_000;
    let (name, scale) = largest_exact(micros, DURATION_UNITS);
    format!("{}{name}", micros / scale)
}

fn largest_exact(value: u64, units: &'static [Unit]) -> Unit {
    let exact = units
        .iter()
        .rev()
        .find(|(_, scale)| value != 0 && value.is_multiple_of(*scale));
    exact.or(units.first()).copied().unwrap_or(("", 1))
}

fn parse(
    text: &str,
    units: &[Unit],
    aliases: &[(&str, &'static str)],
    names: &str,
) -> Result<u64, UnitProblem> {
    let refuse = |what: String, nearest: Option<String>| Err(UnitProblem { what, nearest });
    let digits_len = text.bytes().take_while(u8::is_ascii_digit).count();
    let (digits, unit) = text.split_at(digits_len);
    if digits.is_empty() {
        return refuse("this does not begin with a whole number".to_owned(), None);
    }
    if unit.is_empty() {
        return refuse(format!("the unit is missing: one of {names}"), None);
    }
    if unit.starts_with(['.', ',']) {
        return refuse(
            "only whole numbers: use a smaller unit instead of a fraction".to_owned(),
            None,
        );
    }
    let Some((_, scale)) = units.iter().find(|(name, _)| *name == unit) else {
        let lower = unit.trim().to_lowercase();
        let known = units
            .iter()
            .map(|(name, _)| *name)
            .find(|name| *name == unit.trim());
        let meant = known.or_else(|| {
            aliases
                .iter()
                .find(|(alias, _)| *alias == lower)
                .map(|(_, name)| *name)
        });
        let what = match known {
            Some(_) => "nothing stands between the number and its unit".to_owned(),
            None => format!("`{}` is not a unit: one of {names}", unit.trim()),
        };
        return refuse(what, meant.map(|name| format!("{digits}{name}")));
    };
    match digits
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(*scale))
    {
        Some(value) => Ok(value),
        None => refuse("this number is too large".to_owned(), None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_unit_is_read_and_printed_back() {
        for text in ["0B", "1B", "1023B", "64KiB", "32MiB", "3GiB", "1TiB"] {
            assert_eq!(parse_size(text).unwrap().to_string(), text);
        }
        for text in ["0s", "5us", "10ms", "1s", "90s", "2m", "1h"] {
            assert_eq!(format_duration(parse_duration(text).unwrap()), text);
        }
        assert_eq!(parse_size("1024KiB").unwrap().to_string(), "1MiB");
    }

    #[test]
    fn a_near_miss_names_the_spelling_that_was_meant() {
        let nearest = |text| parse_size(text).unwrap_err().nearest;
        assert_eq!(nearest("32MB").as_deref(), Some("32MiB"));
        assert_eq!(nearest("32 MiB").as_deref(), Some("32MiB"));
        assert_eq!(nearest("32mib").as_deref(), Some("32MiB"));
        assert_eq!(nearest("32").as_deref(), None);
        assert_eq!(parse_duration("5sec").unwrap_err().nearest.as_deref(), Some("5s"));
        assert_eq!(parse_duration("5MIN").unwrap_err().nearest.as_deref(), Some("5m"));
        assert_eq!(parse_duration("5µs").unwrap_err().nearest.as_deref(), Some("5us"));
    }

    #[test]
    fn what_is_not_a_number_with_a_unit_is_refused() {
        for text in [
            "",
            "MiB",
            "-1MiB",
            "1.5GiB",
            "1e3B",
            "99999999999999999999B",
            "99999999TiB",
            "1 2B",
            "١MiB",
        ] {
            assert!(parse_size(text).is_err(), "{text}");
        }
        for text in ["", "s", "1s500ms", "1.5s", "99999999999h", "5d"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }
}
