use super::*;
use crate::trainer::data::Categories;

/// A generator of numbers in [0, 1): SplitMix64 over a counter.
fn random(seed: u64) -> impl FnMut() -> f32 {
    let mut count = 0_u64;
    move || {
        count += 1;
        let bits = crate::trainer::data::stable_hash(&count.to_le_bytes(), seed) >> 40;
        f32::from(u16::try_from(bits >> 8).unwrap()) / 65_536.0
    }
}

fn table(columns: Vec<Column>, target: Vec<f32>) -> Table {
    Table { features: columns, row_digests: vec![[0; 16]; target.len()], target, ..Table::default() }
}

fn one_tree() -> GbdtParams {
    GbdtParams { n_trees_max: 1, learning_rate: 1.0, min_rows_leaf: 1, l2: 0.0, ..GbdtParams::default() }
}

struct Case<'a> {
    table: &'a Table,
    objective: Objective,
    monotone: Vec<i8>,
    validation: Vec<u32>,
    threads: usize,
}

impl<'a> Case<'a> {
    fn new(table: &'a Table, objective: Objective) -> Self {
        Self { table, objective, monotone: vec![0; table.features.len()], validation: Vec::new(), threads: 1 }
    }

    fn fit(&self, params: &GbdtParams) -> GbdtModel {
        let n_train = u32::try_from(self.table.n_rows() - self.validation.len()).unwrap();
        let train: Vec<u32> = (0..n_train).collect();
        let problem = Problem {
            table: self.table,
            objective: self.objective,
            monotone: &self.monotone,
            train: &train,
            validation: &self.validation,
            threads: self.threads,
        };
        fit(&problem, params, |_, _| {}).unwrap()
    }
}

fn all_rows(table: &Table) -> Vec<u32> {
    (0..u32::try_from(table.n_rows()).unwrap()).collect()
}

fn squared_error(model: &GbdtModel, table: &Table) -> f64 {
    let predictions = model.predict(table, &all_rows(table));
    let errors = predictions.iter().zip(&table.target).map(|(p, y)| f64::from(p - y).powi(2));
    errors.sum::<f64>() / f64::from(u32::try_from(table.n_rows()).unwrap())
}

/// The smallest squared error of any single split of any column, by trying all of them.
fn best_stump(columns: &[Vec<f32>], target: &[f32]) -> f64 {
    let spread = |values: &[f32]| {
        let n: f64 = values.iter().map(|_| 1.0).sum();
        let mean = values.iter().map(|&value| f64::from(value)).sum::<f64>() / n;
        values.iter().map(|&value| (f64::from(value) - mean).powi(2)).sum::<f64>()
    };
    let mut best = spread(target);
    for column in columns {
        for &cut in column {
            let side = |left: bool| -> Vec<f32> {
                column.iter().zip(target).filter(|(value, _)| (**value <= cut) == left).map(|(_, &y)| y).collect()
            };
            let (left, right) = (side(true), side(false));
            if !right.is_empty() {
                best = best.min(spread(&left) + spread(&right));
            }
        }
    }
    best / f64::from(u32::try_from(target.len()).unwrap())
}

#[test]
fn the_first_split_is_the_best_of_all() {
    for seed in 0..20 {
        let mut random = random(seed);
        let columns: Vec<Vec<f32>> = (0..3).map(|_| (0..40).map(|_| random()).collect()).collect();
        let target: Vec<f32> = (0..40).map(|row| columns[1][row] * 2.0 + random()).collect();
        let table = table(columns.iter().cloned().map(Column::Numeric).collect(), target);
        let model = Case::new(&table, Objective::Squared).fit(&GbdtParams { leaves_max: 2, ..one_tree() });
        let (got, expected) = (squared_error(&model, &table), best_stump(&columns, &table.target));
        assert!((got - expected).abs() < 1e-6, "seed {seed}: expected {expected}, got {got}");
    }
}

#[test]
fn a_tree_with_enough_leaves_learns_every_row() {
    let mut random = random(1);
    let column: Vec<f32> = (0..30_u8).map(f32::from).collect();
    let table = table(vec![Column::Numeric(column)], (0..30).map(|_| random()).collect());
    let model = Case::new(&table, Objective::Squared).fit(&one_tree());
    assert!(squared_error(&model, &table) < 1e-12);
    assert_eq!(model.trees[0][0].nodes.len(), 59);
}

#[test]
fn missing_values_go_where_they_fit_better() {
    for high_missing in [false, true] {
        let column: Vec<f32> = (0..60_u8).map(|row| if row % 3 == 0 { f32::NAN } else { f32::from(row % 3) }).collect();
        let high = |row: u8| row % 3 == 2 || (row.is_multiple_of(3) && high_missing);
        let target = (0..60).map(|row| f32::from(u8::from(high(row)))).collect();
        let table = table(vec![Column::Numeric(column)], target);
        let model = Case::new(&table, Objective::Squared).fit(&GbdtParams { leaves_max: 2, ..one_tree() });
        assert!(squared_error(&model, &table) < 1e-12, "missing rows are high: {high_missing}");
        let Node::Split { missing_left, .. } = model.trees[0][0].nodes[0] else { panic!("the root splits") };
        assert_eq!(missing_left, !high_missing);
    }
}

#[test]
fn a_value_that_training_never_missed_goes_with_the_majority() {
    let column: Vec<f32> = (0..10_u8).map(f32::from).collect();
    let target = (0..10_u8).map(|row| f32::from(u8::from(row < 3))).collect();
    let train = table(vec![Column::Numeric(column)], target);
    let model = Case::new(&train, Objective::Squared).fit(&GbdtParams { leaves_max: 2, ..one_tree() });
    let missing = table(vec![Column::Numeric(vec![f32::NAN])], vec![0.0]);
    assert!(model.predict(&missing, &[0])[0] < 0.01);
}

#[test]
fn constrained_predictions_never_fall_along_a_grid() {
    let mut random = random(3);
    let columns: Vec<Vec<f32>> = (0..2).map(|_| (0..2_000).map(|_| random()).collect()).collect();
    let noisy = |row: usize, noise: f32| f32::sin(9.0 * columns[0][row]) + columns[0][row] + columns[1][row] + noise;
    let target: Vec<f32> = (0..2_000).map(|row| noisy(row, random())).collect();
    let train = table(columns.into_iter().map(Column::Numeric).collect(), target);
    for sign in [1_i8, -1, 0] {
        let mut case = Case::new(&train, Objective::Squared);
        case.monotone = vec![sign, 0];
        let model = case.fit(&GbdtParams { n_trees_max: 30, min_rows_leaf: 5, ..GbdtParams::default() });
        let mut falls = 0;
        for other in [0.0_f32, 0.3, 0.6, 0.9] {
            let grid: Vec<f32> = (0..200_u8).map(|step| f32::from(step) / 200.0).collect();
            let others = vec![other; 200];
            let grid = table(vec![Column::Numeric(grid), Column::Numeric(others)], vec![0.0; 200]);
            let predictions = model.predict(&grid, &all_rows(&grid));
            falls +=
                predictions.windows(2).filter(|pair| f32::from(sign.signum() | 1) * (pair[1] - pair[0]) < 0.0).count();
        }
        assert_eq!(falls == 0, sign != 0, "constraint {sign}: {falls} falls");
    }
}

#[test]
fn a_weight_of_two_is_a_row_twice() {
    let mut random = random(4);
    let column: Vec<f32> = (0..50).map(|_| random()).collect();
    let target: Vec<f32> = column.iter().map(|x| f32::from(u8::from(x + random() > 1.0))).collect();
    let mut weighted = table(vec![Column::Numeric(column.clone())], target.clone());
    weighted.weights = (0..50).map(|row| if row % 2 == 0 { 2.0 } else { 1.0 }).collect();
    let twice = |values: &[f32]| -> Vec<f32> {
        values.iter().enumerate().flat_map(|(row, &value)| vec![value; if row % 2 == 0 { 2 } else { 1 }]).collect()
    };
    let double = table(vec![Column::Numeric(twice(&column))], twice(&target));
    let params = GbdtParams { n_trees_max: 5, leaves_max: 4, min_rows_leaf: 1, ..GbdtParams::default() };
    let rows = all_rows(&weighted);
    let a = Case::new(&weighted, Objective::Binary).fit(&params).predict(&weighted, &rows);
    let b = Case::new(&double, Objective::Binary).fit(&params).predict(&weighted, &rows);
    assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 1e-5), "{a:?} {b:?}");
}

#[test]
fn the_fit_stops_where_validation_is_best() {
    let mut random = random(5);
    let column: Vec<f32> = (0..600).map(|_| random()).collect();
    let target: Vec<f32> = column.iter().map(|x| f32::from(u8::from(x * 0.2 + random() > 0.6))).collect();
    let table = table(vec![Column::Numeric(column)], target);
    let mut case = Case::new(&table, Objective::Binary);
    case.validation = (400..600).collect();
    let params = GbdtParams { n_trees_max: 500, min_rows_leaf: 1, early_stopping_rounds: 10, ..GbdtParams::default() };
    let params = GbdtParams { refit: false, ..params };
    let model = case.fit(&params);
    let losses = &model.validation_losses;
    assert!(losses.len() < 500, "{} rounds", losses.len());
    assert_eq!(losses.len() - model.n_rounds(), 10);
    assert!(losses.iter().all(|loss| losses[model.n_rounds() - 1] <= *loss));
}

#[test]
fn the_trees_are_grown_anew_from_all_rows_with_the_rounds_that_validation_chose() {
    let mut random = random(5);
    let column: Vec<f32> = (0..600).map(|_| random()).collect();
    let target: Vec<f32> = column.iter().map(|x| f32::from(u8::from(x * 0.2 + random() > 0.6))).collect();
    let table = table(vec![Column::Numeric(column)], target);
    let mut case = Case::new(&table, Objective::Binary);
    case.validation = (400..600).collect();
    let params = GbdtParams { n_trees_max: 500, min_rows_leaf: 1, ..GbdtParams::default() };
    let refitted = case.fit(&params);
    let params = GbdtParams { refit: false, ..params };
    let chosen = case.fit(&params);
    assert_eq!(refitted.validation_losses, chosen.validation_losses);
    case.validation.clear();
    let fixed = case.fit(&GbdtParams { n_trees_max: chosen.n_rounds(), ..params });
    assert_eq!((&refitted.base, &refitted.trees), (&fixed.base, &fixed.trees));
    assert_ne!(refitted.trees, chosen.trees);
}

#[test]
fn three_classes_are_told_apart_by_numbers_and_by_levels() {
    let mut random = random(6);
    let levels = ["a", "b", "c"].map(str::to_owned).to_vec();
    let codes: Vec<u32> = (0..300).map(|row| row % 3).collect();
    let x: Vec<f32> = (0..300).map(|_| random()).collect();
    let class = |code: u32, x: f32| if x < 0.5 { code } else { (code + 1) % 3 };
    let target: Vec<f32> =
        codes.iter().zip(&x).map(|(&code, &x)| f32::from(u8::try_from(class(code, x)).unwrap())).collect();
    let table = table(vec![Column::Categorical(Categories { codes, levels }), Column::Numeric(x)], target);
    let params = GbdtParams { n_trees_max: 30, ..GbdtParams::default() };
    let model = Case::new(&table, Objective::Multiclass { n_classes: 3 }).fit(&params);
    let predictions = model.predict(&table, &all_rows(&table));
    for (row, shares) in predictions.chunks(3).enumerate() {
        assert!((shares.iter().sum::<f32>() - 1.0).abs() < 1e-5);
        let likeliest = (0..3).max_by(|&a, &b| shares[a].total_cmp(&shares[b])).unwrap();
        assert_eq!(likeliest, class_of(table.target[row]), "row {row}: {shares:?}");
    }
}

#[test]
fn any_number_of_threads_gives_the_same_model() {
    // January has more rows than the limit below which one thread does all.
    let flights = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("models/flights");
    let file = crate::trainer::PipelineFile::read(&flights.join("pipeline.toml")).unwrap();
    let january = [flights.join("data/2013-01.csv.gz")];
    let table = crate::trainer::data::read_files(&january, &flights, &file.pipeline.schema()).unwrap();
    assert_eq!(table.n_rows(), 26_398);
    let params = GbdtParams { n_trees_max: 5, ..GbdtParams::default() };
    let models: Vec<GbdtModel> = [1, 2, 5]
        .into_iter()
        .map(|threads| Case { threads, ..Case::new(&table, Objective::Binary) }.fit(&params))
        .collect();
    assert!(models[0] == models[1] && models[1] == models[2]);
}

#[test]
fn rows_that_say_nothing_are_refused_and_constant_ones_give_the_base() {
    let constant = table(vec![Column::Numeric(vec![1.0; 50])], (0..50_u8).map(|row| f32::from(row % 2)).collect());
    let model = Case::new(&constant, Objective::Binary).fit(&GbdtParams::default());
    assert_eq!(model.n_rounds(), 0);
    assert!((model.predict(&constant, &[0])[1] - 0.5).abs() < 1e-6);
    let one_class = Table { target: vec![1.0; 50], classes: vec!["0".to_owned(), "1".to_owned()], ..constant };
    let rows = all_rows(&one_class);
    let problem = Problem {
        table: &one_class,
        objective: Objective::Binary,
        monotone: &[0],
        train: &rows,
        validation: &[],
        threads: 1,
    };
    assert_eq!(
        fit(&problem, &GbdtParams::default(), |_, _| {}).unwrap_err(),
        FitError::OneClass { label: "1".to_owned() }
    );
}
