//! SVMClassifier and SVMRegressor, with the answers of onnxruntime (which follow libsvm's and liblinear's).

use super::attributes::Attributes;
use super::labels::Labels;
use super::post::PostTransform;
use crate::engine::gemm::Packed;
use crate::engine::kernel::{Args, Dim, Fact, Kernel, OpError, Outputs, as_f32, rows_of, tensor};
use crate::tensor::{Data, Dtype, Tensor};

/// How near two rows are.
#[derive(Debug, Clone, Copy)]
enum Likeness {
    Linear,
    Poly { gamma: f32, coef0: f32, degree: f32 },
    Rbf { gamma: f32 },
    Sigmoid { gamma: f32, coef0: f32 },
}

impl Likeness {
    fn read(attributes: Attributes<'_>) -> Result<Self, OpError> {
        let (gamma, coef0, degree) = match *attributes.floats("kernel_params")? {
            [] => (0.0, 0.0, 0.0),
            [gamma, coef0, degree] => (gamma, coef0, degree),
            ref other => return OpError::bad(format!("kernel_params: expected 3 values, got {}", other.len())),
        };
        match attributes.text("kernel_type")?.unwrap_or("LINEAR") {
            "LINEAR" => Ok(Self::Linear),
            "POLY" => Ok(Self::Poly { gamma, coef0, degree }),
            "RBF" => Ok(Self::Rbf { gamma }),
            "SIGMOID" => Ok(Self::Sigmoid { gamma, coef0 }),
            other => OpError::bad(format!("unknown kernel_type {other:?}")),
        }
    }

    /// From a product of two rows, or from the square of their distance.
    fn of(self, found: f32) -> f32 {
        match self {
            Self::Linear => found,
            Self::Poly { gamma, coef0, degree } => {
                let value = gamma.mul_add(found, coef0);
                match degree {
                    2.0 => value * value,
                    3.0 => value * value * value,
                    _ => value.powf(degree),
                }
            }
            Self::Rbf { gamma } => (-gamma * found).exp(),
            Self::Sigmoid { gamma, coef0 } => gamma.mul_add(found, coef0).tanh(),
        }
    }
}

/// The sum of the products, each rounded before it is added, in partial sums that the processor adds up side by side. It is the
/// small difference of large numbers as a rule, so that it needs the digits.
fn weighed(weights: &[f32], values: &[f32]) -> f64 {
    const LANES: usize = 8;
    let mut sums = [0.0_f64; LANES];
    let ((w_chunks, w_rest), (v_chunks, v_rest)) = (weights.as_chunks::<LANES>(), values.as_chunks::<LANES>());
    for (weights, values) in w_chunks.iter().zip(v_chunks) {
        for lane in 0..LANES {
            sums[lane] += f64::from(weights[lane] * values[lane]);
        }
    }
    let rest: f64 = w_rest.iter().zip(v_rest).map(|(weight, value)| f64::from(weight * value)).sum();
    sums.iter().sum::<f64>() + rest
}

/// Rows that are compared at once.
const ROWS: usize = 16;

/// The rows to compare with, or the coefficients of a linear model.
#[derive(Debug)]
struct Vectors {
    /// `[n_features, n_vectors]`.
    values: Packed,
    n_vectors: usize,
    n_features: usize,
    likeness: Likeness,
}

impl Vectors {
    fn read(values: &[f32], n_vectors: usize, likeness: Likeness) -> Result<Self, OpError> {
        if n_vectors == 0 || values.is_empty() || !values.len().is_multiple_of(n_vectors) {
            return OpError::bad(format!("{} values for {n_vectors} vectors", values.len()));
        }
        let n_features = values.len() / n_vectors;
        let values = Packed::of_attribute(values, (n_features, n_vectors), true);
        Ok(Self { values, n_vectors, n_features, likeness })
    }

    fn check(&self, what: &str, input: &Fact) -> Result<(), OpError> {
        input.number(what)?;
        match input.row_len() {
            Some(got) if got != self.n_features => {
                OpError::bad(format!("{what} of {} features got rows of {got}", self.n_features))
            }
            _ => Ok(()),
        }
    }

    fn check_run(&self, input: &Tensor) -> Result<usize, String> {
        match rows_of(input.shape()) {
            (n_rows, n_features) if n_features == self.n_features => Ok(n_rows),
            (_, got) => Err(format!("expected rows of {}, got {got}", self.n_features)),
        }
    }

    /// Has `take` look at how near some rows are to each vector, `[.., n_vectors]`, until all have been.
    fn compare(&self, rows: &[f32], mut take: impl FnMut(&[f32])) {
        let mut found = vec![0.0; ROWS.min(rows.len() / self.n_features) * self.n_vectors];
        for rows in rows.chunks(ROWS * self.n_features) {
            let found = &mut found[..rows.len() / self.n_features * self.n_vectors];
            match self.likeness {
                Likeness::Rbf { .. } => self.values.distances(rows, found),
                Likeness::Linear | Likeness::Poly { .. } | Likeness::Sigmoid { .. } => {
                    self.values.multiply(rows, found);
                }
            }
            found.iter_mut().for_each(|value| *value = self.likeness.of(*value));
            take(found);
        }
    }
}

/// What one pair of classes says: the class of the one or the other.
#[derive(Debug)]
struct Platt {
    a: Vec<f32>,
    b: Vec<f32>,
}

#[derive(Debug)]
enum Machine {
    /// One vector of coefficients a class.
    Linear,
    /// One machine a pair of classes, over shared vectors.
    Pairs {
        /// `[n_classes - 1, n_vectors]`.
        coefficients: Vec<f32>,
        /// Where each class's vectors begin; one more at the end.
        starts: Vec<usize>,
        platt: Option<Platt>,
    },
}

/// SVMClassifier.
#[derive(Debug)]
pub(in crate::engine) struct Classifier {
    vectors: Vectors,
    machine: Machine,
    rho: Vec<f32>,
    labels: Labels,
    post: PostTransform,
    weights_are_positive: bool,
}

impl Classifier {
    /// More classes than this make more pairs than any model has.
    const CLASSES_MAX: usize = 4_096;

    pub(in crate::engine) fn read(attributes: Attributes<'_>) -> Result<Self, OpError> {
        let labels = Labels::read(attributes, "classlabels_ints")?;
        let n_classes = labels.len();
        if !(2..=Self::CLASSES_MAX).contains(&n_classes) {
            return OpError::unknown(format!("SVMClassifier with {n_classes} classes"));
        }
        let coefficients = attributes.floats("coefficients")?;
        let per_class = attributes.ints("vectors_per_class")?;
        let rho = attributes.floats("rho")?.to_vec();
        let (vectors, machine) = if per_class.is_empty() {
            (Vectors::read(coefficients, n_classes, Likeness::Linear)?, Machine::Linear)
        } else {
            Self::pairs(attributes, n_classes, coefficients, per_class)?
        };
        let n_rho = match machine {
            Machine::Linear => rho.len().max(1),
            Machine::Pairs { .. } => n_classes * (n_classes - 1) / 2,
        };
        if rho.len() != n_rho {
            return OpError::bad(format!("rho: expected {n_rho} values, got {}", rho.len()));
        }
        let weights_are_positive = coefficients.iter().all(|&weight| 0.0 <= weight);
        let post = PostTransform::read(attributes)?;
        if post == PostTransform::Probit && n_classes == 2 && matches!(machine, Machine::Pairs { platt: None, .. }) {
            // onnxruntime leaves the second score unset in this case.
            return OpError::unknown("SVMClassifier with PROBIT on one score");
        }
        Ok(Self { vectors, machine, rho, labels, post, weights_are_positive })
    }

    fn pairs(
        attributes: Attributes<'_>,
        n_classes: usize,
        coefficients: &[f32],
        per_class: &[i64],
    ) -> Result<(Vectors, Machine), OpError> {
        let mut starts = vec![0_usize];
        for &count in per_class {
            let end = usize::try_from(count).ok().and_then(|count| starts[starts.len() - 1].checked_add(count));
            starts.push(end.ok_or_else(|| OpError::Bad(format!("vectors_per_class: {count}")))?);
        }
        let n_vectors = starts[starts.len() - 1];
        if per_class.len() != n_classes {
            return OpError::bad(format!("vectors_per_class: {} values for {n_classes} classes", per_class.len()));
        }
        let vectors = Vectors::read(attributes.floats("support_vectors")?, n_vectors, Likeness::read(attributes)?)?;
        if n_vectors.checked_mul(n_classes - 1) != Some(coefficients.len()) {
            return OpError::bad(format!("{} coefficients for {n_vectors} vectors", coefficients.len()));
        }
        let (a, b) = (attributes.floats("prob_a")?.to_vec(), attributes.floats("prob_b")?.to_vec());
        let n_pairs = n_classes * (n_classes - 1) / 2;
        let platt = match (a.len(), b.len()) {
            (0, 0) => None,
            got if got == (n_pairs, n_pairs) => Some(Platt { a, b }),
            got => return OpError::bad(format!("prob_a, prob_b: expected {n_pairs} values, got {got:?}")),
        };
        Ok((vectors, Machine::Pairs { coefficients: coefficients.to_vec(), starts, platt }))
    }

    /// How many scores a row has.
    fn n_scores(&self) -> usize {
        let n_classes = self.labels.len();
        match &self.machine {
            Machine::Pairs { platt: None, .. } if n_classes > 2 => n_classes * (n_classes - 1) / 2,
            _ => n_classes,
        }
    }

    /// The class of one row; its scores are added to `scores`.
    fn finish(&self, likeness: &[f32], scores: &mut Vec<f32>) -> usize {
        let start = scores.len();
        let class = match &self.machine {
            Machine::Linear => {
                scores.extend(likeness.iter().enumerate().map(|(class, score)| score + self.intercept(class)));
                self.class(largest(&scores[start..]))
            }
            Machine::Pairs { coefficients, starts, platt } => {
                // The votes decide, also where probabilities are given that say otherwise.
                let votes = self.decide(likeness, coefficients, starts, scores);
                if let Some(platt) = platt {
                    let probabilities = platt.probabilities(&scores[start..], self.labels.len());
                    scores.truncate(start);
                    scores.extend(&probabilities);
                }
                largest(&votes).0
            }
        };
        self.write(start, scores);
        class
    }

    fn intercept(&self, class: usize) -> f32 {
        self.rho.get(class).or(self.rho.first()).copied().unwrap_or_default()
    }

    /// The decision of each pair of classes, and the votes of each class.
    fn decide(&self, likeness: &[f32], coefficients: &[f32], starts: &[usize], scores: &mut Vec<f32>) -> Vec<f32> {
        let (n_classes, n_vectors) = (self.labels.len(), self.vectors.n_vectors);
        let mut votes = vec![0.0; n_classes];
        let mut rho = self.rho.iter();
        for i in 0..n_classes {
            for j in i + 1..n_classes {
                let sum = |class: usize, other: usize| {
                    let range = starts[class]..starts[class + 1];
                    let weights = &coefficients[other * n_vectors..][range.clone()];
                    weighed(weights, &likeness[range])
                };
                let score = sum(i, j - 1) + sum(j, i) + f64::from(rho.next().copied().unwrap_or_default());
                #[expect(clippy::cast_possible_truncation, reason = "scores are of single precision")]
                scores.push(score as f32);
                votes[if 0.0 < score { i } else { j }] += 1.0;
            }
        }
        votes
    }

    /// The class of the largest score; of two classes under one intercept, the second where that score passes a bar.
    fn class(&self, (best, score): (usize, f32)) -> usize {
        let passes = if self.weights_are_positive { 0.5 <= score } else { 0.0 < score };
        if self.rho.len() == 1 && self.labels.len() == 2 && passes { 1 } else { best }
    }

    /// Applies the post-transform, and makes the second score of two classes where there is but one.
    fn write(&self, start: usize, scores: &mut Vec<f32>) {
        if scores.len() - start == 1 {
            let score = scores[start];
            match self.post {
                PostTransform::None => scores.splice(start.., [-score, score]),
                PostTransform::Logistic => {
                    let pair = [super::post::logistic(-score), super::post::logistic(score)];
                    scores.splice(start.., pair)
                }
                // PROBIT is refused before.
                _ => scores.splice(start.., [1.0 - score, score]),
            };
            return;
        }
        self.post.apply(&mut scores[start..]);
    }
}

/// The place of the largest value, the first of equal ones, and the value.
fn largest(values: &[f32]) -> (usize, f32) {
    let mut best = (0, values[0]);
    for (place, &value) in values.iter().enumerate() {
        if value > best.1 {
            best = (place, value);
        }
    }
    best
}

impl Platt {
    /// Probabilities of the classes from the decisions of their pairs (Wu, Lin and Weng 2004, as libsvm computes them).
    fn probabilities(&self, decisions: &[f32], n_classes: usize) -> Vec<f32> {
        let mut pairs = vec![0.0_f32; n_classes * n_classes];
        let mut index = 0;
        for i in 0..n_classes {
            for j in i + 1..n_classes {
                let value = decisions[index] * self.a[index] + self.b[index];
                let probability = (1.0 - super::post::logistic(value)).clamp(1e-7, 1.0 - 1e-7);
                pairs[i * n_classes + j] = probability;
                pairs[j * n_classes + i] = 1.0 - probability;
                index += 1;
            }
        }
        couple(&pairs, n_classes)
    }
}

/// Probabilities of classes from those of pairs, `[n_classes, n_classes]`.
#[expect(clippy::cast_precision_loss, reason = "there are at most 4,096 classes")]
fn couple(pairs: &[f32], n: usize) -> Vec<f32> {
    const ROUNDS_MAX: usize = 100;
    let mut q = vec![0.0_f32; n * n];
    for i in 0..n {
        for j in (0..n).filter(|&j| j != i) {
            q[i * n + i] += pairs[j * n + i] * pairs[j * n + i];
            q[i * n + j] = -pairs[j * n + i] * pairs[i * n + j];
        }
    }
    let mut p = vec![1.0 / n as f32; n];
    let mut qp = vec![0.0_f32; n];
    for _ in 0..ROUNDS_MAX {
        let mut pqp = 0.0;
        for i in 0..n {
            qp[i] = (0..n).map(|j| q[i * n + j] * p[j]).sum();
            pqp += p[i] * qp[i];
        }
        let error = qp.iter().map(|value| (value - pqp).abs()).fold(0.0, f32::max);
        if error < 0.005 / n as f32 {
            break;
        }
        for i in 0..n {
            let diff = (pqp - qp[i]) / q[i * n + i];
            p[i] += diff;
            pqp = (pqp + diff * (diff * q[i * n + i] + 2.0 * qp[i])) / (1.0 + diff) / (1.0 + diff);
            for j in 0..n {
                qp[j] = (qp[j] + diff * q[i * n + j]) / (1.0 + diff);
                p[j] /= 1.0 + diff;
            }
        }
    }
    p
}

impl Kernel for Classifier {
    fn name(&self) -> &'static str {
        "SVMClassifier"
    }

    fn n_outputs(&self) -> usize {
        2
    }

    fn facts(&self, inputs: &[Fact]) -> Result<Vec<Fact>, OpError> {
        self.vectors.check("SVMClassifier", &inputs[0])?;
        let rows = inputs[0].rows();
        let scores = vec![rows, Dim::Fixed(self.n_scores())];
        Ok(vec![Fact::new(self.labels.dtype(), Some(vec![rows])), Fact::new(Dtype::Fp32, Some(scores))])
    }

    fn run(&self, args: &mut Args<'_, '_>) -> Result<Outputs, String> {
        let input = args.get(0)?;
        let n_rows = self.vectors.check_run(input)?;
        let shape = vec![n_rows, self.n_scores()];
        let mut scores = Vec::with_capacity(args.room_for(&shape)?);
        let mut classes = Vec::with_capacity(n_rows);
        self.vectors.compare(&as_f32(input)?, |likeness| {
            let rows = likeness.chunks_exact(self.vectors.n_vectors);
            classes.extend(rows.map(|likeness| self.finish(likeness, &mut scores)));
        });
        Ok(Outputs::Two(self.labels.pick(&classes), tensor(shape, Data::Fp32(scores))?))
    }
}

/// SVMRegressor; with `one_class` it says 1 or -1.
#[derive(Debug)]
pub(in crate::engine) struct Regressor {
    vectors: Vectors,
    /// `[n_vectors, 1]`; a linear model has its one vector once.
    coefficients: Packed,
    rho: f32,
    one_class: bool,
}

impl Regressor {
    pub(in crate::engine) fn read(attributes: Attributes<'_>) -> Result<Self, OpError> {
        if PostTransform::read(attributes)? != PostTransform::None {
            return OpError::unknown("SVMRegressor with a post_transform");
        }
        let given = attributes.floats("coefficients")?;
        let n_supports = attributes.int("n_supports")?.unwrap_or(0);
        let n_supports = usize::try_from(n_supports).map_err(|_| OpError::Bad(format!("n_supports {n_supports}")))?;
        let (vectors, coefficients) = if n_supports == 0 {
            (Vectors::read(given, 1, Likeness::Linear)?, vec![1.0])
        } else {
            let vectors = attributes.floats("support_vectors")?;
            (Vectors::read(vectors, n_supports, Likeness::read(attributes)?)?, given.to_vec())
        };
        if coefficients.len() != vectors.n_vectors {
            return OpError::bad(format!("{} coefficients for {} vectors", coefficients.len(), vectors.n_vectors));
        }
        let [rho] = *attributes.floats("rho")? else { return OpError::bad("rho: expected one value") };
        let coefficients = Packed::of_attribute(&coefficients, (vectors.n_vectors, 1), false);
        let one_class = attributes.int("one_class")?.unwrap_or(0) != 0;
        Ok(Self { vectors, coefficients, rho, one_class })
    }
}

impl Kernel for Regressor {
    fn name(&self) -> &'static str {
        "SVMRegressor"
    }

    fn facts(&self, inputs: &[Fact]) -> Result<Vec<Fact>, OpError> {
        self.vectors.check("SVMRegressor", &inputs[0])?;
        Ok(vec![Fact::new(Dtype::Fp32, Some(vec![inputs[0].rows(), Dim::Fixed(1)]))])
    }

    fn run(&self, args: &mut Args<'_, '_>) -> Result<Outputs, String> {
        let input = args.get(0)?;
        let n_rows = self.vectors.check_run(input)?;
        let mut scores = Vec::with_capacity(n_rows);
        self.vectors.compare(&as_f32(input)?, |likeness| {
            let mut sums = [0.0; ROWS];
            let sums = &mut sums[..likeness.len() / self.vectors.n_vectors];
            self.coefficients.multiply(likeness, sums);
            scores.extend(sums.iter().map(|sum| match (self.one_class, sum + self.rho) {
                (false, score) => score,
                (true, score) if 0.0 < score => 1.0,
                (true, _) => -1.0,
            }));
        });
        Ok(Outputs::One(tensor(vec![n_rows, 1], Data::Fp32(scores))?))
    }
}
