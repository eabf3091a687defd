//! One row of inputs that make sense: what a description shows as an example.

use crate::drift::{ColumnProfile, Profile, Reference};
use crate::model::{Golden, Signature, TensorSpec};
use crate::tensor::{Data, NamedTensor, Tensor};

/// Rows of more values than this are nothing to look at, and are not kept.
const SAMPLE_VALUES_MAX: usize = 4_096;

/// The first row of the golden cases; empty where it is too large.
pub fn golden_sample(golden: &Golden) -> Vec<NamedTensor> {
    let n_values: usize = golden.inputs.iter().map(|input| input.tensor.row_len()).sum();
    if SAMPLE_VALUES_MAX < n_values {
        return Vec::new();
    }
    let first = |input: &NamedTensor| NamedTensor { name: input.name.clone(), tensor: input.tensor.slice_rows(0..1) };
    golden.inputs.iter().map(first).collect()
}

/// A row of means and of most frequent levels; empty where the profile does not know every column of every input.
pub fn typical_sample(signature: &Signature, profile: &Profile) -> Vec<NamedTensor> {
    let n_values = signature.inputs.iter().try_fold(0_usize, |sum, spec| sum.checked_add(spec.row_len()?));
    if n_values.is_none_or(|n_values| SAMPLE_VALUES_MAX < n_values) {
        return Vec::new();
    }
    let inputs = signature.inputs.iter().map(|spec| typical(signature, profile, spec));
    inputs.collect::<Option<Vec<_>>>().unwrap_or_default()
}

fn typical(signature: &Signature, profile: &Profile, spec: &TensorSpec) -> Option<NamedTensor> {
    let row_len = spec.row_len()?;
    let mut data = Data::zeros(spec.datatype, row_len);
    for column in 0..row_len {
        let feature =
            signature.features.iter().find(|feature| feature.input == spec.name && feature.column == column)?;
        put(&mut data, column, profile.column(&feature.name)?)?;
    }
    let shape = std::iter::once(Some(1)).chain(spec.shape.iter().skip(1).copied());
    let tensor = Tensor::new(shape.collect::<Option<Vec<_>>>()?, data).ok()?;
    Some(NamedTensor { name: spec.name.clone(), tensor })
}

/// Puts what is typical of `column` at place `at`; `None` where nothing of that type is.
fn put(data: &mut Data, at: usize, column: &ColumnProfile) -> Option<()> {
    match (data, &column.reference) {
        (Data::Fp32(values), Reference::Numeric(numeric)) => *values.get_mut(at)? = narrow(numeric.mean),
        (Data::Fp64(values), Reference::Numeric(numeric)) => *values.get_mut(at)? = numeric.mean,
        (Data::Int64(values), Reference::Numeric(numeric)) => *values.get_mut(at)? = whole(numeric.mean),
        (Data::Int32(values), Reference::Numeric(numeric)) => {
            *values.get_mut(at)? = whole(numeric.mean).try_into().ok()?;
        }
        (Data::String(values), Reference::Categorical(categorical)) => {
            let counted = categorical.levels.iter().zip(&categorical.counts);
            let (level, _) = counted.reduce(|most, next| if most.1 < next.1 { next } else { most })?;
            *values.get_mut(at)? = level.clone();
        }
        _ => return None,
    }
    Some(())
}

#[expect(clippy::cast_possible_truncation, reason = "an example need not be exact")]
fn narrow(value: f64) -> f32 {
    value as f32
}

#[expect(clippy::cast_possible_truncation, reason = "an example need not be exact, and the cast saturates")]
fn whole(value: f64) -> i64 {
    value.round() as i64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drift::{column_of_levels, column_of_numbers};
    use crate::model::{Feature, FeatureKind};
    use crate::tensor::Dtype;

    fn signature() -> Signature {
        let spec =
            |name: &str, datatype, len| TensorSpec { name: name.to_owned(), datatype, shape: vec![None, Some(len)] };
        let feature = |name: &str, input: &str, column| Feature {
            name: name.to_owned(),
            kind: FeatureKind::Numeric,
            input: input.to_owned(),
            column,
            optional: false,
            levels: Vec::new(),
            min: None,
            max: None,
        };
        Signature {
            inputs: vec![spec("x", Dtype::Fp32, 2), spec("carrier", Dtype::String, 1)],
            outputs: Vec::new(),
            features: vec![feature("b", "x", 1), feature("a", "x", 0), feature("carrier", "carrier", 0)],
            classes: Vec::new(),
            maps: Vec::new(),
        }
    }

    #[test]
    fn a_typical_row_has_means_and_the_most_frequent_levels() {
        let levels: Vec<String> = ["UA", "AA", "UA"].map(ToOwned::to_owned).to_vec();
        let numbers = [column_of_numbers("a", &[1.0, 3.0]), column_of_numbers("b", &[5.0, 5.0])];
        let columns = numbers.into_iter().chain([column_of_levels("carrier", &levels)]).collect();
        let row = typical_sample(&signature(), &Profile::new(3, columns).unwrap());
        assert_eq!(row[0].tensor, Tensor::new(vec![1, 2], Data::Fp32(vec![2.0, 5.0])).unwrap());
        assert_eq!(row[1].tensor.as_strings().unwrap(), ["UA"]);
        let partly = Profile::new(3, vec![column_of_numbers("a", &[1.0])]).unwrap();
        assert!(typical_sample(&signature(), &partly).is_empty());
    }

    #[test]
    fn a_golden_row_is_the_first_unless_it_is_too_large() {
        let golden = |n_values| Golden {
            tolerance: crate::model::Tolerance::default(),
            inputs: vec![NamedTensor {
                name: "x".to_owned(),
                tensor: Tensor::new(vec![2, n_values], Data::Fp32(vec![7.0; 2 * n_values])).unwrap(),
            }],
            outputs: Vec::new(),
        };
        assert_eq!(golden_sample(&golden(SAMPLE_VALUES_MAX))[0].tensor.shape(), [1, SAMPLE_VALUES_MAX]);
        assert!(golden_sample(&golden(SAMPLE_VALUES_MAX + 1)).is_empty());
    }
}
