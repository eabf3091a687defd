//! The lifecycle of versions: register, verify, activate, roll back, retire.
//!
//! `policy` decides, the controller ([`Lifecycle`]) acts, and the registry's history remembers. Operations of one model
//! are serialised; each runs on a named thread of its own, never on a serving thread. An operation that fails changes
//! nothing: the durable alias is set after the version has been verified and before the slot is swapped.

mod contract;
mod controller;
mod error;
mod examined;
mod gate;
mod load;
mod model_policy;
mod permits;
pub mod policy;
mod queries;
mod reaper;
mod start;
mod status;
mod steer;
mod trial;

pub use controller::{Lifecycle, LifecycleParts};
pub use error::{ErrorKind, LifecycleError};
pub use gate::{Force, GateOptions};
pub use load::LoadOptions;
pub use model_policy::{DriftPolicy, InvalidModelPolicy, ModelPolicy};
pub use status::{ModelStatus, VersionState, VersionStatus};
pub use steer::Activation;
pub use trial::Upload;

pub use crate::registry::{Action, Actor, Event, History, Outcome};
