//! Linear models: numbers through one `Gemm`, levels through a table of their coefficients (the product of a one-hot row
//! and a matrix is a row of the matrix; unseen and missing levels take a row of zeros).

use crate::trainer::fit::linear::{Encoding, LinearModel};
use crate::trainer::pipeline::FeatureSpec;

use super::graph::{Attribute, GraphBuilder};

/// Adds the nodes that compute the scores `[n_rows, n_scores]`; gives back their name.
pub(super) fn scores(graph: &mut GraphBuilder, model: &LinearModel, features: &[FeatureSpec]) -> String {
    let n_scores = model.intercepts.len();
    let mut sum = numbers(graph, model, features);
    for (encoding, feature) in model.encodings.iter().zip(features) {
        let Encoding::OneHot { levels, coefficient } = encoding else { continue };
        let place = graph.level_places(&feature.name, levels);
        let axis = graph.ints(&[1], &[1]);
        let place = graph.node("Squeeze", &[&place, &axis], Vec::new());
        let mut table = Vec::with_capacity((levels.len() + 1) * n_scores);
        for level in *coefficient..*coefficient + levels.len() {
            table.extend(model.coefficients.iter().map(|coefficients| coefficients[level]));
        }
        table.extend(std::iter::repeat_n(0.0, n_scores));
        let table = graph.floats(&[levels.len() + 1, n_scores], &table);
        let terms = graph.node("Gather", &[&table, &place], vec![Attribute::int("axis", 0)]);
        sum = graph.node("Add", &[&sum, &terms], Vec::new());
    }
    sum
}

/// The intercepts and the terms of the numeric features.
fn numbers(graph: &mut GraphBuilder, model: &LinearModel, features: &[FeatureSpec]) -> String {
    let n_scores = model.intercepts.len();
    let intercepts = graph.floats(&[n_scores], &model.intercepts);
    let infinity = graph.floats(&[], &[f32::INFINITY]);
    let (mut columns, mut weights) = (Vec::new(), Vec::new());
    for (encoding, feature) in model.encodings.iter().zip(features) {
        let &Encoding::Numeric { median, mean, sd, coefficient } = encoding else { continue };
        let [median, mean, sd] = [median, mean, sd].map(|value| graph.floats(&[], &[value]));
        // NaN and both infinities are not below infinity: they become the median.
        let size = graph.node("Abs", &[&feature.name], Vec::new());
        let is_finite = graph.node("Less", &[&size, &infinity], Vec::new());
        let filled = graph.node("Where", &[&is_finite, &feature.name, &median], Vec::new());
        let centred = graph.node("Sub", &[&filled, &mean], Vec::new());
        columns.push(graph.node("Div", &[&centred, &sd], Vec::new()));
        weights.extend(model.coefficients.iter().map(|coefficients| coefficients[coefficient]));
    }
    if columns.is_empty() {
        return intercepts;
    }
    let names: Vec<&str> = columns.iter().map(String::as_str).collect();
    let matrix = graph.node("Concat", &names, vec![Attribute::int("axis", 1)]);
    let weights = graph.floats(&[columns.len(), n_scores], &weights);
    graph.node("Gemm", &[&matrix, &weights, &intercepts], Vec::new())
}
