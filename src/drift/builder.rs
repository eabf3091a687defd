//! Gathers rows into a profile: all of a training set, or a bounded sample of the first live rows.

use super::prediction::{PredictionColumn, PredictionSource, prediction_column};
use super::profile::{ColumnProfile, Profile};
use super::reference::{add_known_levels, column_of_levels, column_of_numbers};
use super::{DriftError, PREDICTION};
use crate::model::{Checked, Feature, FeatureKind, Signature};
use crate::tensor::{Data, Dtype, Tensor};

/// Gathers batches of inputs with the outputs that the model gave for them.
#[derive(Debug, Clone)]
pub struct ProfileBuilder {
    signature: Signature,
    /// One a feature: where its values come from, and those so far.
    features: Vec<(Place, Column)>,
    prediction: Option<Column>,
    capacity: usize,
    n_seen: u64,
    random: u64,
}

/// The column of an input that a feature is.
#[derive(Debug, Clone, Copy)]
struct Place {
    input: usize,
    column: usize,
}

/// The values of one column so far, one a row.
#[derive(Debug, Clone)]
enum Column {
    /// Of an FP32 input: half the memory.
    Singles(Vec<f32>),
    Numbers(Vec<f64>),
    Levels(Vec<String>),
}

impl Column {
    fn profile(&self, name: &str) -> ColumnProfile {
        match self {
            Self::Singles(values) => {
                let values: Vec<f64> = values.iter().map(|&value| f64::from(value)).collect();
                column_of_numbers(name, &values)
            }
            Self::Numbers(values) => column_of_numbers(name, values),
            Self::Levels(values) => column_of_levels(name, values),
        }
    }
}

impl ProfileBuilder {
    /// Gathers every row.
    pub fn new(signature: &Signature) -> Self {
        Self::sample(signature, usize::MAX, 0)
    }

    /// Gathers at most `capacity` rows: of all that come, each is among them with the same probability (reservoir
    /// sampling, Vitter's algorithm R), decided by `seed`.
    pub fn sample(signature: &Signature, capacity: usize, seed: u64) -> Self {
        let feature = |feature: &Feature| {
            // A feature whose input is not there has no values: nothing is at that place.
            let input = signature.inputs.iter().position(|spec| spec.name == feature.input).unwrap_or(usize::MAX);
            let is_single = signature.inputs.get(input).is_some_and(|spec| spec.datatype == Dtype::Fp32);
            let column = match feature.kind {
                FeatureKind::Numeric if is_single => Column::Singles(Vec::new()),
                FeatureKind::Numeric => Column::Numbers(Vec::new()),
                FeatureKind::Categorical => Column::Levels(Vec::new()),
            };
            (Place { input, column: feature.column }, column)
        };
        let prediction = |source: PredictionSource| match source.is_numeric() {
            true => Column::Numbers(Vec::new()),
            false => Column::Levels(Vec::new()),
        };
        Self {
            features: signature.features.iter().map(feature).collect(),
            prediction: PredictionSource::new(signature).map(prediction),
            signature: signature.clone(),
            capacity,
            n_seen: 0,
            random: seed,
        }
    }

    /// Adds a batch. `outputs` are in the order of [`Signature::outputs`]. A batch whose outputs do not have its number of
    /// rows is left out, for it says nothing about them.
    pub fn push(&mut self, inputs: &Checked, outputs: &[Tensor]) {
        let predictions = prediction_column(&self.signature, outputs);
        let n_rows = inputs.n_rows();
        let lengths = match &predictions {
            Some(PredictionColumn::Numeric(values)) => values.len(),
            Some(PredictionColumn::Categorical(values)) => values.len(),
            None => n_rows,
        };
        if lengths != n_rows {
            return;
        }
        for row in 0..n_rows {
            if let Some(place) = self.place() {
                self.put(place, inputs, row);
                self.put_prediction(place, predictions.as_ref(), row);
            }
        }
    }

    /// How many rows have come, kept or not.
    pub fn n_seen(&self) -> u64 {
        self.n_seen
    }

    /// How many rows are kept.
    pub fn len(&self) -> usize {
        usize::try_from(self.n_seen).unwrap_or(usize::MAX).min(self.capacity)
    }

    /// Whether no row has come.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The profile of the rows that are kept. Levels that the signature names are known, though no kept row has them.
    ///
    /// # Errors
    /// [`DriftError::Profile`] where two features have one name.
    pub fn finish(&self) -> Result<Profile, DriftError> {
        let profile = |((_, column), feature): (&(Place, Column), &Feature)| {
            let mut profile = column.profile(&feature.name);
            add_known_levels(&mut profile, &feature.levels);
            profile
        };
        let mut columns: Vec<ColumnProfile> = self.features.iter().zip(&self.signature.features).map(profile).collect();
        columns.extend(self.prediction.iter().map(|prediction| prediction.profile(PREDICTION)));
        Profile::new(self.len() as u64, columns)
    }

    /// Where the next row goes; `None` where the sample leaves it out.
    fn place(&mut self) -> Option<usize> {
        let seen = self.n_seen;
        self.n_seen += 1;
        let place = if seen < self.capacity as u64 { seen } else { self.draw(seen + 1) };
        usize::try_from(place).ok().filter(|&place| place < self.capacity)
    }

    /// A number below `end` (splitmix64; the bias of the remainder is below 2^-32 for every count that can occur).
    fn draw(&mut self, end: u64) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end
    }

    fn put(&mut self, row_place: usize, inputs: &Checked, row: usize) {
        for (Place { input, column }, values) in &mut self.features {
            let tensor = inputs.tensors().get(*input);
            let at = tensor.map_or(0, |tensor| row * tensor.row_len() + *column);
            let number = || tensor.and_then(|tensor| tensor.data().as_f64(at)).unwrap_or(f64::NAN);
            match values {
                #[expect(clippy::cast_possible_truncation, reason = "it was an FP32")]
                Column::Singles(values) => set(values, row_place, number() as f32),
                Column::Numbers(values) => set(values, row_place, number()),
                Column::Levels(values) => {
                    set(values, row_place, tensor.map_or_else(String::new, |tensor| level(tensor.data(), at)));
                }
            }
        }
    }

    fn put_prediction(&mut self, place: usize, predictions: Option<&PredictionColumn>, row: usize) {
        match (&mut self.prediction, predictions) {
            (Some(Column::Numbers(to)), Some(PredictionColumn::Numeric(from))) => set(to, place, from[row]),
            (Some(Column::Levels(to)), Some(PredictionColumn::Categorical(from))) => set(to, place, from[row].clone()),
            _ => {}
        }
    }
}

/// The level of a categorical value, as it is named in a profile; empty where it is missing.
fn level(data: &Data, at: usize) -> String {
    match data {
        Data::String(values) => values.get(at).cloned().unwrap_or_default(),
        Data::Int64(values) => values.get(at).map(ToString::to_string).unwrap_or_default(),
        other => other.as_f64(at).filter(|value| !value.is_nan()).map(level_name).unwrap_or_default(),
    }
}

/// The name of a level that is a number.
pub(super) fn level_name(value: f64) -> String {
    // Zero has one name.
    (value + 0.0).to_string()
}

fn set<T>(values: &mut Vec<T>, place: usize, value: T) {
    match values.get_mut(place) {
        Some(old) => *old = value,
        None => values.push(value),
    }
}
