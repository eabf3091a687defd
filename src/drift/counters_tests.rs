use proptest::prelude::*;

use super::super::lanes::BLOCK;
use super::super::{
    ColumnCounts, PredictionColumn, ProfileBuilder, column_of_levels, column_of_numbers, prediction_column,
};
use super::*;
use crate::model::{Feature, TensorSpec};
use crate::tensor::{Data, Dtype, NamedTensor};

/// Two numbers in one input, a string, a number as a level; a classifier with two classes.
fn signature() -> Signature {
    let spec =
        |name: &str, datatype, width| TensorSpec { name: name.to_owned(), datatype, shape: vec![None, Some(width)] };
    let feature = |name: &str, kind, input: &str, column| Feature {
        name: name.to_owned(),
        kind,
        input: input.to_owned(),
        column,
        optional: false,
        levels: Vec::new(),
        min: None,
        max: None,
    };
    Signature {
        inputs: vec![spec("x", Dtype::Fp32, 2), spec("carrier", Dtype::String, 1), spec("stop", Dtype::Int64, 1)],
        outputs: vec![spec("label", Dtype::Int64, 1), spec("p", Dtype::Fp32, 2)],
        features: vec![
            feature("carrier", FeatureKind::Categorical, "carrier", 0),
            feature("a", FeatureKind::Numeric, "x", 0),
            feature("b", FeatureKind::Numeric, "x", 1),
            feature("stop", FeatureKind::Categorical, "stop", 0),
        ],
        classes: vec!["no".to_owned(), "yes".to_owned()],
        maps: Vec::new(),
    }
}

type Row = (f32, f32, String, i64, f32);

fn batch(rows: &[Row]) -> (Checked, Vec<Tensor>) {
    let n = rows.len();
    let xs = rows.iter().flat_map(|row| [row.0, row.1]).collect();
    let tensors = [
        ("x", Tensor::new(vec![n, 2], Data::Fp32(xs)).unwrap()),
        ("carrier", Tensor::column(Data::String(rows.iter().map(|row| row.2.clone()).collect()))),
        ("stop", Tensor::column(Data::Int64(rows.iter().map(|row| row.3).collect()))),
    ];
    let inputs = tensors.map(|(name, tensor)| NamedTensor { name: name.to_owned(), tensor });
    let probabilities = rows.iter().flat_map(|row| [1.0 - row.4, row.4]).collect();
    let outputs = vec![
        Tensor::column(Data::Int64(rows.iter().map(|row| i64::from(row.4 > 0.5)).collect())),
        Tensor::new(vec![n, 2], Data::Fp32(probabilities)).unwrap(),
    ];
    (signature().check(inputs.into()).unwrap(), outputs)
}

fn row() -> impl Strategy<Value = Row> {
    let number = prop_oneof![
        8 => (-20_i8..20).prop_map(f32::from),
        2 => -20.0_f32..20.0,
        1 => prop::sample::select(vec![f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 1e30]),
    ];
    let level = prop::sample::select(vec!["", "AA", "UA", "DL", "B6"]).prop_map(str::to_owned);
    (number.clone(), number, level, -3_i64..30, 0.0_f32..1.0)
}

/// The counts that the cold path gives for a column.
fn counted(profile: &ColumnProfile, rows: &[Row]) -> ColumnCounts {
    let mut counts = ColumnCounts::zero(profile);
    let mut numbers = |value: fn(&Row) -> f32| {
        let values: Vec<f64> = rows.iter().map(|row| f64::from(value(row))).collect();
        counts.count_numbers(profile, &values);
    };
    match profile.name.as_str() {
        "a" => numbers(|row| row.0),
        "b" => numbers(|row| row.1),
        PREDICTION => numbers(|row| row.4),
        "carrier" => counts.count_levels(profile, &rows.iter().map(|row| row.2.clone()).collect::<Vec<_>>()),
        _ => counts.count_levels(profile, &rows.iter().map(|row| row.3.to_string()).collect::<Vec<_>>()),
    }
    counts
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn the_hot_path_counts_what_the_cold_path_counts(
        reference in prop::collection::vec(row(), 1..120),
        batches in prop::collection::vec((prop::collection::vec(row(), 1..40), 0_usize..3), 1..6),
    ) {
        let mut builder = ProfileBuilder::new(&signature());
        let (inputs, outputs) = batch(&reference);
        builder.push(&inputs, &outputs);
        let profile = builder.finish().unwrap();
        prop_assert_eq!(profile.n_rows(), reference.len() as u64);
        let counters = Counters::new(&profile, &signature()).unwrap();
        let mut tallies = [0; 3].map(|_| counters.tally());
        let mut n_counted = 0;
        for (rows, shard) in &batches {
            let (inputs, outputs) = batch(rows);
            n_counted += counters.observe(&mut tallies[*shard], &inputs, &outputs);
        }
        let rows: Vec<Row> = batches.into_iter().flat_map(|(rows, _)| rows).collect();
        prop_assert!(n_counted <= rows.len() && rows.len() < n_counted + 3 * BLOCK);
        let mut counts = Counts::zero(&profile);
        tallies.iter_mut().for_each(|tally| counts.add(&counters.counts(tally)));
        prop_assert_eq!(counts.rows, rows.len() as u64);
        for (profile, got) in profile.columns().iter().zip(&counts.columns) {
            let expected = counted(profile, &rows);
            let close = |got: f64, want: f64| (got - want).abs() <= 1e-9 * want.abs().max(1.0);
            prop_assert!(close(got.sum_z, expected.sum_z) && close(got.sum_z2, expected.sum_z2));
            let got = ColumnCounts { sum_z: expected.sum_z, sum_z2: expected.sum_z2, ..got.clone() };
            prop_assert_eq!(got, expected, "{}", profile.name);
        }
    }
}

#[test]
fn a_built_profile_has_each_feature_and_the_prediction() {
    let rows: Vec<Row> = (0..50_u8).map(|i| (f32::from(i), 1.0, "AA".to_owned(), 3, f32::from(i) / 50.0)).collect();
    let (inputs, outputs) = batch(&rows);
    let mut builder = ProfileBuilder::new(&signature());
    builder.push(&inputs, &outputs);
    let profile = builder.finish().unwrap();
    let names: Vec<_> = profile.columns().iter().map(|column| column.name.as_str()).collect();
    assert_eq!(names, ["carrier", "a", "b", "stop", PREDICTION]);
    let Some(PredictionColumn::Numeric(values)) = prediction_column(&signature(), &outputs) else { unreachable!() };
    assert_eq!(profile.column(PREDICTION), Some(&column_of_numbers(PREDICTION, &values)));
    assert_eq!(profile.column("stop"), Some(&column_of_levels("stop", &vec!["3"; 50])));
}

#[test]
fn a_bounded_sample_keeps_its_size_and_takes_from_everywhere() {
    let mut builder = ProfileBuilder::sample(&signature(), 100, 1);
    for i in 0..2000_u16 {
        let (inputs, outputs) = batch(&[(f32::from(i), 0.0, String::new(), 0, 0.5)]);
        builder.push(&inputs, &outputs);
    }
    assert_eq!((builder.len(), builder.n_seen()), (100, 2000));
    let profile = builder.finish().unwrap();
    let Reference::Numeric(reference) = &profile.column("a").unwrap().reference else { unreachable!() };
    assert!((700.0..1300.0).contains(&reference.mean), "{}", reference.mean);
}

#[test]
fn a_profile_of_another_model_is_refused() {
    let check = |column: ColumnProfile, expected: &str| {
        let profile = Profile::new(3, vec![column]).unwrap();
        let error = Counters::new(&profile, &signature()).unwrap_err().to_string();
        assert_eq!(error, expected);
    };
    let advice = "make the profile again from this version's own data";
    check(column_of_numbers("z", &[1.0]), &format!("profile column \"z\": expected the name of a feature; {advice}"));
    check(
        column_of_numbers("carrier", &[1.0]),
        &format!("profile column \"carrier\": expected the kind of the signature's feature; {advice}"),
    );
    check(
        column_of_levels(PREDICTION, &["a"]),
        &format!("profile column \"__prediction__\": expected the kind of the signature's prediction; {advice}"),
    );
}
