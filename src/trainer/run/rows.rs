//! Rows of a table as a model's inputs, and a model's outputs as predictions.

use crate::engine::Plan;
use crate::evaluation::{Labels, Predictions};
use crate::model::{Checked, Feature, Head, Mismatch, Signature, TensorSpec};
use crate::tensor::{Data, Dtype, NamedTensor, Tensor};
use crate::trainer::TrainError;
use crate::trainer::data::{Column, Table};
use crate::trainer::fit::Objective;
use crate::trainer::fit::gbdt::objective::class_of;

/// Rows that the engine is given at once.
pub(super) const BATCH_ROWS: usize = 1_024;

/// Features of a table by name.
#[derive(Debug, Clone, Copy)]
pub(super) struct Source<'a> {
    /// The names of the table's features, in its order.
    pub(super) names: &'a [String],
    pub(super) table: &'a Table,
}

impl<'a> Source<'a> {
    fn column(&self, name: &str) -> Option<&'a Column> {
        let place = self.names.iter().position(|known| known == name)?;
        self.table.features.get(place)
    }

    /// The inputs of `signature` for `rows`. A feature that the table lacks is missing, if it is optional.
    pub(super) fn inputs(&self, signature: &Signature, rows: &[u32]) -> Result<Checked, Mismatch> {
        let tensors = signature.inputs.iter().map(|spec| self.input(signature, spec, rows));
        signature.check(tensors.collect::<Result<_, _>>()?)
    }

    fn input(&self, signature: &Signature, spec: &TensorSpec, rows: &[u32]) -> Result<NamedTensor, Mismatch> {
        let path = || format!("input {:?}", spec.name);
        let width = spec.row_len().ok_or_else(|| Mismatch::new(path(), "a fixed number of columns", "a free one"))?;
        let features: Vec<&Feature> = signature.features.iter().filter(|feature| feature.input == spec.name).collect();
        let mut columns: Vec<Option<&Column>> = vec![None; width];
        for feature in features {
            let column = self.column(&feature.name);
            if column.is_none() && !feature.optional {
                return Err(Mismatch::new(path(), format!("a column {:?} in the data", feature.name), "none"));
            }
            if let Some(slot) = columns.get_mut(feature.column) {
                *slot = column;
            }
        }
        let absent = if signature.is_map(&spec.name) { 0.0 } else { f32::NAN };
        let data = values(spec.datatype, &columns, rows, absent)
            .ok_or_else(|| Mismatch::new(path(), "numbers or strings", spec.datatype.to_string()))?;
        let mut shape = vec![rows.len()];
        shape.extend(spec.shape.iter().skip(1).flatten());
        let tensor =
            Tensor::new(shape, data).map_err(|error| Mismatch::new(path(), "one value a column", error.to_string()))?;
        Ok(NamedTensor { name: spec.name.clone(), tensor })
    }
}

/// The values of `rows`, row-major, `absent` for numbers that are not there; `None` for types that no column can be read as.
#[expect(clippy::cast_possible_truncation, reason = "a graph that asks for integers gets the numbers cut to them")]
fn values(dtype: Dtype, columns: &[Option<&Column>], rows: &[u32], absent: f32) -> Option<Data> {
    let number = |row: u32, column: &Option<&Column>| match column {
        Some(Column::Numeric(values)) if values[row as usize].is_nan() => absent,
        Some(Column::Numeric(values)) => values[row as usize],
        Some(Column::Categorical(categories)) => categories.level(row as usize).parse().unwrap_or(absent),
        None => absent,
    };
    let text = |row: u32, column: &Option<&Column>| match column {
        Some(Column::Categorical(categories)) => categories.level(row as usize).to_owned(),
        Some(Column::Numeric(values)) => values[row as usize].to_string(),
        None => String::new(),
    };
    let cells = || rows.iter().flat_map(|&row| columns.iter().map(move |column| (row, column)));
    Some(match dtype {
        Dtype::Fp32 => Data::Fp32(cells().map(|(row, column)| number(row, column)).collect()),
        Dtype::Fp64 => Data::Fp64(cells().map(|(row, column)| f64::from(number(row, column))).collect()),
        Dtype::Int64 => Data::Int64(cells().map(|(row, column)| number(row, column) as i64).collect()),
        Dtype::Int32 => Data::Int32(cells().map(|(row, column)| number(row, column) as i32).collect()),
        Dtype::String => Data::String(cells().map(|(row, column)| text(row, column)).collect()),
        _ => return None,
    })
}

/// A model that answers rows of a table.
#[derive(Debug)]
pub(super) struct Answering<'a> {
    /// Whose answers, for messages.
    pub(super) what: String,
    pub(super) plan: &'a Plan,
    pub(super) signature: &'a Signature,
}

impl Answering<'_> {
    /// Runs `rows` in batches and hands each batch's rows, inputs and outputs to `each`.
    pub(super) fn run(
        &self,
        source: Source<'_>,
        rows: &[u32],
        mut each: impl FnMut(&[u32], &Checked, &[Tensor]),
    ) -> Result<(), TrainError> {
        for batch in rows.chunks(BATCH_ROWS) {
            let inputs = source.inputs(self.signature, batch);
            let inputs = inputs.map_err(|source| TrainError::Inputs { what: self.what.clone(), source })?;
            let outputs = self.plan.run(inputs.tensors());
            let outputs = outputs.map_err(|source| TrainError::Engine { what: self.what.clone(), source })?;
            each(batch, &inputs, &outputs);
        }
        Ok(())
    }

    /// The predictions for `rows`, row-major `[n_rows, n_outputs]`, in the order of `classes`.
    pub(super) fn predict(&self, source: Source<'_>, rows: &[u32], classes: &[String]) -> Result<Vec<f32>, TrainError> {
        let wrong = |expected: &str| TrainError::Outputs { what: self.what.clone(), expected: expected.to_owned() };
        let (output, places) = match self.signature.head() {
            Head::Value { output } if classes.is_empty() => (output, vec![0]),
            Head::Classes { probabilities: Some(output), .. } if !classes.is_empty() => {
                let place = |class: &String| self.signature.classes.iter().position(|known| known == class);
                let places: Option<Vec<usize>> = classes.iter().map(place).collect();
                (output, places.ok_or_else(|| wrong(&format!("the classes {}", classes.join(", "))))?)
            }
            _ if classes.is_empty() => return Err(wrong("one number a row")),
            _ => return Err(wrong("a probability for each class")),
        };
        let mut predictions = Vec::with_capacity(rows.len() * places.len());
        let mut is_whole = true;
        self.run(source, rows, |batch, _, outputs| {
            let Some(tensor) = outputs.get(output) else { return };
            let width = tensor.row_len().max(1);
            is_whole &= tensor.n_rows() == batch.len();
            for row in 0..tensor.n_rows() {
                predictions.extend(places.iter().map(|&place| narrow(tensor.data().as_f64(row * width + place))));
            }
        })?;
        if is_whole && predictions.len() == rows.len() * places.len() {
            Ok(predictions)
        } else {
            Err(wrong("one answer a row"))
        }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "predictions are compared in 32 bits")]
fn narrow(value: Option<f64>) -> f32 {
    value.map_or(f32::NAN, |value| value as f32)
}

/// What really happened in `rows`.
#[expect(clippy::cast_possible_truncation, reason = "classes are few")]
pub(super) fn labels(table: &Table, rows: &[u32], objective: Objective) -> Labels {
    let target = rows.iter().map(|&row| table.target[row as usize]);
    match objective {
        Objective::Squared => Labels::Values(target.map(f64::from).collect()),
        _ => Labels::Classes(target.map(|target| class_of(target) as u32).collect()),
    }
}

/// Predictions as the evaluation takes them.
pub(super) fn predictions(values: &[f32], objective: Objective) -> Predictions {
    let wide = || values.iter().map(|&value| f64::from(value));
    match objective {
        Objective::Squared => Predictions::Values(wide().collect()),
        Objective::Binary => Predictions::Probability(wide().skip(1).step_by(2).collect()),
        Objective::Multiclass { n_classes } => Predictions::Probabilities { n_classes, values: wide().collect() },
    }
}

/// The values of feature `name` in `rows`, as text.
pub(super) fn texts(source: Source<'_>, name: &str, rows: &[u32]) -> Option<Vec<String>> {
    Some(match source.column(name)? {
        Column::Categorical(categories) => rows.iter().map(|&row| categories.level(row as usize).to_owned()).collect(),
        Column::Numeric(values) => rows.iter().map(|&row| values[row as usize].to_string()).collect(),
    })
}
