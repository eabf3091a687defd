use std::sync::mpsc::{Receiver, Sender, channel};

use super::super::PoolOptions;
use super::*;
use crate::engine::Limits;
use crate::model::TensorSpec;
use crate::tensor::{Data, NamedTensor};

/// Holds the compute thread in each observation until it is let go.
#[derive(Debug)]
struct Hold(Mutex<Receiver<()>>);

impl Observe for Hold {
    fn observe(&self, _: usize, _: &Checked, _: &[Tensor]) {
        // An error says that the test is over.
        self.0.lock().unwrap().recv().ok();
    }
}

/// Two lanes of one model on one thread; observations of the first are held until the sender lets them go.
struct Bench {
    pool: Arc<Pool>,
    lanes: [Arc<Lane>; 2],
    let_go: Sender<()>,
}

impl Bench {
    fn new() -> Self {
        Self::with_pace(Pace::default())
    }

    fn with_pace(pace: Pace) -> Self {
        let model =
            std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/models/diabetes_ridge/model.onnx");
        let plan = Arc::new(Plan::load(&std::fs::read(model).unwrap(), None, &Limits::default()).unwrap());
        let metrics = Metrics::new().unwrap();
        let pool = Pool::start(PoolOptions { threads: 1 }, &metrics).unwrap();
        let (let_go, held) = channel();
        let lane = |version: u64, observer: Option<Arc<dyn Observe>>| {
            let options = LaneOptions { queue_len_max: 8, batch_rows_max: 64, coalesce: true, pace };
            let version = metrics.version("m", version, 1);
            let lane_metrics =
                LaneMetrics { all: Arc::clone(&metrics), model: metrics.model("m"), version, observer, tap: None };
            Lane::new(Arc::clone(&plan), options, Arc::clone(&pool), lane_metrics)
        };
        let lanes = [lane(1, Some(Arc::new(Hold(Mutex::new(held))))), lane(2, None)];
        Self { pool, lanes, let_go }
    }

    /// Rows that differ.
    fn inputs(&self, n_rows: usize) -> Checked {
        let input = |spec: &TensorSpec| {
            let width = spec.row_len().unwrap();
            let values = (0..n_rows * width).map(|at| f32::from(u16::try_from(at % 977).unwrap()) / 977.0).collect();
            let tensor = Tensor::new(vec![n_rows, width], Data::Fp32(values)).unwrap();
            NamedTensor { name: spec.name.clone(), tensor }
        };
        let signature = self.lanes[0].plan.signature();
        signature.check(signature.inputs.iter().map(input).collect()).unwrap()
    }

    /// Asks lane `lane` for a prediction within a minute, on a task of its own.
    fn ask(&self, lane: usize) -> tokio::task::JoinHandle<Result<Outputs, RunError>> {
        let (lane, inputs) = (Arc::clone(&self.lanes[lane]), self.inputs(1));
        tokio::spawn(async move { lane.run(inputs, Instant::now() + Duration::from_secs(60)).await })
    }

    fn queue_len(&self) -> i64 {
        self.lanes[0].model_metrics.queue_len.get()
    }
}

#[tokio::test]
async fn a_caller_whose_deadline_passes_in_the_queue_is_never_told_that_the_server_stops() {
    let bench = Bench::new();
    for _ in 0..200 {
        let result = bench.lanes[1].run(bench.inputs(1), Instant::now()).await;
        assert!(matches!(result, Err(RunError::Deadline)), "{result:?}");
    }
    // A thread that finds the job first answers for the timer.
    let (reply, answer) = oneshot::channel();
    let now = Instant::now();
    let inputs = bench.inputs(1);
    bench.lanes[1].locked().push_back(Job {
        inputs,
        deadline: now,
        queued: now,
        reply,
        pieces: Vec::new(),
        rows_done: 0,
    });
    assert!(bench.lanes[1].take().0.is_empty());
    assert!(matches!(answer.await, Ok(Err(RunError::Deadline))));
}

#[tokio::test]
async fn after_the_pool_has_stopped_every_caller_is_told_so_at_once() {
    let bench = Bench::new();
    bench.pool.stop();
    for _ in 0..2 {
        let result = tokio::time::timeout(Duration::from_secs(10), bench.ask(0)).await.unwrap().unwrap();
        assert!(matches!(result, Err(RunError::Stopped)), "{result:?}");
    }
    assert_eq!(bench.queue_len(), 0);
}

#[tokio::test]
async fn an_answer_waits_for_no_observation_and_the_queue_is_counted_over_all_versions() {
    let bench = Bench::new();
    // Answered, though its own observation holds the only thread.
    bench.ask(0).await.unwrap().unwrap();
    let waiting = [bench.ask(0), bench.ask(0), bench.ask(1)];
    while bench.queue_len() < 3 {
        tokio::task::yield_now().await;
    }
    bench.let_go.send(()).unwrap();
    let [first, second, other] = waiting;
    // They ran together: the second must not wait until the first has been observed.
    for answer in [first, second] {
        tokio::time::timeout(Duration::from_secs(10), answer).await.unwrap().unwrap().unwrap();
    }
    assert_eq!(bench.queue_len(), 1);
    drop(bench.let_go);
    other.await.unwrap().unwrap();
    assert_eq!(bench.lanes[0].model_metrics.queue_len.get(), 0);
}

#[test]
fn a_large_request_runs_in_pieces_and_lets_small_ones_go_first() {
    let bench = Bench::new();
    let lane = &bench.lanes[1];
    // The pool is not told: this test takes and runs what is queued.
    lane.is_ready.store(true, Ordering::Release);
    let deadline = Instant::now() + Duration::from_secs(60);
    let ask = |n_rows: usize| {
        let (reply, answer) = oneshot::channel();
        let job = Job {
            inputs: bench.inputs(n_rows),
            deadline,
            queued: Instant::now(),
            reply,
            pieces: Vec::new(),
            rows_done: 0,
        };
        lane.locked().push_back(job);
        lane.model_metrics.queue_len.inc();
        answer
    };
    let (mut large, mut small) = (ask(150), ask(1));
    let run_next = || lane.execute(0, lane.take().0);
    run_next();
    assert!(large.try_recv().is_err() && small.try_recv().is_err(), "64 rows of the large one");
    run_next();
    assert!(large.try_recv().is_err());
    assert_eq!(small.try_recv().unwrap().unwrap()[0].n_rows(), 1);
    run_next();
    run_next();
    let outputs = large.try_recv().unwrap().unwrap();
    assert_eq!(*outputs, lane.plan.run(bench.inputs(150).tensors()).unwrap());
    assert_eq!(bench.queue_len(), 0);
    drop(ask(150));
    run_next();
    assert!(lane.locked().is_empty(), "nobody waits for it");
}

#[test]
fn a_short_run_happens_on_a_thread_that_is_lent_and_is_observed_when_it_is_not_any_more() {
    let bench = Bench::with_pace(Pace { rows_here_max: 4, ..Pace::default() });
    let deadline = Instant::now() + Duration::from_secs(60);
    let lane = &bench.lanes[0];
    assert!(lane.run_here(bench.inputs(1), (Instant::now(), deadline)).is_err(), "not lent");
    let let_go = bench.let_go.clone();
    bench.pool.lend(|| {
        assert!(lane.run_here(bench.inputs(5), (Instant::now(), deadline)).is_err(), "long");
        let now = Instant::now();
        assert!(matches!(lane.run_here(bench.inputs(1), (now, now)), Ok(Err(RunError::Deadline))));
        let outputs = lane.run_here(bench.inputs(4), (Instant::now(), deadline)).unwrap().unwrap();
        assert_eq!(outputs[0].n_rows(), 4);
        lane.is_ready.store(true, Ordering::Release);
        assert!(lane.run_here(bench.inputs(1), (Instant::now(), deadline)).is_err(), "others wait");
        lane.is_ready.store(false, Ordering::Release);
        // The observation waits for this; it would wait for ever if it came before the end of the loan.
        let_go.send(()).unwrap();
    });
    assert_eq!(lane.version_metrics.n_rows(), 4);
    bench.pool.stop();
    assert!(bench.pool.lend(|| lane.run_here(bench.inputs(1), (Instant::now(), deadline)).is_err()), "stopped");
}

#[test]
fn short_runs_that_are_cheaper_together_queue_once_there_is_a_crowd() {
    let bench = Bench::with_pace(Pace { rows_here_max: 4, joins_short_runs: true, ..Pace::default() });
    let deadline = Instant::now() + Duration::from_secs(60);
    // The second lane's: nothing holds its observations.
    let lane = &bench.lanes[1];
    bench.pool.lend(|| {
        let runs_here = || lane.run_here(bench.inputs(1), (Instant::now(), deadline)).is_ok();
        let n_runs = (0..100).take_while(|_| runs_here()).count();
        assert_eq!(n_runs, 8, "then one looks for others");
        lane.crowd.note(1);
        assert!(runs_here(), "it was alone");
        lane.crowd.note(3);
        assert!(!runs_here() && !runs_here(), "there are others");
    });
}

#[test]
fn a_piece_of_wide_rows_has_few_of_them_and_one_at_least() {
    let wide = |width: usize| [Tensor::new(vec![0, width], Data::Fp32(Vec::new())).unwrap()];
    assert_eq!(rows_in(1_000, &wide(10)), 100);
    assert_eq!(rows_in(1_000, &[wide(10), wide(15)].concat()), 40);
    assert_eq!(rows_in(1_000, &wide(5_000)), 1);
    assert_eq!(rows_in(1_000, &wide(usize::MAX)), 1);
}
