//! Takes the outputs of a batch of several requests apart again.

use crate::tensor::Tensor;

/// Takes `outputs` apart by rows: `sizes[r]` rows for request `r`. `None` where an output has not one row a row of input.
pub(super) fn scatter(outputs: &[Tensor], sizes: &[usize]) -> Option<Vec<Vec<Tensor>>> {
    let n_rows: usize = sizes.iter().sum();
    if outputs.iter().any(|output| output.shape().first() != Some(&n_rows)) {
        return None;
    }
    let mut start = 0;
    let mut slice = |&size: &usize| {
        let rows = start..start + size;
        start += size;
        outputs.iter().map(|output| output.slice_rows(rows.clone())).collect()
    };
    Some(sizes.iter().map(&mut slice).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::{Data, join_rows};

    fn column(values: &[i64]) -> Tensor {
        Tensor::column(Data::Int64(values.to_vec()))
    }

    #[test]
    fn every_request_gets_its_own_rows_back() {
        let requests = [vec![column(&[1, 2]), column(&[10, 20])], vec![column(&[3]), column(&[30])]];
        let parts: Vec<&[Tensor]> = requests.iter().map(Vec::as_slice).collect();
        let joined = join_rows(&parts).unwrap();
        assert_eq!(joined, [column(&[1, 2, 3]), column(&[10, 20, 30])]);
        assert_eq!(scatter(&joined, &[2, 1]).unwrap(), requests);
    }

    #[test]
    fn outputs_that_do_not_follow_the_rows_are_not_taken_apart() {
        assert_eq!(scatter(&[column(&[1, 2])], &[2, 1]), None);
    }
}
