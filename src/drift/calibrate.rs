//! A threshold for traffic that differs from day to day without drifting.

use std::collections::BTreeMap;

use super::counts::ColumnCounts;
use super::profile::ColumnProfile;
use super::stats::{psi, psi_bias};

/// The fewest values of a block that is used: the fewest that any window is judged on.
const BLOCK_ROWS_MIN: u64 = 200;
/// The fewest blocks from which a percentile says anything.
const BLOCKS_MIN: usize = 5;

/// The 99th percentile (interpolated linearly) of the corrected PSI of each block of rows against all the others; `None`
/// where there are fewer than five blocks of 200 values. `count` adds a row to some counts.
pub(super) fn calibrated(
    profile: &ColumnProfile,
    blocks: &[u32],
    mut count: impl FnMut(&mut ColumnCounts, usize),
) -> Option<f64> {
    let mut by_block = BTreeMap::<u32, ColumnCounts>::new();
    for (row, &block) in blocks.iter().enumerate() {
        count(by_block.entry(block).or_insert_with(|| ColumnCounts::zero(profile)), row);
    }
    let mut scores: Vec<f64> = by_block
        .values()
        .filter(|counts| BLOCK_ROWS_MIN <= counts.n())
        .map(|counts| {
            let rest: Vec<u64> =
                profile.counts().iter().zip(&counts.bins).map(|(all, block)| all.saturating_sub(*block)).collect();
            psi(&rest, &counts.bins) - psi_bias(&rest, &counts.bins)
        })
        .collect();
    if scores.len() < BLOCKS_MIN {
        return None;
    }
    scores.sort_unstable_by(f64::total_cmp);
    let (whole, part) = (99 * (scores.len() - 1) / 100, 99 * (scores.len() - 1) % 100);
    let next = scores[(whole + 1).min(scores.len() - 1)];
    Some(scores[whole] + (next - scores[whole]) * (part as f64 / 100.0))
}
