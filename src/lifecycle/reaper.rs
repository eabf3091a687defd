//! Retires servables: dropped off the hot path, after their last request.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::child::step_back;
use crate::metrics::{Metrics, ModelMetrics};
use crate::slot::Servable;

/// How often servables that still answer are looked at again.
const INTERVAL: Duration = Duration::from_millis(50);

/// A servable on its way out, and where it is counted.
struct Retiring {
    servable: Arc<Servable>,
    metrics: ModelMetrics,
}

/// A thread that holds retired servables until nobody else does, then drops them: never a serving thread.
#[derive(Debug)]
pub(super) struct Reaper {
    sender: Mutex<Option<Sender<Retiring>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Reaper {
    pub(super) fn start(metrics: Arc<Metrics>) -> std::io::Result<Self> {
        let (sender, receiver) = channel();
        let thread =
            std::thread::Builder::new().name("gudgeon-reaper".to_owned()).spawn(move || reap(&receiver, &metrics))?;
        Ok(Self { sender: Mutex::new(Some(sender)), thread: Mutex::new(Some(thread)) })
    }

    /// Takes over a servable that has left its slot.
    pub(super) fn retire(&self, servable: Arc<Servable>, metrics: ModelMetrics) {
        let sender = self.sender.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sender) = sender.as_ref() {
            // After the end of the process' last drain nobody is left to reap.
            drop(sender.send(Retiring { servable, metrics }));
        }
    }

    /// Ends the thread; what is left is dropped with the process.
    pub(super) fn stop(&self) {
        drop(self.sender.lock().unwrap_or_else(PoisonError::into_inner).take());
        if let Some(thread) = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take()
            && thread.join().is_err()
        {
            tracing::error!("the reaper ended by a panic");
        }
    }
}

fn reap(receiver: &Receiver<Retiring>, metrics: &Metrics) {
    step_back();
    let mut waiting: Vec<Retiring> = Vec::new();
    loop {
        let received = if waiting.is_empty() {
            receiver.recv().map_err(|_| RecvTimeoutError::Disconnected)
        } else {
            receiver.recv_timeout(INTERVAL)
        };
        match received {
            Ok(retiring) => waiting.push(retiring),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        waiting = drop_drained(waiting, metrics);
    }
}

/// Drops every servable that only the reaper holds; gives back the others.
fn drop_drained(waiting: Vec<Retiring>, metrics: &Metrics) -> Vec<Retiring> {
    waiting
        .into_iter()
        .filter_map(|retiring| {
            if !retiring.servable.is_drained() {
                return Some(retiring);
            }
            let Retiring { servable, metrics: model_metrics } = retiring;
            let (model, version) = (servable.model().clone(), servable.version());
            drop(servable);
            metrics.retire_version(model.as_str(), version.number());
            model_metrics.loaded_versions.dec();
            tracing::info!(%model, %version, "retired {model} version {version}");
            None
        })
        .collect()
}
