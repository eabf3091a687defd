//! Symmetric positive definite systems.

/// A symmetric matrix; only the lower triangle is kept, row after row.
#[derive(Debug, Clone)]
pub(super) struct Symmetric {
    n: usize,
    lower: Vec<f64>,
}

impl Symmetric {
    pub(super) fn zeros(n: usize) -> Self {
        Self { n, lower: vec![0.0; n * (n + 1) / 2] }
    }

    fn place(row: usize, column: usize) -> usize {
        row * (row + 1) / 2 + column
    }

    /// Adds to the entry at (`a`, `b`), which is also that at (`b`, `a`).
    #[inline]
    pub(super) fn add(&mut self, a: usize, b: usize, value: f64) {
        self.lower[Self::place(a.max(b), a.min(b))] += value;
    }

    /// `L` with `L * L^T` equal to the matrix. `None` where it is not positive definite (a pivot below 1e-12 of its
    /// diagonal entry).
    pub(super) fn cholesky(mut self) -> Option<Cholesky> {
        for row in 0..self.n {
            let diagonal = self.lower[Self::place(row, row)];
            for column in 0..=row {
                let (from_row, from_column) = (Self::place(row, 0), Self::place(column, 0));
                let dot: f64 = self.lower[from_row..from_row + column]
                    .iter()
                    .zip(&self.lower[from_column..from_column + column])
                    .map(|(a, b)| a * b)
                    .sum();
                let rest = self.lower[from_row + column] - dot;
                if column < row {
                    self.lower[from_row + column] = rest / self.lower[Self::place(column, column)];
                } else if rest > 1e-12 * diagonal.abs() {
                    self.lower[from_row + column] = rest.sqrt();
                } else {
                    return None;
                }
            }
        }
        Some(Cholesky(self))
    }
}

/// A factor from [`Symmetric::cholesky`].
#[derive(Debug, Clone)]
pub(super) struct Cholesky(Symmetric);

impl Cholesky {
    /// Solves the system for `right`, in place.
    pub(super) fn solve(&self, right: &mut [f64]) {
        let Symmetric { n, lower } = &self.0;
        for row in 0..*n {
            let start = Symmetric::place(row, 0);
            let dot: f64 = lower[start..start + row].iter().zip(&*right).map(|(a, b)| a * b).sum();
            right[row] = (right[row] - dot) / lower[start + row];
        }
        for row in (0..*n).rev() {
            let below: f64 = (row + 1..*n).map(|other| lower[Symmetric::place(other, row)] * right[other]).sum();
            right[row] = (right[row] - below) / lower[Symmetric::place(row, row)];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_solution_solves() {
        let mut matrix = Symmetric::zeros(3);
        let entries = [[4.0, 2.0, 0.5], [2.0, 5.0, 1.0], [0.5, 1.0, 3.0]];
        for (row, values) in entries.iter().enumerate() {
            (0..=row).for_each(|column| matrix.add(column, row, values[column]));
        }
        let mut x = vec![1.0, -2.0, 3.0];
        matrix.cholesky().unwrap().solve(&mut x);
        for (values, right) in entries.iter().zip([1.0, -2.0, 3.0]) {
            let left: f64 = values.iter().zip(&x).map(|(a, b)| a * b).sum();
            assert!((left - right).abs() < 1e-12, "{left} is not {right}");
        }
    }

    #[test]
    fn a_matrix_without_a_unique_solution_is_refused() {
        let mut matrix = Symmetric::zeros(2);
        [(0, 0), (0, 1), (1, 1)].into_iter().for_each(|(a, b)| matrix.add(a, b, 1.0));
        assert!(matrix.cholesky().is_none());
    }
}
