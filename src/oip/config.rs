//! A model's configuration in Triton's form, as far as it says something here.

use serde::Serialize;

use super::PLATFORM;
use crate::model::TensorSpec;
use crate::slot::{Servable, Slot};
use crate::tensor::Dtype;

/// Limits of requests, which are the server's and not the model's.
#[derive(Debug, Clone, Copy)]
pub struct ConfigLimits {
    /// Most rows in one request.
    pub rows_max: usize,
    /// The deadline of a request, microseconds.
    pub timeout_us: u64,
}

/// One input. The row axis is no part of `dims`; -1 may vary.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the members are Triton's")]
pub struct ConfigInput {
    pub name: String,
    pub data_type: &'static str,
    pub dims: Vec<i64>,
    /// Whether it may be left out.
    pub optional: bool,
}

crate::schema::described!(ConfigInput as "ConfigInput" { name, data_type, dims, optional });

/// One output, as [`ConfigInput`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the members are Triton's")]
pub struct ConfigOutput {
    pub name: String,
    pub data_type: &'static str,
    pub dims: Vec<i64>,
}

crate::schema::described!(ConfigOutput as "ConfigOutput" { name, data_type, dims });

/// What happens to requests that wait.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the members are Triton's")]
pub struct QueuePolicy {
    pub default_timeout_microseconds: u64,
    /// Whether a request may ask for less time.
    pub allow_timeout_override: bool,
    pub max_queue_size: u32,
}

crate::schema::described!(
    QueuePolicy as "QueuePolicy" { default_timeout_microseconds, allow_timeout_override, max_queue_size }
);

/// How requests that wait are joined.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the members are Triton's")]
pub struct DynamicBatching {
    pub preferred_batch_size: Vec<i32>,
    /// Nothing waits for company: what waits for a thread anyhow is joined.
    pub max_queue_delay_microseconds: u64,
    pub default_queue_policy: QueuePolicy,
}

crate::schema::described!(
    DynamicBatching as "DynamicBatching" { preferred_batch_size, max_queue_delay_microseconds, default_queue_policy }
);

/// The versions that are in memory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the members are Triton's")]
pub struct VersionPolicy {
    pub specific: Specific,
}

crate::schema::described!(VersionPolicy as "VersionPolicy" { specific });

/// Versions by their numbers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the members are Triton's")]
pub struct Specific {
    pub versions: Vec<i64>,
}

crate::schema::described!(Specific as "Specific" { versions });

/// A model's configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the members are Triton's")]
pub struct Config {
    pub name: String,
    pub platform: &'static str,
    pub backend: &'static str,
    pub version_policy: VersionPolicy,
    /// Most rows of a request.
    pub max_batch_size: i32,
    pub input: Vec<ConfigInput>,
    pub output: Vec<ConfigOutput>,
    /// There where requests that wait are joined.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dynamic_batching: Option<DynamicBatching>,
    pub default_model_filename: &'static str,
}

crate::schema::described!(
    Config as "ModelConfig" { name, platform, backend, version_policy, max_batch_size, input, output, default_model_filename }
    omitted { dynamic_batching }
);

impl Config {
    /// The configuration of `servable`, one of `slot`'s versions.
    pub fn of(slot: &Slot, servable: &Servable, limits: ConfigLimits) -> Self {
        let (signature, lane) = (servable.signature(), servable.lane_options());
        let is_optional = |spec: &TensorSpec| signature.may_be_left_out(spec);
        let versions = slot.lineup().versions();
        let number = |version: &crate::model::Version| i64::try_from(version.number()).unwrap_or(i64::MAX);
        let batching = || DynamicBatching {
            preferred_batch_size: vec![i32::try_from(lane.batch_rows_max).unwrap_or(i32::MAX)],
            max_queue_delay_microseconds: 0,
            default_queue_policy: QueuePolicy {
                default_timeout_microseconds: limits.timeout_us,
                allow_timeout_override: true,
                max_queue_size: u32::try_from(lane.queue_len_max).unwrap_or(u32::MAX),
            },
        };
        Self {
            name: slot.name().to_string(),
            platform: PLATFORM,
            backend: "gudgeon",
            version_policy: VersionPolicy { specific: Specific { versions: versions.iter().map(number).collect() } },
            max_batch_size: i32::try_from(limits.rows_max).unwrap_or(i32::MAX),
            input: signature.inputs.iter().map(|spec| input(spec, is_optional(spec))).collect(),
            output: signature.outputs.iter().map(output).collect(),
            dynamic_batching: lane.coalesce.then(batching),
            default_model_filename: "model.onnx",
        }
    }
}

fn input(spec: &TensorSpec, optional: bool) -> ConfigInput {
    ConfigInput { name: spec.name.clone(), data_type: data_type(spec.datatype), dims: dims(spec), optional }
}

fn output(spec: &TensorSpec) -> ConfigOutput {
    ConfigOutput { name: spec.name.clone(), data_type: data_type(spec.datatype), dims: dims(spec) }
}

/// The sizes behind the row axis; one value a row is said as one of size 1.
fn dims(spec: &TensorSpec) -> Vec<i64> {
    let behind = spec.wire_shape().get(1..).map(<[i64]>::to_vec).unwrap_or_default();
    if behind.is_empty() { vec![1] } else { behind }
}

fn data_type(dtype: Dtype) -> &'static str {
    match dtype {
        Dtype::Bool => "TYPE_BOOL",
        Dtype::Uint8 => "TYPE_UINT8",
        Dtype::Uint16 => "TYPE_UINT16",
        Dtype::Uint32 => "TYPE_UINT32",
        Dtype::Uint64 => "TYPE_UINT64",
        Dtype::Int8 => "TYPE_INT8",
        Dtype::Int16 => "TYPE_INT16",
        Dtype::Int32 => "TYPE_INT32",
        Dtype::Int64 => "TYPE_INT64",
        Dtype::Fp32 => "TYPE_FP32",
        Dtype::Fp64 => "TYPE_FP64",
        Dtype::String => "TYPE_STRING",
    }
}
