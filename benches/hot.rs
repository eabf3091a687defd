//! What each station of a request costs: reading, the slot, a run at once, a run through the queue, counting, writing.
//!
//! `cargo bench --bench hot` prints nanoseconds a call, the median of rounds by turns. `hot STATION N` makes N calls of one station and
//! nothing else: `scripts/count-instructions` counts what those take.

#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a measuring program, run by hand")]

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use gudgeon::batch::{Lane, LaneMetrics, LaneOptions, Pace, Pool, PoolOptions};
use gudgeon::engine::{Limits, Plan};
use gudgeon::http::{DecodeLimits, v1, v2};
use gudgeon::metrics::{Metrics, Outcome, Spent};
use gudgeon::model::{Checked, Digest, Signature};
use gudgeon::slot::{Lineup, Servable, ServableParts, Slot};
use gudgeon::tensor::{Data, NamedTensor, Tensor};

const ROUNDS: usize = 21;
const ROUND: Duration = Duration::from_millis(5);

struct Stations {
    signature: Arc<Signature>,
    slot: Slot,
    pool: Arc<Pool>,
    lane: Arc<Lane>,
    runtime: tokio::runtime::Runtime,
    plain: Vec<u8>,
    named: Vec<u8>,
    typed: Vec<u8>,
    framed: (Vec<u8>, String),
}

type Station = (&'static str, fn(&Stations));

const STATIONS: &[Station] = &[
    ("read v1, 1 row of 30 numbers", |it| {
        black_box(v1::decode(black_box(&it.plain), (&it.signature, Some(30)), &DecodeLimits::default()).unwrap());
    }),
    ("read v1, the same by the general reader", |it| {
        black_box(v1::decode(black_box(&it.plain), (&it.signature, None), &DecodeLimits::default()).unwrap());
    }),
    ("read v1, columns", |it| {
        black_box(v1::decode(black_box(&it.named), (&it.signature, Some(30)), &DecodeLimits::default()).unwrap());
    }),
    ("read v2, 1 row of 30 numbers", |it| {
        let framed = v2::Framed::of(black_box(&it.typed), None).unwrap();
        black_box(v2::decode(framed, &it.signature, &DecodeLimits::default()).unwrap());
    }),
    ("read v2 binary, 1000 rows of 30 numbers", |it| {
        let framed = v2::Framed::of(black_box(&it.framed.0), Some(it.framed.1.as_bytes())).unwrap();
        black_box(v2::decode(framed, &it.signature, &DecodeLimits::default()).unwrap());
    }),
    ("slot: acquire", |it| {
        black_box(it.slot.acquire().unwrap());
    }),
    ("batch: a run at once, 1 row", |it| {
        let (inputs, now) = (it.checked(1), Instant::now());
        let run = || it.lane.run_here(inputs, (now, now + Duration::from_secs(9)));
        black_box(it.pool.lend(run).unwrap().unwrap());
    }),
    ("batch: through the queue, 1 row", |it| {
        let run = it.lane.run(it.checked(1), Instant::now() + Duration::from_secs(9));
        black_box(it.runtime.block_on(run).unwrap());
    }),
    ("metrics: count a request", |it| {
        let (now, metrics) = (Instant::now(), it.slot.acquire().unwrap());
        metrics.metrics().ended(Outcome::Ok, Spent { started: now, read: now, ran: now, ended: now });
    }),
    ("write v1, 1 row of two probabilities", |it| {
        let servable = it.slot.acquire().unwrap();
        let outputs =
            [Tensor::column(Data::Int64(vec![1])), Tensor::new(vec![1, 2], Data::Fp32(vec![0.25, 0.75])).unwrap()];
        let answer = v1::Answer {
            model: servable.model(),
            version: servable.version(),
            signature: &it.signature,
            outputs: &outputs,
            n_rows: 1,
            form: v1::Form::Rows,
        };
        black_box(v1::encode(&answer).unwrap());
    }),
];

impl Stations {
    fn new() -> Self {
        let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/models/bc_logreg/model.onnx");
        let plan = Arc::new(Plan::load(&std::fs::read(model).unwrap(), None, &Limits::default()).unwrap());
        let signature = Arc::new(plan.signature().clone());
        let metrics = Metrics::new().unwrap();
        let pool = Pool::start(PoolOptions { threads: 1 }, &metrics).unwrap();
        let pace = Pace { rows_here_max: 8, ..Pace::default() };
        let options = LaneOptions { queue_len_max: 8, batch_rows_max: 64, coalesce: true, pace };
        let version = metrics.version("m", 1, 1);
        let counted = LaneMetrics {
            all: Arc::clone(&metrics),
            model: metrics.model("m"),
            version: version.clone(),
            observer: None,
            tap: None,
        };
        let lane = Lane::new(Arc::clone(&plan), options, Arc::clone(&pool), counted);
        let servable = Servable::new(ServableParts {
            model: "m".parse().unwrap(),
            version: "1".parse().unwrap(),
            digest: Digest::of(b""),
            plan,
            signature: Arc::clone(&signature),
            manifest: None,
            lane: Arc::clone(&lane),
            metrics: version,
            monitor: None,
            sample: Vec::new(),
            tapped: Arc::default(),
        });
        let slot = Slot::new("m".parse().unwrap(), metrics.model("m"));
        slot.swap(Lineup { champion: Some(servable), ..Lineup::default() });
        let row: Vec<String> = (0..30).map(|at| format!("{:.4}", f64::from(at) * 0.731 - 9.0)).collect();
        let (row, name) = (row.join(", "), &signature.inputs[0].name);
        let json = format!(
            r#"{{"inputs":[{{"name":"{name}","shape":[1000,30],"datatype":"FP32","parameters":{{"binary_data_size":120000}}}}]}}"#
        );
        let values = (0..30_000_u16).flat_map(|at| f32::from(at).to_le_bytes());
        Self {
            plain: format!(r#"{{"instances": [[{row}]]}}"#).into_bytes(),
            named: format!(r#"{{"inputs": {{"{name}": [[{row}]]}}}}"#).into_bytes(),
            typed: format!(r#"{{"inputs":[{{"name":"{name}","shape":[1,30],"datatype":"FP32","data":[{row}]}}]}}"#)
                .into_bytes(),
            framed: (json.bytes().chain(values).collect(), json.len().to_string()),
            signature,
            slot,
            pool,
            lane,
            runtime: tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap(),
        }
    }

    fn checked(&self, n_rows: usize) -> Checked {
        let tensor = Tensor::new(vec![n_rows, 30], Data::Fp32(vec![0.5; n_rows * 30])).unwrap();
        self.signature.check(vec![NamedTensor { name: self.signature.inputs[0].name.clone(), tensor }]).unwrap()
    }
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let stations = Stations::new();
    match args.as_slice() {
        [] => measure(&stations),
        [list] if list == "list" => STATIONS.iter().for_each(|(name, _)| println!("{name}")),
        [name, n_calls] => {
            let (_, call) = STATIONS.iter().find(|(it, _)| it == name).unwrap();
            (0..n_calls.parse::<usize>().unwrap()).for_each(|_| call(&stations));
        }
        _ => println!("usage: hot [list | STATION N]"),
    }
    stations.pool.stop();
}

fn measure(stations: &Stations) {
    let mut times = vec![Vec::new(); STATIONS.len()];
    for _ in 0..ROUNDS {
        for (times, (_, call)) in times.iter_mut().zip(STATIONS) {
            let (start, mut n_calls) = (Instant::now(), 0_u32);
            while start.elapsed() < ROUND {
                (0..16).for_each(|_| call(stations));
                n_calls += 16;
            }
            times.push(start.elapsed() / n_calls);
        }
    }
    for (times, (name, _)) in times.iter_mut().zip(STATIONS) {
        times.sort_unstable();
        println!("{name:<42} {:>8} ns", times[ROUNDS / 2].as_nanos());
    }
}
