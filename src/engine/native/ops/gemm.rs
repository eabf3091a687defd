//! `[m, k] x [k, n]` in f32, on one thread.
//!
//! The right side is packed into panels of [`WIDTH`] columns, so that a panel is read from front to back. A block of rows is
//! multiplied with one panel at a time, its sums in registers. The code is portable; on x86-64 it is compiled three times, and
//! the form for the processor at hand is chosen when a matrix is packed.

/// Columns of one panel.
const WIDTH: usize = 32;

/// The right side, packed.
#[derive(Debug, Clone)]
pub(super) struct Packed {
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
    pub(super) fn new(values: &[f32], (k, n): (usize, usize), transposed: bool) -> Self {
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

    pub(super) fn n(&self) -> usize {
        self.n
    }

    pub(super) fn k(&self) -> usize {
        self.k
    }

    /// Writes `rows` (`[m, k]`) times this to `out` (`[m, n]`).
    pub(super) fn multiply(&self, rows: &[f32], out: &mut [f32]) {
        if self.k == 0 {
            out.fill(0.0);
            return;
        }
        match self.level {
            Level::Base => multiply::<2, 1, false>(self, rows, out),
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
    multiply::<3, 2, true>(packed, rows, out);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,fma")]
fn multiply_avx512(packed: &Packed, rows: &[f32], out: &mut [f32]) {
    multiply::<8, 4, true>(packed, rows, out);
}

/// Blocks of `ROWS` rows, then what is left row by row, `PANELS` panels at a time. Each sum is added up from front to back in
/// both, so that a row's answer has the same bits alone and in any batch.
#[inline(always)]
fn multiply<const ROWS: usize, const PANELS: usize, const FMA: bool>(packed: &Packed, rows: &[f32], out: &mut [f32]) {
    let (k, n) = (packed.k, packed.n);
    let (whole, rest) = rows.split_at(rows.len() / (k * ROWS) * k * ROWS);
    let (whole_out, rest_out) = out.split_at_mut(whole.len() / k * n);
    if !whole.is_empty() {
        for (start, panel) in (0..n).step_by(WIDTH).zip(packed.panels.chunks_exact(k)) {
            let width = WIDTH.min(n - start);
            for (rows, out) in whole.chunks_exact(k * ROWS).zip(whole_out.chunks_exact_mut(n * ROWS)) {
                let sums = block::<ROWS, FMA>(rows, panel);
                for (row, sums) in sums.iter().enumerate() {
                    out[row * n + start..][..width].copy_from_slice(&sums[..width]);
                }
            }
        }
    }
    for (row, out) in rest.chunks_exact(k).zip(rest_out.chunks_exact_mut(n.max(1))) {
        let groups = packed.panels.chunks_exact(k * PANELS);
        let single = groups.remainder().chunks_exact(k);
        let (wide_out, narrow_out) = out.split_at_mut((groups.len() * PANELS * WIDTH).min(n));
        for (panels, out) in groups.zip(wide_out.chunks_mut(PANELS * WIDTH)) {
            out.copy_from_slice(&alone::<PANELS, FMA>(row, panels).as_flattened()[..out.len()]);
        }
        for (panel, out) in single.zip(narrow_out.chunks_mut(WIDTH)) {
            out.copy_from_slice(&alone::<1, FMA>(row, panel).as_flattened()[..out.len()]);
        }
    }
}

#[inline(always)]
fn step<const FMA: bool>(sums: &mut [f32; WIDTH], value: f32, column: &[f32; WIDTH]) {
    for (sum, weight) in sums.iter_mut().zip(column) {
        // Without the instruction, the fused form would be a call.
        *sum = if FMA { value.mul_add(*weight, *sum) } else { *sum + value * weight };
    }
}

#[inline(always)]
fn block<const ROWS: usize, const FMA: bool>(rows: &[f32], panel: &[[f32; WIDTH]]) -> [[f32; WIDTH]; ROWS] {
    let k = panel.len();
    let mut sums = [[0.0; WIDTH]; ROWS];
    let rows: [&[f32]; ROWS] = std::array::from_fn(|row| &rows[row * k..(row + 1) * k]);
    for (depth, column) in panel.iter().enumerate() {
        for (sums, row) in sums.iter_mut().zip(rows) {
            step::<FMA>(sums, row[depth], column);
        }
    }
    sums
}

/// One row and several panels side by side, so that one multiplication need not wait for the one before.
#[inline(always)]
fn alone<const PANELS: usize, const FMA: bool>(row: &[f32], panels: &[[f32; WIDTH]]) -> [[f32; WIDTH]; PANELS] {
    let k = row.len();
    let mut sums = [[0.0; WIDTH]; PANELS];
    let panels: [&[[f32; WIDTH]]; PANELS] = std::array::from_fn(|panel| &panels[panel * k..(panel + 1) * k]);
    for (depth, value) in row.iter().enumerate() {
        for (sums, panel) in sums.iter_mut().zip(panels) {
            step::<FMA>(sums, *value, &panel[depth]);
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
