//! First runs, before any request: they fill caches, show whether outputs follow rows, and measure latency.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::{Refusal, millis};
use crate::engine::{EngineError, Plan};
use crate::model::{Golden, Signature, TensorSpec, Tolerance};
use crate::tensor::{Data, Dtype, NamedTensor, Tensor};

/// Batches that the warm-up runs, rows.
const BATCHES: [usize; 3] = [1, 8, 64];
/// Runs of each batch, unless they take too long.
const RUNS: usize = 5;
/// Runs of each batch where they are so short that one says little, and the time that is spent on them.
const SHORT_RUNS: usize = 50;
const SHORT_TIME_MAX: Duration = Duration::from_millis(5);
/// Time that the warm-up may take for one batch size.
const TIME_MAX: Duration = Duration::from_millis(500);
/// Rows that are run together and then alone.
const PROBE_ROWS: usize = 4;
/// Rows that an output hardly has by chance.
const UNLIKELY_ROWS: usize = 7;
/// Golden rows that engines are compared on.
const GOLDEN_PROBE_ROWS: usize = 16;
/// How far a row's outputs may be from those of the same row alone: sums may be added up in another order.
const PROBE_TOLERANCE: Tolerance = Tolerance { abs: 1e-4, rel: 1e-3 };

/// Time of a run of one batch size.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BatchLatency {
    /// Rows in the batch.
    pub rows: usize,
    /// Median time of a run, milliseconds.
    pub median_ms: f64,
}

crate::schema::described!(BatchLatency as "BatchLatency" { rows, median_ms });

/// What the warm-up showed.
#[derive(Debug, Clone, PartialEq)]
pub struct WarmUp {
    /// Whether every output has one row a row of input, and each of them comes out as it does when it is run alone.
    pub follows_rows: bool,
    /// Times by batch.
    pub latency: Vec<BatchLatency>,
}

/// Runs `plan` on its golden inputs (repeated), else on made-up ones. A model that fails on these is not refused: it may not
/// take them, and its golden cases have been checked before. It is never batched then.
///
/// # Errors
/// Where a run asks for more memory than there is, or an output does not follow the rows.
pub(super) fn warm_up(plan: &Plan, golden: Option<&Golden>) -> Result<WarmUp, Refusal> {
    let recorded = recorded(plan.signature(), golden);
    // One row over and over cannot show whether rows are mixed.
    let several = |rows: &&Vec<Tensor>| rows.iter().all(|tensor| 1 < tensor.n_rows());
    let probed = recorded.as_ref().filter(several).cloned().or_else(|| made_up(plan.signature()));
    let mut follows_rows = match probed {
        Some(rows) => is_row_wise(plan, &rows)?.unwrap_or(false),
        None => false,
    };
    let Some(rows) = recorded.or_else(|| made_up(plan.signature())) else {
        return Ok(WarmUp { follows_rows: false, latency: Vec::new() });
    };
    let mut latency = Vec::new();
    for n_rows in BATCHES {
        let Some(inputs) = repeated(&rows, n_rows) else { break };
        if n_rows == 1 {
            check_rows(plan, &rows)?;
        }
        let Some((median, follows)) = timed(plan, &inputs, n_rows)? else {
            follows_rows = false;
            break;
        };
        follows_rows &= follows;
        latency.push(BatchLatency { rows: n_rows, median_ms: millis(median) });
        if TIME_MAX < median {
            // Time and memory mostly grow with the rows: a larger batch could take all there is.
            break;
        }
    }
    Ok(WarmUp { follows_rows, latency })
}

/// Whether an output does not follow the rows, however many there are.
fn check_rows(plan: &Plan, rows: &[Tensor]) -> Result<(), Refusal> {
    for n_rows in [1, UNLIKELY_ROWS] {
        let Some(inputs) = repeated(rows, n_rows) else { return Ok(()) };
        match plan.run(&inputs) {
            Err(EngineError::Rows { .. }) if n_rows == 1 => {}
            Err(error @ EngineError::Rows { .. }) => return Err(error.into()),
            _ => return Ok(()),
        }
    }
    Ok(())
}

fn recorded(signature: &Signature, golden: Option<&Golden>) -> Option<Vec<Tensor>> {
    let checked = signature.check(golden?.inputs.clone()).ok()?;
    Some(checked.tensors().to_vec())
}

/// A few rows to ask engines about: the first golden ones, else made-up ones.
pub(super) fn probe_rows(signature: &Signature, golden: Option<&Golden>) -> Option<Vec<Tensor>> {
    let recorded = recorded(signature, golden)
        .map(|rows| rows.iter().map(|tensor| tensor.slice_rows(0..GOLDEN_PROBE_ROWS)).collect());
    recorded.or_else(|| made_up(signature))
}

/// The outputs; `None` where the model fails on the values.
fn run(plan: &Plan, inputs: &[Tensor]) -> Result<Option<Vec<Tensor>>, Refusal> {
    match plan.run(inputs) {
        Ok(outputs) => Ok(Some(outputs)),
        Err(error @ EngineError::OutOfMemory(_)) => Err(error.into()),
        Err(_) => Ok(None),
    }
}

/// Whether rows that run together come out as they do alone. An operator over axis 0 (a softmax, a mean, a sort, a scale
/// of quantisation) mixes them: then no request may share a run with another's. `None` where a run fails.
fn is_row_wise(plan: &Plan, rows: &[Tensor]) -> Result<Option<bool>, Refusal> {
    let Some(rows) = repeated(rows, PROBE_ROWS) else { return Ok(None) };
    let named = |outputs: Vec<Tensor>| -> Vec<NamedTensor> {
        let specs = plan.signature().outputs.iter();
        specs.zip(outputs).map(|(spec, tensor)| NamedTensor { name: spec.name.clone(), tensor }).collect()
    };
    let part = |tensors: &[Tensor], row: usize| -> Vec<Tensor> {
        tensors.iter().map(|tensor| tensor.slice_rows(row..row + 1)).collect()
    };
    let Some(together) = run(plan, &rows)? else { return Ok(None) };
    for row in 0..PROBE_ROWS {
        let Some(outputs) = run(plan, &part(&rows, row))?.map(named) else { return Ok(None) };
        let alone = Golden { tolerance: PROBE_TOLERANCE, inputs: Vec::new(), outputs };
        if alone.compare(&named(part(&together, row))).is_err() {
            return Ok(Some(false));
        }
    }
    Ok(Some(true))
}

fn timed(plan: &Plan, inputs: &[Tensor], rows: usize) -> Result<Option<(Duration, bool)>, Refusal> {
    let mut times = Vec::with_capacity(RUNS);
    let begun = Instant::now();
    let mut follows = true;
    let goes_on = |n_runs: usize| match begun.elapsed() {
        spent if spent < SHORT_TIME_MAX => n_runs < SHORT_RUNS,
        spent => n_runs < RUNS && spent < TIME_MAX,
    };
    while times.is_empty() || goes_on(times.len()) {
        let started = Instant::now();
        let Some(outputs) = run(plan, inputs)? else { return Ok(None) };
        times.push(started.elapsed());
        follows = outputs.iter().all(|output| output.shape().first() == Some(&rows));
    }
    times.sort_unstable();
    Ok(times.get(times.len() / 2).map(|median| (*median, follows)))
}

/// `rows` rows, taken from `inputs` over and over.
fn repeated(inputs: &[Tensor], rows: usize) -> Option<Vec<Tensor>> {
    let repeat = |tensor: &Tensor| {
        let n_rows = tensor.n_rows();
        let copies = rows.div_ceil(n_rows.max(1));
        Some(Tensor::concat_rows(&vec![tensor; copies]).ok()?.slice_rows(0..rows))
    };
    inputs.iter().map(repeat).collect()
}

/// A few rows that differ: floats from 0 to 1, whole numbers and flags 0 and 1, empty strings; variable dimensions are 1.
fn made_up(signature: &Signature) -> Option<Vec<Tensor>> {
    signature.inputs.iter().map(made_up_input).collect()
}

fn made_up_input(spec: &TensorSpec) -> Option<Tensor> {
    let dim = |(index, dim): (usize, &Option<usize>)| if index == 0 { PROBE_ROWS } else { dim.unwrap_or(1) };
    let shape: Vec<usize> = spec.shape.iter().enumerate().map(dim).collect();
    let len = shape.iter().try_fold(1_usize, |product, &dim| product.checked_mul(dim)).filter(|&len| len <= 1 << 24)?;
    let row_len = (len / PROBE_ROWS).max(1);
    let place = |index: usize| index / row_len + index % row_len;
    let share = |index: usize| f32::from(u8::try_from(place(index) % 251).unwrap_or(0)) / 251.0;
    let is_odd = |index: usize| place(index) % 2 == 1;
    let data = match spec.datatype {
        Dtype::Bool => Data::Bool((0..len).map(is_odd).collect()),
        Dtype::Uint8 => Data::Uint8((0..len).map(|index| is_odd(index).into()).collect()),
        Dtype::Uint16 => Data::Uint16((0..len).map(|index| is_odd(index).into()).collect()),
        Dtype::Uint32 => Data::Uint32((0..len).map(|index| is_odd(index).into()).collect()),
        Dtype::Uint64 => Data::Uint64((0..len).map(|index| is_odd(index).into()).collect()),
        Dtype::Int8 => Data::Int8((0..len).map(|index| is_odd(index).into()).collect()),
        Dtype::Int16 => Data::Int16((0..len).map(|index| is_odd(index).into()).collect()),
        Dtype::Int32 => Data::Int32((0..len).map(|index| is_odd(index).into()).collect()),
        Dtype::Int64 => Data::Int64((0..len).map(|index| is_odd(index).into()).collect()),
        Dtype::Fp32 => Data::Fp32((0..len).map(share).collect()),
        Dtype::Fp64 => Data::Fp64((0..len).map(|index| share(index).into()).collect()),
        Dtype::String => Data::String(vec![String::new(); len]),
    };
    Tensor::new(shape, data).ok()
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;
    use crate::engine::Limits;
    use crate::engine::onnx::{
        AttributeProto, AttributeType, Dimension, DimensionValue, GraphProto, ModelProto, NodeProto,
        OperatorSetIdProto, TensorShapeProto, TensorType, TypeProto, TypeValue, ValueInfoProto,
    };

    fn value(name: &str) -> ValueInfoProto {
        let dim = |size: Option<i64>| Dimension { value: size.map(DimensionValue::Value) };
        let shape = Some(TensorShapeProto { dim: vec![dim(None), dim(Some(3))] });
        let tensor = TypeValue::Tensor(TensorType { elem_type: 1, shape });
        ValueInfoProto { name: name.to_owned(), r#type: Some(TypeProto { value: Some(tensor) }), ..Default::default() }
    }

    fn node(op: &str, inputs: &[&str], output: &str, attribute: &[AttributeProto]) -> NodeProto {
        let input = inputs.iter().map(|&name| name.to_owned()).collect();
        let (output, attribute) = (vec![output.to_owned()], attribute.to_vec());
        NodeProto { op_type: op.to_owned(), input, output, attribute, ..Default::default() }
    }

    fn plan(nodes: Vec<NodeProto>, output: ValueInfoProto) -> Plan {
        let (input, output) = (vec![value("x")], vec![output]);
        let graph = GraphProto { node: nodes, name: "g".to_owned(), input, output, ..Default::default() };
        let opset_import = vec![OperatorSetIdProto { domain: String::new(), version: 17 }];
        let model = ModelProto { ir_version: 8, graph: Some(graph), opset_import, ..Default::default() };
        Plan::load(&model.encode_to_vec(), None, &Limits::default()).unwrap()
    }

    #[track_caller]
    fn check(nodes: Vec<NodeProto>, expected: bool) {
        let plan = plan(nodes, value("y"));
        let WarmUp { follows_rows, latency } = warm_up(&plan, None).unwrap();
        assert_eq!((follows_rows, latency.len()), (expected, BATCHES.len()));
    }

    #[test]
    fn models_of_every_usual_kind_are_batched() {
        let cases = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/models");
        let (mut n_models, mut mixed) = (0, Vec::new());
        for case in std::fs::read_dir(cases).unwrap() {
            let path = case.unwrap().path().join("model.onnx");
            let Ok(bytes) = std::fs::read(&path) else { continue };
            let Ok(plan) = Plan::load(&bytes, None, &Limits::default()) else { continue };
            if !warm_up(&plan, None).unwrap().follows_rows {
                mixed.push(path);
            }
            n_models += 1;
        }
        mixed.sort();
        let names: Vec<_> = mixed.iter().filter_map(|path| path.parent()?.file_name()?.to_str()).collect();
        assert_eq!(names, ["sk_class_labels", "sk_rf_three_targets"], "outputs that do not follow the rows");
        assert!(50 < n_models, "{n_models} models");
    }

    #[test]
    fn a_model_that_mixes_rows_is_never_batched() {
        let axis =
            |i| AttributeProto { name: "axis".to_owned(), i, r#type: AttributeType::Int as i32, ..Default::default() };
        let ints = AttributeType::Ints as i32;
        let rows = AttributeProto { name: "axes".to_owned(), ints: vec![0], r#type: ints, ..Default::default() };
        check(vec![node("Relu", &["x"], "y", &[])], true);
        check(vec![node("Softmax", &["x"], "y", &[axis(1)])], true);
        check(vec![node("Softmax", &["x"], "y", &[axis(0)])], false);
        let mean = node("ReduceMean", &["x"], "mean", &[rows]);
        check(vec![mean, node("Sub", &["x", "mean"], "y", &[])], false);
    }

    fn declared(shape: &[Option<i64>]) -> ValueInfoProto {
        let dims = shape.iter().map(|size| Dimension { value: size.map(DimensionValue::Value) });
        let shape = Some(TensorShapeProto { dim: dims.collect() });
        let tensor = TypeValue::Tensor(TensorType { elem_type: 1, shape });
        ValueInfoProto { r#type: Some(TypeProto { value: Some(tensor) }), ..value("y") }
    }

    #[test]
    fn an_output_that_does_not_follow_the_rows_is_refused() {
        let turned = || vec![node("Transpose", &["x"], "y", &[])];
        let refusal = warm_up(&plan(turned(), declared(&[None, Some(1)])), None).unwrap_err().to_string();
        let expected = "output \"y\": expected the 7 rows of the input, got shape [3, 7]";
        assert!(refusal.contains(expected), "{refusal}");
        // Unless the graph says where they are.
        assert!(!warm_up(&plan(turned(), declared(&[Some(3), None])), None).unwrap().follows_rows);
        let refusal = warm_up(&plan(turned(), declared(&[Some(7), None])), None).unwrap_err().to_string();
        assert!(refusal.contains("got shape [3, 7]"), "{refusal}");
    }
}
