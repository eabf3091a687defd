//! What counting a row for drift costs on the hot path. The bar: 500 ns a row of 30 numeric features.

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "a measuring program, run by hand"
)]

use std::hint::black_box;
use std::time::Instant;

use gudgeon::drift::{Counters, Profile, column_of_levels, column_of_numbers};
use gudgeon::model::{Checked, Feature, FeatureKind, Signature, TensorSpec};
use gudgeon::tensor::{Data, Dtype, NamedTensor, Tensor};

const FEATURES: usize = 30;

fn signature(inputs: &[(String, Dtype, usize)]) -> Signature {
    let specs = inputs.iter().map(|(name, datatype, width)| TensorSpec {
        name: name.clone(),
        datatype: *datatype,
        shape: vec![None, Some(*width)],
    });
    let features = inputs.iter().flat_map(|(name, datatype, width)| {
        (0..*width).map(move |column| Feature {
            name: format!("{name}_{column}"),
            kind: if *datatype == Dtype::String { FeatureKind::Categorical } else { FeatureKind::Numeric },
            input: name.clone(),
            column,
            optional: false,
            levels: Vec::new(),
            min: None,
            max: None,
        })
    });
    Signature {
        features: features.collect(),
        inputs: specs.collect(),
        outputs: Vec::new(),
        classes: Vec::new(),
        maps: Vec::new(),
    }
}

/// A pseudo-random number in [0, 1).
fn noise(i: usize) -> f32 {
    let x = (i as u32).wrapping_mul(2_654_435_761);
    ((x ^ (x >> 15)).wrapping_mul(2_246_822_519) >> 8) as f32 / 16_777_216.0
}

fn measure(name: &str, signature: &Signature, batch: &Checked) {
    let numbers: Vec<f64> = (0..5000).map(|i| f64::from(noise(i))).collect();
    let levels: Vec<String> = (0..5000).map(|i| format!("level {}", i % 16)).collect();
    let column = |feature: &Feature| match feature.kind {
        FeatureKind::Numeric => column_of_numbers(&feature.name, &numbers),
        FeatureKind::Categorical => column_of_levels(&feature.name, &levels),
    };
    let profile = Profile::new(5000, signature.features.iter().map(column).collect()).unwrap();
    let counters = Counters::new(&profile, signature).unwrap();
    let mut tally = counters.tally();
    let repeats = 200_000 / batch.n_rows() + 1;
    let mut best = f64::INFINITY;
    for _ in 0..15 {
        let start = Instant::now();
        for _ in 0..repeats {
            counters.observe(black_box(&mut tally), black_box(batch), black_box(&[]));
        }
        best = best.min(start.elapsed().as_secs_f64() / (repeats * batch.n_rows()) as f64);
    }
    black_box(counters.counts(&mut tally));
    println!("{name:44} {:7.0} ns a row", best * 1e9);
}

fn numeric(name: &str, n_inputs: usize, n_rows: usize) {
    let width = FEATURES / n_inputs;
    let inputs: Vec<_> = (0..n_inputs).map(|i| (format!("x{i}"), Dtype::Fp32, width)).collect();
    let signature = signature(&inputs);
    let tensors = inputs.into_iter().enumerate().map(|(i, (name, _, width))| {
        let values = (0..n_rows * width).map(|at| noise(at + i * 7919)).collect();
        NamedTensor { name, tensor: Tensor::new(vec![n_rows, width], Data::Fp32(values)).unwrap() }
    });
    let batch = signature.check(tensors.collect()).unwrap();
    measure(&format!("30 numbers, {name}, batches of {n_rows}"), &signature, &batch);
}

fn main() {
    for n_rows in [1, 8, 64] {
        numeric("one input", 1, n_rows);
        numeric("an input each", FEATURES, n_rows);
    }
    let signature = signature(&(0..4).map(|i| (format!("c{i}"), Dtype::String, 1)).collect::<Vec<_>>());
    let tensors = (0..4).map(|i| {
        let values = (0..8).map(|row| format!("level {}", (row * 5 + i) % 17)).collect();
        NamedTensor { name: format!("c{i}"), tensor: Tensor::column(Data::String(values)) }
    });
    let batch = signature.check(tensors.collect()).unwrap();
    measure("4 strings, batches of 8", &signature, &batch);
}
