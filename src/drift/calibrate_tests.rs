use super::super::{ColumnCounts, ProfileBuilder, Status, Thresholds, assess};
use super::*;
use crate::model::{Feature, FeatureKind, TensorSpec};
use crate::tensor::{Data, Dtype, NamedTensor};

const NAMES: [&str; 3] = ["noise", "weather", "gauge"];
const DAY: u32 = 100;

fn signature() -> Signature {
    let feature = |(column, name): (usize, &str)| Feature {
        name: name.to_owned(),
        kind: FeatureKind::Numeric,
        input: "x".to_owned(),
        column,
        optional: true,
        levels: Vec::new(),
        min: None,
        max: None,
    };
    let spec = TensorSpec { name: "x".to_owned(), datatype: Dtype::Fp32, shape: vec![None, Some(3)] };
    Signature {
        inputs: vec![spec],
        outputs: Vec::new(),
        features: NAMES.into_iter().enumerate().map(feature).collect(),
        classes: Vec::new(),
        maps: Vec::new(),
    }
}

/// A number from 0 to 999 (splitmix64).
fn draw(of: u32) -> f32 {
    let mut z = u64::from(of).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    f32::from(u16::try_from((z ^ (z >> 31)) % 1000).unwrap())
}

/// One that knows no time, one that is the same for a whole day, one that is broken on every seventh.
fn row(row: u32) -> [f32; 3] {
    let day = row / DAY;
    [draw(row), draw(day + 1_000_000), if day.is_multiple_of(7) { f32::NAN } else { draw(row) }]
}

fn inputs(rows: &[[f32; 3]]) -> Checked {
    let tensor = Tensor::new(vec![rows.len(), 3], Data::Fp32(rows.as_flattened().to_vec())).unwrap();
    signature().check(vec![NamedTensor { name: "x".to_owned(), tensor }]).unwrap()
}

/// The profile of these rows, in the order of time.
fn calibrated(rows: &[[f32; 3]]) -> Profile {
    let mut builder = ProfileBuilder::new(&signature());
    builder.push(&inputs(rows), &[]);
    let profile = builder.finish().unwrap();
    let mut calibrator = Calibrator::new(&profile, &signature()).unwrap();
    for step in rows.chunks_exact(Calibrator::STEP) {
        calibrator.push(&inputs(step), &[]);
    }
    calibrator.finish(&profile).unwrap()
}

fn rungs(profile: &Profile, name: &str) -> Vec<Rung> {
    profile.column(name).unwrap().calibrated.clone()
}

fn year() -> Vec<[f32; 3]> {
    (0..400 * DAY).map(row).collect()
}

#[test]
fn the_rungs_double_up_to_spans_of_an_eighth_of_the_rows() {
    let profile = calibrated(&year());
    let rows: Vec<u64> = rungs(&profile, "noise").iter().map(|rung| rung.rows).collect();
    assert_eq!(rows, [400, 800, 1600, 3200, 6400]);
    assert_eq!(rungs(&calibrated(&year()[..1599]), "noise"), []);
    assert_eq!(rungs(&calibrated(&year()[..1600]), "noise").len(), 1);
}

#[test]
fn a_column_that_knows_no_time_keeps_the_fixed_threshold() {
    for Rung { rows, psi, missing } in rungs(&calibrated(&year()), "noise") {
        assert!(psi.unwrap() <= 0.1 && missing == 0.0, "{rows}: {psi:?} {missing}");
    }
}

#[test]
fn what_holds_for_a_day_allows_more_in_a_day_than_in_a_fortnight() {
    let psi: Vec<f64> = rungs(&calibrated(&year()), "weather").iter().map(|rung| rung.psi.unwrap()).collect();
    assert!(psi[0] > 5.0 && psi[4] < 0.5 * psi[0], "{psi:?}");
}

#[test]
fn every_day_of_the_reference_is_quiet_and_a_month_of_one_weather_is_not() {
    let rows = year();
    let profile = calibrated(&rows);
    let counted = |column: &ColumnProfile, place: usize, rows: &[[f32; 3]]| {
        let mut counts = ColumnCounts::zero(column);
        let values: Vec<f64> = rows.iter().map(|row| f64::from(row[place])).collect();
        counts.count_numbers(column, &values);
        counts
    };
    let judged = |place: usize, rows: &[[f32; 3]]| {
        let column = &profile.columns()[place];
        assess(column, &counted(column, place, rows), &Thresholds::default(), 3)
    };
    for place in 0..NAMES.len() {
        for size in [400, 1000, 3000, 6400] {
            for window in rows.windows(size).step_by(130) {
                let report = judged(place, window);
                assert!(report.status < Status::Warn, "{size}: {report:?}");
                assert_eq!(report.alarms, [], "{size}: {report:?}");
            }
        }
    }
    let hot = vec![[500.0, 999.0, f32::NAN]; 6400];
    assert_eq!(judged(1, &hot).status, Status::Critical);
    assert_eq!(judged(2, &hot).alarms.len(), 1, "missing for sixty-four days, not one");
}
