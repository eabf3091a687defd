//! The lifecycle of versions: register, verify, activate, roll back, retire.
//!
//! `policy` decides, the controller ([`Lifecycle`]) acts, and the registry's history remembers. Operations of one model
//! are serialised; each runs on a named thread of its own, never on a serving thread. An operation that fails changes
//! nothing: the durable alias is set after the version has been verified and before the slot is swapped.

mod calls;
mod challenge;
mod challenger;
mod conduct;
mod contract;
mod controller;
mod converge;
mod error;
mod examined;
mod gate;
mod lineup;
mod load;
mod memory;
mod model_policy;
mod operations;
mod permits;
pub mod policy;
mod progress;
mod queries;
mod reaper;
mod retention;
pub mod rollout;
mod rollout_policy;
mod start;
mod status;
mod steer;
mod trial;

pub use challenge::{Challenged, Trial};
pub use challenger::{CanaryCounts, ChallengerStatus, Copies, Differences, Latency};
pub use controller::{Lifecycle, LifecycleParts};
pub(crate) use error::described_data;
pub use error::{ErrorKind, LifecycleError};
pub use gate::{Force, GateOptions};
pub use load::LoadOptions;
pub use model_policy::{DriftPolicy, InvalidModelPolicy, ModelPolicy};
pub use operations::{Ask, Failure, Kind, OPERATIONS_KEPT, Operation, OperationState, Progress, Stage, Tracked};
pub use retention::{Prune, Pruned, RetentionPolicy, prune_registry};
pub use rollout_policy::{Conditions, KEY_HEADER, RolloutPolicy, RolloutStep};
pub use status::{ModelStatus, VersionState, VersionStatus};
pub use steer::Activation;
pub use trial::Upload;

pub use crate::registry::{Action, Actor, Call, Event, History, Outcome};
pub use crate::verify::Report as VerifyReport;
