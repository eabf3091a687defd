//! How far two versions' outputs for the same rows are apart. Pure.

use crate::model::{Head, Signature};
use crate::tensor::{Data, Tensor};

/// What two versions say of one row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct RowDifference {
    /// Whether they say the same: the same class, or numbers within the tolerance.
    pub(super) agree: bool,
    /// Between 0 and 1. Of a classifier the total variation distance of the probabilities (of two classes: the difference of
    /// one of them); of numbers the difference relative to the larger one.
    pub(super) difference: f64,
}

/// How outputs are held against each other: found once for two signatures.
#[derive(Debug)]
pub(super) struct Comparer {
    head: Head,
    /// Where the second version has the outputs of the first; by name, since it may have more.
    places: Vec<Option<usize>>,
    /// Numbers that differ by less than this, relative to the larger one, agree.
    tolerance: f64,
}

impl Comparer {
    pub(super) fn new(first: &Signature, second: &Signature, tolerance: f64) -> Self {
        let place = |name: &str| second.outputs.iter().position(|spec| spec.name == name);
        let places = first.outputs.iter().map(|spec| place(&spec.name)).collect();
        Self { head: first.head(), places, tolerance }
    }

    /// The difference of every row; outputs that do not follow the rows are one row together.
    pub(super) fn compare(&self, first: &[Tensor], second: &[Tensor], n_rows: usize) -> Vec<RowDifference> {
        let pair = |index: usize| -> Option<(&Tensor, &Tensor)> {
            let (a, b) = (first.get(index)?, second.get((*self.places.get(index)?)?)?);
            Some((a, b))
        };
        match self.head {
            Head::Classes { label, probabilities } => {
                let (label, probabilities) = (label.and_then(pair), probabilities.and_then(pair));
                (0..n_rows).map(|row| of_classes(label, probabilities, row)).collect()
            }
            Head::Value { output } => {
                let values = pair(output);
                (0..n_rows).map(|row| self.of_numbers(values.map_or(1.0, |(a, b)| farthest(a, b, row)))).collect()
            }
            Head::Raw => {
                let pairs: Vec<Option<(&Tensor, &Tensor)>> = (0..first.len()).map(pair).collect();
                let follows = |pair: &Option<(&Tensor, &Tensor)>| {
                    pair.is_none_or(|(a, b)| a.n_rows() == n_rows && b.n_rows() == n_rows)
                };
                let of = |distance: &dyn Fn(&Tensor, &Tensor) -> f64| {
                    let each = pairs.iter().map(|pair| pair.map_or(1.0, |(a, b)| distance(a, b)));
                    self.of_numbers(each.fold(0.0, f64::max))
                };
                if pairs.iter().all(follows) {
                    (0..n_rows).map(|row| of(&|a, b| farthest(a, b, row))).collect()
                } else {
                    vec![of(&|a, b| farthest_of(a, b, 0..a.data().len().max(b.data().len())))]
                }
            }
        }
    }

    fn of_numbers(&self, difference: f64) -> RowDifference {
        RowDifference { agree: difference <= self.tolerance, difference }
    }
}

fn of_classes(
    label: Option<(&Tensor, &Tensor)>,
    probabilities: Option<(&Tensor, &Tensor)>,
    row: usize,
) -> RowDifference {
    let variation = probabilities.map(|(p, q)| variation(p, q, row));
    let agree = match (label, probabilities) {
        (Some((a, b)), _) => same(a.data(), b.data(), row * a.row_len()),
        (None, Some((p, q))) => largest(p, row) == largest(q, row),
        (None, None) => false,
    };
    RowDifference { agree, difference: variation.unwrap_or(if agree { 0.0 } else { 1.0 }) }
}

/// Half the sum of the differences of all classes' probabilities; 1 where a number is missing on one side alone.
fn variation(p: &Tensor, q: &Tensor, row: usize) -> f64 {
    let (width, other) = (p.row_len(), q.row_len());
    if width != other {
        return 1.0;
    }
    let difference = |class: usize| {
        let (p, q) = (p.data().as_f64(row * width + class), q.data().as_f64(row * width + class));
        match (p, q) {
            (Some(p), Some(q)) if p.is_nan() && q.is_nan() => 0.0,
            (Some(p), Some(q)) if p.is_finite() && q.is_finite() => (p - q).abs(),
            _ => 2.0,
        }
    };
    ((0..width).map(difference).sum::<f64>() / 2.0).min(1.0)
}

fn largest(probabilities: &Tensor, row: usize) -> Option<usize> {
    let width = probabilities.row_len();
    let value = |class: usize| Some((probabilities.data().as_f64(row * width + class)?, class));
    (0..width).rev().filter_map(value).max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, class)| class)
}

fn farthest(a: &Tensor, b: &Tensor, row: usize) -> f64 {
    let width = a.row_len();
    if width != b.row_len() {
        return 1.0;
    }
    farthest_of(a, b, row * width..(row + 1) * width)
}

fn farthest_of(a: &Tensor, b: &Tensor, range: std::ops::Range<usize>) -> f64 {
    range.map(|index| distance(a.data(), b.data(), index)).fold(0.0, f64::max)
}

/// The difference relative to the larger one, at most 1; of what is no number 0 or 1.
fn distance(a: &Data, b: &Data, index: usize) -> f64 {
    match (a.as_f64(index), b.as_f64(index)) {
        (Some(a), Some(b)) if a.is_finite() && b.is_finite() => {
            let larger = a.abs().max(b.abs());
            if larger < f64::MIN_POSITIVE { 0.0 } else { ((a - b).abs() / larger).min(1.0) }
        }
        _ if same(a, b, index) => 0.0,
        _ => 1.0,
    }
}

fn same(a: &Data, b: &Data, index: usize) -> bool {
    if let (Data::String(a), Data::String(b)) = (a, b) {
        return a.get(index).is_some_and(|text| Some(text) == b.get(index));
    }
    match (a.as_f64(index), b.as_f64(index)) {
        (Some(a), Some(b)) => a.total_cmp(&b).is_eq() || (a.is_nan() && b.is_nan()) || (a - b).abs() <= 0.0,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::TensorSpec;
    use crate::tensor::Dtype;

    fn spec(name: &str, datatype: Dtype, shape: &[Option<usize>]) -> TensorSpec {
        TensorSpec { name: name.to_owned(), datatype, shape: shape.to_vec() }
    }

    fn signature(outputs: Vec<TensorSpec>, classes: &[&str]) -> Signature {
        let classes = classes.iter().map(|&class| class.to_owned()).collect();
        Signature { inputs: Vec::new(), outputs, features: Vec::new(), classes, maps: Vec::new() }
    }

    #[track_caller]
    fn check(signature: &Signature, first: &[Tensor], second: &[Tensor], expected: &[(bool, f64)]) {
        let rows = Comparer::new(signature, signature, 0.1).compare(first, second, expected.len());
        assert_eq!(rows.len(), expected.len());
        for (row, &(agree, difference)) in rows.iter().zip(expected) {
            assert_eq!(row.agree, agree, "{rows:?}");
            assert!((row.difference - difference).abs() < 1e-6, "{rows:?}");
        }
    }

    fn probabilities(values: &[f32]) -> Tensor {
        Tensor::new(vec![values.len() / 2, 2], Data::Fp32(values.to_vec())).unwrap()
    }

    #[test]
    fn classes_agree_by_label_and_differ_by_total_variation() {
        let classes = signature(
            vec![spec("label", Dtype::Int64, &[None]), spec("p", Dtype::Fp32, &[None, Some(2)])],
            &["on_time", "late"],
        );
        let labels = |values: &[i64]| Tensor::vector(Data::Int64(values.to_vec()));
        check(
            &classes,
            &[labels(&[0, 1]), probabilities(&[0.9, 0.1, 0.4, 0.6])],
            &[labels(&[0, 0]), probabilities(&[0.8, 0.2, 0.6, 0.4])],
            &[(true, 0.1), (false, 0.2)],
        );
    }

    #[test]
    fn numbers_differ_relative_to_the_larger_one() {
        let value = signature(vec![spec("y", Dtype::Fp32, &[None, Some(1)])], &[]);
        let column = |values: &[f32]| Tensor::column(Data::Fp32(values.to_vec()));
        let first = column(&[100.0, 0.0, 2.0, f32::NAN, 1.0]);
        let second = column(&[95.0, 0.0, 1.0, f32::NAN, f32::NAN]);
        check(&value, &[first], &[second], &[(true, 0.05), (true, 0.0), (false, 0.5), (true, 0.0), (false, 1.0)]);
    }

    #[test]
    fn other_outputs_are_as_far_apart_as_their_farthest_values() {
        let raw = signature(vec![spec("a", Dtype::Fp32, &[None, Some(2)]), spec("text", Dtype::String, &[None])], &[]);
        let text = |values: &[&str]| Tensor::vector(Data::String(values.iter().map(|&v| v.to_owned()).collect()));
        check(
            &raw,
            &[probabilities(&[1.0, 2.0, 1.0, 1.0]), text(&["x", "y"])],
            &[probabilities(&[1.0, 1.0, 1.0, 1.0]), text(&["x", "z"])],
            &[(false, 0.5), (false, 1.0)],
        );
    }
}
