//! How fast a graph runs without a server around it, for `scripts/bench`.
//!
//! usage: `alone FILE.onnx BODY-FILE SECONDS`. Reads the row of `{"instances": [[number, ...]]}`, runs it again and again on
//! one thread, and prints runs a second.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use gudgeon::engine::{Limits, Plan};
use gudgeon::tensor::{Data, Tensor};
use serde::Deserialize;

#[derive(Deserialize)]
struct Body {
    instances: Vec<Vec<f32>>,
}

#[expect(clippy::print_stdout, reason = "a measuring program, run by hand")]
fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [graph, body, seconds] = arguments.as_slice() else {
        anyhow::bail!("usage: alone FILE.onnx BODY-FILE SECONDS")
    };
    let plan = Plan::load(&std::fs::read(graph)?, None, &Limits::default())?;
    let body: Body = serde_json::from_slice(&std::fs::read(body)?)?;
    let row = body.instances.into_iter().next().context("a body without a row")?;
    let inputs = [Tensor::new(vec![1, row.len()], Data::Fp32(row))?];
    ensure!(!plan.run(&inputs)?.is_empty(), "a model without outputs");
    let (started, time) = (Instant::now(), Duration::from_secs_f64(seconds.parse()?));
    let mut n_runs = 0.0;
    while started.elapsed() < time {
        plan.run(&inputs)?;
        n_runs += 1.0;
    }
    println!("{}", n_runs / started.elapsed().as_secs_f64());
    Ok(())
}
