//! The inner loop of [`ranks`](super::ranks), compiled for the registers at hand.

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
}
