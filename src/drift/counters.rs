//! Counts live rows on the hot path without an allocation.
//!
//! Each worker has a tally of its own; [`Counters`] says where each value is counted in it: numbers side by side ([`lanes`]),
//! levels one by one ([`levels`]).

use super::counts::Counts;
use super::lanes::{Gathered, Group, LANES};
use super::levels::{LevelColumn, LevelCounts};
use super::prediction::PredictionSource;
use super::profile::{ColumnProfile, Profile, Reference};
use super::{DriftError, PREDICTION};
use crate::model::{Checked, FeatureKind, Signature};
use crate::tensor::Tensor;

/// Where the live rows of one version are counted.
#[derive(Debug)]
pub struct Counters {
    groups: Vec<Group>,
    levels: Vec<LevelColumn>,
    prediction: Option<PredictionSource>,
    /// By column of the profile.
    layout: Vec<Place>,
}

/// One worker's counts.
#[derive(Debug)]
pub struct Tally {
    n_rows: u64,
    numbers: Gathered,
    levels: Box<[LevelCounts]>,
}

/// Where a column is counted.
#[derive(Debug, Clone, Copy)]
enum Place {
    Lane { group: usize, lane: usize, n_bins: usize },
    Levels(usize),
}

/// Where a column's values are.
#[derive(Debug, Clone, Copy)]
pub(super) struct Source {
    /// Of the outputs rather than the inputs.
    pub(super) is_output: bool,
    pub(super) tensor: usize,
    pub(super) column: usize,
}

impl Counters {
    /// Counters for the columns of `profile`.
    ///
    /// # Errors
    /// [`DriftError::Unfit`] where a column is not a feature of `signature` (or its prediction), or of another kind.
    pub fn new(profile: &Profile, signature: &Signature) -> Result<Self, DriftError> {
        let prediction = PredictionSource::new(signature);
        let (mut layout, mut numbers, mut levels) = (Vec::new(), Vec::new(), Vec::new());
        for column in profile.columns() {
            let n_bins = column.counts().len();
            let source = find(column, signature, prediction.as_ref())?;
            layout.push(match (&column.reference, source) {
                (Reference::Numeric(reference), Some(source)) => {
                    let (group, lane) = (numbers.len() / LANES, numbers.len() % LANES);
                    numbers.push((source, reference));
                    Place::Lane { group, lane, n_bins }
                }
                (Reference::Numeric(_), None) => return Err(unfit(column, "the kind of the signature's prediction")),
                (Reference::Categorical(reference), source) => {
                    levels.push(LevelColumn::new(source, reference, &signature.classes));
                    Place::Levels(levels.len() - 1)
                }
            });
        }
        let groups = numbers.chunks(LANES).map(Group::new).collect();
        Ok(Self { groups, levels, prediction, layout })
    }

    /// Nothing counted yet.
    pub fn tally(&self) -> Tally {
        let levels = self.levels.iter().map(LevelColumn::counts).collect();
        Tally { n_rows: 0, numbers: Gathered::new(&self.groups), levels }
    }

    /// Counts a batch that was answered: its inputs, and the outputs in the signature's order. Gives back how many rows have been
    /// counted in full by now that had not been before the call: a block's, whenever there is one.
    pub fn observe(&self, tally: &mut Tally, inputs: &Checked, outputs: &[Tensor]) -> usize {
        let Tally { n_rows, numbers, levels } = tally;
        for (column, counts) in self.levels.iter().zip(levels) {
            column.observe(counts, self.prediction.as_ref(), (inputs, outputs));
        }
        *n_rows += inputs.n_rows() as u64;
        numbers.observe(&self.groups, inputs, outputs)
    }

    /// What `tally` has counted.
    pub fn counts(&self, tally: &mut Tally) -> Counts {
        let Tally { n_rows, numbers, levels } = tally;
        numbers.count(&self.groups);
        let column = |place: &Place| match *place {
            Place::Lane { group, lane, n_bins } => numbers.column(group, lane, n_bins),
            Place::Levels(at) => levels.get(at).map(LevelCounts::column).unwrap_or_default(),
        };
        Counts { rows: *n_rows, columns: self.layout.iter().map(column).collect() }
    }
}

fn unfit(column: &ColumnProfile, expected: &str) -> DriftError {
    DriftError::Unfit { column: column.name.clone(), expected: expected.to_owned() }
}

/// Where the values of `column` are: `None` for a class of the prediction.
fn find(
    column: &ColumnProfile,
    signature: &Signature,
    prediction: Option<&PredictionSource>,
) -> Result<Option<Source>, DriftError> {
    let unfit = |expected| unfit(column, expected);
    let is_numeric = matches!(column.reference, Reference::Numeric(_));
    if column.name == PREDICTION {
        return match prediction {
            Some(PredictionSource::Number { output, column }) if is_numeric => {
                Ok(Some(Source { is_output: true, tensor: *output, column: *column }))
            }
            Some(source) if !is_numeric && !source.is_numeric() => Ok(None),
            _ => Err(unfit("the kind of the signature's prediction")),
        };
    }
    let Some((_, feature)) = signature.feature(&column.name) else {
        return Err(unfit("the name of a feature"));
    };
    if (feature.kind == FeatureKind::Numeric) != is_numeric {
        return Err(unfit("the kind of the signature's feature"));
    }
    let tensor = signature.inputs.iter().position(|spec| spec.name == feature.input);
    let tensor = tensor.ok_or_else(|| unfit("a feature of an input"))?;
    Ok(Some(Source { is_output: false, tensor, column: feature.column }))
}

#[cfg(test)]
#[path = "counters_tests.rs"]
mod tests;
