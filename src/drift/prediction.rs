//! Which number or class of the outputs is the prediction. Training and serving must agree on it, so it is here.

use std::collections::HashMap;

use crate::model::{Head, Signature};
use crate::tensor::{Data, Tensor};

/// The prediction of some rows, as it is watched for drift.
#[derive(Debug, Clone, PartialEq)]
pub enum PredictionColumn {
    /// The probability of the second of two classes, or a regression's value; NaN where there is none.
    Numeric(Vec<f64>),
    /// The class names; empty where there is none.
    Categorical(Vec<String>),
}

/// The prediction of each row of `outputs`, which are in the order of [`Signature::outputs`]: of a classifier with two
/// classes the probability of the second, of one with more (or without probabilities) the class, of a regression the
/// value. `None` where the signature has no such head.
pub fn prediction_column(signature: &Signature, outputs: &[Tensor]) -> Option<PredictionColumn> {
    let source = PredictionSource::new(signature)?;
    let n_rows = outputs.get(source.output()).map_or(0, Tensor::n_rows);
    Some(if source.is_numeric() {
        PredictionColumn::Numeric((0..n_rows).map(|row| source.number(outputs, row)).collect())
    } else {
        PredictionColumn::Categorical((0..n_rows).map(|row| source.class(signature, outputs, row)).collect())
    })
}

/// Where the prediction is, found once for a signature.
#[derive(Debug)]
pub(super) enum PredictionSource {
    /// A number: value `column` of each row of an output.
    Number {
        /// The output.
        output: usize,
        /// The place in its rows.
        column: usize,
    },
    /// A label.
    Label {
        /// The output.
        output: usize,
        /// Class names to their places.
        by_name: HashMap<String, usize>,
        /// Integer labels to places: the classes' own numbers, or positions where their names are not numbers.
        by_number: HashMap<i64, usize>,
    },
    /// The most probable class, where there is no label.
    Largest {
        /// The output.
        output: usize,
    },
}

impl PredictionSource {
    pub(super) fn new(signature: &Signature) -> Option<Self> {
        match signature.head() {
            Head::Raw => None,
            Head::Value { output } => Some(Self::Number { output, column: 0 }),
            Head::Classes { probabilities: Some(output), .. } if signature.classes.len() == 2 => {
                Some(Self::Number { output, column: 1 })
            }
            Head::Classes { label: Some(output), .. } => Some(Self::label(output, &signature.classes)),
            Head::Classes { label: None, probabilities } => probabilities.map(|output| Self::Largest { output }),
        }
    }

    fn label(output: usize, classes: &[String]) -> Self {
        let by_name = classes.iter().enumerate().map(|(index, class)| (class.clone(), index)).collect();
        let numbers: Option<Vec<i64>> = classes.iter().map(|class| class.parse().ok()).collect();
        let numbers = numbers.unwrap_or_else(|| (0_i64..).take(classes.len()).collect());
        let by_number = numbers.into_iter().enumerate().map(|(index, number)| (number, index)).collect();
        Self::Label { output, by_name, by_number }
    }

    pub(super) fn output(&self) -> usize {
        match self {
            Self::Number { output, .. } | Self::Label { output, .. } | Self::Largest { output } => *output,
        }
    }

    pub(super) fn is_numeric(&self) -> bool {
        matches!(self, Self::Number { .. })
    }

    /// The number of `row`; NaN where there is none.
    fn number(&self, outputs: &[Tensor], row: usize) -> f64 {
        let Self::Number { output, column } = self else { return f64::NAN };
        let value = outputs.get(*output).and_then(|tensor| tensor.data().as_f64(row * tensor.row_len() + column));
        value.unwrap_or(f64::NAN)
    }

    /// The place of the class of `row`, without allocating; `None` where the signature does not know it.
    pub(super) fn class_index(&self, outputs: &[Tensor], row: usize) -> Option<usize> {
        let tensor = outputs.get(self.output())?;
        match self {
            Self::Number { .. } => None,
            Self::Label { by_name, by_number, .. } => {
                let at = row * tensor.row_len();
                match tensor.data() {
                    Data::String(labels) => by_name.get(labels.get(at)?.as_str()).copied(),
                    Data::Int64(labels) => by_number.get(labels.get(at)?).copied(),
                    other => by_number.get(&whole(other.as_f64(at)?)?).copied(),
                }
            }
            Self::Largest { .. } => {
                let value = |class: usize| tensor.data().as_f64(row * tensor.row_len() + class);
                let classes = 0..tensor.row_len();
                // The first of equals, as every engine's ArgMax has it.
                classes
                    .rev()
                    .filter_map(|class| Some((value(class)?, class)))
                    .max_by(|a, b| a.0.total_cmp(&b.0))
                    .map(|(_, class)| class)
            }
        }
    }

    fn class(&self, signature: &Signature, outputs: &[Tensor], row: usize) -> String {
        let known = self.class_index(outputs, row).and_then(|index| signature.classes.get(index));
        known.cloned().unwrap_or_else(|| self.unknown_label(outputs, row))
    }

    /// A label that is none of the signature's classes, as text.
    fn unknown_label(&self, outputs: &[Tensor], row: usize) -> String {
        let Some(tensor) = outputs.get(self.output()) else { return String::new() };
        let at = row * tensor.row_len();
        match tensor.data() {
            Data::String(labels) => labels.get(at).cloned().unwrap_or_default(),
            Data::Int64(labels) => labels.get(at).map(ToString::to_string).unwrap_or_default(),
            other => other.as_f64(at).map(|value| value.to_string()).unwrap_or_default(),
        }
    }
}

/// A float that holds a whole number, as that number.
#[expect(clippy::cast_possible_truncation, reason = "the fraction is checked, and the range is that of exact floats")]
pub(super) fn whole(value: f64) -> Option<i64> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    (value.abs() <= EXACT && value.fract().abs() < f64::MIN_POSITIVE).then_some(value as i64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::TensorSpec;
    use crate::tensor::Dtype;

    fn signature(outputs: &[(Dtype, &[Option<usize>])], classes: &[&str]) -> Signature {
        let spec = |(index, &(datatype, shape)): (usize, &(Dtype, &[Option<usize>]))| TensorSpec {
            name: format!("y{index}"),
            datatype,
            shape: shape.to_vec(),
        };
        Signature {
            inputs: Vec::new(),
            outputs: outputs.iter().enumerate().map(spec).collect(),
            features: Vec::new(),
            classes: classes.iter().map(|&class| class.to_owned()).collect(),
            maps: Vec::new(),
        }
    }

    #[track_caller]
    fn check(signature: &Signature, outputs: &[Tensor], expected: &Option<PredictionColumn>) {
        assert_eq!(&prediction_column(signature, outputs), expected);
    }

    #[test]
    fn of_two_classes_the_second_probability_is_the_prediction() {
        let signature = signature(&[(Dtype::Int64, &[None]), (Dtype::Fp32, &[None, Some(2)])], &["on_time", "late"]);
        let outputs = [
            Tensor::vector(Data::Int64(vec![0, 1])),
            Tensor::new(vec![2, 2], Data::Fp32(vec![0.75, 0.25, 0.5, 0.5])).unwrap(),
        ];
        check(&signature, &outputs, &Some(PredictionColumn::Numeric(vec![0.25, 0.5])));
    }

    #[test]
    fn of_more_classes_the_name_is_the_prediction() {
        let names = |names: &[&str]| Some(PredictionColumn::Categorical(names.iter().map(|&n| n.to_owned()).collect()));
        let by_position = signature(&[(Dtype::Int64, &[None])], &["a", "b", "c"]);
        check(&by_position, &[Tensor::vector(Data::Int64(vec![2, 0, 7]))], &names(&["c", "a", "7"]));
        let by_number = signature(&[(Dtype::Int32, &[None])], &["1", "2", "3"]);
        check(&by_number, &[Tensor::vector(Data::Int32(vec![1, 3]))], &names(&["1", "3"]));
        let by_name = signature(&[(Dtype::String, &[None])], &["a", "b", "c"]);
        check(&by_name, &[Tensor::vector(Data::String(vec!["b".to_owned(), "x".to_owned()]))], &names(&["b", "x"]));
        let largest = signature(&[(Dtype::Fp32, &[None, Some(3)])], &["a", "b", "c"]);
        let tensor = Tensor::new(vec![2, 3], Data::Fp32(vec![0.2, 0.4, 0.4, 0.1, 0.1, 0.8])).unwrap();
        check(&largest, &[tensor], &names(&["b", "c"]));
    }

    #[test]
    fn a_regression_gives_its_value_and_raw_outputs_nothing() {
        let regression = signature(&[(Dtype::Fp32, &[None, Some(1)])], &[]);
        let outputs = [Tensor::column(Data::Fp32(vec![1.5, -2.0]))];
        check(&regression, &outputs, &Some(PredictionColumn::Numeric(vec![1.5, -2.0])));
        check(&signature(&[(Dtype::Fp32, &[None, Some(4)])], &[]), &outputs, &None);
    }
}
