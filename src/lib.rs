//! gudgeon: versioned ONNX models behind a stable prediction API, in a slot that is swapped under load.
//!
//! One package, one binary, and this library. Applications call a prediction API that stays the same while models change
//! underneath; operators register, verify, activate and roll back versions; Prometheus scrapes what happens; a trainer, a
//! process of the same binary, makes versions and holds them against the one that serves.
//!
//! # The map
//!
//! In reading order: what comes later builds on what comes earlier. `tests/architecture.rs` holds who may import whom.
//!
//! | modules | what they are |
//! | --- | --- |
//! | [`tensor`], [`model`], [`drift`], [`evaluation`] | vocabulary: pure; no I/O, no clock, no locks, no async |
//! | [`metrics`], [`telemetry`], [`engine`], [`registry`], [`child`], [`tls`] | mechanisms: each hides one library or one resource |
//! | [`schema`], [`tensor`], [`model`], [`drift`], [`evaluation`] | vocabulary: pure; no I/O, no clock, no locks, no async |
//! | [`metrics`], [`telemetry`], [`engine`], [`registry`], [`child`] | mechanisms: each hides one library or one resource |
//! | [`batch`], [`slot`], [`verify`], [`lifecycle`] | serving |
//! | [`trainer`] | training; it meets serving only in the registry |
//! | [`http`], [`config`], [`app`], [`cli`] | edges |
//!
//! # A request
//!
//! [`app`] accepts a connection; [`http`] finds the route, reads the body under its limits and decodes it into typed columns;
//! the model's slot is read **once** ([`slot::Slot::acquire`]); [`model::Signature::check`] turns the columns into
//! [`model::Checked`], the only thing that [`batch`] takes; a compute thread runs the [`engine::Plan`], alone or joined with
//! what waits beside it; the answer is handed over; then [`slot::Monitor`] counts what was seen, which can neither fail nor
//! delay a prediction. Failures become statuses in [`http::ApiError`] and nowhere else.
//!
//! # A version
//!
//! [`trainer`] makes it, or somebody else does; [`registry::Registry::register`] writes it, immutable from there;
//! a [`verify::Examiner`] opens it in a child process, runs its golden cases and measures it; [`evaluation::decide`] says
//! whether it is better; [`lifecycle::policy`] decides how it becomes the champion and [`lifecycle::Lifecycle`] does it: load,
//! record, swap one value. The version before stays in memory for a roll back; what has left its slot is dropped by a thread
//! that serves nobody. Every step lands in the registry's history with who, when and why.

pub mod app;
pub mod batch;
pub mod child;
pub mod cli;
pub mod config;
pub mod drift;
pub mod engine;
pub mod evaluation;
pub mod grpc;
pub mod http;
pub mod lifecycle;
pub mod metrics;
pub mod model;
pub mod oip;
pub mod registry;
pub mod schema;
pub mod slot;
pub mod telemetry;
pub mod tensor;
pub mod tls;
pub mod trainer;
pub mod verify;
