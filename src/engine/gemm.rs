//! `[m, k] x [k, n]` in f32, on one thread.
//!
//! The right side is packed into panels of [`WIDTH`] columns, so that it is read from front to back. A tile of a few rows is
//! multiplied with a part of a panel at a time, its sums in registers; a panel stays in the cache for all tiles. The code is
//! portable; on x86-64 it is compiled three times, and the form for the processor at hand is chosen when a matrix is packed.
//!
//! The inner loops are written so that the compiler keeps the sums in registers: counted loops over arrays of fixed size, no
//! more than eight registers of sums, and no check of an index.
//!
//! Terms are added from front to back, by the fused instruction where there is one, and long sums in parts: as onnxruntime's library
//! (MLAS) does, so that a score which is the small difference of large numbers comes out as there.

/// Columns of one panel.
const WIDTH: usize = 32;

/// What is multiplied at once where a whole panel's sums are too many for the registers.
const HALF: usize = WIDTH / 2;

/// Terms of a part of a sum, where the right side is a matrix that was packed at load.
const PART: usize = 256;

/// Terms of a part of a sum where MLAS packs the right side, `[k, n]`, at each run: the fewer columns, the longer.
fn part_of_unpacked(k: usize, n: usize) -> usize {
    match n {
        _ if k <= n => 128,
        0..=16 => 1_024,
        17..=32 => 512,
        33..=64 => 256,
        _ => 128,
    }
}

/// The right side, packed.
#[derive(Debug, Clone)]
pub(in crate::engine) struct Packed {
    values: Values,
    k: usize,
    n: usize,
    /// Terms that are added up at a time.
    part: usize,
    level: Level,
}

#[derive(Debug, Clone)]
enum Values {
    /// `[k]`: the only column.
    Column(Vec<f32>),
    /// `[n / WIDTH, k, WIDTH]`, filled with zeros behind column n.
    Panels(Vec<[f32; WIDTH]>),
}

/// What the processor can do.
#[derive(Debug, Clone, Copy)]
enum Level {
    Base,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

impl Level {
    fn of_this_machine() -> Self {
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx512f") {
                return Self::Avx512;
            }
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                return Self::Avx2;
            }
        }
        Self::Base
    }
}

impl Packed {
    /// Packs `values`, `[k, n]` row-major, or `[n, k]` where `transposed`.
    pub(in crate::engine) fn new(values: &[f32], (k, n): (usize, usize), transposed: bool) -> Self {
        let level = Level::of_this_machine();
        if n == 1 {
            return Self { values: Values::Column(values[..k].to_vec()), k, n, part: PART, level };
        }
        let mut panels = vec![[0.0; WIDTH]; n.div_ceil(WIDTH) * k];
        for (index, row) in panels.iter_mut().enumerate() {
            let (panel, depth) = (index / k, index % k);
            let start = panel * WIDTH;
            let width = WIDTH.min(n - start);
            if transposed {
                for (column, value) in row[..width].iter_mut().enumerate() {
                    *value = values[(start + column) * k + depth];
                }
            } else {
                row[..width].copy_from_slice(&values[depth * n + start..][..width]);
            }
        }
        Self { values: Values::Panels(panels), k, n, part: PART, level }
    }

    /// Of values that the operator's attributes hold.
    pub(in crate::engine) fn of_attribute(values: &[f32], (k, n): (usize, usize), transposed: bool) -> Self {
        Self { part: part_of_unpacked(k, n), ..Self::new(values, (k, n), transposed) }
    }

    pub(in crate::engine) fn n(&self) -> usize {
        self.n
    }

    pub(in crate::engine) fn k(&self) -> usize {
        self.k
    }

    /// Writes `rows` (`[m, k]`) times this to `out` (`[m, n]`).
    pub(in crate::engine) fn multiply(&self, rows: &[f32], out: &mut [f32]) {
        self.combine::<Fused>(rows, out);
    }

    /// Writes the squares of the distances of `rows` (`[m, k]`) from the columns to `out` (`[m, n]`).
    pub(in crate::engine) fn distances(&self, rows: &[f32], out: &mut [f32]) {
        self.combine::<SquaredDifference>(rows, out);
    }

    fn combine<T: Term>(&self, rows: &[f32], out: &mut [f32]) {
        if self.k == 0 || self.n == 0 {
            out.fill(0.0);
            return;
        }
        let part = if T::IN_PARTS { self.part } else { self.k };
        let values = match &self.values {
            Values::Panels(panels) => panels,
            Values::Column(column) => return self.combine_column::<T>((column, part), rows, out),
        };
        let right = Panels { values, k: self.k, n: self.n, part };
        match self.level {
            Level::Base => combine::<2, 16, T::Plain>(right, rows, out),
            #[cfg(target_arch = "x86_64")]
            #[expect(unsafe_code, reason = "code for instructions that not every processor has")]
            // SAFETY: the level says that this processor has them.
            Level::Avx2 => unsafe { combine_avx2::<T>(right, rows, out) },
            #[cfg(target_arch = "x86_64")]
            #[expect(unsafe_code, reason = "code for instructions that not every processor has")]
            // SAFETY: the level says that this processor has them.
            Level::Avx512 => unsafe { combine_avx512::<T>(right, rows, out) },
        }
    }

    fn combine_column<T: Term>(&self, column: (&[f32], usize), rows: &[f32], out: &mut [f32]) {
        match self.level {
            Level::Base => column_of::<T::Plain>(column, rows, out),
            #[cfg(target_arch = "x86_64")]
            #[expect(unsafe_code, reason = "code for instructions that not every processor has")]
            // SAFETY: the level says that this processor has them.
            Level::Avx2 | Level::Avx512 => unsafe { column_fused::<T>(column, rows, out) },
        }
    }
}

/// The right side in panels, and how many terms are added up at a time.
#[derive(Clone, Copy)]
struct Panels<'a> {
    values: &'a [[f32; WIDTH]],
    k: usize,
    n: usize,
    part: usize,
}

/// What a value and a weight add to a sum.
trait Term {
    /// The same where the processor has no fused instruction: it would be a call.
    type Plain: Term;
    /// Whether long sums are added up in parts.
    const IN_PARTS: bool;

    fn added(sum: f32, value: f32, weight: f32) -> f32;
}

/// The product, rounded once with the sum.
struct Fused;

impl Term for Fused {
    type Plain = Product;
    const IN_PARTS: bool = true;

    #[inline(always)]
    fn added(sum: f32, value: f32, weight: f32) -> f32 {
        value.mul_add(weight, sum)
    }
}

struct Product;

impl Term for Product {
    type Plain = Self;
    const IN_PARTS: bool = true;

    #[inline(always)]
    fn added(sum: f32, value: f32, weight: f32) -> f32 {
        sum + value * weight
    }
}

struct SquaredDifference;

impl Term for SquaredDifference {
    type Plain = Self;
    const IN_PARTS: bool = false;

    #[inline(always)]
    fn added(sum: f32, value: f32, weight: f32) -> f32 {
        let difference = value - weight;
        sum + difference * difference
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn combine_avx2<T: Term>(right: Panels<'_>, rows: &[f32], out: &mut [f32]) {
    combine::<4, 16, T>(right, rows, out);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,fma")]
fn combine_avx512<T: Term>(right: Panels<'_>, rows: &[f32], out: &mut [f32]) {
    combine::<4, 32, T>(right, rows, out);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn column_fused<T: Term>(column: (&[f32], usize), rows: &[f32], out: &mut [f32]) {
    column_of::<T>(column, rows, out);
}

/// Several rows at a time: the terms of one wait for each other.
#[inline(always)]
fn column_of<T: Term>((column, part): (&[f32], usize), rows: &[f32], out: &mut [f32]) {
    const ROWS: usize = 8;
    let k = column.len();
    let in_tiles = rows.len() / k / ROWS * ROWS;
    let (tiles, rest) = rows.split_at(in_tiles * k);
    let (tiles_out, rest_out) = out.split_at_mut(in_tiles);
    for (rows, out) in tiles.chunks_exact(ROWS * k).zip(tiles_out.as_chunks_mut().0) {
        column_sums::<ROWS, T>((column, part), rows, out);
    }
    for (row, out) in rest.chunks_exact(k).zip(rest_out.as_chunks_mut().0) {
        column_sums::<1, T>((column, part), row, out);
    }
}

#[inline(always)]
fn column_sums<const ROWS: usize, T: Term>((column, part): (&[f32], usize), rows: &[f32], out: &mut [f32; ROWS]) {
    for (start, weights) in (0..column.len()).step_by(part).zip(column.chunks(part)) {
        let tile: [&[f32]; ROWS] = std::array::from_fn(|row| &rows[row * column.len() + start..][..weights.len()]);
        let mut sums = [0.0; ROWS];
        for (depth, weight) in weights.iter().enumerate() {
            for row in 0..ROWS {
                sums[row] = T::added(sums[row], tile[row][depth], *weight);
            }
        }
        for (out, sum) in out.iter_mut().zip(sums) {
            *out = if start == 0 { sum } else { *out + sum };
        }
    }
}

/// Tiles of `ROWS` rows, the last one with a row twice if one is missing; then of two, then of one; `COLUMNS` columns at a time.
/// Each sum is added up from front to back in all of them, so that a row's answer has the same bits alone and in any batch.
#[inline(always)]
fn combine<const ROWS: usize, const COLUMNS: usize, T: Term>(right: Panels<'_>, rows: &[f32], out: &mut [f32]) {
    let (k, n) = (right.k, right.n);
    let m = rows.len() / k;
    let in_tiles = if 2 < ROWS && m % ROWS == ROWS - 1 { m } else { m / ROWS * ROWS };
    let in_pairs = in_tiles + (m - in_tiles) / 2 * 2;
    let (tiles, rows) = rows.split_at(in_tiles * k);
    let (pairs, single) = rows.split_at((in_pairs - in_tiles) * k);
    let (tiles_out, out) = out.split_at_mut(in_tiles * n);
    let (pairs_out, single_out) = out.split_at_mut((in_pairs - in_tiles) * n);
    by_panels::<ROWS, COLUMNS, T>(right, tiles, tiles_out);
    by_panels::<2, COLUMNS, T>(right, pairs, pairs_out);
    by_panels::<1, COLUMNS, T>(right, single, single_out);
}

#[inline(always)]
fn by_panels<const ROWS: usize, const COLUMNS: usize, T: Term>(right: Panels<'_>, rows: &[f32], out: &mut [f32]) {
    let Panels { k, n, part, .. } = right;
    if rows.is_empty() {
        return;
    }
    for (start, panel) in (0..n).step_by(WIDTH).zip(right.values.chunks_exact(k)) {
        for (rows, out) in rows.chunks(ROWS * k).zip(out.chunks_mut(ROWS * n)) {
            let n_rows = rows.len() / k;
            for (depth, panel) in (0..k).step_by(part).zip(panel.chunks(part)) {
                // A missing row is the last one again; what comes of it is not written.
                let row = |row: usize| &rows[row.min(n_rows - 1) * k + depth..][..panel.len()];
                let tile: [&[f32]; ROWS] = std::array::from_fn(row);
                let is_first = depth == 0;
                if COLUMNS == WIDTH && WIDTH / 2 < n - start {
                    write(&sums::<ROWS, WIDTH, 0, T>(tile, panel), out, (start, n), is_first);
                } else {
                    write(&sums::<ROWS, HALF, 0, T>(tile, panel), out, (start, n), is_first);
                    if HALF < n - start {
                        write(&sums::<ROWS, HALF, HALF, T>(tile, panel), out, (start + HALF, n), is_first);
                    }
                }
            }
        }
    }
}

/// Writes the sums of a tile to the columns from `start` on, as far as there are `n`, or adds them to what is there.
#[inline(always)]
fn write<const ROWS: usize, const COLUMNS: usize>(
    sums: &[[f32; COLUMNS]; ROWS],
    out: &mut [f32],
    (start, n): (usize, usize),
    is_first: bool,
) {
    let width = COLUMNS.min(n - start);
    for (sums, out) in sums.iter().zip(out.chunks_exact_mut(n)) {
        let out = &mut out[start..start + width];
        if is_first {
            out.copy_from_slice(&sums[..width]);
        } else {
            out.iter_mut().zip(sums).for_each(|(out, sum)| *out += sum);
        }
    }
}

/// A tile combined with the columns of a panel from `FIRST` on.
#[inline(always)]
fn sums<const ROWS: usize, const COLUMNS: usize, const FIRST: usize, T: Term>(
    tile: [&[f32]; ROWS],
    panel: &[[f32; WIDTH]],
) -> [[f32; COLUMNS]; ROWS] {
    let mut sums = [[0.0; COLUMNS]; ROWS];
    let tile = tile.map(|row| &row[..panel.len()]);
    for (depth, weights) in panel.iter().enumerate() {
        for row in 0..ROWS {
            for column in 0..COLUMNS {
                let sum = &mut sums[row][column];
                *sum = T::added(*sum, tile[row][depth], weights[FIRST + column]);
            }
        }
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_agrees_with_the_plain_sum() {
        for (m, k, n) in [
            (1, 1, 1),
            (1, 7, 33),
            (5, 100, 10),
            (9, 64, 32),
            (4, 3, 70),
            (19, 40, 300),
            (6, 600, 40),
            (21, 1_030, 1),
            (2, 0, 3),
        ] {
            let value = |seed: usize| f32::from(u8::try_from(seed * 37 % 101).unwrap()) / 50.0 - 1.0;
            let a: Vec<f32> = (0..m * k).map(value).collect();
            let b: Vec<f32> = (0..k * n).map(|place| value(place + 13)).collect();
            let turned: Vec<f32> = (0..k * n).map(|place| b[place % k * n + place / k]).collect();
            let mut packed = [Packed::new(&b, (k, n), false), Packed::new(&turned, (k, n), true)];
            packed[0].level = Level::Base;
            for packed in packed {
                let mut out = vec![f32::NAN; m * n];
                packed.multiply(&a, &mut out);
                for (row, together) in a.chunks_exact(k.max(1)).zip(out.chunks_exact(n)) {
                    let mut alone = vec![f32::NAN; n];
                    packed.multiply(row, &mut alone);
                    assert!(alone.iter().zip(together).all(|(a, b)| a.to_bits() == b.to_bits()), "{m} {k} {n}");
                }
                let mut squares = vec![f32::NAN; m * n];
                packed.distances(&a, &mut squares);
                for (place, (got, square)) in out.iter().zip(&squares).enumerate() {
                    let pairs = || (0..k).map(|at| (a[place / n * k + at], b[at * n + place % n]));
                    let want: f32 = pairs().map(|(a, b)| a * b).sum();
                    assert!(
                        (want - got).abs() < 1e-4 + 1e-5 * want.abs(),
                        "{m} {k} {n}: {want} {got} ({:?})",
                        packed.level
                    );
                    let want = pairs().fold(0.0_f32, |sum, (a, b)| sum + (a - b) * (a - b));
                    assert_eq!(want.to_bits(), square.to_bits(), "{m} {k} {n} ({:?})", packed.level);
                }
            }
        }
    }
}
