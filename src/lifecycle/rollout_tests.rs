use super::*;

/// A challenger that has done well for long enough.
fn good(mode: Mode, step: u32) -> Evidence {
    Evidence {
        mode,
        step: Some(step),
        in_step: Duration::from_secs(3_600),
        compared: Compared {
            requests: 2_000,
            rows: 2_000,
            agreed: 1_950,
            difference_mean: 0.02,
            pairs: 300,
            slower: 3,
            latency_ratio: Some(1.1),
            latency_ms: Some([1.0, 1.1]),
            canary_answered: 2_000,
            ..Compared::default()
        },
        drift: [Status::Ok, Status::Ok],
    }
}

fn changed(mode: Mode, change: impl FnOnce(&mut Compared)) -> Evidence {
    let mut evidence = good(mode, 1);
    change(&mut evidence.compared);
    evidence
}

#[track_caller]
fn check(evidence: &Evidence, expected: &str) {
    let decision = match decide(&RolloutPolicy::default(), evidence) {
        Decision::Wait(why) => format!("wait: {why}"),
        Decision::Advance(step, _) => format!("advance to {step}"),
        Decision::Activate(_) => "activate".to_owned(),
        Decision::RollBack(why) => format!("roll back: {why}"),
    };
    assert!(decision.starts_with(expected), "{decision}");
}

#[test]
fn a_good_challenger_goes_from_step_to_step_and_becomes_the_champion() {
    check(&good(Mode::Shadow, 1), "advance to 2");
    check(&good(Mode::Canary, 2), "advance to 3");
    check(&good(Mode::Canary, 3), "advance to 4");
    check(&good(Mode::Canary, 4), "activate");
    let by_hand = Evidence { step: None, ..good(Mode::Canary, 1) };
    check(&by_hand, "wait: a person decides");
}

#[test]
fn a_step_waits_for_its_rows_and_its_time() {
    check(&changed(Mode::Shadow, |c| (c.rows, c.agreed) = (999, 999)), "wait: 999 of 1000 rows");
    check(&Evidence { in_step: Duration::from_secs(59), ..good(Mode::Shadow, 1) }, "wait: 59 of 60 s");
}

#[test]
fn a_step_that_takes_too_long_is_given_up() {
    let mut policy = RolloutPolicy::default();
    policy.steps[0].time_max = Some(Duration::from_secs(600));
    let slow = changed(Mode::Shadow, |c| (c.rows, c.agreed) = (999, 999));
    let why = "no decision within 600 s: 999 of 1000 rows compared".to_owned();
    assert_eq!(decide(&policy, &slow), Decision::RollBack(why));
    let early = Evidence { in_step: Duration::from_secs(599), ..slow };
    assert!(matches!(decide(&policy, &early), Decision::Wait(_)));
    assert!(matches!(decide(&policy, &good(Mode::Shadow, 1)), Decision::Advance(2, _)));
}

#[test]
fn errors_are_found_in_shadow_and_in_canary() {
    check(&changed(Mode::Shadow, |c| c.failed = 100), "roll back: errors: failed on 100 of 2100 requests");
    check(&changed(Mode::Canary, |c| c.canary_rescued = 100), "roll back: errors");
    check(&changed(Mode::Canary, |c| c.canary_failed = 100), "roll back: errors");
    // The first failure may be chance, the second in a row is not.
    let first = |failed| Compared { failed, ..Compared::default() };
    check(&Evidence { compared: first(1), ..good(Mode::Shadow, 1) }, "wait");
    check(&Evidence { compared: first(2), ..good(Mode::Shadow, 1) }, "roll back: errors: failed on 2 of 2");
    // One in a hundred is allowed.
    check(&changed(Mode::Shadow, |c| c.failed = 20), "advance to 2");
}

#[test]
fn disagreement_is_found_and_a_few_rows_do_not_decide() {
    check(&changed(Mode::Shadow, |c| c.agreed = 1_000), "roll back: disagreement: 1000 of 2000 rows");
    check(&changed(Mode::Shadow, |c| (c.requests, c.rows, c.agreed) = (1, 100, 0)), "wait");
    check(&changed(Mode::Shadow, |c| (c.requests, c.rows, c.agreed) = (5, 5, 0)), "roll back");
    // A little below the limit: neither good enough nor surely bad.
    check(&changed(Mode::Shadow, |c| c.agreed = 1_795), "wait: undecided: disagreement: 1795 of 2000");
}

#[test]
fn a_slower_challenger_is_found_by_pairs_and_an_outlier_is_no_reason() {
    let slow = |pairs, slower, ratio| {
        changed(Mode::Canary, |c| (c.pairs, c.slower, c.latency_ratio) = (pairs, slower, Some(ratio)))
    };
    check(&slow(300, 290, 10.0), "roll back: latency: 10.00 times the champion's");
    check(&slow(13, 13, 10.0), "roll back: latency");
    check(&slow(8, 8, 10.0), "wait: undecided: latency");
    check(&slow(300, 155, 2.01), "wait: undecided: latency");
    check(&slow(300, 100, 1.9), "advance to 2");
}

#[test]
fn a_drift_that_the_champion_does_not_show_is_a_reason() {
    let drifted = |champion, challenger| Evidence { drift: [champion, challenger], ..good(Mode::Canary, 2) };
    check(&drifted(Status::Ok, Status::Critical), "roll back: drift: of the challenger's predictions critical");
    check(&drifted(Status::Ok, Status::Warn), "advance");
    check(&drifted(Status::Critical, Status::Critical), "advance");
    check(&drifted(Status::InsufficientData, Status::InsufficientData), "advance");
}

#[test]
fn the_mean_difference_is_held_to_its_limit_where_there_is_one() {
    let mut policy = RolloutPolicy::default();
    policy.conditions.mean_difference_max = Some(0.05);
    let far = changed(Mode::Shadow, |c| c.difference_mean = 0.5);
    assert!(matches!(decide(&policy, &far), Decision::RollBack(why) if why.starts_with("difference: 0.5000")));
    let near = changed(Mode::Shadow, |c| c.difference_mean = 0.06);
    assert!(matches!(decide(&policy, &near), Decision::Wait(_)));
}

/// Ten thousand looks at each of a thousand challengers that are exactly as bad as they may be.
#[test]
fn a_challenger_at_the_limit_is_rolled_back_by_chance_in_one_of_a_thousand_rollouts_at_most() {
    let mut state = 7_u64;
    let mut uniform = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        f64::from(u32::try_from(state >> 33).unwrap()) / f64::from(1_u32 << 31)
    };
    for limit in [0.01, 0.1, 0.5] {
        let mut wrong = 0;
        for _ in 0..1_000 {
            let mut k = 0;
            // Looking less often misses only false alarms that vanish again.
            let alarmed = (1..=2_000_u64).any(|n| {
                k += u64::from(uniform() < limit);
                (n < 50 || n.is_multiple_of(10)) && exceeds(k, n, limit)
            });
            wrong += u32::from(alarmed);
        }
        // One is expected at most; six come by chance in one of a thousand runs of this test's fixed numbers.
        assert!(wrong <= 5, "{wrong} of 1,000 at {limit}");
    }
}

#[test]
fn a_new_champion_goes_back_where_it_does_much_worse_than_the_one_before() {
    let limits = Conditions::default();
    let old = Record { requests: 10_000, failed: 10, runs: 10_000, rows: 10_000, seconds: 10.0 };
    let fine = [Status::Ok, Status::Ok];
    assert_eq!(after(&limits, [old, old], fine), None);
    let failing = Record { failed: 900, ..old };
    assert!(after(&limits, [old, failing], fine).unwrap().starts_with("errors"));
    assert_eq!(after(&limits, [failing, failing], fine), None);
    let slow = Record { seconds: 50.0, ..old };
    assert!(after(&limits, [old, slow], fine).unwrap().starts_with("latency: the new champion takes 5.00"));
    // Larger batches take longer, and a row of them less.
    assert_eq!(after(&limits, [old, Record { rows: 100_000, ..slow }], fine), None);
    assert_eq!(after(&limits, [old, Record { runs: 10, rows: 10, ..slow }], fine), None);
    assert!(after(&limits, [old, old], [Status::Ok, Status::Critical]).unwrap().starts_with("drift"));
}
