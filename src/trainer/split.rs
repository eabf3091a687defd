//! Which rows train, which stop the fit early, and which are held out.

use super::data::{Table, parse_time};
use super::pipeline::SplitSection;
use super::validation::unit;

/// Row numbers of a table, each list in rising order; no row is in two lists.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rows {
    /// Rows that the model is fitted to.
    pub train: Vec<u32>,
    /// Rows that stop the fit early.
    pub validation: Vec<u32>,
    /// Rows of the controlled holdout.
    pub holdout: Vec<u32>,
}

impl SplitSection {
    /// Splits the rows of `table`. Another `seed` chooses other validation rows in a split by time.
    pub fn rows(&self, table: &Table, seed: u64) -> Rows {
        match self {
            Self::Time { validation, validation_by, .. } => {
                let mut rows = self.by_time(table);
                (rows.train, rows.validation) = validation_by.part(table, rows.train, *validation, seed);
                rows
            }
            Self::Hash { holdout, seed, validation } => by_hash(table, *holdout, *seed, *validation),
        }
    }

    fn by_time(&self, table: &Table) -> Rows {
        let [from, until, holdout_from, holdout_until] = self.bounds();
        let mut rows = Rows::default();
        for (row, &time) in (0_u32..).zip(&table.times) {
            if from <= time && time < until {
                rows.train.push(row);
            } else if holdout_from <= time && time < holdout_until {
                rows.holdout.push(row);
            }
        }
        rows
    }

    /// `train_from`, `train_until`, `holdout_from`, `holdout_until`; validation has checked that they parse.
    fn bounds(&self) -> [i64; 4] {
        let Self::Time { train_from, train_until, holdout_from, holdout_until, .. } = self else {
            return [i64::MIN, i64::MIN, i64::MIN, i64::MIN];
        };
        let read = |text: &Option<String>| text.as_deref().and_then(|text| parse_time(text).ok());
        let until = parse_time(train_until).unwrap_or(i64::MIN);
        [
            read(train_from).unwrap_or(i64::MIN),
            until,
            read(holdout_from).unwrap_or(until),
            read(holdout_until).unwrap_or(i64::MAX),
        ]
    }

    /// Whether [`Self::rule`] gave this for a split by time.
    pub fn is_rule_by_time(rule: &str) -> bool {
        rule.starts_with("train: ")
    }

    /// The rule in words, for the manifest.
    pub fn rule(&self) -> String {
        match self {
            Self::Time { train_from, train_until, holdout_from, holdout_until, validation, validation_by } => {
                let from = train_from.as_ref().map_or_else(String::new, |from| format!("{from} <= "));
                let held_from = holdout_from.as_ref().unwrap_or(train_until);
                let until = holdout_until.as_ref().map_or_else(String::new, |until| format!(" < {until}"));
                let stop = validates(*validation, ", ", &format!(" {}", validation_by.words()));
                format!("train: {from}time < {train_until}{stop}; holdout: {held_from} <= time{until}")
            }
            Self::Hash { holdout, seed, validation } => {
                let stop = validates(*validation, "; of the rest ", "");
                format!("holdout: hash of the id below {holdout} (seed {seed}){stop}")
            }
        }
    }
}

fn validates(share: f64, before: &str, how: &str) -> String {
    if 0.0 < share { format!("{before}{share}{how} validates") } else { String::new() }
}

fn by_hash(table: &Table, holdout: f64, seed: u64, validation: f64) -> Rows {
    let mut rows = Rows::default();
    for (row, &id) in (0_u32..).zip(&table.ids) {
        if is_below(id, seed, holdout) {
            rows.holdout.push(row);
        } else if is_below(id, !seed, validation) {
            rows.validation.push(row);
        } else {
            rows.train.push(row);
        }
    }
    rows
}

/// Whether a split by hash holds the row with this id back.
pub fn is_held_out(id: &str, seed: u64, holdout: f64) -> bool {
    is_below(super::data::stable_hash(id.as_bytes(), 0), seed, holdout)
}

fn is_below(id: u64, seed: u64, share: f64) -> bool {
    unit(id, seed) < share
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trainer::ValidationBy;

    fn time_split(holdout_until: Option<&str>, validation: f64) -> SplitSection {
        SplitSection::Time {
            train_from: None,
            train_until: "80".to_owned(),
            holdout_from: None,
            holdout_until: holdout_until.map(str::to_owned),
            validation,
            validation_by: ValidationBy::Latest,
        }
    }

    #[test]
    fn the_latest_training_rows_validate_and_the_future_is_held_out() {
        let table = Table { times: (0..100).rev().collect(), ..Table::default() };
        let rows = time_split(Some("90"), 0.1).rows(&table, 1);
        assert_eq!((rows.train.len(), rows.validation.len(), rows.holdout.len()), (72, 8, 10));
        let latest = rows.train.iter().map(|&row| table.times[row as usize]).max();
        assert_eq!(latest, Some(71));
        assert!(rows.holdout.iter().all(|&row| (80..90).contains(&table.times[row as usize])));
        assert!(time_split(None, 0.0).rows(&table, 1).validation.is_empty());
    }

    #[test]
    fn a_hash_split_keeps_a_row_on_its_side() {
        let split = SplitSection::Hash { holdout: 0.2, seed: 7, validation: 0.1 };
        let ids: Vec<u64> = (0..10_000_u64).map(|id| super::super::data::stable_hash(&id.to_le_bytes(), 0)).collect();
        let all = split.rows(&Table { ids: ids.clone(), ..Table::default() }, 1);
        assert!((1_850..2_150).contains(&all.holdout.len()), "{}", all.holdout.len());
        assert!((700..900).contains(&all.validation.len()), "{}", all.validation.len());
        let first = split.rows(&Table { ids: ids[..100].to_vec(), ..Table::default() }, 1);
        assert_eq!(first.holdout, all.holdout.iter().copied().filter(|&row| row < 100).collect::<Vec<_>>());
    }
}
