//! How fast graphs run without a server around them, for `scripts/bench` and `scripts/compare-pipelines`.
//!
//! usage: `alone loop FILE.onnx BODY-FILE SECONDS` reads the rows of `{"instances": [[number, ...], ...]}`, runs them together again
//! and again on one thread, and prints rows a second.
//!
//! usage: `alone compare LIBRARY FOLDER...` runs the model and the recorded rows of each folder (`model.onnx`,
//! `test_data_set_0/input_N.pb`) in the native engine and in onnxruntime, by turns on one thread, at 1 and 128 rows, and prints
//! a table: medians in microseconds a run, and the ratio.

#![expect(clippy::print_stdout, reason = "a measuring program, run by hand")]

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use gudgeon::engine::onnx::{DataType, TensorProto};
use gudgeon::engine::{EngineChoice, Engines, Limits, Onnxruntime, Plan, Providers};
use gudgeon::tensor::{Data, Tensor};
use prost::Message as _;
use serde::Deserialize;

const USAGE: &str = "usage: alone loop FILE.onnx BODY-FILE SECONDS | alone compare LIBRARY FOLDER...";

#[derive(Deserialize)]
struct Body {
    instances: Vec<Vec<f32>>,
}

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["loop", graph, body, seconds] => run_alone(Path::new(graph), Path::new(body), seconds.parse()?),
        ["compare", library, folders @ ..] if !folders.is_empty() => compare(Path::new(library), folders),
        _ => bail!(USAGE),
    }
}

fn run_alone(graph: &Path, body: &Path, seconds: f64) -> anyhow::Result<()> {
    let plan = Plan::load(&std::fs::read(graph)?, None, &Limits::default())?;
    let body: Body = serde_json::from_slice(&std::fs::read(body)?)?;
    let (n_rows, row_len) = (body.instances.len(), body.instances.first().context("a body without a row")?.len());
    let inputs = [Tensor::new(vec![n_rows, row_len], Data::Fp32(body.instances.concat()))?];
    ensure!(!plan.run(&inputs)?.is_empty(), "a model without outputs");
    let (started, time) = (Instant::now(), Duration::from_secs_f64(seconds));
    let mut n_runs = 0.0;
    while started.elapsed() < time {
        plan.run(&inputs)?;
        n_runs += 1.0;
    }
    println!("{}", n_runs * n_rows as f64 / started.elapsed().as_secs_f64());
    Ok(())
}

fn compare(library: &Path, folders: &[&str]) -> anyhow::Result<()> {
    let onnxruntime = Onnxruntime::new(library.to_owned(), Providers::default());
    let engines = Engines { limits: Limits::default(), onnxruntime: Some(onnxruntime) };
    println!(
        "| model | native, 1 row | onnxruntime, 1 row | ratio | native, 128 rows | onnxruntime, 128 rows | ratio |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- |");
    for folder in folders.iter().map(Path::new) {
        let model = std::fs::read(folder.join("model.onnx"))?;
        let load = |choice| Plan::load_in(choice, &model, None, &engines);
        let plans = [load(EngineChoice::Native)?, load(EngineChoice::Onnxruntime)?];
        let mut cells = String::new();
        for n_rows in [1, 128] {
            let inputs = inputs(folder, &plans[0], n_rows)?;
            let [native, other] = by_turns(&plans, &inputs)?;
            cells += &format!(" {native:.2} | {other:.2} | {:.2} |", other / native);
        }
        println!("| {} |{cells}", folder.file_name().unwrap_or_default().display());
    }
    Ok(())
}

/// The recorded rows, from the beginning again where there are fewer than `n_rows`.
fn inputs(folder: &Path, plan: &Plan, n_rows: usize) -> anyhow::Result<Vec<Tensor>> {
    let read = |index| {
        let proto =
            TensorProto::decode(std::fs::read(folder.join(format!("test_data_set_0/input_{index}.pb")))?.as_slice())?;
        let shape = proto.dims.iter().map(|&dim| usize::try_from(dim)).collect::<Result<_, _>>()?;
        let data = if proto.data_type == DataType::String as i32 {
            Data::String(proto.string_data.into_iter().map(String::from_utf8).collect::<Result<_, _>>()?)
        } else {
            Data::Fp32(proto.raw_data.as_chunks().0.iter().map(|&chunk| f32::from_le_bytes(chunk)).collect())
        };
        let recorded = Tensor::new(shape, data)?;
        let copies = vec![&recorded; n_rows.div_ceil(recorded.n_rows().max(1))];
        anyhow::Ok(Tensor::concat_rows(&copies)?.slice_rows(0..n_rows))
    };
    (0..plan.signature().inputs.len()).map(read).collect()
}

/// Medians of rounds of some runs each, microseconds a run.
fn by_turns(plans: &[Plan; 2], inputs: &[Tensor]) -> anyhow::Result<[f64; 2]> {
    const ROUNDS: usize = 301;
    const RUNS: u32 = 20;
    let mut times = [Vec::new(), Vec::new()];
    for _ in 0..ROUNDS {
        for (plan, times) in plans.iter().zip(&mut times) {
            let started = Instant::now();
            for _ in 0..RUNS {
                std::hint::black_box(plan.run(inputs)?);
            }
            times.push(started.elapsed().as_secs_f64() * 1e6 / f64::from(RUNS));
        }
    }
    Ok(times.map(|mut times| {
        times.sort_by(f64::total_cmp);
        times[ROUNDS / 2]
    }))
}
