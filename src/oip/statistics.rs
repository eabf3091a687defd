//! How often a version answered, and where the time went, in the form of Triton's statistics extension.

use serde::Serialize;

use crate::metrics::{Counted, Total};
use crate::slot::{Servable, Slots};

/// How often, and how long in all.
pub type Duration = Total;

/// What became of requests, and where their time went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the members are Triton's")]
pub struct InferenceStats {
    pub success: Duration,
    pub fail: Duration,
    pub queue: Duration,
    pub compute_input: Duration,
    pub compute_infer: Duration,
    pub compute_output: Duration,
    /// There is no cache of answers.
    pub cache_hit: Duration,
    /// As above.
    pub cache_miss: Duration,
}

crate::schema::described!(InferenceStats as "InferenceStats" {
    success, fail, queue, compute_input, compute_infer, compute_output, cache_hit, cache_miss,
});

/// Runs of one number of rows. Reading and writing are counted by request, not by run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the members are Triton's")]
pub struct BatchStats {
    pub batch_size: u64,
    pub compute_input: Duration,
    pub compute_infer: Duration,
    pub compute_output: Duration,
}

crate::schema::described!(BatchStats as "BatchStats" { batch_size, compute_input, compute_infer, compute_output });

/// One version since it was loaded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the members are Triton's")]
pub struct ModelStats {
    pub name: String,
    pub version: String,
    /// Milliseconds since 1970; 0 where there was none.
    pub last_inference: u64,
    /// Rows.
    pub inference_count: u64,
    /// Runs of the model.
    pub execution_count: u64,
    pub inference_stats: InferenceStats,
    pub batch_stats: Vec<BatchStats>,
}

crate::schema::described!(ModelStats as "ModelStats" {
    name, version, last_inference, inference_count, execution_count, inference_stats, batch_stats,
});

impl ModelStats {
    /// The statistics of `servable` now.
    pub fn of(servable: &Servable) -> Self {
        let Counted { last_inference_ms, rows, success, fail, queue, input, infer, output, by_rows } =
            servable.metrics().statistics();
        let none = Duration::default();
        let batch = |(batch_size, compute_infer)| BatchStats {
            batch_size,
            compute_input: none,
            compute_infer,
            compute_output: none,
        };
        Self {
            name: servable.model().to_string(),
            version: servable.version_text().to_owned(),
            last_inference: last_inference_ms,
            inference_count: rows,
            execution_count: infer.count,
            inference_stats: InferenceStats {
                success,
                fail,
                queue,
                compute_input: input,
                compute_infer: infer,
                compute_output: output,
                cache_hit: none,
                cache_miss: none,
            },
            batch_stats: by_rows.into_iter().map(batch).collect(),
        }
    }
}

/// The statistics of every version in memory, by model and number.
pub fn statistics(slots: &Slots) -> Vec<ModelStats> {
    let mut all = Vec::new();
    for slot in slots.all() {
        let lineup = slot.lineup();
        all.extend(lineup.versions().into_iter().filter_map(|version| Some(ModelStats::of(lineup.version(version)?))));
    }
    all
}
