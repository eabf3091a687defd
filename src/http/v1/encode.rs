//! Outputs to a v1 answer: `{"predictions": [...]}` for rows, `{"outputs": ...}` for columns.
//!
//! A classifier answers `{"label", "probabilities"}` with class names, a regression one number a row, any other model its
//! outputs as TF Serving writes them. Floats that are not finite are `null`.

use std::borrow::Cow;

use serde::ser::SerializeMap as _;
use serde::{Serialize, Serializer};

use super::decode::Form;
use crate::http::json::{Nested, Value};
use crate::model::{Head, ModelName, Signature, TensorSpec, Version};
use crate::tensor::{Data, Tensor};

/// What is to be answered.
#[derive(Debug, Clone, Copy)]
pub struct Answer<'a> {
    /// The model that answered.
    pub model: &'a ModelName,
    /// The version that answered.
    pub version: Version,
    /// Its signature.
    pub signature: &'a Signature,
    /// One tensor an output, in the order of the signature.
    pub outputs: &'a [Tensor],
    /// Rows in the request.
    pub n_rows: usize,
    /// How the request was written.
    pub form: Form,
}

/// The answer's body.
///
/// # Errors
/// None in practice: writing to memory does not fail.
pub fn encode(answer: &Answer<'_>) -> serde_json::Result<Vec<u8>> {
    serde_json::to_vec(answer)
}

impl Serialize for Answer<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(3))?;
        match self.form {
            Form::Rows => map.serialize_entry("predictions", &Rows(self, Shown::new(self)))?,
            Form::Columns => map.serialize_entry("outputs", &Columns(self, Shown::new(self)))?,
        }
        map.serialize_entry("model_name", self.model)?;
        map.serialize_entry("model_version", &self.version.to_string())?;
        map.end()
    }
}

/// The part of the outputs that is shown, by the signature's head.
#[derive(Clone, Copy)]
enum Shown<'a> {
    Classes(Classes<'a>),
    Value(&'a Tensor),
    One(&'a Tensor),
    Several,
}

impl<'a> Shown<'a> {
    fn new(answer: &Answer<'a>) -> Self {
        let output = |index: usize| answer.outputs.get(index);
        match (answer.signature.head(), answer.outputs) {
            (Head::Classes { label, probabilities }, _) => {
                let (label, probabilities) = (label.and_then(output), probabilities.and_then(output));
                Self::Classes(Classes::new(answer.signature, label, probabilities))
            }
            (Head::Value { output: index }, _) if output(index).is_some() => {
                output(index).map_or(Self::Several, Self::Value)
            }
            (_, [only]) => Self::One(only),
            _ => Self::Several,
        }
    }
}

/// A classifier's outputs.
#[derive(Clone, Copy)]
struct Classes<'a> {
    names: &'a [String],
    label: Option<&'a Tensor>,
    probabilities: Option<&'a Tensor>,
    /// Whether the class names are themselves whole numbers: labels are names then, not places.
    is_numbered: bool,
}

/// The class of each of `n_rows` rows, as answers tell it; none where the signature is no classifier's.
pub(in crate::http) fn labels<'a>(
    signature: &'a Signature,
    outputs: &'a [Tensor],
    n_rows: usize,
) -> impl Iterator<Item = Option<Cow<'a, str>>> {
    let classes = match signature.head() {
        Head::Classes { label, probabilities } => {
            let output = |index: Option<usize>| index.and_then(|index| outputs.get(index));
            Some(Classes::new(signature, output(label), output(probabilities)))
        }
        Head::Value { .. } | Head::Raw => None,
    };
    (0..n_rows).map(move |row| classes.and_then(|classes| classes.label(row)))
}

impl<'a> Classes<'a> {
    fn new(signature: &'a Signature, label: Option<&'a Tensor>, probabilities: Option<&'a Tensor>) -> Self {
        let is_numbered = signature.classes.iter().all(|name| name.parse::<i64>().is_ok());
        Self { names: &signature.classes, label, probabilities, is_numbered }
    }

    /// The class of row `row`; `None` where no probability is a number.
    fn label(&self, row: usize) -> Option<Cow<'a, str>> {
        let Some(label) = self.label else { return self.likeliest(row).map(Cow::Borrowed) };
        let row = row * label.row_len();
        let number: i128 = match label.data() {
            Data::String(values) => return values.get(row).map(|text| Cow::Borrowed(text.as_str())),
            Data::Uint8(values) => (*values.get(row)?).into(),
            Data::Uint16(values) => (*values.get(row)?).into(),
            Data::Uint32(values) => (*values.get(row)?).into(),
            Data::Uint64(values) => (*values.get(row)?).into(),
            Data::Int8(values) => (*values.get(row)?).into(),
            Data::Int16(values) => (*values.get(row)?).into(),
            Data::Int32(values) => (*values.get(row)?).into(),
            Data::Int64(values) => (*values.get(row)?).into(),
            Data::Bool(_) | Data::Fp32(_) | Data::Fp64(_) => return None,
        };
        let place = usize::try_from(number).ok().filter(|_| !self.is_numbered);
        let name = place.and_then(|place| self.names.get(place));
        Some(name.map_or_else(|| Cow::Owned(number.to_string()), |name| Cow::Borrowed(name.as_str())))
    }

    fn likeliest(&self, row: usize) -> Option<&'a str> {
        let tensor = self.probabilities?;
        let (data, start) = (tensor.data(), row * tensor.row_len());
        let values = self.names.iter().enumerate().filter_map(|(class, name)| {
            let value = data.as_f64(start + class).filter(|value| !value.is_nan())?;
            Some((name, value))
        });
        let best = values.reduce(|best, next| if best.1 < next.1 { next } else { best });
        best.map(|(name, _)| name.as_str())
    }
}

/// `predictions`: one member a row.
struct Rows<'a>(&'a Answer<'a>, Shown<'a>);

impl Serialize for Rows<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(answer, shown) = self;
        serializer.collect_seq((0..answer.n_rows).map(|row| Row { answer, shown, row }))
    }
}

struct Row<'a> {
    answer: &'a Answer<'a>,
    shown: &'a Shown<'a>,
    row: usize,
}

impl<'a> Serialize for Row<'a> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let row = self.row;
        match self.shown {
            Shown::Classes(classes) => {
                let mut map = serializer.serialize_map(None)?;
                map.serialize_entry("label", &classes.label(row))?;
                if let Some(tensor) = classes.probabilities {
                    map.serialize_entry("probabilities", &ByClass { names: classes.names, tensor, row })?;
                }
                map.end()
            }
            Shown::Value(tensor) => Value { data: tensor.data(), index: row }.serialize(serializer),
            Shown::One(tensor) => {
                let axis = self.answer.signature.outputs.first().and_then(TensorSpec::row_axis);
                axis.map(|axis| Nested::row(tensor, axis, row)).serialize(serializer)
            }
            Shown::Several => {
                let outputs = self.answer.signature.outputs.iter().zip(self.answer.outputs);
                // What says the same of any rows says nothing of this one.
                let of_row = |(spec, tensor): (&'a TensorSpec, &'a Tensor)| {
                    Some((&spec.name, Nested::row(tensor, spec.row_axis()?, row)))
                };
                serializer.collect_map(outputs.filter_map(of_row))
            }
        }
    }
}

/// The probabilities of one row by class name.
struct ByClass<'a> {
    names: &'a [String],
    tensor: &'a Tensor,
    row: usize,
}

impl Serialize for ByClass<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (data, start) = (self.tensor.data(), self.row * self.tensor.row_len());
        let value = |(class, name)| (name, Value { data, index: start + class });
        serializer.collect_map(self.names.iter().enumerate().map(value))
    }
}

/// `outputs`: one member a column.
struct Columns<'a>(&'a Answer<'a>, Shown<'a>);

impl Serialize for Columns<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(answer, shown) = self;
        match shown {
            Shown::Classes(classes) => {
                let mut map = serializer.serialize_map(None)?;
                let labels: Vec<_> = (0..answer.n_rows).map(|row| classes.label(row)).collect();
                map.serialize_entry("label", &labels)?;
                if let Some(tensor) = classes.probabilities {
                    map.serialize_entry("probabilities", &Nested::whole(tensor))?;
                    map.serialize_entry("classes", classes.names)?;
                }
                map.end()
            }
            Shown::Value(tensor) => {
                let data = tensor.data();
                serializer.collect_seq((0..answer.n_rows).map(|index| Value { data, index }))
            }
            Shown::One(tensor) => Nested::whole(tensor).serialize(serializer),
            Shown::Several => {
                let outputs = answer.signature.outputs.iter().zip(answer.outputs);
                serializer.collect_map(outputs.map(|(spec, tensor)| (&spec.name, Nested::whole(tensor))))
            }
        }
    }
}
