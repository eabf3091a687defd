//! Class labels: whole numbers or strings.

use tract_onnx::tract_hir::internal::*;

use super::OpError;
use super::attributes::Attributes;
use super::glue::tensor;

/// The class labels of a classifier, in the order of its scores.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Labels {
    Ints(Vec<i64>),
    Strings(Vec<String>),
}

impl Labels {
    /// The labels, from `ints` (an attribute's name, which differs between operators) or `classlabels_strings`.
    pub(super) fn read(attributes: Attributes<'_>, ints: &str) -> Result<Self, OpError> {
        let strings = attributes.strings("classlabels_strings")?;
        let ints = attributes.ints(ints)?;
        match (ints.is_empty(), strings.is_empty()) {
            (false, true) => Ok(Self::Ints(ints.to_vec())),
            (true, false) => Ok(Self::Strings(strings.into_iter().map(str::to_owned).collect())),
            _ => Err(OpError::Bad("expected class labels, either whole numbers or strings".to_owned())),
        }
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Self::Ints(labels) => labels.len(),
            Self::Strings(labels) => labels.len(),
        }
    }

    pub(super) fn dtype(&self) -> DatumType {
        match self {
            Self::Ints(_) => i64::datum_type(),
            Self::Strings(_) => String::datum_type(),
        }
    }

    /// The label of each row, from the class's place.
    pub(super) fn pick(&self, classes: &[usize]) -> TractResult<TValue> {
        let shape = [classes.len()];
        match self {
            Self::Ints(labels) => tensor(&shape, classes.iter().map(|&class| labels[class]).collect()),
            Self::Strings(labels) => tensor(&shape, classes.iter().map(|&class| labels[class].clone()).collect()),
        }
    }
}
