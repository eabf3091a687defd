//! The reference profile, `profile.json`: what every column looked like in training. Immutable with its version.

use std::collections::BTreeSet;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

use super::DriftError;
use super::ladder::{self, Rung};
use crate::model::FeatureKind;

/// The most bins that a profile may have for one column.
const BINS_LIMIT: usize = 64;

/// What every watched column looked like in the reference data. One that exists makes sense in itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "RawProfile", into = "RawProfile")]
pub struct Profile {
    n_rows: u64,
    columns: Vec<ColumnProfile>,
}

/// One column of the reference: a feature, or the prediction.
#[derive(Debug, Clone, PartialEq)]
pub struct ColumnProfile {
    /// The feature's name, or [`super::PREDICTION`].
    pub name: String,
    /// How many values were missing.
    pub missing: u64,
    /// How far windows of several sizes went by themselves over the time of the reference; empty where that is not known.
    pub calibrated: Vec<Rung>,
    /// What the other values looked like.
    pub reference: Reference,
}

/// What the values of a column looked like.
#[derive(Debug, Clone, PartialEq)]
pub enum Reference {
    /// An ordered quantity.
    Numeric(NumericReference),
    /// One of a set of levels.
    Categorical(CategoricalReference),
}

/// The finite values of a numeric column.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct NumericReference {
    /// Inner edges, strictly ascending. Bin `i` holds `edges[i-1] < x <= edges[i]`; the ends are open.
    pub edges: Vec<f64>,
    /// Finite values a bin: one more than there are edges.
    pub counts: Vec<u64>,
    /// The smallest and the largest finite value; `None` where there was none.
    pub range: Option<(f64, f64)>,
    /// The mean of the finite values.
    pub mean: f64,
    /// Their standard deviation (divided by n).
    pub sd: f64,
    /// How many values were infinite.
    pub infinite: u64,
}

/// The levels of a categorical column.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct CategoricalReference {
    /// The most frequent levels (ties by name), in the order of their names: one bin each.
    pub levels: Vec<String>,
    /// Values a level, and at the end those of all other levels.
    pub counts: Vec<u64>,
    /// The names of the other levels, as far as they were kept.
    pub rest: Vec<String>,
    /// Whether `rest` is not all of them: then no live level can be called unseen.
    pub rest_cut: bool,
    /// Levels that were seen exactly once.
    pub seen_once: u64,
    /// Levels that were seen exactly twice.
    pub seen_twice: u64,
}

impl Profile {
    /// The form that this build reads and writes.
    pub const FORMAT: &'static str = "gudgeon.profile/1";

    /// A profile over `n_rows` reference rows.
    ///
    /// # Errors
    /// [`DriftError::Profile`] names the first column that contradicts itself or comes twice.
    pub fn new(n_rows: u64, columns: Vec<ColumnProfile>) -> Result<Self, DriftError> {
        let mut names = BTreeSet::new();
        for column in &columns {
            let expected = if names.insert(column.name.as_str()) { column.flaw() } else { Some("each name once") };
            if let Some(expected) = expected {
                return Err(DriftError::Profile { column: column.name.clone(), expected: expected.to_owned() });
            }
        }
        Ok(Self { n_rows, columns })
    }

    /// How many reference rows there were.
    pub fn n_rows(&self) -> u64 {
        self.n_rows
    }

    /// The columns: features in the signature's order, then the prediction.
    pub fn columns(&self) -> &[ColumnProfile] {
        &self.columns
    }

    /// The column called `name`.
    pub fn column(&self, name: &str) -> Option<&ColumnProfile> {
        self.columns.iter().find(|column| column.name == name)
    }
}

impl ColumnProfile {
    /// Reference values a bin: the bins of [`NumericReference`], or the levels and then `other`.
    pub fn counts(&self) -> &[u64] {
        match &self.reference {
            Reference::Numeric(numeric) => &numeric.counts,
            Reference::Categorical(categorical) => &categorical.counts,
        }
    }

    /// How many values were binned: neither missing nor infinite.
    pub fn n(&self) -> u64 {
        self.counts().iter().sum()
    }

    /// The share of each bin with Jeffreys' half a count added, as [`super::psi`] compares it; each is above 0.
    pub fn smoothed_shares(&self) -> Vec<f64> {
        super::stats::smoothed(self.counts()).collect()
    }

    /// What must hold and does not.
    fn flaw(&self) -> Option<&'static str> {
        if self.counts().len() > BINS_LIMIT {
            return Some("at most 64 bins");
        }
        if self.counts().iter().try_fold(0_u64, |sum, &count| sum.checked_add(count)).is_none() {
            return Some("counts whose sum fits 64 bits");
        }
        ladder::flaw(&self.calibrated).or_else(|| match &self.reference {
            Reference::Numeric(numeric) => numeric.flaw(),
            Reference::Categorical(categorical) => categorical.flaw(),
        })
    }
}

impl NumericReference {
    fn flaw(&self) -> Option<&'static str> {
        if self.counts.len() != self.edges.len() + 1 {
            return Some("one count more than edges");
        }
        let ascending = self.edges.windows(2).all(|pair| matches!(pair, [low, high] if low < high));
        if !ascending || self.edges.iter().any(|edge| !edge.is_finite()) {
            return Some("finite, strictly ascending edges");
        }
        if self.range.is_some_and(|(min, max)| !(min.is_finite() && max.is_finite() && min <= max)) {
            return Some("a finite min, not above a finite max");
        }
        (!self.mean.is_finite() || !self.sd.is_finite() || self.sd < 0.0).then_some("a finite mean and sd")
    }
}

impl CategoricalReference {
    fn flaw(&self) -> Option<&'static str> {
        if self.counts.len() != self.levels.len() + 1 {
            return Some("a count a level, and one of the others");
        }
        let distinct: BTreeSet<_> = self.levels.iter().chain(&self.rest).collect();
        (distinct.len() != self.levels.len() + self.rest.len()).then_some("each level once")
    }
}

/// `profile.json` as it is written.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawProfile {
    format: String,
    n_rows: u64,
    columns: Vec<RawColumn>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawColumn {
    name: String,
    kind: FeatureKind,
    missing: u64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    calibrated: Vec<Rung>,
    counts: Vec<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    numeric: Option<RawNumeric>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    categorical: Option<RawCategorical>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawNumeric {
    edges: Vec<Exact>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    range: Option<(Exact, Exact)>,
    mean: Exact,
    sd: Exact,
    infinite: u64,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCategorical {
    levels: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    rest: Vec<String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    rest_cut: bool,
    seen_once: u64,
    seen_twice: u64,
}

/// A float that reads back bit for bit. The JSON parser's own floats may be off in the last place, which would move every
/// value that lies on an edge into the next bin.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(transparent)]
struct Exact(f64);

impl<'de> Deserialize<'de> for Exact {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Box::<RawValue>::deserialize(deserializer)?;
        text.get().parse().map(Self).map_err(|_| serde::de::Error::custom("expected a number"))
    }
}

impl From<Profile> for RawProfile {
    fn from(profile: Profile) -> Self {
        let Profile { n_rows, columns } = profile;
        let columns = columns.into_iter().map(RawColumn::from).collect();
        Self { format: Profile::FORMAT.to_owned(), n_rows, columns }
    }
}

impl TryFrom<RawProfile> for Profile {
    type Error = DriftError;

    fn try_from(raw: RawProfile) -> Result<Self, Self::Error> {
        let RawProfile { format, n_rows, columns } = raw;
        if format != Self::FORMAT {
            return Err(DriftError::Format { expected: Self::FORMAT.to_owned(), got: format });
        }
        Self::new(n_rows, columns.into_iter().map(ColumnProfile::try_from).collect::<Result<_, _>>()?)
    }
}

impl From<ColumnProfile> for RawColumn {
    fn from(column: ColumnProfile) -> Self {
        let ColumnProfile { name, missing, calibrated, reference } = column;
        match reference {
            Reference::Numeric(NumericReference { edges, counts, range, mean, sd, infinite }) => {
                let edges = edges.into_iter().map(Exact).collect();
                let range = range.map(|(min, max)| (Exact(min), Exact(max)));
                let numeric = Some(RawNumeric { edges, range, mean: Exact(mean), sd: Exact(sd), infinite });
                Self { name, kind: FeatureKind::Numeric, missing, calibrated, counts, numeric, categorical: None }
            }
            Reference::Categorical(categorical) => {
                let CategoricalReference { levels, counts, rest, rest_cut, seen_once, seen_twice } = categorical;
                let categorical = Some(RawCategorical { levels, rest, rest_cut, seen_once, seen_twice });
                Self { name, kind: FeatureKind::Categorical, missing, calibrated, counts, numeric: None, categorical }
            }
        }
    }
}

impl TryFrom<RawColumn> for ColumnProfile {
    type Error = DriftError;

    fn try_from(raw: RawColumn) -> Result<Self, Self::Error> {
        let RawColumn { name, kind, missing, calibrated, counts, numeric, categorical } = raw;
        let reference = match (kind, numeric, categorical) {
            (FeatureKind::Numeric, Some(numeric), None) => {
                let RawNumeric { edges, range, mean, sd, infinite } = numeric;
                let edges = edges.into_iter().map(|Exact(edge)| edge).collect();
                let range = range.map(|(Exact(min), Exact(max))| (min, max));
                Reference::Numeric(NumericReference { edges, counts, range, mean: mean.0, sd: sd.0, infinite })
            }
            (FeatureKind::Categorical, None, Some(categorical)) => {
                let RawCategorical { levels, rest, rest_cut, seen_once, seen_twice } = categorical;
                Reference::Categorical(CategoricalReference { levels, counts, rest, rest_cut, seen_once, seen_twice })
            }
            _ => {
                let expected = "the part that its kind names, and no other".to_owned();
                return Err(DriftError::Profile { column: name, expected });
            }
        };
        Ok(Self { name, missing, calibrated, reference })
    }
}

#[cfg(test)]
mod tests {
    use super::super::{column_of_levels, column_of_numbers};
    use super::*;

    fn profile() -> Profile {
        let numbers: Vec<f64> = (1..500_u32).map(|i| f64::from(i).sqrt() * 1e-7 / 3.0).collect();
        let levels: Vec<String> = (0..500).map(|i| format!("l{}", i % 23)).collect();
        Profile::new(500, vec![column_of_numbers("a", &numbers), column_of_levels("b", &levels)]).unwrap()
    }

    #[test]
    fn a_profile_reads_back_bit_for_bit() {
        let text = serde_json::to_string(&profile()).unwrap();
        assert_eq!(serde_json::from_str::<Profile>(&text).unwrap(), profile());
    }

    #[track_caller]
    fn check(change: impl Fn(&mut Vec<ColumnProfile>), expected: &str) {
        let mut columns = profile().columns;
        change(&mut columns);
        assert_eq!(Profile::new(500, columns).unwrap_err().to_string(), expected);
    }

    #[test]
    fn a_profile_that_contradicts_itself_is_refused() {
        check(
            |columns| columns[1].name = "a".to_owned(),
            "profile column \"a\": expected each name once; make the profile again",
        );
        check(
            |columns| {
                if let Reference::Numeric(numeric) = &mut columns[0].reference {
                    numeric.edges.reverse();
                }
            },
            "profile column \"a\": expected finite, strictly ascending edges; make the profile again",
        );
        check(
            |columns| {
                if let Reference::Categorical(categorical) = &mut columns[1].reference {
                    categorical.counts.pop();
                }
            },
            "profile column \"b\": expected a count a level, and one of the others; make the profile again",
        );
    }

    #[test]
    fn a_profile_of_another_format_says_so() {
        let text = serde_json::to_string(&profile()).unwrap().replace(Profile::FORMAT, "other/9");
        let error = serde_json::from_str::<Profile>(&text).unwrap_err().to_string();
        assert!(error.starts_with("profile: expected format \"gudgeon.profile/1\", got \"other/9\""), "{error}");
    }
}
