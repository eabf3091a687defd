//! What a column does by itself, by the size of the window: the rungs of its calibration.
//!
//! A day of weather differs from the year's far more than a month does, so no one threshold is right for windows of all
//! sizes. Each rung says how far windows of its rows went during training; between the rungs it is interpolated.

use serde::{Deserialize, Serialize};

/// How far windows of so many rows differ from all the rest without drift.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rung {
    /// Rows of the window, missing values among them.
    pub rows: u64,
    /// The largest corrected PSI; `None` where too few values were there to say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub psi: Option<f64>,
    /// The largest change of the share of missing values.
    pub missing: f64,
}

/// What must hold of a column's rungs and does not.
pub(super) fn flaw(ladder: &[Rung]) -> Option<&'static str> {
    let is_sound = |rung: &Rung| rung.psi.is_none_or(f64::is_finite) && (0.0..=1.0).contains(&rung.missing);
    let ascending = ladder.windows(2).all(|pair| matches!(pair, [low, high] if low.rows < high.rows));
    if !ascending || ladder.first().is_some_and(|rung| rung.rows == 0) {
        return Some("calibrated rungs of ascending rows above 0");
    }
    (!ladder.iter().all(is_sound)).then_some("finite calibrated thresholds, and shares of missing values from 0 to 1")
}

/// The corrected PSI that a window of `rows` reaches by itself; 0 without a calibration.
pub(super) fn psi_at(ladder: &[Rung], rows: u64) -> f64 {
    at(ladder, rows, |rung| rung.psi)
}

/// The change of the share of missing values that a window of `rows` reaches by itself; 0 without a calibration.
pub(super) fn missing_at(ladder: &[Rung], rows: u64) -> f64 {
    at(ladder, rows, |rung| Some(rung.missing))
}

/// Linear in the logarithm of the rows, as the index of a window that lies in one bin is; level beyond both ends.
fn at(ladder: &[Rung], rows: u64, value: impl Fn(&Rung) -> Option<f64>) -> f64 {
    let mut below = None;
    for (size, value) in ladder.iter().filter_map(|rung| Some((rung.rows, value(rung)?))) {
        match below {
            _ if size <= rows => below = Some((size, value)),
            None => return value,
            Some((low, from)) => {
                let ln = |rows: u64| (rows as f64).ln();
                return from + (value - from) * (ln(rows) - ln(low)) / (ln(size) - ln(low));
            }
        }
    }
    below.map_or(0.0, |(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rung(rows: u64, psi: Option<f64>) -> Rung {
        Rung { rows, psi, missing: 0.0 }
    }

    #[test]
    fn between_rungs_the_threshold_is_interpolated_and_beyond_them_it_stays() {
        let ladder = [rung(100, None), rung(400, Some(4.0)), rung(1600, Some(2.0)), rung(3200, Some(1.0))];
        for (rows, expected) in [(50, 4.0), (400, 4.0), (800, 3.0), (1600, 2.0), (3200, 1.0), (1_000_000, 1.0)] {
            let got = psi_at(&ladder, rows);
            assert!((got - expected).abs() < 1e-9, "{rows}: {got}");
        }
        assert_eq!([psi_at(&[], 1000), psi_at(&ladder[..1], 1000)].map(f64::to_bits), [0, 0]);
    }

    #[test]
    fn rungs_that_contradict_themselves_are_told() {
        assert_eq!(flaw(&[rung(200, Some(1.0)), rung(400, None)]), None);
        assert!(flaw(&[rung(400, None), rung(400, None)]).is_some());
        assert!(flaw(&[rung(0, None)]).is_some());
        assert!(flaw(&[rung(200, Some(f64::NAN))]).is_some());
        assert!(flaw(&[Rung { rows: 200, psi: None, missing: 1.5 }]).is_some());
    }
}
