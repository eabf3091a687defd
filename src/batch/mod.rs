//! Bounded admission, deadlines and coalescing in front of the engine.
//!
//! A [`Lane`] is one version's bounded queue; a [`Pool`] is the named threads that empty all lanes in turn. A job waits
//! for nothing but a free thread: whatever is queued for the lane by then runs with it as one batch, and the outputs are
//! scattered back by rows. Runs that are short by what was measured happen at once, on the thread that asks, where that was
//! lent ([`Pool::lend`]). This module must not know what a slot, a registry or a protocol is.

mod coalesce;
mod crowd;
mod lane;
mod lend;
mod pace;
mod pool;
mod turns;

pub use lane::{Lane, LaneMetrics, LaneOptions, Observe, Outputs, RunError, Tap};
pub use pace::Pace;
pub use pool::{Pool, PoolOptions};
pub use turns::take_short_turns;
