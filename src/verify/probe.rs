//! What a version says of a few rows: what engines are held against each other by.

use serde::{Deserialize, Serialize};

use super::warm_up::probe_rows;
use crate::engine::Plan;
use crate::model::Golden;
use crate::tensor::{Data, NamedTensor, Tensor};

/// Values of one output that are compared.
const VALUES_MAX: usize = 1 << 16;
/// How far two engines may be from each other, as a share of the value and of the largest one of the output: sums are added up
/// in another order.
const SHARE_MAX: f64 = 1e-5;
/// The same where values are rounded to the steps of a scale on the way.
const QUANTIZED_SHARE_MAX: f64 = 1e-3;

/// What a version says of a few rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Probe {
    outputs: Vec<NamedTensor>,
    is_quantized: bool,
    uses_ml: bool,
}

impl Probe {
    /// Runs `plan` on golden inputs, else on made-up ones; `None` where there are none, or the run fails.
    pub(super) fn take(plan: &Plan, golden: Option<&Golden>) -> Option<Self> {
        let outputs = plan.run(&probe_rows(plan.signature(), golden)?).ok()?;
        let named = plan.signature().outputs.iter().zip(&outputs);
        let outputs = named.map(|(spec, tensor)| NamedTensor { name: spec.name.clone(), tensor: cut(tensor) });
        Some(Self { outputs: outputs.collect(), is_quantized: plan.is_quantized(), uses_ml: plan.uses_ml() })
    }

    #[cfg(test)]
    pub(super) fn of(name: &str, tensor: Tensor, uses_ml: bool) -> Self {
        Self { outputs: vec![NamedTensor { name: name.to_owned(), tensor }], is_quantized: false, uses_ml }
    }

    /// Whether the graph is of the kind that scikit-learn and its like export.
    pub(super) fn uses_ml(&self) -> bool {
        self.uses_ml
    }

    /// The first value in which `other` differs, as far as that is more than rounding.
    pub(super) fn difference(&self, other: &Self) -> Option<String> {
        let share_max = if self.is_quantized { QUANTIZED_SHARE_MAX } else { SHARE_MAX };
        self.outputs.iter().find_map(|output| {
            let theirs = other.outputs.iter().find(|theirs| theirs.name == output.name);
            let difference = match theirs {
                Some(theirs) => difference(&output.tensor, &theirs.tensor, share_max)?,
                None => "not there".to_owned(),
            };
            Some(format!("output {:?}: {difference}", output.name))
        })
    }
}

/// The first values; the shape of all of them where none is left out.
fn cut(tensor: &Tensor) -> Tensor {
    if tensor.data().len() <= VALUES_MAX {
        return tensor.clone();
    }
    Tensor::vector(tensor.data().pick(0..VALUES_MAX))
}

fn difference(ours: &Tensor, theirs: &Tensor, share_max: f64) -> Option<String> {
    if ours.shape() != theirs.shape() || ours.dtype() != theirs.dtype() {
        let kind = |tensor: &Tensor| format!("{} {:?}", tensor.dtype(), tensor.shape());
        return Some(format!("{} against {}", kind(ours), kind(theirs)));
    }
    if !matches!(ours.data(), Data::Fp32(_) | Data::Fp64(_)) {
        return (ours.data() != theirs.data()).then(|| "other labels".to_owned());
    }
    let values = |tensor: &Tensor| -> Vec<f64> {
        (0..tensor.data().len()).filter_map(|index| tensor.data().as_f64(index)).collect()
    };
    let (ours, theirs) = (values(ours), values(theirs));
    let largest =
        ours.iter().filter(|value| value.is_finite()).fold(0.0_f64, |largest, value| largest.max(value.abs()));
    let is_close = |ours: f64, theirs: f64| {
        if ours.is_finite() && theirs.is_finite() {
            (ours - theirs).abs() <= share_max * (ours.abs() + largest)
        } else {
            (ours.is_nan() && theirs.is_nan()) || ours.total_cmp(&theirs).is_eq()
        }
    };
    let (ours, theirs) = ours.iter().zip(&theirs).find(|&(&ours, &theirs)| !is_close(ours, theirs))?;
    Some(format!("{ours} against {theirs}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn probe(data: Data, is_quantized: bool) -> Probe {
        let outputs = vec![NamedTensor { name: "y".to_owned(), tensor: Tensor::vector(data) }];
        Probe { outputs, is_quantized, uses_ml: false }
    }

    #[track_caller]
    fn check(ours: Data, theirs: Data, is_quantized: bool, expected: Option<&str>) {
        let difference = probe(ours, is_quantized).difference(&probe(theirs, is_quantized));
        assert_eq!(difference, expected.map(|text| format!("output \"y\": {text}")));
    }

    #[test]
    fn floats_may_differ_by_rounding_and_labels_not_at_all() {
        let floats = |values: &[f32]| Data::Fp32(values.to_vec());
        check(floats(&[1.0, 0.5]), floats(&[1.0, 0.500_005]), false, None);
        check(floats(&[1.0, 0.5]), floats(&[1.0, 0.625]), false, Some("0.5 against 0.625"));
        check(floats(&[1.0, 0.5]), floats(&[1.0, 0.501]), true, None);
        // Beside large values a small one is what sums leave over.
        check(floats(&[100.0, 0.0]), floats(&[100.0, 0.0005]), false, None);
        check(floats(&[f32::NAN, f32::INFINITY]), floats(&[f32::NAN, f32::INFINITY]), false, None);
        check(floats(&[f32::NAN]), floats(&[0.0]), false, Some("NaN against 0"));
        check(floats(&[1.0]), floats(&[1.0, 2.0]), false, Some("FP32 [1] against FP32 [2]"));
        check(floats(&[1.0]), Data::Fp64(vec![1.0]), false, Some("FP32 [1] against FP64 [1]"));
        check(Data::Int64(vec![1, 2]), Data::Int64(vec![1, 2]), false, None);
        check(Data::Int64(vec![1, 2]), Data::Int64(vec![1, 3]), true, Some("other labels"));
        let other = Probe { outputs: Vec::new(), is_quantized: false, uses_ml: false };
        assert!(probe(floats(&[1.0]), false).difference(&other).is_some());
    }

    /// Otherwise a race would put a good engine out.
    #[cfg(feature = "onnxruntime")]
    #[test]
    fn native_and_onnxruntime_say_the_same_of_made_up_rows() {
        use crate::engine::{EngineChoice, with_onnxruntime};

        let cases = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/models");
        let engines = with_onnxruntime();
        let (mut n_models, mut differing) = (0, Vec::new());
        for case in std::fs::read_dir(cases).unwrap() {
            let path = case.unwrap().path();
            let Ok(bytes) = std::fs::read(path.join("model.onnx")) else { continue };
            let probe = |engine| Probe::take(&Plan::load_in(engine, &bytes, None, &engines).unwrap(), None);
            let (native, onnxruntime) = (probe(EngineChoice::Native), probe(EngineChoice::Onnxruntime));
            n_models += 1;
            let difference = match (&native, &onnxruntime) {
                (Some(native), Some(onnxruntime)) => native.difference(onnxruntime),
                (None, None) => None,
                _ => Some("one of them fails".to_owned()),
            };
            differing.extend(difference.map(|what| (path.file_name().unwrap().to_owned(), what)));
        }
        // Where values are rounded to the steps of a scale, one may fall on the next step, and does on these rows: golden cases
        // tell whether that matters.
        differing.retain(|(case, _)| !case.to_string_lossy().contains("int8"));
        assert!(differing.is_empty(), "{differing:#?}");
        assert!(50 < n_models, "{n_models} models");
    }
}
