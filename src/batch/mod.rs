//! Bounded admission, deadlines and coalescing in front of the engine.
//!
//! A [`Lane`] is one version's bounded queue; a [`Pool`] is the named threads that empty all lanes in turn. A job waits
//! for nothing but a free thread: whatever is queued for the lane by then runs with it as one batch, and the outputs are
//! scattered back by rows. This module must not know what a slot, a registry or a protocol is.

mod coalesce;
mod lane;
mod pool;

pub use lane::{Lane, LaneMetrics, LaneOptions, Observe, Outputs, RunError, Tap};
pub use pool::{Pool, PoolOptions};
