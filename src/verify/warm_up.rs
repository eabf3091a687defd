//! First runs, before any request: they fill caches, show whether outputs follow rows, and measure latency.

use std::time::{Duration, Instant};

use serde::Serialize;

use super::millis;
use crate::engine::Plan;
use crate::model::{Golden, Signature, TensorSpec};
use crate::tensor::{Data, Dtype, Tensor};

/// Batches that the warm-up runs, rows.
const BATCHES: [usize; 3] = [1, 8, 64];
/// Runs of each batch, unless they take too long.
const RUNS: usize = 5;
/// Time that the warm-up may take for one batch size.
const TIME_MAX: Duration = Duration::from_millis(500);

/// Time of a run of one batch size.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct BatchLatency {
    /// Rows in the batch.
    pub rows: usize,
    /// Median time of a run, milliseconds.
    pub median_ms: f64,
}

/// What the warm-up showed.
#[derive(Debug, Clone, PartialEq)]
pub struct WarmUp {
    /// Whether every output has one row a row of input.
    pub follows_rows: bool,
    /// Times by batch.
    pub latency: Vec<BatchLatency>,
}

/// Runs `plan` on its golden inputs (repeated), else on zeros. A model that fails on these is not refused: it may not take
/// zeros, and its golden cases have been checked before. It is never batched then.
pub(super) fn warm_up(plan: &Plan, golden: Option<&Golden>) -> WarmUp {
    let row = golden.and_then(|golden| plan.signature().check(golden.inputs.clone()).ok());
    let row: Option<Vec<Tensor>> = row.map(|checked| checked.tensors().to_vec()).or_else(|| zeros(plan.signature()));
    let Some(row) = row else { return WarmUp { follows_rows: false, latency: Vec::new() } };
    let mut latency = Vec::new();
    let mut follows_rows = true;
    for rows in BATCHES {
        let Some(inputs) = repeated(&row, rows) else { break };
        let Some((median, follows)) = timed(plan, &inputs, rows) else {
            follows_rows = false;
            break;
        };
        follows_rows &= follows;
        latency.push(BatchLatency { rows, median_ms: millis(median) });
    }
    WarmUp { follows_rows, latency }
}

fn timed(plan: &Plan, inputs: &[Tensor], rows: usize) -> Option<(Duration, bool)> {
    let mut times = Vec::with_capacity(RUNS);
    let begun = Instant::now();
    let mut follows = true;
    while times.len() < RUNS && (times.is_empty() || begun.elapsed() < TIME_MAX) {
        let started = Instant::now();
        let outputs = plan.run(inputs).ok()?;
        times.push(started.elapsed());
        follows = outputs.iter().all(|output| output.shape().first() == Some(&rows));
    }
    times.sort_unstable();
    Some((*times.get(times.len() / 2)?, follows))
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

/// One row of zeros and empty strings; variable dimensions are 1.
fn zeros(signature: &Signature) -> Option<Vec<Tensor>> {
    signature.inputs.iter().map(zero).collect()
}

fn zero(spec: &TensorSpec) -> Option<Tensor> {
    let dim = |(index, dim): (usize, &Option<usize>)| if index == 0 { 1 } else { dim.unwrap_or(1) };
    let shape: Vec<usize> = spec.shape.iter().enumerate().map(dim).collect();
    let len = shape.iter().try_fold(1_usize, |product, &dim| product.checked_mul(dim)).filter(|&len| len <= 1 << 24)?;
    let data = match spec.datatype {
        Dtype::Bool => Data::Bool(vec![false; len]),
        Dtype::Uint8 => Data::Uint8(vec![0; len]),
        Dtype::Uint16 => Data::Uint16(vec![0; len]),
        Dtype::Uint32 => Data::Uint32(vec![0; len]),
        Dtype::Uint64 => Data::Uint64(vec![0; len]),
        Dtype::Int8 => Data::Int8(vec![0; len]),
        Dtype::Int16 => Data::Int16(vec![0; len]),
        Dtype::Int32 => Data::Int32(vec![0; len]),
        Dtype::Int64 => Data::Int64(vec![0; len]),
        Dtype::Fp32 => Data::Fp32(vec![0.0; len]),
        Dtype::Fp64 => Data::Fp64(vec![0.0; len]),
        Dtype::String => Data::String(vec![String::new(); len]),
    };
    Tensor::new(shape, data).ok()
}
