//! Which training rows choose the number of boosting rounds.

use serde::{Deserialize, Serialize};

use super::data::{Table, stable_hash};

/// How many blocks of time validate, one in each part of the training time. With fewer the number of rounds depends more on
/// which days they fall on; with more, their rows have neighbours in time that train (docs/adr/0001-number-of-rounds.md).
const N_BLOCKS: usize = 20;

/// How the validation rows of a split by time are chosen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ValidationBy {
    /// Twenty blocks of time, one in each twentieth of the training rows in the order of their times.
    #[default]
    Blocks,
    /// The latest training rows.
    Latest,
    /// By the hash of each row, whatever its time.
    Hash,
}

impl ValidationBy {
    /// The rule in words, behind the share.
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Blocks => "in blocks of time",
            Self::Latest => "of the latest",
            Self::Hash => "by hash",
        }
    }

    /// Parts `rows` in training and validation rows, both in their order; about `share` of them validate. Rows of one time
    /// stay together, unless they are chosen by hash.
    pub(super) fn part(self, table: &Table, rows: Vec<u32>, share: f64, seed: u64) -> (Vec<u32>, Vec<u32>) {
        if rows.is_empty() || share <= 0.0 {
            return (rows, Vec::new());
        }
        let time = |row: u32| table.times[row as usize];
        match self {
            Self::Hash => {
                let hash = |row: u32| stable_hash(&table.row_digests[row as usize], 0);
                rows.into_iter().partition(|&row| share <= unit(hash(row), seed))
            }
            Self::Latest => {
                let mut times: Vec<i64> = rows.iter().map(|&row| time(row)).collect();
                let place = rounded_down(1.0 - share, times.len()).min(times.len() - 1);
                let cut = *times.select_nth_unstable(place).1;
                rows.into_iter().partition(|&row| time(row) < cut)
            }
            Self::Blocks => match times_in_blocks(rows.iter().map(|&row| time(row)).collect(), share, seed) {
                Some(chosen) => rows.into_iter().partition(|&row| chosen.binary_search(&time(row)).is_err()),
                None => Self::Hash.part(table, rows, share, seed),
            },
        }
    }
}

/// The times that fall in the blocks, in rising order; `None` where there are too few different ones to part.
fn times_in_blocks(mut times: Vec<i64>, share: f64, seed: u64) -> Option<Vec<i64>> {
    times.sort_unstable();
    let n_rows = times.len();
    let runs: Vec<&[i64]> = times.chunk_by(|a, b| a == b).collect();
    let n_blocks = rounded_down(share, runs.len()).min(N_BLOCKS);
    if n_blocks == 0 {
        return None;
    }
    // Each block lies anywhere in its part, so that they fall on no one day of the week.
    let block = |part: usize| {
        let (start, end) = (n_rows * part / n_blocks, n_rows * (part + 1) / n_blocks);
        let len = rounded_down(share, end - start);
        let from = start + rounded_down(unit(part as u64, seed), end - start - len + 1);
        from..from + len
    };
    let blocks: Vec<_> = (0..n_blocks).map(block).collect();
    let mut begin = 0;
    let mut chosen = Vec::new();
    for run in runs {
        // The middle of a time's rows decides for all of them.
        let middle = begin + run.len() / 2;
        if blocks.iter().any(|block| block.contains(&middle)) {
            chosen.push(run[0]);
        }
        begin += run.len();
    }
    Some(chosen)
}

/// A number in [0, 1) that depends on every bit of `id` and `seed`.
#[expect(clippy::cast_precision_loss, reason = "53 bits fit")]
pub(super) fn unit(id: u64, seed: u64) -> f64 {
    (stable_hash(&id.to_le_bytes(), seed) >> 11) as f64 / (1_u64 << 53) as f64
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a count is a count")]
#[expect(clippy::cast_precision_loss, reason = "at most 2^26 rows")]
fn rounded_down(share: f64, n_rows: usize) -> usize {
    (n_rows as f64 * share) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600;

    /// `n_rows` rows, ten an hour, in no order.
    fn table(n_rows: u32) -> Table {
        let mut order: Vec<u32> = (0..n_rows).collect();
        order.sort_by_key(|row| stable_hash(&row.to_le_bytes(), 9));
        let digest = |row: u32| std::array::from_fn(|place| row.to_le_bytes()[place % 4]);
        Table {
            times: order.iter().map(|row| i64::from(row / 10) * HOUR).collect(),
            row_digests: (0..n_rows).map(digest).collect(),
            ..Table::default()
        }
    }

    fn part(by: ValidationBy, table: &Table, seed: u64) -> (Vec<u32>, Vec<u32>) {
        by.part(table, (0..u32::try_from(table.n_rows()).unwrap()).collect(), 0.1, seed)
    }

    fn times(table: &Table, rows: &[u32]) -> Vec<i64> {
        let mut times: Vec<i64> = rows.iter().map(|&row| table.times[row as usize]).collect();
        times.sort_unstable();
        times.dedup();
        times
    }

    #[test]
    fn a_tenth_of_the_rows_validates_and_no_row_is_lost() {
        let table = table(20_000);
        for by in [ValidationBy::Blocks, ValidationBy::Latest, ValidationBy::Hash] {
            let (train, validation) = part(by, &table, 1);
            assert!((1_800..2_200).contains(&validation.len()), "{by:?}: {}", validation.len());
            assert!(train.is_sorted() && validation.is_sorted());
            let mut all = [train, validation].concat();
            all.sort_unstable();
            assert_eq!(all, (0..20_000).collect::<Vec<_>>(), "{by:?}");
        }
    }

    #[test]
    fn blocks_are_whole_hours_that_lie_in_each_twentieth_of_the_time() {
        let table = table(20_000);
        let (train, validation) = part(ValidationBy::Blocks, &table, 1);
        let (trained, validated) = (times(&table, &train), times(&table, &validation));
        assert!(validated.iter().all(|time| trained.binary_search(time).is_err()), "an hour is on one side");
        for twentieth in 0..20 {
            let hours = (100 * twentieth..100 * (twentieth + 1)).map(|hour| hour * HOUR);
            let hours: Vec<i64> = hours.filter(|time| validated.binary_search(time).is_ok()).collect();
            assert!((9..=11).contains(&hours.len()), "{twentieth}: {hours:?}");
            assert!(hours.windows(2).all(|pair| pair[1] - pair[0] == HOUR), "one block: {hours:?}");
        }
    }

    #[test]
    fn the_seed_moves_the_blocks_and_nothing_else_does() {
        let table = table(20_000);
        for by in [ValidationBy::Blocks, ValidationBy::Hash] {
            assert_eq!(part(by, &table, 1), part(by, &table, 1));
            assert_ne!(part(by, &table, 1), part(by, &table, 2));
        }
        assert_eq!(part(ValidationBy::Latest, &table, 1), part(ValidationBy::Latest, &table, 2));
    }

    #[test]
    fn few_times_make_few_blocks_and_too_few_leave_it_to_the_hash() {
        let mut table = table(2_000);
        table.times.iter_mut().for_each(|time| *time %= 25 * HOUR);
        let (train, validation) = part(ValidationBy::Blocks, &table, 1);
        assert_eq!(times(&table, &train).len() + times(&table, &validation).len(), 25);
        table.times.fill(0);
        assert_eq!(part(ValidationBy::Blocks, &table, 1), part(ValidationBy::Hash, &table, 1));
    }

    #[test]
    fn no_share_validates_nothing() {
        assert!(ValidationBy::Blocks.part(&table(100), (0..100).collect(), 0.0, 1).1.is_empty());
    }
}
