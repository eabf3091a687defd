use std::collections::BTreeMap;

use proptest::prelude::*;

use super::super::{ColumnCounts, column_of_numbers};
use super::*;

fn profile() -> Profile {
    let values: Vec<f64> = (0..1000_u16).map(|i| f64::from(i % 100)).collect();
    Profile::new(1000, vec![column_of_numbers("x", &values)]).unwrap()
}

/// Counts of `rows` rows like the reference, moved up by `shift`.
fn counts(rows: u16, shift: u16) -> Counts {
    let profile = profile();
    let mut column = ColumnCounts::zero(&profile.columns()[0]);
    let values: Vec<f64> = (0..rows).map(|i| f64::from((i * 37) % 100 + shift)).collect();
    column.count_numbers(&profile.columns()[0], &values);
    Counts { rows: u64::from(rows), columns: vec![column] }
}

fn minutes(n: u64) -> Duration {
    Duration::from_secs(60 * n)
}

proptest! {
    #[test]
    fn a_time_window_is_the_sum_of_what_came_in_its_span(
        pushes in prop::collection::vec((0_u64..12, 0_u16..50), 1..60),
    ) {
        let span = "1h".parse::<WindowSpec>().unwrap();
        let mut windows = Windows::new(&[span], profile(), Thresholds::default());
        let (mut now, mut total) = (0, Counts::zero(&profile()));
        let mut came = BTreeMap::<u64, u64>::new();
        for (step, rows) in pushes {
            now += step;
            total.add(&counts(rows, 0));
            *came.entry(now / 5).or_default() += u64::from(rows);
            windows.push(minutes(now), total.clone());
            let expected: u64 = came.range((now / 5).saturating_sub(11)..).map(|(_, rows)| rows).sum();
            let (_, sum) = windows.sums().next().unwrap();
            prop_assert_eq!(sum.rows, expected);
            prop_assert_eq!(sum.columns[0].n(), expected);
            prop_assert_eq!(windows.reports()[0].rows, expected);
        }
    }

    #[test]
    fn a_window_that_holds_all_holds_the_totals(pushes in prop::collection::vec((0_u64..9, 0_u16..50, 0_u16..9), 1..30)) {
        let specs = ["24h".parse().unwrap(), "rows:1000000".parse().unwrap()];
        let mut windows = Windows::new(&specs, profile(), Thresholds::default());
        let (mut now, mut total) = (0, Counts::zero(&profile()));
        for (step, rows, shift) in pushes {
            now += step;
            total.add(&counts(rows, shift));
            windows.push(minutes(now), total.clone());
        }
        for (_, sum) in windows.sums() {
            let (got, want) = (&sum.columns[0], &total.columns[0]);
            prop_assert_eq!(sum.rows, total.rows);
            prop_assert_eq!(&got.bins, &want.bins);
            prop_assert_eq!(got.above_max, want.above_max);
            prop_assert!((got.sum_z - want.sum_z).abs() < 1e-6 && (got.sum_z2 - want.sum_z2).abs() < 1e-6);
        }
    }

    #[test]
    fn a_window_by_rows_has_about_its_number_of_rows(pushes in prop::collection::vec(0_u16..200, 1..200)) {
        let mut windows = Windows::new(&["rows:1200".parse().unwrap()], profile(), Thresholds::default());
        let mut total = Counts::zero(&profile());
        for rows in pushes {
            total.add(&counts(rows, 0));
            windows.push(Duration::ZERO, total.clone());
            let rows = windows.reports()[0].rows;
            // A piece closes at 100 rows and may hold what one push brings more; another may be open.
            prop_assert!(total.rows.min(1200) <= rows && rows < 1200 + 300 + 100, "{} of {}", rows, total.rows);
        }
    }
}

fn status(windows: &Windows) -> Status {
    windows.reports()[0].columns[0].status
}

/// Pushes rows that came at `minute`.
fn push(windows: &mut Windows, minute: u64, rows: u16, shift: u16) {
    let mut total = windows.total.clone();
    total.add(&counts(rows, shift));
    windows.push(minutes(minute), total);
}

#[test]
fn a_warning_must_come_in_two_windows_that_share_nothing_and_a_critical_shift_at_once() {
    let mut windows = Windows::new(&["1h".parse().unwrap()], profile(), Thresholds::default());
    push(&mut windows, 0, 100, 0);
    assert_eq!(status(&windows), Status::InsufficientData);
    push(&mut windows, 1, 900, 0);
    assert_eq!(status(&windows), Status::Ok);
    for minute in (60..180).step_by(5) {
        push(&mut windows, minute, 600, 8);
        let report = &windows.reports()[0];
        assert!(minute < 115 || report.rows == 7200 && report.columns[0].psi_corrected > 0.1);
        assert_eq!(status(&windows), if minute < 120 { Status::Ok } else { Status::Warn }, "{minute}");
    }
    push(&mut windows, 300, 600, 60);
    assert_eq!(status(&windows), Status::Critical);
}

#[test]
fn what_was_seen_long_ago_makes_no_warning_of_the_next() {
    let mut windows = Windows::new(&["1h".parse().unwrap()], profile(), Thresholds::default());
    for minute in [0, 5, 200, 205, 255] {
        push(&mut windows, minute, 600, 8);
        assert!(windows.reports()[0].columns[0].psi_corrected > 0.1);
        assert_eq!(status(&windows), Status::Ok, "{minute}");
    }
    push(&mut windows, 260, 600, 8);
    assert_eq!(status(&windows), Status::Warn, "after the window that ended at 205");
}

#[test]
fn a_window_by_rows_warns_when_the_one_before_it_did() {
    let thresholds = |warn_windows| Thresholds { warn_windows, ..Thresholds::default() };
    let first_warning = |warn_windows| {
        let mut windows = Windows::new(&["rows:1200".parse().unwrap()], profile(), thresholds(warn_windows));
        push(&mut windows, 0, 100, 0);
        for _ in 1..12 {
            push(&mut windows, 0, 100, 0);
        }
        (1..100).find(|_| {
            push(&mut windows, 0, 100, 8);
            status(&windows) == Status::Warn
        })
    };
    let once = first_warning(1).unwrap();
    assert!(once <= 12, "{once}");
    assert_eq!([2, 3].map(first_warning), [Some(once + 12), Some(once + 24)]);
}

#[test]
fn windows_read_back_and_nonsense_is_refused() {
    for text in ["1h", "24h", "7d", "90m", "45s", "rows:1000"] {
        assert_eq!(text.parse::<WindowSpec>().unwrap().to_string(), text);
    }
    for text in ["", "h", "1", "11s", "rows:11", "rows:", "-1h", "1é", "99999999999999999999d"] {
        assert!(text.parse::<WindowSpec>().is_err(), "{text}");
    }
}
