//! A graph that loads, on inputs of all kinds that fit its signature.

#![no_main]

use gudgeon_fuzz::mutate;
use libfuzzer_sys::{fuzz_crossover, fuzz_mutator, fuzz_target, fuzzer_mutate};

fuzz_target!(|data: &[u8]| {
    if let Some(plan) = gudgeon_fuzz::load(data) {
        // The inputs are the graph's own: what fails is told by the bytes alone.
        let seed = data.iter().fold(0, |sum: u64, &byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
        (0..4).for_each(|round| gudgeon_fuzz::run(&plan, seed ^ round));
    }
});

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    // Now and then the bytes themselves: what is no protobuf must be refused too.
    let as_model = if seed % PLAIN == 0 { None } else { mutate::mutate(&mut data[..max_size], size, seed) };
    as_model.unwrap_or_else(|| fuzzer_mutate(data, size, max_size))
});

fuzz_crossover!(|first: &[u8], second: &[u8], out: &mut [u8], seed: u32| {
    match mutate::cross(first, second, seed) {
        Some(bytes) if bytes.len() <= out.len() => {
            out[..bytes.len()].copy_from_slice(&bytes);
            bytes.len()
        }
        _ => {
            let n = first.len().min(out.len());
            out[..n].copy_from_slice(&first[..n]);
            n
        }
    }
});

/// One change in so many is of bytes.
const PLAIN: u32 = 50;
