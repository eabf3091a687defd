//! Names that have been checked once and are then safe everywhere.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A model's name: `[A-Za-z0-9][A-Za-z0-9._-]{0,63}`. Safe as a folder name, a URL segment and a metric label.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ModelName(String);

crate::schema::described_plainly! {
    ModelName => { "type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$" },
}

/// The text cannot name a model.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a model name: expected 1 to 64 characters, a letter or digit first, then letters, digits, '.', '_' or '-' \
     (no '..')"
)]
pub struct InvalidName;

impl ModelName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ModelName {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let starts_well = text.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
        let all_known = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'));
        if starts_well && all_known && text.len() <= 64 && !text.contains("..") {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidName)
        }
    }
}

impl TryFrom<String> for ModelName {
    type Error = InvalidName;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<ModelName> for String {
    fn from(name: ModelName) -> Self {
        name.0
    }
}

impl fmt::Display for ModelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// A version's number: 1 to 2^63 - 1, given by the registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "u64", into = "u64")]
pub struct Version(u64);

crate::schema::described_plainly! {
    Version => { "type": "integer", "minimum": 1, "maximum": (i64::MAX) },
}

/// The text or number is not a version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a version: expected a whole number from 1 to 9223372036854775807 without leading zeros")]
pub struct InvalidVersion;

impl Version {
    /// The first version of a model.
    pub const FIRST: Self = Self(1);

    /// The number.
    pub fn number(self) -> u64 {
        self.0
    }

    /// The version after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1).min(i64::MAX.unsigned_abs()))
    }
}

impl TryFrom<u64> for Version {
    type Error = InvalidVersion;

    fn try_from(number: u64) -> Result<Self, Self::Error> {
        if (1..=i64::MAX.unsigned_abs()).contains(&number) { Ok(Self(number)) } else { Err(InvalidVersion) }
    }
}

impl From<Version> for u64 {
    fn from(version: Version) -> Self {
        version.0
    }
}

impl FromStr for Version {
    type Err = InvalidVersion;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let canonical = !text.starts_with('0') && text.bytes().all(|byte| byte.is_ascii_digit());
        if !canonical {
            return Err(InvalidVersion);
        }
        text.parse::<u64>().map_err(|_| InvalidVersion)?.try_into()
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// A movable name for a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Alias {
    /// The active version.
    Champion,
    /// The candidate.
    Challenger,
    /// The version that was active before the champion: where a roll back goes.
    Previous,
}

crate::schema::described_words!(Alias as "Alias" { Champion, Challenger, Previous });

impl Alias {
    /// The alias as text.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Champion => "champion",
            Self::Challenger => "challenger",
            Self::Previous => "previous",
        }
    }
}

impl fmt::Display for Alias {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The text is not an alias.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not an alias: expected champion, challenger or previous")]
pub struct UnknownAlias;

impl FromStr for Alias {
    type Err = UnknownAlias;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [Self::Champion, Self::Challenger, Self::Previous]
            .into_iter()
            .find(|alias| alias.as_str() == text)
            .ok_or(UnknownAlias)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_could_climb_or_hide_are_refused() {
        for good in ["flights", "a", "A-1_b.c", &"x".repeat(64)] {
            assert!(good.parse::<ModelName>().is_ok(), "{good}");
        }
        for bad in ["", ".", "..", "a..b", "-a", "a/b", "a b", "a\n", "é", "%2e", &"x".repeat(65)] {
            assert_eq!(bad.parse::<ModelName>(), Err(InvalidName), "{bad:?}");
        }
    }

    #[test]
    fn versions_have_one_spelling() {
        assert_eq!("7".parse::<Version>().map(Version::number), Ok(7));
        for bad in ["", "0", "007", "+7", "-1", "1.5", " 1", "9223372036854775808"] {
            assert_eq!(bad.parse::<Version>(), Err(InvalidVersion), "{bad:?}");
        }
    }
}
