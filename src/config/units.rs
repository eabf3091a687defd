//! Values with a unit, as people write them: `250ms`, `64MiB`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::Deserialize;

/// A span of time: `250ms`, `10s`, `5m`, `1h`.
#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "toml::Value")]
pub struct Period(Duration);

/// A number of bytes: `512B`, `64KiB`, `64MiB`, `2GiB`.
#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "toml::Value")]
pub struct ByteSize(u64);

/// The text has no number, or no unit that is known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected a number and a unit, one of {units} (for example {example})")]
pub struct InvalidUnit {
    units: &'static str,
    example: &'static str,
}

const PERIODS: InvalidUnit = InvalidUnit { units: "ms, s, m, h", example: "10s" };
const SIZES: InvalidUnit = InvalidUnit { units: "B, KiB, MiB, GiB", example: "64MiB" };

impl Period {
    /// So many seconds.
    pub const fn from_secs(secs: u64) -> Self {
        Self(Duration::from_secs(secs))
    }

    /// So many milliseconds.
    pub const fn from_millis(millis: u64) -> Self {
        Self(Duration::from_millis(millis))
    }

    /// The span.
    pub const fn duration(self) -> Duration {
        self.0
    }
}

impl ByteSize {
    /// So many times 1,048,576 bytes.
    pub const fn mib(count: u64) -> Self {
        Self(count << 20)
    }

    /// The number of bytes.
    pub const fn bytes(self) -> u64 {
        self.0
    }

    /// The number of bytes, as much as fits in memory.
    pub fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

/// A whole number and the unit behind it.
fn split(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit())?;
    Some((text[..end].parse().ok()?, text[end..].trim_start()))
}

impl FromStr for Period {
    type Err = InvalidUnit;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (number, unit) = split(text.trim()).ok_or(PERIODS)?;
        let millis = match unit {
            "ms" => Some(number),
            "s" => number.checked_mul(1_000),
            "m" => number.checked_mul(60_000),
            "h" => number.checked_mul(3_600_000),
            _ => None,
        };
        // A century is enough; more would overflow when it is added to a clock.
        millis.filter(|&millis| millis <= 3_155_760_000_000).map(Self::from_millis).ok_or(PERIODS)
    }
}

impl FromStr for ByteSize {
    type Err = InvalidUnit;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (number, unit) = split(text.trim()).ok_or(SIZES)?;
        let shift = match unit {
            "B" => 0,
            "KiB" => 10,
            "MiB" => 20,
            "GiB" => 30,
            _ => return Err(SIZES),
        };
        number.checked_mul(1 << shift).map(Self).ok_or(SIZES)
    }
}

impl TryFrom<toml::Value> for Period {
    type Error = InvalidUnit;

    fn try_from(value: toml::Value) -> Result<Self, Self::Error> {
        value.as_str().ok_or(PERIODS)?.parse()
    }
}

impl TryFrom<toml::Value> for ByteSize {
    type Error = InvalidUnit;

    fn try_from(value: toml::Value) -> Result<Self, Self::Error> {
        value.as_str().ok_or(SIZES)?.parse()
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0.as_millis();
        if millis.is_multiple_of(1000) { write!(f, "{}s", millis / 1000) } else { write!(f, "{millis}ms") }
    }
}

impl fmt::Debug for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 > 0 && self.0.is_multiple_of(1 << 20) {
            write!(f, "{}MiB", self.0 >> 20)
        } else {
            write!(f, "{}B", self.0)
        }
    }
}

impl fmt::Debug for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn periods_and_sizes_read_as_people_write_them() {
        assert_eq!("250ms".parse(), Ok(Period::from_millis(250)));
        assert_eq!("5m".parse(), Ok(Period::from_secs(300)));
        assert_eq!("64 MiB".parse(), Ok(ByteSize::mib(64)));
        for bad in ["", "5", "s", "-1s", "1.5s", "99999999999999999999s", "1d"] {
            assert!(bad.parse::<Period>().is_err(), "{bad:?}");
        }
        for bad in ["", "5", "MB", "5MB", "99999999999999GiB"] {
            assert!(bad.parse::<ByteSize>().is_err(), "{bad:?}");
        }
    }
}
