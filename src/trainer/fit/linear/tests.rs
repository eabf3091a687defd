use super::*;
use crate::trainer::data::{Categories, Column, MISSING_LEVEL};

fn numbers(values: &[f32]) -> Column {
    Column::Numeric(values.to_vec())
}

fn levels(values: &[&str]) -> Column {
    let mut categories = Categories::default();
    for value in values {
        let known = categories.levels.iter().position(|level| level == value);
        let code = match known {
            _ if value.is_empty() => MISSING_LEVEL,
            Some(place) => u32::try_from(place).unwrap(),
            None => {
                categories.levels.push((*value).to_owned());
                u32::try_from(categories.levels.len() - 1).unwrap()
            }
        };
        categories.codes.push(code);
    }
    Column::Categorical(categories)
}

fn table(features: Vec<Column>, target: &[f32]) -> Table {
    Table { features, target: target.to_vec(), row_digests: vec![[0; 16]; target.len()], ..Table::default() }
}

fn fitted(table: &Table, objective: Objective, params: &LinearParams) -> LinearModel {
    let rows: Vec<u32> = (0..u32::try_from(table.n_rows()).unwrap()).collect();
    let monotone = vec![0; table.features.len()];
    let problem = Problem { table, objective, monotone: &monotone, train: &rows, validation: &[], threads: 1 };
    fit(&problem, params, |_, _| {}).unwrap()
}

#[track_caller]
fn check(got: &[f32], expected: &[f32], tolerance: f32) {
    assert!(got.len() == expected.len() && got.iter().zip(expected).all(|(a, b)| (a - b).abs() < tolerance), "{got:?}");
}

#[test]
fn ridge_is_its_closed_form() {
    // One standardised column: the coefficient is n * cov / (n + l2), the intercept the mean.
    let (x, y) = ([1.0, 2.0, 3.0, 4.0], [1.0, 3.0, 2.0, 6.0]);
    let table = table(vec![numbers(&x)], &y);
    let model = fitted(&table, Objective::Squared, &LinearParams { l2: 2.0, ..LinearParams::default() });
    let sd = 1.25_f32.sqrt();
    let cross: f32 = x.iter().zip(y).map(|(x, y)| (x - 2.5) / sd * y).sum();
    check(&model.coefficients[0], &[cross / (4.0 + 2.0)], 1e-5);
    check(&model.intercepts, &[3.0], 1e-5);
}

#[test]
fn a_missing_value_is_the_median_and_an_unseen_level_adds_nothing() {
    let x = [1.0, f32::NAN, 2.0, 3.0, 9.0, 2.0];
    let c = ["a", "a", "b", "b", "rare", ""];
    let params = LinearParams { min_rows_level: 2, l2: 0.1, ..LinearParams::default() };
    let train = table(vec![numbers(&x), levels(&c)], &[1.0, 2.0, 3.0, 4.0, 9.0, 2.0]);
    let model = fitted(&train, Objective::Squared, &params);
    assert_eq!(model.encodings[1], Encoding::OneHot { levels: vec!["a".to_owned(), "b".to_owned()], coefficient: 1 });
    let probe = table(vec![numbers(&[2.0, f32::NAN, f32::INFINITY]), levels(&["new", "rare", ""])], &[0.0; 3]);
    let predictions = model.predict(&probe, &[0, 1, 2]);
    check(&predictions, &[predictions[0]; 3], 1e-6);
}

#[test]
fn logistic_regression_meets_its_optimum() {
    let x: Vec<f32> = (0..40_u8).map(|row| f32::from(row % 10)).collect();
    let y: Vec<f32> = (0..40_u16).map(|row| f32::from(u8::from((row * 7) % 10 < row % 10))).collect();
    let table = table(vec![numbers(&x)], &y);
    let model = fitted(&table, Objective::Binary, &LinearParams::default());
    let Encoding::Numeric { mean, sd, .. } = model.encodings[0] else { panic!("a number") };
    let rows: Vec<u32> = (0..40).collect();
    let predictions = model.predict(&table, &rows);
    // At the optimum the slopes are 0: the residuals sum to 0, and against the column they balance the penalty.
    let residuals: Vec<f32> = predictions.chunks(2).zip(&y).map(|(p, y)| p[1] - y).collect();
    check(&[residuals.iter().sum()], &[0.0], 1e-3);
    let against: f32 = residuals.iter().zip(&x).map(|(r, x)| r * (x - mean) / sd).sum();
    check(&[against], &[-model.coefficients[0][0]], 1e-3);
    assert!(model.n_iterations < 12, "{} steps", model.n_iterations);
}

#[test]
fn two_classes_give_the_same_probabilities_as_a_softmax_of_two() {
    let x: Vec<f32> = (0..60_u8).map(|row| f32::from(row % 12)).collect();
    let y: Vec<f32> = (0..60_u16).map(|row| f32::from(u8::from((row * 5) % 12 < row % 12))).collect();
    let table = table(vec![numbers(&x)], &y);
    let rows: Vec<u32> = (0..60).collect();
    // The penalty on two lists of coefficients is half that on their difference.
    let exact = |l2| LinearParams { l2, tolerance: 1e-9, iterations_max: 5_000, ..LinearParams::default() };
    let binary = fitted(&table, Objective::Binary, &exact(1.0)).predict(&table, &rows);
    let softmax = fitted(&table, Objective::Multiclass { n_classes: 2 }, &exact(2.0)).predict(&table, &rows);
    check(&softmax, &binary, 1e-4);
}

#[test]
fn columns_that_say_the_same_need_a_penalty() {
    let x = [1.0, 2.0, 3.0, 5.0];
    let table = table(vec![numbers(&x), numbers(&x)], &[1.0, 2.0, 3.0, 4.0]);
    let rows = [0, 1, 2, 3];
    let problem = Problem {
        table: &table,
        objective: Objective::Squared,
        monotone: &[0, 0],
        train: &rows,
        validation: &[],
        threads: 1,
    };
    let unpenalised = LinearParams { l2: 0.0, ..LinearParams::default() };
    assert_eq!(fit(&problem, &unpenalised, |_, _| {}).unwrap_err(), FitError::Singular);
    assert!(fit(&problem, &LinearParams::default(), |_, _| {}).is_ok());
}
