//! What really happened: predictions are remembered by the ids of their requests for a while, feedback meets them there, and what
//! comes of it is counted by version. Nothing is remembered unless somebody asks for it, with a number of rows.

mod item;
mod recent;
pub(super) mod routes;

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use self::recent::Recent;
use crate::metrics::Metrics;
use crate::model::ModelName;
use crate::slot::Servable;
use crate::tensor::Tensor;

/// The memories of all models.
#[derive(Debug)]
pub struct Feedback {
    rows_kept: usize,
    metrics: Arc<Metrics>,
    models: RwLock<BTreeMap<ModelName, Arc<Recent>>>,
}

impl Feedback {
    /// Memories of `rows_kept` rows a model; `None` for no row.
    pub fn keeping(rows_kept: usize, metrics: &Arc<Metrics>) -> Option<Self> {
        let metrics = Arc::clone(metrics);
        (0 < rows_kept).then(|| Self { rows_kept, metrics, models: RwLock::default() })
    }

    /// Remembers what `servable` gave for the request with this id: `n_rows` rows of `outputs`.
    pub(super) fn remember(&self, servable: &Servable, id: Option<&str>, (outputs, n_rows): (&[Tensor], usize)) {
        if let Some(id) = id {
            self.recent(servable.model()).remember(servable, id, (outputs, n_rows));
        }
    }

    /// The memory of a model that is served.
    fn recent(&self, model: &ModelName) -> Arc<Recent> {
        if let Some(recent) = self.models.read().unwrap_or_else(PoisonError::into_inner).get(model) {
            return Arc::clone(recent);
        }
        let mut models = self.models.write().unwrap_or_else(PoisonError::into_inner);
        let made = || Arc::new(Recent::new(model, self.rows_kept, &self.metrics));
        Arc::clone(models.entry(model.clone()).or_insert_with(made))
    }
}
