//! `[m, k] x [k, n]` in f32, on one thread.
//!
//! The right side is packed into panels of [`WIDTH`] columns, so that it is read from front to back. A tile of a few rows is
//! multiplied with a part of a panel at a time, its sums in registers; a panel stays in the cache for all tiles. The code is
//! portable; on x86-64 it is compiled three times, and the form for the processor at hand is chosen when a matrix is packed.
//!
//! The inner loops are written so that the compiler keeps the sums in registers: counted loops over arrays of fixed size, no
//! more than eight registers of sums, and no check of an index.

/// Columns of one panel.
const WIDTH: usize = 32;

/// What is multiplied at once where a whole panel's sums are too many for the registers.
const HALF: usize = WIDTH / 2;

/// The right side, packed.
#[derive(Debug, Clone)]
pub(in crate::engine) struct Packed {
    /// `[n / WIDTH, k, WIDTH]`, filled with zeros behind column n.
    panels: Vec<[f32; WIDTH]>,
    k: usize,
    n: usize,
    level: Level,
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
        Self { panels, k, n, level: Level::of_this_machine() }
    }

    pub(in crate::engine) fn n(&self) -> usize {
        self.n
    }

    pub(in crate::engine) fn k(&self) -> usize {
        self.k
    }

    /// Writes `rows` (`[m, k]`) times this to `out` (`[m, n]`).
    pub(in crate::engine) fn multiply(&self, rows: &[f32], out: &mut [f32]) {
        if self.k == 0 || self.n == 0 {
            out.fill(0.0);
            return;
        }
        match self.level {
            Level::Base => multiply::<2, 16, false>(self, rows, out),
            #[cfg(target_arch = "x86_64")]
            #[expect(unsafe_code, reason = "code for instructions that not every processor has")]
            // SAFETY: the level says that this processor has them.
            Level::Avx2 => unsafe { multiply_avx2(self, rows, out) },
            #[cfg(target_arch = "x86_64")]
            #[expect(unsafe_code, reason = "code for instructions that not every processor has")]
            // SAFETY: the level says that this processor has them.
            Level::Avx512 => unsafe { multiply_avx512(self, rows, out) },
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn multiply_avx2(packed: &Packed, rows: &[f32], out: &mut [f32]) {
    multiply::<4, 16, true>(packed, rows, out);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,fma")]
fn multiply_avx512(packed: &Packed, rows: &[f32], out: &mut [f32]) {
    multiply::<4, 32, true>(packed, rows, out);
}

/// Tiles of `ROWS` rows, the last one with a row twice if one is missing; then of two, then of one; `COLUMNS` columns at a time.
/// Each sum is added up from front to back in all of them, so that a row's answer has the same bits alone and in any batch.
#[inline(always)]
fn multiply<const ROWS: usize, const COLUMNS: usize, const FMA: bool>(packed: &Packed, rows: &[f32], out: &mut [f32]) {
    let (k, n) = (packed.k, packed.n);
    let m = rows.len() / k;
    let in_tiles = if 2 < ROWS && m % ROWS == ROWS - 1 { m } else { m / ROWS * ROWS };
    let in_pairs = in_tiles + (m - in_tiles) / 2 * 2;
    let (tiles, rows) = rows.split_at(in_tiles * k);
    let (pairs, single) = rows.split_at((in_pairs - in_tiles) * k);
    let (tiles_out, out) = out.split_at_mut(in_tiles * n);
    let (pairs_out, single_out) = out.split_at_mut((in_pairs - in_tiles) * n);
    by_panels::<ROWS, COLUMNS, FMA>(packed, tiles, tiles_out);
    by_panels::<2, COLUMNS, FMA>(packed, pairs, pairs_out);
    by_panels::<1, COLUMNS, FMA>(packed, single, single_out);
}

#[inline(always)]
fn by_panels<const ROWS: usize, const COLUMNS: usize, const FMA: bool>(packed: &Packed, rows: &[f32], out: &mut [f32]) {
    let (k, n) = (packed.k, packed.n);
    if rows.is_empty() {
        return;
    }
    for (start, panel) in (0..n).step_by(WIDTH).zip(packed.panels.chunks_exact(k)) {
        for (rows, out) in rows.chunks(ROWS * k).zip(out.chunks_mut(ROWS * n)) {
            let n_rows = rows.len() / k;
            // A missing row is the last one again; what comes of it is not written.
            let tile: [&[f32]; ROWS] = std::array::from_fn(|row| &rows[row.min(n_rows - 1) * k..][..k]);
            if COLUMNS == WIDTH && WIDTH / 2 < n - start {
                write(&product::<ROWS, WIDTH, 0, FMA>(tile, panel), out, (start, n));
            } else {
                write(&product::<ROWS, HALF, 0, FMA>(tile, panel), out, (start, n));
                if HALF < n - start {
                    write(&product::<ROWS, HALF, HALF, FMA>(tile, panel), out, (start + HALF, n));
                }
            }
        }
    }
}

/// Writes the sums of a tile to the columns from `start` on, as far as there are `n`.
#[inline(always)]
fn write<const ROWS: usize, const COLUMNS: usize>(
    sums: &[[f32; COLUMNS]; ROWS],
    out: &mut [f32],
    (start, n): (usize, usize),
) {
    let width = COLUMNS.min(n - start);
    for (sums, out) in sums.iter().zip(out.chunks_exact_mut(n)) {
        out[start..start + width].copy_from_slice(&sums[..width]);
    }
}

/// A tile times the columns of a panel from `FIRST` on.
#[inline(always)]
fn product<const ROWS: usize, const COLUMNS: usize, const FIRST: usize, const FMA: bool>(
    tile: [&[f32]; ROWS],
    panel: &[[f32; WIDTH]],
) -> [[f32; COLUMNS]; ROWS] {
    let mut sums = [[0.0; COLUMNS]; ROWS];
    let tile = tile.map(|row| &row[..panel.len()]);
    for (depth, weights) in panel.iter().enumerate() {
        for row in 0..ROWS {
            for column in 0..COLUMNS {
                let (value, weight) = (tile[row][depth], weights[FIRST + column]);
                let sum = &mut sums[row][column];
                // Without the instruction, the fused form would be a call.
                *sum = if FMA { value.mul_add(weight, *sum) } else { *sum + value * weight };
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
        for (m, k, n) in [(1, 1, 1), (1, 7, 33), (5, 100, 10), (9, 64, 32), (4, 3, 70), (19, 40, 300), (2, 0, 3)] {
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
                for (place, got) in out.iter().enumerate() {
                    let want: f32 = (0..k).map(|at| a[place / n * k + at] * b[at * n + place % n]).sum();
                    assert!((want - got).abs() < 1e-4, "{m} {k} {n}: {want} {got} ({:?})", packed.level);
                }
            }
        }
    }
}
