//! What a model takes and gives, and the one place where a request is held against it.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::tensor::{Data, Dtype, NamedTensor, Tensor, join_rows};

/// Name, type and shape of one input or output. `None` in the shape is a dimension that may vary; axis 0 is the row axis, but for an
/// output whose first size is fixed: its rows are on another axis, or it says the same of any rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TensorSpec {
    /// The name in the graph.
    pub name: String,
    /// The element type.
    pub datatype: Dtype,
    /// The sizes, rows first (`null`, as all that may vary); an output whose first size is a number does not follow the rows.
    pub shape: Vec<Option<usize>>,
}

crate::schema::described!(TensorSpec as "TensorSpec" { name, datatype, shape });

impl TensorSpec {
    /// Whether `shape` fits; the row axis fits always.
    pub fn takes_shape(&self, shape: &[usize]) -> bool {
        let fits = |(index, (want, got)): (usize, (&Option<usize>, &usize))| {
            index == 0 || want.is_none_or(|want| want == *got)
        };
        self.shape.len() == shape.len() && self.shape.iter().zip(shape).enumerate().all(fits)
    }

    /// Whether axis 0 is the row axis. A size of 1 there is what exporters write who did not think of rows.
    pub fn follows_rows(&self) -> bool {
        self.shape.first().is_none_or(|rows| rows.is_none_or(|size| size <= 1))
    }

    /// The row axis of an output; `None` where it says the same of any rows.
    pub fn row_axis(&self) -> Option<usize> {
        if self.follows_rows() { Some(0) } else { self.shape.iter().position(Option::is_none) }
    }

    /// Values in one row, where every dimension behind the row axis is fixed.
    pub fn row_len(&self) -> Option<usize> {
        self.shape.iter().skip(1).try_fold(1_usize, |product, dim| product.checked_mul((*dim)?))
    }

    /// The shape as the Open Inference Protocol writes it: -1 may vary, and so may the rows.
    pub fn wire_shape(&self) -> Vec<i64> {
        let size = |(index, dim): (usize, &Option<usize>)| match dim {
            Some(size) if index > 0 || !self.follows_rows() => i64::try_from(*size).unwrap_or(i64::MAX),
            _ => -1,
        };
        self.shape.iter().enumerate().map(size).collect()
    }
}

/// How a feature's values are to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FeatureKind {
    /// An ordered quantity.
    Numeric,
    /// One of a set of levels.
    Categorical,
}

crate::schema::described_words!(FeatureKind as "FeatureKind" { Numeric, Categorical });

/// One feature: a column of one of the inputs, by the name that callers use.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Feature {
    /// The name that callers use.
    pub name: String,
    /// How its values are to be read.
    pub kind: FeatureKind,
    /// The input that holds it.
    pub input: String,
    /// Its place in a row of that input.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub column: usize,
    /// Whether a caller may leave it out (it is missing then).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub optional: bool,
    /// The levels that training saw; others are answered as unseen.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub levels: Vec<String>,
    /// The smallest finite value that training saw.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<f64>,
    /// The largest finite value that training saw.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<f64>,
}

crate::schema::described!(
    Feature as "Feature" { name, kind, input } omitted { column, optional, levels, min, max }
);

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
fn is_zero(value: &usize) -> bool {
    *value == 0
}

/// Which outputs carry the prediction, by position in [`Signature::outputs`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Head {
    /// A classifier: a label a row, and perhaps a probability a class a row.
    Classes {
        /// The output with the label.
        label: Option<usize>,
        /// The output `[n_rows, n_classes]` with the probabilities.
        probabilities: Option<usize>,
    },
    /// A regression: one number a row.
    Value {
        /// The output with the number.
        output: usize,
    },
    /// Anything else: outputs are answered as they are, and only features are watched for drift.
    Raw,
}

/// What a model takes and gives.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signature {
    /// The graph's inputs, in its order.
    pub inputs: Vec<TensorSpec>,
    /// The graph's outputs, in its order.
    pub outputs: Vec<TensorSpec>,
    /// The features, in the order in which a row given as a list carries them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub features: Vec<Feature>,
    /// The class names of a classifier, in the order of its probabilities.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub classes: Vec<String>,
    /// The inputs that are maps in the graph, whose features are their keys: a row has 0 (or the empty string) for a key that it
    /// leaves out, and keys that the graph does not know are passed over.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub maps: Vec<String>,
}

crate::schema::described!(
    Signature as "Signature" { inputs, outputs } omitted { features, classes, maps }
);

/// Input that does not fit a signature: where, what was expected, what came. It never quotes more of the input than a
/// type or a size.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path}: expected {expected}, got {got}")]
pub struct Mismatch {
    /// The place, for example `inputs[2].shape` or `instances[0].dep_delay`.
    pub path: String,
    /// What the signature asks for.
    pub expected: String,
    /// What came.
    pub got: String,
}

impl Mismatch {
    /// A mismatch at `path`.
    pub fn new(path: impl Into<String>, expected: impl Into<String>, got: impl Into<String>) -> Self {
        Self { path: path.into(), expected: expected.into(), got: got.into() }
    }
}

/// A batch that fits its signature: one tensor an input, in the signature's order, all with `n_rows` rows.
#[derive(Debug, Clone, PartialEq)]
pub struct Checked {
    tensors: Vec<Tensor>,
    n_rows: usize,
}

impl Checked {
    /// The tensors, in the order of [`Signature::inputs`].
    pub fn tensors(&self) -> &[Tensor] {
        &self.tensors
    }

    /// The tensors, in the order of [`Signature::inputs`].
    pub fn into_tensors(self) -> Vec<Tensor> {
        self.tensors
    }

    /// How many rows each tensor has.
    pub fn n_rows(&self) -> usize {
        self.n_rows
    }

    /// The rows of all `parts`, checked against one signature, below each other. `None` where they do not fit together (a
    /// variable dimension behind axis 0 differs) or there are none.
    pub fn join(parts: &[&Self]) -> Option<Self> {
        let tensors = join_rows(&parts.iter().map(|part| part.tensors()).collect::<Vec<_>>())?;
        Some(Self { tensors, n_rows: parts.iter().map(|part| part.n_rows).sum() })
    }
}

impl Signature {
    /// Holds `inputs` (in any order) against the signature. Inputs all of whose features are optional may be left out.
    ///
    /// # Errors
    /// [`Mismatch`] names the first input that is unknown, given twice, missing, of another type or of another shape, or
    /// whose number of rows is zero or differs.
    pub fn check(&self, inputs: Vec<NamedTensor>) -> Result<Checked, Mismatch> {
        let n_rows = inputs.first().map_or(0, |input| input.tensor.n_rows());
        let mut slots: Vec<Option<Tensor>> = vec![None; self.inputs.len()];
        for (index, NamedTensor { name, tensor }) in inputs.into_iter().enumerate() {
            let Some(position) = self.inputs.iter().position(|spec| spec.name == name) else {
                return Err(Mismatch::new(format!("inputs[{index}].name"), self.input_names(), "an unknown input"));
            };
            let spec = &self.inputs[position];
            let path = |part: &str| format!("inputs[{index}]{part}");
            if slots[position].is_some() {
                return Err(Mismatch::new(path(""), "each input once", format!("{} twice", spec.name)));
            }
            check_tensor(spec, &tensor, n_rows, path)?;
            slots[position] = Some(tensor);
        }
        if n_rows == 0 {
            return Err(Mismatch::new("inputs", "at least one row", "none"));
        }
        let mut tensors = Vec::with_capacity(slots.len());
        for (slot, spec) in slots.into_iter().zip(&self.inputs) {
            let tensor = slot.or_else(|| self.absent(spec, n_rows));
            tensors.push(
                tensor.ok_or_else(|| Mismatch::new("inputs", format!("input {:?}", spec.name), "no such input"))?,
            );
        }
        Ok(Checked { tensors, n_rows })
    }

    /// Which outputs carry the prediction.
    pub fn head(&self) -> Head {
        let is_label = |spec: &TensorSpec| {
            let is_discrete = !spec.datatype.is_float() && spec.datatype != Dtype::Bool;
            is_discrete && spec.follows_rows() && spec.row_len().is_none_or(|len| len == 1)
        };
        let is_wide = |spec: &TensorSpec| spec.datatype.is_float() && spec.shape.len() == 2 && spec.follows_rows();
        if !self.classes.is_empty() {
            let label = self.outputs.iter().position(is_label);
            let classes = Some(self.classes.len());
            let fits = |spec: &TensorSpec| is_wide(spec) && spec.row_len().is_none_or(|len| Some(len) == classes);
            let probabilities = self.outputs.iter().position(fits);
            if label.is_some() || probabilities.is_some() {
                return Head::Classes { label, probabilities };
            }
        }
        match self.outputs.as_slice() {
            [only] if only.datatype.is_float() && only.follows_rows() && only.row_len() == Some(1) => {
                Head::Value { output: 0 }
            }
            _ => Head::Raw,
        }
    }

    /// Values in a row, where a list of values is a row of the only input: the features, if any are named, are its columns in
    /// order.
    pub fn plain_row_len(&self) -> Option<usize> {
        let [spec] = self.inputs.as_slice() else { return None };
        let &[_, Some(row_len)] = spec.shape.as_slice() else { return None };
        let in_order = |(at, feature): (usize, &Feature)| feature.column == at && feature.input == spec.name;
        let is_plain = self.features.is_empty()
            || (self.features.len() == row_len && self.features.iter().enumerate().all(in_order));
        (0 < row_len && is_plain).then_some(row_len)
    }

    /// The feature called `name`, with its place.
    pub fn feature(&self, name: &str) -> Option<(usize, &Feature)> {
        self.features.iter().enumerate().find(|(_, feature)| feature.name == name)
    }

    /// Whether a caller may leave the input of `spec` out: all of its features are optional, and its type can say so.
    pub fn may_be_left_out(&self, spec: &TensorSpec) -> bool {
        let mut features = self.features.iter().filter(|feature| feature.input == spec.name).peekable();
        features.peek().is_some()
            && features.all(|feature| feature.optional)
            && spec.datatype.holds_missing()
            && spec.row_len().is_some()
    }

    fn input_names(&self) -> String {
        let names: Vec<_> = self.inputs.iter().map(|spec| spec.name.as_str()).collect();
        format!("one of {}", names.join(", "))
    }

    /// Whether `input` is a map in the graph.
    pub fn is_map(&self, input: &str) -> bool {
        self.maps.iter().any(|map| map == input)
    }

    /// The tensor that stands for an input that was left out: all missing. `None` where it may not be left out.
    fn absent(&self, spec: &TensorSpec, n_rows: usize) -> Option<Tensor> {
        if !self.may_be_left_out(spec) {
            return None;
        }
        let n_values = n_rows.checked_mul(spec.row_len()?)?;
        let data = match self.is_map(&spec.name) {
            true => Data::zeros(spec.datatype, n_values),
            false => Data::missing(spec.datatype, n_values)?,
        };
        let mut shape = vec![n_rows];
        shape.extend(spec.shape.iter().skip(1).flatten());
        Tensor::new(shape, data).ok()
    }

    /// Checks that the signature makes sense in itself: names once each, features that lie inside their inputs.
    ///
    /// # Errors
    /// [`Mismatch`] names the part that does not.
    pub fn validate(&self) -> Result<(), Mismatch> {
        unique("signature.inputs", self.inputs.iter().map(|spec| spec.name.as_str()))?;
        unique("signature.outputs", self.outputs.iter().map(|spec| spec.name.as_str()))?;
        unique("signature.features", self.features.iter().map(|feature| feature.name.as_str()))?;
        unique("signature.classes", self.classes.iter().map(String::as_str))?;
        if let Some(name) = self.maps.iter().find(|name| self.inputs.iter().all(|spec| spec.name != **name)) {
            return Err(Mismatch::new("signature.maps", "names of inputs", format!("{name:?}")));
        }
        for (index, feature) in self.features.iter().enumerate() {
            let path = format!("signature.features[{index}]");
            let Some(spec) = self.inputs.iter().find(|spec| spec.name == feature.input) else {
                return Err(Mismatch::new(path, "the name of an input", format!("{:?}", feature.input)));
            };
            if spec.row_len().is_none_or(|len| feature.column >= len) {
                return Err(Mismatch::new(path, "a column inside its input", format!("column {}", feature.column)));
            }
        }
        Ok(())
    }
}

fn check_tensor(
    spec: &TensorSpec,
    tensor: &Tensor,
    n_rows: usize,
    path: impl Fn(&str) -> String,
) -> Result<(), Mismatch> {
    if tensor.dtype() != spec.datatype {
        let expected = format!("{} for input {:?}", spec.datatype, spec.name);
        return Err(Mismatch::new(path(".datatype"), expected, tensor.dtype().to_string()));
    }
    if !spec.takes_shape(tensor.shape()) {
        let expected = format!("shape {:?} for input {:?}", spec.wire_shape(), spec.name);
        return Err(Mismatch::new(path(".shape"), expected, format!("{:?}", tensor.shape())));
    }
    if tensor.n_rows() != n_rows {
        let expected = format!("{n_rows} rows, as in the first input");
        return Err(Mismatch::new(path(".shape"), expected, format!("{} rows", tensor.n_rows())));
    }
    Ok(())
}

fn unique<'a>(path: &str, names: impl Iterator<Item = &'a str>) -> Result<(), Mismatch> {
    let mut seen = BTreeSet::new();
    for name in names {
        if !seen.insert(name) {
            return Err(Mismatch::new(path, "each name once", format!("{name:?} twice")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signature() -> Signature {
        let spec = |name: &str, datatype, shape: &[Option<usize>]| TensorSpec {
            name: name.to_owned(),
            datatype,
            shape: shape.to_vec(),
        };
        let feature = |name: &str, kind, optional| Feature {
            name: name.to_owned(),
            kind,
            input: name.to_owned(),
            column: 0,
            optional,
            levels: Vec::new(),
            min: None,
            max: None,
        };
        Signature {
            inputs: vec![spec("hour", Dtype::Fp32, &[None, Some(1)]), spec("carrier", Dtype::String, &[None, Some(1)])],
            outputs: vec![spec("label", Dtype::Int64, &[None]), spec("probabilities", Dtype::Fp32, &[None, Some(2)])],
            features: vec![
                feature("hour", FeatureKind::Numeric, false),
                feature("carrier", FeatureKind::Categorical, true),
            ],
            classes: vec!["on_time".to_owned(), "late".to_owned()],
            maps: Vec::new(),
        }
    }

    fn named(name: &str, tensor: Tensor) -> NamedTensor {
        NamedTensor { name: name.to_owned(), tensor }
    }

    fn hours(n: usize) -> NamedTensor {
        named("hour", Tensor::column(Data::Fp32(vec![7.0; n])))
    }

    #[track_caller]
    fn check(inputs: Vec<NamedTensor>, expected: &str) {
        assert_eq!(signature().check(inputs).unwrap_err().to_string(), expected);
    }

    #[test]
    fn inputs_come_out_in_the_signatures_order() {
        let carriers = named("carrier", Tensor::column(Data::String(vec!["UA".to_owned()])));
        let checked = signature().check(vec![carriers.clone(), hours(1)]).unwrap();
        assert_eq!(checked.tensors(), [hours(1).tensor, carriers.tensor]);
        assert_eq!(checked.n_rows(), 1);
    }

    #[test]
    fn an_optional_input_may_be_left_out() {
        let checked = signature().check(vec![hours(2)]).unwrap();
        assert_eq!(checked.tensors()[1].as_strings().unwrap(), [String::new(), String::new()]);
    }

    #[test]
    fn what_does_not_fit_is_named() {
        check(vec![], "inputs: expected at least one row, got none");
        check(
            vec![hours(1), named("x", hours(1).tensor)],
            "inputs[1].name: expected one of hour, carrier, got an unknown input",
        );
        check(vec![hours(1), hours(1)], "inputs[1]: expected each input once, got hour twice");
        let ints = named("hour", Tensor::column(Data::Int64(vec![1])));
        check(vec![ints], "inputs[0].datatype: expected FP32 for input \"hour\", got INT64");
        let flat = named("hour", Tensor::vector(Data::Fp32(vec![1.0])));
        check(vec![flat], "inputs[0].shape: expected shape [-1, 1] for input \"hour\", got [1]");
        let two = named("carrier", Tensor::column(Data::String(vec![String::new(); 2])));
        check(vec![hours(1), two.clone()], "inputs[1].shape: expected 1 rows, as in the first input, got 2 rows");
        check(vec![two], "inputs: expected input \"hour\", got no such input");
    }

    #[test]
    fn the_head_is_found_from_types_and_classes() {
        let mut signature = signature();
        assert_eq!(signature.head(), Head::Classes { label: Some(0), probabilities: Some(1) });
        signature.classes.clear();
        assert_eq!(signature.head(), Head::Raw);
        signature.outputs.truncate(1);
        signature.outputs[0].datatype = Dtype::Fp32;
        signature.outputs[0].shape = vec![None, Some(1)];
        assert_eq!(signature.head(), Head::Value { output: 0 });
    }

    #[test]
    fn a_feature_outside_its_input_is_refused() {
        let mut signature = signature();
        assert_eq!(signature.validate(), Ok(()));
        signature.features[0].column = 1;
        assert!(signature.validate().is_err());
    }
}
