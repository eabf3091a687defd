//! What a server and a model tell of themselves.

use serde::Serialize;

use super::PLATFORM;
use crate::model::TensorSpec;
use crate::slot::{Servable, Slot};

/// Triton's extensions that are spoken here.
const EXTENSIONS: [&str; 6] =
    ["binary_tensor_data", "model_configuration", "model_repository", "parameters", "schedule_policy", "statistics"];

/// The server.
#[derive(Debug, Clone, Serialize)]
#[expect(missing_docs, reason = "the members are the protocol's")]
pub struct ServerMetadata {
    pub name: &'static str,
    pub version: &'static str,
    pub extensions: &'static [&'static str],
}

crate::schema::described!(ServerMetadata as "ServerMetadata" { name, version, extensions });

impl Default for ServerMetadata {
    fn default() -> Self {
        Self { name: "gudgeon", version: env!("CARGO_PKG_VERSION"), extensions: &EXTENSIONS }
    }
}

/// One input or output; -1 in the shape may vary.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the members are the protocol's")]
pub struct TensorMetadata {
    pub name: String,
    pub datatype: &'static str,
    pub shape: Vec<i64>,
}

crate::schema::described!(TensorMetadata as "TensorMetadata" { name, datatype, shape });

impl TensorMetadata {
    fn of(spec: &TensorSpec) -> Self {
        Self { name: spec.name.clone(), datatype: spec.datatype.as_str(), shape: spec.wire_shape() }
    }
}

/// One version of a model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the members are the protocol's")]
pub struct ModelMetadata {
    pub name: String,
    /// Every version in memory, ascending.
    pub versions: Vec<String>,
    pub platform: &'static str,
    pub inputs: Vec<TensorMetadata>,
    pub outputs: Vec<TensorMetadata>,
}

crate::schema::described!(ModelMetadata as "ModelMetadata" { name, versions, platform, inputs, outputs });

impl ModelMetadata {
    /// What `servable`, one of `slot`'s versions, takes and gives.
    pub fn of(slot: &Slot, servable: &Servable) -> Self {
        let signature = servable.signature();
        Self {
            name: slot.name().to_string(),
            versions: slot.lineup().versions().iter().map(ToString::to_string).collect(),
            platform: PLATFORM,
            inputs: signature.inputs.iter().map(TensorMetadata::of).collect(),
            outputs: signature.outputs.iter().map(TensorMetadata::of).collect(),
        }
    }
}
