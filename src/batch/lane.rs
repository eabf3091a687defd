//! One version's bounded queue.

use std::collections::VecDeque;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::coalesce::scatter;
use super::crowd::Crowd;
use super::lend::observe_later;
use super::pace::Pace;
use super::pool::Pool;
use crate::engine::{EngineError, Plan};
use crate::metrics::{Metrics, ModelMetrics, VersionMetrics};
use crate::model::Checked;
use crate::tensor::{Tensor, join_rows};

/// The most values of a piece of a large request: pieces are copied, by some engines twice.
const PIECE_VALUES_MAX: usize = 1 << 20;

/// The outputs of one request, in the order of the signature; shared, because observers look at them after the answer.
pub type Outputs = Arc<Vec<Tensor>>;

/// Looks at what was predicted, off the critical path: the answer has been handed over before.
pub trait Observe: Send + Sync + fmt::Debug {
    /// `worker` is the number of the compute thread, below [`Pool::n_threads`]; no two calls run with one number at a time.
    fn observe(&self, worker: usize, inputs: &Checked, outputs: &[Tensor]);
}

/// Takes over requests that have been answered and observed, to look at them elsewhere.
pub trait Tap: Send + Sync + fmt::Debug {
    /// Whether it takes any now; asked for every run, so it must be cheap.
    fn is_open(&self) -> bool;

    /// Takes one, or drops it; must not wait. `is_busy` says that other requests of the model wait for a compute thread.
    fn offer(&self, inputs: Checked, outputs: Outputs, is_busy: bool);
}

/// Limits of one lane.
#[derive(Debug, Clone, Copy)]
pub struct LaneOptions {
    /// Requests that may wait; one more is refused.
    pub queue_len_max: usize,
    /// Rows up to which queued requests are joined into one run.
    pub batch_rows_max: usize,
    /// Whether requests may be joined at all: every output of the model has one row a row of input.
    pub coalesce: bool,
    /// Where runs happen.
    pub pace: Pace,
}

/// Why a request got no outputs.
#[derive(Debug, Clone, thiserror::Error)]
pub enum RunError {
    /// The lane's queue is full.
    #[error("the queue of this model is full ({queue_len_max} requests wait): try again later")]
    QueueFull {
        /// The limit.
        queue_len_max: usize,
    },
    /// The deadline passed first.
    #[error("the deadline passed before the prediction was made")]
    Deadline,
    /// The pool has stopped.
    #[error("the server is stopping")]
    Stopped,
    /// The engine failed on this request.
    #[error(transparent)]
    Engine(Arc<EngineError>),
}

/// A request in the queue.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) inputs: Checked,
    pub(super) deadline: Instant,
    pub(super) queued: Instant,
    pub(super) reply: oneshot::Sender<Result<Outputs, RunError>>,
    /// The outputs of its rows so far: a large request runs in pieces.
    pub(super) pieces: Vec<Vec<Tensor>>,
    pub(super) rows_done: usize,
}

impl Job {
    /// Whether nobody waits for the answer any more.
    fn is_void(&self, now: Instant) -> bool {
        self.reply.is_closed() || self.deadline <= now
    }

    fn rows_left(&self) -> usize {
        self.inputs.n_rows() - self.rows_done
    }

    /// Tells a caller whose timer has not fired yet what it is about to find out.
    fn expire(self) {
        drop(self.reply.send(Err(RunError::Deadline)));
    }
}

/// A run of several jobs: all their rows, and the outputs of each job.
struct Joined {
    inputs: Checked,
    outputs: Vec<Tensor>,
    results: Vec<Vec<Tensor>>,
}

/// What was asked and answered, and is to be observed.
pub(super) type Answered = (Checked, Outputs);

/// One version's bounded queue in front of its plan.
#[derive(Debug)]
pub struct Lane {
    plan: Arc<Plan>,
    options: LaneOptions,
    pool: Arc<Pool>,
    queue: Mutex<VecDeque<Job>>,
    crowd: Crowd,
    /// Whether the pool has been told of this lane and has not emptied it since.
    pub(super) is_ready: AtomicBool,
    metrics: Arc<Metrics>,
    model_metrics: ModelMetrics,
    version_metrics: VersionMetrics,
    observer: Option<Arc<dyn Observe>>,
    tap: Option<Arc<dyn Tap>>,
}

impl Lane {
    /// A lane in front of `plan`, emptied by `pool`.
    pub fn new(plan: Arc<Plan>, mut options: LaneOptions, pool: Arc<Pool>, metrics: LaneMetrics) -> Arc<Self> {
        options.batch_rows_max = options.batch_rows_max.min(options.pace.batch_rows_max);
        let LaneMetrics { all, model, version, observer, tap } = metrics;
        Arc::new(Self {
            plan,
            options,
            pool,
            queue: Mutex::default(),
            crowd: Crowd::new(),
            is_ready: AtomicBool::new(false),
            metrics: all,
            model_metrics: model,
            version_metrics: version,
            observer,
            tap,
        })
    }

    /// Its limits.
    pub fn options(&self) -> LaneOptions {
        self.options
    }

    /// Admits `inputs` and waits for the outputs until `deadline`. A caller that goes away costs nothing more: its job is
    /// dropped unrun.
    ///
    /// # Errors
    /// [`RunError`] where the queue is full, the deadline passes, the pool has stopped or the engine fails.
    pub async fn run(self: &Arc<Self>, inputs: Checked, deadline: Instant) -> Result<Outputs, RunError> {
        let (reply, answer) = oneshot::channel();
        self.admit(Job { inputs, deadline, queued: Instant::now(), reply, pieces: Vec::new(), rows_done: 0 })?;
        match tokio::time::timeout_at(deadline.into(), answer).await {
            Err(_) => Err(RunError::Deadline),
            Ok(Ok(result)) => result,
            // The job was dropped unanswered.
            Ok(Err(_)) if self.pool.is_stopped() => Err(RunError::Stopped),
            Ok(Err(_)) => Err(RunError::Engine(Arc::new(EngineError::Panicked("outside the engine".to_owned())))),
        }
    }

    /// Runs `inputs` at once (it is `now`) on this thread, where it is lent ([`Pool::lend`]), the run is short by what was measured,
    /// nobody waits in the queue, and there is no crowd to join.
    ///
    /// # Errors
    /// Gives `inputs` back where they have to queue, see [`Self::run`]; then as that.
    pub fn run_here(
        self: &Arc<Self>,
        inputs: Checked,
        (now, deadline): (Instant, Instant),
    ) -> Result<Result<Outputs, RunError>, Checked> {
        let is_short = inputs.n_rows() <= self.options.pace.rows_here_max;
        if !is_short || self.is_ready.load(Ordering::Acquire) || self.pool.is_stopped() || !self.pool.is_lent() {
            return Err(inputs);
        }
        if self.joins_short_runs() && self.crowd.wants_queue() {
            return Err(inputs);
        }
        if deadline <= now {
            return Ok(Err(RunError::Deadline));
        }
        self.version_metrics.waited(Duration::ZERO);
        let outputs = match self.run_plan(inputs.tensors(), inputs.n_rows(), now) {
            Ok(outputs) => Arc::new(outputs),
            Err(error) => return Ok(Err(error)),
        };
        self.version_metrics.predicted(inputs.n_rows());
        if self.observer.is_some() || self.tap.as_ref().is_some_and(|tap| tap.is_open()) {
            observe_later(self, (inputs, Arc::clone(&outputs)));
        }
        Ok(Ok(outputs))
    }

    /// Whether a request would have to be refused because too many wait; asked before work is put into reading one.
    ///
    /// # Errors
    /// [`RunError::QueueFull`].
    pub fn check_room(&self) -> Result<(), RunError> {
        // Models that run at once have no queue to look at.
        let runs_here = 0 < self.options.pace.rows_here_max && !self.joins_short_runs();
        if runs_here { Ok(()) } else { self.make_room(&mut self.locked()) }
    }

    fn joins_short_runs(&self) -> bool {
        self.options.coalesce && self.options.pace.joins_short_runs
    }

    fn make_room(&self, queue: &mut VecDeque<Job>) -> Result<(), RunError> {
        let queue_len_max = self.options.queue_len_max;
        if queue.len() < queue_len_max {
            return Ok(());
        }
        // Jobs that nobody waits for must not keep others out.
        let (now, len_before) = (Instant::now(), queue.len());
        let (void, waiting) = queue.drain(..).partition(|job| job.is_void(now));
        *queue = waiting;
        self.note_gone(len_before - queue.len());
        void.into_iter().for_each(Job::expire);
        if queue.len() < queue_len_max { Ok(()) } else { Err(RunError::QueueFull { queue_len_max }) }
    }

    fn admit(self: &Arc<Self>, job: Job) -> Result<(), RunError> {
        {
            let mut queue = self.locked();
            self.make_room(&mut queue)?;
            queue.push_back(job);
            self.model_metrics.queue_len.inc();
        }
        if !self.is_ready.swap(true, Ordering::AcqRel) && !self.pool.wake(self) {
            // The next caller must find the pool stopped too, and not wait for a thread that never comes.
            self.is_ready.store(false, Ordering::Release);
            let mut queue = self.locked();
            self.note_gone(queue.len());
            queue.clear();
            return Err(RunError::Stopped);
        }
        Ok(())
    }

    fn locked(&self) -> MutexGuard<'_, VecDeque<Job>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Jobs have left the queue. The gauge is the model's, and so the sum over the lanes of its versions.
    fn note_gone(&self, n_jobs: usize) {
        self.model_metrics.queue_len.sub(i64::try_from(n_jobs).unwrap_or(i64::MAX));
    }

    /// Takes what runs next: one job, or as many as fit in a batch. Void jobs are dropped on the way. The flag is true
    /// where more are left.
    pub(super) fn take(&self) -> (Vec<Job>, bool) {
        let now = Instant::now();
        let mut jobs: Vec<Job> = Vec::new();
        let mut n_rows = 0;
        let mut queue = self.locked();
        let len_before = queue.len();
        while let Some(job) = queue.pop_front() {
            if job.is_void(now) {
                job.expire();
                continue;
            }
            // All rows of a request that runs in pieces count each time, so that it is alone.
            let rows = job.inputs.n_rows();
            if !jobs.is_empty() && (!self.options.coalesce || self.options.batch_rows_max < n_rows + rows) {
                queue.push_front(job);
                break;
            }
            n_rows += rows;
            jobs.push(job);
        }
        self.note_gone(len_before - queue.len());
        if !jobs.is_empty() {
            self.crowd.note(jobs.len());
        }
        (jobs, !queue.is_empty())
    }

    /// Runs `jobs` on compute thread `worker` and answers each.
    pub(super) fn execute(self: &Arc<Self>, worker: usize, mut jobs: Vec<Job>) {
        let started = Instant::now();
        for job in jobs.iter().filter(|job| job.rows_done == 0) {
            self.version_metrics.waited(started.duration_since(job.queued));
        }
        if self.options.coalesce
            && let Some(job) = jobs.pop_if(|job| self.options.batch_rows_max < job.inputs.n_rows())
        {
            // It was taken alone.
            if let Some(answered) = self.run_pieces(job) {
                self.observe_and_hand_on(worker, answered);
            }
            return;
        }
        let joined = if let [_, _, ..] = jobs.as_slice() { self.run_joined(&jobs) } else { None };
        // Nobody's answer waits for the observation of another's.
        if let Some(Joined { inputs, outputs, results }) = joined {
            let answers = jobs.into_iter().zip(results).map(|(job, outputs)| self.answer(job, Ok(outputs)));
            let answered: Vec<_> = answers.flatten().collect();
            self.observe(worker, &inputs, &outputs);
            for (inputs, outputs) in answered {
                self.hand_on(inputs, outputs);
            }
            return;
        }
        // One job, or a batch of which some job makes the engine fail: each for itself, so that only that one gets the error.
        let run = |job: Job| {
            let result = self.run_plan(job.inputs.tensors(), job.inputs.n_rows(), Instant::now());
            self.answer(job, result)
        };
        let answered: Vec<_> = jobs.into_iter().filter_map(run).collect();
        for answered in answered {
            self.observe_and_hand_on(worker, answered);
        }
    }

    /// Comes after the answer. `worker` is the number of this thread.
    pub(super) fn observe_and_hand_on(&self, worker: usize, (inputs, outputs): Answered) {
        self.observe(worker, &inputs, &outputs);
        self.hand_on(inputs, outputs);
    }

    /// Runs the next rows of a request that is larger than a batch. Then it goes to the end of the queue, where small requests
    /// that came meanwhile are before it, and where it is dropped if its caller went away.
    fn run_pieces(self: &Arc<Self>, mut job: Job) -> Option<Answered> {
        loop {
            let n_rows = self.options.batch_rows_max.min(rows_in(PIECE_VALUES_MAX, job.inputs.tensors()));
            let rows = job.rows_done..(job.rows_done + n_rows).min(job.inputs.n_rows());
            let inputs: Vec<_> = job.inputs.tensors().iter().map(|input| input.slice_rows(rows.clone())).collect();
            match self.run_plan(&inputs, rows.len(), Instant::now()) {
                Ok(outputs) => job.pieces.push(outputs),
                Err(error) => return self.answer(job, Err(error)),
            }
            job.rows_done = rows.end;
            if job.rows_left() == 0 {
                let pieces = std::mem::take(&mut job.pieces);
                let outputs = join_rows(&pieces.iter().map(Vec::as_slice).collect::<Vec<_>>());
                // Pieces whose outputs differ in shape do not make one answer.
                let outputs = outputs
                    .map_or_else(|| self.run_plan(job.inputs.tensors(), job.inputs.n_rows(), Instant::now()), Ok);
                return self.answer(job, outputs);
            }
            job = self.put_back(job)?;
        }
    }

    /// Queues what is left of `job`; gives it back where the pool has stopped, which finishes what it has begun.
    fn put_back(self: &Arc<Self>, job: Job) -> Option<Job> {
        if self.pool.is_stopped() {
            return Some(job);
        }
        self.locked().push_back(job);
        self.model_metrics.queue_len.inc();
        if !self.is_ready.swap(true, Ordering::AcqRel) && !self.pool.wake(self) {
            self.is_ready.store(false, Ordering::Release);
            let job = self.locked().pop_back();
            self.note_gone(usize::from(job.is_some()));
            return job;
        }
        None
    }

    fn run_joined(&self, jobs: &[Job]) -> Option<Joined> {
        let inputs = Checked::join(&jobs.iter().map(|job| &job.inputs).collect::<Vec<_>>())?;
        let outputs = self.run_plan(inputs.tensors(), inputs.n_rows(), Instant::now()).ok()?;
        let sizes: Vec<usize> = jobs.iter().map(|job| job.inputs.n_rows()).collect();
        let results = scatter(&outputs, &sizes)?;
        Some(Joined { inputs, outputs, results })
    }

    /// Runs `inputs`, which it starts with now.
    fn run_plan(&self, inputs: &[Tensor], n_rows: usize, started: Instant) -> Result<Vec<Tensor>, RunError> {
        let outputs = self.plan.run(inputs);
        self.version_metrics.ran(started.elapsed(), n_rows);
        outputs.map_err(|error| {
            if matches!(error, EngineError::Panicked { .. }) {
                self.metrics.count_panic();
            }
            RunError::Engine(Arc::new(error))
        })
    }

    /// Hands the answer over; gives back what is to be observed.
    fn answer(&self, job: Job, result: Result<Vec<Tensor>, RunError>) -> Option<Answered> {
        let Job { inputs, reply, .. } = job;
        let outputs = match result {
            Ok(outputs) => Arc::new(outputs),
            Err(error) => {
                // A caller that went away wants no error either.
                drop(reply.send(Err(error)));
                return None;
            }
        };
        self.version_metrics.predicted(inputs.n_rows());
        drop(reply.send(Ok(Arc::clone(&outputs))));
        Some((inputs, outputs))
    }

    /// Comes after the answers and fails nothing.
    fn observe(&self, worker: usize, inputs: &Checked, outputs: &[Tensor]) {
        let Some(observer) = &self.observer else { return };
        if catch_unwind(AssertUnwindSafe(|| observer.observe(worker, inputs, outputs))).is_err() {
            self.metrics.count_observe_failure();
        }
    }

    fn hand_on(&self, inputs: Checked, outputs: Outputs) {
        let Some(tap) = self.tap.as_ref().filter(|tap| tap.is_open()) else { return };
        let is_busy = 0 < self.model_metrics.queue_len.get();
        if catch_unwind(AssertUnwindSafe(|| tap.offer(inputs, outputs, is_busy))).is_err() {
            self.metrics.count_observe_failure();
        }
    }
}

/// The most rows of `inputs` that have no more than so many values; one at least.
fn rows_in(values_max: usize, inputs: &[Tensor]) -> usize {
    let row_len = inputs.iter().fold(0_usize, |sum, input| sum.saturating_add(input.row_len()));
    (values_max / row_len.max(1)).max(1)
}

/// What a lane counts on.
#[derive(Debug)]
pub struct LaneMetrics {
    /// The process's metrics.
    pub all: Arc<Metrics>,
    /// The model's handles.
    pub model: ModelMetrics,
    /// The version's handles.
    pub version: VersionMetrics,
    /// Who looks at the predictions.
    pub observer: Option<Arc<dyn Observe>>,
    /// Who takes them over afterwards.
    pub tap: Option<Arc<dyn Tap>>,
}

#[cfg(test)]
#[path = "lane_tests.rs"]
mod tests;
