//! Tensors that were read off the wire as they came, before the request around them.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::raw::Growing;
use crate::tensor::Data;

/// The columns of a request that were read as they came, in that order; they are no longer in its body.
#[derive(Debug, Default)]
pub struct Columns(Mutex<VecDeque<Column>>);

/// One of them.
#[derive(Debug, Clone)]
pub struct Column {
    /// Its values.
    pub data: Data,
    /// The bytes of it that came.
    pub n_bytes: usize,
}

impl FromIterator<Growing> for Columns {
    fn from_iter<I: IntoIterator<Item = Growing>>(growing: I) -> Self {
        let columns = growing.into_iter().map(Growing::finish);
        Self(Mutex::new(columns.map(|(data, n_bytes)| Column { data, n_bytes }).collect()))
    }
}

impl Columns {
    /// The bytes that came as columns.
    pub fn n_bytes(&self) -> usize {
        self.locked().iter().map(|column| column.n_bytes).sum()
    }

    /// Hands the columns out; a copy where they will be asked for `again`.
    pub fn hand_out(&self, again: bool) -> VecDeque<Column> {
        let mut columns = self.locked();
        if again { columns.clone() } else { std::mem::take(&mut *columns) }
    }

    fn locked(&self) -> MutexGuard<'_, VecDeque<Column>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::Dtype;

    #[test]
    fn columns_are_handed_out_once_at_last() {
        let mut growing = Growing::new(Dtype::Uint8, 1).unwrap();
        assert!(growing.push(&[1]).is_empty());
        let columns: Columns = [growing].into_iter().collect();
        assert_eq!((columns.n_bytes(), columns.hand_out(true).len(), columns.hand_out(false).len()), (1, 1, 1));
        assert_eq!(columns.n_bytes(), 0);
    }
}
