//! Categorical columns: each value is looked up and counted.

use std::collections::HashMap;

use super::builder::level_name;
use super::counters::Source;
use super::counts::ColumnCounts;
use super::prediction::{PredictionSource, whole};
use super::profile::CategoricalReference;
use crate::model::Checked;
use crate::tensor::{Data, Tensor};

/// A categorical column: which bin a level is counted in.
#[derive(Debug)]
pub(super) struct LevelColumn {
    /// `None` for the prediction's class.
    source: Option<Source>,
    n_bins: usize,
    by_name: HashMap<String, Bin>,
    by_number: HashMap<i64, Bin>,
    by_bits: HashMap<u64, Bin>,
    /// By place in the signature's classes.
    by_class: Vec<Bin>,
    unknown: Bin,
}

/// What a level is counted as.
#[derive(Debug, Clone, Copy)]
struct Bin {
    index: usize,
    is_unseen: bool,
}

/// One worker's counts of a categorical column.
#[derive(Debug)]
pub(super) struct LevelCounts {
    bins: Box<[u64]>,
    missing: u64,
    unseen: u64,
}

impl LevelCounts {
    pub(super) fn column(&self) -> ColumnCounts {
        let Self { bins, missing, unseen } = self;
        ColumnCounts { bins: bins.to_vec(), missing: *missing, unseen: *unseen, ..ColumnCounts::default() }
    }

    /// Counts one value: `None` is missing.
    fn count(&mut self, bin: Option<Bin>) {
        let Some(Bin { index, is_unseen }) = bin else {
            self.missing += 1;
            return;
        };
        self.bins.get_mut(index).into_iter().for_each(|bin| *bin += 1);
        self.unseen += u64::from(is_unseen);
    }
}

impl LevelColumn {
    pub(super) fn new(source: Option<Source>, reference: &CategoricalReference, classes: &[String]) -> Self {
        let other = reference.levels.len();
        let unknown = Bin { index: other, is_unseen: !reference.rest_cut };
        let known = reference.levels.iter().enumerate().map(|(index, level)| (level, Bin { index, is_unseen: false }));
        let rest = reference.rest.iter().map(|level| (level, Bin { index: other, is_unseen: false }));
        let by_name: HashMap<String, Bin> = known.chain(rest).map(|(level, bin)| (level.clone(), bin)).collect();
        let numbers = by_name.iter().filter_map(|(level, &bin)| Some((level.parse().ok()?, bin)));
        let by_number = numbers.collect();
        let is_canonical = |level: &str, value: f64| level_name(value) == level;
        let floats = by_name.iter().filter_map(|(level, &bin)| {
            let value = level.parse::<f64>().ok().filter(|&value| is_canonical(level, value))?;
            Some((value.to_bits(), bin))
        });
        let by_bits = floats.collect();
        let class = |class: &String| by_name.get(class).copied().unwrap_or(unknown);
        let by_class = classes.iter().map(class).collect();
        Self { source, n_bins: other + 1, by_bits, by_number, by_class, by_name, unknown }
    }

    /// Nothing counted yet.
    pub(super) fn counts(&self) -> LevelCounts {
        LevelCounts { bins: vec![0; self.n_bins].into(), missing: 0, unseen: 0 }
    }

    /// Counts the column's values of a batch.
    pub(super) fn observe(
        &self,
        counts: &mut LevelCounts,
        prediction: Option<&PredictionSource>,
        (inputs, outputs): (&Checked, &[Tensor]),
    ) {
        match (self.source, prediction) {
            (Some(source), _) => self.observe_levels(counts, source, inputs),
            (None, Some(prediction)) => {
                for row in 0..inputs.n_rows() {
                    let class = prediction.class_index(outputs, row);
                    counts
                        .count(Some(class.and_then(|class| self.by_class.get(class).copied()).unwrap_or(self.unknown)));
                }
            }
            (None, None) => {}
        }
    }

    fn observe_levels(&self, counts: &mut LevelCounts, source: Source, inputs: &Checked) {
        let Some(tensor) = inputs.tensors().get(source.tensor) else { return };
        let stride = tensor.row_len();
        let places = (0..inputs.n_rows()).map(|row| row * stride + source.column);
        let known = |bin: Option<&Bin>| bin.copied().unwrap_or(self.unknown);
        match tensor.data() {
            Data::String(values) => {
                for value in places.map(|at| values.get(at).map_or("", String::as_str)) {
                    counts.count((!value.is_empty()).then(|| known(self.by_name.get(value))));
                }
            }
            Data::Int64(values) => {
                for value in places.map(|at| values.get(at)) {
                    counts.count(value.map(|value| known(self.by_number.get(value))));
                }
            }
            data => {
                for value in places.map(|at| data.as_f64(at).filter(|value| !value.is_nan())) {
                    counts.count(value.map(|value| known(self.number(value))));
                }
            }
        }
    }

    fn number(&self, value: f64) -> Option<&Bin> {
        match whole(value) {
            Some(number) => self.by_number.get(&number),
            None => self.by_bits.get(&value.to_bits()),
        }
    }
}
