//! How a challenger is tried on live requests, and on which share of them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{Digest, ModelName, Version};

/// How a challenger is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// It is given copies of requests that the champion has answered; nobody sees what it says.
    Shadow,
    /// It answers a share of the requests that name no version.
    Canary,
}

crate::schema::described_words!(Mode as "ChallengeMode" { Shadow, Canary });

impl Mode {
    /// The mode as text.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Shadow => "shadow",
            Self::Canary => "canary",
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Mode {
    type Err = UnknownMode;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [Self::Shadow, Self::Canary].into_iter().find(|mode| mode.as_str() == text).ok_or(UnknownMode)
    }
}

/// The text is no mode.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a mode: expected shadow or canary")]
pub struct UnknownMode;

/// A share of requests, from one in a million to all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Share(u32);

crate::schema::described_plainly! {
    // What is less than half a millionth is no share.
    Share => { "type": "number", "minimum": 0.000_000_5, "maximum": 1 },
}

/// Not a share.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a share: expected a number above 0, at most 1 (or a percentage, for example 10%)")]
pub struct InvalidShare;

impl Share {
    /// All of them.
    pub const ALL: Self = Self(Self::WHOLE);
    /// One in twenty.
    pub const ONE_IN_TWENTY: Self = Self(Self::WHOLE / 20);
    const WHOLE: u32 = 1_000_000;

    /// Whether the share has the request whose number is `number`. A number that a smaller share has, a larger one has too.
    pub fn has(self, number: u64) -> bool {
        number % u64::from(Self::WHOLE) < u64::from(self.0)
    }

    /// Between 0 and 1.
    pub fn value(self) -> f64 {
        f64::from(self.0) / f64::from(Self::WHOLE)
    }
}

impl TryFrom<f64> for Share {
    type Error = InvalidShare;

    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the range is checked first")]
    fn try_from(value: f64) -> Result<Self, InvalidShare> {
        if value.is_nan() || 1.0 < value {
            return Err(InvalidShare);
        }
        let parts = (value * f64::from(Self::WHOLE)).round();
        if parts < 1.0 { Err(InvalidShare) } else { Ok(Self(parts as u32)) }
    }
}

impl From<Share> for f64 {
    fn from(share: Share) -> Self {
        share.value()
    }
}

impl FromStr for Share {
    type Err = InvalidShare;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (number, whole) = text.strip_suffix('%').map_or((text, 1.0), |number| (number, 100.0));
        let number: f64 = number.trim().parse().map_err(|_| InvalidShare)?;
        Self::try_from(number / whole)
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", f64::from(self.0) / 10_000.0)
    }
}

/// The number of a key: the first eight bytes, big-endian, of the SHA-256 of `model/version/key`. Every server and every
/// client that can hash comes to the same one; each challenger meets other keys first.
pub fn key_number(model: &ModelName, version: Version, key: &[u8]) -> u64 {
    let mut text = format!("{model}/{version}/").into_bytes();
    text.extend_from_slice(key);
    let digest = Digest::of(&text);
    digest.bytes().iter().take(8).fold(0, |number, byte| (number << 8) | u64::from(*byte))
}

/// The number of the request that came as the `count`-th: the finaliser of splitmix64, which spreads consecutive counts
/// evenly (Steele, Lea and Flood 2014).
pub fn request_number(count: u64) -> u64 {
    let mut number = count.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share(value: f64) -> Share {
        Share::try_from(value).unwrap()
    }

    fn keys_in(share: Share) -> Vec<u32> {
        let (model, version) = ("flights".parse().unwrap(), Version::FIRST);
        let has = |key: &u32| share.has(key_number(&model, version, key.to_string().as_bytes()));
        (0..10_000).filter(has).collect()
    }

    #[test]
    fn shares_are_read_as_numbers_and_percentages() {
        assert_eq!("10%".parse(), Ok(share(0.1)));
        assert_eq!("0.05".parse(), Ok(share(0.05)));
        assert_eq!(share(0.1).to_string(), "10%");
        assert_eq!(serde_json::to_string(&share(0.1)).unwrap(), "0.1");
        for bad in ["0", "-1", "1.01", "101%", "NaN", "inf", "", "ten"] {
            assert_eq!(bad.parse::<Share>(), Err(InvalidShare), "{bad}");
        }
    }

    #[test]
    fn a_larger_share_keeps_the_keys_of_a_smaller_one() {
        let mut smaller = Vec::new();
        for value in [0.01, 0.05, 0.25, 0.5, 1.0] {
            let keys = keys_in(share(value));
            assert!(smaller.iter().all(|key| keys.contains(key)), "share {value} lost a key");
            // Four standard deviations of a binomial.
            let (mean, deviation) = (10_000.0 * value, (10_000.0 * value * (1.0 - value)).sqrt());
            let got = f64::from(u32::try_from(keys.len()).unwrap());
            assert!((got - mean).abs() <= 4.0 * deviation, "share {value} has {got} of 10,000 keys");
            smaller = keys;
        }
    }

    #[test]
    fn the_number_of_a_key_is_the_documented_one() {
        // printf 'flights/3/user-1' | sha256sum | cut -c1-16
        let number = key_number(&"flights".parse().unwrap(), Version::try_from(3).unwrap(), b"user-1");
        assert_eq!(format!("{number:016x}"), "1ad6b1e368ca33b6");
    }

    #[test]
    fn consecutive_requests_are_spread_evenly() {
        for value in [0.01, 0.1, 0.5] {
            let n = (0..100_000).filter(|&count| share(value).has(request_number(count))).count();
            let got = f64::from(u32::try_from(n).unwrap());
            let deviation = (100_000.0 * value * (1.0 - value)).sqrt();
            assert!((got - 100_000.0 * value).abs() <= 4.0 * deviation, "share {value} has {got} of 100,000");
        }
    }
}
