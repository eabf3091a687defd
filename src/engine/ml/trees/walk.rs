//! A forest as one array of slots, and the walk over it.
//!
//! The two children of a branch lie side by side, the passing one first, so a step is one comparison and two additions. A
//! leaf is its own child and reads a column that is above nothing, so a walk may go on past it: several walks go abreast
//! without a jump of their own, and none waits for the memory of another.

use super::lower::{Lowered, Step, narrow};
use super::real::Real;

/// Walks that go abreast.
pub(super) const ABREAST: usize = 8;

/// The type that a slot's column and child are kept in.
pub(super) trait Place: Copy + std::fmt::Debug + Send + Sync + 'static {
    fn column(of: usize) -> Option<Self>;
    fn offset(of: isize) -> Option<Self>;
    fn to_column(self) -> usize;
    fn to_offset(self) -> isize;
}

macro_rules! place {
    ($signed:ty, $unsigned:ty) => {
        impl Place for $signed {
            fn column(of: usize) -> Option<Self> {
                <$unsigned>::try_from(of).ok().map(<$unsigned>::cast_signed)
            }
            fn offset(of: isize) -> Option<Self> {
                of.try_into().ok()
            }
            fn to_column(self) -> usize {
                self.cast_unsigned() as usize
            }
            fn to_offset(self) -> isize {
                self as isize
            }
        }
    };
}

place!(i16, u16);
place!(i32, u32);

#[derive(Debug, Clone, Copy)]
struct Slot<T, P> {
    /// In a leaf its payload.
    threshold: T,
    /// Zero in a leaf, where NaN stands.
    column: P,
    /// From this slot to the passing child's; zero in a leaf.
    child: P,
}

#[derive(Debug)]
pub(super) struct Walk<T, P> {
    slots: Vec<Slot<T, P>>,
    roots: Vec<u32>,
    n_columns: usize,
}

impl<T: Real, P: Place> Walk<T, P> {
    /// `None` where the places do not fit into `P`. `payloads` are those of the leaves.
    pub(super) fn new(lowered: &Lowered<T>, payloads: &[T]) -> Option<Self> {
        let mut walk = Self { slots: Vec::new(), roots: Vec::new(), n_columns: lowered.columns.len() + 1 };
        // Where the children of each branch lie, once they do.
        let mut pairs = vec![None; lowered.steps.len()];
        let nothing = Slot { threshold: T::default(), column: P::column(0)?, child: P::offset(0)? };
        for &root in &lowered.roots {
            let place = walk.slots.len();
            walk.roots.push(narrow(place));
            walk.slots.push(nothing);
            let mut stack = vec![(root as usize, place)];
            while let Some((step, place)) = stack.pop() {
                walk.slots[place] = match lowered.steps[step] {
                    Step::Leaf(leaf) => Slot { threshold: payloads[leaf as usize], ..nothing },
                    Step::Branch(branch) => {
                        let pair = *pairs[step].get_or_insert_with(|| {
                            let pair = walk.slots.len();
                            walk.slots.extend([nothing, nothing]);
                            // The passing child is taken from the stack first and so lies nearer.
                            stack.extend([(branch.fail as usize, pair + 1), (branch.pass as usize, pair)]);
                            pair
                        });
                        let child = P::offset(pair.cast_signed() - place.cast_signed())?;
                        Slot { threshold: branch.threshold, column: P::column(branch.column as usize + 1)?, child }
                    }
                };
            }
        }
        Some(walk)
    }

    /// The payloads that walks from `roots` end at, `rows` being their columns.
    #[inline(always)]
    #[expect(unsafe_code, reason = "checked, the two accesses of a step take half of its time again")]
    fn descend(&self, roots: [u32; ABREAST], rows: [&[T]; ABREAST]) -> [T; ABREAST] {
        rows.iter().for_each(|row| assert_eq!(row.len(), self.n_columns));
        let mut places = roots.map(|root| root as usize);
        loop {
            let mut open = 0;
            for (place, row) in places.iter_mut().zip(&rows) {
                // SAFETY: roots are places of slots, and `new` gives each slot children that are (a leaf itself: nothing
                // is above NaN, which is in column 0).
                let slot = unsafe { self.slots.get_unchecked(*place) };
                let column = slot.column.to_column();
                // SAFETY: `new` numbers columns below `n_columns`, which is how many the row has.
                let is_above = unsafe { *row.get_unchecked(column) } > slot.threshold;
                *place = place.wrapping_add_signed(slot.child.to_offset()).wrapping_add(usize::from(is_above));
                open |= column;
            }
            if open == 0 {
                return places.map(|place| self.slots[place].threshold);
            }
        }
    }

    /// Calls `reached` with the number of each tree, in order, and the payload that a row of `columns` ends at.
    #[inline]
    pub(super) fn row(&self, columns: &[T], mut reached: impl FnMut(usize, T)) {
        let columns = &columns[..self.n_columns];
        let (groups, rest) = self.roots.as_chunks::<ABREAST>();
        for (group, &roots) in groups.iter().enumerate() {
            let payloads = self.descend(roots, [columns; ABREAST]);
            for (lane, payload) in payloads.into_iter().enumerate() {
                reached(group * ABREAST + lane, payload);
            }
        }
        for (lane, &root) in rest.iter().enumerate() {
            reached(groups.len() * ABREAST + lane, self.descend_one(root, columns));
        }
    }

    fn descend_one(&self, root: u32, row: &[T]) -> T {
        let mut slot = &self.slots[root as usize];
        let mut place = root as usize;
        while slot.column.to_column() != 0 {
            place = place.wrapping_add_signed(slot.child.to_offset())
                + usize::from(row[slot.column.to_column()] > slot.threshold);
            slot = &self.slots[place];
        }
        slot.threshold
    }

    /// The payloads that the rows of a block end at in `tree`; `rows` is `[payloads.len(), n_columns]`.
    #[inline]
    pub(super) fn block(&self, tree: usize, rows: &[T], payloads: &mut [T]) {
        let root = self.roots[tree];
        let width = self.n_columns;
        let (groups, rest) = payloads.as_chunks_mut::<ABREAST>();
        let n_grouped = groups.len() * ABREAST;
        for (rows, payloads) in rows.chunks_exact(width * ABREAST).zip(groups) {
            *payloads = self.descend([root; ABREAST], std::array::from_fn(|row| &rows[row * width..(row + 1) * width]));
        }
        for (row, payload) in rows[n_grouped * width..].chunks_exact(width).zip(rest) {
            *payload = self.descend_one(root, row);
        }
    }
}
