//! As much of gudgeon as reads and runs a graph in the native engine, what makes hostile graphs out of good ones, and as much
//! as reads requests.

#![allow(dead_code, unused_imports, clippy::all)]

pub mod decoders;
pub mod engine;
pub mod grpc;
pub mod http;
pub mod inputs;
pub mod model;
pub mod mutate;
pub mod oip;
pub mod seeds;
#[path = "../../src/schema.rs"]
pub mod schema;
#[path = "../../src/tensor/mod.rs"]
pub mod tensor;

use engine::{EngineError, Limits, Plan};

/// Limits under which a graph takes neither much memory nor long.
pub fn limits() -> Limits {
    Limits { model_bytes_max: 1 << 20, nodes_max: 200, run_values_max: 1 << 18, ..Limits::default() }
}

/// Loads `bytes`; every error but a panic is an answer. (A panic does not come so far: the fuzzer's hook aborts.)
pub fn load(bytes: &[u8]) -> Option<Plan> {
    match Plan::load(bytes, None, &limits()) {
        Ok(plan) => {
            plan.signature().validate().expect("a signature that makes sense");
            Some(plan)
        }
        Err(EngineError::Panicked(text)) => panic!("{text}"),
        Err(error) => {
            assert!(error.to_string().len() < 1 << 16, "a message of {} bytes", error.to_string().len());
            None
        }
    }
}

/// Runs the plan on inputs made from `seed`, twice: it must answer the same, and as its signature says.
pub fn run(plan: &Plan, seed: u64) {
    let signature = plan.signature();
    let Some(inputs) = inputs::made(signature, seed) else { return };
    let first = plan.run(&inputs);
    let again = plan.run(&inputs);
    match (first, again) {
        (Ok(first), Ok(again)) => {
            for ((output, again), spec) in first.iter().zip(&again).zip(&signature.outputs) {
                assert_eq!(output.dtype(), spec.datatype, "the type of {}", spec.name);
                if let Some(axis) = spec.row_axis() {
                    assert_eq!(output.shape().get(axis), Some(&inputs[0].n_rows()), "the rows of {}", spec.name);
                }
                assert_eq!(output.shape().len(), spec.shape.len(), "the axes of {}", spec.name);
                // NaN is not equal to itself; its text is.
                assert_eq!(format!("{output:?}"), format!("{again:?}"), "two runs of {}", spec.name);
            }
        }
        (Err(first), Err(again)) => assert_eq!(first.to_string(), again.to_string()),
        (first, again) => panic!("one run answers, one does not: {first:?}, {again:?}"),
    }
}
