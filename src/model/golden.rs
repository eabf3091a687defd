//! Golden cases: a recorded input with its expected output, shipped in the artifact.

use serde::{Deserialize, Serialize};

use crate::tensor::{Data, NamedTensor, Tensor};

/// How far a float may be from the recorded one: `|got - expected| <= abs + rel * |expected|`. Everything else is equal.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tolerance {
    /// The absolute part.
    pub abs: f64,
    /// The part relative to the expected value.
    pub rel: f64,
}

impl Default for Tolerance {
    fn default() -> Self {
        Self { abs: 1e-5, rel: 1e-5 }
    }
}

/// Recorded inputs with the outputs that any engine must give for them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Golden {
    /// How exact an engine must be.
    pub tolerance: Tolerance,
    /// One batch of inputs.
    pub inputs: Vec<NamedTensor>,
    /// The outputs expected for it.
    pub outputs: Vec<NamedTensor>,
}

/// An output differs from the recorded one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("golden case: output {output:?}{row}: expected {expected}, got {got}")]
pub struct GoldenMismatch {
    /// The output's name.
    pub output: String,
    /// The first row that differs, as ` row N`, where it is known.
    pub row: String,
    /// What was recorded.
    pub expected: String,
    /// What the engine gave.
    pub got: String,
}

impl Golden {
    /// Holds what an engine gave, in the order of the graph's outputs, against the recorded outputs.
    ///
    /// # Errors
    /// [`GoldenMismatch`] for the first value that differs by more than the tolerance.
    pub fn compare(&self, outputs: &[NamedTensor]) -> Result<(), GoldenMismatch> {
        for expected in &self.outputs {
            let got = outputs.iter().find(|output| output.name == expected.name);
            let mismatch = |row: String, want: String, got: String| GoldenMismatch {
                output: expected.name.clone(),
                row,
                expected: want,
                got,
            };
            let Some(got) = got else {
                return Err(mismatch(String::new(), "the output".to_owned(), "none of that name".to_owned()));
            };
            let (want, got) = (&expected.tensor, &got.tensor);
            if want.shape() != got.shape() || want.dtype() != got.dtype() {
                return Err(mismatch(String::new(), kind(want), kind(got)));
            }
            if let Some(index) = self.first_difference(want.data(), got.data()) {
                let row = format!(" row {}", index / want.row_len().max(1));
                return Err(mismatch(row, shown(want.data(), index), shown(got.data(), index)));
            }
        }
        Ok(())
    }

    fn first_difference(&self, want: &Data, got: &Data) -> Option<usize> {
        let Tolerance { abs, rel } = self.tolerance;
        let close = |want: f64, got: f64| {
            if want.is_finite() && got.is_finite() {
                (got - want).abs() <= abs + rel * want.abs()
            } else {
                (want.is_nan() && got.is_nan()) || want.total_cmp(&got).is_eq()
            }
        };
        match (want, got) {
            (Data::Fp32(want), Data::Fp32(got)) => {
                want.iter().zip(got).position(|(&want, &got)| !close(f64::from(want), f64::from(got)))
            }
            (Data::Fp64(want), Data::Fp64(got)) => want.iter().zip(got).position(|(&want, &got)| !close(want, got)),
            (Data::String(want), Data::String(got)) => want.iter().zip(got).position(|(want, got)| want != got),
            (Data::Int64(want), Data::Int64(got)) => want.iter().zip(got).position(|(want, got)| want != got),
            _ if want == got => None,
            _ => Some(0),
        }
    }
}

fn kind(tensor: &Tensor) -> String {
    format!("{} {:?}", tensor.dtype(), tensor.shape())
}

fn shown(data: &Data, index: usize) -> String {
    match data {
        Data::String(values) => values.get(index).map_or_else(String::new, |value| format!("{value:?}")),
        Data::Int64(values) => values.get(index).map_or_else(String::new, ToString::to_string),
        other => other.as_f64(index).map_or_else(String::new, |value| value.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(values: Vec<f32>) -> NamedTensor {
        NamedTensor { name: "p".to_owned(), tensor: Tensor::column(Data::Fp32(values)) }
    }

    #[track_caller]
    fn check(want: Vec<f32>, got: Vec<f32>, expected: Result<(), &str>) {
        let golden = Golden { tolerance: Tolerance::default(), inputs: Vec::new(), outputs: vec![named(want)] };
        let result = golden.compare(&[named(got)]).map_err(|error| error.to_string());
        assert_eq!(result, expected.map_err(str::to_owned));
    }

    #[test]
    fn floats_are_compared_with_the_tolerance() {
        check(vec![0.5, f32::NAN, f32::INFINITY], vec![0.500_001, f32::NAN, f32::INFINITY], Ok(()));
        check(vec![0.5, 0.5], vec![0.5, 0.75], Err("golden case: output \"p\" row 1: expected 0.5, got 0.75"));
        check(
            vec![f32::INFINITY],
            vec![f32::NEG_INFINITY],
            Err("golden case: output \"p\" row 0: expected inf, got -inf"),
        );
        check(vec![0.5], vec![f32::NAN], Err("golden case: output \"p\" row 0: expected 0.5, got NaN"));
        check(vec![0.5], vec![0.5, 0.5], Err("golden case: output \"p\": expected FP32 [1, 1], got FP32 [2, 1]"));
    }
}
