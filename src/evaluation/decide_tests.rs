use super::*;

/// Pseudo-random numbers in [0, 1) from a seed.
fn noise(n: usize, seed: u64) -> Vec<f64> {
    let mut state = seed;
    let next = |_| {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    };
    (0..n).map(next).collect()
}

/// A holdout of `n` rows; each model knows the true probability up to noise of the size given.
fn holdout(n: usize, champion: Option<f64>, challenger: f64) -> HoldoutPredictions {
    let truth = noise(n, 1);
    let labels = truth.iter().zip(noise(n, 2)).map(|(p, u)| u32::from(u < *p)).collect();
    let model = |size: f64, seed| {
        let noisy = truth.iter().zip(noise(n, seed)).map(|(p, u)| (p + size * (u - 0.5)).clamp(0.01, 0.99));
        Predictions::Probability(noisy.collect())
    };
    HoldoutPredictions {
        labels: Labels::Classes(labels),
        champion: champion.map(|size| model(size, 3)),
        challenger: model(challenger, 4),
        slices: BTreeMap::new(),
        clusters: None,
        facts: Facts::default(),
        digests: Digests::default(),
    }
}

fn gate(more: &str) -> Gate {
    Gate::parse(&format!("[primary]\nmetric = \"roc_auc\"\n{more}")).unwrap()
}

#[track_caller]
fn check(gate: &Gate, holdout: &HoldoutPredictions, expected: Verdict) -> Report {
    let report = decide(gate, holdout).unwrap();
    assert_eq!(report.verdict, expected, "{report}");
    report
}

#[test]
fn better_passes_worse_fails_and_alike_is_inconclusive() {
    let report = check(&gate(""), &holdout(3000, Some(1.5), 0.2), Verdict::Pass);
    let primary = report.checks.iter().find(|check| check.name == "primary roc_auc").unwrap();
    assert!(primary.ci_low < primary.delta && primary.delta < primary.ci_high);
    check(&gate(""), &holdout(3000, Some(0.2), 1.5), Verdict::Fail);
    check(&gate(""), &holdout(3000, Some(0.5), 0.5), Verdict::Inconclusive);
    check(&gate("rule = \"non_inferior\"\nmargin = 0.02"), &holdout(3000, Some(0.5), 0.5), Verdict::Pass);
}

#[test]
fn a_small_holdout_decides_nothing() {
    let report = check(&gate(""), &holdout(900, Some(2.0), 0.0), Verdict::Inconclusive);
    assert_eq!(report.checks[0].name, "holdout rows");
    assert_eq!(report.checks[0].verdict, Verdict::Inconclusive);
}

#[test]
fn a_first_version_must_reach_the_floor() {
    check(&gate("[floor]\nroc_auc = 0.6\nbeats_trivial = true"), &holdout(2000, None, 0.2), Verdict::Pass);
    check(&gate("[floor]\nroc_auc = 0.95"), &holdout(2000, None, 0.2), Verdict::Fail);
    check(&gate("[floor]\nlog_loss = 0.1"), &holdout(2000, None, 0.2), Verdict::Fail);
    let mut useless = holdout(2000, None, 0.2);
    useless.challenger = Predictions::Probability(noise(2000, 9));
    let report = decide(&gate("[floor]\nbeats_trivial = true"), &useless).unwrap();
    assert_ne!(report.verdict, Verdict::Pass, "{report}");
}

#[test]
fn a_guardrail_stops_a_better_ranking_with_worse_probabilities() {
    let mut holdout = holdout(3000, Some(1.0), 0.2);
    if let Predictions::Probability(values) = &mut holdout.challenger {
        values.iter_mut().for_each(|p| *p = p.powi(4));
    }
    check(&gate(""), &holdout, Verdict::Pass);
    let report = check(&gate("[[guardrail]]\nmetric = \"log_loss\"\nmax_worse_rel = 0.02"), &holdout, Verdict::Fail);
    let failed: Vec<_> = report.checks.iter().filter(|check| check.verdict == Verdict::Fail).collect();
    assert_eq!(failed.len(), 1);
    assert_eq!(failed[0].name, "guardrail log_loss");
}

#[test]
fn a_slice_that_gets_worse_fails_and_a_small_one_is_not_judged() {
    let mut holdout = holdout(4000, Some(1.0), 0.1);
    let origin = |row: usize| {
        if row < 10 {
            "tiny"
        } else if row.is_multiple_of(4) {
            "JFK"
        } else {
            "EWR"
        }
        .to_owned()
    };
    holdout.slices.insert("origin".to_owned(), (0..4000).map(origin).collect());
    let gate = gate("[[slice]]\ncolumn = \"origin\"\nmin_rows = 200\nmargin = 0.02");
    let report = check(&gate, &holdout, Verdict::Pass);
    assert!(report.notes.iter().any(|note| note == "slice origin=tiny: 10 rows, fewer than 200: not judged"));
    if let Predictions::Probability(values) = &mut holdout.challenger {
        values.iter_mut().enumerate().filter(|(row, _)| row.is_multiple_of(4)).for_each(|(_, p)| *p = 1.0 - *p);
    }
    let report = decide(&gate, &holdout).unwrap();
    let verdict = |name: &str| report.checks.iter().find(|check| check.name == name).unwrap().verdict;
    assert_eq!(verdict("slice origin=JFK"), Verdict::Fail, "{report}");
    assert_eq!(verdict("slice origin=EWR"), Verdict::Pass, "{report}");
    holdout.slices.clear();
    let error = decide(&gate, &holdout).unwrap_err().to_string();
    assert_eq!(error, "holdout: expected the column \"origin\" that gate.toml names; add it, or change the gate");
}

#[test]
fn rows_that_belong_together_widen_the_interval() {
    let single = holdout(400, Some(1.0), 0.5);
    let repeat = |values: &[f64]| Predictions::Probability(values.repeat(5));
    let mut holdout = single.clone();
    let (Labels::Classes(labels), Some(Predictions::Probability(a)), Predictions::Probability(b)) =
        (&single.labels, &single.champion, &single.challenger)
    else {
        unreachable!()
    };
    holdout.labels = Labels::Classes(labels.repeat(5));
    (holdout.champion, holdout.challenger) = (Some(repeat(a)), repeat(b));
    holdout.clusters = Some((0..2000).map(|row| (row % 400).to_string()).collect());
    let width = |gate: &Gate, holdout: &HoldoutPredictions| {
        let report = decide(gate, holdout).unwrap();
        let check = report.checks.iter().find(|check| check.name == "primary roc_auc").unwrap().clone();
        check.ci_high.unwrap() - check.ci_low.unwrap()
    };
    let clustered = gate("[holdout]\ncluster = \"customer\"");
    let (rows, together) = (width(&gate(""), &holdout), width(&clustered, &holdout));
    let honest = width(&gate(""), &single);
    assert!((together / honest - 1.0).abs() < 0.15, "{together} {honest}");
    assert!((rows / honest - 1.0 / 5.0_f64.sqrt()).abs() < 0.1, "{rows} {honest}");
}

#[test]
fn delong_and_the_bootstrap_agree() {
    let holdout = holdout(4000, Some(1.0), 0.5);
    let gate = gate("bootstrap = { reps = 4000 }");
    let report = decide(&gate, &holdout).unwrap();
    let drawn = report.checks.iter().find(|check| check.name == "primary roc_auc").unwrap();
    let (Labels::Classes(labels), Some(Predictions::Probability(a)), Predictions::Probability(b)) =
        (&holdout.labels, &holdout.champion, &holdout.challenger)
    else {
        unreachable!()
    };
    let is_positive: Vec<bool> = labels.iter().map(|&label| label == 1).collect();
    let formula = delong(&is_positive, a, b).unwrap();
    let (mean, sd) = (formula.second - formula.first, formula.variance.sqrt());
    assert!((mean - drawn.delta.unwrap()).abs() < 1e-12);
    // A 5 % quantile of 4,000 draws scatters by about 0.033 standard deviations.
    for (drawn, z) in [(drawn.ci_low, -1.644_85), (drawn.ci_high, 1.644_85)] {
        assert!((drawn.unwrap() - (mean + z * sd)).abs() < 0.15 * sd, "{drawn:?} {}", mean + z * sd);
    }
}

#[test]
fn a_large_holdout_is_compared_by_formula() {
    let rows = DELONG_ROWS + 1000;
    let report = check(&gate(""), &holdout(rows, Some(0.6), 0.5), Verdict::Pass);
    let primary = report.checks.iter().find(|check| check.name == "primary roc_auc").unwrap();
    let (low, mid, high) = (primary.ci_low.unwrap(), primary.delta.unwrap(), primary.ci_high.unwrap());
    assert!((mid - low - (high - mid)).abs() < 1e-12, "a normal interval is symmetric: {low} {mid} {high}");
}

#[test]
fn the_report_is_deterministic_and_reads_back() {
    let gate = gate("[[guardrail]]\nmetric = \"brier\"\nmax_worse_rel = 0.1");
    let holdout = holdout(1500, Some(1.0), 0.5);
    let report = decide(&gate, &holdout).unwrap();
    assert_eq!(decide(&gate, &holdout).unwrap(), report);
    let back: Report = serde_json::from_str(&serde_json::to_string(&report).unwrap()).unwrap();
    // The JSON parser may err in the last place of a float, so the text form is compared.
    assert_eq!(back.to_string(), report.to_string());
    let shown = report.to_string();
    assert!(shown.starts_with("PASS: roc_auc at 95 % confidence\n"), "{shown}");
    assert!(shown.contains("guardrail brier"), "{shown}");
}

#[test]
fn what_serving_measured_counts() {
    let mut holdout = holdout(2000, Some(1.5), 0.2);
    holdout.facts = Facts {
        age_days: Some(10.0),
        rows_in_training: Some(0),
        parity_mismatches: Some(0),
        p99_ratio: Some(1.2),
        size_ratio: Some(2.0),
        breaches: Some(Vec::new()),
    };
    let gate = gate("[holdout]\nmax_age_days = 90");
    assert!(check(&gate, &holdout, Verdict::Pass).notes.is_empty());
    let changed = |change: fn(&mut Facts)| {
        let mut holdout = holdout.clone();
        change(&mut holdout.facts);
        holdout
    };
    check(&gate, &changed(|facts| facts.age_days = Some(91.0)), Verdict::Inconclusive);
    check(&gate, &changed(|facts| facts.rows_in_training = Some(1)), Verdict::Fail);
    check(&gate, &changed(|facts| facts.parity_mismatches = Some(1)), Verdict::Fail);
    check(&gate, &changed(|facts| facts.p99_ratio = Some(1.6)), Verdict::Fail);
    check(&gate, &changed(|facts| facts.size_ratio = Some(3.1)), Verdict::Fail);
    check(&gate, &changed(|facts| facts.breaches = Some(vec!["input \"x\"".to_owned()])), Verdict::Fail);
}

#[test]
fn holm_steps_down() {
    assert_eq!(holm(&[0.01, 0.04, 0.02], 0.05), [true, true, true]);
    assert_eq!(holm(&[0.01, 0.04, 0.03], 0.05), [true, false, false]);
    assert_eq!(holm(&[0.06], 0.05), [false]);
}
