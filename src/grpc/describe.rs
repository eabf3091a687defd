//! What the server and its models tell of themselves, as messages.

use super::inference::model_metadata_response::TensorMetadata;
use super::inference::model_version_policy::{PolicyChoice, Specific};
use super::inference::repository_index_response::ModelIndex;
use super::inference::{
    DataType, InferBatchStatistics, InferStatistics, ModelConfig, ModelDynamicBatching, ModelInput,
    ModelMetadataResponse, ModelOutput, ModelQueuePolicy, ModelStatistics, ModelVersionPolicy, ServerMetadataResponse,
    StatisticDuration, model_config::SchedulingChoice,
};
use crate::oip;

impl From<oip::ServerMetadata> for ServerMetadataResponse {
    fn from(oip::ServerMetadata { name, version, extensions }: oip::ServerMetadata) -> Self {
        let extensions = extensions.iter().map(ToString::to_string).collect();
        Self { name: name.to_owned(), version: version.to_owned(), extensions }
    }
}

impl From<oip::TensorMetadata> for TensorMetadata {
    fn from(oip::TensorMetadata { name, datatype, shape }: oip::TensorMetadata) -> Self {
        Self { name, datatype: datatype.to_owned(), shape }
    }
}

impl From<oip::ModelMetadata> for ModelMetadataResponse {
    fn from(oip::ModelMetadata { name, versions, platform, inputs, outputs }: oip::ModelMetadata) -> Self {
        Self { name, versions, platform: platform.to_owned(), inputs: all(inputs), outputs: all(outputs) }
    }
}

impl From<oip::IndexEntry> for ModelIndex {
    fn from(oip::IndexEntry { name, version, state, reason }: oip::IndexEntry) -> Self {
        Self { name, version: version.unwrap_or_default(), state: state.as_str().to_owned(), reason }
    }
}

impl From<oip::ConfigInput> for ModelInput {
    fn from(oip::ConfigInput { name, data_type, dims, optional }: oip::ConfigInput) -> Self {
        Self { name, data_type: number(data_type), dims, optional }
    }
}

impl From<oip::ConfigOutput> for ModelOutput {
    fn from(oip::ConfigOutput { name, data_type, dims }: oip::ConfigOutput) -> Self {
        Self { name, data_type: number(data_type), dims }
    }
}

fn number(data_type: &str) -> i32 {
    DataType::from_str_name(data_type).unwrap_or(DataType::TypeInvalid).into()
}

impl From<oip::DynamicBatching> for ModelDynamicBatching {
    fn from(batching: oip::DynamicBatching) -> Self {
        let oip::DynamicBatching { preferred_batch_size, max_queue_delay_microseconds, default_queue_policy } =
            batching;
        let oip::QueuePolicy { default_timeout_microseconds, allow_timeout_override, max_queue_size } =
            default_queue_policy;
        let policy = ModelQueuePolicy { default_timeout_microseconds, allow_timeout_override, max_queue_size };
        Self { preferred_batch_size, max_queue_delay_microseconds, default_queue_policy: Some(policy) }
    }
}

impl From<oip::Config> for ModelConfig {
    fn from(config: oip::Config) -> Self {
        let oip::Config {
            name,
            platform,
            backend,
            version_policy: oip::VersionPolicy { specific: oip::Specific { versions } },
            max_batch_size,
            input,
            output,
            dynamic_batching,
            default_model_filename,
        } = config;
        let policy = ModelVersionPolicy { policy_choice: Some(PolicyChoice::Specific(Specific { versions })) };
        Self {
            name,
            platform: platform.to_owned(),
            backend: backend.to_owned(),
            version_policy: Some(policy),
            max_batch_size,
            input: all(input),
            output: all(output),
            default_model_filename: default_model_filename.to_owned(),
            scheduling_choice: dynamic_batching.map(|batching| SchedulingChoice::DynamicBatching(batching.into())),
        }
    }
}

impl From<oip::Duration> for StatisticDuration {
    fn from(oip::Duration { count, ns }: oip::Duration) -> Self {
        Self { count, ns }
    }
}

impl From<oip::InferenceStats> for InferStatistics {
    fn from(stats: oip::InferenceStats) -> Self {
        let some = |duration: oip::Duration| Some(duration.into());
        let oip::InferenceStats {
            success,
            fail,
            queue,
            compute_input,
            compute_infer,
            compute_output,
            cache_hit,
            cache_miss,
        } = stats;
        Self {
            success: some(success),
            fail: some(fail),
            queue: some(queue),
            compute_input: some(compute_input),
            compute_infer: some(compute_infer),
            compute_output: some(compute_output),
            cache_hit: some(cache_hit),
            cache_miss: some(cache_miss),
        }
    }
}

impl From<oip::BatchStats> for InferBatchStatistics {
    fn from(stats: oip::BatchStats) -> Self {
        let oip::BatchStats { batch_size, compute_input, compute_infer, compute_output } = stats;
        Self {
            batch_size,
            compute_input: Some(compute_input.into()),
            compute_infer: Some(compute_infer.into()),
            compute_output: Some(compute_output.into()),
        }
    }
}

impl From<oip::ModelStats> for ModelStatistics {
    fn from(stats: oip::ModelStats) -> Self {
        let oip::ModelStats {
            name,
            version,
            last_inference,
            inference_count,
            execution_count,
            inference_stats,
            batch_stats,
        } = stats;
        Self {
            name,
            version,
            last_inference,
            inference_count,
            execution_count,
            inference_stats: Some(inference_stats.into()),
            batch_stats: all(batch_stats),
            ..Self::default()
        }
    }
}

/// Every one of `values`, converted.
pub(super) fn all<T, U: From<T>>(values: Vec<T>) -> Vec<U> {
    values.into_iter().map(U::from).collect()
}
