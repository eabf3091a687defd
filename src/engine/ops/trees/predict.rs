//! The operators on plain slices: from rows of features to classes and scores.

use super::binary::Binary;
use super::ensemble::Ensemble;
use super::forest::{Aggregate, Forest};
use super::real::{Real, Scores};
use crate::engine::ops::OpError;
use crate::engine::ops::attributes::Attributes;
use crate::engine::ops::post::PostTransform;

const TARGETS_MAX: usize = 4096;

/// Values of `[n_rows, n_features]`, row-major.
#[derive(Debug, Clone, Copy)]
pub(in crate::engine::ops) enum Rows<'a> {
    Single(&'a [f32]),
    Double(&'a [f64]),
}

/// A forest in the precisions that its inputs ask for: doubles are compared as doubles, all else as floats, unless the file
/// has doubles itself.
#[derive(Debug)]
struct Trees {
    single: Option<Ensemble<f32>>,
    double: Ensemble<f64>,
    max_feature: usize,
}

impl Trees {
    fn new(forest: &Forest) -> Result<Self, OpError> {
        let too_many = || OpError::Bad("the trees have more nodes than can be numbered".to_owned());
        let single = if forest.is_double { None } else { Some(Ensemble::new(forest).ok_or_else(too_many)?) };
        let double = Ensemble::new(forest).ok_or_else(too_many)?;
        Ok(Self { single, double, max_feature: forest.max_feature })
    }

    /// Calls `finish` with every row's scores. Rows too short for the trees give none.
    fn each_row(&self, rows: Rows<'_>, n_features: usize, finish: &mut impl FinishRow) {
        if n_features <= self.max_feature {
            return;
        }
        match (rows, &self.single) {
            (Rows::Single(rows), Some(trees)) => trees.each_row(rows, n_features, |scores| finish.row(scores)),
            (Rows::Single(rows), None) => {
                let rows: Vec<f64> = rows.iter().map(|&value| f64::from(value)).collect();
                self.double.each_row(&rows, n_features, |scores| finish.row(scores));
            }
            (Rows::Double(rows), _) => self.double.each_row(rows, n_features, |scores| finish.row(scores)),
        }
    }
}

/// What is done with the scores of one row.
trait FinishRow {
    fn row<T: Real>(&mut self, scores: Scores<'_, T>);
}

/// TreeEnsembleClassifier, its classes by number.
#[derive(Debug)]
pub(in crate::engine::ops) struct Classifier {
    trees: Trees,
    n_classes: usize,
    post: PostTransform,
    base: Vec<f64>,
    binary: Binary,
}

impl Classifier {
    pub(in crate::engine::ops) fn read(attributes: Attributes<'_>, n_classes: usize) -> Result<Self, OpError> {
        let forest = Forest::read(attributes, "class", n_classes)?;
        let (base, _) = attributes.numbers("base_values")?;
        if !(base.is_empty() || base.len() == n_classes || (base.len() == 1 && n_classes == 2)) {
            return Err(OpError::Bad(format!("{} base_values for {n_classes} classes", base.len())));
        }
        let binary = Binary::of(&forest);
        let post = PostTransform::read(attributes)?;
        Ok(Self { trees: Trees::new(&forest)?, n_classes, post, base, binary })
    }

    /// The largest feature that is read: rows must have more features than this.
    pub(in crate::engine::ops) fn max_feature(&self) -> usize {
        self.trees.max_feature
    }

    /// The class of each row, and the scores `[n_rows, n_classes]`; none where rows are too short.
    pub(in crate::engine::ops) fn run(&self, rows: Rows<'_>, n_features: usize) -> (Vec<usize>, Vec<f32>) {
        let n_rows = rows.n_rows(n_features);
        let scores = Vec::with_capacity(n_rows * self.n_classes);
        let mut rows_done = ClassifyRow { of: self, classes: Vec::with_capacity(n_rows), scores };
        self.trees.each_row(rows, n_features, &mut rows_done);
        (rows_done.classes, rows_done.scores)
    }
}

impl Rows<'_> {
    fn n_rows(self, n_features: usize) -> usize {
        let len = match self {
            Self::Single(rows) => rows.len(),
            Self::Double(rows) => rows.len(),
        };
        len.checked_div(n_features).unwrap_or(0)
    }
}

struct ClassifyRow<'a> {
    of: &'a Classifier,
    classes: Vec<usize>,
    scores: Vec<f32>,
}

impl FinishRow for ClassifyRow<'_> {
    fn row<T: Real>(&mut self, scores: Scores<'_, T>) {
        let Classifier { post, base, binary, .. } = self.of;
        let start = self.scores.len();
        if scores.values.len() == 2 {
            let (class, pair) = binary.finish(scores, base, *post);
            self.classes.push(class);
            self.scores.extend_from_slice(&pair);
            return;
        }
        if let &[value] = scores.values {
            // onnxruntime answers the labels 1 and 0 here, whatever the one class is called.
            let value = base.first().map_or(value, |&base| value.plus(T::of(base)));
            self.classes.push(0);
            self.scores.push(value.single());
            post.apply_to_targets(&mut self.scores[start..]);
            return;
        }
        let mut best: Option<(usize, T)> = None;
        for (class, (&value, &scored)) in scores.values.iter().zip(scores.scored).enumerate() {
            let base = base.get(class).map(|&base| T::of(base));
            let value = base.map_or(value, |base| value.plus(base));
            if (scored || base.is_some()) && best.is_none_or(|(_, most)| value > most) {
                best = Some((class, value));
            }
            self.scores.push(value.single());
        }
        self.classes.push(best.map_or(0, |(class, _)| class));
        post.apply(&mut self.scores[start..]);
    }
}

/// TreeEnsembleRegressor and TreeEnsemble.
#[derive(Debug)]
pub(in crate::engine::ops) struct Regressor {
    trees: Trees,
    n_targets: usize,
    average_over: Option<f64>,
    post: PostTransform,
    base: Vec<f64>,
}

impl Regressor {
    /// TreeEnsembleRegressor of ai.onnx.ml 1 and 3.
    pub(in crate::engine::ops) fn read(attributes: Attributes<'_>) -> Result<Self, OpError> {
        let n_targets = n_targets(attributes)?;
        let forest = Forest::read(attributes, "target", n_targets)?;
        let (base, _) = attributes.numbers("base_values")?;
        if !(base.is_empty() || base.len() == n_targets) {
            return Err(OpError::Bad(format!("{} base_values for {n_targets} targets", base.len())));
        }
        Self::new(&forest, PostTransform::read(attributes)?, base)
    }

    /// TreeEnsemble of ai.onnx.ml 5.
    pub(in crate::engine::ops) fn read_v5(attributes: Attributes<'_>) -> Result<Self, OpError> {
        let forest = Forest::read_v5(attributes, n_targets(attributes)?)?;
        // onnxruntime's numbers. ONNX's text has 1 and 2 the other way round, but files are tried out in onnxruntime.
        let post = match attributes.int("post_transform")?.unwrap_or(0) {
            0 => PostTransform::None,
            1 => PostTransform::Logistic,
            2 => PostTransform::Softmax,
            3 => PostTransform::SoftmaxZero,
            4 => PostTransform::Probit,
            other => return Err(OpError::Bad(format!("unknown post_transform {other}"))),
        };
        Self::new(&forest, post, Vec::new())
    }

    fn new(forest: &Forest, post: PostTransform, base: Vec<f64>) -> Result<Self, OpError> {
        #[expect(clippy::cast_precision_loss, reason = "there are far fewer than 2^52 trees")]
        let average_over = (forest.aggregate == Aggregate::Average).then_some(forest.roots.len() as f64);
        Ok(Self { trees: Trees::new(forest)?, n_targets: forest.n_targets, average_over, post, base })
    }

    /// The largest feature that is read: rows must have more features than this.
    pub(in crate::engine::ops) fn max_feature(&self) -> usize {
        self.trees.max_feature
    }

    pub(in crate::engine::ops) fn n_targets(&self) -> usize {
        self.n_targets
    }

    /// The scores `[n_rows, n_targets]`; none where rows are too short.
    pub(in crate::engine::ops) fn run<O: Real>(&self, rows: Rows<'_>, n_features: usize) -> Vec<O> {
        let mut done = RegressRow { of: self, scores: Vec::with_capacity(rows.n_rows(n_features) * self.n_targets) };
        self.trees.each_row(rows, n_features, &mut done);
        done.scores
    }
}

fn n_targets(attributes: Attributes<'_>) -> Result<usize, OpError> {
    let n_targets = usize::try_from(attributes.int("n_targets")?.unwrap_or(0)).ok();
    let n_targets = n_targets.filter(|n| (1..=TARGETS_MAX).contains(n));
    n_targets.ok_or_else(|| OpError::Bad(format!("n_targets: expected 1 to {TARGETS_MAX}")))
}

struct RegressRow<'a, O> {
    of: &'a Regressor,
    scores: Vec<O>,
}

impl<O: Real> FinishRow for RegressRow<'_, O> {
    fn row<T: Real>(&mut self, scores: Scores<'_, T>) {
        let Regressor { average_over, base, post, .. } = self.of;
        let start = self.scores.len();
        let only_one = scores.values.len() == 1;
        for (target, (&value, &scored)) in scores.values.iter().zip(scores.scored).enumerate() {
            // onnxruntime leaves a target at 0 where no leaf scored it, whatever its base value, if there are several.
            if !scored && !only_one {
                self.scores.push(O::default());
                continue;
            }
            let value = average_over.map_or(value, |n| value.over(T::of(n)));
            let value = base.get(target).map_or(value, |&base| value.plus(T::of(base)));
            self.scores.push(value.convert());
        }
        O::transform(*post, &mut self.scores[start..]);
    }
}
