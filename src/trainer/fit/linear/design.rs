//! Rows as the linear model sees them: numbers imputed with the median and standardised, levels one-hot.

use std::collections::HashMap;

use crate::trainer::data::{Categories, Column, MISSING_LEVEL, Table};

use super::{Encoding, LinearParams};

impl Encoding {
    /// Learns the encoding of `column` from `rows`, its coefficients from `first` on.
    pub(super) fn fit(column: &Column, table: &Table, rows: &[u32], params: &LinearParams, first: usize) -> Self {
        match column {
            Column::Numeric(values) => Self::fit_numeric(values, table, rows, first),
            Column::Categorical(categories) => Self::fit_levels(categories, rows, params.min_rows_level, first),
        }
    }

    #[expect(clippy::cast_possible_truncation, reason = "the graph computes in 32 bits")]
    fn fit_numeric(values: &[f32], table: &Table, rows: &[u32], first: usize) -> Self {
        let finite = |&&row: &&u32| values[row as usize].is_finite();
        let mut seen: Vec<f32> = rows.iter().filter(finite).map(|&row| values[row as usize]).collect();
        let middle = seen.len() / 2;
        let median = if seen.is_empty() { 0.0 } else { *seen.select_nth_unstable_by(middle, f32::total_cmp).1 };
        let filled = |row: u32| {
            let value = values[row as usize];
            f64::from(if value.is_finite() { value } else { median })
        };
        let weighted = || rows.iter().map(|&row| (filled(row), f64::from(table.weight(row as usize))));
        let total: f64 = weighted().map(|(_, weight)| weight).sum();
        let mean = weighted().map(|(value, weight)| value * weight).sum::<f64>() / total;
        let variance = weighted().map(|(value, weight)| weight * (value - mean).powi(2)).sum::<f64>() / total;
        // A constant column keeps its scale: after centring it is 0 everywhere.
        let sd = if variance.sqrt() > 1e-9 * mean.abs().max(1e-12) { variance.sqrt() } else { 1.0 };
        Self::Numeric { median, mean: mean as f32, sd: (sd as f32).max(f32::MIN_POSITIVE), coefficient: first }
    }

    fn fit_levels(categories: &Categories, rows: &[u32], min_rows: usize, first: usize) -> Self {
        let mut counts = vec![0_usize; categories.levels.len()];
        for &row in rows {
            let code = categories.codes[row as usize];
            if code != MISSING_LEVEL {
                counts[code as usize] += 1;
            }
        }
        let seen = categories.levels.iter().zip(counts).filter(|&(_, count)| min_rows.max(1) <= count);
        let mut levels: Vec<String> = seen.map(|(level, _)| level.clone()).collect();
        levels.sort();
        Self::OneHot { levels, coefficient: first }
    }

    /// How many coefficients it has.
    pub fn width(&self) -> usize {
        match self {
            Self::Numeric { .. } => 1,
            Self::OneHot { levels, .. } => levels.len(),
        }
    }
}

/// The rows of a table as sparse vectors: for each feature, the place of its one coefficient and the value there.
pub(super) struct Design<'a> {
    sources: Vec<Source<'a>>,
}

enum Source<'a> {
    Numeric {
        values: &'a [f32],
        median: f32,
        mean: f32,
        sd: f32,
        coefficient: usize,
    },
    /// The coefficient of each of the table's codes.
    Levels {
        codes: &'a [u32],
        coefficients: Vec<Option<usize>>,
    },
    /// The table's column is of the other kind: nothing to see.
    Nothing,
}

impl<'a> Design<'a> {
    pub(super) fn new(encodings: &'a [Encoding], table: &'a Table) -> Self {
        let mut sources = Vec::with_capacity(encodings.len());
        for (encoding, column) in encodings.iter().zip(&table.features) {
            sources.push(match (encoding, column) {
                (&Encoding::Numeric { median, mean, sd, coefficient }, Column::Numeric(values)) => {
                    Source::Numeric { values, median, mean, sd, coefficient }
                }
                (Encoding::OneHot { levels, coefficient }, Column::Categorical(categories)) => {
                    let places: HashMap<&str, usize> = levels.iter().map(String::as_str).zip(*coefficient..).collect();
                    let place = |level: &String| places.get(level.as_str()).copied();
                    let coefficients = categories.levels.iter().map(place).collect();
                    Source::Levels { codes: &categories.codes, coefficients }
                }
                _ => Source::Nothing,
            });
        }
        Self { sources }
    }

    /// The entries of `row` that are not 0, without the intercept's.
    pub(super) fn row(&self, row: u32, entries: &mut Vec<(usize, f64)>) {
        entries.clear();
        let row = row as usize;
        for source in &self.sources {
            match source {
                Source::Numeric { values, median, mean, sd, coefficient } => {
                    // In 32 bits, as the graph computes it. Infinite values are imputed too.
                    let value = if values[row].is_finite() { values[row] } else { *median };
                    entries.push((*coefficient, f64::from((value - mean) / sd)));
                }
                Source::Levels { codes, coefficients } => {
                    if let Some(Some(place)) = coefficients.get(codes[row] as usize) {
                        entries.push((*place, 1.0));
                    }
                }
                Source::Nothing => {}
            }
        }
    }
}
