//! What a name in a v1 body means: a feature, an input, or (where one holds the other) both.

use std::cell::OnceCell;

use crate::http::json::DecodeLimits;
use crate::model::{Signature, TensorSpec};
use crate::tensor::Dtype;

/// The places that a name stands for, by position in the signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::http) struct Target {
    pub(in crate::http) feature: Option<usize>,
    pub(in crate::http) input: Option<usize>,
}

/// A signature, prepared for reading bodies.
#[derive(Debug)]
pub(in crate::http) struct Plan<'a> {
    pub(in crate::http) signature: &'a Signature,
    /// The input of each feature, by position.
    pub(super) feature_inputs: Vec<usize>,
    /// Whether features cover every column of an input.
    pub(super) is_covered: Vec<bool>,
    /// Whether an input is a map, where what a row leaves out is zero.
    pub(super) is_map: Vec<bool>,
    /// Values in one row over all inputs, at least 1.
    pub(super) row_values: usize,
    feature_targets: Vec<Target>,
    /// Every target in the order of its name; made when a name comes out of order.
    by_name: OnceCell<Vec<Target>>,
}

impl<'a> Plan<'a> {
    /// `None` where a feature lies outside of its input: such a signature is not valid.
    pub(in crate::http) fn new(signature: &'a Signature) -> Option<Self> {
        let inputs = &signature.inputs;
        // Most signatures have one input, or one input a feature in the same order: then the first look is the last.
        let position = |name: &str, guess: usize| match inputs.get(guess) {
            Some(spec) if spec.name == name => Some(guess),
            _ => inputs.iter().position(|spec| spec.name == name),
        };
        let mut feature_inputs = Vec::with_capacity(signature.features.len());
        let mut feature_targets = Vec::with_capacity(signature.features.len());
        let mut columns: Vec<Vec<bool>> = vec![Vec::new(); inputs.len()];
        for (index, feature) in signature.features.iter().enumerate() {
            let input = position(&feature.input, index)?;
            let row_len = inputs.get(input)?.row_len()?;
            let columns = columns.get_mut(input)?;
            columns.resize(row_len, false);
            *columns.get_mut(feature.column)? = true;
            feature_inputs.push(input);
            feature_targets.push(Target { feature: Some(index), input: position(&feature.name, index) });
        }
        let is_covered = columns.iter().map(|columns| !columns.is_empty() && columns.iter().all(|column| *column));
        let is_covered = is_covered.collect();
        let is_map = inputs.iter().map(|spec| signature.is_map(&spec.name)).collect();
        let row_values = inputs.iter().map(|spec| spec.row_len().unwrap_or(1)).sum::<usize>().max(1);
        let by_name = OnceCell::new();
        Some(Self { signature, feature_inputs, is_covered, is_map, row_values, feature_targets, by_name })
    }

    /// What `name` means. `expected` is the position of the feature that comes next if names come in the signature's
    /// order, which saves the look-up.
    pub(in crate::http) fn target(&self, name: &str, expected: usize) -> Option<Target> {
        if self.signature.features.get(expected).is_some_and(|feature| feature.name == name) {
            return self.feature_targets.get(expected).copied();
        }
        let targets = self.by_name.get_or_init(|| self.sorted());
        let place = targets.binary_search_by(|target| self.name(*target).cmp(name)).ok()?;
        targets.get(place).copied()
    }

    /// The place of a feature: its input, its column there and its type.
    pub(in crate::http) fn place(&self, feature: usize) -> Option<(usize, usize, Dtype)> {
        let input = *self.feature_inputs.get(feature)?;
        Some((input, self.signature.features.get(feature)?.column, self.spec(input)?.datatype))
    }

    /// The most rows that one request may have.
    pub(in crate::http) fn rows_max(&self, limits: &DecodeLimits) -> usize {
        limits.rows_max.min(limits.values_max / self.row_values)
    }

    /// Input `index`.
    pub(in crate::http) fn spec(&self, index: usize) -> Option<&'a TensorSpec> {
        self.signature.inputs.get(index)
    }

    /// Whether a name that stands for nothing is passed over: it may be a key that a map of the graph's does not know.
    pub(in crate::http) fn takes_any_name(&self) -> bool {
        self.is_map.contains(&true)
    }

    /// Whether a row may be one bare value: one input with one value a row.
    pub(super) fn takes_bare_values(&self) -> bool {
        matches!(self.signature.inputs.as_slice(), [only] if only.row_len() == Some(1))
    }

    /// Whether the features make up all of every input, so that a list can carry them by position.
    pub(in crate::http) fn is_positional(&self) -> bool {
        !self.is_covered.is_empty() && self.is_covered.iter().all(|covered| *covered)
    }

    /// The names that a row may use, in words; a long list is cut.
    pub(super) fn known_names(&self) -> String {
        const SHOWN_MAX: usize = 32;
        let features = self.signature.features.iter().map(|feature| feature.name.as_str());
        let uncovered = self.signature.inputs.iter().zip(&self.is_covered).filter(|(_, covered)| !**covered);
        let names: Vec<_> = features.chain(uncovered.map(|(spec, _)| spec.name.as_str())).collect();
        let shown = names.iter().take(SHOWN_MAX).copied().collect::<Vec<_>>().join(", ");
        match names.len().checked_sub(SHOWN_MAX) {
            None | Some(0) => format!("one of {shown}"),
            Some(more) => format!("one of {shown} and {more} more"),
        }
    }

    fn name(&self, target: Target) -> &str {
        match target {
            Target { feature: Some(feature), .. } => {
                self.signature.features.get(feature).map_or("", |feature| feature.name.as_str())
            }
            Target { input: Some(input), .. } => self.spec(input).map_or("", |spec| spec.name.as_str()),
            Target { feature: None, input: None } => "",
        }
    }

    fn sorted(&self) -> Vec<Target> {
        let inputs = (0..self.signature.inputs.len()).map(|input| Target { feature: None, input: Some(input) });
        let mut targets: Vec<_> = self.feature_targets.iter().copied().chain(inputs).collect();
        // The sort is stable and features come first: a feature stands for the input of its name too.
        targets.sort_by(|a, b| self.name(*a).cmp(self.name(*b)));
        targets.dedup_by(|later, kept| self.name(*later) == self.name(*kept));
        targets
    }
}
