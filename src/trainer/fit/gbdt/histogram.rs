//! Histograms of gradients, exact whatever the order of the rows.
//!
//! Derivatives are turned into fixed point once a tree, so every sum is a sum of integers: any number of threads gives the
//! same bits, and a child's histogram is exactly its parent's less its sibling's. A cell is two 64-bit words: the first
//! derivative, and the second derivative above a row counter. For 2^18 rows a row's derivatives keep 43 and 25 bits.

use std::thread;

use super::bins::Binned;

/// Rows from which a histogram is worth a second thread.
const PARALLEL_ROWS: usize = 16_384;

/// One bin's sums, or one row's addends.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Cell {
    gradient: i64,
    /// The second derivative, shifted up, and the number of rows below it.
    hessian_count: i64,
}

impl Cell {
    #[inline]
    pub(super) fn plus(self, other: Self) -> Self {
        Self {
            gradient: self.gradient.wrapping_add(other.gradient),
            hessian_count: self.hessian_count.wrapping_add(other.hessian_count),
        }
    }

    #[inline]
    pub(super) fn minus(self, other: Self) -> Self {
        Self {
            gradient: self.gradient.wrapping_sub(other.gradient),
            hessian_count: self.hessian_count.wrapping_sub(other.hessian_count),
        }
    }
}

/// Sums of a set of rows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Sums {
    pub(super) gradient: f64,
    pub(super) hessian: f64,
    pub(super) n_rows: usize,
}

/// How one tree's derivatives are written in fixed point.
#[derive(Debug, Clone, Copy)]
pub(super) struct FixedPoint {
    gradient_scale: f64,
    hessian_scale: f64,
    count_bits: u32,
}

impl FixedPoint {
    /// A form in which the sum over `n_rows` rows of derivatives up to `gradient_max` and `hessian_max` fits.
    pub(super) fn new(n_rows: usize, gradient_max: f64, hessian_max: f64) -> Self {
        let row_bits = usize::BITS - n_rows.leading_zeros();
        let scale = |sum_bits: u32, max: f64| {
            let exponent = f64::from(sum_bits) - f64::from(row_bits) - max.max(f64::MIN_POSITIVE).log2().ceil();
            exponent.clamp(-1_000.0, 1_000.0).exp2()
        };
        Self {
            gradient_scale: scale(61, gradient_max),
            hessian_scale: scale(61 - row_bits, hessian_max),
            count_bits: row_bits,
        }
    }

    #[expect(clippy::cast_possible_truncation, reason = "the scale keeps every value inside an i64")]
    pub(super) fn cell(self, gradient: f64, hessian: f64) -> Cell {
        let hessian = (hessian * self.hessian_scale + 0.5) as i64;
        Cell { gradient: (gradient * self.gradient_scale) as i64, hessian_count: (hessian << self.count_bits) | 1 }
    }

    #[inline]
    #[expect(clippy::cast_precision_loss, reason = "53 bits are enough to compare gains")]
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the counter has 27 bits at most")]
    pub(super) fn sums(self, cell: Cell) -> Sums {
        Sums {
            gradient: cell.gradient as f64 / self.gradient_scale,
            hessian: (cell.hessian_count >> self.count_bits) as f64 / self.hessian_scale,
            n_rows: (cell.hessian_count & ((1 << self.count_bits) - 1)) as usize,
        }
    }
}

/// Adds up `rows` into `histogram`, which is cleared first.
pub(super) fn fill(histogram: &mut [Cell], binned: &Binned, rows: &[u32], cells: &[Cell], threads: usize) {
    histogram.fill(Cell::default());
    if threads < 2 || rows.len() < PARALLEL_ROWS {
        add_rows(histogram, binned, rows, cells);
        return;
    }
    let mut parts = rows.chunks(rows.len().div_ceil(threads));
    let own = parts.next().unwrap_or_default();
    thread::scope(|scope| {
        let others: Vec<_> = parts
            .map(|part| {
                scope.spawn(move || {
                    let mut histogram = vec![Cell::default(); binned.n_bins()];
                    add_rows(&mut histogram, binned, part, cells);
                    histogram
                })
            })
            .collect();
        add_rows(histogram, binned, own, cells);
        for other in others {
            match other.join() {
                Ok(other) => {
                    histogram.iter_mut().zip(other).for_each(|(sum, other)| *sum = sum.plus(other));
                }
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
    });
}

fn add_rows(histogram: &mut [Cell], binned: &Binned, rows: &[u32], cells: &[Cell]) {
    let n_features = binned.n_features;
    let offsets = &binned.offsets[..n_features];
    for &row in rows {
        let row = row as usize;
        let cell = cells[row];
        let bins = &binned.rows[row * n_features..(row + 1) * n_features];
        for (&bin, &offset) in bins.iter().zip(offsets) {
            let sum = &mut histogram[offset + usize::from(bin)];
            *sum = sum.plus(cell);
        }
    }
}

/// Turns a parent's histogram into that of the child whose sibling has `smaller`.
pub(super) fn subtract(parent: &mut [Cell], smaller: &[Cell]) {
    parent.iter_mut().zip(smaller).for_each(|(sum, &smaller)| *sum = sum.minus(smaller));
}
