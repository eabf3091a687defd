//! The twenty reference cases of `tests/cases/drift`: scipy's numbers, and the right verdicts.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use super::*;

/// Columns that the verdicts assume to be watched together.
const K: usize = 30;

struct Case {
    id: String,
    expected: Value,
    profile: ColumnProfile,
    counts: ColumnCounts,
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/cases/drift")
}

fn read(name: &str) -> Value {
    serde_json::from_str(&fs::read_to_string(folder().join(name)).unwrap()).unwrap()
}

fn cases() -> Vec<Case> {
    let json = read("cases.json");
    let cases: Vec<Case> = json["cases"].as_object().unwrap().values().map(load).collect();
    assert_eq!(cases.len(), 20);
    cases
}

fn load(expected: &Value) -> Case {
    let id = expected["id"].as_str().unwrap().to_owned();
    let text = fs::read_to_string(folder().join(format!("{id}.csv"))).unwrap();
    let values = |sample: &str| -> Vec<String> {
        let lines = text.lines().skip(1).map(|line| line.split_once(',').unwrap());
        lines.filter(|(of, _)| *of == sample).map(|(_, value)| value.to_owned()).collect()
    };
    let (reference, current) = (values("ref"), values("cur"));
    let (profile, counts) = if expected["kind"] == "numeric" {
        let number = |text: &String| if text.is_empty() { f64::NAN } else { text.parse().unwrap() };
        let reference: Vec<f64> = reference.iter().map(number).collect();
        let current: Vec<f64> = current.iter().map(number).collect();
        let profile = column_of_numbers(&id, &reference);
        let mut counts = ColumnCounts::zero(&profile);
        counts.count_numbers(&profile, &current);
        (profile, counts)
    } else {
        let profile = column_of_levels(&id, &reference);
        let mut counts = ColumnCounts::zero(&profile);
        counts.count_levels(&profile, &current);
        (profile, counts)
    };
    Case { id, expected: expected.clone(), profile, counts }
}

fn counts_of(value: &Value) -> Vec<u64> {
    value.as_array().unwrap().iter().map(|count| count.as_u64().unwrap()).collect()
}

/// Within 1e-9 relative; what is zero up to rounding (1e-15) counts as zero.
#[track_caller]
fn close(id: &str, what: &str, got: f64, expected: &Value) {
    let expected = expected.as_f64().unwrap();
    let is_close = (got - expected).abs() <= 1e-9 * expected.abs() + 1e-15;
    let is_tiny_too = expected >= 1e-12 || (got - expected).abs() <= 1e-9 * expected.abs() || expected.abs() < 1e-300;
    assert!(is_close && (what != "p" || is_tiny_too), "{id}: {what}: expected {expected:e}, got {got:e}");
}

#[test]
fn edges_counts_and_quality_are_exact() {
    for Case { id, expected, profile, counts } in cases() {
        let quality = |name: &str| expected["quality"][name].as_u64().unwrap();
        let bins = match &profile.reference {
            Reference::Numeric(numeric) => {
                let edges: Vec<f64> =
                    expected["q10"]["edges"].as_array().unwrap().iter().map(|edge| edge.as_f64().unwrap()).collect();
                // Up to the last place, in which the JSON parser of this test may err; the counts are exact.
                assert_eq!(numeric.edges.len(), edges.len(), "{id}");
                let same = |(got, want): (&f64, &f64)| (got - want).abs() <= f64::EPSILON * want.abs();
                assert!(numeric.edges.iter().zip(&edges).all(same), "{id}");
                let below = (counts.below_min, counts.above_max, counts.invalid);
                let names = ["cur_below_ref_min", "cur_above_ref_max", "cur_inf"].map(quality);
                assert_eq!([below.0, below.1, below.2], names, "{id}");
                &expected["q10"]
            }
            Reference::Categorical(categorical) => {
                let levels: Vec<_> = expected["levels"]["levels"].as_array().unwrap().iter().collect();
                assert_eq!(categorical.levels.len(), levels.len(), "{id}");
                assert!(categorical.levels.iter().zip(levels).all(|(got, want)| want == got), "{id}");
                assert_eq!(counts.unseen, quality("cur_unseen_values"), "{id}");
                &expected["levels"]
            }
        };
        assert_eq!(profile.counts(), counts_of(&bins["ref_counts"]), "{id}");
        assert_eq!(counts.bins, counts_of(&bins["cur_counts"]), "{id}");
        assert_eq!([profile.missing, counts.missing], ["ref_missing", "cur_missing"].map(quality), "{id}");
    }
}

#[test]
fn statistics_equal_scipys_on_every_binning() {
    for Case { id, expected, .. } in cases() {
        for bins in
            ["q10", "q20", "ew10", "levels", "top20"].map(|name| &expected[name]).iter().filter(|b| b.is_object())
        {
            let (r, w) = (counts_of(&bins["ref_counts"]), counts_of(&bins["cur_counts"]));
            close(&id, "psi", psi(&r, &w), &bins["psi_jeffreys"]);
            close(&id, "bias", psi_bias(&r, &w), &bins["psi_null_bias"]);
            close(&id, "js", js_distance(&r, &w), &bins["js_distance_base2"]);
            close(&id, "hellinger", hellinger(&r, &w), &bins["hellinger"]);
            close(&id, "l_infinity", l_infinity(&r, &w), &bins["l_infinity"]);
            close(&id, "ks", ks_on_bins(&r, &w), &bins["ks_on_bins"]);
            let chi2 = chi_square(&r, &w);
            close(&id, "chi2", chi2.statistic, &bins["chi2_stat"]);
            close(&id, "p", chi2.p, &bins["chi2_p"]);
            assert_eq!(chi2.dof as u64, bins["chi2_dof"].as_u64().unwrap(), "{id}");
        }
    }
}

#[test]
fn moments_equal_numpys() {
    for Case { id, expected, profile, counts } in cases() {
        let Reference::Numeric(reference) = &profile.reference else { continue };
        let moments = &expected["moments"];
        close(&id, "mean", reference.mean, &moments["ref_mean"]);
        close(&id, "sd", reference.sd, &moments["ref_std_pop"]);
        let report = assess(&profile, &counts, &Thresholds::default(), K);
        // A value of 1e9 is cut, so that it cannot hide the others.
        let (Some(shift), Some(_), false) = (report.mean_shift, report.sd_shift, id == "n12_outlier_null") else {
            continue;
        };
        let mean = moments["cur_mean"].as_f64().unwrap();
        let got = shift * reference.sd + reference.mean;
        assert!((got - mean).abs() <= 1e-9 * mean.abs().max(reference.sd), "{id}: {got} {mean}");
        let sd = moments["cur_std_pop"].as_f64().unwrap();
        let got = (report.sd_shift.unwrap() + 1.0) * reference.sd;
        assert!((got - sd).abs() <= 1e-9 * sd, "{id}: {got} {sd}");
    }
}

#[test]
fn verdicts_and_alarms_are_the_right_ones() {
    let verdicts = read("verdicts.json");
    for Case { id, profile, counts, .. } in cases() {
        let expected = &verdicts[&id];
        let report = assess(&profile, &counts, &Thresholds::default(), K);
        let status = match report.status {
            Status::InsufficientData => "insufficient",
            Status::Ok => "ok",
            Status::Warn => "warn",
            Status::Critical => "critical",
        };
        assert_eq!(expected["verdict_k30"], status, "{id}");
        close(&id, "psi_corrected", report.psi_corrected, &expected["psi_corrected"]);
        close(&id, "p", report.p, &expected["p"]);
        let mut alarms: Vec<String> = report.alarms.iter().map(named).collect();
        alarms.sort();
        assert_eq!(expected["quality"], Value::from(alarms), "{id}");
    }
}

fn named(alarm: &Alarm) -> String {
    match alarm.kind {
        AlarmKind::Missing => "missing".to_owned(),
        AlarmKind::Invalid => "invalid".to_owned(),
        AlarmKind::OutOfRange => "out_of_range".to_owned(),
        AlarmKind::Unseen => format!("unseen {:.4}", alarm.rate),
    }
}

/// Standard normal numbers from a seed (splitmix64 and the polar method).
struct Normal(u64);

impl Normal {
    fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn next(&mut self) -> f64 {
        loop {
            let (u, v) = (2.0 * self.uniform() - 1.0, 2.0 * self.uniform() - 1.0);
            let s = u * u + v * v;
            if s > 0.0 && s < 1.0 {
                return u * (-2.0 * s.ln() / s).sqrt();
            }
        }
    }

    fn sample(&mut self, n: usize, shift: f64) -> Vec<f64> {
        (0..n).map(|_| self.next() + shift).collect()
    }
}

/// How many of `n_windows` windows of 1,000 rows flag any of `n_columns` columns, each with its own reference.
fn flagged(n_windows: usize, n_columns: usize, shift: f64) -> usize {
    let mut normal = Normal(7);
    let profiles: Vec<_> = (0..n_columns).map(|_| column_of_numbers("x", &normal.sample(5000, 0.0))).collect();
    let mut warns = |profile: &ColumnProfile| {
        let mut counts = ColumnCounts::zero(profile);
        counts.count_numbers(profile, &normal.sample(1000, shift));
        Status::Warn <= assess(profile, &counts, &Thresholds::default(), K).status
    };
    (0..n_windows).filter(|_| profiles.iter().filter(|profile| warns(profile)).count() > 0).count()
}

#[test]
fn windows_without_drift_are_hardly_ever_flagged() {
    let flagged = flagged(1000, 30, 0.0);
    assert!(flagged <= 20, "{flagged} of 1000");
}

#[test]
fn a_shift_of_half_a_standard_deviation_is_found() {
    let flagged = flagged(1000, 1, 0.5);
    assert!(990 <= flagged, "{flagged} of 1000");
}
