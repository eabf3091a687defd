//! Microseconds a call of some recorded models, at batch sizes 1, 128 and 1,000, on one thread.
//!
//! `cargo bench --bench engine` (optimised), or with `--profile dev` for a quick look.

#![expect(clippy::print_stdout, reason = "a measuring program prints what it measured")]

use std::error::Error;
use std::path::Path;
use std::time::{Duration, Instant};

use gudgeon::engine::onnx::{DataType, TensorProto};
use gudgeon::engine::{Limits, Plan};
use gudgeon::tensor::{Data, Tensor};
use prost::Message;

const CASES: [&str; 7] = [
    "bc_rf100",
    "bc_lgbm100_nan_zipmap",
    "digits_xgb_multi",
    "iris_logreg",
    "mixed_onehot_logreg_zipmap",
    "trainer_gbdt_binary",
    "trainer_logistic",
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("{:<30} {:>10} {:>10} {:>10} {:>10}", "us a call", "load", "1", "128", "1000");
    for case in CASES {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/models").join(case);
        let model = std::fs::read(folder.join("model.onnx"))?;
        let start = Instant::now();
        let plan = Plan::load(&model, None, &Limits::default())?;
        let load = start.elapsed();
        let recorded = inputs(&folder, plan.signature().inputs.len())?;
        let mut times = Vec::new();
        for n_rows in [1, 128, 1_000] {
            let inputs = recorded.iter().map(|input| repeated(input, n_rows)).collect::<Result<Vec<_>, _>>()?;
            times.push(measure(&plan, &inputs)?);
        }
        println!("{case:<30} {:>10} {:>10.1} {:>10.1} {:>10.1}", load.as_micros(), times[0], times[1], times[2]);
    }
    Ok(())
}

fn inputs(folder: &Path, n_inputs: usize) -> Result<Vec<Tensor>, Box<dyn Error>> {
    let read = |index| {
        let bytes = std::fs::read(folder.join(format!("test_data_set_0/input_{index}.pb")))?;
        let proto = TensorProto::decode(bytes.as_slice())?;
        let shape = proto.dims.iter().map(|&dim| usize::try_from(dim)).collect::<Result<_, _>>()?;
        let data = if proto.data_type == DataType::String as i32 {
            Data::String(proto.string_data.into_iter().map(String::from_utf8).collect::<Result<_, _>>()?)
        } else {
            Data::Fp32(proto.raw_data.as_chunks().0.iter().map(|&chunk| f32::from_le_bytes(chunk)).collect())
        };
        Ok(Tensor::new(shape, data)?)
    };
    (0..n_inputs).map(read).collect()
}

/// The first `n_rows` rows, from the beginning again where there are fewer.
fn repeated(input: &Tensor, n_rows: usize) -> Result<Tensor, Box<dyn Error>> {
    let times = n_rows.div_ceil(input.n_rows());
    Ok(Tensor::concat_rows(&vec![input; times])?.slice_rows(0..n_rows))
}

/// The median of batches of calls, in microseconds a call.
fn measure(plan: &Plan, inputs: &[Tensor]) -> Result<f64, Box<dyn Error>> {
    let mut samples = Vec::new();
    let start = Instant::now();
    while start.elapsed() < Duration::from_millis(500) {
        let begin = Instant::now();
        for _ in 0..10 {
            std::hint::black_box(plan.run(inputs)?);
        }
        samples.push(begin.elapsed().as_secs_f64() * 1e5);
    }
    samples.sort_by(f64::total_cmp);
    Ok(samples[samples.len() / 2])
}
