//! The inner loops of [`ranks`](super::ranks), compiled for the registers at hand.

use super::real::Real;

/// Rows of a block.
pub(super) const BLOCK: usize = 128;

/// The ranks of one column in a block of rows, 128 less than they are so that signed bytes hold them.
pub(super) type Bytes = [i8; BLOCK];

#[derive(Debug, Clone, Copy)]
pub(super) struct Branch {
    /// A place in the columns of bytes.
    pub(super) column: u16,
    /// Fails above it.
    pub(super) rank: i8,
    /// The first of its leaves, and the first on its failing side.
    pub(super) first: u8,
    pub(super) failing: u8,
}

/// The leaf of each row, for the branches of a tree, parents first.
pub(super) fn leaves(branches: &[Branch], bytes: &[Bytes]) -> [u8; BLOCK] {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") {
        #[expect(unsafe_code, reason = "three times as fast as what every processor can do")]
        // SAFETY: this processor has AVX2, as was just asked.
        return unsafe { leaves_avx2(branches, bytes) };
    }
    leaves_anywhere(branches, bytes)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn leaves_avx2(branches: &[Branch], bytes: &[Bytes]) -> [u8; BLOCK] {
    leaves_anywhere(branches, bytes)
}

#[inline(always)]
fn leaves_anywhere(branches: &[Branch], bytes: &[Bytes]) -> [u8; BLOCK] {
    let mut leaves = [0; BLOCK];
    for &Branch { column, rank, first, failing } in branches {
        let ranks = &bytes[usize::from(column)];
        for (leaf, &other) in leaves.iter_mut().zip(ranks) {
            // In arithmetic: a choice would be compiled to jumps.
            let moves = u8::from(other > rank) & u8::from(*leaf == first);
            *leaf ^= (*leaf ^ failing) & moves.wrapping_neg();
        }
    }
    leaves
}

/// Thresholds that one column of bytes tells apart.
pub(super) const RANKS: usize = 255;
const GROUP: usize = 16;

/// At most [`RANKS`] thresholds, for counting those below a value: sixteen comparisons find the group, sixteen the place.
#[derive(Debug)]
pub(super) struct Scale<T> {
    /// The last threshold of each group, infinity where there is none.
    pivots: [T; GROUP],
    groups: Box<[[T; GROUP]]>,
}

impl<T: Real> Scale<T> {
    /// `thresholds` from the smallest on.
    pub(super) fn new(thresholds: &[T]) -> Self {
        // The group behind the last full one is there even if it is empty: a value may be above all.
        let mut groups = vec![[T::INFINITY; GROUP]; thresholds.len() / GROUP + 1].into_boxed_slice();
        for (place, &threshold) in groups.as_flattened_mut().iter_mut().zip(thresholds) {
            *place = threshold;
        }
        let pivots = std::array::from_fn(|group| groups.get(group).map_or(T::INFINITY, |group| group[GROUP - 1]));
        Self { pivots, groups }
    }

    /// How many thresholds are below each of `values`, 128 less than it is.
    pub(super) fn rank(&self, values: &[T; BLOCK], bytes: &mut Bytes) {
        #[cfg(target_arch = "x86_64")]
        if std::arch::is_x86_feature_detected!("avx2") {
            #[expect(unsafe_code, reason = "twice as fast as what every processor can do")]
            // SAFETY: this processor has AVX2, as was just asked.
            unsafe {
                self.rank_avx2(values, bytes);
            }
            return;
        }
        self.rank_anywhere(values, bytes);
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2")]
    fn rank_avx2(&self, values: &[T; BLOCK], bytes: &mut Bytes) {
        self.rank_anywhere(values, bytes);
    }

    #[inline(always)]
    fn rank_anywhere(&self, values: &[T; BLOCK], bytes: &mut Bytes) {
        let mut groups = [0_u32; BLOCK];
        if 1 < self.groups.len() {
            for &pivot in &self.pivots {
                for (group, &value) in groups.iter_mut().zip(values) {
                    *group += u32::from(pivot < value);
                }
            }
        }
        for ((byte, &group), &value) in bytes.iter_mut().zip(&groups).zip(values) {
            let below: u32 = self.groups[group as usize].iter().map(|&threshold| u32::from(threshold < value)).sum();
            *byte = signed(group as usize * GROUP + below as usize);
        }
    }
}

/// A rank of at most 255 in a signed byte, 128 less than it is.
#[expect(clippy::cast_possible_truncation, reason = "at most 255")]
#[inline(always)]
pub(super) fn signed(rank: usize) -> i8 {
    (rank as u8 ^ 0x80).cast_signed()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_processor_finds_the_same_leaves(
            bytes in prop::collection::vec(prop::collection::vec(any::<i8>(), BLOCK), 3),
            branches in prop::collection::vec((0_u16..3, any::<i8>(), 0_u8..8, any::<u8>()), 0..40),
        ) {
            let bytes: Vec<Bytes> = bytes.into_iter().map(|column| column.try_into().unwrap()).collect();
            let branch = |(column, rank, first, failing)| Branch { column, rank, first, failing };
            let branches: Vec<Branch> = branches.into_iter().map(branch).collect();
            prop_assert_eq!(leaves(&branches, &bytes), leaves_anywhere(&branches, &bytes));
        }
    }

    #[test]
    fn ranks_count_the_thresholds_below() {
        for len in [1, 15, 16, 17, 32, 240, 254, RANKS] {
            let thresholds: Vec<f32> = (0..len).map(|place| place as f32).collect();
            let mut values: [f32; BLOCK] = std::array::from_fn(|row| (row * len / 127) as f32 - 0.5 * (row % 3) as f32);
            values[..3].copy_from_slice(&[f32::NAN, f32::INFINITY, f32::NEG_INFINITY]);
            let (mut bytes, mut anywhere) = ([0; BLOCK], [0; BLOCK]);
            let scale = Scale::new(&thresholds);
            scale.rank(&values, &mut bytes);
            scale.rank_anywhere(&values, &mut anywhere);
            let expected =
                values.map(|value| signed(thresholds.iter().filter(|&&threshold| threshold < value).count()));
            assert_eq!((bytes, anywhere), (expected, expected), "{len}");
        }
    }
}
