//! Class labels: whole numbers or strings.

use super::attributes::Attributes;
use crate::engine::kernel::OpError;
use crate::tensor::{Data, Dtype, Tensor};

/// The class labels of a classifier, in the order of its scores.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::engine) enum Labels {
    Ints(Vec<i64>),
    Strings(Vec<String>),
}

impl Labels {
    /// The labels, from `ints` (an attribute's name, which differs between operators) or `classlabels_strings`.
    pub(in crate::engine) fn read(attributes: Attributes<'_>, ints: &str) -> Result<Self, OpError> {
        let strings = attributes.strings("classlabels_strings")?;
        let ints = attributes.ints(ints)?;
        match (ints.is_empty(), strings.is_empty()) {
            (false, true) => Ok(Self::Ints(ints.to_vec())),
            (true, false) => Ok(Self::Strings(strings.into_iter().map(str::to_owned).collect())),
            _ => OpError::bad("expected class labels, either whole numbers or strings"),
        }
    }

    pub(in crate::engine) fn len(&self) -> usize {
        match self {
            Self::Ints(labels) => labels.len(),
            Self::Strings(labels) => labels.len(),
        }
    }

    pub(in crate::engine) fn dtype(&self) -> Dtype {
        match self {
            Self::Ints(_) => Dtype::Int64,
            Self::Strings(_) => Dtype::String,
        }
    }

    /// The label of each row, from the class's place.
    pub(in crate::engine) fn pick(&self, classes: &[usize]) -> Tensor {
        Tensor::vector(match self {
            Self::Ints(labels) => Data::Int64(classes.iter().map(|&class| labels[class]).collect()),
            Self::Strings(labels) => Data::String(classes.iter().map(|&class| labels[class].clone()).collect()),
        })
    }
}
