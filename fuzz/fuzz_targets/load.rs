//! Bytes to a plan: any bytes, models among them.

#![no_main]

use gudgeon_fuzz::mutate;
use libfuzzer_sys::{fuzz_crossover, fuzz_mutator, fuzz_target, fuzzer_mutate};

fuzz_target!(|data: &[u8]| {
    gudgeon_fuzz::load(data);
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
const PLAIN: u32 = 4;
