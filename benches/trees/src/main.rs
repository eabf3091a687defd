//! Times one tree ensemble, in gudgeon's kernels or in onnxruntime; `scripts/compare-onnxruntime` drives two of these.
//!
//!     trees gudgeon MODEL ROWS N_FEATURES
//!     trees LIBRARY MODEL ROWS N_FEATURES
//!
//! LIBRARY is onnxruntime's shared library. MODEL is one node from `X` (floats) to `label` and `scores`, or to `scores`
//! alone; ROWS are little-endian floats. A line `BATCH MILLISECONDS` on standard input is answered with the median of the
//! microseconds a call over batches of calls; `scores BATCH` with the scores, in bits.

#![allow(dead_code, unused_imports, unfulfilled_lint_expectations)]

mod engine;
#[path = "../../../src/tensor/mod.rs"]
mod tensor;
mod onnxruntime;

use std::error::Error;
use std::hint::black_box;
use std::io::BufRead;
use std::time::{Duration, Instant};

use engine::onnx::ModelProto;
use engine::ml::Trees;
use onnxruntime::Session;
use prost::Message;

pub type Failure = Box<dyn Error>;

/// What is timed.
enum Model {
    Gudgeon(Trees),
    Onnxruntime(Session),
}

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, engine, model, rows, n_features] = arguments.as_slice() else { return Err("see the source".into()) };
    let bytes = std::fs::read(rows)?;
    let rows: Vec<f32> = bytes.as_chunks().0.iter().map(|&chunk| f32::from_le_bytes(chunk)).collect();
    let n_features = n_features.parse()?;
    let proto = ModelProto::decode(std::fs::read(model)?.as_slice())?;
    let node = proto.graph.and_then(|graph| graph.node.into_iter().next()).ok_or("the model has no node")?;
    let mut model = if engine == "gudgeon" {
        Model::Gudgeon(Trees::new(&node)?)
    } else {
        Model::Onnxruntime(Session::new(engine, model, &node)?)
    };
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let (first, second) = line.split_once(' ').ok_or("expected two words")?;
        if first == "scores" {
            let scores = model.run(&rows[..second.parse::<usize>()? * n_features], n_features)?;
            println!("{}", scores.iter().map(|score| score.to_bits().to_string()).collect::<Vec<_>>().join(" "));
        } else {
            let rows = rows_of(&rows, first.parse::<usize>()? * n_features, n_features);
            println!("{}", time(&mut model, &rows, n_features, Duration::from_millis(second.parse()?))?);
        }
    }
    Ok(())
}

/// Batches of other rows, 4,096 rows at least, taken by turns: no branch is learnt by heart.
fn rows_of(rows: &[f32], len: usize, n_features: usize) -> Vec<Vec<f32>> {
    let mut all = rows.iter().copied().cycle();
    (0..(4096 * n_features / len).max(16)).map(|_| all.by_ref().take(len).collect()).collect()
}

/// Seconds that this thread has computed: others on the machine do not count.
fn cpu_time() -> f64 {
    #[repr(C)]
    struct Time {
        seconds: i64,
        nanoseconds: i64,
    }
    unsafe extern "C" {
        fn clock_gettime(clock: i32, time: *mut Time) -> i32;
    }
    const THREAD: i32 = 3;
    let mut time = Time { seconds: 0, nanoseconds: 0 };
    // SAFETY: the clock of this thread is there on every Linux, and the place to write to is of its type.
    unsafe { clock_gettime(THREAD, &raw mut time) };
    time.seconds as f64 + time.nanoseconds as f64 * 1e-9
}

fn time(model: &mut Model, rows: &[Vec<f32>], n_features: usize, budget: Duration) -> Result<f64, Failure> {
    let mut samples = Vec::new();
    let start = Instant::now();
    while start.elapsed() < budget || samples.len() < 3 {
        let begin = cpu_time();
        for rows in rows {
            black_box(model.run(black_box(rows), n_features)?);
        }
        samples.push((cpu_time() - begin) * 1e6 / rows.len() as f64);
    }
    samples.sort_by(f64::total_cmp);
    Ok(samples[samples.len() / 2])
}

impl Model {
    fn run(&mut self, rows: &[f32], n_features: usize) -> Result<Vec<f32>, Failure> {
        match self {
            Self::Gudgeon(trees) => Ok(trees.run(rows, n_features)),
            Self::Onnxruntime(session) => Ok(session.run(rows, n_features)?.to_vec()),
        }
    }
}
