//! What a whole training run costs: `cargo bench --bench fit [-- PIPELINE]`. Prints each stage's wall and CPU time and the
//! peak of memory. The version goes to a temporary registry.
#![expect(clippy::print_stdout, reason = "a benchmark prints")]

use std::error::Error;
use std::fs;
use std::path::PathBuf;
use std::time::Instant;

use gudgeon::engine::Engines;
use gudgeon::registry::{Actor, Call, Registry};
use gudgeon::trainer::{PipelineFile, Progress, Stage, TrainOptions, train};

/// Clock ticks a second of `/proc/self/stat`.
const TICKS: f64 = 100.0;

/// User and system time of this process, seconds.
fn cpu_time() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |place: usize| fields.get(place).and_then(|text| text.parse::<f64>().ok()).unwrap_or(f64::NAN);
    (ticks(11) + ticks(12)) / TICKS
}

fn peak_memory() -> String {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or("VmHWM: unknown").to_owned()
}

struct Stages {
    current: Option<(Stage, Instant, f64)>,
}

impl Stages {
    fn end(&mut self) {
        if let Some((stage, start, cpu)) = self.current.take() {
            let wall = start.elapsed().as_secs_f64();
            println!("{stage:?}: {wall:.2} s, {:.2} CPU s; {}", cpu_time() - cpu, peak_memory());
        }
    }
}

impl Progress for Stages {
    fn begin(&mut self, stage: Stage) {
        self.end();
        self.current = Some((stage, Instant::now(), cpu_time()));
    }

    fn step(&mut self, _: usize, _: usize) {}
}

fn main() -> Result<(), Box<dyn Error>> {
    let given = std::env::args().skip(1).find(|argument| !argument.starts_with("--"));
    let flights = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("models/flights/pipeline.toml");
    let file = PipelineFile::read(&given.map_or(flights, PathBuf::from))?;
    let folder = tempfile::tempdir()?;
    let registry = Registry::open(folder.path())?;
    let actor = Actor { who: "bench".to_owned(), from: None, call: Call::default() };
    let options = TrainOptions { actor, why: None, label: None, engines: Engines::default() };
    let mut stages = Stages { current: None };
    let report = train(&file, &registry, &options, &mut stages)?;
    stages.end();
    for candidate in &report.candidates {
        let scores: Vec<String> =
            candidate.scores.iter().map(|scored| format!("{} {:.4}", scored.metric, scored.value)).collect();
        println!("{}: {}", candidate.algorithm.as_str(), scores.join(", "));
    }
    println!(
        "chosen: {}; largest difference to the engine {:.1e}",
        report.chosen.as_str(),
        report.evaluation.parity_max_abs
    );
    if let Some(gate) = &report.evaluation.gate {
        println!("{gate}");
    }
    println!("in all {:.2} s, {:.2} CPU s; {}", report.time.as_secs_f64(), cpu_time(), peak_memory());
    Ok(())
}
